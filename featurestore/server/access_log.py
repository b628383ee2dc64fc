"""The access log: one line of JSON per request, written by a thread of its own, so that no answer waits for a disk.

Lines are kept until the next write, a fifth of a second at most. A destination that takes nothing costs lines, which are
counted, and never answers. A file that was renamed (by logrotate) is opened anew.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from featurestore.errors import StoreError
from featurestore.server.wire import instant

WRITE_EVERY = 0.2
KEPT_AT_MOST = 100_000
"""Lines that may wait to be written."""
ATOMIC = 4_096
"""Bytes that a pipe takes whole: lines of several workers must not mix."""
TEXT_AT_MOST = 200


class Line(NamedTuple):
    """One request. time: microseconds at its end. seconds: from its head to its answer. size: bytes of the answer's body."""

    time: int
    method: str
    path: str
    status: int
    seconds: float
    size: int
    rows: int
    service: str
    key: str
    key_id: str
    request_id: bytes

    def to_json(self) -> bytes:
        told = {
            "time": instant(self.time),
            "method": self.method,
            "path": self.path[:TEXT_AT_MOST],
            "status": self.status,
            "seconds": round(self.seconds, 6),
            "bytes": self.size,
            "rows": self.rows,
            "service": self.service[:TEXT_AT_MOST],
            "key": self.key,
            "key_id": self.key_id,
            "request_id": self.request_id.decode("ascii"),
        }
        try:
            return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError:  # a lone surrogate in a name
            told["path"], told["service"] = ascii(told["path"]), ascii(told["service"])
            return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


class AccessLog:
    """Where lines go. path: a file; None: stderr. Raises: StoreError FS407 for a file that cannot be opened."""

    def __init__(self, path: Path | None = None) -> None:
        self.lost = 0
        self._path = path
        self._lines: deque[Line] = deque()
        self._handle = self._open()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        if len(self._lines) < KEPT_AT_MOST:
            self._lines.append(line)
        else:
            self.lost += 1

    def close(self) -> None:
        """Write what waits. A destination that takes nothing is not waited for."""
        self._ended.set()
        self._thread.join(2)

    def _run(self) -> None:
        while not self._ended.wait(WRITE_EVERY):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            self._reopen()
            atomic = not stat.S_ISREG(os.fstat(self._handle).st_mode)
            for piece in _pieces([line.to_json() for line in lines], ATOMIC if atomic else 1 << 20):
                _write_all(self._handle, piece)
        except OSError:
            self.lost += len(lines)

    def _open(self) -> int:
        return sys.stderr.fileno() if self._path is None else _opened(self._path)

    def _reopen(self) -> None:
        """Follow the name, where another file or none has it."""
        if self._path is None:
            return
        try:
            named, held = os.stat(self._path), os.fstat(self._handle)
            if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino):
                return
        except FileNotFoundError:
            pass
        former, self._handle = self._handle, os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        os.close(former)


def check_writable(path: Path) -> None:
    """Raises: StoreError FS407 for a file that cannot be opened."""
    os.close(_opened(path))


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    except OSError as error:
        what = f"cannot write the access log: {error.strerror}"
        raise StoreError("FS407", what, where=path.name, hint="[server] access_log") from None


def _pieces(lines: list[bytes], most: int) -> Iterator[bytes]:
    """Whole lines, joined up to a size."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > most:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield b"".join(piece)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(handle, data) :]
        except BlockingIOError:  # a pipe that someone else has made non-blocking
            time.sleep(0.01)
