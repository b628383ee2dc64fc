"""The rows of a source that were set aside, kept in one Parquet file per source for those who mend them.

Whole rows, as their files have them, each with its file, its number in it (from 0) and the reasons. The file tells the last
look at the source: it takes the place of the one before, all or nothing, and is gone where no row is set aside. It is written
of the sources' own files, which hold all that is in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore import atomic
from featurestore.sources.data import SourceData
from featurestore.sources.parts import Part, opened

FORMAT = 1
MOST = 1_000_000
"""Rows that are kept, the first in the order of files; the counts are of all."""
FILE, ROW, REASON = "__file", "__row", "__reason"
_METADATA = b"featurestore"
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Aside:
    """The rows of a part that are set aside: numbers, in order, and why each is."""

    part: Part
    rows: pa.Array
    reasons: pa.Array


def state_of(data: SourceData, expected: Sequence[str]) -> str:
    """One name for the rows of a source and what is expected of them; "" where files cannot tell (a table from memory)."""
    return hashlib.sha256(json.dumps([data.look, list(expected)]).encode()).hexdigest() if data.look else ""


def is_of(path: Path, state: str) -> bool:
    """Whether the file there was written of that state."""
    try:
        told = json.loads((pq.read_schema(path).metadata or {})[_METADATA])
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return False
    return bool(state) and told == {"format": FORMAT, "state": state}


def write(path: Path, found: Sequence[Aside], state: str) -> None:
    """Write the rows. Raises: StoreError FS405, FS407; the file that was there then stands."""
    schema = _schema([one.part.schema for one in found]).with_metadata({_METADATA: _told(state)})
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.sweep(path)
    written = atomic.aside(path)
    with atomic.disk_errors(path), atomic.removed_on_error(written):
        with pq.ParquetWriter(written, schema, compression="zstd") as writer:
            for batch in _batches(found, schema):
                writer.write_batch(batch)
        atomic.commit(written, path)


def remove(path: Path) -> None:
    """No row is set aside."""
    atomic.sweep(path)
    path.unlink(missing_ok=True)


def _told(state: str) -> bytes:
    return json.dumps({"format": FORMAT, "state": state}).encode()


def _schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """The columns of all files; one that is of different types in them is text."""
    types: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            types[field.name] = kind if types.get(field.name, kind) == kind else pa.string()
    return pa.schema([(FILE, pa.string()), (ROW, pa.int64()), (REASON, pa.string()), *types.items()])


def _batches(found: Sequence[Aside], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for one in found:
        for start, rows in _read(one.part, one.rows):
            mine = pc.and_(pc.greater_equal(one.rows, start), pc.less(one.rows, start + rows.num_rows))
            numbers, reasons = one.rows.filter(mine), one.reasons.filter(mine)
            if len(numbers):
                yield _batch(one.part.name, numbers, reasons, rows.take(pc.subtract(numbers, start)), schema)


def _batch(name: str, numbers: pa.Array, reasons: pa.Array, rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    own = {FILE: pa.repeat(pa.scalar(name), len(numbers)), ROW: numbers.cast(pa.int64()), REASON: reasons.cast(pa.string())}
    columns = [own[f.name] if f.name in own else _column(rows, f) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(rows: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in rows.schema.names:
        return pa.nulls(rows.num_rows, field.type)
    column = rows.column(field.name)
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if column.type == field.type:
        return column
    return pa.array([None if value is None else str(value) for value in column.to_pylist()], field.type)


def _read(part: Part, wanted: pa.Array) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of the first row, rows), of the row groups with a wanted row."""
    if part.file is None or part.constants:
        start = 0
        for batch in part.read(part.schema.names, _ROWS_AT_ONCE):
            yield start, batch
            start += batch.num_rows
        return
    with opened(part.file) as file:
        start = 0
        for number in range(file.num_row_groups):
            end = start + file.metadata.row_group(number).num_rows
            if pc.any(pc.and_(pc.greater_equal(wanted, start), pc.less(wanted, end))).as_py():
                at = start
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[number]):
                    yield at, batch
                    at += batch.num_rows
            start = end


__all__ = ["FILE", "FORMAT", "MOST", "REASON", "ROW", "Aside", "is_of", "remove", "state_of", "write"]
