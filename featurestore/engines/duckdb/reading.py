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
_FILENAME, _PATH, _VALUE = "__lies_in", "__path", "__value_of_"
MANY = 8
"""So many SELECTs over files are a statement that is quickly planned."""


def is_direct(part: Part, source: Source, columns: Sequence[str], types: Mapping[str, DType]) -> bool:
    """DuckDB may read the file as it lies. What it has not got (`direct_select`) is no hindrance."""
    return part.file is not None and lies_as_read(part, source, columns, types)


def lies_as_read(part: Part, source: Source, columns: Sequence[str], types: Mapping[str, DType]) -> bool:
    """The part's values need no conversion to be what facts are made of."""
    return all(_direct_column(part, source, c, types) for c in columns if c in part.schema.names)


def _direct_column(part: Part, source: Source, column: str, types: Mapping[str, DType]) -> bool:
    arrow = _lies(part, column).type
    if column in part.constants and pa.types.is_nested(arrow):
        return False
    if column in part.constants and pa.types.is_date32(arrow):
        return True
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


def layout(part: Part, columns: Sequence[str]) -> tuple[object, ...]:
    """What parts have in common that one SELECT reads with a table of their constants beside."""
    lies = [_lies(part, c) if c in part.schema.names and c not in part.constants else None for c in columns]
    return *(None if f is None else (f.name, f.type) for f in lies), *(c in part.constants for c in columns)


def constants(parts: Sequence[Part], data: SourceData, columns: Sequence[str], types: Mapping[str, DType]) -> pa.Table:
    """What the files of parts of one layout have in all of their rows, by the path of the file."""
    held = [c for c in columns if c in parts[0].constants]
    values = {f"{_VALUE}{c}": pa.chunked_array([_one(p, data.source, c, types) for p in parts]) for c in held}
    return pa.table({_PATH: [p.file.location for p in parts if p.file is not None], **values})


def _one(part: Part, source: Source, column: str, types: Mapping[str, DType]) -> pa.Array:
    """The one value of a column, read as a column of a file would be."""
    batch = pa.record_batch({column: pa.repeat(part.constants[column], 1)})
    schema = pa.schema([(column, target_type(source, column, types).arrow)])
    return normalised(batch, source, schema).column(0)


def is_numbered(part: Part) -> bool:
    """The engine can number the file's rows: by a column that it does not have."""
    return _NUMBER not in part.schema.names


def copied_select(path: Path, columns: Sequence[str], *, number: int | None = None) -> str:
    """SELECT over a copy, which is as wanted already."""
    return _select([quoted(c) for c in columns], [str(path)], number)


def _select(items: Sequence[str], paths: Sequence[str], number: int | None, beside: str = "") -> str:
    """SELECT over files; with the number of a part over that alone, told beside each row, and the row's number in it."""
    numbered = number is not None
    items = [*items, f"{number} AS {FILE}", f"{_NUMBER} AS {ROW}"] if numbered else items
    options = ["hive_partitioning = false", *([f"{_NUMBER} = true"] if numbered else [])]
    options += [f"filename = '{_FILENAME}'"] if beside else []
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"SELECT {', '.join(items) or '1'} FROM read_parquet([{files}], {', '.join(options)})" + (
        f" JOIN {quoted(beside)} ON {_FILENAME} = {_PATH}" if beside else ""
    )


def direct_select(
    paths: Sequence[str],
    part: Part,
    data: SourceData,
    columns: Sequence[str],
    types: Mapping[str, DType],
    needed: Needed = EVERYTHING,
    *,
    number: int | None = None,
    beside: str = "",
) -> str:
    """SELECT over files of one physical schema; naive times become instants of UTC. The arrival is NULL in files, and so is
    in pushed rows a column that the source did not have then; what files must have was checked before.

    Rows that are not needed are left out by a test of the column as it lies, so that footers tell which row groups hold none.
    beside: a relation of the files' constants (`constants`); without one, they are the same in all files.
    """
    items = []
    for column in columns:
        name = quoted(column)
        if column not in part.schema.names:
            items.append(f"CAST(NULL AS {sql_type(target_type(data.source, column, types))}) AS {name}")
            continue
        lies, arrow = _told(part, data.source, column, types, beside)
        if pa.types.is_timestamp(arrow) and arrow.tz is None:
            items.append(f"timezone('UTC', CAST({lies} AS TIMESTAMP)) AS {name}")
        elif column in part.constants or column in part.stored:
            items.append(f"CAST({lies} AS {sql_type(target_type(data.source, column, types))}) AS {name}")
        else:
            items.append(name)
    return _select(items, paths, number, beside) + _kept(part, data.source, needed, types, beside)


def _told(part: Part, source: Source, column: str, types: Mapping[str, DType], beside: str) -> tuple[str, pa.DataType]:
    """The column as the statement has it, and the type of that."""
    if column not in part.constants:
        return quoted(_lies(part, column).name), _lies(part, column).type
    target = target_type(source, column, types).arrow
    return quoted(f"{_VALUE}{column}") if beside else _constant(_one(part, source, column, types)[0]), target


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


def _kept(part: Part, source: Source, needed: Needed, types: Mapping[str, DType], beside: str) -> str:
    bounds = [
        (source.event_timestamp, ">=", needed.event_from),
        (source.event_timestamp, "<=", needed.event_to),
        (source.created_timestamp, "<=", needed.created_to),
    ]
    wanted = [bound for bound in bounds if bound[0] is not None and bound[2] is not None]
    tests = [_test(*_told(part, source, c, types, beside), sign, at) for c, sign, at in wanted if c is not None]
    return f" WHERE {' AND '.join(tests)}" if tests else ""


def _test(lies: str, arrow: pa.DataType, sign: str, at: int | None) -> str:
    instant = "make_timestamp" if arrow.tz is None else "make_timestamptz"
    return f"CAST({lies} AS TIMESTAMPTZ) {sign} {instant}({at})" if lies == "NULL" else f"{lies} {sign} {instant}({at})"


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
