"""Records in columns: the facts in reach of a view's windows as one array per measure, beside the entries of its latest values.

For keys with few facts: a window is a slice of each array. Decides the layout below; everything is little-endian. It holds
measures of fixed width alone; records of others list entries (`records`), those of keys with many facts are `indexed`.

    record    03 (the format) + exact_until i64 + how many bytes of entries u32 + entries (of the latest values)
              + n facts u32 + n event times i64 + per measure: n bytes (1 for NULL), n values (of NULL zero)
              + n known times i64, if some aggregate orders by them
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import compress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import DType
from featurestore.errors import StoreFormat
from featurestore.online.columns import fixed, grouped, join, no_nulls, whole
from featurestore.online.records import plain_format, raw_values

COLUMNAR_FORMAT = 3

_HEAD = struct.Struct("<BqI")
_COUNT = struct.Struct("<I")


class ColumnarCodec:
    """Records of one table whose measures all have a fixed width. known: whether known times are kept."""

    def __init__(self, measures: Sequence[DType], *, known: bool) -> None:
        self._measures, self._known = tuple(measures), known
        kinds = [plain_format(dtype) or "" for dtype in measures]
        widths = [struct.calcsize("<" + kind) for kind in kinds]
        starts = [8 + sum(1 + width for width in widths[:i]) for i in range(len(widths) + 1)]
        self._places = tuple(zip(starts, widths, kinds, strict=False))
        self._known_at = starts[-1] if known else 0

    @classmethod
    def serves(cls, measures: Sequence[DType]) -> bool:
        return bool(measures) and all(plain_format(dtype) is not None for dtype in measures)

    def encode(
        self, exact_until: pa.Array, entries: pa.Array, offsets: pa.Array, times: pa.Array, measures: Sequence[pa.Array],
        known: pa.Array | None,
    ) -> pa.Array:  # fmt: skip
        """One record per key. entries: the bytes of each key's. offsets: key i has the facts from offsets[i] to
        offsets[i+1] of times (µs), measures and known times (µs)."""
        counts = pc.subtract(offsets.slice(1), offsets.slice(0, len(offsets) - 1)).cast(pa.uint32())
        columns = [whole(times).cast(pa.int64())]
        for column, dtype in zip(measures, self._measures, strict=True):
            values = raw_values(whole(column), dtype)
            columns += [values.is_null().cast(pa.uint8()), no_nulls(values)]
        if known is not None:
            columns.append(no_nulls(whole(known).cast(pa.int64())))
        runs = [grouped(fixed(column), offsets) for column in columns]
        head = [pa.scalar(bytes([COLUMNAR_FORMAT]), pa.binary()), fixed(whole(exact_until).cast(pa.int64()))]
        lengths = pc.binary_length(entries).cast(pa.uint32())
        return join(*head, fixed(lengths), entries, fixed(counts), *runs)

    def decode(self, record: bytes) -> Columns:
        """Raises: StoreFormat for bytes that are no such record."""
        try:
            _, exact_until, length = _HEAD.unpack_from(record)
            at = _HEAD.size + length
            (facts,) = _COUNT.unpack_from(record, at)
        except struct.error as error:
            raise _bad(len(record)) from error
        per_fact = self._known_at + 8 if self._known else self._places[-1][0] + 1 + self._places[-1][1]
        if len(record) != at + 4 + facts * per_fact:
            raise _bad(len(record))
        return Columns(record, exact_until, facts, at, self._places, self._known_at)


class Columns:
    """A record read: measures one by one, when they are asked for."""

    __slots__ = ("_at", "_facts", "_known_at", "_measures", "_places", "entries_to", "exact_until", "record", "times")

    entries_from = _HEAD.size
    """Where in the record the entries of the latest values begin; they reach to `entries_to`."""

    def __init__(
        self, record: bytes, exact_until: int, facts: int, at: int, places: tuple[tuple[int, int, str], ...], known_at: int
    ) -> None:
        self.record, self.exact_until, self.entries_to, self._facts, self._at = record, exact_until, at, facts, at + 4
        self._places, self._known_at = places, known_at
        self.times: tuple[int, ...] = struct.unpack_from(f"<{facts}q", record, self._at)
        """Event times of all facts, in order; `measure` gives this very tuple where none is NULL."""
        self._measures: dict[int, tuple[Sequence[int], Sequence[Any], Sequence[int]]] = {}

    def measure(self, number: int) -> tuple[Sequence[int], Sequence[Any], Sequence[int]]:
        """Event times in order, values, and known times (none where not kept) of facts that are not NULL. number: from 0."""
        found = self._measures.get(number)
        if found is None:
            found = self._measures[number] = self._read(number)
        return found

    def _read(self, number: int) -> tuple[Sequence[int], Sequence[Any], Sequence[int]]:
        start, _, kind = self._places[number]
        facts, record = self._facts, self.record
        at = self._at + start * facts
        values: Sequence[Any] = struct.unpack_from(f"<{facts}{kind}", record, at + facts)
        known: Sequence[int] = ()
        if self._known_at:
            known = struct.unpack_from(f"<{facts}q", record, self._at + self._known_at * facts)
        if record.find(1, at, at + facts) < 0:
            return self.times, values, known
        present = [not null for null in record[at : at + facts]]
        return tuple(compress(self.times, present)), tuple(compress(values, present)), tuple(compress(known, present))


def _bad(length: int) -> StoreFormat:
    return StoreFormat("FS404", f"a record of {length} bytes is not one of format {COLUMNAR_FORMAT}",
                       hint="featurestore materialize --full")  # fmt: skip
