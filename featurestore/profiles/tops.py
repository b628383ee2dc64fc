"""The most frequent values of many groups at once, with bounded memory: Misra and Gries' counters, which merge.

A count is never too great, and too small by the group's error at most; without an error all values are counted, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featurestore.profiles.distinct import Hashes
from featurestore.profiles.points import Ints

IN_ALL, IN_SLICE = 1_024, 64
"""Counters kept of all rows, and of a slice."""


@dataclass(frozen=True)
class Tops:
    """Counters: value `hashes[i]` of group `groups[i]` was seen `counts[i]` times, or up to `errors[group]` times more; in
    order of groups, then hashes."""

    groups: Ints
    hashes: Hashes
    counts: Ints
    errors: Ints

    @classmethod
    def none(cls, groups: int) -> Tops:
        return cls(np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.int64), np.zeros(groups, np.int64))

    @classmethod
    def of(cls, groups: Ints, hashes: Hashes, counts: Ints, errors: Ints) -> Tops:
        """Counters in any order; equal ones are added up."""
        if not len(groups):
            return cls(groups, hashes, counts, errors)
        order = np.lexsort((hashes, groups))
        groups, hashes, counts = groups[order], hashes[order], counts[order]
        new = np.append(True, (groups[1:] != groups[:-1]) | (hashes[1:] != hashes[:-1]))
        first = np.flatnonzero(new)
        return cls(groups[first], hashes[first], np.add.reduceat(counts, first), errors)

    def plus(self, other: Tops) -> Tops:
        """Both together. Either may know the first groups only."""
        errors = np.zeros(max(len(self.errors), len(other.errors)), np.int64)
        for one in (self, other):
            errors[: len(one.errors)] += one.errors
        return Tops.of(
            np.concatenate((self.groups, other.groups)), np.concatenate((self.hashes, other.hashes)),
            np.concatenate((self.counts, other.counts)), errors,
        )  # fmt: skip

    def regrouped(self, to: Ints, groups: int) -> Tops:
        errors = np.zeros(groups, np.int64)
        np.add.at(errors, to, self.errors)
        return Tops.of(to[self.groups], self.hashes, self.counts, errors)

    def reduced(self, most: int) -> Tops:
        """At most so many counters a group: of all counts is taken that of the first that is one too many."""
        sizes = np.bincount(self.groups, minlength=len(self.errors))
        if not (sizes > most).any():
            return self
        order = np.lexsort((-self.counts, self.groups))
        starts = np.concatenate(([0], np.cumsum(sizes)))[:-1]
        many = np.flatnonzero(sizes > most)
        taken = np.zeros(len(sizes), np.int64)
        taken[many] = self.counts[order[starts[many] + most]]
        left = self.counts - taken[self.groups]
        kept = left > 0
        return Tops(self.groups[kept], self.hashes[kept], left[kept], self.errors + taken)

    def group(self, number: int) -> Tops:
        """One group alone."""
        first, last = np.searchsorted(self.groups, (number, number + 1))
        zeros = np.zeros(last - first, np.int64)
        return Tops(zeros, self.hashes[first:last], self.counts[first:last], self.errors[number : number + 1])
