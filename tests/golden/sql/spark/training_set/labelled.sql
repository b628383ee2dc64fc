-- Training set of feature service labelled: one statement per view instance and kind of feature.
-- Fingerprint ffbc33e427fe2fe4523c2b9ced216e3f. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- exact: Latest of view exact
-- reads spine (row_id, asked_at, customer_id), source__visits
WITH
-- rows of source visits: keys, times in microseconds UTC, inputs
rows_read AS (
  SELECT
    CAST(`customer_id` AS BIGINT) AS `key_customer_id`,
    CASE WHEN `seen_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `seen_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`seen_at`) END AS event_time,
    CASE WHEN `seen_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `seen_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`seen_at`) END AS known_time,
    `page` AS `in_page`
  FROM `source__visits`
),
-- facts known before the cut-off, their known time shifted by the serving lag
facts AS (
  SELECT `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_page`
  FROM rows_read
  WHERE `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- spine rows, and facts at the instant they become visible
timeline AS (
  SELECT `key_customer_id`, 2 * asked_at + 1 AS tick, row_id, asked_at, CAST(NULL AS STRUCT<event_time: BIGINT, known_time: BIGINT, `in_page`: STRING>) AS fact FROM spine
  UNION ALL
  SELECT `key_customer_id`, 2 * greatest(event_time, known_time), NULL, NULL, struct(event_time, known_time, `in_page` AS `in_page`) FROM facts
),
-- what has come up to each tick of a key
running AS (
  SELECT `key_customer_id`, row_id, asked_at, max(fact) OVER (PARTITION BY `key_customer_id` ORDER BY tick ROWS UNBOUNDED PRECEDING) AS newest
  FROM timeline
),
-- per spine row its newest visible fact that lasts
matched AS (
  SELECT `key_customer_id`, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL
)
-- the answer
SELECT
  row_id AS __row,
  newest.event_time AS __event,
  CAST(CASE WHEN newest IS NULL THEN 0 ELSE 1 END AS TINYINT) AS __match,
  CASE WHEN newest IS NOT NULL THEN newest.`in_page` END AS `this_page`
FROM matched
;

-- late: asked 31d after as_of, at the end of the window of label view late, plan edges: charged_back_30d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    (`status` = 'charged back') IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    `version` AS row_order,
    `cents` AS `by_cents`,
    `payer` AS `by_payer`,
    `status` AS `by_status`,
    CAST(`payer` AS DECIMAL(38, 0)) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `cents` AS `in_cents`
  FROM `source__payments`
),
-- versions known before the cut-off
versions AS (
  SELECT `row_payment_id`, holds, row_order, deleted, `by_cents`, `by_payer`, `by_status`, `key_customer_id`, event_time, known_time, `in_cents`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- of each row key the newest version known
newest_versions AS (
  SELECT `row_payment_id`, holds, row_order, deleted, `by_cents`, `by_payer`, `by_status`, `key_customer_id`, event_time, known_time, `in_cents`
  FROM (
    SELECT *, row_number() OVER (
      PARTITION BY `row_payment_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_cents` DESC NULLS LAST, `by_payer` DESC NULLS LAST, `by_status` DESC NULLS LAST
    ) AS place
    FROM versions
  )
  WHERE place = 1
),
-- those that are facts
facts AS (
  SELECT `key_customer_id`, event_time, known_time, `in_cents` FROM newest_versions WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_customer_id`,
    event_time,
    known_time,
    event_time AS visible_from,
    `in_cents` AS measure_1
  FROM facts
),
-- facts, at the instants at which what windows hold changes
marks AS (
  SELECT
    `key_customer_id`,
    2 * instant + 1 AS tick,
    CAST(NULL AS BIGINT) AS row_id,
    CAST(NULL AS BIGINT) AS asked_at,
    CAST(NULL AS INT) AS edge,
    event_time,
    measure_1
  FROM (SELECT *, event_time AS instant FROM measured)
),
-- spine rows, at each instant at which a window of theirs begins or ends
edges AS (
  SELECT
    `key_customer_id`,
    2 * (asked_at + 1 - back) AS tick,
    row_id,
    asked_at,
    edge,
    NULL AS event_time,
    NULL AS measure_1
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 0 AS side, 2592000000000L AS back))) AS edge, side, back
),
-- both, those of a key together
timeline AS (
  SELECT * FROM (
    SELECT * FROM marks
    UNION ALL
    SELECT * FROM edges
  )
  DISTRIBUTE BY `key_customer_id`
),
-- their values as whole numbers
wholes AS (
  SELECT *,
    measure_1 AS whole_1
  FROM timeline
),
-- limbs of these, which add up without loss
numbers AS (
  SELECT *,
    whole_1 & 1099511627775L AS x0_1,
    shiftright(whole_1, 40) AS x1_1
  FROM wholes
),
-- what has come up to each point of the timeline, or comes from there on
passed AS (
  SELECT
    `key_customer_id`,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN measure_1 IS NOT NULL THEN 1L END) OVER ahead AS n_1,
    sum(x0_1) OVER ahead AS x0_1,
    sum(x1_1) OVER ahead AS x1_1
  FROM numbers
  WINDOW
    ahead AS (PARTITION BY `key_customer_id` ORDER BY tick ASC ROWS UNBOUNDED PRECEDING)
),
-- of these points the edges
running AS (
  SELECT * FROM passed WHERE row_id IS NOT NULL
),
-- per spine row what its windows hold
grouped AS (
  SELECT
    row_id,
    max(asked_at) AS asked_at,
    sum(CASE WHEN edge = 1 THEN n_1 WHEN edge = 2 THEN -n_1 END) AS n_1_1,
    sum(CASE WHEN edge = 1 THEN x0_1 WHEN edge = 2 THEN -x0_1 END) AS x0_1_1,
    sum(CASE WHEN edge = 1 THEN x1_1 WHEN edge = 2 THEN -x1_1 END) AS x1_1_1
  FROM running
  GROUP BY `key_customer_id`, row_id
),
-- sums as digits, of which only the greatest has a sign
digits AS (
  SELECT *,
    (x0_1_1) & 1099511627775L AS digit0_1_1,
    (x1_1_1 + shiftright((x0_1_1), 40)) AS digit1_1_1
  FROM grouped
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CASE WHEN coalesce(n_1_1, 0) > 0 THEN CASE WHEN digit1_1_1 BETWEEN -8388608L AND 8388607L THEN shiftleft(digit1_1_1, 40) | digit0_1_1 END END AS `charged_back_30d`,
  coalesce(n_1_1, 0) > 0 AND CASE WHEN digit1_1_1 BETWEEN -8388608L AND 8388607L THEN shiftleft(digit1_1_1, 40) | digit0_1_1 END IS NULL AS `charged_back_30d__overflow`
FROM digits
;
