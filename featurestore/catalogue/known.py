"""A catalogue made of what else is known: an online store that an older run filled, or a manifest. Words, SQL and plans are
missing, and places; what is served is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from featurestore import trees
from featurestore.catalogue.entries import ON_DEMAND, Catalogue, Entry
from featurestore.expressions import columns
from featurestore.intervals import Duration


def of_store(services: Mapping[str, Mapping[str, Any]], views: Iterable[tuple[str, Mapping[str, Any]]]) -> Catalogue:
    """Args: services: definitions as the store has them, by name. views: name and manifest of each live generation."""
    return _catalogue(services, dict(views))


def of_manifest(given: Mapping[str, Any]) -> Catalogue:
    """Of `sql/manifest.json`, as `BoundRegistry.to_manifest` gives it."""
    sources = [Entry("source", name, facts={"columns": dict(columns)}) for name, columns in given.get("sources", {}).items()]
    views = {**given["views"], **{name: {**label, "label": True} for name, label in given.get("labels", {}).items()}}
    return _catalogue(given["services"], views, sources)


def _catalogue(
    services: Mapping[str, Mapping[str, Any]], views: Mapping[str, Mapping[str, Any]], sources: Iterable[Entry] = ()
) -> Catalogue:
    found = {entry.ref: entry for entry in sources}
    for name, view in views.items():
        found |= {entry.ref: entry for entry in _view(name, view) if entry.ref not in found}
    for service in services.values():
        for entry in _on_demand(service):
            found[entry.ref] = _both(found[entry.ref], entry) if entry.ref in found else entry
    for name, service in services.items():
        entry = _service(name, service, found)
        found[entry.ref] = entry
    return Catalogue(found.values(), complete=False)


def _view(name: str, view: Mapping[str, Any]) -> Iterator[Entry]:
    facts = {
        "kind": "label" if view.get("label") else "feature",
        "fingerprint": view["fingerprint"],
        "source": view["source"],
        "entities": [],
        "keys": [[key["name"], key["name"], key["type"]] for key in view["keys"]],
        "where": view.get("where"),
        "features": [feature["name"] for feature in view["features"]],
        **({} if view.get("label") else {"ttl": view["ttl"], "exact": view["allow_exact_matches"], "online": view["online"]}),
    }
    yield Entry("source", view["source"])
    yield Entry("view", name, facts=facts, uses=(("source", view["source"]),))
    for feature in view["features"]:
        told = {key: feature.get(key) for key in ("type", "aggregate", "window", "offset", "where")}
        yield Entry("feature", f"{name}/{feature['name']}", facts={**told, "formula": formula(feature)})


def formula(feature: Mapping[str, Any]) -> str:
    """As `plan.explain.formula`, from a feature as manifests have it."""
    what = feature.get("expression") or ""
    if feature.get("aggregate") is None:
        return f"{feature['name']} = {what}"
    if feature.get("parameter") is not None:
        what += f", {feature['parameter']}"
    length = "lifetime" if feature.get("window") is None else str(Duration(feature["window"]))
    shift = f" offset {Duration(feature['offset'])}" if feature.get("offset") else ""
    where = f" where {feature['where']}" if feature.get("where") else ""
    return f"{feature['name']} = {feature['aggregate']}({what}) over {length}{shift}{where}"


def _on_demand(service: Mapping[str, Any]) -> Iterator[Entry]:
    """What a service says of its on-demand views: each with the features it returns there, and what they read."""
    origin = {c: (i["view"], f) for i in service["instances"] for c, f in [*i["features"], *i.get("hidden", ())]}
    for asked in service.get("on_demand", ()):
        reads = {
            name: "/".join(origin[column]) if kind == "feature" and column in origin else ""
            for name, kind, column, _ in asked["operands"]
        }
        facts = {
            "kind": ON_DEMAND,
            "fingerprint": asked["fingerprint"],
            "inputs": [],
            "request": dict(asked["request"]),
            "features": [feature["name"] for feature in asked["features"]],
        }
        fed_by = sorted({of.partition("/")[0] for of in reads.values() if of})
        yield Entry("view", asked["view"], facts=facts, uses=tuple(("view", name) for name in fed_by))
        for feature in asked["features"]:
            read = dict.fromkeys(columns(trees.from_data(feature["expression"])))
            told = {"type": feature["type"], "formula": "", "reads": [[name, reads.get(name, "")] for name in read]}
            yield Entry("feature", f"{asked['view']}/{feature['name']}", facts=told)


def _both(known: Entry, other: Entry) -> Entry:
    """What two services say of one on-demand view, each of the features that it returns."""
    if known.facts.get("kind") != ON_DEMAND or other.facts.get("kind") != ON_DEMAND:
        return known
    features = list(dict.fromkeys([*known.facts["features"], *other.facts["features"]]))
    uses = tuple(dict.fromkeys([*known.uses, *other.uses]))
    return replace(known, facts={**known.facts, "features": features}, uses=uses)


def _service(name: str, service: Mapping[str, Any], known: Mapping[tuple[str, str], Entry]) -> Entry:
    def column(name: str, view: str, feature: str, instance: str) -> dict[str, Any]:
        found = known.get(("feature", f"{view}/{feature}"))
        dtype = found.facts["type"] if found else ""
        return {"name": name, "view": view, "feature": feature, "type": dtype, "instance": instance}

    columns = [column(c, i["view"], f, i["name"]) for i in service["instances"] for c, f in i["features"]]
    columns += [column(f["name"], o["view"], f["name"], o["name"]) for o in service.get("on_demand", ()) for f in o["features"]]
    by_name = {one["name"]: one for one in columns}
    keys = {c: _key_type(known, i["view"], key) for i in service["instances"] for c, key in i["keys"]}
    facts = {
        "fingerprint": service["fingerprint"],
        "keys": keys,
        "request": {n: t for o in service.get("on_demand", ()) for n, t in o["request"].items()},
        "columns": [by_name[n] for n in service.get("feature_names", by_name) if n in by_name],
        "hidden": [column(c, i["view"], f, i["name"]) for i in service["instances"] for c, f in i.get("hidden", ())],
        "labels": [column(c, i["view"], f, i["name"]) for i in service.get("labels", ()) for c, f in i["features"]],
        "online": True,
    }
    views = [i["view"] for i in (*service["instances"], *service.get("labels", ()))]
    views += [o["view"] for o in service.get("on_demand", ())]
    return Entry("service", name, facts=facts, uses=tuple(("view", view) for view in dict.fromkeys(views)))


def _key_type(known: Mapping[tuple[str, str], Entry], view: str, key: str) -> str:
    found = known.get(("view", view))
    return next((dtype for name, _, dtype in found.facts["keys"] if name == key), "") if found else ""


__all__ = ["formula", "of_manifest", "of_store"]
