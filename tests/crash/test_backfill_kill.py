"""kill -9 at any moment of a backfill: every file is the old one or the new one, whole, and the same run again ends it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureStore, FeatureView, ParquetSource, agg, latest
from featurestore.backfill import run as running
from featurestore.backfill.folder import LOCK, MANIFEST
from tests.crash.killing import KILLED, fail_points, kill_at_random, run

SECOND, INSTANTS, ROWS = 1_000_000, 6, 400
UTC = pa.timestamp("us", "UTC")
MOMENTS = ("backfill.begun", "backfill.written", "backfill.recorded", "backfill.renamed", "backfill.done")
KILLS = 12


@dataclass(frozen=True)
class Site:
    """A source with late rows, a folder that was written before they came, and what it will be."""

    root: Path

    def contents(self, name: str) -> dict[str, bytes]:
        folder = self.root / name
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.parquet")}

    def restored(self) -> None:
        shutil.rmtree(self.root / "out", ignore_errors=True)
        shutil.copytree(self.root / "old", self.root / "out")

    def stands(self) -> None:
        """Every file is whole: one of before, or one of after."""
        old, new, found = (self.contents(name) for name in ("old", "new", "out"))
        assert found.keys() == old.keys()
        assert [name for name, content in found.items() if content not in (old[name], new[name])] == []

    def is_done(self) -> None:
        assert self.contents("out") == self.contents("new")
        besides = {p.name for p in (self.root / "out").rglob("*") if p.is_file() and p.suffix != ".parquet"}
        assert besides == {LOCK, MANIFEST}


def facts(path: Path, first: int) -> None:
    events = pa.array([(first + i) * SECOND // 40 for i in range(ROWS)], pa.int64()).cast(UTC)
    table = pa.table({"c": [i % 7 for i in range(ROWS)], "e": events, "x": [float(i) for i in range(ROWS)]})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)


def backfill(root: Path, output: str, kept_every: float = 0.0, jobs: int = 1) -> None:
    running.KEPT_EVERY = kept_every
    source = ParquetSource(name="facts", path=str(root / "facts" / "*.parquet"), event_timestamp="e", delay="0s")
    features = [latest("x"), agg.sum("x", window="3s")]
    view = FeatureView(name="v", entities=[Entity(name="c")], source=source, features=features)
    store = FeatureStore(definitions=[view])
    store.backfill("v", 0, INSTANTS * SECOND, every="1s", output=root / output, jobs=jobs)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    facts(tmp_path / "facts" / "a.parquet", 0)
    backfill(tmp_path, "old")
    facts(tmp_path / "facts" / "b.parquet", 17)
    backfill(tmp_path, "new")
    return Site(tmp_path)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kept_every", [0.0, 60.0], ids=["kept one by one", "kept at the end"])
def test_files_are_whole_wherever_a_backfill_dies(moment: str, kept_every: float, site: Site) -> None:
    site.restored()
    assert run(backfill, site.root, "out", kept_every, fail_at=moment) == KILLED
    site.stands()
    backfill(site.root, "out")
    site.is_done()


def test_a_first_run_that_dies_leaves_a_folder_that_the_next_one_fills(site: Site) -> None:
    for moment in MOMENTS:
        shutil.rmtree(site.root / "out", ignore_errors=True)
        assert run(backfill, site.root, "out", fail_at=moment) == KILLED
        backfill(site.root, "out")
        site.is_done()


def test_every_moment_is_tried() -> None:
    assert fail_points("backfill") == set(MOMENTS)


@pytest.mark.slow
def test_files_are_whole_whenever_a_backfill_dies(site: Site) -> None:
    rng = Random(1)

    def attempt(seconds: float) -> int:
        site.restored()
        code = run(backfill, site.root, "out", 0.0, rng.choice((1, 2)), after=seconds)
        site.stands()
        backfill(site.root, "out")
        site.is_done()
        return code

    kill_at_random(rng, KILLS, attempt)
