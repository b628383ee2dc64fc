"""The contract's one order of values, as keys that Python sorts and equates by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from featurestore.dtypes import DType


def ranked(dtype: DType) -> Callable[[Any], Any] | None:
    """What stands in for a value so that Python orders and equates as the contract does; None where it does so anyway."""
    if dtype.is_float:
        return of_float
    if dtype.is_list:
        inner = ranked(dtype.item) or _itself
        return lambda items: [(0,) if item is None else (1, inner(item)) for item in items]
    return None


def of_float(value: float) -> tuple[int, float]:
    return (1, 0.0) if value != value else (0, value)


def _itself(value: Any) -> Any:
    return value
