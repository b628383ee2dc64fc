"""From definitions to the document of a catalogue: entries as plain data, with the words people gave them, SQL and plans.

Facts by kind:
    entity   join_keys
    source   kind, at, options {name: text}, columns {name: type}, expectations [[column, text]]
    view     kind ("feature" | "label" | "on-demand"), fingerprint, source, entities, keys [[name, column, type]], where, ttl,
             exact, online, features [name], columns [name], gap, settle, inputs [[instance, view]], request {name: type}
    feature  type, formula, and of those of sources: aggregate, window, offset (microseconds), where,
             comes_from [[source, column, roles as of `plan.columns`]]; of on-demand ones: reads [[name, of]]
    service  fingerprint, keys {column: type}, request {name: type}, columns [{name, view, feature, type, instance}],
             labels [the same], hidden [the same], online
Texts: "plan" and "sql" of a service, "sql" of a view (its online state). All of it is byte-stable, and holds no machine's path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from featurestore import expressions
from featurestore import plan as planning
from featurestore.compiler.duckdb import PartStatement, plainest
from featurestore.compiler.files import latest_sql, training_set_sql
from featurestore.definitions import Definition, Source
from featurestore.errors import FeatureStoreError
from featurestore.plan.columns import to_data, view_lineage
from featurestore.plan.explain import formula
from featurestore.plan.nodes import Output, Window
from featurestore.registry import BoundFacts, BoundInstance, BoundOnDemand, BoundRegistry, BoundService, BoundView

FORMAT = 1

Given = dict[str, Any]


def outline(bound: BoundRegistry) -> str:
    """A digest of all that the document is made of."""
    made = json.dumps([FORMAT, _version(), list(_entries(bound))], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(made.encode("utf-8", "replace")).hexdigest()[:32]


def document(bound: BoundRegistry) -> Given:
    """The whole document."""
    entries = list(_entries(bound))
    made_of = {("view", name): _or_why(partial(_texts_of_view, view)) for name, view in bound.views.items()}
    made_of |= {("service", name): _or_why(partial(_texts_of_service, service)) for name, service in bound.services.items()}
    views = (*bound.views.values(), *bound.labels.values())
    comes_from = {("feature", f"{view.name}/{feature}"): columns for view in views for feature, columns in _lineage(view)}
    for entry in entries:
        ref = entry["kind"], entry["name"]
        if ref in made_of:
            entry["texts"] = made_of[ref]
        if ref in comes_from:
            entry["facts"]["comes_from"] = comes_from[ref]
    return {"format": FORMAT, "version": _version(), "entries": entries}


def _version() -> str:
    try:
        return version("featurestore")
    except PackageNotFoundError:  # run from a folder
        return ""


def _entries(bound: BoundRegistry) -> Iterator[Given]:
    registry = bound.registry
    for entity in registry.entities.values():
        yield _entry("entity", entity, {"join_keys": list(entity.join_keys)})
    for name, source in registry.sources.items():
        columns = {column: str(dtype) for column, dtype in sorted(bound.schemas.get(name, {}).items())}
        yield _entry("source", source, {**_source(source), "columns": columns})
    for facts in (*bound.views.values(), *bound.labels.values()):
        yield _view(facts)
        yield from _features(facts)
    for on_demand in bound.on_demand.values():
        yield _on_demand(on_demand)
        yield from _computed(on_demand)
    for service in bound.services.values():
        yield _service(service)


def _entry(kind: str, made: Definition, facts: Given, uses: Iterable[tuple[str, str]] = ()) -> Given:
    words = {"description": made.description, "owner": made.owner, "tags": dict(made.tags), "place": made.location}
    return {"kind": kind, "name": made.name, **words, "facts": facts, "uses": [list(ref) for ref in dict.fromkeys(uses)]}


# Sources.


def _source(source: Source) -> Given:
    zones = source.timezone
    options = {
        "event time": source.event_timestamp,
        "known time": source.created_timestamp,
        "known after": None if source.delay is None else str(source.known_delay),
        "row key": ", ".join(source.row_key),
        "version order": source.row_order,
        "tombstones": source.deleted,
        "static": "yes: one row per key, the same for every instant" if source.static else None,
        "time zone": zones if isinstance(zones, str) else ", ".join(map(": ".join, zones.items())),
        "unit of times": source.time_unit,
        "format of times": source.time_format,
    }
    kind = type(source).__name__.removesuffix("Source") or "Source"
    return {
        "kind": kind,
        "at": _at(source),
        "options": {name: text for name, text in options.items() if text},
        "expectations": [[expectation.column, repr(expectation)] for expectation in source.expectations],
    }


def _at(source: Source) -> str:
    """Where it lies, as the definition says; of absolute paths the last part alone."""
    given = getattr(source, "path", None) or getattr(source, "table", None)
    listed = given if isinstance(given, list | tuple) else [given]
    return ", ".join(path.rpartition("/")[2] if path.startswith("/") else path for path in listed if isinstance(path, str))


# Views and their features.


def _view(bound: BoundFacts) -> Given:
    view = bound.view
    label = not isinstance(bound, BoundView)
    facts: Given = {
        "kind": "label" if label else "feature",
        "fingerprint": bound.fingerprint,
        "source": view.source.name,
        "entities": [entity.name for entity in view.entities],
        "keys": [[key.name, key.column, key.dtype.name] for key in bound.keys],
        "where": None if view.condition is None else expressions.normalised(view.condition),
        "features": [feature.name for feature in view.features],
        "columns": sorted(bound.types),
    }
    if isinstance(bound, BoundView):
        ttl = None if bound.view.ttl is None else bound.view.ttl.micros
        facts |= {"ttl": ttl, "exact": bound.view.allow_exact_matches, "online": bound.view.online}
    else:
        meaning = bound.meaning()
        facts |= {"gap": meaning["gap"], "settle": meaning["settle"]}
    uses = [("source", view.source.name), *(("entity", entity.name) for entity in view.entities)]
    return _entry("view", view, facts, uses)


def _features(bound: BoundFacts) -> Iterator[Given]:
    view, meanings = bound.view, {given["name"]: given for given in bound.meaning()["features"]}
    for feature in view.features:
        dtype, meaning = bound.feature_types[feature.name], meanings[feature.name]
        output = Output(
            feature.name, dtype, feature.expression, aggregate=feature.aggregate, parameter=feature.parameter,
            window=meaning["window"], offset=meaning["offset"], where=feature.where,
        )  # fmt: skip
        facts = {
            "type": dtype.name, "formula": formula(output), "aggregate": feature.aggregate, "window": meaning["window"],
            "offset": meaning["offset"], "where": meaning["where"],
        }  # fmt: skip
        yield _feature(view, feature.name, facts, feature.description, feature.location)


def _feature(view: Definition, name: str, facts: Given, description: str = "", place: str = "") -> Given:
    """Owner and tags are its view's."""
    words = {"description": description, "owner": view.owner, "tags": dict(view.tags), "place": place or view.location}
    return {"kind": "feature", "name": f"{view.name}/{name}", **words, "facts": facts, "uses": []}


