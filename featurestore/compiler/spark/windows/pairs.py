"""The pair join: spine rows meet the visible facts in reach, by key and stretch of time, and are grouped per row.

It answers every aggregate over every source. Its cost is the number of (row, fact) pairs. The stretch is part of the join's
key, so the facts and rows of one busy key fall to many tasks.
"""

from __future__ import annotations

from featurestore.compiler.spans import Span
from featurestore.compiler.spark.facts import key_names
from featurestore.compiler.spark.windows import aggregations
from featurestore.compiler.spark.windows.measured import add_measured, measure_name
from featurestore.compiler.spark.windows.shared import Asked, add_numbers, finish
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import AGGREGATES
from featurestore.plan.nodes import facts_of, reach_of

_EARLIEST = 2**62
"""Added before times are cut into stretches, because the engine's division truncates towards zero."""


def pairs(asked: Asked) -> str:
    """The statement: __row, then the outputs."""
    steps = Steps()
    add_measured(steps, asked.plan.facts, asked.measures)
    _add_pairs(steps, asked, add_numbers(steps, asked, "measured"))
    _add_grouped(steps, asked)
    return finish(steps, asked, "grouped", every_row=False)


def _add_pairs(steps: Steps, asked: Asked, source: str) -> None:
    plan, reach = asked.plan, reach_of(asked.outputs)
    exact, versioned = plan.facts.exact, facts_of(plan.facts)[1] is not None
    keys = key_names(plan.spine.keys)
    asking, facts, same = "spine", source, list(keys)
    if reach is not None:
        asking, facts, same = "asking", "stretched", [*keys, "stretch"]
        half = -(-reach // 2)
        steps.add(asking, "spine rows, for the stretch of time they ask in and the two before: no reach goes beyond",
                  f"SELECT row_id, asked_at, {', '.join(keys)}, (asked_at + {_EARLIEST}L) DIV {half}L - back AS stretch\n"
                  "FROM spine LATERAL VIEW explode(array(0L, 1L, 2L)) AS back")  # fmt: skip
        steps.add(facts, "facts, and the stretch of time each falls into, half as long as the reach",
                  f"SELECT *, (event_time + {_EARLIEST}L) DIV {half}L AS stretch FROM {source}")  # fmt: skip
    tests = [" AND ".join(f"s.{key} = f.{key}" for key in same), f"f.visible_from {'<=' if exact else '<'} s.asked_at"]
    if versioned:
        tests.append(f"(f.until IS NULL OR s.asked_at {'<' if exact else '<='} f.until)")
    if reach is not None:
        tests.append(f"f.event_time {'>' if exact else '>='} s.asked_at - {reach}L")
    columns = ["s.row_id", "s.asked_at", "f.event_time"]
    columns += ["f.known_time"] if any(AGGREGATES[o.aggregate or ""].by_time for o in asked.outputs) else []
    columns += [f"f.{measure_name(n)}" for n in asked.used]
    columns += [f"f.{column}" for column, term, _ in asked.term_columns if term != "n"]
    steps.add("pairs", "spine rows and the visible facts in reach of any window",
              f"SELECT\n{listed(columns)}\nFROM {asking} AS s JOIN {facts} AS f\nON " + "\nAND ".join(tests))  # fmt: skip


def _add_grouped(steps: Steps, asked: Asked) -> None:
    """The step `grouped`: per spine row what `pairs` make of every window."""
    exact, reach = asked.plan.facts.exact, reach_of(asked.outputs)
    columns = []
    for (number, place), wanted in asked.terms.items():
        inside = _window_test(asked.spans[place - 1], reach, exact)
        kept = f" FILTER (WHERE {inside})" if inside else ""
        for term in wanted:
            sql = f"count({measure_name(number)})" if term == "n" else f"sum({term}_{number})"
            columns.append(f"{sql}{kept} AS {term}_{number}_{place}")
    for position, output in enumerate(asked.others, 1):
        inside = _window_test(asked.spans[asked.place(output) - 1], reach, exact)
        sql = aggregations.call(output, asked.number(output), inside, unordered=asked.is_list(output))
        columns.append(f"{sql} AS value_{position}")
    steps.add("grouped", "per spine row what its windows hold",
              f"SELECT\n{listed(['row_id', *columns])}\nFROM pairs\nGROUP BY row_id")  # fmt: skip


def _window_test(span: Span, reach: int | None, exact: bool) -> str:
    """Whether a pair's event time lies in the window; "" where every pair does. reach: how far before the row pairs lie."""
    low, high = (">", "<=") if exact else (">=", "<")
    tests = [] if span.low == reach else [f"event_time {low} asked_at - {span.low}L"]
    if span.high:
        tests.append(f"event_time {high} asked_at - {span.high}L")
    return " AND ".join(tests)
