"""Windows, by the simplest correct plan: spine rows joined to the visible facts in reach, grouped per row.

Its cost is the number of (row, fact) pairs. Doubles come out as lists, summed exactly by the engine; integers are summed
in 128 bits, and a sum outside 64 is flagged rather than wrapped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from featurestore.compiler.duckdb.facts import (
    add_facts,
    add_intervals,
    input_name,
    key_names,
    live,
    on_keys,
    row_key_names,
)
from featurestore.compiler.duckdb.scalars import as_double, canonical, condition, quoted, scalar, sortable, widened
from featurestore.compiler.duckdb.types import sql_type
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import AGGREGATES
from featurestore.definitions.aggregation import Parameter
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
    """Its statement yields a list of numbers, still to be made a sum, mean or variance of by `engines.exact`."""
    return output.aggregate in _MOMENTS or (output.aggregate == "sum" and output.dtype.name == "double")


def needs_overflow_check(output: Output) -> bool:
    """Its statement yields a flag `<name>__overflow` beside it."""
    return output.aggregate == "sum" and output.dtype == INT64


_MOMENTS = {"mean", "var_samp", "var_pop", "stddev_samp", "stddev_pop"}


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
    columns = [*key_names(facts.keys), "event_time", "known_time", "greatest(event_time, known_time) AS visible_from"]
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
    times = ["f.event_time", "f.known_time"] if any(o.aggregate in _BY_TIME for o in plan.outputs) else ["f.event_time"]
    columns = ["s.row_id", "s.asked_at", *times, *(f"f.measure_{i}" for i in range(1, len(used) + 1))]
    steps.add("pairs", "spine rows and the visible facts in reach of any window",
              f"SELECT {', '.join(columns)}\nFROM spine AS s JOIN measured AS f\nON " + "\nAND ".join(tests))  # fmt: skip


_BY_TIME = {"first", "last", "first_k", "last_k"}


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
    """The aggregate over the pairs of one spine row that its window covers."""
    taken = measure_of(output)
    measure, kept = f"measure_{used.index(taken) + 1}", window_test(output, exact)
    name = "list" if needs_exact_sum(output) else output.aggregate or ""
    if name not in _SKIP_NULLS:
        kept = f"{measure} IS NOT NULL" + (f" AND {kept}" if kept else "")
    call = AGGREGATIONS[name](measure, taken, output.parameter)
    return call.replace("FILTERED", f"FILTER (WHERE {kept})" if kept else "").rstrip()


_SKIP_NULLS = {"count", "sum", "count_distinct", "min", "max", "any", "all"}
"""Aggregates of the engine's own that pass over NULLs."""


def _timed(measure: str, taken: Measure) -> str:
    """What orders values by time, the value itself last; lists are sorted by what the contract makes of their items."""
    sorting = [sortable(measure, taken.dtype)] if taken.dtype.is_list else []
    return f"row({', '.join(['event_time', 'known_time', *sorting, measure])})"


def _at_end(function: str) -> Callable[[str, Measure, Parameter], str]:
    return lambda m, taken, _: f"({function}({_timed(m, taken)}) FILTERED)[{4 if taken.dtype.is_list else 3}]"


def _ends(function: str, *, turned: bool) -> Callable[[str, Measure, Parameter], str]:
    def call(measure: str, taken: Measure, k: Parameter) -> str:
        found = f"{function}({_timed(measure, taken)}, {k}) FILTERED"
        return f"list_transform({f'list_reverse({found})' if turned else found}, lambda x: x[3])"

    return call


AGGREGATIONS: Mapping[str, Callable[[str, Measure, Parameter], str]] = {
    "count": lambda m, _, __: f"count({m}) FILTERED",
    "sum": lambda m, _, __: f"sum({m}) FILTERED",
    "list": lambda m, _, __: f"list({m}) FILTERED",
    "min": lambda m, _, __: f"min({m}) FILTERED",
    "max": lambda m, _, __: f"max({m}) FILTERED",
    "count_distinct": lambda m, _, __: f"count(DISTINCT {m}) FILTERED",
    "first": _at_end("min"),
    "last": _at_end("max"),
    "first_k": _ends("min", turned=False),
    "last_k": _ends("max", turned=True),
    "min_k": lambda m, _, k: f"min({m}, {k}) FILTERED",
    "max_k": lambda m, _, k: f"max({m}, {k}) FILTERED",
    "median": lambda m, taken, _: f"quantile_between(list({as_double(m, taken.dtype)}) FILTERED, 0.5::DOUBLE)",
    "quantile": lambda m, taken, q: f"quantile_between(list({as_double(m, taken.dtype)}) FILTERED, {q!r}::DOUBLE)",
    "mode": lambda m, _, __: f"by_frequency(histogram({m}) FILTERED)[1].value",
    "histogram": lambda m, _, k: f"most_frequent(histogram({m}) FILTERED, {k})",
    "any": lambda m, _, __: f"bool_or({m}) FILTERED",
    "all": lambda m, _, __: f"bool_and({m}) FILTERED",
    "time_since_last": lambda m, _, __: "any_value(asked_at) FILTERED - max(event_time) FILTERED",
    "time_since_first": lambda m, _, __: "any_value(asked_at) FILTERED - min(event_time) FILTERED",
}
"""Aggregate -> its SQL over pairs; FILTERED stands for the pairs its window covers."""


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
    nothing = {(): "MAP {}" if output.dtype.is_map else "[]"}.get(empty, empty)  # type: ignore[arg-type]
    sql = f"g.{name}" if empty is None else f"coalesce(g.{name}, {nothing})"
    return [f"CAST({sql} AS {sql_type(output.dtype)}) AS {name}"]
