-- Online state of feature view simple at the watermark $known_before, pending facts up to $horizon beyond.
-- Fingerprint 4ca7107cf6f93d338715ba38bef281e8. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source visits: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "seen_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "seen_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("seen_at") END AS event_time,
    CASE WHEN "seen_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "seen_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("seen_at") END AS known_time,
    "page" AS "in_page"
  FROM source__visits
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
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
    "in_page" AS "in_page"
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
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_page" DESC NULLS LAST) = 1
  )
)
-- the state, by key
SELECT
  "key_customer_id",
  CAST(0 AS UTINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS VARCHAR) AS "page"
FROM in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL
UNION ALL
SELECT
  "key_customer_id",
  CAST(1 AS UTINYINT) AS __kind,
  event_time AS __event,
  "in_page" AS "page"
FROM chosen
ORDER BY "key_customer_id", __kind, __event
;
