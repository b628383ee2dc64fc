"""kill -9 at any moment of a push or a compaction: what was acknowledged is there, once, and the log goes on."""

from __future__ import annotations

import os
import shutil
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.intervals import SystemClock
from featurestore.sources.push_compaction import compact, without
from featurestore.sources.push_log import PushLog, read_log
from tests.crash.killing import CONTEXT, FORGET_IN_LOG, KILLED, PATIENCE, fail_points, run

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
WRITERS, KILLS = 3, 12


def rows(folder: Path) -> list[tuple[int, int]]:
    """(position, id) of every row."""
    found = read_log(folder)
    assert found is not None
    tables = [*(pq.read_table(f.path) for f in found.files), *found.tables]
    return [(r["__position"], r["id"]) for t in tables for r in t.select(["__position", "id"]).to_pylist()]


def push(folder: Path, *ids: int) -> None:
    batch = pa.RecordBatch.from_pylist([{"id": i, "text": "x" * (i % 500)} for i in ids], schema=SCHEMA)
    PushLog(folder).append(batch, SystemClock())


def push_for_ever(folder: Path, first: int, told: Connection) -> None:
    """Say which row was acknowledged, one after the other."""
    log, number = PushLog(folder), first
    while True:
        batch = pa.RecordBatch.from_pylist([{"id": number, "text": "x" * (number % 2_000)}], schema=SCHEMA)
        log.append(batch, SystemClock())
        told.send(number)
        number += 1


def heard_of(pipes: list[tuple[Connection, Connection]]) -> set[int]:
    """What writers said before they were killed."""
    said = set[int]()
    for heard, told in pipes:
        told.close()
        while True:
            try:
                said.add(heard.recv())
            except Exception:  # there is no more, or it was killed while it spoke
                break
    return said


def compact_for_ever(folder: Path) -> None:
    while True:
        compact(folder)


def test_no_acknowledged_row_is_lost_when_writers_and_a_compaction_are_killed(tmp_path: Path) -> None:
    folder, rng, acknowledged, before = tmp_path / "s", Random(11), set[int](), list[tuple[int, int]]()
    push(folder, 0)
    for kill in range(KILLS):
        pipes = [CONTEXT.Pipe(duplex=False) for _ in range(WRITERS)]
        workers = [
            CONTEXT.Process(target=push_for_ever, args=(folder, 1_000_000 * (1 + kill * WRITERS + i), told))
            for i, (_, told) in enumerate(pipes)
        ]
        workers.append(CONTEXT.Process(target=compact_for_ever, args=(folder,)))
        for worker in workers:
            worker.start()
        assert pipes[0][0].poll(PATIENCE)
        workers[rng.randrange(len(workers))].join(0.05 + 0.2 * rng.random())
        for worker in rng.sample(workers, len(workers)):
            worker.kill()
            worker.join()
        acknowledged |= heard_of(pipes)
        found = rows(folder)
        assert [position for position, _ in found] == list(range(1, len(found) + 1))
        assert acknowledged <= {i for _, i in found}
        assert found[: len(before)] == before, "what was once read stays where it was"
        before = found
    assert len(acknowledged) > 20 * KILLS
    left = [p.name for p in folder.rglob("*") if "partial" in p.name]
    compact(folder)
    assert not [p.name for p in folder.rglob("*") if "partial" in p.name], left
    assert rows(folder) == before


