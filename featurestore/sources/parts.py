"""The kinds of parts that a source is made of: what its rows are read from, one beside the other.

    Part
    ├── FilePart      a Parquet file, on a disk or in an object store, and columns that are the same for all of its rows
    ├── TablePart     a table in memory
    ├── ScannedPart   rows that are had by reading only: inherit it, and say how
    └── PushedPart    rows that were pushed: a part of the first two kinds

Decides how columns of a part are read, and how one tells that it has changed since. Where parts come from is for
`sources.kinds`; what a column means for `sources.data`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import TIMESTAMP
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.sources.extent import Extent
from featurestore.sources.files import File, FileStamp
from featurestore.sources.push_segments import POSITION

BATCH_ROWS = 131_072


@dataclass(frozen=True)
class Part(ABC):
    """Rows of a source, with their physical schema. name: what errors and manifests call it."""

    name: str
    schema: pa.Schema
    rows: int

    @property
    def file(self) -> File | None:
        """The Parquet file that an engine may read in place of this part; None if rows are had by `read` only."""
        return None

    @property
    def files(self) -> tuple[File, ...]:
        """All files that tell what is in this part: their identities are its own."""
        return () if self.file is None else (self.file,)

    @property
    def constants(self) -> Mapping[str, pa.Scalar]:
        """Columns that are not in `file`, and what all of its rows have in them."""
        return {}

    @property
    def entry(self) -> Mapping[str, Any] | None:
        """What a source state says of this part where no files do; None: nothing tells whether it is the same."""
        return None

    @property
    def refused(self) -> Mapping[str, FeatureStoreError]:
        """Why columns that are in `schema` cannot be read, where that is known better than by their type."""
        return {}

    def extents(self, columns: Sequence[str]) -> Mapping[str, Extent] | None:
        """What is known of columns without reading rows, as footers know it of files; None: nothing."""
        return None

    @property
    def stored(self) -> Mapping[str, pa.Field]:
        """Columns that lie in `file` under another name, or in another type, which each value must be cast from."""
        return {}

    @property
    def narrows(self) -> bool:
        """Whether it is worth to ask `read` for no more rows than are needed, whatever footers say."""
        return False

    def check(self) -> None:
        """Raises: SourceError FS326 if the rows are, or may be, others than were listed."""
        for file in self.files:
            file.check()

    def read(
        self, columns: Sequence[str], batch_rows: int = BATCH_ROWS, needed: Needed = EVERYTHING
    ) -> Iterator[pa.RecordBatch]:
        """The rows of some columns, batch by batch, in an order that stays. Of rows that are not needed some or all may be
        left out. Page checksums are verified where files have them."""
        present = [c for c in columns if c != PUSHED_AT or c in self.schema.names]
        for batch in self._batches(present, batch_rows, needed):
            if len(present) == len(columns):
                yield batch
            else:  # the rows of files did not arrive by push
                arrays = [batch.column(c) if c in present else pa.nulls(batch.num_rows, TIMESTAMP.arrow) for c in columns]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    @abstractmethod
    def _batches(self, columns: Sequence[str], batch_rows: int, needed: Needed) -> Iterator[pa.RecordBatch]:
        """Batches of just these columns, all in `schema`, in the order given."""


@dataclass(frozen=True)
class FilePart(Part):
    """A Parquet file. fixed: columns beside its own, with the one value that all rows have (a partition's; NULL for a column
    that the file is older than); `schema` has them too. of_table: a table (Delta, Iceberg) says what `schema` is. lie: how
    columns lie in it that do not lie as `schema` says."""

    parquet: File
    fixed: Mapping[str, pa.Scalar] = field(default_factory=dict)
    of_table: bool = False
    lie: Mapping[str, pa.Field] = field(default_factory=dict)

    @property
    def file(self) -> File:
        return self.parquet

    @property
    def constants(self) -> Mapping[str, pa.Scalar]:
        return self.fixed

    @property
    def stored(self) -> Mapping[str, pa.Field]:
        return self.lie

    def in_file(self, columns: Sequence[str]) -> list[str]:
        """Of some columns those that the file has, by their names in it."""
        return [self.lie[c].name if c in self.lie else c for c in columns if c not in self.fixed]

    def _batches(self, columns: Sequence[str], batch_rows: int, needed: Needed) -> Iterator[pa.RecordBatch]:
        own = self.in_file(columns)
        as_it_lies = len(own) == len(columns) and not any(c in self.lie for c in columns)
        with opened(self.parquet, of_table=self.of_table) as file:
            groups = [None] if isinstance(self.parquet, FileStamp) else [[i] for i in range(file.num_row_groups)]
            for some in groups:  # of a remote file the next ones are not fetched before they are asked for
                for batch in file.iter_batches(batch_size=batch_rows, row_groups=some, columns=own):
                    yield batch if as_it_lies else self._as_told(batch, columns)

    def _as_told(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """The batch with the columns that are the same in all rows, and those that lie otherwise."""
        n, arrays = batch.num_rows, []
        for column in columns:
            if column in self.fixed:
                arrays.append(pa.repeat(self.fixed[column], n))
            else:
                (name,) = self.in_file([column])
                arrays.append(_cast(batch.column(name), self.schema.field(column).type))
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([self.schema.field(c) for c in columns]))


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Times without a zone are instants; digits beyond microseconds, which a table has none of, are left out."""
    if pa.types.is_timestamp(column.type):
        column = pc.floor_temporal(column, unit="microsecond") if column.type.unit == "ns" else column
    return column.cast(wanted)


