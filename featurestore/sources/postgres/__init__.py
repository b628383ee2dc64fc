"""Sources that are tables, views or queries of PostgreSQL: read in one snapshot, of which a digest tells whether they are the
same another time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurestore.definitions import PostgresSource, Source
from featurestore.sources.files import IdentityCache
from featurestore.sources.kind import Found, Kind, State
from featurestore.sources.postgres.address import address
from featurestore.sources.postgres.snapshot import snapshot_of
from featurestore.sources.postgres.table import opened


def _open(source: Source, root: Path) -> Found:
    assert isinstance(source, PostgresSource)
    place = source.place
    there = address(source.url, place)
    return Found((opened(source, lambda: snapshot_of(there, place)),))


def _reopen(source: Source, state: State, root: Path) -> Found:
    return _open(source, root)


def _observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    return [] if source is None else [dict(part.entry) for part in _open(source, root).parts if part.entry is not None]


KIND = Kind(_open, _reopen, _observed)
