"""Sources: frozen lists of files, one meaning per column, and what stands in the way of either."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, ParquetSource
from featurestore.dtypes import DType
from featurestore.errors import DefinitionError, SourceError
from featurestore.sources import IdentityCache, SourceData, open_source
from featurestore.sources.files import expand, sha256

UTC = pa.timestamp("us", "UTC")


def write(folder: Path, **tables: dict[str, pa.Array] | pa.Table) -> Path:
    for name, table in tables.items():
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), folder / f"{name}.parquet")
    return folder


def opened(folder: Path, **options: Any) -> SourceData:
    given = {"name": "facts", "path": "*.parquet", "event_timestamp": "e", **options}
    return open_source(ParquetSource(**given), folder)


def refused(data: SourceData, *columns: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        data.check(columns)
    assert caught.value.exit_code == 4
    return caught.value


# Which files.


def test_files_are_listed_once_in_order_of_name_with_their_path_in_the_project(tmp_path: Path) -> None:
    for name in ("b/2.parquet", "b/1.parquet", "a.parquet", "b/deep/3.parquet", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [s.name for s in expand(["b/*.parquet", "b/**/*.parquet", "a.parquet"], tmp_path)]
    assert names == ["a.parquet", "b/1.parquet", "b/2.parquet", "b/deep/3.parquet"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].parquet").write_bytes(b"x")
    assert [s.name for s in expand(["a[1].parquet"], tmp_path)] == ["a[1].parquet"]


@pytest.mark.parametrize("paths", [["*.parquet"], ["a.parquet", "nosuch/*.parquet"], ["folder"]])
def test_a_glob_that_matches_nothing_is_an_error_at_the_definition(paths: list[str], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    if paths[0] == "a.parquet":
        write(tmp_path, a={"e": pa.array([], UTC)})
    with pytest.raises(SourceError) as caught:
        opened(tmp_path, path=paths)
    assert caught.value.code == "FS321"
    assert paths[-1] in caught.value.what
    assert "test_sources.py" in caught.value.where


def test_a_list_is_frozen_when_it_is_made(tmp_path: Path) -> None:
    data = opened(write(tmp_path, a={"e": pa.array([0], UTC)}))
    write(tmp_path, b={"e": pa.array([0, 1], UTC)})
    assert [p.name for p in data.parts] == ["a.parquet"]
    assert data.rows == 1
    assert opened(tmp_path).rows == 3


def test_a_file_that_changed_or_went_is_noticed(tmp_path: Path) -> None:
    (stamp,) = opened(write(tmp_path, a={"e": pa.array([0], UTC)})).files
    assert stamp.unchanged()
    os.utime(stamp.path, ns=(0, 0))
    assert not stamp.unchanged()
    stamp.path.unlink()
    assert not stamp.unchanged()


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"",
        lambda b: b"PAR1",
        lambda b: b[: len(b) // 2],
        lambda b: b[:-9] + b"\0" * 9,
        lambda b: b"no Parquet at all",
    ],
)
def test_a_corrupt_or_truncated_file_is_named(damage: Any, tmp_path: Path) -> None:
    write(tmp_path, a={"e": pa.array([0], UTC)})
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(damage(whole))
    with pytest.raises(SourceError) as caught:
        opened(tmp_path)
    assert (caught.value.code, caught.value.where) == ("FS325", "b.parquet")


# One meaning per column.

I64, I32, TEXT = pa.array([1], pa.int64()), pa.array([1], pa.int32()), pa.array(["x"])
AWARE, NAIVE = pa.array([1], UTC), pa.array([1], pa.timestamp("us"))

DRIFTS = {
    "a column is missing": ({"x": I64}, {"y": I64}, "FS322", "'x' is missing"),
    "a column is spelled otherwise": ({"x": I64}, {"X": I64}, "FS322", "'x' is missing"),
    "a column is narrower": ({"x": I64}, {"x": I32}, "FS322", "int32 here and int64 in a.parquet"),
    "a column is text": ({"x": I64}, {"x": TEXT}, "FS322", "string here and int64 in a.parquet"),
    "a column is only NULL": ({"x": I64}, {"x": pa.nulls(1)}, "FS322", "null here and int64 in a.parquet"),
    "a column is nested": ({"x": I64}, {"x": pa.array([{"a": 1}])}, "FS322", "struct<a: int64> here"),
    "two columns differ in case": ({"x": I64}, {"x": I64, "X": I64}, "FS323", "'x' and 'X'"),
    "two unread columns differ in case": ({"x": I64}, {"x": I64, "y": I64, "Y": I64}, "FS323", "'y' and 'Y'"),
    "naive beside aware": ({"x": AWARE}, {"x": NAIVE}, "FS324", "naive in b.parquet and aware in a.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("story", DRIFTS)
def test_files_that_mean_different_things_are_named(story: str, tmp_path: Path) -> None:
    one, other, code, what = DRIFTS[story]
    error = refused(opened(write(tmp_path, a=one, b=other)), "x")
    assert error.code == code
    assert what in error.what
    assert code == "FS324" or error.where == "b.parquet"


def test_a_name_that_stands_twice_in_a_file_is_refused(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([I64, I64], names=["x", "x"])
    assert refused(opened(write(tmp_path, a=twice)), "x").code == "FS323"


SAME = {
    "units and zones of time": [
        AWARE, pa.array([1], pa.timestamp("ns", "Europe/Paris")), pa.array([1], pa.timestamp("ms", "+01:00")),
    ],
    "encodings of text": [TEXT, TEXT.dictionary_encode(), TEXT.cast(pa.large_string())],
    "widths of offsets": [pa.array([[1.0]]), pa.array([[1.0]], pa.large_list(pa.float64()))],
}  # fmt: skip


@pytest.mark.parametrize("story", SAME)
def test_files_may_differ_in(story: str, tmp_path: Path) -> None:
    data = opened(write(tmp_path, **{f"f{n}": {"x": a} for n, a in enumerate(SAME[story])}))
    data.check(["x"])


def test_columns_nobody_reads_may_drift(tmp_path: Path) -> None:
    opened(write(tmp_path, a={"x": I64, "y": I64}, b={"x": I64, "y": TEXT, "z": TEXT})).check(["x"])


def test_types_come_from_the_first_file_that_has_the_column(tmp_path: Path) -> None:
    data = opened(write(tmp_path, a={"x": I64, "odd": pa.array([{"a": 1}])}, b={"x": I64, "y": TEXT.dictionary_encode()}))
    assert data.types == {"x": DType("int64"), "y": DType("string")}


def test_a_schema_pins_the_types(tmp_path: Path) -> None:
    write(tmp_path, a={"e": AWARE, "x": I32, "y": I64})
    data = opened(tmp_path, schema={"e": "timestamp", "x": "int64"})
    assert dict(data.types) == {"e": DType("timestamp[us, UTC]"), "x": DType("int64")}
    error = refused(data, "x")
    assert (error.code, error.where) == ("FS322", "a.parquet")
    assert "int32 here and int64 in schema=" in error.what
    data.check(["e"])


# Rows from memory.


def a_reader(columns: dict[str, list[Any]]) -> pa.RecordBatchReader:
    table = pa.table(columns)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches())


def a_relation(columns: dict[str, list[Any]]) -> duckdb.DuckDBPyRelation:
    return duckdb.from_arrow(pa.table(columns))


@pytest.mark.parametrize("make", [pa.table, pa.record_batch, a_reader, pl.DataFrame, pd.DataFrame, a_relation])
def test_a_frame_from_memory_is_a_source_of_one_part(make: Any) -> None:
    source = ArrowSource(name="frames", event_timestamp="e", time_unit="s", table=make({"e": [1, 2], "s": ["a", None]}))
    data = open_source(source, Path())
    assert data.rows == 2
    assert data.files == ()
    assert data.types == {"e": DType("int64"), "s": DType("string")}
    (batch,) = data.parts[0].read(["s"])
    assert batch.to_pydict() == {"s": ["a", None]}


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame])
def test_what_becomes_of_a_frame_later_does_not_reach_the_source(make: Any) -> None:
    frame = make({"e": [1, 2], "x": [1.0, 2.0]})
    source = ArrowSource(name="frames", event_timestamp="e", time_unit="s", table=frame)
    if isinstance(frame, pl.DataFrame):
        frame[0, "x"] = 9.0
    else:
        frame.iloc[0, 1] = 9.0
        frame.to_numpy()
    assert frame["x"][0] == 9.0
    assert source.table["x"].to_pylist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "given, said",
    [
        (None, "NoneType is no frame"),
        ({"x": [1]}, "dict is no frame"),
        (pl.LazyFrame({"x": [1]}), "LazyFrame is no frame"),
        (pd.Series([1], name="x"), "Series"),
        (pl.Series("x", [1]), "Series"),
        (pd.DataFrame({"x": [1, "a"]}), "x"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "Duplicate column names"),
    ],
)
def test_what_holds_no_table_is_refused(given: Any, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        ArrowSource(name="frames", event_timestamp="e", time_unit="s", table=given)
    assert caught.value.code == "FS202"
    assert said in caught.value.what


def test_a_file_is_read_batch_by_batch(tmp_path: Path) -> None:
    data = opened(write(tmp_path, a={"x": pa.array(range(10)), "y": pa.array(range(10))}))
    assert [b.num_rows for b in data.parts[0].read(["y"], batch_rows=4)] == [4, 4, 2]


# Identities.


def make_old(path: Path) -> None:
    past = time.time_ns() - 10_000_000_000
    os.utime(path, ns=(past, past))


def identity(cache: IdentityCache, folder: Path) -> dict[str, object]:
    (found,) = cache.identify(expand(["f"], folder))
    return found


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose bytes were read."""
    names: list[str] = []

    def counting(path: Path) -> str:
        names.append(path.name)
        return sha256(path)

    monkeypatch.setattr("featurestore.sources.files.sha256", counting)
    return names


