"""The validity sweep: a fact counts from the instant it becomes visible until it leaves the window or is replaced.

It serves any source, and every aggregate made of terms. A window of length L at t holds what became visible before t, less
what happened before t - L, where facts known only after they have left the window are in neither. A version that a later
one replaces is followed, when that one is known, by the same fact with the opposite sign. A window with an offset is the
longer window up to t less the shorter. Both sides are stretches of time from the beginning, on a grid.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import key_names
from featurestore.compiler.duckdb.windows.grid import Grid
from featurestore.compiler.duckdb.windows.measured import add_measured, measure_name
from featurestore.compiler.duckdb.windows.shared import Asked, Span, finish
from featurestore.compiler.duckdb.windows.stretches import Stretch, Value
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import facts_of

_STARTS, _HAPPENED = 0, 1
"""The column `side` of a mark: at the instant its fact becomes visible, or at its event time."""


def sweep(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    return _Sweep(asked).statement()


class _Sweep:
    """One statement in the making."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.steps = asked, Steps()
        self.keys = key_names(asked.plan.spine.keys)
        self.versioned = facts_of(asked.plan.facts)[1] is not None
        self.terms = [column for column, _, _ in asked.term_columns]
        self.lengths = list(dict.fromkeys(length for span in asked.spans for length in _lengths(span)))
        self.starts = Stretch(1, None, "0", tuple(self._column(t, n) for n in self.lengths for t in self.terms), side=_STARTS)
        self.left = {
            length: Stretch(number, None, str(length), tuple(self._column(t, length) for t in self.terms), side=_HAPPENED)
            for number, length in enumerate((n for n in self.lengths if n is not None), 2)
        }

    def statement(self) -> str:
        add_measured(self.steps, self.asked.plan.facts, self.asked.measures)
        carried = ["lateness", *(["sign"] if self.versioned else []), *(measure_name(n) for n in self.asked.used)]
        self._add_marks(carried)
        stretches = (self.starts, *self.left.values())
        Grid(self.steps, self.keys, carried, self._values(), stretches, self.asked.plan.facts.exact, sides=True).add()
        columns = ["row_id"]
        for (number, place), wanted in self.asked.terms.items():
            for term in wanted:
                longer, *shorter = (self._up_to(f"{term}_{number}", n) for n in _lengths(self.asked.spans[place - 1]))
                columns.append(" - ".join([longer, *shorter]) + f" AS {term}_{number}_{place}")
        self.steps.add("grouped", "per spine row what its windows hold: what has begun to count, less what has left",
                       f"SELECT\n{listed(columns)}\nFROM stretches")  # fmt: skip
        return finish(self.steps, self.asked)

    def _column(self, term: str, length: int | None) -> str:
        """The column of a term among facts that are visible before they leave a window of that length."""
        return f"{term}_in_{self.lengths.index(length) + 1}"

    def _values(self) -> dict[str, Value]:
        return {self._column(column, length): self._value(term, number, length)
                for column, term, number in self.asked.term_columns for length in self.lengths}  # fmt: skip

    def _value(self, term: str, number: int, length: int | None) -> Value:
        counted = term == "n" and not self.versioned
        sql = measure_name(number) if counted else self.asked.term_sql(term, number)
        small = term == "n" or (term == "x" and number in self.asked.small)
        if self.versioned:
            as_it_is = small or self.asked.dtype(number).is_decimal or term != "x"
            sql = f"sign * ({sql})" if as_it_is else f"sign * CAST({sql} AS HUGEINT)"
        if length is not None:
            sql = f"CASE WHEN lateness < {length} THEN {sql} END"
        if not small:
            return Value(sql)
        whole = "BIGINT" if term == "n" else "DOUBLE"
        return Value(sql if counted else f"CAST({sql} AS DOUBLE)", counted=counted, whole=whole)

    def _add_marks(self, carried: list[str]) -> None:
        measures = [measure_name(n) for n in self.asked.used]
        source, times = "measured", [*self.keys, "event_time", "visible_from"]
        if self.versioned:
            source = "signed"
            self.steps.add(
                "signed",
                "facts, and each that is replaced once more, with the opposite sign, from then on",
                f"SELECT {', '.join([*times, *measures])}, 1 AS sign FROM measured\nUNION ALL\n"
                f"SELECT {', '.join([*times[:-1], 'until', *measures])}, -1 FROM measured WHERE until IS NOT NULL",
                materialized=False,
            )
        sides = {_STARTS: "visible_from", **({_HAPPENED: "event_time"} if self.left else {})}
        own = ["visible_from - event_time AS lateness", *carried[1:]]
        selects = [
            f"SELECT\n{listed([*self.keys, f'CAST({side} AS UTINYINT) AS side', f'{at} AS instant', *own])}\nFROM {source}"
            for side, at in sides.items()
        ]
        self.steps.add("marks", "when facts begin to count, and when they happened; how late they were known",
                       "\nUNION ALL\n".join(selects), materialized=False)  # fmt: skip

    def _up_to(self, term: str, length: int | None) -> str:
        """The sum over the window of that length that ends at t."""
        column = self._column(term, length)
        begun = f"coalesce({self.starts.total(column)}, 0)"
        if length is None:
            return begun
        return f"({begun} - coalesce({self.left[length].total(column)}, 0))"


def _lengths(span: Span) -> list[int | None]:
    """The windows up to t whose difference a window is: the longer, then the shorter if there is one."""
    return [span.low, span.high] if span.high else [span.low]
