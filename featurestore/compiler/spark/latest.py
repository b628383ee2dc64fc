"""Latest values in Spark SQL: the newest visible fact per spine row, ties decided by the order of structs.

Rows and facts lie on one timeline per key, and a running maximum of (event time, known time, inputs) is the newest fact so
far: Spark orders structs field by field with NULL lowest and NaN greatest, which is the contract's order, so ties need no
step of their own. Facts that a later version replaces cannot ride the timeline; they are joined raw and the greater of both
wins. Keys that hold much of the data are cut into stretches of time (`skew`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from featurestore.compiler.latest import EXPIRED, FOUND, NOT_FOUND
from featurestore.compiler.spark.facts import (
    add_facts,
    add_intervals,
    input_name,
    key_names,
    on_keys,
)
from featurestore.compiler.spark.scalars import canonical, quoted, scalar
from featurestore.compiler.spark.skew import add_running
from featurestore.compiler.spark.types import sql_type
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DType
from featurestore.expressions import Column
from featurestore.plan.nodes import Facts, Latest, Output, facts_of


def latest(plan: Latest, skewed: bool = False) -> str:
    """The statement: __row, __event (microseconds), __match, then the outputs; in any order.

    skewed: it reads the relation `heavy_keys` too, and cuts those keys' timelines into stretches.
    """
    steps = Steps()
    add_facts(steps, plan.facts)
    facts, versions, _ = facts_of(plan.facts)
    keys, lasting = key_names(plan.spine.keys), "facts"
    if versions is not None:
        add_intervals(steps, plan.facts)
        lasting = "(SELECT * FROM intervals WHERE until IS NULL)"
    row_tick, fact_tick = tick(plan.facts.exact)
    packed = newest_of(facts)
    by = ", ".join(keys)
    steps.add(
        "timeline",
        "spine rows, and facts at the instant they become visible",
        f"SELECT {by}, {row_tick} AS tick, row_id, asked_at, CAST(NULL AS {struct_type(facts)}) AS fact FROM spine\n"
        f"UNION ALL\nSELECT {by}, {fact_tick}, NULL, NULL, {packed} FROM {lasting}",
    )
    add_running(steps, keys, "timeline", "row_id, asked_at", {"newest": ("max", "fact")}, skewed=skewed)
    steps.add("matched", "per spine row its newest visible fact that lasts",
              f"SELECT {by}, row_id, asked_at, newest FROM running WHERE row_id IS NOT NULL")  # fmt: skip
    answers = "matched"
    if versions is not None:
        answers = "answers"
        _merge_replaced(steps, plan, packed)
    return steps.finish("the answer", _answer(plan, answers))


def tick(exact: bool) -> tuple[str, str]:
    """(tick of a spine row, tick of a fact): twice the instant, the half deciding who comes first at equal instants."""
    if exact:
        return "2 * asked_at + 1", "2 * greatest(event_time, known_time)"
    return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"


def newest_of(facts: Facts) -> str:
    """A fact as one value, whose order is the contract's: event time, known time, then inputs, made canonical."""
    inputs = [f"{canonical(input_name(c.name), c.dtype)} AS {input_name(c.name)}" for c in facts.inputs]
    return f"struct({', '.join(['event_time', 'known_time', *inputs])})"


def struct_type(facts: Facts) -> str:
    inputs = [f"{input_name(c.name)}: {sql_type(c.dtype)}" for c in facts.inputs]
    return f"STRUCT<{', '.join(['event_time: BIGINT', 'known_time: BIGINT', *inputs])}>"


def _merge_replaced(steps: Steps, plan: Latest, packed: str) -> None:
    """Facts later replaced, in force and visible at the row's instant, against the lasting one: the greater wins."""
    keys = key_names(plan.spine.keys)
    start, inside = "greatest(event_time, known_time)", "r.start < m.asked_at AND m.asked_at <= r.until"
    if plan.facts.exact:
        inside = "r.start <= m.asked_at AND m.asked_at < r.until"
    columns = ", ".join([*keys, f"{start} AS start", "until", f"{packed} AS fact"])
    steps.add("replaced", "facts that a later version replaces",
              f"SELECT {columns}\nFROM intervals WHERE until IS NOT NULL")  # fmt: skip
    steps.add(
        "newer",
        "per row the newest fact in force that was later replaced",
        f"SELECT m.row_id, max(r.fact) AS newer\nFROM matched AS m JOIN replaced AS r\n"
        f"ON {on_keys('m', 'r', keys)} AND {inside}\nGROUP BY m.row_id",
    )
    steps.add(
        "answers",
        "per spine row its newest fact",
        "SELECT m.row_id, m.asked_at,\n"
        "  CASE WHEN m.newest IS NULL OR n.newer > m.newest THEN n.newer ELSE m.newest END AS newest\n"
        "FROM matched AS m LEFT JOIN newer AS n ON n.row_id = m.row_id",
    )


def _answer(plan: Latest, source: str) -> str:
    """The final select: value where a fact was found and holds, and how it was found."""
    event = "newest.event_time"
    expired = "" if plan.ttl is None else f" WHEN asked_at - {event} > {plan.ttl} THEN {EXPIRED}"
    match = f"CAST(CASE WHEN newest IS NULL THEN {NOT_FOUND}{expired} ELSE {FOUND} END AS TINYINT)"
    holds = "newest IS NOT NULL" if plan.ttl is None else f"asked_at - {event} <= {plan.ttl}"
    types = {c.name: c.dtype for c in facts_of(plan.facts)[0].inputs}
    columns = ["row_id AS __row", f"{event} AS __event", f"{match} AS __match"]
    columns += [f"CASE WHEN {holds} THEN {value(o, types, lambda c: f'newest.{input_name(c)}')} END AS {quoted(o.name)}"
                for o in plan.outputs]  # fmt: skip
    return f"SELECT\n{listed(columns)}\nFROM {source}"


def value(output: Output, types: Mapping[str, DType], name: Callable[[str], str]) -> str:
    """An output over canonical inputs: a bare column as it is, anything else computed."""
    assert output.expression is not None
    if isinstance(output.expression, Column):
        return name(output.expression.name)
    return scalar(output.expression, types, name, output.dtype)


__all__ = ["EXPIRED", "FOUND", "NOT_FOUND", "latest", "newest_of", "struct_type", "tick", "value"]
