-- Training set of feature service fraud_v1: one statement per view instance and kind of feature.
-- Fingerprint 7cb4f80b14aa83fa55dac5e006becfbc. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- card_payments: Latest of view card_payments
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    (`status` = 'settled') IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `card_country` AS `by_card_country`,
    `city` AS `by_city`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `paid_at` AS `by_paid_at`,
    `status` AS `by_status`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `card_country` AS `in_card_country`,
    `city` AS `in_city`,
    `amount` AS `in_amount`,
    `merchant_id` AS `in_merchant_id`,
    `paid_at` AS `in_paid_at`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_card_country`, `by_city`, `by_customer_id`, `by_merchant_id`, `by_paid_at`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_card_country` DESC NULLS LAST, `by_city` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_paid_at` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_customer_id`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_card_country`: STRING, `in_city`: STRING, `in_amount`: DOUBLE, `in_merchant_id`: STRING, `in_paid_at`: TIMESTAMP>) AS fact FROM spine
  UNION ALL
  SELECT `key_customer_id`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, `in_card_country` AS `in_card_country`, `in_city` AS `in_city`, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_merchant_id` AS `in_merchant_id`, `in_paid_at` AS `in_paid_at`) FROM (SELECT * FROM intervals WHERE until IS NULL)
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_customer_id`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_customer_id` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_customer_id`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
),
-- facts that a later version replaces
replaced AS (
  SELECT `key_customer_id`, greatest(event_time, known_time) AS start, until, struct(event_time, known_time, `in_card_country` AS `in_card_country`, `in_city` AS `in_city`, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_merchant_id` AS `in_merchant_id`, `in_paid_at` AS `in_paid_at`) AS fact
  FROM intervals WHERE until IS NOT NULL
),
-- per row the newest fact in force that was later replaced
newer AS (
  SELECT m.row_id, max(r.fact) AS newer
  FROM matched AS m JOIN replaced AS r
  ON m.`key_customer_id` = r.`key_customer_id` AND r.start < m.asked_at AND m.asked_at <= r.until
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
  CAST(CASE WHEN newest IS NULL THEN 0 WHEN asked_at - newest.event_time > 7776000000000 THEN 2 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN asked_at - newest.event_time <= 7776000000000 THEN newest.`in_card_country` END AS `card_country`,
  CASE WHEN asked_at - newest.event_time <= 7776000000000 THEN newest.`in_city` END AS `last_city`,
  CASE WHEN asked_at - newest.event_time <= 7776000000000 THEN newest.`in_amount` END AS `last_amount`
FROM answers
;

-- card_payments: Window of view card_payments, plan sweep: count_1h, count_1d, count_30d, amount_sum_1d, amount_sum_7d, amount_sum_30d, large_count_30d, night_count_30d, amount_sum_lifetime
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    (`status` = 'settled') IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `card_country` AS `by_card_country`,
    `city` AS `by_city`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `paid_at` AS `by_paid_at`,
    `status` AS `by_status`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `card_country` AS `in_card_country`,
    `city` AS `in_city`,
    `amount` AS `in_amount`,
    `merchant_id` AS `in_merchant_id`,
    `paid_at` AS `in_paid_at`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_card_country`, `by_city`, `by_customer_id`, `by_merchant_id`, `by_paid_at`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_card_country` DESC NULLS LAST, `by_city` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_paid_at` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_customer_id`,
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
    `in_merchant_id` AS measure_3,
    CASE WHEN NANVL(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timestamp_micros(nullif(nullif(nullif(unix_micros(`in_paid_at`), CAST(-9223372036854775808 AS BIGINT)), CAST(-9223372036854775807 AS BIGINT)), CAST(9223372036854775807 AS BIGINT)))) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM intervals
),
-- facts, at the instants at which what windows hold changes
marks AS (
  SELECT
    `key_customer_id`,
    side,
    2 * instant + 1 AS tick,
    CAST(NULL AS BIGINT) AS row_id,
    CAST(NULL AS BIGINT) AS asked_at,
    CAST(NULL AS INT) AS edge,
    lateness,
    sign,
    measure_1,
    measure_2,
    measure_4,
    measure_5
  FROM measured LATERAL VIEW inline(CASE WHEN until IS NULL THEN array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign)) ELSE array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(0 AS side, until AS instant, until - event_time AS lateness, -1L AS sign), struct(1 AS side, event_time AS instant, until - event_time AS lateness, -1L AS sign)) END) AS side, instant, lateness, sign
),
-- spine rows, at each instant at which a window of theirs begins or ends
edges AS (
  SELECT
    `key_customer_id`,
    side,
    2 * (asked_at - back) AS tick,
    row_id,
    asked_at,
    edge,
    NULL AS lateness,
    NULL AS sign,
    NULL AS measure_1,
    NULL AS measure_2,
    NULL AS measure_4,
    NULL AS measure_5
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 3600000000L AS back), struct(3 AS edge, 1 AS side, 86400000000L AS back), struct(4 AS edge, 1 AS side, 2592000000000L AS back), struct(5 AS edge, 1 AS side, 604800000000L AS back))) AS edge, side, back
),
-- both, those of a key together
timeline AS (
  SELECT * FROM (
    SELECT * FROM marks
    UNION ALL
    SELECT * FROM edges
  )
  DISTRIBUTE BY `key_customer_id`
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
    `key_customer_id`, side,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN lateness < 3600000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_1,
    sum(CASE WHEN lateness < 86400000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_2,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_3,
    sum(CASE WHEN lateness < 86400000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_2,
    sum(CASE WHEN lateness < 86400000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_2,
    sum(CASE WHEN lateness < 86400000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_2,
    sum(CASE WHEN lateness < 86400000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_2,
    sum(CASE WHEN lateness < 86400000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_2,
    sum(CASE WHEN lateness < 86400000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_4,
    sum(CASE WHEN lateness < 604800000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_4,
    sum(CASE WHEN lateness < 604800000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_4,
    sum(CASE WHEN lateness < 604800000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_4,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_4,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_4,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_3,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_3,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_3,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_3,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_3,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_3,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * CASE WHEN measure_4 IS NOT NULL THEN 1L END END) OVER ahead AS n_4_in_3,
    sum(CASE WHEN lateness < 2592000000000 THEN sign * CASE WHEN measure_5 IS NOT NULL THEN 1L END END) OVER ahead AS n_5_in_3,
    sum(sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END) OVER ahead AS n_2,
    sum(sign * nan_2) OVER ahead AS nan_2,
    sum(sign * pos_2) OVER ahead AS pos_2,
    sum(sign * neg_2) OVER ahead AS neg_2,
    sum(sign * x0_2) OVER ahead AS x0_2,
    sum(sign * x1_2) OVER ahead AS x1_2
  FROM numbers
  WINDOW
    ahead AS (PARTITION BY `key_customer_id`, side ORDER BY tick ASC ROWS UNBOUNDED PRECEDING)
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
    sum(CASE WHEN edge = 1 THEN coalesce(n_1_in_3, 0) WHEN edge = 4 THEN -coalesce(n_1_in_3, 0) END) AS n_1_3,
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_2, 0) WHEN edge = 3 THEN -coalesce(n_2_in_2, 0) END) AS n_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_2, 0) WHEN edge = 3 THEN -coalesce(nan_2_in_2, 0) END) AS nan_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_2, 0) WHEN edge = 3 THEN -coalesce(pos_2_in_2, 0) END) AS pos_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_2, 0) WHEN edge = 3 THEN -coalesce(neg_2_in_2, 0) END) AS neg_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_2, 0) WHEN edge = 3 THEN -coalesce(x0_2_in_2, 0) END) AS x0_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_2, 0) WHEN edge = 3 THEN -coalesce(x1_2_in_2, 0) END) AS x1_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_4, 0) WHEN edge = 5 THEN -coalesce(n_2_in_4, 0) END) AS n_2_4,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_4, 0) WHEN edge = 5 THEN -coalesce(nan_2_in_4, 0) END) AS nan_2_4,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_4, 0) WHEN edge = 5 THEN -coalesce(pos_2_in_4, 0) END) AS pos_2_4,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_4, 0) WHEN edge = 5 THEN -coalesce(neg_2_in_4, 0) END) AS neg_2_4,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_4, 0) WHEN edge = 5 THEN -coalesce(x0_2_in_4, 0) END) AS x0_2_4,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_4, 0) WHEN edge = 5 THEN -coalesce(x1_2_in_4, 0) END) AS x1_2_4,
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_3, 0) WHEN edge = 4 THEN -coalesce(n_2_in_3, 0) END) AS n_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_3, 0) WHEN edge = 4 THEN -coalesce(nan_2_in_3, 0) END) AS nan_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_3, 0) WHEN edge = 4 THEN -coalesce(pos_2_in_3, 0) END) AS pos_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_3, 0) WHEN edge = 4 THEN -coalesce(neg_2_in_3, 0) END) AS neg_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_3, 0) WHEN edge = 4 THEN -coalesce(x0_2_in_3, 0) END) AS x0_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_3, 0) WHEN edge = 4 THEN -coalesce(x1_2_in_3, 0) END) AS x1_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(n_4_in_3, 0) WHEN edge = 4 THEN -coalesce(n_4_in_3, 0) END) AS n_4_3,
    sum(CASE WHEN edge = 1 THEN coalesce(n_5_in_3, 0) WHEN edge = 4 THEN -coalesce(n_5_in_3, 0) END) AS n_5_3,
    sum(CASE WHEN edge = 1 THEN coalesce(n_2, 0) END) AS n_2_5,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2, 0) END) AS nan_2_5,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2, 0) END) AS pos_2_5,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2, 0) END) AS neg_2_5,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2, 0) END) AS x0_2_5,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2, 0) END) AS x1_2_5
  FROM running
  GROUP BY `key_customer_id`, row_id
),
-- sums as digits, of which only the greatest has a sign
digits AS (
  SELECT *,
    (x0_2_2) & 1099511627775L AS digit0_2_2,
    (x1_2_2 + shiftright((x0_2_2), 40)) AS digit1_2_2,
    (x0_2_3) & 1099511627775L AS digit0_2_3,
    (x1_2_3 + shiftright((x0_2_3), 40)) AS digit1_2_3,
    (x0_2_4) & 1099511627775L AS digit0_2_4,
    (x1_2_4 + shiftright((x0_2_4), 40)) AS digit1_2_4,
    (x0_2_5) & 1099511627775L AS digit0_2_5,
    (x1_2_5 + shiftright((x0_2_5), 40)) AS digit1_2_5
  FROM grouped
),
-- sums as the nearest doubles
rounded AS (
  SELECT *,
    CASE WHEN coalesce(nan_2_2, 0) > 0 OR (coalesce(pos_2_2, 0) > 0 AND coalesce(neg_2_2, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_2, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_2, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_2 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_2 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_2 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_2 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_2) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_2,
    CASE WHEN coalesce(nan_2_3, 0) > 0 OR (coalesce(pos_2_3, 0) > 0 AND coalesce(neg_2_3, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_3, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_3, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_3 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_3 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_3 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_3 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_3) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_3,
    CASE WHEN coalesce(nan_2_4, 0) > 0 OR (coalesce(pos_2_4, 0) > 0 AND coalesce(neg_2_4, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_4, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_4, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_4 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_4 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_4 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_4 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_4) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_4,
    CASE WHEN coalesce(nan_2_5, 0) > 0 OR (coalesce(pos_2_5, 0) > 0 AND coalesce(neg_2_5, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_5, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_5, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_5 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_5 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_5 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_5 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_5) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_5
  FROM digits
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `count_1h`,
  CAST(coalesce(n_1_2, 0) AS BIGINT) AS `count_1d`,
  CAST(coalesce(n_1_3, 0) AS BIGINT) AS `count_30d`,
  CASE WHEN coalesce(n_2_2, 0) > 0 THEN rounded_2_2 END AS `amount_sum_1d`,
  CASE WHEN coalesce(n_2_4, 0) > 0 THEN rounded_2_4 END AS `amount_sum_7d`,
  CASE WHEN coalesce(n_2_3, 0) > 0 THEN rounded_2_3 END AS `amount_sum_30d`,
  CAST(coalesce(n_4_3, 0) AS BIGINT) AS `large_count_30d`,
  CAST(coalesce(n_5_3, 0) AS BIGINT) AS `night_count_30d`,
  CASE WHEN coalesce(n_2_5, 0) > 0 THEN rounded_2_5 END AS `amount_sum_lifetime`
FROM rounded
;

-- card_payments: Window of view card_payments, plan pairs: merchant_id_count_distinct_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    (`status` = 'settled') IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `card_country` AS `by_card_country`,
    `city` AS `by_city`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `paid_at` AS `by_paid_at`,
    `status` AS `by_status`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `card_country` AS `in_card_country`,
    `city` AS `in_city`,
    `amount` AS `in_amount`,
    `merchant_id` AS `in_merchant_id`,
    `paid_at` AS `in_paid_at`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_card_country`, `by_city`, `by_customer_id`, `by_merchant_id`, `by_paid_at`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_card_country` DESC NULLS LAST, `by_city` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_paid_at` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_customer_id`,
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
    `in_merchant_id` AS measure_3,
    CASE WHEN NANVL(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timestamp_micros(nullif(nullif(nullif(unix_micros(`in_paid_at`), CAST(-9223372036854775808 AS BIGINT)), CAST(-9223372036854775807 AS BIGINT)), CAST(9223372036854775807 AS BIGINT)))) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM intervals
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT row_id, asked_at, `key_customer_id`, (asked_at + 4611686018427387904L) DIV 1296000000000L - back AS stretch
  FROM spine LATERAL VIEW explode(array(0L, 1L, 2L)) AS back
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS (
  SELECT *, (event_time + 4611686018427387904L) DIV 1296000000000L AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT
    s.row_id,
    s.asked_at,
    f.event_time,
    f.measure_3
  FROM asking AS s JOIN stretched AS f
  ON s.`key_customer_id` = f.`key_customer_id` AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 2592000000000L
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    collect_list(measure_3) FILTER (WHERE measure_3 IS NOT NULL) AS value_1
  FROM pairs
  GROUP BY row_id
),
-- lists in order
in_order AS (
  SELECT * EXCEPT (value_1),
    sort_array(value_1, true) AS value_1
  FROM grouped
),
-- where in a list each value begins
begins AS (
  SELECT *,
    CASE WHEN array_size(value_1) > 0 THEN filter(sequence(0, array_size(value_1) - 1), i -> NOT (get(value_1, i) <=> get(value_1, i - 1))) END AS value_1_begins
  FROM in_order
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(array_size(value_1_begins), 0) AS BIGINT) AS `merchant_id_count_distinct_30d`
FROM spine LEFT JOIN begins USING (row_id)
;

-- customer_profile: Latest of view customer_profile
-- reads spine (row_id, asked_at, customer_id), source__customers
WITH
-- rows of source customers: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `customer_id` AS `row_customer_id`,
    `is_closed` IS NOT TRUE AS holds,
    coalesce(`is_closed`, FALSE) AS deleted,
    `version` AS row_order,
    `credit_limit` AS `by_credit_limit`,
    `customer_since` AS `by_customer_since`,
    `home_country` AS `by_home_country`,
    `segment` AS `by_segment`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `updated_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `updated_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`updated_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `segment` AS `in_segment`,
    `home_country` AS `in_home_country`,
    `credit_limit` AS `in_credit_limit`,
    `customer_since` AS `in_customer_since`
  FROM `source__customers`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_customer_id`, holds, row_order, deleted, `by_credit_limit`, `by_customer_since`, `by_home_country`, `by_segment`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_segment`, `in_home_country`, `in_credit_limit`, `in_customer_since`
  FROM rows_read
  WHERE `row_customer_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_segment`, `in_home_country`, `in_credit_limit`, `in_customer_since`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_customer_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_credit_limit` DESC NULLS LAST, `by_customer_since` DESC NULLS LAST, `by_home_country` DESC NULLS LAST, `by_segment` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_customer_id`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_segment`: STRING, `in_home_country`: STRING, `in_credit_limit`: DECIMAL(12, 2), `in_customer_since`: DATE>) AS fact FROM spine
  UNION ALL
  SELECT `key_customer_id`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, `in_segment` AS `in_segment`, `in_home_country` AS `in_home_country`, `in_credit_limit` AS `in_credit_limit`, `in_customer_since` AS `in_customer_since`) FROM (SELECT * FROM intervals WHERE until IS NULL)
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_customer_id`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_customer_id` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_customer_id`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
),
-- facts that a later version replaces
replaced AS (
  SELECT `key_customer_id`, greatest(event_time, known_time) AS start, until, struct(event_time, known_time, `in_segment` AS `in_segment`, `in_home_country` AS `in_home_country`, `in_credit_limit` AS `in_credit_limit`, `in_customer_since` AS `in_customer_since`) AS fact
  FROM intervals WHERE until IS NOT NULL
),
-- per row the newest fact in force that was later replaced
newer AS (
  SELECT m.row_id, max(r.fact) AS newer
  FROM matched AS m JOIN replaced AS r
  ON m.`key_customer_id` = r.`key_customer_id` AND r.start < m.asked_at AND m.asked_at <= r.until
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
  CAST(CASE WHEN newest IS NULL THEN 0 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN newest IS NOT NULL THEN newest.`in_segment` END AS `segment`,
  CASE WHEN newest IS NOT NULL THEN newest.`in_credit_limit` END AS `credit_limit`
FROM answers
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
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN newest.`in_category` END AS `merchant_category`,
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN newest.`in_risk_score` END AS `risk_score`
FROM matched
;

-- merchant_merchant_activity: Window of view merchant_activity, plan sweep: merchant_count_1d, merchant_count_7d, merchant_amount_sum_7d, merchant_amount_sum_7d_offset_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    ((`status` = 'settled') AND (NANVL(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `status` AS `by_status`,
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`,
    `customer_id` AS `in_customer_id`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_customer_id`, `by_merchant_id`, `by_status`, `key_merchant_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_customer_id`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_merchant_id`, event_time, known_time, `in_amount`, `in_customer_id`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_merchant_id`,
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
    `in_customer_id` AS measure_3
  FROM intervals
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
    measure_2
  FROM measured LATERAL VIEW inline(CASE WHEN until IS NULL THEN array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign)) ELSE array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(0 AS side, until AS instant, until - event_time AS lateness, -1L AS sign), struct(1 AS side, event_time AS instant, until - event_time AS lateness, -1L AS sign)) END) AS side, instant, lateness, sign
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
    NULL AS measure_2
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 86400000000L AS back), struct(3 AS edge, 1 AS side, 604800000000L AS back), struct(4 AS edge, 1 AS side, 1209600000000L AS back))) AS edge, side, back
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
    sum(CASE WHEN lateness < 86400000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_2,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_3,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_3,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_3,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_3,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_3,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_3
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
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_3, 0) + -coalesce(n_2_in_2, 0) WHEN edge = 4 THEN -coalesce(n_2_in_3, 0) WHEN edge = 3 THEN coalesce(n_2_in_2, 0) END) AS n_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_3, 0) + -coalesce(nan_2_in_2, 0) WHEN edge = 4 THEN -coalesce(nan_2_in_3, 0) WHEN edge = 3 THEN coalesce(nan_2_in_2, 0) END) AS nan_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_3, 0) + -coalesce(pos_2_in_2, 0) WHEN edge = 4 THEN -coalesce(pos_2_in_3, 0) WHEN edge = 3 THEN coalesce(pos_2_in_2, 0) END) AS pos_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_3, 0) + -coalesce(neg_2_in_2, 0) WHEN edge = 4 THEN -coalesce(neg_2_in_3, 0) WHEN edge = 3 THEN coalesce(neg_2_in_2, 0) END) AS neg_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_3, 0) + -coalesce(x0_2_in_2, 0) WHEN edge = 4 THEN -coalesce(x0_2_in_3, 0) WHEN edge = 3 THEN coalesce(x0_2_in_2, 0) END) AS x0_2_3,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_3, 0) + -coalesce(x1_2_in_2, 0) WHEN edge = 4 THEN -coalesce(x1_2_in_3, 0) WHEN edge = 3 THEN coalesce(x1_2_in_2, 0) END) AS x1_2_3
  FROM running
  GROUP BY `key_merchant_id`, row_id
),
-- sums as digits, of which only the greatest has a sign
digits AS (
  SELECT *,
    (x0_2_2) & 1099511627775L AS digit0_2_2,
    (x1_2_2 + shiftright((x0_2_2), 40)) AS digit1_2_2,
    (x0_2_3) & 1099511627775L AS digit0_2_3,
    (x1_2_3 + shiftright((x0_2_3), 40)) AS digit1_2_3
  FROM grouped
),
-- sums as the nearest doubles
rounded AS (
  SELECT *,
    CASE WHEN coalesce(nan_2_2, 0) > 0 OR (coalesce(pos_2_2, 0) > 0 AND coalesce(neg_2_2, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_2, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_2, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_2 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_2 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_2 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_2 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_2) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_2,
    CASE WHEN coalesce(nan_2_3, 0) > 0 OR (coalesce(pos_2_3, 0) > 0 AND coalesce(neg_2_3, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_3, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_3, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_3 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_3 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_3 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_3 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_3) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_3
  FROM digits
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `merchant_count_1d`,
  CAST(coalesce(n_1_2, 0) AS BIGINT) AS `merchant_count_7d`,
  CASE WHEN coalesce(n_2_2, 0) > 0 THEN rounded_2_2 END AS `merchant_amount_sum_7d`,
  CASE WHEN coalesce(n_2_3, 0) > 0 THEN rounded_2_3 END AS `merchant_amount_sum_7d_offset_7d`
FROM rounded
;

-- merchant_merchant_activity: Window of view merchant_activity, plan pairs: merchant_customer_id_count_distinct_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    ((`status` = 'settled') AND (NANVL(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `status` AS `by_status`,
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`,
    `customer_id` AS `in_customer_id`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_customer_id`, `by_merchant_id`, `by_status`, `key_merchant_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_customer_id`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_merchant_id`, event_time, known_time, `in_amount`, `in_customer_id`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_merchant_id`,
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
    `in_customer_id` AS measure_3
  FROM intervals
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT row_id, asked_at, `key_merchant_id`, (asked_at + 4611686018427387904L) DIV 302400000000L - back AS stretch
  FROM spine LATERAL VIEW explode(array(0L, 1L, 2L)) AS back
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS (
  SELECT *, (event_time + 4611686018427387904L) DIV 302400000000L AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT
    s.row_id,
    s.asked_at,
    f.event_time,
    f.measure_3
  FROM asking AS s JOIN stretched AS f
  ON s.`key_merchant_id` = f.`key_merchant_id` AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 604800000000L
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    collect_list(measure_3) FILTER (WHERE measure_3 IS NOT NULL) AS value_1
  FROM pairs
  GROUP BY row_id
),
-- lists in order
in_order AS (
  SELECT * EXCEPT (value_1),
    sort_array(value_1, true) AS value_1
  FROM grouped
),
-- where in a list each value begins
begins AS (
  SELECT *,
    CASE WHEN array_size(value_1) > 0 THEN filter(sequence(0, array_size(value_1) - 1), i -> NOT (get(value_1, i) <=> get(value_1, i - 1))) END AS value_1_begins
  FROM in_order
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(array_size(value_1_begins), 0) AS BIGINT) AS `merchant_customer_id_count_distinct_7d`
FROM spine LEFT JOIN begins USING (row_id)
;

-- card_details: StaticLookup of view card_details
-- reads spine (row_id, asked_at, card_id), source__cards
WITH
-- rows of static source cards
rows_read AS (
  SELECT
    CAST(`card_id` AS STRING) AS `key_card_id`,
    `network` AS `in_network`,
    `product` AS `in_product`,
    `issuer_country` AS `in_issuer_country`,
    `contactless` AS `in_contactless`
  FROM `source__cards`
),
-- rows with a key
facts AS (
  SELECT * FROM rows_read WHERE `key_card_id` IS NOT NULL
)
-- the answer
SELECT
  s.row_id AS __row,
  CAST(NULL AS BIGINT) AS __event,
  CAST(CASE WHEN f.`key_card_id` IS NOT NULL THEN 1 ELSE 0 END AS TINYINT) AS __match,
  CASE WHEN f.`key_card_id` IS NOT NULL THEN f.`in_network` END AS `network`,
  CASE WHEN f.`key_card_id` IS NOT NULL THEN f.`in_product` END AS `product`,
  CASE WHEN f.`key_card_id` IS NOT NULL THEN f.`in_issuer_country` END AS `issuer_country`
FROM spine AS s LEFT JOIN facts AS f ON s.`key_card_id` = f.`key_card_id`
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan edges: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CAST(`merchant_id` AS STRING) AS `key_merchant_id`,
    CASE WHEN `disputed_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `disputed_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`disputed_at`) END AS event_time,
    CASE WHEN `reported_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `reported_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`reported_at`) END AS known_time
  FROM `source__disputes`
),
-- facts known before the cut-off
facts AS (
  SELECT `key_customer_id`, `key_merchant_id`, event_time, known_time
  FROM rows_read
  WHERE `key_customer_id` IS NOT NULL AND `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_customer_id`,
    `key_merchant_id`,
    event_time,
    known_time,
    event_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, at the instants at which what windows hold changes
marks AS (
  SELECT
    `key_customer_id`,
    `key_merchant_id`,
    2 * instant + 1 AS tick,
    CAST(NULL AS BIGINT) AS row_id,
    CAST(NULL AS BIGINT) AS asked_at,
    CAST(NULL AS INT) AS edge,
    event_time,
    measure_1
  FROM (SELECT *, event_time AS instant FROM measured)
),
-- spine rows, at each instant at which a window of theirs begins or ends
edges AS (
  SELECT
    `key_customer_id`,
    `key_merchant_id`,
    2 * (asked_at - back) AS tick,
    row_id,
    asked_at,
    edge,
    NULL AS event_time,
    NULL AS measure_1
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 0 AS side, 2592000000000L AS back))) AS edge, side, back
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
-- what has come up to each point of the timeline, or comes from there on
passed AS (
  SELECT
    `key_customer_id`, `key_merchant_id`,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN measure_1 IS NOT NULL THEN 1L END) OVER ahead AS n_1
  FROM timeline
  WINDOW
    ahead AS (PARTITION BY `key_customer_id`, `key_merchant_id` ORDER BY tick ASC ROWS UNBOUNDED PRECEDING)
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
    sum(CASE WHEN edge = 1 THEN n_1 WHEN edge = 2 THEN -n_1 END) AS n_1_1
  FROM running
  GROUP BY `key_customer_id`, `key_merchant_id`, row_id
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `chargebacks_30d`
FROM grouped
;

-- payment_vs_usual: OnDemand of on-demand view payment_vs_usual
-- reads asked (row_id, request amount, count_30d, amount_sum_30d, credit_limit), batch by batch, on executors, by DuckDB
-- the features, each from its own row alone
SELECT
  row_id AS __row,
  canonical_double(CAST((canonical_double("in_amount") * CAST("in_count_30d" AS DOUBLE)) / nullif(CASE WHEN canonical_double("in_amount_sum_30d") = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_30d") END, 0) AS DOUBLE)) AS "amount_to_usual_30d",
  canonical_double(CAST(canonical_double("in_amount") / nullif(CASE WHEN CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) END, 0) AS DOUBLE)) AS "share_of_limit",
  -- whether an operation had operands and no value
  ((((canonical_double("in_amount") * CAST("in_count_30d" AS DOUBLE)) / nullif(CASE WHEN canonical_double("in_amount_sum_30d") = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_30d") END, 0)) IS NULL) AND (NOT ((canonical_double("in_amount") * CAST("in_count_30d" AS DOUBLE)) IS NULL))) AND (NOT (CASE WHEN canonical_double("in_amount_sum_30d") = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_30d") END IS NULL)) AS "amount_to_usual_30d__without_value",
  (((canonical_double("in_amount") / nullif(CASE WHEN CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) END, 0)) IS NULL) AND (NOT (canonical_double("in_amount") IS NULL))) AND (NOT (CASE WHEN CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) END IS NULL)) AS "share_of_limit__without_value"
FROM asked
ORDER BY __row
;
