"""The report of an audit as one HTML page that needs nothing else: tables, examples, two pictures for each leaking feature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featurestore.audit.findings import CAUSES, LEAKS, MEANING, Audit
from featurestore.pictures.bars import FOOT, HEIGHT, WIDTH, names_below, rectangles

_TEMPLATE = Path(__file__).with_name("report.html")


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
        "share": rectangles([share or 0.0 for share in time["share"]], 1.0, len(time["share"])),
        "most": max((share or 0.0 for share in time["share"]), default=0.0),
        "names": names_below(values["of"]),
        "honest": rectangles(values["honest"], max(*values["honest"], *values["leaked"], 1), len(values["of"]), part=2),
        "leaked": rectangles(
            values["leaked"], max(*values["honest"], *values["leaked"], 1), len(values["of"]), part=2, second=1
        ),
        "cells": max(*values["honest"], *values["leaked"]),
    }


__all__ = ["page"]
