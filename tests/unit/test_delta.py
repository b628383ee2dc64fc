"""Delta tables as sources: one version is read, its columns are what the table says, what is not read is refused by name."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC as utc
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.intervals import format_instant
from featurestore.plan.needed import Needed
from featurestore.sources import IdentityCache, SourceData, reopen_source
from featurestore.sources.footers import extents
from tests.tables import (
    HOUR,
    START,
    UTC,
    as_int96,
    commits,
    delta,
    edit,
    facts,
    open_delta,
    protocol,
    rows_of,
    times,
    with_add,
    with_property,
    write,
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three versions: rows 0 to 2, then 3 to 5, then 6 to 8."""
    for first in (0, 3, 6):
        write(tmp_path / "t", facts(first))
    return tmp_path / "t"


def refused(folder: Path, **options: Any) -> FeatureStoreError:
    with pytest.raises(FeatureStoreError) as caught:
        open_delta(folder, **options)
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


# Which version.


def test_the_newest_version_is_read_and_stays_the_one_that_was_opened(table: Path) -> None:
    data = open_delta(table.parent)
    write(table, facts(9))
    assert values(data) == [float(n) for n in range(9)]
    assert open_delta(table.parent).rows == 12


def test_a_version_can_be_named(table: Path) -> None:
    assert [open_delta(table.parent, version=v).rows for v in (0, 1, 2)] == [3, 6, 9]


