"""Windows, by the simplest correct plan: spine rows joined to the visible facts in reach, grouped per row.

Its cost is the number of (row, fact) pairs. Doubles come out as lists, summed exactly by the engine; integers are summed
in 128 bits, and a sum outside 64 is flagged rather than wrapped.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import (
    add_facts,
    add_intervals,
    input_name,
    key_names,
    live,
    on_keys,
    row_key_names,
)
from featurestore.compiler.duckdb.scalars import canonical, condition, quoted, scalar, widened
from featurestore.compiler.duckdb.types import sql_type
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import AGGREGATES
from featurestore.dtypes import INT64, DType
from featurestore.expressions import Column
from featurestore.plan.nodes import Facts, Measure, Output, Visible, Window, facts_of, measure_of, measures, reach_of


def windows(plan: Window) -> str:
    """The statement: __row, then per output its value, or the list of doubles to sum (`needs_exact_sum`), and for
    integer sums a flag `<name>__overflow`; ordered by __row."""
    steps = Steps()
    used = measures(plan.outputs)
    add_facts(steps, plan.facts)
    _, versions, _ = facts_of(plan.facts)
    if versions is None:
        _measured(steps, plan.facts, used, "facts", "")
    else:
        _versioned(steps, plan.facts, used)
    _pairs(steps, plan, versioned=versions is not None)
    grouped = [f"{_aggregate(o, used, plan.facts.exact)} AS {quoted(o.name)}" for o in plan.outputs]
    steps.add("grouped", "per spine row the aggregates of its pairs",
              f"SELECT\n{listed(['row_id', *grouped])}\nFROM pairs\nGROUP BY row_id")  # fmt: skip
    columns = ["s.row_id AS __row"]
    for output in plan.outputs:
        columns += _finished(output)
    return steps.finish(
        "the answer, in spine order; rows without facts get the value of the empty window",
        f"SELECT\n{listed(columns)}\nFROM spine AS s LEFT JOIN grouped AS g USING (row_id)\nORDER BY __row",
    )


def needs_exact_sum(output: Output) -> bool:
    """Its statement yields a list of doubles, still to be summed exactly."""
    return output.aggregate == "sum" and output.dtype.name == "double"


def needs_overflow_check(output: Output) -> bool:
    """Its statement yields a flag `<name>__overflow` beside it."""
    return output.aggregate == "sum" and output.dtype == INT64


def measure_sql(measure: Measure, types: dict[str, DType]) -> str:
    """A measure over inputs as stored: canonical, NULL where its own condition does not hold."""
    if measure.expression is None:
        sql = "TRUE"
    elif isinstance(measure.expression, Column):
        column = measure.expression.name
        stored = types[column]
        name = input_name(column)
        sql = canonical(name, stored) if stored == measure.dtype else widened(name, stored)
    else:
        sql = scalar(measure.expression, types, input_name, measure.dtype)
    if measure.where is None:
        return sql
    return f"CASE WHEN {condition(measure.where, types, input_name)} THEN {sql} END"


def measure_columns(facts: Facts, used: tuple[Measure, ...]) -> list[str]:
    types = {c.name: c.dtype for c in facts.inputs}
    return [f"{measure_sql(m, types)} AS measure_{i}" for i, m in enumerate(used, 1)]


def _measured(steps: Steps, visible: Visible, used: tuple[Measure, ...], source: str, more: str) -> None:
    facts, _, _ = facts_of(visible)
    columns = [*key_names(facts.keys), "event_time", "greatest(event_time, known_time) AS visible_from"]
    columns += ([more] if more else []) + measure_columns(facts, used)
    steps.add("measured", "facts, the instant they become visible, and what the aggregates take of them",
              f"SELECT\n{listed(columns)}\nFROM {source}")  # fmt: skip


def _versioned(steps: Steps, visible: Visible, used: tuple[Measure, ...]) -> None:
    facts, _, _ = facts_of(visible)
    row_keys = ", ".join(row_key_names(visible))
    own = ", ".join([*key_names(facts.keys), "event_time", "known_time", *(input_name(c.name) for c in facts.inputs)])
    add_intervals(steps, visible)
    steps.add(
        "facts",
        "facts, and until when each is in force (NULL: for ever)",
        f"SELECT {own}, CAST(NULL AS BIGINT) AS until\nFROM versions ANTI JOIN repeated USING ({row_keys}) "
        f"WHERE {live(visible)}\nUNION ALL\nSELECT {own}, until FROM intervals",
    )
    _measured(steps, visible, used, "facts", "until")


def _pairs(steps: Steps, plan: Window, *, versioned: bool) -> None:
    keys, exact = key_names(plan.spine.keys), plan.facts.exact
    tests = [on_keys("s", "f", keys), f"f.visible_from {'<=' if exact else '<'} s.asked_at"]
    if versioned:
        tests.append(f"(f.until IS NULL OR s.asked_at {'<' if exact else '<='} f.until)")
    reach = reach_of(plan.outputs)
    if reach is not None:
        tests.append(f"f.event_time {'>' if exact else '>='} s.asked_at - {reach}")
    used = measures(plan.outputs)
    columns = ["s.row_id", "s.asked_at", "f.event_time", *(f"f.measure_{i}" for i in range(1, len(used) + 1))]
    steps.add("pairs", "spine rows and the visible facts in reach of any window",
              f"SELECT {', '.join(columns)}\nFROM spine AS s JOIN measured AS f\nON " + "\nAND ".join(tests))  # fmt: skip


def window_test(output: Output, exact: bool) -> str:
    """Whether a pair's event time lies in [at - offset - window, at - offset), or (…, …] with exact matches; "" always."""
    low, high = (">", "<=") if exact else (">=", "<")
    tests = []
    if output.window is not None:
        tests.append(f"event_time {low} asked_at - {output.offset + output.window}")
    if output.offset:
        tests.append(f"event_time {high} asked_at - {output.offset}")
    return " AND ".join(tests)


def _aggregate(output: Output, used: tuple[Measure, ...], exact: bool) -> str:
    measure = f"measure_{used.index(measure_of(output)) + 1}"
    inside = window_test(output, exact)
    if needs_exact_sum(output):
        kept = f"{measure} IS NOT NULL" + (f" AND {inside}" if inside else "")
        return f"list({measure}) FILTER (WHERE {kept})"
    call = {"count": f"count({measure})", "count_distinct": f"count(DISTINCT {measure})", "sum": f"sum({measure})"}
    return call[output.aggregate or ""] + (f" FILTER (WHERE {inside})" if inside else "")


def _finished(output: Output) -> list[str]:
    """The output's columns in the final select: its value on rows without pairs, and the overflow flag of integer sums."""
    name = quoted(output.name)
    if needs_exact_sum(output):
        return [f"g.{name}"]
    if needs_overflow_check(output):
        flag = quoted(f"{output.name}__overflow")
        fits = f"TRY_CAST(g.{name} AS BIGINT)"
        return [f"{fits} AS {name}", f"g.{name} IS NOT NULL AND {fits} IS NULL AS {flag}"]
    empty = AGGREGATES[output.aggregate or ""].empty
    sql = f"g.{name}" if empty is None else f"coalesce(g.{name}, {empty})"
    return [f"CAST({sql} AS {sql_type(output.dtype)}) AS {name}"]
