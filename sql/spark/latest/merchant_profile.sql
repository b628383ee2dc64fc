-- Online state of feature view merchant_profile at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 30d97713bccb10852123e3b9cdc4d891. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

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
-- facts of the keys to refresh
in_force AS (
  SELECT `key_merchant_id`, event_time, known_time, `in_name`, `in_category`, `in_risk_score` FROM facts
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
    FROM (SELECT `key_merchant_id`, CASE WHEN event_time < :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, `in_name` AS `in_name`, `in_category` AS `in_category`, nanvl(`in_risk_score` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_risk_score`) AS fact FROM current)
    GROUP BY `key_merchant_id`, pending
  )
)
-- the state, by key
SELECT
  `key_merchant_id`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS STRING) AS `merchant_name`,
  CAST(NULL AS STRING) AS `merchant_category`,
  CAST(NULL AS DOUBLE) AS `risk_score`,
  CAST(NULL AS BOOLEAN) AS `is_sensitive`
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_merchant_id`
UNION ALL
SELECT
  `key_merchant_id`,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_name` AS `merchant_name`,
  `in_category` AS `merchant_category`,
  `in_risk_score` AS `risk_score`,
  CAST(`in_category` IN ('gambling', 'travel') AS BOOLEAN) AS `is_sensitive`
FROM chosen
ORDER BY `key_merchant_id`, __kind, __event
;
