"""The push log: what was acknowledged is there, in order, whatever tears or flips; nothing is dropped in silence."""

from __future__ import annotations

import os
import shutil
import struct
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.errors import PushError, StoreError, StoreFormat, StoreLocked
from featurestore.intervals import FixedClock, SystemClock
from featurestore.sources import push_compaction, push_log
from featurestore.sources.push_compaction import compact
from featurestore.sources.push_log import PushLog, read_log, rows_after, segment_paths
from tests.crash.killing import CONTEXT

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])


def batch(*ids: int, schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"id": i, "text": f"row {i}"} for i in ids], schema=schema)


def rows(folder: Path, until: int | None = None) -> list[tuple[int, int, int]]:
    """(position, known time, id) of every row, from Parquet and segments."""
    found = read_log(folder, until)
    if found is None:
        return []
    tables = [*(pq.read_table(f.path) for f in found.files), *found.tables]
    read = pa.concat_tables(t.select(["__position", "__pushed_at", "id"]) for t in tables)
    columns = [column.cast(pa.int64()).to_pylist() for column in read.columns]
    return list(zip(*columns, strict=True))


def pushed(folder: Path, *groups: tuple[int, ...], clock: Any = None) -> PushLog:
    log, clock = PushLog(folder), clock or FixedClock(1_000)
    for group in groups:
        log.append(batch(*group), clock)
    return log


# Order.


def test_rows_have_the_next_positions_and_known_times_that_only_grow(tmp_path: Path) -> None:
    clock, log = FixedClock(500), PushLog(tmp_path / "s")
    first = log.append(batch(1, 2, 3), clock)
    assert (first.first, first.last, first.first_known, first.known_at) == (1, 3, 500, 502)
    clock.micros = 100  # the clock steps back
    assert log.append(batch(4), clock).known_at == 503
    assert PushLog(tmp_path / "s").append(batch(5), clock).known_at == 504
    clock.micros = 900
    assert log.append(batch(6), clock).known_at == 900
    assert rows(tmp_path / "s") == [(1, 500, 1), (2, 501, 2), (3, 502, 3), (4, 503, 4), (5, 504, 5), (6, 900, 6)]


def test_a_log_of_which_nothing_is_there_reads_as_none(tmp_path: Path) -> None:
    assert read_log(tmp_path / "s") is None
    assert not (tmp_path / "s").exists()


def test_up_to_a_position_it_reads_as_it_was_then(tmp_path: Path) -> None:
    pushed(tmp_path / "s", (1, 2), (3,), (4, 5))
    whole = rows(tmp_path / "s")
    assert rows(tmp_path / "s", until=4) == whole[:4]
    with pytest.raises(StoreError, match="position 6 is missing"):
        read_log(tmp_path / "s", 6)


def test_other_columns_begin_another_segment(tmp_path: Path) -> None:
    wider = SCHEMA.append(pa.field("more", pa.bool_()))
    log = pushed(tmp_path / "s", (1,), (2,))
    log.append(batch(3, schema=wider), FixedClock(0))
    log.append(batch(4), FixedClock(0))
    assert len(segment_paths(tmp_path / "s")) == 3
    assert [i for _, _, i in rows(tmp_path / "s")] == [1, 2, 3, 4]
    assert [t.num_rows for t in read_log(tmp_path / "s").tables] == [2, 1, 1]  # type: ignore[union-attr]


def test_a_full_segment_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_log, "SEGMENT_BYTES", 4_000)
    pushed(tmp_path / "s", *((i,) for i in range(50)))
    assert len(segment_paths(tmp_path / "s")) > 3
    assert [i for _, _, i in rows(tmp_path / "s")] == list(range(50))


def test_a_push_beyond_any_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_log, "MAX_BYTES", 10)
    with pytest.raises(PushError, match="bytes"):
        PushLog(tmp_path / "s").append(batch(1), FixedClock(0))
    assert not (tmp_path / "s").exists()


