"""What a profile says of one feature over some rows, and how two such say it together.

Decides what is exact: counts, extremes and moments always (of numbers as doubles: integers beyond 2^53 are rounded); ranks,
cardinality and top values while there are few distinct values, and within a known error beyond that.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featurestore.errors import DataError
from featurestore.intervals import format_instant
from featurestore.profiles import distinct
from featurestore.profiles.distinct import COARSE, WHOLE, Registers, estimate, folded, of_numbers, registers_of
from featurestore.profiles.moments import Moments
from featurestore.profiles.points import Floats, Ints, Points, together
from featurestore.profiles.tops import IN_ALL, IN_SLICE, Tops

NUMBER, TIME, DATE, LENGTH, CATEGORY = "number", "time", "date", "length", "category"
"""How a feature is looked at. Times are microseconds and dates days since 1970; of a list or a map its length is the number."""
OF_ALL, OF_SLICE = 2_048, 256
"""Points kept of all rows, and of a slice."""
MOST_TOP = 100


@dataclass(frozen=True)
class FeatureProfile:
    """One feature over `rows` rows, of which `nulls` are NULL.

    type: Arrow's name of it. kind: of NUMBER, TIME, DATE, LENGTH, CATEGORY. missing: rows whose NULL has another reason than
    a fact that holds NULL, by status (expired, not_found, …). nans, positive_infinities, negative_infinities: counted, and
    left out of all below. least, greatest: of the values, in their one order; text of bounded length for categories, doubles
    for what is no category. moments, points: of one group. registers: None where all distinct values are known. values:
    (hash, text, count) of categories, in order of hashes; values_error: how much each count may be too small.
    """

    name: str
    type: str
    kind: str
    rows: int
    nulls: int = 0
    nans: int = 0
    positive_infinities: int = 0
    negative_infinities: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    least: float | str | None = None
    greatest: float | str | None = None
    moments: Moments = field(default_factory=lambda: Moments.none(1), repr=False)
    points: Points = field(default_factory=lambda: Points.none(1), repr=False)
    registers: Registers | None = field(default=None, repr=False)
    values: tuple[tuple[int, str, int], ...] = field(default=(), repr=False)
    values_error: int = 0

    # Counts.

    @property
    def infinities(self) -> int:
        return self.positive_infinities + self.negative_infinities

    @property
    def present(self) -> int:
        """Rows with a value, NaN and infinities among them."""
        return self.rows - self.nulls

    @property
    def finite(self) -> int:
        """Rows with a value that is neither NaN nor infinite."""
        return self.present - self.nans - self.infinities

    @property
    def null_rate(self) -> float:
        """The share of rows that are NULL; 0 without rows."""
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def statuses(self) -> dict[str, int]:
        """Rows by status; where nobody told them, present and null alone."""
        return {"present": self.present, "null": self.nulls - sum(self.missing.values()), **self.missing}

    # Numbers. None where there is no finite value, or where the kind has none.

    @property
    def is_numeric(self) -> bool:
        """Whether it has quantiles."""
        return self.kind != CATEGORY

    @property
    def min(self) -> float | int | str | None:
        return self._typed(self.least)

    @property
    def max(self) -> float | int | str | None:
        return self._typed(self.greatest)

    def _typed(self, value: float | str | None) -> float | int | str | None:
        whole = self.kind in (TIME, DATE, LENGTH) or "int" in self.type
        return int(value) if whole and isinstance(value, float) else value

    @property
    def mean(self) -> float | None:
        return _finite(self.moments.means[0]) if self.is_numeric and self.moments.counts[0] else None

    @property
    def std(self) -> float | None:
        """The standard deviation of these rows themselves: divided by their number, 0 of one row."""
        count = int(self.moments.counts[0])
        return _finite(math.sqrt(max(self.moments.squares[0], 0) / count)) if self.is_numeric and count else None

    def quantile(self, q: float) -> float | None:
        """The value at a share `q` (0 to 1) of the finite values; the least and the greatest at the ends."""
        if not 0 <= q <= 1:
            raise ValueError(f"q={q} is no share: 0 to 1")
        if not len(self.points.values):
            return None
        if q in (0, 1):
            return float(self.least if q == 0 else self.greatest)  # type: ignore[arg-type]
        place = math.ceil(q * int(self._cumulated[-1])) - 1
        return float(self.points.values[np.searchsorted(self._cumulated, max(place, 0), side="right")])

    def rank(self, xs: ArrayLike) -> NDArray[np.float64]:
        """The share of finite values that are at most x, for each x; NaN where there is none. Off by `rank_error` at most."""
        places = np.searchsorted(self.points.values, np.asarray(xs, np.float64), side="right")
        if not len(self.points.values):
            return np.full(places.shape, np.nan)
        shares = np.concatenate(([0.0], self._cumulated / self._cumulated[-1]))[places]
        shares = np.where(np.asarray(xs) >= self.greatest, 1.0, shares)
        return np.where(np.asarray(xs) < self.least, 0.0, shares)

    @property
    def rank_error(self) -> float:
        """By which share of the finite values a rank may be off; 0 where ranks are exact."""
        return float(self.points.errors[0] / max(self.finite, 1)) if self.is_numeric else 0.0

    @cached_property
    def _cumulated(self) -> Ints:
        return np.cumsum(self.points.weights)

    def histogram(self, bins: int = 30) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """bins + 1 edges from the least to the greatest value, and rows per bin; both empty without finite values."""
        if not len(self.points.values):
            return np.empty(0), np.empty(0, np.int64)
        low, high = float(self.least), float(self.greatest)  # type: ignore[arg-type]
        if low == high:
            off = max(0.5, abs(low) * 1e-9)
            low, high = max(low - off, -sys.float_info.max), min(high + off, sys.float_info.max)
        edges = np.array([low * (1 - i / bins) + high * (i / bins) for i in range(bins + 1)])  # high - low may be infinite
        places = np.searchsorted(edges, self.points.values, side="right") - 1
        return edges, np.bincount(np.clip(places, 0, bins - 1), self.points.weights, bins).astype(np.int64)

    # Distinct values.

    @property
    def is_counted(self) -> bool:
        """Whether all distinct values are known, each with its count."""
        if self.kind == CATEGORY:
            return self.values_error == 0
        return self.kind != LENGTH and not self.points.errors[0]

    @property
    def cardinality(self) -> float:
        """How many distinct values there are but NULL, NaN being one: exact if `is_counted`, else an estimate, of which 2 in 3
        are off by less than 0.6% over all rows (of a slice by less than 0.8%, or 1.6% where slices are many)."""
        special = sum(count > 0 for count in (self.nans, self.positive_infinities, self.negative_infinities))
        if self.is_counted:
            return float(len(self.values) if self.kind == CATEGORY else len(self.points.values)) + special
        return min(estimate(self.registers), self.finite) + special if self.registers is not None else special

    @cached_property
    def top(self) -> tuple[tuple[str, int], ...]:
        """The most frequent values as text with their rows, MOST_TOP at most, the most frequent first. Of numbers only where
        all are counted; of categories with more values than could be, counts may be `values_error` too small."""
        if self.kind == CATEGORY:
            found = [(text, count) for _, text, count in self.values]
        elif self.is_counted:
            pairs = zip(self.points.values.tolist(), self.points.weights.tolist(), strict=True)
            found = [(self.shown(value), count) for value, count in pairs]
        else:
            found = []
        return tuple(sorted(found, key=lambda pair: (-pair[1], pair[0]))[:MOST_TOP])

    @property
    def other(self) -> int:
        """Rows with a finite value that is not among the top ones."""
        return self.finite - sum(count for _, count in self.top)

    def shown(self, value: float | str | None) -> str:
        """A value of this feature for people: instants and dates in ISO 8601."""
        if value is None or isinstance(value, str):
            return "" if value is None else value
        if self.kind == TIME:
            return format_instant(round(value))
        if self.kind == DATE:
            try:
                return (date(1970, 1, 1) + timedelta(round(value))).isoformat()
            except OverflowError:
                return f"day {value:.0f}"
        return str(int(value)) if value == int(value) and abs(value) < 2**53 else f"{value:.6g}"

    # Together.

    def registers_at(self, precision: int) -> Registers:
        """The registers, of a precision not above their own; made of the values where all are known."""
        if self.registers is not None:
            return folded(self.registers, precision)
        if self.kind == CATEGORY:
            return registers_of(np.array([h for h, _, _ in self.values], np.uint64), precision)
        return registers_of(of_numbers(self.points.values), precision)

    @property
    def precision(self) -> int:
        return WHOLE if self.registers is None else len(self.registers).bit_length() - 1


def merged(parts: Sequence[FeatureProfile], *, whole: bool = True) -> FeatureProfile:
    """The profile of all rows of all parts. whole: keep as much as of a whole set, not of a slice.

    Raises: DataError FS163 for parts of different types.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts:
        if part.type != first.type:
            what = f"feature {first.name!r} is {first.type} in one profile and {part.type} in another"
            raise DataError("FS163", what, hint="profiles of one definition")
    points = together([p.points for p in parts]).thinned(OF_ALL if whole else OF_SLICE)
    moments = parts[0].moments
    for part in parts[1:]:
        moments = moments.plus(part.moments)
    values, error = _values(parts, IN_ALL if whole else IN_SLICE)
    counted = error == 0 if first.kind == CATEGORY else first.kind != LENGTH and points.errors[0] == 0
    return FeatureProfile(
        first.name,
        first.type,
        first.kind,
        rows=sum(p.rows for p in parts),
        nulls=sum(p.nulls for p in parts),
        nans=sum(p.nans for p in parts),
        positive_infinities=sum(p.positive_infinities for p in parts),
        negative_infinities=sum(p.negative_infinities for p in parts),
        missing={s: sum(p.missing.get(s, 0) for p in parts) for s in dict.fromkeys(s for p in parts for s in p.missing)},
        least=min((p.least for p in parts if p.least is not None), default=None),
        greatest=max((p.greatest for p in parts if p.greatest is not None), default=None),
        moments=moments,
        points=points,
        registers=None if counted else _registers(parts),
        values=values,
        values_error=error,
    )


def _registers(parts: Sequence[FeatureProfile]) -> Registers:
    precision = min(part.precision for part in parts)
    found = parts[0].registers_at(precision)
    for part in parts[1:]:
        found = np.maximum(found, part.registers_at(precision))
    return found


def _values(parts: Sequence[FeatureProfile], most: int) -> tuple[tuple[tuple[int, str, int], ...], int]:
    texts = {h: text for part in parts for h, text, _ in part.values}
    hashes = np.array([h for part in parts for h, _, _ in part.values], np.uint64)
    counts = np.array([count for part in parts for _, _, count in part.values], np.int64)
    errors = np.array([sum(part.values_error for part in parts)])
    tops = Tops.of(np.zeros(len(hashes), np.int64), hashes, counts, errors).reduced(most)
    return values_of(tops, texts), int(tops.errors[0])


def values_of(tops: Tops, texts: Mapping[int, str]) -> tuple[tuple[int, str, int], ...]:
    return tuple((h, texts[h], count) for h, count in zip(tops.hashes.tolist(), tops.counts.tolist(), strict=True))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


__all__ = ["COARSE", "FeatureProfile", "Floats", "distinct", "merged"]
