"""What definitions mean other than they did: from their meaning as manifests record it, each part named.

Decides what a changed part is called and which features it can touch. That description, owner and tags are no part of a
meaning is the registry's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from featurestore.audit.change import Change, Document, both_have, text
from featurestore.intervals import Duration


def definition_changes(was: Document, now: Document) -> list[Change]:
    """What definitions mean other than they did."""
    if not both_have(was, now, "definitions"):
        return list(_by_fingerprint(was, now))
    before, after = was["definitions"], now["definitions"]
    found = [
        *_kind("view", before["views"], after["views"], _view),
        *_kind("label view", before["labels"], after["labels"], _view),
        *_kind("on-demand view", before["on_demand_views"], after["on_demand_views"], _on_demand),
    ]
    found += _service(was["service"], before["service"], after["service"], found)
    if not found and before["service"]["fingerprint"] != after["service"]["fingerprint"]:
        return [Change("definition", f"feature service {was['service']}", "its meaning is another")]
    return _merged(found)


def _by_fingerprint(was: Document, now: Document) -> Iterator[Change]:
    """All that can be said where one manifest does not record definitions."""
    for kind, name in (("view", "view_fingerprints"), ("on-demand view", "on_demand_fingerprints")):
        before, after = was.get(name, {}), now.get(name, {})
        for view in dict.fromkeys([*before, *after]):
            if before.get(view) != after.get(view):
                detail = "gone" if view not in after else "added" if view not in before else "its meaning is another"
                yield Change("definition", f"{kind} {view}", detail, before.get(view), after.get(view), frozenset([view]))
    if both_have(was, now, "fingerprint") and was["fingerprint"] != now["fingerprint"]:
        where = f"feature service {was['service']}"
        yield Change("definition", where, "its meaning is another", was["fingerprint"], now["fingerprint"])


Compare = Callable[[str, Document, Document], Iterator[Change]]


def _kind(kind: str, was: Document, now: Document, compare: Compare) -> Iterator[Change]:
    for name in dict.fromkeys([*was, *now]):
        where, view = f"{kind} {name}", frozenset([name])
        if name not in now or name not in was:
            yield Change("definition", where, "gone" if name in was else "added", was.get(name), now.get(name), view)
        elif was[name] != now[name]:
            yield from (replace(change, views=view) for change in compare(where, was[name], now[name]))


def _view(where: str, was: Document, now: Document) -> Iterator[Change]:
    found = list(_parts(where, was, now))
    yield from found or [Change("definition", where, "its meaning is another", was, now)]


def _parts(where: str, was: Document, now: Document) -> Iterator[Change]:
    yield from _source(was["source"], now["source"], where)
    for name in [n for n in dict.fromkeys([*was, *now]) if n not in ("source", "features", "keys")]:
        touched = _latest(was, now) if name == "ttl" else None  # windows know no ttl
        yield from (replace(c, features=touched) for c in _field(where, name, was.get(name), now.get(name)))
    yield from _field(where, "join keys", *([f"{k[0]} ({k[2]})" for k in side["keys"]] for side in (was, now)))
    yield from _field(where, "key columns", *([k[1] for k in side["keys"]] for side in (was, now)))
    yield from _features(where, *({f["name"]: f for f in side["features"]} for side in (was, now)))


def _latest(was: Document, now: Document) -> frozenset[str]:
    return frozenset(f["name"] for side in (was, now) for f in side["features"] if f["aggregate"] is None)


def _features(where: str, was: Document, now: Document) -> Iterator[Change]:
    for name in dict.fromkeys([*was, *now]):
        if name not in now or name not in was:
            said = "gone" if name in was else "added"
            yield Change(
                "definition", where, f"feature {name}: {said}", was.get(name), now.get(name), features=frozenset([name])
            )
            continue
        for part in [p for p in dict.fromkeys([*was[name], *now[name]]) if was[name].get(p) != now[name].get(p)]:
            (told,) = _field(where, part, was[name].get(part), now[name].get(part))
            yield replace(told, detail=f"feature {name}: {told.detail}", features=frozenset([name]))
    shared = [[name for name in side if name in was and name in now] for side in (was, now)]
    yield from _field(where, "order of features", *shared)


def _source(was: Document, now: Document, view: str) -> Iterator[Change]:
    if was["name"] != now["name"]:
        yield from _field(view, "source", was["name"], now["name"])
    where = f"source {now['name']}"
    for name in [n for n in dict.fromkeys([*was, *now]) if n not in ("name", "types", "timezones")]:
        yield from _field(where, name, was.get(name), now.get(name))
    for name, said in (("types", "type"), ("timezones", "timezone")):  # of the columns that the view reads then and now
        for column in [c for c in was[name] if c in now[name]]:
            yield from _field(where, f"{said} of {column}", was[name][column], now[name][column])


def _on_demand(where: str, was: Document, now: Document) -> Iterator[Change]:
    for column in dict.fromkeys([*was["request"], *now["request"]]):
        yield from _field(where, f"request column {column}", was["request"].get(column), now["request"].get(column))
    features = ({n: {"name": n, "expression": e} for n, e in side["features"].items()} for side in (was, now))
    yield from _features(where, *features)
    yield from _field(where, "inputs", *([[i["view"], i["name"], i["keys"]] for i in side["inputs"]] for side in (was, now)))
    read = [{out: feature for i in side["inputs"] for out, feature in i["features"]} for side in (was, now)]
    for column in [c for c in read[0] if c in read[1]]:
        yield from _field(where, f"input {column}", read[0][column], read[1][column])


def _service(name: str, was: Document, now: Document, told: Sequence[Change]) -> Iterator[Change]:
    """What the service takes of its views, and in what order; not again what a view's own change has said."""
    where = f"feature service {name}"
    before, after = (columns_of(side) for side in (was, now))
    alone = [c for c in told if c.was is None or c.now is None]
    said = {(view, feature) for c in alone for view in c.views or () for feature in c.features or (None,)}
    for column in dict.fromkeys([*before, *after]):
        if before.get(column) == after.get(column):
            continue
        view, feature = before.get(column) or after[column]
        if (view, feature) in said or (view, None) in said:
            continue
        what = "gone" if column not in after else "added" if column not in before else "another feature"
        yield Change("definition", where, f"column {column}: {what}", before.get(column), after.get(column),
                     frozenset([view]), None if feature is None else frozenset([feature]))  # fmt: skip
    yield from _field(where, "order of columns", *([c for c in side if c in before and c in after] for side in (before, after)))
    instances, after_instances = (_instances(side) for side in (was, now))
    for instance in [i for i in instances if i in after_instances]:
        for part in ("keys", "exact"):
            one, other = (side[instance].get(part) for side in (instances, after_instances))
            for change in _field(where, f"{instance}, {part}", one, other):
                yield replace(change, views=frozenset([instances[instance]["view"]]))


