"""Bring the parts of a source to one spelling that DuckDB reads alike: times with a zone, one type per column.

Files whose times are aware, or naive in UTC, in milliseconds or microseconds, are read as they are. All others (dates,
integers and text as time, nanoseconds, other zones, half floats) are copied once, batch by batch, into a temporary
Parquet file in which `sources.times` has read the times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.compiler.duckdb import quoted, sql_type
from featurestore.compiler.duckdb.facts import FILE, ROW
from featurestore.definitions import Source
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import TIMESTAMP, DType, decoded
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.sources import Part, SourceData
from featurestore.sources.times import source_reading, to_micros

_NUMBER = "file_row_number"


def is_direct(part: Part, source: Source, columns: Sequence[str], types: Mapping[str, DType]) -> bool:
    """DuckDB may read the file as it lies. What it has not got (`direct_select`) is no hindrance."""
    return part.file is not None and lies_as_read(part, source, columns, types)


def lies_as_read(part: Part, source: Source, columns: Sequence[str], types: Mapping[str, DType]) -> bool:
    """The part's values need no conversion to be what facts are made of."""
    return all(_direct_column(part, source, c, types) for c in columns if c in part.schema.names)


def _direct_column(part: Part, source: Source, column: str, types: Mapping[str, DType]) -> bool:
    arrow = _lies(part, column).type
    if column in part.constants and (column in source.time_columns or pa.types.is_nested(arrow)):
        return False
    if pa.types.is_timestamp(arrow):
        return arrow.unit in ("ms", "us", "s") and (arrow.tz is not None or source.zone_of(column) == "UTC")
    return column not in source.time_columns and not _holds_half(arrow) and not pa.types.is_date64(arrow)


def _holds_half(arrow: pa.DataType) -> bool:
    return pa.types.is_float16(arrow) or (pa.types.is_list(arrow) and _holds_half(arrow.value_type))


def columns_bound(data: SourceData, columns: Sequence[str]) -> Sequence[str]:
    """The columns of the relation: beside those asked for the arrival, where rows of the source were pushed."""
    return columns if data.pushed is None else [*columns, PUSHED_AT]


def _lies(part: Part, column: str) -> pa.Field:
    """Name and type of a column in the part's file."""
    return part.stored[column] if column in part.stored else part.schema.field(column)


def physical(part: Part, columns: Sequence[str]) -> tuple[object, ...]:
    """What parts that one SELECT reads have in common."""
    lies = [_lies(part, c) if c in part.schema.names else None for c in columns]
    types = [None if field is None else (field.name, field.type) for field in lies]
    return *types, *((c, value) for c, value in part.constants.items() if c in columns)


def is_numbered(part: Part) -> bool:
    """The engine can number the file's rows: by a column that it does not have."""
    return _NUMBER not in part.schema.names


def copied_select(path: Path, columns: Sequence[str], *, number: int | None = None) -> str:
    """SELECT over a copy, which is as wanted already."""
    return _select([quoted(c) for c in columns], [str(path)], number)


def _select(items: Sequence[str], paths: Sequence[str], number: int | None) -> str:
    """SELECT over files; with the number of a part over that alone, told beside each row, and the row's number in it."""
    numbered = number is not None
    items = [*items, f"{number} AS {FILE}", f"{_NUMBER} AS {ROW}"] if numbered else items
    options = ["hive_partitioning = false", *([f"{_NUMBER} = true"] if numbered else [])]
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"SELECT {', '.join(items) or '1'} FROM read_parquet([{files}], {', '.join(options)})"


def direct_select(
    paths: Sequence[str],
    part: Part,
    data: SourceData,
    columns: Sequence[str],
    types: Mapping[str, DType],
    needed: Needed = EVERYTHING,
    *,
    number: int | None = None,
) -> str:
    """SELECT over files of one physical schema; naive times become instants of UTC. The arrival is NULL in files, and so is
    in pushed rows a column that the source did not have then; what files must have was checked before.

    Rows that are not needed are left out by a test of the column as it lies, so that footers tell which row groups hold none.
    """
    items = []
    for column in columns:
        name = quoted(column)
        if column not in part.schema.names:
            items.append(f"CAST(NULL AS {sql_type(target_type(data.source, column, types))}) AS {name}")
            continue
        arrow = _lies(part, column).type
        lies = _constant(part.constants[column]) if column in part.constants else quoted(_lies(part, column).name)
        if pa.types.is_timestamp(arrow) and arrow.tz is None:
            items.append(f"timezone('UTC', CAST({lies} AS TIMESTAMP)) AS {name}")
        elif column in part.constants or column in part.stored:
            items.append(f"CAST({lies} AS {sql_type(target_type(data.source, column, types))}) AS {name}")
        else:
            items.append(name)
    return _select(items, paths, number) + _kept(part, data.source, needed)


def _constant(value: pa.Scalar) -> str:
    """What all rows of a file have in a column that it does not hold, for the engine to cast."""
    if not value.is_valid:
        return "NULL"
    if pa.types.is_timestamp(value.type):
        instant = "make_timestamp" if value.type.tz is None else "make_timestamptz"
        return f"{instant}({value.cast(pa.timestamp('us', value.type.tz)).value})"
    if pa.types.is_binary(value.type) or pa.types.is_large_binary(value.type):
        return f"from_hex('{value.as_py().hex()}')"
    return "'" + str(value.as_py()).replace("'", "''") + "'"


def _kept(part: Part, source: Source, needed: Needed) -> str:
    bounds = [
        (source.event_timestamp, ">=", needed.event_from),
        (source.event_timestamp, "<=", needed.event_to),
        (source.created_timestamp, "<=", needed.created_to),
    ]
    tests = [_test(part, column, sign, at) for column, sign, at in bounds if column is not None and at is not None]
    return f" WHERE {' AND '.join(tests)}" if tests else ""


def _test(part: Part, column: str, sign: str, at: int) -> str:
    lies = _lies(part, column)
    instant = "make_timestamp" if lies.type.tz is None else "make_timestamptz"
    return f"{quoted(lies.name)} {sign} {instant}({at})"


def copy(
    part: Part, data: SourceData, columns: Sequence[str], types: Mapping[str, DType], path: Path, needed: Needed = EVERYTHING
) -> None:
    """Write the part's columns to `path` with times read and types folded; memory stays that of a batch. Of rows that are not
    needed some or all may be left out."""
    schema = pa.schema([(c, target_type(data.source, c, types).arrow) for c in columns])
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for batch in part.read(columns, needed=needed):
            writer.write_batch(normalised(batch, data.source, schema))


def target_type(source: Source, column: str, types: Mapping[str, DType]) -> DType:
    return TIMESTAMP if column in (*source.time_columns, PUSHED_AT) else types[column]


def normalised(batch: pa.RecordBatch, source: Source, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in `schema`: columns of time as instants in microseconds UTC, all else cast without loss."""
    arrays = []
    for field in schema:
        column = batch.column(field.name)
        if pa.types.is_null(column.type):
            arrays.append(pa.nulls(batch.num_rows, field.type))
        elif pa.types.is_timestamp(field.type):
            arrays.append(to_micros(column, source_reading(source, field.name)).cast(field.type))
        else:
            arrays.append(decoded(column).cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
