"""The canonical hash of a table's content: schema, values and row order, not encodings, chunks or files."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class ContentHash:
    """Fed with consecutive slices of a table; equal for equal content however it is sliced."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._columns = [hashlib.sha256() for _ in schema]
        self._rows = 0

    def update(self, table: pa.Table) -> None:
        self._rows += table.num_rows
        for digest, field in zip(self._columns, self._schema, strict=True):
            for chunk in table.column(field.name).chunks:
                _feed(digest, chunk)

    def hexdigest(self) -> str:
        whole = hashlib.sha256()
        names = [[f.name, str(f.type)] for f in self._schema]
        whole.update(json.dumps([names, self._rows], ensure_ascii=False).encode())
        for digest in self._columns:
            whole.update(digest.digest())
        return whole.hexdigest()


def _feed(digest: Any, chunk: pa.Array) -> None:
    """Validity and values, a null's value as zero; text and binary as lengths and bytes kept apart by their digests."""
    kind = chunk.type
    if pa.types.is_dictionary(kind):
        return _feed(digest, chunk.dictionary_decode())
    digest.update(chunk.is_valid().cast(pa.uint8()).buffers()[1] or b"")
    if (
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
    ):
        filled = pc.fill_null(chunk, b"" if "binary" in str(kind) else "")
        lengths = pc.binary_length(filled).cast(pa.int64())
        digest.update(_bytes(lengths, 8))
        digest.update(pc.binary_join(pa.ListArray.from_arrays([0, len(filled)], filled.cast(pa.binary())), b"")[0].as_buffer()
                      if len(filled) else b"")  # fmt: skip
    elif pa.types.is_boolean(kind):
        digest.update(_bytes(pc.fill_null(chunk, False).cast(pa.uint8()), 1))
    elif pa.types.is_primitive(kind) and not pa.types.is_decimal(kind):
        width = kind.bit_width // 8
        plain = chunk.view({1: pa.int8(), 2: pa.int16(), 4: pa.int32(), 8: pa.int64()}[width])
        digest.update(_bytes(pc.fill_null(plain, 0), width))
    else:
        digest.update(repr(chunk.to_pylist()).encode())


def _bytes(array: pa.Array, width: int) -> memoryview:
    buffer = array.buffers()[1]
    return (
        memoryview(b"")
        if buffer is None
        else memoryview(buffer)[array.offset * width : (array.offset + len(array)) * width]
    )
