"""A spine in pieces: its rows by number, as executors read them, one piece after the other or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.retrieval.spine import ROWS_AT_ONCE, Spine

MOST_PIECES = 4_096


@dataclass(frozen=True)
class Pieces:
    """Pieces of equal length, the last but shorter, of a spine that lies in a Parquet file."""

    path: Path
    schema: pa.Schema
    rows: int

    @property
    def count(self) -> int:
        return max(-(-self.rows // self.length), 1)

    @cached_property
    def length(self) -> int:
        """Rows of a piece: as many as are handled at once, or some times that."""
        return ROWS_AT_ONCE * max(-(-self.rows // (ROWS_AT_ONCE * MOST_PIECES)), 1)

    def piece(self, number: int, columns: Sequence[str] | None = None) -> Spine:
        """The rows of one piece, or some columns of them."""
        first = number * self.length
        names = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        table = _rows(self.path, schema, first, min(self.length, self.rows - first))
        return Spine(schema=schema, rows=table.num_rows, table=table, first=first)


def _rows(path: Path, schema: pa.Schema, first: int, count: int) -> pa.Table:
    """Rows of a Parquet file by number. Row groups that hold none of them are not read."""
    found, start, left = list[pa.Table](), 0, count
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.metadata.num_row_groups):
            held = file.metadata.row_group(group).num_rows
            if left and start + held > first:
                for table in _of_group(file, group, schema, first - start, left):
                    found.append(table)
                    left -= table.num_rows
                first = max(first, start + held)
            start += held
    return pa.concat_tables(found) if found else schema.empty_table()


def _of_group(file: pq.ParquetFile, group: int, schema: pa.Schema, skip: int, count: int) -> list[pa.Table]:
    """At most `count` rows of a row group, from row `skip` on; no more is held than is wanted."""
    found = list[pa.Table]()
    names = None if set(schema.names) == set(file.schema_arrow.names) else schema.names
    for batch in file.iter_batches(batch_size=65_536, row_groups=[group], columns=names):
        if not count:
            break
        rows = batch.slice(min(max(skip, 0), batch.num_rows), count)
        skip -= batch.num_rows
        if rows.num_rows:
            found.append(pa.Table.from_batches([rows]).select(schema.names).cast(schema))
            count -= rows.num_rows
    return found


def pieces_of(spine: Spine, folder: Path) -> Pieces:
    """The pieces of a spine; one in memory is first written into `folder`."""
    if spine.path is not None:
        return Pieces(spine.path.absolute(), spine.schema, spine.rows)
    path = folder / "spine.parquet"
    with pq.ParquetWriter(path, spine.schema, compression="zstd", compression_level=1) as writer:
        for table in spine.batches():
            writer.write_table(table)
    return Pieces(path, spine.schema, spine.rows)
