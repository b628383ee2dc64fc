-- Training set of feature service referral_v1: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint 3453a5bd7ef51da16e1feff61c52121e. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,
-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.
-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.

-- card_payments: Window of view card_payments, plan pairs: count_30d, amount_sum_30d, merchant_id_count_distinct_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
    canonical_double("in_amount") AS measure_2,
    "in_merchant_id" AS measure_3
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.measure_3, f.s_2, f.x_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 2592000000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) AS n_1_1,
    count(measure_2) AS n_2_1,
    sum(s_2) AS s_2_1,
    sum(x_2) AS x_2_1,
    count(DISTINCT measure_3) AS value_1
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "amount_sum_30d",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_id_count_distinct_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan pairs: count_30d, amount_sum_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
    canonical_double("in_amount") AS measure_2,
    "in_merchant_id" AS measure_3
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.s_2, f.x_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 2592000000000
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "amount_sum_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan sweep: count_30d, amount_sum_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
    canonical_double("in_amount") AS measure_2,
    "in_merchant_id" AS measure_3
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "amount_sum_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan aligned_sweep: count_30d, amount_sum_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
    canonical_double("in_amount") AS measure_2,
    "in_merchant_id" AS measure_3
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
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 2592000000000 + 5) AS first_tile, (($last_instant - $first_instant) // 2592000000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 5184000000000) // 2592000000000) + m.side AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "amount_sum_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan pairs: merchant_id_count_distinct_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
    canonical_double("in_amount") AS measure_2,
    "in_merchant_id" AS measure_3
  FROM facts
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
  SELECT *, (event_time + 4611686018427387904) // 1296000000000 AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_3
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 2592000000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(DISTINCT measure_3) AS value_1
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_id_count_distinct_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan snapshot: count_30d, amount_sum_30d, merchant_id_count_distinct_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_amount" DESC NULLS LAST, "by_card_country" DESC NULLS LAST, "by_city" DESC NULLS LAST, "by_customer_id" DESC NULLS LAST, "by_merchant_id" DESC NULLS LAST, "by_paid_at" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at"
  FROM newest_versions SEMI JOIN spine USING ("key_customer_id")
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at AND event_time >= $at - 2592000000000
),
-- facts, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_merchant_id" AS measure_3
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
    sum(x_2) AS x_2_1,
    count(DISTINCT measure_3) AS value_1
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "amount_sum_30d",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_id_count_distinct_30d"
FROM spine AS s LEFT JOIN rounded AS g USING ("key_customer_id")
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan pairs, values as lists: amount_sum_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
    canonical_double("in_amount") AS measure_2,
    "in_merchant_id" AS measure_3
  FROM facts
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
  SELECT *, (event_time + 4611686018427387904) // 1296000000000 AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 2592000000000
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
  g.value_1 AS "amount_sum_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- referrer_payments: Latest of view card_payments
