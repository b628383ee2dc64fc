"""Iceberg tables as sources: one snapshot is read, its columns go by field id, and what is not read is refused by name."""

from __future__ import annotations

import json
import shutil
from datetime import UTC as utc
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import FileFormat
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DecimalType, DoubleType, LongType, StringType

from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.intervals import format_instant
from featurestore.sources import IdentityCache, SourceData, reopen_source
from featurestore.sources.footers import extents
from tests.tables import START, UTC, Warehouse, facts, iceberg, open_iceberg, rows_of


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    return Warehouse(tmp_path / "lake", monkeypatch)


@pytest.fixture
def table(warehouse: Warehouse) -> Any:
    """Three snapshots: rows 0 to 2, then 3 to 5, then 6 to 8."""
    for first in (0, 3, 6):
        made = warehouse.write(facts(first))
    return made


def refused(folder: Path, **options: Any) -> FeatureStoreError:
    with pytest.raises(FeatureStoreError) as caught:
        open_iceberg(folder, **options)
    assert caught.value.where
    return caught.value


def values(data: SourceData) -> list[float]:
    return sorted(v for (v,) in rows_of(data, "v"))


def by_duckdb(data: SourceData, *columns: str) -> list[tuple[Any, ...]]:
    """What the engine reads of a source."""
    with Session(Settings(threads=2)) as session:
        session.bind_source(data, columns, data.types)
        found = session.table(f"SELECT {', '.join(columns)} FROM source__facts")
    return sorted(zip(*(found[c].to_pylist() for c in columns), strict=True), key=repr)


# Which snapshot.


def test_the_current_snapshot_is_read_and_stays_the_one_that_was_opened(
    table: Any, warehouse: Warehouse, tmp_path: Path
) -> None:
    data = open_iceberg(tmp_path)
    warehouse.write(facts(9))
    assert values(data) == [float(n) for n in range(9)]
    assert open_iceberg(tmp_path).rows == 12


def test_a_snapshot_can_be_named(table: Any, tmp_path: Path) -> None:
    ids = [entry.snapshot_id for entry in table.history()]
    assert [open_iceberg(tmp_path, snapshot=one).rows for one in ids] == [3, 6, 9]


def test_the_snapshot_that_was_current_at_an_instant_is_read(table: Any, tmp_path: Path) -> None:
    moments = [entry.timestamp_ms * 1_000 for entry in table.history()]
    for at, rows in zip([*moments, moments[1] - 1, moments[2] - 1, moments[2] + 10**12], [3, 6, 9, 3, 6, 9], strict=True):
        assert open_iceberg(tmp_path, as_of=format_instant(at)).rows == rows
    early = refused(tmp_path, as_of=format_instant(moments[0] - 1))
    assert early.code == "FS369"


def test_a_snapshot_that_there_is_not_is_refused(table: Any, tmp_path: Path) -> None:
    error = refused(tmp_path, snapshot=7)
    assert error.code == "FS369"
    assert "default.db.t has no snapshot 7" in error.what


def test_the_past_is_read_by_the_columns_it_had(table: Any, tmp_path: Path) -> None:
    first = table.history()[0].snapshot_id
    with table.update_schema() as update:
        update.rename_column("v", "value")
    assert "v" in open_iceberg(tmp_path, snapshot=first).types
    assert "value" in open_iceberg(tmp_path).types


# What is recorded of it.


def test_the_state_names_table_snapshot_and_files_and_no_path_of_the_machine(table: Any, tmp_path: Path) -> None:
    pin, *files = open_iceberg(tmp_path).state(IdentityCache(None))
    assert (pin["iceberg"], pin["catalog"], pin["snapshot"]) == ("db.t", "default", table.current_snapshot().snapshot_id)
    assert [sorted(entry) for entry in files] == [["path", "sha256", "size"]] * 3
    assert str(tmp_path) not in json.dumps([pin, *files])


def reopened(folder: Path, state: list[dict[str, Any]], **options: Any) -> SourceData:
    return reopen_source(iceberg(**options), json.loads(json.dumps(state)), folder, IdentityCache(None))


