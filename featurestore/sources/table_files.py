"""Files of a table (Delta, Iceberg) as parts of a source: every column of the table, however a file holds it.

Decides how a column that a table knows is had from one of its files: as it lies there, under another name, in a narrower type
that became wider, as the one value of the file's partition, or as NULL in a file that is older than the column. Which files
there are, and where a table says a column lies, is for `sources.delta` and `sources.iceberg`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.definitions.source import is_url
from featurestore.dtypes import from_arrow
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.sources import objects
from featurestore.sources.files import File
from featurestore.sources.kind import Found, State
from featurestore.sources.parquet import there
from featurestore.sources.parts import FilePart, Part, table_part, unreadable

_FOOTERS_AT_ONCE = 8
_LOCAL = re.compile(r"^file:(//[^/]*)?(?=/)")
_HADOOP = re.compile(r"^s3[an]://")
Find = Callable[[pa.Schema, pa.Field], pa.Field | None]
"""Which column of a file holds a column of the table; None: none does."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table. constants: what the table says that all of its rows have in columns that are not in it."""

    file: File
    constants: Mapping[str, pa.Scalar] = field(default_factory=dict)


def found(name: str, schema: pa.Schema, files: Sequence[DataFile], find: Find, pin: Mapping[str, Any]) -> Found:
    """The files as parts, by name; a table without rows is one part without rows, which tells its columns.

    Raises: SourceError FS325, FS372 (a file that does not hold what the table says).
    """
    files = sorted(files, key=lambda one: one.file.name)
    with_footers = [replace(d, file=f) for d, f in zip(files, objects.with_footers(d.file for d in files), strict=True)]
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        parts: list[Part] = list(pool.map(lambda one: _part(one, schema, find), with_footers))
    return Found(tuple(parts) or (table_part(name, schema.empty_table()),), (pin,))


def anew(kind: str, was: State, now: State) -> str:
    """Why rows of an earlier state cannot be told from those here by their files: a pin's version or snapshot may be another,
    all else of it may not."""
    before, here = (next((entry for entry in state if kind in entry), None) for state in (was, now))
    if before is None or here is None:
        return "another kind of source was read in the last run"
    if before["table"] != here["table"]:
        return f"{here[kind]} is another table than in the last run"
    return f"the columns of {here[kind]} are not those of the last run" if before.get("schema") != here.get("schema") else ""


def named(path: str, root: Path) -> str:
    """A place as manifests call it: a URL, or relative to the project with forward slashes. A table that tells its paths whole
    does not escape them."""
    path = _LOCAL.sub("", _HADOOP.sub("s3://", path))
    return path.rstrip("/") if is_url(path) else os.path.relpath(root / path, root).replace(os.sep, "/")


def listed(sizes: Mapping[str, int], root: Path, called: str, where: str, reach: objects.Reach | None = None) -> list[File]:
    """The files of these names and sizes, as they are now. called: the version they make up.

    Raises: SourceError FS368 for one that is gone, or of another size; StoreError FS480, FS482, FS483.
    """
    files = []
    for (name, size), file in zip(sizes.items(), there(list(sizes), root, reach), strict=True):
        if file is None or file.size != size:
            is_what = "gone: it was removed (VACUUM)" if file is None else "of another size than its log says"
            hint = f"a newer version, or restore the file ({where})"
            raise SourceError("FS368", f"a file of {called} is {is_what}", where=name, hint=hint)
        files.append(file)
    return files


def _part(data: DataFile, schema: pa.Schema, find: Find) -> FilePart:
    name, fixed, lie, fields = data.file.name, dict[str, pa.Scalar](), dict[str, pa.Field](), []
    with unreadable(name), pq.ParquetFile(data.file.footer(), coerce_int96_timestamp_unit="us") as parquet:
        own, rows = parquet.schema_arrow, parquet.metadata.num_rows
    for column in schema:
        lies = _found(own, column, find, name)
        if lies is None:
            fixed[column.name] = data.constants.get(column.name, pa.scalar(None, column.type))
        elif lies.name != column.name or not _alike(lies.type, column.type):
            lie[column.name] = lies
        told = column if lies is None or column.name in lie else lies
        fields.append(pa.field(column.name, told.type))
    return FilePart(name, pa.schema(fields), rows, data.file, fixed=fixed, of_table=True, lie=lie)


def _found(own: pa.Schema, column: pa.Field, find: Find, where: str) -> pa.Field | None:
    """Where a column lies in a file, if each of its values there is one of the table's type. Raises: SourceError FS372."""
    try:
        lies = find(own, column)
    except SourceError as error:
        raise error.at(where) from None
    if lies is None or _folded(column.type) is None:
        return lies
    if not _alike(lies.type, column.type) and not _widens(lies.type, column.type):
        what = f"column {column.name!r} is {column.type} in the table and {lies.type} in a file of it"
        raise SourceError("FS372", what, where=where, hint="rewrite the file by a tool that knows the table")
    return lies


def _alike(lies: pa.DataType, wanted: pa.DataType) -> bool:
    """One meaning, told alike: nothing need be done when it is read."""
    if pa.types.is_timestamp(lies) and pa.types.is_timestamp(wanted):
        return (lies.tz is None) == (wanted.tz is None)
    return bool(_folded(lies) == _folded(wanted))


def _widens(lies: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_timestamp(lies) and pa.types.is_timestamp(wanted):  # INT96 has no zone; in a table it is an instant
        return bool(lies.tz is None)
    if pa.types.is_list(lies) and (pa.types.is_list(wanted) or pa.types.is_large_list(wanted)):
        return _alike(lies.value_type, wanted.value_type) or _widens(lies.value_type, wanted.value_type)
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


def by_name(besides: Sequence[str]) -> Find:
    """Where names say what is what. besides: columns that files do not tell, even if they hold them. Case does not count,
    unless two columns of a file differ in nothing else."""

    def find(own: pa.Schema, column: pa.Field) -> pa.Field | None:
        if column.name in besides:
            return None
        if column.name in own.names:
            return own.field(column.name)
        like = [f for f in own if f.name.lower() == column.name.lower()]
        return like[0] if len(like) == 1 else None

    return find
