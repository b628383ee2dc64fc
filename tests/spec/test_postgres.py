"""The contract, case by case, where the facts lie in PostgreSQL."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest

from featurestore import PostgresSource
from tests.postgres_server import PostgresServer
from tests.postgres_tables import load, sql_type
from tests.spec import loader
from tests.spec.engines import by_duckdb
from tests.spec.loader import Answer, Case, read_cases, run_case


def _fits(case: Case) -> bool:
    """Its sources are one table each, of types PostgreSQL has, and columns it can have."""
    if case.one("expect error") is not None or not case.all("source"):
        return False
    schemas = [table.schema for tables in case.tables.values() for table in tables]
    same = all(table.schema == tables[0].schema for tables in case.tables.values() for table in tables)
    if not same or not all(len(set(s.names)) == len(s.names) and all(sql_type(f.type) for f in s) for s in schemas):
        return False
    return not any(_is_infinite(column) for tables in case.tables.values() for table in tables for column in table.columns)


def _is_infinite(column: pa.ChunkedArray) -> bool:
    """It holds a time at an end of what 64 bits hold, which the driver cannot write; `tests/unit/test_postgres.py` has some."""
    if not pa.types.is_timestamp(column.type):
        return False
    return any(abs(value) >= 2**63 - 1 for value in column.cast(pa.int64()).to_pylist() if value is not None)


CASES = [case for case in read_cases(Path(__file__).parent) if _fits(case)]


def by_postgres(case: Case, folder: Path, server: PostgresServer) -> Answer:
    def source(*, name: str, path: object, **options: Any) -> PostgresSource:
        return PostgresSource(name=name, table=f"public.{name}", url=server.url, **options)

    for name, tables in case.tables.items():
        load(server, name, pa.concat_tables(tables))
    with mock.patch.object(loader, "ParquetSource", source):
        return by_duckdb(case, folder)


EVERY_DAY = ("keys", "known_time")


@pytest.mark.parametrize(
    "case",
    [case if case.topic in EVERY_DAY else pytest.param(case, marks=pytest.mark.slow) for case in CASES],
    ids=lambda case: case.id,
)
def test_the_contract_holds_over_postgresql(
    case: Case, tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
    run_case(case, partial(by_postgres, server=postgres_server), tmp_path)


def test_most_cases_can_be_told_over_postgresql() -> None:
    assert len(CASES) > 60
