"""What can be known of a source at an instant: when its rows came and how late, how many happened in which hour, which days its
paths name.

Counted by the engine over the rows known before that instant, so that a check as of yesterday finds what it would have found
yesterday. Whether any of it is unusual is the business of `freshness` and `volume`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from featurestore.intervals import MICROS_PER_DAY

if TYPE_CHECKING:
    from featurestore.definitions import Source
    from featurestore.dtypes import DType
    from featurestore.engines.duckdb import Session
    from featurestore.plan.nodes import ReadSource
    from featurestore.sources import SourceData

HOUR = MICROS_PER_DAY // 24
HISTORY = 28 * MICROS_PER_DAY
"""How far back, from the newest row, the usual is looked for: four of each weekday."""
RECENT = 6 * HOUR
"""Up to how long before the newest row lateness is that of now."""
YOUNG = 7 * MICROS_PER_DAY
"""With less history nothing is usual: a Saturday may never have been seen."""
_DAY = re.compile(r"(?<!\d)(\d{4})(-|/|)(\d{2})\2(\d{2})(?!\d)")
_PARTS = re.compile(r"year=(\d{4})/month=(\d{1,2})/day=(\d{1,2})(?!\d)")


@dataclass(frozen=True)
class Burst:
    """A minute in which rows became known: the first and the last of them, in microseconds, and how many."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Interval:
    """An hour or a day in which facts happened: its start, how many are known, and when most of them had become so."""

    start: int
    facts: int
    settled: int


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """A source, as far as it was known before an instant. Instants and lengths are in microseconds.

    rows: all that were known. newest_known, newest_event: of those, and of those that had happened; None without any. bursts:
    when they came in, over HISTORY. hours, by_day: in which facts happened, over HISTORY. recent, usual: (lateness, facts)
    of those known in the RECENT time before the newest, and before that; empty where the known time is declared instead of
    recorded. Of the versions of a fact the first counts. recorded: whether known times are. days: the days (as starts, UTC)
    that the paths of its files name; None if they name none. static: it has no times. trouble: why it could not be read.
    """

    name: str
    rows: int = 0
    newest_known: int | None = None
    newest_event: int | None = None
    bursts: tuple[Burst, ...] = ()
    hours: tuple[Interval, ...] = ()
    by_day: tuple[Interval, ...] = ()
    recent: tuple[tuple[int, int], ...] = ()
    usual: tuple[tuple[int, int], ...] = ()
    recorded: bool = False
    days: frozenset[int] | None = None
    static: bool = False
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class ViewFacts:
    """A view that is kept online. watermark: of its live generation, None without one. waiting: rows of its source that became
    known since, of the last HISTORY."""

    name: str
    source: str
    watermark: int | None
    waiting: int = 0


def of_source(session: Session, data: SourceData, now: int, watermarks: Mapping[str, int | None]) -> tuple[
    SourceFacts, list[ViewFacts]
]:  # fmt: skip
    """A source as of `now`, and the views that read it, by their watermarks. Raises: SourceError."""
    source = data.source
    if source.static:
        return SourceFacts(name=source.name, static=True), [_view(name, source, at) for name, at in watermarks.items()]
    rows = bind(session, data)
    counted = _Counted(session, rows, now)
    facts = counted.facts(data)
    return facts, [_view(name, source, at, counted.since(at)) for name, at in watermarks.items()]


def _view(name: str, source: Source, watermark: int | None, waiting: int = 0) -> ViewFacts:
    return ViewFacts(name=name, source=source.name, watermark=watermark, waiting=waiting)


def bind(session: Session, data: SourceData) -> ReadSource:
    """Bind what tells when the rows of a source came. Raises: SourceError."""
    from featurestore.plan.nodes import ReadSource, TypedColumn

    source = data.source
    columns = tuple(dict.fromkeys((*source.time_columns, *source.row_key, *source.quarantine_columns)))
    data.check(columns)
    types: dict[str, DType] = {column: data.types[column] for column in columns}
    session.bind_source(data, columns, types)
    kept_if = tuple((e.reason, e.passes(data.types)) for e in source.quarantine)
    typed = tuple(TypedColumn(c, types[c]) for c in columns)
    return ReadSource(source, typed, data.pushed is not None, kept_if=kept_if)


