-- Training set of feature service on_demand: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint c62b2b12a2db1136c5f0e133d7edf044. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,
-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.
-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.

-- versions: Window of view versions, plan pairs: count_7d, versions.amount_sum_7d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "Shop" AS "by_Shop",
    canonical_double("amount") AS "by_amount",
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "cents" AS "in_cents",
    "Shop" AS "in_Shop"
  FROM source__payments
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
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
-- versions of repeated row keys that are ever facts, and when the next in order becomes known
intervals AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY row_order ASC NULLS FIRST, known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_Shop" ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_cents" ASC NULLS FIRST, "by_payer" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END AS s_2,
    CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS x_2
  FROM measured
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT *, (asked_at + 4611686018427387904) // 302400000000 - 0 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 302400000000 - 1 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 302400000000 - 2 AS stretch FROM spine
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS NOT MATERIALIZED (
  SELECT *, (event_time + 4611686018427387904) // 302400000000 AS stretch FROM numbers
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.s_2, f.x_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 604800000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) AS n_1_1,
    count(measure_2) AS n_2_1,
    sum(s_2) AS s_2_1,
    sum(x_2) AS x_2_1
  FROM pairs
  GROUP BY row_id
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_1 > 0 THEN special_sum(s_2_1) ELSE exact_double(coalesce(x_2_1, 0)) * $unscale_2 END AS sum_2_1
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "versions.amount_sum_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan sweep: count_7d, versions.amount_sum_7d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "Shop" AS "by_Shop",
    canonical_double("amount") AS "by_amount",
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "cents" AS "in_cents",
    "Shop" AS "in_Shop"
  FROM source__payments
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
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
-- versions of repeated row keys that are ever facts, and when the next in order becomes known
intervals AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY row_order ASC NULLS FIRST, known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_Shop" ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_cents" ASC NULLS FIRST, "by_payer" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_1, measure_2, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_1, measure_2, -1 FROM measured WHERE until IS NOT NULL
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2
  FROM signed
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2
  FROM signed
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
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", side)
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_1_in_1) AS n_1_in_1,
    sum(n_2_in_1) AS n_2_in_1,
    sum(s_2_in_1) AS s_2_in_1,
    sum(x_2_in_1) AS x_2_in_1
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1,
    CAST(coalesce(f.n_2_in_1, 0) AS DOUBLE) AS n_2_in_1,
    coalesce(f.s_2_in_1, 0) AS s_2_in_1,
    coalesce(f.x_2_in_1, 0) AS x_2_in_1
  FROM (SELECT unnest(range(first_tile, last_tile + 1)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
level_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_1_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1 AS n_1_in_1,
    sum(n_2_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_1 AS n_2_in_1,
    sum(s_2_in_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_1 AS s_2_in_1,
    sum(x_2_in_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1 AS x_2_in_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches need; every tile must have come in its place
running AS MATERIALIZED (
  SELECT
    tile,
    n_1_in_1,
    n_2_in_1,
    s_2_in_1,
    x_2_in_1,
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') END AS in_order
  FROM level_0
),
-- the tiles in which the stretches of each spine row end, and those in which they begin
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l0.first_tile + least(greatest(s.asked_at - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l1.first_tile + least(greatest(s.asked_at - 604800000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_2,
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
  SELECT row_id, high_2 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 604800000000 AS high, FALSE AS in_1, TRUE AS in_2
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    sum(n_1_in_1) FILTER (WHERE in_1) AS n_1_in_1_of_1,
    sum(n_2_in_1) FILTER (WHERE in_1) AS n_2_in_1_of_1,
    sum(s_2_in_1) FILTER (WHERE in_1) AS s_2_in_1_of_1,
    sum(x_2_in_1) FILTER (WHERE in_1) AS x_2_in_1_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1_in_1 AS at_1_n_1_in_1, h.n_2_in_1 AS at_1_n_2_in_1, h.s_2_in_1 AS at_1_s_2_in_1, h.x_2_in_1 AS at_1_x_2_in_1
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_1,
    a.at_1_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_1,
    a.at_1_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_1,
    a.at_1_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1
),
-- with what the tiles before their ends add up to
before_high_2 AS (
  SELECT a.*, h.n_1_in_1 AS at_2_n_1_in_1, h.n_2_in_1 AS at_2_n_2_in_1, h.s_2_in_1 AS at_2_s_2_in_1, h.x_2_in_1 AS at_2_x_2_in_1
  FROM running AS h JOIN inside_1 AS a ON h.tile = a.high_2
),
-- and what the tiles inside a stretch do
inside_2 AS (
  SELECT a.*,
    a.at_2_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_2,
    a.at_2_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_2,
    a.at_2_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_2,
    a.at_2_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_2
  FROM running AS l JOIN before_high_2 AS a ON l.tile = a.low_2
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    CAST(a.n_2_in_1_of_1 + coalesce(r.n_2_in_1_of_1, 0) AS BIGINT) AS n_2_in_1_of_1,
    a.s_2_in_1_of_1 + coalesce(r.s_2_in_1_of_1, 0) AS s_2_in_1_of_1,
    a.x_2_in_1_of_1 + coalesce(r.x_2_in_1_of_1, 0) AS x_2_in_1_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2
  FROM inside_2 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(n_2_in_1_of_1, 0) - coalesce(n_2_in_1_of_2, 0)) AS n_2_1,
    (coalesce(s_2_in_1_of_1, 0) - coalesce(s_2_in_1_of_2, 0)) AS s_2_1,
    (coalesce(x_2_in_1_of_1, 0) - coalesce(x_2_in_1_of_2, 0)) AS x_2_1
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_1 > 0 THEN special_sum(s_2_1) ELSE exact_double(coalesce(x_2_1, 0)) * $unscale_2 END AS sum_2_1
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "versions.amount_sum_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan aligned_sweep: count_7d, versions.amount_sum_7d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "Shop" AS "by_Shop",
    canonical_double("amount") AS "by_amount",
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "cents" AS "in_cents",
    "Shop" AS "in_Shop"
  FROM source__payments
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
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
-- versions of repeated row keys that are ever facts, and when the next in order becomes known
intervals AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY row_order ASC NULLS FIRST, known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_Shop" ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_cents" ASC NULLS FIRST, "by_payer" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_1, measure_2, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_1, measure_2, -1 FROM measured WHERE until IS NOT NULL
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2
  FROM signed
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2
  FROM signed
),
-- the keys that are asked for, and the first of each one's tiles: they are numbered in one row
lines AS MATERIALIZED (
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 604800000000 + 5) AS first_tile, (($last_instant - $first_instant) // 604800000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 1209600000000) // 604800000000) + m.side AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2
  FROM marks AS m JOIN lines AS l USING ("key_customer_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_1_in_1) AS n_1_in_1,
    sum(n_2_in_1) AS n_2_in_1,
    sum(s_2_in_1) AS s_2_in_1,
    sum(x_2_in_1) AS x_2_in_1
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too, with both their sides
tiles AS (
  SELECT
    t.tile,
    CAST(coalesce(f0.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_0,
    CAST(coalesce(f0.n_2_in_1, 0) AS DOUBLE) AS n_2_in_1_at_0,
    coalesce(f0.s_2_in_1, 0) AS s_2_in_1_at_0,
    coalesce(f0.x_2_in_1, 0) AS x_2_in_1_at_0,
    CAST(coalesce(f1.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_1,
    CAST(coalesce(f1.n_2_in_1, 0) AS DOUBLE) AS n_2_in_1_at_1,
    coalesce(f1.s_2_in_1, 0) AS s_2_in_1_at_1,
    coalesce(f1.x_2_in_1, 0) AS x_2_in_1_at_1
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
    sum(n_2_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_1_at_0 AS n_2_in_1_at_0,
    sum(s_2_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_1_at_0 AS s_2_in_1_at_0,
    sum(x_2_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1_at_0 AS x_2_in_1_at_0,
    sum(n_1_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1_at_1 AS n_1_in_1_at_1,
    sum(n_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_1_at_1 AS n_2_in_1_at_1,
    sum(s_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_1_at_1 AS s_2_in_1_at_1,
    sum(x_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1_at_1 AS x_2_in_1_at_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what all tiles before those in which stretches end add up to
inside AS MATERIALIZED (
  SELECT
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') ELSE tile END AS tile,
    n_1_in_1_at_0 AS n_1_in_1_of_1,
    n_2_in_1_at_0 AS n_2_in_1_of_1,
    s_2_in_1_at_0 AS s_2_in_1_of_1,
    x_2_in_1_at_0 AS x_2_in_1_of_1,
    lag(n_1_in_1_at_1, 1) OVER () AS n_1_in_1_of_2,
    lag(n_2_in_1_at_1, 1) OVER () AS n_2_in_1_of_2,
    lag(s_2_in_1_at_1, 1) OVER () AS s_2_in_1_of_2,
    lag(x_2_in_1_at_1, 1) OVER () AS x_2_in_1_of_2
  FROM running
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 1209600000000, 604800000000), $last_instant - $first_instant + 2419200000000) // 604800000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, 2 * (high_1 - 0) + 0 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 1) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 604800000000 AS high, FALSE AS in_1, TRUE AS in_2
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    sum(n_1_in_1) FILTER (WHERE in_1) AS n_1_in_1_of_1,
    sum(n_2_in_1) FILTER (WHERE in_1) AS n_2_in_1_of_1,
    sum(s_2_in_1) FILTER (WHERE in_1) AS s_2_in_1_of_1,
    sum(x_2_in_1) FILTER (WHERE in_1) AS x_2_in_1_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2
  FROM raw_pairs
  GROUP BY row_id
),
-- with what their stretches hold whole
looked_up AS (
  SELECT a.*,
    t.n_1_in_1_of_1,
    t.n_2_in_1_of_1,
    t.s_2_in_1_of_1,
    t.x_2_in_1_of_1,
    t.n_1_in_1_of_2,
    t.n_2_in_1_of_2,
    t.s_2_in_1_of_2,
    t.x_2_in_1_of_2
  FROM inside AS t JOIN asked AS a ON t.tile = a.high_1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    CAST(a.n_2_in_1_of_1 + coalesce(r.n_2_in_1_of_1, 0) AS BIGINT) AS n_2_in_1_of_1,
    a.s_2_in_1_of_1 + coalesce(r.s_2_in_1_of_1, 0) AS s_2_in_1_of_1,
    a.x_2_in_1_of_1 + coalesce(r.x_2_in_1_of_1, 0) AS x_2_in_1_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2
  FROM looked_up AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(n_2_in_1_of_1, 0) - coalesce(n_2_in_1_of_2, 0)) AS n_2_1,
    (coalesce(s_2_in_1_of_1, 0) - coalesce(s_2_in_1_of_2, 0)) AS s_2_1,
    (coalesce(x_2_in_1_of_1, 0) - coalesce(x_2_in_1_of_2, 0)) AS x_2_1
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_1 > 0 THEN special_sum(s_2_1) ELSE exact_double(coalesce(x_2_1, 0)) * $unscale_2 END AS sum_2_1
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "versions.amount_sum_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan snapshot: count_7d, versions.amount_sum_7d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "Shop" AS "by_Shop",
    canonical_double("amount") AS "by_amount",
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "cents" AS "in_cents",
    "Shop" AS "in_Shop"
  FROM source__payments
),
-- versions known before the cut-off and at the instant asked, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "row_payment_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before AND known_time + $known_shift < $at
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
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_Shop" DESC NULLS LAST, "by_amount" DESC NULLS LAST, "by_cents" DESC NULLS LAST, "by_payer" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop"
  FROM newest_versions SEMI JOIN spine USING ("key_customer_id")
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at AND event_time >= $at - 604800000000
),
-- facts, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2
  FROM seen
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END AS s_2,
    CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS x_2
  FROM measured
),
-- per key what its windows hold
grouped AS (
  SELECT
    "key_customer_id",
    count(measure_1) AS n_1_1,
    count(measure_2) AS n_2_1,
    sum(s_2) AS s_2_1,
    sum(x_2) AS x_2_1
  FROM numbers
  GROUP BY "key_customer_id"
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_1 > 0 THEN special_sum(s_2_1) ELSE exact_double(coalesce(x_2_1, 0)) * $unscale_2 END AS sum_2_1
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "versions.amount_sum_7d"
FROM spine AS s LEFT JOIN rounded AS g USING ("key_customer_id")
ORDER BY __row
;

-- versions: Window of view versions, plan pairs, values as lists: versions.amount_sum_7d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    "version" AS row_order,
    "Shop" AS "by_Shop",
    canonical_double("amount") AS "by_amount",
    "cents" AS "by_cents",
    "payer" AS "by_payer",
    "status" AS "by_status",
    CAST("payer" AS DECIMAL(38, 0)) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "cents" AS "in_cents",
    "Shop" AS "in_Shop"
  FROM source__payments
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
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
-- versions of repeated row keys that are ever facts, and when the next in order becomes known
intervals AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY row_order ASC NULLS FIRST, known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_Shop" ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_cents" ASC NULLS FIRST, "by_payer" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2
  FROM facts
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT *, (asked_at + 4611686018427387904) // 302400000000 - 0 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 302400000000 - 1 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 302400000000 - 2 AS stretch FROM spine
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS NOT MATERIALIZED (
  SELECT *, (event_time + 4611686018427387904) // 302400000000 AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 604800000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL) AS value_1
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  g.value_1 AS "versions.amount_sum_7d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- own_static: StaticLookup of view static
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
  CASE WHEN f."key_account_id" IS NOT NULL THEN canonical_double(CAST(canonical_double(f."in_limit") / nullif(CAST(CAST(12 AS BIGINT) AS DOUBLE), 0) AS DOUBLE)) END AS "own_static.own_monthly_limit"
FROM spine AS s LEFT JOIN facts AS f ON s."key_account_id" = f."key_account_id"
ORDER BY __row
;

-- amount_vs_usual: OnDemand of on-demand view amount_vs_usual
-- reads asked (row_id, request amount, amount_sum_7d (hidden versions.amount_sum_7d), count_7d, own_monthly_limit (hidden own_static.own_monthly_limit), request is_gift, as_of), batch by batch
-- the features, each from its own row alone
SELECT
  row_id AS __row,
  canonical_double(CAST(canonical_double("in_amount") / nullif(CASE WHEN (canonical_double("in_amount_sum_7d") / nullif(CAST("in_count_7d" AS DOUBLE), 0)) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_7d") / nullif(CAST("in_count_7d" AS DOUBLE), 0) END, 0) AS DOUBLE)) AS "amount_ratio",
  CAST((canonical_double("in_amount") > canonical_double("in_own_monthly_limit")) AND (NOT "in_is_gift") AS BOOLEAN) AS "is_over_limit",
  CAST(CAST(hour(timezone('UTC', "in_as_of")) AS BIGINT) AS BIGINT) AS "hour_asked",
  -- whether an operation had operands and no value
  ((((canonical_double("in_amount_sum_7d") / nullif(CAST("in_count_7d" AS DOUBLE), 0)) IS NULL) AND (NOT (canonical_double("in_amount_sum_7d") IS NULL))) AND (NOT ("in_count_7d" IS NULL))) OR ((((canonical_double("in_amount") / nullif(CASE WHEN (canonical_double("in_amount_sum_7d") / nullif(CAST("in_count_7d" AS DOUBLE), 0)) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_7d") / nullif(CAST("in_count_7d" AS DOUBLE), 0) END, 0)) IS NULL) AND (NOT (canonical_double("in_amount") IS NULL))) AND (NOT (CASE WHEN (canonical_double("in_amount_sum_7d") / nullif(CAST("in_count_7d" AS DOUBLE), 0)) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_7d") / nullif(CAST("in_count_7d" AS DOUBLE), 0) END IS NULL))) AS "amount_ratio__without_value"
FROM asked
ORDER BY __row
;
