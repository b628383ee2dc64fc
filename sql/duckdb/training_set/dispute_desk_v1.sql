-- Training set of feature service dispute_desk_v1: one statement per view instance and kind of feature.
-- Fingerprint 7456cc4628a25b4a9b48cf0aed64fcb4. Each returns one row per spine row, ordered by __row.
-- $known_before: facts known before it only. $known_shift: microseconds by which facts are known later.

-- customer_at_merchant: Latest of view customer_at_merchant
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" <> 'void') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount"
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
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time, "in_amount", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts of row keys with one version
single AS NOT MATERIALIZED (
  SELECT * FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
),
-- spine rows, and facts that are never replaced at the instant they become visible
timeline AS (
  SELECT "key_customer_id", "key_merchant_id", 2 * asked_at AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine
  UNION ALL
  SELECT "key_customer_id", "key_merchant_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM single
  UNION ALL
  SELECT "key_customer_id", "key_merchant_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM intervals WHERE until IS NULL
),
-- the newest fact so far, event and known time in one integer
running AS (
  SELECT row_id, "key_customer_id", "key_merchant_id", tick, max(packed) OVER (
    PARTITION BY "key_customer_id", "key_merchant_id" ORDER BY tick ROWS UNBOUNDED PRECEDING
  ) AS newest
  FROM timeline
),
-- per spine row the event and known time of its newest visible fact
matched AS MATERIALIZED (
  SELECT row_id, "key_customer_id", "key_merchant_id", tick // 2 AS asked_at, newest, event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time FROM running WHERE row_id IS NOT NULL)
),
-- the lasting facts that answer some row
wanted AS (
  SELECT DISTINCT "key_customer_id", "key_merchant_id", event_time, known_time FROM matched WHERE newest IS NOT NULL
),
-- versions with those times, before any other join can grow on them
wanted_versions AS MATERIALIZED (
  SELECT * FROM versions SEMI JOIN wanted USING ("key_customer_id", "key_merchant_id", event_time, known_time)
),
-- the lasting facts among them, with their inputs
lasting AS (
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time, "in_amount" FROM wanted_versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time, "in_amount" FROM intervals SEMI JOIN wanted USING ("key_customer_id", "key_merchant_id", event_time, known_time) WHERE until IS NULL
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    canonical_double("in_amount") AS "in_amount"
  FROM lasting
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_customer_id", "key_merchant_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_customer_id", "key_merchant_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_customer_id", "key_merchant_id", event_time, known_time ORDER BY "in_amount" DESC NULLS LAST) = 1
  )
),
-- facts that a later version replaces
replaced AS MATERIALIZED (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    canonical_double("in_amount") AS "in_amount",
    until,
    CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time AS packed
  FROM intervals WHERE until IS NOT NULL
),
-- rows for which a replaced fact was in force and at least as new as the lasting one
newer AS MATERIALIZED (
  SELECT m.row_id, m.newest, max(r.packed) AS packed
  FROM matched AS m JOIN replaced AS r
  ON m."key_customer_id" = r."key_customer_id" AND m."key_merchant_id" = r."key_merchant_id" AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until AND (m.newest IS NULL OR r.packed >= m.newest)
  GROUP BY m.row_id, m.newest
),
-- the facts that share that newest time, lasting or replaced; the greatest inputs win
merged AS (
  SELECT * FROM (
    SELECT n.row_id, r.event_time, r."in_amount"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN replaced AS r
    ON m."key_customer_id" = r."key_customer_id" AND m."key_merchant_id" = r."key_merchant_id" AND r.packed = n.packed AND greatest(r.event_time, r.known_time) < m.asked_at AND m.asked_at <= r.until
    UNION ALL
    SELECT n.row_id, c.event_time, c."in_amount"
    FROM newer AS n JOIN matched AS m USING (row_id) JOIN chosen AS c
    ON m."key_customer_id" = c."key_customer_id" AND m."key_merchant_id" = c."key_merchant_id" AND m.event_time = c.event_time AND m.known_time = c.known_time AND n.newest = n.packed
  )
  QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY "in_amount" DESC NULLS LAST) = 1
),
-- per spine row its newest fact
answers AS (
  SELECT
    m.row_id,
    m.asked_at,
    CASE WHEN g.row_id IS NULL THEN c.event_time ELSE g.event_time END AS event_time,
    CASE WHEN g.row_id IS NULL THEN c."in_amount" ELSE g."in_amount" END AS "in_amount"
  FROM matched AS m
  LEFT JOIN chosen AS c ON m."key_customer_id" = c."key_customer_id" AND m."key_merchant_id" = c."key_merchant_id" AND m.event_time = c.event_time AND m.known_time = c.known_time
  LEFT JOIN merged AS g ON g.row_id = m.row_id
)
-- the answer, in spine order
SELECT
  a.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 WHEN a.asked_at - a.event_time > 31536000000000 THEN 2 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.asked_at - a.event_time <= 31536000000000 THEN a."in_amount" END AS "last_amount_here"