# Torn and damaged.


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, int]:
    """A log of two pushes and a third that no one was told of: its folder, its segment, and where the third begins."""
    folder = tmp_path_factory.mktemp("torn") / "s"
    log = pushed(folder, (1,), (2,))
    [path] = segment_paths(folder)
    told = (folder / "acknowledged").read_bytes()
    size = path.stat().st_size
    log.append(batch(3), FixedClock(2_000))
    (folder / "acknowledged").write_bytes(told)
    return folder, path.read_bytes(), size


def test_a_tail_torn_at_any_byte_is_no_row_and_the_next_push_cuts_it_off(torn: Any, tmp_path: Path) -> None:
    folder, whole, size = torn
    for end in range(size, len(whole) + 1):
        copy = tmp_path / str(end)
        shutil.copytree(folder, copy)
        [path] = segment_paths(copy)
        path.write_bytes(whole[:end])
        kept = [1, 2, 3] if end == len(whole) else [1, 2]
        assert [i for _, _, i in rows(copy)] == kept, end
        arrival = PushLog(copy).append(batch(9), FixedClock(0))
        assert arrival.last == len(kept) + 1
        assert [i for _, _, i in rows(copy)] == [*kept, 9], end
        shutil.rmtree(copy)


def test_a_tail_of_which_bytes_never_came_to_the_disk_is_cut_off(torn: Any, tmp_path: Path) -> None:
    folder, whole, size = torn
    for hole in range(size, len(whole), 7):
        copy = tmp_path / str(hole)
        shutil.copytree(folder, copy)
        [path] = segment_paths(copy)
        holed = whole[:hole] + bytes(len(whole) - hole)
        path.write_bytes(holed)
        PushLog(copy).append(batch(9), FixedClock(0))
        assert [i for _, _, i in rows(copy)] == ([1, 2, 3, 9] if holed == whole else [1, 2, 9]), hole


def test_a_bit_flipped_in_what_was_acknowledged_is_an_error_for_readers_and_writers(torn: Any, tmp_path: Path) -> None:
    folder, whole, size = torn
    rng = Random(7)
    for at in (*range(0, 40), *range(40, size, 3)):
        flipped = bytearray(whole[:size])
        flipped[at] ^= 1 << rng.randrange(8)
        copy = tmp_path / str(at)
        shutil.copytree(folder, copy)
        [path] = segment_paths(copy)
        path.write_bytes(bytes(flipped))
        with pytest.raises(StoreError) as caught:
            rows(copy)
        assert caught.value.code in ("FS440", "FS441"), at
        with pytest.raises(StoreError):
            PushLog(copy).append(batch(9), FixedClock(0))
        assert path.read_bytes() == bytes(flipped), "nothing is cut off where something is damaged"
        shutil.rmtree(copy)


def test_a_flip_before_a_whole_push_is_damage_even_if_the_note_of_what_was_acknowledged_is_lost(
    torn: Any, tmp_path: Path
) -> None:
    folder, whole, size = torn
    shutil.copytree(folder, tmp_path / "s")
    (tmp_path / "s" / "acknowledged").unlink()
    [path] = segment_paths(tmp_path / "s")
    path.write_bytes(whole[: size - 1] + bytes([whole[size - 1] ^ 1]) + whole[size:])
    with pytest.raises(StoreError, match="damaged"):
        rows(tmp_path / "s")


def test_without_the_note_of_what_was_acknowledged_all_whole_pushes_count(torn: Any, tmp_path: Path) -> None:
    folder, whole, _ = torn
    shutil.copytree(folder, tmp_path / "s")
    [path] = segment_paths(tmp_path / "s")
    path.write_bytes(whole)
    (tmp_path / "s" / "acknowledged").write_bytes(b"rubbish")
    assert [i for _, _, i in rows(tmp_path / "s")] == [1, 2, 3]


