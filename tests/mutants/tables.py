"""Stories of Delta and Iceberg tables: short ones, for mutants to stumble over."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC as utc
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import DeltaSource, IcebergSource
from featurestore.audit.changes import changes
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import SourceError
from featurestore.intervals import format_instant
from featurestore.plan.needed import Needed
from featurestore.sources import IdentityCache, SourceData, open_source, reopen_source
from featurestore.sources.footers import extents
from featurestore.sources.table_output import write_delta

UTC = pa.timestamp("us", "UTC")


def _facts(first: int, rows: int = 3, **more: Any) -> pa.Table:
    numbers = list(range(first, first + rows))
    times = pa.array([n * 1_000_000 for n in numbers], pa.int64()).cast(UTC)
    return pa.table({"k": [n % 3 for n in numbers], "e": times, "v": [float(n) for n in numbers], **more})


def _values(data: SourceData, column: str = "v", needed: Needed | None = None) -> list[Any]:
    """What the engine reads, and, unless only some is needed, what is read without it."""
    with Session(Settings(threads=1)) as session:
        session.bind_source(data, tuple({column, "e"}), data.types, needed=needed or Needed())
        found = session.table(f"SELECT {column} FROM source__facts")[column].to_pylist()
    read = [row for part in data.parts for batch in part.read([column]) for row in batch.column(0).to_pylist()]
    assert needed is not None or sorted(found, key=repr) == sorted(read, key=repr)
    return sorted(found, key=repr)


def _refused(read: Callable[[], object], code: str) -> None:
    with pytest.raises(SourceError) as caught:
        read()
    assert caught.value.code == code


def _delta(folder: Path, **options: Any) -> SourceData:
    return open_source(DeltaSource(name="facts", path="t", event_timestamp="e", **options), folder)


def _write(folder: Path, rows: pa.Table, **options: Any) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(folder / "t"), rows, mode="append", **options)


def _edit(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = folder / "t/_delta_log/00000000000000000000.json"
    actions = [change(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(action) + "\n" for action in actions), encoding="utf-8")


def _features(*names: str) -> dict[str, Any]:
    return {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": names, "writerFeatures": names}}


def _the_recorded_version_is_opened_again(folder: Path) -> None:
    _write(folder, _facts(0))
    state = _delta(folder).state(IdentityCache(None))
    _write(folder, _facts(3))
    assert reopen_source(_delta(folder).source, state, folder, IdentityCache(None)).rows == 3
    moved = [{**state[0], "version": 1}, *state[1:]]
    assert [change.what for change in changes({"sources": {"facts": state}}, {"sources": {"facts": moved}})] == ["source"]


def _a_version_is_the_newest_from_its_commit_on(folder: Path) -> None:
    for first in (0, 3, 6):
        _write(folder, _facts(first))
    for second, commit in zip((100, 90, 200), sorted((folder / "t/_delta_log").glob("*.json")), strict=True):
        os.utime(commit, (second, second))
    rows = [_delta(folder, as_of=format_instant(at)).rows for at in (100_000_000, 100_000_001, 200_000_000)]
    assert rows == [3, 6, 9]


def _another_table_is_read_anew(folder: Path) -> None:
    _write(folder, _facts(0))
    state = _delta(folder).state(IdentityCache(None))
    shutil.rmtree(folder / "t")
    _write(folder, _facts(0))
    assert _delta(folder).why_anew(state)


def _values_of_partitions_are_columns(folder: Path) -> None:
    _write(folder, _facts(0, place=["a'b", None, "c"]), partition_by=["place"])
    assert _values(_delta(folder), "place") == sorted(["a'b", "c", None], key=repr)


def _many_partitions_have_values_of_their_own(folder: Path) -> None:
    days = pa.array([None, *range(11)], pa.int32()).cast(pa.date32())
    _write(folder, _facts(0, 12, place=[f"{n}" for n in range(12)], day=days), partition_by=["place", "day"])
    assert _values(_delta(folder), "place") == sorted(map(str, range(12)), key=repr)
    assert _values(_delta(folder), "day") == sorted(days.to_pylist(), key=repr)


def _what_is_not_read_is_refused(folder: Path) -> None:
    def mapped(action: dict[str, Any]) -> dict[str, Any]:
        if "metaData" not in action:
            return action
        schema = json.loads(action["metaData"]["schemaString"])
        for i, field in enumerate(schema["fields"]):
            field["metadata"] = {"delta.columnMapping.id": i + 1, "delta.columnMapping.physicalName": field["name"]}
        told = {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "3"}
        return {"metaData": {**action["metaData"], "schemaString": json.dumps(schema), "configuration": told}}

    vector = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 1, "sizeInBytes": 36, "cardinality": 1}
    cases: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
        "widening": ("FS370", lambda a: _features("typeWidening") if "protocol" in a else a),
        "mapping": ("FS370", lambda a: _features("columnMapping") if "protocol" in a else mapped(a)),
        "vectors": ("FS371", lambda a: _features("deletionVectors") if "protocol" in a
                    else {"add": {**a["add"], "deletionVector": vector}} if "add" in a else a),
    }  # fmt: skip
    for name, (code, change) in cases.items():
        (folder / name).mkdir()
        _write(folder / name, _facts(0))
        _edit(folder / name, change)
        _refused(lambda place=folder / name: _delta(place), code)  # type: ignore[misc]


def _a_file_that_is_not_the_logs_is_noticed(folder: Path) -> None:
    _write(folder, _facts(0))
    with next((folder / "t").glob("*.parquet")).open("ab") as file:
        file.write(b"x")
    _refused(lambda: _delta(folder), "FS368")


def _rows_that_are_replaced_have_all_values(folder: Path) -> None:
    rows = _facts(0, 4, by=["a", "a", "b", "b"])
    write_delta("t", rows.to_batches(), rows.schema, root=folder)
    again = _facts(9, 1, by=["a"])
    write_delta("t", again.to_batches(), again.schema, root=folder, replace={"k": [0], "by": ["a"]})
    assert _values(_delta(folder)) == [1.0, 2.0, 3.0, 9.0]


@contextmanager
def _lake(folder: Path) -> Iterator[Any]:
    """A table of two columns that can be told apart, and one of time."""
    from pyiceberg.catalog import load_catalog

    told = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/lake"}
    with mock.patch.dict(os.environ, {f"PYICEBERG_CATALOG__DEFAULT__{name.upper()}": value for name, value in told.items()}):
        catalog = load_catalog("default", **told)
        catalog.create_namespace("db")
        rows = _facts(0, w=[10.0, 20.0, 30.0], x=pa.array([5, 6, 7], pa.int64()).cast(UTC))
        table = catalog.create_table("db.t", schema=rows.schema)
        table.append(rows)
        yield table


def _iceberg(folder: Path, **options: Any) -> SourceData:
    return open_source(IcebergSource(name="facts", table="db.t", event_timestamp="e", **options), folder)


def _rename(table: Any, old: str, new: str) -> None:
    with table.update_schema() as update:
        update.rename_column(old, new)


def _columns_go_by_field_id(folder: Path) -> None:
    with _lake(folder) as table:
        for old, new in (("v", "_"), ("w", "v"), ("_", "w")):
            _rename(table, old, new)
        assert _values(_iceberg(folder), "v") == [10.0, 20.0, 30.0]
        assert _values(_iceberg(folder), "w") == [0.0, 1.0, 2.0]
        assert extents(_iceberg(folder), ["v"])["v"].nulls == 0


def _times_go_by_field_id(folder: Path) -> None:
    with _lake(folder) as table:
        for old, new in (("e", "_"), ("x", "e"), ("_", "x")):
            _rename(table, old, new)
        assert extents(_iceberg(folder), ["e"])["e"].greatest == 7
        assert _values(_iceberg(folder), "v", Needed(event_to=6)) == [0.0, 1.0]


def _the_past_is_read_as_it_was(folder: Path) -> None:
    with _lake(folder) as table:
        state = _iceberg(folder).state(IdentityCache(None))
        _rename(table, "w", "y")
        early = _iceberg(folder, snapshot=table.current_snapshot().snapshot_id)
        assert "w" in early.types
        assert "y" in _iceberg(folder).types
        assert "w" in reopen_source(early.source, state, folder, IdentityCache(None)).types
        assert _iceberg(folder).why_anew(state)


def _deletes_are_refused(folder: Path) -> None:
    from pyiceberg.manifest import DataFileContent, write_manifest

    with _lake(folder) as table:
        snapshot = table.current_snapshot()
        (manifest,) = snapshot.manifests(table.io)
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        entries[0].data_file._data[0] = DataFileContent.POSITION_DELETES
        output = table.io.new_output(manifest.manifest_path)
        with write_manifest(2, table.spec(), table.schema(), output, snapshot.snapshot_id, "deflate") as writer:
            for entry in entries:
                writer.add_entry(entry)
        _refused(lambda: _iceberg(folder), "FS371")


def _a_time_of_the_oldest_writing_is_an_instant(folder: Path) -> None:
    _write(folder, _facts(1))
    file = next((folder / "t").glob("*.parquet"))
    pq.write_table(pq.read_table(file), file, use_deprecated_int96_timestamps=True)
    size = file.stat().st_size
    _edit(folder, lambda a: {"add": {**a["add"], "size": size}} if "add" in a else a)
    assert _values(_delta(folder), "e") == [datetime(1970, 1, 1, 0, 0, second, tzinfo=utc) for second in (1, 2, 3)]


TABLES: Mapping[str, Callable[[Path], None]] = {
    f"tables-{story.__name__.strip('_')}": story
    for story in (
        _the_recorded_version_is_opened_again,
        _a_version_is_the_newest_from_its_commit_on,
        _another_table_is_read_anew,
        _values_of_partitions_are_columns,
        _many_partitions_have_values_of_their_own,
        _what_is_not_read_is_refused,
        _a_file_that_is_not_the_logs_is_noticed,
        _rows_that_are_replaced_have_all_values,
        _columns_go_by_field_id,
        _times_go_by_field_id,
        _the_past_is_read_as_it_was,
        _deletes_are_refused,
        _a_time_of_the_oldest_writing_is_an_instant,
    )
}
