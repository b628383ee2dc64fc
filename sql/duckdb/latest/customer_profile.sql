-- Online state of feature view customer_profile at the watermark $known_before, pending facts up to $horizon beyond.
-- Fingerprint 8fea00af6743c95b254b933377c076e9. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source customers: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "customer_id" AS "row_customer_id",
    "is_closed" IS NOT TRUE AS holds,
    coalesce("is_closed", FALSE) AS deleted,
    "version" AS row_order,
    "credit_limit" AS "by_credit_limit",
    "customer_since" AS "by_customer_since",
    "home_country" AS "by_home_country",
    "segment" AS "by_segment",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "updated_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "updated_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("updated_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "segment" AS "in_segment",
    "home_country" AS "in_home_country",
    "credit_limit" AS "in_credit_limit",
    "customer_since" AS "in_customer_since"
  FROM source__customers
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "row_customer_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_customer_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_customer_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_customer_id")
    QUALIFY row_number() OVER (PARTITION BY "row_customer_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_credit_limit" DESC NULLS LAST, "by_customer_since" DESC NULLS LAST, "by_home_country" DESC NULLS LAST, "by_segment" DESC NULLS LAST) = 1
  )
),
-- those that are facts, of the keys to refresh
in_force AS (
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
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
    "in_segment" AS "in_segment",
    "in_home_country" AS "in_home_country",
    "in_credit_limit" AS "in_credit_limit",
    "in_customer_since" AS "in_customer_since"
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
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_segment" DESC NULLS LAST, "in_home_country" DESC NULLS LAST, "in_credit_limit" DESC NULLS LAST, "in_customer_since" DESC NULLS LAST) = 1
  )
)
-- the state, by key
SELECT
  "key_customer_id",
  CAST(0 AS UTINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS VARCHAR) AS "segment",
  CAST(NULL AS VARCHAR) AS "home_country",
  CAST(NULL AS DECIMAL(12, 2)) AS "credit_limit",
  CAST(NULL AS DATE) AS "customer_since"
FROM in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL
UNION ALL
SELECT
  "key_customer_id",
  CAST(1 AS UTINYINT) AS __kind,
  event_time AS __event,
  "in_segment" AS "segment",
  "in_home_country" AS "home_country",
  "in_credit_limit" AS "credit_limit",
  "in_customer_since" AS "customer_since"
FROM chosen
ORDER BY "key_customer_id", __kind, __event
;
