"""The values a request brings for on-demand features: read as their declared types (`typed_values`), or refused.

NULL is a value like another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featurestore.dtypes import DType
from featurestore.errors import RequestError, nearest
from featurestore.typed_values import NotOfType, read

Values = Mapping[str, Sequence[Any]]
"""Request column -> one value per row, as stored: dates are days, times microseconds."""


def checked_request(types: Mapping[str, DType], given: Mapping[str, Sequence[object]], rows: int) -> Values:
    """A service's request columns for `rows` rows.

    Raises: RequestError FS502 (a missing or unknown column), FS504 (a wrong type, or another number of values than rows).
    """
    for name in given:
        if name not in types:
            hint = nearest(str(name), types)
            raise RequestError("FS502", f"unknown request column {name!r}", known=types, hint=hint or "no request columns")
    return {name: _column(name, dtype, given, rows) for name, dtype in types.items()}


def _column(name: str, dtype: DType, given: Mapping[str, Sequence[object]], rows: int) -> list[Any]:
    if name not in given:
        raise RequestError("FS502", f"missing request column {name!r} ({dtype})", known=given, hint=f'"{name}": […]')
    values = given[name]
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise RequestError("FS504", f"request column {name!r} must be a list of values, one per row")
    if len(values) != rows:
        what = f"request column {name!r} has {len(values)} values for {rows} rows"
        raise RequestError("FS504", what, hint="one value per row; null where there is none")
    return [None if value is None else read_value(name, dtype, value) for value in values]


def read_value(name: str, dtype: DType, value: object) -> Any:
    """One value that is not NULL, as its type. Raises: RequestError FS504."""
    try:
        return read(dtype, value)
    except NotOfType as error:
        raise RequestError("FS504", f"request column {name!r} {error}", hint="a value of that type, or null") from None


__all__ = ["Values", "checked_request", "read_value"]
