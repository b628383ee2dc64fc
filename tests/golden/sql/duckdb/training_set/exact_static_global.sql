-- Training set of feature service exact_static_global: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint d2e7d3b22d18e5b245e71c6168c3a72b. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k, the doubles of measure i times 2^k are whole. $tile: a tile's length, us.

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

-- exact: Window of view exact, plan pairs: visits_1h
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
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- spine rows and the visible facts in reach of any window; a reach ends in the stretch of time it begins in, or in the next
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1
  FROM (
    SELECT *, (asked_at + 4611686018427387904) // 3600000000 AS stretch FROM spine
    UNION ALL
    SELECT *, (asked_at + 4611686018427387904) // 3600000000 - 1 FROM spine
  ) AS s JOIN (SELECT *, (event_time + 4611686018427387904) // 3600000000 AS stretch FROM measured) AS f
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from <= s.asked_at
  AND f.event_time > s.asked_at - 3600000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) FILTER (WHERE event_time > asked_at - 3600000000) AS n_1_1
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- exact: Window of view exact, plan tiles: visits_1h
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
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, the tile each falls into, and what is taken of it
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    (event_time + 4611686018427387904) // $tile AS tile,
    CASE WHEN measure_1 IS NULL THEN 0 ELSE 1 END AS n_1
  FROM measured
),
-- the ends of every spine row's windows, and the tile each falls into
ends AS MATERIALIZED (
  SELECT row_id, "key_customer_id", CAST(1 AS UTINYINT) AS which, asked_at - greatest(0, $known_shift) AS instant, TRUE AS before, ((asked_at - greatest(0, $known_shift)) + 4611686018427387904) // $tile AS tile
  FROM spine
  UNION ALL
  SELECT row_id, "key_customer_id", CAST(2 AS UTINYINT) AS which, asked_at - greatest(3600000000, $known_shift) AS instant, FALSE AS before, ((asked_at - greatest(3600000000, $known_shift)) + 4611686018427387904) // $tile AS tile
  FROM spine
),
-- per key and tile what its facts add up to; tiles of an end are there even if empty
tiles AS (
  SELECT
    "key_customer_id",
    tile,
    sum(n_1) AS n_1
  FROM (
    SELECT "key_customer_id", tile, n_1 FROM marks
    UNION ALL BY NAME
    SELECT DISTINCT "key_customer_id", tile FROM ends WHERE "key_customer_id" IS NOT NULL
  )
  GROUP BY "key_customer_id", tile
),
-- per tile the running totals, and the extremes of the tiles inside a window that begins in it
totals AS MATERIALIZED (
  SELECT
    "key_customer_id",
    tile,
    coalesce(sum(n_1) OVER so_far, 0) AS n_1_up_to,
    coalesce(n_1, 0) AS n_1
  FROM tiles
  WINDOW
    so_far AS (PARTITION BY "key_customer_id" ORDER BY tile ROWS UNBOUNDED PRECEDING)
),
-- ends and the facts of their tile: those before the end where a window ends, the others where it begins
raw_pairs AS (
  SELECT e.row_id, e.which, f.n_1
  FROM ends AS e JOIN marks AS f
  ON e."key_customer_id" = f."key_customer_id" AND e.tile = f.tile
  AND CASE WHEN e.before THEN f.event_time <= e.instant ELSE f.event_time > e.instant END
),
-- per spine row what those add up to, end by end
raw AS (
  SELECT
    row_id,
    sum(n_1) FILTER (WHERE which = 1) AS n_1_end_1,
    sum(n_1) FILTER (WHERE which = 2) AS n_1_end_2
  FROM raw_pairs
  GROUP BY row_id
),
-- per spine row what its windows hold: tiles within, facts at both ends
grouped AS (
  SELECT
    s.row_id,
    (t1.n_1_up_to - t1.n_1 + coalesce(r.n_1_end_1, 0)) - (t2.n_1_up_to - coalesce(r.n_1_end_2, 0)) AS n_1_1
  FROM spine AS s
  LEFT JOIN raw AS r USING (row_id)
  LEFT JOIN totals AS t1 ON s."key_customer_id" = t1."key_customer_id" AND t1.tile = ((s.asked_at - greatest(0, $known_shift)) + 4611686018427387904) // $tile
  LEFT JOIN totals AS t2 ON s."key_customer_id" = t2."key_customer_id" AND t2.tile = ((s.asked_at - greatest(3600000000, $known_shift)) + 4611686018427387904) // $tile
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- exact: Window of view exact, plan frames: visits_1h
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
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts at twice their event time, spine rows at twice the instant up to which events are known
timeline AS (
  SELECT
    "key_customer_id",
    2 * event_time AS tick,
    NULL AS row_id,
    event_time,
    known_time,
    measure_1
  FROM measured
  UNION ALL BY NAME
  SELECT "key_customer_id", 2 * (asked_at - ($known_shift)) + 1 AS tick, row_id
  FROM spine
),
-- what each window holds, at every point of the timeline
framed AS (
  SELECT
    row_id,
    count(measure_1) OVER span_1 AS n_1_1
  FROM timeline
  WINDOW
    span_1 AS (PARTITION BY "key_customer_id" ORDER BY tick RANGE BETWEEN greatest(2 * (3600000000 - ($known_shift)), 0) PRECEDING AND CURRENT ROW)
),
-- of these the spine rows
grouped AS (
  SELECT * FROM framed WHERE row_id IS NOT NULL
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- exact: Window of view exact, plan sweep: visits_1h
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
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, and from when each counts
signed AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    visible_from,
    CASE WHEN measure_1 IS NULL THEN 0 ELSE 1 END AS n_1
  FROM measured
),
-- when facts begin to count, and when they happened; the tile each falls into
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    (visible_from + 4611686018427387904) // $tile AS tile,
    CASE WHEN visible_from - event_time < 3600000000 THEN n_1 END AS n_1_in_1
  FROM signed
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    (event_time + 4611686018427387904) // $tile AS tile,
    CASE WHEN visible_from - event_time < 3600000000 THEN n_1 END AS n_1_in_1
  FROM signed
),
-- of every spine row t itself, and the instants at which windows that end at t begin
ends AS MATERIALIZED (
  SELECT row_id, "key_customer_id", CAST(1 AS UTINYINT) AS which, CAST(0 AS UTINYINT) AS side, asked_at AS instant, ((asked_at) + 4611686018427387904) // $tile AS tile
  FROM spine
  UNION ALL
  SELECT row_id, "key_customer_id", CAST(2 AS UTINYINT) AS which, CAST(1 AS UTINYINT) AS side, asked_at - 3600000000 AS instant, ((asked_at - 3600000000) + 4611686018427387904) // $tile AS tile
  FROM spine
),
-- per key, side and tile what its marks add up to; tiles of an end are there even if empty
tiles AS (
  SELECT
    "key_customer_id", side, tile,
    sum(n_1_in_1) AS n_1_in_1
  FROM (
    SELECT "key_customer_id", side, tile, n_1_in_1 FROM marks
    UNION ALL BY NAME
    SELECT DISTINCT "key_customer_id", side, tile FROM ends WHERE "key_customer_id" IS NOT NULL
  )
  GROUP BY "key_customer_id", side, tile
),
-- per tile what all tiles before it add up to
totals AS MATERIALIZED (
  SELECT
    "key_customer_id", side, tile,
    coalesce(sum(n_1_in_1) OVER so_far, 0) - coalesce(n_1_in_1, 0) AS n_1_in_1
  FROM tiles
  WINDOW so_far AS (PARTITION BY "key_customer_id", side ORDER BY tile ROWS UNBOUNDED PRECEDING)
),
-- ends and the marks before them in their tile
raw_pairs AS (
  SELECT e.row_id, e.which, f.n_1_in_1
  FROM ends AS e JOIN marks AS f
  ON e."key_customer_id" = f."key_customer_id" AND e.side = f.side AND e.tile = f.tile
  AND f.instant <= e.instant
),
-- per spine row what those add up to, end by end
raw AS (
  SELECT
    row_id,
    sum(n_1_in_1) FILTER (WHERE which = 1) AS n_1_in_1_end_1,
    sum(n_1_in_1) FILTER (WHERE which = 2) AS n_1_in_1_end_2
  FROM raw_pairs
  GROUP BY row_id
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    s.row_id,
    (t1.n_1_in_1 + coalesce(r.n_1_in_1_end_1, 0)) - (t2.n_1_in_1 + coalesce(r.n_1_in_1_end_2, 0)) AS n_1_1
  FROM spine AS s
  LEFT JOIN raw AS r USING (row_id)
  LEFT JOIN totals AS t1 ON s."key_customer_id" = t1."key_customer_id" AND t1.side = 0 AND t1.tile = ((s.asked_at) + 4611686018427387904) // $tile
  LEFT JOIN totals AS t2 ON s."key_customer_id" = t2."key_customer_id" AND t2.side = 1 AND t2.tile = ((s.asked_at - 3600000000) + 4611686018427387904) // $tile
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
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
