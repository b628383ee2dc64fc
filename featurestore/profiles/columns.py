"""One feature while rows come in: what is kept of it in each way of parting the rows, many groups at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sized
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.profiles.distinct import (
    COARSE,
    FINE,
    WHOLE,
    Distinct,
    Hashes,
    is_bytes,
    numbers,
    of_array,
    of_finite,
    ranks,
)
from featurestore.profiles.feature import (
    CATEGORY,
    DATE,
    LENGTH,
    NUMBER,
    OF_ALL,
    OF_SLICE,
    TIME,
    FeatureProfile,
    values_of,
)
from featurestore.profiles.moments import Moments
from featurestore.profiles.points import Floats, Ints, Levels, Points
from featurestore.profiles.slices import text_of
from featurestore.profiles.tops import IN_ALL, IN_SLICE, Tops

MOST_POINTS = 512
"""Points of a group while rows come in."""
FINE_CELLS = 2_048
"""So many groups, times features, have registers of the finer precision."""
_FORGET = 100_000

Orders = Mapping[str, tuple[Ints, Ints | None, Ints]]
"""Way of parting -> the group of each row of a block, the order that brings groups together, where each starts."""


def kind_of(kind: pa.DataType) -> str:
    """How a feature of a type is looked at."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return kind_of(kind.value_type)
    if pa.types.is_timestamp(kind):
        return TIME
    if pa.types.is_date(kind):
        return DATE
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return NUMBER
    return LENGTH if _is_list(kind) else CATEGORY


def _is_list(kind: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_map)
    return any(test(kind) for test in tests)


