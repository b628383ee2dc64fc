"""What checks found, condensed to what a board shows: of each thing that is checked its newest result, and how it went before.

Read from the results the monitor keeps, newest bytes first and never more than a bound, so that no page has to read weeks; kept
in memory until a file changes. What is not understood is shown as it is said, or left out: a board never fails for a result.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from featurestore.errors import FeatureStoreError
from featurestore.intervals import MICROS_PER_DAY, parse_instant
from featurestore.monitoring.alerts import PROJECT
from featurestore.monitoring.monitor import COULD_NOT_RUN, LATEST, latest
from featurestore.monitoring.results import ALERT, OK, READING, SKIPPED, WARNING, Result, recent

DAYS = 14
"""How far back boards look."""
MOST_BYTES = 4_000_000
"""What is read of the results for a board."""
NEWEST_BYTES = 1_000_000
"""What is read for the alerts of the first page where no monitor has left its last look."""
MOST_POINTS = 96
"""Of one series; of more, the newest."""
_WORST_FIRST = {ALERT: 0, WARNING: 1, OK: 2, SKIPPED: 3}

Thing = tuple[str, str, str, str | None]
"""What a series is of: check, kind, subject, feature."""
Sees = Callable[[Result], bool]
"""Whether who asks may see a result."""


@dataclass(frozen=True, slots=True)
class Point:
    """One result of a series. at: of which instant it tells, microseconds."""

    at: int
    value: float | None
    threshold: float | None
    status: str


@dataclass(frozen=True)
class Series:
    """One check of one subject or feature. latest: its newest result. points: oldest first, `latest` the last of them."""

    latest: Result
    points: tuple[Point, ...]

    @property
    def rank(self) -> tuple[int, float, str, str]:
        """Alerts first, and of these the worst; then by name."""
        latest = self.latest
        value = number(latest.value)
        return _WORST_FIRST.get(latest.status, 2), -(value or 0.0), latest.subject, latest.feature or ""


@dataclass(frozen=True)
class Findings:
    """Series, worst first. looked: when the newest result was made; None where there is none."""

    series: tuple[Series, ...] = ()
    looked: int | None = None

    def of(self, *checks: str, kind: str | None = None, subject: str | None = None) -> list[Series]:
        """The series of some checks: of one subject if it is given."""
        return [
            s for s in self.series
            if s.latest.check in checks and kind in (None, s.latest.kind) and subject in (None, s.latest.subject)
        ]  # fmt: skip

    def about(self, kind: str, subject: str) -> Findings:
        """All of one subject."""
        return Findings(tuple(s for s in self.series if (s.latest.kind, s.latest.subject) == (kind, subject)), self.looked)

    def seen_by(self, sees: Sees) -> Findings:
        """Without what somebody may not see; of a check that failed without its error, which may name that."""
        return Findings(tuple(_without_error(s) for s in self.series if sees(s.latest)), self.looked)

    @property
    def alerts(self) -> list[Series]:
        """Open alerts: of things that were still looked at a day before the newest look of their check."""
        newest: dict[str, int] = {}
        for s in self.series:
            newest[s.latest.check] = max(newest.get(s.latest.check, s.latest.at), s.latest.at)
        return [
            s for s in self.series if s.latest.status == ALERT and s.latest.at > newest[s.latest.check] - MICROS_PER_DAY
        ]  # fmt: skip


def _without_error(series: Series) -> Series:
    if not series.latest.what.startswith(COULD_NOT_RUN):
        return series
    return replace(series, latest=replace(series.latest, what=COULD_NOT_RUN))


@dataclass(frozen=True)
class Last:
    """What the monitor's last look spoke of. at: when that was; None: there was none."""

    things: frozenset[Thing] = frozenset()
    at: int | None = None

    @classmethod
    def of(cls, results: Sequence[Result]) -> Last:
        return cls(frozenset(_thing(r) for r in results), max((r.at for r in results), default=None))

    def is_over(self, r: Result) -> bool:
        """Whether a result is of what that look, which came later, knows nothing of any more: a check that runs again, a
        subject of which it compared more or less. Of what was looked at by hand alone it says nothing."""
        if self.at is None or r.at >= self.at or _thing(r) in self.things:
            return False
        says_nothing_else = r.kind == PROJECT or r.check == READING or r.what.startswith(COULD_NOT_RUN)
        return says_nothing_else or _thing(r)[:3] in self._compared

    @cached_property
    def _compared(self) -> frozenset[tuple[str, str, str]]:
        """Subjects of whose features something was said: of one that was skipped whole, what was found before stands."""
        return frozenset(thing[:3] for thing in self.things if thing[3] is not None)


