"""A catalogue for tests, of entries that no registry made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from featurestore.catalogue import Entry
from featurestore.catalogue.kept import FORMAT


def document_of(entries: Iterable[Entry]) -> dict[str, Any]:
    """A document of entries, as the store gives them back."""
    return {"format": FORMAT, "entries": [{f.name: _plain(getattr(e, f.name)) for f in fields(Entry)} for e in entries]}


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(map(list, value)) if isinstance(value, tuple) else value
