"""Training sets out of a PostgreSQL on this machine: rows of the table for each second of a build, and memory of two sizes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from data import Place
from figures import Figure
from measure import Case, Contender, Measured, seconds

sys.path.append(str(Path(__file__).resolve().parent.parent))
ROWS, LARGE, KEYS, SPINE = 1_000_000, 5_000_000, 10_000, 100_000
RUNS = 3
TABLE = """
CREATE TABLE facts AS SELECT i AS id, (i * 7919) % {keys} AS key,
  timestamptz '2025-01-01Z' + (i * 31536000.0 / {rows}) * interval '1 second' AS e,
  ((i * 31) % 1000000 / 100.0)::numeric(12, 2) AS amount,
  i * 0.1::float8 AS x, 'country-' || (i % 200) AS country, repeat('n', 40) AS note
FROM generate_series(1::int8, {rows}) i;
ANALYZE facts;
"""
EXPLAINED = (
    f"PostgreSQL: a table of seven columns ({KEYS:,} keys, a year), of which five are read, {SPINE:,} spine rows; two latest "
    "values, a sum and a count over 7 days and 1 day, written as Parquet with its manifest. The server is Debian's, on the "
    "same two cores, as the tests start it; it also makes the digest of all rows that the manifest holds."
)


class Postgres:
    def __init__(self, scratch: Path, rows: int, large: int) -> None:
        self._scratch, self._rows, self._large = scratch, rows, large
        self._found = {rows: Measured(), large: Measured()}

    def measure(self) -> list[Figure]:
        from tests.postgres_server import PostgresServer

        for rows, found in self._found.items():
            with PostgresServer() as server:
                server.sql(TABLE.format(rows=rows, keys=KEYS))
                os.environ["PGPASSWORD"] = server.PASSWORD
                arguments = {"url": server.url, "output": str(self._scratch / "postgres.parquet"), "spine": SPINE, "keys": KEYS}
                for _ in range(RUNS if rows == self._rows else 1):
                    found.runs.append(Contender("build_postgres", arguments).run())
        small, large = self._found[self._rows], self._found[self._large]
        told = f"{self._rows:,} rows: {seconds(small)}; {self._large:,} rows: {seconds(large)}"
        growth = f"of {self._large // self._rows} times the rows; {told}"
        return [
            Figure("postgres", self._rows / small.seconds, told, "rows/s", explained=EXPLAINED),
            Figure("postgres_memory", large.peak_mb / small.peak_mb, growth),
        ]


def case(place: Place) -> Case:
    return Postgres(place.scratch, round(ROWS * place.scale), round(LARGE * place.scale))
