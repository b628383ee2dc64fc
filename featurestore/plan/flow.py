"""How columns flow through a project, as a graph: from a source's column into features, on-demand features, and services.

Decides what is upstream and downstream of a thing that somebody names. What a feature's columns are to it is
`plan.columns`' business, and said on the first step of every way; how a flow is drawn is that of `pictures.flow`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from featurestore import expressions
from featurestore.errors import UnknownName, UsageError, nearest
from featurestore.plan.columns import by_column, column_lineage, in_order, view_lineage
from featurestore.registry import BoundFacts, BoundOnDemand, BoundRegistry, BoundService

GROUPS: Mapping[str, str] = {
    "column": "source", "row": "row", "feature": "view", "label": "label_view", "on_demand": "on_demand_view",
    "served": "service",
}  # fmt: skip
"""Kind of a node -> kind of what it belongs to. row: of a spine's or request's row; served: a column of a service."""
KINDS = tuple(kind for kind in (*GROUPS.values(), *GROUPS) if kind != "row")
"""The kinds of things that can be asked about."""


class Node(NamedTuple):
    """One column or feature. group: the source, view or service it belongs to; "" for a row's."""

    kind: str
    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.group}.{self.name}" if self.group else self.name


class Edge(NamedTuple):
    """start goes into end. roles: what a column is to a feature, of ROLES; empty further on, where a value is handed over."""

    start: Node
    end: Node
    roles: tuple[str, ...] = ()


Reached = Mapping[Node, tuple[str, ...]]
"""Node -> the roles by which it is reached; of a way from a column those of its first step."""


