-- Training set of feature service fraud_v1: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint 7cb4f80b14aa83fa55dac5e006becfbc. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,
-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.
-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.

-- card_payments: Latest of view card_payments
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
  CASE WHEN a.asked_at - a.event_time <= 7776000000000 THEN a."in_card_country" END AS "card_country",
  CASE WHEN a.asked_at - a.event_time <= 7776000000000 THEN a."in_city" END AS "last_city",
  CASE WHEN a.asked_at - a.event_time <= 7776000000000 THEN a."in_amount" END AS "last_amount"
FROM answers AS a
ORDER BY __row
;

-- card_payments: Latest of view card_payments, plan snapshot: card_country, last_city, last_amount
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
  CASE WHEN s.asked_at - a.event_time <= 7776000000000 THEN a."in_card_country" END AS "card_country",
  CASE WHEN s.asked_at - a.event_time <= 7776000000000 THEN a."in_city" END AS "last_city",
  CASE WHEN s.asked_at - a.event_time <= 7776000000000 THEN a."in_amount" END AS "last_amount"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan pairs: count_1h, count_1d, count_30d, amount_sum_1d, amount_sum_7d, amount_sum_30d, merchant_id_count_distinct_30d, large_count_30d, night_count_30d, amount_sum_lifetime
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END AS s_2,
    CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS x_2
  FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.measure_3, f.measure_4, f.measure_5, f.s_2, f.x_2
  FROM numbers AS f JOIN spine AS s
  ON s."key_customer_id" = f."key_customer_id"
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 3600000000) AS n_1_1,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 86400000000) AS n_1_2,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 2592000000000) AS n_1_3,
    count(measure_2) FILTER (WHERE event_time >= asked_at - 86400000000) AS n_2_2,
    sum(s_2) FILTER (WHERE event_time >= asked_at - 86400000000) AS s_2_2,
    sum(x_2) FILTER (WHERE event_time >= asked_at - 86400000000) AS x_2_2,
    count(measure_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS n_2_4,
    sum(s_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS s_2_4,
    sum(x_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS x_2_4,
    count(measure_2) FILTER (WHERE event_time >= asked_at - 2592000000000) AS n_2_3,
    sum(s_2) FILTER (WHERE event_time >= asked_at - 2592000000000) AS s_2_3,
    sum(x_2) FILTER (WHERE event_time >= asked_at - 2592000000000) AS x_2_3,
    count(measure_4) FILTER (WHERE event_time >= asked_at - 2592000000000) AS n_4_3,
    count(measure_5) FILTER (WHERE event_time >= asked_at - 2592000000000) AS n_5_3,
    count(measure_2) AS n_2_5,
    sum(s_2) AS s_2_5,
    sum(x_2) AS x_2_5,
    count(DISTINCT measure_3) FILTER (WHERE event_time >= asked_at - 2592000000000) AS value_1
  FROM pairs
  GROUP BY row_id
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_4 > 0 THEN special_sum(s_2_4) ELSE exact_double(coalesce(x_2_4, 0)) * $unscale_2 END AS sum_2_4,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3,
    CASE WHEN s_2_5 > 0 THEN special_sum(s_2_5) ELSE exact_double(coalesce(x_2_5, 0)) * $unscale_2 END AS sum_2_5
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1h",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_3, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_1d",
  CASE WHEN coalesce(g.n_2_4, 0) > 0 THEN g.sum_2_4 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "amount_sum_30d",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_id_count_distinct_30d",
  CAST(coalesce(g.n_4_3, 0) AS BIGINT) AS "large_count_30d",
  CAST(coalesce(g.n_5_3, 0) AS BIGINT) AS "night_count_30d",
  CASE WHEN coalesce(g.n_2_5, 0) > 0 THEN g.sum_2_5 END AS "amount_sum_lifetime"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan pairs: count_1h, count_1d, count_30d, amount_sum_1d, amount_sum_7d, amount_sum_30d, large_count_30d, night_count_30d
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.measure_4, f.measure_5, f.s_2, f.x_2
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
    count(measure_1) FILTER (WHERE event_time >= asked_at - 3600000000) AS n_1_1,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 86400000000) AS n_1_2,
    count(measure_1) AS n_1_3,
    count(measure_2) FILTER (WHERE event_time >= asked_at - 86400000000) AS n_2_2,
    sum(s_2) FILTER (WHERE event_time >= asked_at - 86400000000) AS s_2_2,
    sum(x_2) FILTER (WHERE event_time >= asked_at - 86400000000) AS x_2_2,
    count(measure_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS n_2_4,
    sum(s_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS s_2_4,
    sum(x_2) FILTER (WHERE event_time >= asked_at - 604800000000) AS x_2_4,
    count(measure_2) AS n_2_3,
    sum(s_2) AS s_2_3,
    sum(x_2) AS x_2_3,
    count(measure_4) AS n_4_3,
    count(measure_5) AS n_5_3
  FROM pairs
  GROUP BY row_id
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_4 > 0 THEN special_sum(s_2_4) ELSE exact_double(coalesce(x_2_4, 0)) * $unscale_2 END AS sum_2_4,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1h",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_3, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_1d",
  CASE WHEN coalesce(g.n_2_4, 0) > 0 THEN g.sum_2_4 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "amount_sum_30d",
  CAST(coalesce(g.n_4_3, 0) AS BIGINT) AS "large_count_30d",
  CAST(coalesce(g.n_5_3, 0) AS BIGINT) AS "night_count_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan sweep: count_1h, count_1d, count_30d, amount_sum_1d, amount_sum_7d, amount_sum_30d, large_count_30d, night_count_30d
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_1, measure_2, measure_4, measure_5, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_1, measure_2, measure_4, measure_5, -1 FROM measured WHERE until IS NOT NULL
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
    measure_4,
    measure_5
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
    measure_4,
    measure_5
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
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2, m.measure_4, m.measure_5
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
    sum(n_4_in_1) AS n_4_in_1,
    sum(n_5_in_1) AS n_5_in_1,
    sum(n_1_in_2) AS n_1_in_2,
    sum(n_2_in_2) AS n_2_in_2,
    sum(s_2_in_2) AS s_2_in_2,
    sum(x_2_in_2) AS x_2_in_2,
    sum(n_4_in_2) AS n_4_in_2,
    sum(n_5_in_2) AS n_5_in_2,
    sum(n_1_in_3) AS n_1_in_3,
    sum(n_2_in_3) AS n_2_in_3,
    sum(s_2_in_3) AS s_2_in_3,
    sum(x_2_in_3) AS x_2_in_3,
    sum(n_4_in_3) AS n_4_in_3,
    sum(n_5_in_3) AS n_5_in_3,
    sum(n_1_in_4) AS n_1_in_4,
    sum(n_2_in_4) AS n_2_in_4,
    sum(s_2_in_4) AS s_2_in_4,
    sum(x_2_in_4) AS x_2_in_4,
    sum(n_4_in_4) AS n_4_in_4,
    sum(n_5_in_4) AS n_5_in_4
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_2,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_3,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_4
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
    CAST(coalesce(f.n_4_in_1, 0) AS DOUBLE) AS n_4_in_1,
    CAST(coalesce(f.n_5_in_1, 0) AS DOUBLE) AS n_5_in_1,
    CAST(coalesce(f.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2,
    CAST(coalesce(f.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2,
    coalesce(f.s_2_in_2, 0) AS s_2_in_2,
    coalesce(f.x_2_in_2, 0) AS x_2_in_2,
    CAST(coalesce(f.n_4_in_2, 0) AS DOUBLE) AS n_4_in_2,
    CAST(coalesce(f.n_5_in_2, 0) AS DOUBLE) AS n_5_in_2,
    CAST(coalesce(f.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3,
    CAST(coalesce(f.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3,
    coalesce(f.s_2_in_3, 0) AS s_2_in_3,
    coalesce(f.x_2_in_3, 0) AS x_2_in_3,
    CAST(coalesce(f.n_4_in_3, 0) AS DOUBLE) AS n_4_in_3,
    CAST(coalesce(f.n_5_in_3, 0) AS DOUBLE) AS n_5_in_3,
    CAST(coalesce(f.n_1_in_4, 0) AS DOUBLE) AS n_1_in_4,
    CAST(coalesce(f.n_2_in_4, 0) AS DOUBLE) AS n_2_in_4,
    coalesce(f.s_2_in_4, 0) AS s_2_in_4,
    coalesce(f.x_2_in_4, 0) AS x_2_in_4,
    CAST(coalesce(f.n_4_in_4, 0) AS DOUBLE) AS n_4_in_4,
    CAST(coalesce(f.n_5_in_4, 0) AS DOUBLE) AS n_5_in_4
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
    sum(n_4_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_1 AS n_4_in_1,
    sum(n_5_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_1 AS n_5_in_1,
    sum(n_1_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2 AS n_1_in_2,
    sum(n_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2 AS n_2_in_2,
    sum(s_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2 AS s_2_in_2,
    sum(x_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2 AS x_2_in_2,
    sum(n_4_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_2 AS n_4_in_2,
    sum(n_5_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_2 AS n_5_in_2,
    sum(n_1_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3 AS n_1_in_3,
    sum(n_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3 AS n_2_in_3,
    sum(s_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3 AS s_2_in_3,
    sum(x_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3 AS x_2_in_3,
    sum(n_4_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_3 AS n_4_in_3,
    sum(n_5_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_3 AS n_5_in_3,
    sum(n_1_in_4) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_4 AS n_1_in_4,
    sum(n_2_in_4) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_4 AS n_2_in_4,
    sum(s_2_in_4) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_4 AS s_2_in_4,
    sum(x_2_in_4) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_4 AS x_2_in_4,
    sum(n_4_in_4) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_4 AS n_4_in_4,
    sum(n_5_in_4) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_4 AS n_5_in_4
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
    n_4_in_1,
    n_5_in_1,
    n_1_in_2,
    n_2_in_2,
    s_2_in_2,
    x_2_in_2,
    n_4_in_2,
    n_5_in_2,
    n_1_in_3,
    n_2_in_3,
    s_2_in_3,
    x_2_in_3,
    n_4_in_3,
    n_5_in_3,
    n_1_in_4,
    n_2_in_4,
    s_2_in_4,
    x_2_in_4,
    n_4_in_4,
    n_5_in_4,
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
    l1.first_tile + least(greatest(s.asked_at - 86400000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_3,
    l1.first_tile + least(greatest(s.asked_at - 2592000000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_4,
    l1.first_tile + least(greatest(s.asked_at - 604800000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_5,
    l0.first_tile AS low_1,
    l1.first_tile AS low_2,
    l1.first_tile AS low_3,
    l1.first_tile AS low_4,
    l1.first_tile AS low_5
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id" AND l0.side = 0
  JOIN lines AS l1 ON s."key_customer_id" = l1."key_customer_id" AND l1.side = 1
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, high_1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2, FALSE AS in_3, FALSE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, high_2 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 3600000000 AS high, FALSE AS in_1, TRUE AS in_2, FALSE AS in_3, FALSE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, high_3 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 86400000000 AS high, FALSE AS in_1, FALSE AS in_2, TRUE AS in_3, FALSE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, high_4 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 2592000000000 AS high, FALSE AS in_1, FALSE AS in_2, FALSE AS in_3, TRUE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, high_5 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 604800000000 AS high, FALSE AS in_1, FALSE AS in_2, FALSE AS in_3, FALSE AS in_4, TRUE AS in_5
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
    in_5,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_2,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_3,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_4
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
    sum(n_4_in_1) FILTER (WHERE in_1) AS n_4_in_1_of_1,
    sum(n_5_in_1) FILTER (WHERE in_1) AS n_5_in_1_of_1,
    sum(n_1_in_2) FILTER (WHERE in_1) AS n_1_in_2_of_1,
    sum(n_2_in_2) FILTER (WHERE in_1) AS n_2_in_2_of_1,
    sum(s_2_in_2) FILTER (WHERE in_1) AS s_2_in_2_of_1,
    sum(x_2_in_2) FILTER (WHERE in_1) AS x_2_in_2_of_1,
    sum(n_4_in_2) FILTER (WHERE in_1) AS n_4_in_2_of_1,
    sum(n_5_in_2) FILTER (WHERE in_1) AS n_5_in_2_of_1,
    sum(n_1_in_3) FILTER (WHERE in_1) AS n_1_in_3_of_1,
    sum(n_2_in_3) FILTER (WHERE in_1) AS n_2_in_3_of_1,
    sum(s_2_in_3) FILTER (WHERE in_1) AS s_2_in_3_of_1,
    sum(x_2_in_3) FILTER (WHERE in_1) AS x_2_in_3_of_1,
    sum(n_4_in_3) FILTER (WHERE in_1) AS n_4_in_3_of_1,
    sum(n_5_in_3) FILTER (WHERE in_1) AS n_5_in_3_of_1,
    sum(n_1_in_4) FILTER (WHERE in_1) AS n_1_in_4_of_1,
    sum(n_2_in_4) FILTER (WHERE in_1) AS n_2_in_4_of_1,
    sum(s_2_in_4) FILTER (WHERE in_1) AS s_2_in_4_of_1,
    sum(x_2_in_4) FILTER (WHERE in_1) AS x_2_in_4_of_1,
    sum(n_4_in_4) FILTER (WHERE in_1) AS n_4_in_4_of_1,
    sum(n_5_in_4) FILTER (WHERE in_1) AS n_5_in_4_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2,
    sum(n_4_in_1) FILTER (WHERE in_2) AS n_4_in_1_of_2,
    sum(n_5_in_1) FILTER (WHERE in_2) AS n_5_in_1_of_2,
    sum(n_1_in_2) FILTER (WHERE in_3) AS n_1_in_2_of_3,
    sum(n_2_in_2) FILTER (WHERE in_3) AS n_2_in_2_of_3,
    sum(s_2_in_2) FILTER (WHERE in_3) AS s_2_in_2_of_3,
    sum(x_2_in_2) FILTER (WHERE in_3) AS x_2_in_2_of_3,
    sum(n_4_in_2) FILTER (WHERE in_3) AS n_4_in_2_of_3,
    sum(n_5_in_2) FILTER (WHERE in_3) AS n_5_in_2_of_3,
    sum(n_1_in_3) FILTER (WHERE in_4) AS n_1_in_3_of_4,
    sum(n_2_in_3) FILTER (WHERE in_4) AS n_2_in_3_of_4,
    sum(s_2_in_3) FILTER (WHERE in_4) AS s_2_in_3_of_4,
    sum(x_2_in_3) FILTER (WHERE in_4) AS x_2_in_3_of_4,
    sum(n_4_in_3) FILTER (WHERE in_4) AS n_4_in_3_of_4,
    sum(n_5_in_3) FILTER (WHERE in_4) AS n_5_in_3_of_4,
    sum(n_1_in_4) FILTER (WHERE in_5) AS n_1_in_4_of_5,
    sum(n_2_in_4) FILTER (WHERE in_5) AS n_2_in_4_of_5,
    sum(s_2_in_4) FILTER (WHERE in_5) AS s_2_in_4_of_5,
    sum(x_2_in_4) FILTER (WHERE in_5) AS x_2_in_4_of_5,
    sum(n_4_in_4) FILTER (WHERE in_5) AS n_4_in_4_of_5,
    sum(n_5_in_4) FILTER (WHERE in_5) AS n_5_in_4_of_5
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1_in_1 AS at_1_n_1_in_1, h.n_2_in_1 AS at_1_n_2_in_1, h.s_2_in_1 AS at_1_s_2_in_1, h.x_2_in_1 AS at_1_x_2_in_1, h.n_4_in_1 AS at_1_n_4_in_1, h.n_5_in_1 AS at_1_n_5_in_1, h.n_1_in_2 AS at_1_n_1_in_2, h.n_2_in_2 AS at_1_n_2_in_2, h.s_2_in_2 AS at_1_s_2_in_2, h.x_2_in_2 AS at_1_x_2_in_2, h.n_4_in_2 AS at_1_n_4_in_2, h.n_5_in_2 AS at_1_n_5_in_2, h.n_1_in_3 AS at_1_n_1_in_3, h.n_2_in_3 AS at_1_n_2_in_3, h.s_2_in_3 AS at_1_s_2_in_3, h.x_2_in_3 AS at_1_x_2_in_3, h.n_4_in_3 AS at_1_n_4_in_3, h.n_5_in_3 AS at_1_n_5_in_3, h.n_1_in_4 AS at_1_n_1_in_4, h.n_2_in_4 AS at_1_n_2_in_4, h.s_2_in_4 AS at_1_s_2_in_4, h.x_2_in_4 AS at_1_x_2_in_4, h.n_4_in_4 AS at_1_n_4_in_4, h.n_5_in_4 AS at_1_n_5_in_4
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_1,
    a.at_1_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_1,
    a.at_1_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_1,
    a.at_1_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_1,
    a.at_1_n_4_in_1 - l.n_4_in_1 AS n_4_in_1_of_1,
    a.at_1_n_5_in_1 - l.n_5_in_1 AS n_5_in_1_of_1,
    a.at_1_n_1_in_2 - l.n_1_in_2 AS n_1_in_2_of_1,
    a.at_1_n_2_in_2 - l.n_2_in_2 AS n_2_in_2_of_1,
    a.at_1_s_2_in_2 - l.s_2_in_2 AS s_2_in_2_of_1,
    a.at_1_x_2_in_2 - l.x_2_in_2 AS x_2_in_2_of_1,
    a.at_1_n_4_in_2 - l.n_4_in_2 AS n_4_in_2_of_1,
    a.at_1_n_5_in_2 - l.n_5_in_2 AS n_5_in_2_of_1,
    a.at_1_n_1_in_3 - l.n_1_in_3 AS n_1_in_3_of_1,
    a.at_1_n_2_in_3 - l.n_2_in_3 AS n_2_in_3_of_1,
    a.at_1_s_2_in_3 - l.s_2_in_3 AS s_2_in_3_of_1,
    a.at_1_x_2_in_3 - l.x_2_in_3 AS x_2_in_3_of_1,
    a.at_1_n_4_in_3 - l.n_4_in_3 AS n_4_in_3_of_1,
    a.at_1_n_5_in_3 - l.n_5_in_3 AS n_5_in_3_of_1,
    a.at_1_n_1_in_4 - l.n_1_in_4 AS n_1_in_4_of_1,
    a.at_1_n_2_in_4 - l.n_2_in_4 AS n_2_in_4_of_1,
    a.at_1_s_2_in_4 - l.s_2_in_4 AS s_2_in_4_of_1,
    a.at_1_x_2_in_4 - l.x_2_in_4 AS x_2_in_4_of_1,
    a.at_1_n_4_in_4 - l.n_4_in_4 AS n_4_in_4_of_1,
    a.at_1_n_5_in_4 - l.n_5_in_4 AS n_5_in_4_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1
),
-- with what the tiles before their ends add up to
before_high_2 AS (
  SELECT a.*, h.n_1_in_1 AS at_2_n_1_in_1, h.n_2_in_1 AS at_2_n_2_in_1, h.s_2_in_1 AS at_2_s_2_in_1, h.x_2_in_1 AS at_2_x_2_in_1, h.n_4_in_1 AS at_2_n_4_in_1, h.n_5_in_1 AS at_2_n_5_in_1
  FROM running AS h JOIN inside_1 AS a ON h.tile = a.high_2
),
-- and what the tiles inside a stretch do
inside_2 AS (
  SELECT a.*,
    a.at_2_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_2,
    a.at_2_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_2,
    a.at_2_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_2,
    a.at_2_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_2,
    a.at_2_n_4_in_1 - l.n_4_in_1 AS n_4_in_1_of_2,
    a.at_2_n_5_in_1 - l.n_5_in_1 AS n_5_in_1_of_2
  FROM running AS l JOIN before_high_2 AS a ON l.tile = a.low_2
),
-- with what the tiles before their ends add up to
before_high_3 AS (
  SELECT a.*, h.n_1_in_2 AS at_3_n_1_in_2, h.n_2_in_2 AS at_3_n_2_in_2, h.s_2_in_2 AS at_3_s_2_in_2, h.x_2_in_2 AS at_3_x_2_in_2, h.n_4_in_2 AS at_3_n_4_in_2, h.n_5_in_2 AS at_3_n_5_in_2
  FROM running AS h JOIN inside_2 AS a ON h.tile = a.high_3
),
-- and what the tiles inside a stretch do
inside_3 AS (
  SELECT a.*,
    a.at_3_n_1_in_2 - l.n_1_in_2 AS n_1_in_2_of_3,
    a.at_3_n_2_in_2 - l.n_2_in_2 AS n_2_in_2_of_3,
    a.at_3_s_2_in_2 - l.s_2_in_2 AS s_2_in_2_of_3,
    a.at_3_x_2_in_2 - l.x_2_in_2 AS x_2_in_2_of_3,
    a.at_3_n_4_in_2 - l.n_4_in_2 AS n_4_in_2_of_3,
    a.at_3_n_5_in_2 - l.n_5_in_2 AS n_5_in_2_of_3
  FROM running AS l JOIN before_high_3 AS a ON l.tile = a.low_3
),
-- with what the tiles before their ends add up to
before_high_4 AS (
  SELECT a.*, h.n_1_in_3 AS at_4_n_1_in_3, h.n_2_in_3 AS at_4_n_2_in_3, h.s_2_in_3 AS at_4_s_2_in_3, h.x_2_in_3 AS at_4_x_2_in_3, h.n_4_in_3 AS at_4_n_4_in_3, h.n_5_in_3 AS at_4_n_5_in_3
  FROM running AS h JOIN inside_3 AS a ON h.tile = a.high_4
),
-- and what the tiles inside a stretch do
inside_4 AS (
  SELECT a.*,
    a.at_4_n_1_in_3 - l.n_1_in_3 AS n_1_in_3_of_4,
    a.at_4_n_2_in_3 - l.n_2_in_3 AS n_2_in_3_of_4,
    a.at_4_s_2_in_3 - l.s_2_in_3 AS s_2_in_3_of_4,
    a.at_4_x_2_in_3 - l.x_2_in_3 AS x_2_in_3_of_4,
    a.at_4_n_4_in_3 - l.n_4_in_3 AS n_4_in_3_of_4,
    a.at_4_n_5_in_3 - l.n_5_in_3 AS n_5_in_3_of_4
  FROM running AS l JOIN before_high_4 AS a ON l.tile = a.low_4
),
-- with what the tiles before their ends add up to
before_high_5 AS (
  SELECT a.*, h.n_1_in_4 AS at_5_n_1_in_4, h.n_2_in_4 AS at_5_n_2_in_4, h.s_2_in_4 AS at_5_s_2_in_4, h.x_2_in_4 AS at_5_x_2_in_4, h.n_4_in_4 AS at_5_n_4_in_4, h.n_5_in_4 AS at_5_n_5_in_4
  FROM running AS h JOIN inside_4 AS a ON h.tile = a.high_5
),
-- and what the tiles inside a stretch do
inside_5 AS (
  SELECT a.*,
    a.at_5_n_1_in_4 - l.n_1_in_4 AS n_1_in_4_of_5,
    a.at_5_n_2_in_4 - l.n_2_in_4 AS n_2_in_4_of_5,
    a.at_5_s_2_in_4 - l.s_2_in_4 AS s_2_in_4_of_5,
    a.at_5_x_2_in_4 - l.x_2_in_4 AS x_2_in_4_of_5,
    a.at_5_n_4_in_4 - l.n_4_in_4 AS n_4_in_4_of_5,
    a.at_5_n_5_in_4 - l.n_5_in_4 AS n_5_in_4_of_5
  FROM running AS l JOIN before_high_5 AS a ON l.tile = a.low_5
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_1_in_1_of_1 + coalesce(r.n_1_in_1_of_1, 0) AS BIGINT) AS n_1_in_1_of_1,
    CAST(a.n_2_in_1_of_1 + coalesce(r.n_2_in_1_of_1, 0) AS BIGINT) AS n_2_in_1_of_1,
    a.s_2_in_1_of_1 + coalesce(r.s_2_in_1_of_1, 0) AS s_2_in_1_of_1,
    a.x_2_in_1_of_1 + coalesce(r.x_2_in_1_of_1, 0) AS x_2_in_1_of_1,
    CAST(a.n_4_in_1_of_1 + coalesce(r.n_4_in_1_of_1, 0) AS BIGINT) AS n_4_in_1_of_1,
    CAST(a.n_5_in_1_of_1 + coalesce(r.n_5_in_1_of_1, 0) AS BIGINT) AS n_5_in_1_of_1,
    CAST(a.n_1_in_2_of_1 + coalesce(r.n_1_in_2_of_1, 0) AS BIGINT) AS n_1_in_2_of_1,
    CAST(a.n_2_in_2_of_1 + coalesce(r.n_2_in_2_of_1, 0) AS BIGINT) AS n_2_in_2_of_1,
    a.s_2_in_2_of_1 + coalesce(r.s_2_in_2_of_1, 0) AS s_2_in_2_of_1,
    a.x_2_in_2_of_1 + coalesce(r.x_2_in_2_of_1, 0) AS x_2_in_2_of_1,
    CAST(a.n_4_in_2_of_1 + coalesce(r.n_4_in_2_of_1, 0) AS BIGINT) AS n_4_in_2_of_1,
    CAST(a.n_5_in_2_of_1 + coalesce(r.n_5_in_2_of_1, 0) AS BIGINT) AS n_5_in_2_of_1,
    CAST(a.n_1_in_3_of_1 + coalesce(r.n_1_in_3_of_1, 0) AS BIGINT) AS n_1_in_3_of_1,
    CAST(a.n_2_in_3_of_1 + coalesce(r.n_2_in_3_of_1, 0) AS BIGINT) AS n_2_in_3_of_1,
    a.s_2_in_3_of_1 + coalesce(r.s_2_in_3_of_1, 0) AS s_2_in_3_of_1,
    a.x_2_in_3_of_1 + coalesce(r.x_2_in_3_of_1, 0) AS x_2_in_3_of_1,
    CAST(a.n_4_in_3_of_1 + coalesce(r.n_4_in_3_of_1, 0) AS BIGINT) AS n_4_in_3_of_1,
    CAST(a.n_5_in_3_of_1 + coalesce(r.n_5_in_3_of_1, 0) AS BIGINT) AS n_5_in_3_of_1,
    CAST(a.n_1_in_4_of_1 + coalesce(r.n_1_in_4_of_1, 0) AS BIGINT) AS n_1_in_4_of_1,
    CAST(a.n_2_in_4_of_1 + coalesce(r.n_2_in_4_of_1, 0) AS BIGINT) AS n_2_in_4_of_1,
    a.s_2_in_4_of_1 + coalesce(r.s_2_in_4_of_1, 0) AS s_2_in_4_of_1,
    a.x_2_in_4_of_1 + coalesce(r.x_2_in_4_of_1, 0) AS x_2_in_4_of_1,
    CAST(a.n_4_in_4_of_1 + coalesce(r.n_4_in_4_of_1, 0) AS BIGINT) AS n_4_in_4_of_1,
    CAST(a.n_5_in_4_of_1 + coalesce(r.n_5_in_4_of_1, 0) AS BIGINT) AS n_5_in_4_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2,
    CAST(a.n_4_in_1_of_2 + coalesce(r.n_4_in_1_of_2, 0) AS BIGINT) AS n_4_in_1_of_2,
    CAST(a.n_5_in_1_of_2 + coalesce(r.n_5_in_1_of_2, 0) AS BIGINT) AS n_5_in_1_of_2,
    CAST(a.n_1_in_2_of_3 + coalesce(r.n_1_in_2_of_3, 0) AS BIGINT) AS n_1_in_2_of_3,
    CAST(a.n_2_in_2_of_3 + coalesce(r.n_2_in_2_of_3, 0) AS BIGINT) AS n_2_in_2_of_3,
    a.s_2_in_2_of_3 + coalesce(r.s_2_in_2_of_3, 0) AS s_2_in_2_of_3,
    a.x_2_in_2_of_3 + coalesce(r.x_2_in_2_of_3, 0) AS x_2_in_2_of_3,
    CAST(a.n_4_in_2_of_3 + coalesce(r.n_4_in_2_of_3, 0) AS BIGINT) AS n_4_in_2_of_3,
    CAST(a.n_5_in_2_of_3 + coalesce(r.n_5_in_2_of_3, 0) AS BIGINT) AS n_5_in_2_of_3,
    CAST(a.n_1_in_3_of_4 + coalesce(r.n_1_in_3_of_4, 0) AS BIGINT) AS n_1_in_3_of_4,
    CAST(a.n_2_in_3_of_4 + coalesce(r.n_2_in_3_of_4, 0) AS BIGINT) AS n_2_in_3_of_4,
    a.s_2_in_3_of_4 + coalesce(r.s_2_in_3_of_4, 0) AS s_2_in_3_of_4,
    a.x_2_in_3_of_4 + coalesce(r.x_2_in_3_of_4, 0) AS x_2_in_3_of_4,
    CAST(a.n_4_in_3_of_4 + coalesce(r.n_4_in_3_of_4, 0) AS BIGINT) AS n_4_in_3_of_4,
    CAST(a.n_5_in_3_of_4 + coalesce(r.n_5_in_3_of_4, 0) AS BIGINT) AS n_5_in_3_of_4,
    CAST(a.n_1_in_4_of_5 + coalesce(r.n_1_in_4_of_5, 0) AS BIGINT) AS n_1_in_4_of_5,
    CAST(a.n_2_in_4_of_5 + coalesce(r.n_2_in_4_of_5, 0) AS BIGINT) AS n_2_in_4_of_5,
    a.s_2_in_4_of_5 + coalesce(r.s_2_in_4_of_5, 0) AS s_2_in_4_of_5,
    a.x_2_in_4_of_5 + coalesce(r.x_2_in_4_of_5, 0) AS x_2_in_4_of_5,
    CAST(a.n_4_in_4_of_5 + coalesce(r.n_4_in_4_of_5, 0) AS BIGINT) AS n_4_in_4_of_5,
    CAST(a.n_5_in_4_of_5 + coalesce(r.n_5_in_4_of_5, 0) AS BIGINT) AS n_5_in_4_of_5
  FROM inside_5 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(n_1_in_2_of_1, 0) - coalesce(n_1_in_2_of_3, 0)) AS n_1_2,
    (coalesce(n_1_in_3_of_1, 0) - coalesce(n_1_in_3_of_4, 0)) AS n_1_3,
    (coalesce(n_2_in_2_of_1, 0) - coalesce(n_2_in_2_of_3, 0)) AS n_2_2,
    (coalesce(s_2_in_2_of_1, 0) - coalesce(s_2_in_2_of_3, 0)) AS s_2_2,
    (coalesce(x_2_in_2_of_1, 0) - coalesce(x_2_in_2_of_3, 0)) AS x_2_2,
    (coalesce(n_2_in_4_of_1, 0) - coalesce(n_2_in_4_of_5, 0)) AS n_2_4,
    (coalesce(s_2_in_4_of_1, 0) - coalesce(s_2_in_4_of_5, 0)) AS s_2_4,
    (coalesce(x_2_in_4_of_1, 0) - coalesce(x_2_in_4_of_5, 0)) AS x_2_4,
    (coalesce(n_2_in_3_of_1, 0) - coalesce(n_2_in_3_of_4, 0)) AS n_2_3,
    (coalesce(s_2_in_3_of_1, 0) - coalesce(s_2_in_3_of_4, 0)) AS s_2_3,
    (coalesce(x_2_in_3_of_1, 0) - coalesce(x_2_in_3_of_4, 0)) AS x_2_3,
    (coalesce(n_4_in_3_of_1, 0) - coalesce(n_4_in_3_of_4, 0)) AS n_4_3,
    (coalesce(n_5_in_3_of_1, 0) - coalesce(n_5_in_3_of_4, 0)) AS n_5_3
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_4 > 0 THEN special_sum(s_2_4) ELSE exact_double(coalesce(x_2_4, 0)) * $unscale_2 END AS sum_2_4,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1h",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_3, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_1d",
  CASE WHEN coalesce(g.n_2_4, 0) > 0 THEN g.sum_2_4 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "amount_sum_30d",
  CAST(coalesce(g.n_4_3, 0) AS BIGINT) AS "large_count_30d",
  CAST(coalesce(g.n_5_3, 0) AS BIGINT) AS "night_count_30d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan aligned_sweep: count_1h, count_1d, count_30d, amount_sum_1d, amount_sum_7d, amount_sum_30d, large_count_30d, night_count_30d
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_1, measure_2, measure_4, measure_5, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_1, measure_2, measure_4, measure_5, -1 FROM measured WHERE until IS NOT NULL
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
    measure_4,
    measure_5
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
    measure_4,
    measure_5
  FROM signed
),
-- the keys that are asked for, and the first of each one's tiles: they are numbered in one row
lines AS MATERIALIZED (
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 3600000000 + 1443) AS first_tile, (($last_instant - $first_instant) // 3600000000 + 1443) AS tiles
  FROM (SELECT DISTINCT "key_customer_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 2595600000000) // 3600000000) + m.side AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2, m.measure_4, m.measure_5
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
    sum(n_4_in_1) AS n_4_in_1,
    sum(n_5_in_1) AS n_5_in_1,
    sum(n_1_in_2) AS n_1_in_2,
    sum(n_2_in_2) AS n_2_in_2,
    sum(s_2_in_2) AS s_2_in_2,
    sum(x_2_in_2) AS x_2_in_2,
    sum(n_4_in_2) AS n_4_in_2,
    sum(n_5_in_2) AS n_5_in_2,
    sum(n_1_in_3) AS n_1_in_3,
    sum(n_2_in_3) AS n_2_in_3,
    sum(s_2_in_3) AS s_2_in_3,
    sum(x_2_in_3) AS x_2_in_3,
    sum(n_4_in_3) AS n_4_in_3,
    sum(n_5_in_3) AS n_5_in_3,
    sum(n_1_in_4) AS n_1_in_4,
    sum(n_2_in_4) AS n_2_in_4,
    sum(s_2_in_4) AS s_2_in_4,
    sum(x_2_in_4) AS x_2_in_4,
    sum(n_4_in_4) AS n_4_in_4,
    sum(n_5_in_4) AS n_5_in_4
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_2,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_3,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_4
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
    CAST(coalesce(f0.n_4_in_1, 0) AS DOUBLE) AS n_4_in_1_at_0,
    CAST(coalesce(f0.n_5_in_1, 0) AS DOUBLE) AS n_5_in_1_at_0,
    CAST(coalesce(f0.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2_at_0,
    CAST(coalesce(f0.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2_at_0,
    coalesce(f0.s_2_in_2, 0) AS s_2_in_2_at_0,
    coalesce(f0.x_2_in_2, 0) AS x_2_in_2_at_0,
    CAST(coalesce(f0.n_4_in_2, 0) AS DOUBLE) AS n_4_in_2_at_0,
    CAST(coalesce(f0.n_5_in_2, 0) AS DOUBLE) AS n_5_in_2_at_0,
    CAST(coalesce(f0.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3_at_0,
    CAST(coalesce(f0.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3_at_0,
    coalesce(f0.s_2_in_3, 0) AS s_2_in_3_at_0,
    coalesce(f0.x_2_in_3, 0) AS x_2_in_3_at_0,
    CAST(coalesce(f0.n_4_in_3, 0) AS DOUBLE) AS n_4_in_3_at_0,
    CAST(coalesce(f0.n_5_in_3, 0) AS DOUBLE) AS n_5_in_3_at_0,
    CAST(coalesce(f0.n_1_in_4, 0) AS DOUBLE) AS n_1_in_4_at_0,
    CAST(coalesce(f0.n_2_in_4, 0) AS DOUBLE) AS n_2_in_4_at_0,
    coalesce(f0.s_2_in_4, 0) AS s_2_in_4_at_0,
    coalesce(f0.x_2_in_4, 0) AS x_2_in_4_at_0,
    CAST(coalesce(f0.n_4_in_4, 0) AS DOUBLE) AS n_4_in_4_at_0,
    CAST(coalesce(f0.n_5_in_4, 0) AS DOUBLE) AS n_5_in_4_at_0,
    CAST(coalesce(f1.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_1,
    CAST(coalesce(f1.n_2_in_1, 0) AS DOUBLE) AS n_2_in_1_at_1,
    coalesce(f1.s_2_in_1, 0) AS s_2_in_1_at_1,
    coalesce(f1.x_2_in_1, 0) AS x_2_in_1_at_1,
    CAST(coalesce(f1.n_4_in_1, 0) AS DOUBLE) AS n_4_in_1_at_1,
    CAST(coalesce(f1.n_5_in_1, 0) AS DOUBLE) AS n_5_in_1_at_1,
    CAST(coalesce(f1.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2_at_1,
    CAST(coalesce(f1.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2_at_1,
    coalesce(f1.s_2_in_2, 0) AS s_2_in_2_at_1,
    coalesce(f1.x_2_in_2, 0) AS x_2_in_2_at_1,
    CAST(coalesce(f1.n_4_in_2, 0) AS DOUBLE) AS n_4_in_2_at_1,
    CAST(coalesce(f1.n_5_in_2, 0) AS DOUBLE) AS n_5_in_2_at_1,
    CAST(coalesce(f1.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3_at_1,
    CAST(coalesce(f1.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3_at_1,
    coalesce(f1.s_2_in_3, 0) AS s_2_in_3_at_1,
    coalesce(f1.x_2_in_3, 0) AS x_2_in_3_at_1,
    CAST(coalesce(f1.n_4_in_3, 0) AS DOUBLE) AS n_4_in_3_at_1,
    CAST(coalesce(f1.n_5_in_3, 0) AS DOUBLE) AS n_5_in_3_at_1,
    CAST(coalesce(f1.n_1_in_4, 0) AS DOUBLE) AS n_1_in_4_at_1,
    CAST(coalesce(f1.n_2_in_4, 0) AS DOUBLE) AS n_2_in_4_at_1,
    coalesce(f1.s_2_in_4, 0) AS s_2_in_4_at_1,
    coalesce(f1.x_2_in_4, 0) AS x_2_in_4_at_1,
    CAST(coalesce(f1.n_4_in_4, 0) AS DOUBLE) AS n_4_in_4_at_1,
    CAST(coalesce(f1.n_5_in_4, 0) AS DOUBLE) AS n_5_in_4_at_1
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
    sum(n_4_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_1_at_0 AS n_4_in_1_at_0,
    sum(n_5_in_1_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_1_at_0 AS n_5_in_1_at_0,
    sum(n_1_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2_at_0 AS n_1_in_2_at_0,
    sum(n_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2_at_0 AS n_2_in_2_at_0,
    sum(s_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2_at_0 AS s_2_in_2_at_0,
    sum(x_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2_at_0 AS x_2_in_2_at_0,
    sum(n_4_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_2_at_0 AS n_4_in_2_at_0,
    sum(n_5_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_2_at_0 AS n_5_in_2_at_0,
    sum(n_1_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3_at_0 AS n_1_in_3_at_0,
    sum(n_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3_at_0 AS n_2_in_3_at_0,
    sum(s_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3_at_0 AS s_2_in_3_at_0,
    sum(x_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3_at_0 AS x_2_in_3_at_0,
    sum(n_4_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_3_at_0 AS n_4_in_3_at_0,
    sum(n_5_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_3_at_0 AS n_5_in_3_at_0,
    sum(n_1_in_4_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_4_at_0 AS n_1_in_4_at_0,
    sum(n_2_in_4_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_4_at_0 AS n_2_in_4_at_0,
    sum(s_2_in_4_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_4_at_0 AS s_2_in_4_at_0,
    sum(x_2_in_4_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_4_at_0 AS x_2_in_4_at_0,
    sum(n_4_in_4_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_4_at_0 AS n_4_in_4_at_0,
    sum(n_5_in_4_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_4_at_0 AS n_5_in_4_at_0,
    sum(n_1_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1_at_1 AS n_1_in_1_at_1,
    sum(n_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_1_at_1 AS n_2_in_1_at_1,
    sum(s_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_1_at_1 AS s_2_in_1_at_1,
    sum(x_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1_at_1 AS x_2_in_1_at_1,
    sum(n_4_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_1_at_1 AS n_4_in_1_at_1,
    sum(n_5_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_1_at_1 AS n_5_in_1_at_1,
    sum(n_1_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2_at_1 AS n_1_in_2_at_1,
    sum(n_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2_at_1 AS n_2_in_2_at_1,
    sum(s_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2_at_1 AS s_2_in_2_at_1,
    sum(x_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2_at_1 AS x_2_in_2_at_1,
    sum(n_4_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_2_at_1 AS n_4_in_2_at_1,
    sum(n_5_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_2_at_1 AS n_5_in_2_at_1,
    sum(n_1_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3_at_1 AS n_1_in_3_at_1,
    sum(n_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3_at_1 AS n_2_in_3_at_1,
    sum(s_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3_at_1 AS s_2_in_3_at_1,
    sum(x_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3_at_1 AS x_2_in_3_at_1,
    sum(n_4_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_3_at_1 AS n_4_in_3_at_1,
    sum(n_5_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_3_at_1 AS n_5_in_3_at_1,
    sum(n_1_in_4_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_4_at_1 AS n_1_in_4_at_1,
    sum(n_2_in_4_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_4_at_1 AS n_2_in_4_at_1,
    sum(s_2_in_4_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_4_at_1 AS s_2_in_4_at_1,
    sum(x_2_in_4_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_4_at_1 AS x_2_in_4_at_1,
    sum(n_4_in_4_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_4_in_4_at_1 AS n_4_in_4_at_1,
    sum(n_5_in_4_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_5_in_4_at_1 AS n_5_in_4_at_1
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
    n_4_in_1_at_0 AS n_4_in_1_of_1,
    n_5_in_1_at_0 AS n_5_in_1_of_1,
    n_1_in_2_at_0 AS n_1_in_2_of_1,
    n_2_in_2_at_0 AS n_2_in_2_of_1,
    s_2_in_2_at_0 AS s_2_in_2_of_1,
    x_2_in_2_at_0 AS x_2_in_2_of_1,
    n_4_in_2_at_0 AS n_4_in_2_of_1,
    n_5_in_2_at_0 AS n_5_in_2_of_1,
    n_1_in_3_at_0 AS n_1_in_3_of_1,
    n_2_in_3_at_0 AS n_2_in_3_of_1,
    s_2_in_3_at_0 AS s_2_in_3_of_1,
    x_2_in_3_at_0 AS x_2_in_3_of_1,
    n_4_in_3_at_0 AS n_4_in_3_of_1,
    n_5_in_3_at_0 AS n_5_in_3_of_1,
    n_1_in_4_at_0 AS n_1_in_4_of_1,
    n_2_in_4_at_0 AS n_2_in_4_of_1,
    s_2_in_4_at_0 AS s_2_in_4_of_1,
    x_2_in_4_at_0 AS x_2_in_4_of_1,
    n_4_in_4_at_0 AS n_4_in_4_of_1,
    n_5_in_4_at_0 AS n_5_in_4_of_1,
    lag(n_1_in_1_at_1, 1) OVER () AS n_1_in_1_of_2,
    lag(n_2_in_1_at_1, 1) OVER () AS n_2_in_1_of_2,
    lag(s_2_in_1_at_1, 1) OVER () AS s_2_in_1_of_2,
    lag(x_2_in_1_at_1, 1) OVER () AS x_2_in_1_of_2,
    lag(n_4_in_1_at_1, 1) OVER () AS n_4_in_1_of_2,
    lag(n_5_in_1_at_1, 1) OVER () AS n_5_in_1_of_2,
    lag(n_1_in_2_at_1, 24) OVER () AS n_1_in_2_of_3,
    lag(n_2_in_2_at_1, 24) OVER () AS n_2_in_2_of_3,
    lag(s_2_in_2_at_1, 24) OVER () AS s_2_in_2_of_3,
    lag(x_2_in_2_at_1, 24) OVER () AS x_2_in_2_of_3,
    lag(n_4_in_2_at_1, 24) OVER () AS n_4_in_2_of_3,
    lag(n_5_in_2_at_1, 24) OVER () AS n_5_in_2_of_3,
    lag(n_1_in_3_at_1, 720) OVER () AS n_1_in_3_of_4,
    lag(n_2_in_3_at_1, 720) OVER () AS n_2_in_3_of_4,
    lag(s_2_in_3_at_1, 720) OVER () AS s_2_in_3_of_4,
    lag(x_2_in_3_at_1, 720) OVER () AS x_2_in_3_of_4,
    lag(n_4_in_3_at_1, 720) OVER () AS n_4_in_3_of_4,
    lag(n_5_in_3_at_1, 720) OVER () AS n_5_in_3_of_4,
    lag(n_1_in_4_at_1, 168) OVER () AS n_1_in_4_of_5,
    lag(n_2_in_4_at_1, 168) OVER () AS n_2_in_4_of_5,
    lag(s_2_in_4_at_1, 168) OVER () AS s_2_in_4_of_5,
    lag(x_2_in_4_at_1, 168) OVER () AS x_2_in_4_of_5,
    lag(n_4_in_4_at_1, 168) OVER () AS n_4_in_4_of_5,
    lag(n_5_in_4_at_1, 168) OVER () AS n_5_in_4_of_5
  FROM running
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 2595600000000, 2592000000000), $last_instant - $first_instant + 5191200000000) // 3600000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id"
),
-- the ends of all stretches: a tile, the bounds of marks in it, and the stretches they are of
ends AS (
  SELECT row_id, 2 * (high_1 - 0) + 0 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at AS high, TRUE AS in_1, FALSE AS in_2, FALSE AS in_3, FALSE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 1) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 3600000000 AS high, FALSE AS in_1, TRUE AS in_2, FALSE AS in_3, FALSE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 24) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 86400000000 AS high, FALSE AS in_1, FALSE AS in_2, TRUE AS in_3, FALSE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 720) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 2592000000000 AS high, FALSE AS in_1, FALSE AS in_2, FALSE AS in_3, TRUE AS in_4, FALSE AS in_5
  FROM asked
  UNION ALL
  SELECT row_id, 2 * (high_1 - 168) + 1 AS tile, CAST(-4611686018427387904 AS BIGINT) AS low, asked_at - 604800000000 AS high, FALSE AS in_1, FALSE AS in_2, FALSE AS in_3, FALSE AS in_4, TRUE AS in_5
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
    in_5,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 3600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_1,
    CAST(CASE WHEN lateness < 3600000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_2,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_2,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 2592000000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_3,
    CAST(CASE WHEN lateness < 2592000000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_3,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_4,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_4 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_4_in_4,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_5 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_5_in_4
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
    sum(n_4_in_1) FILTER (WHERE in_1) AS n_4_in_1_of_1,
    sum(n_5_in_1) FILTER (WHERE in_1) AS n_5_in_1_of_1,
    sum(n_1_in_2) FILTER (WHERE in_1) AS n_1_in_2_of_1,
    sum(n_2_in_2) FILTER (WHERE in_1) AS n_2_in_2_of_1,
    sum(s_2_in_2) FILTER (WHERE in_1) AS s_2_in_2_of_1,
    sum(x_2_in_2) FILTER (WHERE in_1) AS x_2_in_2_of_1,
    sum(n_4_in_2) FILTER (WHERE in_1) AS n_4_in_2_of_1,
    sum(n_5_in_2) FILTER (WHERE in_1) AS n_5_in_2_of_1,
    sum(n_1_in_3) FILTER (WHERE in_1) AS n_1_in_3_of_1,
    sum(n_2_in_3) FILTER (WHERE in_1) AS n_2_in_3_of_1,
    sum(s_2_in_3) FILTER (WHERE in_1) AS s_2_in_3_of_1,
    sum(x_2_in_3) FILTER (WHERE in_1) AS x_2_in_3_of_1,
    sum(n_4_in_3) FILTER (WHERE in_1) AS n_4_in_3_of_1,
    sum(n_5_in_3) FILTER (WHERE in_1) AS n_5_in_3_of_1,
    sum(n_1_in_4) FILTER (WHERE in_1) AS n_1_in_4_of_1,
    sum(n_2_in_4) FILTER (WHERE in_1) AS n_2_in_4_of_1,
    sum(s_2_in_4) FILTER (WHERE in_1) AS s_2_in_4_of_1,
    sum(x_2_in_4) FILTER (WHERE in_1) AS x_2_in_4_of_1,
    sum(n_4_in_4) FILTER (WHERE in_1) AS n_4_in_4_of_1,
    sum(n_5_in_4) FILTER (WHERE in_1) AS n_5_in_4_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2,
    sum(n_4_in_1) FILTER (WHERE in_2) AS n_4_in_1_of_2,
    sum(n_5_in_1) FILTER (WHERE in_2) AS n_5_in_1_of_2,
    sum(n_1_in_2) FILTER (WHERE in_3) AS n_1_in_2_of_3,
    sum(n_2_in_2) FILTER (WHERE in_3) AS n_2_in_2_of_3,
    sum(s_2_in_2) FILTER (WHERE in_3) AS s_2_in_2_of_3,
    sum(x_2_in_2) FILTER (WHERE in_3) AS x_2_in_2_of_3,
    sum(n_4_in_2) FILTER (WHERE in_3) AS n_4_in_2_of_3,
    sum(n_5_in_2) FILTER (WHERE in_3) AS n_5_in_2_of_3,
    sum(n_1_in_3) FILTER (WHERE in_4) AS n_1_in_3_of_4,
    sum(n_2_in_3) FILTER (WHERE in_4) AS n_2_in_3_of_4,
    sum(s_2_in_3) FILTER (WHERE in_4) AS s_2_in_3_of_4,
    sum(x_2_in_3) FILTER (WHERE in_4) AS x_2_in_3_of_4,
    sum(n_4_in_3) FILTER (WHERE in_4) AS n_4_in_3_of_4,
    sum(n_5_in_3) FILTER (WHERE in_4) AS n_5_in_3_of_4,
    sum(n_1_in_4) FILTER (WHERE in_5) AS n_1_in_4_of_5,
    sum(n_2_in_4) FILTER (WHERE in_5) AS n_2_in_4_of_5,
    sum(s_2_in_4) FILTER (WHERE in_5) AS s_2_in_4_of_5,
    sum(x_2_in_4) FILTER (WHERE in_5) AS x_2_in_4_of_5,
    sum(n_4_in_4) FILTER (WHERE in_5) AS n_4_in_4_of_5,
    sum(n_5_in_4) FILTER (WHERE in_5) AS n_5_in_4_of_5
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
    t.n_4_in_1_of_1,
    t.n_5_in_1_of_1,
    t.n_1_in_2_of_1,
    t.n_2_in_2_of_1,
    t.s_2_in_2_of_1,
    t.x_2_in_2_of_1,
    t.n_4_in_2_of_1,
    t.n_5_in_2_of_1,
    t.n_1_in_3_of_1,
    t.n_2_in_3_of_1,
    t.s_2_in_3_of_1,
    t.x_2_in_3_of_1,
    t.n_4_in_3_of_1,
    t.n_5_in_3_of_1,
    t.n_1_in_4_of_1,
    t.n_2_in_4_of_1,
    t.s_2_in_4_of_1,
    t.x_2_in_4_of_1,
    t.n_4_in_4_of_1,
    t.n_5_in_4_of_1,
    t.n_1_in_1_of_2,
    t.n_2_in_1_of_2,
    t.s_2_in_1_of_2,
    t.x_2_in_1_of_2,
    t.n_4_in_1_of_2,
    t.n_5_in_1_of_2,
    t.n_1_in_2_of_3,
    t.n_2_in_2_of_3,
    t.s_2_in_2_of_3,
    t.x_2_in_2_of_3,
    t.n_4_in_2_of_3,
    t.n_5_in_2_of_3,
    t.n_1_in_3_of_4,
    t.n_2_in_3_of_4,
    t.s_2_in_3_of_4,
    t.x_2_in_3_of_4,
    t.n_4_in_3_of_4,
    t.n_5_in_3_of_4,
    t.n_1_in_4_of_5,
    t.n_2_in_4_of_5,
    t.s_2_in_4_of_5,
    t.x_2_in_4_of_5,
    t.n_4_in_4_of_5,
    t.n_5_in_4_of_5
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
    CAST(a.n_4_in_1_of_1 + coalesce(r.n_4_in_1_of_1, 0) AS BIGINT) AS n_4_in_1_of_1,
    CAST(a.n_5_in_1_of_1 + coalesce(r.n_5_in_1_of_1, 0) AS BIGINT) AS n_5_in_1_of_1,
    CAST(a.n_1_in_2_of_1 + coalesce(r.n_1_in_2_of_1, 0) AS BIGINT) AS n_1_in_2_of_1,
    CAST(a.n_2_in_2_of_1 + coalesce(r.n_2_in_2_of_1, 0) AS BIGINT) AS n_2_in_2_of_1,
    a.s_2_in_2_of_1 + coalesce(r.s_2_in_2_of_1, 0) AS s_2_in_2_of_1,
    a.x_2_in_2_of_1 + coalesce(r.x_2_in_2_of_1, 0) AS x_2_in_2_of_1,
    CAST(a.n_4_in_2_of_1 + coalesce(r.n_4_in_2_of_1, 0) AS BIGINT) AS n_4_in_2_of_1,
    CAST(a.n_5_in_2_of_1 + coalesce(r.n_5_in_2_of_1, 0) AS BIGINT) AS n_5_in_2_of_1,
    CAST(a.n_1_in_3_of_1 + coalesce(r.n_1_in_3_of_1, 0) AS BIGINT) AS n_1_in_3_of_1,
    CAST(a.n_2_in_3_of_1 + coalesce(r.n_2_in_3_of_1, 0) AS BIGINT) AS n_2_in_3_of_1,
    a.s_2_in_3_of_1 + coalesce(r.s_2_in_3_of_1, 0) AS s_2_in_3_of_1,
    a.x_2_in_3_of_1 + coalesce(r.x_2_in_3_of_1, 0) AS x_2_in_3_of_1,
    CAST(a.n_4_in_3_of_1 + coalesce(r.n_4_in_3_of_1, 0) AS BIGINT) AS n_4_in_3_of_1,
    CAST(a.n_5_in_3_of_1 + coalesce(r.n_5_in_3_of_1, 0) AS BIGINT) AS n_5_in_3_of_1,
    CAST(a.n_1_in_4_of_1 + coalesce(r.n_1_in_4_of_1, 0) AS BIGINT) AS n_1_in_4_of_1,
    CAST(a.n_2_in_4_of_1 + coalesce(r.n_2_in_4_of_1, 0) AS BIGINT) AS n_2_in_4_of_1,
    a.s_2_in_4_of_1 + coalesce(r.s_2_in_4_of_1, 0) AS s_2_in_4_of_1,
    a.x_2_in_4_of_1 + coalesce(r.x_2_in_4_of_1, 0) AS x_2_in_4_of_1,
    CAST(a.n_4_in_4_of_1 + coalesce(r.n_4_in_4_of_1, 0) AS BIGINT) AS n_4_in_4_of_1,
    CAST(a.n_5_in_4_of_1 + coalesce(r.n_5_in_4_of_1, 0) AS BIGINT) AS n_5_in_4_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2,
    CAST(a.n_4_in_1_of_2 + coalesce(r.n_4_in_1_of_2, 0) AS BIGINT) AS n_4_in_1_of_2,
    CAST(a.n_5_in_1_of_2 + coalesce(r.n_5_in_1_of_2, 0) AS BIGINT) AS n_5_in_1_of_2,
    CAST(a.n_1_in_2_of_3 + coalesce(r.n_1_in_2_of_3, 0) AS BIGINT) AS n_1_in_2_of_3,
    CAST(a.n_2_in_2_of_3 + coalesce(r.n_2_in_2_of_3, 0) AS BIGINT) AS n_2_in_2_of_3,
    a.s_2_in_2_of_3 + coalesce(r.s_2_in_2_of_3, 0) AS s_2_in_2_of_3,
    a.x_2_in_2_of_3 + coalesce(r.x_2_in_2_of_3, 0) AS x_2_in_2_of_3,
    CAST(a.n_4_in_2_of_3 + coalesce(r.n_4_in_2_of_3, 0) AS BIGINT) AS n_4_in_2_of_3,
    CAST(a.n_5_in_2_of_3 + coalesce(r.n_5_in_2_of_3, 0) AS BIGINT) AS n_5_in_2_of_3,
    CAST(a.n_1_in_3_of_4 + coalesce(r.n_1_in_3_of_4, 0) AS BIGINT) AS n_1_in_3_of_4,
    CAST(a.n_2_in_3_of_4 + coalesce(r.n_2_in_3_of_4, 0) AS BIGINT) AS n_2_in_3_of_4,
    a.s_2_in_3_of_4 + coalesce(r.s_2_in_3_of_4, 0) AS s_2_in_3_of_4,
    a.x_2_in_3_of_4 + coalesce(r.x_2_in_3_of_4, 0) AS x_2_in_3_of_4,
    CAST(a.n_4_in_3_of_4 + coalesce(r.n_4_in_3_of_4, 0) AS BIGINT) AS n_4_in_3_of_4,
    CAST(a.n_5_in_3_of_4 + coalesce(r.n_5_in_3_of_4, 0) AS BIGINT) AS n_5_in_3_of_4,
    CAST(a.n_1_in_4_of_5 + coalesce(r.n_1_in_4_of_5, 0) AS BIGINT) AS n_1_in_4_of_5,
    CAST(a.n_2_in_4_of_5 + coalesce(r.n_2_in_4_of_5, 0) AS BIGINT) AS n_2_in_4_of_5,
    a.s_2_in_4_of_5 + coalesce(r.s_2_in_4_of_5, 0) AS s_2_in_4_of_5,
    a.x_2_in_4_of_5 + coalesce(r.x_2_in_4_of_5, 0) AS x_2_in_4_of_5,
    CAST(a.n_4_in_4_of_5 + coalesce(r.n_4_in_4_of_5, 0) AS BIGINT) AS n_4_in_4_of_5,
    CAST(a.n_5_in_4_of_5 + coalesce(r.n_5_in_4_of_5, 0) AS BIGINT) AS n_5_in_4_of_5
  FROM looked_up AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    (coalesce(n_1_in_1_of_1, 0) - coalesce(n_1_in_1_of_2, 0)) AS n_1_1,
    (coalesce(n_1_in_2_of_1, 0) - coalesce(n_1_in_2_of_3, 0)) AS n_1_2,
    (coalesce(n_1_in_3_of_1, 0) - coalesce(n_1_in_3_of_4, 0)) AS n_1_3,
    (coalesce(n_2_in_2_of_1, 0) - coalesce(n_2_in_2_of_3, 0)) AS n_2_2,
    (coalesce(s_2_in_2_of_1, 0) - coalesce(s_2_in_2_of_3, 0)) AS s_2_2,
    (coalesce(x_2_in_2_of_1, 0) - coalesce(x_2_in_2_of_3, 0)) AS x_2_2,
    (coalesce(n_2_in_4_of_1, 0) - coalesce(n_2_in_4_of_5, 0)) AS n_2_4,
    (coalesce(s_2_in_4_of_1, 0) - coalesce(s_2_in_4_of_5, 0)) AS s_2_4,
    (coalesce(x_2_in_4_of_1, 0) - coalesce(x_2_in_4_of_5, 0)) AS x_2_4,
    (coalesce(n_2_in_3_of_1, 0) - coalesce(n_2_in_3_of_4, 0)) AS n_2_3,
    (coalesce(s_2_in_3_of_1, 0) - coalesce(s_2_in_3_of_4, 0)) AS s_2_3,
    (coalesce(x_2_in_3_of_1, 0) - coalesce(x_2_in_3_of_4, 0)) AS x_2_3,
    (coalesce(n_4_in_3_of_1, 0) - coalesce(n_4_in_3_of_4, 0)) AS n_4_3,
    (coalesce(n_5_in_3_of_1, 0) - coalesce(n_5_in_3_of_4, 0)) AS n_5_3
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_4 > 0 THEN special_sum(s_2_4) ELSE exact_double(coalesce(x_2_4, 0)) * $unscale_2 END AS sum_2_4,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1h",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_3, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_1d",
  CASE WHEN coalesce(g.n_2_4, 0) > 0 THEN g.sum_2_4 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "amount_sum_30d",
  CAST(coalesce(g.n_4_3, 0) AS BIGINT) AS "large_count_30d",
  CAST(coalesce(g.n_5_3, 0) AS BIGINT) AS "night_count_30d"
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
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

-- card_payments: Window of view card_payments, plan pairs: amount_sum_lifetime
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM facts
),
-- the same with their values as whole numbers, which add up without loss
numbers AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END AS s_2,
    CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS x_2
  FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_2, f.s_2, f.x_2
  FROM numbers AS f JOIN spine AS s
  ON s."key_customer_id" = f."key_customer_id"
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
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
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "amount_sum_lifetime"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan sweep: amount_sum_lifetime
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_customer_id", event_time, visible_from, measure_2, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_customer_id", event_time, until, measure_2, -1 FROM measured WHERE until IS NOT NULL
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    sign,
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
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.sign, m.measure_2
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", side)
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_2_in_1) AS n_2_in_1,
    sum(s_2_in_1) AS s_2_in_1,
    sum(x_2_in_1) AS x_2_in_1
  FROM (
    SELECT
      tile,
    CAST(sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) AS DOUBLE) AS n_2_in_1,
    sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) AS s_2_in_1,
    sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) AS x_2_in_1
    FROM placed
  )
  GROUP BY tile
),
-- all tiles, empty ones too
tiles AS (
  SELECT
    tile,
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
    sum(n_2_in_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_1 AS n_2_in_1,
    sum(s_2_in_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_1 AS s_2_in_1,
    sum(x_2_in_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1 AS x_2_in_1
  FROM (SELECT * FROM tiles ORDER BY tile)
),
-- what stretches need; every tile must have come in its place
running AS MATERIALIZED (
  SELECT
    tile,
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
    CAST(sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) AS DOUBLE) AS n_2_in_1,
    sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) AS s_2_in_1,
    sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) AS x_2_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
),
-- per spine row what those add up to
raw AS (
  SELECT
    row_id,
    sum(n_2_in_1) FILTER (WHERE in_1) AS n_2_in_1_of_1,
    sum(s_2_in_1) FILTER (WHERE in_1) AS s_2_in_1_of_1,
    sum(x_2_in_1) FILTER (WHERE in_1) AS x_2_in_1_of_1
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_2_in_1 AS at_1_n_2_in_1, h.s_2_in_1 AS at_1_s_2_in_1, h.x_2_in_1 AS at_1_x_2_in_1
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_1,
    a.at_1_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_1,
    a.at_1_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_1
  FROM running AS l JOIN before_high_1 AS a ON l.tile = a.low_1
),
-- tiles inside and marks at the ends together
stretches AS (
  SELECT
    row_id,
    CAST(a.n_2_in_1_of_1 + coalesce(r.n_2_in_1_of_1, 0) AS BIGINT) AS n_2_in_1_of_1,
    a.s_2_in_1_of_1 + coalesce(r.s_2_in_1_of_1, 0) AS s_2_in_1_of_1,
    a.x_2_in_1_of_1 + coalesce(r.x_2_in_1_of_1, 0) AS x_2_in_1_of_1
  FROM inside_1 AS a LEFT JOIN raw AS r USING (row_id)
),
-- per spine row what its windows hold: what has begun to count, less what has left
grouped AS (
  SELECT
    row_id,
    coalesce(n_2_in_1_of_1, 0) AS n_2_1,
    coalesce(s_2_in_1_of_1, 0) AS s_2_1,
    coalesce(x_2_in_1_of_1, 0) AS x_2_1
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
  CASE WHEN coalesce(g.n_2_1, 0) > 0 THEN g.sum_2_1 END AS "amount_sum_lifetime"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan snapshot: count_1h, count_1d, count_30d, amount_sum_1d, amount_sum_7d, amount_sum_30d, merchant_id_count_distinct_30d, large_count_30d, night_count_30d, amount_sum_lifetime
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
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
    count(measure_1) FILTER (WHERE event_time >= $at - 3600000000) AS n_1_1,
    count(measure_1) FILTER (WHERE event_time >= $at - 86400000000) AS n_1_2,
    count(measure_1) FILTER (WHERE event_time >= $at - 2592000000000) AS n_1_3,
    count(measure_2) FILTER (WHERE event_time >= $at - 86400000000) AS n_2_2,
    sum(s_2) FILTER (WHERE event_time >= $at - 86400000000) AS s_2_2,
    sum(x_2) FILTER (WHERE event_time >= $at - 86400000000) AS x_2_2,
    count(measure_2) FILTER (WHERE event_time >= $at - 604800000000) AS n_2_4,
    sum(s_2) FILTER (WHERE event_time >= $at - 604800000000) AS s_2_4,
    sum(x_2) FILTER (WHERE event_time >= $at - 604800000000) AS x_2_4,
    count(measure_2) FILTER (WHERE event_time >= $at - 2592000000000) AS n_2_3,
    sum(s_2) FILTER (WHERE event_time >= $at - 2592000000000) AS s_2_3,
    sum(x_2) FILTER (WHERE event_time >= $at - 2592000000000) AS x_2_3,
    count(measure_4) FILTER (WHERE event_time >= $at - 2592000000000) AS n_4_3,
    count(measure_5) FILTER (WHERE event_time >= $at - 2592000000000) AS n_5_3,
    count(measure_2) AS n_2_5,
    sum(s_2) AS s_2_5,
    sum(x_2) AS x_2_5,
    count(DISTINCT measure_3) FILTER (WHERE event_time >= $at - 2592000000000) AS value_1
  FROM numbers
  GROUP BY "key_customer_id"
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_4 > 0 THEN special_sum(s_2_4) ELSE exact_double(coalesce(x_2_4, 0)) * $unscale_2 END AS sum_2_4,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3,
    CASE WHEN s_2_5 > 0 THEN special_sum(s_2_5) ELSE exact_double(coalesce(x_2_5, 0)) * $unscale_2 END AS sum_2_5
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "count_1h",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "count_1d",
  CAST(coalesce(g.n_1_3, 0) AS BIGINT) AS "count_30d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "amount_sum_1d",
  CASE WHEN coalesce(g.n_2_4, 0) > 0 THEN g.sum_2_4 END AS "amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "amount_sum_30d",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_id_count_distinct_30d",
  CAST(coalesce(g.n_4_3, 0) AS BIGINT) AS "large_count_30d",
  CAST(coalesce(g.n_5_3, 0) AS BIGINT) AS "night_count_30d",
  CASE WHEN coalesce(g.n_2_5, 0) > 0 THEN g.sum_2_5 END AS "amount_sum_lifetime"
FROM spine AS s LEFT JOIN rounded AS g USING ("key_customer_id")
ORDER BY __row
;

-- card_payments: Window of view card_payments, plan pairs, values as lists: amount_sum_1d, amount_sum_7d, amount_sum_30d, amount_sum_lifetime
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
    "in_merchant_id" AS measure_3,
    CASE WHEN canonical_double("in_amount") > CAST(CAST(500 AS BIGINT) AS DOUBLE) THEN TRUE END AS measure_4,
    CASE WHEN CAST(hour(timezone('UTC', "in_paid_at")) AS BIGINT) < CAST(6 AS BIGINT) THEN TRUE END AS measure_5
  FROM facts
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_2
  FROM measured AS f JOIN spine AS s
  ON s."key_customer_id" = f."key_customer_id"
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL AND event_time >= asked_at - 86400000000) AS value_1,
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL AND event_time >= asked_at - 604800000000) AS value_2,
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL AND event_time >= asked_at - 2592000000000) AS value_3,
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL) AS value_4
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  g.value_1 AS "amount_sum_1d",
  g.value_2 AS "amount_sum_7d",
  g.value_3 AS "amount_sum_30d",
  g.value_4 AS "amount_sum_lifetime"
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
  CASE WHEN a.event_time IS NOT NULL THEN a."in_credit_limit" END AS "credit_limit"
FROM answers AS a
ORDER BY __row
;

-- customer_profile: Latest of view customer_profile, plan snapshot: segment, credit_limit
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
  CASE WHEN a.event_time IS NOT NULL THEN a."in_credit_limit" END AS "credit_limit"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
ORDER BY __row
;

-- merchant_profile: Latest of view merchant_profile
-- reads spine (row_id, asked_at, merchant_id), source__merchants
WITH
-- rows of source merchants: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END AS event_time,
    CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END + 3600000000 AS known_time,
    "name" AS "in_name",
    "category" AS "in_category",
    "risk_score" AS "in_risk_score"
  FROM source__merchants
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- per spine row the event time of its newest visible fact
matched AS MATERIALIZED (
  SELECT s.row_id, s."key_merchant_id", s.asked_at, f.event_time
  FROM spine AS s ASOF LEFT JOIN (
    SELECT "key_merchant_id", event_time, known_time FROM facts
  ) AS f
  ON s."key_merchant_id" = f."key_merchant_id" AND s.asked_at > f.known_time
),
-- the facts that answer some row
wanted AS (
  SELECT DISTINCT "key_merchant_id", event_time FROM matched WHERE event_time IS NOT NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    "in_name" AS "in_name",
    "in_category" AS "in_category",
    canonical_double("in_risk_score") AS "in_risk_score"
  FROM facts SEMI JOIN wanted USING ("key_merchant_id", event_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_merchant_id", event_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_merchant_id", event_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_merchant_id", event_time)
    QUALIFY row_number() OVER (PARTITION BY "key_merchant_id", event_time ORDER BY known_time DESC NULLS LAST, "in_name" DESC NULLS LAST, "in_category" DESC NULLS LAST, "in_risk_score" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  m.row_id AS __row,
  m.event_time AS __event,
  CAST(CASE WHEN m.event_time IS NULL THEN 0 WHEN m.asked_at - m.event_time > 31536000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN m.asked_at - m.event_time <= 31536000000000 THEN a."in_category" END AS "merchant_category",
  CASE WHEN m.asked_at - m.event_time <= 31536000000000 THEN a."in_risk_score" END AS "risk_score"
FROM matched AS m LEFT JOIN chosen AS a ON m."key_merchant_id" = a."key_merchant_id" AND m.event_time = a.event_time
ORDER BY __row
;

-- merchant_profile: Latest of view merchant_profile, plan snapshot: merchant_category, risk_score
-- reads spine (row_id, asked_at, merchant_id), source__merchants
WITH
-- rows of source merchants: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END AS event_time,
    CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END + 3600000000 AS known_time,
    "name" AS "in_name",
    "category" AS "in_category",
    "risk_score" AS "in_risk_score"
  FROM source__merchants
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_name", "in_category", "in_risk_score"
  FROM facts SEMI JOIN spine USING ("key_merchant_id")
  WHERE known_time < $at
),
-- per key the event and known time of its newest fact
wanted AS (
  SELECT "key_merchant_id", max(event_time) AS event_time
  FROM seen GROUP BY "key_merchant_id"
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    "in_name" AS "in_name",
    "in_category" AS "in_category",
    canonical_double("in_risk_score") AS "in_risk_score"
  FROM seen SEMI JOIN wanted USING ("key_merchant_id", event_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_merchant_id", event_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_merchant_id", event_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_merchant_id", event_time)
    QUALIFY row_number() OVER (PARTITION BY "key_merchant_id", event_time ORDER BY known_time DESC NULLS LAST, "in_name" DESC NULLS LAST, "in_category" DESC NULLS LAST, "in_risk_score" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN s.asked_at - a.event_time > 31536000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN s.asked_at - a.event_time <= 31536000000000 THEN a."in_category" END AS "merchant_category",
  CASE WHEN s.asked_at - a.event_time <= 31536000000000 THEN a."in_risk_score" END AS "risk_score"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_merchant_id")
ORDER BY __row
;

-- merchant_merchant_activity: Window of view merchant_activity, plan pairs: merchant_count_1d, merchant_count_7d, merchant_amount_sum_7d, merchant_amount_sum_7d_offset_7d, merchant_customer_id_count_distinct_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "customer_id" AS "in_customer_id"
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
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_customer_id" AS measure_3
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.measure_3, f.s_2, f.x_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_merchant_id" = f."key_merchant_id" AND s.stretch = f.stretch
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
    count(measure_2) FILTER (WHERE event_time < asked_at - 604800000000) AS n_2_3,
    sum(s_2) FILTER (WHERE event_time < asked_at - 604800000000) AS s_2_3,
    sum(x_2) FILTER (WHERE event_time < asked_at - 604800000000) AS x_2_3,
    count(DISTINCT measure_3) FILTER (WHERE event_time >= asked_at - 604800000000) AS value_1
  FROM pairs
  GROUP BY row_id
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "merchant_count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "merchant_count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "merchant_amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "merchant_amount_sum_7d_offset_7d",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_customer_id_count_distinct_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- merchant_merchant_activity: Window of view merchant_activity, plan pairs: merchant_count_1d, merchant_count_7d, merchant_amount_sum_7d, merchant_amount_sum_7d_offset_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "customer_id" AS "in_customer_id"
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
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_customer_id" AS measure_3
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.s_2, f.x_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_merchant_id" = f."key_merchant_id" AND s.stretch = f.stretch
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
    count(measure_2) FILTER (WHERE event_time < asked_at - 604800000000) AS n_2_3,
    sum(s_2) FILTER (WHERE event_time < asked_at - 604800000000) AS s_2_3,
    sum(x_2) FILTER (WHERE event_time < asked_at - 604800000000) AS x_2_3
  FROM pairs
  GROUP BY row_id
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "merchant_count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "merchant_count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "merchant_amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "merchant_amount_sum_7d_offset_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- merchant_merchant_activity: Window of view merchant_activity, plan sweep: merchant_count_1d, merchant_count_7d, merchant_amount_sum_7d, merchant_amount_sum_7d_offset_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "customer_id" AS "in_customer_id"
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
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_customer_id" AS measure_3
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, visible_from, measure_1, measure_2, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_merchant_id", event_time, until, measure_1, measure_2, -1 FROM measured WHERE until IS NOT NULL
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2
  FROM signed
  UNION ALL
  SELECT
    "key_merchant_id",
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
  SELECT "key_merchant_id", side, count(*) AS marks
  FROM marks SEMI JOIN (SELECT DISTINCT "key_merchant_id" FROM spine) USING ("key_merchant_id")
  GROUP BY "key_merchant_id", side
),
-- the length of their tiles, and their number with the empty one behind the last
sized AS (
  SELECT *, ($last_instant - $first_instant) // length + 2 AS tiles
  FROM (
    SELECT "key_merchant_id", side, ($last_instant - $first_instant) // greatest(least(marks // $per_tile, $most_tiles), 1) + 1 AS length
    FROM counted
  )
),
-- and the numbers of the first and last of their tiles, all in one row
lines AS MATERIALIZED (
  SELECT
    "key_merchant_id",
    side,
    length,
    CAST(sum(tiles) OVER in_a_row - tiles AS BIGINT) AS first_tile,
    CAST(sum(tiles) OVER in_a_row - 1 AS BIGINT) AS last_tile
  FROM sized
  WINDOW in_a_row AS (ORDER BY "key_merchant_id", side ROWS UNBOUNDED PRECEDING)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2
  FROM marks AS m JOIN lines AS l USING ("key_merchant_id", side)
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_1_in_1) AS n_1_in_1,
    sum(n_2_in_1) AS n_2_in_1,
    sum(s_2_in_1) AS s_2_in_1,
    sum(x_2_in_1) AS x_2_in_1,
    sum(n_1_in_2) AS n_1_in_2,
    sum(n_2_in_2) AS n_2_in_2,
    sum(s_2_in_2) AS s_2_in_2,
    sum(x_2_in_2) AS x_2_in_2,
    sum(n_1_in_3) AS n_1_in_3,
    sum(n_2_in_3) AS n_2_in_3,
    sum(s_2_in_3) AS s_2_in_3,
    sum(x_2_in_3) AS x_2_in_3
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3
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
    CAST(coalesce(f.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2,
    CAST(coalesce(f.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2,
    coalesce(f.s_2_in_2, 0) AS s_2_in_2,
    coalesce(f.x_2_in_2, 0) AS x_2_in_2,
    CAST(coalesce(f.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3,
    CAST(coalesce(f.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3,
    coalesce(f.s_2_in_3, 0) AS s_2_in_3,
    coalesce(f.x_2_in_3, 0) AS x_2_in_3
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
    sum(n_1_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2 AS n_1_in_2,
    sum(n_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2 AS n_2_in_2,
    sum(s_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2 AS s_2_in_2,
    sum(x_2_in_2) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2 AS x_2_in_2,
    sum(n_1_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3 AS n_1_in_3,
    sum(n_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3 AS n_2_in_3,
    sum(s_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3 AS s_2_in_3,
    sum(x_2_in_3) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3 AS x_2_in_3
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
    n_1_in_2,
    n_2_in_2,
    s_2_in_2,
    x_2_in_2,
    n_1_in_3,
    n_2_in_3,
    s_2_in_3,
    x_2_in_3,
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
  JOIN lines AS l0 ON s."key_merchant_id" = l0."key_merchant_id" AND l0.side = 0
  JOIN lines AS l1 ON s."key_merchant_id" = l1."key_merchant_id" AND l1.side = 1
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
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3
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
    sum(n_1_in_2) FILTER (WHERE in_1) AS n_1_in_2_of_1,
    sum(n_2_in_2) FILTER (WHERE in_1) AS n_2_in_2_of_1,
    sum(s_2_in_2) FILTER (WHERE in_1) AS s_2_in_2_of_1,
    sum(x_2_in_2) FILTER (WHERE in_1) AS x_2_in_2_of_1,
    sum(n_1_in_3) FILTER (WHERE in_1) AS n_1_in_3_of_1,
    sum(n_2_in_3) FILTER (WHERE in_1) AS n_2_in_3_of_1,
    sum(s_2_in_3) FILTER (WHERE in_1) AS s_2_in_3_of_1,
    sum(x_2_in_3) FILTER (WHERE in_1) AS x_2_in_3_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2,
    sum(n_1_in_2) FILTER (WHERE in_3) AS n_1_in_2_of_3,
    sum(n_2_in_2) FILTER (WHERE in_3) AS n_2_in_2_of_3,
    sum(s_2_in_2) FILTER (WHERE in_3) AS s_2_in_2_of_3,
    sum(x_2_in_2) FILTER (WHERE in_3) AS x_2_in_2_of_3,
    sum(n_1_in_3) FILTER (WHERE in_4) AS n_1_in_3_of_4,
    sum(n_2_in_3) FILTER (WHERE in_4) AS n_2_in_3_of_4,
    sum(s_2_in_3) FILTER (WHERE in_4) AS s_2_in_3_of_4,
    sum(x_2_in_3) FILTER (WHERE in_4) AS x_2_in_3_of_4
  FROM raw_pairs
  GROUP BY row_id
),
-- with what the tiles before their ends add up to
before_high_1 AS (
  SELECT a.*, h.n_1_in_1 AS at_1_n_1_in_1, h.n_2_in_1 AS at_1_n_2_in_1, h.s_2_in_1 AS at_1_s_2_in_1, h.x_2_in_1 AS at_1_x_2_in_1, h.n_1_in_2 AS at_1_n_1_in_2, h.n_2_in_2 AS at_1_n_2_in_2, h.s_2_in_2 AS at_1_s_2_in_2, h.x_2_in_2 AS at_1_x_2_in_2, h.n_1_in_3 AS at_1_n_1_in_3, h.n_2_in_3 AS at_1_n_2_in_3, h.s_2_in_3 AS at_1_s_2_in_3, h.x_2_in_3 AS at_1_x_2_in_3
  FROM running AS h JOIN asked AS a ON h.tile = a.high_1
),
-- and what the tiles inside a stretch do
inside_1 AS (
  SELECT a.*,
    a.at_1_n_1_in_1 - l.n_1_in_1 AS n_1_in_1_of_1,
    a.at_1_n_2_in_1 - l.n_2_in_1 AS n_2_in_1_of_1,
    a.at_1_s_2_in_1 - l.s_2_in_1 AS s_2_in_1_of_1,
    a.at_1_x_2_in_1 - l.x_2_in_1 AS x_2_in_1_of_1,
    a.at_1_n_1_in_2 - l.n_1_in_2 AS n_1_in_2_of_1,
    a.at_1_n_2_in_2 - l.n_2_in_2 AS n_2_in_2_of_1,
    a.at_1_s_2_in_2 - l.s_2_in_2 AS s_2_in_2_of_1,
    a.at_1_x_2_in_2 - l.x_2_in_2 AS x_2_in_2_of_1,
    a.at_1_n_1_in_3 - l.n_1_in_3 AS n_1_in_3_of_1,
    a.at_1_n_2_in_3 - l.n_2_in_3 AS n_2_in_3_of_1,
    a.at_1_s_2_in_3 - l.s_2_in_3 AS s_2_in_3_of_1,
    a.at_1_x_2_in_3 - l.x_2_in_3 AS x_2_in_3_of_1
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
-- with what the tiles before their ends add up to
before_high_3 AS (
  SELECT a.*, h.n_1_in_2 AS at_3_n_1_in_2, h.n_2_in_2 AS at_3_n_2_in_2, h.s_2_in_2 AS at_3_s_2_in_2, h.x_2_in_2 AS at_3_x_2_in_2
  FROM running AS h JOIN inside_2 AS a ON h.tile = a.high_3
),
-- and what the tiles inside a stretch do
inside_3 AS (
  SELECT a.*,
    a.at_3_n_1_in_2 - l.n_1_in_2 AS n_1_in_2_of_3,
    a.at_3_n_2_in_2 - l.n_2_in_2 AS n_2_in_2_of_3,
    a.at_3_s_2_in_2 - l.s_2_in_2 AS s_2_in_2_of_3,
    a.at_3_x_2_in_2 - l.x_2_in_2 AS x_2_in_2_of_3
  FROM running AS l JOIN before_high_3 AS a ON l.tile = a.low_3
),
-- with what the tiles before their ends add up to
before_high_4 AS (
  SELECT a.*, h.n_1_in_3 AS at_4_n_1_in_3, h.n_2_in_3 AS at_4_n_2_in_3, h.s_2_in_3 AS at_4_s_2_in_3, h.x_2_in_3 AS at_4_x_2_in_3
  FROM running AS h JOIN inside_3 AS a ON h.tile = a.high_4
),
-- and what the tiles inside a stretch do
inside_4 AS (
  SELECT a.*,
    a.at_4_n_1_in_3 - l.n_1_in_3 AS n_1_in_3_of_4,
    a.at_4_n_2_in_3 - l.n_2_in_3 AS n_2_in_3_of_4,
    a.at_4_s_2_in_3 - l.s_2_in_3 AS s_2_in_3_of_4,
    a.at_4_x_2_in_3 - l.x_2_in_3 AS x_2_in_3_of_4
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
    CAST(a.n_1_in_2_of_1 + coalesce(r.n_1_in_2_of_1, 0) AS BIGINT) AS n_1_in_2_of_1,
    CAST(a.n_2_in_2_of_1 + coalesce(r.n_2_in_2_of_1, 0) AS BIGINT) AS n_2_in_2_of_1,
    a.s_2_in_2_of_1 + coalesce(r.s_2_in_2_of_1, 0) AS s_2_in_2_of_1,
    a.x_2_in_2_of_1 + coalesce(r.x_2_in_2_of_1, 0) AS x_2_in_2_of_1,
    CAST(a.n_1_in_3_of_1 + coalesce(r.n_1_in_3_of_1, 0) AS BIGINT) AS n_1_in_3_of_1,
    CAST(a.n_2_in_3_of_1 + coalesce(r.n_2_in_3_of_1, 0) AS BIGINT) AS n_2_in_3_of_1,
    a.s_2_in_3_of_1 + coalesce(r.s_2_in_3_of_1, 0) AS s_2_in_3_of_1,
    a.x_2_in_3_of_1 + coalesce(r.x_2_in_3_of_1, 0) AS x_2_in_3_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2,
    CAST(a.n_1_in_2_of_3 + coalesce(r.n_1_in_2_of_3, 0) AS BIGINT) AS n_1_in_2_of_3,
    CAST(a.n_2_in_2_of_3 + coalesce(r.n_2_in_2_of_3, 0) AS BIGINT) AS n_2_in_2_of_3,
    a.s_2_in_2_of_3 + coalesce(r.s_2_in_2_of_3, 0) AS s_2_in_2_of_3,
    a.x_2_in_2_of_3 + coalesce(r.x_2_in_2_of_3, 0) AS x_2_in_2_of_3,
    CAST(a.n_1_in_3_of_4 + coalesce(r.n_1_in_3_of_4, 0) AS BIGINT) AS n_1_in_3_of_4,
    CAST(a.n_2_in_3_of_4 + coalesce(r.n_2_in_3_of_4, 0) AS BIGINT) AS n_2_in_3_of_4,
    a.s_2_in_3_of_4 + coalesce(r.s_2_in_3_of_4, 0) AS s_2_in_3_of_4,
    a.x_2_in_3_of_4 + coalesce(r.x_2_in_3_of_4, 0) AS x_2_in_3_of_4
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
    (coalesce(n_2_in_3_of_1, 0) - coalesce(n_2_in_3_of_4, 0)) - (coalesce(n_2_in_2_of_1, 0) - coalesce(n_2_in_2_of_3, 0)) AS n_2_3,
    (coalesce(s_2_in_3_of_1, 0) - coalesce(s_2_in_3_of_4, 0)) - (coalesce(s_2_in_2_of_1, 0) - coalesce(s_2_in_2_of_3, 0)) AS s_2_3,
    (coalesce(x_2_in_3_of_1, 0) - coalesce(x_2_in_3_of_4, 0)) - (coalesce(x_2_in_2_of_1, 0) - coalesce(x_2_in_2_of_3, 0)) AS x_2_3
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "merchant_count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "merchant_count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "merchant_amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "merchant_amount_sum_7d_offset_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- merchant_merchant_activity: Window of view merchant_activity, plan aligned_sweep: merchant_count_1d, merchant_count_7d, merchant_amount_sum_7d, merchant_amount_sum_7d_offset_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "customer_id" AS "in_customer_id"
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
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_customer_id" AS measure_3
  FROM facts
),
-- facts, and each that is replaced once more, with the opposite sign, from then on
signed AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, visible_from, measure_1, measure_2, 1 AS sign FROM measured
  UNION ALL
  SELECT "key_merchant_id", event_time, until, measure_1, measure_2, -1 FROM measured WHERE until IS NOT NULL
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    sign,
    measure_1,
    measure_2
  FROM signed
  UNION ALL
  SELECT
    "key_merchant_id",
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
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 86400000000 + 31) AS first_tile, (($last_instant - $first_instant) // 86400000000 + 31) AS tiles
  FROM (SELECT DISTINCT "key_merchant_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 1296000000000) // 86400000000) + m.side AS tile, m.instant, m.lateness, m.sign, m.measure_1, m.measure_2
  FROM marks AS m JOIN lines AS l USING ("key_merchant_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    sum(n_1_in_1) AS n_1_in_1,
    sum(n_2_in_1) AS n_2_in_1,
    sum(s_2_in_1) AS s_2_in_1,
    sum(x_2_in_1) AS x_2_in_1,
    sum(n_1_in_2) AS n_1_in_2,
    sum(n_2_in_2) AS n_2_in_2,
    sum(s_2_in_2) AS s_2_in_2,
    sum(x_2_in_2) AS x_2_in_2,
    sum(n_1_in_3) AS n_1_in_3,
    sum(n_2_in_3) AS n_2_in_3,
    sum(s_2_in_3) AS s_2_in_3,
    sum(x_2_in_3) AS x_2_in_3
  FROM (
    SELECT
      tile,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_1,
    CAST(CASE WHEN lateness < 86400000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_1,
    CASE WHEN lateness < 86400000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_1,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3
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
    CAST(coalesce(f0.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2_at_0,
    CAST(coalesce(f0.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2_at_0,
    coalesce(f0.s_2_in_2, 0) AS s_2_in_2_at_0,
    coalesce(f0.x_2_in_2, 0) AS x_2_in_2_at_0,
    CAST(coalesce(f0.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3_at_0,
    CAST(coalesce(f0.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3_at_0,
    coalesce(f0.s_2_in_3, 0) AS s_2_in_3_at_0,
    coalesce(f0.x_2_in_3, 0) AS x_2_in_3_at_0,
    CAST(coalesce(f1.n_1_in_1, 0) AS DOUBLE) AS n_1_in_1_at_1,
    CAST(coalesce(f1.n_2_in_1, 0) AS DOUBLE) AS n_2_in_1_at_1,
    coalesce(f1.s_2_in_1, 0) AS s_2_in_1_at_1,
    coalesce(f1.x_2_in_1, 0) AS x_2_in_1_at_1,
    CAST(coalesce(f1.n_1_in_2, 0) AS DOUBLE) AS n_1_in_2_at_1,
    CAST(coalesce(f1.n_2_in_2, 0) AS DOUBLE) AS n_2_in_2_at_1,
    coalesce(f1.s_2_in_2, 0) AS s_2_in_2_at_1,
    coalesce(f1.x_2_in_2, 0) AS x_2_in_2_at_1,
    CAST(coalesce(f1.n_1_in_3, 0) AS DOUBLE) AS n_1_in_3_at_1,
    CAST(coalesce(f1.n_2_in_3, 0) AS DOUBLE) AS n_2_in_3_at_1,
    coalesce(f1.s_2_in_3, 0) AS s_2_in_3_at_1,
    coalesce(f1.x_2_in_3, 0) AS x_2_in_3_at_1
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
    sum(n_1_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2_at_0 AS n_1_in_2_at_0,
    sum(n_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2_at_0 AS n_2_in_2_at_0,
    sum(s_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2_at_0 AS s_2_in_2_at_0,
    sum(x_2_in_2_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2_at_0 AS x_2_in_2_at_0,
    sum(n_1_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3_at_0 AS n_1_in_3_at_0,
    sum(n_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3_at_0 AS n_2_in_3_at_0,
    sum(s_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3_at_0 AS s_2_in_3_at_0,
    sum(x_2_in_3_at_0) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3_at_0 AS x_2_in_3_at_0,
    sum(n_1_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_1_at_1 AS n_1_in_1_at_1,
    sum(n_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_1_at_1 AS n_2_in_1_at_1,
    sum(s_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_1_at_1 AS s_2_in_1_at_1,
    sum(x_2_in_1_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_1_at_1 AS x_2_in_1_at_1,
    sum(n_1_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_2_at_1 AS n_1_in_2_at_1,
    sum(n_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_2_at_1 AS n_2_in_2_at_1,
    sum(s_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_2_at_1 AS s_2_in_2_at_1,
    sum(x_2_in_2_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_2_at_1 AS x_2_in_2_at_1,
    sum(n_1_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_1_in_3_at_1 AS n_1_in_3_at_1,
    sum(n_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - n_2_in_3_at_1 AS n_2_in_3_at_1,
    sum(s_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - s_2_in_3_at_1 AS s_2_in_3_at_1,
    sum(x_2_in_3_at_1) OVER (ROWS UNBOUNDED PRECEDING) - x_2_in_3_at_1 AS x_2_in_3_at_1
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
    n_1_in_2_at_0 AS n_1_in_2_of_1,
    n_2_in_2_at_0 AS n_2_in_2_of_1,
    s_2_in_2_at_0 AS s_2_in_2_of_1,
    x_2_in_2_at_0 AS x_2_in_2_of_1,
    n_1_in_3_at_0 AS n_1_in_3_of_1,
    n_2_in_3_at_0 AS n_2_in_3_of_1,
    s_2_in_3_at_0 AS s_2_in_3_of_1,
    x_2_in_3_at_0 AS x_2_in_3_of_1,
    lag(n_1_in_1_at_1, 1) OVER () AS n_1_in_1_of_2,
    lag(n_2_in_1_at_1, 1) OVER () AS n_2_in_1_of_2,
    lag(s_2_in_1_at_1, 1) OVER () AS s_2_in_1_of_2,
    lag(x_2_in_1_at_1, 1) OVER () AS x_2_in_1_of_2,
    lag(n_1_in_2_at_1, 7) OVER () AS n_1_in_2_of_3,
    lag(n_2_in_2_at_1, 7) OVER () AS n_2_in_2_of_3,
    lag(s_2_in_2_at_1, 7) OVER () AS s_2_in_2_of_3,
    lag(x_2_in_2_at_1, 7) OVER () AS x_2_in_2_of_3,
    lag(n_1_in_3_at_1, 14) OVER () AS n_1_in_3_of_4,
    lag(n_2_in_3_at_1, 14) OVER () AS n_2_in_3_of_4,
    lag(s_2_in_3_at_1, 14) OVER () AS s_2_in_3_of_4,
    lag(x_2_in_3_at_1, 14) OVER () AS x_2_in_3_of_4
  FROM running
),
-- the tiles in which the stretches of each spine row end
asked AS MATERIALIZED (
  SELECT
    s.row_id,
    s.asked_at,
    l.first_tile + least(greatest(s.asked_at - $first_instant + 1296000000000, 1209600000000), $last_instant - $first_instant + 2592000000000) // 86400000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_merchant_id" = l."key_merchant_id"
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
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_2,
    CAST(CASE WHEN lateness < 604800000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_2,
    CASE WHEN lateness < 604800000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_2,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_1 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_1_in_3,
    CAST(CASE WHEN lateness < 1209600000000 THEN sign * (CAST(measure_2 IS NOT NULL AS BIGINT)) END AS DOUBLE) AS n_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * (CASE WHEN isfinite(measure_2) THEN NULL WHEN isnan(measure_2) THEN CAST(1 AS HUGEINT) WHEN measure_2 > 0 THEN 4294967296 WHEN measure_2 < 0 THEN 18446744073709551616 END) END AS s_2_in_3,
    CASE WHEN lateness < 1209600000000 THEN sign * CAST(CASE WHEN isfinite(measure_2) THEN CAST(measure_2 * $scale_2 AS HUGEINT) END AS HUGEINT) END AS x_2_in_3
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
    sum(n_1_in_2) FILTER (WHERE in_1) AS n_1_in_2_of_1,
    sum(n_2_in_2) FILTER (WHERE in_1) AS n_2_in_2_of_1,
    sum(s_2_in_2) FILTER (WHERE in_1) AS s_2_in_2_of_1,
    sum(x_2_in_2) FILTER (WHERE in_1) AS x_2_in_2_of_1,
    sum(n_1_in_3) FILTER (WHERE in_1) AS n_1_in_3_of_1,
    sum(n_2_in_3) FILTER (WHERE in_1) AS n_2_in_3_of_1,
    sum(s_2_in_3) FILTER (WHERE in_1) AS s_2_in_3_of_1,
    sum(x_2_in_3) FILTER (WHERE in_1) AS x_2_in_3_of_1,
    sum(n_1_in_1) FILTER (WHERE in_2) AS n_1_in_1_of_2,
    sum(n_2_in_1) FILTER (WHERE in_2) AS n_2_in_1_of_2,
    sum(s_2_in_1) FILTER (WHERE in_2) AS s_2_in_1_of_2,
    sum(x_2_in_1) FILTER (WHERE in_2) AS x_2_in_1_of_2,
    sum(n_1_in_2) FILTER (WHERE in_3) AS n_1_in_2_of_3,
    sum(n_2_in_2) FILTER (WHERE in_3) AS n_2_in_2_of_3,
    sum(s_2_in_2) FILTER (WHERE in_3) AS s_2_in_2_of_3,
    sum(x_2_in_2) FILTER (WHERE in_3) AS x_2_in_2_of_3,
    sum(n_1_in_3) FILTER (WHERE in_4) AS n_1_in_3_of_4,
    sum(n_2_in_3) FILTER (WHERE in_4) AS n_2_in_3_of_4,
    sum(s_2_in_3) FILTER (WHERE in_4) AS s_2_in_3_of_4,
    sum(x_2_in_3) FILTER (WHERE in_4) AS x_2_in_3_of_4
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
    t.n_1_in_2_of_1,
    t.n_2_in_2_of_1,
    t.s_2_in_2_of_1,
    t.x_2_in_2_of_1,
    t.n_1_in_3_of_1,
    t.n_2_in_3_of_1,
    t.s_2_in_3_of_1,
    t.x_2_in_3_of_1,
    t.n_1_in_1_of_2,
    t.n_2_in_1_of_2,
    t.s_2_in_1_of_2,
    t.x_2_in_1_of_2,
    t.n_1_in_2_of_3,
    t.n_2_in_2_of_3,
    t.s_2_in_2_of_3,
    t.x_2_in_2_of_3,
    t.n_1_in_3_of_4,
    t.n_2_in_3_of_4,
    t.s_2_in_3_of_4,
    t.x_2_in_3_of_4
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
    CAST(a.n_1_in_2_of_1 + coalesce(r.n_1_in_2_of_1, 0) AS BIGINT) AS n_1_in_2_of_1,
    CAST(a.n_2_in_2_of_1 + coalesce(r.n_2_in_2_of_1, 0) AS BIGINT) AS n_2_in_2_of_1,
    a.s_2_in_2_of_1 + coalesce(r.s_2_in_2_of_1, 0) AS s_2_in_2_of_1,
    a.x_2_in_2_of_1 + coalesce(r.x_2_in_2_of_1, 0) AS x_2_in_2_of_1,
    CAST(a.n_1_in_3_of_1 + coalesce(r.n_1_in_3_of_1, 0) AS BIGINT) AS n_1_in_3_of_1,
    CAST(a.n_2_in_3_of_1 + coalesce(r.n_2_in_3_of_1, 0) AS BIGINT) AS n_2_in_3_of_1,
    a.s_2_in_3_of_1 + coalesce(r.s_2_in_3_of_1, 0) AS s_2_in_3_of_1,
    a.x_2_in_3_of_1 + coalesce(r.x_2_in_3_of_1, 0) AS x_2_in_3_of_1,
    CAST(a.n_1_in_1_of_2 + coalesce(r.n_1_in_1_of_2, 0) AS BIGINT) AS n_1_in_1_of_2,
    CAST(a.n_2_in_1_of_2 + coalesce(r.n_2_in_1_of_2, 0) AS BIGINT) AS n_2_in_1_of_2,
    a.s_2_in_1_of_2 + coalesce(r.s_2_in_1_of_2, 0) AS s_2_in_1_of_2,
    a.x_2_in_1_of_2 + coalesce(r.x_2_in_1_of_2, 0) AS x_2_in_1_of_2,
    CAST(a.n_1_in_2_of_3 + coalesce(r.n_1_in_2_of_3, 0) AS BIGINT) AS n_1_in_2_of_3,
    CAST(a.n_2_in_2_of_3 + coalesce(r.n_2_in_2_of_3, 0) AS BIGINT) AS n_2_in_2_of_3,
    a.s_2_in_2_of_3 + coalesce(r.s_2_in_2_of_3, 0) AS s_2_in_2_of_3,
    a.x_2_in_2_of_3 + coalesce(r.x_2_in_2_of_3, 0) AS x_2_in_2_of_3,
    CAST(a.n_1_in_3_of_4 + coalesce(r.n_1_in_3_of_4, 0) AS BIGINT) AS n_1_in_3_of_4,
    CAST(a.n_2_in_3_of_4 + coalesce(r.n_2_in_3_of_4, 0) AS BIGINT) AS n_2_in_3_of_4,
    a.s_2_in_3_of_4 + coalesce(r.s_2_in_3_of_4, 0) AS s_2_in_3_of_4,
    a.x_2_in_3_of_4 + coalesce(r.x_2_in_3_of_4, 0) AS x_2_in_3_of_4
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
    (coalesce(n_2_in_3_of_1, 0) - coalesce(n_2_in_3_of_4, 0)) - (coalesce(n_2_in_2_of_1, 0) - coalesce(n_2_in_2_of_3, 0)) AS n_2_3,
    (coalesce(s_2_in_3_of_1, 0) - coalesce(s_2_in_3_of_4, 0)) - (coalesce(s_2_in_2_of_1, 0) - coalesce(s_2_in_2_of_3, 0)) AS s_2_3,
    (coalesce(x_2_in_3_of_1, 0) - coalesce(x_2_in_3_of_4, 0)) - (coalesce(x_2_in_2_of_1, 0) - coalesce(x_2_in_2_of_3, 0)) AS x_2_3
  FROM stretches
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "merchant_count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "merchant_count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "merchant_amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "merchant_amount_sum_7d_offset_7d"
FROM spine AS s LEFT JOIN rounded AS g USING (row_id)
ORDER BY __row
;

-- merchant_merchant_activity: Window of view merchant_activity, plan pairs: merchant_customer_id_count_distinct_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "customer_id" AS "in_customer_id"
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
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_customer_id" AS measure_3
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_3
  FROM stretched AS f JOIN asking AS s
  ON s."key_merchant_id" = f."key_merchant_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 604800000000
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
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_customer_id_count_distinct_7d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- merchant_merchant_activity: Window of view merchant_activity, plan snapshot: merchant_count_1d, merchant_count_7d, merchant_amount_sum_7d, merchant_amount_sum_7d_offset_7d, merchant_customer_id_count_distinct_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "customer_id" AS "in_customer_id"
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
    QUALIFY row_number() OVER (PARTITION BY "row_payment_id" ORDER BY known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, "by_amount" DESC NULLS LAST, "by_customer_id" DESC NULLS LAST, "by_merchant_id" DESC NULLS LAST, "by_status" DESC NULLS LAST) = 1
  )
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id"
  FROM newest_versions SEMI JOIN spine USING ("key_merchant_id")
  WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND greatest(event_time, known_time) < $at AND event_time >= $at - 1209600000000
),
-- facts, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_customer_id" AS measure_3
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
    "key_merchant_id",
    count(measure_1) FILTER (WHERE event_time >= $at - 86400000000) AS n_1_1,
    count(measure_1) FILTER (WHERE event_time >= $at - 604800000000) AS n_1_2,
    count(measure_2) FILTER (WHERE event_time >= $at - 604800000000) AS n_2_2,
    sum(s_2) FILTER (WHERE event_time >= $at - 604800000000) AS s_2_2,
    sum(x_2) FILTER (WHERE event_time >= $at - 604800000000) AS x_2_2,
    count(measure_2) FILTER (WHERE event_time < $at - 604800000000) AS n_2_3,
    sum(s_2) FILTER (WHERE event_time < $at - 604800000000) AS s_2_3,
    sum(x_2) FILTER (WHERE event_time < $at - 604800000000) AS x_2_3,
    count(DISTINCT measure_3) FILTER (WHERE event_time >= $at - 604800000000) AS value_1
  FROM numbers
  GROUP BY "key_merchant_id"
),
-- sums as the nearest doubles
rounded AS NOT MATERIALIZED (
  SELECT *,
    CASE WHEN s_2_2 > 0 THEN special_sum(s_2_2) ELSE exact_double(coalesce(x_2_2, 0)) * $unscale_2 END AS sum_2_2,
    CASE WHEN s_2_3 > 0 THEN special_sum(s_2_3) ELSE exact_double(coalesce(x_2_3, 0)) * $unscale_2 END AS sum_2_3
  FROM grouped
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "merchant_count_1d",
  CAST(coalesce(g.n_1_2, 0) AS BIGINT) AS "merchant_count_7d",
  CASE WHEN coalesce(g.n_2_2, 0) > 0 THEN g.sum_2_2 END AS "merchant_amount_sum_7d",
  CASE WHEN coalesce(g.n_2_3, 0) > 0 THEN g.sum_2_3 END AS "merchant_amount_sum_7d_offset_7d",
  CAST(coalesce(g.value_1, 0) AS BIGINT) AS "merchant_customer_id_count_distinct_7d"
FROM spine AS s LEFT JOIN rounded AS g USING ("key_merchant_id")
ORDER BY __row
;

-- merchant_merchant_activity: Window of view merchant_activity, plan pairs, values as lists: merchant_amount_sum_7d, merchant_amount_sum_7d_offset_7d
-- reads spine (row_id, asked_at, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    (("status" = 'settled') AND (canonical_double("amount") > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount",
    "customer_id" AS "in_customer_id"
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
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS NOT MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_merchant_id", event_time, known_time, "in_amount", "in_customer_id", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    "in_customer_id" AS measure_3
  FROM facts
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
  SELECT *, (event_time + 4611686018427387904) // 604800000000 AS stretch FROM measured
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_2
  FROM stretched AS f JOIN asking AS s
  ON s."key_merchant_id" = f."key_merchant_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
  AND f.event_time >= s.asked_at - 1209600000000
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL AND event_time >= asked_at - 604800000000) AS value_1,
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL AND event_time < asked_at - 604800000000) AS value_2
  FROM pairs
  GROUP BY row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  g.value_1 AS "merchant_amount_sum_7d",
  g.value_2 AS "merchant_amount_sum_7d_offset_7d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- card_details: StaticLookup of view card_details
-- reads spine (row_id, asked_at, card_id), source__cards
WITH
-- rows of static source cards
rows_read AS (
  SELECT
    CAST("card_id" AS VARCHAR) AS "key_card_id",
    "network" AS "in_network",
    "product" AS "in_product",
    "issuer_country" AS "in_issuer_country",
    "contactless" AS "in_contactless"
  FROM source__cards
),
-- rows with a key
facts AS (
  SELECT * FROM rows_read WHERE "key_card_id" IS NOT NULL
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  CAST(NULL AS BIGINT) AS __event,
  CAST(CASE WHEN f."key_card_id" IS NOT NULL THEN 1 ELSE 0 END AS UTINYINT) AS __match,
  CASE WHEN f."key_card_id" IS NOT NULL THEN f."in_network" END AS "network",
  CASE WHEN f."key_card_id" IS NOT NULL THEN f."in_product" END AS "product",
  CASE WHEN f."key_card_id" IS NOT NULL THEN f."in_issuer_country" END AS "issuer_country"
FROM spine AS s LEFT JOIN facts AS f ON s."key_card_id" = f."key_card_id"
ORDER BY __row
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan pairs: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time
  FROM source__disputes
),
-- facts known before the cut-off
facts AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    event_time AS visible_from,
    TRUE AS measure_1
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
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1
  FROM stretched AS f JOIN asking AS s
  ON s."key_customer_id" = f."key_customer_id" AND s."key_merchant_id" = f."key_merchant_id" AND s.stretch = f.stretch
  AND f.visible_from < s.asked_at
  AND f.event_time >= s.asked_at - 2592000000000
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "chargebacks_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan tiles: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time
  FROM source__disputes
),
-- facts known before the cut-off
facts AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    event_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, each at the instant at which it happened
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time AS instant,
    measure_1
  FROM measured
),
-- the keys that are asked for, and how many marks each has
counted AS (
  SELECT "key_customer_id", "key_merchant_id", count(*) AS marks
  FROM marks SEMI JOIN (SELECT DISTINCT "key_customer_id", "key_merchant_id" FROM spine) USING ("key_customer_id", "key_merchant_id")
  GROUP BY "key_customer_id", "key_merchant_id"
),
-- the length of their tiles, and their number with the empty one behind the last
sized AS (
  SELECT *, ($last_instant - $first_instant) // length + 2 AS tiles
  FROM (
    SELECT "key_customer_id", "key_merchant_id", ($last_instant - $first_instant) // greatest(least(marks // $per_tile, $most_tiles), 1) + 1 AS length
    FROM counted
  )
),
-- and the numbers of the first and last of their tiles, all in one row
lines AS MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    length,
    CAST(sum(tiles) OVER in_a_row - tiles AS BIGINT) AS first_tile,
    CAST(sum(tiles) OVER in_a_row - 1 AS BIGINT) AS last_tile
  FROM sized
  WINDOW in_a_row AS (ORDER BY "key_customer_id", "key_merchant_id" ROWS UNBOUNDED PRECEDING)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", "key_merchant_id")
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
    l0.first_tile + least(greatest(s.asked_at - $first_instant, 0), $last_instant - $first_instant) // l0.length AS high_1,
    l0.first_tile + least(greatest(s.asked_at - 2592000000000 - $first_instant, 0), $last_instant - $first_instant) // l0.length AS low_1
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id" AND s."key_merchant_id" = l0."key_merchant_id"
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
    measure_1 AS n_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "chargebacks_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan aligned: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time
  FROM source__disputes
),
-- facts known before the cut-off
facts AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    event_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts, each at the instant at which it happened
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time AS instant,
    measure_1
  FROM measured
),
-- the keys that are asked for, and the first of each one's tiles: they are numbered in one row
lines AS MATERIALIZED (
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 2592000000000 + 5) AS first_tile, (($last_instant - $first_instant) // 2592000000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id", "key_merchant_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT (l.first_tile + (m.instant - $first_instant + 5184000000000) // 2592000000000) AS tile, m.instant, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", "key_merchant_id")
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
    l.first_tile + least(greatest(s.asked_at - $first_instant + 5184000000000, 2592000000000), $last_instant - $first_instant + 10368000000000) // 2592000000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id" AND s."key_merchant_id" = l."key_merchant_id"
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
    measure_1 AS n_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "chargebacks_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan frames: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time
  FROM source__disputes
),
-- facts known before the cut-off
facts AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    event_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- facts at twice their event time, spine rows at twice the instant up to which events are known
timeline AS (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    2 * event_time + 1 AS tick,
    NULL AS row_id,
    event_time,
    known_time,
    measure_1
  FROM measured
  UNION ALL BY NAME
  SELECT "key_customer_id", "key_merchant_id", 2 * asked_at AS tick, row_id
  FROM spine
),
-- what each window holds, at every point of the timeline
framed AS (
  SELECT
    row_id,
    count(measure_1) OVER span_1 AS n_1_1
  FROM timeline
  WINDOW
    span_1 AS (PARTITION BY "key_customer_id", "key_merchant_id" ORDER BY tick RANGE BETWEEN 5184000000000 PRECEDING AND CURRENT ROW)
),
-- of these the spine rows
grouped AS (
  SELECT * FROM framed WHERE row_id IS NOT NULL
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "chargebacks_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan sweep: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time
  FROM source__disputes
),
-- facts known before the cut-off
facts AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    event_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
  UNION ALL
  SELECT
    "key_customer_id",
    "key_merchant_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
),
-- the keys that are asked for, and how many marks each has
counted AS (
  SELECT "key_customer_id", "key_merchant_id", side, count(*) AS marks
  FROM marks SEMI JOIN (SELECT DISTINCT "key_customer_id", "key_merchant_id" FROM spine) USING ("key_customer_id", "key_merchant_id")
  GROUP BY "key_customer_id", "key_merchant_id", side
),
-- the length of their tiles, and their number with the empty one behind the last
sized AS (
  SELECT *, ($last_instant - $first_instant) // length + 2 AS tiles
  FROM (
    SELECT "key_customer_id", "key_merchant_id", side, ($last_instant - $first_instant) // greatest(least(marks // $per_tile, $most_tiles), 1) + 1 AS length
    FROM counted
  )
),
-- and the numbers of the first and last of their tiles, all in one row
lines AS MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    side,
    length,
    CAST(sum(tiles) OVER in_a_row - tiles AS BIGINT) AS first_tile,
    CAST(sum(tiles) OVER in_a_row - 1 AS BIGINT) AS last_tile
  FROM sized
  WINDOW in_a_row AS (ORDER BY "key_customer_id", "key_merchant_id", side ROWS UNBOUNDED PRECEDING)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT l.first_tile + (m.instant - $first_instant) // l.length AS tile, m.instant, m.lateness, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", "key_merchant_id", side)
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1_in_1) AS n_1_in_1
  FROM (
    SELECT
      tile,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1
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
    l1.first_tile + least(greatest(s.asked_at - 2592000000000 - $first_instant, 0), $last_instant - $first_instant) // l1.length AS high_2,
    l0.first_tile AS low_1,
    l1.first_tile AS low_2
  FROM spine AS s
  JOIN lines AS l0 ON s."key_customer_id" = l0."key_customer_id" AND s."key_merchant_id" = l0."key_merchant_id" AND l0.side = 0
  JOIN lines AS l1 ON s."key_customer_id" = l1."key_customer_id" AND s."key_merchant_id" = l1."key_merchant_id" AND l1.side = 1
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
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "chargebacks_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan aligned_sweep: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time
  FROM source__disputes
),
-- facts known before the cut-off
facts AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    event_time AS visible_from,
    TRUE AS measure_1
  FROM facts
),
-- when facts begin to count, and when they happened; how late they were known
marks AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    CAST(0 AS UTINYINT) AS side,
    visible_from AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
  UNION ALL
  SELECT
    "key_customer_id",
    "key_merchant_id",
    CAST(1 AS UTINYINT) AS side,
    event_time AS instant,
    visible_from - event_time AS lateness,
    measure_1
  FROM measured
),
-- the keys that are asked for, and the first of each one's tiles: they are numbered in one row
lines AS MATERIALIZED (
  SELECT *, (row_number() OVER () - 1) * (($last_instant - $first_instant) // 2592000000000 + 5) AS first_tile, (($last_instant - $first_instant) // 2592000000000 + 5) AS tiles
  FROM (SELECT DISTINCT "key_customer_id", "key_merchant_id" FROM spine)
),
-- marks of those keys, and the tile each falls into
placed AS NOT MATERIALIZED (
  SELECT 2 * (l.first_tile + (m.instant - $first_instant + 5184000000000) // 2592000000000) + m.side AS tile, m.instant, m.lateness, m.measure_1
  FROM marks AS m JOIN lines AS l USING ("key_customer_id", "key_merchant_id")
),
-- what the marks of each tile add up to
filled AS (
  SELECT
    tile,
    count(n_1_in_1) AS n_1_in_1
  FROM (
    SELECT
      tile,
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1
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
    l.first_tile + least(greatest(s.asked_at - $first_instant + 5184000000000, 2592000000000), $last_instant - $first_instant + 10368000000000) // 2592000000000 AS high_1
  FROM spine AS s JOIN lines AS l ON s."key_customer_id" = l."key_customer_id" AND s."key_merchant_id" = l."key_merchant_id"
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
    CASE WHEN lateness < 2592000000000 THEN measure_1 END AS n_1_in_1
  FROM placed JOIN ends USING (tile)
  WHERE instant < high AND instant >= low
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
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "chargebacks_30d"
FROM spine AS s LEFT JOIN grouped AS g USING (row_id)
ORDER BY __row
;

-- chargeback_30d: asked 30d after as_of, at the end of the window of label view chargeback_30d, plan snapshot: chargebacks_30d
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time
  FROM source__disputes
),
-- facts known before the cut-off
facts AS NOT MATERIALIZED (
  SELECT *
  FROM rows_read
  WHERE "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time
  FROM facts SEMI JOIN spine USING ("key_customer_id", "key_merchant_id")
  WHERE event_time < $at AND event_time >= $at - 2592000000000
),
-- facts, and what the aggregates take of them
measured AS NOT MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    TRUE AS measure_1
  FROM seen
),
-- per key what its windows hold
grouped AS (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    count(measure_1) AS n_1_1
  FROM measured
  GROUP BY "key_customer_id", "key_merchant_id"
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g.n_1_1, 0) AS BIGINT) AS "chargebacks_30d"
FROM spine AS s LEFT JOIN grouped AS g USING ("key_customer_id", "key_merchant_id")
ORDER BY __row
;

-- payment_vs_usual: OnDemand of on-demand view payment_vs_usual
-- reads asked (row_id, request amount, count_30d, amount_sum_30d, credit_limit), batch by batch
-- the features, each from its own row alone
SELECT
  row_id AS __row,
  canonical_double(CAST((canonical_double("in_amount") * CAST("in_count_30d" AS DOUBLE)) / nullif(CASE WHEN canonical_double("in_amount_sum_30d") = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_30d") END, 0) AS DOUBLE)) AS "amount_to_usual_30d",
  canonical_double(CAST(canonical_double("in_amount") / nullif(CASE WHEN CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) END, 0) AS DOUBLE)) AS "share_of_limit",
  -- whether an operation had operands and no value
  ((((canonical_double("in_amount") * CAST("in_count_30d" AS DOUBLE)) / nullif(CASE WHEN canonical_double("in_amount_sum_30d") = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_30d") END, 0)) IS NULL) AND (NOT ((canonical_double("in_amount") * CAST("in_count_30d" AS DOUBLE)) IS NULL))) AND (NOT (CASE WHEN canonical_double("in_amount_sum_30d") = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE canonical_double("in_amount_sum_30d") END IS NULL)) AS "amount_to_usual_30d__without_value",
  (((canonical_double("in_amount") / nullif(CASE WHEN CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) END, 0)) IS NULL) AND (NOT (canonical_double("in_amount") IS NULL))) AND (NOT (CASE WHEN CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) = CAST(CAST(0 AS BIGINT) AS DOUBLE) THEN NULL ELSE CAST(CAST("in_credit_limit" AS TEXT) AS DOUBLE) END IS NULL)) AS "share_of_limit__without_value"
FROM asked
ORDER BY __row
;
