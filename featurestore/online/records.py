"""Records as bytes: what the store knows of one key, as facts with typed values.

Decides the layout below. What an entry's flags mean to an answer, and which entries a record needs to be exact, is the
business of those who write and read them. Everything is little-endian, widths are fixed by the column types:

    record    01 (the format) + exact_until i64 + entries
    entry     flags u8 + event time i64 + one null bit per column + one slot per column + variable parts in order
    slot      the value itself (a null's is zero), or the u32 length of its variable part for string, binary and list
    list      00 + items packed, or 01 + per item: 00 for null, else 01 + u32 length + item
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import DType
from featurestore.errors import StoreFormat
from featurestore.online.columns import fixed, grouped, join, no_nulls, whole

RECORD_FORMAT = 1
CANDIDATE = 1
"""Entry flag: this fact may be the answer to `latest`."""
IN_REACH = 2
"""Entry flag: some window may still cover this fact."""

_EXACT = Context(prec=40)

Entry = tuple[int, int, tuple[Any, ...]]
"""Flags, event time in microseconds, one value per column (None for null)."""


class Record(NamedTuple):
    """What the store knows of one key: facts, and the instant up to which they suffice."""

    exact_until: int
    entries: list[Entry]


_FORMATS = {
    "bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H", "uint32": "I",
    "uint64": "Q", "float": "f", "double": "d", "date32": "i", "timestamp[us, UTC]": "q",
}  # fmt: skip
"""How `struct` spells a fixed slot; decimals are 16 bytes, everything else is variable."""

_RAW = {"bool": pa.uint8(), "date32": pa.int32(), "timestamp[us, UTC]": pa.int64()}
"""The plain numbers under types whose Python values would be other objects."""

_HEAD = struct.Struct("<Bq")
_new_tuple: Any = tuple.__new__
"""Makes a Record at half the price of calling it: a look-up of a thousand keys makes thousands."""
_LENGTH = struct.Struct("<I")


class RecordCodec:
    """Records of one table: the columns' types fix the layout. Both ways, and no state.

    Values come back as bool, int, float (doubles bit for bit), str, bytes, int for timestamps (µs) and dates (days),
    Decimal, and list.
    """

    def __init__(self, columns: Sequence[DType]) -> None:
        self.columns = tuple(columns)
        self._null_bytes = (len(self.columns) + 7) // 8
        slots = "".join(_slot(column) for column in self.columns)
        self._entry = struct.Struct(f"<Bq{self._null_bytes}s{slots}")
        self._no_nulls = bytes(self._null_bytes)
        self._variable = tuple((i, _variable_reader(c)) for i, c in enumerate(self.columns) if not _is_fixed(c))
        self._decimals = tuple((i, _decimal_reader(c)) for i, c in enumerate(self.columns) if c.is_decimal)

    def encode_entries(self, flags: pa.Array, event_times: pa.Array, columns: Sequence[pa.Array]) -> pa.Array:
        """One encoded entry per row: flags (uint8), event times (int64 µs or timestamp), one array per column.

        Returns: n binary values, none null. Arrays of another physical type are cast; what does not fit raises.
        """
        values = [raw_values(whole(column), dtype) for column, dtype in zip(columns, self.columns, strict=True)]
        head = [fixed(whole(flags).cast(pa.uint8())), fixed(whole(event_times).cast(pa.int64()))]
        slots, parts = [], []
        for column, dtype in zip(values, self.columns, strict=True):
            if _is_fixed(dtype):
                slots.append(fixed(no_nulls(column)))
            else:
                payload = _payload(column, dtype)
                slots.append(fixed(pc.binary_length(payload)))
                parts.append(payload)
        return join(*head, *_null_bits(values), *slots, *parts)

    def encode_records(self, exact_until: pa.Array, offsets: pa.Array, entries: pa.Array) -> pa.Array:
        """One record per key; record i holds entries[offsets[i]:offsets[i+1]]. A record may hold no entry."""
        format_byte = pa.scalar(bytes([RECORD_FORMAT]), pa.binary())
        return join(format_byte, fixed(whole(exact_until).cast(pa.int64())), grouped(whole(entries), offsets))

    def encode_entry(self, flags: int, event_time: int, values: Sequence[Any]) -> bytes:
        """One entry, from values as `decode` gives them back."""
        nulls, slots, parts = 0, [], []
        for i, (value, column) in enumerate(zip(values, self.columns, strict=True)):
            nulls |= (value is None) << i
            if _is_fixed(column):
                empty = bytes(16) if column.is_decimal else 0
                slots.append(empty if value is None else _one_item(value, column) if column.is_decimal else value)
            else:
                parts.append(b"" if value is None else _one_item(value, column))
                slots.append(len(parts[-1]))
        head = self._entry.pack(flags, event_time, nulls.to_bytes(self._null_bytes, "little"), *slots)
        return b"".join([head, *parts])

    def encode_record(self, exact_until: int, entries: Sequence[bytes]) -> bytes:
        """One record of encoded entries."""
        return b"".join([_HEAD.pack(RECORD_FORMAT, exact_until), *entries])

    def entries(self, record: bytes, at: int, end: int) -> list[Entry]:
        """The entries that lie there in a record. Raises: StoreFormat for bytes of other columns."""
        try:
            return self._entries(record, at, end)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise _bad_record(f"{end - at} bytes are not entries of {len(self.columns)} columns") from error

    def decode(self, record: bytes) -> Record:
        """The record of these bytes. Raises: StoreFormat for another record format, or bytes of other columns."""
        if record[:1] != b"\1":
            raise _bad_record(f"a record has format {record[0] if record else 'none'}, not {RECORD_FORMAT}")
        entries = self.entries(record, _HEAD.size, len(record))
        return Record(_HEAD.unpack_from(record)[1], entries)

    def _entries(self, record: bytes, at: int, end: int) -> list[Entry]:
        unpack, size, no_nulls = self._entry.unpack_from, self._entry.size, self._no_nulls
        variable, decimals = self._variable, self._decimals
        entries: list[Entry] = []
        while at < end:
            flags, event_time, nulls, *values = unpack(record, at)
            at += size
            for i, read in variable:
                start, at = at, at + values[i]
                values[i] = read(record[start:at])
            if decimals:
                for i, read in decimals:
                    values[i] = read(values[i])
            if nulls != no_nulls:
                _blank(values, nulls)
            entries.append((flags, event_time, tuple(values)))
        if at != end:
            raise IndexError
        return entries


def _bad_record(what: str) -> StoreFormat:
    return StoreFormat("FS404", what, hint="featurestore materialize --full")


def _blank(values: list[Any], nulls: bytes) -> None:
    bits = int.from_bytes(nulls, "little")
    for i in range(len(values)):
        if bits >> i & 1:
            values[i] = None


def unscaled(value: Decimal, dtype: DType) -> int:
    """A decimal times 10^scale, whole, with all its digits."""
    return int(value.scaleb(dtype.precision_scale[1], _EXACT))


def plain_format(dtype: DType) -> str | None:
    """How `struct` spells a value; None where it is variable, or a decimal."""
    return _FORMATS.get(dtype.name)


def value_writer(dtype: DType) -> Callable[[Any], bytes]:
    """One value, not NULL, as bytes."""
    return lambda value: _one_item(value, dtype)


def value_reader(dtype: DType) -> Callable[[bytes], Any]:
    return _item_reader(dtype)


def plain_values(values: pa.Array | pa.ChunkedArray, dtype: DType) -> list[Any]:
    """A column's values as a record gives them back: times and dates as numbers, NULL as None."""
    return raw_values(whole(values), dtype).to_pylist()  # type: ignore[no-any-return]