def test_the_recorded_snapshot_is_opened_again_whatever_came_later(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    state = open_iceberg(tmp_path).state(IdentityCache(None))
    warehouse.write(facts(9))
    table.refresh().overwrite(facts(20))
    with table.update_schema() as update:
        update.rename_column("v", "value")
    assert values(reopened(tmp_path, state)) == [float(n) for n in range(9)]


def test_a_snapshot_that_has_expired_is_unverifiable(table: Any, tmp_path: Path) -> None:
    state = open_iceberg(tmp_path).state(IdentityCache(None))
    table.refresh().overwrite(facts(20))
    table.maintenance.expire_snapshots().by_id(state[0]["snapshot"]).commit()
    with pytest.raises(SourceError) as caught:
        reopened(tmp_path, state)
    assert caught.value.code == "FS335"
    assert f"no snapshot {state[0]['snapshot']}" in caught.value.what


def test_another_table_of_the_same_name_is_not_the_recorded_one(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    state = open_iceberg(tmp_path).state(IdentityCache(None))
    warehouse.catalog.drop_table("db.t")
    warehouse.write(facts(0))
    with pytest.raises(SourceError) as caught:
        reopened(tmp_path, state)
    assert caught.value.code == "FS335"
    assert "another table" in caught.value.what
    assert "another table" in open_iceberg(tmp_path).why_anew(state)


def test_files_that_were_added_are_what_is_new(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    before = open_iceberg(tmp_path).state(IdentityCache(None))
    warehouse.write(facts(9))
    data = open_iceberg(tmp_path)
    assert data.why_anew(before) == ""
    assert values(data.since(before)) == [9.0, 10.0, 11.0]


def test_a_column_dropped_and_added_again_is_another_though_no_file_changed(table: Any, tmp_path: Path) -> None:
    before = open_iceberg(tmp_path).state(IdentityCache(None))
    with table.update_schema() as update:
        update.delete_column("v")
    with table.update_schema() as update:
        update.add_column("v", DoubleType())
    data = open_iceberg(tmp_path)
    assert "columns" in data.why_anew(before)
    assert {v for (v,) in rows_of(data, "v")} == {v for (v,) in by_duckdb(data, "v")} == {None}
    assert values(reopened(tmp_path, before)) == [float(n) for n in range(9)]


# What its columns are.


def test_a_renamed_column_is_the_same_column(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    with table.update_schema() as update:
        update.rename_column("v", "value")
    warehouse.write(facts(9).rename_columns(["key", "e", "value"]))
    data = open_iceberg(tmp_path)
    data.check(["value", "e"])
    assert rows_of(data, "value", "key") == by_duckdb(data, "value", "key")
    assert [v for (v,) in by_duckdb(data, "value")] == sorted((float(n) for n in range(12)), key=repr)
    assert "v" not in data.types


def test_two_columns_that_changed_names_are_told_apart(warehouse: Warehouse, tmp_path: Path) -> None:
    made = warehouse.write(pa.table({"e": facts(0)["e"], "a": [1, 2, 3], "b": [10, 20, 30]}))
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        with made.update_schema() as update:
            update.rename_column(old, new)
    data = open_iceberg(tmp_path)
    assert rows_of(data, "a", "b") == by_duckdb(data, "a", "b") == [(10, 1), (20, 2), (30, 3)]
    assert extents(data, ["a"])["a"].least == 10


def test_times_that_changed_names_are_narrowed_by_the_right_one(warehouse: Warehouse, tmp_path: Path) -> None:
    from featurestore.plan.needed import Needed

    late = pa.array([at + 10**9 for at in facts(0)["e"].cast(pa.int64()).to_pylist()], pa.int64()).cast(UTC)
    made = warehouse.write(pa.table({"x": facts(0)["e"], "e": late, "v": [0.0, 1.0, 2.0]}))
    for old, new in (("x", "old"), ("e", "x"), ("old", "e")):
        with made.update_schema() as update:
            update.rename_column(old, new)
    data = open_iceberg(tmp_path)
    with Session(Settings(threads=2)) as session:
        session.bind_source(data, ("e", "v"), data.types, needed=Needed(event_to=START))
        assert session.table("SELECT v FROM source__facts")["v"].to_pylist() == [0.0]


WIDER = {
    "whole": (pa.array([1, -(2**31), None], pa.int32()), LongType(), "int64"),
    "real": (pa.array([0.1, float("-inf"), None], pa.float32()), DoubleType(), "double"),
    "price": (
        pa.array([Decimal("1.50"), Decimal("-999.99"), None], pa.decimal128(5, 2)),
        DecimalType(12, 2),
        "decimal128(12, 2)",
    ),
}


@pytest.mark.parametrize("column", WIDER)
def test_a_type_that_became_wider_holds_the_values_it_had(column: str, warehouse: Warehouse, tmp_path: Path) -> None:
    narrow, wide, name = WIDER[column]
    made = warehouse.write(facts(0, **{column: narrow}))
    with made.update_schema() as update:
        update.update_column(column, wide)
    warehouse.write(facts(3, **{column: narrow.cast(open_iceberg(tmp_path).types[column].arrow)}))
    data = open_iceberg(tmp_path)
    data.check([column])
    assert data.types[column].name == name
    assert rows_of(data, "v", column) == by_duckdb(data, "v", column)
    assert [value for _, value in rows_of(data, "v", column)] == narrow.to_pylist() * 2


def test_lists_of_a_type_that_became_wider_hold_the_values_they_had(warehouse: Warehouse, tmp_path: Path) -> None:
    made = warehouse.write(facts(0, items=pa.array([[1, None], [], None], pa.list_(pa.int32()))))
    with made.update_schema() as update:
        update.update_column(("items", "element"), LongType())
    data = open_iceberg(tmp_path)
    assert data.types["items"].name == "list<int64>"
    assert rows_of(data, "v", "items") == by_duckdb(data, "v", "items") == [(0.0, [1, None]), (1.0, []), (2.0, None)]


def test_a_column_that_came_later_is_null_in_older_files(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    with table.update_schema() as update:
        update.add_column("city", StringType())
    warehouse.write(facts(9, 1, city=["Riga"]))
    wanted = sorted([(9.0, "Riga"), *((float(n), None) for n in range(9))], key=repr)
    data = open_iceberg(tmp_path)
    assert rows_of(data, "v", "city") == by_duckdb(data, "v", "city") == wanted


PARTITIONS: dict[str, pa.Array] = {
    "day": pa.array([date(2026, 1, 1), None, date(1969, 12, 31)]),
    "text": pa.array(["a b/c=ü%'", "null", None]),
    "moment": pa.array([START + 1, None, -1], pa.int64()).cast(UTC),
    "price": pa.array([Decimal("1.50"), Decimal("0.00"), None], pa.decimal128(5, 2)),
    "flag": pa.array([True, False, None]),
    "number": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
    "bytes": pa.array([b"\x00\xff", b"", None]),
}


@pytest.mark.parametrize("where", ["in the files", "in the metadata alone"])
@pytest.mark.parametrize("column", PARTITIONS)
def test_values_of_partitions_are_typed_columns_of_all_their_rows(
    column: str, where: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    rows = facts(0).append_column(column, PARTITIONS[column])
    warehouse.write(rows, by=[column])
    if where == "in the metadata alone":
        drop_column(warehouse, column)
    data = open_iceberg(tmp_path)
    wanted = sorted(zip(rows["v"].to_pylist(), rows[column].to_pylist(), strict=True), key=repr)
    assert rows_of(data, "v", column) == by_duckdb(data, "v", column) == wanted
    assert any(column in part.constants for part in data.parts) == (where == "in the metadata alone")


def drop_column(warehouse: Warehouse, column: str) -> None:
    """Take a column out of the table's files, as files have it that once lay in a Hive table."""
    for path in (warehouse.folder / "warehouse").rglob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        pq.write_table(rows.drop_columns([column]), path)
    tell_sizes(warehouse)


def tell_sizes(warehouse: Warehouse) -> None:
    def told(file: Any) -> None:
        file._data[5] = Path(file.file_path.removeprefix("file://")).stat().st_size

    warehouse.rewrite(told)


def test_partitioning_that_changed_is_of_each_file_its_own(warehouse: Warehouse, tmp_path: Path) -> None:
    made = warehouse.write(facts(0, city=["a", "b", "a"]), by=["city"])
    with made.update_spec() as update:
        update.remove_field("city")
        update.add_field("key", IdentityTransform(), "key")
    warehouse.write(facts(3, city=["c", None, "a"]))
    with made.refresh().update_spec() as update:
        update.remove_field("key")
    warehouse.write(facts(6, city=["d", "d", "e"]))
    data = open_iceberg(tmp_path)
    wanted = sorted(zip(map(float, range(9)), "abac\0adde", strict=True), key=repr)
    wanted = [(v, None if c == "\0" else c) for v, c in wanted]
    assert rows_of(data, "v", "city") == by_duckdb(data, "v", "city") == sorted(wanted, key=repr)
    assert values(data) == [float(n) for n in range(9)]


def test_a_table_without_rows_still_has_its_columns(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.create(facts(0).schema)
    data = open_iceberg(tmp_path)
    assert (data.rows, data.types["v"].name) == (0, "double")
    assert by_duckdb(data, "key", "v") == []
    state = data.state(IdentityCache(None))
    assert state[0]["snapshot"] is None
    assert reopened(tmp_path, state).rows == 0
    warehouse.write(facts(0))
    assert open_iceberg(tmp_path).since(state).rows == 3
    assert reopened(tmp_path, state).rows == 0


def test_rows_that_were_deleted_with_their_files_are_gone(table: Any, tmp_path: Path) -> None:
    table.delete("v < 3 or v = 4")
    data = open_iceberg(tmp_path)
    assert values(data) == by_value(data) == [3.0, 5.0, 6.0, 7.0, 8.0]


def by_value(data: SourceData) -> list[float]:
    return [v for (v,) in by_duckdb(data, "v")]


def test_files_that_were_added_as_they_lay_are_read_by_name(warehouse: Warehouse, tmp_path: Path) -> None:
    pq.write_table(facts(0).rename_columns(["key", "e", "v"]), tmp_path / "plain.parquet")
    made = warehouse.create(facts(0).schema)
    made.add_files([f"file://{tmp_path}/plain.parquet"])
    with made.update_schema() as update:
        update.rename_column("v", "value")
    data = open_iceberg(tmp_path)
    assert rows_of(data, "value") == by_duckdb(data, "value") == [(0.0,), (1.0,), (2.0,)]


def test_files_that_say_nothing_of_their_columns_are_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    pq.write_table(facts(0), tmp_path / "plain.parquet")
    made = warehouse.create(facts(0).schema)
    made.add_files([f"file://{tmp_path}/plain.parquet"])
    with made.transaction() as transaction:
        transaction.remove_properties("schema.name-mapping.default")
    error = refused(tmp_path)
    assert error.code == "FS372"
    assert "field ids" in error.what


# What is not read, and says so.


def test_a_format_of_tomorrow_is_refused(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.edit(lambda told: {**told, "format-version": 3, "next-row-id": 9})
    error = refused(tmp_path)
    assert error.code == "FS370"
    assert "format version 3" in error.what


@pytest.mark.parametrize("kind", ["POSITION_DELETES", "EQUALITY_DELETES"])
def test_delete_files_are_refused(kind: str, table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.delete_rows(kind)
    error = refused(tmp_path)
    assert error.code == "FS371"
    assert kind.lower().replace("_", " ") in error.what


def test_files_that_are_not_parquet_are_refused(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    def orc(file: Any) -> None:
        file._data[2] = FileFormat.ORC

    warehouse.rewrite(orc)
    error = refused(tmp_path)
    assert error.code == "FS372"
    assert "ORC" in error.what


# What is broken.


def test_a_table_that_there_is_not_names_those_that_there_are(table: Any, tmp_path: Path) -> None:
    error = refused(tmp_path, table="db.tt")
    assert error.code == "FS367"
    assert error.known == ("db.t",)
    assert refused(tmp_path, table="nowhere.t").code == "FS367"


def test_a_catalog_that_nothing_is_said_of_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, catalog="unheard_of")
    assert error.code == "FS481"
    assert error.exit_code == 5
    assert "PYICEBERG_CATALOG__" in str(error)


def test_a_catalog_that_is_not_there_is_not_made(warehouse: Warehouse, tmp_path: Path) -> None:
    assert refused(tmp_path).code in ("FS367", "FS481")
    assert not warehouse.database.exists() or warehouse.database.stat().st_size == 0


def test_metadata_that_is_broken_or_gone_is_an_error_of_one_line(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    path = warehouse.metadata()
    kept = path.read_text(encoding="utf-8")
    for text in ("{", "{}", "garbage"):
        path.write_text(text, encoding="utf-8")
        error = refused(tmp_path)
        assert (error.code, "\n" in str(error)) == ("FS368", False)
    path.unlink()
    assert refused(tmp_path).code == "FS368"
    path.write_text(kept, encoding="utf-8")
    for manifest in (warehouse.folder / "warehouse").rglob("*.avro"):
        manifest.write_bytes(b"garbage")
    assert refused(tmp_path).code == "FS368"


def test_a_file_that_is_gone_or_of_another_size_is_noticed(table: Any, warehouse: Warehouse, tmp_path: Path) -> None:
    file = next((warehouse.folder / "warehouse").rglob("*.parquet"))
    with file.open("ab") as more:
        more.write(b"x")
    assert "another size" in refused(tmp_path).what
    shutil.move(file, tmp_path / "elsewhere")
    error = refused(tmp_path)
    assert error.code == "FS368"
    assert "gone" in error.what


def test_no_error_tells_what_opens_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Warehouse(tmp_path / "lake", monkeypatch, S3__SECRET_ACCESS_KEY="planted-secret")
    monkeypatch.setenv(
        "PYICEBERG_CATALOG__DEFAULT__URI", "postgresql+nodriver://user:planted-password@127.0.0.1:1/planted-secret"
    )
    error = refused(tmp_path)
    assert error.code == "FS481"
    assert "planted" not in str(error)


def test_times_are_those_of_the_table(table: Any, tmp_path: Path) -> None:
    assert [at for (at,) in by_duckdb(open_iceberg(tmp_path), "e")] == [datetime(2026, 1, 1, n, tzinfo=utc) for n in range(9)]
