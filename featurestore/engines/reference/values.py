"""Read Arrow columns into canonical Python values, and keys into tuples that compare by family (CONTRACT 1 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from featurestore.dtypes import from_arrow
from featurestore.engines.reference.order import GREATEST_INT64, LEAST_INT64, canonical
from featurestore.engines.reference.times import Reading, days_of, unwrapped
from featurestore.errors import DefinitionError, SourceError

Key = tuple[Any, ...]


def read_values(column: Any, reading: Reading) -> list[Any]:
    """Every value of a column: int, float, Decimal, str, bytes, bool, date, list; a timestamp is its instant in µs."""
    return [_value(scalar, reading) for scalar in column]


def _value(scalar: Any, reading: Reading) -> Any:
    scalar = unwrapped(scalar)
    if scalar is None:
        return None
    kind = scalar.type
    if pa.types.is_timestamp(kind):
        instant = reading.timestamp(scalar)
        return instant if LEAST_INT64 <= instant <= GREATEST_INT64 else None
    if pa.types.is_date(kind):
        return _date(days_of(scalar))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_value(item, reading) for item in scalar.values]
    if pa.types.is_floating(kind):
        return canonical(float(scalar.as_py()))
    return scalar.as_py()


def _date(days: int) -> date:
    try:
        return date(1970, 1, 1) + timedelta(days=days)
    except OverflowError:
        raise SourceError("FS306", f"a date value {days} days from 1970-01-01 is outside years 1 to 9999") from None


def key_family(kind: pa.DataType) -> str | None:
    """The family in which keys of an Arrow type compare: "" for a column of NULLs only, None for what is no key."""
    if pa.types.is_null(kind):
        return ""
    try:
        return from_arrow(kind).key_family
    except DefinitionError:
        return None


def read_keys(columns: Sequence[Any], rows: int, reading: Reading) -> list[Key | None]:
    """One tuple per row, or None where any part is NULL: NULL matches nothing. No columns: the one global key, ()."""
    parts = [[_key_part(v) for v in read_values(column, reading)] for column in columns]
    keys = [tuple(part[row] for part in parts) for row in range(rows)]
    return [None if None in key else key for key in keys]


def _key_part(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | str | bytes | date) else int(value)