def _is_fixed(dtype: DType) -> bool:
    return dtype.name in _FORMATS or dtype.is_decimal


def _slot(dtype: DType) -> str:
    return "16s" if dtype.is_decimal else _FORMATS.get(dtype.name, "I")


def _variable_reader(dtype: DType) -> Callable[[bytes], Any]:
    if dtype.name == "binary":
        return bytes
    return _list_reader(dtype.item) if dtype.is_list else bytes.decode


def _decimal_reader(dtype: DType) -> Callable[[bytes], Decimal]:
    scale = -dtype.precision_scale[1]
    return lambda raw: Decimal(int.from_bytes(raw, "little", signed=True)).scaleb(scale, _EXACT)


def _list_reader(item: DType) -> Callable[[bytes], list[Any]]:
    width = struct.calcsize(_slot(item)) if _is_fixed(item) else 0
    read = _item_reader(item)

    def read_list(part: bytes) -> list[Any]:
        if part[:1] == b"\1":
            return _loose_items(part, read)
        if item.is_decimal or not width:
            return [read(part[at : at + width]) for at in range(1, len(part), width or 1)]
        packed = part[1:]
        return list(struct.unpack(f"<{len(packed) // width}{_slot(item)}", packed))

    return read_list


def _item_reader(item: DType) -> Callable[[bytes], Any]:
    if item.is_decimal:
        return _decimal_reader(item)
    if _is_fixed(item):
        one = struct.Struct("<" + _slot(item))
        return lambda part: one.unpack(part)[0]
    return _variable_reader(item)


