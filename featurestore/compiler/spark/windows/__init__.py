"""Windows in Spark SQL: several plans, one answer.

A plan turns some outputs of a Window part into one statement. Which plans can serve which outputs is decided here; which
one does is chosen by the engine from the data. Every plan gives the same values, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from featurestore.compiler.spark.facts import is_simple
from featurestore.compiler.spark.statements import PartStatement
from featurestore.compiler.spark.windows import aggregations, moments
from featurestore.compiler.spark.windows.edges import edges
from featurestore.compiler.spark.windows.measured import densities, statistics
from featurestore.compiler.spark.windows.pairs import pairs
from featurestore.compiler.spark.windows.shared import Asked
from featurestore.compiler.spark.windows.sweep import sweep
from featurestore.plan.nodes import Output, Window


@dataclass(frozen=True)
class WindowPlan:
    """One way to compute windows. serves: which outputs of a part it can; simple: whether of sources whose known time is event
    time plus a constant, of others, or (None) of all."""

    name: str
    sql: Callable[[Asked], str]
    serves: Callable[[Output], bool]
    simple: bool | None = None


PLANS: Mapping[str, WindowPlan] = {
    p.name: p
    for p in (
        WindowPlan("pairs", pairs, lambda output: True),
        WindowPlan("edges", edges, lambda output: moments.adds(output) or output.aggregate in aggregations.EXTREMES, True),
        WindowPlan("sweep", sweep, moments.adds, False),
    )
}


def plans_for(plan: Window, output: Output) -> tuple[str, ...]:
    """The plans that can serve an output, `pairs` first."""
    simple = is_simple(plan.facts)
    return tuple(p.name for p in PLANS.values() if p.serves(output) and p.simple in (None, simple))


def window_sql(asked: Asked, name: str) -> str:
    """The statement of one plan for some outputs of a part: __row, then the outputs."""
    return PLANS[name].sql(asked)


def statements(plan: Window) -> list[PartStatement]:
    """The statements that serve a part where nothing is known of its data: the pair join only what no other plan can."""
    chosen: dict[str, list[Output]] = {}
    for output in plan.outputs:
        chosen.setdefault(plans_for(plan, output)[-1], []).append(output)
    return [_statement(Asked(plan, tuple(outputs)), name) for name, outputs in chosen.items()]


def _statement(asked: Asked, name: str) -> PartStatement:
    listed = frozenset(o.name for o in asked.outputs if asked.is_list(o))
    return PartStatement(asked.outputs, window_sql(asked, name), name, listed=listed)


def strands(plan: Window) -> tuple[tuple[Output, ...], ...]:
    """The outputs of a part, those that the same plans can serve together."""
    found: dict[tuple[str, ...], list[Output]] = {}
    for output in plan.outputs:
        found.setdefault(plans_for(plan, output), []).append(output)
    return tuple(tuple(outputs) for outputs in found.values())


__all__ = ["PLANS", "Asked", "densities", "plans_for", "statements", "statistics", "strands", "window_sql"]
