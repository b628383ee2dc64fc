-- Online state of feature view global_rule at the watermark $known_before, pending facts up to $horizon beyond.
-- Fingerprint e030df7b53e812badb20414aff837e50. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source rules: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    0 AS key_all,
    CASE WHEN "from_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "from_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("from_at") END AS event_time,
    CASE WHEN "from_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "from_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("from_at") END AS known_time,
    "floor" AS "in_floor"
  FROM source__rules
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE key_all IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
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
  SELECT key_all, event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (
      SELECT key_all, CASE WHEN event_time < $known_before THEN NULL ELSE event_time END AS pending, max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest
      FROM current GROUP BY ALL
    )
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    key_all,
    event_time,
    known_time,
    canonical_double("in_floor") AS "in_floor"
  FROM current SEMI JOIN wanted USING (key_all, event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT key_all, event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING (key_all, event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING (key_all, event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY key_all, event_time, known_time ORDER BY "in_floor" DESC NULLS LAST) = 1
  )
)
-- the state, by key
SELECT
  key_all,
  CAST(0 AS UTINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS DOUBLE) AS "floor"
FROM in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL
UNION ALL
SELECT
  key_all,
  CAST(1 AS UTINYINT) AS __kind,
  event_time AS __event,
  "in_floor" AS "floor"
FROM chosen
ORDER BY key_all, __kind, __event
;
