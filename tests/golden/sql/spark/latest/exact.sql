-- Online state of feature view exact at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 5e5de6abf0353772667bbe4064d273b6. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

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
-- facts of the keys to refresh
in_force AS (
  SELECT `key_customer_id`, event_time, known_time, `in_page` FROM facts
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < :known_before + :horizon
),
-- per key the newest fact usable at the watermark, and those still to come
chosen AS (
  SELECT `key_customer_id`, newest.*
  FROM (
    SELECT `key_customer_id`, pending, max(fact) AS newest
    FROM (SELECT `key_customer_id`, CASE WHEN event_time <= :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, `in_page` AS `in_page`) AS fact FROM current)
    GROUP BY `key_customer_id`, pending
  )
)
-- the state, by key
SELECT
  `key_customer_id`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS STRING) AS `this_page`,
  CAST(NULL AS BOOLEAN) AS measure_1
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_customer_id`
UNION ALL
SELECT
  `key_customer_id`,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_page` AS `this_page`,
  CAST(NULL AS BOOLEAN) AS measure_1
FROM chosen
UNION ALL
SELECT
  `key_customer_id`,
  CAST(2 AS TINYINT) AS __kind,
  event_time AS __event,
  CAST(NULL AS STRING) AS `this_page`,
  TRUE AS measure_1
FROM current WHERE event_time >= :known_before - 3600000000
ORDER BY `key_customer_id`, __kind, __event
;
