-- Online state of feature view merchant_activity at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 3dec63244a5551225f49444c48c2788c. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

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
-- of each row key the newest version known
newest_versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_customer_id`, `by_merchant_id`, `by_status`, `key_merchant_id`, event_time, known_time, `in_amount`, `in_customer_id`
  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_status` DESC NULLS LAST
    ) AS place
    FROM versions
  )
  WHERE place = 1
),
-- those that are facts, of the keys to refresh
in_force AS (
  SELECT `key_merchant_id`, event_time, known_time, `in_amount`, `in_customer_id` FROM newest_versions WHERE holds AND `key_merchant_id` IS NOT NULL AND event_time IS NOT NULL
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < :known_before + :horizon
)
-- the state, by key
SELECT
  `key_merchant_id`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS BIGINT) AS measure_3
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_merchant_id`
UNION ALL
SELECT
  `key_merchant_id`,
  CAST(2 AS TINYINT) AS __kind,
  event_time AS __event,
  TRUE AS measure_1,
  nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
  `in_customer_id` AS measure_3
FROM current WHERE event_time >= :known_before - 1209600000000
ORDER BY `key_merchant_id`, __kind, __event
;
