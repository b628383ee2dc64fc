-- Online state of feature view card_payments at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 841704f3aafc724c50c231f9bdc09fdd. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    (`status` = 'settled') IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `card_country` AS `by_card_country`,
    `city` AS `by_city`,
    `customer_id` AS `by_customer_id`,
    `merchant_id` AS `by_merchant_id`,
    `paid_at` AS `by_paid_at`,
    `status` AS `by_status`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `card_country` AS `in_card_country`,
    `city` AS `in_city`,
    `amount` AS `in_amount`,
    `merchant_id` AS `in_merchant_id`,
    `paid_at` AS `in_paid_at`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_card_country`, `by_city`, `by_customer_id`, `by_merchant_id`, `by_paid_at`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- of each row key the newest version known
newest_versions AS (
  SELECT `row_payment_id`, holds, deleted, `by_amount`, `by_card_country`, `by_city`, `by_customer_id`, `by_merchant_id`, `by_paid_at`, `by_status`, `key_customer_id`, event_time, known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at`
  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY `row_payment_id`
      ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_card_country` DESC NULLS LAST, `by_city` DESC NULLS LAST, `by_customer_id` DESC NULLS LAST, `by_merchant_id` DESC NULLS LAST, `by_paid_at` DESC NULLS LAST, `by_status` DESC NULLS LAST
    ) AS place
    FROM versions
  )
  WHERE place = 1
),
-- those that are facts, of the keys to refresh
in_force AS (
  SELECT `key_customer_id`, event_time, known_time, `in_card_country`, `in_city`, `in_amount`, `in_merchant_id`, `in_paid_at` FROM newest_versions WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL
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
    FROM (SELECT `key_customer_id`, CASE WHEN event_time < :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, `in_card_country` AS `in_card_country`, `in_city` AS `in_city`, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_merchant_id` AS `in_merchant_id`, `in_paid_at` AS `in_paid_at`) AS fact FROM current)
    GROUP BY `key_customer_id`, pending
  )
)
-- the state, by key
SELECT
  `key_customer_id`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS STRING) AS `card_country`,
  CAST(NULL AS STRING) AS `last_city`,
  CAST(NULL AS DOUBLE) AS `last_amount`,
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS STRING) AS measure_3,
  CAST(NULL AS BOOLEAN) AS measure_4,
  CAST(NULL AS BOOLEAN) AS measure_5
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_customer_id`
UNION ALL
SELECT
  `key_customer_id`,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_card_country` AS `card_country`,
  `in_city` AS `last_city`,
  `in_amount` AS `last_amount`,
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS STRING) AS measure_3,
  CAST(NULL AS BOOLEAN) AS measure_4,
  CAST(NULL AS BOOLEAN) AS measure_5
FROM chosen
UNION ALL
SELECT
  `key_customer_id`,
  CAST(2 AS TINYINT) AS __kind,
  event_time AS __event,
  CAST(NULL AS STRING) AS `card_country`,
  CAST(NULL AS STRING) AS `last_city`,
  CAST(NULL AS DOUBLE) AS `last_amount`,
  TRUE AS measure_1,
  nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
  `in_merchant_id` AS measure_3,
  CASE WHEN NANVL(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
  CASE WHEN CAST(hour(timestamp_micros(nullif(nullif(nullif(unix_micros(`in_paid_at`), CAST(-9223372036854775808 AS BIGINT)), CAST(-9223372036854775807 AS BIGINT)), CAST(9223372036854775807 AS BIGINT)))) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
FROM current
ORDER BY `key_customer_id`, __kind, __event
;
