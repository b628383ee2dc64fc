"""Exact sums of doubles, rounded once: the same bits in any order, on any engine (contract, section 5)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction


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
    total = sum((Fraction(v) for v in values), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf
