"""Do as many rows happen as usual, and is a stretch of time missing?

Rows are counted by event time, in hours, or in days where few of the hours have any. An interval is judged once it has ended
and its rows have had the time to come that they usually take, by the same hour of other weeks, or of other days before there
are three weeks; an hour's neighbours count too, so that a feed by local time may move when clocks are put forward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import sqrt
from statistics import median
from typing import Any

from featurestore.intervals import MICROS_PER_DAY, Duration, format_instant
from featurestore.monitoring.arrivals import HOUR, YOUNG, SourceFacts, quantile
from featurestore.monitoring.results import ALERT, OK, SKIPPED, Result
from featurestore.monitoring.told import Told

WEEK = 7 * MICROS_PER_DAY
WEEKLY = 3 * WEEK
"""From so much history on, the same hour of other weeks is compared."""
TYPICAL = 20
FILLED = 0.25
"""Hours are judged where so large a share of them has rows, and a typical one so many; else days."""
MOST, PATIENCE = 0.95, 1.25
"""An interval waits for its rows as long as this share of them took until most of theirs had come, and a quarter longer."""
SURE = 6.0
"""How many usual deviations are too many."""
HALF, TWICE = 0.5, 2.0
"""And of the usual, fewer than half or more than twice."""
HOLES = 14 * MICROS_PER_DAY
"""How far back holes are told of."""
PRESENT, WEEKS = 0.75, 2
"""A day is missing if its weekday is there in so large a share of the other weeks, and in so many."""


@dataclass(frozen=True)
class Counts:
    """Rows by interval, from the first whole one on. start: of the first. rows: of each that has ended and is settled; those
    without rows are 0. seen: how many of them are behind it that has the newest row: after them the feed may have stopped."""

    start: int
    length: int
    rows: tuple[int, ...]
    seen: int

    def at(self, index: int) -> int:
        return self.start + index * self.length

    @cached_property
    def _slots(self) -> int:
        """How many intervals make a season."""
        return (WEEK if self._weekly else MICROS_PER_DAY) // self.length

    @property
    def _weekly(self) -> bool:
        return self.seen * self.length >= WEEKLY

    @cached_property
    def _by_slot(self) -> Mapping[int, Sequence[int]]:
        found: dict[int, list[int]] = {}
        for index in range(self.seen):
            found.setdefault(self._slot(index), []).append(index)
        return found

    def _slot(self, index: int) -> int:
        return (self.at(index) // self.length) % self._slots

    def expected(self, index: int) -> tuple[float, float]:
        """The least and the most that are usual for an interval, by all others that were seen: a middling one of those a week
        apart; before there are three of these, any of those a day apart, for weekends are among them."""
        slots = {(self._slot(index) + beside) % self._slots for beside in ((-1, 0, 1) if self.length == HOUR else (0,))}
        seen = [[self.rows[i] for i in self._by_slot.get(slot, ()) if i != index] for slot in slots]
        usual = [median(rows) for rows in seen if rows] if self._weekly else [n for rows in seen for n in rows]
        return (min(usual), max(usual)) if usual else (0.0, float("inf"))

    def score(self, index: int) -> float:
        """How many deviations of a Poisson count an interval is below or above what is usual."""
        return deviations(self.rows[index], *self.expected(index))

    @cached_property
    def spread(self) -> float:
        """How much wider than a Poisson count's the usual deviations are, by nine tenths of them; at least as wide."""
        scores = sorted(abs(self.score(index)) for index in range(self.seen))
        return max(1.0, scores[int(0.9 * (len(scores) - 1))] / 1.645) if scores else 1.0

    def least(self, index: int) -> float:
        """An interval with fewer rows has too few."""
        low, _ = self.expected(index)
        root = sqrt(low + 0.375) - SURE * self.spread / 2
        return min(HALF * low, max(root, 0.0) ** 2 - 0.375)

    def most(self, index: int) -> float:
        """An interval with more rows has too many."""
        _, high = self.expected(index)
        return max(TWICE * high, (sqrt(high + 0.375) + SURE * self.spread / 2) ** 2 - 0.375)


def deviations(rows: float, low: float, high: float) -> float:
    """By square roots, whose deviation is that of a half whatever the count."""
    near = min(max(rows, low), high)
    return 2 * (sqrt(rows + 0.375) - sqrt(near + 0.375))


def counted(source: SourceFacts, now: int) -> Counts | None:
    """The intervals of a source that may be judged at `now`; None before it has a week of them."""
    if source.newest_event is None or not source.hours:
        return None
    hourly = _counts(source, HOUR, now)
    filled = [rows for rows in hourly.rows[: hourly.seen] if rows]
    by_hour = bool(filled) and len(filled) >= FILLED * hourly.seen and median(filled) >= TYPICAL
    counts = hourly if by_hour else _counts(source, MICROS_PER_DAY, now)
    return counts if counts.seen * counts.length >= YOUNG else None