FROM answers AS a
ORDER BY __row
;

-- customer_at_merchant: Window of view customer_at_merchant
-- reads spine (row_id, asked_at, customer_id, merchant_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS NOT MATERIALIZED (
  SELECT
    "payment_id" AS "row_payment_id",
    ("status" <> 'void') IS TRUE AND "is_deleted" IS NOT TRUE AS holds,
    coalesce("is_deleted", FALSE) AS deleted,
    canonical_double("amount") AS "by_amount",
    "customer_id" AS "by_customer_id",
    "merchant_id" AS "by_merchant_id",
    "status" AS "by_status",
    CAST("customer_id" AS BIGINT) AS "key_customer_id",
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "paid_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "paid_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("paid_at") END AS event_time,
    CASE WHEN "loaded_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "loaded_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("loaded_at") END AS known_time,
    "amount" AS "in_amount"
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
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time, "in_amount", until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY "row_payment_id"
      ORDER BY known_time ASC NULLS FIRST, event_time ASC NULLS FIRST, deleted ASC NULLS FIRST, "by_amount" ASC NULLS FIRST, "by_customer_id" ASC NULLS FIRST, "by_merchant_id" ASC NULLS FIRST, "by_status" ASC NULLS FIRST
      ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    ) AS until
    FROM versions SEMI JOIN repeated USING ("row_payment_id")
  )
  WHERE holds AND "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, and until when each is in force (NULL: for ever)
facts AS (
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time, "in_amount", CAST(NULL AS BIGINT) AS until
  FROM versions ANTI JOIN repeated USING ("row_payment_id") WHERE holds AND "key_customer_id" IS NOT NULL AND "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL
  UNION ALL
  SELECT "key_customer_id", "key_merchant_id", event_time, known_time, "in_amount", until FROM intervals
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    "key_customer_id",
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2
  FROM facts
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2
  FROM spine AS s JOIN measured AS f
  ON s."key_customer_id" = f."key_customer_id" AND s."key_merchant_id" = f."key_merchant_id"
  AND f.visible_from < s.asked_at
  AND (f.until IS NULL OR s.asked_at <= f.until)
),
-- per spine row the aggregates of its pairs
grouped AS (
  SELECT
    pairs.row_id AS __row,
    count(measure_1) AS "visits",
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL AND event_time >= asked_at - 2592000000000) AS "spent_here_30d"
  FROM pairs
  GROUP BY pairs.row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g."visits", 0) AS BIGINT) AS "visits",
  g."spent_here_30d"
FROM spine AS s LEFT JOIN grouped AS g ON g.__row = s.row_id
ORDER BY s.row_id
;

