"""The validity sweep: a fact counts from the instant it becomes visible until it leaves the window or is replaced.

It serves any source, and every aggregate made of terms. A window of length L at t holds what became visible before t, less
what happened before t - L, where facts known only after they have left the window are in neither. A version that a later
one replaces is followed, when that one is known, by the same fact with the opposite sign. A window with an offset is the
longer window up to t less the shorter.
"""

from __future__ import annotations

from featurestore.compiler.spans import Span
from featurestore.compiler.spark.windows.measured import add_measured, measure_name
from featurestore.compiler.spark.windows.moments import count_name
from featurestore.compiler.spark.windows.shared import Asked, finish
from featurestore.compiler.spark.windows.timeline import Timeline
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import facts_of

_STARTS, _HAPPENED = 0, 1
"""The column `side` of a mark: at the instant its fact becomes visible, or at its event time."""


def sweep(asked: Asked) -> str:
    """The statement: __row, then the outputs."""
    return _Sweep(asked).statement()


class _Sweep:
    """One statement in the making."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.steps = asked, Steps()
        self.timeline = Timeline(asked, self.steps, sided=True)
        self.versioned = facts_of(asked.plan.facts)[1] is not None
        self.limits: dict[int, int] = {}

    def statement(self) -> str:
        asked = self.asked
        add_measured(self.steps, asked.plan.facts, asked.measures)
        for (number, place), wanted in asked.terms.items():
            for term in wanted:
                cell = self._sum(term, number, asked.spans[place - 1])
                self.timeline.cells.append(f"{cell} AS {term}_{number}_{place}")
        self.timeline.add(self._marks(), ["lateness", "sign", *map(measure_name, asked.used)])
        return finish(self.steps, asked, "grouped", every_row=True)

    def _marks(self) -> str:
        from_then_on = ["(0, visible_from, visible_from - event_time, 1L)", "(1, event_time, visible_from - event_time, 1L)"]
        no_longer = ["(0, until, until - event_time, -1L)", "(1, event_time, until - event_time, -1L)"]
        marks = _structs(from_then_on)
        if self.versioned:
            marks = f"CASE WHEN until IS NULL THEN {marks} ELSE {_structs([*from_then_on, *no_longer])} END"
        return f"FROM measured LATERAL VIEW inline({marks}) AS side, instant, lateness, sign"

    def _sum(self, term: str, number: int, span: Span) -> str:
        """The longer window up to t, less the shorter."""
        found: dict[int, list[str]] = {}
        for length, minus in ((span.low, ""), *([(span.high, "-")] if span.high else [])):
            column = self._running(term, number, length)
            found.setdefault(self.timeline.edge("0L", _STARTS), []).append(f"{minus}coalesce({column}, 0)")
            if length is not None:
                other = "" if minus else "-"
                found.setdefault(self.timeline.edge(f"{length}L", _HAPPENED), []).append(f"{other}coalesce({column}, 0)")
        cases = " ".join(f"WHEN edge = {edge} THEN {' + '.join(parts)}" for edge, parts in found.items())
        return f"sum(CASE {cases} END)"

    def _running(self, term: str, number: int, length: int | None) -> str:
        """The column of a term among facts that are visible before they leave a window of that length."""
        value = count_name(number) if term == "n" else f"{term}_{number}"
        if self.versioned:
            value = f"sign * {value}"
        latest = self.asked.latest
        if length is None or (latest is not None and latest < length):
            return self.timeline.run(f"{term}_{number}", "sum", value)
        limit = self.limits.setdefault(length, len(self.limits) + 1)
        return self.timeline.run(f"{term}_{number}_in_{limit}", "sum", f"CASE WHEN lateness < {length} THEN {value} END")


def _structs(marks: list[str]) -> str:
    split = (m.strip("()").split(", ") for m in marks)
    names = ("side", "instant", "lateness", "sign")
    return f"array({', '.join('struct(' + ', '.join(map(' AS '.join, zip(m, names, strict=True))) + ')' for m in split)})"
