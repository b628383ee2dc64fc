"""Training sets as files: all or nothing, the same bytes for the same question, and a manifest that says what went in."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, agg, atomic, latest
from featurestore.errors import StoreError, UsageError
from featurestore.retrieval import output as module
from featurestore.retrieval.content import ContentHash
from featurestore.retrieval.output import manifest_of, manifest_path, recover
from featurestore.sources.folders import ParquetTable

UTC = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000
FACTS = 3_000


def facts() -> pa.Table:
    numbers = pa.arange(0, FACTS)
    event = pc.multiply(pc.multiply(numbers, 7_919), 1_000_003).cast(pa.int64())
    return pa.table(
        {
            "id": pc.subtract(numbers, pc.multiply(pc.divide(numbers, 97), 97)),
            "e": pc.subtract(event, pc.multiply(pc.divide(event, 500 * HOUR), 500 * HOUR)).cast(UTC),
            "x": pc.divide(numbers.cast(pa.float64()), 7.0),
            "s": pc.binary_join_element_wise(numbers.cast(pa.string()), "é", ""),
        }
    )


def spine(rows: int = 1_000) -> pa.Table:
    numbers = pa.arange(0, rows)
    ids = pc.subtract(numbers, pc.multiply(pc.divide(numbers, 101), 101))
    return pa.table({"id": ids, "as_of": pc.multiply(numbers, 500 * HOUR // rows).cast(UTC), "label": pc.equal(ids, 5)})


def service() -> FeatureService:
    source = ParquetSource(name="facts", path="facts*.parquet", event_timestamp="e", delay="0s")
    features = [latest("x"), latest("s"), agg.sum("x", window=["1d", "7d"]), agg.count_distinct("s", window="7d")]
    return FeatureService(
        name="svc",
        features=[FeatureView(name="v", entities=[Entity(name="id")], source=source, ttl="10d", features=features)],
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pq.write_table(facts(), "facts.parquet")
    return tmp_path


def build(given: Any, output: str, **options: Any) -> dict[str, Any]:
    """Build to a file; its manifest, after a look at the file."""
    path = FeatureStore(definitions=[service()]).build_training_set("svc", given, output=output, **options)
    assert path == Path(output)
    manifest = json.loads(manifest_path(path).read_text(encoding="utf-8"))
    assert manifest == manifest_of(path)
    assert not list(path.parent.glob(".*partial"))
    return manifest  # type: ignore[no-any-return]


def bytes_of(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


# The manifest.


def test_the_manifest_says_what_went_in_what_it_means_and_what_was_counted(project: Path) -> None:
    pq.write_table(spine(), "spine.parquet")
    manifest = build(
        "spine.parquet",
        "set.parquet",
        known_before="2100-01-01T00:00:00Z",
        serving_lag="1h",
        include=("status",),
        label="label",
    )
    bound = FeatureStore(definitions=[service()]).bound_service("svc")
    file = Path("facts.parquet")
    table = pq.read_table("set.parquet")
    assert manifest["format"] == 2
    assert (manifest["kind"], manifest["service"], manifest["engine"]) == ("training_set", "svc", "duckdb")
    assert manifest["fingerprint"] == bound.fingerprint
    assert manifest["view_fingerprints"] == {"v": bound.instances[0].bound.fingerprint}
    assert all(len(manifest[name]) == 64 for name in ("plan", "sql", "content_hash"))
    assert set(manifest["versions"]) >= {"duckdb", "pyarrow"}
    assert manifest["sources"] == {
        "facts": [{"path": "facts.parquet", "size": file.stat().st_size, "sha256": bytes_of("facts.parquet")}]
    }
    assert manifest["spine"] == {
        "kind": "file",
        "name": "spine.parquet",
        "size": Path("spine.parquet").stat().st_size,
        "sha256": bytes_of("spine.parquet"),
        "path": "spine.parquet",
    }
    assert manifest["as_of"] == {"column": "as_of", "timezone": "UTC", "format": None}
    assert (manifest["known_before"], manifest["serving_lag_us"]) == ("2100-01-01T00:00:00.000000Z", HOUR)
    assert (manifest["include"], manifest["label"]) == (["status"], {"column": "label", "present": 1_000, "null": 0})
    assert manifest["trust"] == {"static": [], "assumed_known_at_once": []}
    assert [tuple(c) for c in manifest["columns"]] == [(f.name, str(f.type)) for f in table.schema]
    assert (manifest["rows"], manifest["source_rows"], manifest["left_out"]) == (1_000, {"facts": FACTS}, {"v": {}})
    assert list(manifest["features"]) == ["x", "s", "x_sum_1d", "x_sum_7d", "s_count_distinct_7d"]
    for name, counts in manifest["features"].items():
        counted = {c["values"]: c["counts"] for c in table[f"{name}__status"].value_counts().to_pylist()}
        assert {status: rows for status, rows in counts.items() if rows} == counted
    assert sum(manifest["views"]["v"].values()) == 5_000
    assert manifest["output"] == {
        "name": "set.parquet",
        "size": Path("set.parquet").stat().st_size,
        "sha256": bytes_of("set.parquet"),
    }
    assert str(project) not in json.dumps(manifest)
    assert str(project).encode() not in Path("set.parquet").read_bytes()


def test_a_spine_from_memory_is_known_by_its_content(project: Path) -> None:
    one, same, other = build(spine(), "1.parquet"), build(spine(), "2.parquet"), build(spine(999), "3.parquet")
    assert one["spine"]["kind"] == "memory"
    assert one["spine"] == same["spine"]
    assert one["spine"]["sha256"] != other["spine"]["sha256"]


def test_manifests_of_one_question_differ_in_the_outputs_name_alone(project: Path) -> None:
    one, other = build(spine(), "1.parquet"), build(spine(), "2.parquet")
    assert {k for k in one if one[k] != other[k]} == {"output"}
    assert one["output"]["sha256"] == other["output"]["sha256"]


# The same bytes.


def test_threads_and_memory_do_not_show(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for number, (threads, memory) in enumerate([(1, "2GB"), (2, "200MB"), (4, "2GB")]):
        monkeypatch.setenv("FEATURESTORE_OFFLINE__THREADS", str(threads))
        build(spine(), f"{number}.parquet", memory_limit=memory)
        found.add(bytes_of(f"{number}.parquet"))
    assert len(found) == 1


def test_the_order_and_cut_of_source_files_do_not_show(project: Path) -> None:
    whole = build(spine(), "whole.parquet")
    table = pq.read_table("facts.parquet")
    Path("facts.parquet").unlink()
    backwards = table.take(pa.array(range(FACTS - 1, -1, -1)))
    for number, start in enumerate((0, 1_000, 1_001)):
        end = (1_000, 1_001, FACTS)[number]
        pq.write_table(backwards.slice(start, end - start), f"facts_{9 - number}.parquet", row_group_size=100)
    cut = build(spine(), "cut.parquet")
    assert cut["content_hash"] == whole["content_hash"]
    assert bytes_of("cut.parquet") == bytes_of("whole.parquet")
    assert [s["path"] for s in cut["sources"]["facts"]] == ["facts_7.parquet", "facts_8.parquet", "facts_9.parquet"]


def test_how_the_spine_lies_does_not_show(project: Path) -> None:
    table = spine()
    pq.write_table(table, "spine.parquet", row_group_size=77)
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    built = [build(given, f"{n}.parquet") for n, given in enumerate((table, chunked, table.to_reader(10), "spine.parquet"))]
    assert len({m["content_hash"] for m in built}) == 1
    assert len({m["output"]["sha256"] for m in built}) == 1


def test_row_groups_are_cut_by_the_spine_not_by_the_engine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurestore.retrieval.training_set.ROWS_AT_ONCE", 64)  # what the engine is asked for
    monkeypatch.setattr("featurestore.retrieval.spine.ROWS_AT_ONCE", 300)
    build(spine(), "small.parquet")
    groups = pq.ParquetFile("small.parquet").metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [300, 300, 300, 100]


def test_an_empty_spine_has_the_full_schema(project: Path) -> None:
    manifest = build(spine().slice(0, 0), "empty.parquet", include=("status", "event_timestamp"))
    full = build(spine(), "full.parquet", include=("status", "event_timestamp"))
    assert manifest["rows"] == 0
    assert manifest["columns"] == full["columns"]
    assert pq.read_schema("empty.parquet") == pq.read_schema("full.parquet")


# CSV.


def test_csv_by_its_suffix(project: Path) -> None:
    manifest = build(spine(3), "set.CSV")
    rows = csv.read_csv("set.CSV").to_pylist()
    assert [r["id"] for r in rows] == [0, 1, 2]
    assert list(rows[0]) == [name for name, _ in manifest["columns"]]
    assert manifest["rows"] == 3


def test_a_histogram_in_parquet_polars_and_pandas(project: Path) -> None:
    source = ParquetSource(name="facts", path="facts.parquet", event_timestamp="e", delay="0s")
    features = [agg.histogram("y", window=None), agg.last_k("y", k=2, window=None)]
    pq.write_table(pa.table({"id": [1, 1, 1], "e": pa.array([1, 2, 3], UTC), "y": ["b", "a", "b"]}), "facts.parquet")
    view = FeatureView(name="v", entities=[Entity(name="id")], source=source, features=features)
    store = FeatureStore(definitions=[FeatureService(name="svc", features=[view])])
    given = pa.table({"id": [1, 1, 2], "as_of": pa.array([9, 3, 9], UTC)})
    table = store.build_training_set("svc", given)
    assert table["y_histogram_lifetime"].to_pylist() == [[("b", 2), ("a", 1)], [("a", 1), ("b", 1)], []]
    assert table["y_histogram_lifetime"].type == pa.map_(pa.string(), pa.int64())
    store.build_training_set("svc", given, output="set.parquet")
    manifest = json.loads(manifest_path(Path("set.parquet")).read_text(encoding="utf-8"))
    assert dict(manifest["columns"])["y_histogram_lifetime"] == "map<string, int64>"
    read = pq.read_table("set.parquet")
    assert read.equals(table)
    hashed = ContentHash(read.schema)
    hashed.update(read)
    assert manifest["content_hash"] == hashed.hexdigest()
    assert table.to_pandas()["y_histogram_lifetime"].tolist() == [[("b", 2), ("a", 1)], [("a", 1), ("b", 1)], []]
    assert pl.from_arrow(table)["y_last_k_2_lifetime"].to_list() == [["a", "b"], ["b", "a"], []]
    assert len(pl.from_arrow(table)["y_histogram_lifetime"]) == 3
    with pytest.raises(UsageError) as caught:
        store.build_training_set("svc", given, output="set.csv")
    assert (caught.value.code, caught.value.hint, "y_histogram_lifetime" in caught.value.what) == (
        "FS106", "a .parquet output", True,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())]), pa.month_day_nano_interval()], ids=str)
def test_what_csv_cannot_hold_is_refused_before_any_work(kind: pa.DataType, project: Path) -> None:
    given = spine(3).append_column("odd", pa.nulls(3, kind))
    with pytest.raises(UsageError) as caught:
        build(given, "set.csv")
    assert (caught.value.code, caught.value.hint) == ("FS106", "a .parquet output")
    assert "'odd'" in caught.value.what
    assert sorted(p.name for p in project.iterdir()) == ["facts.parquet"]


def test_what_no_file_can_hold_is_refused(project: Path) -> None:
    given = spine(3).append_column("odd", pa.nulls(3, pa.month_day_nano_interval()))
    with pytest.raises(UsageError) as caught:
        build(given, "set.parquet")
    assert caught.value.code == "FS106"
    assert FeatureStore(definitions=[service()]).build_training_set("svc", given)["odd"].null_count == 3


@pytest.mark.parametrize("name", ["set", "set.txt", "set.parquet.gz", "nosuch/set.parquet"])
def test_an_output_nobody_can_write_is_refused_before_the_spine_is_opened(name: str, project: Path) -> None:
    with pytest.raises(UsageError) as caught:
        build("nosuch.parquet", name)
    assert caught.value.code == "FS106"


# All or nothing.

SCHEMA = pa.schema([("x", pa.int64())])


def write(path: Path, *values: int) -> dict[str, Any]:
    return module.write(path, SCHEMA, [pa.table({"x": pa.array(values, pa.int64())})], lambda: {"rows": len(values)})


def broken() -> Iterator[pa.Table]:
    yield pa.table({"x": [1]})
    raise RuntimeError("the engine stopped")


@pytest.mark.parametrize("name", ["set.parquet", "set.csv"])
def test_an_error_on_the_way_leaves_what_was_there(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(path, 1, 2)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(RuntimeError):
        module.write(path, SCHEMA, broken(), dict)
    with pytest.raises(ZeroDivisionError):
        module.write(path, SCHEMA, [pa.table({"x": [1]})], lambda: 1 / 0)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("number, code", [(errno.ENOSPC, "FS405"), (errno.EACCES, "FS407")])
def test_a_disk_that_will_not_take_it(number: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("featurestore.atomic.sync", full)
    with pytest.raises(StoreError) as caught:
        write(tmp_path / "set.parquet", 1)
    assert (caught.value.code, caught.value.exit_code) == (code, 5)
    assert list(tmp_path.iterdir()) == []


def dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


@pytest.mark.parametrize("name", ["set.parquet", "odd [1]*.parquet"])
def test_between_the_two_renames_the_manifest_is_found_aside_and_finished_later(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    manifest = write(path, 1, 2)
    note = tmp_path / f".{manifest_path(path).name}.{dead_pid()}.partial"
    manifest_path(path).rename(note)
    assert manifest_of(path) == manifest
    recover(path)
    assert not note.exists()
    assert json.loads(manifest_path(path).read_text()) == manifest


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    write(path, 1)
    dead, living = dead_pid(), os.getppid()
    for pid in (dead, living):
        (tmp_path / f".set.parquet.{pid}.partial").write_bytes(b"half")
        (tmp_path / f".set.parquet.manifest.json.{pid}.partial").write_text('{"output": {"size": 4, "sha256": ""}}')
    write(path, 2)
    left = sorted(p.name for p in tmp_path.iterdir() if p.name.endswith(".partial"))
    assert left == [f".set.parquet.{living}.partial", f".set.parquet.manifest.json.{living}.partial"]
    assert pq.read_table(path)["x"].to_pylist() == [2]


def test_a_manifest_of_another_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    assert manifest_of(path) is None
    write(path, 1)
    pq.write_table(pa.table({"x": [9]}), path)
    assert manifest_of(path) is None
    manifest_path(path).write_text("{")
    assert manifest_of(path) is None


# Folders.


def parts(folder: Path, *numbers: int) -> None:
    for number, value in enumerate(numbers):
        pq.write_table(pa.table({"x": [value]}), folder / f"part-{number:05d}.parquet")


def x_of(output: Path) -> list[int]:
    with ParquetTable(output) as table:
        return list(table.read()["x"].to_pylist())


def write_parts(output: Path, *numbers: int) -> dict[str, Any]:
    return module.write_folder(output, lambda folder: parts(folder, *numbers), lambda: {"rows": len(numbers)})


def test_a_folder_takes_the_place_of_a_folder_a_file_that_of_a_folder_and_a_folder_that_of_a_file(tmp_path: Path) -> None:
    output = tmp_path / "train.parquet"
    for numbers in ((1, 2), (3,)):
        manifest = write_parts(output, *numbers)
        assert x_of(output) == list(numbers)
        assert manifest["output"]["files"] == len(numbers)
        assert manifest_of(output) == json.loads(manifest_path(output).read_text()) == manifest
    schema = pa.schema([("x", pa.int64())])
    module.write(output, schema, [pa.table({"x": [4]})], dict)
    assert output.is_file()
    write_parts(output, 5, 6)
    assert x_of(output) == [5, 6]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.parquet", "train.parquet.manifest.json"]


def test_a_folder_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    output = tmp_path / "train.parquet"
    write_parts(output, 1, 2)

    def fail(folder: Path) -> None:
        parts(folder, 3)
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(StoreError, match="FS405"):
        module.write_folder(output, fail, dict)
    assert x_of(output) == [1, 2]
    assert manifest_of(output) is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.parquet", "train.parquet.manifest.json"]


@pytest.mark.parametrize("point", ["build.recovered", "build.written", "build.described", "build.renamed"])
def test_a_folder_whose_writer_is_killed_is_the_old_or_the_new_one(point: str, tmp_path: Path) -> None:
    output = tmp_path / "train.parquet"
    write_parts(output, 1)
    code = "from tests.unit.test_output import *; write_parts(Path(sys.argv[1]), 2, 3)"
    environment = {**os.environ, "FEATURESTORE_FAIL_AT": point, "PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run([sys.executable, "-c", code, str(output)], env=environment, capture_output=True)
    assert died.returncode == -9, died.stderr
    expected = [2, 3] if point == "build.renamed" else [1]
    assert x_of(output) == expected
    assert manifest_of(output) is not None
    recover(output)
    assert x_of(output) == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["train.parquet", "train.parquet.manifest.json"]


def test_without_an_exchange_of_names_a_writer_that_dies_half_way_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "train.parquet"
    write_parts(output, 1)
    monkeypatch.setattr(atomic, "exchange", lambda one, other: False)
    write_parts(output, 2)
    assert x_of(output) == [2]
    output.rename(tmp_path / ".train.parquet.999999999.before")  # what a process that died between both renames leaves
    recover(output)
    assert x_of(output) == [2]


def test_a_changed_file_of_a_folder_is_not_what_its_manifest_describes(tmp_path: Path) -> None:
    output = tmp_path / "train.parquet"
    write_parts(output, 1, 2)
    pq.write_table(pa.table({"x": [7]}), output / "part-00001.parquet")
    assert manifest_of(output) is None


def test_a_folder_of_files_of_other_columns_is_refused(tmp_path: Path) -> None:
    parts(tmp_path, 1)
    pq.write_table(pa.table({"y": [7]}), tmp_path / "part-00001.parquet")
    with pytest.raises(pa.ArrowInvalid, match="other columns"), ParquetTable(tmp_path) as table:
        _ = table.rows
