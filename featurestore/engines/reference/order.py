"""The one order of values, and their canonical form (CONTRACT 1). Which values meet is decided elsewhere.

NULL < false < true; -inf < … < +inf < NaN, NaN = NaN; text and binary by bytes; lists element by element, prefix first.
"""

from __future__ import annotations

import math
from datetime import date
from typing import Any

LEAST_INT64, GREATEST_INT64 = -(2**63), 2**63 - 1


def canonical(value: Any) -> Any:
    """The value as it is read: -0.0 is 0.0 and every NaN the one quiet NaN; all else stays."""
    if isinstance(value, float):
        if math.isnan(value):
            return math.nan
        return 0.0 if value == 0.0 else value
    return value


def rank(value: Any) -> Any:
    """A hashable stand-in that Python compares and equates as the contract does, among values of one type."""
    if value is None:
        return (0,)
    if isinstance(value, float):
        return (1, 1, 0.0) if math.isnan(value) else (1, 0, value)
    if isinstance(value, str):
        return (1, value.encode())
    if isinstance(value, date):
        return (1, value.toordinal())
    if isinstance(value, list):
        return (1, tuple(rank(item) for item in value))
    return (1, value)
