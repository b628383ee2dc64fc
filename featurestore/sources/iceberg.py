"""Sources that are Iceberg tables: one snapshot, read by one schema, and the Parquet files that its manifests list.

A column is what its field id says, not its name: the file of a column that was renamed holds it under the old one, and a file
that has a column of the new name may hold another column there. The files are read by us, as those of any source; a table that
says of itself that reading it takes more than that is refused by name, before any row is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.definitions import IcebergSource, Source
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.sources.files import IdentityCache
from featurestore.sources.iceberg_table import library, loaded, reach, reading, snapshot_at, snapshot_of
from featurestore.sources.kind import Found, Kind, State, gone
from featurestore.sources.parquet import there
from featurestore.sources.reading import shared
from featurestore.sources.table_files import DataFile, Find, anew, found, listed, named

_ID = b"PARQUET:field_id"


def _open(source: Source, root: Path) -> Found:
    assert isinstance(source, IcebergSource)
    name, where = _name(source.table, source.catalog), source.place
    load = partial(loaded, source.table, source.catalog, where)
    table, _ = shared(("iceberg", name), load, lambda _: None)  # for all of one task the same
    if source.snapshot is not None:
        snapshot = snapshot_of(table, source.snapshot, name, where)
    elif source.as_of is not None:
        snapshot = snapshot_at(table, source.as_of, name, where)
    else:
        return _found(table, _pin(source, table, table.current_snapshot(), table.schema().schema_id), root, where)
    return _found(table, _pin(source, table, snapshot, _schema_of(snapshot, table)), root, where)


def _schema_of(snapshot: Any, table: Any) -> int:
    """The schema a snapshot was written with: the past is read as it was."""
    return int(table.schema().schema_id if snapshot.schema_id is None else snapshot.schema_id)


def _reopen(source: Source, state: State, root: Path) -> Found:
    pin = _pin_in(state)
    if pin is None:
        raise gone(source.name, "of another kind of source")
    try:
        table = loaded(pin["iceberg"], pin["catalog"], source.place)
        if str(table.metadata.table_uuid) != pin["table"]:
            raise SourceError("FS369", "there is another table of that name", where=source.place)
        return _found(table, pin, root, source.place)
    except FeatureStoreError as error:
        raise gone(_called(pin), f"not to be had any more ({error.code} {error.what})") from None


def _observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    pin = _pin_in(state)
    try:
        table = None if pin is None else loaded(pin["iceberg"], pin["catalog"], "")
    except FeatureStoreError:
        table = None
    names = [str(entry["path"]) for entry in state if "path" in entry]
    found = there(names, root, None if table is None else reach(table))
    files = list[Mapping[str, Any]](identities.identify(file for file in found if file is not None))
    if pin is None or table is None:
        return files
    here = pin["snapshot"] is None or table.snapshot_by_id(pin["snapshot"]) is not None
    return [{**pin, "table": str(table.metadata.table_uuid)}, *files] if here else files


def _later(source: Source, state: State, root: Path) -> list[str]:
    pin = _pin_in(state)
    try:
        newest = None if pin is None else loaded(pin["iceberg"], pin["catalog"], "").current_snapshot()
    except FeatureStoreError:
        return []
    if pin is None or newest is None or newest.snapshot_id == pin["snapshot"]:
        return []
    return [_called({**pin, "snapshot": newest.snapshot_id})]


def _name(table: str, catalog: str) -> str:
    return f"{catalog}.{table}"


def _pin(source: IcebergSource, table: Any, snapshot: Any, schema: int) -> dict[str, Any]:
    return {
        "iceberg": source.table, "catalog": source.catalog, "snapshot": None if snapshot is None else snapshot.snapshot_id,
        "schema": schema, "table": str(table.metadata.table_uuid),
    }  # fmt: skip


def _pin_in(state: State) -> Mapping[str, Any] | None:
    return next((entry for entry in state if "iceberg" in entry), None)


def _called(pin: Mapping[str, Any]) -> str:
    return f"snapshot {pin['snapshot']} of {_name(pin['iceberg'], pin['catalog'])}"


# What a snapshot is made of.


def _found(table: Any, pin: Mapping[str, Any], root: Path, where: str) -> Found:
    name = _name(pin["iceberg"], pin["catalog"])
    if pin["schema"] not in table.schemas():
        raise SourceError("FS369", f"Iceberg table {name} has no schema {pin['schema']}", where=where)
    schema = table.schemas()[pin["schema"]]
    entries = [] if pin["snapshot"] is None else _entries(table, snapshot_of(table, pin["snapshot"], name, where), pin, where)
    sizes = {named(entry.data_file.file_path, root): entry.data_file.file_size_in_bytes for entry in entries}
    told = _arrow(schema)
    files = [
        DataFile(file, _partition(table, entry.data_file, schema, told))
        for file, entry in zip(listed(sizes, root, _called(pin), where, reach(table)), entries, strict=True)
    ]
    return found(name, told, files, _by_id(table, schema), pin)


def _arrow(schema: Any) -> pa.Schema:
    return library("io.pyarrow").schema_to_pyarrow(schema, include_field_ids=False)


def _entries(table: Any, snapshot: Any, pin: Mapping[str, Any], where: str) -> list[Any]:
    """The data files of a snapshot. Raises: SourceError FS368, FS371 (deletes), FS372 (not Parquet)."""
    manifest = library("manifest")
    name, entries = _name(pin["iceberg"], pin["catalog"]), []
    with reading(name, pin["catalog"], where):
        for one in snapshot.manifests(table.io):
            for entry in one.fetch_manifest_entry(table.io, discard_deleted=True):
                if entry.data_file.content != manifest.DataFileContent.DATA:
                    raise _with_deletes(entry.data_file.content.name.replace("_", " ").lower(), name, where)
                if entry.data_file.file_format != manifest.FileFormat.PARQUET:
                    what = f"Iceberg table {name} has data files of format {entry.data_file.file_format.value}: Parquet is read"
                    raise SourceError("FS372", what, where=where, hint="rewrite it with write.format.default=parquet")
                entries.append(entry)
    return entries


def _with_deletes(kind: str, name: str, where: str) -> SourceError:
    what = f"Iceberg table {name} has {kind}: rows of its files are deleted, which is told beside the files"
    return SourceError("FS371", what, where=where, hint="CALL system.rewrite_data_files, with delete-file-threshold 1")


def _partition(table: Any, data_file: Any, schema: Any, told: pa.Schema) -> dict[str, pa.Scalar]:
    """Column -> the value of all rows of a file, of columns by which the file's own partitioning cuts as they are."""
    identity = library("transforms").IdentityTransform
    values = {}
    for i, field in enumerate(table.specs()[data_file.spec_id].fields):
        column = schema.find_column_name(field.source_id)
        if isinstance(field.transform, identity) and column in told.names:
            values[column] = _scalar(data_file.partition[i], told.field(column).type)
    return values


