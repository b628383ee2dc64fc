"""What an aggregate makes of the values in a window (CONTRACT 5). Which facts a window covers is `facts`' business."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from featurestore.engines.reference.order import GREATEST_INT64, LEAST_INT64, canonical, rank

_EXACT = Context(prec=200)


class Taken(NamedTuple):
    """What an aggregate takes of one fact: its times in microseconds, and a value that is not NULL."""

    e: int
    k: int
    value: Any


class SumOverflow(Exception):
    """A sum of integers outside int64, or of decimals beyond 38 digits."""


def aggregate(name: str, parameter: Any, facts: Sequence[Taken], t: int) -> Any:
    """The aggregate over the facts in a window that ends at or before t; those whose value is NULL are skipped.

    Returns: as `Answer.values`; a histogram as a list of (value, count). Raises: SumOverflow.
    """
    return AGGREGATORS[name]([f for f in facts if f.value is not None], parameter, t)


def _values(function: Callable[[list[Any]], Any]) -> Callable[[list[Taken], Any, int], Any]:
    return lambda facts, parameter, t: function([f.value for f in facts])


def _listed(function: Callable[[list[Any], Any], Any]) -> Callable[[list[Taken], Any, int], Any]:
    return lambda facts, parameter, t: function([f.value for f in facts], parameter)


def _unless_empty(function: Callable[[list[Any]], Any]) -> Callable[[list[Taken], Any, int], Any]:
    return lambda facts, parameter, t: function([f.value for f in facts]) if facts else None


def _sum(values: list[Any]) -> Any:
    if isinstance(values[0], float):
        return sum_of_doubles(values)
    if isinstance(values[0], Decimal):
        return _sum_of_decimals(values)
    total = sum(values)
    if not LEAST_INT64 <= total <= GREATEST_INT64:
        raise SumOverflow(f"{total} is outside int64")
    return total


def _sum_of_decimals(values: list[Decimal]) -> Decimal:
    total = values[0]
    for value in values[1:]:
        total = _EXACT.add(total, value)
    if len(total.as_tuple().digits) > 38:
        raise SumOverflow(f"{total} has more than 38 digits")
    return total


def sum_of_doubles(values: Sequence[float]) -> float:
    """The exact sum of the finite values, rounded once to nearest even; infinities and NaN as CONTRACT 5 says."""
    special = {str(v) for v in values if not math.isfinite(v)}
    if special:
        return float(special.pop()) if len(special) == 1 else math.nan
    return _rounded(sum((Fraction(v) for v in values), Fraction(0)))


def _rounded(exact: Fraction) -> float:
    """The double nearest to an exact value; infinite beyond the range of doubles."""
    try:
        return float(canonical(exact.numerator / exact.denominator))
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _mean(values: list[Any]) -> float:
    is_float = isinstance(values[0], float)
    total = sum_of_doubles(values) if is_float else _rounded(sum((Fraction(v) for v in values), Fraction(0)))
    return float(canonical(total / len(values)))


def _variance(less: int) -> Callable[[list[Any]], float | None]:
    """The mean squared deviation from the exact mean, over n - less; NaN where a value is not finite."""

    def value(values: list[Any]) -> float | None:
        if len(values) <= less:
            return None
        if not all(math.isfinite(v) for v in values):
            return math.nan
        mean = sum((Fraction(v) for v in values), Fraction(0)) / len(values)
        return _rounded(sum(((Fraction(v) - mean) ** 2 for v in values), Fraction(0)) / (len(values) - less))

    return value


def _deviation(less: int) -> Callable[[list[Any]], float | None]:
    variance = _variance(less)

    def value(values: list[Any]) -> float | None:
        found = variance(values)
        return None if found is None else math.sqrt(found)

    return value


def _quantile(values: list[Any], q: float) -> float | None:
    """a + (b - a)·f between the neighbours of rank q·(n - 1); equal neighbours give that value."""
    if not values:
        return None
    ordered = [float(v) for v in sorted(values, key=rank)]
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    a, b = ordered[low], ordered[math.ceil(place)]
    return a if rank(a) == rank(b) else float(canonical(a + (b - a) * (place - low)))


def _by_time(facts: list[Taken]) -> list[Any]:
    """The values, oldest first: by event time, then known time, then value."""
    return [f.value for f in sorted(facts, key=lambda f: (f.e, f.k, rank(f.value)))]


def _frequencies(values: list[Any]) -> list[tuple[Any, int]]:
    """(value, count), the most frequent first, then the least value."""
    counted = Counter(rank(v) for v in values)
    named = {rank(v): v for v in values}
    return [(named[r], n) for r, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]


AGGREGATORS: Mapping[str, Callable[[list[Taken], Any, int], Any]] = {
    "count": _values(len),
    "sum": _unless_empty(_sum),
    "mean": _unless_empty(_mean),
    "min": _unless_empty(lambda values: min(values, key=rank)),
    "max": _unless_empty(lambda values: max(values, key=rank)),
    "var_samp": _unless_empty(_variance(1)),
    "var_pop": _unless_empty(_variance(0)),
    "stddev_samp": _unless_empty(_deviation(1)),
    "stddev_pop": _unless_empty(_deviation(0)),
    "count_distinct": _values(lambda values: len({rank(v) for v in values})),
    "first": lambda facts, parameter, t: _by_time(facts)[0] if facts else None,
    "last": lambda facts, parameter, t: _by_time(facts)[-1] if facts else None,
    "first_k": lambda facts, k, t: _by_time(facts)[:k],
    "last_k": lambda facts, k, t: _by_time(facts)[-k:],
    "min_k": _listed(lambda values, k: sorted(values, key=rank)[:k]),
    "max_k": _listed(lambda values, k: sorted(values, key=rank, reverse=True)[:k]),
    "median": _listed(lambda values, parameter: _quantile(values, 0.5)),
    "quantile": _listed(_quantile),
    "mode": _unless_empty(lambda values: _frequencies(values)[0][0]),
    "histogram": _listed(lambda values, k: _frequencies(values)[:k]),
    "any": _unless_empty(any),
    "all": _unless_empty(all),
    "time_since_last": lambda facts, parameter, t: t - max(f.e for f in facts) if facts else None,
    "time_since_first": lambda facts, parameter, t: t - min(f.e for f in facts) if facts else None,
}
