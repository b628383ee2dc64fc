"""Typed keys as bytes: one row at a time for requests, a column at a time for materialization.

Decides the layout below. Components follow one another, each ends by itself, so composite keys are never ambiguous;
each is ordered by bytes as its values are, so rows sorted by key columns are sorted as keys.

    integer   02 + 8 bytes big-endian of v + 2^63      when v fits int64, else
              03 + 16 bytes of v (above)  or  01 + 16 bytes of v + 2^127 (below)
    text      UTF-8 with 00 written as 00 FF, then 00 00          binary   the same over its bytes
    bool      00 or 01                                            date     4 bytes big-endian of days + 2^31
"""

from __future__ import annotations

import hashlib
import operator
import struct
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.online.columns import EMPTY, big_endian, fixed, join, no_nulls, whole

GLOBAL_KEY = b""
"""The key of the one row of `entities=[]`."""

_KEY_LENGTH = struct.Struct("<I")
_INT64_BIAS = 1 << 63
_INT128_BIAS = 1 << 127
_EPOCH = date(1970, 1, 1)


def encode_key(values: Sequence[object], families: Sequence[str]) -> bytes:
    """One key from one value per family (`DType.key_family`).

    integer takes int or an integral Decimal, date takes date or days since 1970. Raises: ValueError for anything else
    (bool is no integer, None is no key) and for integers beyond 128 bits: such a key matches nothing.
    """
    return b"".join([_WRITERS[family](value) for value, family in zip(values, families, strict=True)])


def decode_key(key: bytes, families: Sequence[str]) -> tuple[object, ...]:
    """The values of a key: int, str, bool, date (or days, outside the years 1 to 9999), bytes."""
    values, at = [], 0
    for family in families:
        value, at = _READERS[family](key, at)
        values.append(value)
    if at != len(key):
        raise ValueError(f"{len(key) - at} bytes left over in a key of {len(families)} columns")
    return tuple(values)


SHORT = 400
"""Bytes of a key that is kept as it is."""


class LongKey(bytes):
    """The storage key of a key that is too long to be kept as it is. full: that key."""

    full: bytes


def storage_key(key: bytes) -> bytes:
    """The key a store keeps: short keys under 00, longer ones as 01 + their BLAKE2b-256 digest, a `LongKey`.

    The prefixes keep the two apart, and the empty global key from being no key at all. The record of a long key ends with
    the key itself (`with_key`), so that whoever reads it can compare.
    """
    if len(key) <= SHORT:
        return b"\0" + key
    digest = LongKey(b"\1" + hashlib.blake2b(key, digest_size=32).digest())
    digest.full = key
    return digest


def is_digest(stored: bytes) -> bool:
    return stored[:1] == b"\1"


def with_key(record: bytes, key: bytes) -> bytes:
    """What is kept under a digest: the record, the key, and the key's length."""
    return b"".join([record, key, _KEY_LENGTH.pack(len(key))])


def parted(stored: bytes | memoryview) -> tuple[bytes | memoryview, bytes]:
    """Record and key of what is kept under a digest."""
    end = len(stored) - _KEY_LENGTH.size
    start = end - _KEY_LENGTH.unpack_from(stored, end)[0]
    return stored[:start], bytes(stored[start:end])


def record_of(stored: Any, key: bytes | None) -> Any:
    """The record, given what is kept under a storage key; None if it is that of another key with the same digest."""
    if stored is None or type(key) is not LongKey:
        return stored
    record, full = parted(stored)
    return record if full == key.full else None


def lookup_keys(values: Sequence[object], family: str) -> list[bytes | None]:
    """As `storage_key` of `encode_key`, for a key of one column; None where a value is None or cannot be a key."""
    if family == "integer" and {int}.issuperset(map(type, values)):
        try:
            return [_SHORT_INTEGER(0, 2, value + _INT64_BIAS) for value in values]  # type: ignore[operator]
        except struct.error:
            pass  # some need 128 bits
    return [_storage_key(value, family) for value in values]


_SHORT_INTEGER = struct.Struct(">BBQ").pack
"""A short key (00) of one integer of 64 bits (02)."""


def _storage_key(value: object, family: str) -> bytes | None:
    try:
        return None if value is None else storage_key(_WRITERS[family](value))
    except ValueError:
        return None


def _write_integer(value: object) -> bytes:
    number = _integer(value)
    if -_INT64_BIAS <= number < _INT64_BIAS:
        return b"\2" + (number + _INT64_BIAS).to_bytes(8, "big")
    if 0 < number < _INT128_BIAS:
        return b"\3" + number.to_bytes(16, "big")
    if -_INT128_BIAS <= number < 0:
        return b"\1" + (number + _INT128_BIAS).to_bytes(16, "big")
    raise ValueError(f"{value!r} does not fit into 128 bits")


