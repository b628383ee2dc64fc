"""A source as one Parquet file of our own, so that its rows can be changed without touching anybody's files.

Times in it are instants, as in pushed rows; each row also tells from which part of the source it comes, and which row of it
it is. How a column of times is read is `sources.times`' decision; what is done to the rows is for others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import DType
from featurestore.engines.duckdb.reading import columns_bound, normalised, target_type
from featurestore.registry import BoundFacts
from featurestore.sources import PushedPart, SourceData
from featurestore.sources.files import stamped
from featurestore.sources.parts import pushed_file

PART, ROW = "__part", "__row"
"""Beside the columns of a rewritten source: the number of the part a row comes from, and its number in it, both from 0."""


def rewrite(data: SourceData, columns: Mapping[str, DType], path: Path) -> PushedPart:
    """Write some columns of a source to `path`, batch by batch. Raises: SourceError FS322 to FS324."""
    data.check(list(columns))
    names = columns_bound(data, list(columns))
    own = pa.schema([(name, target_type(data.source, name, columns).arrow) for name in names])
    schema = own.append(pa.field(PART, pa.int32())).append(pa.field(ROW, pa.int64()))
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for number, part in enumerate(data.parts):
            done = 0
            for batch in part.read(names):
                read = normalised(batch, data.source, own)
                place = [pa.repeat(pa.scalar(number, pa.int32()), batch.num_rows), pa.arange(done, done + batch.num_rows)]
                writer.write_batch(pa.RecordBatch.from_arrays([*read.columns, *place], schema=schema))
                done += batch.num_rows
    return part_of(path)


def part_of(path: Path) -> PushedPart:
    """A file written by us as a part of a source: its times are instants, as those of pushed rows are."""
    return pushed_file(stamped(path, path.name))


def columns_read(views: Sequence[BoundFacts]) -> dict[str, DType]:
    """What views of one source read of it, and the types."""
    return {column: bound.types[column] for bound in views for column in bound.view.columns}


__all__ = ["PART", "PUSHED_AT", "ROW", "columns_read", "part_of", "rewrite"]
