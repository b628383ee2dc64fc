"""Sources that are a table in memory: nothing tells whether it is the same another time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featurestore.definitions import ArrowSource, Source
from featurestore.errors import SourceError
from featurestore.sources.files import IdentityCache
from featurestore.sources.kind import Found, Kind, State
from featurestore.sources.parts import table_part


def _open(source: Source, root: Path) -> Found:
    assert isinstance(source, ArrowSource)
    return Found((table_part(source.name, source.table),))


def _reopen(source: Source, state: State, root: Path) -> Found:
    raise SourceError("FS335", f"source {source.name!r} is a table in memory: nothing tells whether it is the same as before")


def _observed(source: Source | None, state: State, root: Path, identities: IdentityCache) -> list[Mapping[str, Any]]:
    return []


KIND = Kind(_open, _reopen, _observed)
