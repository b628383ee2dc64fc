"""The skew board: which served values differ from the offline truth, how often, since when, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from featurestore.server.page.boards.drift import over_time
from featurestore.server.page.boards.findings import Series, number, part
from featurestore.server.page.boards.words import State, instant, percent, short, state, text

CHECKS = ("skew",)
EXAMPLES = 5
"""Of a feature; more are in the results themselves."""
_CAUSES = 6


@dataclass(frozen=True)
class Example:
    """One cell that was served otherwise than it is true."""

    keys: str
    t: str
    served: str
    truth: str
    cause: str


@dataclass(frozen=True)
class Row:
    """A feature of a service, or the service as a whole. causes: (cause, cells) as text."""

    name: str
    state: State
    rate: str
    threshold: str
    compared: str
    mismatched: str
    unverifiable: str
    causes: Sequence[tuple[str, str]]
    examples: Sequence[Example]
    over_time: Markup
    what: str


def row(series: Series) -> Row:
    r = series.latest
    counts = {name: short(number(r.details.get(name))) for name in ("compared", "mismatched", "unverifiable")}
    name = r.feature or "all features together"
    return Row(
        name=name,
        state=state(r.status),
        rate=percent(number(r.value)),
        threshold=percent(number(r.threshold)),
        causes=_causes(part(r.details, "causes")),
        examples=_examples(part(r.details, "examples")),
        over_time=over_time(series, name),
        what=text(r.what, 240),
        **counts,
    )


def _causes(told: object) -> list[tuple[str, str]]:
    """The most frequent causes. told: {cause: cells}."""
    if not isinstance(told, Mapping):
        return []
    counted = sorted(((text(cause), number(cells) or 0.0) for cause, cells in told.items()), key=lambda c: -c[1])
    return [(cause.replace("_", " "), short(cells)) for cause, cells in counted[:_CAUSES]]


def _examples(told: object) -> list[Example]:
    if not isinstance(told, list | tuple):
        return []
    return [_example(one) for one in told[:EXAMPLES] if isinstance(one, Mapping)]


def _example(told: Mapping[str, object]) -> Example:
    keys = told.get("keys")
    named = ", ".join(f"{k}={text(v, 40)}" for k, v in keys.items()) if isinstance(keys, Mapping) else text(keys)
    t = told.get("t")
    return Example(
        keys=text(named, 100),
        t=instant(t) if isinstance(t, int) and not isinstance(t, bool) else text(t),
        served=text(told.get("served")),
        truth=text(told.get("truth")),
        cause=text(told.get("cause") or "").replace("_", " "),
    )


__all__ = ["CHECKS", "EXAMPLES", "Example", "Row", "row"]
