"""The snapshot: all rows ask at one instant, so that the facts of a key are aggregated once, each window a filter over them.

It answers every aggregate over every source, for spines that ask so. Its cost is one pass over the facts.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import add_seen, key_names
from featurestore.compiler.duckdb.windows.measured import add_measures
from featurestore.compiler.duckdb.windows.pairs import add_grouped
from featurestore.compiler.duckdb.windows.shared import Asked, add_terms, finish
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import reach_of


def snapshot(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    steps, visible, reach = Steps(), asked.plan.facts, reach_of(asked.outputs)
    add_seen(steps, visible, *([] if reach is None else [f"event_time {'>' if visible.exact else '>='} $at - {reach}"]))
    add_measures(steps, visible, asked.measures, "seen")
    source = add_terms(steps, asked)
    keys = key_names(asked.plan.spine.keys)
    add_grouped(steps, asked, source=source, by=keys, at="$at")
    return finish(steps, asked, by=keys)
