-- Training set of feature service simple: one statement per view instance and kind of feature; of
-- windows every plan that a build may choose.
-- Fingerprint ee18bee433eacd206fa7439e14d1acfa. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.
-- $scale_i, $unscale_i: 2^k and 2^-k; the doubles of measure i times 2^k are whole. $first_instant,
-- $last_instant: between them lie all facts. $per_tile, $most_tiles: facts of a tile, and tiles of a key at most.
-- Plan snapshot: where all rows of a spine ask at one instant, which is $at.

-- simple: Latest of view simple
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
  ON s."key_customer_id" = f."key_customer_id" AND s.asked_at > f.known_time
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
  CASE WHEN m.event_time IS NOT NULL THEN a."in_page" END AS "page"
FROM matched AS m LEFT JOIN chosen AS a ON m."key_customer_id" = a."key_customer_id" AND m.event_time = a.event_time
ORDER BY __row
;

-- simple: Latest of view simple, plan snapshot: page
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
  WHERE known_time < $at
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
  CASE WHEN a.event_time IS NOT NULL THEN a."in_page" END AS "page"
FROM spine AS s LEFT JOIN chosen AS a USING ("key_customer_id")
ORDER BY __row
;
