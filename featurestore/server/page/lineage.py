"""The picture of where values come from: source columns, features, services, from left to right, around one entry.

It is made of what who asks may see: of a catalogue, not of definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from markupsafe import Markup

from featurestore.catalogue import ON_DEMAND, Catalogue, Entry
from featurestore.pictures.flow import picture as drawn
from featurestore.server.page.render import address

Node = tuple[str, str, str]
"""Kind, group and name, as pictures of flows know them."""
_KINDS = {"feature": "feature", "label": "label", ON_DEMAND: "on_demand"}
_PAGES = {"column": "source", "feature": "view", "label": "view", "on_demand": "view", "served": "service"}


_DRAWN: WeakKeyDictionary[Catalogue, dict[tuple[str, str], Markup]] = WeakKeyDictionary()
MOST_DRAWN = 64
"""Pictures kept of a catalogue: one of a thousand features takes longer than the rest of its page. One thread draws."""


def picture(catalogue: Catalogue, entry: Entry) -> Markup:
    """An <svg> of what an entry is made of and what is made of it; empty where nothing is known."""
    kept = _DRAWN.setdefault(catalogue, {})
    which = entry.kind, entry.name
    if which not in kept:
        if len(kept) >= MOST_DRAWN:
            kept.clear()
        kept[which] = _picture(catalogue, entry)
    return kept[which]


def _picture(catalogue: Catalogue, entry: Entry) -> Markup:
    nodes: dict[Node, int] = {}
    edges = []
    for start, end, roles in dict.fromkeys(_ways(catalogue, entry)):
        numbers = [nodes.setdefault(node, len(nodes)) for node in (start, end)]
        edges.append({"from": numbers[0], "to": numbers[1], "roles": roles})
    if not edges:
        return Markup("")
    told = [dict(zip(("kind", "group", "name"), node, strict=True)) for node in nodes]
    return Markup(drawn({"nodes": told, "edges": edges}, title=f"Lineage of {entry.title}", link=_address))


def _address(kind: str, group: str, name: str) -> str | None:
    if kind == "row":
        return None
    of_feature = name and kind in ("feature", "label", "on_demand")
    return address("feature", f"{group}/{name}") if of_feature else address(_PAGES[kind], group)


def _ways(catalogue: Catalogue, entry: Entry) -> Iterator[tuple[Node, Node, tuple[str, ...]]]:
    """From columns into features, between features, and into services."""
    for feature in _about(catalogue, entry):
        node = _node(catalogue, feature)
        for source, column, roles in feature.facts.get("comes_from", ()):
            yield ("column", source, column), node, tuple(roles)
        for name, of in feature.facts.get("reads", ()):
            read = catalogue.get("feature", of) if of else None
            if read is not None:
                yield _node(catalogue, read), node, ()
            elif not of:
                yield ("row", "", name), node, ("request",)
        for service, column in catalogue.columns_of(feature):
            if entry.kind != "service" or service is entry:
                yield node, ("served", service.name, column), ()


def _about(catalogue: Catalogue, entry: Entry) -> Iterable[Entry]:
    """The features that a picture of an entry shows: its own, what feeds them, and what they feed."""
    if entry.kind == "feature":
        return [*_inputs(catalogue, [entry]), entry, *catalogue.read_by(entry)]
    if entry.kind == "view":
        features = catalogue.features(entry.name)
        return [*_inputs(catalogue, features), *features]
    if entry.kind == "service":
        columns = [*entry.facts.get("columns", ()), *entry.facts.get("hidden", ())]
        named = dict.fromkeys(f"{column['view']}/{column['feature']}" for column in columns)
        return [feature for name in named if (feature := catalogue.get("feature", name)) is not None]
    views = [view for view in catalogue.used_by(entry) if view.kind == "view" and entry.kind == "source"]
    return [feature for view in views for feature in catalogue.features(view.name)]


def _inputs(catalogue: Catalogue, features: Iterable[Entry]) -> list[Entry]:
    read = dict.fromkeys(of for feature in features for _, of in feature.facts.get("reads", ()) if of)
    return [feature for name in read if (feature := catalogue.get("feature", name)) is not None]


def _node(catalogue: Catalogue, feature: Entry) -> Node:
    view = catalogue.get("view", feature.view)
    facts: Mapping[str, Any] = {} if view is None else view.facts
    return _KINDS[facts.get("kind", "feature")], feature.view, feature.title


__all__ = ["picture"]
