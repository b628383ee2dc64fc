"""What the window plans share: the windows and measures of a statement, and its last step.

Every plan ends in a step `grouped` with one row per spine row that has facts: for outputs made of terms a column
`{term}_{measure}_{window}`, for all others `value_{n}`. The final select turns them into answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from featurestore.compiler.duckdb.scalars import quoted
from featurestore.compiler.duckdb.windows import aggregations, moments
from featurestore.compiler.spans import Span, span_of
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DOUBLE, DType
from featurestore.plan.nodes import Measure, Output, Window, measure_of, measures


@dataclass(frozen=True)
class Asked:
    """The outputs of one statement. Measures are numbered as in the whole part, so that scales have one name in all plans.

    wide: the measures whose range no whole number of 128 bits holds. What the data lets a statement leave out: never_null,
    finite: the measures without NULLs, and without NaN and infinities; small: those of integers of which a double holds any
    sum; narrow: those of doubles whose sums have few bits. levels: per window how often runs of tiles must double for its
    extremes. latest: how late any fact is known at most, in microseconds; None if a version may replace it. tile: the length
    of aligned tiles in microseconds; 0 is the greatest possible.
    """

    plan: Window
    outputs: tuple[Output, ...]
    wide: frozenset[int] = frozenset()
    never_null: frozenset[int] = frozenset()
    finite: frozenset[int] = frozenset()
    small: frozenset[int] = frozenset()
    narrow: frozenset[int] = frozenset()
    levels: Mapping[Span, int] = field(default_factory=dict)
    latest: int | None = None
    tile: int = 0

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """All measures of the part, in the order of their numbers (from 1)."""
        return measures(self.plan.outputs)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The windows, in order of first use, numbered from 1."""
        return tuple(dict.fromkeys(span_of(o) for o in self.outputs))

    @cached_property
    def used(self) -> tuple[int, ...]:
        """The numbers of the measures these outputs read."""
        return tuple(sorted({self.number(o) for o in self.outputs}))

    def number(self, output: Output) -> int:
        return self.measures.index(measure_of(output)) + 1

    def counter(self, number: int) -> int:
        """The measure whose count is also that of another: all that are never NULL have one."""
        full = [n for n in self.used if n in self.never_null or _only_counts(self.measures[n - 1])]
        return full[0] if number in full else number

    def place(self, output: Output) -> int:
        return self.spans.index(span_of(output)) + 1

    def dtype(self, number: int) -> DType:
        return self.measures[number - 1].dtype

    def is_added(self, output: Output) -> bool:
        """It is made of terms."""
        return moments.adds(output) and (output.aggregate == "count" or self.number(output) not in self.wide)

    def is_list(self, output: Output) -> bool:
        """It comes out as a list of numbers, still to be made a sum, mean or variance of by `engines.exact`."""
        return output.aggregate in moments.MOMENTS and not self.is_added(output)

    @cached_property
    def terms(self) -> dict[tuple[int, int], tuple[str, ...]]:
        """(measure, window) -> the terms needed of it, in order of first use."""
        found: dict[tuple[int, int], dict[str, None]] = {}
        for output in filter(self.is_added, self.outputs):
            number = self.number(output)
            for term in moments.terms(output.aggregate or "", self.dtype(number), finite=number in self.finite):
                counted = self.counter(number) if term == "n" else number
                found.setdefault((counted, self.place(output)), {})[term] = None
        return {key: tuple(wanted) for key, wanted in found.items()}

    @cached_property
    def terms_of(self) -> dict[int, tuple[str, ...]]:
        """Measure -> the terms needed of it in any window."""
        found: dict[int, dict[str, None]] = {}
        for (number, _), wanted in self.terms.items():
            found.setdefault(number, {}).update(dict.fromkeys(wanted))
        return {number: tuple(wanted) for number, wanted in found.items()}

    @cached_property
    def term_columns(self) -> list[tuple[str, str, int]]:
        """(column, term, measure) of every term needed in any window."""
        return [(f"{term}_{n}", term, n) for n, wanted in self.terms_of.items() for term in wanted]

    def term_sql(self, term: str, number: int) -> str:
        return moments.term_sql(term, number, self.dtype(number), small=number in self.small)

    @cached_property
    def others(self) -> tuple[Output, ...]:
        """The outputs not made of terms, numbered from 1 as `value_{n}`."""
        return tuple(o for o in self.outputs if not self.is_added(o))


def _only_counts(measure: Measure) -> bool:
    return measure.expression is None and measure.where is None


def add_terms(steps: Steps, asked: Asked) -> str:
    """The step `numbers`: `measured` with the terms of every measure but its count. Returns: the step to read from."""
    columns = [f"{asked.term_sql(term, n)} AS {column}"
               for column, term, n in asked.term_columns if term != "n"]  # fmt: skip
    if not columns:
        return "measured"
    steps.add("numbers", "the same with their values as whole numbers, which add up without loss",
              f"SELECT *,\n{listed(columns)}\nFROM measured", materialized=False)  # fmt: skip
    return "numbers"


def finish(steps: Steps, asked: Asked, *, by: Sequence[str] = ("row_id",)) -> str:
    """The final select: __row and every output, in spine order. by: what `grouped` has one row of."""
    squared = [(n, asked.counter(n), place, asked.dtype(n)) for (n, place), wanted in asked.terms.items() if "aa" in wanted]
    source = moments.add_squares(steps, squared, asked.small) if squared else "grouped"
    summed = [o for o in asked.outputs if o.aggregate in ("sum", "mean") and asked.is_added(o)]
    cells = dict.fromkeys((asked.number(o), asked.place(o)) for o in summed if asked.dtype(asked.number(o)) == DOUBLE)
    source = moments.add_sums(steps, source, tuple(cells), asked.finite, asked.narrow) if cells else source
    columns = ["s.row_id AS __row"]
    for output in asked.outputs:
        number, place = asked.number(output), asked.place(output)
        measure = asked.measures[number - 1]
        if asked.is_added(output):
            columns += moments.finished(
                output,
                measure,
                number,
                lambda term, number=number, place=place: (  # type: ignore[misc]
                    f"g.{term}_{asked.counter(number) if term == 'n' else number}_{place}"
                ),
                finite=number in asked.finite,
                small=number in asked.small,
            )
        elif asked.is_list(output):
            columns.append(f"g.value_{asked.others.index(output) + 1} AS {quoted(output.name)}")
        else:
            columns.append(aggregations.finished(output, measure, f"g.value_{asked.others.index(output) + 1}"))
    return steps.finish(
        "the answer, in spine order; rows without facts get the value of the empty window",
        f"SELECT\n{listed(columns)}\nFROM spine AS s LEFT JOIN {source} AS g USING ({', '.join(by)})\nORDER BY __row",
    )