def _integer(value: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{value!r} is not an integer")
    return operator.index(value)


def _read_integer(key: bytes, at: int) -> tuple[int, int]:
    if key[at] == 2:
        return int.from_bytes(key[at + 1 : at + 9], "big") - _INT64_BIAS, at + 9
    number = int.from_bytes(key[at + 1 : at + 17], "big")
    return number - (_INT128_BIAS if key[at] == 1 else 0), at + 17


def _write_text(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return _write_bytes(value.encode())


def _read_text(key: bytes, at: int) -> tuple[str, int]:
    found, at = _read_bytes(key, at)
    return found.decode(), at


def _write_bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} is not binary")
    return value.replace(b"\0", b"\0\xff") + b"\0\0"


def _read_bytes(key: bytes, at: int) -> tuple[bytes, int]:
    end = at
    while key[(end := key.index(b"\0", end)) + 1] == 0xFF:
        end += 2
    return key[at:end].replace(b"\0\xff", b"\0"), end + 2


def _write_bool(value: object) -> bytes:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not a bool")
    return b"\1" if value else b"\0"


def _read_bool(key: bytes, at: int) -> tuple[bool, int]:
    return key[at] == 1, at + 1


def _write_date(value: object) -> bytes:
    days = (value - _EPOCH).days if type(value) is date else value
    if type(days) is not int or not -(1 << 31) <= days < 1 << 31:
        raise ValueError(f"{value!r} is not a date")
    return (days + (1 << 31)).to_bytes(4, "big")


def _read_date(key: bytes, at: int) -> tuple[date | int, int]:
    days = int.from_bytes(key[at : at + 4], "big") - (1 << 31)
    try:
        return _EPOCH + timedelta(days), at + 4
    except OverflowError:
        return days, at + 4


_WRITERS: dict[str, Callable[[object], bytes]] = {
    "integer": _write_integer,
    "text": _write_text,
    "bool": _write_bool,
    "date": _write_date,
    "binary": _write_bytes,
}
_READERS: dict[str, Callable[[bytes, int], tuple[object, int]]] = {
    "integer": _read_integer,
    "text": _read_text,
    "bool": _read_bool,
    "date": _read_date,
    "binary": _read_bytes,
}


def encode_keys(columns: Sequence[pa.Array], families: Sequence[str], *, rows: int | None = None) -> pa.Array:
    """A column of keys, byte for byte what `encode_key` gives; null where any component is null (it matches nothing).

    `rows` is needed only without columns, where every row has the one global key. Raises: ValueError as `encode_key`.
    """
    if not families:
        return pa.repeat(pa.scalar(GLOBAL_KEY, pa.binary()), rows or 0)
    arrays = [whole(column) for column in columns]
    pieces = [piece for column, family in zip(arrays, families, strict=True) for piece in _PIECES[family](column)]
    keys = join(*pieces)
    for column in arrays:
        if column.null_count:
            keys = pc.if_else(column.is_valid(), keys, pa.scalar(None, pa.binary()))
    return keys


def storage_keys(keys: pa.Array) -> pa.Array:
    """`storage_key` of a whole column; null stays null."""
    keys = whole(keys)
    if (pc.max(pc.binary_length(keys)).as_py() or 0) <= SHORT:
        return pc.binary_join_element_wise(pa.scalar(b"\0", pa.binary()), keys, EMPTY)
    return pa.array([key if key is None else storage_key(key) for key in keys.to_pylist()], pa.binary())


def _integer_pieces(column: pa.Array) -> list[Any]:
    try:
        numbers = column.cast(pa.int64())
    except pa.ArrowInvalid:  # beyond int64: a wide unsigned or decimal column, written value by value
        values = column.to_pylist()
        return [pa.array([b"" if value is None else _write_integer(value) for value in values], pa.binary())]
    biased = pc.bit_wise_xor(no_nulls(numbers), pa.scalar(-_INT64_BIAS, pa.int64()))
    return [pa.scalar(b"\2", pa.binary()), big_endian(biased, "Q")]


def _bytes_pieces(column: pa.Array) -> list[Any]:
    values = no_nulls(column.cast(pa.binary()))
    if pc.any(pc.match_substring(values, b"\0")).as_py():
        values = pc.replace_substring(values, b"\0", b"\0\xff")
    return [values, pa.scalar(b"\0\0", pa.binary())]


def _bool_pieces(column: pa.Array) -> list[Any]:
    return [fixed(no_nulls(column.cast(pa.uint8())))]


def _date_pieces(column: pa.Array) -> list[Any]:
    days = no_nulls(column.cast(pa.date32()).cast(pa.int32()))
    return [big_endian(pc.bit_wise_xor(days, pa.scalar(-(1 << 31), pa.int32())), "I")]


_PIECES: dict[str, Callable[[pa.Array], list[Any]]] = {
    "integer": _integer_pieces,
    "text": _bytes_pieces,
    "bool": _bool_pieces,
    "date": _date_pieces,
    "binary": _bytes_pieces,
}
