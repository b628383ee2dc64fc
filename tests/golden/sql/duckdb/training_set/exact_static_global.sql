-- Training set of feature service exact_static_global: one statement per view instance and kind of feature.
-- Fingerprint d2e7d3b22d18e5b245e71c6168c3a72b. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.

-- exact: Latest of view exact
-- reads spine (row_id, asked_at, customer_id), source__visits
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
-- per spine row the event time of its newest visible fact
matched AS MATERIALIZED (
  SELECT s.row_id, s."key_customer_id", s.asked_at, f.event_time
  FROM spine AS s ASOF LEFT JOIN (
    SELECT "key_customer_id", event_time, known_time FROM facts
  ) AS f
  ON s."key_customer_id" = f."key_customer_id" AND s.asked_at >= f.known_time
),
-- the facts that answer some row
wanted AS (
  SELECT DISTINCT "key_customer_id", event_time FROM matched WHERE event_time IS NOT NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_page" AS "in_page"
  FROM facts SEMI JOIN wanted USING ("key_customer_id", event_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time ORDER BY known_time DESC NULLS LAST, "in_page" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  m.row_id AS __row,
  m.event_time AS __event,
  CAST(CASE WHEN m.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN m.event_time IS NOT NULL THEN a."in_page" END AS "this_page"
FROM matched AS m LEFT JOIN chosen AS a ON m."key_customer_id" = a."key_customer_id" AND m.event_time = a.event_time
ORDER BY __row
;

-- exact: Window of view exact
-- reads spine (row_id, asked_at, customer_id), source__visits
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
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1
  FROM spine AS s JOIN measured AS f
  ON s."key_customer_id" = f."key_customer_id"
  AND f.visible_from <= s.asked_at
  AND f.event_time > s.asked_at - 3600000000
),
-- per spine row the aggregates of its pairs
grouped AS (
  SELECT
    pairs.row_id AS __row,
    count(measure_1) FILTER (WHERE event_time > asked_at - 3600000000) AS "visits_1h"
  FROM pairs
  GROUP BY pairs.row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g."visits_1h", 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g ON g.__row = s.row_id
ORDER BY s.row_id
;

-- static: StaticLookup of view static
-- reads spine (row_id, asked_at, account_id), source__master
WITH
-- rows of static source master
rows_read AS (
  SELECT
    CAST("customer_id" AS VARCHAR) AS "key_account_id",
    "tier" AS "in_tier",
    canonical_double("limit") AS "in_limit"
  FROM source__master
  WHERE canonical_double("limit") > CAST(CAST(0 AS BIGINT) AS DOUBLE)
),
-- rows with a key
facts AS (
  SELECT * FROM rows_read WHERE "key_account_id" IS NOT NULL
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  CAST(NULL AS BIGINT) AS __event,
  CAST(CASE WHEN f."key_account_id" IS NOT NULL THEN 1 ELSE 0 END AS UTINYINT) AS __match,
  CASE WHEN f."key_account_id" IS NOT NULL THEN f."in_tier" END AS "tier",
  CASE WHEN f."key_account_id" IS NOT NULL THEN canonical_double(CAST(canonical_double(f."in_limit") / nullif(CAST(CAST(12 AS BIGINT) AS DOUBLE), 0) AS DOUBLE)) END AS "monthly_limit"
FROM spine AS s LEFT JOIN facts AS f ON s."key_account_id" = f."key_account_id"
ORDER BY __row
;

-- global_rule: Latest of view global_rule
-- reads spine (row_id, asked_at, no key), source__rules
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
-- per spine row the event time of its newest visible fact
matched AS MATERIALIZED (
  SELECT s.row_id, s.key_all, s.asked_at, f.event_time
  FROM spine AS s ASOF LEFT JOIN (
    SELECT key_all, event_time, known_time FROM facts
  ) AS f
  ON s.key_all = f.key_all AND s.asked_at > f.known_time
),
-- the facts that answer some row
wanted AS (
  SELECT DISTINCT key_all, event_time FROM matched WHERE event_time IS NOT NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    key_all,
    event_time,
    known_time,
    canonical_double("in_floor") AS "in_floor"
  FROM facts SEMI JOIN wanted USING (key_all, event_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT key_all, event_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING (key_all, event_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING (key_all, event_time)
    QUALIFY row_number() OVER (PARTITION BY key_all, event_time ORDER BY known_time DESC NULLS LAST, "in_floor" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  m.row_id AS __row,
  m.event_time AS __event,
  CAST(CASE WHEN m.event_time IS NULL THEN 0 WHEN m.asked_at - m.event_time > 31536000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN m.asked_at - m.event_time <= 31536000000000 THEN a."in_floor" END AS "floor"
FROM matched AS m LEFT JOIN chosen AS a ON m.key_all = a.key_all AND m.event_time = a.event_time
ORDER BY __row
;
