"""A chart with two logarithmic axes, as SVG: seconds against events per key, one line per contender."""

from __future__ import annotations

import math
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 210, 20, 52
COLOURS = ("#0b6e4f", "#2a9d8f", "#8d99ae", "#5c677d", "#bc6c25", "#9d4edd", "#d62828")
TEXT = 'font-family="sans-serif" font-size="12" fill="#333"'


def chart(points: dict[str, dict[int, float]]) -> str:
    """The document. points: series -> events per key -> seconds, all positive."""
    xs = [x for series in points.values() for x in series]
    ys = [y for series in points.values() for y in series.values()]
    across, up = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT), _Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Seconds against events per key</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_grid(across, up),
    ]
    for number, (name, series) in enumerate(points.items()):
        lines += _series(number, name, [(across(x), up(y)) for x, y in sorted(series.items())])
    return "\n".join([*lines, "</svg>"]) + "\n"


class _Axis:
    """Whole decades from just below the least value to just above the greatest, laid on pixels."""

    def __init__(self, least: float, greatest: float, start: float, end: float) -> None:
        self.low, self.high = math.floor(math.log10(least)), math.ceil(math.log10(greatest))
        self.high = max(self.high, self.low + 1)
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _grid(across: _Axis, up: _Axis) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    lines = []
    for value in across.decades():
        x = across(value)
        lines.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" {TEXT}>{value:,.0f}</text>')
    for value in up.decades():
        y = up(value)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" {TEXT}>{value:,g} s</text>')
    lines.append(f'<text x="{(LEFT + right) / 2:.1f}" y="{HEIGHT - 12}" text-anchor="middle" {TEXT}>events per key</text>')
    return lines


def _series(number: int, name: str, places: list[tuple[float, float]]) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    key, at = WIDTH - RIGHT + 16, TOP + 14 + 22 * number
    return [
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places),
        f'<path d="M{key} {at}h18" stroke="{colour}" stroke-width="2"/>',
        f'<text x="{key + 24}" y="{at + 4}" {TEXT}>{escape(name)}</text>',
    ]
