"""Bring the parts of a source to one spelling that Spark reads alike: times with a zone, one type per column.

Parquet files that Spark may read as they lie are read by itself, with a schema that is told. All others (nanoseconds, dates,
integers and text as time, zones, half floats; files in object stores) are read by Arrow on the executors, row group by row
group, and times by the very function that other engines use. What is no file (a table in memory, rows of a database) is first
written as Parquet into the work folder, some rows at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.compiler.facts import FILE, ROW
from featurestore.compiler.spark import quoted, sql_type
from featurestore.compiler.spark.scalars import text
from featurestore.definitions import ArrowSource, Source
from featurestore.dtypes import DType, from_arrow
from featurestore.engines.duckdb.reading import columns_bound, copy, is_direct, normalised, physical, target_type
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.sources import Part, SourceData
from featurestore.sources.files import FileStamp
from featurestore.sources.parts import FilePart, opened, unreadable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def relation(
    spark: SparkSession, data: SourceData, columns: Sequence[str], types: Mapping[str, DType], needed: Needed,
    path: Callable[[], Path],
) -> DataFrame:  # fmt: skip
    """The rows of a source: its columns, and where rows were pushed the arrival of each. path: gives a place for a copy."""
    columns = columns_bound(data, columns)
    groups, read, copies = dict[tuple[object, ...], list[Part]](), list[Part](), list[Path]()
    for part in data.parts:
        if part.file is None:
            copies.append(path())
            copy(part, data, columns, types, copies[-1], needed)
        elif is_read_by_spark(part, data.source, columns, types):
            groups.setdefault(physical(part, columns), []).append(part)
        else:
            read.append(part)
    wanted = {c: target_type(data.source, c, types) for c in columns}
    frames = [_direct(spark, parts, data.source, wanted) for parts in groups.values()]
    if copies:
        frames.append(files(spark, [str(p) for p in copies], {c: sql_type(t) for c, t in wanted.items()}))
    if read:
        frames.append(_by_arrow(spark, read, data.source, wanted))
    if not frames:
        schema = ", ".join(f"{quoted(c)} {sql_type(t)}" for c, t in wanted.items())
        return spark.createDataFrame([], schema)
    return _kept(reduce(lambda a, b: a.unionByName(b), frames), data.source, needed)


def is_read_by_spark(part: Part, source: Source, columns: Sequence[str], types: Mapping[str, DType]) -> bool:
    """Spark may read the file as it lies: on a disk, and columns by their own names. Names of files that begin with _ or . it
    takes for hidden, and does not read."""
    file = part.file
    if not isinstance(file, FileStamp) or file.path.name.startswith(("_", ".")) or getattr(part, "stored", None):
        return False
    present = [c for c in columns if c in part.schema.names]
    return is_direct(part, source, columns, types) and all(_is_plain(part, c) for c in present)


def _is_plain(part: Part, column: str) -> bool:
    arrow = part.schema.field(column).type
    return _plain(arrow) and not (column in part.constants and pa.types.is_timestamp(arrow))


def _plain(arrow: pa.DataType) -> bool:
    """What Spark reads as we do: of lists no times, whose zone is the source's to say."""
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return not pa.types.is_timestamp(arrow.value_type) and _plain(arrow.value_type)
    return not (pa.types.is_date64(arrow) or pa.types.is_float16(arrow))


def _direct(spark: SparkSession, parts: Sequence[Part], source: Source, wanted: Mapping[str, DType]) -> DataFrame:
    """Files of one physical schema. What they have not got is NULL: what they must have was checked before."""
    first = parts[0]
    fields = {c: first.schema.field(c).type for c in wanted if c in first.schema.names and c not in first.constants}
    stored = {c: "TIMESTAMP_NTZ" if _is_naive(kind) else sql_type(from_arrow(kind)) for c, kind in fields.items()}
    paths = [str(p.file.path.absolute()) for p in parts if isinstance(p.file, FileStamp)]
    lies = {c: quoted(c) for c in stored} | {c: _constant(value) for c, value in first.constants.items()}
    items = [f"CAST({lies.get(c, 'NULL')} AS {sql_type(t)}) AS {quoted(c)}" for c, t in wanted.items()]
    return files(spark, paths, stored).selectExpr(*items)


def _constant(value: pa.Scalar) -> str:
    """What all rows of a file have in a column that it does not hold, for Spark to cast."""
    if not value.is_valid:
        return "NULL"
    if pa.types.is_binary(value.type) or pa.types.is_large_binary(value.type):
        return f"X'{value.as_py().hex()}'"
    return text(str(value.as_py()))


def _is_naive(arrow: pa.DataType) -> bool:
    return pa.types.is_timestamp(arrow) and arrow.tz is None


def files(spark: SparkSession, paths: Sequence[str], columns: Mapping[str, str]) -> DataFrame:
    """Parquet files read with a schema that is told: nothing in their paths is a column, or a pattern."""
    schema = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    reader = spark.read.option("recursiveFileLookup", "true")
    return (reader.schema(schema) if columns else reader).parquet(*map(_literal_path, paths))


