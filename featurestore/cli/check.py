"""`featurestore check`: do the definitions fit each other and their sources, and with --data the rows as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featurestore.cli.answer import Answer
from featurestore.cli.check_text import source_lines
from featurestore.cli.command import Run
from featurestore.cli.stale import is_stale
from featurestore.errors import NOT_THERE, FeatureStoreError

if TYPE_CHECKING:
    from featurestore.definitions import View
    from featurestore.progress import Watcher
    from featurestore.registry import BoundFacts, BoundLabel, BoundService, BoundView


def check(
    run: Run,
    data: Annotated[
        bool, typer.Option("--data", help="Look at the rows too: pages, keys, times, lateness, versions, expectations.")
    ] = False,
) -> Answer:
    """Check definitions against each other and their sources.

    Every service is planned. All that is wrong is reported, not the first thing only.

    Example:
      featurestore check --data
    """
    looked = _Check(run)
    looked.views()
    looked.on_demand()
    looked.services()
    if data:
        with run.progress() as watch:
            looked.rows(watch)
    result = looked.result()
    return Answer(result, _text(result), looked.errors)


class _Check:
    """One pass over a project; what is wrong is collected."""

    def __init__(self, run: Run) -> None:
        self.run, self.store, self.registry = run, run.store, run.store.registry
        self.errors: list[FeatureStoreError] = []
        self.bound: dict[str, BoundView] = {}
        self.labels: dict[str, BoundLabel] = {}
        self.planned: dict[str, dict[str, Any]] = {}
        self.data: dict[str, dict[str, Any]] | None = None

    @property
    def all(self) -> dict[str, BoundFacts]:
        """Feature views and label views that are sound: their names are distinct."""
        return {**self.bound, **self.labels}

    def views(self) -> None:
        """Give every view its types, and hold its columns against every file."""
        from featurestore.registry import bind_label, bind_view

        types = {name: self._types(name) for name in self.registry.sources}
        for view in self.registry.views.values():
            self._bind(view, types[view.source.name], bind_view, self.bound)
        for label in self.registry.labels.values():
            self._bind(label, types[label.source.name], bind_label, self.labels)

    def _bind(self, view: View, types: Any, bind: Callable[[Any, Any], Any], bound: dict[str, Any]) -> None:
        """Types for a view of either kind; None: its source has none, which was noted."""
        if types is None:
            return
        try:
            made = bind(view, types)
            self._check_files(made)
            bound[view.name] = made
        except FeatureStoreError as error:
            self._add(error)

    def on_demand(self) -> None:
        """Give every on-demand view its types, where its inputs are sound."""
        from featurestore.definitions import OnDemandInstance
        from featurestore.registry import bind_on_demand

        for view in self.registry.on_demand.values():
            if all(i.view.name in self.bound for i in view.inputs):
                try:
                    bind_on_demand(OnDemandInstance(view=view), self.bound)
                except FeatureStoreError as error:
                    self._add(error)

    def services(self) -> None:
        """Plan every service whose views are sound."""
        from featurestore.registry import bind_service

        for name, service in self.registry.services.items():
            inputs = [i for o in service.on_demand for i in o.view.inputs]
            if any(i.view.name not in self.all for i in (*service.listed, *inputs, *service.labels)):
                continue
            try:
                self.planned[name] = _planned(bind_service(service, self.bound, self.labels))
            except FeatureStoreError as error:
                self._add(error)

    def rows(self, watch: Watcher) -> None:
        """Look at the rows of every source, as the views that are sound read them."""
        from featurestore.cli.check_data import SourceCheck

        self.data = {}
        for name, source in self.registry.sources.items():
            views = {n: bound for n, bound in self.all.items() if bound.view.source is source}
            self.data[name] = SourceCheck(self.store, source, views, self.run.warn, self._add, watch).run()

    def _types(self, name: str) -> Any:
        """A source's column types, or None where there are none, or expectations do not fit them: then the error is noted."""
        try:
            types = self.store.types_of(name)
            self.registry.sources[name].check_expectations(types)
        except FeatureStoreError as error:
            self._add(error)
            return None
        return types

    def _check_files(self, bound: BoundFacts) -> None:
        """Every file of the source has the view's columns. Files that are absent are a warning: types are known."""
        try:
            source = self.store.source(bound.view.source.name)
        except FeatureStoreError as error:
            if error.code not in NOT_THERE:
                raise
            self.run.warn(f"source {bound.view.source.name}: {error.what}; its types are those declared or committed")
            return
        source.check(bound.view.columns)

    def _add(self, error: FeatureStoreError) -> None:
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def result(self) -> dict[str, Any]:
        """What was found, in numbers and names."""
        registry = self.registry
        kinds = ("entities", "sources", "views", "labels")
        return {
            "project": self.store.config.project.name,
            **{kind: len(getattr(registry, kind)) for kind in kinds},
            "on_demand_views": len(registry.on_demand),
            "services": self.planned,
            "features": sum(len(v.features) for v in registry.views.values())
            + sum(len(v.features) for v in registry.on_demand.values()),
            "assumed_known_at_once": [n for n, s in registry.sources.items() if s.assumed_known_at_once],
            "static": [n for n, s in registry.sources.items() if s.static],
            "sql_stale": None if self.errors else is_stale(self.store),
            "data": self.data,
            "warnings": self.run.warnings,
        }


def _planned(service: BoundService) -> dict[str, Any]:
    """A service, once its plan has passed the proof that nothing reaches it but through the boundary in time."""
    from featurestore import plan as planning

    plan = planning.training_set(service)
    counted = {"views": service.instances, "features": service.feature_types, "labels": service.labels, "parts": plan.answers}
    counts = {what: len(items) for what, items in counted.items()}
    return counts | ({"on_demand": len(service.on_demand)} if service.on_demand else {})


def _text(result: dict[str, Any]) -> str:
    kinds = ["entities", "sources", "views", "on_demand_views", "features", "labels"]
    kinds = [kind for kind in kinds if result[kind] or kind not in ("on_demand_views", "labels")]
    counted = ", ".join(f"{result[k]} {k.replace('_', ' ')}" for k in kinds)
    lines = [f"{result['project']}: {counted}, {len(result['services'])} services"]
    for name, service in result["services"].items():
        besides = f", {service['on_demand']} on demand" if "on_demand" in service else ""
        besides += f", label views {service['labels']}" if service["labels"] else ""
        lines.append(f"  {name}: {service['features']} features of {service['views']} views{besides}")
    for what in ("assumed_known_at_once", "static"):
        if result[what]:
            lines.append(f"{what.replace('_', ' ')}: {', '.join(result[what])}")
    for name, found in (result["data"] or {}).items():
        lines += source_lines(name, found)
    if result["sql_stale"]:
        lines.append("sql/ is stale: featurestore compile")
    return "\n".join(lines)
