-- The best plain query for keys of very different sizes: keys of at most 1000 facts by one join on time buckets, busier ones
-- by tiles, each key with a tile length of its own (a day halved until it holds about 3 facts). A slot numbers all tiles
-- of all keys; every end of a window looks its slot up once, for running totals and for maxima of the tiles beside it.
-- It knows the year, and that tiles divide all windows. It knows nothing of late rows, corrections, NULLs, NaN or overflow,
-- and its running totals of doubles lose digits. Instants are microseconds.
-- {facts}, {spine}, {output}, {value} (a column) and {type} (of its sums) are filled in.
CREATE TEMP TABLE busy_keys AS
SELECT key, tile,
       CAST(sum(34_128_000_000_000 // tile + 2) OVER (ORDER BY key) - (34_128_000_000_000 // tile + 2) AS BIGINT) AS first
FROM (
  SELECT key, 86_400_000_000 >> CAST(greatest(1, least(13, round(log2(count(*) / 365.0 / 3)))) AS INTEGER) AS tile
  FROM read_parquet('{facts}') GROUP BY key HAVING count(*) > 1000
);
COPY (
  WITH spine AS (
    SELECT file_row_number AS r, key, as_of, epoch_us(as_of) AS t FROM read_parquet('{spine}', file_row_number = true)
  ), facts AS MATERIALIZED (
    SELECT f.key, tile, epoch_us(e) AS e, CAST({value} AS DOUBLE) AS v,
           first + (epoch_us(e) - 1_701_475_200_000_000) // tile AS slot
    FROM read_parquet('{facts}') AS f LEFT JOIN busy_keys USING (key)
  ), tiles AS (
    SELECT slot, any_value(tile) AS tile, count(v) AS c, coalesce(sum(v), 0) AS s, max(v) AS m
    FROM (
      SELECT slot, tile, v FROM facts WHERE slot IS NOT NULL
      UNION ALL
      SELECT unnest(range(first, first + 34_128_000_000_000 // tile + 2)), tile, NULL FROM busy_keys
    )
    GROUP BY slot
  ), running AS (
    SELECT slot, tile, c AS own_c, s AS own_s, m AS m0,
           sum(c) OVER (ROWS UNBOUNDED PRECEDING) AS c, sum(s) OVER (ROWS UNBOUNDED PRECEDING) AS s
    FROM (SELECT * FROM tiles ORDER BY slot)
  ), max_2 AS (
    SELECT *, greatest(m0, lag(m0, 1) OVER ()) AS m1 FROM running
  ), max_4 AS (
    SELECT *, greatest(m1, lag(m1, 2) OVER ()) AS m2 FROM max_2
  ), max_8 AS (
    SELECT *, greatest(m2, lag(m2, 4) OVER ()) AS m3 FROM max_4
  ), max_16 AS (
    SELECT *, greatest(m3, lag(m3, 8) OVER ()) AS m4 FROM max_8
  ), max_32 AS (
    SELECT *, greatest(m4, lag(m4, 16) OVER ()) AS m5 FROM max_16
  ), max_64 AS (
    SELECT *, greatest(m5, lag(m5, 32) OVER ()) AS m6 FROM max_32
  ), max_128 AS (
    SELECT *, greatest(m6, lag(m6, 64) OVER ()) AS m7 FROM max_64
  ), max_256 AS (
    SELECT *, greatest(m7, lag(m7, 128) OVER ()) AS m8 FROM max_128
  ), max_512 AS (
    SELECT *, greatest(m8, lag(m8, 256) OVER ()) AS m9 FROM max_256
  ), max_1024 AS (
    SELECT *, greatest(m9, lag(m9, 512) OVER ()) AS m10 FROM max_512
  ), max_2048 AS (
    SELECT *, greatest(m10, lag(m10, 1024) OVER ()) AS m11 FROM max_1024
  ), max_4096 AS (
    SELECT *, greatest(m11, lag(m11, 2048) OVER ()) AS m12 FROM max_2048
  ), max_8192 AS (
    SELECT *, greatest(m12, lag(m12, 4096) OVER ()) AS m13 FROM max_4096
  ), slots AS (
    SELECT slot, c, s, c - own_c AS before_c, s - own_s AS before_s,
           CASE CAST(floor(log2(86_400_000_000 // tile - 1)) AS INTEGER)
             WHEN 0 THEN lag(m0, 1) OVER () WHEN 1 THEN lag(m1, 1) OVER () WHEN 2 THEN lag(m2, 1) OVER () WHEN 3 THEN
             lag(m3, 1) OVER () WHEN 4 THEN lag(m4, 1) OVER () WHEN 5 THEN lag(m5, 1) OVER () WHEN 6 THEN lag(m6, 1)
             OVER () WHEN 7 THEN lag(m7, 1) OVER () WHEN 8 THEN lag(m8, 1) OVER () WHEN 9 THEN lag(m9, 1) OVER () WHEN
             10 THEN lag(m10, 1) OVER () WHEN 11 THEN lag(m11, 1) OVER () WHEN 12 THEN lag(m12, 1) OVER () WHEN 13
             THEN lag(m13, 1) OVER () END AS before_1d,
           CASE CAST(floor(log2(604_800_000_000 // tile - 1)) AS INTEGER)
             WHEN 0 THEN lag(m0, 1) OVER () WHEN 1 THEN lag(m1, 1) OVER () WHEN 2 THEN lag(m2, 1) OVER () WHEN 3 THEN
             lag(m3, 1) OVER () WHEN 4 THEN lag(m4, 1) OVER () WHEN 5 THEN lag(m5, 1) OVER () WHEN 6 THEN lag(m6, 1)
             OVER () WHEN 7 THEN lag(m7, 1) OVER () WHEN 8 THEN lag(m8, 1) OVER () WHEN 9 THEN lag(m9, 1) OVER () WHEN
             10 THEN lag(m10, 1) OVER () WHEN 11 THEN lag(m11, 1) OVER () WHEN 12 THEN lag(m12, 1) OVER () WHEN 13
             THEN lag(m13, 1) OVER () END AS before_7d,
           CASE CAST(floor(log2(2_592_000_000_000 // tile - 1)) AS INTEGER)
             WHEN 0 THEN lag(m0, 1) OVER () WHEN 1 THEN lag(m1, 1) OVER () WHEN 2 THEN lag(m2, 1) OVER () WHEN 3 THEN
             lag(m3, 1) OVER () WHEN 4 THEN lag(m4, 1) OVER () WHEN 5 THEN lag(m5, 1) OVER () WHEN 6 THEN lag(m6, 1)
             OVER () WHEN 7 THEN lag(m7, 1) OVER () WHEN 8 THEN lag(m8, 1) OVER () WHEN 9 THEN lag(m9, 1) OVER () WHEN
             10 THEN lag(m10, 1) OVER () WHEN 11 THEN lag(m11, 1) OVER () WHEN 12 THEN lag(m12, 1) OVER () WHEN 13
             THEN lag(m13, 1) OVER () END AS before_30d,
           CASE CAST(floor(log2(86_400_000_000 // tile - 1)) AS INTEGER)
             WHEN 0 THEN lead(m0, 1) OVER () WHEN 1 THEN lead(m1, 2) OVER () WHEN 2 THEN lead(m2, 4) OVER () WHEN 3
             THEN lead(m3, 8) OVER () WHEN 4 THEN lead(m4, 16) OVER () WHEN 5 THEN lead(m5, 32) OVER () WHEN 6 THEN
             lead(m6, 64) OVER () WHEN 7 THEN lead(m7, 128) OVER () WHEN 8 THEN lead(m8, 256) OVER () WHEN 9 THEN
             lead(m9, 512) OVER () WHEN 10 THEN lead(m10, 1024) OVER () WHEN 11 THEN lead(m11, 2048) OVER () WHEN 12
             THEN lead(m12, 4096) OVER () WHEN 13 THEN lead(m13, 8192) OVER () END AS after_1d,
           CASE CAST(floor(log2(604_800_000_000 // tile - 1)) AS INTEGER)
             WHEN 0 THEN lead(m0, 1) OVER () WHEN 1 THEN lead(m1, 2) OVER () WHEN 2 THEN lead(m2, 4) OVER () WHEN 3
             THEN lead(m3, 8) OVER () WHEN 4 THEN lead(m4, 16) OVER () WHEN 5 THEN lead(m5, 32) OVER () WHEN 6 THEN
             lead(m6, 64) OVER () WHEN 7 THEN lead(m7, 128) OVER () WHEN 8 THEN lead(m8, 256) OVER () WHEN 9 THEN
             lead(m9, 512) OVER () WHEN 10 THEN lead(m10, 1024) OVER () WHEN 11 THEN lead(m11, 2048) OVER () WHEN 12
             THEN lead(m12, 4096) OVER () WHEN 13 THEN lead(m13, 8192) OVER () END AS after_7d,
           CASE CAST(floor(log2(2_592_000_000_000 // tile - 1)) AS INTEGER)
             WHEN 0 THEN lead(m0, 1) OVER () WHEN 1 THEN lead(m1, 2) OVER () WHEN 2 THEN lead(m2, 4) OVER () WHEN 3
             THEN lead(m3, 8) OVER () WHEN 4 THEN lead(m4, 16) OVER () WHEN 5 THEN lead(m5, 32) OVER () WHEN 6 THEN
             lead(m6, 64) OVER () WHEN 7 THEN lead(m7, 128) OVER () WHEN 8 THEN lead(m8, 256) OVER () WHEN 9 THEN
             lead(m9, 512) OVER () WHEN 10 THEN lead(m10, 1024) OVER () WHEN 11 THEN lead(m11, 2048) OVER () WHEN 12
             THEN lead(m12, 4096) OVER () WHEN 13 THEN lead(m13, 8192) OVER () END AS after_30d
    FROM max_8192
  ), edges AS MATERIALIZED (
    SELECT r, i, first + (t - distance - 1_701_475_200_000_000) // tile AS slot,
           CASE WHEN i = 0 THEN 0 ELSE t - distance END AS low, CASE WHEN i = 0 THEN t ELSE 4_611_686_018_427_387_904 END AS high
    FROM spine JOIN busy_keys USING (key),
         (VALUES (0, 0), (1, 86_400_000_000), (2, 604_800_000_000), (3, 2_592_000_000_000)) AS distances(i, distance)
  ), parts AS (
    SELECT r, i, CASE WHEN i = 0 THEN before_c ELSE -c END AS c, CASE WHEN i = 0 THEN before_s ELSE -s END AS s,
           CASE WHEN i = 0 THEN before_1d ELSE after_1d END AS m_1d,
           CASE WHEN i = 0 THEN before_7d ELSE after_7d END AS m_7d,
           CASE WHEN i = 0 THEN before_30d ELSE after_30d END AS m_30d
    FROM edges JOIN slots USING (slot)
    UNION ALL
    SELECT r, i, 1, v, v, v, v FROM facts AS f JOIN edges AS p ON p.slot = f.slot AND f.e >= p.low AND f.e < p.high
  ), busy AS (
    SELECT r,
           sum(c) FILTER (WHERE i = 0 OR i = 1) AS c_1d, sum(s) FILTER (WHERE i = 0 OR i = 1) AS s_1d,
           max(m_1d) FILTER (WHERE i = 0 OR i = 1) AS m_1d,
           sum(c) FILTER (WHERE i = 0 OR i = 2) AS c_7d, sum(s) FILTER (WHERE i = 0 OR i = 2) AS s_7d,
           max(m_7d) FILTER (WHERE i = 0 OR i = 2) AS m_7d,
           sum(c) FILTER (WHERE i = 0 OR i = 3) AS c_30d, sum(s) FILTER (WHERE i = 0 OR i = 3) AS s_30d,
           max(m_30d) FILTER (WHERE i = 0 OR i = 3) AS m_30d
    FROM parts GROUP BY r
  ), probes AS (
    SELECT r, key, t, t // 1_296_000_000_000 - unnest(range(3)) AS bucket FROM spine ANTI JOIN busy_keys USING (key)
  ), few AS (
    SELECT r,
           count(*) FILTER (WHERE e >= t - 86_400_000_000) AS c_1d,
           sum(v) FILTER (WHERE e >= t - 86_400_000_000) AS s_1d, max(v) FILTER (WHERE e >= t - 86_400_000_000) AS m_1d,
           count(*) FILTER (WHERE e >= t - 604_800_000_000) AS c_7d,
           sum(v) FILTER (WHERE e >= t - 604_800_000_000) AS s_7d, max(v) FILTER (WHERE e >= t - 604_800_000_000) AS m_7d,
           count(*) AS c_30d,
           sum(v) AS s_30d, max(v) AS m_30d
    FROM (SELECT key, e, v, e // 1_296_000_000_000 AS bucket FROM facts WHERE slot IS NULL) AS f JOIN probes AS p
    ON p.key = f.key AND p.bucket = f.bucket AND f.e < p.t AND f.e >= p.t - 2_592_000_000_000
    GROUP BY r
  ), g AS (
    SELECT r, c_1d, CASE WHEN c_1d > 0 THEN s_1d END AS s_1d, m_1d,
           c_7d, CASE WHEN c_7d > 0 THEN s_7d END AS s_7d, m_7d,
           c_30d, CASE WHEN c_30d > 0 THEN s_30d END AS s_30d, m_30d
    FROM (SELECT * FROM few UNION ALL BY NAME SELECT * FROM busy)
  )
  SELECT s.key, s.as_of,
         CAST(coalesce(g.c_1d, 0) AS BIGINT) AS count_1d,
         CAST(coalesce(g.c_7d, 0) AS BIGINT) AS count_7d,
         CAST(coalesce(g.c_30d, 0) AS BIGINT) AS count_30d,
         CAST(g.s_1d AS {type}) AS {value}_sum_1d,
         CAST(g.s_7d AS {type}) AS {value}_sum_7d,
         CAST(g.s_30d AS {type}) AS {value}_sum_30d,
         g.s_1d / g.c_1d AS {value}_mean_1d,
         g.s_7d / g.c_7d AS {value}_mean_7d,
         g.s_30d / g.c_30d AS {value}_mean_30d,
         CAST(g.m_1d AS {type}) AS {value}_max_1d,
         CAST(g.m_7d AS {type}) AS {value}_max_7d,
         CAST(g.m_30d AS {type}) AS {value}_max_30d
  FROM spine AS s LEFT JOIN g USING (r)
  ORDER BY r
) TO '{output}' (FORMAT parquet)
