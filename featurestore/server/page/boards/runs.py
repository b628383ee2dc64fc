"""When runs were made, told by the profiles that they leave behind: one file a run, named by its watermark."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from featurestore.errors import DefinitionError
from featurestore.intervals import parse_instant
from featurestore.server.page.asked import Asked

PER_VIEW = 30
"""The newest runs of a view that are looked at."""
MOST_VIEWS = 500
SUFFIX = ".profile"


def files(asked: Asked, view: str, most: int = PER_VIEW) -> list[tuple[int, Path]]:
    """(watermark in microseconds, profile) of a view's newest runs, oldest first. view: a name that the catalogue knows."""
    if asked.root is None or asked.config is None or not view.isidentifier():
        return []
    folder = asked.root / asked.config.profiles.path / view
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    except OSError:
        return []
    found = [(watermark, folder / name) for name in names[-most:] if (watermark := _watermark(name)) is not None]
    return sorted(found)


def _watermark(name: str) -> int | None:
    """Of 20260102T030405.000000Z.profile."""
    stem = name.removesuffix(SUFFIX)
    if len(stem) < 16:
        return None
    said = f"{stem[:4]}-{stem[4:6]}-{stem[6:8]}T{stem[9:11]}:{stem[11:13]}:{stem[13:]}"
    try:
        return parse_instant(said)
    except DefinitionError:
        return None


def made_at(asked: Asked, views: Iterable[str]) -> dict[tuple[str, int], int]:
    """(view, watermark) -> when its run was profiled, in microseconds."""
    found = {}
    for view in [*views][:MOST_VIEWS]:
        for watermark, path in files(asked, view):
            try:
                found[view, watermark] = path.stat().st_mtime_ns // 1_000
            except OSError:
                continue
    return found


__all__ = ["PER_VIEW", "files", "made_at"]
