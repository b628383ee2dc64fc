"""The validity sweep: a fact counts from the instant it becomes visible until it leaves the window or is replaced.

It serves any source, and every aggregate made of terms. A window of length L at t holds what became visible before t, less
what happened before t - L, where facts known only after they have left the window are in neither. A version that a later
one replaces is followed, when that one is known, by the same fact with the opposite sign. A window with an offset is the
longer window up to t less the shorter. Both sides are stretches of time from the beginning, on a grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import gcd

from featurestore.compiler.duckdb.facts import key_names
from featurestore.compiler.duckdb.windows.aligned import AlignedSides
from featurestore.compiler.duckdb.windows.grid import Grid
from featurestore.compiler.duckdb.windows.measured import add_measured, measure_name
from featurestore.compiler.duckdb.windows.shared import Asked, finish
from featurestore.compiler.duckdb.windows.stretches import Stretch, Value
from featurestore.compiler.spans import Span
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import facts_of

_STARTS, _HAPPENED = 0, 1
"""The column `side` of a mark: at the instant its fact becomes visible, or at its event time."""


def sweep(asked: Asked) -> str:
    """The statement: __row, then the outputs; ordered by __row."""
    return _Sweep(asked).statement(partial(Grid, sides=True))


def aligned_sweep(asked: Asked) -> str:
    """The same where all tiles are `asked.tile` long, which goes into every length without a rest."""
    made = _Sweep(asked)
    tile = asked.tile or gcd(*lengths(asked.spans))
    hops = {made.starts.number: 0, **{s.number: length // tile for length, s in made.left.items()}}
    return made.statement(partial(AlignedSides, length=tile, hops=hops))


def lengths(spans: Sequence[Span]) -> list[int]:
    """How long before the row's instant the windows begin and end, other than at it; 0 for a window without a beginning."""
    return list(dict.fromkeys(n or 0 for span in spans for n in _lengths(span)))


class _Sweep:
    """One statement in the making."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.steps = asked, Steps()
        self.keys = key_names(asked.plan.spine.keys)
        self.versioned = facts_of(asked.plan.facts)[1] is not None
        self.terms = [column for column, _, _ in asked.term_columns]
        self.lengths = list(dict.fromkeys(length for span in asked.spans for length in _lengths(span)))
        self.limits = list(dict.fromkeys(map(self._limit, self.lengths)))
        self.starts = Stretch(1, None, "0", tuple(self._column(t, n) for n in self.limits for t in self.terms), side=_STARTS)
        self.left = {
            length: Stretch(number, None, str(length), tuple(self._column(t, length) for t in self.terms), side=_HAPPENED)
            for number, length in enumerate((n for n in self.lengths if n is not None), 2)
        }

    def statement(self, tiling: Callable[..., Grid | AlignedSides]) -> str:
        add_measured(self.steps, self.asked.plan.facts, self.asked.measures)
        carried = ["lateness", *(["sign"] if self.versioned else []), *(measure_name(n) for n in self.asked.used)]
        self._add_marks(carried)
        stretches = (self.starts, *self.left.values())
        tiling(self.steps, self.keys, carried, self._values(), stretches, self.asked.plan.facts.exact).add()
        columns = ["row_id"]
        for (number, place), wanted in self.asked.terms.items():
            for term in wanted:
                longer, *shorter = (self._up_to(f"{term}_{number}", n) for n in _lengths(self.asked.spans[place - 1]))
                columns.append(" - ".join([longer, *shorter]) + f" AS {term}_{number}_{place}")
        self.steps.add("grouped", "per spine row what its windows hold: what has begun to count, less what has left",
                       f"SELECT\n{listed(columns)}\nFROM stretches")  # fmt: skip
        return finish(self.steps, self.asked)

    def _limit(self, length: int | None) -> int | None:
        """How late a fact must be to leave a window before it is known; None if none is."""
        latest = self.asked.latest
        return None if length is None or (latest is not None and latest < length) else length

    def _column(self, term: str, length: int | None) -> str:
        """The column of a term among facts that are visible before they leave a window of that length."""
        return f"{term}_in_{self.limits.index(self._limit(length)) + 1}"

    def _values(self) -> dict[str, Value]:
        return {self._column(column, length): self._value(term, number, length)
                for column, term, number in self.asked.term_columns for length in self.limits}  # fmt: skip

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
