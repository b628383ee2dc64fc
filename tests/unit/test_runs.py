"""Runs of the materializer, story by story: taken up, overtaken, written beside, refreshed in time, turned back, forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    LabelView,
    ParquetSource,
    agg,
    latest,
)
from featurestore.errors import FeatureStoreError, StoreError
from featurestore.intervals import FOREVER, FixedClock, format_instant
from featurestore.materialization import ViewReport, writing
from featurestore.online import keys as online_keys
from featurestore.online import runs, tables
from featurestore.online.codec import RecordCodec, encode_key, storage_key
from featurestore.online.generations import Generation, generation, generations, kept_generations, next_number
from featurestore.online.lmdb import LmdbStore
from featurestore.online.memory import MemoryStore
from featurestore.online.store import Batch
from featurestore.progress import Progress

DAY = 86_400_000_000
W = 20_000 * DAY
HORIZON = 30 * DAY
TIME = pa.timestamp("us", "UTC")
KEYS = 25
thing = Entity(name="thing", join_keys=["k"])
WAYS = ("new table", "in place", "copy")


class Project:
    """One view over a folder of files. Every file has facts (k, e, c, x): event time, known time, value."""

    def __init__(self, folder: Path, store: Any = None) -> None:
        self.folder = folder
        source = ParquetSource(name="facts", path=str(folder / "*.parquet"), event_timestamp="e", created_timestamp="c")
        view = FeatureView(name="view", entities=[thing], source=source, features=[latest("x"), agg.count(window=None)])
        self.service = FeatureService(name="service", features=[view])
        self.store = FeatureStore(definitions=[self.service], clock=FixedClock(W + 1_000 * DAY))
        self.store.online = MemoryStore() if store is None else store
        self.files = 0

    def arrives(self, *facts: tuple[int, int, int, int]) -> None:
        k, e, c, x = zip(*facts, strict=True)
        table = pa.table({"k": k, "e": pa.array(e).cast(TIME), "c": pa.array(c).cast(TIME), "x": x})
        self.folder.mkdir(exist_ok=True)
        pq.write_table(table, self.folder / f"{self.files}.parquet")
        self.files += 1

    def run(self, watermark: int = W, **more: Any) -> ViewReport:
        return self.store.materialize(known_before=watermark, **more)[0]

    @property
    def made(self) -> Generation:
        with self.store.online.read() as snapshot:
            [made] = generations(snapshot)
            return made

    @property
    def kept(self) -> list[int]:
        with self.store.online.read() as snapshot:
            return [one.number for one in kept_generations(snapshot, self.made)]

    @property
    def records(self) -> dict[bytes, bytes]:
        with self.store.online.read() as snapshot:
            return {bytes(k): bytes(v) for k, v in snapshot.scan(self.made.table)}

    @property
    def running(self) -> runs.Running | None:
        with self.store.online.read() as snapshot:
            return runs.running(snapshot, "view")

    def values(self, *keys: int, as_of: int = W) -> list[tuple[Any, ...]]:
        answer = self.store.get_online_features("service", {"k": list(keys)}, as_of=as_of)
        return [(*row, statuses[0]) for row, statuses in zip(answer.rows, answer.statuses, strict=True)]

    def fresh(self, watermark: int) -> Project:
        """The same files, materialized at once."""
        other = Project(self.folder)
        other.run(watermark)
        return other

    def check_same_as_fresh(self, watermark: int) -> None:
        assert self.records == self.fresh(watermark).records
        self.check_in_step()

    def check_in_step(self) -> None:
        """The index holds the records that expire, and no others; no table is there that no document names."""
        with self.store.online.read() as snapshot:
            for made in (self.made, *kept_generations(snapshot, self.made)):
                if made.undo:
                    continue
                index = {(key, int.from_bytes(at, "big") - 2**63) for at, key in tables.expiring(snapshot, made.table, FOREVER)}
                rows = [(bytes(key), tables.exact_until(record)) for key, record in snapshot.scan(made.table)]
                assert index == {row for row in rows if row[1] != FOREVER}
            live = {self.made.table, *(one.undo or one.table for one in kept_generations(snapshot, self.made))}
            live |= {self.running.table} if self.running else set()
        of_views = {name for name in self.store.online.sizes() if tables.belongs_to_a_view(name)}
        assert {name for name in of_views if not name.endswith("/until")} == live | (
            {self.running.table} if self.running else set()
        )


def steps(number: int, keys: range = range(KEYS)) -> list[tuple[int, int, int, int]]:
    """A fact of each key, known a day before the watermark W + number days."""
    return [(k, W + (number - 2) * DAY, W + (number - 1) * DAY, 100 * number + k) for k in keys]


@pytest.fixture(params=["memory", "lmdb"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """25 keys, ten records to a transaction, nothing materialized yet."""
    monkeypatch.setattr(writing, "RECORDS", 10)
    made = Project(tmp_path / "facts", LmdbStore(tmp_path / "online", map_size=1 << 28) if request.param == "lmdb" else None)
    made.arrives(*steps(0))
    yield made
    made.store.online.close()


def by(way: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What makes the next run take a way."""
    monkeypatch.setattr(writing, "IN_PLACE", 0 if way == "copy" else KEYS)
    monkeypatch.setattr(writing, "MOST", 2.0)
    return {"full": way == "new table"}


