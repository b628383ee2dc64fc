-- Online state of feature view customer_profile at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 8fea00af6743c95b254b933377c076e9. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source customers: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `customer_id` AS `row_customer_id`,
    `is_closed` IS NOT TRUE AS holds,
    coalesce(`is_closed`, FALSE) AS deleted,
    `version` AS row_order,
    `credit_limit` AS `by_credit_limit`,
    `customer_since` AS `by_customer_since`,
    `home_country` AS `by_home_country`,
    `segment` AS `by_segment`,
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `updated_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `updated_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`updated_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `segment` AS `in_segment`,
    `home_country` AS `in_home_country`,
    `credit_limit` AS `in_credit_limit`,
    `customer_since` AS `in_customer_since`
  FROM `source__customers`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_customer_id`, holds, row_order, deleted, `by_credit_limit`, `by_customer_since`, `by_home_country`, `by_segment`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_segment`, `in_home_country`, `in_credit_limit`, `in_customer_since`
  FROM rows_read
  WHERE `row_customer_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- of each row key the newest version known
newest_versions AS (
  SELECT `row_customer_id`, holds, row_order, deleted, `by_credit_limit`, `by_customer_since`, `by_home_country`, `by_segment`, `key_customer_id`, event_time, known_time, `in_segment`, `in_home_country`, `in_credit_limit`, `in_customer_since`
  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY `row_customer_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_credit_limit` DESC NULLS LAST, `by_customer_since` DESC NULLS LAST, `by_home_country` DESC NULLS LAST, `by_segment` DESC NULLS LAST
    ) AS place
    FROM versions
  )
  WHERE place = 1
),
-- those that are facts, of the keys to refresh
in_force AS (
  SELECT `key_customer_id`, event_time, known_time, `in_segment`, `in_home_country`, `in_credit_limit`, `in_customer_since` FROM newest_versions WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL
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
    FROM (SELECT `key_customer_id`, CASE WHEN event_time < :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, `in_segment` AS `in_segment`, `in_home_country` AS `in_home_country`, `in_credit_limit` AS `in_credit_limit`, `in_customer_since` AS `in_customer_since`) AS fact FROM current)
    GROUP BY `key_customer_id`, pending
  )
)
-- the state, by key
SELECT
  `key_customer_id`,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS STRING) AS `segment`,
  CAST(NULL AS STRING) AS `home_country`,
  CAST(NULL AS DECIMAL(12, 2)) AS `credit_limit`,
  CAST(NULL AS DATE) AS `customer_since`
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY `key_customer_id`
UNION ALL
SELECT
  `key_customer_id`,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_segment` AS `segment`,
  `in_home_country` AS `home_country`,
  `in_credit_limit` AS `credit_limit`,
  `in_customer_since` AS `customer_since`
FROM chosen
ORDER BY `key_customer_id`, __kind, __event
;
