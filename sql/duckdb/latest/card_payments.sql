-- Online state of feature view card_payments at the watermark $known_before, pending facts up to $horizon beyond.
-- Fingerprint 841704f3aafc724c50c231f9bdc09fdd. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
  FROM source__payments
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_amount" DESC NULLS LAST, "by_card_country" DESC NULLS LAST, "by_city" DESC NULLS LAST, "by_customer_id" DESC NULLS LAST, "by_merchant_id" DESC NULLS LAST, "by_paid_at" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts, of the keys to refresh
in_force AS (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < $known_before + $horizon
),
-- per key the newest fact usable at the watermark, and those still to come
wanted AS (
  SELECT "key_customer_id", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (
      SELECT "key_customer_id", CASE WHEN event_time < $known_before THEN NULL ELSE event_time END AS pending, max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest
      FROM current GROUP BY ALL
    )
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_card_country" AS "in_card_country",
    "in_city" AS "in_city",
    canonical_double("in_amount") AS "in_amount",
    "in_merchant_id" AS "in_merchant_id",
    "in_paid_at" AS "in_paid_at"
  FROM current SEMI JOIN wanted USING ("key_customer_id", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_card_country" DESC NULLS LAST, "in_city" DESC NULLS LAST, "in_amount" DESC NULLS LAST, "in_merchant_id" DESC NULLS LAST, "in_paid_at" DESC NULLS LAST) = 1
  )
)
-- the state, by key
SELECT
  "key_customer_id",
  CAST(0 AS UTINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS VARCHAR) AS "card_country",
  CAST(NULL AS VARCHAR) AS "last_city",
  CAST(NULL AS DOUBLE) AS "last_amount",
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS VARCHAR) AS measure_3,
  CAST(NULL AS BOOLEAN) AS measure_4,
  CAST(NULL AS BOOLEAN) AS measure_5
FROM in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL
UNION ALL
SELECT
  "key_customer_id",
  CAST(1 AS UTINYINT) AS __kind,
  event_time AS __event,
  "in_card_country" AS "card_country",
  "in_city" AS "last_city",
  "in_amount" AS "last_amount",
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS VARCHAR) AS measure_3,
  CAST(NULL AS BOOLEAN) AS measure_4,
  CAST(NULL AS BOOLEAN) AS measure_5
FROM chosen
UNION ALL
SELECT
  "key_customer_id",
  CAST(2 AS UTINYINT) AS __kind,
  event_time AS __event,
  CAST(NULL AS VARCHAR) AS "card_country",
  CAST(NULL AS VARCHAR) AS "last_city",
  CAST(NULL AS DOUBLE) AS "last_amount",
  TRUE AS measure_1,
  canonical_double("in_amount") AS measure_2,
  "in_merchant_id" AS measure_3,
  CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
  CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
FROM current
ORDER BY "key_customer_id", __kind, __event
;