class Column:
    """One feature. ways: by which rows are parted. features: how many there are, which share what is kept."""

    def __init__(self, name: str, kind: pa.DataType, ways: Mapping[str, Sized], features: int) -> None:
        self.name, self.type, self.kind, self._features = name, kind, kind_of(kind), features
        self._ways = ways
        self._cells = {way: _Cells() for way in ways}
        self._whole = Distinct(WHOLE)
        self._tops = Tops.none(1)
        self._texts: dict[int, str] = {}
        self._time = next(iter(ways))

    def add(self, column: pa.Array, orders: Orders) -> None:
        """The values of one block."""
        valid = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
        if self.kind == CATEGORY:
            return self._add_values(_plain(column), valid, orders)
        hashes = of_array(column) if self.kind == LENGTH else None
        values = _numbers(column, self.kind)
        for way, (groups, order, starts) in orders.items():
            cells = self._cells[way]
            cells.grow(len(starts) - 1)
            points = self._points(cells, values if order is None else values[order], valid, order, starts)
            cells.see(points)
            if hashes is None:
                self._count(way, points.groups, of_finite(points.values))
            else:
                held = slice(None) if valid is None else valid
                self._count(way, groups[held], hashes[held])
        return None

    def _points(self, cells: _Cells, values: Floats, valid: Any, order: Ints | None, starts: Ints) -> Points:
        """The finite values by group; the others are counted apart: NULL, which is NaN here, NaN and the infinite."""
        finite = np.isfinite(values)
        if finite.all():
            return Points.of(values.copy() if order is None else values, starts)
        first = np.concatenate(([0], np.cumsum(finite)))[starts]
        others = np.diff(starts) - np.diff(first)
        if valid is None or others.sum() > np.count_nonzero(~valid):
            groups = np.repeat(np.arange(len(others)), np.diff(starts))
            odd = ~finite if valid is None else ~finite & (valid if order is None else valid[order])
            tests: tuple[Any, ...] = (np.isnan, np.isposinf, np.isneginf)
            for place, test in enumerate(tests):
                cells.odd[place] += np.bincount(groups[odd][test(values[odd])], minlength=len(others))
            others = others - np.bincount(groups[odd], minlength=len(others))
        cells.nulls += others
        return Points.of(values[finite], first)

    def _count(self, way: str, groups: Ints, hashes: Hashes) -> None:
        """What is distinct in each group of a way, and once over all rows."""
        number = len(self._ways[way])
        kept = self._cells[way].distinct
        if kept.precision > COARSE and number * self._features > FINE_CELLS:
            kept.fold(COARSE)
        found = ranks(hashes)
        kept.add(groups, hashes, found, number)
        if way == self._time:
            self._whole.add(0, hashes, found, 1)

    # Categories.

    def _add_values(self, column: pa.Array, valid: Any, orders: Orders) -> None:
        encoded = column.dictionary_encode()
        dictionary, codes = encoded.dictionary, encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        hashes = of_array(dictionary)
        ordered = pc.array_sort_indices(_sortable(dictionary)).to_numpy() if len(dictionary) else np.empty(0, np.int64)
        ranks = np.empty(len(ordered), np.int64)
        ranks[ordered] = np.arange(len(ordered))
        for way, (groups, _, starts) in orders.items():
            cells = self._cells[way]
            cells.grow(len(starts) - 1)
            held = slice(None) if valid is None else valid
            if valid is not None:
                cells.nulls += np.bincount(groups[~valid], minlength=len(cells.nulls))
            of, which, counts = _pairs(groups[held], codes[held], len(starts) - 1, len(dictionary))
            self._extremes(cells, of, ranks[which], dictionary, ordered)
            found = Tops.of(of, hashes[which], counts, np.zeros(len(starts) - 1, np.int64))
            cells.tops = cells.tops.plus(found.reduced(IN_SLICE)).reduced(IN_SLICE)
            self._count(way, of, hashes[which])
            if way == self._time:
                of_all = Tops.of(np.zeros(len(of), np.int64), found.hashes, found.counts, np.zeros(1, np.int64))
                self._tops = self._tops.plus(of_all.reduced(IN_ALL)).reduced(IN_ALL)
        self._remember(hashes, dictionary)

    @staticmethod
    def _extremes(cells: _Cells, groups: Ints, ranks: Ints, dictionary: pa.Array, ordered: Ints) -> None:
        if not len(groups):
            return
        first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
        least, greatest = np.minimum.reduceat(ranks, first), np.maximum.reduceat(ranks, first)
        for group, low, high in zip(groups[first].tolist(), least.tolist(), greatest.tolist(), strict=True):
            cells.stretch(group, text_of(dictionary[int(ordered[low])]), text_of(dictionary[int(ordered[high])]))

    def _kept(self) -> Hashes:
        return np.unique(np.concatenate([self._tops.hashes, *(cells.tops.hashes for cells in self._cells.values())]))

    def _remember(self, hashes: Hashes, dictionary: pa.Array) -> None:
        """The text of every value that is counted."""
        for place in np.flatnonzero(np.isin(hashes, self._kept())).tolist():
            value = int(hashes[place])
            if value not in self._texts:
                self._texts[value] = text_of(dictionary[place])
        if len(self._texts) > _FORGET:
            self._forget()

    def _forget(self) -> None:
        kept = set(self._kept().tolist())
        self._texts = {h: text for h, text in self._texts.items() if h in kept}

    # Groups and the end.

    def regroup(self, way: str, to: Ints, groups: int) -> None:
        self._cells[way].regroup(to, groups)

    def profiles(self, way: str, rows: Ints) -> list[FeatureProfile]:
        """One for each group of a way; rows: by group."""
        cells = self._cells[way]
        cells.grow(len(rows))
        return self._profiles(cells, rows, self._points_of(cells, len(rows)).thinned(OF_SLICE), cells.tops)

    def whole(self, rows: int) -> FeatureProfile:
        """All rows, out of the stretches of time."""
        cells = self._cells[self._time]
        to = np.zeros(len(cells.nulls), np.int64)
        points = self._points_of(cells, len(to)).thinned(MOST_POINTS).regrouped(to, 1).thinned(OF_ALL)
        made = _Cells()
        made.take(cells)
        made.regroup(to, 1)
        made.distinct = self._whole
        return self._profiles(made, np.array([rows]), points, self._tops)[0]

    def forget(self, way: str) -> None:
        """All profiles of a way are made: the points they came from are more than all the rest."""
        self._cells[way].levels, self._cells[way].points = Levels(MOST_POINTS), None

    @staticmethod
    def _points_of(cells: _Cells, groups: int) -> Points:
        """Merged once, at the end."""
        if cells.points is None:
            cells.points = cells.levels.points(groups)
        return cells.points

    def _profiles(self, cells: _Cells, rows: Ints, points: Points, tops: Tops) -> list[FeatureProfile]:
        category, kind = self.kind == CATEGORY, str(self.type)
        counted = (tops if category else points).errors == 0 if self.kind != LENGTH else np.zeros(len(rows), bool)
        registers, none = cells.distinct.registers, Tops.none(1)
        counts = zip(rows.tolist(), cells.nulls.tolist(), *cells.odd.tolist(), counted.tolist(), strict=True)
        low, high, moments = _ends(cells.low), _ends(cells.high), cells.moments
        return [
            FeatureProfile(
                self.name,
                kind,
                self.kind,
                rows=n,
                nulls=nulls,
                nans=nans,
                positive_infinities=positive,
                negative_infinities=negative,
                least=cells.least.get(g) if category else low[g],
                greatest=cells.greatest.get(g) if category else high[g],
                moments=none_moments if category else moments.group(g),
                points=none_points if category else points.group(g),
                registers=None if is_counted or g >= len(registers) else registers[g],
                values=values_of(tops.group(g) if len(tops.groups) else none, self._texts) if category else (),
                values_error=int(tops.errors[g]) if category else 0,
            )
            for none_moments, none_points in [(Moments.none(1), Points.none(1))]
            for g, (n, nulls, nans, positive, negative, is_counted) in enumerate(counts)
        ]


def _ends(ends: Floats) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in ends.tolist()]


