"""A profile as a side of a comparison: distances come from its sketches, whose error is told and taken off every p."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from featurestore.errors import UsageError
from featurestore.intervals import MICROS_PER_DAY
from featurestore.monitoring.drift.columns import Categories, Kind, Numbers
from featurestore.monitoring.drift.found import Compared
from featurestore.monitoring.drift.numbers import Distribution, Values
from featurestore.monitoring.drift.parts import CategoryCells, Cells, NumberCells
from featurestore.monitoring.drift.sides import Side
from featurestore.monitoring.drift.windows import Windows
from featurestore.profiles import SUFFIX, FeatureProfile, Profile
from featurestore.profiles.slices import text_of

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

_KINDS: Mapping[str, Kind] = {"number": "numbers", "category": "categories"}
"""By kind of a profile; times, dates and lengths are compared by NULL alone, as they are of rows."""


@dataclass(frozen=True)
class Profiled:
    """A profile as a side. It has no rows to show a classifier."""

    name: str
    profile: Profile
    label: str | None = None

    @property
    def rows(self) -> int:
        return self.profile.rows

    @property
    def looked_at(self) -> int:
        return self.rows

    @property
    def at(self) -> str | None:
        return None

    @cached_property
    def types(self) -> Mapping[str, str]:
        return {name: feature.type for name, feature in self.profile.features.items()}

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(self.profile.features)

    def kind(self, name: str) -> Kind:
        feature = self.profile.features[name]
        return "null" if feature.type == "null" else _KINDS.get(feature.kind, "other")

    def type_name(self, name: str) -> str:
        return self.types[name].removeprefix("large_")

    def draw(self, sample: int | None, seed: int) -> Profiled:
        return self

    def compared(self) -> Compared:
        errors = [feature.rank_error for feature in self.profile.features.values()]
        return Compared(name=self.name, rows=self.rows, error=max(errors, default=0.0))

    def cut(self, windows: Windows) -> list[tuple[tuple[int, int], Profile]]:
        """Windows of whole stretches of time, of which the profile has one a day. Raises: UsageError FS398."""
        days = self.profile.days()
        if not days:
            raise UsageError("FS398", f"{self.name} has no stretches of time", hint="a training set, or the serve log")
        starts = [start for start, _ in days]
        spans = windows.spans(starts[0], starts[-1])
        if self.profile.unit != "day" or any(end % MICROS_PER_DAY for span in spans for end in span):
            raise UsageError(
                "FS398", f"{self.name} is kept by the {self.profile.unit}", hint="--window 7d, of a profile kept by the day"
            )
        return [((start, end), self.profile.between(start, end)) for start, end in spans]


def opened(path: Path) -> Profiled:
    """Raises: DataError FS160."""
    return Profiled(path.name, Profile.read(path))


def is_profile(path: Path) -> bool:
    return path.name.endswith(SUFFIX)


@dataclass(frozen=True)
class Sketch:
    """Numbers as a profile keeps them."""

    of: FeatureProfile

    @property
    def n(self) -> int:
        return self.of.finite + self.of.infinities

    @property
    def error(self) -> float:
        return float(self.of.rank_error)

    @property
    def std(self) -> float | None:
        return self.of.std

    def up_to(self, points: Array) -> Array:
        finite = np.nan_to_num(self.of.rank(points)) * self.of.finite
        counts = np.where(np.isposinf(points), self.n, self.of.negative_infinities + finite)
        return np.where(np.isneginf(points), self.of.negative_infinities, counts) / max(self.n, 1)

    def quantiles(self, shares: Array) -> Array:
        return np.array([self._quantile(float(share)) for share in shares])

    def _quantile(self, share: float) -> float:
        place = share * self.n - self.of.negative_infinities
        if place <= 0 and self.of.negative_infinities:
            return -np.inf
        found = self.of.quantile(min(max(place / self.of.finite, 0.0), 1.0)) if self.of.finite else None
        return np.inf if found is None or place > self.of.finite else found


@dataclass(frozen=True)
class Known:
    """Categories of one side: rows by name, and rows of others. error: by how much each count may be too small, its rows being
    among the others."""

    counts: Mapping[str, int]
    other: int = 0
    error: int = 0


@dataclass(frozen=True)
class Part:
    """One feature in one window of one side."""

    rows: int
    nulls: int
    nans: int = 0
    numbers: Distribution | None = None
    known: Known | None = None


def cells(name: str, kind: str, reference: Side, current: Side, windows: Sequence[Any]) -> Iterator[Cells]:
    """The feature in every window: of rows their numbers (None: all), of a profile that of the window."""
    column = None if isinstance(current, Profiled) else _column(current, name, kind)
    before = _whole(reference, name, kind)
    for window in windows:
        if column is None:
            assert isinstance(current, Profiled)
            after = of_profile((window or current.profile).features[name], kind)
        else:
            after = of_rows(column.at(window) if hasattr(column, "at") else column if window is None else column[window])
        yield together(before, after)


def _whole(side: Side, name: str, kind: str) -> Part:
    return of_profile(side.profile.features[name], kind) if isinstance(side, Profiled) else of_rows(_column(side, name, kind))


def _column(side: Any, name: str, kind: str) -> Any:
    values = side.column(name)
    if kind == "numbers":
        return Numbers.of(values)
    return Categories.of_both(values, values.slice(0, 0))[0] if kind == "categories" else np.asarray(pc.is_null(values))


def of_profile(feature: FeatureProfile, kind: str) -> Part:
    if kind == "numbers":
        return Part(feature.rows, feature.nulls, feature.nans, numbers=Sketch(feature))
    if kind == "categories":
        return Part(feature.rows, feature.nulls, known=Known(_by_name(feature.top), feature.other, feature.values_error))
    return Part(feature.rows, feature.nulls)


def of_rows(column: Numbers | Categories | Array) -> Part:
    if isinstance(column, Numbers):
        values, nulls, nans = column.sorted()
        return Part(len(column.null), nulls, nans, numbers=Values(values))
    if isinstance(column, Categories):
        counts, nulls = column.counts()
        names = column.names.to_pylist()
        named = ((text_of(names[n]), int(counts[n])) for n in np.flatnonzero(counts))
        return Part(len(column.codes), nulls, known=Known(_by_name(named)))
    return Part(len(column), int(column.sum()))


def _by_name(counted: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Rows by name, as long as a profile keeps it: what is alike so far is one."""
    found: dict[str, int] = {}
    for name, rows in counted:
        found[name] = found.get(name, 0) + rows
    return found


