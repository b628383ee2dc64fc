"""What an aggregate makes of the values in a window (CONTRACT 5). Which facts a window covers is `facts`' business."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from featurestore.engines.reference.order import GREATEST_INT64, LEAST_INT64, canonical, rank

_EXACT = Context(prec=200)


class SumOverflow(Exception):
    """A sum of integers outside int64, or of decimals beyond 38 digits."""


def aggregate(name: str, values: Sequence[Any]) -> Any:
    """The aggregate over one value per fact in the window, NULLs among them (skipped).

    Raises: SumOverflow.
    """
    return AGGREGATORS[name]([v for v in values if v is not None])


def _sum(values: list[Any]) -> Any:
    if not values:
        return None
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
    exact = sum((Fraction(v) for v in values), Fraction(0))
    try:
        return float(canonical(exact.numerator / exact.denominator))
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


AGGREGATORS: Mapping[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": _sum,
    "count_distinct": lambda values: len({rank(v) for v in values}),
}
