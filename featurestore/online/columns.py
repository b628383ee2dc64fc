"""Arrow columns as bytes, row by row, without Python running per row.

Arrow's own buffers are little-endian rows of fixed width already: to encode a column is to name its buffer as
fixed_size_binary, and to encode a row is to let Arrow join the columns. Which pieces are joined `keys` and `records`
decide. Big-endian hosts are not supported. A joined batch must stay under 2 GiB (Arrow raises otherwise).
"""

from __future__ import annotations

import array
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

EMPTY = pa.scalar(b"", pa.binary())


def whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One plain array: chunks joined, dictionaries decoded."""
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks or [_none(values.type)])
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _none(type_: pa.DataType) -> pa.Array:
    return pa.array([], type_)


def join(*pieces: Any) -> pa.Array:
    return pc.binary_join_element_wise(*pieces, EMPTY)


def no_nulls(values: pa.Array) -> pa.Array:
    """Nulls as zero or empty, so that equal rows are equal bytes."""
    if values.null_count == 0:
        return values
    zero: object = b"" if pa.types.is_binary(values.type) else Decimal(0) if pa.types.is_decimal(values.type) else 0
    return values.fill_null(pa.scalar(zero, values.type))


def fixed(values: pa.Array) -> pa.Array:
    """The bytes of each fixed-width value, under binary: a new name for the same buffer, then Arrow's cast."""
    return _from_buffer(values.buffers()[1], values.type.bit_width // 8, len(values), values.offset)


def big_endian(values: pa.Array, code: str) -> pa.Array:
    """As `fixed`, most significant byte first. Arrow cannot swap bytes; the standard library's array can."""
    width = values.type.bit_width // 8
    numbers = array.array(code)
    numbers.frombytes(values.buffers()[1][values.offset * width : (values.offset + len(values)) * width])
    numbers.byteswap()
    return _from_buffer(pa.py_buffer(numbers), width, len(values))


def _from_buffer(buffer: pa.Buffer, width: int, rows: int, offset: int = 0) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(width), rows, [None, buffer], offset=offset).cast(pa.binary())


def grouped(values: pa.Array, offsets: pa.Array) -> pa.Array:
    """Runs of consecutive binary values as single ones, value i being values[offsets[i]:offsets[i+1]] end to end.

    The same bytes under fewer offsets: nothing is copied but those.
    """
    _, ends, data = values.buffers()
    starts = pa.Array.from_buffers(pa.int32(), len(values) + 1, [None, ends], offset=values.offset)
    fewer = starts.take(whole(offsets))
    return pa.Array.from_buffers(pa.binary(), len(fewer) - 1, [None, fewer.buffers()[1], data or pa.py_buffer(b"")])
