"""Windows: several plans, one answer.

A plan turns some outputs of a Window part into one statement. Which plans can serve which outputs is decided here; which
one does is chosen by the engine from the data. Every plan gives the same values, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd

from featurestore.compiler.duckdb.facts import is_simple
from featurestore.compiler.duckdb.windows import aggregations, moments
from featurestore.compiler.duckdb.windows.frames import frames
from featurestore.compiler.duckdb.windows.measured import densities, lateness, measure_sql, sample, statistics
from featurestore.compiler.duckdb.windows.pairs import pairs
from featurestore.compiler.duckdb.windows.shared import Asked
from featurestore.compiler.duckdb.windows.snapshot import snapshot
from featurestore.compiler.duckdb.windows.split import split
from featurestore.compiler.duckdb.windows.stretches import MOST_TILES
from featurestore.compiler.duckdb.windows.sweep import aligned_sweep, lengths, sweep
from featurestore.compiler.duckdb.windows.tiles import aligned, tiles, widths
from featurestore.compiler.spans import Span, span_of
from featurestore.plan.nodes import Output, Window, facts_of

MACROS = (*aggregations.MACROS, *moments.MACROS)


@dataclass(frozen=True)
class WindowPlan:
    """One way to compute windows. serves: which outputs of a part it can; simple: only sources whose known time is event
    time plus a constant; versions: also of versioned sources; at_once: only spines whose rows all ask at one instant."""

    name: str
    sql: Callable[[Asked], str]
    serves: Callable[[Output], bool]
    simple: bool = False
    versions: bool = True
    at_once: bool = False


def _in_parts(output: Output) -> bool:
    return moments.adds(output) or output.aggregate in aggregations.EXTREMES


PLANS: Mapping[str, WindowPlan] = {
    p.name: p
    for p in (
        WindowPlan("pairs", pairs, lambda output: True),
        WindowPlan("tiles", tiles, _in_parts, simple=True),
        WindowPlan("aligned", aligned, lambda output: output.window is not None and _in_parts(output), simple=True),
        WindowPlan("frames", frames, lambda output: True, simple=True),
        WindowPlan("sweep", sweep, moments.adds),
        WindowPlan("aligned_sweep", aligned_sweep, lambda output: output.window is not None and moments.adds(output)),
        WindowPlan("split", split, lambda output: output.aggregate in aggregations.EXTREMES, versions=False),
        WindowPlan("snapshot", snapshot, lambda output: True, at_once=True),
    )
}


def strands(plan: Window) -> tuple[tuple[Output, ...], ...]:
    """The outputs of a part, those that the same plans can serve together: each strand gets one plan."""
    found: dict[tuple[str, ...], list[Output]] = {}
    for output in plan.outputs:
        found.setdefault(_able(plan, output), []).append(output)
    return tuple(tuple(outputs) for outputs in found.values())


def plans_for(plan: Window, strand: Sequence[Output]) -> tuple[str, ...]:
    """The plans that can serve a strand, `pairs` first."""
    return tuple(name for name in _able(plan, strand[0]) if name not in ALIGNED or common_length(plan, name, strand))


ALIGNED = ("aligned", "aligned_sweep")
"""Plans whose tiles have one length, chosen from the data."""


def _able(plan: Window, output: Output) -> tuple[str, ...]:
    """Of ALIGNED only whether there may be tiles that fit its window."""
    simple, versioned = is_simple(plan.facts), facts_of(plan.facts)[1] is not None
    able = (p for p in PLANS.values() if p.serves(output) and (simple or not p.simple))
    able = (p for p in able if plan.spine.at_once or not p.at_once)
    return tuple(p.name for p in able if p.versions or not versioned)


def common_length(plan: Window, name: str, outputs: Sequence[Output]) -> int:
    """The greatest length of tiles, in microseconds, that a plan of ALIGNED can have for these outputs; 0 if there is none, or
    the longest window has too many of it."""
    spans = [span_of(o) for o in outputs]
    found = widths(plan, spans) if name == "aligned" else lengths(spans)
    return gcd(*found) if all(found) and max(found) // gcd(*found) <= MOST_TILES else 0


def window_sql(asked: Asked, name: str) -> str:
    """The statement of one plan for some outputs of a part: __row, then the outputs; ordered by __row."""
    return PLANS[name].sql(asked)


__all__ = [
    "ALIGNED", "MACROS", "PLANS", "Asked", "Span", "common_length", "densities", "lateness", "measure_sql", "plans_for",
    "sample", "statistics", "strands", "window_sql",
]  # fmt: skip
