"""Write a serve log behind the server's back: from a queue, by a thread of its own, into files that are whole or not there.

Nobody waits for it. What finds the queue full is dropped, and so is what the disk does not take; both are counted. Rows are
made columns a small piece at a time, because the thread holds up the answers of its process while it does; what takes long,
encoding and writing a file, Arrow does beside them. The thread has no lower priority: were it put aside while it holds the
interpreter's lock, answers would wait for it.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.atomic import aside, commit, me, removed_on_error
from featurestore.errors import StoreError
from featurestore.intervals import Clock, SystemClock
from featurestore.serve_log.layout import FORMAT, FORMAT_KEY, file_of
from featurestore.serve_log.retention import drop_before, drop_beyond, sweep

log = logging.getLogger(__name__)

LOOK_EVERY = 0.2
"""Seconds between looks into the queue."""
PIECE_ROWS = 1_000
"""About how many rows are made columns at once: enough to pay for what a piece of many columns costs by itself."""
PATIENCE = 2.0
"""Seconds after which fewer are, too."""
FILE_ROWS, FILE_BYTES = 100_000, 64_000_000
"""A file is written before its time when so much was gathered."""
TIDY_EVERY = 60.0
"""Seconds between looks at what has to go."""
QUEUE, DISK, ERROR = "queue", "disk", "error"
"""Why rows are dropped: the queue was full; the file could not be written; a defect."""

T = TypeVar("T")


class Piece(NamedTuple):
    """Rows of one service by one definition. table: with the columns of `layout.COLUMNS` and more."""

    service: str
    fingerprint: str
    table: pa.Table


class Limits(NamedTuple):
    """queue: rows that may wait. every: seconds that rows are gathered for a file. retention: microseconds. size: bytes."""

    queue: int
    every: float
    retention: int
    size: int


class Writer(Generic[T]):
    """Takes what was served from one thread, and writes it by another.

    columns: makes rows of what was added; it is called by the writing thread. dropped: rows, by reason.
    Raises: StoreError FS486 where the folder cannot be written.
    """

    def __init__(
        self, folder: Path, columns: Callable[[Sequence[T]], Iterable[Piece]], limits: Limits, clock: Clock | None = None
    ) -> None:
        self._folder, self._columns, self._limits, self._clock = folder, columns, limits, clock or SystemClock()
        self.rows = self.bytes = self.files = 0
        self.dropped: Counter[str] = Counter({QUEUE: 0, DISK: 0, ERROR: 0})
        self._waiting: deque[tuple[T, int]] = deque()
        self._added = self._taken = 0  # each is written by one thread alone
        self._gathered: list[Piece] = []
        self._held_rows = self._held_bytes = self._number = 0
        self._since = self._tidied = self._looked = 0.0
        self._name = f"{me()}-{secrets.token_hex(4)}"
        self._told = False
        check_writable(folder)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serve log", daemon=True)
        self._thread.start()

    def add(self, served: T, rows: int) -> None:
        """Have it logged if there is room. Never waits."""
        if self._added - self._taken + rows > self._limits.queue:
            self.dropped[QUEUE] += rows
            return
        self._added += rows
        self._waiting.append((served, rows))

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most."""
        self._ended.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            ended = self._ended.wait(LOOK_EVERY)
            while self._waiting and (ended or self._is_time()):
                self._gather()
            self._write_what_is_due(now=ended)
            if ended:
                return
            self._tidy()

    def _is_time(self) -> bool:
        """Whether enough waits, or has waited for long enough."""
        return (
            self._added - self._taken >= min(PIECE_ROWS, self._limits.queue // 2) or time.monotonic() - self._looked >= PATIENCE
        )

    def _gather(self) -> None:
        """Make columns of a piece of what waits."""
        self._looked = time.monotonic()
        taken, rows = [], 0
        while self._waiting and rows < PIECE_ROWS:
            served, count = self._waiting.popleft()
            taken.append(served)
            rows += count
        try:
            pieces = list(self._columns(taken))
        except Exception:
            self._lose(rows, ERROR)
        else:
            if not self._gathered:
                self._since = self._looked
            self._gathered += pieces
            self._held_rows += rows
            self._held_bytes += sum(piece.table.nbytes for piece in pieces)
            if self._held_rows >= FILE_ROWS or self._held_bytes >= FILE_BYTES:
                self._write()
        self._taken += rows

    def _write_what_is_due(self, *, now: bool) -> None:
        if self._gathered and (now or time.monotonic() - self._since >= self._limits.every):
            self._write()

    def _write(self) -> None:
        """A file per service and definition of what was gathered; more where columns agree in no type."""
        gathered, self._gathered = self._gathered, []
        self._held_rows = self._held_bytes = 0
        by_service: dict[tuple[str, str], list[pa.Table]] = {}
        for piece in gathered:
            by_service.setdefault((piece.service, piece.fingerprint), []).append(piece.table)
        for (service, _), tables in by_service.items():
            try:
                together = _together(tables)
            except Exception:  # no memory, say: the thread has to live on
                self._lose(sum(table.num_rows for table in tables), ERROR)
                continue
            for table in together:
                self._write_one(service, table)

    def _write_one(self, service: str, table: pa.Table) -> None:
        try:
            size = self._written(service, table)
        except OSError:
            self._lose(table.num_rows, DISK)
        except Exception:
            self._lose(table.num_rows, ERROR)
        else:
            self.rows += table.num_rows
            self.bytes += size
            self.files += 1

    def _written(self, service: str, table: pa.Table) -> int:
        """Returns: bytes. Raises: OSError."""
        least = pc.min_max(table["t"].cast(pa.int64())).as_py()
        self._number += 1
        name = f"{self._name}-{self._number}"
        path = file_of(self._folder, service, self._clock.now(), least["min"], least["max"], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = aside(path)
        with removed_on_error(written):
            pq.write_table(table.replace_schema_metadata({FORMAT_KEY: str(FORMAT)}), written, compression="zstd")
            size = written.stat().st_size
            commit(written, path)
        return size

    def _tidy(self) -> None:
        """Delete what is too old or too much, and, at first, what the dead left aside."""
        if self._tidied and time.monotonic() - self._tidied < TIDY_EVERY:
            return
        try:
            if not self._tidied:
                sweep(self._folder)
            drop_before(self._folder, self._clock.now() - self._limits.retention)
            drop_beyond(self._folder, self._limits.size)
        except OSError:
            self._tell("what is too old or too much of the serve log cannot be deleted")
        self._tidied = time.monotonic()

    def _lose(self, rows: int, reason: str) -> None:
        self.dropped[reason] += rows
        self._tell("rows of the serve log are lost; featurestore_serve_log_dropped_rows counts them")

    def _tell(self, what: str) -> None:
        """Once: a disk that is full stays full for long."""
        if not self._told:
            self._told = True
            log.warning(what, exc_info=True)


def check_writable(folder: Path) -> None:
    """Make the folder. Raises: StoreError FS486 where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        what = f"cannot write the serve log: {(error.strerror or str(error)).lower()}"
        raise StoreError("FS486", what, where=folder.name, hint="[serve_log] path, or --no-serve-log") from None


def _together(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """One table of all columns, if they agree; else as many as there are schemas."""
    try:
        return [pa.concat_tables(tables, promote_options="default")]
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        alike: dict[pa.Schema, list[pa.Table]] = {}
        for table in tables:
            alike.setdefault(table.schema, []).append(table)
        return [pa.concat_tables(some) for some in alike.values()]


__all__ = ["Limits", "Piece", "Writer", "check_writable"]