-- reads spine (row_id, asked_at, referrer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts of row keys with one version
single AS NOT MATERIALIZED (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- spine rows, and facts that are never replaced at the instant they become visible
timeline AS (
  SELECT "key_customer_id", 2 * asked_at AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine
  UNION ALL
  SELECT "key_customer_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM single
  UNION ALL
  SELECT "key_customer_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM intervals WHERE until IS NULL
),
-- the newest fact so far, event and known time in one integer
running AS (
  SELECT row_id, "key_customer_id", tick, max(packed) OVER (
    PARTITION BY "key_customer_id" ORDER BY tick ROWS UNBOUNDED PRECEDING
  ) AS newest
  FROM timeline
),
-- per spine row the event and known time of its newest visible fact
matched AS MATERIALIZED (
  SELECT row_id, "key_customer_id", tick // 2 AS asked_at, newest, event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time FROM running WHERE row_id IS NOT NULL)
),
-- the lasting facts that answer some row
wanted AS (
  SELECT DISTINCT "key_customer_id", event_time, known_time FROM matched WHERE newest IS NOT NULL
),
-- versions with those times, before any other join can grow on them
wanted_versions AS MATERIALIZED (
  SELECT * FROM versions SEMI JOIN wanted USING ("key_customer_id", event_time, known_time)
),
-- the lasting facts among them, with their inputs
lasting AS (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at" FROM wanted_versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at" FROM intervals SEMI JOIN wanted USING ("key_customer_id", event_time, known_time) WHERE until IS NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_card_country" AS "in_card_country",
    "in_city" AS "in_city",
    canonical_double("in_amount") AS "in_amount",
    "in_merchant_id" AS "in_merchant_id",
    "in_paid_at" AS "in_paid_at"
  FROM lasting
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_card_country" DESC NULLS LAST, "in_city" DESC NULLS LAST, "in_amount" DESC NULLS LAST, "in_merchant_id" DESC NULLS LAST, "in_paid_at" DESC NULLS LAST) = 1
  )
),
-- facts that a later version replaces
replaced AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_card_country" AS "in_card_country",
    "in_city" AS "in_city",
    canonical_double("in_amount") AS "in_amount",
    "in_merchant_id" AS "in_merchant_id",
    "in_paid_at" AS "in_paid_at",
    until,
    CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time AS packed
  FROM intervals WHERE until IS NOT NULL
),
-- rows for which a replaced fact was in force and at least as new as the lasting one
newer AS MATERIALIZED (
  SELECT m.row_id, m.newest, max(r.packed) AS packed
  FROM matched AS m JOIN replaced AS r
  ON m."key_customer_id" = r."key_customer_id" AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until AND (m.newest IS NULL OR r.packed >= m.newest)
  GROUP BY m.row_id, m.newest
),
-- the facts that share that newest time, lasting or replaced; the greatest inputs win
merged AS (
  SELECT * FROM (
    SELECT n.row_id, r.event_time, r."in_card_country", r."in_city", r."in_amount", r."in_merchant_id", r."in_paid_at"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN replaced AS r
    ON m."key_customer_id" = r."key_customer_id" AND r.packed = n.packed AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until
    UNION ALL
    SELECT n.row_id, c.event_time, c."in_card_country", c."in_city", c."in_amount", c."in_merchant_id", c."in_paid_at"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN chosen AS c
    ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time AND n.newest = n.packed
  )
  QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY "in_card_country" DESC NULLS LAST, "in_city" DESC NULLS LAST, "in_amount" DESC NULLS LAST, "in_merchant_id" DESC NULLS LAST, "in_paid_at" DESC NULLS LAST) = 1
),
-- per spine row its newest fact
answers AS (
  SELECT
    m.row_id,
    m.asked_at,
    CASE WHEN g.row_id IS NULL THEN c.event_time ELSE g.event_time END AS event_time,
    CASE WHEN g.row_id IS NULL THEN c."in_card_country" ELSE g."in_card_country" END AS "in_card_country",
    CASE WHEN g.row_id IS NULL THEN c."in_city" ELSE g."in_city" END AS "in_city",
    CASE WHEN g.row_id IS NULL THEN c."in_amount" ELSE g."in_amount" END AS "in_amount",
    CASE WHEN g.row_id IS NULL THEN c."in_merchant_id" ELSE g."in_merchant_id" END AS "in_merchant_id",
    CASE WHEN g.row_id IS NULL THEN c."in_paid_at" ELSE g."in_paid_at" END AS "in_paid_at"
  FROM matched AS m
  LEFT JOIN chosen AS c ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time
  LEFT JOIN merged AS g ON g.row_id = m.row_id
)
-- the answer, in spine order
SELECT
  a.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN a.asked_at - a.event_time > 7776000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.asked_at - a.event_time <= 7776000000000 THEN a."in_card_country" END AS "referrer_card_country"
FROM answers AS a
ORDER BY __row
;

