-- Training set of feature service labelled: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint ffbc33e427fe2fe4523c2b9ced216e3f. Each returns one row per spine row, ordered by __row.
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

-- late: asked 31d after as_of, at the end of the window of label view late, plan pairs: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'charged back') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "cents" AS "in_cents"
  FROM source__payments
),
-- versions known before the cut-off
versions AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts
facts AS (
  SELECT "key_customer_id", event_time, known_time, "in_cents" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    event_time AS visible_from,
    "in_cents" AS measure_1
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    measure_1 AS x_1
  FROM measured
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT *, (asked_at + 4611686018427387904) // 1296000000000 - 0 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 1296000000000 - 1 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 1296000000000 - 2 AS stretch FROM spine
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS NOT MATERIALIZED (
  SELECT *, (event_time + 4611686018427387904) // 1296000000000 AS stretch FROM numbers
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.x_1
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from <= s.asked_at
  AND f.event_time > s.asked_at - 2592000000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) AS n_1_1,
    sum(x_1) AS x_1_1
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- late: asked 31d after as_of, at the end of the window of label view late, plan tiles: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'charged back') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "cents" AS "in_cents"
  FROM source__payments
),
-- versions known before the cut-off
versions AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts
facts AS (
  SELECT "key_customer_id", event_time, known_time, "in_cents" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    event_time AS visible_from,
    "in_cents" AS measure_1
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
    count(n_1) AS n_1,
    sum(x_1) AS x_1
  FROM (
    SELECT
      tile,
    measure_1 AS n_1,
    measure_1 AS x_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_1, 0) AS DOUBLE) AS n_1,
    coalesce(f.x_1, 0) AS x_1
  FROM (SELECT unnest(range(first_tile, last_tile + 1)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
level_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1 AS n_1,
    sum(x_1) OVER (ROWS UNBOUNDED PRECEDING) - x_1 AS x_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches need; every tile must have come in its place
running AS MATERIALIZED (
  SELECT
    tile,
    n_1,
    x_1,
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') END AS in_order
  FROM level_0
),
-- the tiles in which the stretches of each spine row end, and those in which they begin
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l0.first_tile + least(greatest(s.asked_at - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l0.first_tile + least(greatest(s.asked_at - 2592000000000 - $first_instant, 0), $last_instant - $first_instant) // l0.length AS low_1
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, low_1 < high_1 AS in_1
  FROM asked
  UNION ALL
  SELECT row_id, low_1 AS tile, asked_at - 2592000000000 AS low, CASE WHEN low_1 < high_1 THEN 4611686018427387904 ELSE asked_at END AS high, TRUE AS in_1
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    measure_1 AS n_1,
    measure_1 AS x_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1) FILTER (WHERE in_1) AS n_1_of_1,
    sum(x_1) FILTER (WHERE in_1) AS x_1_of_1
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1 AS at_1_n_1, h.x_1 AS at_1_x_1
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    CASE WHEN a.high_1 > a.low_1 THEN a.at_1_n_1 - l.n_1 ELSE 0 END AS n_1_of_1,
    CASE WHEN a.high_1 > a.low_1 THEN a.at_1_x_1 - l.x_1 ELSE 0 END AS x_1_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1 + 1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_of_1 + coalesce(r.n_1_of_1, 0) AS BIGINT) AS n_1_of_1,
    a.x_1_of_1 + coalesce(r.x_1_of_1, 0) AS x_1_of_1
  FROM inside_1 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    n_1_of_1 AS n_1_1,
    x_1_of_1 AS x_1_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- late: asked 31d after as_of, at the end of the window of label view late, plan aligned: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'charged back') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "cents" AS "in_cents"
  FROM source__payments
),
-- versions known before the cut-off
versions AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts
facts AS (
  SELECT "key_customer_id", event_time, known_time, "in_cents" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    event_time AS visible_from,
    "in_cents" AS measure_1
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
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 2592000000000 + 5) AS first_tile, (($last_instant - $first_instant) // 2592000000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT (l.first_tile + (m.instant - $first_instant + 5184000000000) // 2592000000000) AS tile, m.instant, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1) AS n_1,
    sum(x_1) AS x_1
  FROM (
    SELECT
      tile,
    measure_1 AS n_1,
    measure_1 AS x_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_1, 0) AS DOUBLE) AS n_1,
    coalesce(f.x_1, 0) AS x_1
  FROM (SELECT unnest(range(first_tile, first_tile + tiles)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
running_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1 AS n_1,
    sum(x_1) OVER (ROWS UNBOUNDED PRECEDING) - x_1 AS x_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches that end in a tile hold of those before it, from their second on
inside AS MATERIALIZED (
  SELECT
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') ELSE tile END AS tile,
    n_1 - n_1 AS n_1_of_1,
    x_1 - x_1 AS x_1_of_1
  FROM running_0
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 5184000000000, 2592000000000), $last_instant - $first_instant + 10368000000000) // 2592000000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1
  FROM asked
  UNION ALL
  SELECT row_id, high_1 - 1 AS tile, asked_at - 2592000000000 AS low, 4611686018427387904 AS high, TRUE AS in_1
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    measure_1 AS n_1,
    measure_1 AS x_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1) FILTER (WHERE in_1) AS n_1_of_1,
    sum(x_1) FILTER (WHERE in_1) AS x_1_of_1
  FROM raw_pairs
  GROUP BY row_id
),
-- with what their stretches hold whole
looked_up_1 AS (
  SELECT a.*,
    t.n_1_of_1,
    t.x_1_of_1
  FROM inside AS t JOIN asked AS a ON t.tile = a.high_1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_of_1 + coalesce(r.n_1_of_1, 0) AS BIGINT) AS n_1_of_1,
    a.x_1_of_1 + coalesce(r.x_1_of_1, 0) AS x_1_of_1
  FROM looked_up_1 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    n_1_of_1 AS n_1_1,
    x_1_of_1 AS x_1_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- late: asked 31d after as_of, at the end of the window of label view late, plan frames: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'charged back') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "cents" AS "in_cents"
  FROM source__payments
),
-- versions known before the cut-off
versions AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts
facts AS (
  SELECT "key_customer_id", event_time, known_time, "in_cents" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    event_time AS visible_from,
    "in_cents" AS measure_1
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    measure_1 AS x_1
  FROM measured
),
-- facts at twice their event time, spine rows at twice the instant up to which events are known
timeline AS (
  SELECT
    "key_customer_id",
    2 * event_time AS tick,
    NULL AS row_id,
    event_time,
    known_time,
    measure_1,
    x_1
  FROM numbers
  UNION ALL BY NAME
  SELECT "key_customer_id", 2 * asked_at + 1 AS tick, row_id
  FROM spine
),
-- what each window holds, at every point of the timeline
framed AS (
  SELECT
    row_id,
    count(measure_1) OVER span_1 AS n_1_1,
    sum(x_1) OVER span_1 AS x_1_1
  FROM timeline
  WINDOW
    span_1 AS (PARTITION BY "key_customer_id" ORDER BY tick RANGE BETWEEN 5184000000000 PRECEDING AND CURRENT ROW)
),
-- of these the spine rows
grouped AS (
  SELECT * FROM framed WHERE row_id IS NOT NULL
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- late: asked 31d after as_of, at the end of the window of label view late, plan sweep: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'charged back') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "cents" AS "in_cents"
  FROM source__payments
),
-- versions known before the cut-off
versions AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts
facts AS (
  SELECT "key_customer_id", event_time, known_time, "in_cents" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    event_time AS visible_from,
    "in_cents" AS measure_1
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
    count(n_1_in_1) AS n_1_in_1,
    sum(x_1_in_1) AS x_1_in_1
  FROM (
    SELECT
      tile,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS x_1_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1,
    coalesce(f.x_1_in_1, 0) AS x_1_in_1
  FROM (SELECT unnest(range(first_tile, last_tile + 1)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
level_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1 AS n_1_in_1,
    sum(x_1_in_1) OVER (ROWS UNBOUNDED PRECEDING) - x_1_in_1 AS x_1_in_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches need; every tile must have come in its place
running AS MATERIALIZED (
  SELECT
    tile,
    n_1_in_1,
    x_1_in_1,
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') END AS in_order
  FROM level_0
),
-- the tiles in which the stretches of each spine row end, and those in which they begin
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l0.first_tile + least(greatest(s.asked_at - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l1.first_tile + least(greatest(s.asked_at - 2592000000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_2,
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
  SELECT row_id, high_2 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 2592000000000 AS high, FALSE AS in_1, TRUE AS in_2
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS x_1_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1_in_1) FILTER (WHERE in_1) AS n_1_in_1_of_1,
    sum(x_1_in_1) FILTER (WHERE in_1) AS x_1_in_1_of_1,
    count(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(x_1_in_1) FILTER (WHERE in_2) AS x_1_in_1_of_2
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1_in_1 AS at_1_n_1_in_1, h.x_1_in_1 AS at_1_x_1_in_1
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_1,
    a.at_1_x_1_in_1 - l.x_1_in_1 AS x_1_in_1_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1
),
-- with what the tiles before their ends add up to
before_high_2 AS (
  SELECT a.*, h.n_1_in_1 AS at_2_n_1_in_1, h.x_1_in_1 AS at_2_x_1_in_1
  FROM running AS h JOIN inside_1 AS a ON h.tile = a.high_2
),
-- and what the tiles inside a stretch do
inside_2 AS (
  SELECT a.*,
    a.at_2_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_2,
    a.at_2_x_1_in_1 - l.x_1_in_1 AS x_1_in_1_of_2
  FROM running AS l JOIN before_high_2 AS a ON l.tile = a.low_2
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    a.x_1_in_1_of_1 + coalesce(r.x_1_in_1_of_1, 0) AS x_1_in_1_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    a.x_1_in_1_of_2 + coalesce(r.x_1_in_1_of_2, 0) AS x_1_in_1_of_2
  FROM inside_2 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(x_1_in_1_of_1, 0) - coalesce(x_1_in_1_of_2, 0)) AS x_1_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- late: asked 31d after as_of, at the end of the window of label view late, plan aligned_sweep: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'charged back') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "cents" AS "in_cents"
  FROM source__payments
),
-- versions known before the cut-off
versions AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts
facts AS (
  SELECT "key_customer_id", event_time, known_time, "in_cents" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    event_time AS visible_from,
    "in_cents" AS measure_1
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
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 2592000000000 + 5) AS first_tile, (($last_instant - $first_instant) // 2592000000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 5184000000000) // 2592000000000) + m.side AS tile, m.instant, m.lateness, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1_in_1) AS n_1_in_1,
    sum(x_1_in_1) AS x_1_in_1
  FROM (
    SELECT
      tile,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS x_1_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too, with both their sides
tiles AS (
  SELECT
    t.tile,
    CAST(coalesce(f0.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_0,
    coalesce(f0.x_1_in_1, 0) AS x_1_in_1_at_0,
    CAST(coalesce(f1.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_1,
    coalesce(f1.x_1_in_1, 0) AS x_1_in_1_at_1
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
    sum(x_1_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_1_in_1_at_0 AS x_1_in_1_at_0,
    sum(n_1_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1_at_1 AS n_1_in_1_at_1,
    sum(x_1_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_1_in_1_at_1 AS x_1_in_1_at_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what all tiles before those in which stretches end add up to
inside AS MATERIALIZED (
  SELECT
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') ELSE tile END AS tile,
    n_1_in_1_at_0 AS n_1_in_1_of_1,
    x_1_in_1_at_0 AS x_1_in_1_of_1,
    lag(n_1_in_1_at_1, 1) OVER () AS n_1_in_1_of_2,
    lag(x_1_in_1_at_1, 1) OVER () AS x_1_in_1_of_2
  FROM running
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 5184000000000, 2592000000000), $last_instant - $first_instant + 10368000000000) // 2592000000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, 2 * (high_1 - 0) + 0 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 1) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 2592000000000 AS high, FALSE AS in_1, TRUE AS in_2
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS x_1_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant <= high AND instant > low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    count(n_1_in_1) FILTER (WHERE in_1) AS n_1_in_1_of_1,
    sum(x_1_in_1) FILTER (WHERE in_1) AS x_1_in_1_of_1,
    count(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(x_1_in_1) FILTER (WHERE in_2) AS x_1_in_1_of_2
  FROM raw_pairs
  GROUP BY row_id
),
-- with what their stretches hold whole
looked_up AS (
  SELECT a.*,
    t.n_1_in_1_of_1,
    t.x_1_in_1_of_1,
    t.n_1_in_1_of_2,
    t.x_1_in_1_of_2
  FROM inside AS t JOIN asked AS a ON t.tile = a.high_1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    a.x_1_in_1_of_1 + coalesce(r.x_1_in_1_of_1, 0) AS x_1_in_1_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    a.x_1_in_1_of_2 + coalesce(r.x_1_in_1_of_2, 0) AS x_1_in_1_of_2
  FROM looked_up AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(x_1_in_1_of_1, 0) - coalesce(x_1_in_1_of_2, 0)) AS x_1_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- late: asked 31d after as_of, at the end of the window of label view late, plan snapshot: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'charged back') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "cents" AS "in_cents"
  FROM source__payments
),
-- versions known before the cut-off
versions AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_payment_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_payment_id")
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- those that are facts
facts AS (
  SELECT "key_customer_id", event_time, known_time, "in_cents" FROM newest_versions WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_cents"
  FROM facts SEMI JOIN spine USING ("key_customer_id")
  WHERE event_time <= $at AND event_time > $at - 2592000000000
),
-- facts, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_cents" AS measure_1
  FROM seen
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    measure_1 AS x_1
  FROM measured
),
-- per key what its windows hold
grouped AS (
  SELECT
    "key_customer_id",
    count(measure_1) AS n_1_1,
    sum(x_1) AS x_1_1
  FROM numbers
  GROUP BY "key_customer_id"
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING ("key_customer_id")
ORDER BY __row
;
