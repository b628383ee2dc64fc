-- Training set of feature service composite_keys: one statement per view instance and kind of feature.
-- Fingerprint ffbb2d2fad5522eedab7d8c84f29bf4d. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- price_composite: Latest of view composite
-- reads spine (row_id, asked_at, land, shop_no), source__prices
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
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_country`, `key_shop_no`, 2 * asked_at AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_price`: DECIMAL(9, 2)>) AS fact FROM spine
  UNION ALL
  SELECT `key_country`, `key_shop_no`, 2 * greatest(event_time, known_time) + 1, NULL, NULL, struct(event_time, known_time, `in_price` AS `in_price`) FROM facts
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_country`, `key_shop_no`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_country`, `key_shop_no` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_country`, `key_shop_no`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
)
-- the answer
SELECT
  row_id AS __row,
  newest.event_time AS __event,
  CAST(CASE WHEN newest IS NULL THEN 0 WHEN asked_at - newest.event_time > 2592000000000 THEN 2 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN asked_at - newest.event_time <= 2592000000000 THEN newest.`in_price` END AS `price_price`,
  CASE WHEN asked_at - newest.event_time <= 2592000000000 THEN CAST((CAST(newest.`in_price` AS DOUBLE) * CAST('1.19' AS DOUBLE)) >= CAST(CAST(10 AS BIGINT) AS DOUBLE) AS BOOLEAN) END AS `price_is_dear`
FROM matched
;
