-- Training set of feature service simple: one statement per view instance and kind of feature.
-- Fingerprint ee18bee433eacd206fa7439e14d1acfa. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- simple: Latest of view simple
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
  SELECT `key_customer_id`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_page`: STRING>) AS fact FROM spine
  UNION ALL
  SELECT `key_customer_id`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, `in_page` AS `in_page`) FROM facts
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
  CASE WHEN newest IS NOT NULL THEN newest.`in_page` END AS `page`
FROM matched
;
