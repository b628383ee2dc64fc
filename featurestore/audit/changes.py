"""What differs between what two training sets were made of, each difference named: from manifests alone, no row is read.

Decides what a definition, a source file, a push log, an option or a version that is another is called, and which columns it
can have touched. Whether cells differ is the business of `audit.diff`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from featurestore.intervals import Duration

Document = Mapping[str, Any]
_OPTIONS = ("service", "as_of", "known_before", "serving_lag_us", "include", "label", "split", "engine")


@dataclass(frozen=True)
class Change:
    """One difference. what: "definition", "source_file", "push_log", "source", "spine", "option", "version" or "output".

    where: the definition, file, option or package. was, now: None for nothing. views: whose columns it can have touched (None:
    those of any). feature: the one of those views, None for all. everywhere: the spine's own columns too.
    """

    what: str
    where: str
    detail: str
    was: Any = None
    now: Any = None
    views: frozenset[str] | None = None
    feature: str | None = None
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"

    def to_dict(self) -> dict[str, Any]:
        return {"what": self.what, "where": self.where, "was": self.was, "now": self.now, "detail": str(self)}


def changes(was: Document, now: Document) -> list[Change]:
    """All that differs between what two manifests say went in. What one of them does not record is not compared."""
    found = [*definition_changes(was, now), *_sources(was, now), *_spine(was, now), *_options(was, now)]
    return [*found, *_versions(was, now)]


def _both(was: Document, now: Document, name: str) -> bool:
    return name in was and name in now


def _spine(was: Document, now: Document) -> Iterator[Change]:
    if not _both(was, now, "spine") or was["spine"]["sha256"] == now["spine"]["sha256"]:
        return
    before, after = ({k: s.get(k) for k in ("name", "size", "sha256")} for s in (was["spine"], now["spine"]))
    names = [s["name"] or "the table in memory" for s in (before, after)]
    detail = "its content is another" if names[0] == names[1] else f"{names[0]} → {names[1]}, of other content"
    yield Change("spine", "spine", detail, before, after, everywhere=True)


def _options(was: Document, now: Document) -> Iterator[Change]:
    for name in _OPTIONS:
        before, after = (_option(name, document.get(name)) for document in (was, now))
        if _both(was, now, name) and before != after:
            yield Change("option", _words(name), _option_text(name, before, after), before, after)


def _option(name: str, value: Any) -> Any:
    """What was asked, without what was counted."""
    if name == "label":
        return None if value is None else value["column"]
    return value["asked"] if name == "split" and value is not None else value


def _option_text(name: str, was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        parts = [part for part in dict.fromkeys([*was, *now]) if was.get(part) != now.get(part)]
        return ", ".join(f"{_words(part)} {_option_text(part, was.get(part), now.get(part))}" for part in parts)
    told = [str(Duration(value)) if name.endswith("_us") and value is not None else _text(value) for value in (was, now)]
    return " → ".join(told)


def _words(name: str) -> str:
    return name.removesuffix("_us").replace("_", " ")


def _versions(was: Document, now: Document) -> Iterator[Change]:
    before, after = was.get("versions", {}), now.get("versions", {})
    for name in [n for n in before if n in after and before[n] != after[n]]:
        yield Change("version", name, f"{before[name]} → {after[name]}", before[name], after[name], everywhere=True)


# Sources.


def _sources(was: Document, now: Document) -> Iterator[Change]:
    if not _both(was, now, "sources"):
        return
    views = _views_by_source(was, now)
    for name in dict.fromkeys([*was["sources"], *now["sources"]]):
        touched = None if views is None else views.get(name, frozenset())
        if name in was["sources"] and name in now["sources"]:  # else a definition tells
            yield from _states(name, was["sources"][name], now["sources"][name], touched)


def _states(name: str, was: Any, now: Any, views: frozenset[str] | None) -> Iterator[Change]:
    if isinstance(was, str) or isinstance(now, str):
        if was != now:
            kinds = [s if isinstance(s, str) else "files" for s in (was, now)]
            yield Change("source", f"source {name}", " → ".join(kinds), kinds[0], kinds[1], views)
        return
    files, after_files = _files(was), _files(now)
    for path in dict.fromkeys([*files, *after_files]):
        before, after = files.get(path), after_files.get(path)
        if before != after:
            said = "added" if before is None else "gone" if after is None else "changed"
            yield Change("source_file", path, f"{said} (source {name})", before, after, views)
    log, after_log = _log(was), _log(now)
    if log != after_log:
        yield Change("push_log", f"push log of {name}", _log_text(log, after_log), log, after_log, views)


def _files(state: Sequence[Document]) -> dict[str, Document]:
    return {entry["path"]: {"size": entry["size"], "sha256": entry["sha256"]} for entry in state if "path" in entry}


def _log(state: Sequence[Document]) -> Document | None:
    return next(({"log": e["log"], "position": e["position"]} for e in state if "push_log" in e), None)


def _log_text(was: Document | None, now: Document | None) -> str:
    if was is None or now is None:
        return "gone" if now is None else f"now there is one, up to position {now['position']}"
    if was["log"] != now["log"]:
        return "another log, or one out of which rows were taken"
    return f"position {was['position']} → {now['position']}"


def _views_by_source(was: Document, now: Document) -> dict[str, frozenset[str]] | None:
    """{source: the views over it}, or None where a manifest does not record definitions."""
    if not _both(was, now, "definitions"):
        return None
    found: dict[str, set[str]] = {}
    for document in (was, now):
        for kind in ("views", "labels"):
            for name, meaning in document["definitions"][kind].items():
                found.setdefault(meaning["source"]["name"], set()).add(name)
    return {name: frozenset(views) for name, views in found.items()}


# Definitions.


def definition_changes(was: Document, now: Document) -> list[Change]:
    """What definitions mean other than they did."""
    if not _both(was, now, "definitions"):
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
    if _both(was, now, "fingerprint") and was["fingerprint"] != now["fingerprint"]:
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
        yield from _field(where, name, was.get(name), now.get(name))
    yield from _field(where, "join keys", *([f"{k[0]} ({k[2]})" for k in side["keys"]] for side in (was, now)))
    yield from _field(where, "key columns", *([k[1] for k in side["keys"]] for side in (was, now)))
    yield from _features(where, *({f["name"]: f for f in side["features"]} for side in (was, now)))


def _features(where: str, was: Document, now: Document) -> Iterator[Change]:
    for name in dict.fromkeys([*was, *now]):
        if name not in now or name not in was:
            said = "gone" if name in was else "added"
            yield Change("definition", where, f"feature {name}: {said}", was.get(name), now.get(name), feature=name)
            continue
        for part in [p for p in dict.fromkeys([*was[name], *now[name]]) if was[name].get(p) != now[name].get(p)]:
            (told,) = _field(where, part, was[name].get(part), now[name].get(part))
            yield replace(told, detail=f"feature {name}: {told.detail}", feature=name)
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
    before, after = (_columns(side) for side in (was, now))
    said = {(view, c.feature) for c in told for view in c.views or () if c.was is None or c.now is None}
    for column in dict.fromkeys([*before, *after]):
        if before.get(column) == after.get(column):
            continue
        view, feature = before.get(column) or after[column]
        if (view, feature) in said or (view, None) in said:
            continue
        what = "gone" if column not in after else "added" if column not in before else "another feature"
        yield Change("definition", where, f"column {column}: {what}", before.get(column), after.get(column),
                     frozenset([view]), feature)  # fmt: skip
    yield from _field(where, "order of columns", *([c for c in side if c in before and c in after] for side in (before, after)))
    instances, after_instances = (_instances(side) for side in (was, now))
    for instance in [i for i in instances if i in after_instances]:
        for part in ("keys", "exact"):
            one, other = (side[instance].get(part) for side in (instances, after_instances))
            for change in _field(where, f"{instance}, {part}", one, other):
                yield replace(change, views=frozenset([instances[instance]["view"]]))


def _instances(service: Document) -> dict[str, Document]:
    return {i["name"]: i for i in (*service["instances"], *service.get("labels", ()))}


def _columns(service: Document) -> dict[str, tuple[str, str | None]]:
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
    return str(Duration(value)) if name in _DURATIONS and isinstance(value, int) else _text(value)


def _text(value: Any) -> str:
    if value is None or value == [] or value == "":
        return "none"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Which columns.

_NO_FEATURE: Mapping[str, Callable[[str], bool]] = {
    "label": lambda column: False,
    "include": lambda column: "__" in column,
    "split": lambda column: column == "split",
}
"""Options that touch no feature, and what they touch."""


@dataclass(frozen=True)
class Origins:
    """Where the columns of a training set come from, as far as its manifest says."""

    columns: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    inputs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, document: Document) -> Origins:
        own = frozenset(spine_columns(document))
        if "definitions" not in document:
            return cls(own=own)
        service = document["definitions"]["service"]
        views = document["definitions"]["on_demand_views"]
        inputs = {name: frozenset(i["view"] for i in meaning["inputs"]) for name, meaning in views.items()}
        return cls(_columns(service), inputs, own)

    def knows(self, column: str) -> bool:
        return column in self.own or column.split("__")[0] in self.columns

    def touched(self, column: str, change: Change) -> bool:
        """Whether a change can have touched a column's cells."""
        base = column.split("__")[0]  # <feature>__status, which no name of a feature looks like
        if change.everywhere:
            return True
        if change.what == "option" and change.where in _NO_FEATURE:
            return _NO_FEATURE[change.where](column)
        if column in self.own:
            return False
        if change.views is None or base not in self.columns:
            return True
        view, feature = self.columns[base]
        if view in change.views:
            return change.feature is None or feature is None or feature == change.feature
        return bool(self.inputs.get(view, frozenset()) & change.views)


def spine_columns(document: Document) -> list[str]:
    """The spine's own columns: they stand before the first feature."""
    names, first = [name for name, _ in document["columns"]], next(iter(document["features"]))
    return names[: names.index(first)] if first in names else []


__all__ = ["Change", "Origins", "changes", "definition_changes", "spine_columns"]
