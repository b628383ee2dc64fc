"""Decide how files come to be all at once: made in a folder aside, moved when complete, swept when a run was killed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featurestore.atomic import gone, me

_PREFIX = ".featurestore-aside-"


@contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
    """A new folder inside `folder` (which must exist), gone afterwards. Those that killed runs left are swept first."""
    _sweep(folder)
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{me()}-", dir=folder))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def files(folder: Path) -> list[Path]:
    """Every file below `folder`, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_PREFIX}*-*"):
        if gone(left.name.removeprefix(_PREFIX).rpartition("-")[0], left):
            shutil.rmtree(left, ignore_errors=True)
