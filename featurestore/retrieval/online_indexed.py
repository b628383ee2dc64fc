"""What an aggregate makes of a window over an indexed record: the values `online_folds` gives, by look-ups.

A window is the elements [i, j) of its measure. Values and their order are the contract's section 5; sums are whole numbers and
rounded once, as offline.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any

from featurestore.dtypes import INT64, DType
from featurestore.online.indexed import Elements
from featurestore.retrieval.online_folds import FOLDS, Aggregated

Look = Callable[[Elements, int, int, int], Any]
"""Elements, i, j and t -> the value; i < j. Raises: OverflowError for a sum that leaves its type."""

_EXACT = Context(prec=200)


def divided(a: int, b: int) -> float:
    """a / b, rounded once (as Python's division of integers is); infinite beyond the range of doubles."""
    try:
        return a / b + 0.0
    except OverflowError:
        return math.inf if a > 0 else -math.inf


def _unit(elements: Elements, dtype: DType) -> int:
    """By what values were multiplied to be whole."""
    return int(10 ** dtype.precision_scale[1]) if dtype.is_decimal else 1 << elements.power


def _special(elements: Elements, i: int, j: int) -> float | None:
    """The sum where some value is not finite."""
    nans, above, below = elements.special(i, j)
    if nans or (above and below):
        return math.nan
    return math.inf if above else -math.inf if below else None


def _total(elements: Elements, i: int, j: int, dtype: DType) -> float:
    special = _special(elements, i, j)
    return divided(elements.sum(i, j), _unit(elements, dtype)) if special is None else special


def _sum(of: Aggregated) -> Look:
    def integers(elements: Elements, i: int, j: int, _: int) -> int:
        total = elements.sum(i, j)
        if not -(2**63) <= total < 2**63:
            raise OverflowError
        return total

    def decimals(elements: Elements, i: int, j: int, _: int) -> Decimal:
        total = elements.sum(i, j)
        if abs(total) >= 10**38:
            raise OverflowError
        return Decimal(total).scaleb(-of.taken.precision_scale[1], _EXACT)

    if of.result == INT64:
        return integers
    return decimals if of.taken.is_decimal else lambda elements, i, j, _: _total(elements, i, j, of.taken)


def _mean(of: Aggregated) -> Look:
    return lambda elements, i, j, _: _total(elements, i, j, of.taken) / elements.count(i, j) + 0.0


def _variance(less: int, *, root: bool) -> Callable[[Aggregated], Look]:
    def make(of: Aggregated) -> Look:
        def look(elements: Elements, i: int, j: int, _: int) -> float | None:
            n = elements.count(i, j)
            if n <= less:
                return None
            if _special(elements, i, j) is not None:
                return math.nan
            squares = n * elements.squares(i, j) - elements.sum(i, j) ** 2
            variance = divided(squares, n * (n - less) * _unit(elements, of.taken) ** 2)
            return math.sqrt(variance) if root else variance

        return look

    return make


def _counted(of_counts: Callable[[Aggregated, Elements, Counter[int]], Any]) -> Callable[[Aggregated], Look]:
    """Of how often each rank occurs. Raises: OverflowError where more values are distinct than the view allows."""

    def make(of: Aggregated) -> Look:
        def look(elements: Elements, i: int, j: int, _: int) -> Any:
            counts = elements.counts(i, j)
            if len(counts) > of.cap:
                raise OverflowError
            return of_counts(of, elements, counts)

        return look

    return make


def _quantile(elements: Elements, counts: Counter[int], q: float) -> float:
    place = q * (counts.total() - 1)
    low, high = math.floor(place), math.ceil(place)
    seen = 0
    neighbours: list[float] = []
    for rank in sorted(counts):
        seen += counts[rank]
        while len(neighbours) < 2 and seen > (low, high)[len(neighbours)]:
            neighbours.append(float(elements.distinct(rank)))
    a, b = neighbours
    return a if a == b or (a != a and b != b) else a + (b - a) * (place - low) + 0.0


def _frequent(elements: Elements, counts: Counter[int], k: int) -> list[tuple[Any, int]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(elements.distinct(rank), n) for rank, n in ordered[:k]]


def _in_order(name: str, *, newest: bool) -> Callable[[Aggregated], Look]:
    """By the fold of the same name over as few facts as can decide."""

    def make(of: Aggregated) -> Look:
        fold, k = FOLDS[name].make(of), of.parameter if name.endswith("_k") else 1

        return lambda elements, i, j, _: fold(elements.nearest(i, j, k, newest=newest))

    return make


LOOKS: Mapping[str, Callable[[Aggregated], Look]] = {
    "count": lambda of: lambda elements, i, j, _: elements.count(i, j),
    "sum": _sum,
    "mean": _mean,
    "min": lambda of: lambda elements, i, j, _: elements.least(i, j),
    "max": lambda of: lambda elements, i, j, _: elements.greatest(i, j),
    "var_samp": _variance(1, root=False),
    "var_pop": _variance(0, root=False),
    "stddev_samp": _variance(1, root=True),
    "stddev_pop": _variance(0, root=True),
    "count_distinct": _counted(lambda of, elements, counts: len(counts)),
    "first": _in_order("first", newest=False),
    "last": _in_order("last", newest=True),
    "first_k": _in_order("first_k", newest=False),
    "last_k": _in_order("last_k", newest=True),
    "min_k": lambda of: lambda elements, i, j, _: elements.smallest(i, j, of.parameter),
    "max_k": lambda of: lambda elements, i, j, _: elements.largest(i, j, of.parameter),
    "median": _counted(lambda of, elements, counts: _quantile(elements, counts, 0.5)),
    "quantile": _counted(lambda of, elements, counts: _quantile(elements, counts, of.parameter)),
    "mode": _counted(lambda of, elements, counts: _frequent(elements, counts, 1)[0][0]),
    "histogram": _counted(lambda of, elements, counts: _frequent(elements, counts, of.parameter)),
    "any": lambda of: lambda elements, i, j, _: elements.sum(i, j) > 0,
    "all": lambda of: lambda elements, i, j, _: elements.sum(i, j) == elements.count(i, j),
    "time_since_last": lambda of: lambda elements, i, j, t: t - elements.last(j - 1),
    "time_since_first": lambda of: lambda elements, i, j, t: t - elements.first(i),
}
