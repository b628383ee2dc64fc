"""Files, pushes, compactions and runs in any order: online answers are the oracle's, and those of one full run.

Rows are versions of few facts, pushed again, out of order, deleted, moved to other keys, and followed by rows of files.
After every run the store is asked at instants from its watermark on, and the oracle reads the files and the log itself.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.engines.reference import ReferenceEngine
from featurestore.intervals import FixedClock
from featurestore.sources.push_log import read_log

START = 1_704_067_200_000_000
MINUTE = 60_000_000
UTC = pa.timestamp("us", "UTC")
STEPS, SEQUENCES = 14, 5
SOURCES = {"delayed": 'delay="10m"', "created": 'created_timestamp="loaded"'}
DEFINITIONS = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

facts = ParquetSource(name="facts", path="data/*.parquet", event_timestamp="at", {known}, row_key=["id"], deleted="gone")
view = FeatureView(
    name="view", entities=[Entity(name="who")], source=facts, where="x IS NOT NULL", ttl="90m",
    features=[latest("x"), agg.sum("x", window="1h"), agg.count(window=None, name="n"), agg.max("x", window="2h")],
)
service = FeatureService(name="service", features=[view])
"""


class World:
    """A project, its clock, and what happens to it."""

    def __init__(self, rng: Random, kind: str, root: Path) -> None:
        self.rng, self.kind, self.root = rng, kind, root
        for folder in ("registry", "data"):
            (root / folder).mkdir(parents=True)
        (root / "featurestore.toml").write_text('[project]\nname = "world"\n')
        (root / "registry" / "all.py").write_text(DEFINITIONS.format(known=SOURCES[kind]))
        self.clock = FixedClock(START)
        self.store = FeatureStore(root, clock=self.clock)
        self.seen: list[dict[str, Any]] = []
        self.files = self.pushes = 0
        self.modes: list[str] = []
        self.file()

    def row(self) -> dict[str, Any]:
        """A new version of some fact, or one that was there before."""
        rng = self.rng
        if self.seen and rng.random() < 0.25:
            return rng.choice(self.seen)
        row = {
            "id": rng.randrange(6), "who": rng.randrange(3), "x": rng.choice((None, 0.5, 1.0, 2.0, -3.0)),
            "at": self.clock.micros - rng.choice((-4, -1, 0, 0, 1, 5, 30, 70)) * MINUTE, "gone": rng.random() < 0.2,
        }  # fmt: skip
        self.seen.append(row)
        return row

    def file(self) -> None:
        rows = [self.row() for _ in range(self.rng.choice((1, 3)))]
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        columns["at"] = pa.array(columns["at"], pa.int64()).cast(UTC)
        columns["x"] = pa.array(columns["x"], pa.float64())
        if self.kind == "created":
            late = [self.clock.micros - self.rng.choice((0, 1, 20)) * MINUTE for _ in rows]
            columns["loaded"] = pa.array(late, pa.int64()).cast(UTC)
        pq.write_table(pa.table(columns), self.root / "data" / f"{self.files}.parquet")
        self.files += 1

    def push(self) -> None:
        rows = [self.row() for _ in range(self.rng.choice((1, 1, 2)))]
        limit = self.clock.micros + 5 * MINUTE
        self.store.push("facts", [row for row in rows if row["at"] <= limit] or [{**rows[0], "at": limit}])
        self.pushes += 1

    def compact(self) -> None:
        self.store.compact(["facts"])

    def materialize(self) -> None:
        [report] = self.store.materialize()
        self.modes.append(report.mode)
        self.check(self.clock.micros)

    def check(self, watermark: int) -> None:
        service = self.store.registry.services["service"]
        log = read_log(self.root / ".featurestore" / "push" / "facts")
        pushed = [] if log is None else [*(pq.read_table(f.path) for f in log.files), *log.tables]
        tables = [*(pq.read_table(path) for path in sorted((self.root / "data").glob("*.parquet"))), *pushed]
        for ahead in (0, 1, 3 * MINUTE, 45 * MINUTE, 95 * MINUTE):
            t = watermark + ahead
            spine = pa.table({"who": [0, 1, 2], "as_of": pa.array([t] * 3, pa.int64()).cast(UTC)})
            wanted = ReferenceEngine({"facts": tables}).answer(service, spine, known_before=watermark)
            found = self.store.get_online_features("service", {"who": [0, 1, 2]}, as_of=t, include=["statuses"])
            assert list(zip(*found.rows, strict=True)) == [tuple(wanted.values[n]) for n in wanted.names], (t, self.modes)
            assert list(zip(*found.statuses, strict=True)) == [tuple(wanted.statuses[n]) for n in wanted.names]


@pytest.mark.parametrize("kind", SOURCES)
def test_any_order_of_files_pushes_compactions_and_runs_ends_as_the_oracle_says(kind: str, tmp_path: Path) -> None:
    modes, pushes = [], 0
    for number in range(SEQUENCES):
        rng = Random(f"pushed online/{kind}/{number}")
        world = World(rng, kind, tmp_path / str(number))
        world.materialize()
        for _ in range(STEPS):
            world.clock.micros += rng.choice((1, 1, MINUTE, 15 * MINUTE))
            rng.choice((world.push, world.push, world.push, world.file, world.compact, world.materialize, world.materialize))()
        world.clock.micros += 1
        world.materialize()
        world.store.online.close()
        # The same files and the same log, in a new store.
        (tmp_path / str(number) / ".featurestore" / "online").rename(tmp_path / f"{number} old")
        world.store = FeatureStore(world.root, clock=world.clock)
        world.materialize()
        world.store.online.close()
        assert set(world.modes[1:-1]) <= {"incremental"}, "neither a push nor a compaction makes a run full"
        modes, pushes = [*modes, *world.modes], pushes + world.pushes
    assert modes.count("incremental") > 2 * SEQUENCES
    assert pushes > 3 * SEQUENCES


def test_a_log_that_is_gone_or_another_makes_the_run_full_and_says_so(tmp_path: Path) -> None:
    import shutil

    world = World(Random(1), "created", tmp_path / "w")
    world.push()
    world.clock.micros += MINUTE
    world.materialize()
    shutil.rmtree(world.root / ".featurestore" / "push")
    world.clock.micros += MINUTE
    [report] = world.store.materialize()
    assert (report.mode, report.reason) == ("full", "the push log of facts is not the one of the last run")
    world.check(world.clock.micros)
    world.store.online.close()


def test_a_row_pushed_while_a_run_reads_is_seen_by_the_next(tmp_path: Path) -> None:
    """It arrived before the run's watermark, but stands in the log behind what the run has read."""
    world = World(Random(3), "delayed", tmp_path / "w")
    world.push()
    world.clock.micros += MINUTE
    read = world.store.source("facts")
    late = {"id": 99, "who": 1, "x": 7.0, "at": world.clock.micros - MINUTE, "gone": False}
    world.store.push("facts", [late])
    world.clock.micros += MINUTE  # the watermark lies behind the arrival
    original, world.store.source = world.store.source, lambda name: read  # type: ignore[method-assign]
    world.store.materialize()
    world.store.source = original  # type: ignore[method-assign]
    world.clock.micros += 1
    [report] = world.store.materialize()
    assert (report.mode, report.pushed_rows) == ("incremental", 1)
    world.check(world.clock.micros)
    world.store.online.close()
