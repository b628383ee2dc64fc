"""What an aggregate makes of the facts in its window at the moment of asking: one row of `FOLDS` per aggregate.

Which facts a window covers is `online_view`'s business; here NULLs are gone already. The meaning is the contract's section
5, the one order of values its section 1; moments of numbers are exact (`engines.exact`), as offline.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.definitions.view import ONLINE_CAP
from featurestore.dtypes import INT64, DType
from featurestore.engines.exact import MOMENTS, exact_sum
from featurestore.online.order import of_float, ranked

VALUES, AGES, TIMED = "values", "ages", "timed"
"""What a fold is given: values; how long before t each fact happened (µs); or (event time, known time, value). In order of
event time."""

Fold = Callable[[Sequence[Any]], Any]
Timed = tuple[int, int, Any]


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What is aggregated: the q or k, the type in which values are read, the type of the result, and how many distinct values
    an aggregate that tells them apart may meet (of more it has no value: OverflowError)."""

    parameter: Any
    taken: DType
    result: DType
    cap: int = ONLINE_CAP


def _itself(value: Any) -> Any:
    return value


def _unless_empty(fold: Fold) -> Fold:
    return lambda values: fold(values) if values else None


def _sum(of: Aggregated) -> Fold:
    if of.taken.is_float:
        return _sum_doubles
    return _unless_empty(_sum_integers if of.result == INT64 else MOMENTS["sum"])


def _sum_doubles(values: Sequence[float]) -> float | None:
    """As `exact_sum`, at the price of one call where nothing is special."""
    try:
        total = math.fsum(values)
    except (OverflowError, ValueError):
        return exact_sum(values)
    return total + 0.0 if total == total and values else exact_sum(values)


def _sum_integers(values: Sequence[int]) -> int:
    """Raises: OverflowError beyond int64."""
    total = sum(values)
    if not -(2**63) <= total < 2**63:
        raise OverflowError
    return total


def _moment(name: str) -> Callable[[Aggregated], Fold]:
    return lambda of: MOMENTS[name]


def _count_distinct(of: Aggregated) -> Fold:
    rank = ranked(of.taken)
    return lambda values: len(set(values if rank is None else map(rank, values)))


def _least(of: Aggregated) -> Fold:
    return _extreme(of, min)


def _greatest(of: Aggregated) -> Fold:
    return _extreme(of, max)


def _extreme(of: Aggregated, extreme: Callable[..., Any]) -> Fold:
    rank = ranked(of.taken)
    ordered = _unless_empty(lambda values: extreme(values, key=rank))
    if not of.taken.is_float:
        return ordered

    def doubles(values: Sequence[float]) -> float | None:
        """Without NaN, which a finite or infinite sum rules out, doubles are in the order that Python puts them."""
        total = sum(values)
        return extreme(values) if values and total == total else ordered(values)  # type: ignore[no-any-return]

    return doubles


def _least_k(of: Aggregated) -> Fold:
    rank, k = ranked(of.taken), of.parameter
    return lambda values: sorted(values, key=rank)[:k]


def _greatest_k(of: Aggregated) -> Fold:
    rank, k = ranked(of.taken), of.parameter
    return lambda values: sorted(values, key=rank, reverse=True)[:k]


def _quantile(q: float) -> Fold:
    """a + (b - a)·f between the neighbours of rank q·(n - 1); equal neighbours give that value."""

    def fold(values: Sequence[Any]) -> float:
        ordered = sorted(map(float, values), key=of_float)
        place = q * (len(ordered) - 1)
        low = math.floor(place)
        a, b = ordered[low], ordered[math.ceil(place)]
        return a if of_float(a) == of_float(b) else a + (b - a) * (place - low) + 0.0

    return _unless_empty(fold)


def _frequencies(of: Aggregated) -> Callable[[Sequence[Any]], list[tuple[Any, int]]]:
    """(value, count), the most frequent first, of equals the least value."""
    rank = ranked(of.taken) or _itself

    def count(values: Sequence[Any]) -> list[tuple[Any, int]]:
        counted = Counter(map(rank, values))
        shown = {rank(value): value for value in values}
        return [(shown[r], n) for r, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]

    return count


