"""Which columns of PostgreSQL are values, and how each is asked for and read so that it comes over exactly.

The table is closed. Where the driver would bring another value (an infinite time wraps around, an array of two dimensions is
laid flat) or none at all (numeric), the server is asked in other words. A value that the type cannot hold makes the server fail
with words of ours (`failures.REFUSED`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import SourceError
from featurestore.sources.postgres.failures import REFUSED

UTC = pa.timestamp("us", "UTC")
_END = {kind: f"{kind} '200000-01-01'" for kind in ("date", "timestamp", "timestamptz")}
"""Before this a time is a number of microseconds from 1970 in 64 bits; nobody means a later one."""
_TYPE, _TYPMOD = b"POSTGRESQL:type", b"POSTGRESQL:typmod"
_WIDEST = 18
"""Digits of a decimal that a 64-bit integer holds whatever they are."""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Column:
    """A column whose values can be read. asked: the expression by which it is asked for; as_time: the same for the time of an
    event, or of its being known, which may be infinite. read: makes of what comes the values of `type`."""

    name: str
    type: pa.DataType
    asked: str
    as_time: str
    read: Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class _Mapped:
    """wire: what the driver gives for it. type: what its values are. ask: how it is asked for."""

    wire: pa.DataType
    type: pa.DataType
    ask: Callable[[str], str] = quoted
    as_time: Callable[[str], str] | None = None


def _same(array: pa.Array) -> pa.Array:
    return array


def _text(name: str) -> str:
    return f"{quoted(name)}::text"


def _texts(name: str) -> str:
    return _flat(f"{quoted(name)}::text[]", name)


def _finite(kind: str) -> Callable[[str], str]:
    """The server fails at an infinite time."""

    def ask(name: str) -> str:
        c = quoted(name)
        finite = f"{c} < {_END[kind]} AND {c} > '-infinity' OR {c} IS NULL"
        return f"CASE WHEN {finite} THEN {c} ELSE {_failing(f'{c}::text', name)}::{kind} END"

    return ask


def _bounded(kind: str) -> Callable[[str], str]:
    """An infinite time is one that no `time_range` holds."""

    def ask(name: str) -> str:
        c, first = quoted(name), f"{kind} '4713-01-01 BC'"
        return f"CASE WHEN {c} >= {_END[kind]} THEN {_END[kind]} WHEN {c} = '-infinity' THEN {first} ELSE {c} END"

    return ask


def _failing(value: str, name: str) -> str:
    """Text that no cast takes: what is wrong, and where."""
    return f"({value} || {literal(REFUSED + name)})"


def _array(name: str) -> str:
    return _flat(quoted(name), name)


def _flat(array: str, name: str) -> str:
    """The array; the server fails at one of several dimensions."""
    dimensions = f"array_ndims({quoted(name)})"
    failing = _failing(f"{dimensions}::text || ' dimensions'", name)
    return f"CASE WHEN {dimensions} > 1 THEN ({array})[1:{failing}::int] ELSE ({array})[:] END"  # from 1 on


def _of_time(kind: str, arrow: pa.DataType) -> _Mapped:
    return _Mapped(arrow, arrow, _finite(kind), _bounded(kind))


_STRING, _UUID, _JSON = pa.string(), pa.uuid(), pa.json_()
_SCALARS: Mapping[str, _Mapped] = {
    "bool": _Mapped(pa.bool_(), pa.bool_()),
    "int2": _Mapped(pa.int16(), pa.int16()),
    "int4": _Mapped(pa.int32(), pa.int32()),
    "int8": _Mapped(pa.int64(), pa.int64()),
    "float4": _Mapped(pa.float32(), pa.float32()),
    "float8": _Mapped(pa.float64(), pa.float64()),
    "text": _Mapped(_STRING, _STRING),
    "varchar": _Mapped(_STRING, _STRING),
    "name": _Mapped(_STRING, _STRING, _text),
    "bpchar": _Mapped(_STRING, _STRING, _text),  # without the blanks that fill it up, as PostgreSQL compares it
    "uuid": _Mapped(_UUID, _STRING, _text),
    "json": _Mapped(_JSON, _STRING, _text),
    "jsonb": _Mapped(_JSON, _STRING, _text),
    "bytea": _Mapped(pa.binary(), pa.binary()),
    "date": _of_time("date", pa.date32()),
    "timestamp": _of_time("timestamp", pa.timestamp("us")),
    "timestamptz": _of_time("timestamptz", UTC),
}
_PLAIN = ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bytea")
_AS_TEXT = ("name", "bpchar", "uuid", "json", "jsonb")
MAPPED: Mapping[str, _Mapped] = {
    **_SCALARS,
    **{f"_{n}": _Mapped(pa.list_(_SCALARS[n].wire), pa.list_(_SCALARS[n].type), _array) for n in _PLAIN},
    **{f"_{n}": _Mapped(pa.list_(_SCALARS[n].wire), pa.list_(_STRING), _texts) for n in _AS_TEXT},
}
"""By the name of the type in pg_type; numeric and enumerations are in `column`."""


def column(field: pa.Field, enumerations: Iterable[str]) -> Column | None:
    """How a column is read that a result describes so; None if its values are none of ours. enumerations: names of types."""
    told = field.metadata or {}
    kind = told.get(_TYPE, b"").decode()
    if kind == "numeric":
        return _decimal(field.name, int(told.get(_TYPMOD, b"-1")))
    mapped = MAPPED.get(kind)
    if mapped is None and kind in enumerations:
        mapped = _Mapped(_STRING, _STRING, _text)
    if mapped is None and kind.removeprefix("_") in enumerations:
        mapped = _Mapped(pa.list_(_STRING), pa.list_(_STRING), _texts)
    if mapped is None or field.type != mapped.wire:
        return None
    asked = mapped.ask(field.name)
    return Column(field.name, mapped.type, asked, asked if mapped.as_time is None else mapped.as_time(field.name), _same)


def _decimal(name: str, modifier: int) -> Column | None:
    """numeric(p, s). Few digits come as whole numbers, many as text: both are exact."""
    precision, scale = (modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 0x400) - 0x400
    if modifier < 4 or precision > 38 or not 0 <= scale <= precision:
        return None
    c, kind = quoted(name), pa.decimal128(precision, scale)
    told = "int8" if precision <= _WIDEST else "text"
    value = c if told == "text" or not scale else f"({c} * 1{'0' * scale})"
    failing = f"{_failing(f'{c}::text', name)}::int8{'' if told == 'int8' else '::text'}"
    asked = f"CASE WHEN {c} = 'NaN' THEN {failing} ELSE {value}::{told} END"
    return Column(name, kind, asked, asked, _scaled(kind) if told == "int8" else _parsed(kind))


def _scaled(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    """Whole numbers of the last digit's unit, as decimals: the same bits under another name."""

    def read(array: pa.Array) -> pa.Array:
        whole = array.cast(pa.decimal128(19, 0))
        return pa.Array.from_buffers(kind, len(whole), whole.buffers(), offset=whole.offset)

    return read


def _parsed(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda array: pc.cast(array, kind)


_CASTS = {
    "numeric": "{c}::numeric(18, 2) AS {c}", "interval": "extract(epoch FROM {c})::float8 AS {c}",
    "money": "{c}::numeric(18, 2) AS {c}", "oid": "{c}::int8 AS {c}", "_numeric": "{c}::float8[] AS {c}",
}  # fmt: skip


def refused(field: pa.Field, what: str, place: str) -> SourceError:
    """Why no view can read a column, and what would make it a value."""
    kind = (field.metadata or {}).get(_TYPE, b"").decode() or str(field.type)
    cast = _CASTS.get(kind, "{c}::text AS {c}").format(c=field.name)
    said = "numeric without precision and scale that a decimal has" if kind == "numeric" else _said(kind)
    hint = f'query="SELECT …, {cast} FROM …", or a view that does so'
    return SourceError("FS377", f"column {field.name!r} of {what} is {said}, which is no value here", where=place, hint=hint)


def _said(kind: str) -> str:
    return f"{kind[1:]}[]" if kind.startswith("_") else "of a type that the driver does not know" if "unnamed" in kind else kind
