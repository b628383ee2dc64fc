"""Files of a table (Delta, Iceberg) as parts of a source: every column of the table, however a file holds it.

Decides how a column that a table knows is had from one of its files: as it lies there, under another name, in a narrower type
that became wider, as the one value of the file's partition, or as NULL in a file that is older than the column. Which files
there are, and where a table says a column lies, is for `sources.delta` and `sources.iceberg`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.dtypes import from_arrow
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.sources.files import File
from featurestore.sources.kind import Found
from featurestore.sources.parts import FilePart, Part, opened, table_part, unreadable

_FOOTERS_AT_ONCE = 8
Find = Callable[[pa.Schema, pa.Field], pa.Field | None]
"""Which column of a file holds a column of the table; None: none does."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table. constants: what the table says that all of its rows have in some columns."""

    file: File
    constants: Mapping[str, pa.Scalar] = field(default_factory=dict)


def found(name: str, schema: pa.Schema, files: Sequence[DataFile], find: Find, pin: Mapping[str, Any]) -> Found:
    """The files as parts, by name; a table without rows is one part without rows, which tells its columns.

    Raises: SourceError FS325, FS372 (a file that does not hold what the table says).
    """
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        parts: list[Part] = list(pool.map(lambda one: _part(one, schema, find), sorted(files, key=lambda one: one.file.name)))
    return Found(tuple(parts) or (table_part(name, schema.empty_table()),), (pin,))


def _part(data: DataFile, schema: pa.Schema, find: Find) -> FilePart:
    with unreadable(data.file.name), opened(data.file, of_table=True) as parquet:
        own, rows = parquet.schema_arrow, parquet.metadata.num_rows
    fixed, stored, fields = dict(data.constants), dict[str, pa.Field](), []
    for column in schema:
        lies = None if column.name in fixed else find(own, column)
        if lies is None:
            fixed.setdefault(column.name, pa.scalar(None, column.type))
            fields.append(pa.field(column.name, fixed[column.name].type))
        elif lies.name == column.name and _alike(lies.type, column.type):
            fields.append(pa.field(column.name, lies.type))
        else:
            stored[column.name] = pa.field(lies.name, _held(lies, column, data.file.name))
            fields.append(pa.field(column.name, column.type))
    return FilePart(data.file.name, pa.schema(fields), rows, data.file, fixed=fixed, stored=stored)


def _alike(lies: pa.DataType, wanted: pa.DataType) -> bool:
    """One meaning, told alike: nothing need be done when it is read."""
    if pa.types.is_timestamp(lies) and pa.types.is_timestamp(wanted):
        return (lies.tz is None) == (wanted.tz is None)
    return _folded(lies) == _folded(wanted)


def _held(lies: pa.Field, column: pa.Field, where: str) -> pa.DataType:
    """The type in the file, if each of its values is one of the table's. Raises: SourceError FS372."""
    usable = _folded(column.type) is not None
    if usable and not _alike(lies.type, column.type) and not _widens(lies.type, column.type):
        what = f"column {column.name!r} is {column.type} in the table and {lies.type} in a file of it"
        raise SourceError("FS372", what, where=where, hint="rewrite the file by a tool that knows the table")
    return lies.type


def _widens(lies: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_timestamp(lies) and pa.types.is_timestamp(wanted):  # INT96 has no zone; in a table it is an instant
        return lies.tz is None
    if pa.types.is_signed_integer(lies) and pa.types.is_signed_integer(wanted):
        return bool(lies.bit_width <= wanted.bit_width)
    if pa.types.is_floating(lies) and pa.types.is_floating(wanted):
        return bool(lies.bit_width <= wanted.bit_width)
    if pa.types.is_decimal(lies) and pa.types.is_decimal(wanted):
        return bool(lies.scale == wanted.scale and lies.precision <= wanted.precision)
    return False


def _folded(arrow: pa.DataType) -> Any:
    try:
        return from_arrow(arrow)
    except FeatureStoreError:
        return None


def by_name(own: pa.Schema, column: pa.Field) -> pa.Field | None:
    """Where names say what is what. Case does not count, unless two columns differ in nothing else."""
    if column.name in own.names:
        return own.field(column.name)
    like = [f for f in own if f.name.lower() == column.name.lower()]
    return like[0] if len(like) == 1 else None
