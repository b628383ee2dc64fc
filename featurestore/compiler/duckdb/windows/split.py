"""Facts known soon on a grid, the others beside it: extremes over sources with known times of their own.

A fact known at most $soon after it happened is visible at t whenever it happened before t - $soon: the grid of tiles answers
for those. What happened since, and whatever became known later than that, meets the rows one by one, with its own test.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.windows import aggregations
from featurestore.compiler.duckdb.windows.grid import Grid
from featurestore.compiler.duckdb.windows.measured import add_measured
from featurestore.compiler.duckdb.windows.pairs import add_grouped, add_pairs
from featurestore.compiler.duckdb.windows.shared import Asked, finish
from featurestore.compiler.duckdb.windows.tiles import add_tiled
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import reach_of


def split(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    steps, reach = Steps(), reach_of(asked.outputs)
    add_measured(steps, asked.plan.facts, asked.measures)
    steps.add("soon", "facts known soon after they happened",
              "SELECT * FROM measured WHERE visible_from - event_time <= $soon", materialized=False)  # fmt: skip
    found = add_tiled(steps, asked, Grid, source="soon", delay="$soon")
    steps.add("whole", "per spine row what its windows hold of those, up to the time for which all of them are known",
              f"SELECT\n{listed(found)}\nFROM stretches")  # fmt: skip
    steps.add("late", "facts known later",
              "SELECT * FROM measured WHERE visible_from - event_time > $soon", materialized=False)  # fmt: skip
    add_pairs(steps, asked, "soon", "$soon" if reach is None else f"least($soon, {reach})", "recent_")
    add_pairs(steps, asked, "late", reach, "late_")
    steps.add("pairs", "rows with the facts known soon that happened since, and with those known later",
              "SELECT * FROM recent_pairs\nUNION ALL\nSELECT * FROM late_pairs", materialized=False)  # fmt: skip
    add_grouped(steps, asked, "apart")
    values = []
    for position, output in enumerate(asked.others, 1):
        both = aggregations.BOTH[aggregations.EXTREMES[output.aggregate or ""][0]]
        values.append(f"{both}(w.value_{position}, a.value_{position}) AS value_{position}")
    steps.add("grouped", "both together",
              f"SELECT\n{listed(['row_id', *values])}\nFROM whole AS w FULL JOIN apart AS a USING (row_id)")  # fmt: skip
    return finish(steps, asked)
