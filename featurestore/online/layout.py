"""Which of the three layouts the records of a table have, and reading one whichever it is.

Keys with many facts have an indexed record (`indexed`), others one in columns (`columnar`), or, where a measure has no fixed
width or there are no windows, one that lists entries (`records`). What all have in common is what `Facts` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from featurestore.dtypes import INT64, DType
from featurestore.online.columnar import COLUMNAR_FORMAT, ColumnarCodec, Columns
from featurestore.online.indexed import INDEXED_FORMAT, Indexed
from featurestore.online.records import IN_REACH, Entry, RecordCodec


class Listed:
    """A record of entries: facts in reach of windows one by one, with the same measures as `Columns`."""

    __slots__ = ("_entries", "_first", "_known", "exact_until")

    def __init__(self, exact_until: int, entries: list[Entry], first: int, known: int | None) -> None:
        self.exact_until, self._first, self._known = exact_until, first, known
        self._entries = entries

    def measure(self, number: int) -> tuple[Sequence[int], Sequence[Any], Sequence[int]]:
        """As `Columns.measure`."""
        column, known = self._first + number, self._known
        some = [e for e in self._entries if e[2][column] is not None]
        return [e[1] for e in some], [e[2][column] for e in some], [] if known is None else [e[2][known] for e in some]


Facts = Listed | Columns | Indexed
"""What windows are computed over."""


class Layout:
    """The records of one table.

    Args: latest: the types of the latest values. measures: those of what windows aggregate. known: whether known times are
        kept beside them.
    """

    def __init__(self, latest: Sequence[DType], measures: Sequence[DType], *, known: bool) -> None:
        self._latest, self._known = len(latest), known
        self._width = len(latest) + len(measures)
        self.entries = RecordCodec(latest)
        self.listed = RecordCodec([*latest, *measures, *([INT64] if known else [])])
        self.columnar = ColumnarCodec(measures, known=known) if ColumnarCodec.serves(measures) else None

    def read(self, record: bytes | memoryview) -> tuple[list[Entry], Facts]:
        """(entries of the latest values, by kind and event time; the facts in reach of windows). Raises: StoreFormat."""
        if record and record[0] == INDEXED_FORMAT:
            index = Indexed(record)
            return self.entries.entries(index.entries, 0, len(index.entries)), index
        if record and record[0] == COLUMNAR_FORMAT and self.columnar is not None:
            columns = self.columnar.decode(bytes(record))
            return self.entries.entries(columns.record, columns.entries_from, columns.entries_to), columns
        exact_until, entries = self.listed.decode(bytes(record))
        in_reach = [e for e in entries if e[0] == IN_REACH]
        known = self._width if self._known else None
        if self._width > self._latest:
            entries = [(flag, e, values[: self._latest]) for flag, e, values in entries if flag != IN_REACH]
        return entries, Listed(exact_until, in_reach, self._latest, known)

    def entry_bytes(self, kinds: pa.Array, events: pa.Array, latest: Sequence[pa.Array]) -> bytes:
        """Some entries of latest values, end to end."""
        return b"".join(self.entries.encode_entries(kinds, events, latest).to_pylist())


__all__ = ["Columns", "Facts", "Indexed", "Layout", "Listed"]