def test_a_file_is_hashed_once_and_again_when_it_changed(tmp_path: Path, hashed: list[str]) -> None:
    file, memory = tmp_path / "f", tmp_path / "deep" / "identities.json"
    file.write_bytes(b"one")
    make_old(file)
    first = identity(IdentityCache(memory), tmp_path)
    assert first == {"path": "f", "size": 3, "sha256": sha256(file)}
    assert identity(IdentityCache(memory), tmp_path) == first
    assert hashed == ["f"]
    file.write_bytes(b"two")  # the same size: the time tells
    assert identity(IdentityCache(memory), tmp_path)["sha256"] == sha256(file) != first["sha256"]
    assert hashed == ["f", "f"]


def test_a_file_younger_than_the_clocks_grain_is_not_remembered(tmp_path: Path, hashed: list[str]) -> None:
    cache = IdentityCache(tmp_path / "identities.json")
    (tmp_path / "f").write_bytes(b"one")
    identity(cache, tmp_path)
    identity(cache, tmp_path)
    assert hashed == ["f", "f"]
    assert json.loads((tmp_path / "identities.json").read_text())["files"] == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "files": 5}', '{"format": 2, "files": {}}'])
def test_a_broken_memory_is_started_anew(text: str, tmp_path: Path) -> None:
    (tmp_path / "identities.json").write_text(text)
    (tmp_path / "f").write_bytes(b"one")
    assert identity(IdentityCache(tmp_path / "identities.json"), tmp_path)["size"] == 3


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"one")
    identity(IdentityCache(None), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
