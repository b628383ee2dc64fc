"""Pictures small enough for a row of a board: a line over time with its limit, two distributions over each other.

Nothing is told by colour alone: a limit is a dashed line, the newest distribution is an outline over a filled one, and each
picture has a sentence for those who cannot see it. Numbers stand in attributes, never in styles, as the page's policy asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from featurestore.pictures.svg import finite, number, picture

WIDTH, HEIGHT, PAD = 160, 36, 3
MOST_BARS = 30
_MOST = 1e300
"""A sum that is beyond what a double holds is shown as this."""

Numbers = Sequence[float | None]


def sparkline(values: Numbers, says: str, *, limits: Numbers = (), width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """A line through values at equal distances, broken where one is None, the last one marked. limits: one for each value,
    or none; the newest is drawn dashed. says: the picture in words. Returns: nothing where there is nothing to draw."""
    known = _known(values)
    if not known:
        return Markup("")
    limit = next((x for x in reversed(limits) if finite(x)), None)
    shown = [*known, *([] if limit is None else [limit])]
    place = _Scale(len(values), min(shown), max(shown), width, height)
    parts = []
    if limit is not None:
        parts.append(f'<path class="threshold" d="M0 {place.y(limit)}H{width}"/>')
    parts.append(f'<path class="line" d="{_line(values, place)}"/>')
    last = max(n for n, v in enumerate(values) if finite(v))
    parts.append(f'<circle class="dot" cx="{place.x(last)}" cy="{place.y(values[last])}" r="2.5"/>')
    return picture(width, height, says, parts)


def overlaid(reference: Numbers, current: Numbers, says: str, *, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    """Two distributions over the same bins: the reference filled, the current one as an outline. Missing shares are 0; of more
    than MOST_BARS bins neighbours are taken together. Returns: nothing where there is nothing to draw."""
    bins = max(len(reference), len(current))
    one, other = (_gathered([*shares, *[None] * (bins - len(shares))]) for shares in (reference, current))
    most = max((*one, *other), default=0.0)
    if most <= 0:
        return Markup("")
    step, tall = width / len(one), height - PAD
    filled = "".join(
        f"M{number(n * step + 0.5)} {height}v{number(-tall * (share / most))}h{number(step - 1)}V{height}z"
        for n, share in enumerate(one)
        if share > 0
    )
    outline = f"M0 {height}" + "".join(
        f"V{number(height - tall * (share / most))}H{number((n + 1) * step)}" for n, share in enumerate(other)
    )
    parts = [f'<path class="bar" d="{filled}"/>', f'<path class="line-2" d="{outline}V{height}"/>']
    return picture(width, height, says, parts)


@dataclass(frozen=True)
class _Scale:
    """Where a value stands: the n-th of `count` from the left, the greatest at the top."""

    count: int
    low: float
    high: float
    width: int
    height: int

    def x(self, n: int) -> str:
        inner = self.width - 2 * PAD
        return number(PAD + (inner * n / (self.count - 1) if self.count > 1 else inner))

    def y(self, value: float | None) -> str:
        whole = self.high / 2 - self.low / 2  # halves, for the whole of it may be beyond what a double holds
        share = (float(value or 0.0) / 2 - self.low / 2) / whole if whole > 0 else 0.5
        return number(self.height - PAD - (self.height - 2 * PAD) * min(max(share, 0.0), 1.0))


def _line(values: Numbers, place: _Scale) -> str:
    path, pen = [], "M"
    for n, value in enumerate(values):
        if not finite(value):
            pen = "M"
            continue
        path.append(f"{pen}{place.x(n)} {place.y(value)}")
        if pen == "M":
            path.append("h.01")  # a lone point is seen too, by its round cap
        pen = "L"
    return "".join(path)


def _gathered(shares: Numbers) -> list[float]:
    """At most MOST_BARS shares, neighbours added."""
    known = [float(s) if s is not None and finite(s) and s > 0 else 0.0 for s in shares]
    together = -(-len(known) // MOST_BARS) or 1
    return [min(sum(known[n : n + together]), _MOST) for n in range(0, len(known), together)]


def _known(values: Numbers) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


__all__ = ["overlaid", "sparkline"]
