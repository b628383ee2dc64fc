"""A history of look-ups, checked after the fact: two writers and two who push, killed at random, eight readers, data that
keeps coming.

Every answer says by which watermark, which source files and how much of the push log it was made, view by view. Once all is
quiet the oracle, which knows no store, computes F(view, key, t, W, S) for each of them; not one cell may differ (`stale` apart,
where a pushed row took a fact out of a record), and for no reader may a watermark ever go back.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.definitions import FeatureService, ViewInstance
from featurestore.engines.reference import ReferenceEngine
from featurestore.errors import StoreLocked
from featurestore.materialization.applying import mark_of
from featurestore.online.generations import EPOCH, generations
from featurestore.retrieval.online_features import Checked, checked_keys
from featurestore.sources.push_log import read_log
from tests.crash.killing import CONTEXT, KILLED, PATIENCE
from tests.spec.spread import comparable

READERS, WRITERS, PUSHERS, CUSTOMERS = 8, 2, 2, 24
STORM, LONGEST = 5.0, 35.0
"""Seconds for which all of them are at it: at least, and on a busy machine until enough has happened."""
KILLS, STATES = 4, 8
SECOND = 1_000_000
TIME = pa.timestamp("us", "UTC")

DEFINITIONS = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

customer = Entity(name="customer")
payments = ParquetSource(
    name="payments", path="data/*.parquet", event_timestamp="e", created_timestamp="c", row_key=["id"], deleted="gone",
)
newest = FeatureView(
    name="newest", entities=[customer], source=payments, ttl="2s", features=[latest("amount"), latest("note")],
)
totals = FeatureView(
    name="totals", entities=[customer], source=payments,
    features=[agg.count(window=None, name="ever"), agg.sum("amount", window=["1s", "10s"]), agg.max("note", window="3s")],
)
both = FeatureService(name="both", features=[newest, totals])
"""


def new_project(root: Path) -> Path:
    for folder in ("registry", "data"):
        (root / folder).mkdir(parents=True)
    (root / "featurestore.toml").write_text("[offline]\nthreads = 1\n")
    (root / "registry" / "definitions.py").write_text(DEFINITIONS)
    return root


