"""Tiles: windows as stretches of time on a grid.

It serves sources whose known time is event time plus a constant, and every aggregate that parts can make: those of terms,
and the least or greatest of something. Its cost hardly depends on how many facts a window holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import gcd

from featurestore.compiler.duckdb.facts import key_names, known_delay, visible_delay
from featurestore.compiler.duckdb.windows import aggregations
from featurestore.compiler.duckdb.windows.aligned import Aligned
from featurestore.compiler.duckdb.windows.grid import Grid
from featurestore.compiler.duckdb.windows.measured import add_measured, measure_name
from featurestore.compiler.duckdb.windows.shared import Asked, finish
from featurestore.compiler.duckdb.windows.stretches import LEVELS, Extreme, Stretch, Value
from featurestore.compiler.spans import Span
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import Output, Window


def tiles(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row. Every key has tiles of a length of its own."""
    return _statement(asked, Grid, visible_delay(asked.plan.facts))


def aligned(asked: Asked) -> str:
    """The same where all tiles are `asked.tile` long, which goes into every window without a rest; only without a serving
    lag, which would shorten the windows."""
    found = widths(asked.plan, asked.spans)
    tile = asked.tile or gcd(*found)
    hops = {number: width // tile for number, width in enumerate(found, 1)}
    return _statement(asked, partial(Aligned, length=tile, hops=hops), str(known_delay(asked.plan.facts)))


def widths(plan: Window, spans: Sequence[Span]) -> list[int]:
    """Microseconds from the beginning of each window to its end, or to what is known by then if that is less; 0 if nothing
    is, or the window has no beginning."""
    delay = known_delay(plan.facts)
    return [0 if span.low is None else max(span.low - max(span.high, delay), 0) for span in spans]


Tiling = Callable[..., Grid | Aligned]


def _statement(asked: Asked, tiling: Tiling, delay: str) -> str:
    steps = Steps()
    add_measured(steps, asked.plan.facts, asked.measures)
    found = add_tiled(steps, asked, tiling, source="measured", delay=delay)
    steps.add("grouped", "per spine row what its windows hold", f"SELECT\n{listed(found)}\nFROM stretches")
    return finish(steps, asked)


def add_tiled(steps: Steps, asked: Asked, tiling: Tiling, *, source: str, delay: str) -> list[str]:
    """The steps from a source of facts to `stretches`. delay: how long after its event each is known at the latest, as SQL.

    Returns: of `stretches` row_id, and the columns that `grouped` must have.
    """
    extremes = extremes_of(asked)
    keys = key_names(asked.plan.spine.keys)
    carried = [measure_name(n) for n in asked.used]
    carried += ["event_time", "known_time"] if any("event_time" in sql for _, sql in extremes) else []
    steps.add("marks", "facts, each at the instant at which it happened",
              f"SELECT\n{listed([*keys, 'event_time AS instant', *carried])}\nFROM {source}", materialized=False)  # fmt: skip
    stretches = {span: _stretch(asked, span, number, extremes, delay) for number, span in enumerate(asked.spans, 1)}
    values = {column: _value(asked, term, n) for column, term, n in asked.term_columns}
    values |= {e.column: Value(sql) for (_, sql), e in extremes.items()}
    tiling(steps, keys, carried, values, tuple(stretches.values()), asked.plan.facts.exact).add()
    found = ["row_id"]
    for (number, place), wanted in asked.terms.items():
        stretch = stretches[asked.spans[place - 1]]
        found += [f"{stretch.total(f'{term}_{number}')} AS {term}_{number}_{place}" for term in wanted]
    for position, output in enumerate(asked.others, 1):
        stretch = stretches[asked.spans[asked.place(output) - 1]]
        found.append(f"{stretch.total(extremes[_what(asked, output)].column)} AS value_{position}")
    return found


def _value(asked: Asked, term: str, number: int) -> Value:
    if term == "n":
        return Value(measure_name(number), counted=True, whole="BIGINT")
    return Value(asked.term_sql(term, number), whole="DOUBLE" if term == "x" and number in asked.small else None)


def extremes_of(asked: Asked) -> dict[tuple[str, str], Extreme]:
    """(function, SQL) -> the extremes that the outputs need, numbered in order of first use."""
    found: dict[tuple[str, str], Extreme] = {}
    for output in asked.others:
        what = _what(asked, output)
        found.setdefault(what, Extreme(len(found) + 1, what[0]))
    return found


def _what(asked: Asked, output: Output) -> tuple[str, str]:
    number = asked.number(output)
    function, sql_of = aggregations.EXTREMES[output.aggregate or ""]
    sql = sql_of(measure_name(number), asked.measures[number - 1])
    if sql != measure_name(number):
        sql = f"CASE WHEN {measure_name(number)} IS NOT NULL THEN {sql} END"
    return function, sql


def _stretch(asked: Asked, span: Span, number: int, extremes: dict[tuple[str, str], Extreme], delay: str) -> Stretch:
    """A window as a stretch; what is not known yet bounds it instead of its own end."""
    place = asked.spans.index(span) + 1
    sums = tuple(f"{term}_{n}" for (n, at), terms in asked.terms.items() if at == place for term in terms)
    used = dict.fromkeys(extremes[_what(asked, o)] for o in asked.others if asked.place(o) == place)
    high = delay if span.high == 0 else f"greatest({span.high}, {delay})"
    levels = asked.levels.get(span, LEVELS)
    return Stretch(number, None if span.low is None else str(span.low), high, sums, tuple(used), levels=levels)
