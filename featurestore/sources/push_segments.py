"""The bytes of a push log's segments: a header that says how to read what follows, then one frame per push.

    magic, length and CRC of the header, header (JSON: format, log, first position, columns)
    length, CRC, first position, known time of the first row, rows; then the rows as one Arrow record batch
    …
A frame counts whole or not at all. What follows the last whole frame is a tail that a crash has torn, as long as it lies
beyond what was acknowledged; before that, or with a whole frame after it, it is damage and an error: nothing that was
acknowledged is dropped in silence.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import TIMESTAMP
from featurestore.errors import StoreError, StoreFormat

FORMAT = 1
"""Of the log: of its segments and of what lies beside them."""
POSITION = "__position"
_MAGIC = b"fs-push\n"
_SIZES = struct.Struct("<II")
_FRAME = struct.Struct("<IIQqI")


@dataclass(frozen=True)
class Header:
    """first: the position of the first row. after: no row before it was known later. created: the column that tells the
    arrival under the source's own name, or None."""

    log: str
    source: str
    first: int
    after: int
    schema: pa.Schema
    created: str | None

    def to_bytes(self) -> bytes:
        told = {
            "format": FORMAT, "log": self.log, "source": self.source, "first": self.first, "after": self.after,
            "schema": base64.b64encode(self.schema.serialize().to_pybytes()).decode(), "created": self.created,
        }  # fmt: skip
        text = json.dumps(told, sort_keys=True).encode()
        return _MAGIC + _SIZES.pack(len(text), zlib.crc32(text)) + text

    @classmethod
    def read(cls, data: memoryview, where: str) -> tuple[Header, int]:
        """The header, and where the frames begin. Raises: StoreFormat FS441, StoreError FS440."""
        start = len(_MAGIC) + _SIZES.size
        if bytes(data[: len(_MAGIC)]) != _MAGIC or len(data) < start:
            raise damaged(where, "it does not begin as a segment does")
        length, crc = _SIZES.unpack_from(data, len(_MAGIC))
        text = bytes(data[start : start + length])
        if len(text) != length or zlib.crc32(text) != crc:
            raise damaged(where, "its header")
        told = json.loads(text)
        check_format(told, where)
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(told["schema"])))
        return cls(told["log"], told["source"], told["first"], told["after"], schema, told["created"]), start + length


@dataclass(frozen=True)
class Frame:
    """One push: its rows stand at `first` and the positions that follow, known at `known_at` and the microseconds that
    follow. end: where in the segment the next frame begins."""

    first: int
    known_at: int
    rows: int
    payload: memoryview
    end: int


def encode(first: int, known_at: int, rows: int, payload: bytes) -> bytes:
    """A frame's bytes."""
    return _FRAME.pack(len(payload), _crc(first, known_at, rows, payload), first, known_at, rows) + payload


def _crc(first: int, known_at: int, rows: int, payload: bytes | memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(_FRAME.pack(len(payload), 0, first, known_at, rows)))


def frames(data: memoryview, start: int, first: int, acknowledged: int, where: str) -> Iterator[Frame]:
    """The whole frames from `start` on. first: the position that comes first. acknowledged: up to which byte nothing may be
    torn. Raises: StoreError FS440 for damage."""
    at = start
    while at < len(data):
        found = _frame(data, at)
        if found is None:
            follows = at + _FRAME.size + _length(data, at)
            if at < acknowledged or (at < follows < len(data) and _frame(data, follows) is not None):
                raise damaged(where, f"the push at byte {at}")
            return
        if found.first != first:
            raise damaged(where, f"position {first} is missing")
        yield found
        at, first = found.end, first + found.rows
    if at < acknowledged:
        raise damaged(where, f"it ends at byte {at} of {acknowledged}")


def _length(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _frame(data: memoryview, at: int) -> Frame | None:
    """The frame at a byte, or None if there is no whole one."""
    if at + _FRAME.size > len(data):
        return None
    length, crc, first, known_at, rows = _FRAME.unpack_from(data, at)
    begin = at + _FRAME.size
    payload = data[begin : begin + length]
    if len(payload) != length or not rows or _crc(first, known_at, rows, payload) != crc:
        return None
    return Frame(first, known_at, rows, payload, begin + length)


def decode(header: Header, found: Iterable[Frame]) -> pa.Table:
    """The rows of frames, as `as_read`."""
    batches: list[pa.RecordBatch] = []
    known: list[int] = []
    for frame in found:
        batches.append(pa.ipc.read_record_batch(pa.py_buffer(frame.payload), header.schema))
        known.extend(range(frame.known_at, frame.known_at + frame.rows))
    rows = pa.Table.from_batches(batches, schema=header.schema).combine_chunks()
    return as_read(rows, header.first, known, header.created)


def as_read(rows: pa.Table, first: int, known: Sequence[int], created: str | None) -> pa.Table:
    """Rows as a reader gets them: with the arrival as the created timestamp if there is one, position and arrival."""
    known_at = pa.array(known, pa.int64()).cast(TIMESTAMP.arrow)
    positions = pa.array(range(first, first + len(known)), pa.int64())
    own = [known_at] if created is not None else []
    return pa.Table.from_arrays([*rows.columns, *own, positions, known_at], schema=log_schema(rows.schema, created))


def log_schema(schema: pa.Schema, created: str | None) -> pa.Schema:
    """The columns of a log's rows, as read and as compacted."""
    own = [pa.field(created, TIMESTAMP.arrow)] if created is not None else []
    return pa.schema([*schema, *own, pa.field(POSITION, pa.int64()), pa.field(PUSHED_AT, TIMESTAMP.arrow)])


def check_format(told: dict[str, Any], where: str) -> None:
    """Raises: StoreFormat FS441 for what a newer featurestore wrote."""
    if told["format"] > FORMAT:
        what = f"the push log has format {told['format']}, this featurestore reads up to format {FORMAT}"
        raise StoreFormat("FS441", what, where=where, hint="a newer featurestore")


def damaged(where: str, what: str) -> StoreError:
    hint = "restore the file from a copy; pushed rows lie nowhere else"
    return StoreError("FS440", f"the push log is damaged: {what}", where=where, hint=hint)