def _literal_path(path: str) -> str:
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


@dataclass(frozen=True)
class Piece:
    """A row group of a part (None: all of it). number: of the part in its source; first: the number of its first row."""

    part: Part
    group: int | None
    number: int
    first: int = 0


def _with_numbers(rows: pa.RecordBatch, piece: Piece, done: int) -> pa.RecordBatch:
    first = piece.first + done
    file = pa.repeat(pa.scalar(piece.number, pa.int64()), rows.num_rows)
    own = [file, pa.arange(first, first + rows.num_rows)]
    return pa.RecordBatch.from_arrays([*rows.columns, *own], names=[*rows.schema.names, FILE, ROW])


def _readable(part: Part, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Raises: SourceError FS325, on an executor: `failures.translated` reads it from what Spark tells of that."""
    with unreadable(part.name):
        yield from batches


@dataclass(frozen=True)
class _Groups:
    """What executors read by Arrow. numbered: with FILE and ROW beside each row."""

    pieces: tuple[Piece, ...]
    source: Source
    columns: tuple[str, ...]
    schema: pa.Schema
    numbered: bool = False

    def run(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                piece, done = self.pieces[number], 0
                for read in _readable(piece.part, self._read(piece.part, piece.group)):
                    rows = for_spark(normalised(read, self.source, self.schema))
                    yield _with_numbers(rows, piece, done) if self.numbered else rows
                    done += read.num_rows

    def _read(self, part: Part, group: int | None) -> Iterator[pa.RecordBatch]:
        if group is None or part.file is None:
            yield from part.read(self.columns)
            return
        present = [c for c in self.columns if c in part.schema.names]
        with opened(part.file) as file:
            for batch in file.iter_batches(row_groups=[group], columns=present):
                arrays = [
                    batch.column(c) if c in present else pa.nulls(batch.num_rows, self.schema.field(c).type)
                    for c in self.columns
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=list(self.columns))


def _by_arrow(spark: SparkSession, parts: Sequence[Part], source: Source, wanted: Mapping[str, DType]) -> DataFrame:
    pieces = tuple(piece for number, part in enumerate(parts) for piece in _pieces(part, number))
    return _read_by(spark, pieces, source, wanted)


def _read_by(
    spark: SparkSession, pieces: tuple[Piece, ...], source: Source, wanted: Mapping[str, DType], *, numbers: bool = False
) -> DataFrame:
    schema = pa.schema([(c, t.arrow) for c, t in wanted.items()])
    groups = _Groups(pieces, source, tuple(wanted), schema, numbers)
    told = [f"{quoted(c)} {sql_type(t)}" for c, t in wanted.items()]
    told += [f"{quoted(c)} BIGINT" for c in (FILE, ROW)] if numbers else []
    return spark.range(0, len(pieces), 1, max(len(pieces), 1)).mapInArrow(groups.run, ", ".join(told))


def _pieces(part: Part, number: int) -> Iterator[Piece]:
    if type(part) is not FilePart or part.constants or getattr(part, "stored", None):
        yield Piece(part, None, number)
        return
    first = 0
    with pq.ParquetFile(part.file.footer()) as file:
        for group in range(file.metadata.num_row_groups):
            yield Piece(part, group, number, first)
            first += file.metadata.row_group(group).num_rows


def numbered(spark: SparkSession, data: SourceData, columns: Sequence[str], types: Mapping[str, DType]) -> DataFrame:
    """The rows of a source, each with the number of its part, and its own number in that."""
    columns = columns_bound(data, columns)
    wanted = {c: target_type(data.source, c, types) for c in columns}
    pieces = tuple(piece for number, part in enumerate(data.parts) for piece in _pieces(part, number))
    source = data.source
    if isinstance(source, ArrowSource):  # its table goes to executors once, as the part
        source = replace(source, table=source.table.schema.empty_table())
    return _read_by(spark, pieces, source, wanted, numbers=True)


def for_spark(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch in types that Spark takes from Arrow: it has no unsigned integers."""
    arrays = [column.cast(_signed(column.type)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


_SIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}


def _signed(arrow: pa.DataType) -> pa.DataType:
    if pa.types.is_list(arrow):
        return pa.list_(_signed(arrow.value_type))
    return _SIGNED.get(arrow, arrow)


def _kept(frame: DataFrame, source: Source, needed: Needed) -> DataFrame:
    if needed == EVERYTHING:
        return frame
    bounds: list[tuple[str | None, str, int | None]] = [
        (source.event_timestamp, ">=", needed.event_from),
        (source.event_timestamp, "<=", needed.event_to),
        (source.created_timestamp, "<=", needed.created_to),
    ]
    tests = [f"unix_micros({quoted(c)}) {sign} {at}" for c, sign, at in bounds if c is not None and at is not None]
    return frame.where(" AND ".join(tests)) if tests else frame
