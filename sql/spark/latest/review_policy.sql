-- Online state of feature view review_policy at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 37c69bac5e469db8e7617673fe673048. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of source policies: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    0 AS key_all,
    CASE WHEN `effective_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `effective_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`effective_from`) END AS event_time,
    CASE WHEN `effective_from` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `effective_from` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`effective_from`) END AS known_time,
    `review_from` AS `in_review_from`,
    `rule_set` AS `in_rule_set`
  FROM `source__policies`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT key_all, event_time, known_time + :known_shift AS known_time, `in_review_from`, `in_rule_set`
  FROM rows_read
  WHERE key_all IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- facts of the keys to refresh
in_force AS (
  SELECT key_all, event_time, known_time, `in_review_from`, `in_rule_set` FROM facts
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
    FROM (SELECT key_all, CASE WHEN event_time <= :known_before THEN NULL ELSE event_time END AS pending, struct(event_time, known_time, nanvl(`in_review_from` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_review_from`, `in_rule_set` AS `in_rule_set`) AS fact FROM current)
    GROUP BY key_all, pending
  )
)
-- the state, by key
SELECT
  key_all,
  CAST(0 AS TINYINT) AS __kind,
  min(event_time) AS __event,
  CAST(NULL AS DOUBLE) AS `review_from`,
  CAST(NULL AS STRING) AS `rule_set`
FROM in_force WHERE event_time >= :known_before + :horizon GROUP BY key_all
UNION ALL
SELECT
  key_all,
  CAST(1 AS TINYINT) AS __kind,
  event_time AS __event,
  `in_review_from` AS `review_from`,
  `in_rule_set` AS `rule_set`
FROM chosen
ORDER BY key_all, __kind, __event
;
