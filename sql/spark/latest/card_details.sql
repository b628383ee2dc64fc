-- Online state of feature view card_details at the watermark :known_before, pending facts up to :horizon beyond.
-- Fingerprint 8998339d6a341bd35122e5908b6108a3. kind 0: facts beyond are held back; 1: latest values; 2: in reach of a window.

WITH
-- rows of static source cards
rows_read AS (
  SELECT
    CAST(`card_id` AS STRING) AS `key_card_id`,
    `network` AS `in_network`,
    `product` AS `in_product`,
    `issuer_country` AS `in_issuer_country`,
    `contactless` AS `in_contactless`
  FROM `source__cards`
),
-- rows with a key
facts AS (
  SELECT * FROM rows_read WHERE `key_card_id` IS NOT NULL
)
-- the state, by key
SELECT
  `key_card_id`,
  CAST(1 AS TINYINT) AS __kind,
  CAST(0 AS BIGINT) AS __event,
  `in_network` AS `network`,
  `in_product` AS `product`,
  `in_issuer_country` AS `issuer_country`,
  `in_contactless` AS `contactless`
FROM facts
ORDER BY `key_card_id`
;