-- disputes_merchant_chargebacks: Latest of view merchant_chargebacks
-- reads spine (row_id, asked_at, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time,
    "amount" AS "in_amount",
    "reason" AS "in_reason"
  FROM source__disputes
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT "key_merchant_id", 2 * asked_at AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine
  UNION ALL
  SELECT "key_merchant_id", 2 * greatest(event_time, known_time) + 1, NULL, CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time FROM facts
),
-- the newest fact so far, event and known time in one integer
running AS (
  SELECT row_id, "key_merchant_id", tick, max(packed) OVER (
    PARTITION BY "key_merchant_id" ORDER BY tick ROWS UNBOUNDED PRECEDING
  ) AS newest
  FROM timeline
),
-- per spine row the event and known time of its newest visible fact
matched AS MATERIALIZED (
  SELECT row_id, "key_merchant_id", event_time, CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT) AS known_time
  FROM (SELECT *, CAST((newest + 9223372036854775808) >> 64 AS BIGINT) AS event_time FROM running WHERE row_id IS NOT NULL AND newest IS NOT NULL)
),
-- the facts that answer some row
wanted AS (
  SELECT DISTINCT "key_merchant_id", event_time, known_time FROM matched
),
-- those facts with their inputs, made canonical
candidates AS MATERIALIZED (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    canonical_double("in_amount") AS "in_amount",
    "in_reason" AS "in_reason"
  FROM facts SEMI JOIN wanted USING ("key_merchant_id", event_time, known_time)
),
-- facts that more than one row claims to be
tied AS MATERIALIZED (
  SELECT "key_merchant_id", event_time, known_time FROM candidates GROUP BY ALL HAVING count(*) > 1
),
-- one candidate each: of tied ones the greatest by known time, then by inputs
chosen AS (
  SELECT * FROM candidates ANTI JOIN tied USING ("key_merchant_id", event_time, known_time)
  UNION ALL
  (
    SELECT * FROM candidates SEMI JOIN tied USING ("key_merchant_id", event_time, known_time)
    QUALIFY row_number() OVER (PARTITION BY "key_merchant_id", event_time, known_time ORDER BY "in_amount" DESC NULLS LAST, "in_reason" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  s.row_id AS __row,
  a.event_time AS __event,
  CAST(CASE WHEN a.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN a.event_time IS NOT NULL THEN a."in_reason" END AS "disputes_last_reason"
FROM spine AS s LEFT JOIN matched AS m USING (row_id)
LEFT JOIN chosen AS a ON m."key_merchant_id" = a."key_merchant_id" AND m.event_time = a.event_time AND m.known_time = a.known_time
ORDER BY __row
;

-- disputes_merchant_chargebacks: Window of view merchant_chargebacks
-- reads spine (row_id, asked_at, merchant_id), source__disputes
WITH
-- rows of source disputes: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    CAST("merchant_id" AS VARCHAR) AS "key_merchant_id",
    CASE WHEN "disputed_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "disputed_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("disputed_at") END AS event_time,
    CASE WHEN "reported_at" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "reported_at" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("reported_at") END AS known_time,
    "amount" AS "in_amount",
    "reason" AS "in_reason"
  FROM source__disputes
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS NOT MATERIALIZED (
  SELECT * REPLACE (known_time + $known_shift AS known_time)
  FROM rows_read
  WHERE "key_merchant_id" IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < $known_before
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    "key_merchant_id",
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    TRUE AS measure_1,
    canonical_double("in_amount") AS measure_2,
    CASE WHEN starts_with("in_reason", 'fraud') THEN TRUE END AS measure_3
  FROM facts
),
-- spine rows and the visible facts in reach of any window
pairs AS (
  SELECT s.row_id, s.asked_at, f.event_time, f.measure_1, f.measure_2, f.measure_3
  FROM spine AS s JOIN measured AS f
  ON s."key_merchant_id" = f."key_merchant_id"
  AND f.visible_from < s.asked_at
  AND f.event_time >= s.asked_at - 7776000000000
),
-- per spine row the aggregates of its pairs
grouped AS (
  SELECT
    pairs.row_id AS __row,
    count(measure_1) FILTER (WHERE event_time >= asked_at - 2592000000000) AS "disputes_count_30d",
    count(measure_1) FILTER (WHERE event_time >= asked_at - 7776000000000) AS "disputes_count_90d",
    list(measure_2) FILTER (WHERE measure_2 IS NOT NULL AND event_time >= asked_at - 7776000000000) AS "disputes_amount_sum_90d",
    count(measure_3) FILTER (WHERE event_time >= asked_at - 7776000000000) AS "disputes_fraud_count_90d"
  FROM pairs
  GROUP BY pairs.row_id
)
-- the answer, in spine order; rows without facts get the value of the empty window
SELECT
  s.row_id AS __row,
  CAST(coalesce(g."disputes_count_30d", 0) AS BIGINT) AS "disputes_count_30d",
  CAST(coalesce(g."disputes_count_90d", 0) AS BIGINT) AS "disputes_count_90d",
  g."disputes_amount_sum_90d",
  CAST(coalesce(g."disputes_fraud_count_90d", 0) AS BIGINT) AS "disputes_fraud_count_90d"
FROM spine AS s LEFT JOIN grouped AS g ON g.__row = s.row_id
ORDER BY s.row_id
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
  CASE WHEN m.asked_at - m.event_time <= 31536000000000 THEN a."in_name" END AS "merchant_name",
  CASE WHEN m.asked_at - m.event_time <= 31536000000000 THEN a."in_category" END AS "merchant_category",
  CASE WHEN m.asked_at - m.event_time <= 31536000000000 THEN a."in_risk_score" END AS "risk_score",
  CASE WHEN m.asked_at - m.event_time <= 31536000000000 THEN CAST(a."in_category" IN ('gambling', 'travel') AS BOOLEAN) END AS "is_sensitive"
FROM matched AS m LEFT JOIN chosen AS a ON m."key_merchant_id" = a."key_merchant_id" AND m.event_time = a.event_time
ORDER BY __row
;

-- review_policy: Latest of view review_policy
-- reads spine (row_id, asked_at, no key), source__policies
WITH
-- rows of source policies: keys, times in microseconds UTC, inputs
rows_read AS NOT MATERIALIZED (
  SELECT
    0 AS key_all,
    CASE WHEN "effective_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "effective_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("effective_from") END AS event_time,
    CASE WHEN "effective_from" >= TIMESTAMPTZ '1677-01-01T00:00:00.000000Z' AND "effective_from" < TIMESTAMPTZ '2262-01-01T00:00:00.000000Z' THEN epoch_us("effective_from") END AS known_time,
    "review_from" AS "in_review_from",
    "rule_set" AS "in_rule_set"
  FROM source__policies
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
  ON s.key_all = f.key_all AND s.asked_at >= f.known_time
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
    canonical_double("in_review_from") AS "in_review_from",
    "in_rule_set" AS "in_rule_set"
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
    QUALIFY row_number() OVER (PARTITION BY key_all, event_time ORDER BY known_time DESC NULLS LAST, "in_review_from" DESC NULLS LAST, "in_rule_set" DESC NULLS LAST) = 1
  )
)
-- the answer, in spine order
SELECT
  m.row_id AS __row,
  m.event_time AS __event,
  CAST(CASE WHEN m.event_time IS NULL THEN 0 ELSE 1 END AS UTINYINT) AS __match,
  CASE WHEN m.event_time IS NOT NULL THEN a."in_review_from" END AS "review_from",
  CASE WHEN m.event_time IS NOT NULL THEN a."in_rule_set" END AS "rule_set"
FROM matched AS m LEFT JOIN chosen AS a ON m.key_all = a.key_all AND m.event_time = a.event_time
ORDER BY __row
;
