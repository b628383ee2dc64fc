"""Sources that are Parquet files, on disks or in object stores: listed once, each with an identity that proves its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featurestore.definitions import ParquetSource, Source
from featurestore.definitions.source import is_url
from featurestore.errors import SourceError, StoreError
from featurestore.sources import objects
from featurestore.sources.files import File, IdentityCache, expand, stamped
from featurestore.sources.kind import Found, Kind, State, gone
from featurestore.sources.parts import file_part


def _open(source: Source, root: Path) -> Found:
    return Found(tuple(file_part(file) for file in objects.with_footers(_listed(source, root))))


def _listed(source: Source, root: Path) -> list[File]:
    """The files of all patterns, each once, sorted by name: those on disks, then those in object stores."""
    assert isinstance(source, ParquetSource)
    paths = [_local(path) for path in source.path]
    urls = [path for path in paths if is_url(path)]
    local = expand([path for path in paths if not is_url(path)], root, where=source.place)
    remote = {file.name: file for url in urls for file in objects.listed(url, where=source.place)}
    return [*local, *(remote[name] for name in sorted(remote))]


def _local(path: str) -> str:
    """The case of a scheme does not count, and file:// is a way to say where a file lies on a disk."""
    scheme, sign, place = path.partition("://") if is_url(path) else ("", "", path)
    return place if scheme.lower() == "file" else f"{scheme.lower()}{sign}{place}"


def _reopen(source: Source, state: State, root: Path) -> Found:
    return Found(tuple(file_part(file) for file in objects.with_footers(recorded(state, root))))


def recorded(state: State, root: Path) -> list[File]:
    """The files of a state, where they were recorded. One of another size needs no reading to be another.

    Raises: SourceError FS335; StoreError FS480, FS482, FS483.
    """
    entries = [entry for entry in state if "path" in entry]
    found = there([str(entry["path"]) for entry in entries], root)
    for entry, file in zip(entries, found, strict=True):
        if file is None or file.size != entry["size"]:
            raise gone(str(entry["path"]), "gone" if file is None else "changed")
    return [file for file in found if file is not None]


def there(names: Sequence[str], root: Path, reach: objects.Reach | None = None) -> list[File | None]:
    """The files of these names, None for one that is not there."""
    remote = [name for name in names if is_url(name)]
    found: dict[str, File | None] = dict(zip(remote, objects.all_recorded(remote, reach), strict=True))
    return [found[name] if name in found else _stamped(root / name, name) for name in names]


def _stamped(path: Path, name: str) -> File | None:
    try:
        return stamped(path, name)
    except OSError:
        return None


def observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    """Of recorded files those that are there, with the identities they have now."""
    names = [str(entry["path"]) for entry in state if "path" in entry]
    return list(identities.identify(file for file in there(names, root) if file is not None))


def _later(source: Source, state: State, root: Path) -> list[str]:
    known = {entry["path"] for entry in state if "path" in entry}
    try:
        return [file.name for file in _listed(source, root) if file.name not in known]
    except (SourceError, StoreError):
        return []


KIND = Kind(_open, _reopen, observed, _later)
