"""The values of one feature in one window, of both sides, however either side keeps them: what is compared of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.monitoring.drift import categories, numbers, p_values
from featurestore.monitoring.drift.columns import Categories, Numbers
from featurestore.monitoring.drift.found import Test
from featurestore.monitoring.drift.numbers import Distribution, Values

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

FEW = 20
"""Numbers with at most so many different values on both sides together are tested as categories too: where most values are
ties, KS alone sees little."""


@dataclass(frozen=True)
class Cells:
    """rows, nulls, nans, values (neither NULL nor NaN): (reference, current)."""

    rows: tuple[int, int]
    nulls: tuple[int, int]
    nans: tuple[int, int] = (0, 0)

    @property
    def values(self) -> tuple[int, int]:
        first, second = (r - n - x for r, n, x in zip(self.rows, self.nulls, self.nans, strict=True))
        return first, second

    def tests(self, *, with_p: bool) -> list[Test]:
        """Of the values; both sides have some."""
        return []

    def missing(self, *, with_p: bool, nans: bool) -> list[Test]:
        """Of the rows without a value."""
        found = [_share("null_rate", self.nulls, self.rows, with_p=with_p)]
        return [*found, _share("nan_rate", self.nans, self.rows, with_p=with_p)] if nans else found

    def shown(self) -> dict[str, Any] | None:
        return None


def _share(name: str, hits: tuple[int, int], rows: tuple[int, int], *, with_p: bool) -> Test:
    before, after = (hit / of for hit, of in zip(hits, rows, strict=True))
    p = p_values.shares(hits, rows) if with_p and 0 < sum(hits) < sum(rows) else None
    return Test(name=name, statistic=after, effect=abs(after - before), p=p)


@dataclass(frozen=True)
class NumberCells(Cells):
    sides: tuple[Distribution, Distribution] | None = None

    def tests(self, *, with_p: bool) -> list[Test]:
        assert self.sides is not None
        found = numbers.tests(*self.sides, with_p=with_p)
        counted = few(*self.sides)
        return found if counted is None else [*found, categories.chi_square(*counted, with_p=with_p)]

    def shown(self) -> dict[str, Any] | None:
        assert self.sides is not None
        return numbers.shown(*self.sides)


@dataclass(frozen=True)
class CategoryCells(Cells):
    """names: of categories, any sequence; counts: by name, (reference, current). complete: no side groups any."""

    names: Sequence[Any] = ()
    counts: tuple[Array, Array] = (np.zeros(0), np.zeros(0))
    complete: bool = True

    def tests(self, *, with_p: bool) -> list[Test]:
        return categories.tests(*self.counts, with_p=with_p, complete=self.complete)

    def shown(self) -> dict[str, Any] | None:
        return categories.shown(_Names(self.names), *self.counts)


class _Names(Sequence[str]):
    """Names of an Arrow array, made text one by one."""

    def __init__(self, names: Any) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, n: Any) -> Any:
        found = self._names[int(n)]
        return found.as_py() if hasattr(found, "as_py") else found


def few(reference: Distribution, current: Distribution) -> tuple[Array, Array] | None:
    """How often each value occurs on either side, where there are at most FEW of them."""
    if not (isinstance(reference, Values) and isinstance(current, Values)):
        return None
    different = []
    for side in (reference.sorted, current.sorted):
        if len(np.unique(side[:: max(1, len(side) // (4 * FEW))])) > FEW:
            return None
        first = np.append(True, side[1:] != side[:-1])
        if first.sum() > FEW:
            return None
        different.append(side[first])
    points = np.unique(np.concatenate(different))
    if len(points) > FEW:
        return None
    before, after = (
        np.searchsorted(side.sorted, points, side="right") - np.searchsorted(side.sorted, points, side="left")
        for side in (reference, current)
    )
    return before, after


def of_numbers(reference: Numbers, current: Numbers, windows: Sequence[Array | None]) -> Iterator[Cells]:
    before, nulls, nans = reference.sorted()
    for window in windows:
        part = current.at(window)
        after, null, nan = part.sorted()
        sides = Values(before), Values(after)
        yield NumberCells((len(reference.null), len(part.null)), (nulls, null), (nans, nan), sides)


def of_categories(reference: Categories, current: Categories, windows: Sequence[Array | None]) -> Iterator[Cells]:
    before, nulls = reference.counts()
    for window in windows:
        part = current.at(window)
        after, null = part.counts()
        yield CategoryCells(
            (len(reference.codes), len(part.codes)), (nulls, null), names=reference.names, counts=(before, after)
        )


def of_nulls(reference: Array, current: Array, windows: Sequence[Array | None]) -> Iterator[Cells]:
    """Of columns of which nothing else is compared: where each is NULL."""
    for window in windows:
        part = current if window is None else current[window]
        yield Cells((len(reference), len(part)), (int(reference.sum()), int(part.sum())))
