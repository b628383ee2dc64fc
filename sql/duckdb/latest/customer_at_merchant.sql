-- Online state of feature view customer_at_merchant at the watermark $known_before, pending facts up to $horizon beyond.
-- Fingerprint 1eb702fd5cb74e2372c7e1a585148e2f. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" <> 'void') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount"
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
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_amount" DESC NULLS LAST, "by_customer_id" DESC NULLS LAST, "by_merchant_id" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts, of the keys to refresh
in_force AS (
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time, "in_amount" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < $known_before + $horizon
),
-- per key the newest fact usable at the watermark, and those still to come
wanted AS (
  SELECT "key_customer_id", "key_merchant_id", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (
      SELECT "key_customer_id", "key_merchant_id", CASE WHEN event_time < $known_before THEN NULL ELSE event_time END AS pending, max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest
      FROM current GROUP BY ALL
    )
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    canonical_double("in_amount") AS "in_amount"
  FROM current SEMI JOIN wanted USING ("key_customer_id", "key_merchant_id", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", "key_merchant_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", "key_merchant_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", "key_merchant_id", event_time, known_time ORDER BY "in_amount" DESC NULLS LAST) = 1
  )
)
-- the state, by key
SELECT
  "key_customer_id",
  "key_merchant_id",
  CAST(0 AS UTINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS DOUBLE) AS "last_amount_here",
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2
FROM in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL
UNION ALL
SELECT
  "key_customer_id",
  "key_merchant_id",
  CAST(1 AS UTINYINT) AS __kind,
  event_time AS __event,
  "in_amount" AS "last_amount_here",
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2
FROM chosen
UNION ALL
SELECT
  "key_customer_id",
  "key_merchant_id",
  CAST(2 AS UTINYINT) AS __kind,
  event_time AS __event,
  CAST(NULL AS DOUBLE) AS "last_amount_here",
  TRUE AS measure_1,
  canonical_double("in_amount") AS measure_2
FROM current
ORDER BY "key_customer_id", "key_merchant_id", __kind, __event
;
