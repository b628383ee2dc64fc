"""Sources that are Parquet files: listed once, each with an identity that proves its content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurestore.definitions import ParquetSource, Source
from featurestore.errors import SourceError
from featurestore.sources.files import File, IdentityCache, expand, stamped
from featurestore.sources.kind import Found, Kind, State, gone
from featurestore.sources.parts import file_part


def _open(source: Source, root: Path) -> Found:
    return Found(tuple(file_part(file) for file in _listed(source, root)))


def _listed(source: Source, root: Path) -> tuple[File, ...]:
    assert isinstance(source, ParquetSource)
    return expand(source.path, root, where=source.place)


def _reopen(source: Source, state: State, root: Path) -> Found:
    return Found(tuple(file_part(recorded(entry, root)) for entry in state))


def recorded(entry: Mapping[str, Any], root: Path) -> File:
    """The file where it was recorded. One of another size needs no reading to be another. Raises: SourceError FS335."""
    file = _there(str(entry["path"]), root)
    if file is None:
        raise gone(str(entry["path"]), "gone")
    if file.size != entry["size"]:
        raise gone(file.name, "changed")
    return file


def _there(name: str, root: Path) -> File | None:
    try:
        return stamped(root / name, name)
    except OSError:
        return None


def observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    """Of recorded files those that are there, with the identities they have now."""
    files = [file for entry in state if "path" in entry and (file := _there(entry["path"], root)) is not None]
    return list(identities.identify(files))


def _later(source: Source, state: State, root: Path) -> list[str]:
    known = {entry["path"] for entry in state if "path" in entry}
    try:
        return [file.name for file in _listed(source, root) if file.name not in known]
    except SourceError:
        return []


KIND = Kind(_open, _reopen, observed, _later)
