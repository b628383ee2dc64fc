"""When what is told of a build, a materialization or a backfill: START before it, then COMPLETE, FAIL, or ABORT of what was
interrupted.

A job is a service that is built, or a view that is materialized or backfilled. Of a run that fails is told what was known.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from featurestore import plan as planning
from featurestore.backfill.folder import MANIFEST
from featurestore.definitions import Definition, Source
from featurestore.dtypes import TIMESTAMP
from featurestore.intervals import format_instant, parse_instant
from featurestore.openlineage import facets
from featurestore.openlineage.datasets import Dataset, of_path, of_source, of_view
from featurestore.openlineage.sending import Sender, now
from featurestore.plan.lineage import AS_OF, Use, lineage
from featurestore.retrieval.output import manifest_path
from featurestore.sources.files import sha256

if TYPE_CHECKING:
    from featurestore.backfill.report import Backfilled
    from featurestore.config import Config
    from featurestore.materialization import ViewReport
    from featurestore.registry import BoundRegistry, BoundService, BoundView, Registry
    from featurestore.retrieval.training_set import Report

log = logging.getLogger(__name__)

PARENT = "OPENLINEAGE_PARENT_ID"
"""The environment variable by which an orchestrator names the run that starts this one."""

Method = Callable[..., Any]


class Store(Protocol):
    """What is asked of a FeatureStore."""

    root: Path | None
    config: Config

    @property
    def registry(self) -> Registry: ...
    @property
    def bound(self) -> BoundRegistry: ...
    def bound_service(self, service: Any) -> BoundService: ...


def build(store: Store, method: Method, service: Any, spine: Any, **given: Any) -> Any:
    """Tell of `FeatureStore.build_training_set`."""
    bound = store.bound_service(service)
    reports: list[Report] = []
    told = _Told(store)
    run = _Building(told, bound, spine, given)
    run.start()
    try:
        result = method(store, service, spine, **{**given, "report": reports.append})
    except BaseException as error:
        run.failed(error)
        told.close([])
        raise
    run.complete(reports[0])
    told.close([reports[0].warnings])
    if given.get("report") is not None:
        given["report"](reports[0])
    return result


def materialize(store: Store, method: Method, views: Any = None, **given: Any) -> Any:
    """Tell of `FeatureStore.materialize`, view by view."""
    chosen = [views] if isinstance(views, str) else list(views or [])
    names = chosen or [name for name, view in store.registry.views.items() if view.online]
    if any(name not in store.bound.views or not store.bound.views[name].view.online for name in names):
        return method(store, views, **given)  # it says what is wrong
    told = _Told(store)
    coming = iter([_Materializing(told, store.bound.views[name], given) for name in names])
    under_way: list[_Materializing] = []

    def begin() -> None:
        under_way[:] = [run for run in [next(coming, None)] if run is not None]
        for run in under_way:
            run.start()

    def done(report: ViewReport) -> None:
        for run in under_way:
            run.complete(report)
        begin()
        if given.get("report") is not None:
            given["report"](report)

    begin()
    try:
        reports = method(store, views, **{**given, "report": done})
    except BaseException as error:
        for run in under_way:
            run.failed(error)
        told.close([])
        raise
    told.close([report.warnings for report in reports[-1:]])
    return reports


def backfill(store: Store, method: Method, view: str, *args: Any, **given: Any) -> Any:
    """Tell of `FeatureStore.backfill`, unless it is a dry run."""
    if view not in store.bound.views or given.get("dry_run"):
        return method(store, view, *args, **given)
    told = _Told(store)
    run = _Backfilling(told, store.bound.views[view], given)
    run.start()
    try:
        done = method(store, view, *args, **given)
    except BaseException as error:
        run.failed(error)
        told.close([])
        raise
    run.complete(done)
    told.close([done.warnings])
    return done


class _Told:
    """What all runs of one call share."""

    def __init__(self, store: Store) -> None:
        settings = store.config.openlineage
        self.store, self.base = store, store.root or Path.cwd()
        self.namespace = settings.namespace or store.config.project.name
        self.sender = Sender(settings, self.base)

    def close(self, warnings: list[list[str]]) -> None:
        """Wait for what is under way; lost events are a warning, of the call's report if there is one."""
        said = self.sender.close()
        if said and warnings:
            warnings[0].append(said)
        elif said:
            log.warning("%s", said)

    def inputs(self, sources: Iterable[Source]) -> dict[str | None, tuple[Dataset, ...]]:
        return {source.name: of_source(source, self.base, self.namespace) for source in sources}