def _loose_items(part: bytes, read: Callable[[bytes], Any]) -> list[Any]:
    items: list[Any] = []
    at = 1
    while at < len(part):
        if part[at] == 0:
            items.append(None)
            at += 1
            continue
        start = at + 5
        at = start + _LENGTH.unpack_from(part, at + 1)[0]
        items.append(read(part[start:at]))
    return items


def raw_values(values: pa.Array, dtype: DType) -> pa.Array:
    """The column as the plain type under its dtype."""
    if values.type != dtype.arrow:
        values = values.cast(dtype.arrow)
    raw = _raw_type(dtype)
    return values if raw == dtype.arrow else values.cast(raw)


def _raw_type(dtype: DType) -> pa.DataType:
    if dtype.is_list:
        return pa.list_(_raw_type(dtype.item))
    return _RAW.get(dtype.name, dtype.arrow)


def _null_bits(columns: Sequence[pa.Array]) -> list[Any]:
    """One piece per eight columns: a byte whose bit i says that column i is null."""
    return [_null_byte(columns[start : start + 8]) for start in range(0, len(columns), 8)]


def _null_byte(columns: Sequence[pa.Array]) -> Any:
    bits = None
    for i, column in enumerate(columns):
        if column.null_count:
            bit = pc.multiply(column.is_null().cast(pa.uint8()), pa.scalar(1 << i, pa.uint8()))
            bits = bit if bits is None else pc.bit_wise_or(bits, bit)
    return pa.scalar(b"\0", pa.binary()) if bits is None else fixed(bits)


def _payload(values: pa.Array, dtype: DType) -> pa.Array:
    """The variable part of each row; empty for null."""
    if not dtype.is_list:
        return no_nulls(values.cast(pa.binary()))
    if not _is_fixed(dtype.item) or values.flatten().null_count:
        return pa.array([_loose_list(items, dtype.item) for items in values.to_pylist()], pa.binary())
    lengths = pc.list_value_length(values).fill_null(0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
    packed = join(pa.scalar(b"\0", pa.binary()), grouped(fixed(values.flatten()), offsets))
    return no_nulls(pc.if_else(values.is_valid(), packed, pa.scalar(None, pa.binary())))


def _loose_list(items: list[Any] | None, item: DType) -> bytes:
    if items is None:
        return b""
    parts = (None if value is None else _one_item(value, item) for value in items)
    return b"\1" + b"".join(b"\0" if part is None else b"\1" + _LENGTH.pack(len(part)) + part for part in parts)


def _one_item(value: Any, item: DType) -> bytes:
    if item.is_list:
        return _loose_list(value, item.item)
    if item.is_decimal:
        return unscaled(value, item).to_bytes(16, "little", signed=True)
    if item.name in _FORMATS:
        return struct.pack("<" + _FORMATS[item.name], value)
    return value.encode() if isinstance(value, str) else bytes(value)
