"""Training sets of any size, on the command line: cut by key or not, the same bytes; progress says how far it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, agg, latest
from featurestore.cli import bars
from featurestore.engines.duckdb import Settings
from featurestore.errors import UsageError
from featurestore.progress import Pace, Progress
from featurestore.retrieval.partitions import how_many, memory
from tests.functional.conftest import Cli

TIME = pa.timestamp("us", "UTC")
NOON = 1_700_000_000_000_000


def build(cli: Cli, project: Path, output: Path, *more: object) -> Any:
    spine = project / "data" / "spine.csv"
    found = cli("build", "fraud_v1", "--project", project, "--spine", spine, "--output", output, "--include", "status", *more)
    assert found.code == 0, found.err
    return found


def test_cut_or_not_the_bytes_are_the_same(cli: Cli, project: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    build(cli, project, whole)
    for number, more in enumerate((
        ["--partitions", 4],
        ["--partitions", 7, "--temp-directory", tmp_path / "elsewhere"],
        ["--memory-limit", "500MB", "--partitions", 2],
    )):  # fmt: skip
        output = tmp_path / f"{number}.parquet"
        build(cli, project, output, *more)
        assert output.read_bytes() == whole.read_bytes()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_rows_pushed_are_cut_like_those_of_files(cli: Cli, project: Path, tmp_path: Path) -> None:
    spine = FeatureStore(project).build_training_set("fraud_v1", project / "data" / "spine.csv")
    source = pa.parquet.read_table(project / "data" / "payments")
    moved = source.slice(0, 40).drop_columns(["loaded_at"]).to_pylist()
    customers = spine["customer_id"].to_pylist()
    for number, row in enumerate(moved):
        row["customer_id"] = customers[number % len(customers)] or row["customer_id"]  # another key than in the file
    FeatureStore(project).push("payments", moved)
    outputs = [tmp_path / f"{n}.parquet" for n in (1, 5)]
    for output, partitions in zip(outputs, (1, 5), strict=True):
        build(cli, project, output, "--partitions", partitions)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_tables_in_memory_and_views_of_one_key_are_cut_as_far_as_can_be() -> None:
    rows = range(300)
    table = pa.table({
        "a": pa.array([None if i % 50 == 0 else i % 7 for i in rows]), "b": pa.array([str(i % 3) for i in rows]),
        "e": pa.array([NOON + i * 10**6 for i in rows], TIME), "v": pa.array([float(i) for i in rows]),
    })  # fmt: skip
    source = ArrowSource(name="facts", table=table, event_timestamp="e", delay="0s")
    pair = Entity(name="pair", join_keys=["a", "b"])
    views = [
        FeatureView(name="of_pairs", entities=[pair], source=source, features=[latest("v"), agg.sum("v", window="1m")]),
        FeatureView(name="of_all", entities=[], source=source, features=[latest("v", name="newest"), agg.count(window="1m")]),
    ]
    service = FeatureService(name="service", features=views)
    spine = pa.table({"a": table["a"], "b": table["b"], "as_of": pa.array([NOON + i * 3 * 10**6 for i in rows], TIME)})
    store = FeatureStore(definitions=[service])
    whole, cut, fine = (store.build_training_set(service, spine, partitions=n) for n in (1, 3, 100))
    assert whole.equals(cut)
    assert whole.equals(fine)
    assert store.build_training_set(service, spine.slice(0, 0), partitions=3).num_rows == 0


def test_a_number_of_partitions_out_of_range_is_refused(cli: Cli, project: Path, tmp_path: Path) -> None:
    for number in (0, 513):
        with pytest.raises(UsageError, match="FS102"):
            FeatureStore(project).engine_settings(partitions=number)
    asked = ("--spine", project / "data" / "spine.csv", "--output", tmp_path / "x.parquet", "--partitions", 0)
    assert cli("build", "fraud_v1", "--project", project, *asked).code == 2
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize(
    ("limit", "expected"), [("4GB", 4e9), ("512 MiB", 2**29), ("1.5gb", 1.5e9), ("100B", 100), ("2kb", 2_000), ("1TiB", 2**40)]
)
def test_a_memory_limit_is_so_many_bytes(limit: str, expected: float) -> None:
    assert memory(limit) == expected


def test_more_partitions_where_memory_is_short_and_none_where_it_is_not(project: Path) -> None:
    store = FeatureStore(project)
    service = store.bound_service("fraud_v1")
    sources = {name: store.source_of(source) for name, source in service.sources.items()}
    from featurestore import plan

    parts = [p.part for p in plan.training_set(service).answers]
    found = [how_many(parts, sources, 10**8, Settings(memory_limit=limit)) for limit in ("1GB", "4GB", "400GB")]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[1] > found[2] == 1


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_is_that_of_this_run() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.see(Progress("x", 400, 1_000))  # what an earlier run has done
    assert (pace.rate, pace.left(1_000)) == (None, None)
    clock.now += 10
    pace.see(Progress("x", 600, 1_000))
    assert (pace.rate, pace.left(1_000), pace.left(None)) == (20.0, 20.0, None)


def test_plain_lines_come_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(bars.time, "monotonic", clock)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with bars.progress(quiet=False) as watch:
        for second in range(0, 25):
            clock.now = 100.0 + second
            watch(Progress("view spending (1 of 2)", second * 1_000, 100_000))
    assert capsys.readouterr().err.splitlines() == [
        "view spending (1 of 2)",
        "view spending (1 of 2): 10%, 1,000 rows/s, 90 s left",
        "view spending (1 of 2): 20%, 1,000 rows/s, 80 s left",
    ]
