-- The best plain query for sparse keys: one join on the key and on time buckets of 15 days,
-- grouped per spine row with filters for the shorter windows. Instants are microseconds.
-- It knows nothing of late rows, corrections, NULLs, NaN or overflow, and sums doubles in whatever order they come.
-- {facts}, {spine}, {output}, {value} (a column) and {type} (of its sums) are filled in.
COPY (
  WITH spine AS (
    SELECT file_row_number AS r, key, as_of, epoch_us(as_of) AS t FROM read_parquet('{spine}', file_row_number = true)
  ), probes AS (
    SELECT r, key, t, t // 1_296_000_000_000 - unnest(range(3)) AS bucket FROM spine
  ), facts AS (
    SELECT key, epoch_us(e) AS e, epoch_us(e) // 1_296_000_000_000 AS bucket, CAST({value} AS DOUBLE) AS v
    FROM read_parquet('{facts}')
  ), grouped AS (
    SELECT r,
           count(*) FILTER (WHERE e >= t - 86_400_000_000) AS c_1d,
           sum(v) FILTER (WHERE e >= t - 86_400_000_000) AS s_1d, max(v) FILTER (WHERE e >= t - 86_400_000_000) AS m_1d,
           count(*) FILTER (WHERE e >= t - 604_800_000_000) AS c_7d,
           sum(v) FILTER (WHERE e >= t - 604_800_000_000) AS s_7d, max(v) FILTER (WHERE e >= t - 604_800_000_000) AS m_7d,
           count(*) AS c_30d,
           sum(v) AS s_30d, max(v) AS m_30d
    FROM facts AS f JOIN probes AS p
    ON p.key = f.key AND p.bucket = f.bucket AND f.e < p.t AND f.e >= p.t - 2_592_000_000_000
    GROUP BY r
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
  FROM spine AS s LEFT JOIN grouped AS g USING (r)
  ORDER BY r
) TO '{output}' (FORMAT parquet)
