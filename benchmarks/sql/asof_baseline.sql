-- What a person writes by hand: the newest row before each instant, in spine order, to a file.
-- It knows nothing of ties, late rows, corrections or deletes. {facts}, {spine} and {output} are filled in.
COPY (
  SELECT s.key, s.as_of, s.label, f.v1, f.v2, f.v3, f.v4, f.v5
  FROM read_parquet('{spine}', file_row_number = true) AS s
  ASOF LEFT JOIN read_parquet('{facts}') AS f
  ON s.key = f.key AND s.as_of > f.e
  ORDER BY s.file_row_number
) TO '{output}' (FORMAT parquet)
