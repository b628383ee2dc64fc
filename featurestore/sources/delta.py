"""Sources that are Delta tables: one version, and the Parquet files that its log says make it up.

The files are read by us, as those of any source. A table that says of itself that reading it takes more than that is refused by
name, before any row is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from featurestore.definitions import DeltaSource, Source
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.sources.delta_log import library, loaded, unsupported, version_at
from featurestore.sources.files import IdentityCache
from featurestore.sources.kind import Found, Kind, State, gone
from featurestore.sources.parquet import observed as files_observed
from featurestore.sources.reading import shared
from featurestore.sources.table_files import DataFile, anew, by_name, found, listed, named

READ = frozenset({"timestampNtz", "deletionVectors", "columnMapping"})
"""Reader features a table may name. Deletion vectors and column mapping are looked for, and refused where they are used."""


def _open(source: Source, root: Path) -> Found:
    assert isinstance(source, DeltaSource)
    path, where = named(source.path, root), source.place
    if source.version is None and source.as_of is None:  # the newest, and for all of one task the same
        table, _ = shared(("delta", path, root), lambda: loaded(path, None, root, where), lambda _: None)
        return _found(table, path, root, where)
    version = source.version if source.as_of is None else version_at(path, source.as_of, root, where)
    return _found(loaded(path, version, root, where), path, root, where)


def _reopen(source: Source, state: State, root: Path) -> Found:
    pin = _pin_in(state)
    if pin is None:
        raise gone(source.name, "of another kind of source")
    try:
        return _found(loaded(pin["delta"], pin["version"], root, source.place), pin["delta"], root, source.place)
    except FeatureStoreError as error:
        raise gone(_called(pin), f"not to be had any more ({error.code} {error.what})") from None


def _observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    pin, files = _pin_in(state), files_observed(source, state, root, identities)
    if pin is None:
        return files
    try:
        return [_pin(loaded(pin["delta"], pin["version"], root, ""), pin["delta"]), *files]
    except FeatureStoreError:
        return files


def _later(source: Source, state: State, root: Path) -> list[str]:
    pin = _pin_in(state)
    if pin is None:
        return []
    try:
        newest = _pin(loaded(pin["delta"], None, root, ""), pin["delta"])
    except FeatureStoreError:
        return []
    return [] if newest["version"] <= pin["version"] else [_called(newest)]


def _pin(table: Any, path: str) -> dict[str, Any]:
    return {"delta": path, "version": table.version(), "table": table.metadata().id}


def _pin_in(state: State) -> Mapping[str, Any] | None:
    return next((entry for entry in state if "delta" in entry), None)


def _called(pin: Mapping[str, Any]) -> str:
    return f"version {pin['version']} of {pin['delta']}"


def _found(table: Any, path: str, root: Path, where: str) -> Found:
    _check_features(table, path, where)
    schema, adds, pin = pa.schema(table.schema()), pa.table(table.get_add_actions()), _pin(table, path)
    names = [unquote(name) for name in adds["path"].to_pylist()]
    if any(name.startswith("/") or urlsplit(name).scheme for name in names):
        raise unsupported("is a shallow clone, made of files of another table", path, where)
    sizes = dict(zip((f"{path}/{name}" for name in names), adds["size_bytes"].to_pylist(), strict=True))
    partitions = _partitions(adds, schema, path, where)
    files = [DataFile(*pair) for pair in zip(listed(sizes, root, _called(pin), where), partitions, strict=True)]
    return found(path, schema, files, by_name(table.metadata().partition_columns), pin)


def _partitions(adds: pa.Table, schema: pa.Schema, path: str, where: str) -> list[dict[str, pa.Scalar]]:
    """Column -> value of each file, typed as the table says."""
    if "partition" not in adds.column_names:
        return [{} for _ in range(adds.num_rows)]
    held = adds["partition"].combine_chunks()
    columns = {field.name: held.field(i) for i, field in enumerate(held.type)}
    binary = next((name for name in columns if pa.types.is_binary(schema.field(name).type)), None)
    if binary is not None:
        raise unsupported(f"is partitioned by {binary!r}, a binary column that engines write in different ways", path, where)
    return [{name: values[i] for name, values in columns.items()} for i in range(adds.num_rows)]


def _check_features(table: Any, path: str, where: str) -> None:
    """Raises: SourceError FS370, FS371."""
    protocol, options = table.protocol(), table.metadata().configuration
    features = set(protocol.reader_features or ())
    mapping = options.get("delta.columnMapping.mode", "none")
    if mapping != "none":
        raise unsupported(f"maps its columns (delta.columnMapping.mode = {mapping})", path, where)
    if features - READ or protocol.min_reader_version > 3:
        told = f"feature {min(features - READ)}" if features - READ else f"version {protocol.min_reader_version}"
        raise unsupported(f"needs reader {told}", path, where)
    if "deletionVectors" in features and _has_deletion_vectors(table):
        what = f"Delta table {path} has deletion vectors: rows of its files are deleted, which is told beside the files"
        hint = "REORG TABLE … APPLY (PURGE) by the engine that writes it"
        raise SourceError("FS371", what, where=where, hint=hint)


def _has_deletion_vectors(table: Any) -> bool:
    try:
        return any(pa.record_batch(batch).num_rows for batch in table.deletion_vectors())
    except library("deltalake.exceptions").DeltaError:  # there are some that it cannot read
        return True


KIND = Kind(_open, _reopen, _observed, _later, partial(anew, "delta"))
