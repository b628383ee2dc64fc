-- Online state of feature view merchant_chargebacks at the watermark $known_before, pending facts up to $horizon beyond.
-- Fingerprint 7cde9a825b50a9e216b3e35e3337a9ad. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time,
    "amount" AS "in_amount",
    "reason" AS "in_reason"
  FROM source__disputes
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts of the keys to refresh
in_force AS (
  SELECT * FROM facts
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < $known_before + $horizon
),
-- per key the newest fact usable at the watermark, and those still to come
wanted AS (
  SELECT "key_merchant_id", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (
      SELECT "key_merchant_id", CASE WHEN event_time < $known_before THEN NULL ELSE event_time END AS pending, max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest
      FROM current GROUP BY ALL
    )
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    canonical_double("in_amount") AS "in_amount",
    "in_reason" AS "in_reason"
  FROM current SEMI JOIN wanted USING ("key_merchant_id", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_merchant_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_merchant_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_merchant_id", event_time, known_time ORDER BY "in_amount" DESC NULLS LAST, "in_reason" DESC NULLS LAST) = 1
  )
)
-- the state, by key
SELECT
  "key_merchant_id",
  CAST(0 AS UTINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS VARCHAR) AS "last_reason",
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS BOOLEAN) AS measure_3
FROM in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL
UNION ALL
SELECT
  "key_merchant_id",
  CAST(1 AS UTINYINT) AS __kind,
  event_time AS __event,
  "in_reason" AS "last_reason",
  CAST(NULL AS BOOLEAN) AS measure_1,
  CAST(NULL AS DOUBLE) AS measure_2,
  CAST(NULL AS BOOLEAN) AS measure_3
FROM chosen
UNION ALL
SELECT
  "key_merchant_id",
  CAST(2 AS UTINYINT) AS __kind,
  event_time AS __event,
  CAST(NULL AS VARCHAR) AS "last_reason",
  TRUE AS measure_1,
  canonical_double("in_amount") AS measure_2,
  CASE WHEN starts_with("in_reason", 'fraud') THEN TRUE END AS measure_3
FROM current WHERE event_time >= $known_before - 7776000000000
ORDER BY "key_merchant_id", __kind, __event
;
