-- Online state of feature view composite at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint dc4ae7a6d66de13e369eb97b83216f59. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source prices: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`country` AS STRING) AS `key_country`,
    CAST(`shop_no` AS BIGINT) AS `key_shop_no`,
    CASE WHEN `valid_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `valid_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`valid_from`) END AS event_time,
    coalesce(CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END, CASE WHEN `valid_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `valid_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`valid_from`) END + 7200000000) AS known_time,
    `price` AS `in_price`
  FROM `source__prices`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT `key_country`, `key_shop_no`, event_time, known_time + :known_shift AS known_time, `in_price`
  FROM rows_read
  WHERE `key_country` IS NOT NULL AND `key_shop_no` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- facts of the keys to refresh
in_force AS (
  SELECT `key_country`, `key_shop_no`, event_time, known_time, `in_price` FROM facts
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < :known_before + :horizon
),
-- per key the newest fact usable at the watermark, and those still to come
chosen AS (
  SELECT `key_country`, `key_shop_no`, newest.*
  FROM (
    SELECT `key_country`, `key_shop_no`, pending, max(fact) AS newest
    FROM (SELECT `key_country`, `key_shop_no`, CASE WHEN event_time < :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, `in_price` AS `in_price`) AS fact FROM current)
    GROUP BY `key_country`, `key_shop_no`, pending
  )
)
-- the state, by key
SELECT
  `key_country`,
  `key_shop_no`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS DECIMAL(9, 2)) AS `price`,
  CAST(NULL AS BOOLEAN) AS `is_dear`
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_country`, `key_shop_no`
UNION ALL
SELECT
  `key_country`,
  `key_shop_no`,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_price` AS `price`,
  CAST((CAST(`in_price` AS DOUBLE) * CAST('1.19' AS DOUBLE)) >= CAST(CAST(10 AS BIGINT) AS DOUBLE) AS BOOLEAN) AS `is_dear`
FROM chosen
ORDER BY `key_country`, `key_shop_no`, __kind, __event
;
