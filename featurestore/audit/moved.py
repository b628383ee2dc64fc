"""Which cells of two training sets differ, bit by bit: value, status and event time."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.cells import differing, plain

BESIDE = ("", "__status", "__event_timestamp")
"""What a cell is made of: its value, and what stands beside it."""


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
    return pc.indices_nonzero(differing(plain(one), plain(other))).to_pylist()  # type: ignore[no-any-return]


__all__ = ["BESIDE", "moved"]
