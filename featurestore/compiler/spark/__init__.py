"""Spark SQL for every part of a plan."""

from __future__ import annotations

from featurestore.compiler.latest import EXPIRED, FOUND, NOT_FOUND
from featurestore.compiler.online import HELD, IN_WINDOW, LATEST, NEW_PREFIX
from featurestore.compiler.spark import windows
from featurestore.compiler.spark.counts import QUARANTINED, REASONS, ambiguous, greatest_known, left_out
from featurestore.compiler.spark.facts import SOURCE_PREFIX, relation
from featurestore.compiler.spark.latest import latest
from featurestore.compiler.spark.online import (
    find_touched,
    online_rows,
    online_state,
    touched_too,
)
from featurestore.compiler.spark.scalars import quoted
from featurestore.compiler.spark.skew import HEAVY
from featurestore.compiler.spark.statements import PartStatement
from featurestore.compiler.spark.static import duplicates, static
from featurestore.compiler.spark.types import key_type, sql_type
from featurestore.plan.nodes import Latest, Part, StaticLookup


def statements(plan: Part) -> list[PartStatement]:
    """The statements that serve a part: together they give all its outputs, each once."""
    if isinstance(plan, Latest):
        return [PartStatement(plan.outputs, latest(plan))]
    if isinstance(plan, StaticLookup):
        return [PartStatement(plan.outputs, static(plan))]
    return windows.statements(plan)


__all__ = [
    "EXPIRED", "FOUND", "HEAVY", "HELD", "IN_WINDOW", "LATEST", "NEW_PREFIX", "NOT_FOUND", "QUARANTINED", "REASONS",
    "SOURCE_PREFIX", "PartStatement", "ambiguous", "duplicates", "find_touched", "greatest_known", "key_type", "latest",
    "left_out", "online_rows", "online_state", "quoted", "relation", "sql_type", "statements", "static", "touched_too",
]  # fmt: skip