def test_a_segment_that_is_gone_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_log, "SEGMENT_BYTES", 1)
    pushed(tmp_path / "s", (1,), (2,), (3,))
    segment_paths(tmp_path / "s")[1].unlink()
    with pytest.raises(StoreError, match="position 2 is missing"):
        rows(tmp_path / "s")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_state_that_cannot_be_read_is_damage(text: str, tmp_path: Path) -> None:
    pushed(tmp_path / "s", (1,))
    (tmp_path / "s" / "log.json").write_text(text)
    with pytest.raises(StoreError) as caught:
        rows(tmp_path / "s")
    assert caught.value.code == "FS440"


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    log = pushed(tmp_path / "s", (1,))
    path = tmp_path / "s" / "log.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    for work in (lambda: rows(tmp_path / "s"), lambda: compact(tmp_path / "s")):
        with pytest.raises(StoreFormat, match="format 2"):
            work()
    with pytest.raises(StoreFormat):
        PushLog(tmp_path / "s").append(batch(2), FixedClock(0))
    del log


def test_a_disk_without_room_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = pushed(tmp_path / "s", (1,))
    [path] = segment_paths(tmp_path / "s")
    before = path.read_bytes()
    write = os.pwrite

    def fails(handle: int, data: bytes, offset: int) -> int:
        write(handle, data[: len(data) // 2], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fails)
    with pytest.raises(StoreError) as caught:
        log.append(batch(2), FixedClock(0))
    assert caught.value.code == "FS405"
    assert path.read_bytes() == before
    monkeypatch.undo()
    assert log.append(batch(2), FixedClock(0)).last == 2


def test_a_shorter_segment_in_the_place_of_one_that_never_got_a_row_is_whole(tmp_path: Path) -> None:
    log = pushed(tmp_path / "s", (1,))
    tail = push_log.open_tail(tmp_path / "s")
    push_log.roll(tmp_path / "s", tail, SCHEMA.append(pa.field("much_more", pa.string())), None)
    dead = (tmp_path / "s" / "acknowledged").read_bytes()
    again = push_log.roll(tmp_path / "s", push_log.open_tail(tmp_path / "s"), SCHEMA, None)
    assert again.size < struct.unpack("<QQ", dead[:16])[1]
    # The writer of the shorter one dies too, before it can note how long it is: whatever note there is must not harm.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push_log, "_acknowledge", lambda *_: None)
        (tmp_path / "s" / "acknowledged").write_bytes(dead)
        push_log.roll(tmp_path / "s", tail, SCHEMA, None)
    assert [i for _, _, i in rows(tmp_path / "s")] == [1]
    assert log.append(batch(2), FixedClock(0)).last == 2
    assert [i for _, _, i in rows(tmp_path / "s")] == [1, 2]


def test_a_push_counts_even_if_the_note_of_it_cannot_be_written(tmp_path: Path) -> None:
    log = pushed(tmp_path / "s", (1,))
    (tmp_path / "s" / "acknowledged").unlink()
    (tmp_path / "s" / "acknowledged").symlink_to(tmp_path / "none" / "such")
    assert log.append(batch(2), FixedClock(0)).last == 2
    assert [i for _, _, i in rows(tmp_path / "s")] == [1, 2]


# Many at once.


def test_pushes_that_wait_for_the_disk_share_one_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, synced, sync = pushed(tmp_path / "s", (0,)), [], os.fsync

    def slow(handle: int) -> None:
        synced.append(handle)
        time.sleep(0.1)
        sync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=log.append, args=(batch(i), SystemClock())) for i in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(synced) < 6
    found = rows(tmp_path / "s")
    assert [position for position, _, _ in found] == list(range(1, 22))
    assert sorted(i for _, _, i in found) == list(range(21))


def push_many(folder: Path, first: int, count: int) -> None:
    log = PushLog(folder)
    for number in range(first, first + count):
        log.append(batch(number), SystemClock())


def test_several_processes_push_while_others_read_and_compact(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    pushed(folder, (0,))
    workers = [CONTEXT.Process(target=push_many, args=(folder, 1 + 60 * n, 60)) for n in range(3)]
    for worker in workers:
        worker.start()
    before: list[Any] = []
    while any(worker.is_alive() for worker in workers):
        found = rows(folder)
        assert found[: len(before)] == before, "a position always means the same row"
        before = found
        compact(folder)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    found = rows(folder)
    assert sorted(i for _, _, i in found) == list(range(181))
    known = [k for _, k, _ in found]
    assert known == sorted(set(known))


# Compaction.


def test_compaction_keeps_rows_positions_and_arrivals(tmp_path: Path) -> None:
    log = pushed(tmp_path / "s", (1, 2), (3,))
    before = rows(tmp_path / "s")
    assert compact(tmp_path / "s") == push_compaction.Folded(3, 1, 3)
    assert rows(tmp_path / "s") == before
    assert compact(tmp_path / "s") == push_compaction.Folded(0, 0, 3)
    assert log.append(batch(4), FixedClock(0)).first == 4
    assert [i for _, _, i in rows(tmp_path / "s")] == [1, 2, 3, 4]
    assert compact(tmp_path / "s") == push_compaction.Folded(1, 1, 4)
    assert [i for _, _, i in rows(tmp_path / "s")] == [1, 2, 3, 4]
    assert [p.stat().st_size > 0 for p in segment_paths(tmp_path / "s")] == [True]


def test_the_arrival_is_kept_as_the_created_time_too(tmp_path: Path) -> None:
    PushLog(tmp_path / "s").append(batch(1), FixedClock(77), created="loaded_at")
    compact(tmp_path / "s")
    [file] = read_log(tmp_path / "s").files  # type: ignore[union-attr]
    assert pq.read_table(file.path)["loaded_at"].cast(pa.int64()).to_pylist() == [77]


def test_compaction_of_nothing(tmp_path: Path) -> None:
    assert compact(tmp_path / "s") == push_compaction.Folded(0, 0, 0)
    assert not (tmp_path / "s").exists()


def test_one_compaction_at_a_time(tmp_path: Path) -> None:
    pushed(tmp_path / "s", (1,))
    with push_compaction._alone(tmp_path / "s"), pytest.raises(StoreLocked):
        compact(tmp_path / "s")


def test_a_parquet_file_that_is_gone_is_damage_when_its_rows_are_wanted(tmp_path: Path) -> None:
    from featurestore import ParquetSource
    from featurestore.sources import open_source

    pushed(tmp_path / "s", (1,))
    compact(tmp_path / "s")
    next((tmp_path / "s" / "compacted").iterdir()).unlink()
    facts = pa.table({"id": [1], "text": ["a"], "at": pa.array([1]).cast(pa.timestamp("us", "UTC"))})
    pq.write_table(facts, tmp_path / "f.parquet")
    source = ParquetSource(name="s", path="f.parquet", event_timestamp="at", row_key=["id"])
    with pytest.raises(StoreError, match="it is gone"):
        open_source(source, tmp_path, tmp_path / "s")


def test_what_lies_behind_a_position_is_read_without_what_lies_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_log, "SEGMENT_BYTES", 900)
    folder, clock = tmp_path / "s", FixedClock(1_000)
    log = pushed(folder, (1, 2, 3), (4,), clock=clock)
    compact(folder)
    for i in range(5, 25):
        clock.micros += 10
        log.append(batch(i), clock)
    assert len(segment_paths(folder)) > 3

    def ids(after: int, known_from: int | None = None) -> list[int]:
        found = read_log(folder, after=0 if known_from else after)
        assert found is not None
        assert found.position == 24
        return [i for table in rows_after(found, after, known_from) for i in table["id"].to_pylist()]

    for position in range(25):
        assert ids(position) == list(range(position + 1, 25))
        assert ids(position, known_from=1_002) == [i for i in range(1, 25) if i > position or i >= 3]
    read = []
    monkeypatch.setattr(push_log, "_contents", lambda path: read.append(path) or memoryview(path.read_bytes()))
    ids(23)
    assert read == segment_paths(folder)[-1:]