@pytest.mark.parametrize(("hours", "rows"), [(0, 3), (0.5, 3), (1, 6), (2, 9), (1_000, 9)])
def test_the_version_that_was_the_newest_at_an_instant_is_read(table: Path, hours: float, rows: int) -> None:
    for hour, commit in enumerate(commits(table)):
        os.utime(commit, (START // 1_000_000 + hour * 3_600,) * 2)
    assert open_delta(table.parent, as_of=format_instant(START + int(hours * HOUR))).rows == rows
    early = refused(table.parent, as_of=format_instant(START - 1))
    assert early.code == "FS369"
    assert "2025-12-31T23:59:59.999999Z" in early.what


def test_a_commit_that_a_clock_gone_back_dates_too_early_is_later_than_the_one_before(table: Path) -> None:
    for hour, commit in zip((1, 0, 2), commits(table), strict=True):
        os.utime(commit, (START // 1_000_000 + hour * 3_600,) * 2)
    assert open_delta(table.parent, as_of=format_instant(START + HOUR)).rows == 3
    assert open_delta(table.parent, as_of=format_instant(START + HOUR + 1)).rows == 6


def test_times_inside_of_commits_are_not_guessed_from_files(table: Path) -> None:
    edit(table, with_property("delta.enableInCommitTimestamps", "true"))
    edit(table, protocol("timestampNtz"))  # a reader feature without meaning here
    assert refused(table.parent, as_of="2026-01-01T00:00:00Z").code in ("FS368", "FS369", "FS370")


def test_a_version_that_there_is_not_is_refused(table: Path) -> None:
    error = refused(table.parent, version=7)
    assert error.code == "FS369"
    assert "no version 7: the newest is 2" in error.what


def test_a_version_whose_log_was_cleaned_up_is_refused(table: Path) -> None:
    from deltalake import DeltaTable

    DeltaTable(str(table)).create_checkpoint()
    for commit in commits(table)[:2]:
        commit.unlink()
    assert open_delta(table.parent).rows == 9
    error = refused(table.parent, version=1)
    assert error.code == "FS369"
    assert "its log is gone" in error.what


# What is recorded of it.


def test_the_state_names_table_version_and_files_and_no_path_of_the_machine(table: Path) -> None:
    pin, *files = open_delta(table.parent, version=1).state(IdentityCache(None))
    assert pin["delta"] == "t"
    assert pin["version"] == 1
    assert [sorted(entry) for entry in files] == [["path", "sha256", "size"]] * 2
    assert str(table.parent) not in json.dumps([pin, *files])


def reopened(folder: Path, state: list[dict[str, Any]], **options: Any) -> SourceData:
    return reopen_source(delta(**options), json.loads(json.dumps(state)), folder, IdentityCache(None))


def test_the_recorded_version_is_opened_again_whatever_came_later(table: Path) -> None:
    state = open_delta(table.parent).state(IdentityCache(None))
    write(table, facts(9))
    write(table, facts(20), mode="overwrite")
    assert values(reopened(table.parent, state)) == [float(n) for n in range(9)]
    assert reopened(table.parent, state).rows == reopened(table.parent, state, version=0).rows


def test_a_table_read_as_another_definition_says_is_not_the_recorded_one(table: Path) -> None:
    shutil.copytree(table, table.parent / "copy")
    state = open_delta(table.parent).state(IdentityCache(None))
    write(table.parent / "copy", facts(9))
    assert reopened(table.parent, state, path="copy").rows == 9  # what was recorded, not what is defined now


def test_a_file_removed_by_vacuum_makes_the_version_unverifiable(table: Path) -> None:
    from deltalake import DeltaTable

    state = open_delta(table.parent).state(IdentityCache(None))
    write(table, facts(20), mode="overwrite")
    DeltaTable(str(table)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(SourceError) as caught:
        reopened(table.parent, state)
    assert caught.value.code == "FS335"
    assert "VACUUM" in caught.value.what
    error = refused(table.parent, version=2)
    assert error.code == "FS368"


def test_another_table_at_the_same_path_is_not_the_recorded_one(table: Path) -> None:
    state = open_delta(table.parent).state(IdentityCache(None))
    files = {f.name: f.read_bytes() for f in table.glob("*.parquet")}
    shutil.rmtree(table)
    for first in (0, 3, 6):
        write(table, facts(first))
    for name, content in files.items():
        (table / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        reopened(table.parent, state)
    assert caught.value.code == "FS335"


def test_files_that_were_added_are_what_is_new(table: Path) -> None:
    before = open_delta(table.parent).state(IdentityCache(None))
    write(table, facts(9))
    data = open_delta(table.parent)
    assert data.why_anew(before) == ""
    assert values(data.since(before)) == [9.0, 10.0, 11.0]


def test_a_table_that_took_the_place_of_another_is_read_anew(table: Path) -> None:
    before = open_delta(table.parent).state(IdentityCache(None))
    shutil.rmtree(table)
    write(table, facts(0))
    assert "another table" in open_delta(table.parent).why_anew(before)
    assert "another kind" in open_delta(table.parent).why_anew(before[1:])


# What its columns are.


PARTITIONS: dict[str, pa.Array] = {
    "day": pa.array([date(2026, 1, 1), None, date(1969, 12, 31)]),
    "text": pa.array(["a b/c=ü%'", "x=1\\n", None]),
    "odd": pa.array(["__HIVE_DEFAULT_PARTITION__", "null", "NULL"]),
    "moment": pa.array([START + 1, None, -1], pa.int64()).cast(UTC),
    "local": pa.array([START + 1, None, -1], pa.int64()).cast(pa.timestamp("us")),
    "price": pa.array([Decimal("1.50"), Decimal("0.00"), None], pa.decimal128(5, 2)),
    "tiny": pa.array([Decimal("0.0000000001"), Decimal("-1.0000000000"), None], pa.decimal128(20, 10)),
    "flag": pa.array([True, False, None]),
    "number": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
    "small": pa.array([-128, 127, None], pa.int8()),
    "double": pa.array([0.1, float("inf"), float("-inf")]),
}


@pytest.mark.parametrize("column", PARTITIONS)
def test_values_of_partitions_are_typed_columns_of_all_their_rows(column: str, tmp_path: Path) -> None:
    rows = facts(0).append_column(column, PARTITIONS[column])
    write(tmp_path / "t", rows, partition_by=[column])
    data = open_delta(tmp_path)
    wanted = sorted(zip(rows["v"].to_pylist(), rows[column].to_pylist(), strict=True), key=repr)
    assert rows_of(data, "v", column) == wanted
    found = by_duckdb(data, "v", column)
    if column == "local":  # an instant of the zone the source declares, once an engine has it
        found = [(v, None if at is None else at.replace(tzinfo=None)) for v, at in found]
    assert found == wanted


def test_a_partition_column_that_is_a_key_a_time_or_a_date_is_one_like_any_other(tmp_path: Path) -> None:
    rows = facts(0).drop_columns(["e"]).append_column("e", pa.array([date(2026, 1, n) for n in (1, 2, 3)]))
    write(tmp_path / "t", rows, partition_by=["key", "e"])
    assert [row[0] for row in by_duckdb(open_delta(tmp_path), "key", "v")] == [0, 1, 2]
    ends = [at for (at,) in by_duckdb(open_delta(tmp_path), "e")]
    assert ends == [datetime(2026, 1, n, 23, 59, 59, 999_999, utc) for n in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["date", "instant", "naive"])
def test_many_partitions_are_one_reading_whatever_their_values(kind: str, tmp_path: Path) -> None:
    """Event times among them, some of which nobody needs, NULL, and quotes in text."""
    micros = [None, *(START + n * 24 * HOUR for n in range(19))]
    types = {"date": pa.date32(), "instant": UTC, "naive": pa.timestamp("us")}
    e = pa.array(micros, pa.int64()).cast(pa.timestamp("us")).cast(types[kind])
    rows = pa.table(
        {"e": e, "place": [f"it's {n % 5}" if n % 4 else None for n in range(20)], "v": [float(n) for n in range(20)]}
    )
    write(tmp_path / "t", rows, partition_by=["place", "e"])
    data = open_delta(tmp_path)
    late = 24 * HOUR - 1 if kind == "date" else 0
    wanted = [None if at is None else datetime.fromtimestamp(0, utc) + timedelta(microseconds=at + late) for at in micros]
    expected = list(zip(wanted, rows["place"].to_pylist(), rows["v"].to_pylist(), strict=True))
    assert by_duckdb(data, "e", "place", "v") == sorted(expected, key=repr)
    bounds = Needed(event_from=START + 3 * 24 * HOUR + late, event_to=START + 6 * 24 * HOUR + late)
    with Session(Settings(threads=2)) as session:
        session.bind_source(data, ("e", "v"), data.types, needed=bounds)
        assert sorted(session.table("SELECT v FROM source__facts")["v"].to_pylist()) == [4.0, 5.0, 6.0, 7.0]


def test_a_binary_partition_column_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "t", facts(0, b=pa.array([b"a", b"\x00\xff", None])), partition_by=["b"])
    assert "'b', a binary column" in refused(tmp_path).what


def test_a_column_that_came_later_is_null_in_older_files(table: Path) -> None:
    write(table, facts(9, 1, city=["Riga"]), schema_mode="merge")
    data = open_delta(table.parent)
    wanted = [(9.0, "Riga"), *((float(n), None) for n in range(9))]
    assert rows_of(data, "v", "city") == by_duckdb(data, "v", "city") == sorted(wanted, key=repr)
    assert "city" not in open_delta(table.parent, version=2).types


def test_what_only_a_file_has_is_no_column_of_the_table(table: Path) -> None:
    file = next(table.glob("*.parquet"))
    pq.write_table(pq.read_table(file).append_column("stray", pa.array([1, 2, 3])), file)
    edit_size(table)
    assert "stray" not in open_delta(table.parent).types


def edit_size(table: Path) -> None:
    """Let the log tell the sizes that files have."""

    def told(action: dict[str, Any]) -> dict[str, Any]:
        return with_add(size=(table / action["add"]["path"]).stat().st_size)(action) if "add" in action else action

    for commit in range(len(commits(table))):
        edit(table, told, commit)


def rewrite(table: Path, file: Path, rows: pa.Table) -> None:
    pq.write_table(rows, file)
    edit_size(table)


@pytest.mark.parametrize("narrow", [pa.int8(), pa.int16(), pa.int32()])
def test_integers_that_lie_narrower_are_those_of_the_table(narrow: pa.DataType, table: Path) -> None:
    file = sorted(table.glob("*.parquet"))[0]
    rows = pq.read_table(file)
    rewrite(table, file, rows.set_column(0, "key", rows["key"].cast(narrow)))
    data = open_delta(table.parent)
    assert data.types["key"].name == "int64"
    data.check(["key", "v"])
    assert rows_of(data, "key", "v") == by_duckdb(data, "key", "v")
    assert extents(data, ["key"])["key"].greatest == 2


def test_names_in_files_may_differ_in_case(table: Path) -> None:
    file = sorted(table.glob("*.parquet"))[0]
    rewrite(table, file, pq.read_table(file).rename_columns(["KEY", "E", "V"]))
    data = open_delta(table.parent)
    assert rows_of(data, "key", "e", "v") == by_duckdb(data, "key", "e", "v")
    assert values(data) == [float(n) for n in range(9)]


def test_a_file_of_another_type_than_the_table_says_is_refused(table: Path) -> None:
    file = sorted(table.glob("*.parquet"))[0]
    rows = pq.read_table(file)
    rewrite(table, file, rows.set_column(0, "key", rows["key"].cast(pa.string())))
    error = refused(table.parent)
    assert error.code == "FS372"
    assert "'key' is int64 in the table and string in a file of it" in error.what


def test_times_in_the_oldest_writing_are_instants(table: Path) -> None:
    for file in table.glob("*.parquet"):
        as_int96(file)
    edit_size(table)
    data = open_delta(table.parent)
    wanted = [(float(n), datetime(2026, 1, 1, n, tzinfo=utc)) for n in range(9)]
    assert rows_of(data, "v", "e") == by_duckdb(data, "v", "e") == sorted(wanted, key=repr)
    data.check(["e"])


def test_a_table_without_rows_still_has_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "t", facts(0).slice(0, 0))
    data = open_delta(tmp_path)
    assert (data.rows, data.types["v"].name) == (0, "double")
    assert by_duckdb(data, "key", "v") == []
    assert reopened(tmp_path, data.state(IdentityCache(None))).rows == 0


# What is not read, and says so.


NOT_READ = {
    "typeWidening": protocol("typeWidening"),
    "v2Checkpoint": protocol("v2Checkpoint"),
    "variantType": protocol("variantType"),
    "vacuumProtocolCheck": protocol("vacuumProtocolCheck"),
    "aFeatureOfTomorrow": protocol("aFeatureOfTomorrow"),
    "catalogManaged": protocol("catalogManaged"),
}


@pytest.mark.parametrize("feature", NOT_READ)
def test_a_reader_feature_is_refused_by_name(feature: str, table: Path) -> None:
    edit(table, NOT_READ[feature])
    error = refused(table.parent)
    assert error.code == "FS370"
    assert error.exit_code == 4
    assert feature in error.what
    assert "t needs" in error.what


def mapped(mode: str) -> Any:
    def change(action: dict[str, Any]) -> dict[str, Any]:
        if "metaData" not in action:
            return protocol(reader=2, writer=5)(action)
        schema = json.loads(action["metaData"]["schemaString"])
        for i, field in enumerate(schema["fields"]):
            field["metadata"] = {"delta.columnMapping.id": i + 1, "delta.columnMapping.physicalName": field["name"]}
        schema["fields"][2]["name"] = "renamed"
        told = {**action["metaData"], "schemaString": json.dumps(schema)}
        return with_property("delta.columnMapping.mode", mode)({"metaData": told})

    return change


@pytest.mark.parametrize("mode", ["name", "id"])
def test_column_mapping_is_refused_where_it_is_used(mode: str, table: Path) -> None:
    edit(table, mapped(mode))
    error = refused(table.parent)
    assert error.code == "FS370"
    assert f"delta.columnMapping.mode = {mode}" in error.what


@pytest.mark.parametrize("feature", ["columnMapping", "deletionVectors"])
def test_a_feature_that_is_named_and_not_used_is_no_hindrance(feature: str, table: Path) -> None:
    edit(table, protocol(feature))
    assert open_delta(table.parent).rows == 9


def test_deletion_vectors_are_refused(table: Path) -> None:
    vector = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 1, "sizeInBytes": 36, "cardinality": 1}
    edit(table, protocol("deletionVectors"))
    edit(table, with_add(deletionVector=vector))
    error = refused(table.parent)
    assert error.code == "FS371"
    assert "deletion vectors" in error.what
    assert "PURGE" in error.hint


def test_a_shallow_clone_is_refused(table: Path) -> None:
    edit(table, with_add(path=f"file://{table}/elsewhere.parquet"))
    assert "shallow clone" in refused(table.parent).what


# What is broken.


def test_a_table_that_there_is_not_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "empty" / "_delta_log").mkdir(parents=True)
    for path in ("nothing", "empty", "empty/_delta_log"):
        error = refused(tmp_path, path=path)
        assert error.code == "FS367"
        assert path in error.what


BREAKS = {
    "not JSON": lambda table: commits(table)[1].write_text("{"),
    "no protocol": lambda table: commits(table)[0].unlink(),
    "a gap": lambda table: commits(table)[1].unlink(),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_log_is_an_error_of_one_line(what: str, table: Path) -> None:
    BREAKS[what](table)
    error = refused(table.parent)
    assert error.code == "FS368"
    assert "\n" not in str(error)
    assert "clone3" not in str(error)


def test_a_file_of_another_size_than_the_log_says_is_noticed(table: Path) -> None:
    with next(table.glob("*.parquet")).open("ab") as file:
        file.write(b"x")
    error = refused(table.parent)
    assert error.code == "FS368"
    assert "another size" in error.what


def test_the_file_of_a_log_that_is_gone_is_noticed(table: Path) -> None:
    next(table.glob("*.parquet")).unlink()
    assert "gone" in refused(table.parent).what


def test_naive_times_are_read_in_the_zone_of_the_source(tmp_path: Path) -> None:
    write(tmp_path / "t", pa.table({"e": times(0, 1, kind=pa.timestamp("us")), "v": [0.0, 1.0]}))
    data = open_delta(tmp_path, timezone="Asia/Tokyo")
    assert [at.isoformat() for (at,) in by_duckdb(data, "e")] == ["2025-12-31T15:00:00+00:00", "2025-12-31T16:00:00+00:00"]
