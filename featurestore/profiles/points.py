"""Quantiles of many groups at once: sorted values with weights, few enough to keep, of a rank error that is known.

Points are exact while a group has few distinct values. Beyond that they are replaced by `most` of equal weight, each the value
in the middle of its share of the rows: a rank told from them is off by half a share at most, whatever the values are. What
is merged and thinned again is off by the sum; each group says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """Group g has points starts[g] to starts[g + 1]: `values` ascending and distinct, `weights` in rows. errors: by how many
    rows a rank told from them may be off, by group. All values are finite."""

    starts: Ints
    values: Floats
    weights: Ints
    errors: Ints

    @classmethod
    def none(cls, groups: int) -> Points:
        return cls(np.zeros(groups + 1, np.int64), np.empty(0), np.empty(0, np.int64), np.zeros(groups, np.int64))

    @classmethod
    def of(cls, values: Floats, starts: Ints) -> Points:
        """Rows, those of a group side by side, in any order within it; they are sorted in place."""
        for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            values[first:last].sort()
        return _distinct(values, None, starts, np.zeros(len(starts) - 1, np.int64))

    @property
    def groups(self) -> Ints:
        """The group of each point."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    @property
    def totals(self) -> Ints:
        """Rows by group."""
        ends = np.concatenate(([0], np.cumsum(self.weights)))
        return np.diff(ends[self.starts])

    def thinned(self, most: int) -> Points:
        """At most so many points a group."""
        counts = np.diff(self.starts)
        many = np.flatnonzero(counts > most)
        if not len(many):
            return self
        cumulated = np.cumsum(self.weights)
        before = (cumulated[self.starts[many]] - self.weights[self.starts[many]])[:, None]
        total, edges = self.totals[many, None], np.arange(most + 1)[None, :]
        ends = edges * total // most
        middle = (2 * edges[:, :-1] + 1) * total // (2 * most)
        chosen = (before + middle).ravel()  # of rows; they are points, where each has one
        if cumulated[-1] > len(cumulated):
            chosen = np.searchsorted(cumulated, chosen, side="right")
        errors = self.errors.copy()
        errors[many] += np.maximum(middle - ends[:, :-1], ends[:, 1:] - middle - 1).max(axis=1)
        starts = np.concatenate(([0], np.cumsum(np.minimum(counts, most))))
        places = (starts[many, None] + edges[:, :-1]).ravel()
        values, weights = np.empty(starts[-1]), np.empty(starts[-1], np.int64)
        values[places], weights[places] = self.values[chosen], np.diff(ends, axis=1).ravel()
        kept, others = np.repeat(counts <= most, counts), np.ones(starts[-1], bool)
        others[places] = False
        values[others], weights[others] = self.values[kept], self.weights[kept]
        return _distinct(values, weights, starts, errors)

    def regrouped(self, to: Ints, groups: int) -> Points:
        """Group g becomes part of group to[g], of so many."""
        errors = np.zeros(groups, np.int64)
        np.add.at(errors, to, self.errors)
        moved, values, weights = to[self.groups], self.values.copy(), self.weights.copy()
        if groups > 1:
            order = np.argsort(moved.astype(np.uint16), kind="stable")
            values, weights = values[order], weights[order]
        starts = np.concatenate(([0], np.cumsum(np.bincount(moved, minlength=groups))))
        return _sorted(values, weights, starts, errors)

    def group(self, number: int) -> Points:
        """One group alone."""
        first, last = self.starts[number], self.starts[number + 1]
        starts = np.array([0, last - first])
        return Points(starts, self.values[first:last], self.weights[first:last], self.errors[number : number + 1])


def together(parts: Sequence[Points]) -> Points:
    """The points of several, group by group. Parts may know the first groups only."""
    if len(parts) == 1:
        return parts[0]
    number = max(len(p.errors) for p in parts)
    errors, sizes = np.zeros(number, np.int64), np.zeros((len(parts), number), np.int64)
    for part, size in zip(parts, sizes, strict=True):
        errors[: len(part.errors)] += part.errors
        size[: len(part.errors)] = np.diff(part.starts)
    starts = np.concatenate(([0], np.cumsum(sizes.sum(axis=0))))
    first = starts[:-1] + np.cumsum(sizes, axis=0) - sizes  # where the points of a part go, by part and group
    values, weights = np.empty(starts[-1]), np.empty(starts[-1], np.int64)
    for part, size, to in zip(parts, sizes, first, strict=True):
        places = np.arange(len(part.values)) + np.repeat((to - np.cumsum(size) + size), size)
        values[places], weights[places] = part.values, part.weights
    return _sorted(values, weights, starts, errors)


def _sorted(values: Floats, weights: Ints, starts: Ints, errors: Ints) -> Points:
    """Points side by side by group, as points in order. They are sorted in place."""
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        if last - first > 1:
            inside = np.argsort(values[first:last], kind="stable")  # of sorted runs: they are merged
            values[first:last] = values[first:last][inside]
            weights[first:last] = weights[first:last][inside]
    return _distinct(values, weights, starts, errors)


def _distinct(values: Floats, weights: Ints | None, starts: Ints, errors: Ints) -> Points:
    """Equal values of a group as one. weights: of one row each, if none are given."""
    if not len(values):
        return Points(starts, values, np.empty(0, np.int64), errors)
    new = np.empty(len(values), bool)
    new[0] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    new[starts[:-1][np.diff(starts) > 0]] = True
    first = np.flatnonzero(new)
    if len(first) == len(values) and weights is not None:
        return Points(starts, values, weights, errors)
    summed = np.diff(np.append(first, len(values))) if weights is None else np.add.reduceat(weights, first)
    return Points(np.searchsorted(first, starts), values[first], summed, errors)


FAN_IN = 4


class Levels:
    """Points of many blocks of rows, merged as a tree: four of one level are one of the next, so that errors add up along
    its height only."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._levels: list[list[Points]] = []

    def add(self, points: Points) -> None:
        """The points of one more block."""
        points, level = points.thinned(self._most), 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(points)
            if len(self._levels[level]) < FAN_IN:
                return
            points = together(self._levels[level]).thinned(self._most)
            self._levels[level] = []
            level += 1

    def regroup(self, to: Ints, groups: int) -> None:
        self._levels = [[p.regrouped(to[: len(p.errors)], groups).thinned(self._most) for p in level] for level in self._levels]

    def points(self, groups: int) -> Points:
        """All of it, not thinned."""
        parts = [p for level in self._levels for p in level if len(p.values)]
        return together([Points.none(groups), *parts]) if len(parts) != 1 or len(parts[0].errors) < groups else parts[0]
