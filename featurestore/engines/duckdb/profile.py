"""What the rows of a source look like: the times they cover, how late they come, what tells them apart.

Numbers and advice for people, made in a few passes over the columns that are used; what a row counts for is decided
elsewhere, and nothing here changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.compiler.duckdb import profile as sql
from featurestore.definitions import Source
from featurestore.dtypes import DType
from featurestore.engines.duckdb.session import Session
from featurestore.intervals import MICROS_PER_DAY, MICROS_PER_SECOND, Duration, format_instant
from featurestore.plan.nodes import ReadSource, TypedColumn
from featurestore.sources import SourceData

_MINUTE, _HOUR = 60 * MICROS_PER_SECOND, 3600 * MICROS_PER_SECOND
HISTOGRAM = (0, MICROS_PER_SECOND, _MINUTE, 10 * _MINUTE, _HOUR, 6 * _HOUR, *(d * MICROS_PER_DAY for d in (1, 7, 30)))
"""Bounds of the shares in which lateness is told, each included; after the last one, all that is later."""
_DELAYS = (0, *(s * MICROS_PER_SECOND for s in (1, 5, 15, 30)), *(m * _MINUTE for m in (1, 5, 15, 30)),
           *(h * _HOUR for h in (1, 2, 3, 6, 12)), *(d * MICROS_PER_DAY for d in (1, 2, 3, 7, 14, 30)))  # fmt: skip
"""Delays worth writing down."""
COVERED = 0.99
"""The share of rows that a suggested delay covers; and from which on a column of times looks like one of loading."""


@dataclass(frozen=True)
class Lateness:
    """How long after their events rows became known, going by a column, in microseconds.

    counts: (lateness, rows), three digits rounded up, in order; -1 for what was known before its event. late: rows beyond the
    declared delay, or after their event if none is.
    """

    column: str
    counts: tuple[tuple[int, int], ...]
    greatest: int
    late: int

    @property
    def rows(self) -> int:
        return sum(n for _, n in self.counts)

    def quantile(self, share: float) -> int:
        """No more than the rest of the rows is later than this."""
        seen = 0
        for late_by, n in self.counts:
            seen += n
            if seen >= share * self.rows:
                return min(max(late_by, 0), max(self.greatest, 0))
        return 0

    @property
    def suggested(self) -> Duration:
        """A delay that covers nearly all rows."""
        wanted = self.quantile(COVERED)
        whole_days = -(-wanted // MICROS_PER_DAY) * MICROS_PER_DAY
        return Duration(next((delay for delay in _DELAYS if delay >= wanted), whole_days))

    def histogram(self) -> list[tuple[int | None, int]]:
        """(bound, rows up to it and beyond the one before); None for what is later than all."""
        bounds = [*HISTOGRAM, None]
        found = dict.fromkeys(bounds, 0)
        for late_by, n in self.counts:
            found[next((b for b in HISTOGRAM if late_by <= b), None)] += n
        return list(found.items())

    def to_dict(self) -> dict[str, Any]:
        quantiles = {f"p{round(100 * q)}_us": self.quantile(q) for q in (0.5, 0.9, 0.99)}
        return {
            "column": self.column, "rows": self.rows, **quantiles, "max_us": max(self.greatest, 0),
            "before_event": sum(n for late_by, n in self.counts if late_by < 0), "late": self.late,
            "late_share": round(self.late / self.rows, 6) if self.rows else 0.0, "suggested_delay": str(self.suggested),
            "histogram": [{"up_to_us": bound, "rows": n} for bound, n in self.histogram()],
        }  # fmt: skip


class Profile:
    """The rows of a source, looked at. keys: the key columns of the views that read it, each combination once."""

    def __init__(
        self, session: Session, data: SourceData, types: Mapping[str, DType], keys: Sequence[tuple[str, ...]], now: int
    ) -> None:
        self._session, self._source, self._keys, self._now = session, data.source, keys, now
        self.others = tuple(other_times(data.source, types))
        source, tested = data.source, data.source.quarantine_columns
        columns = tuple(dict.fromkeys((*source.declared_columns, *(c for key in keys for c in key), *self.others, *tested)))
        kept_if = tuple((e.reason, e.passes(types)) for e in source.quarantine)
        typed = tuple(TypedColumn(c, types[c]) for c in columns)
        self._rows = ReadSource(source, typed, data.pushed is not None, kept_if=kept_if)
        session.bind_source(data, columns, {c: types[c] for c in columns})
        self._counted_rows = data.rows
        self.lateness: Lateness | None = None
        self.candidates: tuple[Lateness, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All that was found, as plain data."""
        found: dict[str, Any] = {"rows": self._counted_rows}
        if not self._source.static:
            found |= self._times()
        found["keys"] = [{"columns": list(key), **self._repeated(key)} for key in self._keys if key]
        if self._source.row_key:
            found["row_key"] = {"columns": list(self._source.row_key), **self._one(sql.versions(self._rows))}
        return found

    def _times(self) -> dict[str, Any]:
        source = self._source
        of = self._one(sql.times(self._rows, self.others))
        loaded = [c for i, c in enumerate(self.others) if _looks_loaded(of[f"other_{i}_after"], of[f"other_{i}"], of["rows"])]
        self.lateness = None if source.created_timestamp is None else self._lateness(source.created_timestamp)
        self.candidates = tuple(self._lateness(column) for column in loaded)
        event = {"column": source.event_timestamp, "null": of["event_null"], "out_of_range": of["event_out_of_range"]}
        return {
            "event_time": event | _span(of, "event"),
            "known_time": {"declared": declared(source), "never": of["known_never"]} | _span(of, "known"),
            "lateness": None if self.lateness is None else self.lateness.to_dict(),
            "load_time_candidates": [c.to_dict() for c in self.candidates],
        }

    def _lateness(self, column: str) -> Lateness:
        """By the created timestamp also what is declared of rows without one, and of pushed rows their arrival."""
        by = None if column == self._source.created_timestamp else column
        found = self._session.table(sql.lateness(self._rows, by), {"allowed": self._source.known_delay.micros}).to_pylist()
        counts = tuple((row["late_by"], row["rows"]) for row in found)
        most = max((row["most"] for row in found), default=0)
        return Lateness(column, counts, most, sum(row["late"] for row in found))

    def _repeated(self, key: tuple[str, ...]) -> dict[str, int]:
        return self._one(sql.same_key_and_time(self._rows, key))

    def _one(self, statement: str) -> dict[str, Any]:
        row: dict[str, Any] = self._session.table(statement, {"now": self._now}).to_pylist()[0]
        return row


def other_times(source: Source, types: Mapping[str, DType]) -> Iterator[str]:
    """The columns of times that might tell when rows were loaded: any not declared, where no created timestamp is."""
    if not source.static and source.created_timestamp is None:
        yield from (c for c in types if types[c].is_timestamp and c not in source.declared_columns)


def _looks_loaded(after: int, of: int, rows: int) -> bool:
    """Nearly every row has such a time, and nearly none before its event."""
    return rows > 0 and of >= COVERED * rows and after >= COVERED * of


def _span(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    ends = {end: of[f"{name}_{end}"] for end in ("first", "last")}
    return {end: None if at is None else format_instant(at) for end, at in ends.items()} | {"future": of[f"{name}_future"]}


def declared(source: Source) -> str:
    """What a source says about when its rows become known, in words."""
    if source.created_timestamp is not None:
        return source.created_timestamp
    return "assumed known at once" if source.delay is None else f"event + {source.delay}"