def deliver(root: Path, rng: Random, number: int) -> None:
    """A file of payments around now: late ones, some to come, some not known yet, corrections, moves and deletions."""
    now, rows = time.time_ns() // 1_000, []
    for i in range(20):
        known = now + rng.randrange(-3 * SECOND, SECOND // 3)
        happens = known + rng.randrange(-2 * SECOND, 3 * SECOND)
        payment = rng.randrange(max(1, number * 10)) if rng.random() < 0.4 else number * 20 + i + 1_000_000
        rows.append((payment, rng.randrange(CUSTOMERS), happens, known, rng.uniform(-9, 99), f"n{number}", rng.random() < 0.1))
    arrays = [pa.array(column) for column in zip(*rows, strict=True)]
    arrays[2], arrays[3] = arrays[2].cast(TIME), arrays[3].cast(TIME)
    aside = root / f"{number}.aside"
    pq.write_table(pa.table(arrays, names=["id", "customer", "e", "c", "amount", "note", "gone"]), aside)
    aside.rename(root / "data" / f"{number:05}.parquet")


# The processes.


def write(root: Path, seed: int, stop: Path) -> None:
    """Materialize again and again: all views or one, stepping on or anew, now and then to a watermark of the past."""
    rng, store = Random(seed), FeatureStore(root)
    while not stop.exists():
        views = rng.choice((None, None, "newest", "totals"))
        back = rng.choice((0, 0, rng.randrange(SECOND)))
        try:
            store.materialize(views, known_before=time.time_ns() // 1_000 - back, full=rng.random() < 0.2)
        except StoreLocked:
            time.sleep(0.01)


def push(root: Path, seed: int, stop: Path) -> None:
    """Push payments around now: new ones, and corrections, moves and deletions of what files or others have brought."""
    rng, store = Random(seed), FeatureStore(root)
    while not stop.exists():
        rows = []
        for _ in range(rng.choice((1, 1, 3))):
            happens = time.time_ns() // 1_000 + rng.randrange(-3 * SECOND, 2 * SECOND)
            payment = rng.randrange(200) if rng.random() < 0.3 else rng.randrange(2_000_000, 2_000_200)
            rows.append({
                "id": payment, "customer": rng.randrange(CUSTOMERS), "e": happens, "amount": rng.uniform(-9, 99),
                "note": f"p{seed}", "gone": rng.random() < 0.1,
            })  # fmt: skip
        store.push("payments", rows)
        time.sleep(0.1)


State = tuple[tuple[str, ...], int]
"""The files of S, by name (none is ever rewritten), and up to where of the push log."""


@dataclass
class Look:
    """One recorded answer: row by row what was asked and told; W and S of each view, with what was pushed."""

    customers: list[int]
    t: int
    rows: list[list[Any]]
    statuses: list[list[str]]
    events: list[list[int | None]]
    made: dict[str, tuple[int, State]]


def read(root: Path, seed: int, stop: Path, told: Path) -> None:
    """Look up again and again, and write down all that was answered and by which state."""
    rng, store, looks, errors = Random(seed), FeatureStore(root), list[Look](), list[str]()
    reader, states = store.reader, dict[tuple[str, int], tuple[str, ...]]()
    while not stop.exists():
        asked: list[int] = [rng.randrange(CUSTOMERS + 2) for _ in range(4)]
        try:
            with reader.store.read() as snapshot:
                service = reader.service(snapshot, "both")
                keys, rows = checked_keys(service, {"customer": asked})
                ahead = service.watermark + rng.choice((0, 1, rng.randrange(4 * SECOND)))
                t = service.instant(rng.choice((None, ahead)), store.clock)
                found = service.look_up(snapshot, Checked(keys, rows, t))
                made = {}
                for g in generations(snapshot):
                    files = states.setdefault((g.name, g.number), tuple(f["path"] for f in g.state if "path" in f))
                    made[g.name] = g.watermark, (files, mark_of(snapshot, g).position)
                assert service.watermarks == {name: watermark for name, (watermark, _) in made.items()}
            values = [list(row) for row in found.rows()]
            looks.append(Look(asked, found.t, values, found.statuses(), found.event_timestamps(), made))
        except Exception as error:
            errors.append(repr(error))
        time.sleep(0.05)
    told.write_bytes(pickle.dumps((looks, errors)))


def storm(root: Path, folder: Path) -> Counter[str]:
    """Let them loose; kill writers at random and put others in their place. Returns: what happened, counted."""
    rng, counted = Random(11), Counter[str]()
    stop = folder / "stop"  # a file: an event's lock could die with who holds it
    seeds = iter(range(10_000))

    def started(work: Any, *arguments: Any) -> Any:
        process = CONTEXT.Process(target=work, args=(root, next(seeds), stop, *arguments), daemon=True)
        process.start()
        return process

    readers = [started(read, folder / f"reader_{number}") for number in range(READERS)]
    writers = [started(write) for _ in range(WRITERS)]
    pushers = [started(push) for _ in range(PUSHERS)]
    begin, number, epochs, due = time.monotonic(), 0, set[bytes | None](), 1
    watched = FeatureStore(root).reader.store
    while (past := time.monotonic() - begin) < LONGEST:
        if past > STORM and counted["killed"] >= KILLS and len(epochs) > STATES:
            break
        deliver(root, rng, number := number + 1)
        with watched.read() as snapshot:
            epochs.add(snapshot.meta(EPOCH))
        if len(epochs) > due:  # runs must also finish, however slow the machine is
            due = len(epochs) + rng.randrange(2)
            time.sleep(rng.uniform(0.0, 0.6))
            victim = rng.randrange(WRITERS)
            writers[victim].kill()
            writers[victim].join(PATIENCE)
            counted["killed"] += writers[victim].exitcode == KILLED
            writers[victim] = started(write)
            victim = rng.randrange(PUSHERS)
            pushers[victim].kill()
            pushers[victim].join(PATIENCE)
            pushers[victim] = started(push)
        time.sleep(0.2)
    watched.close()
    stop.touch()
    for process in (*readers, *writers, *pushers):
        process.join(PATIENCE)
    ended = [process.exitcode for process in (*readers, *writers, *pushers)]
    assert set(ended) == {0}, f"processes that hang or have failed: {ended}"
    return counted


# What they saw, against what was true.


def history(folder: Path) -> Iterator[list[Look]]:
    for number in range(READERS):
        looks, errors = pickle.loads((folder / f"reader_{number}").read_bytes())
        assert errors == []
        yield looks


def wrong(service: FeatureService, looks: list[Look], root: Path) -> Iterator[str]:
    """Every cell that is not F at the (W, S) its answer names, by the oracle: one question per state of a view."""
    tables: dict[str, pa.Table] = {}
    log = read_log(root / ".featurestore" / "push" / "payments")
    assert log is not None
    names = list(service.feature_names)
    for instance in service.listed:
        by_state: dict[tuple[int, State], list[tuple[Look, int]]] = {}
        for look in looks:
            by_state.setdefault(look.made[instance.name], []).extend((look, row) for row in range(len(look.customers)))
        for (watermark, (files, position)), rows in by_state.items():
            for name in files:
                tables.setdefault(name, pq.read_table(root / name))
            known = [tables[name].filter(pc.less(tables[name]["c"].cast(pa.int64()), watermark)) for name in files]
            pushed = [table.filter(pc.less_equal(table["__position"], position)) for table in log.tables]
            true = oracle(instance, [*known, *pushed], rows)
            for feature in true.names:
                at = names.index(feature)
                columns = true.values[feature], true.statuses[feature], true.event_timestamps[feature]
                for (look, row), value, status, event in zip(rows, *columns, strict=True):
                    told = comparable(look.rows[row][at]), look.statuses[row][at], look.events[row][at]
                    if told != (comparable(value), status, event) and told[1] != "stale":
                        asked = f"{feature} of {look.customers[row]} at {look.t}, W {watermark}"
                        yield f"{asked}: {told}, but {value} {status} {event}"


def oracle(instance: ViewInstance, tables: list[pa.Table], rows: list[tuple[Look, int]]) -> Any:
    customers = pa.array([look.customers[row] for look, row in rows], pa.int64())
    instants = pa.array([look.t for look, _ in rows], pa.int64()).cast(TIME)
    alone = FeatureService(name="alone", features=[instance])
    spine = pa.table({"customer": customers, "as_of": instants})
    return ReferenceEngine({"payments": tables}).answer(alone, spine)


@pytest.mark.slow
def test_every_answer_of_a_storm_is_what_its_watermark_and_files_say(tmp_path: Path) -> None:
    root = new_project(tmp_path / "project")
    deliver(root, Random(1), 0)
    store = FeatureStore(root)
    store.materialize()
    store.online.close()
    met = storm(root, tmp_path)
    looks = []
    for one in history(tmp_path):
        for view in ("newest", "totals"):
            watermarks = [look.made[view][0] for look in one]
            assert watermarks == sorted(watermarks), f"W of {view} went back"
        looks += one
    service = FeatureStore(root).registry.services["both"]
    assert list(wrong(service, looks, root))[:5] == []
    met.update(status for look in looks for row in look.statuses for status in row)
    met["states"] = len({made for look in looks for made in look.made.items()})
    met["pending fact that counts"] = sum(
        event is not None and event >= look.made["newest"][0] for look in looks for events in look.events for event in events
    )
    met["looks"] = len(looks)
    met["pushes"] = len({look.made["newest"][1][1] for look in looks})
    rare = {what: met[what] for what in MET if met[what] < MET[what]}
    assert not rare, f"too rare to prove anything: {rare} of {met}"
    assert met["stale"] < met["present"]
    standing = FeatureStore(root).verify(sample=300)
    assert standing.ok
    assert standing.unverifiable == {}


MET = {"killed": KILLS, "states": STATES, "looks": 400, "present": 100, "null": 50, "expired": 50, "not_found": 20,
       "pending fact that counts": 20, "pushes": 20}  # fmt: skip
"""How often what must happen has to have happened."""