def _mode(of: Aggregated) -> Fold:
    count = _frequencies(of)
    return _unless_empty(lambda values: count(values)[0][0])


def _histogram(of: Aggregated) -> Fold:
    count, k = _frequencies(of), of.parameter
    return lambda values: count(values)[:k]


def _earliest_k(of: Aggregated, k: Any) -> Callable[[Sequence[Timed]], list[Any]]:
    """The k earliest values, oldest first. Facts come by event time; only those that share one are still to be ordered."""
    order = _order(of)

    def fold(facts: Sequence[Timed]) -> list[Any]:
        last = facts[min(k, len(facts)) - 1][0] if facts else 0
        end = k
        while end < len(facts) and facts[end][0] == last:
            end += 1
        return [value for _, _, value in sorted(facts[:end], key=order)[:k]]

    return fold


def _latest_k(of: Aggregated, k: Any) -> Callable[[Sequence[Timed]], list[Any]]:
    """The k newest values, oldest first."""
    order = _order(of)

    def fold(facts: Sequence[Timed]) -> list[Any]:
        start = max(len(facts) - k, 0)
        while start > 0 and facts[start - 1][0] == facts[start][0]:
            start -= 1
        return [value for _, _, value in sorted(facts[start:], key=order)[-k:]]

    return fold


def _order(of: Aggregated) -> Callable[[Timed], Any] | None:
    rank = ranked(of.taken)
    return None if rank is None else lambda fact: (fact[0], fact[1], rank(fact[2]))


def _first(of: Aggregated) -> Fold:
    fold = _earliest_k(of, 1)
    return _unless_empty(lambda facts: fold(facts)[0])


def _last(of: Aggregated) -> Fold:
    fold = _latest_k(of, 1)
    return _unless_empty(lambda facts: fold(facts)[0])


def _same(fold: Fold) -> Callable[[Aggregated], Fold]:
    return lambda of: fold


def _capped(make: Callable[[Aggregated], Fold]) -> Callable[[Aggregated], Fold]:
    def capped(of: Aggregated) -> Fold:
        fold, distinct = make(of), _count_distinct(of)

        def unless_too_many(values: Sequence[Any]) -> Any:
            if len(values) > of.cap and distinct(values) > of.cap:
                raise OverflowError
            return fold(values)

        return unless_too_many

    return capped


@dataclass(frozen=True, slots=True)
class Folding:
    """make: the fold of an aggregate. takes: VALUES, AGES or TIMED."""

    make: Callable[[Aggregated], Fold]
    takes: str = VALUES


FOLDS: Mapping[str, Folding] = {
    "count": Folding(_same(len)),
    "sum": Folding(_sum),
    "mean": Folding(_moment("mean")),
    "min": Folding(_least),
    "max": Folding(_greatest),
    "var_samp": Folding(_moment("var_samp")),
    "var_pop": Folding(_moment("var_pop")),
    "stddev_samp": Folding(_moment("stddev_samp")),
    "stddev_pop": Folding(_moment("stddev_pop")),
    "count_distinct": Folding(_capped(_count_distinct)),
    "first": Folding(_first, TIMED),
    "last": Folding(_last, TIMED),
    "first_k": Folding(lambda of: _earliest_k(of, of.parameter), TIMED),
    "last_k": Folding(lambda of: _latest_k(of, of.parameter), TIMED),
    "min_k": Folding(_least_k),
    "max_k": Folding(_greatest_k),
    "median": Folding(_capped(_same(_quantile(0.5)))),
    "quantile": Folding(_capped(lambda of: _quantile(of.parameter))),
    "mode": Folding(_capped(_mode)),
    "histogram": Folding(_capped(_histogram)),
    "any": Folding(_same(_unless_empty(any))),
    "all": Folding(_same(_unless_empty(all))),
    "time_since_last": Folding(_same(_unless_empty(min)), AGES),
    "time_since_first": Folding(_same(_unless_empty(max)), AGES),
}