class _Run:
    """One run of a job. The parts of an event are made when it is sent, so that an error in one cannot reach the run."""

    job = ""
    doing = ""

    def __init__(self, told: _Told, what: Definition, engine: str, known_before: Any) -> None:
        self.told, self.what, self.engine, self.known_before = told, what, engine, known_before
        self.id = str(uuid.uuid4())

    def start(self) -> None:
        self._send("START", {}, self.inputs, lambda: self.outputs(None))

    def complete(self, report: Any) -> None:
        self._send("COMPLETE", {}, lambda: self.inputs(report), lambda: self.outputs(report))

    def failed(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self._send("FAIL", {"errorMessage": facets.error_message(error)}, self.inputs, lambda: self.outputs(None))
        else:
            self._send("ABORT", {}, self.inputs, lambda: self.outputs(None))

    def inputs(self, report: Any = None) -> list[dict[str, Any]]:
        raise NotImplementedError

    def outputs(self, report: Any) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _send(self, event: str, run: Mapping[str, Any], inputs: Callable[[], Any], outputs: Callable[[], Any]) -> None:
        at = now()
        self.told.sender.send(
            lambda: {
                "eventType": event,
                "eventTime": at,
                "run": {"runId": self.id, "facets": {**self._run_facets(), **run}},
                "job": {"namespace": self.told.namespace, "name": self.job, "facets": self._job_facets()},
                "inputs": inputs(),
                "outputs": outputs(),
                "producer": facets.producer(),
                "schemaURL": facets.SPEC,
            }
        )

    def _run_facets(self) -> dict[str, Any]:
        parent = facets.parent(os.environ.get(PARENT, ""))
        cut = self.known_before
        start = format_instant(parse_instant(cut) if isinstance(cut, str) else cut) if cut is not None else None
        return {
            "processing_engine": facets.processing_engine(self.engine),
            **({} if start is None else {"nominalTime": facets.nominal_time(start)}),
            **({} if parent is None else {"parent": parent}),
        }

    def _job_facets(self) -> dict[str, Any]:
        told = {"jobType": facets.job_type(self.doing)}
        if self.what.description:
            told["documentation"] = facets.documentation(self.what.description)
        if self.what.owner:
            told["ownership"] = facets.ownership(self.what.owner)
        return told


class _Building(_Run):
    """A training set of a service."""

    doing = "BUILD"

    def __init__(self, told: _Told, bound: BoundService, spine: Any, given: Mapping[str, Any]) -> None:
        engine = given.get("engine") or told.store.config.offline.engine
        super().__init__(told, bound.service, engine, given.get("known_before"))
        self.job, self.bound, self.as_of = f"build.{bound.name}", bound, given.get("as_of", AS_OF)
        self.output = None if given.get("output") is None else Path(os.path.abspath(given["output"]))
        self.places = told.inputs(bound.sources.values())
        if isinstance(spine, str | Path):
            self.places[None] = (of_path(spine, Path.cwd()),)

    def inputs(self, report: Report | None = None) -> list[dict[str, Any]]:
        manifest = self._manifest(report)
        states = {None: manifest.get("spine"), **manifest.get("sources", {})}
        schemas = {name: _types(self.told.store, name) for name in self.places if name is not None}
        return _inputs(self.places, schemas, {name: state for name, state in states.items() if state})

    def outputs(self, report: Report | None) -> list[dict[str, Any]]:
        if self.output is None:
            return []
        manifest = self._manifest(report)
        features = {**self.bound.feature_types, **self.bound.label_types}
        columns = dict(manifest.get("columns") or [(name, dtype.name) for name, dtype in features.items()])
        told = {"schema": facets.schema(columns)}
        made: dict[str, Any] = {"facets": told}
        if report is not None:
            told["columnLineage"] = facets.column_lineage(self._lineage(columns), self.places, self.as_of)
            told["version"] = facets.dataset_version(str(report.content_hash))
            size = manifest["output"]["size"]
            made["outputFacets"] = {"outputStatistics": facets.output_statistics(report.rows, size)}
        return [_dataset(of_path(self.output, Path.cwd()), **made)]

    def _lineage(self, columns: Iterable[str]) -> dict[str, tuple[Use, ...]]:
        """The features' and labels', what `include` adds to them, and before them the spine's own columns as they are."""
        known = lineage(planning.training_set(self.bound))
        found: dict[str, tuple[Use, ...]] = {}
        for column in columns:
            base = column.partition("__")[0]
            if column in known or base in known:
                found[column] = known.get(column) or known[base]
            elif not found.keys() & known.keys():
                found[column] = (Use(None, AS_OF if column == self.as_of else column, True, "IDENTITY", column),)
        return found

    def _manifest(self, report: Report | None) -> Mapping[str, Any]:
        if report is None or self.output is None:
            return {}
        document: Mapping[str, Any] = json.loads(manifest_path(self.output).read_text(encoding="utf-8"))
        return document


class _Materializing(_Run):
    """What the online store holds of a view."""

    doing = "MATERIALIZE"

    def __init__(self, told: _Told, bound: BoundView, given: Mapping[str, Any]) -> None:
        engine = given.get("engine") or told.store.config.offline.engine
        super().__init__(told, bound.view, engine, given.get("known_before"))
        self.job, self.bound = f"materialize.{bound.name}", bound
        self.places = told.inputs([bound.view.source])

    def inputs(self, report: ViewReport | None = None) -> list[dict[str, Any]]:
        return _inputs(self.places, {self.bound.view.source.name: _types(self.told.store, self.bound.view.source.name)}, {})

    def outputs(self, report: ViewReport | None) -> list[dict[str, Any]]:
        bound, store = self.bound, self.told.store
        told = {"schema": facets.schema({name: dtype.name for name, dtype in bound.feature_types.items()})}
        made: dict[str, Any] = {"facets": told}
        if report is not None:
            told["columnLineage"] = facets.column_lineage(lineage(planning.online_state(bound)), self.places, AS_OF)
            told["version"] = facets.dataset_version(f"{report.fingerprint}/{report.generation}")
        if report is not None and report.mode != "nothing":
            statistics = facets.output_statistics(report.keys_written, report.bytes_written)
            made["outputFacets"] = {"outputStatistics": statistics}
        return [_dataset(of_view(bound.name, store.config, store.root), **made)]


class _Backfilling(_Run):
    """A view's values at regular instants, in a folder."""

    doing = "BACKFILL"

    def __init__(self, told: _Told, bound: BoundView, given: Mapping[str, Any]) -> None:
        super().__init__(told, bound.view, given.get("engine") or told.store.config.offline.engine, None)
        self.job, self.bound, self.output = f"backfill.{bound.name}", bound, Path(os.path.abspath(given["output"]))
        self.places = told.inputs([bound.view.source])

    def inputs(self, report: Backfilled | None = None) -> list[dict[str, Any]]:
        return _inputs(self.places, {self.bound.view.source.name: _types(self.told.store, self.bound.view.source.name)}, {})

    def outputs(self, report: Backfilled | None) -> list[dict[str, Any]]:
        bound, source = self.bound, self.bound.view.source.name
        keys = {key.name: key.dtype.name for key in bound.keys}
        features = {name: dtype.name for name, dtype in bound.feature_types.items()}
        told = {"schema": facets.schema({**keys, AS_OF: TIMESTAMP.name, **features})}
        made: dict[str, Any] = {"facets": told}
        if report is not None:
            uses: dict[str, tuple[Use, ...]] = {
                key.name: (Use(source, key.column, True, "IDENTITY", key.name),) for key in bound.keys
            }
            uses |= lineage(planning.online_state(bound))
            told["columnLineage"] = facets.column_lineage(uses, self.places, AS_OF)
            told["version"] = facets.dataset_version(sha256(self.output / MANIFEST))
            rows = sum(partition.rows or 0 for partition in report.written)
            made["outputFacets"] = {"outputStatistics": facets.output_statistics(rows, None)}
        return [_dataset(of_path(self.output, Path.cwd()), **made)]


def _inputs(
    places: Mapping[str | None, tuple[Dataset, ...]], schemas: Mapping[str, Mapping[str, str]], states: Mapping[str | None, Any]
) -> list[dict[str, Any]]:
    """What is read, each once. states: by which content it is known."""
    found: dict[Dataset, dict[str, Any]] = {}
    for name, datasets in places.items():
        told: dict[str, Any] = {}
        if name is not None and name in schemas:
            told["schema"] = facets.schema(schemas[name])
        if name in states:
            text = json.dumps(states[name], sort_keys=True)
            told["version"] = facets.dataset_version(hashlib.sha256(text.encode()).hexdigest())
        for dataset in datasets:
            found.setdefault(dataset, _dataset(dataset, facets=told))
    return list(found.values())


def _dataset(dataset: Dataset, **told: Any) -> dict[str, Any]:
    return {"namespace": dataset.namespace, "name": dataset.name, **told}


def _types(store: Store, source: str) -> dict[str, str]:
    return {column: dtype.name for column, dtype in store.bound.schemas.get(source, {}).items()}
