-- Online state of feature view global_rule at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint e030df7b53e812badb20414aff837e50. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source rules: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    0 AS key_all,
    CASE WHEN `from_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `from_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`from_at`) END AS event_time,
    CASE WHEN `from_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `from_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`from_at`) END AS known_time,
    `floor` AS `in_floor`
  FROM `source__rules`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT key_all, event_time, known_time + :known_shift AS known_time, `in_floor`
  FROM rows_read
  WHERE key_all IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- facts of the keys to refresh
in_force AS (
  SELECT key_all, event_time, known_time, `in_floor` FROM facts
),
-- facts up to the horizon
current AS (
  SELECT * FROM in_force WHERE event_time < :known_before + :horizon
),
-- per key the newest fact usable at the watermark, and those still to come
chosen AS (
  SELECT key_all, newest.*
  FROM (
    SELECT key_all, pending, max(fact) AS newest
    FROM (SELECT key_all, CASE WHEN event_time < :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, nanvl(`in_floor` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_floor`) AS fact FROM current)
    GROUP BY key_all, pending
  )
)
-- the state, by key
SELECT
  key_all,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS DOUBLE) AS `floor`
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY key_all
UNION ALL
SELECT
  key_all,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_floor` AS `floor`
FROM chosen
ORDER BY key_all, __kind, __event
;
