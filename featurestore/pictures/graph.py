"""Boxes in columns and lines between them: where something comes from, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from featurestore.pictures.svg import number, picture, text

MOST = 24
"""Boxes of a column; of more the last says how many."""
BOX, GAP, ACROSS, HIGH, HEAD = 210.0, 6.0, 66.0, 24.0, 20.0
LETTERS = 30


class Node(NamedTuple):
    """A box. id: tells it from others. href: where it leads, "" for nowhere. itself: what the picture is about."""

    id: str
    name: str
    href: str = ""
    itself: bool = False


class Edge(NamedTuple):
    """A line from one box to one of a later column. strong: drawn through; else dashed."""

    start: str
    end: str
    strong: bool = True


def graph(columns: Sequence[tuple[str, Sequence[Node]]], edges: Sequence[Edge], *, label: str) -> Markup:
    """Args: columns: (heading, boxes) from left to right; empty ones are left out. Lines to boxes that are not shown are not
    drawn."""
    shown = [(heading, _shown(nodes)) for heading, nodes in columns if nodes]
    tallest = max((len(nodes) for _, nodes in shown), default=0)
    height = HEAD + tallest * (HIGH + GAP)
    width = max(len(shown) * (BOX + ACROSS) - ACROSS, 0.0)
    places: dict[str, tuple[float, float]] = {}
    boxes: list[str] = []
    for n, (heading, nodes) in enumerate(shown):
        x, above = n * (BOX + ACROSS), HEAD + (tallest - len(nodes)) * (HIGH + GAP) / 2
        boxes.append(text(x, 12, heading))
        for i, node in enumerate(nodes):
            y = above + i * (HIGH + GAP)
            places.setdefault(node.id, (x, y))
            boxes.append(_box(node, x, y))
    lines = [_line(edge, places) for edge in dict.fromkeys(edges) if edge.start in places and edge.end in places]
    return picture(width + 2, height + 2, label, [*lines, *boxes], links=True)


def _shown(nodes: Sequence[Node]) -> list[Node]:
    if len(nodes) <= MOST:
        return list(nodes)
    first = [node for node in nodes if node.itself] + [node for node in nodes if not node.itself]
    return [*first[: MOST - 1], Node("", f"and {len(nodes) - MOST + 1} more")]


def _box(node: Node, x: float, y: float) -> str:
    kind = "node-self" if node.itself else "node"
    if not node.id:
        return text(x + 8, y + 16, node.name)
    box = f'<rect class="{kind}" x="{number(x + 1)}" y="{number(y)}" width="{number(BOX)}" height="{number(HIGH)}" rx="4"/>'
    drawn = box + text(x + 9, y + 16, node.name, most=LETTERS)
    return f'<a href="{escape(node.href)}">{drawn}</a>' if node.href else drawn


def _line(edge: Edge, places: Mapping[str, tuple[float, float]]) -> str:
    (x, y), (to_x, to_y) = places[edge.start], places[edge.end]
    x, y, to_y, middle = x + BOX + 1, y + HIGH / 2, to_y + HIGH / 2, (x + BOX + to_x) / 2
    curve = (
        f"M{number(x)} {number(y)}C{number(middle)} {number(y)} {number(middle)} {number(to_y)} {number(to_x)} {number(to_y)}"
    )
    return f'<path class="{"edge" if edge.strong else "edge-decides"}" d="{curve}"/>'


__all__ = ["Edge", "Node", "graph"]
