"""What `influence` found: which source rows move a feature's values, per row asked and over all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from featurestore.audit.truth import bits
from featurestore.dtypes import DATE, DType
from featurestore.intervals import format_instant

_EPOCH = date(1970, 1, 1)
OVERFLOW = "overflow"
"""What stands for a value that its type cannot hold once a row is left out."""


@dataclass(frozen=True)
class SourceRow:
    """A row of a source: the file (or push log) it lies in, and its number there, from 0; its times, and what it holds."""

    source: str
    file: str
    row: int
    event_time: str | None = None
    known_time: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source, "file": self.file, "row": self.row, "event_time": self.event_time,
            "known_time": self.known_time, "values": dict(self.values),
        }  # fmt: skip


@dataclass(frozen=True)
class Influence:
    """What one source row does to one value. without: the value if the row were not there. moves: how far that is from the
    value that is (`distance`). null: one of the two is NULL, which counts as farther than any number."""

    row: SourceRow
    without: Any
    moves: float
    null: bool

    def to_dict(self) -> dict[str, Any]:
        return {**self.row.to_dict(), "without": self.without, "moves": self.moves, "null": self.null}


@dataclass(frozen=True)
class Asked:
    """One row that was asked: its number in the spine, keys, instant and value. reach: source rows it looks at; tried: how many
    of them were left out, one at a time; rows: those that move it most, farthest first."""

    row: int
    keys: Mapping[str, Any]
    as_of: str
    value: Any
    reach: int
    tried: int
    rows: Sequence[Influence]

    def to_dict(self) -> dict[str, Any]:
        return {
            "row": self.row, "key": dict(self.keys), "as_of": self.as_of, "value": self.value, "reach": self.reach,
            "tried": self.tried, "rows": [r.to_dict() for r in self.rows],
        }  # fmt: skip


@dataclass(frozen=True)
class Overall:
    """What one source row does to all values asked: how many it moves, how far in sum (of one that is NULL with or without the
    row, the other counts whole), and how many of them are to or from NULL."""

    row: SourceRow
    moved: int
    sum: float
    nulls: int

    def to_dict(self) -> dict[str, Any]:
        return {**self.row.to_dict(), "moved": self.moved, "sum": self.sum, "nulls": self.nulls}


@dataclass(frozen=True)
class Influences:
    """What moves a feature. spine_rows: of the spine; rows: those asked; overall: the source rows that move most of all."""

    service: str
    feature: str
    spine_rows: int
    rows: Sequence[Asked]
    overall: Sequence[Overall]

    @property
    def cut(self) -> int:
        """Rows asked of which not every source row in reach was left out."""
        return sum(asked.tried < asked.reach for asked in self.rows)

    def to_dict(self) -> dict[str, Any]:
        return {
            "service": self.service, "feature": self.feature, "spine_rows": self.spine_rows, "asked": len(self.rows),
            "cut": self.cut, "rows": [r.to_dict() for r in self.rows], "overall": [o.to_dict() for o in self.overall],
        }  # fmt: skip


def distance(value: Any, without: Any, *, numeric: bool) -> float:
    """How far a value moves when it becomes another: the distance of two numbers, of which NULL counts as 0 but is never
    nearer than 1 to another value if that is 0; infinite if one of them is NaN, infinite or not to be had. Of other values: 0
    if they are the same, else 1."""
    if bits(value) == bits(without):
        return 0.0
    if not numeric:
        return 1.0
    if OVERFLOW in (value, without):
        return math.inf
    a, b = value or 0, without or 0
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    try:
        return float(abs(a - b)) or 1.0
    except OverflowError:
        return math.inf


def readable(value: Any, dtype: DType) -> Any:
    """A value as the online store gives it, as people write it: instants and dates as text."""
    if value is None or value == OVERFLOW:
        return value
    if dtype.is_list:
        return [readable(v, dtype.item) for v in value]
    if dtype.is_timestamp:
        return format_instant(value)
    return (_EPOCH + timedelta(days=value)).isoformat() if dtype == DATE else value


__all__ = ["OVERFLOW", "Asked", "Influence", "Influences", "Overall", "SourceRow", "distance", "readable"]