-- referrer_payments: Latest of view card_payments, plan snapshot: referrer_card_country
-- reads spine (row_id, asked_at, referrer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_amount" DESC NULLS LAST, "by_card_country" DESC NULLS LAST, "by_city" DESC NULLS LAST, "by_customer_id" DESC NULLS LAST, "by_merchant_id" DESC NULLS LAST, "by_paid_at" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at"
  FROM newest_versions SEMI JOIN spine USING ("key_customer_id")
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at
),
-- per key the event and known time of its newest fact
wanted AS (
  SELECT "key_customer_id", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (SELECT "key_customer_id", max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest FROM seen GROUP BY "key_customer_id")
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_card_country" AS "in_card_country",
    "in_city" AS "in_city",
    canonical_double("in_amount") AS "in_amount",
    "in_merchant_id" AS "in_merchant_id",
    "in_paid_at" AS "in_paid_at"
  FROM seen SEMI JOIN wanted USING ("key_customer_id", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_card_country" DESC NULLS LAST, "in_city" DESC NULLS LAST, "in_amount" DESC NULLS LAST, "in_merchant_id" DESC NULLS LAST, "in_paid_at" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN s.asked_at - a.event_time > 7776000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN s.asked_at - a.event_time <= 7776000000000 THEN a."in_card_country" END AS "referrer_card_country"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
ORDER BY __row
;

-- referrer_payments: Window of view card_payments, plan pairs: referrer_count_30d, referrer_amount_sum_30d
-- reads spine (row_id, asked_at, referrer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.s_2, f.x_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 2592000000000
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "referrer_count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "referrer_amount_sum_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- referrer_payments: Window of view card_payments, plan sweep: referrer_count_30d, referrer_amount_sum_30d
-- reads spine (row_id, asked_at, referrer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "referrer_count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "referrer_amount_sum_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- referrer_payments: Window of view card_payments, plan aligned_sweep: referrer_count_30d, referrer_amount_sum_30d
-- reads spine (row_id, asked_at, referrer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 2592000000000 + 5) AS first_tile, (($last_instant - $first_instant) // 2592000000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 5184000000000) // 2592000000000) + m.side AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "referrer_count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "referrer_amount_sum_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- referrer_payments: Window of view card_payments, plan snapshot: referrer_count_30d, referrer_amount_sum_30d
-- reads spine (row_id, asked_at, referrer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_amount" DESC NULLS LAST, "by_card_country" DESC NULLS LAST, "by_city" DESC NULLS LAST, "by_customer_id" DESC NULLS LAST, "by_merchant_id" DESC NULLS LAST, "by_paid_at" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at"
  FROM newest_versions SEMI JOIN spine USING ("key_customer_id")
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at AND event_time >= $at - 2592000000000
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "referrer_count_30d",
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "referrer_amount_sum_30d"
FROM spine AS s LEFT JOIN rounded AS g USING ("key_customer_id")
ORDER BY __row
;

-- referrer_payments: Window of view card_payments, plan pairs, values as lists: referrer_amount_sum_30d
-- reads spine (row_id, asked_at, referrer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" = 'settled') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "card_country" AS "by_card_country",
    "city" AS "by_city",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "paid_at" AS "by_paid_at",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "card_country" AS "in_card_country",
    "city" AS "in_city",
    "amount" AS "in_amount",
    "merchant_id" AS "in_merchant_id",
    "paid_at" AS "in_paid_at"
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
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_card_country" ASC NULLS FIRST, "by_city" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_paid_at" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_card_country", "in_city", "in_amount", "in_merchant_id", "in_paid_at", until FROM intervals
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
  SELECT *, (asked_at + 4611686018427387904) // 1296000000000 - 0 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 1296000000000 - 1 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 1296000000000 - 2 AS stretch FROM spine
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS NOT MATERIALIZED (
  SELECT *, (event_time + 4611686018427387904) // 1296000000000 AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 2592000000000
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
  g.value_1 AS "referrer_amount_sum_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- customer_profile: Latest of view customer_profile
-- reads spine (row_id, asked_at, customer_id), source__customers
WITH
-- rows of source customers: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "customer_id" AS "row_customer_id",
    "is_closed" IS NOT TRUE AS holds,
    coalesce("is_closed", FALSE) AS deleted,
    "version" AS row_order,
    "credit_limit" AS "by_credit_limit",
    "customer_since" AS "by_customer_since",
    "home_country" AS "by_home_country",
    "segment" AS "by_segment",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "updated_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "updated_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("updated_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "segment" AS "in_segment",
    "home_country" AS "in_home_country",
    "credit_limit" AS "in_credit_limit",
    "customer_since" AS "in_customer_since"
  FROM source__customers
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "row_customer_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_customer_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- versions of repeated row keys that are ever facts, and when the next in order becomes known
intervals AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_customer_id"
      ORDER BY row_order ASC NULLS FIRST, known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_credit_limit" ASC NULLS FIRST, "by_customer_since" ASC NULLS FIRST, "by_home_country" ASC NULLS FIRST, "by_segment" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_customer_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts of row keys with one version
single AS NOT MATERIALIZED (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_customer_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- spine rows, and facts that are never replaced at the instant they become visible
timeline AS (
  SELECT "key_customer_id", 2 * asked_at AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine
  UNION ALL
  SELECT "key_customer_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM single
  UNION ALL
  SELECT "key_customer_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM intervals WHERE until IS NULL
),
-- the newest fact so far, event and known time in one integer
running AS (
  SELECT row_id, "key_customer_id", tick, max(packed) OVER (
    PARTITION BY "key_customer_id" ORDER BY tick ROWS UNBOUNDED PRECEDING
  ) AS newest
  FROM timeline
),
-- per spine row the event and known time of its newest visible fact
matched AS MATERIALIZED (
  SELECT row_id, "key_customer_id", tick // 2 AS asked_at, newest, event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time FROM running WHERE row_id IS NOT NULL)
),
-- the lasting facts that answer some row
wanted AS (
  SELECT DISTINCT "key_customer_id", event_time, known_time FROM matched WHERE newest IS NOT NULL
),
-- versions with those times, before any other join can grow on them
wanted_versions AS MATERIALIZED (
  SELECT * FROM versions SEMI JOIN wanted USING ("key_customer_id", event_time, known_time)
),
-- the lasting facts among them, with their inputs
lasting AS (
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since" FROM wanted_versions ANTI JOIN repeated USING ("row_customer_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since" FROM intervals SEMI JOIN wanted USING ("key_customer_id", event_time, known_time) WHERE until IS NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_segment" AS "in_segment",
    "in_home_country" AS "in_home_country",
    "in_credit_limit" AS "in_credit_limit",
    "in_customer_since" AS "in_customer_since"
  FROM lasting
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_segment" DESC NULLS LAST, "in_home_country" DESC NULLS LAST, "in_credit_limit" DESC NULLS LAST, "in_customer_since" DESC NULLS LAST) = 1
  )
),
-- facts that a later version replaces
replaced AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_segment" AS "in_segment",
    "in_home_country" AS "in_home_country",
    "in_credit_limit" AS "in_credit_limit",
    "in_customer_since" AS "in_customer_since",
    until,
    CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time AS packed
  FROM intervals WHERE until IS NOT NULL
),
-- rows for which a replaced fact was in force and at least as new as the lasting one
newer AS MATERIALIZED (
  SELECT m.row_id, m.newest, max(r.packed) AS packed
  FROM matched AS m JOIN replaced AS r
  ON m."key_customer_id" = r."key_customer_id" AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until AND (m.newest IS NULL OR r.packed >= m.newest)
  GROUP BY m.row_id, m.newest
),
-- the facts that share that newest time, lasting or replaced; the greatest inputs win
merged AS (
  SELECT * FROM (
    SELECT n.row_id, r.event_time, r."in_segment", r."in_home_country", r."in_credit_limit", r."in_customer_since"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN replaced AS r
    ON m."key_customer_id" = r."key_customer_id" AND r.packed = n.packed AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until
    UNION ALL
    SELECT n.row_id, c.event_time, c."in_segment", c."in_home_country", c."in_credit_limit", c."in_customer_since"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN chosen AS c
    ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time AND n.newest = n.packed
  )
  QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY "in_segment" DESC NULLS LAST, "in_home_country" DESC NULLS LAST, "in_credit_limit" DESC NULLS LAST, "in_customer_since" DESC NULLS LAST) = 1
),
-- per spine row its newest fact
answers AS (
  SELECT
    m.row_id,
    m.asked_at,
    CASE WHEN g.row_id IS NULL THEN c.event_time ELSE g.event_time END AS event_time,
    CASE WHEN g.row_id IS NULL THEN c."in_segment" ELSE g."in_segment" END AS "in_segment",
    CASE WHEN g.row_id IS NULL THEN c."in_home_country" ELSE g."in_home_country" END AS "in_home_country",
    CASE WHEN g.row_id IS NULL THEN c."in_credit_limit" ELSE g."in_credit_limit" END AS "in_credit_limit",
    CASE WHEN g.row_id IS NULL THEN c."in_customer_since" ELSE g."in_customer_since" END AS "in_customer_since"
  FROM matched AS m
  LEFT JOIN chosen AS c ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time
  LEFT JOIN merged AS g ON g.row_id = m.row_id
)
-- the answer, in spine order
SELECT
  a.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.event_time IS NOT NULL THEN a."in_segment" END AS "segment",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_home_country" END AS "home_country",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_credit_limit" END AS "credit_limit",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_customer_since" END AS "customer_since"
FROM answers AS a
ORDER BY __row
;

-- customer_profile: Latest of view customer_profile, plan snapshot: segment, home_country, credit_limit, customer_since
-- reads spine (row_id, asked_at, customer_id), source__customers
WITH
-- rows of source customers: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "customer_id" AS "row_customer_id",
    "is_closed" IS NOT TRUE AS holds,
    coalesce("is_closed", FALSE) AS deleted,
    "version" AS row_order,
    "credit_limit" AS "by_credit_limit",
    "customer_since" AS "by_customer_since",
    "home_country" AS "by_home_country",
    "segment" AS "by_segment",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "updated_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "updated_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("updated_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "segment" AS "in_segment",
    "home_country" AS "in_home_country",
    "credit_limit" AS "in_credit_limit",
    "customer_since" AS "in_customer_since"
  FROM source__customers
),
-- versions known before the cut-off and at the instant asked, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "row_customer_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before AND known_time + $known_shift < $at
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_customer_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_customer_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_customer_id")
    QUALIFY row_number() OVER (PARTITION BY "row_customer_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_credit_limit" DESC NULLS LAST, "by_customer_since" DESC NULLS LAST, "by_home_country" DESC NULLS LAST, "by_segment" DESC NULLS LAST) = 1
  )
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since"
  FROM newest_versions SEMI JOIN spine USING ("key_customer_id")
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at
),
-- per key the event and known time of its newest fact
wanted AS (
  SELECT "key_customer_id", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (SELECT "key_customer_id", max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest FROM seen GROUP BY "key_customer_id")
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_segment" AS "in_segment",
    "in_home_country" AS "in_home_country",
    "in_credit_limit" AS "in_credit_limit",
    "in_customer_since" AS "in_customer_since"
  FROM seen SEMI JOIN wanted USING ("key_customer_id", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_segment" DESC NULLS LAST, "in_home_country" DESC NULLS LAST, "in_credit_limit" DESC NULLS LAST, "in_customer_since" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.event_time IS NOT NULL THEN a."in_segment" END AS "segment",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_home_country" END AS "home_country",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_credit_limit" END AS "credit_limit",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_customer_since" END AS "customer_since"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
ORDER BY __row
;

-- referrer_profile: Latest of view customer_profile
-- reads spine (row_id, asked_at, referrer_id), source__customers
WITH
-- rows of source customers: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "customer_id" AS "row_customer_id",
    "is_closed" IS NOT TRUE AS holds,
    coalesce("is_closed", FALSE) AS deleted,
    "version" AS row_order,
    "credit_limit" AS "by_credit_limit",
    "customer_since" AS "by_customer_since",
    "home_country" AS "by_home_country",
    "segment" AS "by_segment",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "updated_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "updated_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("updated_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "segment" AS "in_segment",
    "home_country" AS "in_home_country",
    "credit_limit" AS "in_credit_limit",
    "customer_since" AS "in_customer_since"
  FROM source__customers
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "row_customer_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_customer_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- versions of repeated row keys that are ever facts, and when the next in order becomes known
intervals AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_customer_id"
      ORDER BY row_order ASC NULLS FIRST, known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_credit_limit" ASC NULLS FIRST, "by_customer_since" ASC NULLS FIRST, "by_home_country" ASC NULLS FIRST, "by_segment" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_customer_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts of row keys with one version
single AS NOT MATERIALIZED (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_customer_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
),
-- spine rows, and facts that are never replaced at the instant they become visible
timeline AS (
  SELECT "key_customer_id", 2 * asked_at AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine
  UNION ALL
  SELECT "key_customer_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM single
  UNION ALL
  SELECT "key_customer_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM intervals WHERE until IS NULL
),
-- the newest fact so far, event and known time in one integer
running AS (
  SELECT row_id, "key_customer_id", tick, max(packed) OVER (
    PARTITION BY "key_customer_id" ORDER BY tick ROWS UNBOUNDED PRECEDING
  ) AS newest
  FROM timeline
),
-- per spine row the event and known time of its newest visible fact
matched AS MATERIALIZED (
  SELECT row_id, "key_customer_id", tick // 2 AS asked_at, newest, event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time FROM running WHERE row_id IS NOT NULL)
),
-- the lasting facts that answer some row
wanted AS (
  SELECT DISTINCT "key_customer_id", event_time, known_time FROM matched WHERE newest IS NOT NULL
),
-- versions with those times, before any other join can grow on them
wanted_versions AS MATERIALIZED (
  SELECT * FROM versions SEMI JOIN wanted USING ("key_customer_id", event_time, known_time)
),
-- the lasting facts among them, with their inputs
lasting AS (
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since" FROM wanted_versions ANTI JOIN repeated USING ("row_customer_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since" FROM intervals SEMI JOIN wanted USING ("key_customer_id", event_time, known_time) WHERE until IS NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_segment" AS "in_segment",
    "in_home_country" AS "in_home_country",
    "in_credit_limit" AS "in_credit_limit",
    "in_customer_since" AS "in_customer_since"
  FROM lasting
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_segment" DESC NULLS LAST, "in_home_country" DESC NULLS LAST, "in_credit_limit" DESC NULLS LAST, "in_customer_since" DESC NULLS LAST) = 1
  )
),
-- facts that a later version replaces
replaced AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_segment" AS "in_segment",
    "in_home_country" AS "in_home_country",
    "in_credit_limit" AS "in_credit_limit",
    "in_customer_since" AS "in_customer_since",
    until,
    CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time AS packed
  FROM intervals WHERE until IS NOT NULL
),
-- rows for which a replaced fact was in force and at least as new as the lasting one
newer AS MATERIALIZED (
  SELECT m.row_id, m.newest, max(r.packed) AS packed
  FROM matched AS m JOIN replaced AS r
  ON m."key_customer_id" = r."key_customer_id" AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until AND (m.newest IS NULL OR r.packed >= m.newest)
  GROUP BY m.row_id, m.newest
),
-- the facts that share that newest time, lasting or replaced; the greatest inputs win
merged AS (
  SELECT * FROM (
    SELECT n.row_id, r.event_time, r."in_segment", r."in_home_country", r."in_credit_limit", r."in_customer_since"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN replaced AS r
    ON m."key_customer_id" = r."key_customer_id" AND r.packed = n.packed AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until
    UNION ALL
    SELECT n.row_id, c.event_time, c."in_segment", c."in_home_country", c."in_credit_limit", c."in_customer_since"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN chosen AS c
    ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time AND n.newest = n.packed
  )
  QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY "in_segment" DESC NULLS LAST, "in_home_country" DESC NULLS LAST, "in_credit_limit" DESC NULLS LAST, "in_customer_since" DESC NULLS LAST) = 1
),
-- per spine row its newest fact
answers AS (
  SELECT
    m.row_id,
    m.asked_at,
    CASE WHEN g.row_id IS NULL THEN c.event_time ELSE g.event_time END AS event_time,
    CASE WHEN g.row_id IS NULL THEN c."in_segment" ELSE g."in_segment" END AS "in_segment",
    CASE WHEN g.row_id IS NULL THEN c."in_home_country" ELSE g."in_home_country" END AS "in_home_country",
    CASE WHEN g.row_id IS NULL THEN c."in_credit_limit" ELSE g."in_credit_limit" END AS "in_credit_limit",
    CASE WHEN g.row_id IS NULL THEN c."in_customer_since" ELSE g."in_customer_since" END AS "in_customer_since"
  FROM matched AS m
  LEFT JOIN chosen AS c ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time
  LEFT JOIN merged AS g ON g.row_id = m.row_id
)
-- the answer, in spine order
SELECT
  a.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.event_time IS NOT NULL THEN a."in_segment" END AS "referrer_segment",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_customer_since" END AS "referrer_customer_since"
FROM answers AS a
ORDER BY __row
;

-- referrer_profile: Latest of view customer_profile, plan snapshot: referrer_segment, referrer_customer_since
-- reads spine (row_id, asked_at, referrer_id), source__customers
WITH
-- rows of source customers: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "customer_id" AS "row_customer_id",
    "is_closed" IS NOT TRUE AS holds,
    coalesce("is_closed", FALSE) AS deleted,
    "version" AS row_order,
    "credit_limit" AS "by_credit_limit",
    "customer_since" AS "by_customer_since",
    "home_country" AS "by_home_country",
    "segment" AS "by_segment",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CASE WHEN "updated_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "updated_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("updated_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "segment" AS "in_segment",
    "home_country" AS "in_home_country",
    "credit_limit" AS "in_credit_limit",
    "customer_since" AS "in_customer_since"
  FROM source__customers
),
-- versions known before the cut-off and at the instant asked, their known time shifted by the serving lag
versions AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "row_customer_id" IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before AND known_time + $known_shift < $at
),
-- row keys with more than one version
repeated AS MATERIALIZED (
  SELECT "row_customer_id"
  FROM versions
  GROUP BY ALL
  HAVING count(*) > 1
),
-- of each row key the newest version known
newest_versions AS (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_customer_id")
  UNION ALL
  (
    SELECT * FROM versions SEMI JOIN repeated USING ("row_customer_id")
    QUALIFY row_number() OVER (PARTITION BY "row_customer_id" ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_credit_limit" DESC NULLS LAST, "by_customer_since" DESC NULLS LAST, "by_home_country" DESC NULLS LAST, "by_segment" DESC NULLS LAST) = 1
  )
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time, "in_segment", "in_home_country", "in_credit_limit", "in_customer_since"
  FROM newest_versions SEMI JOIN spine USING ("key_customer_id")
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at
),
-- per key the event and known time of its newest fact
wanted AS (
  SELECT "key_customer_id", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (SELECT "key_customer_id", max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest FROM seen GROUP BY "key_customer_id")
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    "in_segment" AS "in_segment",
    "in_home_country" AS "in_home_country",
    "in_credit_limit" AS "in_credit_limit",
    "in_customer_since" AS "in_customer_since"
  FROM seen SEMI JOIN wanted USING ("key_customer_id", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_segment" DESC NULLS LAST, "in_home_country" DESC NULLS LAST, "in_credit_limit" DESC NULLS LAST, "in_customer_since" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.event_time IS NOT NULL THEN a."in_segment" END AS "referrer_segment",
  CASE WHEN a.event_time IS NOT NULL THEN a."in_customer_since" END AS "referrer_customer_since"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
ORDER BY __row
;
