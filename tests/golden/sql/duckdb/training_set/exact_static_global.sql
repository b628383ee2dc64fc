-- Training set of feature service exact_static_global: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint d2e7d3b22d18e5b245e71c6168c3a72b. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,
-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.
-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.

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

-- exact: Latest of view exact, plan snapshot: this_page
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
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_page"
  FROM facts SEMI JOIN spine USING ("key_customer_id")
  WHERE known_time <= $at
),
-- per key the event and known time of its newest fact
wanted AS (
  SELECT "key_customer_id", max(event_time) AS event_time
  FROM seen GROUP BY "key_customer_id"
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_page" AS "in_page"
  FROM seen SEMI JOIN wanted USING ("key_customer_id", event_time)
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
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.event_time IS NOT NULL THEN a."in_page" END AS "this_page"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
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
    known_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT *, (asked_at + 4611686018427387904) // 1800000000 - 0 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 1800000000 - 1 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 1800000000 - 2 AS stretch FROM spine
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS NOT MATERIALIZED (
  SELECT *, (event_time + 4611686018427387904) // 1800000000 AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from <= s.asked_at
  AND f.event_time > s.asked_at - 3600000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) AS n_1_1
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
    known_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, each at the instant at which it happened
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time AS instant,
    measure_1
  FROM measured
),
-- the keys that are asked for, and how many marks each has
counted AS (
  SELECT "key_customer_id", count(*) AS marks
  FROM marks SEMI JOIN (SELECT DISTINCT "key_customer_id" FROM spine) USING ("key_customer_id")
  GROUP BY "key_customer_id"
),
-- the length of their tiles, and their number with the empty one behind the last
sized AS (
  SELECT *, ($last_instant - $first_instant) // length + 2 AS tiles
  FROM (
    SELECT "key_customer_id", ($last_instant - $first_instant) // greatest(least(marks // $per_tile, $most_tiles), 1) + 1 AS length
    FROM counted
  )
),
-- and the numbers of the first and last of their tiles, all in one row
lines AS MATERIALIZED (
  SELECT
    "key_customer_id",
    length,
    CAST(sum(tiles) OVER in_a_row - tiles AS BIGINT) AS first_tile,
    CAST(sum(tiles) OVER in_a_row - 1 AS BIGINT) AS last_tile
  FROM sized
  WINDOW in_a_row AS (ORDER BY "key_customer_id" ROWS UNBOUNDED PRECEDING)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1) AS n_1
  FROM (
    SELECT
      tile,
    measure_1 AS n_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_1, 0) AS DOUBLE) AS n_1
  FROM (SELECT unnest(range(first_tile, last_tile + 1)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
level_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1 AS n_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches need; every tile must have come in its place
running AS MATERIALIZED (
  SELECT
    tile,
    n_1,
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') END AS in_order
  FROM level_0
),
-- the tiles in which the stretches of each spine row end, and those in which they begin
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l0.first_tile + least(greatest(s.asked_at - $known_shift - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l0.first_tile + least(greatest(s.asked_at - 3600000000 - $first_instant, 0), $last_instant - $first_instant) // l0.length AS low_1
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - $known_shift AS high, low_1 < high_1 AS in_1
  FROM asked
  UNION ALL
  SELECT row_id, low_1 AS tile, asked_at - 3600000000 AS low, CASE WHEN low_1 < high_1 THEN 4611686018427387904 ELSE asked_at - $known_shift END AS high, TRUE AS in_1
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    measure_1 AS n_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1) FILTER (WHERE in_1) AS n_1_of_1
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1 AS at_1_n_1
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    CASE WHEN a.high_1 > a.low_1 THEN a.at_1_n_1 - l.n_1 ELSE 0 END AS n_1_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1 + 1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_of_1 + coalesce(r.n_1_of_1, 0) AS BIGINT) AS n_1_of_1
  FROM inside_1 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    n_1_of_1 AS n_1_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- exact: Window of view exact, plan aligned: visits_1h
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
    known_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, each at the instant at which it happened
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time AS instant,
    measure_1
  FROM measured
),
-- the keys that are asked for, and the first of each one's tiles: they are numbered in one row
lines AS MATERIALIZED (
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 3600000000 + 5) AS first_tile, (($last_instant - $first_instant) // 3600000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT (l.first_tile + (m.instant - $first_instant + 7200000000) // 3600000000) AS tile, m.instant, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1) AS n_1
  FROM (
    SELECT
      tile,
    measure_1 AS n_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_1, 0) AS DOUBLE) AS n_1
  FROM (SELECT unnest(range(first_tile, first_tile + tiles)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
running_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1 AS n_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches that end in a tile hold of those before it, from their second on
inside AS MATERIALIZED (
  SELECT
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') ELSE tile END AS tile,
    n_1 - n_1 AS n_1_of_1
  FROM running_0
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 7200000000, 3600000000), $last_instant - $first_instant + 14400000000) // 3600000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1
  FROM asked
  UNION ALL
  SELECT row_id, high_1 - 1 AS tile, asked_at - 3600000000 AS low, 4611686018427387904 AS high, TRUE AS in_1
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    measure_1 AS n_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1) FILTER (WHERE in_1) AS n_1_of_1
  FROM raw_pairs
  GROUP BY row_id
),
-- with what their stretches hold whole
looked_up_1 AS (
  SELECT a.*,
    t.n_1_of_1
  FROM inside AS t JOIN asked AS a ON t.tile = a.high_1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_of_1 + coalesce(r.n_1_of_1, 0) AS BIGINT) AS n_1_of_1
  FROM looked_up_1 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    n_1_of_1 AS n_1_1
  FROM stretches
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
    known_time AS visible_from,
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
    known_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
),
-- the keys that are asked for, and how many marks each has
counted AS (
  SELECT "key_customer_id", side, count(*) AS marks
  FROM marks SEMI JOIN (SELECT DISTINCT "key_customer_id" FROM spine) USING ("key_customer_id")
  GROUP BY "key_customer_id", side
),
-- the length of their tiles, and their number with the empty one behind the last
sized AS (
  SELECT *, ($last_instant - $first_instant) // length + 2 AS tiles
  FROM (
    SELECT "key_customer_id", side, ($last_instant - $first_instant) // greatest(least(marks // $per_tile, $most_tiles), 1) + 1 AS length
    FROM counted
  )
),
-- and the numbers of the first and last of their tiles, all in one row
lines AS MATERIALIZED (
  SELECT
    "key_customer_id",
    side,
    length,
    CAST(sum(tiles) OVER in_a_row - tiles AS BIGINT) AS first_tile,
    CAST(sum(tiles) OVER in_a_row - 1 AS BIGINT) AS last_tile
  FROM sized
  WINDOW in_a_row AS (ORDER BY "key_customer_id", side ROWS UNBOUNDED PRECEDING)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", side)
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1_in_1) AS n_1_in_1
  FROM (
    SELECT
      tile,
    CASE WHEN lateness < 3600000000 THEN measure_1 END AS n_1_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1
  FROM (SELECT unnest(range(first_tile, last_tile + 1)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
level_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1 AS n_1_in_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches need; every tile must have come in its place
running AS MATERIALIZED (
  SELECT
    tile,
    n_1_in_1,
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') END AS in_order
  FROM level_0
),
-- the tiles in which the stretches of each spine row end, and those in which they begin
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l0.first_tile + least(greatest(s.asked_at - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l1.first_tile + least(greatest(s.asked_at - 3600000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_2,
    l0.first_tile AS low_1,
    l1.first_tile AS low_2
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id" AND l0.side = 0
  JOIN lines AS l1 ON s."key_customer_id" = l1."key_customer_id" AND l1.side = 1
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2
  FROM asked
  UNION ALL
  SELECT row_id, high_2 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 3600000000 AS high, FALSE AS in_1, TRUE AS in_2
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    CASE WHEN lateness < 3600000000 THEN measure_1 END AS n_1_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1_in_1) FILTER (WHERE in_1) AS n_1_in_1_of_1,
    count(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1_in_1 AS at_1_n_1_in_1
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1
),
-- with what the tiles before their ends add up to
before_high_2 AS (
  SELECT a.*, h.n_1_in_1 AS at_2_n_1_in_1
  FROM running AS h JOIN inside_1 AS a ON h.tile = a.high_2
),
-- and what the tiles inside a stretch do
inside_2 AS (
  SELECT a.*,
    a.at_2_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_2
  FROM running AS l JOIN before_high_2 AS a ON l.tile = a.low_2
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2
  FROM inside_2 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- exact: Window of view exact, plan aligned_sweep: visits_1h
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
    known_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
),
-- the keys that are asked for, and the first of each one's tiles: they are numbered in one row
lines AS MATERIALIZED (
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 3600000000 + 5) AS first_tile, (($last_instant - $first_instant) // 3600000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 7200000000) // 3600000000) + m.side AS tile, m.instant, m.lateness, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1_in_1) AS n_1_in_1
  FROM (
    SELECT
      tile,
    CASE WHEN lateness < 3600000000 THEN measure_1 END AS n_1_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too, with both their sides
tiles AS (
  SELECT
    t.tile,
    CAST(coalesce(f0.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_0,
    CAST(coalesce(f1.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_1
  FROM (SELECT unnest(range(first_tile, first_tile + tiles)) AS tile FROM lines) AS t
  LEFT JOIN filled AS f0 ON f0.tile = 2 * t.tile + 0
  LEFT JOIN filled AS f1 ON f1.tile = 2 * t.tile + 1
),
-- in order: what all tiles before each add up to
running AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1_at_0 AS n_1_in_1_at_0,
    sum(n_1_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1_at_1 AS n_1_in_1_at_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what all tiles before those in which stretches end add up to
inside AS MATERIALIZED (
  SELECT
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') ELSE tile END AS tile,
    n_1_in_1_at_0 AS n_1_in_1_of_1,
    lag(n_1_in_1_at_1, 1) OVER () AS n_1_in_1_of_2
  FROM running
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 7200000000, 3600000000), $last_instant - $first_instant + 14400000000) // 3600000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, 2 * (high_1 - 0) + 0 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 1) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 3600000000 AS high, FALSE AS in_1, TRUE AS in_2
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    CASE WHEN lateness < 3600000000 THEN measure_1 END AS n_1_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1_in_1) FILTER (WHERE in_1) AS n_1_in_1_of_1,
    count(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2
  FROM raw_pairs
  GROUP BY row_id
),
-- with what their stretches hold whole
looked_up AS (
  SELECT a.*,
    t.n_1_in_1_of_1,
    t.n_1_in_1_of_2
  FROM inside AS t JOIN asked AS a ON t.tile = a.high_1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2
  FROM looked_up AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- exact: Window of view exact, plan snapshot: visits_1h
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
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_page"
  FROM facts SEMI JOIN spine USING ("key_customer_id")
  WHERE known_time <= $at AND event_time > $at - 3600000000
),
-- facts, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    TRUE AS measure_1
  FROM seen
),
-- per key what its windows hold
grouped AS (
  SELECT
    "key_customer_id",
    count(measure_1) AS n_1_1
  FROM measured
  GROUP BY "key_customer_id"
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "visits_1h"
FROM spine AS s LEFT JOIN grouped AS g USING ("key_customer_id")
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

-- global_rule: Latest of view global_rule, plan snapshot: floor
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
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT key_all, event_time, known_time, "in_floor"
  FROM facts SEMI JOIN spine USING (key_all)
  WHERE known_time < $at
),
-- per key the event and known time of its newest fact
wanted AS (
  SELECT key_all, max(event_time) AS event_time
  FROM seen GROUP BY key_all
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    key_all,
    event_time,
    known_time,
    canonical_double("in_floor") AS "in_floor"
  FROM seen SEMI JOIN wanted USING (key_all, event_time)
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
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN s.asked_at - a.event_time > 31536000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN s.asked_at - a.event_time <= 31536000000000 THEN a."in_floor" END AS "floor"
FROM spine AS s LEFT JOIN chosen AS a USING (key_all)
ORDER BY __row
;
