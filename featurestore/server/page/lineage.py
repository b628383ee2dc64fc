"""The picture of where values come from: source columns, features, services, from left to right, around one entry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markupsafe import Markup

from featurestore.catalogue import Catalogue, Entry
from featurestore.pictures import Edge, Node, graph
from featurestore.server.page.render import address, link

Columns = tuple[list[Node], list[Node], list[Node], list[Node]]
"""Source columns, features of views, on-demand features, services."""
HEADINGS = ("Source columns", "Features", "On-demand features", "Services")


def picture(catalogue: Catalogue, entry: Entry) -> Markup:
    """An <svg> of what an entry is made of and what is made of it; empty where nothing is known."""
    features = list(_about(catalogue, entry))
    nodes: dict[str, tuple[int, Node]] = {}
    edges: list[Edge] = []
    for feature in features:
        _add(nodes, 2 if "reads" in feature.facts else 1, _node(feature, entry))
        for source, column, direct, _ in feature.facts.get("comes_from", ()):
            if entry.kind == "source" and source != entry.name:
                continue
            start = Node(f"{source}.{column}", f"{source}.{column}", address("source", source))
            _add(nodes, 0, start)
            edges.append(Edge(start.id, feature.name, direct))
        edges += [Edge(of, feature.name) for _, of in feature.facts.get("reads", ()) if of]
        for service, _ in catalogue.columns_of(feature):
            if entry.kind != "service" or service is entry:
                _add(nodes, 3, _node(service, entry))
                edges.append(Edge(feature.name, f"service {service.name}"))
    if not edges:
        return Markup("")
    direct = {(edge.start, edge.end) for edge in edges if edge.strong}
    kept = [edge for edge in dict.fromkeys(edges) if edge.strong or (edge.start, edge.end) not in direct]
    columns = [(heading, [node for n, node in nodes.values() if n == i]) for i, heading in enumerate(HEADINGS)]
    label = f"Lineage of {entry.title}: lines drawn through are in the value, dashed ones decide which rows count"
    return graph(columns, kept, label=label)


def _about(catalogue: Catalogue, entry: Entry) -> Iterator[Entry]:
    """The features that a picture of an entry shows, what feeds an on-demand one before it."""
    if entry.kind == "feature":
        yield from _with_inputs(catalogue, [entry])
        yield from catalogue.read_by(entry)
    elif entry.kind == "view":
        yield from _with_inputs(catalogue, catalogue.features(entry.name))
    elif entry.kind == "service":
        columns = [*entry.facts.get("columns", ()), *entry.facts.get("hidden", ())]
        named = dict.fromkeys(f"{column['view']}/{column['feature']}" for column in columns)
        yield from (f for name in named if (f := catalogue.get("feature", name)) is not None)
    elif entry.kind == "source":
        views = [view for view in catalogue.used_by(entry) if view.kind == "view"]
        yield from (feature for view in views for feature in catalogue.features(view.name))


def _with_inputs(catalogue: Catalogue, features: Iterable[Entry]) -> Iterator[Entry]:
    for feature in features:
        for _, of in feature.facts.get("reads", ()):
            read = catalogue.get("feature", of) if of else None
            if read is not None:
                yield read
        yield feature


def _add(nodes: dict[str, tuple[int, Node]], column: int, node: Node) -> None:
    nodes.setdefault(node.id, (column, node))


def _node(entry: Entry, about: Entry) -> Node:
    name = entry.name if entry.kind == "feature" else f"service {entry.name}"
    return Node(name, entry.title, link(entry), itself=entry.ref == about.ref)


__all__ = ["picture"]
