"""Build a training set again from its manifest, from exactly the files it was built from, and say what is not as it was.

Decides whether what the manifest names is still there, unchanged to the last bit (everything is hashed afresh), and where
the set goes. Nothing is built from a source, push log or spine that is another: its rows are then unknown. A definition or
version that is another is built with, and the bytes tell. Building itself is `retrieval.build`'s business.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featurestore.audit.changes import Change, changes
from featurestore.audit.diff import TAMPERED, Difference, diff
from featurestore.definitions import FeatureService, ParquetSource, Source
from featurestore.dtypes import DType, parse_dtype
from featurestore.engines.duckdb import Settings, scratch_folder
from featurestore.errors import DataError, FeatureStoreError, SourceError, StoreError, UsageError
from featurestore.intervals import parse_formatted
from featurestore.progress import Watcher
from featurestore.registry import BoundService, Registry, bind_label, bind_service, bind_view
from featurestore.retrieval import build
from featurestore.retrieval import output as files
from featurestore.retrieval.manifest import Recorded, definitions, read, versions
from featurestore.retrieval.spine import content_identity, open_spine
from featurestore.retrieval.splits import Split
from featurestore.sources import FileStamp, IdentityCache, SourceData, open_source, reopen_source
from featurestore.sources.files import expand, sha256, stamped
from featurestore.sources.push_log import read_log

Document = Mapping[str, Any]
_CONTENT_SINCE = 2
"""The format of manifests that know a spine from memory by its content."""


@dataclass(frozen=True)
class Project:
    """What a rebuild needs of a project: definitions, where their files and push logs lie, what the engine may use."""

    registry: Registry
    folder: Path
    settings: Settings
    push_folder: Callable[[str], Path | None]


@dataclass
class Rebuilt:
    """What became of a rebuild. output: where the set was written, if it was kept.

    bytes, content: whether what was built is what the manifest says, None if nothing was built. changed: what is not as it was.
    notes: what is no change, and good to know. differences: cells, where the bytes differ and the set as it was is there.
    """

    manifest: Path
    output: Path | None = None
    bytes: bool | None = None
    content: bool | None = None
    changed: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: Difference | None = None
    described: Document | None = None

    @property
    def same(self) -> bool:
        """The bytes are the same, and those of the set beside the manifest too, if there is one."""
        return self.bytes is True and not any(change.what == "output" for change in self.changed)

    def to_dict(self) -> dict[str, Any]:
        return {
            "same": self.same,
            "bytes": self.bytes,
            "content": self.content,
            "manifest": str(self.manifest),
            "output": None if self.output is None else str(self.output),
            "changed": [change.to_dict() for change in self.changed],
            "notes": self.notes,
            "differences": None if self.differences is None else self.differences.to_dict(),
        }


def rebuild(
    project: Project, given: Path, *, output: Path | None = None, spine: Path | None = None, verify: bool = False,
    watch: Watcher | None = None,
) -> Rebuilt:  # fmt: skip
    """Build the set of a manifest anew.

    Args: given: the manifest, or the training set it lies beside. output: where to write; else in place of the set that is
        gone. spine: where the spine lies now. verify: compare with the manifest, keep nothing unless `output` is given.
    Raises: DataError FS361 (the manifest), FS363 (not to be built as it was, unless `verify`), UsageError FS151 (another file
        stands there) and what a build raises; nothing is then written.
    """
    recorded = read(given)
    done = Rebuilt(recorded.file)
    target = output or (None if verify else recorded.output)
    if target is not None:
        _check_target(target, recorded)
    found = _Inputs(project, recorded, spine, done)
    if not found.whole:
        _check_output(done, recorded)
        if not verify:
            raise DataError("FS363", _why_not(done), where=recorded.file.name, hint="put it back as it was")
        return done
    with _aside(project.settings) as folder:
        built = folder / (target or recorded.output).name
        done.described = found.build(built, watch)
        _judge(done, recorded, built)
        if target is not None:
            _keep(done, recorded, built, target)
    return done


def _why_not(done: Rebuilt) -> str:
    return f"the set cannot be built as it was: {_told(done.changed)}"


def _told(changed: Sequence[Change]) -> str:
    return "; ".join(map(str, changed)) or "nothing that is recorded has changed"


INPUTS = ("source_file", "push_log", "source", "spine")
"""Changes after which nothing can be built as it was."""


class _Inputs:
    """What the manifest names, found again; `whole` if all of it is as it was. What is not is told in `done`."""

    def __init__(self, project: Project, recorded: Recorded, spine: Path | None, done: Rebuilt) -> None:
        self._project, self._document, self._done = project, recorded.document, done
        self.data: dict[str, SourceData] = {}
        self._identities = IdentityCache(None)  # remembers nothing from before: a flipped bit may keep size and time
        self._service: FeatureService | None = self._defined(self._document["service"])
        observed = {name: self._observed(name, state) for name, state in self._document["sources"].items()}
        self._found = {"sources": observed, "versions": versions(), "engine": "duckdb"}
        self.spine = self._find_spine(recorded, spine)
        self.service = self._bound(observed)
        done.changed += changes(self._document, {**self._document, **self._found})
        self.whole = self.service is not None and not any(change.what in INPUTS for change in done.changed)

    def _defined(self, name: str) -> FeatureService | None:
        defined = self._project.registry.services.get(name)
        if defined is None:
            self._done.changed.append(Change("definition", f"feature service {name}", "gone", name, None))
        return defined

    # Sources.

    def _observed(self, name: str, state: Any) -> Any:
        """What there is now of a recorded state, in its form: files that came later do not count."""
        source = self._project.registry.sources.get(name)
        if state == "memory":
            said = "a table in memory when the set was built; nothing tells whether it is the same"
            self._done.changed.append(Change("source", f"source {name}", said, "memory", None))
            return state
        stamps = [stamp for entry in state if "path" in entry and (stamp := self._stamp(entry["path"])) is not None]
        observed = [*self._identities.identify(stamps), *(self._log(name, e) for e in state if "push_log" in e)]
        if isinstance(source, ParquetSource):
            self._note_later(source, {entry["path"] for entry in state if "path" in entry})
        return [entry for entry in observed if entry is not None]

    def _stamp(self, path: str) -> FileStamp | None:
        try:
            return stamped(self._project.folder / path, path)
        except OSError:
            return None

    def _log(self, name: str, entry: Document) -> Document | None:
        folder = self._project.push_folder(name)
        try:
            now = None if folder is None else read_log(folder)
        except StoreError as error:
            self._done.changed.append(Change("push_log", f"push log of {name}", str(error), entry, None))
            return entry
        if now is None:
            return None
        if now.position > entry["position"] and now.log == entry["log"]:
            self._done.notes.append(f"push log of {name}: {now.position - entry['position']} rows came later and are not used")
        return {**entry, "log": now.log, "position": min(now.position, entry["position"])}

    def _note_later(self, source: ParquetSource, known: set[str]) -> None:
        try:
            later = [s.name for s in expand(source.path, self._project.folder) if s.name not in known]
        except SourceError:
            return
        self._done.notes += [f"{name} came later and is not used" for name in later]

    # The spine.

    def _find_spine(self, recorded: Recorded, given: Path | None) -> Path | None:
        said = self._document["spine"]
        places = [given] if given is not None else recorded.spine_places(self._project.folder)
        there = [place for place in places if place.is_file()]
        if given is not None and not there:
            raise DataError("FS301", f"no spine file {given.name!r}", where=str(given), hint="a Parquet or CSV file")
        for place in there:
            if said["kind"] == "memory" or sha256(place) == said["sha256"]:
                return place
        self._found["spine"] = self._other_spine(there)
        if not there:
            self._done.changed.append(Change("spine", "spine", _spine_gone(said), said, None))
        return None

    def _other_spine(self, there: list[Path]) -> Document:
        if not there:
            return dict(self._document["spine"])
        place = there[0]
        return {**self._document["spine"], "name": place.name, "size": place.stat().st_size, "sha256": sha256(place)}

    def _check_memory_spine(self, service: BoundService) -> None:
        """A spine that was in memory is known by its content."""
        said = self._document["spine"]
        if said["kind"] != "memory" or self.spine is None:
            return
        if self._document["format"] < _CONTENT_SINCE:
            self._done.notes.append("a manifest of this format cannot tell a spine from memory: the bytes decide")
            return
        keys = {column: key.dtype for column, key in service.spine_keys.items()}
        opened = open_spine(self.spine, keys={**service.request, **keys}, as_of=self._document["as_of"]["column"])
        found = content_identity(opened.columns(opened.schema.names))
        if found != said["sha256"]:
            self._found["spine"] = {"kind": "memory", "name": self.spine.name, "sha256": found}

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
            self._done.changed.append(Change("definition", f"feature service {self._service.name}", f"cannot be used: {error}"))
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
            self.data[source.name] = reopen_source(source, recorded, folder, self._identities, push)
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

    # The build.

    def build(self, output: Path, watch: Watcher | None) -> Document:
        """Build; the new manifest."""
        assert self.service is not None
        assert self.spine is not None
        said = self._document
        request = build.request(
            engine="duckdb", as_of=said["as_of"]["column"], timezone=said["as_of"]["timezone"],
            as_of_format=said["as_of"].get("format"), serving_lag=said["serving_lag_us"], include=tuple(said["include"]),
            known_before=None if said["known_before"] is None else parse_formatted(said["known_before"]),
            label=None if said["label"] is None else said["label"]["column"],
            split=None if said.get("split") is None else Split.from_manifest(said["split"]["asked"]),
        )  # fmt: skip
        done = build.run(
            self.service, self.spine, sources=lambda source: self.data[source.name], settings=self._project.settings,
            identities=self._identities, request=request, output=output, folder=self._project.folder, watch=watch,
        )  # fmt: skip
        assert done.manifest is not None
        return done.manifest


def _spine_gone(said: Document) -> str:
    if said["kind"] == "memory":
        return "it was a table in memory when the set was built: write it to a file and give --spine FILE"
    return f"{said.get('path', said['name'])} is gone: give --spine FILE"


# What was built.


def _judge(done: Rebuilt, recorded: Recorded, built: Path) -> None:
    """Compare what was built with what the manifest says, and with the set beside it."""
    assert done.described is not None
    said, now = recorded.document, done.described
    done.bytes = now["output"]["sha256"] == said["output"]["sha256"]
    done.content = now["content_hash"] == said["content_hash"]
    _check_output(done, recorded)
    if not done.bytes:
        done.notes += _other_plans(said, now)
    tampered = any(change.what == "output" for change in done.changed)
    if done.bytes and not tampered:
        return
    if done.content and not tampered:
        done.notes.append("other bytes, same content: every cell is as it was")
    elif recorded.output.is_file():
        done.differences = _compared(recorded.output, built)
    else:
        done.notes.append(f"{recorded.output.name} is not there, so cells cannot be compared")


def _other_plans(was: Document, now: Document) -> Iterator[str]:
    """Variances are the same to the last place by one plan of windows only (contract, section 5)."""
    for view, parts in was.get("windows", {}).items():
        plans = [{o: part["plan"] for part in side for o in part["outputs"]} for side in (parts, now["windows"].get(view, ()))]
        if any(plans[0][output] != plan for output, plan in plans[1].items() if output in plans[0]):
            yield f"windows of {view} were computed by another plan: variances and deviations may differ in their last places"


def _check_output(done: Rebuilt, recorded: Recorded) -> None:
    said = recorded.document["output"]["sha256"]
    if not recorded.output.is_file():
        return
    found = sha256(recorded.output)
    if found != said:
        done.changed.append(Change("output", recorded.output.name, TAMPERED, said, found))


def _compared(was: Path, built: Path) -> Difference | None:
    """None for a file so changed that it cannot be read."""
    try:
        return diff(was, built)
    except FeatureStoreError:
        return None


# Where it goes.


def _check_target(target: Path, recorded: Recorded) -> None:
    files.check_output(target)
    if target.suffix.lower() != Path(recorded.document["output"]["name"]).suffix.lower():
        what = f"the manifest is that of {recorded.document['output']['name']}, and its bytes are those of another kind"
        raise UsageError("FS151", what, where=str(target), hint=f"a {Path(recorded.document['output']['name']).suffix} output")


@contextmanager
def _aside(settings: Settings) -> Iterator[Path]:
    """A folder for what is built before it is known whether it is kept; of a killed rebuild the next session sweeps it."""
    folder = scratch_folder(settings)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(done: Rebuilt, recorded: Recorded, built: Path, target: Path) -> None:
    """Give what was built its name, unless another file has it. Raises: UsageError FS151."""
    assert done.described is not None
    now = done.described["output"]["sha256"]
    if target.exists():
        if sha256(target) != now:
            what = f"{target.name} is there, and other bytes than were built now: it is left as it is"
            raise UsageError("FS151", what, where=str(target), hint="--output with another name, or --verify")
        done.notes.append(f"{target.name} is there already, with the same bytes")
    else:
        manifest_is_there = files.manifest_path(target).exists()
        if manifest_is_there and not done.bytes:
            what = f"other bytes than {files.manifest_path(target).name} says ({_told(done.changed)}): nothing was written"
            raise UsageError("FS151", what, where=str(target), hint="--output with another name keeps it beside the manifest")
        described = recorded.document if done.bytes else done.described
        files.adopt(built, {**described, "output": {**done.described["output"], "name": target.name}}, target)
    done.output = target


__all__ = ["Project", "Rebuilt", "rebuild"]
