-- Training set of feature service on_demand: one statement per view instance and kind of feature.
-- Fingerprint c62b2b12a2db1136c5f0e133d7edf044. Each returns one row per spine row, in any order.
-- :known_before: facts known before it only. :known_shift: microseconds by which facts are known later.

-- versions: Window of view versions, plan sweep: count_7d, versions.amount_sum_7d
-- reads spine (row_id, asked_at, customer_id), source__payments
WITH
-- rows of source payments: versions of facts, whether each holds, what orders them
rows_read AS (
  SELECT
    `payment_id` AS `row_payment_id`,
    ((`status` = 'settled') AND (NANVL(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE))) IS TRUE AND `is_deleted` IS NOT TRUE AS holds,
    coalesce(`is_deleted`, FALSE) AS deleted,
    `version` AS row_order,
    `Shop` AS `by_Shop`,
    nanvl(`amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `by_amount`,
    `cents` AS `by_cents`,
    `payer` AS `by_payer`,
    `status` AS `by_status`,
    CAST(`payer` AS DECIMAL(38, 0)) AS `key_customer_id`,
    CASE WHEN `paid_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `paid_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`paid_at`) END AS event_time,
    CASE WHEN `loaded_at` >= TIMESTAMP '1677-01-01T00:00:00.000000Z' AND `loaded_at` < TIMESTAMP '2262-01-01T00:00:00.000000Z' THEN unix_micros(`loaded_at`) END AS known_time,
    `amount` AS `in_amount`,
    `cents` AS `in_cents`,
    `Shop` AS `in_Shop`
  FROM `source__payments`
),
-- versions known before the cut-off, their known time shifted by the serving lag
versions AS (
  SELECT `row_payment_id`, holds, row_order, deleted, `by_Shop`, `by_amount`, `by_cents`, `by_payer`, `by_status`, `key_customer_id`, event_time, known_time + :known_shift AS known_time, `in_amount`, `in_cents`, `in_Shop`
  FROM rows_read
  WHERE `row_payment_id` IS NOT NULL AND known_time IS NOT NULL AND known_time < :known_before
),
-- versions that are ever facts, and when the next in order of the same row key becomes known
intervals AS (
  SELECT `key_customer_id`, event_time, known_time, `in_amount`, `in_cents`, `in_Shop`, until
  FROM (
    SELECT *, min(known_time) OVER (
      PARTITION BY `row_payment_id`
      ORDER BY row_order DESC NULLS LAST, known_time DESC NULLS LAST, event_time DESC NULLS LAST, deleted DESC NULLS LAST, `by_Shop` DESC NULLS LAST, `by_amount` DESC NULLS LAST, `by_cents` DESC NULLS LAST, `by_payer` DESC NULLS LAST, `by_status` DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS until
    FROM versions
  )
  WHERE holds AND `key_customer_id` IS NOT NULL AND event_time IS NOT NULL AND (until IS NULL OR until > greatest(event_time, known_time))
),
-- facts, the instant they become visible, and what the aggregates take of them
measured AS (
  SELECT
    `key_customer_id`,
    event_time,
    known_time,
    greatest(event_time, known_time) AS visible_from,
    until,
    TRUE AS measure_1,
    nanvl(`in_amount` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS measure_2
  FROM intervals
),
-- facts, at the instants at which what windows hold changes
marks AS (
  SELECT
    `key_customer_id`,
    side,
    2 * instant + 1 AS tick,
    CAST(NULL AS BIGINT) AS row_id,
    CAST(NULL AS BIGINT) AS asked_at,
    CAST(NULL AS INT) AS edge,
    lateness,
    sign,
    measure_1,
    measure_2
  FROM measured LATERAL VIEW inline(CASE WHEN until IS NULL THEN array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign)) ELSE array(struct(0 AS side, visible_from AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(1 AS side, event_time AS instant, visible_from - event_time AS lateness, 1L AS sign), struct(0 AS side, until AS instant, until - event_time AS lateness, -1L AS sign), struct(1 AS side, event_time AS instant, until - event_time AS lateness, -1L AS sign)) END) AS side, instant, lateness, sign
),
-- spine rows, at each instant at which a window of theirs begins or ends
edges AS (
  SELECT
    `key_customer_id`,
    side,
    2 * (asked_at - back) AS tick,
    row_id,
    asked_at,
    edge,
    NULL AS lateness,
    NULL AS sign,
    NULL AS measure_1,
    NULL AS measure_2
  FROM spine LATERAL VIEW inline(array(struct(1 AS edge, 0 AS side, 0L AS back), struct(2 AS edge, 1 AS side, 604800000000L AS back))) AS edge, side, back
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
    CASE WHEN abs(measure_2) < CAST('Infinity' AS DOUBLE) THEN measure_2 * :scale_2 END AS whole_2
  FROM timeline
),
-- limbs of these, which add up without loss
numbers AS (
  SELECT *,
    CASE WHEN isnan(measure_2) THEN 1L END AS nan_2,
    CASE WHEN measure_2 = CAST('Infinity' AS DOUBLE) THEN 1L END AS pos_2,
    CASE WHEN measure_2 = CAST('-Infinity' AS DOUBLE) THEN 1L END AS neg_2,
    CAST((whole_2 % 1099511627776.0D) AS BIGINT) AS x0_2,
    CAST(whole_2 * 9.094947017729282e-13D AS BIGINT) AS x1_2
  FROM wholes
),
-- what has come up to each point of the timeline, or comes from there on
passed AS (
  SELECT
    `key_customer_id`, side,
    row_id,
    asked_at,
    edge,
    tick,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_1 IS NOT NULL THEN 1L END END) OVER ahead AS n_1_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * CASE WHEN measure_2 IS NOT NULL THEN 1L END END) OVER ahead AS n_2_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * nan_2 END) OVER ahead AS nan_2_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * pos_2 END) OVER ahead AS pos_2_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * neg_2 END) OVER ahead AS neg_2_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x0_2 END) OVER ahead AS x0_2_in_1,
    sum(CASE WHEN lateness < 604800000000 THEN sign * x1_2 END) OVER ahead AS x1_2_in_1
  FROM numbers
  WINDOW
    ahead AS (PARTITION BY `key_customer_id`, side ORDER BY tick ASC ROWS UNBOUNDED PRECEDING)
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
    sum(CASE WHEN edge = 1 THEN coalesce(n_1_in_1, 0) WHEN edge = 2 THEN -coalesce(n_1_in_1, 0) END) AS n_1_1,
    sum(CASE WHEN edge = 1 THEN coalesce(n_2_in_1, 0) WHEN edge = 2 THEN -coalesce(n_2_in_1, 0) END) AS n_2_1,
    sum(CASE WHEN edge = 1 THEN coalesce(nan_2_in_1, 0) WHEN edge = 2 THEN -coalesce(nan_2_in_1, 0) END) AS nan_2_1,
    sum(CASE WHEN edge = 1 THEN coalesce(pos_2_in_1, 0) WHEN edge = 2 THEN -coalesce(pos_2_in_1, 0) END) AS pos_2_1,
    sum(CASE WHEN edge = 1 THEN coalesce(neg_2_in_1, 0) WHEN edge = 2 THEN -coalesce(neg_2_in_1, 0) END) AS neg_2_1,
    sum(CASE WHEN edge = 1 THEN coalesce(x0_2_in_1, 0) WHEN edge = 2 THEN -coalesce(x0_2_in_1, 0) END) AS x0_2_1,
    sum(CASE WHEN edge = 1 THEN coalesce(x1_2_in_1, 0) WHEN edge = 2 THEN -coalesce(x1_2_in_1, 0) END) AS x1_2_1
  FROM running
  GROUP BY `key_customer_id`, row_id
),
-- sums as digits, of which only the greatest has a sign
digits AS (
  SELECT *,
    (x0_2_1) & 1099511627775L AS digit0_2_1,
    (x1_2_1 + shiftright((x0_2_1), 40)) AS digit1_2_1
  FROM grouped
),
-- sums as the nearest doubles
rounded AS (
  SELECT *,
    CASE WHEN coalesce(nan_2_1, 0) > 0 OR (coalesce(pos_2_1, 0) > 0 AND coalesce(neg_2_1, 0) > 0) THEN CAST('NaN' AS DOUBLE) WHEN coalesce(pos_2_1, 0) > 0 THEN CAST('Infinity' AS DOUBLE) WHEN coalesce(neg_2_1, 0) > 0 THEN CAST('-Infinity' AS DOUBLE) ELSE coalesce(CASE WHEN digit1_2_1 BETWEEN -9007199254740992L AND 9007199254740991L THEN CAST(digit1_2_1 AS DOUBLE) * 1099511627776.0D + CAST(digit0_2_1 AS DOUBLE) ELSE CAST(CAST((CAST(digit1_2_1 AS DECIMAL(38, 0)) * 1099511627776BD + digit0_2_1) AS DECIMAL(38, 0)) AS DOUBLE) END * :unscale_2, 0.0D) END AS rounded_2_1
  FROM digits
)
-- the answer; rows without facts get the value of the empty window
SELECT
  row_id AS __row,
  CAST(coalesce(n_1_1, 0) AS BIGINT) AS `count_7d`,
  CASE WHEN coalesce(n_2_1, 0) > 0 THEN rounded_2_1 END AS `versions.amount_sum_7d`
FROM rounded
;

-- own_static: StaticLookup of view static
-- reads spine (row_id, asked_at, account_id), source__master
WITH
-- rows of static source master
rows_read AS (
  SELECT
    CAST(`customer_id` AS STRING) AS `key_account_id`,
    `tier` AS `in_tier`,
    nanvl(`limit` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `in_limit`
  FROM `source__master`
  WHERE NANVL(`limit` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) > CAST(CAST(0 AS BIGINT) AS DOUBLE)
),
-- rows with a key
facts AS (
  SELECT * FROM rows_read WHERE `key_account_id` IS NOT NULL
)
-- the answer
SELECT
  s.row_id AS __row,
  CAST(NULL AS BIGINT) AS __event,
  CAST(CASE WHEN f.`key_account_id` IS NOT NULL THEN 1 ELSE 0 END AS TINYINT) AS __match,
  CASE WHEN f.`key_account_id` IS NOT NULL THEN nanvl(CAST(try_divide(NANVL(f.`in_limit` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)), CAST(CAST(12 AS BIGINT) AS DOUBLE)) AS DOUBLE) + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) END AS `own_static.own_monthly_limit`
FROM spine AS s LEFT JOIN facts AS f ON s.`key_account_id` = f.`key_account_id`
;

-- amount_vs_usual: OnDemand of on-demand view amount_vs_usual
-- reads asked (row_id, request amount, amount_sum_7d (hidden versions.amount_sum_7d), count_7d, own_monthly_limit (hidden own_static.own_monthly_limit), request is_gift, as_of), batch by batch, on executors, by DuckDB
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
