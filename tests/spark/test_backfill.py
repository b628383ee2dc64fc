"""Backfills whose instants are computed on Spark's executors: the same bytes as DuckDB's, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.functional.conftest import Cli, cli

__all__ = ["cli"]
STRETCH = ["--from", "2025-11-01T00:00:00Z", "--to", "2025-11-06T00:00:00Z"]


def backfill(cli: Cli, project: Path, output: Path, engine: str) -> Any:
    asked = ["backfill", "card_payments", "--project", project, "--output", output, *STRETCH, "--include", "status"]
    return cli(*asked, "--engine", engine, "--json")


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.parquet")}


def test_spark_writes_the_bytes_that_duckdb_writes(cli: Cli, project: Path, tmp_path: Path) -> None:
    for engine in ("duckdb", "spark"):
        found = backfill(cli, project, tmp_path / engine, engine)
        assert (found.code, found.json["result"]["written"]) == (0, 5), found.err
    assert files(tmp_path / "spark") == files(tmp_path / "duckdb")
    again = backfill(cli, project, tmp_path / "spark", "duckdb")
    assert again.json["result"]["written"] == 0
    payments = sorted((project / "data" / "payments").glob("*.parquet"))
    late = pq.read_table(payments[0]).slice(0, 50)
    pq.write_table(late, project / "data" / "payments" / "zz_late.parquet")
    for engine in ("duckdb", "spark"):
        assert backfill(cli, project, tmp_path / engine, engine).code == 0
    assert files(tmp_path / "spark") == files(tmp_path / "duckdb")


def test_what_fails_on_an_executor_leaves_nothing_half_written(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert backfill(cli, project, tmp_path / "out", "duckdb").code == 0
    before = files(tmp_path / "out")
    damaged = sorted((project / "data" / "payments").glob("*.parquet"))[-1]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:200] + bytes(400) + whole[600:])
    found = backfill(cli, project, tmp_path / "out", "spark")
    assert found.code == 4, found.err
    assert files(tmp_path / "out") == before
    assert [p.name for p in (tmp_path / "out").rglob("*.partial")] == []
