"""What pushed rows change of a key's answer at an instant: the facts that came, and those of its record that are gone.

A record's facts and those pushed are told as one. What the record alone cannot tell, because a fact that was the newest, or
that it has added up with others, is gone, raises `Untold`: the answer is then `stale`, until the next run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from featurestore.dtypes import DType
from featurestore.online.codec import CANDIDATE, IN_REACH, Entry
from featurestore.online.indexed import Elements, whole_numbers
from featurestore.online.order import ranked
from featurestore.online.pushes import FACT, TAKEN, UNSURE, Change
from featurestore.online.records import value_writer

Timed = tuple[int, int, Any]
"""Event time, known time and value of a fact."""


class Untold(Exception):
    """The store does not know the answer before the next run."""


class Pushed:
    """The changes to a key as of an instant. bound: the last instant at which a fact may happen or become known to count."""

    def __init__(self, changes: Sequence[Change], bound: int) -> None:
        """Raises: Untold."""
        known = [change for change in changes if change.known <= bound]
        if any(change.flags & UNSURE for change in changes):
            raise Untold
        self._facts = [c for c in known if c.flags == FACT and (c.until is None or c.until > bound)]
        self._taken = [c for c in known if c.flags & TAKEN]
        self._bound = bound

    def newest(self, entries: Sequence[Entry]) -> Entry | None:
        """The newest fact, given a record's candidates. Raises: Untold."""
        gone = {c.event for c in self._taken if c.flags & CANDIDATE and c.event <= self._bound}
        found = [e for e in entries if e[0] == CANDIDATE and e[1] <= self._bound and e[1] not in gone]
        own = max((c for c in self._facts if c.event <= self._bound), key=lambda c: (c.event, c.known), default=None)
        newest = found[-1] if found else None
        if own is not None and (newest is None or own.event >= newest[1]):
            newest = CANDIDATE, own.event, own.latest
        if gone and (newest is None or newest[1] < max(gone)):
            raise Untold  # what comes next below a fact that is gone stands in no record
        return newest

    def came(self, measure: int, low: int | None, high: int) -> list[Timed]:
        """The facts pushed into a window [low, high), for one measure."""
        return list(_within(self._facts, measure, low, high))

    def gone(self, measure: int, low: int | None, high: int) -> list[Timed]:
        """The facts taken out of a window of the record, for one measure."""
        return list(_within([c for c in self._taken if c.flags & IN_REACH], measure, low, high))


def _within(changes: Sequence[Change], measure: int, low: int | None, high: int) -> Iterator[Timed]:
    for change in changes:
        value = change.measures[measure]
        if value is not None and change.event < high and (low is None or change.event >= low):
            yield change.event, change.fact_known, value


def together(
    facts: Sequence[Timed], came: Sequence[Timed], gone: Sequence[Timed], dtype: DType, *, by_known: bool
) -> list[Timed]:
    """A window's facts without those that are gone and with those that came, in order of event time. Facts of which all is
    alike stand for each other. by_known: whether known times tell facts apart. Raises: Untold."""
    write = value_writer(dtype)
    kept = list(facts)
    for event, known, value in gone:
        wanted = event, known if by_known else 0, write(value)
        place = next((i for i, (e, k, v) in enumerate(kept) if (e, k if by_known else 0, write(v)) == wanted), None)
        if place is None:
            raise Untold
        del kept[place]
    return sorted([*kept, *came], key=lambda fact: fact[0])


class WithPushed:
    """As `Elements`, of a range that pushed facts belong to as well.

    Ranks are (rank, place): (n, 0) of the record's n-th distinct value, and (n, place) of values that come behind it.
    """

    def __init__(self, elements: Elements, came: Sequence[Timed], dtype: DType) -> None:
        self._elements, self._came, self._dtype = elements, sorted(came, key=lambda fact: fact[0]), dtype
        self._values = [value for _, _, value in came]
        self._key = ranked(dtype) or (lambda value: value)
        self._of_new: dict[tuple[int, int], Any] = {}

    def count(self, i: int, j: int) -> int:
        return self._elements.count(i, j) + len(self._came)

    def first(self, i: int) -> int:
        return min(self._elements.first(i), self._came[0][0])

    def last(self, i: int) -> int:
        return max(self._elements.last(i), self._came[-1][0])

    @cached_property
    def _numbers(self) -> tuple[list[int], int]:
        """The finite values pushed as whole numbers, and by which power of two they were multiplied."""
        return whole_numbers([v for v in self._values if not self._dtype.is_float or v - v == 0.0], self._dtype)

    @property
    def power(self) -> int:
        return max(self._numbers[1], self._elements.power)

    @property
    def _whole(self) -> list[int]:
        whole, power = self._numbers
        return [number << (self.power - power) for number in whole]

    def sum(self, i: int, j: int) -> int:
        return (self._elements.sum(i, j) << (self.power - self._elements.power)) + sum(self._whole)

    def squares(self, i: int, j: int) -> int:
        shift = 2 * (self.power - self._elements.power)
        return (self._elements.squares(i, j) << shift) + sum(n * n for n in self._whole)

    def special(self, i: int, j: int) -> tuple[int, int, int]:
        nans, above, below = self._elements.special(i, j)
        values = self._values
        return nans + sum(v != v for v in values), above + values.count(_INF), below + values.count(-_INF)

    def least(self, i: int, j: int) -> Any:
        return min([self._elements.least(i, j), *self._values], key=self._key)

    def greatest(self, i: int, j: int) -> Any:
        return max([self._elements.greatest(i, j), *self._values], key=self._key)

    def smallest(self, i: int, j: int, k: int) -> list[Any]:
        return sorted([*self._elements.smallest(i, j, k), *self._values], key=self._key)[:k]

    def largest(self, i: int, j: int, k: int) -> list[Any]:
        return sorted([*self._elements.largest(i, j, k), *self._values], key=self._key, reverse=True)[:k]

    def nearest(self, i: int, j: int, k: int, *, newest: bool) -> list[Timed]:
        return sorted([*self._elements.nearest(i, j, k, newest=newest), *self._came], key=lambda fact: fact[0])

    def counts(self, i: int, j: int) -> Counter[tuple[int, int]]:
        found = Counter({(rank, 0): n for rank, n in self._elements.counts(i, j).items()})
        places: dict[Any, tuple[int, int]] = {}
        for value in sorted(self._values, key=self._key):
            key = self._key(value)
            key = tuple(key) if isinstance(key, list) else key
            if key not in places:
                places[key] = self._place(value, len(places))
            found[places[key]] += 1
        return found

    def _place(self, value: Any, number: int) -> tuple[int, int]:
        """The rank of a value: that of the same value in the record, or one behind that of the value below it."""
        low, high = 0, self._elements.distinct_size
        while low < high:
            middle = (low + high) // 2
            if self._key(self._elements.distinct(middle)) < self._key(value):
                low = middle + 1
            else:
                high = middle
        if low < self._elements.distinct_size and self._key(self._elements.distinct(low)) == self._key(value):
            return low, 0
        self._of_new[low - 1, number + 1] = value
        return low - 1, number + 1

    def distinct(self, rank: tuple[int, int]) -> Any:
        return self._elements.distinct(rank[0]) if rank[1] == 0 else self._of_new[rank]


_INF = float("inf")
