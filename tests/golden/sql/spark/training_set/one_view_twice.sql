-- Training set of feature service one_view_twice: one statement per view instance and kind of feature.
-- Fingerprint bd8207e9ba898848e84b0a309830e63e. Each returns one row per spine row, in any order.
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

-- versions: Window of view versions, plan sweep: count_7d
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
    TRUE AS measure_1
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
    measure_1
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
    NULL AS measure_1
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 604800000000L AS back))) AS edge, side, back
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
-- what has come up to each point of the timeline, or comes from there on
passed AS (
  SELECT
    `key_customer_id`, side,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_1
  FROM timeline
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
    sum(CASE WHEN edge = 1 THEN coalesce(n_1_in_1, 0) WHEN edge = 2 THEN -coalesce(n_1_in_1, 0) END) AS n_1_1
  FROM running
  GROUP BY `key_customer_id`, row_id
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `count_7d`
FROM grouped
;

-- boss: Window of view versions, plan sweep: boss_count_7d
-- reads spine (row_id, asked_at, boss_id), source__payments
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
    TRUE AS measure_1
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
    measure_1
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
    NULL AS measure_1
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 604800000000L AS back))) AS edge, side, back
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
-- what has come up to each point of the timeline, or comes from there on
passed AS (
  SELECT
    `key_customer_id`, side,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_1
  FROM timeline
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
    sum(CASE WHEN edge = 1 THEN coalesce(n_1_in_1, 0) WHEN edge = 2 THEN -coalesce(n_1_in_1, 0) END) AS n_1_1
  FROM running
  GROUP BY `key_customer_id`, row_id
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `boss_count_7d`
FROM grouped
;
