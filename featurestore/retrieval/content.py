"""The canonical hash of a table's content: schema, values and row order, not encodings, chunks or files."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import decoded

_ENTRIES = re.compile(r" \('[^']*'\)>")


class ContentHash:
    """Fed with consecutive slices of a table; equal for equal content however it is sliced.

    Validity, lengths and values of a column have a digest each: in a common one they would alternate slice by slice.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._parts: defaultdict[str, Any] = defaultdict(hashlib.sha256)
        self._rows = 0

    def update(self, table: pa.Table) -> None:
        self._rows += table.num_rows
        for number, column in enumerate(table.columns):
            for chunk in column.chunks:
                self._feed(str(number), chunk)

    def hexdigest(self) -> str:
        # A list's item is called "item" in memory and "element" in Parquet, a map's entries there by their column: no
        # difference of content.
        names = [[f.name, _ENTRIES.sub(">", str(f.type).replace("<element: ", "<item: "))] for f in self._schema]
        parts = {part: digest.hexdigest() for part, digest in self._parts.items()}
        whole = json.dumps([names, self._rows, parts], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()

    def _feed(self, part: str, chunk: pa.Array) -> None:
        """Validity and values, a null's value as zero; text and binary as lengths and bytes; nested types by their parts."""
        if len(chunk) == 0:
            return
        kind = chunk.type
        if pa.types.is_dictionary(kind):
            return self._feed(part, decoded(chunk))
        if pa.types.is_map(kind):  # its keys and items know nothing of the slice
            return self._feed(part, chunk.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))))
        if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
            return self._feed(part, chunk.cast(pa.large_binary()))
        self._parts[f"{part} valid"].update(_bytes(chunk.is_valid().cast(pa.uint8()), 1))
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            self._feed(f"{part} length", pc.fill_null(pc.list_value_length(chunk).cast(pa.int64()), 0))
            self._feed(f"{part} item", chunk.flatten())
        elif pa.types.is_struct(kind):
            for number, field in enumerate(chunk.flatten()):
                self._feed(f"{part}.{number}", field)
        elif _is_text(kind):
            filled = pc.fill_null(chunk.cast(pa.large_binary()), b"")
            self._feed(f"{part} length", pc.binary_length(filled))
            self._parts[part].update(_joined(filled))
        else:
            self._parts[part].update(_plain(chunk))


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _plain(chunk: pa.Array) -> Any:
    kind = chunk.type
    if pa.types.is_boolean(kind):
        return _bytes(pc.fill_null(chunk, False).cast(pa.uint8()), 1)
    if pa.types.is_decimal(kind):
        return _bytes(pc.fill_null(chunk, pa.scalar(Decimal(0), kind)), kind.bit_width // 8)
    if pa.types.is_primitive(kind) and kind.bit_width <= 64:
        width = kind.bit_width // 8
        plain = chunk.view({1: pa.int8(), 2: pa.int16(), 4: pa.int32(), 8: pa.int64()}[width])
        return _bytes(pc.fill_null(plain, 0), width)
    return "".join(f"{value!r}\n" for value in chunk.to_pylist()).encode()


def _joined(array: pa.LargeBinaryArray) -> memoryview:
    """The bytes of all values, one after the other."""
    _, offsets, data = array.buffers()
    ends = memoryview(offsets).cast("q")
    return memoryview(data or b"")[ends[array.offset] : ends[array.offset + len(array)]]


def _bytes(array: pa.Array, width: int) -> memoryview:
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + len(array)) * width]
