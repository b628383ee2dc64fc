"""Running aggregates along each key's timeline, also where one key holds much of the data.

Spark gives a window's partition to one task. A key that would keep one task busy long after all others are done is cut into
stretches of its timeline: aggregates run within (key, stretch), and what all earlier stretches came to is joined to each.
Which keys are so heavy, and where their timelines are cut, is the engine's to find out: it binds the relation `heavy_keys`
(the keys, and `cuts`: ticks in ascending order, at each of which a stretch begins).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.compiler.spark.facts import on_keys
from featurestore.compiler.statement import Steps

HEAVY = "heavy_keys"


def add_running(
    steps: Steps, keys: Sequence[str], timeline: str, kept: str, aggregates: Mapping[str, tuple[str, str]], *,
    skewed: bool = False, name: str = "running",
) -> None:  # fmt: skip
    """The step `name`: the keys, columns `kept`, and each aggregate over all ticks of its key up to a row's own.

    timeline: a step with the keys, `tick`, and what the aggregates take. aggregates: {column: (function, argument)}, of
    functions whose parts can be put together by themselves: max, min, sum.
    """
    by = ", ".join(keys)
    if not skewed:
        over = f"OVER (PARTITION BY {by} ORDER BY tick ROWS UNBOUNDED PRECEDING)"
        made = ", ".join(f"{function}({argument}) {over} AS {column}" for column, (function, argument) in aggregates.items())
        steps.add(name, "what has come up to each tick of a key", f"SELECT {by}, {kept}, {made}\nFROM {timeline}")
        return
    steps.add(
        f"{name}_cut",
        "the timeline of heavy keys in stretches; of all others it is one",
        f"SELECT t.*, CASE WHEN h.cuts IS NULL THEN 0 ELSE aggregate(h.cuts, 0, (n, c) -> n + CAST(c <= t.tick AS INT)) END"
        f" AS stretch\nFROM {timeline} AS t LEFT JOIN {HEAVY} AS h ON {on_keys('t', 'h', keys)}",
    )
    over = f"OVER (PARTITION BY {by}, stretch ORDER BY tick ROWS UNBOUNDED PRECEDING)"
    made = ", ".join(f"{function}({argument}) {over} AS {column}" for column, (function, argument) in aggregates.items())
    steps.add(f"{name}_within", "what has come within each stretch", f"SELECT {by}, stretch, {kept}, {made}\nFROM {name}_cut")
    whole = ", ".join(f"{function}({argument}) AS {column}" for column, (function, argument) in aggregates.items())
    steps.add(f"{name}_stretches", "what the stretches of heavy keys come to",
              f"SELECT {by}, stretch, {whole}\nFROM (\n  SELECT c.* FROM {name}_cut AS c"
              f" LEFT SEMI JOIN {HEAVY} AS h ON {on_keys('c', 'h', keys)}\n)\n"
              f"GROUP BY {by}, stretch")  # fmt: skip
    before = f"OVER (PARTITION BY {by} ORDER BY stretch ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    carried = ", ".join(f"{function}({column}) {before} AS {column}" for column, (function, _) in aggregates.items())
    steps.add(f"{name}_before", "what all earlier stretches came to",
              f"SELECT {by}, stretch, {carried}\nFROM {name}_stretches")  # fmt: skip
    joined = ", ".join(_put_together(function, column) for column, (function, _) in aggregates.items())
    steps.add(
        name,
        "what has come up to each tick of a key",
        f"SELECT {', '.join(f'w.{k}' for k in keys)}, {kept}, {joined}\nFROM {name}_within AS w\n"
        f"LEFT JOIN {name}_before AS b ON {on_keys('w', 'b', keys)} AND w.stretch = b.stretch",
    )


def _put_together(function: str, column: str) -> str:
    within, before = f"w.{column}", f"b.{column}"
    if function == "sum":
        both = f"{before} + {within}"
    else:
        sign = ">" if function == "max" else "<"
        both = f"CASE WHEN {before} {sign} {within} THEN {before} ELSE {within} END"
    return f"CASE WHEN {within} IS NULL THEN {before} WHEN {before} IS NULL THEN {within} ELSE {both} END AS {column}"


__all__ = ["HEAVY", "add_running"]
