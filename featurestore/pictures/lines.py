"""Values over time: a line with its axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from markupsafe import Markup

from featurestore.pictures.svg import finite, number, picture, shown, text

WIDTH, HEIGHT = 640.0, 160.0
LEFT, TOP, FOOT = 56.0, 10.0, 22.0

Point = tuple[float, float | None]
"""Place along the axis, and value; None where there is none: the line is broken there."""


def line(
    points: Sequence[Point], *, label: str, ends: tuple[str, str] = ("", ""),
    band: Sequence[tuple[float, float | None, float | None]] = (), width: float = WIDTH, height: float = HEIGHT,
) -> Markup:  # fmt: skip
    """A line from the left to the right. ends: names of the least and the greatest place. band: (place, from, to) of an area
    behind the line, such as quantiles."""
    places = [x for x, *_ in (*points, *band) if finite(x)]
    values = [y for _, *ys in (*points, *band) for y in ys if y is not None and finite(y)]
    if not places or not values:
        return picture(width, height, f"{label}: nothing to show", [text(LEFT, height / 2, "nothing to show yet")])
    across, up = _scale(places, LEFT, width - 8), _scale(values, height - FOOT, TOP)
    parts = [*_axes(values, up, width, height, ends), *_area(band, across, up), *_path(points, across, up)]
    return picture(width, height, label, parts)


class _scale:
    """From values to coordinates; what is all the same goes in the middle."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        listed = list(values)
        self.low, self.high = min(listed), max(listed)
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        span = self.high / 2 - self.low / 2  # halves: the span of doubles may be no double
        share = (value / 2 - self.low / 2) / span if span > 0 else 0.5
        return self.start + (self.end - self.start) * share


def _axes(values: Sequence[float], up: _scale, width: float, height: float, ends: tuple[str, str]) -> Iterator[str]:
    low, high = min(values), max(values)
    for value in dict.fromkeys((low, low / 2 + high / 2, high)):
        y = up(value)
        yield f'<path class="axis" d="M{LEFT:g} {number(y)}H{number(width - 8)}"/>'
        yield text(LEFT - 6, y + 4, shown(value), anchor="end")
    yield text(LEFT, height - 5, ends[0])
    yield text(width - 8, height - 5, ends[1], anchor="end")


def _path(points: Sequence[Point], across: _scale, up: _scale) -> Iterator[str]:
    """The line, broken where a value is missing; a dot where a value has no neighbour."""
    run: list[tuple[float, float]] = []
    for x, y in [*points, (0.0, None)]:
        if y is not None and finite(y) and finite(x):
            run.append((across(x), up(y)))
            continue
        if len(run) == 1:
            yield f'<circle class="dot" cx="{number(run[0][0])}" cy="{number(run[0][1])}" r="2.5"/>'
        elif run:
            yield f'<path class="line" d="M{"L".join(f"{number(a)} {number(b)}" for a, b in run)}"/>'
        run = []


def _area(band: Sequence[tuple[float, float | None, float | None]], across: _scale, up: _scale) -> Iterator[str]:
    known = [(x, a, b) for x, a, b in band if finite(x) and a is not None and b is not None and finite(a) and finite(b)]
    if len(known) < 2:
        return
    there = [f"{number(across(x))} {number(up(b))}" for x, _, b in known]
    back = [f"{number(across(x))} {number(up(a))}" for x, a, _ in reversed(known)]
    yield f'<path class="band" d="M{"L".join([*there, *back])}Z"/>'


__all__ = ["line"]
