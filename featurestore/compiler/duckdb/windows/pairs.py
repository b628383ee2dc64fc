"""The pair join: spine rows meet the visible facts in reach, by key and stretch of time, and are grouped per row.

It answers every aggregate over every source. Its cost is the number of (row, fact) pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from featurestore.compiler.duckdb.facts import key_names
from featurestore.compiler.duckdb.windows import aggregations
from featurestore.compiler.duckdb.windows.measured import add_measured, measure_name
from featurestore.compiler.duckdb.windows.shared import Asked, add_terms, finish
from featurestore.compiler.spans import Span
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import facts_of, reach_of

_EARLIEST = 2**62
"""Added before times are cut into stretches, because the engine's division truncates towards zero."""


def pairs(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    steps = Steps()
    add_measured(steps, asked.plan.facts, asked.measures)
    source = add_terms(steps, asked)
    add_pairs(steps, asked, source, reach_of(asked.outputs))
    add_grouped(steps, asked)
    return finish(steps, asked)


def add_pairs(steps: Steps, asked: Asked, source: str, reach: int | str | None, prefix: str = "") -> None:
    """The step `{prefix}pairs`: spine rows and the visible facts of a source that happened at most so long before; reach may
    be SQL, and None is any time."""
    plan = asked.plan
    exact = plan.facts.exact
    _, versions, _ = facts_of(plan.facts)
    keys = key_names(plan.spine.keys)
    asking, facts, same = "spine", source, list(keys)
    if reach is not None:
        asking, facts, same = f"{prefix}asking", f"{prefix}stretched", [*keys, "stretch"]
        half = str(-(-reach // 2)) if isinstance(reach, int) else f"greatest(({reach} + 1) // 2, 1)"
        own = "\nUNION ALL\n".join(f"SELECT *, {_stretch('asked_at', half)} - {n} AS stretch FROM spine" for n in range(3))
        steps.add(asking, "spine rows, for the stretch of time they ask in and the two before: no reach goes beyond", own)
        steps.add(facts, "facts, and the stretch of time each falls into, half as long as the reach",
                  f"SELECT *, {_stretch('event_time', half)} AS stretch FROM {source}", materialized=False)  # fmt: skip
    tests = [" AND ".join(f"s.{key} = f.{key}" for key in same)]
    tests.append(f"f.visible_from {'<=' if exact else '<'} s.asked_at")
    if versions is not None:
        tests.append(f"(f.until IS NULL OR s.asked_at {'<' if exact else '<='} f.until)")
    if reach is not None:
        tests.append(f"f.event_time {'>' if exact else '>='} s.asked_at - {reach}")
    columns = ["s.row_id", "s.asked_at", "f.event_time"]
    columns += ["f.known_time"] if any(o.aggregate in _BY_TIME for o in asked.outputs) else []
    columns += [f"f.{measure_name(n)}" for n in asked.used]
    columns += [f"f.{term}_{n}" for n, wanted in asked.terms_of.items() for term in wanted if term != "n"]
    steps.add(f"{prefix}pairs", "spine rows and the visible facts in reach of any window",
              f"SELECT {', '.join(columns)}\nFROM {facts} AS f JOIN {asking} AS s\nON " + "\nAND ".join(tests))  # fmt: skip


_BY_TIME = {"first", "last", "first_k", "last_k"}


def _stretch(time: str, length: str) -> str:
    return f"({time} + {_EARLIEST}) // {length}"


def add_grouped(
    steps: Steps, asked: Asked, name: str = "grouped", *, source: str = "pairs", by: Sequence[str] = ("row_id",),
    at: str = "asked_at",
) -> None:  # fmt: skip
    """The step of that name: per spine row (or `by`) what the facts of `source` make of every window before `at`."""
    exact, reach = asked.plan.facts.exact, reach_of(asked.outputs)
    columns = []
    for (number, place), wanted in asked.terms.items():
        over = _filtered(window_test(asked.spans[place - 1], reach, exact, at))
        for term in wanted:
            sql = f"count({measure_name(number)})" if term == "n" else f"sum({term}_{number})"
            columns.append(f"{sql} {over('')}".rstrip() + f" AS {term}_{number}_{place}")
    for position, output in enumerate(asked.others, 1):
        number = asked.number(output)
        over = _filtered(window_test(asked.spans[asked.place(output) - 1], reach, exact, at))
        if asked.is_list(output):
            sql = aggregations.listed_values(number, over)
        else:
            sql = aggregations.call(output, asked.measures[number - 1], number, over)
        columns.append(f"{sql} AS value_{position}")
    whose = "spine row" if source == "pairs" else "key"
    steps.add(name, f"per {whose} what its windows hold",
              f"SELECT\n{listed([*by, *columns])}\nFROM {source}\nGROUP BY {', '.join(by)}")  # fmt: skip


def _filtered(inside: str) -> Callable[[str], str]:
    """What stands for FILTERED in a group: facts inside the window that also pass a test."""

    def over(test: str) -> str:
        tests = [t for t in (test, inside) if t]
        return f"FILTER (WHERE {' AND '.join(tests)})" if tests else ""

    return over


def window_test(span: Span, reach: int | None, exact: bool, at: str) -> str:
    """Whether a pair's event time lies in the window before `at`; "" where every pair does. reach: how far before it pairs
    lie."""
    low, high = (">", "<=") if exact else (">=", "<")
    tests = [] if span.low == reach else [f"event_time {low} {at} - {span.low}"]
    if span.high:
        tests.append(f"event_time {high} {at} - {span.high}")
    return " AND ".join(tests)