def together(reference: Part, current: Part) -> Cells:
    """What is compared of two parts."""
    rows, nulls = (reference.rows, current.rows), (reference.nulls, current.nulls)
    nans = (reference.nans, current.nans)
    if reference.numbers is not None and current.numbers is not None:
        return NumberCells(rows, nulls, nans, (reference.numbers, current.numbers))
    if reference.known is not None and current.known is not None:
        names, counts = _shared(reference.known, current.known)
        complete = not (reference.known.other or current.known.other)
        return CategoryCells(rows, nulls, names=names, counts=counts, complete=complete)
    return Cells(rows, nulls)


def _shared(reference: Known, current: Known) -> tuple[Sequence[str], tuple[Array, Array]]:
    """The names that both sides count, and all others as one: a name that one side counts among others has no count there.

    Where counts may be too small they are taken to be, within that, in the proportion that the other side has: the least
    difference that there can be.
    """
    sides = (reference, current)
    every = dict.fromkeys([*reference.counts, *current.counts])
    names = [name for name in every if all(name in side.counts or not side.other for side in sides)]
    counted = [np.array([side.counts.get(name, 0) for name in names], np.int64) for side in sides]
    rows = [sum(side.counts.values()) + side.other for side in sides]
    for side in (0, 1):
        expected = counted[1 - side] * rows[side] // max(rows[1 - side], 1)
        counted[side] = np.clip(expected, counted[side], counted[side] + sides[side].error)
    others = [max(of - int(by_name.sum()), 0) for of, by_name in zip(rows, counted, strict=True)]
    if not any(others):
        return names, (counted[0], counted[1])
    return [*names, "(others)"], (np.append(counted[0], others[0]), np.append(counted[1], others[1]))
