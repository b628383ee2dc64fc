"""What goes of a serve log: days that are too old, the oldest files where it takes too much, and what the dead left aside."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from featurestore.atomic import gone
from featurestore.serve_log.layout import day_of
from featurestore.serve_log.reading import all_files

_ASIDE = re.compile(r"\..+\.(\d+(?:-[0-9a-f]{8})?)\.partial", re.ASCII)


def drop_before(folder: Path, instant: int) -> int:
    """Delete the files of days (UTC) that ended before `instant`: none is kept a day longer. Returns: how many."""
    return _drop(one.path for one in all_files(folder) if one.day < day_of(instant))


def drop_beyond(folder: Path, most_bytes: int) -> int:
    """Delete the oldest files until all together take no more than that. Returns: how many."""
    sizes = [(one.path, _size(one.path)) for one in all_files(folder)]
    total, dropped = sum(size for _, size in sizes), []
    for path, size in sizes:
        if total <= most_bytes:
            break
        dropped.append(path)
        total -= size
    return _drop(dropped)


def size(folder: Path) -> tuple[int, int]:
    """How many files the log has, and their bytes."""
    sizes = [_size(one.path) for one in all_files(folder)]
    return len(sizes), sum(sizes)


def sweep(folder: Path) -> None:
    """Remove what writers that died left aside."""
    for path in folder.glob("*/*/.*.partial"):
        match = _ASIDE.fullmatch(path.name)
        if match and gone(match[1], path):
            path.unlink(missing_ok=True)


def _drop(paths: Iterable[Path]) -> int:
    number = 0
    for path in paths:
        path.unlink(missing_ok=True)
        number += 1
        with contextlib.suppress(OSError):  # other files are in it, or another writer was faster
            path.parent.rmdir()
    return number


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
