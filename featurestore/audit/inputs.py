"""What a training set was built from, found again: files, push logs, the spine, and definitions as they are now.

Decides what of it is as the manifest says, everything hashed afresh, and names what is not. What follows from it is the
business of `rebuild`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.audit.change import Change, Document
from featurestore.audit.changes import changes
from featurestore.definitions import FeatureService, Source
from featurestore.dtypes import DType, parse_dtype
from featurestore.engines.duckdb import Settings
from featurestore.errors import DataError, FeatureStoreError, SourceError, StoreError, shorten
from featurestore.registry import BoundService, Registry, bind_label, bind_service, bind_view
from featurestore.retrieval.manifest import Recorded, definitions, versions
from featurestore.retrieval.spine import Fetched, content_identity, open_spine
from featurestore.sources import IdentityCache, SourceData, folders, open_source, parquet, reopen_source
from featurestore.sources.files import sha256
from featurestore.sources.kinds import kind_of
from featurestore.sources.push_log import read_log

_NAMED = 3
"""Files that came later and are named one by one."""
_CONTENT_SINCE = 2
"""The format of manifests that know a spine from memory by its content."""


@dataclass(frozen=True)
class Project:
    """What a rebuild needs of a project: definitions, where their files and push logs lie, what the engine may use."""

    registry: Registry
    folder: Path
    settings: Settings
    push_folder: Callable[[str], Path | None]


INPUTS = ("source_file", "push_log", "source", "spine")
"""Changes after which nothing can be built as it was."""


class Inputs:
    """What the manifest names, found again.

    whole: all of it is as it was, and there is a service to ask: then `service`, `spine` and `data`, the sources by name, can
    be built from. changed: what is not as it was. notes: what is no change, and good to know. spine: where it lies.
    identities: what files hold, hashed just now.
    """

    def __init__(self, project: Project, recorded: Recorded, spine: Path | None) -> None:
        self._project, self._document = project, recorded.document
        self.changed: list[Change] = []
        self.notes: list[str] = []
        self.data: dict[str, SourceData] = {}
        self.identities = IdentityCache(None)  # remembers nothing from before: a flipped bit may keep size and time
        self._service: FeatureService | None = self._defined(self._document["service"])
        observed = {name: self._observed(name, state) for name, state in self._document["sources"].items()}
        self._found = {"sources": observed, "versions": versions(), "engine": "duckdb"}
        self.spine = self._find_spine(recorded, spine)
        self.service = self._bound(observed)
        self.changed += changes(self._document, {**self._document, **self._found})
        self.whole = self.service is not None and not any(change.what in INPUTS for change in self.changed)

    def _defined(self, name: str) -> FeatureService | None:
        defined = self._project.registry.services.get(name)
        if defined is None:
            self.changed.append(Change("definition", f"feature service {name}", "gone", name, None))
        return defined

    # Sources.

    def _observed(self, name: str, state: Any) -> Any:
        """What there is now of a recorded state, in its form: files that came later do not count."""
        source = self._project.registry.sources.get(name)
        if state == "memory":
            said = "a table in memory when the set was built; nothing tells whether it is the same"
            self.changed.append(Change("source", f"source {name}", said, "memory", None))
            return state
        own, folder = [entry for entry in state if "push_log" not in entry], self._project.folder
        kind = parquet.KIND if source is None else kind_of(source)
        observed = [
            *kind.observed(source, own, folder, self.identities),
            *(self._log(name, e) for e in state if "push_log" in e),
        ]
        if source is not None:
            self._note_later(kind.later(source, own, folder))
        return [entry for entry in observed if entry is not None]

    def _log(self, name: str, entry: Document) -> Document | None:
        folder = self._project.push_folder(name)
        try:
            now = None if folder is None else read_log(folder)
        except StoreError as error:
            self.changed.append(Change("push_log", f"push log of {name}", str(error), entry, None))
            return entry
        if now is None:
            return None
        if now.position > entry["position"] and now.log == entry["log"]:
            self.notes.append(f"push log of {name}: {now.position - entry['position']} rows came later and are not used")
        return {**entry, "log": now.log, "position": min(now.position, entry["position"])}

    def _note_later(self, later: Sequence[str]) -> None:
        if len(later) > _NAMED:
            self.notes.append(f"{len(later):,} files came later and are not used: {shorten(later, _NAMED)}")
        else:
            self.notes += [f"{name} came later and is not used" for name in later]

    # The spine.

    def _find_spine(self, recorded: Recorded, given: Path | None) -> Path | str | None:
        said = self._document["spine"]
        places = [given] if given is not None else recorded.spine_places(self._project.folder)
        there = [place for place in places if folders.is_there(place)]
        if given is not None and not there:
            raise DataError("FS301", f"no spine file {given.name!r}", where=str(given), hint="a Parquet or CSV file")
        for place in there:
            if said["kind"] == "memory" or folders.identity(place) == said["sha256"]:
                return place
        if given is None and "url" in said and self._is_there(said):
            return str(said["url"])
        self._found["spine"] = self._other_spine(there)
        if not there:
            self.changed.append(Change("spine", "spine", _spine_gone(said), said, None))
        return None

    def _is_there(self, said: Document) -> bool:
        """Whether the spine lies where its URL says. Raises: StoreError where that cannot be told."""
        try:
            fetched = Fetched(str(said["url"]))
            return bool(sha256(fetched.path) == said["sha256"])
        except SourceError:
            return False

    def _other_spine(self, there: list[Path]) -> Document:
        if not there:
            return dict(self._document["spine"])
        place = there[0]
        return {**self._document["spine"], "name": place.name, "size": folders.size(place), "sha256": folders.identity(place)}

    def _check_memory_spine(self, service: BoundService) -> None:
        """A spine that was in memory is known by its content."""
        said = self._document["spine"]
        if said["kind"] != "memory" or self.spine is None:
            return
        if self._document["format"] < _CONTENT_SINCE:
            self.notes.append("a manifest of this format cannot tell a spine from memory: the bytes decide")
            return
        keys = {column: key.dtype for column, key in service.spine_keys.items()}
        opened = open_spine(self.spine, keys={**service.request, **keys}, as_of=self._document["as_of"]["column"])
        found = content_identity(opened.columns(opened.schema.names))
        if found != said["sha256"]:
            self._found["spine"] = {"kind": "memory", "name": Path(self.spine).name, "sha256": found}

    # Definitions.

    def _bound(self, observed: Mapping[str, Any]) -> BoundService | None:
        """The service as it is defined now, over the types of the recorded files, or of those that are there."""
        if self._service is None:
            return None
        try:
            own = Registry.of([self._service])
            types = {name: self._types(source, observed) for name, source in own.sources.items()}
            views = {name: bind_view(view, types[view.source.name]) for name, view in own.views.items()}
            labels = {name: bind_label(view, types[view.source.name]) for name, view in own.labels.items()}
            service = bind_service(self._service, views, labels)
            self._check_memory_spine(service)
        except FeatureStoreError as error:
            self.changed.append(Change("definition", f"feature service {self._service.name}", f"cannot be used: {error}"))
            return None
        self._found |= {
            "fingerprint": service.fingerprint,
            "view_fingerprints": {i.bound.name: i.bound.fingerprint for i in service.instances},
            "on_demand_fingerprints": {o.instance.view.name: o.fingerprint for o in service.on_demand},
            **({"definitions": definitions(service)} if "definitions" in self._document else {}),
        }
        return service

    def _types(self, source: Source, observed: Mapping[str, Any]) -> Mapping[str, DType]:
        """Of a source's columns; it is opened, if what is recorded of it is there."""
        folder, push = self._project.folder, self._project.push_folder(source.name)
        recorded = self._document["sources"].get(source.name)
        if isinstance(recorded, list) and observed[source.name] == recorded:
            self.data[source.name] = reopen_source(source, recorded, folder, self.identities, push)
            return self.data[source.name].types
        known = self._recorded_types(source.name)
        try:  # nothing is built from it, unless it is definitions that have come to read it
            self.data[source.name] = open_source(source, folder, push)
            return {**self.data[source.name].types, **known}
        except FeatureStoreError:
            if not known:
                raise
            return known

    def _recorded_types(self, source: str) -> dict[str, DType]:
        """Of the columns that were read when the set was built."""
        defined = self._document.get("definitions", {"views": {}, "labels": {}})
        meanings = [m["source"] for kind in ("views", "labels") for m in defined[kind].values()]
        return {c: parse_dtype(t) for m in meanings if m["name"] == source for c, t in m["types"].items()}


def _spine_gone(said: Document) -> str:
    if said["kind"] == "memory":
        return "it was a table in memory when the set was built: write it to a file and give --spine FILE"
    return f"{said.get('url', said.get('path', said['name']))} is gone: give --spine FILE"


__all__ = ["Inputs", "Project"]
