"""What the footers of Parquet files prove of a source's columns, so that nothing need be read to know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pyarrow.parquet as pq

from featurestore.sources.data import SourceData

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Extent:
    """A column's values over all rows. nulls: how many are NULL. times: instants in microseconds that occur, naive ones read
    as UTC, the least and the greatest among them. None: a footer does not say."""

    nulls: int | None
    times: tuple[int, ...] | None


def extents(data: SourceData, columns: Sequence[str]) -> dict[str, Extent]:
    """Column -> its extent. Nothing of a table from memory; nothing is said of a column with a dot in its name, which a
    footer tells from a nested one by nothing."""
    found: dict[str, list[Extent]] = {column: [] for column in columns}
    for part in data.parts:
        if part.stamp is None:
            return {}
        metadata = pq.read_metadata(part.stamp.path)
        places = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column, known in found.items():
                said = column in places and "." not in column
                if group.num_rows:
                    known.append(_extent(group.column(places[column]).statistics if said else None))
    return {column: _joined(known) for column, known in found.items()}


def _joined(extents: Sequence[Extent]) -> Extent:
    """Of all row groups: what one of them does not say is not known."""
    nulls = [e.nulls for e in extents if e.nulls is not None]
    times = [e.times for e in extents if e.times is not None]
    return Extent(
        sum(nulls) if len(nulls) == len(extents) else None,
        tuple(chain.from_iterable(times)) if len(times) == len(extents) else None,
    )


def _extent(statistics: Any) -> Extent:
    if statistics is None:
        return Extent(None, None)
    nulls = statistics.null_count if statistics.has_null_count else None
    if statistics.num_values == 0:
        return Extent(nulls, ())
    try:
        ends = [statistics.min, statistics.max] if statistics.has_min_max else []
    except (ValueError, OverflowError):  # beyond what a datetime holds
        ends = []
    times = tuple(_micros(end) for end in ends if isinstance(end, datetime))
    return Extent(nulls, times or None)


def _micros(time: datetime) -> int:
    return (time.replace(tzinfo=time.tzinfo or UTC) - _EPOCH) // _MICROSECOND
