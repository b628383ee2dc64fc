-- Training set of feature service labelled: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint ffbc33e427fe2fe4523c2b9ced216e3f. Each returns one row per spine row, ordered by __row.
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
    CAST(measure_1 AS HUGEINT) AS x_1
  FROM measured
),
-- spine rows and the visible facts in reach of any window; a reach ends in the stretch of time it begins in, or in the next
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.x_1
  FROM (
    SELECT *, (asked_at + 4611686018427387904) // 2592000000000 AS stretch FROM spine
    UNION ALL
    SELECT *, (asked_at + 4611686018427387904) // 2592000000000 - 1 FROM spine
  ) AS s JOIN (SELECT *, (event_time + 4611686018427387904) // 2592000000000 AS stretch FROM numbers) AS f
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from <= s.asked_at
  AND f.event_time > s.asked_at - 2592000000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) FILTER (WHERE event_time > asked_at - 2592000000000) AS n_1_1,
    sum(x_1) FILTER (WHERE event_time > asked_at - 2592000000000) AS x_1_1
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
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CAST(measure_1 AS HUGEINT) AS x_1
  FROM measured
),
-- facts, the tile each falls into, and what is taken of it
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    (event_time + 4611686018427387904) // $tile AS tile,
    CASE WHEN measure_1 IS NULL THEN 0 ELSE 1 END AS n_1,
    x_1
  FROM numbers
),
-- the ends of every spine row's windows, and the tile each falls into
ends AS MATERIALIZED (
  SELECT row_id, "key_customer_id", CAST(1 AS UTINYINT) AS which, asked_at AS instant, TRUE AS before, ((asked_at) + 4611686018427387904) // $tile AS tile
  FROM spine
  UNION ALL
  SELECT row_id, "key_customer_id", CAST(2 AS UTINYINT) AS which, asked_at - 2592000000000 AS instant, FALSE AS before, ((asked_at - 2592000000000) + 4611686018427387904) // $tile AS tile
  FROM spine
),
-- per key and tile what its facts add up to; tiles of an end are there even if empty
tiles AS (
  SELECT
    "key_customer_id",
    tile,
    sum(n_1) AS n_1,
    sum(x_1) AS x_1
  FROM (
    SELECT "key_customer_id", tile, n_1, x_1 FROM marks
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
    coalesce(n_1, 0) AS n_1,
    coalesce(sum(x_1) OVER so_far, 0) AS x_1_up_to,
    coalesce(x_1, 0) AS x_1
  FROM tiles
  WINDOW
    so_far AS (PARTITION BY "key_customer_id" ORDER BY tile ROWS UNBOUNDED PRECEDING)
),
-- ends and the facts of their tile: those before the end where a window ends, the others where it begins
raw_pairs AS (
  SELECT e.row_id, e.which, f.n_1, f.x_1
  FROM ends AS e JOIN marks AS f
  ON e."key_customer_id" = f."key_customer_id" AND e.tile = f.tile
  AND CASE WHEN e.before THEN f.event_time <= e.instant ELSE f.event_time > e.instant END
),
-- per spine row what those add up to, end by end
raw AS (
  SELECT
    row_id,
    sum(n_1) FILTER (WHERE which = 1) AS n_1_end_1,
    sum(x_1) FILTER (WHERE which = 1) AS x_1_end_1,
    sum(n_1) FILTER (WHERE which = 2) AS n_1_end_2,
    sum(x_1) FILTER (WHERE which = 2) AS x_1_end_2
  FROM raw_pairs
  GROUP BY row_id
),
-- per spine row what its windows hold: tiles within, facts at both ends
grouped AS (
  SELECT
    s.row_id,
    (t1.n_1_up_to - t1.n_1 + coalesce(r.n_1_end_1, 0)) - (t2.n_1_up_to - coalesce(r.n_1_end_2, 0)) AS n_1_1,
    (t1.x_1_up_to - t1.x_1 + coalesce(r.x_1_end_1, 0)) - (t2.x_1_up_to - coalesce(r.x_1_end_2, 0)) AS x_1_1
  FROM spine AS s
  LEFT JOIN raw AS r USING (row_id)
  LEFT JOIN totals AS t1 ON s."key_customer_id" = t1."key_customer_id" AND t1.tile = ((s.asked_at - 0) + 4611686018427387904) // $tile
  LEFT JOIN totals AS t2 ON s."key_customer_id" = t2."key_customer_id" AND t2.tile = ((s.asked_at - 2592000000000) + 4611686018427387904) // $tile
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
    CAST(measure_1 AS HUGEINT) AS x_1
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
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CAST(measure_1 AS HUGEINT) AS x_1
  FROM measured
),
-- facts, and from when each counts
signed AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    visible_from,
    CASE WHEN measure_1 IS NULL THEN 0 ELSE 1 END AS n_1,
    x_1
  FROM numbers
),
-- when facts begin to count, and when they happened; the tile each falls into
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    (visible_from + 4611686018427387904) // $tile AS tile,
    CASE WHEN visible_from - event_time < 2592000000000 THEN n_1 END AS n_1_in_1,
    CASE WHEN visible_from - event_time < 2592000000000 THEN x_1 END AS x_1_in_1
  FROM signed
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    (event_time + 4611686018427387904) // $tile AS tile,
    CASE WHEN visible_from - event_time < 2592000000000 THEN n_1 END AS n_1_in_1,
    CASE WHEN visible_from - event_time < 2592000000000 THEN x_1 END AS x_1_in_1
  FROM signed
),
-- of every spine row t itself, and the instants at which windows that end at t begin
ends AS MATERIALIZED (
  SELECT row_id, "key_customer_id", CAST(1 AS UTINYINT) AS which, CAST(0 AS UTINYINT) AS side, asked_at AS instant, ((asked_at) + 4611686018427387904) // $tile AS tile
  FROM spine
  UNION ALL
  SELECT row_id, "key_customer_id", CAST(2 AS UTINYINT) AS which, CAST(1 AS UTINYINT) AS side, asked_at - 2592000000000 AS instant, ((asked_at - 2592000000000) + 4611686018427387904) // $tile AS tile
  FROM spine
),
-- per key, side and tile what its marks add up to; tiles of an end are there even if empty
tiles AS (
  SELECT
    "key_customer_id", side, tile,
    sum(n_1_in_1) AS n_1_in_1,
    sum(x_1_in_1) AS x_1_in_1
  FROM (
    SELECT "key_customer_id", side, tile, n_1_in_1, x_1_in_1 FROM marks
    UNION ALL BY NAME
    SELECT DISTINCT "key_customer_id", side, tile FROM ends WHERE "key_customer_id" IS NOT NULL
  )
  GROUP BY "key_customer_id", side, tile
),
-- per tile what all tiles before it add up to
totals AS MATERIALIZED (
  SELECT
    "key_customer_id", side, tile,
    coalesce(sum(n_1_in_1) OVER so_far, 0) - coalesce(n_1_in_1, 0) AS n_1_in_1,
    coalesce(sum(x_1_in_1) OVER so_far, 0) - coalesce(x_1_in_1, 0) AS x_1_in_1
  FROM tiles
  WINDOW so_far AS (PARTITION BY "key_customer_id", side ORDER BY tile ROWS UNBOUNDED PRECEDING)
),
-- ends and the marks before them in their tile
raw_pairs AS (
  SELECT e.row_id, e.which, f.n_1_in_1, f.x_1_in_1
  FROM ends AS e JOIN marks AS f
  ON e."key_customer_id" = f."key_customer_id" AND e.side = f.side AND e.tile = f.tile
  AND f.instant <= e.instant
),
-- per spine row what those add up to, end by end
raw AS (
  SELECT
    row_id,
    sum(n_1_in_1) FILTER (WHERE which = 1) AS n_1_in_1_end_1,
    sum(x_1_in_1) FILTER (WHERE which = 1) AS x_1_in_1_end_1,
    sum(n_1_in_1) FILTER (WHERE which = 2) AS n_1_in_1_end_2,
    sum(x_1_in_1) FILTER (WHERE which = 2) AS x_1_in_1_end_2
  FROM raw_pairs
  GROUP BY row_id
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    s.row_id,
    (t1.n_1_in_1 + coalesce(r.n_1_in_1_end_1, 0)) - (t2.n_1_in_1 + coalesce(r.n_1_in_1_end_2, 0)) AS n_1_1,
    (t1.x_1_in_1 + coalesce(r.x_1_in_1_end_1, 0)) - (t2.x_1_in_1 + coalesce(r.x_1_in_1_end_2, 0)) AS x_1_1
  FROM spine AS s
  LEFT JOIN raw AS r USING (row_id)
  LEFT JOIN totals AS t1 ON s."key_customer_id" = t1."key_customer_id" AND t1.side = 0 AND t1.tile = ((s.asked_at) + 4611686018427387904) // $tile
  LEFT JOIN totals AS t2 ON s."key_customer_id" = t2."key_customer_id" AND t2.side = 1 AND t2.tile = ((s.asked_at - 2592000000000) + 4611686018427387904) // $tile
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_1_1, 0) > 0 THEN TRY_CAST(g.x_1_1 AS BIGINT) END AS "charged_back_30d",
  coalesce(g.n_1_1, 0) > 0 AND TRY_CAST(g.x_1_1 AS BIGINT) IS NULL AS "charged_back_30d__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;
