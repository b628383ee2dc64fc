"""The steps every window plan begins with: facts, the instant they become visible, and what the aggregates take of them.

Columns of the step `measured`: keys, event_time, known_time, visible_from, measure_1… (canonical, NULL where the
measure's own condition does not hold), and until for versioned sources (the version is in force up to it; NULL: for ever).
"""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.compiler.spark.facts import add_facts, add_intervals, input_name, key_names, on_keys, visible_from
from featurestore.compiler.spark.scalars import canonical, condition, scalar, widened
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DOUBLE, DType
from featurestore.expressions import Column
from featurestore.plan.nodes import Facts, Measure, Settled, Visible, Window, facts_of, measures


def measure_sql(measure: Measure, types: Mapping[str, DType]) -> str:
    """A measure over inputs as stored: canonical, NULL where its own condition does not hold."""
    if measure.expression is None:
        sql = "TRUE"
    elif isinstance(measure.expression, Column):
        column = measure.expression.name
        stored, name = types[column], input_name(column)
        sql = canonical(name, stored) if stored == measure.dtype else widened(name, stored)
    else:
        sql = scalar(measure.expression, types, input_name, measure.dtype)
    if measure.where is None:
        return sql
    return f"CASE WHEN {condition(measure.where, types, input_name)} THEN {sql} END"


def measure_name(number: int) -> str:
    return f"measure_{number}"


def add_measured(steps: Steps, visible: Visible | Settled, used: tuple[Measure, ...]) -> None:
    """The step `measured`, and those before it."""
    facts, versions, _ = facts_of(visible)
    add_facts(steps, visible)
    source = "facts"
    if versions is not None:
        add_intervals(steps, visible)
        source = "intervals"
    columns = [*key_names(facts.keys), "event_time", "known_time", f"{visible_from(visible)} AS visible_from"]
    columns += ["until"] if versions is not None else []
    columns += measure_columns(facts, used)
    steps.add("measured", "facts, the instant they become visible, and what the aggregates take of them",
              f"SELECT\n{listed(columns)}\nFROM {source}")  # fmt: skip


def measure_columns(facts: Facts, used: tuple[Measure, ...]) -> list[str]:
    types = {c.name: c.dtype for c in facts.inputs}
    return [f"{measure_sql(m, types)} AS {measure_name(i)}" for i, m in enumerate(used, 1)]


def is_whole(dtype: DType) -> bool:
    """Integers and decimals: numbers that are whole, or are once their decimal point is taken out."""
    return dtype.is_integer or dtype.is_decimal


def statistics(plan: Window) -> str:
    """The statement of one row, in one pass over the source: facts, the first and last instant of any (event or known), how
    late any is known (`latest`), and of every measure of numbers how many are not NULL (`present_i`); of doubles also how
    many are finite (`finite_i`) and the least and greatest magnitude that is neither zero nor infinite (`least_i`,
    `greatest_i`), of whole numbers the least and greatest. Versions count each."""
    steps = Steps()
    used = measures(plan.outputs)
    facts, _, _ = facts_of(plan.facts)
    source = _add_source(steps, plan)
    read = [c for c, m in zip(measure_columns(facts, used), used, strict=True) if m.dtype == DOUBLE or is_whole(m.dtype)]
    return steps.finish("over all facts",
                        f"SELECT\n{listed([f'{sql} AS {name}' for name, sql in _counted(used).items()])}\n"
                        f"FROM (SELECT {', '.join(['event_time', 'known_time', *read])} FROM {source})")  # fmt: skip


def _counted(used: tuple[Measure, ...]) -> dict[str, str]:
    """name -> an aggregate over facts."""
    found = {
        "facts": "count(*)",
        "first_instant": "min(least(event_time, known_time))",
        "last_instant": "max(greatest(event_time, known_time))",
        "latest": "max(greatest(known_time - event_time, 0))",
    }
    for i, measure in enumerate(used, 1):
        m = measure_name(i)
        if is_whole(measure.dtype):
            found |= {f"present_{i}": f"count({m})", f"least_{i}": f"min({m})", f"greatest_{i}": f"max({m})"}
        if measure.dtype == DOUBLE:
            size = f"CASE WHEN abs({m}) < CAST('Infinity' AS DOUBLE) AND {m} <> 0 THEN abs({m}) END"
            found |= {f"present_{i}": f"count({m})", f"least_{i}": f"min({size})", f"greatest_{i}": f"max({size})"}
            found[f"finite_{i}"] = f"count(CASE WHEN abs({m}) < CAST('Infinity' AS DOUBLE) THEN 1 END)"
    return found


def densities(plan: Window) -> str:
    """The statement of one row, from two counts per key: the facts that all spine rows meet together (`met`), those of the
    busiest key (`most`), and the spine rows of the busiest (`most_asked`)."""
    steps = Steps()
    source, keys = _add_source(steps, plan), key_names(plan.spine.keys)
    by = ", ".join(keys)
    steps.add("per_key", "how many facts each key has", f"SELECT {by}, count(*) AS facts\nFROM {source}\nGROUP BY {by}")
    steps.add("asked_for", "how many rows ask for each key", f"SELECT {by}, count(*) AS asked\nFROM spine\nGROUP BY {by}")
    return steps.finish(
        "over all keys",
        "SELECT coalesce(sum(p.facts * coalesce(a.asked, 0)), 0) AS met, coalesce(max(p.facts), 0) AS most,\n"
        "  coalesce(max(a.asked), 0) AS most_asked\n"
        f"FROM per_key AS p LEFT JOIN asked_for AS a ON {on_keys('p', 'a', keys)}",
    )


def _add_source(steps: Steps, plan: Window) -> str:
    """The steps up to facts, or versions. Returns: the last."""
    add_facts(steps, plan.facts)
    return "facts" if facts_of(plan.facts)[1] is None else "versions"