@dataclass(frozen=True)
class Flow:
    """Nodes, in order, and edges between them. alone: groups without a node, by kind."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    alone: tuple[tuple[str, str], ...] = ()

    @cached_property
    def _into(self) -> Mapping[Node, list[Edge]]:
        return _by(self.edges, lambda edge: edge.end)

    @cached_property
    def _out_of(self) -> Mapping[Node, list[Edge]]:
        return _by(self.edges, lambda edge: edge.start)

    def columns_of(self, node: Node) -> Reached:
        """The columns of sources and rows that can change a node, and what they are to it."""
        found: dict[Node, set[str]] = {}
        for edge in _walked([node], self._into, lambda edge: edge.start):
            if edge.roles:
                found.setdefault(edge.start, set()).update(edge.roles)
        return {column: in_order(roles) for column, roles in found.items()}

    def next_to(self, column: Node) -> Reached:
        """What a column goes into at once."""
        return {edge.end: edge.roles for edge in self._out_of.get(column, ())}

    def reached_from(self, node: Node) -> Reached:
        """All that a node can change. From a column, by what it is to the feature on the way."""
        found: dict[Node, set[str]] = {}
        for first in self._out_of.get(node, ()):
            beyond = _walked([first.end], self._out_of, lambda edge: edge.end)
            for reached in (first.end, *(edge.end for edge in beyond)):
                found.setdefault(reached, set()).update(first.roles)
        return {reached: in_order(roles) for reached, roles in found.items()}

    def around(self, nodes: Iterable[Node]) -> Flow:
        """All that is upstream or downstream of some nodes."""
        asked = list(nodes)
        up = _walked(asked, self._into, lambda edge: edge.start)
        down = _walked(asked, self._out_of, lambda edge: edge.end)
        edges = set(up) | set(down)
        kept = {*asked, *(node for edge in edges for node in (edge.start, edge.end))}
        return Flow(tuple(n for n in self.nodes if n in kept), tuple(e for e in self.edges if e in edges))

    def find(self, name: str, kind: str | None = None) -> tuple[str, tuple[Node, ...]]:
        """What somebody names: (its kind, its nodes). "view.feature", "source.column", "service.column"; a source, a view or a
        service; or a feature by its name alone, where one view has it.

        Raises: UnknownName FS170; UsageError FS171 for a name of several things.
        """
        found = {what: nodes for what, nodes in self._named(name) if kind in (None, what[0])}
        whole = found if len(found) < 2 else {w: n for w, n in found.items() if w[0] != "served"} or found
        if not found:
            what, theirs = f" of kind {kind}" if kind else "", [node for node in self.nodes if node.group]
            meant = next((str(node) for node in theirs if node.name == name), None)
            hint = meant or nearest(name, [*self._names, *map(str, theirs)])
            raise UnknownName("FS170", f"nothing named {name!r}{what}", known=self._names, hint=hint)
        kinds = sorted({what for what, _ in whole})
        if len(whole) > 1 and kinds != ["served"]:
            hint = f"--kind {kinds[0]}" if len(kinds) > 1 else sorted(whole)[0][1]
            known = [f"{what} {named}" for what, named in sorted(whole)]
            raise UsageError("FS171", f"{name!r} names {len(whole)} things", known=known, hint=hint)
        return kinds[0], tuple(dict.fromkeys(node for nodes in whole.values() for node in nodes))

    def _named(self, name: str) -> Iterator[tuple[tuple[str, str], tuple[Node, ...]]]:
        """((kind, full name), nodes) of all that has the name."""
        for kind, group in dict.fromkeys((*((GROUPS[n.kind], n.group) for n in self.nodes if n.group), *self.alone)):
            if group == name:
                yield (kind, group), tuple(n for n in self.nodes if (GROUPS[n.kind], n.group) == (kind, group))
        for node in self.nodes:
            if node.group and (str(node) == name or (node.name == name and node.kind != "column")):
                yield (node.kind, str(node)), (node,)

    @cached_property
    def _names(self) -> list[str]:
        return sorted({*(n.group for n in self.nodes if n.group), *(group for _, group in self.alone)})

    def to_data(self) -> dict[str, Any]:
        """{"nodes": [{"kind", "group", "name"}], "edges": [{"from", "to", "roles"}]}, edges by the numbers of nodes."""
        number = {node: n for n, node in enumerate(self.nodes)}
        edges = [{"from": number[e.start], "to": number[e.end], "roles": list(e.roles)} for e in self.edges]
        return {"nodes": [node._asdict() for node in self.nodes], "edges": edges}

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Flow:
        """What `to_data` gave."""
        nodes = tuple(Node(**node) for node in data["nodes"])
        return cls(nodes, tuple(Edge(nodes[e["from"]], nodes[e["to"]], tuple(e["roles"])) for e in data["edges"]))


def flow(bound: BoundRegistry) -> Flow:
    """The flow of a whole project; columns that no view reads are nodes without edges."""
    views: Mapping[str, Mapping[str, BoundFacts]] = {"feature": bound.views, "label": bound.labels}
    edges = [
        Edge(_column(source, column), Node(kind, name, feature), tuple(roles))
        for kind, of_kind in views.items()
        for name, view in of_kind.items()
        for feature, found in view_lineage(view).items()
        for (source, column), roles in by_column(found).items()
    ]
    edges += [edge for name, asked in bound.on_demand.items() for edge in _computed(name, asked)]
    edges += [edge for name, service in bound.services.items() for edge in _served(name, service)]
    nodes = [_column(source, column) for source, columns in bound.schemas.items() for column in columns]
    nodes += [Node(kind, n, f) for kind, of_kind in views.items() for n, view in of_kind.items() for f in view.feature_types]
    nodes += [node for edge in edges for node in (edge.start, edge.end)]
    alone = tuple(("source", name) for name in bound.registry.sources)
    return Flow(tuple(dict.fromkeys(nodes)), tuple(dict.fromkeys(edges)), alone)


def _column(source: str | None, column: str) -> Node:
    return Node("row", "", column) if source is None else Node("column", source, column)


def _computed(name: str, asked: BoundOnDemand) -> Iterator[Edge]:
    """What the features of an on-demand view are made of."""
    inputs = {out: Node("feature", i.bound.name, f.name) for i in asked.inputs for out, f, _ in i.features}
    for feature, expression, _ in asked.features:
        for operand in expressions.columns(expression):
            end = Node("on_demand", name, feature)
            if operand in inputs:
                yield Edge(inputs[operand], end)
            else:
                yield Edge(_column(None, operand), end, ("request" if operand in asked.instance.view.request else "as_of",))


def _served(name: str, service: BoundService) -> Iterator[Edge]:
    """What a service's columns are, and by which columns of a row they are found."""
    for instance in service.instances:
        for out, feature, _ in instance.features:
            yield Edge(Node("feature", instance.bound.name, feature.name), Node("served", name, out))
    for asked in service.on_demand:
        for out, made in asked.instance.features:
            yield Edge(Node("on_demand", asked.instance.view.name, made), Node("served", name, out))
    for label in service.labels:
        for out, feature, _ in label.features:
            yield Edge(Node("label", label.bound.name, feature.name), Node("served", name, out))
    for out, found in column_lineage(service).items():
        for (source, column), roles in by_column(c for c in found if c.source is None and c.role != "request").items():
            yield Edge(_column(source, column), Node("served", name, out), tuple(roles))


def _by(edges: Iterable[Edge], key: Any) -> Mapping[Node, list[Edge]]:
    found: dict[Node, list[Edge]] = {}
    for edge in edges:
        found.setdefault(key(edge), []).append(edge)
    return found


def _walked(start: Iterable[Node], edges: Mapping[Node, list[Edge]], onward: Any) -> list[Edge]:
    """The edges on all ways from some nodes on, each once."""
    waiting, seen, found = deque(start), set(start), list[Edge]()
    while waiting:
        for edge in edges.get(waiting.popleft(), ()):
            found.append(edge)
            if onward(edge) not in seen:
                seen.add(onward(edge))
                waiting.append(onward(edge))
    return found


__all__ = ["GROUPS", "KINDS", "Edge", "Flow", "Node", "flow"]
