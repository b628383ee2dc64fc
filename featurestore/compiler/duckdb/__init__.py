"""DuckDB SQL for every part of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.compiler.duckdb import profile, scalars
from featurestore.compiler.duckdb import windows as window_plans
from featurestore.compiler.duckdb.audit import CELLS, LANDMARKS, holders, landmark
from featurestore.compiler.duckdb.counts import QUARANTINED, REASONS, ambiguous, greatest_known, left_out
from featurestore.compiler.duckdb.facts import SOURCE_PREFIX, relation
from featurestore.compiler.duckdb.latest import latest
from featurestore.compiler.duckdb.on_demand import ASKED, MISSED, on_demand, operand_column
from featurestore.compiler.duckdb.online import (
    HELD,
    IN_WINDOW,
    LATEST,
    NEW_PREFIX,
    find_touched,
    online_rows,
    online_state,
    touched_too,
)
from featurestore.compiler.duckdb.probes import keys_read, times_of_facts
from featurestore.compiler.duckdb.scalars import quoted
from featurestore.compiler.duckdb.static import duplicates, static
from featurestore.compiler.duckdb.types import key_type, sql_type
from featurestore.compiler.duckdb.windows import PLANS as WINDOW_PLANS
from featurestore.compiler.duckdb.windows import Asked, plans_for, strands, window_sql
from featurestore.compiler.latest import EXPIRED, FOUND, NOT_FOUND
from featurestore.dtypes import DOUBLE
from featurestore.plan.nodes import Latest, Output, Part, StaticLookup, asked_at_once

MACROS = (*scalars.MACROS, *window_plans.MACROS)
"""What an engine defines on its connection before it runs any statement."""


@dataclass(frozen=True)
class PartStatement:
    """A statement that may serve a part of a training set, or some outputs of it: __row first, ordered by it.

    plan: the window plan it follows, "" for other parts.
    """

    outputs: tuple[Output, ...]
    sql: str
    plan: str = ""


def statements(plan: Part) -> list[PartStatement]:
    """Every statement that may serve a part. For windows: all outputs by the pair join, then what other plans can serve."""
    if isinstance(plan, Latest):
        at_once = PartStatement(plan.outputs, latest(asked_at_once(plan)), "snapshot")
        return [at_once] if plan.spine.at_once else [PartStatement(plan.outputs, latest(plan)), at_once]
    if isinstance(plan, StaticLookup):
        return [PartStatement(plan.outputs, static(plan))]
    everything = Asked(plan, plan.outputs)
    found = [PartStatement(plan.outputs, window_sql(everything, "pairs"), "pairs")]
    for outputs in strands(plan):
        for name in plans_for(plan, outputs):
            if name != "pairs" or outputs != plan.outputs:
                found.append(PartStatement(outputs, window_sql(Asked(plan, outputs), name), name))
    if not plan.spine.at_once:
        snapshot = window_sql(Asked(asked_at_once(plan), plan.outputs), "snapshot")
        found.append(PartStatement(plan.outputs, snapshot, "snapshot"))
    doubles = frozenset(n for n in everything.used if everything.dtype(n) == DOUBLE)
    wide = Asked(plan, tuple(o for o in plan.outputs if Asked(plan, (o,), doubles).is_list(o)), doubles)
    if wide.outputs:
        found.append(PartStatement(wide.outputs, window_sql(wide, "pairs"), "pairs, values as lists"))
    return found


def plainest(plan: Part) -> PartStatement:
    """The statement that may serve all of a part and is the easiest to read: for windows the pair join."""
    if isinstance(plan, Latest):
        return PartStatement(plan.outputs, latest(plan))
    if isinstance(plan, StaticLookup):
        return PartStatement(plan.outputs, static(plan))
    return PartStatement(plan.outputs, window_sql(Asked(plan, plan.outputs), "pairs"), "pairs")


__all__ = [
    "ASKED", "CELLS", "EXPIRED", "FOUND", "HELD", "IN_WINDOW", "LANDMARKS", "LATEST", "MACROS", "MISSED", "NEW_PREFIX",
    "NOT_FOUND", "QUARANTINED", "REASONS", "SOURCE_PREFIX", "WINDOW_PLANS", "Asked", "PartStatement", "ambiguous",
    "duplicates", "find_touched", "greatest_known", "holders", "key_type", "keys_read", "landmark", "latest", "left_out",
    "on_demand", "online_rows", "online_state", "operand_column", "plainest", "plans_for", "profile", "quoted", "relation",
    "sql_type", "statements", "static", "strands", "times_of_facts", "touched_too",
    "window_sql",
]  # fmt: skip