def _instances(service: Document) -> dict[str, Document]:
    return {i["name"]: i for i in (*service["instances"], *service.get("labels", ()))}


def columns_of(service: Document) -> dict[str, tuple[str, str | None]]:
    """{column: (view, its feature there)} in the order of the training set."""
    found: dict[str, tuple[str, str | None]] = {}
    for instance in service["instances"]:
        found |= {out: (instance["view"], feature) for out, feature in instance["features"]}
    for asked in service.get("on_demand", ()):
        found |= {f["name"]: (asked["view"], None) for f in asked["features"]}
    found = {column: found[column] for column in service.get("feature_names", found)}
    for label in service.get("labels", ()):
        found |= {out: (label["view"], feature) for out, feature in label["features"]}
    return found


def _merged(found: Sequence[Change]) -> list[Change]:
    """One change of a source that several views have told, touching all of them."""
    merged: dict[tuple[str, str], Change] = {}
    for change in found:
        key = change.where, change.detail
        other = merged.get(key)
        if other is not None and other.views is not None and change.views is not None:
            change = replace(change, views=other.views | change.views)
        merged[key] = change
    return list(merged.values())


_DURATIONS = {"ttl", "gap", "settle", "window", "offset", "delay"}


def _field(where: str, name: str, was: Any, now: Any) -> Iterator[Change]:
    """A part of a definition, if it is another."""
    if was != now:
        before, after = _told(name, was), _told(name, now)
        yield Change("definition", where, f"{name} {before} → {after}", before, after)


def _told(name: str, value: Any) -> str:
    if value is None:
        return "lifetime" if name == "window" else "none"
    return str(Duration(value)) if name in _DURATIONS and isinstance(value, int) else text(value)


__all__ = ["columns_of", "definition_changes"]