class _Counted:
    """The rows of one source that were known before `now`; the recent ones are kept as a relation."""

    def __init__(self, session: Session, rows: ReadSource, now: int) -> None:
        from featurestore.compiler.duckdb import arrivals as sql

        self._session, self._rows, self._now, self._sql = session, rows, now, sql
        (newest,) = session.table(sql.newest(rows), {"now": now}).to_pylist()
        self.rows: int = newest["rows"]
        self.newest_known: int | None = newest["newest_known"]
        self.newest_event: int | None = newest["newest_event"]
        self._given = {
            "now": now,
            "known_since": (self.newest_known or now) - HISTORY,
            "event_since": _midnight(self.newest_event or now) - HISTORY,
            "recent_from": (self.newest_known or now) - RECENT,
        }
        if self.rows:
            session.keep(sql.ARRIVED, sql.arrived(rows), self._given)

    def facts(self, data: SourceData) -> SourceFacts:
        source = data.source
        recorded = source.created_timestamp is not None or data.pushed is not None
        bursts = tuple(Burst(*row) for row in self._listed(self._sql.bursts()))
        late = self._listed(self._sql.lateness()) if recorded else []
        return SourceFacts(
            name=source.name, rows=self.rows, newest_known=self.newest_known, newest_event=self.newest_event,
            bursts=bursts, hours=self._intervals(HOUR), by_day=self._intervals(MICROS_PER_DAY),
            recent=tuple((by, recent) for by, _, recent in late if recent),
            usual=tuple((by, rows - recent) for by, rows, recent in late if rows > recent),
            recorded=recorded, days=days_named([part.name for part in data.own], self._now),
        )  # fmt: skip

    def since(self, instant: int | None) -> int:
        rows = self._listed(self._sql.known_since(), since=instant) if instant is not None else []
        return int(rows[0][0]) if rows else 0

    def _intervals(self, length: int) -> tuple[Interval, ...]:
        return tuple(Interval(*row) for row in self._listed(self._sql.intervals(length)))

    def _listed(self, statement: str, **besides: int) -> list[tuple[int, ...]]:
        """The rows of a statement over the recent ones; none if there are none."""
        if not self.rows:
            return []
        table = self._session.table(statement, {**self._given, **besides})
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _midnight(instant: int) -> int:
    return instant - instant % MICROS_PER_DAY


def days_named(names: Sequence[str], now: int) -> frozenset[int] | None:
    """The days that paths name, as in day=2026-01-05, 2026/01/05, 20260105 or year=2026/month=1/day=5, up to that of `now`;
    None unless nearly all of them do."""
    found = [day for name in names if (day := _day_of(name)) is not None]
    if not found or len(found) < 0.9 * len(names):
        return None
    return frozenset(day for day in found if day < now)


def _day_of(name: str) -> int | None:
    """The last day that a path names, as an instant."""
    matches = [(m[1], m[2], m[3]) for m in _PARTS.finditer(name)] or [(m[1], m[3], m[4]) for m in _DAY.finditer(name)]
    for year, month, day in reversed(matches):
        try:
            at = datetime.combine(date(int(year), int(month), int(day)), datetime.min.time(), UTC)
        except ValueError:
            continue
        return int(at.timestamp()) * 1_000_000
    return None


def quantile(counts: Iterable[tuple[int, int]], share: float) -> int:
    """The least lateness that so large a share of the rows does not exceed; 0 without rows."""
    ordered = sorted(counts)
    wanted, seen = share * sum(rows for _, rows in ordered), 0
    for late_by, rows in ordered:
        seen += rows
        if seen >= wanted:
            return max(late_by, 0)
    return 0


def is_grown(source: SourceFacts, before_newest: int = 0) -> bool:
    """Whether enough was seen come in to tell what is usual; of what came so long before the newest row."""
    ends = [burst.last for burst in source.bursts if burst.last <= source.bursts[-1].last - before_newest]
    return bool(ends) and ends[-1] - source.bursts[0].first >= YOUNG
