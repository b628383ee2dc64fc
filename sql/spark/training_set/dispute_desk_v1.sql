-- Training set of feature service dispute_desk_v1: one statement per view instance and kind of feature.
-- Fingerprint 7456cc4628a25b4a9b48cf0aed64fcb4. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- customer_at_merchant: Latest of view customer_at_merchant
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    (`status` <> 'void') IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `status` AS `by_status`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_customer_id`, `by_merchant_id`, `by_status`, `key_customer_id`, `key_merchant_id`, event_time, known_time + :known_shift AS known_time, `in_amount`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, `key_merchant_id`, event_time, known_time, `in_amount`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_customer_id`, `key_merchant_id`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_amount`: DOUBLE>) AS fact FROM spine
  UNION ALL
  SELECT `key_customer_id`, `key_merchant_id`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`) FROM (SELECT * FROM intervals WHERE until IS NULL)
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_customer_id`, `key_merchant_id`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_customer_id`, `key_merchant_id` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_customer_id`, `key_merchant_id`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
),
-- facts that a later version replaces
replaced AS (
  SELECT `key_customer_id`, `key_merchant_id`, greatest(event_time, known_time) AS start, until, struct(event_time, known_time, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`) AS fact
  FROM intervals WHERE until IS NOT NULL
),
-- per row the newest fact in force that was later replaced
newer AS (
  SELECT m.row_id, max(r.fact) AS newer
  FROM matched AS m JOIN replaced AS r
  ON m.`key_customer_id` = r.`key_customer_id` AND m.`key_merchant_id` = r.`key_merchant_id` AND r.start < m.asked_at AND m.asked_at <= r.until
  GROUP BY m.row_id
),
-- per spine row its newest fact
answers AS (
  SELECT m.row_id, m.asked_at,
    CASE WHEN m.newest IS NULL OR n.newer > m.newest THEN n.newer ELSE m.newest END AS newest
  FROM matched AS m LEFT JOIN newer AS n ON n.row_id = m.row_id
)
-- the answer
SELECT
  row_id AS __row,
  newest.event_time AS __event,
  CAST(CASE WHEN newest IS NULL THEN 0 WHEN asked_at - newest.event_time > 31536000000000 THEN 2 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN newest.`in_amount` END AS `last_amount_here`
FROM answers
;

-- customer_at_merchant: Window of view customer_at_merchant, plan sweep: visits, spent_here_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    (`status` <> 'void') IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `status` AS `by_status`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_customer_id`, `by_merchant_id`, `by_status`, `key_customer_id`, `key_merchant_id`, event_time, known_time + :known_shift AS known_time, `in_amount`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, `key_merchant_id`, event_time, known_time, `in_amount`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_customer_id`,
    `key_merchant_id`,
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2
  FROM intervals
),
-- facts, at the instants at which what windows hold changes
marks AS (
  SELECT
    `key_customer_id`,
    `key_merchant_id`,
    side,
    2 * instant + 1 AS tick,
    CAST(NULL AS BIGINT) AS row_id,
    CAST(NULL AS BIGINT) AS asked_at,
    CAST(NULL AS INT) AS edge,
    lateness,
    sign,
    measure_1,
    measure_2
  FROM measured LATERAL VIEW inline(CASE WHEN until IS NULL THEN array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign)) ELSE array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(0 AS side, until AS instant, until - event_time AS lateness, -1L AS sign), struct(1 AS side, event_time AS instant, until - event_time AS lateness, -1L AS sign)) END) AS side, instant, lateness, sign
),
-- spine rows, at each instant at which a window of theirs begins or ends
edges AS (
  SELECT
    `key_customer_id`,
    `key_merchant_id`,
    side,
    2 * (asked_at - back) AS tick,
    row_id,
    asked_at,
    edge,
    NULL AS lateness,
    NULL AS sign,
    NULL AS measure_1,
    NULL AS measure_2
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 2592000000000L AS back))) AS edge, side, back
),
-- both, those of a key together
timeline AS (
  SELECT * FROM (
    SELECT * FROM marks
    UNION ALL
    SELECT * FROM edges
  )
  DISTRIBUTE BY `key_customer_id`, `key_merchant_id`
),
-- their values as whole numbers
wholes AS (
  SELECT *,
    CASE WHEN abs(measure_2) < CAST('Infinity' AS DOUBLE) THEN measure_2 * :scale_2 END AS whole_2
  FROM timeline
),
-- limbs of these, which add up without loss
numbers AS (
  SELECT *,
    CASE WHEN isnan(measure_2) THEN 1L END AS nan_2,
    CASE WHEN measure_2 = CAST('Infinity' AS DOUBLE) THEN 1L END AS pos_2,
    CASE WHEN measure_2 = CAST('-Infinity' AS DOUBLE) THEN 1L END AS neg_2,
    CAST((whole_2 % 1099511627776.0D) AS BIGINT) AS x0_2,
    CAST(whole_2 * 9.094947017729282e-13D AS BIGINT) AS x1_2
  FROM wholes
),
-- what has come up to each point of the timeline, or comes from there on
passed AS (
  SELECT
    `key_customer_id`, `key_merchant_id`, side,
    row_id,
    asked_at,
    edge,
    tick,
    sum(sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END) OVER ahead AS n_1,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_1,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_1,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_1,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_1,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_1,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_1
  FROM numbers
  WINDOW
    ahead AS (PARTITION BY `key_customer_id`, `key_merchant_id`, side ORDER BY tick ASC ROWS UNBOUNDED PRECEDING)
),
-- of these points the edges
running AS (
  SELECT * FROM passed WHERE row_id IS NOT NULL
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    max(asked_at) AS asked_at,
    sum(CASE WHEN edge = 1 THEN coalesce(n_1, 0) END) AS n_1_1,
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_1, 0) WHEN edge = 2 THEN -coalesce(n_2_in_1, 0) END) AS n_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_1, 0) WHEN edge = 2 THEN -coalesce(nan_2_in_1, 0) END) AS nan_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_1, 0) WHEN edge = 2 THEN -coalesce(pos_2_in_1, 0) END) AS pos_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_1, 0) WHEN edge = 2 THEN -coalesce(neg_2_in_1, 0) END) AS neg_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_1, 0) WHEN edge = 2 THEN -coalesce(x0_2_in_1, 0) END) AS x0_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_1, 0) WHEN edge = 2 THEN -coalesce(x1_2_in_1, 0) END) AS x1_2_2
  FROM running
  GROUP BY `key_customer_id`, `key_merchant_id`, row_id
),
-- sums as digits, of which only the greatest has a sign
digits AS (
  SELECT *,
    (x0_2_2) & 1099511627775L AS digit0_2_2,
    (x1_2_2 + shiftright((x0_2_2), 40)) AS digit1_2_2
  FROM grouped
),
-- sums as the nearest doubles
rounded AS (
  SELECT *,
    CASE WHEN coalesce(nan_2_2, 0) > 0 OR (coalesce(pos_2_2, 0) > 0 AND coalesce(neg_2_2, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_2, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_2, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_2 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_2 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_2 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_2 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_2) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_2
  FROM digits
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `visits`,
  CASE WHEN coalesce(n_2_2, 0) > 0 THEN rounded_2_2 END AS `spent_here_30d`
FROM rounded
;

-- disputes_merchant_chargebacks: Latest of view merchant_chargebacks
-- reads spine (row_id, asked_at, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `disputed_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `disputed_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`disputed_at`) END AS event_time,
    CASE WHEN `reported_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `reported_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`reported_at`) END AS known_time,
    `amount` AS `in_amount`,
    `reason` AS `in_reason`
  FROM `source__disputes`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT `key_merchant_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_reason`
  FROM rows_read
  WHERE `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_merchant_id`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_amount`: DOUBLE, `in_reason`: STRING>) AS fact FROM spine
  UNION ALL
  SELECT `key_merchant_id`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_reason` AS `in_reason`) FROM facts
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_merchant_id`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_merchant_id` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_merchant_id`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
)
-- the answer
SELECT
  row_id AS __row,
  newest.event_time AS __event,
  CAST(CASE WHEN newest IS NULL THEN 0 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN newest IS NOT NULL THEN newest.`in_reason` END AS `disputes_last_reason`
FROM matched
;

-- disputes_merchant_chargebacks: Window of view merchant_chargebacks, plan sweep: disputes_count_30d, disputes_count_90d, disputes_amount_sum_90d, disputes_fraud_count_90d
-- reads spine (row_id, asked_at, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `disputed_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `disputed_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`disputed_at`) END AS event_time,
    CASE WHEN `reported_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `reported_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`reported_at`) END AS known_time,
    `amount` AS `in_amount`,
    `reason` AS `in_reason`
  FROM `source__disputes`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT `key_merchant_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_reason`
  FROM rows_read
  WHERE `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_merchant_id`,
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    TRUE AS measure_1,
    nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
    CASE WHEN startswith(`in_reason`, 'fraud') THEN TRUE END AS measure_3
  FROM facts
),
-- facts, at the instants at which what windows hold changes
marks AS (
  SELECT
    `key_merchant_id`,
    side,
    2 * instant + 1 AS tick,
    CAST(NULL AS BIGINT) AS row_id,
    CAST(NULL AS BIGINT) AS asked_at,
    CAST(NULL AS INT) AS edge,
    lateness,
    sign,
    measure_1,
    measure_2,
    measure_3
  FROM measured LATERAL VIEW inline(array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign))) AS side, instant, lateness, sign
),
-- spine rows, at each instant at which a window of theirs begins or ends
edges AS (
  SELECT
    `key_merchant_id`,
    side,
    2 * (asked_at - back) AS tick,
    row_id,
    asked_at,
    edge,
    NULL AS lateness,
    NULL AS sign,
    NULL AS measure_1,
    NULL AS measure_2,
    NULL AS measure_3
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 2592000000000L AS back), struct(3 AS edge, 1 AS side, 7776000000000L AS back))) AS edge, side, back
),
-- both, those of a key together
timeline AS (
  SELECT * FROM (
    SELECT * FROM marks
    UNION ALL
    SELECT * FROM edges
  )
  DISTRIBUTE BY `key_merchant_id`
),
-- their values as whole numbers
wholes AS (
  SELECT *,
    CASE WHEN abs(measure_2) < CAST('Infinity' AS DOUBLE) THEN measure_2 * :scale_2 END AS whole_2
  FROM timeline
),
-- limbs of these, which add up without loss
numbers AS (
  SELECT *,
    CASE WHEN isnan(measure_2) THEN 1L END AS nan_2,
    CASE WHEN measure_2 = CAST('Infinity' AS DOUBLE) THEN 1L END AS pos_2,
    CASE WHEN measure_2 = CAST('-Infinity' AS DOUBLE) THEN 1L END AS neg_2,
    CAST((whole_2 % 1099511627776.0D) AS BIGINT) AS x0_2,
    CAST(whole_2 * 9.094947017729282e-13D AS BIGINT) AS x1_2
  FROM wholes
),
-- what has come up to each point of the timeline, or comes from there on
passed AS (
  SELECT
    `key_merchant_id`, side,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN lateness < 2592000000000 THEN CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_1,
    sum(CASE WHEN lateness < 7776000000000 THEN CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_2,
    sum(CASE WHEN lateness < 7776000000000 THEN CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_2,
    sum(CASE WHEN lateness < 7776000000000 THEN nan_2 END) OVER ahead AS nan_2_in_2,
    sum(CASE WHEN lateness < 7776000000000 THEN pos_2 END) OVER ahead AS pos_2_in_2,
    sum(CASE WHEN lateness < 7776000000000 THEN neg_2 END) OVER ahead AS neg_2_in_2,
    sum(CASE WHEN lateness < 7776000000000 THEN x0_2 END) OVER ahead AS x0_2_in_2,
    sum(CASE WHEN lateness < 7776000000000 THEN x1_2 END) OVER ahead AS x1_2_in_2,
    sum(CASE WHEN lateness < 7776000000000 THEN CASE WHEN measure_3 IS NOT NULL THEN 1L END END) OVER ahead AS n_3_in_2
  FROM numbers
  WINDOW
    ahead AS (PARTITION BY `key_merchant_id`, side ORDER BY tick ASC ROWS UNBOUNDED PRECEDING)
),
-- of these points the edges
running AS (
  SELECT * FROM passed WHERE row_id IS NOT NULL
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    max(asked_at) AS asked_at,
    sum(CASE WHEN edge = 1 THEN coalesce(n_1_in_1, 0) WHEN edge = 2 THEN -coalesce(n_1_in_1, 0) END) AS n_1_1,
    sum(CASE WHEN edge = 1 THEN coalesce(n_1_in_2, 0) WHEN edge = 3 THEN -coalesce(n_1_in_2, 0) END) AS n_1_2,
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_2, 0) WHEN edge = 3 THEN -coalesce(n_2_in_2, 0) END) AS n_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_2, 0) WHEN edge = 3 THEN -coalesce(nan_2_in_2, 0) END) AS nan_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_2, 0) WHEN edge = 3 THEN -coalesce(pos_2_in_2, 0) END) AS pos_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_2, 0) WHEN edge = 3 THEN -coalesce(neg_2_in_2, 0) END) AS neg_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_2, 0) WHEN edge = 3 THEN -coalesce(x0_2_in_2, 0) END) AS x0_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_2, 0) WHEN edge = 3 THEN -coalesce(x1_2_in_2, 0) END) AS x1_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(n_3_in_2, 0) WHEN edge = 3 THEN -coalesce(n_3_in_2, 0) END) AS n_3_2
  FROM running
  GROUP BY `key_merchant_id`, row_id
),
-- sums as digits, of which only the greatest has a sign
digits AS (
  SELECT *,
    (x0_2_2) & 1099511627775L AS digit0_2_2,
    (x1_2_2 + shiftright((x0_2_2), 40)) AS digit1_2_2
  FROM grouped
),
-- sums as the nearest doubles
rounded AS (
  SELECT *,
    CASE WHEN coalesce(nan_2_2, 0) > 0 OR (coalesce(pos_2_2, 0) > 0 AND coalesce(neg_2_2, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_2, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_2, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_2 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_2 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_2 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_2 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_2) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_2
  FROM digits
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `disputes_count_30d`,
  CAST(coalesce(n_1_2, 0) AS BIGINT) AS `disputes_count_90d`,
  CASE WHEN coalesce(n_2_2, 0) > 0 THEN rounded_2_2 END AS `disputes_amount_sum_90d`,
  CAST(coalesce(n_3_2, 0) AS BIGINT) AS `disputes_fraud_count_90d`
FROM rounded
;

-- merchant_profile: Latest of view merchant_profile
-- reads spine (row_id, asked_at, merchant_id), source__merchants
WITH
-- rows of source merchants: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `valid_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `valid_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`valid_from`) END AS event_time,
    CASE WHEN `valid_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `valid_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`valid_from`) END + 3600000000 AS known_time,
    `name` AS `in_name`,
    `category` AS `in_category`,
    `risk_score` AS `in_risk_score`
  FROM `source__merchants`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT `key_merchant_id`, event_time, known_time + :known_shift AS known_time, `in_name`, `in_category`, `in_risk_score`
  FROM rows_read
  WHERE `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_merchant_id`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_name`: STRING, `in_category`: STRING, `in_risk_score`: DOUBLE>) AS fact FROM spine
  UNION ALL
  SELECT `key_merchant_id`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, `in_name` AS `in_name`, `in_category` AS `in_category`, nanvl(`in_risk_score` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_risk_score`) FROM facts
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_merchant_id`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_merchant_id` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_merchant_id`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
)
-- the answer
SELECT
  row_id AS __row,
  newest.event_time AS __event,
  CAST(CASE WHEN newest IS NULL THEN 0 WHEN asked_at - newest.event_time > 31536000000000 THEN 2 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN newest.`in_name` END AS `merchant_name`,
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN newest.`in_category` END AS `merchant_category`,
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN newest.`in_risk_score` END AS `risk_score`,
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN CAST(newest.`in_category` IN ('gambling', 'travel') AS BOOLEAN) END AS `is_sensitive`
FROM matched
;

-- review_policy: Latest of view review_policy
-- reads spine (row_id, asked_at, no key), source__policies
WITH
-- rows of source policies: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    0 AS key_all,
    CASE WHEN `effective_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `effective_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`effective_from`) END AS event_time,
    CASE WHEN `effective_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `effective_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`effective_from`) END AS known_time,
    `review_from` AS `in_review_from`,
    `rule_set` AS `in_rule_set`
  FROM `source__policies`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT key_all, event_time, known_time + :known_shift AS known_time, `in_review_from`, `in_rule_set`
  FROM rows_read
  WHERE key_all IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT key_all, 2 * asked_at + 1 AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_review_from`: DOUBLE, `in_rule_set`: STRING>) AS fact FROM spine
  UNION ALL
  SELECT key_all, 2 * greatest(event_time, known_time), NULL, NULL, struct(event_time, known_time, nanvl(`in_review_from` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_review_from`, `in_rule_set` AS `in_rule_set`) FROM facts
),
-- what has come up to each tick of a key
running AS (
  SELECT key_all, row_id, asked_at, max(fact) OVER (PARTITION BY key_all ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT key_all, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
)
-- the answer
SELECT
  row_id AS __row,
  newest.event_time AS __event,
  CAST(CASE WHEN newest IS NULL THEN 0 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN newest IS NOT NULL THEN newest.`in_review_from` END AS `review_from`,
  CASE WHEN newest IS NOT NULL THEN newest.`in_rule_set` END AS `rule_set`
FROM matched
;
