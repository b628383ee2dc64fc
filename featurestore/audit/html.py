"""The report of an audit as one HTML page that needs nothing else: tables, examples, two pictures for each leaking feature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featurestore.audit.findings import CAUSES, LEAKS, MEANING, Audit

_TEMPLATE = Path(__file__).with_name("report.html")
WIDTH, HEIGHT, FOOT = 440, 130, 34


def page(found: Audit) -> str:
    """The document."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        found=found,
        causes=[cause for cause in CAUSES if cause in found.causes()],
        meaning=MEANING,
        leaks=LEAKS,
        pictures={name: _pictures(shown) for name, shown in found.pictures.items()},
        width=WIDTH,
        height=HEIGHT,
        foot=FOOT,
    )


def _pictures(shown: dict[str, Any]) -> dict[str, Any]:
    time, values = shown["over_time"], shown["values"]
    return {
        "from": time["from"][:10],
        "to": time["to"][:10],
        "share": _bars([share or 0.0 for share in time["share"]], 1.0, len(time["share"])),
        "most": max((share or 0.0 for share in time["share"]), default=0.0),
        "names": _names(values["of"]),
        "honest": _bars(values["honest"], max(*values["honest"], *values["leaked"], 1), len(values["of"]), part=2),
        "leaked": _bars(values["leaked"], max(*values["honest"], *values["leaked"], 1), len(values["of"]), part=2, second=1),
        "cells": max(*values["honest"], *values["leaked"]),
    }


def _bars(heights: Sequence[float], greatest: float, count: int, *, part: int = 1, second: int = 0) -> list[dict[str, float]]:
    """Rectangles, from the left: `count` places of which each holds `part` bars side by side; `second` says which of them."""
    place = WIDTH / max(count, 1)
    wide = place * 0.86 / part
    return [
        {
            "x": round(n * place + second * wide, 2),
            "w": round(wide, 2),
            "h": round(HEIGHT * value / greatest, 2),
            "y": round(HEIGHT - HEIGHT * value / greatest, 2),
            "value": value,
        }
        for n, value in enumerate(heights)
    ]


def _names(names: Sequence[str]) -> list[tuple[float, str]]:
    """(place, name) of at most eight names along the foot, the last one always."""
    place, step = WIDTH / max(len(names), 1), max(1, len(names) // 6)
    shown = [n for n in range(0, len(names), step) if len(names) - 1 - n >= step or n == 0] + [len(names) - 1]
    return [(round((n + 0.5) * place, 1), names[n][:12]) for n in dict.fromkeys(shown)]


__all__ = ["page"]
