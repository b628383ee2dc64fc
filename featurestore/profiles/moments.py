"""Mean and spread of many groups at once, merged without losing digits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featurestore.profiles.points import Floats, Ints


@dataclass(frozen=True)
class Moments:
    """By group: how many values, their mean, and the sum of squares of what they are off it; both 0 without values."""

    counts: Ints
    means: Floats
    squares: Floats

    @classmethod
    def none(cls, groups: int) -> Moments:
        return cls(np.zeros(groups, np.int64), np.zeros(groups), np.zeros(groups))

    @classmethod
    def of(cls, values: Floats, weights: Ints, starts: Ints) -> Moments:
        """Of values side by side by group, each so many times."""
        made, some = cls.none(len(starts) - 1), np.flatnonzero(np.diff(starts))
        if not len(values):
            return made
        first, many = starts[some], np.diff(starts)[some]
        counts = np.add.reduceat(weights, first)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.add.reduceat(values * (weights / np.repeat(counts, many)), first)
            rest = values - np.repeat(means, many)
            weighed = rest * weights
            off = np.add.reduceat(weighed, first) / counts
            made.counts[some], made.means[some] = counts, means + off
            made.squares[some] = np.add.reduceat(weighed * rest, first) - counts * off * off
        return made

    def regrouped(self, to: Ints, groups: int) -> Moments:
        return _pooled(self.counts, self.means, self.squares, to, groups)

    def group(self, number: int) -> Moments:
        """One group alone."""
        own = slice(number, number + 1)
        return Moments(self.counts[own], self.means[own], self.squares[own])

    def plus(self, other: Moments) -> Moments:
        """Both together. Either may know the first groups only."""
        sizes = len(self.counts), len(other.counts)
        to = np.concatenate([np.arange(size) for size in sizes])
        return _pooled(
            np.concatenate((self.counts, other.counts)), np.concatenate((self.means, other.means)),
            np.concatenate((self.squares, other.squares)), to, max(sizes),
        )  # fmt: skip


def _pooled(counts: Ints, means: Floats, squares: Floats, to: Ints, groups: int) -> Moments:
    """Chan's formula, for any number of parts. The mean is taken twice: what the first misses, the second finds."""
    total = _summed(counts, to, groups).astype(np.int64)
    some = np.maximum(total, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _summed(means * (counts / some[to]), to, groups)
        rest = means - mean[to]
        off = _summed(rest * counts, to, groups) / some
        rest = rest - off[to]
        return Moments(total, mean + off, _summed(squares + rest * rest * counts, to, groups))


def _summed(values: Floats | Ints, to: Ints, groups: int) -> Floats:
    found: Floats = np.bincount(to, values, groups).astype(np.float64)
    return found