class _Cells:
    """What is kept of a feature in one way of parting rows: by group. odd: NaN, infinite, and negatively so. low, high: of
    numbers; least, greatest: of categories."""

    def __init__(self) -> None:
        self.nulls: Ints = np.zeros(0, np.int64)
        self.odd: Ints = np.zeros((3, 0), np.int64)
        self.moments = Moments.none(0)
        self.levels = Levels(MOST_POINTS)
        self.points: Points | None = None
        self.distinct = Distinct(FINE)
        self.tops = Tops.none(0)
        self.low: Floats = np.empty(0)
        self.high: Floats = np.empty(0)
        self.least: dict[int, str] = {}
        self.greatest: dict[int, str] = {}

    def grow(self, groups: int) -> None:
        more = groups - len(self.nulls)
        if more > 0:
            self.nulls = np.pad(self.nulls, (0, more))
            self.odd = np.pad(self.odd, ((0, 0), (0, more)))
            self.low = np.append(self.low, np.full(more, np.inf))
            self.high = np.append(self.high, np.full(more, -np.inf))
            self.moments = self.moments.plus(Moments.none(groups))
            self.tops = self.tops.plus(Tops.none(groups))

    def take(self, other: _Cells) -> None:
        """The counts of another."""
        self.nulls, self.odd, self.moments = other.nulls, other.odd, other.moments
        self.tops, self.least, self.greatest = other.tops, other.least, other.greatest
        self.low, self.high = other.low, other.high

    def see(self, points: Points) -> None:
        """The finite values of one more block."""
        self.moments = self.moments.plus(Moments.of(points.values, points.weights, points.starts))
        self.levels.add(points)
        some = np.flatnonzero(np.diff(points.starts))
        low, high = points.values[points.starts[some]], points.values[points.starts[some + 1] - 1]
        self.low[some] = np.minimum(self.low[some], low)
        self.high[some] = np.maximum(self.high[some], high)

    def stretch(self, group: int, low: str, high: str) -> None:
        self.least[group] = min(self.least.get(group, low), low)
        self.greatest[group] = max(self.greatest.get(group, high), high)

    def regroup(self, to: Ints, groups: int) -> None:
        """Group g becomes part of to[g]."""
        self.grow(len(to))
        self.nulls = np.bincount(to, self.nulls, groups).astype(np.int64)
        self.odd = np.stack([np.bincount(to, row, groups).astype(np.int64) for row in self.odd])
        self.moments = self.moments.regrouped(to, groups)
        self.levels.regroup(to, groups)
        self.points = None
        self.distinct.regroup(to, groups)
        self.tops = self.tops.regrouped(to, groups).reduced(IN_SLICE)
        self.low = _farthest(self.low, to, groups, np.minimum, np.inf)
        self.high = _farthest(self.high, to, groups, np.maximum, -np.inf)
        self.least = _moved(self.least.items(), to, min)
        self.greatest = _moved(self.greatest.items(), to, max)


def _farthest(ends: Floats, to: Ints, groups: int, farther: np.ufunc, none: float) -> Floats:
    made = np.full(groups, none)
    farther.at(made, to, ends)
    return made


def _moved(ends: Iterable[tuple[int, str]], to: Ints, farther: Any) -> dict[int, str]:
    made: dict[int, str] = {}
    for group, end in ends:
        new = int(to[group])
        made[new] = farther(made.get(new, end), end)
    return made


def _numbers(column: pa.Array, kind: str) -> Floats:
    if kind == LENGTH:
        return numbers(_lengths(column))
    if kind == TIME and column.type.unit != "us":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if kind == DATE:
        column = column.cast(pa.date32())
    return numbers(_plain(column)) + 0.0


def _lengths(column: pa.Array) -> pa.Array:
    if pa.types.is_map(column.type):
        column = column.cast(pa.list_(pa.struct([("key", column.type.key_type), ("value", column.type.item_type)])))
    return pc.list_value_length(column)


def _plain(column: pa.Array) -> pa.Array:
    """Without dictionary or runs; what no kernel knows as text."""
    if pa.types.is_dictionary(column.type):
        return _plain(column.dictionary_decode())
    if pa.types.is_run_end_encoded(column.type):
        return _plain(pc.run_end_decode(column))
    kind = column.type
    if is_bytes(kind):
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        return column.cast(pa.large_string() if text else pa.large_binary())
    if kind_of(kind) == CATEGORY and not pa.types.is_boolean(kind):
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.large_string())
    return column


def _sortable(dictionary: pa.Array) -> pa.Array:
    return dictionary.cast(pa.uint8()) if pa.types.is_boolean(dictionary.type) else dictionary


def _pairs(groups: Ints, codes: Ints, number: int, values: int) -> tuple[Ints, Ints, Ints]:
    """Pairs of group and value, in that order, and how often each is there."""
    keys = groups * max(values, 1) + codes
    if number * values <= 4 * len(keys) + 1_000:
        counted = np.bincount(keys, minlength=number * values)
        found = np.flatnonzero(counted)
        counts = counted[found]
    else:
        found, counts = np.unique(keys, return_counts=True)
    return found // max(values, 1), found % max(values, 1), counts


__all__ = ["Column", "kind_of"]
