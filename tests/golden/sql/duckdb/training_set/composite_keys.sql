-- Training set of feature service composite_keys: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint ffbb2d2fad5522eedab7d8c84f29bf4d. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,
-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.
-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.

-- price_composite: Latest of view composite
-- reads spine (row_id, asked_at, land, shop_no), source__prices
WITH
-- rows of source prices: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("country" AS VARCHAR) AS "key_country",
    CAST("shop_no" AS BIGINT) AS "key_shop_no",
    CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END AS event_time,
    coalesce(CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END, CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END + 7200000000) AS known_time,
    "price" AS "in_price"
  FROM source__prices
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_country" IS NOT NULL AND "key_shop_no" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT "key_country", "key_shop_no", 2 * asked_at AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine
  UNION ALL
  SELECT "key_country", "key_shop_no", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM facts
),
-- the newest fact so far, event and known time in one integer
running AS (
  SELECT row_id, "key_country", "key_shop_no", tick, max(packed) OVER (
    PARTITION BY "key_country", "key_shop_no" ORDER BY tick ROWS UNBOUNDED PRECEDING
  ) AS newest
  FROM timeline
),
-- per spine row the event and known time of its newest visible fact
matched AS MATERIALIZED (
  SELECT row_id, "key_country", "key_shop_no", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time FROM running WHERE row_id IS NOT NULL AND newest IS NOT NULL)
),
-- the facts that answer some row
wanted AS (
  SELECT DISTINCT "key_country", "key_shop_no", event_time, known_time FROM matched
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_country",
    "key_shop_no",
    event_time,
    known_time,
    "in_price" AS "in_price"
  FROM facts SEMI JOIN wanted USING ("key_country", "key_shop_no", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_country", "key_shop_no", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_country", "key_shop_no", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_country", "key_shop_no", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_country", "key_shop_no", event_time, known_time ORDER BY "in_price" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN s.asked_at - a.event_time > 2592000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN s.asked_at - a.event_time <= 2592000000000 THEN a."in_price" END AS "price_price",
  CASE WHEN s.asked_at - a.event_time <= 2592000000000 THEN CAST((CAST(CAST(a."in_price" AS TEXT) AS DOUBLE) * CAST('1.19' AS DOUBLE)) >= CAST(CAST(10 AS BIGINT) AS DOUBLE) AS BOOLEAN) END AS "price_is_dear"
FROM spine AS s LEFT JOIN matched AS m USING (row_id)
LEFT JOIN chosen AS a ON m."key_country" = a."key_country" AND m."key_shop_no" = a."key_shop_no" AND m.event_time = a.event_time AND m.known_time = a.known_time
ORDER BY __row
;

-- price_composite: Latest of view composite, plan snapshot: price_price, price_is_dear
-- reads spine (row_id, asked_at, land, shop_no), source__prices
WITH
-- rows of source prices: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("country" AS VARCHAR) AS "key_country",
    CAST("shop_no" AS BIGINT) AS "key_shop_no",
    CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END AS event_time,
    coalesce(CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END, CASE WHEN "valid_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "valid_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("valid_from") END + 7200000000) AS known_time,
    "price" AS "in_price"
  FROM source__prices
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_country" IS NOT NULL AND "key_shop_no" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts that count at the instant asked, of the keys that ask
seen AS NOT MATERIALIZED (
  SELECT "key_country", "key_shop_no", event_time, known_time, "in_price"
  FROM facts SEMI JOIN spine USING ("key_country", "key_shop_no")
  WHERE greatest(event_time, known_time) < $at
),
-- per key the event and known time of its newest fact
wanted AS (
  SELECT "key_country", "key_shop_no", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (
    SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time
    FROM (SELECT "key_country", "key_shop_no", max(CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time) AS newest FROM seen GROUP BY "key_country", "key_shop_no")
  )
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_country",
    "key_shop_no",
    event_time,
    known_time,
    "in_price" AS "in_price"
  FROM seen SEMI JOIN wanted USING ("key_country", "key_shop_no", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_country", "key_shop_no", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_country", "key_shop_no", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_country", "key_shop_no", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_country", "key_shop_no", event_time, known_time ORDER BY "in_price" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN s.asked_at - a.event_time > 2592000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN s.asked_at - a.event_time <= 2592000000000 THEN a."in_price" END AS "price_price",
  CASE WHEN s.asked_at - a.event_time <= 2592000000000 THEN CAST((CAST(CAST(a."in_price" AS TEXT) AS DOUBLE) * CAST('1.19' AS DOUBLE)) >= CAST(CAST(10 AS BIGINT) AS DOUBLE) AS BOOLEAN) END AS "price_is_dear"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_country", "key_shop_no")
ORDER BY __row
;
