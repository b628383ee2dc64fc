"""A comparison as one HTML page that needs nothing else: a table, PSI of all features as bars, and both sides of each feature
over the same bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from featurestore.intervals import format_instant
from featurestore.monitoring.drift.found import ALL, Comparison, FeatureDrift
from featurestore.monitoring.drift.rules import MEASURES
from featurestore.monitoring.results import ALERT

_TEMPLATE = Path(__file__).with_name("report.html")
WIDTH, HEIGHT, FOOT, ROW = 440, 130, 34, 20
MOST_PICTURES = 60
"""Features that get a picture, those with alerts first; of windows those with alerts alone."""
MOST_BARS, LONG = 40, 240
MEASURED = ("ks", "wasserstein_std", "psi", "js", "chi_square", "null_rate", "nan_rate", "new_categories", "auc")


def page(found: Comparison) -> str:
    """The document."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    windows = list(dict.fromkeys(f.window for f in found.features if f.window is not None))
    drawn = sorted((f for f in found.features if f.shown), key=lambda f: f.status != ALERT)
    drawn = [f for f in drawn if f.window is None or f.status == ALERT]
    pictured = drawn[:MOST_PICTURES]
    return template.render(
        found=found,
        all=ALL,
        measures=[(name, MEASURES[name].title) for name in MEASURED if any(name in f.effects for f in found.features)],
        windows=[_span(window) for window in windows],
        over_time=_over_time(found.features, windows),
        bars=_psi([] if windows else found.features),
        pictures=[(feature, picture(feature.shown or {})) for feature in pictured],
        left_out=len(drawn) - len(pictured),
        span=_span,
        width=WIDTH,
        height=HEIGHT,
        foot=FOOT,
        row=ROW,
    )


def _span(window: tuple[int, int]) -> str:
    return " to ".join(format_instant(end).replace("T00:00:00.000000Z", "").replace(".000000Z", "Z") for end in window)


def _over_time(features: Sequence[FeatureDrift], windows: Sequence[tuple[int, int]]) -> list[tuple[str, list[Any]]]:
    """(feature, what it is like in each window: (effect of its first measure, whether it alerts), or None)."""
    found: dict[str, dict[tuple[int, int], tuple[float | None, bool]]] = {}
    for f in features:
        if f.window is not None:
            effect = next((f.effects[name] for name in ("ks", "chi_square", "null_rate") if name in f.effects), None)
            found.setdefault(f.name, {})[f.window] = effect, f.status == ALERT
    return [(name, [cells.get(window) for window in windows]) for name, cells in found.items()]


def _psi(features: Sequence[FeatureDrift]) -> list[dict[str, Any]]:
    """A bar for each feature that has a PSI, the longest first."""
    known = [(f.effects.get("psi") or 0.0, f) for f in features if f.effects.get("psi") is not None]
    known = sorted(known, key=lambda pair: -pair[0])[:MOST_BARS]
    greatest = max((psi for psi, _ in known), default=0.0) or 1.0
    return [
        {
            "name": f.name,
            "short": _short(f.name, 28),
            "psi": psi,
            "w": round(LONG * psi / greatest, 1),
            "alert": f.status == ALERT,
        }
        for psi, f in known
    ]


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def picture(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Bars of the reference, the outline of current, and names along the foot: shares of values by bin."""
    reference, current = shown["reference"], shown["current"]
    greatest = max(*reference, *current, 1e-9)
    place = WIDTH / len(reference)
    heights = [round(HEIGHT * share / greatest, 2) for share in reference]
    bars = [
        {"x": round(n * place + 0.5, 2), "w": round(max(place - 1, 0.5), 2), "h": h, "y": round(HEIGHT - h, 2)}
        for n, h in enumerate(heights)
    ]
    return {
        "bars": bars,
        "outline": _outline(current, greatest),
        "greatest": greatest,
        "names": _names(shown),
        "of": _of(shown),
    }


def _outline(shares: Sequence[float], greatest: float) -> str:
    """A line along the tops of bars that are not drawn, down to the foot at both ends."""
    place = WIDTH / len(shares)
    steps = [f"V{HEIGHT - HEIGHT * share / greatest:.2f}H{(n + 1) * place:.2f}" for n, share in enumerate(shares)]
    return f"M0 {HEIGHT}" + "".join(steps) + f"V{HEIGHT}"


def _names(shown: Mapping[str, Any]) -> list[tuple[float, str]]:
    """(place, text) along the foot: five ends of bins, or up to eight categories."""
    if "edges" in shown:
        edges = shown["edges"]
        at = dict.fromkeys(round(k * (len(edges) - 1) / 4) for k in range(5))
        return [(round(WIDTH * n / (len(edges) - 1), 1), f"{edges[n]:.4g}") for n in at]
    names, place = shown["names"], WIDTH / len(shown["names"])
    step = -(-len(names) // 8)
    return [(round((n + 0.5) * place, 1), _short(names[n], 8 if len(names) > 4 else 14)) for n in range(0, len(names), step)]


def _of(shown: Mapping[str, Any]) -> list[str]:
    """What each bar is of, for its title."""
    if "names" in shown:
        return list(shown["names"])
    edges = shown["edges"]
    return [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]


__all__ = ["page", "picture"]