class Interrupted(Exception):
    pass


def when(stage: str, done: int, act: Callable[[], None]) -> Callable[[Progress], None]:
    """A watcher that acts once, when a stage has come so far."""
    left = [act]

    def watch(now: Progress) -> None:
        if now.stage == f"view: {stage}" and now.done >= done and left:
            left.pop()()

    return watch


def interrupt() -> None:
    raise Interrupted


# Taken up.


@pytest.mark.parametrize("way", ["new table", "copy"])
def test_an_interrupted_run_is_taken_up_where_it_was(project: Project, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run(W)
    before = project.records
    project.arrives(*steps(1))
    asked = by(way, monkeypatch)
    with pytest.raises(Interrupted):
        project.run(W + DAY, watch=when("writing" if way == "new table" else "copying", 10, interrupt), **asked)
    assert project.records == before
    left = project.running
    assert left is not None
    assert left.how == way
    assert left.written or left.copied
    report = project.run(W + DAY, **asked)
    assert (report.how, report.keys_resumed, report.keys_written) == (way, 10 if way == "new table" else 0, KEYS)
    assert project.running is None
    assert project.made.table == left.table
    project.check_same_as_fresh(W + DAY)


def test_a_later_run_first_finishes_the_interrupted_one(project: Project) -> None:
    project.run(W)
    project.arrives(*steps(1))
    with pytest.raises(Interrupted):
        project.run(W + DAY, full=True, watch=when("writing", 20, interrupt))
    report = project.run(W + 2 * DAY)
    assert (report.how, report.keys_resumed, report.watermark[:10]) == ("in place", 20, "2024-10-06")
    assert "left half-way" in report.reason
    project.check_same_as_fresh(W + 2 * DAY)


def test_an_interrupted_run_is_not_taken_up_by_an_earlier_one_or_over_other_files(project: Project) -> None:
    for watermark, facts in ((W - 1, []), (W + DAY, steps(1))):
        with pytest.raises(Interrupted):
            project.run(W, watch=when("writing", 10, interrupt))
        if facts:
            project.arrives(*facts)
        left = project.running
        assert left is not None
        with pytest.raises(Interrupted):
            project.run(watermark, watch=when("writing", 10, interrupt))
        now = project.running
        assert now is not None
        assert now.table != left.table
        assert left.table not in project.store.online.sizes()
    project.run(W + DAY)
    project.check_same_as_fresh(W + DAY)


def test_an_interrupted_run_whose_records_are_not_what_they_were_is_begun_anew(project: Project) -> None:
    with pytest.raises(Interrupted):
        project.run(W, watch=when("writing", 10, interrupt))
    left = project.running
    assert left is not None
    with project.store.online.read() as snapshot:
        key = bytes(list(snapshot.scan(left.table))[-1][0])
    project.store.online.write(lambda batch: batch.put(left.table, [(key, b"another")]))
    report = project.run(W)
    assert (report.keys_resumed, report.keys_written) == (0, KEYS)
    project.check_same_as_fresh(W)


def test_an_interrupted_run_is_given_up_by_gc(project: Project) -> None:
    project.run(W)
    with pytest.raises(Interrupted):
        project.run(W, full=True, watch=when("writing", 10, interrupt))
    done = project.store.gc()
    assert done.runs == ["view"]
    assert done.bytes_freed > 0
    assert project.running is None
    project.check_in_step()


# Overtaken.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ahead", [W + DAY, W + 3 * DAY])
def test_a_run_that_lost_its_lock_publishes_nothing_over_a_newer_one(
    project: Project, way: str, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(W)
    project.arrives(*steps(1))
    project.arrives(*steps(3))
    monkeypatch.setattr(project.store.online, "lock", nullcontext)
    asked = by(way, monkeypatch)
    overtake = when("computing" if way != "copy" else "copying", 0, lambda: other.append(project.run(ahead, **asked)))
    other: list[ViewReport] = []
    with pytest.raises(StoreError) as caught:
        project.run(W + 2 * DAY, watch=overtake, **asked)
    assert caught.value.code == "FS410"
    assert (project.made.watermark, project.made.number) == (ahead, other[0].generation)
    assert project.run(ahead + DAY).mode == "incremental"
    project.check_same_as_fresh(ahead + DAY)


def test_a_generation_that_changed_without_a_run_is_not_published_over(project: Project) -> None:
    project.run(W)

    def swap() -> None:
        moved = replace(project.made, number=99)
        project.store.online.write(lambda batch: batch.put_meta(f"view/view/{moved.fingerprint}", moved.to_bytes()))

    with pytest.raises(StoreError, match="went ahead"):
        project.run(W + DAY, full=True, watch=when("computing", 0, swap))
    assert project.made.number == 99


# Which way, and what it tells.


def test_a_run_that_touches_few_keys_changes_them_in_place_and_one_that_touches_most_makes_all_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.run(W).how == "new table"
    table = project.made.table
    project.arrives(*steps(1, range(5)))
    report = project.run(W + DAY)
    told = (report.mode, report.how, report.keys, report.keys_written, report.keys_kept)
    assert told == ("incremental", "in place", KEYS, 5, KEYS - 5)
    assert project.made.table == table
    monkeypatch.setattr(writing, "IN_PLACE", 4)
    project.arrives(*steps(2, range(12)))
    report = project.run(W + 2 * DAY)
    assert (report.mode, report.how, report.keys_written, report.keys_kept) == ("incremental", "copy", 12, KEYS - 12)
    assert project.made.table != table
    project.arrives(*steps(3, range(13)))
    report = project.run(W + 3 * DAY)
    assert (report.mode, report.how, report.keys_written, report.keys_kept) == ("full", "new table", KEYS, 0)
    assert report.reason == "13 of 25 keys are touched"
    project.check_same_as_fresh(W + 3 * DAY)


def test_records_too_large_to_hold_go_into_a_copy(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run(W)
    project.arrives(*steps(1, range(8)))
    monkeypatch.setattr(writing, "BYTES", 300)
    report = project.run(W + DAY)
    assert (report.mode, report.how, report.keys_written) == ("incremental", "copy", 8)
    project.check_same_as_fresh(W + DAY)


def test_bytes_bound_a_transaction_as_records_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BYTES", 1_000)
    batch = pa.record_batch({"key": [b"%04d" % i for i in range(100)], "record": [b"r" * 96] * 100, "held": [False] * 100})
    sizes = [(len(c.rows), c.bytes) for c in writing.chunks([batch, batch], writing.RECORDS)]
    assert sum(n for n, _ in sizes) == 200
    assert max(b for _, b in sizes) < 3_000


# Refreshed in time.


@pytest.mark.parametrize("way", ["in place", "copy"])
def test_a_record_about_to_expire_is_made_anew_though_nothing_touched_it(
    project: Project, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(W)
    by(way, monkeypatch)
    key = storage_key(encode_key([7], ["integer"]))
    whole = project.records[key]
    until = W + HORIZON
    expiring = whole[:1] + until.to_bytes(8, "little", signed=True) + whole[9:]
    project.store.online.write(lambda batch: tables.replace(batch, project.made.table, [(key, expiring)]) and None)
    assert project.values(7, as_of=until) != project.values(7, as_of=until + 1) == [(None, None, "stale")]
    project.check_in_step()
    report = project.run(W + HORIZON // 2)
    assert (report.keys_written, project.records[key]) == (0, expiring)
    report = project.run(W + HORIZON // 2 + 1)
    assert (report.keys_written, project.records[key]) == (1, whole)
    project.check_same_as_fresh(W + HORIZON // 2 + 1)


@pytest.mark.parametrize("way", WAYS)
def test_facts_held_back_are_served_once_a_run_comes_near(project: Project, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    far = W + HORIZON + 5 * DAY
    project.arrives((2, far, W - DAY, 222), (4, far + HORIZON, W - DAY, 444))
    asked = by(way, monkeypatch)
    assert project.run(W).keys_held_back == 2
    project.check_in_step()
    assert [status for *_, status in project.values(2, 4, as_of=far + 1)] == ["stale", "present"]
    report = project.run(W + 10 * DAY, **asked)
    assert (report.how, report.keys_held_back) == (way, 1)
    assert project.values(2, as_of=far + 1)[0][0] == 222
    project.check_same_as_fresh(W + 10 * DAY)
    project.store.rollback("view")
    project.check_same_as_fresh(W)


def test_a_key_that_is_kept_as_a_digest_is_refreshed_in_time_too(tmp_path: Path) -> None:
    source = ParquetSource(name="facts", path=str(tmp_path / "*.parquet"), event_timestamp="e", created_timestamp="c")
    view = FeatureView(name="view", entities=[thing], source=source, features=[latest("x")])
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])], clock=FixedClock(W + 99 * DAY))
    times = {name: pa.array([W - 5, W + 40 * DAY]).cast(TIME) for name in "e"} | {"c": pa.array([W - 5, W - 5]).cast(TIME)}
    pq.write_table(pa.table({"k": ["a", "b" * 500], **times, "x": [1, 2]}), tmp_path / "0.parquet")
    assert store.materialize(known_before=W)[0].keys_held_back == 1
    [report] = store.materialize(known_before=W + 26 * DAY)
    assert (report.mode, report.keys_written, report.keys_held_back) == ("incremental", 1, 0)
    found = store.get_online_features("service", {"k": ["b" * 500, "a"]}, as_of=W + 41 * DAY)
    assert (found.rows, found.statuses) == ([[2], [1]], [["present"], ["present"]])


def test_two_keys_with_one_digest_never_answer_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Same:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def digest(self) -> bytes:
            return bytes(32)

    monkeypatch.setattr(online_keys.hashlib, "blake2b", Same)
    source = ParquetSource(name="facts", path=str(tmp_path / "*.parquet"), event_timestamp="e", delay="0s")
    view = FeatureView(name="view", entities=[thing], source=source, features=[latest("x"), agg.count(window=None)])
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])], clock=FixedClock(W))
    mine, other = "a" * 500, "b" * 500
    pq.write_table(pa.table({"k": [mine], "e": pa.array([W - 5]).cast(TIME), "x": [1]}), tmp_path / "0.parquet")
    store.materialize()
    found = store.get_online_features("service", {"k": [mine, other, mine]})
    assert found.rows == [[1, 1], [None, 0], [1, 1]]
    assert [row[0] for row in found.statuses] == ["present", "not_found", "present"]
    assert store.verify("service", sample=50).ok


