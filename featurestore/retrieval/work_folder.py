"""Where a long build keeps what it has finished, so that the same build goes on from there after it was stopped.

A folder belongs to one identity: all that decides the content of its files. What stands in it under its own name is whole.
One build at a time holds it; another of the same identity works in a folder of its own and disturbs nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from featurestore import atomic

PREFIX = "training-set-"
ABANDONED = 86_400
"""Seconds after which a folder that no build came back for is removed."""
_LOCK = "lock"


class WorkFolder:
    """Files of finished work. Use `close` at the end, `discard` when nobody will come back for them."""

    def __init__(self, path: Path, lock: int | None) -> None:
        self.path, self._lock = path, lock

    @classmethod
    def of(cls, directory: Path, identity: str, private: Path) -> WorkFolder:
        """The folder of an identity below `directory`; `private` while another build holds it."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{PREFIX}{identity}"
        lock = _locked(path)
        if lock is None:
            return cls.private(private)
        os.utime(path / _LOCK)
        for left in path.glob(".*"):
            _remove(left)
        return cls(path, lock)

    @classmethod
    def private(cls, path: Path) -> WorkFolder:
        path.mkdir()
        return cls(path, None)

    def has(self, name: str) -> bool:
        return (self.path / name).exists()

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """Where to write what will stand under a name, a file or a folder; it gets its name when all of it is on the disk."""
        with self.written(name) as written:
            yield written
        self.keep(name)

    @contextmanager
    def written(self, name: str) -> Iterator[Path]:
        """The same, but that it gets its name later, by `keep`."""
        written = self.path / f".{name}"
        with self._removed_on_error(written):
            yield written

    def keep(self, name: str) -> None:
        """Wait until what was written is on the disk, then give it its name."""
        written = self.path / f".{name}"
        with self._removed_on_error(written):
            for file in sorted(written.rglob("*")) if written.is_dir() else ():
                atomic.sync(file)
            atomic.commit(written, self.path / name)

    @contextmanager
    def _removed_on_error(self, written: Path) -> Iterator[None]:
        try:
            with atomic.disk_errors(written):
                yield
        except BaseException:
            _remove(written)
            raise

    def drop(self, name: str) -> None:
        """Remove what stands under a name. It loses its name first: half of it would be taken for the whole."""
        going = self.path / f".{name}"
        os.replace(self.path / name, going)
        _remove(going)

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Remove it all. It loses its name first: who asks for it from now on begins anew."""
        going = self.path.with_name(f".{self.path.name}.{atomic.me()}.going")
        with suppress(OSError):
            os.replace(self.path, going)
            shutil.rmtree(going, ignore_errors=True)
        self.close()


def sweep(directory: Path, older_than: float = ABANDONED) -> list[Path]:
    """Remove folders that no build has come back for, and what a killed one was about to remove. Returns: those removed."""
    swept = []
    for path in sorted(directory.glob(f"{PREFIX}*")):
        with suppress(OSError):
            if time.time() - (path / _LOCK).stat().st_mtime < older_than:
                continue
        lock = _locked(path)
        if lock is not None:
            WorkFolder(path, lock).discard()
            swept.append(path)
    for going in directory.glob(f".{PREFIX}*.going"):
        if atomic.gone(going.name.split(".")[-2], going):
            shutil.rmtree(going, ignore_errors=True)
    return swept


def _locked(path: Path) -> int | None:
    """A descriptor that holds the folder's lock until it is closed, or its process dies; None while another holds it."""
    while True:
        path.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            if _is_still(path / _LOCK, descriptor):
                return descriptor
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """The file of that name is the one that is open: its folder was not removed in between."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
