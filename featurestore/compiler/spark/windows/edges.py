"""Windows between edges: for sources whose known time is event time plus a constant.

What a window holds happened between two instants, so sums are what has come by its end less what had come by its beginning.
For the least or greatest of something, time is cut into blocks as long as the window: it lies in two of them, the rest of
the one in which it begins and the beginning of the next. So two running extremes are enough, one in the order of time and
one against it, each of (block, value): the block reached last always wins, and it counts only where it is the edge's own.
What is least or greatest in time itself needs no blocks.
"""

from __future__ import annotations

from featurestore.compiler.spans import Span
from featurestore.compiler.spark.facts import visible_delay
from featurestore.compiler.spark.windows.aggregations import EXTREMES
from featurestore.compiler.spark.windows.measured import add_measured, measure_name
from featurestore.compiler.spark.windows.moments import count_name
from featurestore.compiler.spark.windows.shared import Asked, finish
from featurestore.compiler.spark.windows.timeline import AT, Timeline
from featurestore.compiler.statement import Steps
from featurestore.definitions import AGGREGATES
from featurestore.plan.nodes import Output

_IN_TIME = {"first", "last", "time_since_first", "time_since_last"}


def edges(asked: Asked) -> str:
    """The statement: __row, then the outputs."""
    return _Edges(asked).statement()


class _Edges:
    """One statement in the making."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.steps = asked, Steps()
        self.timeline = Timeline(asked, self.steps)
        self.delay = visible_delay(asked.plan.facts)
        self.blocks: dict[str, int] = {}

    def statement(self) -> str:
        asked, line = self.asked, self.timeline
        add_measured(self.steps, asked.plan.facts, asked.measures)
        for (number, place), wanted in asked.terms.items():
            line.cells += [f"{self._sum(term, number, asked.spans[place - 1])} AS {term}_{number}_{place}" for term in wanted]
        for position, output in enumerate(asked.others, 1):
            line.cells.append(f"{self._extreme(output, asked.spans[asked.place(output) - 1])} AS value_{position}")
        carried = ["event_time"]
        carried += ["known_time"] if any(AGGREGATES[o.aggregate or ""].by_time for o in asked.others) else []
        line.add("FROM (SELECT *, event_time AS instant FROM measured)", [*carried, *map(measure_name, asked.used)])
        return finish(self.steps, asked, "grouped", every_row=True)

    def _ends(self, span: Span) -> tuple[str | None, str]:
        """How long before the row asks a window begins and ends: no later than all that happened by then is known."""
        if self.delay == "0":
            return None if span.low is None else f"{span.low}L", f"{span.high}L"
        end = f"greatest({span.high}L, {self.delay})"
        return None if span.low is None else f"greatest({span.low}L, {end})", end

    def _sum(self, term: str, number: int, span: Span) -> str:
        column = self.timeline.run(f"{term}_{number}", "sum", count_name(number) if term == "n" else f"{term}_{number}")
        begin, end = self._ends(span)
        last = self.timeline.edge(end)
        if begin is None:
            return f"sum(CASE WHEN edge = {last} THEN {column} END)"
        first = self.timeline.edge(begin)
        if first == last:
            return "CAST(NULL AS BIGINT)"
        return f"sum(CASE WHEN edge = {last} THEN {column} WHEN edge = {first} THEN -{column} END)"

    def _extreme(self, output: Output, span: Span) -> str:
        function, what = EXTREMES[output.aggregate or ""]
        measure = measure_name(self.asked.number(output))
        value = f"CASE WHEN {measure} IS NOT NULL THEN {what.format(m=measure)} END"
        begin, end = self._ends(span)
        if output.aggregate in _IN_TIME or begin is None:
            return self._in_time(output, function, value, begin, end)
        return self._in_blocks(output, function, measure, begin, end)

    def _in_time(self, output: Output, function: str, value: str, begin: str | None, end: str) -> str:
        """The newest up to the end, if it is not older than the beginning; or the other way round."""
        number = self.asked.number(output)
        kind = {"first": "fact", "last": "fact"}.get(output.aggregate or "", "instant")
        kind = kind if output.aggregate in _IN_TIME else "value"
        forward = function == "max" or begin is None
        name = f"{function}_{kind}_{number}{'' if forward else '_on'}"
        column = self.timeline.run(name, function, value, forward=forward)
        if begin is None:
            return f"{function}(CASE WHEN edge = {self.timeline.edge(end)} THEN {column} END)"
        at = f"{column}.event_time" if kind == "fact" else column
        length = f"({begin} - {end})"
        place, inside = (end, f"{at} >= {AT} - {length}") if forward else (begin, f"{at} < {AT} + {length}")
        return f"{function}(CASE WHEN edge = {self.timeline.edge(place)} AND {inside} THEN {column} END)"

    def _in_blocks(self, output: Output, function: str, measure: str, begin: str, end: str) -> str:
        length = f"({begin} - {end})" if self.delay == "0" else f"greatest({begin} - {end}, 1L)"
        block = self.blocks.setdefault(length, len(self.blocks) + 1)
        number, parts = self.asked.number(output), []
        for forward, back in ((True, end), (False, begin)):
            # In the order of time blocks grow, against it they shrink: the block reached last must win.
            sign = "" if forward == (function == "max") else "-"
            of_fact = f"struct({sign}(event_time - pmod(event_time, {length})) AS block, {measure} AS value)"
            name = f"{function}_{number}_{'by' if forward else 'from'}_{block}"
            column = self.timeline.run(name, function, f"CASE WHEN {measure} IS NOT NULL THEN {of_fact} END", forward=forward)
            own = f"{column}.block = {sign}({AT} - pmod({AT}, {length}))"
            some = "" if self.delay == "0" else f" AND {begin} > {end}"
            parts.append(f"WHEN edge = {self.timeline.edge(back)} AND {own}{some} THEN {column}.value")
        return f"{function}(CASE {' '.join(parts)} END)"
