-- Online state of feature view static at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 9fed97091ec2b010c2cbdb56b3a24ead. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

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
-- the state, by key
SELECT
  `key_account_id`,
  CAST(1 AS TINYINT) AS __kind,
  CAST(0 AS BIGINT) AS __event,
  `in_tier` AS `tier`,
  nanvl(CAST(try_divide(NANVL(`in_limit` + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)), CAST(CAST(12 AS BIGINT) AS DOUBLE)) AS DOUBLE) + CAST(0 AS DOUBLE), CAST('NaN' AS DOUBLE)) AS `monthly_limit`
FROM facts
ORDER BY `key_account_id`
;
