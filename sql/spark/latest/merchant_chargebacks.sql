-- Online state of feature view merchant_chargebacks at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 7cde9a825b50a9e216b3e35e3337a9ad. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

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
-- facts of the keys to refresh
in_force AS (
  SELECT `key_merchant_id`, event_time, known_time, `in_amount`, `in_reason` FROM facts
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < :known_before + :horizon
),
-- per key the newest fact usable at the watermark, and those still to come
chosen AS (
  SELECT `key_merchant_id`, newest.*
  FROM (
    SELECT `key_merchant_id`, pending, max(fact) AS newest
    FROM (SELECT `key_merchant_id`, CASE WHEN event_time < :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_reason` AS `in_reason`) AS fact FROM current)
    GROUP BY `key_merchant_id`, pending
  )
)
-- the state, by key
SELECT
  `key_merchant_id`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS STRING) AS `last_reason`,
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS BOOLEAN) AS measure_3
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_merchant_id`
UNION ALL
SELECT
  `key_merchant_id`,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_reason` AS `last_reason`,
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS BOOLEAN) AS measure_3
FROM chosen
UNION ALL
SELECT
  `key_merchant_id`,
  CAST(2 AS TINYINT) AS __kind,
  event_time AS __event,
  CAST(NULL AS STRING) AS `last_reason`,
  TRUE AS measure_1,
  nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
  CASE WHEN startswith(`in_reason`, 'fraud') THEN TRUE END AS measure_3
FROM current WHERE event_time >= :known_before - 7776000000000
ORDER BY `key_merchant_id`, __kind, __event
;
