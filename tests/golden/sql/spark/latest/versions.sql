-- Online state of feature view versions at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 28d61113028183697952f3f3d4171bff. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

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
-- of each row key the newest version known
newest_versions AS (
  SELECT `row_payment_id`, holds, row_order, deleted, `by_Shop`, `by_amount`, `by_cents`, `by_payer`, `by_status`, `key_customer_id`, event_time, known_time, `in_amount`, `in_cents`, `in_Shop`
  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY `row_payment_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_Shop` DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_cents` DESC NULLS LAST, `by_payer` DESC NULLS LAST, `by_status` DESC NULLS LAST
    ) AS place
    FROM versions
  )
  WHERE place = 1
),
-- those that are facts, of the keys to refresh
in_force AS (
  SELECT `key_customer_id`, event_time, known_time, `in_amount`, `in_cents`, `in_Shop` FROM newest_versions WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL
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
    FROM (SELECT `key_customer_id`, CASE WHEN event_time < :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_amount`, `in_cents` AS `in_cents`, `in_Shop` AS `in_Shop`) AS fact FROM current)
    GROUP BY `key_customer_id`, pending
  )
)
-- the state, by key
SELECT
  `key_customer_id`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS DOUBLE) AS `last_amount`,
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS BIGINT) AS measure_3,
  CAST(NULL AS STRING) AS measure_4
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_customer_id`
UNION ALL
SELECT
  `key_customer_id`,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_amount` AS `last_amount`,
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS BIGINT) AS measure_3,
  CAST(NULL AS STRING) AS measure_4
FROM chosen
UNION ALL
SELECT
  `key_customer_id`,
  CAST(2 AS TINYINT) AS __kind,
  event_time AS __event,
  CAST(NULL AS DOUBLE) AS `last_amount`,
  TRUE AS measure_1,
  nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2,
  `in_cents` AS measure_3,
  CASE WHEN NANVL(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN `in_Shop` END AS measure_4
FROM current
ORDER BY `key_customer_id`, __kind, __event
;
