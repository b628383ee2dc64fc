"""Which cells of two training sets differ, bit by bit: value, status and event time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.truth import bits, stored

BESIDE = ("", "__status", "__event_timestamp")
"""What a cell is made of: its value, and what stands beside it."""
_BITS = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}


def moved(before: pa.Table, after: pa.Table, features: Iterable[str]) -> dict[str, list[int]]:
    """Feature -> the rows in which it differs; those that do not differ are absent."""
    found = {}
    for feature in features:
        columns = [f"{feature}{beside}" for beside in BESIDE if f"{feature}{beside}" in after.column_names]
        rows = {row for column in columns for row in _unequal(before[column], after[column])}
        if rows:
            found[feature] = sorted(rows)
    return found


def _unequal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> list[int]:
    if one.type != other.type or pa.types.is_nested(one.type):
        pairs = zip(map(bits, stored(one)), map(bits, stored(other)), strict=True)
        return [row for row, (a, b) in enumerate(pairs) if a != b]
    a, b = _plain(one), _plain(other)
    if a.equals(b):
        return []
    nulls = pc.xor(a.is_null(), b.is_null())
    differ = pc.or_(pc.fill_null(pc.not_equal(a, b), False), nulls)
    return pc.indices_nonzero(differ).to_pylist()  # type: ignore[no-any-return]


def _plain(column: pa.ChunkedArray) -> Any:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    return array.view(_BITS[array.type]) if array.type in _BITS else array


__all__ = ["BESIDE", "moved"]
