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
from featurestore.sources.postgres.table import opened


def _open(source: Source, root: Path) -> Found:
    assert isinstance(source, PostgresSource)
    return Found((opened(source, address(source.url, source.place)),))


def _reopen(source: Source, state: State, root: Path) -> Found:
    return _open(source, root)


def _observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    return [] if source is None else [dict(part.entry) for part in _open(source, root).parts if part.entry is not None]


def _anew(was: State, now: State) -> str:
    """Rows that were added cannot be told from rows that were changed: only those that are all the same can be followed."""
    same = [dict(entry) for entry in was] == [dict(entry) for entry in now]
    return "" if same else f"{now[0]['postgres']} is not as it was in the last run, which tells no new rows from changed ones"


KIND = Kind(_open, _reopen, _observed, anew=_anew)
