"""Files, pushes, compactions and runs in any order: online answers are the oracle's, and those of one full run.

Rows are versions of few facts, pushed again, out of order, deleted, moved to other keys, and followed by rows of files.
After every step the store is asked at instants from its watermark and the newest push on, and the oracle reads the files, as
far as they were known at the watermark, and the log itself.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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
        self.told: Counter[str] = Counter()
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
        self._push()
        self.check(exact=False)

    def _push(self) -> None:
        rows = [self.row() for _ in range(self.rng.choice((1, 1, 2)))]
        limit = self.clock.micros + 5 * MINUTE
        self.store.push("facts", [row for row in rows if row["at"] <= limit] or [{**rows[0], "at": limit}])
        self.pushes += 1

    def compact(self) -> None:
        self.store.compact(["facts"])

    def materialize(self) -> None:
        [report] = self.store.materialize()
        self.modes.append(report.mode)
        self.watermark, self.known_files = self.clock.micros, self.files
        self.check()

    def _known(self, table: pa.Table) -> pa.Table:
        """The rows of a file that were known at the watermark."""
        known = (
            table["loaded"].cast(pa.int64()) if self.kind == "created" else pc.add(table["at"].cast(pa.int64()), 10 * MINUTE)
        )
        return table.filter(pc.less(known, self.watermark))

    def check(self, *, exact: bool = True) -> None:
        """exact: after a run; before one an answer may be stale where a fact of a record is gone."""
        service = self.store.registry.services["service"]
        log = read_log(self.root / ".featurestore" / "push" / "facts")
        pushed = [] if log is None else [*(pq.read_table(f.path) for f in log.files), *log.tables]
        newest = max((pc.max(t["__pushed_at"].cast(pa.int64())).as_py() for t in pushed), default=self.watermark)
        files = [pq.read_table(self.root / "data" / f"{number}.parquet") for number in range(self.known_files)]
        tables = [*map(self._known, files), *pushed]
        for ahead in (0, 1, 3 * MINUTE, 45 * MINUTE, 95 * MINUTE):
            t = max(self.watermark, newest) + ahead
            spine = pa.table({"who": [0, 1, 2], "as_of": pa.array([t] * 3, pa.int64()).cast(UTC)})
            wanted = ReferenceEngine({"facts": tables}).answer(service, spine)
            found = self.store.get_online_features("service", {"who": [0, 1, 2]}, as_of=t, include=["statuses"])
            for who, (row, statuses) in enumerate(zip(found.rows, found.statuses, strict=True)):
                told = [(wanted.values[name][who], wanted.statuses[name][who]) for name in wanted.names]
                self.told.update(statuses)
                if exact or "stale" not in statuses:
                    assert list(zip(row, statuses, strict=True)) == told, (t, self.modes)


@pytest.mark.parametrize("kind", SOURCES)
def test_any_order_of_files_pushes_compactions_and_runs_ends_as_the_oracle_says(kind: str, tmp_path: Path) -> None:
    modes, pushes, told = [], 0, Counter[str]()
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
        told += world.told
    assert modes.count("incremental") > 2 * SEQUENCES
    assert pushes > 3 * SEQUENCES
    assert told["stale"] < told["present"] / 5


def test_a_log_that_is_gone_or_another_makes_the_run_full_and_says_so(tmp_path: Path) -> None:
    import shutil

    world = World(Random(1), "created", tmp_path / "w")
    world._push()
    world.clock.micros += MINUTE
    world.materialize()
    shutil.rmtree(world.root / ".featurestore" / "push")
    world.clock.micros += MINUTE
    [report] = world.store.materialize()
    assert (report.mode, report.reason) == ("full", "the push log of facts is not the one of the last run")
    world.watermark = world.clock.micros
    world.check()
    world.store.online.close()


def test_a_row_pushed_while_a_run_reads_is_seen_by_the_next(tmp_path: Path) -> None:
    """It arrived before the run's watermark, but stands in the log behind what the run has read."""
    world = World(Random(3), "delayed", tmp_path / "w")
    world._push()
    world.clock.micros += MINUTE
    read = world.store.source("facts")
    late = {"id": 99, "who": 1, "x": 7.0, "at": world.clock.micros - MINUTE, "gone": False}
    world.store.push("facts", [late])
    world.clock.micros += MINUTE  # the watermark lies behind the arrival
    original, world.store.source = world.store.source, lambda name: read  # type: ignore[method-assign]
    world.store.materialize()
    world.store.source = original  # type: ignore[method-assign]
    world.watermark, world.known_files = world.clock.micros, world.files
    [late_key] = world.store.get_online_features("service", {"who": [1]}).statuses
    assert set(late_key) == {"stale"}, "whether the run has read a newer version cannot be told"
    world.clock.micros += 1
    [report] = world.store.materialize()
    assert (report.mode, report.pushed_rows) == ("incremental", 1)
    world.watermark = world.clock.micros
    world.check()
    world.store.online.close()
