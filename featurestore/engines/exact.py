"""Exact moments of numbers, rounded once: the same bits in any order, on any engine (contract, section 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction

Number = int | float | Decimal


def exact_sum(values: Sequence[float]) -> float | None:
    """The sum of doubles rounded once to nearest even; None over no values.

    Infinities of one sign give that infinity, of both or any NaN give NaN; a finite sum beyond the double range is ±inf.
    """
    if not values:
        return None
    try:
        total = math.fsum(values)
    except (OverflowError, ValueError):
        total = _guarded(values)
    if math.isnan(total):
        return math.nan
    return total + 0.0


def _guarded(values: Iterable[float]) -> float:
    """fsum raises on inf - inf and where a partial sum overflows although the whole does not."""
    values = list(values)
    special = [v for v in values if not math.isfinite(v)]
    if special:
        return special[0] if len(set(special)) == 1 and special[0] == special[0] else math.nan
    return rounded(sum((Fraction(v) for v in values), Fraction(0)))


def rounded(exact: Fraction) -> float:
    """The double nearest to an exact value; infinite beyond the range of doubles."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _sum(values: Sequence[Number]) -> Number | None:
    """The exact sum. Raises: OverflowError for one of decimals beyond 38 digits."""
    if not values or isinstance(values[0], float):
        return exact_sum(values)  # type: ignore[arg-type]
    total = Decimal(0)
    for value in values:
        total = _WIDE.add(total, value)  # type: ignore[arg-type]
    if len(total.as_tuple().digits) > 38:
        raise OverflowError
    return total


_WIDE = Context(prec=200)


def exact_mean(values: Sequence[Number]) -> float | None:
    """The exact sum, rounded to a double, divided by the count; None over no values."""
    if not values:
        return None
    if isinstance(values[0], float):
        total = exact_sum(values)  # type: ignore[arg-type]
        assert total is not None
    else:
        whole, unit = _whole(values)
        total = rounded(Fraction(sum(whole), unit))
    return total / len(values) + 0.0


def _variance(values: Sequence[Number], less: int) -> float | None:
    if len(values) <= less:
        return None
    if not all(math.isfinite(v) for v in values):
        return math.nan
    # n·Σv² − (Σv)² loses everything in doubles and nothing in whole numbers; squares about the mean are slow in fractions.
    whole, unit = _whole(values)
    n = len(whole)
    squares = n * sum(v * v for v in whole) - sum(whole) ** 2
    return rounded(Fraction(squares, n * (n - less) * unit**2))


def _whole(values: Sequence[Number]) -> tuple[list[int], int]:
    """Finite numbers as whole numbers of a common unit: value i is whole[i] / unit."""
    ratios = [v.as_integer_ratio() for v in values]
    unit = math.lcm(*{denominator for _, denominator in ratios})
    return [numerator * (unit // denominator) for numerator, denominator in ratios], unit


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(variance)


MOMENTS: Mapping[str, Callable[[Sequence[Number]], Number | None]] = {
    "sum": _sum,
    "mean": exact_mean,
    "var_samp": lambda values: _variance(values, 1),
    "var_pop": lambda values: _variance(values, 0),
    "stddev_samp": lambda values: _root(_variance(values, 1)),
    "stddev_pop": lambda values: _root(_variance(values, 0)),
}
"""Aggregate -> its value over a window's numbers; NaN where a variance meets a value that is not finite."""
