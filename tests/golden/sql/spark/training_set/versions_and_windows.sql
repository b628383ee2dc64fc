-- Training set of feature service versions_and_windows: one statement per view instance and kind of feature.
-- Fingerprint c9d62b15c506f2d191db7877ee533021. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- versions: Latest of view versions
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    ((`status` = 'settled') AND (NANVL(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    `version` AS row_order,
    `Shop` AS `by_Shop`,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `cents` AS `by_cents`,
    `payer` AS `by_payer`,
    `status` AS `by_status`,
    CAST(`payer` AS DECIMAL(38, 0)) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`,
    `cents` AS `in_cents`,
    `Shop` AS `in_Shop`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, row_order, deleted, `by_Shop`, `by_amount`, `by_cents`, `by_payer`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_cents`, `in_Shop`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_amount`, `in_cents`, `in_Shop`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_Shop` DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_cents` DESC NULLS LAST, `by_payer` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_customer_id`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_amount`: DOUBLE, `in_cents`: BIGINT, `in_Shop`: STRING>) AS fact FROM spine
  UNION ALL
  SELECT `key_customer_id`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_cents` AS `in_cents`, `in_Shop` AS `in_Shop`) FROM (SELECT * FROM intervals WHERE until IS NULL)
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
  SELECT `key_customer_id`, greatest(event_time, known_time) AS start, until, struct(event_time, known_time, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_cents` AS `in_cents`, `in_Shop` AS `in_Shop`) AS fact
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
  CASE WHEN asked_at - newest.event_time <= 7776000000000 THEN newest.`in_amount` END AS `last_amount`
FROM answers
;

-- versions: Window of view versions, plan sweep: count_1d, count_7d, amount_sum_7d, cents_sum_7d_offset_7d, cents_sum_lifetime
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    ((`status` = 'settled') AND (NANVL(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    `version` AS row_order,
    `Shop` AS `by_Shop`,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `cents` AS `by_cents`,
    `payer` AS `by_payer`,
    `status` AS `by_status`,
    CAST(`payer` AS DECIMAL(38, 0)) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`,
    `cents` AS `in_cents`,
    `Shop` AS `in_Shop`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, row_order, deleted, `by_Shop`, `by_amount`, `by_cents`, `by_payer`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_cents`, `in_Shop`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_amount`, `in_cents`, `in_Shop`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_Shop` DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_cents` DESC NULLS LAST, `by_payer` DESC NULLS LAST, `by_status` DESC NULLS LAST
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
    `in_cents` AS measure_3,
    CASE WHEN NANVL(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN `in_Shop` END AS measure_4
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
    measure_3
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
    NULL AS measure_3
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 86400000000L AS back), struct(3 AS edge, 1 AS side, 604800000000L AS back), struct(4 AS edge, 1 AS side, 1209600000000L AS back))) AS edge, side, back
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
    CASE WHEN abs(measure_2) < CAST('Infinity' AS DOUBLE) THEN measure_2 * :scale_2 END AS whole_2,
    measure_3 AS whole_3
  FROM timeline
),
-- limbs of these, which add up without loss
numbers AS (
  SELECT *,
    CASE WHEN isnan(measure_2) THEN 1L END AS nan_2,
    CASE WHEN measure_2 = CAST('Infinity' AS DOUBLE) THEN 1L END AS pos_2,
    CASE WHEN measure_2 = CAST('-Infinity' AS DOUBLE) THEN 1L END AS neg_2,
    CAST((whole_2 % 1099511627776.0D) AS BIGINT) AS x0_2,
    CAST(whole_2 * 9.094947017729282e-13D AS BIGINT) AS x1_2,
    whole_3 & 1099511627775L AS x0_3,
    shiftright(whole_3, 40) AS x1_3
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
    sum(CASE WHEN lateness < 86400000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_2,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_2,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * CASE WHEN measure_3 IS NOT NULL THEN 1L END END) OVER ahead AS n_3_in_3,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_3 IS NOT NULL THEN 1L END END) OVER ahead AS n_3_in_2,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * x0_3 END) OVER ahead AS x0_3_in_3,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x0_3 END) OVER ahead AS x0_3_in_2,
    sum(CASE WHEN lateness < 1209600000000 THEN sign * x1_3 END) OVER ahead AS x1_3_in_3,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x1_3 END) OVER ahead AS x1_3_in_2,
    sum(sign * CASE WHEN measure_3 IS NOT NULL THEN 1L END) OVER ahead AS n_3,
    sum(sign * x0_3) OVER ahead AS x0_3,
    sum(sign * x1_3) OVER ahead AS x1_3
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
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_2, 0) WHEN edge = 3 THEN -coalesce(n_2_in_2, 0) END) AS n_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_2, 0) WHEN edge = 3 THEN -coalesce(nan_2_in_2, 0) END) AS nan_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_2, 0) WHEN edge = 3 THEN -coalesce(pos_2_in_2, 0) END) AS pos_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_2, 0) WHEN edge = 3 THEN -coalesce(neg_2_in_2, 0) END) AS neg_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_2, 0) WHEN edge = 3 THEN -coalesce(x0_2_in_2, 0) END) AS x0_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_2, 0) WHEN edge = 3 THEN -coalesce(x1_2_in_2, 0) END) AS x1_2_2,
    sum(CASE WHEN edge = 1 THEN coalesce(n_3_in_3, 0) + -coalesce(n_3_in_2, 0) WHEN edge = 4 THEN -coalesce(n_3_in_3, 0) WHEN edge = 3 THEN coalesce(n_3_in_2, 0) END) AS n_3_3,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_3_in_3, 0) + -coalesce(x0_3_in_2, 0) WHEN edge = 4 THEN -coalesce(x0_3_in_3, 0) WHEN edge = 3 THEN coalesce(x0_3_in_2, 0) END) AS x0_3_3,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_3_in_3, 0) + -coalesce(x1_3_in_2, 0) WHEN edge = 4 THEN -coalesce(x1_3_in_3, 0) WHEN edge = 3 THEN coalesce(x1_3_in_2, 0) END) AS x1_3_3,
    sum(CASE WHEN edge = 1 THEN coalesce(n_3, 0) END) AS n_3_4,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_3, 0) END) AS x0_3_4,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_3, 0) END) AS x1_3_4
  FROM running
  GROUP BY `key_customer_id`, row_id
),
-- sums as digits, of which only the greatest has a sign
digits AS (
  SELECT *,
    (x0_2_2) & 1099511627775L AS digit0_2_2,
    (x1_2_2 + shiftright((x0_2_2), 40)) AS digit1_2_2,
    (x0_3_3) & 1099511627775L AS digit0_3_3,
    (x1_3_3 + shiftright((x0_3_3), 40)) AS digit1_3_3,
    (x0_3_4) & 1099511627775L AS digit0_3_4,
    (x1_3_4 + shiftright((x0_3_4), 40)) AS digit1_3_4
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
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `count_1d`,
  CAST(coalesce(n_1_2, 0) AS BIGINT) AS `count_7d`,
  CASE WHEN coalesce(n_2_2, 0) > 0 THEN rounded_2_2 END AS `amount_sum_7d`,
  CASE WHEN coalesce(n_3_3, 0) > 0 THEN CASE WHEN digit1_3_3 BETWEEN -8388608L AND 8388607L THEN shiftleft(digit1_3_3, 40) | digit0_3_3 END END AS `cents_sum_7d_offset_7d`,
  coalesce(n_3_3, 0) > 0 AND CASE WHEN digit1_3_3 BETWEEN -8388608L AND 8388607L THEN shiftleft(digit1_3_3, 40) | digit0_3_3 END IS NULL AS `cents_sum_7d_offset_7d__overflow`,
  CASE WHEN coalesce(n_3_4, 0) > 0 THEN CASE WHEN digit1_3_4 BETWEEN -8388608L AND 8388607L THEN shiftleft(digit1_3_4, 40) | digit0_3_4 END END AS `cents_sum_lifetime`,
  coalesce(n_3_4, 0) > 0 AND CASE WHEN digit1_3_4 BETWEEN -8388608L AND 8388607L THEN shiftleft(digit1_3_4, 40) | digit0_3_4 END IS NULL AS `cents_sum_lifetime__overflow`
FROM rounded
;

-- versions: Window of view versions, plan pairs: shops_7d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    ((`status` = 'settled') AND (NANVL(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    `version` AS row_order,
    `Shop` AS `by_Shop`,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `cents` AS `by_cents`,
    `payer` AS `by_payer`,
    `status` AS `by_status`,
    CAST(`payer` AS DECIMAL(38, 0)) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`,
    `cents` AS `in_cents`,
    `Shop` AS `in_Shop`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, row_order, deleted, `by_Shop`, `by_amount`, `by_cents`, `by_payer`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_cents`, `in_Shop`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_amount`, `in_cents`, `in_Shop`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_Shop` DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_cents` DESC NULLS LAST, `by_payer` DESC NULLS LAST, `by_status` DESC NULLS LAST
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
    `in_cents` AS measure_3,
    CASE WHEN NANVL(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN `in_Shop` END AS measure_4
  FROM intervals
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT row_id, asked_at, `key_customer_id`, (asked_at + 4611686018427387904L) DIV 302400000000L - back AS stretch
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
    f.measure_4
  FROM asking AS s JOIN stretched AS f
  ON s.`key_customer_id` = f.`key_customer_id` AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 604800000000L
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    collect_list(measure_4) FILTER (WHERE measure_4 IS NOT NULL) AS value_1
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
  CAST(coalesce(array_size(value_1_begins), 0) AS BIGINT) AS `shops_7d`
FROM spine LEFT JOIN begins USING (row_id)
;
