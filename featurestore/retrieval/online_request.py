"""The values a request brings for on-demand features: read as their declared types, or refused.

A value is given in Python or as JSON can write it: dates as YYYY-MM-DD, instants as ISO 8601 with an offset, binary in
base64, NaN and the infinities by name. NULL is a value like another.
"""

from __future__ import annotations

import base64
import json
import math
import operator
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any

from featurestore.dtypes import DType
from featurestore.errors import RequestError, UsageError, nearest
from featurestore.intervals import micros_of, parse_instant

Values = Mapping[str, Sequence[Any]]
"""Request column -> one value per row, as stored: dates are days, times microseconds."""

_EPOCH_DAY = date(1970, 1, 1)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


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
    read, takes = _READERS["integer" if dtype.is_integer else dtype.name]
    try:
        return read(value, dtype)
    except (TypeError, ValueError, OverflowError, UsageError):
        what = f"request column {name!r} takes {takes.format(dtype)}, got {_brief(value)}"
        raise RequestError("FS504", what, hint="a value of that type, or null") from None


def _bool(value: Any, _: DType) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _integer(value: Any, dtype: DType) -> int:
    if isinstance(value, bool):
        raise TypeError
    number, bits = operator.index(value), int(dtype.name.lstrip("uint"))
    low, high = (0, 2**bits) if dtype.name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    if not low <= number < high:
        raise OverflowError
    return number


def _double(value: Any, _: DType) -> float:
    if isinstance(value, str):
        number = _NAMED.get(value)
        if number is None:
            raise ValueError
        return number
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise TypeError
    number = float(value)
    return number if number == number and number else abs(number) if number == 0 else math.nan


def _float(value: Any, dtype: DType) -> float:
    """The nearest of 32 bits, as a column of that type would hold it."""
    return float(struct.unpack("<f", struct.pack("<f", _double(value, dtype)))[0])


def _text(value: Any, _: DType) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half of a surrogate pair is no text
    return str(value)


def _date(value: Any, _: DType) -> int:
    if isinstance(value, str) and _DAY.fullmatch(value):
        value = date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return (value - _EPOCH_DAY).days


def _timestamp(value: Any, _: DType) -> int:
    return micros_of(value) if isinstance(value, datetime) else parse_instant(value)


def _binary(value: Any, _: DType) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(_text(value, _), validate=True)


_READERS: Mapping[str, tuple[Callable[[Any, DType], Any], str]] = {
    "bool": (_bool, "true or false"),
    "integer": (_integer, "an integer ({})"),
    "double": (_double, "a number"),
    "float": (_float, "a number of 32 bits"),
    "string": (_text, "text"),
    "date32": (_date, "a date (YYYY-MM-DD)"),
    "timestamp[us, UTC]": (_timestamp, "an instant (ISO 8601 with an offset)"),
    "binary": (_binary, "bytes (base64)"),
}
"""Type -> how a value is read, and what to say it takes."""


def _brief(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


__all__ = ["Values", "checked_request", "read_value"]