@pytest.mark.parametrize("moment", sorted(fail_points("push")))
def test_a_push_killed_at_a_named_moment_counts_whole_or_not_at_all(moment: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    push(folder, 1, 2)
    assert run(push, folder, 3, 4, fail_at=moment) == KILLED
    found = [i for _, i in rows(folder)]
    assert found in ([1, 2], [1, 2, 3, 4])
    if moment == "push.synced":
        assert found == [1, 2, 3, 4]
    push(folder, 5)
    assert rows(folder) == list(enumerate([*found, 5], 1))


@pytest.mark.parametrize("moment", sorted(fail_points("compact")))
def test_a_compaction_killed_at_a_named_moment_leaves_every_row_once_and_goes_on(moment: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    push(folder, 1, 2)
    compact(folder)
    push(folder, 3)
    push(folder, 4)
    before = rows(folder)
    assert run(compact, folder, fail_at=moment) == KILLED
    assert rows(folder) == before
    push(folder, 5)
    now = [*before, (5, 5)]
    assert rows(folder) == now
    compact(folder)
    assert rows(folder) == now
    state = read_log(folder)
    assert state is not None
    assert {f.path.name for f in state.files} == {p.name for p in (folder / "compacted").iterdir()}
    assert len(list((folder / "segments").iterdir())) == 1


def forget(folder: Path) -> None:
    without(folder, lambda table: pc.equal(table["id"], 3))


def test_rows_being_forgotten_are_all_there_when_killed_and_all_gone_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    push(folder, 1, 2, 3)
    push(folder, 3)
    before = rows(folder)
    assert run(forget, folder, fail_at=FORGET_IN_LOG) == KILLED
    assert rows(folder) == before
    push(folder, 5)
    forget(folder)
    assert rows(folder) == [(1, 1), (2, 2), (5, 5)]
    state = read_log(folder)
    assert state is not None
    assert {f.path.name for f in state.files} == {p.name for p in (folder / "compacted").iterdir()}
    push(folder, 6)
    assert rows(folder) == [(1, 1), (2, 2), (5, 5), (6, 6)]


# Online.

DEFINITIONS = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

rows = ParquetSource(name="rows", path="data/*.parquet", event_timestamp="at", delay="0s", row_key=["id"])
features = [latest("x"), agg.sum("x", window=None, name="total"), agg.count(window=None, name="n")]
view = FeatureView(name="view", entities=[Entity(name="who")], source=rows, features=features)
service = FeatureService(name="service", features=[view])
"""


def project(root: Path) -> Path:
    for name in ("registry", "data"):
        (root / name).mkdir(parents=True)
    (root / "featurestore.toml").write_text('[project]\nname = "killed"\n')
    (root / "registry" / "all.py").write_text(DEFINITIONS)
    at = pa.array([1_704_067_200_000_000], pa.int64()).cast(pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"id": [0], "who": [7], "x": [1], "at": at}), root / "data" / "a.parquet")
    materialize(root)
    return root


def materialize(root: Path) -> None:
    store = FeatureStore(root)
    store.materialize()
    store.online.close()


def push_online(root: Path, *ids: int) -> None:
    store = FeatureStore(root)
    store.push("rows", [{"id": i, "who": 7, "x": 10**i, "at": "2024-01-02T00:00:00Z"} for i in ids])
    store.online.close()


def online(root: Path) -> list[int]:
    store = FeatureStore(root)
    found = store.get_online_features("service", {"who": 7}).rows[0]
    store.online.close()
    return found


@pytest.mark.parametrize("moment", sorted({*fail_points("push"), *fail_points("apply")}))
def test_killed_before_a_push_is_online_it_comes_with_the_next_one_or_with_a_run(moment: str, tmp_path: Path) -> None:
    for next_one in ("push", "run"):
        root = project(tmp_path / next_one)
        push_online(root, 1)
        assert run(push_online, root, 2, fail_at=moment) == KILLED
        counts = ([10, 11, 2], [100, 111, 3])
        assert online(root) in counts
        kept = [i for _, i in rows(root / ".featurestore" / "push" / "rows")]
        assert kept in ([1], [1, 2])
        assert kept == [1, 2] or moment == "push.written"
        assert online(root) == counts[kept == [1, 2]] or moment not in ("apply.done",)
        if next_one == "run":
            materialize(root)
            assert online(root) == counts[kept == [1, 2]]
            continue
        push_online(root, 3)
        assert online(root)[1:] == [1 + sum(10**i for i in [*kept, 3]), len(kept) + 2]
        materialize(root)
        assert online(root)[1:] == [1 + sum(10**i for i in [*kept, 3]), len(kept) + 2]


def push_online_for_ever(root: Path, first: int, told: Connection) -> None:
    store, number = FeatureStore(root), first
    while True:
        store.push("rows", [{"id": number, "who": number % 5, "x": 1, "at": "2024-01-02T00:00:00Z"}])
        told.send(number)
        number += 1


def materialize_for_ever(root: Path) -> None:
    store = FeatureStore(root)
    while True:
        store.materialize()


def test_pushes_and_runs_that_are_killed_lose_and_double_nothing_online(tmp_path: Path) -> None:
    root, rng, acknowledged = project(tmp_path / "p"), Random(3), set[int]()
    for kill in range(KILLS // 2):
        pipes = [CONTEXT.Pipe(duplex=False) for _ in range(2)]
        workers = [
            CONTEXT.Process(target=push_online_for_ever, args=(root, 1_000_000 * (1 + kill * 2 + i), told))
            for i, (_, told) in enumerate(pipes)
        ]
        workers.append(CONTEXT.Process(target=materialize_for_ever, args=(root,)))
        for worker in workers:
            worker.start()
        assert pipes[0][0].poll(PATIENCE)
        workers[-1].join(0.3 + rng.random())
        for worker in rng.sample(workers, len(workers)):
            worker.kill()
            worker.join()
        acknowledged |= heard_of(pipes)
        push_online(root, 3)  # after it all that is in the log is online
        kept = {i for _, i in rows(root / ".featurestore" / "push" / "rows")}
        assert acknowledged <= kept
        store = FeatureStore(root)
        found = store.get_online_features("service", {"who": [0, 1, 2, 3, 4, 7]})
        assert set().union(*found.statuses) == {"present"}
        assert sum(n for _, _, n in found.rows) == len(kept) + 1
        store.online.close()
    assert len(acknowledged) > 20


def test_the_fail_points_are_those_that_matter() -> None:
    assert fail_points("apply") == {"apply.filled", "apply.done"}
    assert fail_points("push") == {"push.written", "push.synced"}
    assert fail_points("compact") == {
        "compact.closed", "compact.file", "compact.written", "compact.switched", "compact.done",
    }  # fmt: skip


def test_a_first_push_killed_before_the_log_had_a_name(tmp_path: Path) -> None:
    """What a crash may leave of a log's beginning: a folder, a lock, a state without segments."""
    for left in ([], ["lock"], ["lock", "log.json"]):
        folder = tmp_path / str(len(left))
        push(tmp_path / "whole", 1)
        folder.mkdir()
        for name in left:
            shutil.copy(tmp_path / "whole" / name, folder / name)
        found = read_log(folder)
        assert found is None or found.position == 0
        push(folder, 7)
        assert rows(folder) == [(1, 7)]
        shutil.rmtree(tmp_path / "whole")
    assert os.listdir(tmp_path)
