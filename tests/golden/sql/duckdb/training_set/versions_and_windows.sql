-- Training set of feature service versions_and_windows: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint c9d62b15c506f2d191db7877ee533021. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,
-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.
-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.

-- versions: Latest of view versions
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
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop" FROM wanted_versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", event_time, known_time, "in_amount", "in_cents", "in_Shop" FROM intervals SEMI JOIN wanted USING ("key_customer_id", event_time, known_time) WHERE until IS NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    canonical_double("in_amount") AS "in_amount",
    "in_cents" AS "in_cents",
    "in_Shop" AS "in_Shop"
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
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_amount" DESC NULLS LAST, "in_cents" DESC NULLS LAST, "in_Shop" DESC NULLS LAST) = 1
  )
),
-- facts that a later version replaces
replaced AS MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    canonical_double("in_amount") AS "in_amount",
    "in_cents" AS "in_cents",
    "in_Shop" AS "in_Shop",
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
    SELECT n.row_id, r.event_time, r."in_amount", r."in_cents", r."in_Shop"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN replaced AS r
    ON m."key_customer_id" = r."key_customer_id" AND r.packed = n.packed AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until
    UNION ALL
    SELECT n.row_id, c.event_time, c."in_amount", c."in_cents", c."in_Shop"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN chosen AS c
    ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time AND n.newest = n.packed
  )
  QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY "in_amount" DESC NULLS LAST, "in_cents" DESC NULLS LAST, "in_Shop" DESC NULLS LAST) = 1
),
-- per spine row its newest fact
answers AS (
  SELECT
    m.row_id,
    m.asked_at,
    CASE WHEN g.row_id IS NULL THEN c.event_time ELSE g.event_time END AS event_time,
    CASE WHEN g.row_id IS NULL THEN c."in_amount" ELSE g."in_amount" END AS "in_amount",
    CASE WHEN g.row_id IS NULL THEN c."in_cents" ELSE g."in_cents" END AS "in_cents",
    CASE WHEN g.row_id IS NULL THEN c."in_Shop" ELSE g."in_Shop" END AS "in_Shop"
  FROM matched AS m
  LEFT JOIN chosen AS c ON m."key_customer_id" = c."key_customer_id" AND m.event_time = c.event_time AND m.known_time = c.known_time
  LEFT JOIN merged AS g ON g.row_id = m.row_id
)
-- the answer, in spine order
SELECT
  a.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN a.asked_at - a.event_time > 7776000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.asked_at - a.event_time <= 7776000000000 THEN a."in_amount" END AS "last_amount"
FROM answers AS a
ORDER BY __row
;

-- versions: Latest of view versions, plan snapshot: last_amount
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
    canonical_double("in_amount") AS "in_amount",
    "in_cents" AS "in_cents",
    "in_Shop" AS "in_Shop"
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
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", event_time, known_time ORDER BY "in_amount" DESC NULLS LAST, "in_cents" DESC NULLS LAST, "in_Shop" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN s.asked_at - a.event_time > 7776000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN s.asked_at - a.event_time <= 7776000000000 THEN a."in_amount" END AS "last_amount"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
ORDER BY __row
;

