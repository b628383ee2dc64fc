"""Files that are there whole or not at all: written aside, fsynced, renamed; leftovers of the dead are swept.

A name aside carries the writer's pid, so that a sweep leaves the files of a living writer alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featurestore.errors import StoreError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room: on the disk, in the quota, in a file of limited size."""


def aside(path: Path) -> Path:
    """Where a file is written before it takes its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


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
    return path.with_name(f".{path.name}.{os.getpid()}.before")


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
    pattern = re.compile(re.escape(f".{path.name}.") + r"(\d+)\." + suffix)
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(os.scandir(path.parent), key=lambda e: e.name):
            match = pattern.fullmatch(entry.name)
            if match and not alive(int(match[1])):
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