def test_a_generation_of_an_older_featurestore_is_made_anew(project: Project) -> None:
    project.run(W)
    older = replace(project.made, format=3)
    name = f"view/view/{older.fingerprint}"
    project.store.online.write(lambda batch: batch.put_meta(name, older.to_bytes()))
    assert project.values(7) == project.fresh(W).values(7)
    report = project.run(W + DAY)
    assert (report.mode, report.reason) == ("full", "an older featurestore made the last generation")


def test_a_view_of_one_row_is_refreshed_in_time_too(tmp_path: Path) -> None:
    source = ParquetSource(name="facts", path=str(tmp_path / "*.parquet"), event_timestamp="e", created_timestamp="c")
    view = FeatureView(name="view", entities=[], source=source, features=[latest("x")])
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])], clock=FixedClock(W + 99 * DAY))
    times = {"e": pa.array([W - 5, W + 40 * DAY]).cast(TIME), "c": pa.array([W - 5, W - 5]).cast(TIME)}
    pq.write_table(pa.table({**times, "x": [1, 2]}), tmp_path / "0.parquet")
    store.materialize(known_before=W)
    [report] = store.materialize(known_before=W + 26 * DAY)
    assert (report.mode, report.keys_written, report.keys_held_back) == ("incremental", 1, 0)


