"""Frames: spine rows and facts on one timeline per key, every window a frame over it, one sort for all.

It serves sources whose known time is event time plus a constant, and any aggregate. Its cost is a sort and, per
aggregate, what the engine's frames cost: independent of how many facts a window holds for most of them.

Ticks are twice the instant; the half decides who comes first at equal instants: facts are odd and rows even, so that a
row does not see what happens at its own instant, or the other way round with exact matches.
"""

from __future__ import annotations

from collections.abc import Callable

from featurestore.compiler.duckdb.facts import key_names, visible_delay
from featurestore.compiler.duckdb.windows import aggregations
from featurestore.compiler.duckdb.windows.measured import add_measured, measure_name
from featurestore.compiler.duckdb.windows.shared import Asked, add_terms, finish
from featurestore.compiler.spans import Span
from featurestore.compiler.statement import Steps, listed

_AGES = 2 * 10**18
"""Twice half a million years in microseconds: a frame that begins so long before a row holds its whole past. Not UNBOUNDED,
with which frames that end before their row went wrong."""


def frames(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    steps = Steps()
    visible = asked.plan.facts
    add_measured(steps, visible, asked.measures)
    source = add_terms(steps, asked)
    keys = key_names(asked.plan.spine.keys)
    taken = [measure_name(n) for n in asked.used]
    taken += [f"{term}_{n}" for n, wanted in asked.terms_of.items() for term in wanted if term != "n"]
    delay = visible_delay(visible)
    row_tick, fact_tick = ("2 * {at} + 1", "2 * event_time") if visible.exact else ("2 * {at}", "2 * event_time + 1")
    at = "asked_at" if delay == "0" else f"(asked_at - ({delay}))"
    steps.add(
        "timeline",
        "facts at twice their event time, spine rows at twice the instant up to which events are known",
        f"SELECT\n{listed([*keys, f'{fact_tick} AS tick', 'NULL AS row_id', 'event_time', 'known_time', *taken])}"
        f"\nFROM {source}\nUNION ALL BY NAME\n"
        f"SELECT {', '.join(keys)}, {row_tick.format(at=at)} AS tick, row_id\nFROM spine",
    )
    columns = [f"{sql} AS {name}" for name, sql in _calls(asked)]
    over = ",\n".join(f"  span_{i} AS (PARTITION BY {', '.join(keys)} ORDER BY tick {_frame(span, delay)})"
                      for i, span in enumerate(asked.spans, 1))  # fmt: skip
    steps.add("framed", "what each window holds, at every point of the timeline",
              f"SELECT\n{listed(['row_id', *columns])}\nFROM timeline\nWINDOW\n{over}")  # fmt: skip
    steps.add("grouped", "of these the spine rows", "SELECT * FROM framed WHERE row_id IS NOT NULL")
    return finish(steps, asked)


def _calls(asked: Asked) -> list[tuple[str, str]]:
    found = []
    for (number, place), wanted in asked.terms.items():
        for term in wanted:
            sql = f"count({measure_name(number)})" if term == "n" else f"sum({term}_{number})"
            found.append((f"{term}_{number}_{place}", f"{sql} OVER span_{place}"))
    for position, output in enumerate(asked.others, 1):
        number, over = asked.number(output), _over(asked.place(output))
        if asked.is_list(output):
            sql = aggregations.listed_values(number, over)
        else:
            sql = aggregations.call(output, asked.measures[number - 1], number, over)
        found.append((f"value_{position}", sql))
    return found


def _over(place: int) -> Callable[[str], str]:
    return lambda test: (f"FILTER (WHERE {test}) " if test else "") + f"OVER span_{place}"


def _frame(span: Span, delay: str) -> str:
    """The frame of a window. An event known later than a window ends bounds it from above: that is where the row stands."""
    if delay == "0":
        begin = _AGES if span.low is None else 2 * span.low
        return f"RANGE BETWEEN {begin} PRECEDING AND " + (f"{2 * span.high} PRECEDING" if span.high else "CURRENT ROW")
    start = str(_AGES) if span.low is None else f"greatest(2 * ({span.low} - ({delay})), 0)"
    end = f"greatest(2 * ({span.high} - ({delay})), 0) PRECEDING" if span.high else "CURRENT ROW"
    return f"RANGE BETWEEN {start} PRECEDING AND {end}"