def _scalar(value: Any, arrow: pa.DataType) -> pa.Scalar:
    """Times are told as numbers."""
    counted = type(value) is int and (pa.types.is_date32(arrow) or pa.types.is_timestamp(arrow))
    if counted:
        return pa.scalar(value, pa.int32() if pa.types.is_date32(arrow) else pa.int64()).cast(arrow)
    return pa.scalar(value, arrow)


def _by_id(table: Any, schema: Any) -> Find:
    """Which column of a file has the field id of a column; a file without ids is read by the table's name mapping."""
    ids = {field.name: field.field_id for field in schema.fields}
    mapping = table.name_mapping()
    mapped = {} if mapping is None else {name: one.field_id for one in mapping.root for name in one.names}

    def find(own: pa.Schema, column: pa.Field) -> pa.Field | None:
        told = {int(f.metadata[_ID]): f for f in own if f.metadata and _ID in f.metadata}
        if not told and not mapped:
            what = "a file of the table tells no field ids, and the table has no name mapping"
            raise SourceError("FS372", what, hint="set schema.name-mapping.default, or write the file by an Iceberg engine")
        return (told or {mapped[f.name]: f for f in own if f.name in mapped}).get(ids[column.name])

    return find


KIND = Kind(_open, _reopen, _observed, _later, partial(anew, "iceberg"))
