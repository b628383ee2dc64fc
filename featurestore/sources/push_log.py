"""The push log of a source: rows that came one by one, durable before they are acknowledged, in the order they came.

Decides positions and known times: every row has the next position, and a known time after that of the row before it, even
when the clock steps back. A folder `.featurestore/push/<source>/` holds

    log.json            which log this is, and up to which position Parquet holds its rows
    segments/<n>.log    rows from position n on (`push_segments`); the newest grows
    compacted/*.parquet rows that were folded (`push_compaction`)
    acknowledged        how far the newest segment was written when a push was last acknowledged; a hint, never synced
    lock                held exclusively while rows are added or files switched, shared while files are listed

Pushes of many threads share one fsync; processes take turns. What a column means is not known here.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore import atomic
from featurestore.definitions.source import PUSHED_AT
from featurestore.errors import PushError
from featurestore.failpoints import reach
from featurestore.intervals import FOREVER, Clock
from featurestore.sources import push_segments as segments
from featurestore.sources.push_segments import Header

SEGMENT_BYTES = 64 << 20
"""A segment that has grown beyond it is followed by a new one."""
MAX_BYTES = 1 << 30
"""The most bytes of one push."""
_NEVER = -FOREVER
"""Before any known time."""
_ACKNOWLEDGED = struct.Struct("<QQI")


@dataclass(frozen=True)
class Compacted:
    """A Parquet file that holds the rows of positions `first` to `last`."""

    path: Path
    first: int
    last: int


@dataclass(frozen=True)
class Pushed:
    """A log as it was at one moment: all rows up to `position`, in files and in tables.

    log: which log, by a name that no other has. A position of a log always means the same row.
    """

    log: str
    position: int
    files: tuple[Compacted, ...]
    tables: tuple[pa.Table, ...]


@dataclass(frozen=True)
class Arrival:
    """Where a push stands: the positions and known times of its first and last row."""

    first: int
    last: int
    first_known: int
    known_at: int


@dataclass(frozen=True)
class State:
    """What log.json says. forgotten: how often rows were taken out for good."""

    log: str
    folded: int
    files: tuple[Compacted, ...]
    forgotten: int = 0

    @property
    def name(self) -> str:
        """The log as readers know it: another one, once rows are gone that they may have read."""
        return f"{self.log}.{self.forgotten}" if self.forgotten else self.log

    def to_text(self, source: str) -> str:
        files = [{"file": f.path.name, "first": f.first, "last": f.last} for f in self.files]
        told = {
            "format": segments.FORMAT, "source": source, "log": self.log, "folded": self.folded,
            "forgotten": self.forgotten, "files": files,
        }  # fmt: skip
        return json.dumps(told, indent=2) + "\n"


@dataclass(frozen=True)
class _Tail:
    """Where the next push goes: behind `size` bytes of a segment; position and known time of the row before it."""

    path: Path
    header: Header
    size: int
    position: int
    known_at: int


@dataclass(frozen=True)
class Appended:
    """Rows that are in a log now, of positions first to last, as a reader gets them."""

    log: str
    first: int
    last: int
    rows: pa.Table


class _Waiting:
    """A push of some thread that waits for an fsync."""

    def __init__(self, batch: pa.RecordBatch, created: str | None) -> None:
        self.batch, self.created = batch, created
        self.payload, self.rows, self.schema = batch.serialize().to_pybytes(), batch.num_rows, batch.schema
        self.arrival: Arrival | None = None
        self.log = ""
        self.error: BaseException | None = None

    def appended(self, arrival: Arrival) -> Appended:
        known = range(arrival.first_known, arrival.known_at + 1)
        rows = segments.as_read(pa.Table.from_batches([self.batch]), arrival.first, known, self.created)
        return Appended(self.log, arrival.first, arrival.last, rows)


class PushLog:
    """The log of one source, to add to. For any number of threads and processes.

    then: is given what was added, in order, once it is on the disk and before it is acknowledged; whatever it raises is no
    error of the log's.
    """

    def __init__(self, folder: Path, then: Callable[[Sequence[Appended]], None] | None = None) -> None:
        self.folder, self._then = folder, then
        self._waiting: list[_Waiting] = []
        self._queue, self._leader = threading.Lock(), threading.Lock()
        self._tail: _Tail | None = None

    def append(self, rows: pa.RecordBatch, clock: Clock, *, created: str | None = None) -> Arrival:
        """Add rows, at least one, all or none; they are on the disk on return.

        created: the column under which the arrival is read beside its reserved name.
        Raises: PushError FS340 (too large), StoreError FS405 (disk full), FS407, FS440 (damaged), FS441 (a newer format);
        nothing was then added.
        """
        if rows.nbytes > MAX_BYTES:
            what = f"a push of {rows.nbytes:,} bytes; one takes {MAX_BYTES:,}"
            raise PushError("FS340", what, hint="several pushes")
        mine = _Waiting(rows, created)
        with self._queue:
            self._waiting.append(mine)
        with self._leader:  # whoever comes first writes for all who wait
            if mine.arrival is None and mine.error is None:
                with self._queue:
                    group, self._waiting = self._waiting, []
                self._write(group, clock)
        if mine.error is not None:
            raise mine.error
        assert mine.arrival is not None
        return mine.arrival

    def _write(self, group: Sequence[_Waiting], clock: Clock) -> None:
        try:
            with atomic.disk_errors(self.folder), locked(self.folder, create=True):
                for alike in _alike(group):
                    self._commit(alike, clock)
        except BaseException as error:
            self._tail = None
            for one in group:
                if one.arrival is None:
                    one.error = error
        done = [one.appended(one.arrival) for one in group if one.arrival is not None]
        if done and self._then is not None:
            self._then(done)

    def _commit(self, group: Sequence[_Waiting], clock: Clock) -> None:
        """Write pushes of one schema behind each other, and force them to the disk."""
        tail = self._place(group[0])
        position, known_at, arrivals, parts = tail.position, tail.known_at, [], []
        for one in group:
            first_known = max(clock.now(), known_at + 1)
            parts.append(segments.encode(position + 1, first_known, one.rows, one.payload))
            arrivals.append(Arrival(position + 1, position + one.rows, first_known, first_known + one.rows - 1))
            position, known_at = arrivals[-1].last, arrivals[-1].known_at
        size = _appended(tail, b"".join(parts))
        _acknowledge(self.folder, tail.header.first, size)
        self._tail = _Tail(tail.path, tail.header, size, position, known_at)
        for one, arrival in zip(group, arrivals, strict=True):
            one.log, one.arrival = tail.header.log, arrival

    def _place(self, one: _Waiting) -> _Tail:
        """Where a push goes: the newest segment, or a new one if that is full or holds other columns."""
        tail = self._tail
        if tail is None or not _still(self.folder, tail):
            tail = open_tail(self.folder)
        header = tail.header
        fits = header.schema.equals(one.schema) and header.created == one.created
        if tail.size and fits and tail.size < SEGMENT_BYTES:
            return tail
        return roll(self.folder, tail, one.schema, one.created)


def _alike(group: Sequence[_Waiting]) -> list[list[_Waiting]]:
    """Pushes in order, parted where the columns change."""
    parted: list[list[_Waiting]] = []
    for one in group:
        if parted and parted[-1][0].schema.equals(one.schema) and parted[-1][0].created == one.created:
            parted[-1].append(one)
        else:
            parted.append([one])
    return parted


def _appended(tail: _Tail, data: bytes) -> int:
    """Write behind the tail and sync. On failure what was written is cut off again. Returns: the new size."""
    handle = os.open(tail.path, os.O_WRONLY)
    try:
        done = 0
        while done < len(data):
            done += os.pwrite(handle, data[done:], tail.size + done)
        reach("push.written")
        os.fsync(handle)
    except BaseException:
        os.ftruncate(handle, tail.size)
        raise
    finally:
        os.close(handle)
    reach("push.synced")
    return tail.size + len(data)


def _acknowledge(folder: Path, first: int, size: int) -> None:
    """Note how far the newest segment is good. Not synced: if it is lost, or cannot be noted, the CRCs alone tell."""
    told = struct.pack("<QQ", first, size)
    with suppress(OSError):
        handle = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(handle, told + struct.pack("<I", zlib.crc32(told)), 0)
        finally:
            os.close(handle)


def _acknowledged(folder: Path) -> tuple[int, int]:
    """(the segment's first position, bytes) of the last push acknowledged, or (0, 0) if that is not known."""
    try:
        told = (folder / "acknowledged").read_bytes()
        first, size, crc = _ACKNOWLEDGED.unpack(told)
    except (FileNotFoundError, struct.error):
        return 0, 0
    return (first, size) if zlib.crc32(told[:16]) == crc else (0, 0)


def _still(folder: Path, tail: _Tail) -> bool:
    """Nobody else has added to the log since, or rolled it, and nobody died trying."""
    if _acknowledged(folder) != (tail.header.first, tail.size) or segment_paths(folder)[-1:] != [tail.path]:
        return False
    return tail.path.stat().st_size == tail.size


def open_tail(folder: Path) -> _Tail:
    """Find the end of the log, cutting off what a crash has torn. The log must be locked.

    Of a log without segments the tail has no bytes. Raises: StoreError FS440, FS441.
    """
    state = read_state(folder) or _new_log(folder)
    found = segment_paths(folder)
    if not found:
        nothing = Header(state.log, folder.name, state.folded + 1, _NEVER, pa.schema([]), None)
        return _Tail(folder, nothing, 0, state.folded, _NEVER)
    path = found[-1]
    data = memoryview(path.read_bytes())
    header, at = Header.read(data, where_of(path))
    position, known_at = header.first - 1, header.after
    for frame in segments.frames(data, at, header.first, acknowledged_in(folder, header), where_of(path)):
        position, known_at, at = frame.first + frame.rows - 1, frame.known_at + frame.rows - 1, frame.end
    if at < len(data):
        _cut(path, at)
    atomic.sync(path)  # rows whose writer died before it could sync them may be read already
    return _Tail(path, header, at, position, known_at)


def _cut(path: Path, size: int) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(handle, size)
        os.fsync(handle)
    finally:
        os.close(handle)


def roll(folder: Path, tail: _Tail, schema: pa.Schema, created: str | None) -> _Tail:
    """Begin a segment behind the tail. It has its name only once its header is on the disk."""
    header = Header(tail.header.log, folder.name, tail.position + 1, tail.known_at, schema, created)
    path = folder / "segments" / f"{header.first:020d}.log"
    if not path.parent.is_dir():
        path.parent.mkdir()
        atomic.sync(folder)
    data = header.to_bytes()
    if path.exists():  # its writer died before a row was in it, but what was acknowledged of it may be longer than this one
        (folder / "acknowledged").unlink(missing_ok=True)
        atomic.sync(folder)
    aside = atomic.aside(path)
    aside.write_bytes(data)
    atomic.commit(aside, path)
    _acknowledge(folder, header.first, len(data))
    return _Tail(path, header, len(data), tail.position, tail.known_at)


def _new_log(folder: Path) -> State:
    state = State(uuid.uuid4().hex, 0, ())
    write_state(folder, state)
    for parent in (folder.parent, *folder.parent.parents[:2]):  # .featurestore/push/, which may all be new
        atomic.sync(parent)
    return state


def write_state(folder: Path, state: State) -> None:
    """Switch to another state, all or nothing."""
    atomic.write_text(folder / "log.json", state.to_text(folder.name))


def read_state(folder: Path) -> State | None:
    """What log.json says, or None without a log. Raises: StoreError FS440, FS441."""
    path = folder / "log.json"
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        segments.check_format(told, where_of(path))
        files = tuple(Compacted(folder / "compacted" / f["file"], f["first"], f["last"]) for f in told["files"])
        return State(told["log"], told["folded"], files, told.get("forgotten", 0))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise segments.damaged(where_of(path), "log.json cannot be read") from None


def segment_paths(folder: Path) -> list[Path]:
    """The segments, oldest first."""
    return sorted((folder / "segments").glob("[0-9]*.log"))


def first_of(path: Path) -> int:
    """The position at which a segment begins."""
    return int(path.stem)


def acknowledged_in(folder: Path, header: Header) -> int:
    """Up to which byte of a segment nothing may be torn."""
    first, size = _acknowledged(folder)
    return size if first == header.first else 0


def where_of(path: Path) -> str:
    """A file of a log for a message."""
    return "/".join(path.parts[-3:] if path.parent.name in ("segments", "compacted") else path.parts[-2:])


@contextmanager
def locked(folder: Path, *, create: bool = False, shared: bool = False, name: str = "lock") -> Iterator[None]:
    """Hold the log's lock. create: make the folder if there is none. A holder that dies gives it up."""
    if create:
        folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / name, os.O_RDONLY | (os.O_CREAT if create else 0), 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# Reading.


def read_log(folder: Path, until: int | None = None, after: int = 0) -> Pushed | None:
    """The log as it is now, or up to the position `until`; None where nothing was ever pushed. after: segments that hold
    nothing behind that position are not read, and their rows missing.

    Raises: StoreError FS440 (damaged, or shorter than `until`), FS441.
    """
    if not (folder / "lock").is_file():
        return None
    with atomic.disk_errors(folder), locked(folder, shared=True):
        state = read_state(folder)
        if state is None:
            return None
        paths = [path for path in segment_paths(folder) if first_of(path) > state.folded]
        while len(paths) > 1 and first_of(paths[1]) <= after + 1:
            del paths[0]
        begin = first_of(paths[0]) - 1 if paths and after > state.folded else state.folded
        held = [(path, _contents(path)) for path in paths]
        acknowledged = _acknowledged(folder)
        if held and len(held[-1][1]) > (acknowledged[1] if acknowledged[0] == first_of(held[-1][0]) else 0):
            atomic.sync(held[-1][0])  # its writer died before it could: what is read must not be lost any more
    return _pushed(state, held, acknowledged, until, begin)


def _contents(path: Path) -> memoryview:
    """A segment's bytes as they are now. Read at once: it may be folded, and go, as soon as the lock is given up."""
    return memoryview(path.read_bytes())


def _pushed(
    state: State, held: Sequence[tuple[Path, memoryview]], acknowledged: tuple[int, int], until: int | None, position: int
) -> Pushed:
    """position: that before the first of the segments held."""
    tables: list[pa.Table] = []
    for number, (path, data) in enumerate(held, 1):
        header, at = Header.read(data, where_of(path))
        if header.first != position + 1 or header.log != state.log:
            raise segments.damaged(where_of(path), f"position {position + 1} is missing")
        whole = len(data) if number < len(held) else acknowledged[1] if acknowledged[0] == header.first else 0
        found = list(segments.frames(data, at, header.first, whole, where_of(path)))
        position = found[-1].first + found[-1].rows - 1 if found else position
        table = segments.decode(header, found)
        if tables and tables[-1].schema.equals(table.schema):
            table = pa.concat_tables([tables.pop(), table])
        tables.append(table)
    if until is not None and until > position:
        raise segments.damaged(state.name, f"position {until} is missing")
    pushed = Pushed(state.name, position, state.files, tuple(t for t in tables if t.num_rows))
    return pushed if until is None else up_to(pushed, until)


def up_to(pushed: Pushed, position: int) -> Pushed:
    """The rows up to a position."""
    files = tuple(f for f in pushed.files if f.first <= position)
    tables = [t.filter(pc.less_equal(t[segments.POSITION], position)) for t in pushed.tables]
    return Pushed(pushed.log, position, files, tuple(t for t in tables if t.num_rows))


def rows_after(pushed: Pushed, position: int, known_from: int | None = None) -> Iterator[pa.Table]:
    """The rows of a log behind a position, and (known_from) those before it that arrived at that instant or later: they are
    the last ones before it, for every row arrives after the one before."""
    for table in (*(_from_file(file, position, known_from) for file in pushed.files), *pushed.tables):
        if table is None:
            continue
        wanted = pc.greater(table[segments.POSITION], position)
        if known_from is not None:
            wanted = pc.or_(wanted, pc.greater_equal(table[PUSHED_AT].cast(pa.int64()), known_from))
        kept = table.filter(wanted)
        if kept.num_rows:
            yield kept


def _from_file(file: Compacted, position: int, known_from: int | None) -> pa.Table | None:
    """The rows of a file; None where its last row says that none is wanted."""
    if file.last <= position:
        if known_from is None:
            return None
        arrived = pc.max(pq.read_table(file.path, columns=[PUSHED_AT])[PUSHED_AT].cast(pa.int64())).as_py()
        if arrived is None or arrived < known_from:
            return None
    return pq.read_table(file.path)


__all__ = ["Appended", "Arrival", "Compacted", "PushLog", "Pushed", "State", "locked", "read_log", "rows_after"]
