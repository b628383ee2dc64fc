"""Look at the sources as of an instant, for `freshness`: which of them, by which limits, and what if one cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from featurestore.errors import DataError, DefinitionError, StoreError, UnknownName, UsageError, nearest
from featurestore.intervals import parse_duration
from featurestore.monitoring import freshness
from featurestore.monitoring.arrivals import SourceFacts, ViewFacts, of_source

if TYPE_CHECKING:
    from featurestore.engines.duckdb import Settings
    from featurestore.monitoring.results import Result
    from featurestore.sources import SourceData

NO_FILE = "FS321"
"""A source that has no file yet has no row yet; unless a view was made of it, then they are gone."""


@dataclass(frozen=True)
class Looker:
    """source: a source's data by its name. watermarks: of the views that have one. now: the instant."""

    settings: Settings
    source: Callable[[str], SourceData]
    watermarks: Mapping[str, int]
    now: int

    def look(self, views: Mapping[str, str], sources: Sequence[str], limits: Mapping[str, int]) -> list[Result]:
        """The results of views {name: source} and of sources, those of the views among them."""
        found = {name: self._facts(name, [view for view, of in views.items() if of == name]) for name in sources}
        facts = {view.name: view for _, of in found.values() for view in of}
        return freshness.results([facts[name] for name in views], [source for source, _ in found.values()], self.now, limits)

    def _facts(self, name: str, views: Sequence[str]) -> tuple[SourceFacts, list[ViewFacts]]:
        from featurestore.engines.duckdb import Session

        watermarks = {view: self.watermarks.get(view) for view in views}
        try:
            with Session(self.settings) as session:
                return of_source(session, self.source(name), self.now, watermarks)
        except (DataError, DefinitionError, StoreError) as error:
            had_rows = any(at is not None for at in watermarks.values())
            trouble = "" if error.code == NO_FILE and not had_rows else str(error)
            unread = [ViewFacts(name=view, source=name, watermark=at) for view, at in watermarks.items()]
            return SourceFacts(name=name, trouble=trouble), unread


def chosen(names: Sequence[str], views: Mapping[str, str], sources: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The views and sources of these names, with a view its source; all without names. Raises: UnknownName FS101."""
    for name in names:
        if name not in views and name not in sources:
            known = [*views, *sources]
            raise UnknownName("FS101", f"no source {name!r}, nor a view kept online", known=known, hint=nearest(name, known))
    picked = {view: source for view, source in views.items() if not names or view in names}
    return picked, [s for s in sources if not names or s in names or s in picked.values()]


def checked(limits: Mapping[str, str], views: Collection[str], sources: Collection[str]) -> dict[str, int]:
    """`[monitor] freshness` in microseconds. Raises: UsageError FS107 for a name nobody has, or what is no duration."""
    known = ["*", *views, *sources]
    for name in limits:
        if name not in known:
            what = f"setting monitor.freshness: no source {name!r}, nor a view kept online"
            raise UsageError("FS107", what, where="featurestore.toml", known=known, hint=nearest(name, known))
    try:
        return {name: parse_duration(limit, what=f"monitor.freshness.{name}").micros for name, limit in limits.items()}
    except DefinitionError as error:
        raise UsageError("FS107", error.what, where="featurestore.toml", hint=error.hint) from None