def _lineage(view: BoundFacts) -> Iterator[tuple[str, list[list[Any]]]]:
    for name, columns in to_data(view_lineage(view)).items():
        yield name, [[told["source"], told["column"], told["roles"]] for told in columns if told["source"] is not None]


def _on_demand(bound: BoundOnDemand) -> Given:
    view = bound.instance.view
    facts = {
        "kind": "on-demand",
        "fingerprint": bound.fingerprint,
        "inputs": [[given.name, given.bound.name] for given in bound.inputs],
        "request": {name: dtype.name for name, dtype in view.request.items()},
        "features": list(view.features),
    }
    return _entry("view", view, facts, [("view", given.bound.name) for given in bound.inputs])


def _computed(bound: BoundOnDemand) -> Iterator[Given]:
    view = bound.instance.view
    origin = {column: f"{given.bound.name}/{f.name}" for given in bound.inputs for column, f, _ in given.features}
    for name, expression, dtype in bound.features:
        reads = [[column, origin.get(column, "")] for column in dict.fromkeys(expressions.columns(expression))]
        facts = {"type": dtype.name, "formula": f"{name} = {expressions.normalised(expression)}", "reads": reads}
        yield _feature(view, name, facts)


# Services.


def _service(bound: BoundService) -> Given:
    columns = {name: given for i in bound.instances for name, given in _columns(i, i.features)}
    columns |= {
        name: _column(name, asked.instance.view.name, feature, dtype.name, asked.name)
        for asked in bound.on_demand
        for (name, feature), (_, _, dtype) in zip(asked.instance.features, asked.features, strict=True)
    }
    hidden = [given for i in bound.instances for _, given in _columns(i, i.computed[len(i.features) :])]
    facts = {
        "fingerprint": bound.fingerprint,
        "keys": {column: key.dtype.name for column, key in bound.spine_keys.items()},
        "request": {name: dtype.name for name, dtype in bound.request.items()},
        "columns": [columns[name] for name in bound.feature_types],
        "hidden": hidden,
        "labels": [given for label in bound.labels for _, given in _columns(label, label.features)],
        "online": all(i.bound.view.online for i in bound.instances),
    }
    uses = [i.bound.name for i in (*bound.instances, *bound.labels)] + [o.instance.view.name for o in bound.on_demand]
    return _entry("service", bound.service, facts, [("view", name) for name in uses])


def _columns(instance: BoundInstance[Any], features: Iterable[tuple[str, Any, Any]]) -> Iterator[tuple[str, Given]]:
    for column, feature, dtype in features:
        yield column, _column(column, instance.bound.name, feature.name, dtype.name, instance.name)


def _column(name: str, view: str, feature: str, dtype: str, instance: str) -> Given:
    return {"name": name, "view": view, "feature": feature, "type": dtype, "instance": instance}


# Texts.


def _or_why(write: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The texts, or why there are none: a run has brought views online, and does not fail for words about others."""
    try:
        return write()
    except FeatureStoreError as error:
        return {"sql": f"-- {error}\n"}


def _texts_of_view(view: BoundView) -> dict[str, str]:
    return {"sql": latest_sql(view)}


def _texts_of_service(service: BoundService) -> dict[str, str]:
    plan = planning.training_set(service)
    windows: dict[str, list[PartStatement]] = {}
    for answer in plan.answers:
        if isinstance(answer.part, Window):
            windows.setdefault(answer.instance, []).append(plainest(answer.part))
    return {"plan": planning.explain(plan), "sql": training_set_sql(service, plan, windows)}


__all__ = ["FORMAT", "document", "outline"]
