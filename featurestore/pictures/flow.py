"""Draw a flow: boxes of names in columns from left to right, and lines between the names.

Takes what `plan.flow` gives as data. Colours are the reader's own (`currentColor`), so it fits a light and a dark page. What
would not fit on a page is drawn by groups alone.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STAGES: Mapping[str, int] = {"row": 0, "column": 0, "feature": 1, "label": 1, "on_demand": 2, "served": 3}
"""Kind of a node -> the column it is drawn in."""
WORDS: Mapping[str, str] = {
    "row": "the row that asks", "column": "source", "feature": "view", "label": "label view", "on_demand": "on-demand view",
    "served": "service",
}  # fmt: skip
MOST_ROWS, MOST_BOXES = 60, 40
"""Names in one column before groups alone are drawn, and boxes in one column before the rest is only counted."""
LINE, HEAD, GAP, BETWEEN, SIGN, PAD, LONGEST = 18, 24, 14, 90, 7.3, 10, 34
"""Heights of a name and a box's head, gaps between boxes and columns, width of a sign, padding; signs of the longest name."""
MADE_OF = {"value", "request"}
"""Roles whose lines are drawn full; those of what merely decides are dashed."""

_NO_XML = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no way to write."""

Link = Callable[[str, str, str], str | None]
"""(kind, group, name) -> address of a page; name "" for the group's. None: none."""


@dataclass(frozen=True)
class _Box:
    kind: str
    group: str
    names: tuple[str, ...]
    folded: bool

    @property
    def head(self) -> str:
        return f"{self.group or 'row'} ({len(self.names):,})" if self.folded else self.group or "row"

    @property
    def height(self) -> float:
        return HEAD + (0 if self.folded else LINE * len(self.names) + PAD / 2)

    @property
    def width(self) -> float:
        shown = (self.head, *(() if self.folded else self.names))
        return max(min(len(text), LONGEST) for text in shown) * SIGN + 2 * PAD


def picture(flow: Mapping[str, Any], *, title: str = "Lineage", link: Link | None = None, alone: bool = False) -> str:
    """An SVG of {"nodes": [{"kind", "group", "name"}], "edges": [{"from", "to", "roles"}]}; without nodes an empty one.

    alone: a file of its own, which has to know by itself whether its reader's page is dark.
    """
    stages, unseen = _stages(flow["nodes"])
    places: dict[tuple[str, str, str], tuple[float, float, float]] = {}
    drawn, x, height = [], 1.0, 0.0
    for boxes in stages:
        width, y = max(box.width for box in boxes), 1.0
        for box in boxes:
            drawn.append(_box(box, x, y, width, link))
            for n, name in enumerate(box.names):
                middle = y + (HEAD / 2 if box.folded else HEAD + LINE * (n + 0.5))
                places[box.kind, box.group, name] = (x, x + width, middle)
            y += box.height + GAP
        height, x = max(height, y), x + width + BETWEEN
    width = max(x - BETWEEN + 1, 1)
    style = "<style>@media (prefers-color-scheme: dark) { svg { color: #ddd } }</style>" if alone else ""
    role = "img" if link is None else "group"  # links within an image are none to a screen reader
    said = f"<title>{escape(title)}</title><desc>{escape(_described(flow, unseen))}</desc>{style}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="flow" role="{role}" aria-label="{escape(title)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="ui-monospace, monospace" font-size="12" fill="currentColor">'
        f"{said}{''.join(_lines(flow, places))}{''.join(drawn)}</svg>\n"
    )


def _stages(nodes: Sequence[Mapping[str, str]]) -> tuple[list[list[_Box]], int]:
    """Boxes by column, and how many boxes are left out."""
    groups: list[dict[tuple[str, str], list[str]]] = [{} for _ in range(1 + max(STAGES.values()))]
    for node in nodes:
        groups[STAGES[node["kind"]]].setdefault((node["kind"], node["group"]), []).append(node["name"])
    folded = any(sum(map(len, stage.values())) > MOST_ROWS for stage in groups)
    stages = [[_Box(*key, tuple(names), folded) for key, names in stage.items()] for stage in groups if stage]
    return [boxes[:MOST_BOXES] for boxes in stages], sum(len(boxes[MOST_BOXES:]) for boxes in stages)


def _described(flow: Mapping[str, Any], unseen: int) -> str:
    kinds = [node["kind"] for node in flow["nodes"]]
    told = ", ".join(f"{kinds.count(kind):,} of kind {word}" for kind, word in WORDS.items() if kind in kinds)
    return f"From left to right: {told}; {len(flow['edges']):,} ways.{f' {unseen:,} boxes are left out.' if unseen else ''}"


def _box(box: _Box, x: float, y: float, width: float, link: Link | None) -> str:
    def said(text: str, name: str, at: float, weight: str = "") -> str:
        short = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        full = f"<title>{escape(text)}</title>" if short != text else ""
        drawn = f'<text x="{x + PAD:.0f}" y="{at:.0f}"{weight}>{escape(short)}{full}</text>'
        to = link(box.kind, box.group, name) if link is not None else None
        return drawn if to is None else f'<a href="{escape(to)}">{drawn}</a>'

    size = f'x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{box.height:.0f}"'
    outline = f'<rect {size} rx="6" fill="none" stroke="currentColor" stroke-opacity=".45"/>'
    kind = f"<title>{WORDS[box.kind]} {escape(box.group)}</title>"
    names = () if box.folded else box.names
    lines = (said(name, name, y + HEAD + LINE * (n + 0.7)) for n, name in enumerate(names))
    head = said(box.head, "", y + HEAD * 0.7, ' font-weight="bold"')
    return f"<g>{kind}{outline}{head}{''.join(lines)}</g>"


def _lines(flow: Mapping[str, Any], places: Mapping[tuple[str, str, str], tuple[float, float, float]]) -> list[str]:
    """A line for each pair of places, however many ways lie between them; full where one of them hands on a value."""
    ways: dict[tuple[float, float, float, float], set[str]] = {}
    keys = [(node["kind"], node["group"], node["name"]) for node in flow["nodes"]]
    for edge in flow["edges"]:
        start, end = (places.get(keys[edge[way]]) for way in ("from", "to"))
        if start is not None and end is not None:
            ways.setdefault((start[1], start[2], end[0], end[2]), set()).update(edge["roles"] or ("value",))
    return [_line(*way, roles) for way, roles in ways.items()]


def escape(text: str) -> str:
    """Text as it stands in XML; what cannot stand there has a sign in its place."""
    return html.escape(_NO_XML.sub("\ufffd", text))


def _line(x: float, y: float, to_x: float, to_y: float, roles: set[str]) -> str:
    bend = (to_x - x) / 2
    style = 'stroke-opacity=".7"' if roles & MADE_OF else 'stroke-width=".7" stroke-opacity=".35" stroke-dasharray="3 3"'
    path = f"M{x:.0f} {y:.0f}C{x + bend:.0f} {y:.0f} {to_x - bend:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}"
    return (
        f'<path d="{path}" fill="none" stroke="currentColor" {style}><title>{escape(", ".join(sorted(roles)))}</title></path>'
    )


__all__ = ["picture"]
