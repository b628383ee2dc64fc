"""The few pieces that every picture is made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeGuard

from markupsafe import Markup, escape


def picture(width: float, height: float, label: str, parts: Iterable[str]) -> Markup:
    """An <svg> of its size in pixels, which shrinks with its place. label: says in words what is seen."""
    head = f'<svg class="picture" role="img" aria-label="{escape(label)}" viewBox="0 0 {number(width)} {number(height)}"'
    return Markup(f'{head} width="{number(width)}" height="{number(height)}" xmlns="http://www.w3.org/2000/svg">') + Markup(
        "".join(parts) + "</svg>"
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", most: int = 40) -> str:
    """Words at a place; the whole of those that are cut stands in a <title>."""
    place = f'<text x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">'
    if len(words) <= most:
        return f"{place}{escape(words)}</text>"
    return f"{place}<title>{escape(words)}</title>{escape(words[: most - 1])}…</text>"


def number(value: float) -> str:
    """A coordinate, as short as it can be."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"


def shown(value: float) -> str:
    """A value as an axis says it."""
    return f"{value:.4g}"


def finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


__all__ = ["finite", "number", "picture", "shown", "text"]
