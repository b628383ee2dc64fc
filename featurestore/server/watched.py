"""A file that may be replaced while the server runs: looked at every second, and read again when it is another."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from featurestore.errors import UsageError

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks."""

T = TypeVar("T")


class Watched(Generic[T]):
    """What a file says. One that cannot be read leaves what was read last in force, and is logged once.

    Args: what: the contents, for the log. read: raises UsageError for a file that cannot be read; so does `Watched` itself
        then, for at the start there is nothing else in force. For use by one thread.
    """

    def __init__(self, path: Path, what: str, read: Callable[[Path], T]) -> None:
        self._path, self._what, self._read = path, what, read
        self._seen = _identity(path)
        self._value = read(path)
        self._look_at = time.monotonic() + LOOK_EVERY

    @property
    def value(self) -> T:
        if time.monotonic() >= self._look_at:
            self._look()
        return self._value

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_EVERY
        found = _identity(self._path)
        if found == self._seen:
            return
        self._seen = found
        try:
            self._value = self._read(self._path)
        except UsageError as error:
            log.error("the %s read before stays in force: %s", self._what, error)


def _identity(path: Path) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


__all__ = ["Watched"]