def _thing(r: Result) -> Thing:
    return r.check, r.kind, r.subject, r.feature


def condensed(results: Iterable[Result], last: Last | None = None) -> Findings:
    """Results as series, without what is over."""
    points: dict[Thing, dict[int, Point]] = {}
    newest: dict[Thing, tuple[int, Result]] = {}
    looked = None
    for r in results:
        looked = max(r.at, r.at if looked is None else looked)
        thing = _thing(r)
        about = _about(r)
        points.setdefault(thing, {})[about] = Point(about, number(r.value), number(r.threshold), r.status)
        if thing not in newest or about >= newest[thing][0]:
            newest[thing] = about, r
    series = [
        Series(newest[thing][1], tuple(of[at] for at in sorted(of)[-MOST_POINTS:])) for thing, of in points.items()
        if last is None or not last.is_over(newest[thing][1])
    ]  # fmt: skip
    return Findings(tuple(sorted(series, key=lambda s: s.rank)), looked)


def _about(r: Result) -> int:
    """Of which instant a result tells: that of the look, unless it says that it is of a day or a window."""
    window = part(r.details, "window")
    said = part(r.details, "day") or (window[1] if isinstance(window, list | tuple) and len(window) == 2 else None)
    if not isinstance(said, str):
        return r.at
    try:
        return parse_instant(said if "T" in said else f"{said}T00:00:00Z")
    except FeatureStoreError:
        return r.at


class Watch:
    """The findings in one folder of results; read again only when a file of it has changed. For any number of threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held: dict[int, tuple[object, Findings]] = {}

    def all(self) -> Findings:
        """Of the last fortnight that was looked at, as far as the bound goes."""
        return self._read(MOST_BYTES)

    def newest(self) -> Findings:
        """Of the last look alone, without details: cheap enough for a first page."""
        return condensed(latest(self._folder)) if (self._folder / LATEST).exists() else self._read(NEWEST_BYTES)

    def _read(self, most: int) -> Findings:
        files = _files(self._folder, "????-??-??.jsonl")
        seen = files, _files(self._folder, LATEST)
        with self._lock:
            held = self._held.get(most)
            if held is None or held[0] != seen:
                last = Last.of(latest(self._folder))
                held = seen, condensed(recent(self._folder, _since(files), most_bytes=most), last)
                self._held[most] = held
            return held[1]


@lru_cache(maxsize=8)
def watched(folder: Path) -> Watch:
    """The one watch of a folder."""
    return Watch(folder)


Files = tuple[tuple[str, int, int], ...]


def _files(folder: Path, pattern: str) -> Files:
    """(name, size, time) of files: those of results are named by their day. Another one whenever a file changes."""
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            told = path.stat()
        except FileNotFoundError:  # retention took it
            continue
        found.append((path.name, told.st_size, told.st_mtime_ns))
    return tuple(found)


def _since(files: Files) -> int:
    """A fortnight before the end of the newest day. Not before now: where the monitor has stopped, what it said last stands."""
    try:
        return parse_instant(f"{files[-1][0][:10]}T00:00:00Z") - (DAYS - 1) * MICROS_PER_DAY
    except (IndexError, FeatureStoreError):  # no file, or one that is named by no day
        return 0


# What a result's details hold is for its check to say; here they are read without trust.


def number(told: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    return float(told) if math.isfinite(told) else None


def numbers(told: object) -> list[float | None]:
    """A list of numbers, with None for what is none."""
    return [number(one) for one in told] if isinstance(told, list | tuple) else []


def part(details: object, *path: str) -> Any:
    """A member of nested details; None where there is none."""
    for name in path:
        if not isinstance(details, Mapping):
            return None
        details = details.get(name)
    return details


__all__ = ["DAYS", "Findings", "Point", "Sees", "Series", "Watch", "condensed", "number", "numbers", "part", "watched"]
