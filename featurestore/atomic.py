"""Files that are there whole or not at all: written aside, fsynced, renamed; leftovers of the dead are swept.

A name aside carries the writer's pid, so that a sweep leaves the files of a living writer alone, and where that pid counts: of
two containers that share a disk each may have a process 1. What a writer elsewhere left is swept after a day.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from featurestore.errors import StoreError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room: on the disk, in the quota, in a file of limited size."""


ABANDONED = 86_400.0
"""Seconds after which a writer that cannot be asked about is held for dead."""


def me() -> str:
    """This process, as names aside carry it: the pid, and which pids it is one of."""
    return f"{os.getpid()}-{_here()}"


@cache
def _here() -> str:
    """The machine and its namespace of processes, in 8 digits."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def gone(writer: str, left: Path) -> bool:
    """Whether the writer of what is left is dead: by its pid; elsewhere by the age of the newest that lies there."""
    pid, _, where = writer.partition("-")
    if where in ("", _here()):
        return pid.isdigit() and not alive(int(pid))
    newest = 0.0
    for path in (left, *left.rglob("*")):
        with contextlib.suppress(OSError):
            newest = max(newest, path.stat().st_mtime)
    return time.time() - newest > ABANDONED


def aside(path: Path) -> Path:
    """Where a file is written before it takes its name."""
    return path.with_name(f".{path.name}.{me()}.partial")


def sync(path: Path) -> None:
    """Force a file's, or a folder's entries', way to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def commit(written: Path, path: Path) -> None:
    """Give a finished file its name, durably: it takes the place of what was there."""
    sync(written)
    os.replace(written, path)
    sync(path.parent)


def take_name(written: Path, path: Path) -> None:
    """As `commit`, where a folder may be written, or stand there: the two change names at once, and what stood there goes.

    Where the file system cannot do that, what stood there is first put aside: `restore` brings it back should this process die.
    """
    if not path.exists() or not (written.is_dir() or path.is_dir()):
        return commit(written, path)
    sync(written)
    if not exchange(written, path):
        before = _before(path)
        os.replace(path, before)
        os.replace(written, path)
        written = before
    sync(path.parent)
    remove(written)


def restore(path: Path) -> None:
    """Finish what a process that died in `take_name` began: what stood there comes back, unless the new has the name."""
    for before in _of_dead(path, "before"):
        if path.exists():
            remove(before)
        else:
            os.replace(before, path)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step. False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def _before(path: Path) -> Path:
    return path.with_name(f".{path.name}.{me()}.before")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file's text, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = aside(path)
    with disk_errors(path), removed_on_error(written):
        written.write_text(text, encoding="utf-8")
        commit(written, path)


def leftovers(path: Path) -> list[Path]:
    """Files (and folders) aside of `path` whose writer is dead."""
    return _of_dead(path, "partial")


def _of_dead(path: Path, suffix: str) -> list[Path]:
    pattern = re.compile(re.escape(f".{path.name}.") + r"(\d+(?:-[0-9a-f]{8})?)\." + suffix)
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.scandir(path.parent), key=lambda e: e.name):
            match = pattern.fullmatch(entry.name)
            if match and gone(match[1], Path(entry.path)):
                found.append(Path(entry.path))
    return found


def sweep(path: Path) -> None:
    """Remove what dead writers of `path` left."""
    for left in leftovers(path):
        remove(left)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        remove(path)
        raise


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """OSErrors of writing, in our words. Raises: StoreError FS405 (disk full), FS407 (cannot write)."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StoreError(
                "FS405", "the disk is full", where=str(path.name), hint="free space; nothing was changed"
            ) from error
        raise StoreError("FS407", f"cannot write: {error.strerror or error}", where=str(path.name)) from error
