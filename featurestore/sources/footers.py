"""What the footers of Parquet files prove of a source's columns, so that nothing need be read to know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.sources.data import SourceData
from featurestore.sources.extent import Extent
from featurestore.sources.parts import Part

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def extents(data: SourceData, columns: Sequence[str]) -> dict[str, Extent]:
    """Column -> its extent. Nothing of a table from memory; nothing is said of a column with a dot in its name, which a
    footer tells from a nested one by nothing."""
    found: dict[str, list[Extent]] = {column: [] for column in columns}
    if any(part.file is None and part.extents(()) is None for part in data.parts):
        return {}
    for group in _groups(data.parts, columns):
        for column, extent in group.items():
            found[column].append(extent)
    return {column: _joined(known) for column, known in found.items()}


def group_ends(parts: Sequence[Part], columns: Sequence[str]) -> Iterator[list[tuple[int, ...]]]:
    """Of each row group of files the ends of some columns: () where a footer does not say."""
    for group in _groups(parts, columns):
        yield [group[column].ends or () for column in columns]


def extents_of(part: Part, metadata: Any, columns: Sequence[str]) -> Iterator[list[tuple[int, ...]]]:
    """Of each row group of a part, whose footer that is, the ends of some columns: () where it does not say."""
    for group in _groups_of(part, metadata, columns):
        yield [group[column].ends or () for column in columns]


def _groups(parts: Sequence[Part], columns: Sequence[str]) -> Iterator[dict[str, Extent]]:
    """Column -> its extent, of each row group with rows."""
    for part in parts:
        if part.file is None:
            if (told := part.extents(columns)) is not None and part.rows:
                yield dict(told)
            continue
        metadata = pq.read_metadata(part.file.footer())
        groups = _groups_of(part, metadata, columns)
        yield from (group for i, group in enumerate(groups) if metadata.row_group(i).num_rows)


def _groups_of(part: Part, metadata: Any, columns: Sequence[str]) -> Iterator[dict[str, Extent]]:
    fixed = {c: _fixed(value) for c, value in part.constants.items() if c in columns}
    places = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    lies = {c: part.stored[c].name if c in part.stored else c for c in columns}
    said = {c: name in places and "." not in name for c, name in lies.items()}
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        own = {c: _extent(group.column(places[lies[c]]).statistics if said[c] else None) for c in columns}
        yield {**own, **{c: extent(group.num_rows) for c, extent in fixed.items()}}


def _fixed(value: pa.Scalar) -> Callable[[int], Extent]:
    """The extent of a column of so many rows that all have one value."""
    if not value.is_valid:
        return lambda rows: Extent(rows, ())
    held = value.as_py()
    whole = _micros(held) if isinstance(held, datetime) else held
    return lambda rows: Extent(0, (whole, whole) if type(whole) is int else None)


def _joined(extents: Sequence[Extent]) -> Extent:
    """Of all row groups: what one of them does not say is not known."""
    nulls = [e.nulls for e in extents if e.nulls is not None]
    ends = [e.ends for e in extents if e.ends is not None]
    return Extent(
        sum(nulls) if len(nulls) == len(extents) else None,
        tuple(chain.from_iterable(ends)) if len(ends) == len(extents) else None,
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
    whole = [_micros(end) if isinstance(end, datetime) else end for end in ends]
    return Extent(nulls, tuple(end for end in whole if type(end) is int) or None)


def _micros(time: datetime) -> int:
    return (time.replace(tzinfo=time.tzinfo or UTC) - _EPOCH) // _MICROSECOND
