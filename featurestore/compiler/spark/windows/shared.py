"""What the window plans share: the windows and measures of a statement, and its last step.

Every plan ends in a step with one row per spine row that has facts: for outputs made of terms a column
`{term}_{measure}_{window}`, for all others `value_{n}`. The final select turns them into answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from featurestore.compiler.spans import Span, span_of
from featurestore.compiler.spark.scalars import quoted
from featurestore.compiler.spark.windows import aggregations, moments
from featurestore.compiler.spark.windows.moments import Cell, Limbs
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DOUBLE, DType
from featurestore.plan.nodes import Measure, Output, Window, measure_of, measures

DEFAULT_WIDTH = 40


@dataclass(frozen=True)
class Asked:
    """The outputs of one statement. Measures are numbered as in the whole part, so that scales have one name in all plans.

    wide: the measures whose range no sum holds. width: bits of a limb; bits: of the whole numbers of measures, where known.
    never_null, finite: the measures without NULLs, and without NaN and infinities. latest: how late any fact is known at
    most, in microseconds; None if a version may replace it. skewed: keys that hold much of the data have their timelines cut.
    """

    plan: Window
    outputs: tuple[Output, ...]
    wide: frozenset[int] = frozenset()
    width: int = DEFAULT_WIDTH
    bits: Mapping[int, int] = field(default_factory=dict)
    never_null: frozenset[int] = frozenset()
    finite: frozenset[int] = frozenset()
    latest: int | None = None
    skewed: bool = False

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
    def limbs(self) -> dict[int, Limbs]:
        """Measure -> how its whole numbers are cut."""
        return {n: Limbs(n, self.dtype(n), self.bits.get(n, moments.default_bits(self.dtype(n))), self.width)
                for n in self.used}  # fmt: skip

    @cached_property
    def terms(self) -> dict[tuple[int, int], tuple[str, ...]]:
        """(measure, window) -> the terms needed of it, in order of first use."""
        found: dict[tuple[int, int], dict[str, None]] = {}
        for output in filter(self.is_added, self.outputs):
            number = self.number(output)
            for term in self.limbs[number].terms(output.aggregate or "", finite=number in self.finite):
                counted = self.counter(number) if term == "n" else number
                found.setdefault((counted, self.place(output)), {})[term] = None
        return {key: tuple(wanted) for key, wanted in found.items()}

    @cached_property
    def term_columns(self) -> list[tuple[str, str, int]]:
        """(column, term, measure) of every term needed in any window."""
        found = dict.fromkeys((term, number) for (number, _), wanted in self.terms.items() for term in wanted)
        return [(f"{term}_{number}", term, number) for term, number in found]

    @cached_property
    def others(self) -> tuple[Output, ...]:
        """The outputs not made of terms, numbered from 1 as `value_{n}`."""
        return tuple(o for o in self.outputs if not self.is_added(o))

    def cell(self, output: Output) -> Cell:
        number, place = self.number(output), self.place(output)

        def total(term: str) -> str:
            return f"{term}_{self.counter(number) if term == 'n' else number}_{place}"

        return Cell(self.limbs[number], place, total, finite=number in self.finite)

    def cells(self, *aggregates: str) -> list[Cell]:
        """The cells that outputs of these aggregates are made from, each once."""
        found = {(self.number(o), self.place(o)): o for o in reversed(self.outputs)
                 if o.aggregate in aggregates and self.is_added(o)}  # fmt: skip
        return [self.cell(found[key]) for key in sorted(found)]


def _only_counts(measure: Measure) -> bool:
    return measure.expression is None and measure.where is None


def add_numbers(steps: Steps, asked: Asked, source: str) -> str:
    """The steps to the terms of every fact. Returns: the last."""
    terms = [(term, asked.limbs[number]) for _, term, number in asked.term_columns]
    return moments.add_numbers(steps, source, list(asked.limbs.values()), terms)


def finish(steps: Steps, asked: Asked, source: str, *, every_row: bool) -> str:
    """The final select: __row and every output. every_row: the source has a row for each of the spine, with its asked_at;
    else those without facts are still to be joined."""
    source = moments.add_digits(steps, source, asked.cells("sum", "mean"))
    source = moments.add_rounded(steps, source, [
        cell for cell in asked.cells("sum", "mean")
        if cell.limbs.dtype == DOUBLE or any(c.name == cell.name for c in asked.cells("mean"))
    ])  # fmt: skip
    spread = asked.cells(*moments.SQUARED)
    source = moments.add_spread(steps, source, spread) if spread else source
    source = aggregations.add_prepared(steps, source, asked.others, [asked.is_list(o) for o in asked.others])
    columns = ["row_id AS __row"]
    for output in asked.outputs:
        if asked.is_added(output):
            columns += moments.finished(output, asked.cell(output))
            continue
        value = f"value_{asked.others.index(output) + 1}"
        listed_as = f"{value} AS {quoted(output.name)}"
        columns.append(listed_as if asked.is_list(output) else aggregations.finished(output, value))
    if not every_row:
        source = f"spine LEFT JOIN {source} USING (row_id)"
    return steps.finish("the answer; rows without facts get the value of the empty window",
                        f"SELECT\n{listed(columns)}\nFROM {source}")  # fmt: skip
