"""Sources that are Delta tables: one version, and the Parquet files that its log says make it up.

The log is read by deltalake; the files are read by us, as those of any source. A table that says of itself that reading it takes
more than that is refused by name, before any row is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from featurestore.definitions import DeltaSource, Source
from featurestore.errors import FeatureStoreError, SourceError, StoreError
from featurestore.intervals import format_instant
from featurestore.sources import remote
from featurestore.sources.files import File, IdentityCache
from featurestore.sources.kind import Found, Kind, State, gone
from featurestore.sources.parquet import observed as files_observed
from featurestore.sources.parquet import there
from featurestore.sources.table_files import DataFile, by_name, found
from featurestore.sources.without_secrets import plain

READ = frozenset({"timestampNtz", "deletionVectors", "columnMapping"})
"""Reader features a table may name. Deletion vectors and column mapping are looked for, and refused where they are used."""
_COMMIT = re.compile(r"(\d{20})\.json")


def _open(source: Source, root: Path) -> Found:
    assert isinstance(source, DeltaSource)
    version = source.version if source.as_of is None else _version_at(source, root, source.as_of)
    return _found(_loaded(source.path, version, root, source.place), source.path, root, source.place)


def _reopen(source: Source, state: State, root: Path) -> Found:
    pin = _pin_in(state)
    if pin is None:
        raise gone(source.name, "another kind of source")
    try:
        return _found(_loaded(pin["delta"], pin["version"], root, source.place), pin["delta"], root, source.place)
    except FeatureStoreError as error:
        raise gone(f"version {pin['version']} of {pin['delta']}", f"not to be read any more ({error.code} {error.what})") from None


def _observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    pin = _pin_in(state)
    files = files_observed(source, state, root, identities)
    if pin is None:
        return files
    try:
        return [_pin(_loaded(pin["delta"], pin["version"], root, ""), pin["delta"]), *files]
    except FeatureStoreError:
        return files


def _later(source: Source, state: State, root: Path) -> list[str]:
    pin = _pin_in(state)
    try:
        newest = None if pin is None else _loaded(pin["delta"], None, root, "").version()
    except FeatureStoreError:
        return []
    return [] if pin is None or newest == pin["version"] else [f"version {newest} of {pin['delta']}"]


def _pin_in(state: State) -> Mapping[str, Any] | None:
    return next((entry for entry in state if "delta" in entry), None)


def _pin(table: Any, path: str) -> dict[str, Any]:
    return {"delta": path, "version": table.version(), "table": table.metadata().id}


def _found(table: Any, path: str, root: Path, where: str) -> Found:
    _check_features(table, f"{where}: {path}" if where else path)
    schema, pin = pa.schema(table.schema()), _pin(table, path)
    files = [_file(add, path, root, pin["version"]) for add in pa.table(table.get_add_actions()).to_batches() for add in _rows(add)]
    return found(path, schema, files, by_name, pin)
