-- Online state of feature view review_policy at the watermark $known_before, pending facts up to $horizon beyond.
-- Fingerprint 37c69bac5e469db8e7617673fe673048. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source policies: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    0 AS key_all,
    CASE WHEN "effective_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "effective_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("effective_from") END AS event_time,
    CASE WHEN "effective_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "effective_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("effective_from") END AS known_time,
    "review_from" AS "in_review_from",
    "rule_set" AS "in_rule_set"
  FROM source__policies
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
      SELECT key_all, CASE WHEN event_time <= $known_before THEN NULL ELSE event_time END AS pending, max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest
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
    canonical_double("in_review_from") AS "in_review_from",
    "in_rule_set" AS "in_rule_set"
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
    QUALIFY row_number() OVER (PARTITION BY key_all, event_time, known_time ORDER BY "in_review_from" DESC NULLS LAST, "in_rule_set" DESC NULLS LAST) = 1
  )
)
-- the state, by key
SELECT
  key_all,
  CAST(0 AS UTINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS DOUBLE) AS "review_from",
  CAST(NULL AS VARCHAR) AS "rule_set"
FROM in_force WHERE event_time >= $known_before + $horizon GROUP BY ALL
UNION ALL
SELECT
  key_all,
  CAST(1 AS UTINYINT) AS __kind,
  event_time AS __event,
  "in_review_from" AS "review_from",
  "in_rule_set" AS "rule_set"
FROM chosen
ORDER BY key_all, __kind, __event
;