def _counts(source: SourceFacts, length: int, now: int) -> Counts:
    """From the first whole interval to the last that has ended and had its time to settle."""
    intervals = source.hours if length == HOUR else source.by_day
    rows = {interval.start: interval.facts for interval in intervals}
    took = [(max(interval.settled - interval.start - length, 0), 1) for interval in intervals]
    first = min(rows) + length
    ended = max((now - round(PATIENCE * quantile(took, MOST)) - first) // length, 0)
    assert source.newest_event is not None
    behind = (source.newest_event - source.newest_event % length - first) // length
    found = tuple(rows.get(first + i * length, 0) for i in range(ended))
    return Counts(first, length, found, max(min(ended, behind + 1), 0))


def volume(source: SourceFacts, now: int) -> Result:
    """The rows of the newest interval that can be judged. value: rows, threshold: the least (or the most) that is usual."""
    told = Told(now, "volume", "source", source.name)
    if source.static:
        return told.result(SKIPPED, "static: it has no times")
    counts = counted(source, now)
    if counts is None:
        return told.result(SKIPPED, "too young to tell how many rows are usual" if source.rows else "no row is known yet")
    last = len(counts.rows) - 1
    rows, (low, high), name = counts.rows[last], counts.expected(last), _name(counts, last)
    told = replace(told, details=_details(counts, last))
    usual = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    what = f"{rows:,} rows in the {'hour' if counts.length == HOUR else 'day'} {name}, usually {usual}"
    few, many = rows < counts.least(last), rows > counts.most(last)
    threshold = counts.most(last) if rows > high else max(counts.least(last), 0.0)
    return told.result(ALERT if few or many else OK, what, value=float(rows), threshold=threshold)


def _details(counts: Counts, last: int) -> dict[str, Any]:
    """history: the rows of a week of hours, or four of days, up to this one: short, for it is kept with each look."""
    span = (1 if counts.length == HOUR else 4) * WEEK // counts.length
    shown = range(max(last + 1 - span, 0), last + 1)
    return {
        "interval": str(Duration(counts.length)), "start": format_instant(counts.at(last)), "rows": counts.rows[last],
        "expected": list(counts.expected(last)), "history": [counts.rows[i] for i in shown],
    }  # fmt: skip


def partitions(source: SourceFacts, now: int) -> Result:
    """Days that no path names, and stretches without rows, between those that are there. value: how many, threshold: 0."""
    told = Told(now, "partitions", "source", source.name)
    if source.static:
        return told.result(SKIPPED, "static: it has no times")
    counts, days = counted(source, now), missing_days(source.days or frozenset(), now)
    if counts is None and days is None:
        return told.result(SKIPPED, "too young to tell what is missing" if source.rows else "no row is known yet")
    names = {format_instant(day)[:10] for day in days or ()} | set(_holes(counts, now) if counts else ())
    names = {name for name in names if name[:10] == name or name[:10] not in names}
    missing = sorted(names)
    what = f"missing: {', '.join(missing[:10])}{', …' if len(missing) > 10 else ''}" if missing else "none is missing"
    told = replace(told, details={"missing": missing})
    return told.result(ALERT if missing else OK, what, value=float(len(missing)), threshold=0.0)


def missing_days(days: frozenset[int], now: int) -> list[int] | None:
    """Days of the last HOLES that are not there, between those that are, and on whose weekday others are; None if too few are
    there to tell."""
    if not days or max(days) - min(days) < WEEKS * WEEK:
        return None
    first, last = min(days), max(days)
    between = range(max(first, now - now % MICROS_PER_DAY - HOLES), last, MICROS_PER_DAY)
    return [day for day in between if day not in days and _is_usual(day, days, first, last)]


def _is_usual(day: int, days: frozenset[int], first: int, last: int) -> bool:
    same = [d for d in range(first + (day - first) % WEEK, last + 1, WEEK) if d != day]
    there = sum(d in days for d in same)
    return there >= WEEKS and there >= PRESENT * len(same)


def _holes(counts: Counts, now: int) -> list[str]:
    """Intervals without rows where some are usual, behind the newest row: whole days by their name, hours by theirs."""
    empty = [i for i in range(counts.seen) if not counts.rows[i] and counts.at(i) >= now - HOLES and counts.least(i) > 0]
    filled = {format_instant(counts.at(i))[:10] for i, rows in enumerate(counts.rows) if rows}
    return sorted({name if name[:10] in filled else name[:10] for name in (_name(counts, i) for i in empty)})


def _name(counts: Counts, index: int) -> str:
    """2026-01-05, or of an hour 2026-01-05T10Z."""
    text = format_instant(counts.at(index))
    return f"{text[:13]}Z" if counts.length == HOUR else text[:10]
