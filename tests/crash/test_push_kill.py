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
        for heard, told in pipes:
            told.close()
            while True:
                try:
                    acknowledged.add(heard.recv())
                except EOFError:
                    break
                except Exception:  # it was killed while it spoke
                    break
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


def test_the_fail_points_are_those_that_matter() -> None:
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
