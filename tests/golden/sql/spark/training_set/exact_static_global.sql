-- Training set of feature service exact_static_global: one statement per view instance and kind of feature.
-- Fingerprint d2e7d3b22d18e5b245e71c6168c3a72b. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- exact: Latest of view exact
-- reads spine (row_id, asked_at, customer_id), source__visits
WITH
-- rows of source visits: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `seen_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `seen_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`seen_at`) END AS event_time,
    CASE WHEN `seen_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `seen_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`seen_at`) END AS known_time,
    `page` AS `in_page`
  FROM `source__visits`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_page`
  FROM rows_read
  WHERE `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_customer_id`, 2 * asked_at + 1 AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_page`: STRING>) AS fact FROM spine
  UNION ALL
  SELECT `key_customer_id`, 2 * greatest(event_time, known_time), NULL, NULL, struct(event_time, known_time, `in_page` AS `in_page`) FROM facts
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_customer_id`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_customer_id` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_customer_id`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
)
-- the answer
SELECT
  row_id AS __row,
  newest.event_time AS __event,
  CAST(CASE WHEN newest IS NULL THEN 0 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN newest IS NOT NULL THEN newest.`in_page` END AS `this_page`
FROM matched
;

-- exact: Window of view exact, plan edges: visits_1h
-- reads spine (row_id, asked_at, customer_id), source__visits
WITH
-- rows of source visits: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `seen_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `seen_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`seen_at`) END AS event_time,
    CASE WHEN `seen_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `seen_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`seen_at`) END AS known_time,
    `page` AS `in_page`
  FROM `source__visits`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_page`
  FROM rows_read
  WHERE `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_customer_id`,
    event_time,
    known_time,
    known_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, at the instants at which what windows hold changes
marks AS (
  SELECT
    `key_customer_id`,
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
    2 * (asked_at + 1 - back) AS tick,
    row_id,
    asked_at,
    edge,
    NULL AS event_time,
    NULL AS measure_1
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, greatest(0L, :known_shift) AS back), struct(2 AS edge, 0 AS side, greatest(3600000000L, greatest(0L, :known_shift)) AS back))) AS edge, side, back
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
    `key_customer_id`,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN measure_1 IS NOT NULL THEN 1L END) OVER ahead AS n_1
  FROM timeline
  WINDOW
    ahead AS (PARTITION BY `key_customer_id` ORDER BY tick ASC ROWS UNBOUNDED PRECEDING)
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
  GROUP BY `key_customer_id`, row_id
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `visits_1h`
FROM grouped
;

-- static: StaticLookup of view static
-- reads spine (row_id, asked_at, account_id), source__master
WITH
-- rows of static source master
rows_read AS (
  SELECT
    CAST(`customer_id` AS STRING) AS `key_account_id`,
    `tier` AS `in_tier`,
    nanvl(`limit` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_limit`
  FROM `source__master`
  WHERE NANVL(`limit` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE)
),
-- rows with a key
facts AS (
  SELECT * FROM rows_read WHERE `key_account_id` IS NOT NULL
)
-- the answer
SELECT
  s.row_id AS __row,
  CAST(NULL AS BIGINT) AS __event,
  CAST(CASE WHEN f.`key_account_id` IS NOT NULL THEN 1 ELSE 0 END AS TINYINT) AS __match,
  CASE WHEN f.`key_account_id` IS NOT NULL THEN f.`in_tier` END AS `tier`,
  CASE WHEN f.`key_account_id` IS NOT NULL THEN nanvl(CAST(try_divide(NANVL(f.`in_limit` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)), CAST(CAST(12 AS BIGINT) AS DOUBLE)) AS DOUBLE) + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) END AS `monthly_limit`
FROM spine AS s LEFT JOIN facts AS f ON s.`key_account_id` = f.`key_account_id`
;

-- global_rule: Latest of view global_rule
-- reads spine (row_id, asked_at, no key), source__rules
WITH
-- rows of source rules: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    0 AS key_all,
    CASE WHEN `from_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `from_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`from_at`) END AS event_time,
    CASE WHEN `from_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `from_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`from_at`) END AS known_time,
    `floor` AS `in_floor`
  FROM `source__rules`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT key_all, event_time, known_time + :known_shift AS known_time, `in_floor`
  FROM rows_read
  WHERE key_all IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT key_all, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_floor`: DOUBLE>) AS fact FROM spine
  UNION ALL
  SELECT key_all, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, nanvl(`in_floor` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_floor`) FROM facts
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
  CAST(CASE WHEN newest IS NULL THEN 0 WHEN asked_at - newest.event_time > 31536000000000 THEN 2 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN asked_at - newest.event_time <= 31536000000000 THEN newest.`in_floor` END AS `floor`
FROM matched
;
