"""Bars side by side: where they stand, and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from featurestore.pictures.svg import finite, number, picture, shown, text

WIDTH, HEIGHT, FOOT = 440.0, 130.0, 34.0


class Bar(NamedTuple):
    """A rectangle, from the picture's upper left corner, and the value it stands for."""

    x: float
    y: float
    w: float
    h: float
    value: float


def rectangles(
    heights: Sequence[float | None], greatest: float, count: int,
    *, part: int = 1, second: int = 0, width: float = WIDTH, height: float = HEIGHT,
) -> list[Bar]:  # fmt: skip
    """Bars from the left: `count` places of which each holds `part` bars side by side; `second` says which of them."""
    place = width / max(count, 1)
    wide = place * 0.86 / part
    made = []
    for n, value in enumerate(heights):
        known = value if value is not None and finite(value) else 0.0
        tall = height * min(max(known / greatest, 0.0), 1.0) if finite(greatest) and greatest > 0 else 0.0
        made.append(Bar(round(n * place + second * wide, 2), round(height - tall, 2), round(wide, 2), round(tall, 2), known))
    return made


def names_below(names: Sequence[str], *, width: float = WIDTH, most: int = 12) -> list[tuple[float, str]]:
    """(place, name) of at most eight names along the foot, the last one always; none of none."""
    if not names:
        return []
    place, step = width / len(names), max(1, -(-len(names) // 7))
    chosen = [n for n in range(0, len(names), step) if len(names) - 1 - n >= step or n == 0] + [len(names) - 1]
    return [(round((n + 0.5) * place, 1), names[n][:most]) for n in dict.fromkeys(chosen)]


def histogram(
    edges: Sequence[float], counts: Sequence[float | None], *, label: str, width: float = WIDTH, height: float = HEIGHT
) -> Markup:
    """Bars of equal width over intervals: one edge more than counts. The greatest and least edges are named."""
    greatest = max((v for v in counts if finite(v)), default=0.0)
    parts = [f'<path class="axis" d="M0 {number(height)}H{number(width)}"/>']
    parts += [
        f'<rect class="bar" x="{number(bar.x)}" y="{number(bar.y + 4)}" width="{number(bar.w)}" '
        f'height="{number(bar.h)}"><title>{shown(bar.value)}</title></rect>'
        for bar in rectangles(counts, greatest, len(counts), width=width, height=height - 4)
    ]
    ends = [edge for edge in (edges[0], edges[-1]) if finite(edge)] if len(edges) else []
    if len(ends) == 2:
        parts += [text(0, height + 14, shown(ends[0])), text(width, height + 14, shown(ends[1]), anchor="end")]
    return picture(width, height + FOOT, label, parts)


__all__ = ["FOOT", "HEIGHT", "WIDTH", "Bar", "histogram", "names_below", "rectangles"]
