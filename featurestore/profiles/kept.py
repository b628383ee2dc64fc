"""Where profiles of runs lie: a folder for each view, a file for each watermark."""

from __future__ import annotations

import re
from pathlib import Path

from featurestore import atomic
from featurestore.errors import FeatureStoreError
from featurestore.intervals import format_instant, parse_formatted
from featurestore.profiles.profile import SUFFIX, Profile

_NAMED = re.compile(r"(\d{8})T(\d{2})(\d{2})(\d{2}\.\d{6}Z)|(\d+us)", re.ASCII)


def path_of(folder: Path, view: str, watermark: int) -> Path:
    """Where the profile of a view at a watermark lies: <folder>/<view>/20260102T000000.000000Z.profile."""
    return folder / view / f"{format_instant(watermark).replace('-', '').replace(':', '')}{SUFFIX}"


def kept(folder: Path, view: str) -> list[tuple[int, Path]]:
    """The profiles of a view: (watermark in microseconds, file), the oldest first; none where there is no folder."""
    found = []
    for path in (folder / view).glob(f"*{SUFFIX}"):
        watermark = _watermark(path.name.removesuffix(SUFFIX))
        if watermark is not None:
            found.append((watermark, path))
    return sorted(found)


def _watermark(name: str) -> int | None:
    match = _NAMED.fullmatch(name)
    if match is None:
        return None
    day = match[1]
    text = match[5] or f"{day[:4]}-{day[4:6]}-{day[6:]}T{match[2]}:{match[3]}:{match[4]}"
    try:
        return parse_formatted(text)
    except FeatureStoreError:
        return None


def keep(folder: Path, view: str, watermark: int, profile: Profile, retention: int) -> Path:
    """Write a view's profile, and drop those whose watermark is more than `retention` (microseconds) before the newest one.

    Raises: OSError, StoreError FS405, FS407.
    """
    path = path_of(folder, view, watermark)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.sweep(path)
    written = atomic.aside(path)
    with atomic.disk_errors(path), atomic.removed_on_error(written):
        profile.write(written)
        atomic.commit(written, path)
    every = kept(folder, view)
    for other, file in every:
        if other < every[-1][0] - retention:
            file.unlink(missing_ok=True)
    return path


__all__ = ["keep", "kept", "path_of"]
