"""Training sets by Spark, from the command line: the same values as DuckDB's, whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.retrieval.output import manifest_of, manifest_path
from featurestore.retrieval.spark import pieces
from featurestore.retrieval.spark.build import SparkBuild
from featurestore.sources.folders import ParquetTable
from tests.functional.conftest import Cli, cli
from tests.needs import ROOT
from tests.property.engines import bits

__all__ = ["cli"]
SERVICES = ("fraud_v1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("dispute_desk_v1", "referral_v1")))


def built(cli: Cli, project: Path, output: Path, *arguments: object, engine: str = "spark") -> dict:
    spine = project / "data" / "spine.parquet"
    said = cli("build", "--spine", spine, "--output", output, "--project", project, "--engine", engine, "--json", *arguments)
    assert said.code == 0, said.err
    return said.json["result"]


def rows_of(output: Path) -> pa.Table:
    with ParquetTable(output) as table:
        return table.read()


@pytest.mark.parametrize("service", SERVICES)
def test_the_reference_services_are_the_same_by_duckdb_and_by_spark(
    service: str, cli: Cli, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS_AT_ONCE", 60)
    asked = [service, "--include", "status,event_timestamp", "--serving-lag", "2h"]
    one = built(cli, reference, tmp_path / "duckdb.parquet", *asked, engine="duckdb")
    other = built(cli, reference, tmp_path / "spark.parquet", *asked)
    table = rows_of(tmp_path / "spark.parquet")
    assert table.schema == pq.read_schema(tmp_path / "duckdb.parquet")
    assert bits(table).equals(bits(pq.read_table(tmp_path / "duckdb.parquet")))
    assert len(list((tmp_path / "spark.parquet").iterdir())) > 1
    for name in ("content_hash", "features", "views", "left_out", "source_rows", "without_value", "labels", "rows"):
        assert other[name] == one[name], name


def test_a_folder_is_read_like_the_file_it_stands_for(cli: Cli, project: Path) -> None:
    one, other = project / "one.parquet", project / "other.parquet"
    built(cli, project, one, "referral_v1", engine="duckdb")
    result = built(cli, project, other, "referral_v1")
    manifest = json.loads(manifest_path(other).read_text())
    assert manifest["engine"] == "spark"
    assert manifest["versions"]["spark"]
    assert manifest["output"]["files"] == 1
    assert cli("diff", one, other, "--json").json["result"]["same"] is True
    audited = cli("audit", other, "--service", "referral_v1", "--project", project, "--json")
    assert audited.code == 0, audited.err
    again = cli("rebuild", manifest_path(other), "--verify", "--project", project, "--json")
    assert again.code == 0, again.err
    assert again.json["result"]["content"] is True
    assert result["content_hash"] == manifest["content_hash"]


def test_a_table_in_memory_and_one_in_csv_ask_as_a_file_does(reference: Path) -> None:
    spine = pq.read_table(reference / "data" / "spine.parquet").slice(0, 300)
    store = FeatureStore(reference)
    expected = store.build_training_set("referral_v1", spine)
    found = store.build_training_set("referral_v1", spine, engine="spark")
    assert found.schema == expected.schema
    assert bits(found).equals(bits(expected))


# Bad input.


def test_a_spine_row_without_an_instant_is_named_by_its_number_in_the_whole(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS_AT_ONCE", 100)
    spine = pq.read_table(project / "data" / "spine.parquet").slice(0, 300)
    at = spine["as_of"].to_pylist()
    at[234] = at[287] = None
    spine = spine.set_column(spine.column_names.index("as_of"), "as_of", pa.array(at, spine["as_of"].type))
    pq.write_table(spine, project / "data" / "spine.parquet")
    output = project / "out.parquet"
    said = cli("build", "referral_v1", "--spine", project / "data" / "spine.parquet", "--output", output, "--project", project,
               "--engine", "spark")  # fmt: skip
    assert said.code == 4
    assert "FS300" in said.err
    assert "row 234" in said.err
    assert not output.exists()
    assert not manifest_path(output).exists()


def test_a_source_file_that_is_cut_short_is_a_data_error_and_nothing_is_written(cli: Cli, project: Path) -> None:
    (first, *_) = sorted((project / "data" / "payments").glob("*.parquet"))
    whole = first.read_bytes()
    first.write_bytes(whole[:4000] + b"\0" * (len(whole) - 6000) + whole[-2000:])
    output = project / "out.parquet"
    said = cli("build", "referral_v1", "--spine", project / "data" / "spine.parquet", "--output", output, "--project", project,
               "--engine", "spark")  # fmt: skip
    assert said.code == 4, said.err
    assert "FS3" in said.err
    assert not [p for p in project.iterdir() if "out.parquet" in p.name]


def test_a_source_file_that_changes_while_it_is_read_stops_the_build(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = sorted((project / "data" / "payments").glob("*.parquet"))
    answer = SparkBuild._answer

    def touched(self: SparkBuild, *given: Any) -> Any:
        os.utime(first, ns=(0, 0))
        return answer(self, *given)

    monkeypatch.setattr(SparkBuild, "_answer", touched)
    said = cli("build", "dispute_desk_v1", "--spine", project / "data" / "spine.parquet", "--output", project / "out.parquet",
               "--project", project, "--engine", "spark")  # fmt: skip
    assert said.code == 4, said.err
    assert "FS326" in said.err
    assert not [p for p in project.iterdir() if "out.parquet" in p.name]


@pytest.mark.parametrize(("output", "code"), [("out.csv", "FS106"), ("nowhere/out.parquet", "FS106")])
def test_an_output_that_spark_does_not_write_is_refused_before_any_work(
    output: str, code: str, cli: Cli, reference: Path, tmp_path: Path
) -> None:
    said = cli("build", "referral_v1", "--spine", reference / "data" / "spine.parquet", "--output", tmp_path / output,
               "--project", reference, "--engine", "spark")  # fmt: skip
    assert said.code == 2
    assert code in said.err


def test_splits_are_refused_with_a_way_out(cli: Cli, reference: Path, tmp_path: Path) -> None:
    said = cli("build", "referral_v1", "--spine", reference / "data" / "spine.parquet", "--output", tmp_path / "o.parquet",
               "--project", reference, "--engine", "spark", "--split", "random", "--test-share", "0.2")  # fmt: skip
    assert said.code == 2
    assert "FS102" in said.err


# Killed.


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_the_old_set_and_the_next_one_sweeps_what_it_left(cli: Cli, project: Path) -> None:
    output, work = project / "train.parquet", project / "work"
    before = built(cli, project, output, "dispute_desk_v1", engine="duckdb")
    command = [sys.executable, "-m", "featurestore.cli", "build", "referral_v1", "--engine", "spark", "--quiet"]
    command += ["--spine", str(project / "data" / "spine.parquet"), "--output", str(output), "--project", str(project)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FEATURESTORE_SPARK__WORK": str(work)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while not list(project.glob(".train.parquet.*.partial")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert list(work.iterdir())
    manifest = manifest_of(output)
    assert manifest is not None
    assert manifest["content_hash"] == before["content_hash"]
    os.environ["FEATURESTORE_SPARK__WORK"] = str(work)
    try:
        after = built(cli, project, output, "referral_v1")
    finally:
        del os.environ["FEATURESTORE_SPARK__WORK"]
    manifest = manifest_of(output)
    assert manifest is not None
    assert manifest["content_hash"] == after["content_hash"]
    assert sorted(p.name for p in project.iterdir() if "train" in p.name) == ["train.parquet", "train.parquet.manifest.json"]
    assert not list(work.iterdir())
