"""A spine in pieces: its rows by number, as executors read them, one piece after the other or many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.retrieval.spine import ROWS_AT_ONCE, Spine, reading
from featurestore.sources.folders import ParquetTable

MOST_PIECES = 4_096


@dataclass(frozen=True)
class Pieces:
    """Pieces of so many rows, the last one shorter, of a spine that lies in Parquet."""

    path: Path
    schema: pa.Schema
    rows: int
    length: int

    @property
    def count(self) -> int:
        return max(-(-self.rows // self.length), 1)

    def piece(self, number: int, columns: Sequence[str] | None = None) -> Spine:
        """The rows of one piece, or some columns of them."""
        first = number * self.length
        names = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        table = _rows(self.path, schema, first, min(self.length, self.rows - first))
        return Spine(schema=schema, rows=table.num_rows, table=table, first=first)


def _rows(path: Path, schema: pa.Schema, first: int, count: int) -> pa.Table:
    """Rows of a Parquet table by number. Row groups that hold none of them are not read."""
    found, start, left = list[pa.Table](), 0, count
    with reading(path), ParquetTable(path, page_checksum_verification=True) as file:
        names = None if set(schema.names) == set(file.schema_arrow.names) else schema.names
        for name, group, held in file.groups:
            if left and start + held > first:
                batches = file.of_group(name, group, 65_536, names)
                for rows in _some(batches, first - start, left):
                    found.append(pa.Table.from_batches([rows]).select(schema.names).cast(schema))
                    left -= rows.num_rows
                first = max(first, start + held)
            start += held
    return pa.concat_tables(found) if found else schema.empty_table()


def _some(batches: Iterator[pa.RecordBatch], skip: int, count: int) -> Iterator[pa.RecordBatch]:
    """At most `count` rows, from row `skip` on."""
    for batch in batches:
        rows = batch.slice(min(max(skip, 0), batch.num_rows), count)
        skip -= batch.num_rows
        count -= rows.num_rows
        if rows.num_rows:
            yield rows
        if not count:
            return


def _length(rows: int) -> int:
    """Rows of a piece: as many as are handled at once, or some times that."""
    return ROWS_AT_ONCE * max(-(-rows // (ROWS_AT_ONCE * MOST_PIECES)), 1)


def pieces_of(spine: Spine, folder: Path) -> Pieces:
    """The pieces of a spine; one in memory is first written into `folder`."""
    if spine.path is not None:
        return Pieces(spine.path.absolute(), spine.schema, spine.rows, _length(spine.rows))
    path = folder / "spine.parquet"
    with pq.ParquetWriter(path, spine.schema, compression="zstd", compression_level=1) as writer:
        for table in spine.batches():
            writer.write_table(table)
    return Pieces(path, spine.schema, spine.rows, _length(spine.rows))