-- versions: Window of view versions, plan pairs: count_1d, count_7d, amount_sum_7d, cents_sum_7d_offset_7d, cents_sum_lifetime, shops_7d
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END AS s_2,
    CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS x_2,
    measure_3 AS x_3
  FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.measure_3, f.measure_4, f.s_2, f.x_2, f.x_3
  FROM numbers AS f JOIN spine AS s
  ON s."key_customer_id" = f."key_customer_id"
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 86400000000) AS n_1_1,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 604800000000) AS n_1_2,
    count(measure_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS n_2_2,
    sum(s_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS s_2_2,
    sum(x_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS x_2_2,
    count(measure_3) FILTER (WHERE event_time >= asked_at - 1209600000000 AND event_time < asked_at - 604800000000) AS n_3_3,
    sum(x_3) FILTER (WHERE event_time >= asked_at - 1209600000000 AND event_time < asked_at - 604800000000) AS x_3_3,
    count(measure_3) AS n_3_4,
    sum(x_3) AS x_3_4,
    count(DISTINCT measure_4) FILTER (WHERE event_time >= asked_at - 604800000000) AS value_1
  FROM pairs
  GROUP BY row_id
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_3_3, 0) > 0 THEN TRY_CAST(g.x_3_3 AS BIGINT) END AS "cents_sum_7d_offset_7d",
  coalesce(g.n_3_3, 0) > 0 AND TRY_CAST(g.x_3_3 AS BIGINT) IS NULL AS "cents_sum_7d_offset_7d__overflow",
  CASE WHEN coalesce(g.n_3_4, 0) > 0 THEN TRY_CAST(g.x_3_4 AS BIGINT) END AS "cents_sum_lifetime",
  coalesce(g.n_3_4, 0) > 0 AND TRY_CAST(g.x_3_4 AS BIGINT) IS NULL AS "cents_sum_lifetime__overflow",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "shops_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan pairs: count_1d, count_7d, amount_sum_7d, cents_sum_7d_offset_7d
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END AS s_2,
    CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS x_2,
    measure_3 AS x_3
  FROM measured
),
-- spine rows, for the stretch of time they ask in and the two before: no reach goes beyond
asking AS (
  SELECT *, (asked_at + 4611686018427387904) // 604800000000 - 0 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 604800000000 - 1 AS stretch FROM spine
  UNION ALL
  SELECT *, (asked_at + 4611686018427387904) // 604800000000 - 2 AS stretch FROM spine
),
-- facts, and the stretch of time each falls into, half as long as the reach
stretched AS NOT MATERIALIZED (
  SELECT *, (event_time + 4611686018427387904) // 604800000000 AS stretch FROM numbers
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.measure_3, f.s_2, f.x_2, f.x_3
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 1209600000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 86400000000) AS n_1_1,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 604800000000) AS n_1_2,
    count(measure_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS n_2_2,
    sum(s_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS s_2_2,
    sum(x_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS x_2_2,
    count(measure_3) FILTER (WHERE event_time < asked_at - 604800000000) AS n_3_3,
    sum(x_3) FILTER (WHERE event_time < asked_at - 604800000000) AS x_3_3
  FROM pairs
  GROUP BY row_id
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_3_3, 0) > 0 THEN TRY_CAST(g.x_3_3 AS BIGINT) END AS "cents_sum_7d_offset_7d",
  coalesce(g.n_3_3, 0) > 0 AND TRY_CAST(g.x_3_3 AS BIGINT) IS NULL AS "cents_sum_7d_offset_7d__overflow"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan sweep: count_1d, count_7d, amount_sum_7d, cents_sum_7d_offset_7d
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_1, measure_2, measure_3, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_1, measure_2, measure_3, -1 FROM measured WHERE until IS NOT NULL
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
    measure_2,
    measure_3
  FROM signed
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2,
    measure_3
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
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2, m.measure_3
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", side)
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_1_in_1) AS n_1_in_1,
    sum(n_2_in_1) AS n_2_in_1,
    sum(s_2_in_1) AS s_2_in_1,
    sum(x_2_in_1) AS x_2_in_1,
    sum(n_3_in_1) AS n_3_in_1,
    sum(x_3_in_1) AS x_3_in_1,
    sum(n_1_in_2) AS n_1_in_2,
    sum(n_2_in_2) AS n_2_in_2,
    sum(s_2_in_2) AS s_2_in_2,
    sum(x_2_in_2) AS x_2_in_2,
    sum(n_3_in_2) AS n_3_in_2,
    sum(x_3_in_2) AS x_3_in_2,
    sum(n_1_in_3) AS n_1_in_3,
    sum(n_2_in_3) AS n_2_in_3,
    sum(s_2_in_3) AS s_2_in_3,
    sum(x_2_in_3) AS x_2_in_3,
    sum(n_3_in_3) AS n_3_in_3,
    sum(x_3_in_3) AS x_3_in_3
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_3
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
    coalesce(f.x_2_in_1, 0) AS x_2_in_1,
    CAST(coalesce(f.n_3_in_1, 0) AS DOUBLE) AS n_3_in_1,
    coalesce(f.x_3_in_1, 0) AS x_3_in_1,
    CAST(coalesce(f.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2,
    CAST(coalesce(f.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2,
    coalesce(f.s_2_in_2, 0) AS s_2_in_2,
    coalesce(f.x_2_in_2, 0) AS x_2_in_2,
    CAST(coalesce(f.n_3_in_2, 0) AS DOUBLE) AS n_3_in_2,
    coalesce(f.x_3_in_2, 0) AS x_3_in_2,
    CAST(coalesce(f.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3,
    CAST(coalesce(f.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3,
    coalesce(f.s_2_in_3, 0) AS s_2_in_3,
    coalesce(f.x_2_in_3, 0) AS x_2_in_3,
    CAST(coalesce(f.n_3_in_3, 0) AS DOUBLE) AS n_3_in_3,
    coalesce(f.x_3_in_3, 0) AS x_3_in_3
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
    sum(x_2_in_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1 AS x_2_in_1,
    sum(n_3_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_1 AS n_3_in_1,
    sum(x_3_in_1) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_1 AS x_3_in_1,
    sum(n_1_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2 AS n_1_in_2,
    sum(n_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2 AS n_2_in_2,
    sum(s_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2 AS s_2_in_2,
    sum(x_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2 AS x_2_in_2,
    sum(n_3_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_2 AS n_3_in_2,
    sum(x_3_in_2) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_2 AS x_3_in_2,
    sum(n_1_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3 AS n_1_in_3,
    sum(n_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3 AS n_2_in_3,
    sum(s_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3 AS s_2_in_3,
    sum(x_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3 AS x_2_in_3,
    sum(n_3_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_3 AS n_3_in_3,
    sum(x_3_in_3) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_3 AS x_3_in_3
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
    n_3_in_1,
    x_3_in_1,
    n_1_in_2,
    n_2_in_2,
    s_2_in_2,
    x_2_in_2,
    n_3_in_2,
    x_3_in_2,
    n_1_in_3,
    n_2_in_3,
    s_2_in_3,
    x_2_in_3,
    n_3_in_3,
    x_3_in_3,
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') END AS in_order
  FROM level_0
),
-- the tiles in which the stretches of each spine row end, and those in which they begin
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l0.first_tile + least(greatest(s.asked_at - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l1.first_tile + least(greatest(s.asked_at - 86400000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_2,
    l1.first_tile + least(greatest(s.asked_at - 604800000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_3,
    l1.first_tile + least(greatest(s.asked_at - 1209600000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_4,
    l0.first_tile AS low_1,
    l1.first_tile AS low_2,
    l1.first_tile AS low_3,
    l1.first_tile AS low_4
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id" AND l0.side = 0
  JOIN lines AS l1 ON s."key_customer_id" = l1."key_customer_id" AND l1.side = 1
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2, FALSE AS in_3, FALSE AS in_4
  FROM asked
  UNION ALL
  SELECT row_id, high_2 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 86400000000 AS high, FALSE AS in_1, TRUE AS in_2, FALSE AS in_3, FALSE AS in_4
  FROM asked
  UNION ALL
  SELECT row_id, high_3 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 604800000000 AS high, FALSE AS in_1, FALSE AS in_2, TRUE AS in_3, FALSE AS in_4
  FROM asked
  UNION ALL
  SELECT row_id, high_4 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 1209600000000 AS high, FALSE AS in_1, FALSE AS in_2, FALSE AS in_3, TRUE AS in_4
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    in_3,
    in_4,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_3
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
    sum(n_3_in_1) FILTER (WHERE in_1) AS n_3_in_1_of_1,
    sum(x_3_in_1) FILTER (WHERE in_1) AS x_3_in_1_of_1,
    sum(n_1_in_2) FILTER (WHERE in_1) AS n_1_in_2_of_1,
    sum(n_2_in_2) FILTER (WHERE in_1) AS n_2_in_2_of_1,
    sum(s_2_in_2) FILTER (WHERE in_1) AS s_2_in_2_of_1,
    sum(x_2_in_2) FILTER (WHERE in_1) AS x_2_in_2_of_1,
    sum(n_3_in_2) FILTER (WHERE in_1) AS n_3_in_2_of_1,
    sum(x_3_in_2) FILTER (WHERE in_1) AS x_3_in_2_of_1,
    sum(n_1_in_3) FILTER (WHERE in_1) AS n_1_in_3_of_1,
    sum(n_2_in_3) FILTER (WHERE in_1) AS n_2_in_3_of_1,
    sum(s_2_in_3) FILTER (WHERE in_1) AS s_2_in_3_of_1,
    sum(x_2_in_3) FILTER (WHERE in_1) AS x_2_in_3_of_1,
    sum(n_3_in_3) FILTER (WHERE in_1) AS n_3_in_3_of_1,
    sum(x_3_in_3) FILTER (WHERE in_1) AS x_3_in_3_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2,
    sum(n_3_in_1) FILTER (WHERE in_2) AS n_3_in_1_of_2,
    sum(x_3_in_1) FILTER (WHERE in_2) AS x_3_in_1_of_2,
    sum(n_1_in_2) FILTER (WHERE in_3) AS n_1_in_2_of_3,
    sum(n_2_in_2) FILTER (WHERE in_3) AS n_2_in_2_of_3,
    sum(s_2_in_2) FILTER (WHERE in_3) AS s_2_in_2_of_3,
    sum(x_2_in_2) FILTER (WHERE in_3) AS x_2_in_2_of_3,
    sum(n_3_in_2) FILTER (WHERE in_3) AS n_3_in_2_of_3,
    sum(x_3_in_2) FILTER (WHERE in_3) AS x_3_in_2_of_3,
    sum(n_1_in_3) FILTER (WHERE in_4) AS n_1_in_3_of_4,
    sum(n_2_in_3) FILTER (WHERE in_4) AS n_2_in_3_of_4,
    sum(s_2_in_3) FILTER (WHERE in_4) AS s_2_in_3_of_4,
    sum(x_2_in_3) FILTER (WHERE in_4) AS x_2_in_3_of_4,
    sum(n_3_in_3) FILTER (WHERE in_4) AS n_3_in_3_of_4,
    sum(x_3_in_3) FILTER (WHERE in_4) AS x_3_in_3_of_4
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1_in_1 AS at_1_n_1_in_1, h.n_2_in_1 AS at_1_n_2_in_1, h.s_2_in_1 AS at_1_s_2_in_1, h.x_2_in_1 AS at_1_x_2_in_1, h.n_3_in_1 AS at_1_n_3_in_1, h.x_3_in_1 AS at_1_x_3_in_1, h.n_1_in_2 AS at_1_n_1_in_2, h.n_2_in_2 AS at_1_n_2_in_2, h.s_2_in_2 AS at_1_s_2_in_2, h.x_2_in_2 AS at_1_x_2_in_2, h.n_3_in_2 AS at_1_n_3_in_2, h.x_3_in_2 AS at_1_x_3_in_2, h.n_1_in_3 AS at_1_n_1_in_3, h.n_2_in_3 AS at_1_n_2_in_3, h.s_2_in_3 AS at_1_s_2_in_3, h.x_2_in_3 AS at_1_x_2_in_3, h.n_3_in_3 AS at_1_n_3_in_3, h.x_3_in_3 AS at_1_x_3_in_3
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_1,
    a.at_1_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_1,
    a.at_1_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_1,
    a.at_1_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_1,
    a.at_1_n_3_in_1 - l.n_3_in_1 AS n_3_in_1_of_1,
    a.at_1_x_3_in_1 - l.x_3_in_1 AS x_3_in_1_of_1,
    a.at_1_n_1_in_2 - l.n_1_in_2 AS n_1_in_2_of_1,
    a.at_1_n_2_in_2 - l.n_2_in_2 AS n_2_in_2_of_1,
    a.at_1_s_2_in_2 - l.s_2_in_2 AS s_2_in_2_of_1,
    a.at_1_x_2_in_2 - l.x_2_in_2 AS x_2_in_2_of_1,
    a.at_1_n_3_in_2 - l.n_3_in_2 AS n_3_in_2_of_1,
    a.at_1_x_3_in_2 - l.x_3_in_2 AS x_3_in_2_of_1,
    a.at_1_n_1_in_3 - l.n_1_in_3 AS n_1_in_3_of_1,
    a.at_1_n_2_in_3 - l.n_2_in_3 AS n_2_in_3_of_1,
    a.at_1_s_2_in_3 - l.s_2_in_3 AS s_2_in_3_of_1,
    a.at_1_x_2_in_3 - l.x_2_in_3 AS x_2_in_3_of_1,
    a.at_1_n_3_in_3 - l.n_3_in_3 AS n_3_in_3_of_1,
    a.at_1_x_3_in_3 - l.x_3_in_3 AS x_3_in_3_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1
),
-- with what the tiles before their ends add up to
before_high_2 AS (
  SELECT a.*, h.n_1_in_1 AS at_2_n_1_in_1, h.n_2_in_1 AS at_2_n_2_in_1, h.s_2_in_1 AS at_2_s_2_in_1, h.x_2_in_1 AS at_2_x_2_in_1, h.n_3_in_1 AS at_2_n_3_in_1, h.x_3_in_1 AS at_2_x_3_in_1
  FROM running AS h JOIN inside_1 AS a ON h.tile = a.high_2
),
-- and what the tiles inside a stretch do
inside_2 AS (
  SELECT a.*,
    a.at_2_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_2,
    a.at_2_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_2,
    a.at_2_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_2,
    a.at_2_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_2,
    a.at_2_n_3_in_1 - l.n_3_in_1 AS n_3_in_1_of_2,
    a.at_2_x_3_in_1 - l.x_3_in_1 AS x_3_in_1_of_2
  FROM running AS l JOIN before_high_2 AS a ON l.tile = a.low_2
),
-- with what the tiles before their ends add up to
before_high_3 AS (
  SELECT a.*, h.n_1_in_2 AS at_3_n_1_in_2, h.n_2_in_2 AS at_3_n_2_in_2, h.s_2_in_2 AS at_3_s_2_in_2, h.x_2_in_2 AS at_3_x_2_in_2, h.n_3_in_2 AS at_3_n_3_in_2, h.x_3_in_2 AS at_3_x_3_in_2
  FROM running AS h JOIN inside_2 AS a ON h.tile = a.high_3
),
-- and what the tiles inside a stretch do
inside_3 AS (
  SELECT a.*,
    a.at_3_n_1_in_2 - l.n_1_in_2 AS n_1_in_2_of_3,
    a.at_3_n_2_in_2 - l.n_2_in_2 AS n_2_in_2_of_3,
    a.at_3_s_2_in_2 - l.s_2_in_2 AS s_2_in_2_of_3,
    a.at_3_x_2_in_2 - l.x_2_in_2 AS x_2_in_2_of_3,
    a.at_3_n_3_in_2 - l.n_3_in_2 AS n_3_in_2_of_3,
    a.at_3_x_3_in_2 - l.x_3_in_2 AS x_3_in_2_of_3
  FROM running AS l JOIN before_high_3 AS a ON l.tile = a.low_3
),
-- with what the tiles before their ends add up to
before_high_4 AS (
  SELECT a.*, h.n_1_in_3 AS at_4_n_1_in_3, h.n_2_in_3 AS at_4_n_2_in_3, h.s_2_in_3 AS at_4_s_2_in_3, h.x_2_in_3 AS at_4_x_2_in_3, h.n_3_in_3 AS at_4_n_3_in_3, h.x_3_in_3 AS at_4_x_3_in_3
  FROM running AS h JOIN inside_3 AS a ON h.tile = a.high_4
),
-- and what the tiles inside a stretch do
inside_4 AS (
  SELECT a.*,
    a.at_4_n_1_in_3 - l.n_1_in_3 AS n_1_in_3_of_4,
    a.at_4_n_2_in_3 - l.n_2_in_3 AS n_2_in_3_of_4,
    a.at_4_s_2_in_3 - l.s_2_in_3 AS s_2_in_3_of_4,
    a.at_4_x_2_in_3 - l.x_2_in_3 AS x_2_in_3_of_4,
    a.at_4_n_3_in_3 - l.n_3_in_3 AS n_3_in_3_of_4,
    a.at_4_x_3_in_3 - l.x_3_in_3 AS x_3_in_3_of_4
  FROM running AS l JOIN before_high_4 AS a ON l.tile = a.low_4
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    CAST(a.n_2_in_1_of_1 + coalesce(r.n_2_in_1_of_1, 0) AS BIGINT) AS n_2_in_1_of_1,
    a.s_2_in_1_of_1 + coalesce(r.s_2_in_1_of_1, 0) AS s_2_in_1_of_1,
    a.x_2_in_1_of_1 + coalesce(r.x_2_in_1_of_1, 0) AS x_2_in_1_of_1,
    CAST(a.n_3_in_1_of_1 + coalesce(r.n_3_in_1_of_1, 0) AS BIGINT) AS n_3_in_1_of_1,
    a.x_3_in_1_of_1 + coalesce(r.x_3_in_1_of_1, 0) AS x_3_in_1_of_1,
    CAST(a.n_1_in_2_of_1 + coalesce(r.n_1_in_2_of_1, 0) AS BIGINT) AS n_1_in_2_of_1,
    CAST(a.n_2_in_2_of_1 + coalesce(r.n_2_in_2_of_1, 0) AS BIGINT) AS n_2_in_2_of_1,
    a.s_2_in_2_of_1 + coalesce(r.s_2_in_2_of_1, 0) AS s_2_in_2_of_1,
    a.x_2_in_2_of_1 + coalesce(r.x_2_in_2_of_1, 0) AS x_2_in_2_of_1,
    CAST(a.n_3_in_2_of_1 + coalesce(r.n_3_in_2_of_1, 0) AS BIGINT) AS n_3_in_2_of_1,
    a.x_3_in_2_of_1 + coalesce(r.x_3_in_2_of_1, 0) AS x_3_in_2_of_1,
    CAST(a.n_1_in_3_of_1 + coalesce(r.n_1_in_3_of_1, 0) AS BIGINT) AS n_1_in_3_of_1,
    CAST(a.n_2_in_3_of_1 + coalesce(r.n_2_in_3_of_1, 0) AS BIGINT) AS n_2_in_3_of_1,
    a.s_2_in_3_of_1 + coalesce(r.s_2_in_3_of_1, 0) AS s_2_in_3_of_1,
    a.x_2_in_3_of_1 + coalesce(r.x_2_in_3_of_1, 0) AS x_2_in_3_of_1,
    CAST(a.n_3_in_3_of_1 + coalesce(r.n_3_in_3_of_1, 0) AS BIGINT) AS n_3_in_3_of_1,
    a.x_3_in_3_of_1 + coalesce(r.x_3_in_3_of_1, 0) AS x_3_in_3_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2,
    CAST(a.n_3_in_1_of_2 + coalesce(r.n_3_in_1_of_2, 0) AS BIGINT) AS n_3_in_1_of_2,
    a.x_3_in_1_of_2 + coalesce(r.x_3_in_1_of_2, 0) AS x_3_in_1_of_2,
    CAST(a.n_1_in_2_of_3 + coalesce(r.n_1_in_2_of_3, 0) AS BIGINT) AS n_1_in_2_of_3,
    CAST(a.n_2_in_2_of_3 + coalesce(r.n_2_in_2_of_3, 0) AS BIGINT) AS n_2_in_2_of_3,
    a.s_2_in_2_of_3 + coalesce(r.s_2_in_2_of_3, 0) AS s_2_in_2_of_3,
    a.x_2_in_2_of_3 + coalesce(r.x_2_in_2_of_3, 0) AS x_2_in_2_of_3,
    CAST(a.n_3_in_2_of_3 + coalesce(r.n_3_in_2_of_3, 0) AS BIGINT) AS n_3_in_2_of_3,
    a.x_3_in_2_of_3 + coalesce(r.x_3_in_2_of_3, 0) AS x_3_in_2_of_3,
    CAST(a.n_1_in_3_of_4 + coalesce(r.n_1_in_3_of_4, 0) AS BIGINT) AS n_1_in_3_of_4,
    CAST(a.n_2_in_3_of_4 + coalesce(r.n_2_in_3_of_4, 0) AS BIGINT) AS n_2_in_3_of_4,
    a.s_2_in_3_of_4 + coalesce(r.s_2_in_3_of_4, 0) AS s_2_in_3_of_4,
    a.x_2_in_3_of_4 + coalesce(r.x_2_in_3_of_4, 0) AS x_2_in_3_of_4,
    CAST(a.n_3_in_3_of_4 + coalesce(r.n_3_in_3_of_4, 0) AS BIGINT) AS n_3_in_3_of_4,
    a.x_3_in_3_of_4 + coalesce(r.x_3_in_3_of_4, 0) AS x_3_in_3_of_4
  FROM inside_4 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(n_1_in_2_of_1, 0) - coalesce(n_1_in_2_of_3, 0)) AS n_1_2,
    (coalesce(n_2_in_2_of_1, 0) - coalesce(n_2_in_2_of_3, 0)) AS n_2_2,
    (coalesce(s_2_in_2_of_1, 0) - coalesce(s_2_in_2_of_3, 0)) AS s_2_2,
    (coalesce(x_2_in_2_of_1, 0) - coalesce(x_2_in_2_of_3, 0)) AS x_2_2,
    (coalesce(n_3_in_3_of_1, 0) - coalesce(n_3_in_3_of_4, 0)) - (coalesce(n_3_in_2_of_1, 0) - coalesce(n_3_in_2_of_3, 0)) AS n_3_3,
    (coalesce(x_3_in_3_of_1, 0) - coalesce(x_3_in_3_of_4, 0)) - (coalesce(x_3_in_2_of_1, 0) - coalesce(x_3_in_2_of_3, 0)) AS x_3_3
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_3_3, 0) > 0 THEN TRY_CAST(g.x_3_3 AS BIGINT) END AS "cents_sum_7d_offset_7d",
  coalesce(g.n_3_3, 0) > 0 AND TRY_CAST(g.x_3_3 AS BIGINT) IS NULL AS "cents_sum_7d_offset_7d__overflow"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan aligned_sweep: count_1d, count_7d, amount_sum_7d, cents_sum_7d_offset_7d
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_1, measure_2, measure_3, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_1, measure_2, measure_3, -1 FROM measured WHERE until IS NOT NULL
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
    measure_2,
    measure_3
  FROM signed
  UNION ALL
  SELECT
    "key_customer_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2,
    measure_3
  FROM signed
),
-- the keys that are asked for, and the first of each one's tiles: they are numbered in one row
lines AS MATERIALIZED (
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 86400000000 + 31) AS first_tile, (($last_instant - $first_instant) // 86400000000 + 31) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 1296000000000) // 86400000000) + m.side AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2, m.measure_3
  FROM marks AS m JOIN lines AS l USING ("key_customer_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_1_in_1) AS n_1_in_1,
    sum(n_2_in_1) AS n_2_in_1,
    sum(s_2_in_1) AS s_2_in_1,
    sum(x_2_in_1) AS x_2_in_1,
    sum(n_3_in_1) AS n_3_in_1,
    sum(x_3_in_1) AS x_3_in_1,
    sum(n_1_in_2) AS n_1_in_2,
    sum(n_2_in_2) AS n_2_in_2,
    sum(s_2_in_2) AS s_2_in_2,
    sum(x_2_in_2) AS x_2_in_2,
    sum(n_3_in_2) AS n_3_in_2,
    sum(x_3_in_2) AS x_3_in_2,
    sum(n_1_in_3) AS n_1_in_3,
    sum(n_2_in_3) AS n_2_in_3,
    sum(s_2_in_3) AS s_2_in_3,
    sum(x_2_in_3) AS x_2_in_3,
    sum(n_3_in_3) AS n_3_in_3,
    sum(x_3_in_3) AS x_3_in_3
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_3
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
    CAST(coalesce(f0.n_3_in_1, 0) AS DOUBLE) AS n_3_in_1_at_0,
    coalesce(f0.x_3_in_1, 0) AS x_3_in_1_at_0,
    CAST(coalesce(f0.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2_at_0,
    CAST(coalesce(f0.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2_at_0,
    coalesce(f0.s_2_in_2, 0) AS s_2_in_2_at_0,
    coalesce(f0.x_2_in_2, 0) AS x_2_in_2_at_0,
    CAST(coalesce(f0.n_3_in_2, 0) AS DOUBLE) AS n_3_in_2_at_0,
    coalesce(f0.x_3_in_2, 0) AS x_3_in_2_at_0,
    CAST(coalesce(f0.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3_at_0,
    CAST(coalesce(f0.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3_at_0,
    coalesce(f0.s_2_in_3, 0) AS s_2_in_3_at_0,
    coalesce(f0.x_2_in_3, 0) AS x_2_in_3_at_0,
    CAST(coalesce(f0.n_3_in_3, 0) AS DOUBLE) AS n_3_in_3_at_0,
    coalesce(f0.x_3_in_3, 0) AS x_3_in_3_at_0,
    CAST(coalesce(f1.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_1,
    CAST(coalesce(f1.n_2_in_1, 0) AS DOUBLE) AS n_2_in_1_at_1,
    coalesce(f1.s_2_in_1, 0) AS s_2_in_1_at_1,
    coalesce(f1.x_2_in_1, 0) AS x_2_in_1_at_1,
    CAST(coalesce(f1.n_3_in_1, 0) AS DOUBLE) AS n_3_in_1_at_1,
    coalesce(f1.x_3_in_1, 0) AS x_3_in_1_at_1,
    CAST(coalesce(f1.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2_at_1,
    CAST(coalesce(f1.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2_at_1,
    coalesce(f1.s_2_in_2, 0) AS s_2_in_2_at_1,
    coalesce(f1.x_2_in_2, 0) AS x_2_in_2_at_1,
    CAST(coalesce(f1.n_3_in_2, 0) AS DOUBLE) AS n_3_in_2_at_1,
    coalesce(f1.x_3_in_2, 0) AS x_3_in_2_at_1,
    CAST(coalesce(f1.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3_at_1,
    CAST(coalesce(f1.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3_at_1,
    coalesce(f1.s_2_in_3, 0) AS s_2_in_3_at_1,
    coalesce(f1.x_2_in_3, 0) AS x_2_in_3_at_1,
    CAST(coalesce(f1.n_3_in_3, 0) AS DOUBLE) AS n_3_in_3_at_1,
    coalesce(f1.x_3_in_3, 0) AS x_3_in_3_at_1
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
    sum(n_3_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_1_at_0 AS n_3_in_1_at_0,
    sum(x_3_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_1_at_0 AS x_3_in_1_at_0,
    sum(n_1_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2_at_0 AS n_1_in_2_at_0,
    sum(n_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2_at_0 AS n_2_in_2_at_0,
    sum(s_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2_at_0 AS s_2_in_2_at_0,
    sum(x_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2_at_0 AS x_2_in_2_at_0,
    sum(n_3_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_2_at_0 AS n_3_in_2_at_0,
    sum(x_3_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_2_at_0 AS x_3_in_2_at_0,
    sum(n_1_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3_at_0 AS n_1_in_3_at_0,
    sum(n_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3_at_0 AS n_2_in_3_at_0,
    sum(s_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3_at_0 AS s_2_in_3_at_0,
    sum(x_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3_at_0 AS x_2_in_3_at_0,
    sum(n_3_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_3_at_0 AS n_3_in_3_at_0,
    sum(x_3_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_3_at_0 AS x_3_in_3_at_0,
    sum(n_1_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1_at_1 AS n_1_in_1_at_1,
    sum(n_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_1_at_1 AS n_2_in_1_at_1,
    sum(s_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_1_at_1 AS s_2_in_1_at_1,
    sum(x_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1_at_1 AS x_2_in_1_at_1,
    sum(n_3_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_1_at_1 AS n_3_in_1_at_1,
    sum(x_3_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_1_at_1 AS x_3_in_1_at_1,
    sum(n_1_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2_at_1 AS n_1_in_2_at_1,
    sum(n_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2_at_1 AS n_2_in_2_at_1,
    sum(s_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2_at_1 AS s_2_in_2_at_1,
    sum(x_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2_at_1 AS x_2_in_2_at_1,
    sum(n_3_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_2_at_1 AS n_3_in_2_at_1,
    sum(x_3_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_2_at_1 AS x_3_in_2_at_1,
    sum(n_1_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3_at_1 AS n_1_in_3_at_1,
    sum(n_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3_at_1 AS n_2_in_3_at_1,
    sum(s_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3_at_1 AS s_2_in_3_at_1,
    sum(x_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3_at_1 AS x_2_in_3_at_1,
    sum(n_3_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_3_at_1 AS n_3_in_3_at_1,
    sum(x_3_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_3_at_1 AS x_3_in_3_at_1
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
    n_3_in_1_at_0 AS n_3_in_1_of_1,
    x_3_in_1_at_0 AS x_3_in_1_of_1,
    n_1_in_2_at_0 AS n_1_in_2_of_1,
    n_2_in_2_at_0 AS n_2_in_2_of_1,
    s_2_in_2_at_0 AS s_2_in_2_of_1,
    x_2_in_2_at_0 AS x_2_in_2_of_1,
    n_3_in_2_at_0 AS n_3_in_2_of_1,
    x_3_in_2_at_0 AS x_3_in_2_of_1,
    n_1_in_3_at_0 AS n_1_in_3_of_1,
    n_2_in_3_at_0 AS n_2_in_3_of_1,
    s_2_in_3_at_0 AS s_2_in_3_of_1,
    x_2_in_3_at_0 AS x_2_in_3_of_1,
    n_3_in_3_at_0 AS n_3_in_3_of_1,
    x_3_in_3_at_0 AS x_3_in_3_of_1,
    lag(n_1_in_1_at_1, 1) OVER () AS n_1_in_1_of_2,
    lag(n_2_in_1_at_1, 1) OVER () AS n_2_in_1_of_2,
    lag(s_2_in_1_at_1, 1) OVER () AS s_2_in_1_of_2,
    lag(x_2_in_1_at_1, 1) OVER () AS x_2_in_1_of_2,
    lag(n_3_in_1_at_1, 1) OVER () AS n_3_in_1_of_2,
    lag(x_3_in_1_at_1, 1) OVER () AS x_3_in_1_of_2,
    lag(n_1_in_2_at_1, 7) OVER () AS n_1_in_2_of_3,
    lag(n_2_in_2_at_1, 7) OVER () AS n_2_in_2_of_3,
    lag(s_2_in_2_at_1, 7) OVER () AS s_2_in_2_of_3,
    lag(x_2_in_2_at_1, 7) OVER () AS x_2_in_2_of_3,
    lag(n_3_in_2_at_1, 7) OVER () AS n_3_in_2_of_3,
    lag(x_3_in_2_at_1, 7) OVER () AS x_3_in_2_of_3,
    lag(n_1_in_3_at_1, 14) OVER () AS n_1_in_3_of_4,
    lag(n_2_in_3_at_1, 14) OVER () AS n_2_in_3_of_4,
    lag(s_2_in_3_at_1, 14) OVER () AS s_2_in_3_of_4,
    lag(x_2_in_3_at_1, 14) OVER () AS x_2_in_3_of_4,
    lag(n_3_in_3_at_1, 14) OVER () AS n_3_in_3_of_4,
    lag(x_3_in_3_at_1, 14) OVER () AS x_3_in_3_of_4
  FROM running
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 1296000000000, 1209600000000), $last_instant - $first_instant + 2592000000000) // 86400000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, 2 * (high_1 - 0) + 0 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2, FALSE AS in_3, FALSE AS in_4
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 1) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 86400000000 AS high, FALSE AS in_1, TRUE AS in_2, FALSE AS in_3, FALSE AS in_4
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 7) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 604800000000 AS high, FALSE AS in_1, FALSE AS in_2, TRUE AS in_3, FALSE AS in_4
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 14) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 1209600000000 AS high, FALSE AS in_1, FALSE AS in_2, FALSE AS in_3, TRUE AS in_4
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    in_2,
    in_3,
    in_4,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_3_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(measure_3 AS HUGEINT) END AS x_3_in_3
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
    sum(n_3_in_1) FILTER (WHERE in_1) AS n_3_in_1_of_1,
    sum(x_3_in_1) FILTER (WHERE in_1) AS x_3_in_1_of_1,
    sum(n_1_in_2) FILTER (WHERE in_1) AS n_1_in_2_of_1,
    sum(n_2_in_2) FILTER (WHERE in_1) AS n_2_in_2_of_1,
    sum(s_2_in_2) FILTER (WHERE in_1) AS s_2_in_2_of_1,
    sum(x_2_in_2) FILTER (WHERE in_1) AS x_2_in_2_of_1,
    sum(n_3_in_2) FILTER (WHERE in_1) AS n_3_in_2_of_1,
    sum(x_3_in_2) FILTER (WHERE in_1) AS x_3_in_2_of_1,
    sum(n_1_in_3) FILTER (WHERE in_1) AS n_1_in_3_of_1,
    sum(n_2_in_3) FILTER (WHERE in_1) AS n_2_in_3_of_1,
    sum(s_2_in_3) FILTER (WHERE in_1) AS s_2_in_3_of_1,
    sum(x_2_in_3) FILTER (WHERE in_1) AS x_2_in_3_of_1,
    sum(n_3_in_3) FILTER (WHERE in_1) AS n_3_in_3_of_1,
    sum(x_3_in_3) FILTER (WHERE in_1) AS x_3_in_3_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2,
    sum(n_3_in_1) FILTER (WHERE in_2) AS n_3_in_1_of_2,
    sum(x_3_in_1) FILTER (WHERE in_2) AS x_3_in_1_of_2,
    sum(n_1_in_2) FILTER (WHERE in_3) AS n_1_in_2_of_3,
    sum(n_2_in_2) FILTER (WHERE in_3) AS n_2_in_2_of_3,
    sum(s_2_in_2) FILTER (WHERE in_3) AS s_2_in_2_of_3,
    sum(x_2_in_2) FILTER (WHERE in_3) AS x_2_in_2_of_3,
    sum(n_3_in_2) FILTER (WHERE in_3) AS n_3_in_2_of_3,
    sum(x_3_in_2) FILTER (WHERE in_3) AS x_3_in_2_of_3,
    sum(n_1_in_3) FILTER (WHERE in_4) AS n_1_in_3_of_4,
    sum(n_2_in_3) FILTER (WHERE in_4) AS n_2_in_3_of_4,
    sum(s_2_in_3) FILTER (WHERE in_4) AS s_2_in_3_of_4,
    sum(x_2_in_3) FILTER (WHERE in_4) AS x_2_in_3_of_4,
    sum(n_3_in_3) FILTER (WHERE in_4) AS n_3_in_3_of_4,
    sum(x_3_in_3) FILTER (WHERE in_4) AS x_3_in_3_of_4
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
    t.n_3_in_1_of_1,
    t.x_3_in_1_of_1,
    t.n_1_in_2_of_1,
    t.n_2_in_2_of_1,
    t.s_2_in_2_of_1,
    t.x_2_in_2_of_1,
    t.n_3_in_2_of_1,
    t.x_3_in_2_of_1,
    t.n_1_in_3_of_1,
    t.n_2_in_3_of_1,
    t.s_2_in_3_of_1,
    t.x_2_in_3_of_1,
    t.n_3_in_3_of_1,
    t.x_3_in_3_of_1,
    t.n_1_in_1_of_2,
    t.n_2_in_1_of_2,
    t.s_2_in_1_of_2,
    t.x_2_in_1_of_2,
    t.n_3_in_1_of_2,
    t.x_3_in_1_of_2,
    t.n_1_in_2_of_3,
    t.n_2_in_2_of_3,
    t.s_2_in_2_of_3,
    t.x_2_in_2_of_3,
    t.n_3_in_2_of_3,
    t.x_3_in_2_of_3,
    t.n_1_in_3_of_4,
    t.n_2_in_3_of_4,
    t.s_2_in_3_of_4,
    t.x_2_in_3_of_4,
    t.n_3_in_3_of_4,
    t.x_3_in_3_of_4
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
    CAST(a.n_3_in_1_of_1 + coalesce(r.n_3_in_1_of_1, 0) AS BIGINT) AS n_3_in_1_of_1,
    a.x_3_in_1_of_1 + coalesce(r.x_3_in_1_of_1, 0) AS x_3_in_1_of_1,
    CAST(a.n_1_in_2_of_1 + coalesce(r.n_1_in_2_of_1, 0) AS BIGINT) AS n_1_in_2_of_1,
    CAST(a.n_2_in_2_of_1 + coalesce(r.n_2_in_2_of_1, 0) AS BIGINT) AS n_2_in_2_of_1,
    a.s_2_in_2_of_1 + coalesce(r.s_2_in_2_of_1, 0) AS s_2_in_2_of_1,
    a.x_2_in_2_of_1 + coalesce(r.x_2_in_2_of_1, 0) AS x_2_in_2_of_1,
    CAST(a.n_3_in_2_of_1 + coalesce(r.n_3_in_2_of_1, 0) AS BIGINT) AS n_3_in_2_of_1,
    a.x_3_in_2_of_1 + coalesce(r.x_3_in_2_of_1, 0) AS x_3_in_2_of_1,
    CAST(a.n_1_in_3_of_1 + coalesce(r.n_1_in_3_of_1, 0) AS BIGINT) AS n_1_in_3_of_1,
    CAST(a.n_2_in_3_of_1 + coalesce(r.n_2_in_3_of_1, 0) AS BIGINT) AS n_2_in_3_of_1,
    a.s_2_in_3_of_1 + coalesce(r.s_2_in_3_of_1, 0) AS s_2_in_3_of_1,
    a.x_2_in_3_of_1 + coalesce(r.x_2_in_3_of_1, 0) AS x_2_in_3_of_1,
    CAST(a.n_3_in_3_of_1 + coalesce(r.n_3_in_3_of_1, 0) AS BIGINT) AS n_3_in_3_of_1,
    a.x_3_in_3_of_1 + coalesce(r.x_3_in_3_of_1, 0) AS x_3_in_3_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2,
    CAST(a.n_3_in_1_of_2 + coalesce(r.n_3_in_1_of_2, 0) AS BIGINT) AS n_3_in_1_of_2,
    a.x_3_in_1_of_2 + coalesce(r.x_3_in_1_of_2, 0) AS x_3_in_1_of_2,
    CAST(a.n_1_in_2_of_3 + coalesce(r.n_1_in_2_of_3, 0) AS BIGINT) AS n_1_in_2_of_3,
    CAST(a.n_2_in_2_of_3 + coalesce(r.n_2_in_2_of_3, 0) AS BIGINT) AS n_2_in_2_of_3,
    a.s_2_in_2_of_3 + coalesce(r.s_2_in_2_of_3, 0) AS s_2_in_2_of_3,
    a.x_2_in_2_of_3 + coalesce(r.x_2_in_2_of_3, 0) AS x_2_in_2_of_3,
    CAST(a.n_3_in_2_of_3 + coalesce(r.n_3_in_2_of_3, 0) AS BIGINT) AS n_3_in_2_of_3,
    a.x_3_in_2_of_3 + coalesce(r.x_3_in_2_of_3, 0) AS x_3_in_2_of_3,
    CAST(a.n_1_in_3_of_4 + coalesce(r.n_1_in_3_of_4, 0) AS BIGINT) AS n_1_in_3_of_4,
    CAST(a.n_2_in_3_of_4 + coalesce(r.n_2_in_3_of_4, 0) AS BIGINT) AS n_2_in_3_of_4,
    a.s_2_in_3_of_4 + coalesce(r.s_2_in_3_of_4, 0) AS s_2_in_3_of_4,
    a.x_2_in_3_of_4 + coalesce(r.x_2_in_3_of_4, 0) AS x_2_in_3_of_4,
    CAST(a.n_3_in_3_of_4 + coalesce(r.n_3_in_3_of_4, 0) AS BIGINT) AS n_3_in_3_of_4,
    a.x_3_in_3_of_4 + coalesce(r.x_3_in_3_of_4, 0) AS x_3_in_3_of_4
  FROM looked_up AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(n_1_in_2_of_1, 0) - coalesce(n_1_in_2_of_3, 0)) AS n_1_2,
    (coalesce(n_2_in_2_of_1, 0) - coalesce(n_2_in_2_of_3, 0)) AS n_2_2,
    (coalesce(s_2_in_2_of_1, 0) - coalesce(s_2_in_2_of_3, 0)) AS s_2_2,
    (coalesce(x_2_in_2_of_1, 0) - coalesce(x_2_in_2_of_3, 0)) AS x_2_2,
    (coalesce(n_3_in_3_of_1, 0) - coalesce(n_3_in_3_of_4, 0)) - (coalesce(n_3_in_2_of_1, 0) - coalesce(n_3_in_2_of_3, 0)) AS n_3_3,
    (coalesce(x_3_in_3_of_1, 0) - coalesce(x_3_in_3_of_4, 0)) - (coalesce(x_3_in_2_of_1, 0) - coalesce(x_3_in_2_of_3, 0)) AS x_3_3
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_3_3, 0) > 0 THEN TRY_CAST(g.x_3_3 AS BIGINT) END AS "cents_sum_7d_offset_7d",
  coalesce(g.n_3_3, 0) > 0 AND TRY_CAST(g.x_3_3 AS BIGINT) IS NULL AS "cents_sum_7d_offset_7d__overflow"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan pairs: cents_sum_lifetime
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    measure_3 AS x_3
  FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_3, f.x_3
  FROM numbers AS f JOIN spine AS s
  ON s."key_customer_id" = f."key_customer_id"
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_3) AS n_3_1,
    sum(x_3) AS x_3_1
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_3_1, 0) > 0 THEN TRY_CAST(g.x_3_1 AS BIGINT) END AS "cents_sum_lifetime",
  coalesce(g.n_3_1, 0) > 0 AND TRY_CAST(g.x_3_1 AS BIGINT) IS NULL AS "cents_sum_lifetime__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan sweep: cents_sum_lifetime
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_3, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_3, -1 FROM measured WHERE until IS NOT NULL
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_3
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
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.sign, m.measure_3
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", side)
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_3_in_1) AS n_3_in_1,
    sum(x_3_in_1) AS x_3_in_1
  FROM (
    SELECT
      tile,
    CAST(sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) AS DOUBLE) AS n_3_in_1,
    sign * CAST(measure_3 AS HUGEINT) AS x_3_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
    CAST(coalesce(f.n_3_in_1, 0) AS DOUBLE) AS n_3_in_1,
    coalesce(f.x_3_in_1, 0) AS x_3_in_1
  FROM (SELECT unnest(range(first_tile, last_tile + 1)) AS tile FROM lines) LEFT JOIN filled AS f USING (tile)
),
-- in order: what all tiles before each add up to, and the extremes of each
level_0 AS (
  SELECT
    tile,
    row_number() OVER () - 1 AS place,
    sum(n_3_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_3_in_1 AS n_3_in_1,
    sum(x_3_in_1) OVER (ROWS UNBOUNDED PRECEDING) - x_3_in_1 AS x_3_in_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches need; every tile must have come in its place
running AS MATERIALIZED (
  SELECT
    tile,
    n_3_in_1,
    x_3_in_1,
    CASE WHEN place <> tile OR row_number() OVER () - 1 <> tile THEN error('tiles out of order') END AS in_order
  FROM level_0
),
-- the tiles in which the stretches of each spine row end, and those in which they begin
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l0.first_tile + least(greatest(s.asked_at - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l0.first_tile AS low_1
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id" AND l0.side = 0
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1
  FROM asked
),
-- those marks
raw_pairs AS (
  SELECT
    row_id,
    in_1,
    CAST(sign * (CAST(measure_3 IS NOT NULL AS BIGINT)) AS DOUBLE) AS n_3_in_1,
    sign * CAST(measure_3 AS HUGEINT) AS x_3_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    sum(n_3_in_1) FILTER (WHERE in_1) AS n_3_in_1_of_1,
    sum(x_3_in_1) FILTER (WHERE in_1) AS x_3_in_1_of_1
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_3_in_1 AS at_1_n_3_in_1, h.x_3_in_1 AS at_1_x_3_in_1
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_3_in_1 - l.n_3_in_1 AS n_3_in_1_of_1,
    a.at_1_x_3_in_1 - l.x_3_in_1 AS x_3_in_1_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_3_in_1_of_1 + coalesce(r.n_3_in_1_of_1, 0) AS BIGINT) AS n_3_in_1_of_1,
    a.x_3_in_1_of_1 + coalesce(r.x_3_in_1_of_1, 0) AS x_3_in_1_of_1
  FROM inside_1 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    coalesce(n_3_in_1_of_1, 0) AS n_3_1,
    coalesce(x_3_in_1_of_1, 0) AS x_3_1
  FROM stretches
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CASE WHEN coalesce(g.n_3_1, 0) > 0 THEN TRY_CAST(g.x_3_1 AS BIGINT) END AS "cents_sum_lifetime",
  coalesce(g.n_3_1, 0) > 0 AND TRY_CAST(g.x_3_1 AS BIGINT) IS NULL AS "cents_sum_lifetime__overflow"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan pairs: shops_7d
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_4
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
    count(DISTINCT measure_4) AS value_1
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "shops_7d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- versions: Window of view versions, plan snapshot: count_1d, count_7d, amount_sum_7d, cents_sum_7d_offset_7d, cents_sum_lifetime, shops_7d
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
  WHERE holds AND "key_customer_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at
),
-- facts, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    event_time,
    known_time,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
  FROM seen
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END AS s_2,
    CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS x_2,
    measure_3 AS x_3
  FROM measured
),
-- per key what its windows hold
grouped AS (
  SELECT
    "key_customer_id",
    count(measure_1) FILTER (WHERE event_time >= $at - 86400000000) AS n_1_1,
    count(measure_1) FILTER (WHERE event_time >= $at - 604800000000) AS n_1_2,
    count(measure_2) FILTER (WHERE event_time >= $at - 604800000000) AS n_2_2,
    sum(s_2) FILTER (WHERE event_time >= $at - 604800000000) AS s_2_2,
    sum(x_2) FILTER (WHERE event_time >= $at - 604800000000) AS x_2_2,
    count(measure_3) FILTER (WHERE event_time >= $at - 1209600000000 AND event_time < $at - 604800000000) AS n_3_3,
    sum(x_3) FILTER (WHERE event_time >= $at - 1209600000000 AND event_time < $at - 604800000000) AS x_3_3,
    count(measure_3) AS n_3_4,
    sum(x_3) AS x_3_4,
    count(DISTINCT measure_4) FILTER (WHERE event_time >= $at - 604800000000) AS value_1
  FROM numbers
  GROUP BY "key_customer_id"
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_3_3, 0) > 0 THEN TRY_CAST(g.x_3_3 AS BIGINT) END AS "cents_sum_7d_offset_7d",
  coalesce(g.n_3_3, 0) > 0 AND TRY_CAST(g.x_3_3 AS BIGINT) IS NULL AS "cents_sum_7d_offset_7d__overflow",
  CASE WHEN coalesce(g.n_3_4, 0) > 0 THEN TRY_CAST(g.x_3_4 AS BIGINT) END AS "cents_sum_lifetime",
  coalesce(g.n_3_4, 0) > 0 AND TRY_CAST(g.x_3_4 AS BIGINT) IS NULL AS "cents_sum_lifetime__overflow",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "shops_7d"
FROM spine AS s LEFT JOIN rounded AS g USING ("key_customer_id")
ORDER BY __row
;

-- versions: Window of view versions, plan pairs, values as lists: amount_sum_7d
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
    canonical_double("in_amount") AS measure_2,
    "in_cents" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(10 AS BIGINT) AS DOUBLE) THEN "in_Shop" END AS measure_4
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
  g.value_1 AS "amount_sum_7d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;
