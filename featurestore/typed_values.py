"""One value given in Python, or as JSON can write it, as its declared type holds it, or refused.

Dates are written YYYY-MM-DD, instants in ISO 8601 with an offset, binary in base64, decimals as text, NaN and the
infinities by name. Nothing is guessed: text is no number, a number no text, true not 1. NULL is the caller's business.
"""

from __future__ import annotations

import base64
import decimal
import json
import math
import operator
import re
import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any

from featurestore.dtypes import TIMESTAMP, DType
from featurestore.errors import UsageError
from featurestore.intervals import micros_of, parse_instant

_EPOCH_DAY = date(1970, 1, 1)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,38}(\.\d{0,38})?", re.ASCII)
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def strict_json(text: str | bytes) -> Any:
    """The value a JSON text writes. Raises: ValueError for what is not JSON (NaN, 1e999), or names something twice."""
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_json, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise ValueError(f"it names {twice!r} twice")
    return names


def _no_json(constant: str) -> Any:
    raise ValueError(f'{constant} is not JSON: write "{constant}"')


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is beyond any number of 64 bits")
    return number


class NotOfType(ValueError):
    """The value is not of the type. takes: what the type takes, in words."""

    def __init__(self, takes: str, value: object) -> None:
        self.takes = takes
        super().__init__(f"takes {takes}, got {brief(value)}")


def read(dtype: DType, value: object) -> Any:
    """A value that is not NULL: dates as days, instants as microseconds, binary as bytes. Raises: NotOfType."""
    reader, takes = _READERS[_kind(dtype)]
    try:
        return reader(value, dtype)
    except (TypeError, ValueError, OverflowError, UsageError):
        raise NotOfType(takes.format(dtype), value) from None


def brief(value: object) -> str:
    """A value for a message."""
    try:
        text = json.dumps(value, default=str)
    except ValueError:  # more digits than Python writes
        text = f"a {type(value).__name__} of very many digits"
    return text if len(text) <= 60 else f"{text[:59]}…"


def _kind(dtype: DType) -> str:
    for kind in ("integer", "decimal", "list"):
        if getattr(dtype, f"is_{kind}"):
            return kind
    return dtype.name


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


def _decimal(value: Any, dtype: DType) -> Decimal:
    """Text, an integer or a Decimal; never a float, whose digits are not those that were meant."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise TypeError
    precision, scale = dtype.precision_scale
    exact = decimal.Context(prec=76, traps=[decimal.Inexact, decimal.InvalidOperation])
    try:
        number = exact.quantize(Decimal(value), Decimal(1).scaleb(-scale))
    except decimal.DecimalException:
        raise ValueError from None
    if not number.is_finite() or number.copy_abs().scaleb(scale, exact) >= 10**precision:
        raise OverflowError
    return number


def _text(value: Any, _: DType) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half of a surrogate pair is no text
    return str(value)


def _date(value: Any, _: DType) -> int:
    if isinstance(value, str) and DAY.fullmatch(value):
        value = date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return (value - _EPOCH_DAY).days


def _timestamp(value: Any, _: DType) -> int:
    return micros_of(value) if isinstance(value, datetime) else parse_instant(value)


def read_source_time(value: object) -> int:
    """An instant of a source's row, in microseconds: nanoseconds round up. Raises: NotOfType."""
    try:
        return micros_of(value, up=True) if isinstance(value, datetime) else parse_instant(value, up=True)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, UsageError):
        raise NotOfType(_READERS[TIMESTAMP.name][1], value) from None


def _binary(value: Any, _: DType) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(_text(value, _), validate=True)


def _list(value: Any, dtype: DType) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return [None if item is None else read(dtype.item, item) for item in value]


_READERS: Mapping[str, tuple[Callable[[Any, DType], Any], str]] = {
    "bool": (_bool, "true or false"),
    "integer": (_integer, "an integer ({})"),
    "double": (_double, "a number"),
    "float": (_float, "a number of 32 bits"),
    "decimal": (_decimal, "a {} as text"),
    "string": (_text, "text"),
    "date32": (_date, "a date (YYYY-MM-DD)"),
    "timestamp[us, UTC]": (_timestamp, "an instant (ISO 8601 with an offset)"),
    "binary": (_binary, "bytes (base64)"),
    "list": (_list, "a list ({})"),
}
"""Kind of type -> how a value is read, and what to say it takes."""