@dataclass(frozen=True)
class TablePart(Part):
    """A table in memory."""

    table: pa.Table

    def _batches(self, columns: Sequence[str], batch_rows: int, needed: Needed) -> Iterator[pa.RecordBatch]:
        yield from self.table.select(columns).to_batches(max_chunksize=batch_rows)


@dataclass(frozen=True)
class ScannedPart(Part):
    """Rows that are had by reading only, such as those of a database or of a table with deletes. Inherit it: give `_batches`,
    `entry` or `files` if something tells whether the rows are the same another time, `check` where they can change meanwhile.
    """

    @property
    def refused(self) -> Mapping[str, FeatureStoreError]:
        """Why columns that are in `schema` cannot be read, where that is known better than by their type."""
        return {}

    def extents(self, columns: Sequence[str]) -> Mapping[str, Extent] | None:
        """What is known of columns without reading rows, as footers know it of files; None: nothing."""
        return None

    @property
    def narrows(self) -> bool:
        return True


@dataclass(frozen=True)
class PushedPart(Part):
    """Rows that were pushed, of positions `first` to `last`: a table, or a Parquet file they were compacted into.

    Times in it are instants, however the source's files write them. A column that the source did not have when they were
    pushed is NULL in them.
    """

    kept: Part
    first: int = 0
    last: int = 0

    @property
    def file(self) -> File | None:
        return self.kept.file

    def read(
        self, columns: Sequence[str], batch_rows: int = BATCH_ROWS, needed: Needed = EVERYTHING
    ) -> Iterator[pa.RecordBatch]:
        present = [c for c in columns if c in self.schema.names]
        for batch in self._batches(list(dict.fromkeys([*present, POSITION])), batch_rows, needed):
            arrays = [batch.column(c) if c in present else pa.nulls(batch.num_rows) for c in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _batches(self, columns: Sequence[str], batch_rows: int, needed: Needed) -> Iterator[pa.RecordBatch]:
        yield from self.kept._batches(columns, batch_rows, needed)

    def after(self, position: int) -> PushedPart:
        return self if self.first > position else self._where(pc.greater, position)

    def before(self, position: int) -> PushedPart:
        return self if self.last <= position else self._where(pc.less_equal, position)

    def _where(self, compare: Callable[[Any, int], Any], position: int) -> PushedPart:
        """The rows on one side of a position; without any, a part of no rows."""
        table = pa.Table.from_batches(list(self.read(self.schema.names)), schema=self.schema)
        return pushed_table(table.filter(compare(table[POSITION], position)), self.name)


def pushed_table(table: pa.Table, name: str = "") -> PushedPart:
    """Pushed rows that are in memory. name: of a table without rows."""
    first, last = (table[POSITION][i].as_py() for i in (0, table.num_rows - 1)) if table.num_rows else (0, 0)
    name = f"push log, positions {first} to {last}" if table.num_rows else name
    return PushedPart(name, table.schema, table.num_rows, table_part(name, table), first, last)


def pushed_file(file: File, first: int = 0, last: int = 0) -> PushedPart:
    """Pushed rows that are in a Parquet file. Raises: SourceError FS325."""
    part = file_part(file)
    return PushedPart(part.name, part.schema, part.rows, part, first, last)


def table_part(name: str, table: pa.Table) -> TablePart:
    return TablePart(name, table.schema, table.num_rows, table)


def file_part(file: File, fixed: Mapping[str, pa.Scalar] | None = None) -> FilePart:
    """A part of a file, whose footer is read. Raises: SourceError FS325 if it is not Parquet."""
    with unreadable(file.name), pq.ParquetFile(file.footer()) as parquet:
        schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
    fixed = dict(fixed or {})
    own = [f for f in schema if f.name not in fixed]
    both = pa.schema([*own, *(pa.field(name, value.type) for name, value in fixed.items())], schema.metadata)
    return FilePart(file.name, both if fixed else schema, rows, file, fixed)


@contextmanager
def opened(file: File, *, of_table: bool = False) -> Iterator[pq.ParquetFile]:
    """A file's rows, with page checksums verified. of_table: the oldest writing of times (INT96) holds microseconds, as
    all times of a table do. Raises: pa.ArrowException, OSError."""
    remote = not isinstance(file, FileStamp)
    metadata = pq.read_metadata(file.footer()) if remote else None
    options = {"coerce_int96_timestamp_unit": "us"} if of_table else {}
    with (
        file.opened() as content,
        pq.ParquetFile(content, metadata=metadata, page_checksum_verification=True, pre_buffer=remote, **options) as parquet,
    ):
        yield parquet


@contextmanager
def unreadable(name: str) -> Iterator[None]:
    """Raises: SourceError FS325 for what Arrow cannot make sense of."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        hint = "write the file again"
        raise SourceError("FS325", f"cannot be read as Parquet: {reason}", where=name, hint=hint) from error


__all__ = ["FilePart", "Part", "PushedPart", "ScannedPart", "TablePart", "file_part", "opened", "pushed_file", "pushed_table"]