# Turned back.


@pytest.mark.parametrize("way", WAYS)
def test_a_view_turned_back_is_what_it_was_and_goes_on_from_there(
    project: Project, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(W)
    before, first = project.records, project.made
    project.arrives(*steps(1, range(20)), *steps(1, range(100, 105)))
    report = project.run(W + DAY, **by(way, monkeypatch))
    assert (report.how, project.kept) == (way, [first.number])
    assert project.values(0, 100, as_of=W + DAY) == [(100, 2, "present"), (200, 1, "present")]
    done = project.store.rollback("view")
    assert (done.generation_before, done.generation, done.keys_before, done.keys) == (report.generation, first.number, 30, KEYS)
    assert (project.records, project.made, project.kept) == (before, first, [])
    assert project.values(0, 100) == [(0, 1, "present"), (None, 0, "not_found")]
    project.check_in_step()
    with pytest.raises(StoreError) as caught:
        project.store.rollback("view")
    assert caught.value.code == "FS411"
    assert project.run(W + DAY).mode == "incremental"
    project.check_same_as_fresh(W + DAY)


def test_a_chain_of_steps_is_turned_back_one_by_one(project: Project) -> None:
    project.store.config = project.store.config.model_copy(
        update={"online": project.store.config.online.model_copy(update={"keep": 4})}
    )
    seen = []
    for number in range(6):
        project.arrives(*steps(number, range(number, 2 * number + 3)))
        project.run(W + number * DAY, full=number == 3)
        seen.append((project.made.watermark, project.records))
    assert len(project.kept) == 3
    for expected in reversed(seen[2:5]):
        project.store.rollback("view")
        assert (project.made.watermark, project.records) == expected
        project.check_in_step()
    assert project.kept == []


def test_a_run_that_changes_no_record_leaves_the_generation_to_go_back_to(project: Project) -> None:
    project.run(W)
    project.arrives(*steps(1))
    project.run(W + DAY)
    [kept] = project.kept
    project.run(W + 2 * DAY)
    project.run(W + 3 * DAY)
    assert (project.kept, project.made.watermark) == ([kept], W + 3 * DAY)
    assert project.store.rollback("view").watermark.startswith("2024-10-04")
    project.check_same_as_fresh(W)


def test_none_but_the_live_generation_is_kept_if_so_set(project: Project) -> None:
    online = project.store.config.online.model_copy(update={"keep": 1})
    project.store.config = project.store.config.model_copy(update={"online": online})
    for number in range(4):
        project.arrives(*steps(number))
        project.run(W + number * DAY, full=number == 2)
        assert project.kept == []
        project.check_in_step()


def test_gc_drops_what_is_kept_and_never_the_live_one(project: Project) -> None:
    for number in range(3):
        project.arrives(*steps(number))
        project.run(W + number * DAY, full=number == 2)
    before = project.records
    assert [d["generation"] for d in project.store.gc(keep=2).dropped] == []
    done = project.store.gc()
    assert (len(done.dropped), project.kept, project.records) == (1, [], before)
    assert done.bytes_freed > 0
    project.check_in_step()
    with pytest.raises(FeatureStoreError, match="never dropped"):
        project.store.gc(keep=0)


def test_tables_of_others_are_never_swept(project: Project) -> None:
    others = ["push/view", "view", "view@", "@1", "view@1x", "log@today"]
    project.store.online.write(lambda batch: [batch.put(name, [(b"k", b"v")]) for name in others] and None)
    project.run(W)
    project.store.gc()
    assert set(others) <= set(project.store.online.sizes())


# Forgotten.


@pytest.mark.parametrize("way", WAYS)
def test_a_key_is_forgotten_in_every_generation(project: Project, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run(W)
    project.arrives(*steps(1))
    project.run(W + DAY, **by(way, monkeypatch))
    told = project.store.forget("thing", 3)
    kept = [] if way == "in place" else [True]
    assert [(r["records"], r["kept"]) for r in told.removed] == [(1, False), *((1, k) for k in kept)]
    assert [(s["source"], s["rows"]) for s in told.sources] == [("facts", 1), ("facts", 1)]
    assert project.made.keys == KEYS - 1
    nobody = project.values(1_000, as_of=W + DAY)
    assert project.values(3, as_of=W + DAY) == nobody
    project.check_in_step()
    project.store.rollback("view")
    assert project.values(3) == nobody
    assert project.made.keys == len(project.records) == KEYS - 1
    assert project.store.forget("thing", {"k": 3}).removed == []


def test_a_half_written_table_does_not_remember_what_is_forgotten(project: Project) -> None:
    with pytest.raises(Interrupted):
        project.run(W, watch=when("writing", 10, interrupt))
    assert project.store.forget("thing", 3).removed == []
    assert project.running is None
    assert [name for name in project.store.online.sizes() if "@" in name] == []


def test_an_entity_is_forgotten_wherever_it_is_part_of_a_key() -> None:
    shop = Entity(name="shop", join_keys=["s"])
    table = pa.table(
        {"k": ["a", "a", "b", "a", "c" * 500], "s": [1, 2, 1, 1, 1], "e": pa.array([W - 5] * 5).cast(TIME), "x": range(5)}
    )
    source = ArrowSource(name="facts", table=table, event_timestamp="e", delay="0s")
    mapped = FeatureView(name="both", entities=[thing, shop], source=source, features=[latest("x")])
    alone = FeatureView(name="alone", entities=[shop], source=source, features=[latest("x", name="y")])
    label = LabelView(name="label", entities=[thing], source=source, label=agg.count(window="1d"), settle="0s")
    services = [FeatureService(name="service", features=[mapped, alone], labels=[label])]
    store = FeatureStore(definitions=services, clock=FixedClock(W))
    told = store.forget("thing", "a")
    assert (told.removed, [s["rows"] for s in told.sources]) == ([], [3])
    store.materialize()
    told = store.forget("thing", "a")
    assert [(r["view"], r["records"]) for r in told.removed] == [("both", 2)]
    assert told.unreadable == 0
    assert [(r["view"], r["records"]) for r in store.forget("shop", {"s": 1}).removed] == [("alone", 1), ("both", 2)]
    assert store.forget("shop", 7).sources == []


@pytest.mark.parametrize(
    ("entity", "key", "code"),
    [("thin", 3, "FS101"), ("thing", "x", "FS504"), ("thing", {"q": 3}, "FS502"), ("thing", {"k": 3, "q": 4}, "FS502"),
     ("thing", {}, "FS502"), ("thing", True, "FS504"), ("thing", None, "FS504")],
)  # fmt: skip
def test_a_key_that_is_none_of_the_entity_is_refused(project: Project, entity: str, key: Any, code: str) -> None:
    project.run(W)
    before = project.records
    with pytest.raises(FeatureStoreError) as caught:
        project.store.forget(entity, key)
    assert (caught.value.code, project.records) == (code, before)


def test_a_store_written_before_generations_were_kept_goes_on(project: Project) -> None:
    """Its documents say nothing of what it does not know, and its epoch gives the next number."""
    project.run(W)
    made = project.made

    def age(batch: Batch) -> None:
        old = {k: v for k, v in json.loads(made.to_bytes()).items() if k != "undo"} | {"format": 2}
        batch.put_meta(f"view/view/{made.fingerprint}", json.dumps(old).encode())
        batch.delete_meta("last_number")

    project.store.online.write(age)
    project.arrives(*steps(1))
    report = project.run(W + DAY)
    assert (report.mode, report.generation) == ("full", made.number + 1)
    assert report.reason == "an older featurestore made the last generation"
    project.check_same_as_fresh(W + DAY)


def test_the_instant_of_a_record_is_where_the_codec_puts_it() -> None:
    for until in (FOREVER, -5, 0, W):
        [record] = RecordCodec([]).encode_records(pa.array([until]), pa.array([0, 0]), pa.array([], pa.binary())).to_pylist()
        assert tables.exact_until(record) == until


def test_no_generation_of_another_definition_is_gone_back_to(project: Project) -> None:
    project.run(W)
    with project.store.online.read() as snapshot:
        assert generation(snapshot, "view", "another") is None
    with pytest.raises(FeatureStoreError) as caught:
        project.store.rollback("viev")
    assert (caught.value.code, caught.value.hint) == ("FS101", "view")


def another_definition(project: Project) -> Project:
    """The same view with a ttl, over the same files and store."""
    other = Project(project.folder, project.store.online)
    view = replace(project.service.instances[0].view, ttl="9d")
    other.store = FeatureStore(definitions=[FeatureService(name="service", features=[view])], clock=project.store.clock)
    other.store.online = project.store.online
    return other


def test_a_run_of_a_new_definition_does_not_go_behind_the_watermark_of_the_old_one(project: Project) -> None:
    project.run(W)
    other = another_definition(project)
    report = other.run(W - DAY)
    assert (report.mode, report.watermark) == ("nothing", format_instant(W))
    assert project.made.watermark == W
    assert other.run(W + DAY).mode == "full"


def test_a_rollback_tells_of_the_definition_that_it_turned_back(project: Project) -> None:
    first = project.run(W)
    between: list[int] = []
    project.store.online.write(lambda batch: between.append(next_number(batch)))
    project.arrives(*steps(1, range(3)))
    project.run(W + DAY)
    other = replace(project.made, fingerprint="other", number=between[-1], watermark=W + 5)
    project.store.online.write(lambda batch: batch.put_meta("view/view/other", other.to_bytes()))
    done = project.store.rollback("view")
    assert (done.generation, done.fingerprint, done.watermark) == (first.generation, first.fingerprint, format_instant(W))
