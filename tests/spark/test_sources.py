"""Wherever rows lie, Spark answers as DuckDB does of the same rows in Parquet: tables at a version, objects, databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    ArrowSource,
    DeltaSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    IcebergSource,
    ParquetSource,
    PostgresSource,
    agg,
    latest,
)
from featurestore.definitions import Source
from featurestore.engines.spark import SparkSettings
from featurestore.errors import SourceError
from tests.property.engines import bits
from tests.tables import Warehouse, edit, facts, protocol, times, write

SPINE = pa.table({"key": [0, 1, 2, 0, 7], "as_of": times(30, 40, 12, 5, 40)})
DAYS = [date(2026, 1, 1), None]
Place = Callable[[Path, pytest.FixtureRequest], Source]
HOW: dict[str, Any] = {"name": "facts", "event_timestamp": "e", "delay": "30m"}


def rows(first: int) -> pa.Table:
    """Rows that have a day and a decimal too, of which some are NULL."""
    table = facts(first, 20, day=pa.array([DAYS[n % 2] for n in range(20)], pa.date32()))
    cents = pa.array([None if n % 7 == 0 else n * 100 + 5 for n in range(20)], pa.int64()).cast(pa.decimal128(19, 0))
    return table.append_column("amount", cents.cast(pa.decimal128(19, 2)).cast(pa.decimal128(12, 2)))


def in_delta(folder: Path, _: pytest.FixtureRequest) -> Source:
    """Two commits, partitioned by a day that is in no file and is NULL for some rows; the first lacks a column."""
    write(folder / "t", rows(0).drop_columns(["amount"]), partition_by=["day"])
    write(folder / "t", rows(20), schema_mode="merge")
    return DeltaSource(path=str(folder / "t"), **HOW)


def in_iceberg(folder: Path, request: pytest.FixtureRequest) -> Source:
    """A column that had another name when the first rows were written."""
    warehouse = Warehouse(folder, request.getfixturevalue("monkeypatch"))
    table = warehouse.write(rows(0).rename_columns(["key", "e", "old", "day", "amount"]), by=["key"])
    with table.update_schema() as update:
        update.rename_column("old", "v")
    warehouse.write(rows(20))
    return IcebergSource(table="db.t", **HOW)


def in_objects(_: Path, request: pytest.FixtureRequest) -> Source:
    bucket = request.getfixturevalue("bucket")
    for number in (0, 20):
        bucket.put(f"facts/{number}.parquet", rows(number), row_group_size=7)
    return ParquetSource(path=bucket.url("facts/*.parquet"), **HOW)


def in_postgres(_: Path, request: pytest.FixtureRequest) -> Source:
    from tests.postgres_tables import append, load

    server = request.getfixturevalue("postgres_server")
    request.getfixturevalue("monkeypatch").setenv("PGPASSWORD", server.PASSWORD)
    load(server, "for_spark", rows(0))
    append(server, "for_spark", rows(20))
    return PostgresSource(table="public.for_spark", url=server.url, **HOW)


def in_memory(_: Path, request: pytest.FixtureRequest) -> Source:
    return ArrowSource(table=pa.concat_tables([rows(0), rows(20)]), **HOW)


def service(source: Source) -> FeatureService:
    key = Entity(name="key", join_keys=["key"])
    newest = [latest("v"), latest("day"), latest("amount")]
    windows = [agg.sum("v", window="6h"), agg.max("amount", window="1d"), agg.count_distinct("day", window="1d")]
    views = [FeatureView(name="newest", entities=[key], source=source, ttl="8h", features=newest),
             FeatureView(name="windows", entities=[key], source=source, features=windows)]  # fmt: skip
    return FeatureService(name="asked", features=views)


@pytest.fixture
def built(spark_settings: SparkSettings) -> Iterator[Callable[[Source, str], pa.Table]]:
    def build(source: Source, engine: str) -> pa.Table:
        asked = service(source)
        store = FeatureStore(definitions=[asked])
        told = {"master": spark_settings.master, "work": str(spark_settings.work), "conf": spark_settings.conf, "timeout": "3m"}
        spark = store.config.spark.model_copy(update=told)
        store.config = store.config.model_copy(update={"spark": spark})
        return store.build_training_set(asked, SPINE, engine=engine, include=("status",))

    return build


SLOW = (in_objects, in_postgres, in_memory)
PLACES = [in_delta, in_iceberg, *(pytest.param(place, marks=pytest.mark.slow) for place in SLOW)]


@pytest.mark.parametrize("place", PLACES)
def test_rows_are_the_same_to_spark_wherever_they_lie(
    place: Place, built: Callable[[Source, str], pa.Table], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "t").mkdir()
    source = place(tmp_path, request)
    plain = [rows(0).set_column(4, "amount", pa.nulls(20, pa.decimal128(12, 2))) if place is in_delta else rows(0), rows(20)]
    pq.write_table(pa.concat_tables(plain), tmp_path / "plain.parquet")
    expected = built(ParquetSource(path=str(tmp_path / "plain.parquet"), **HOW), "duckdb")
    assert expected["v__status"].to_pylist() == ["present", "present", "present", "present", "not_found"]
    assert bits(built(source, "duckdb")).equals(bits(expected))
    assert bits(built(source, "spark")).equals(bits(expected))


def test_a_table_with_deletion_vectors_is_refused_before_spark_starts(
    built: Callable[[Source, str], pa.Table], tmp_path: Path
) -> None:
    write(tmp_path / "t", rows(0))
    edit(tmp_path / "t", protocol("v2Checkpoint"))
    with pytest.raises(SourceError, match="FS370"):
        built(DeltaSource(path=str(tmp_path / "t"), **HOW), "spark")
