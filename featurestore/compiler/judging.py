"""The judging of a source's rows by what is expected of them, in any dialect.

Rows that an expectation sends to quarantine are judged first; of the others it is told which fail, and how many only warn: a
row that is as if it were not there breaks nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from featurestore.compiler.facts import FILE, ROW, numbered, relation
from featurestore.compiler.rows import Rows
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions.expectations import QUARANTINE, Expectation
from featurestore.plan.nodes import ReadSource


@dataclass(frozen=True)
class Judging:
    """text: spells a text."""

    rows: Rows
    text: Callable[[str], str]

    def judged(self, rows: ReadSource, expected: Sequence[Expectation]) -> str:
        """The statement of one row: `rows`; `broken_0`, … of each expectation on a column, the rows that break it (of
        quarantine: and none before it); `newest`, the last instant up to the parameter `now` at which a row became visible,
        NULL without any."""
        steps, source = Steps(), rows.source
        read = [*self._tests(rows, expected), *self._visible(rows)]
        steps.add("rows_read", f"rows of source {source.name}: what of them is as expected",
                  f"SELECT\n{listed(read)}\nFROM {self.rows.relation(relation(source))}")  # fmt: skip
        columns = ["count(*) AS rows"]
        columns += [f"count(*) FILTER (WHERE {_broken(i, expected)}) AS broken_{i}" for i, _ in enumerate(expected)]
        kept = _kept(expected)
        newest = f"max(visible_from) FILTER (WHERE visible_from <= {self.rows.parameter}now{f' AND {kept}' if kept else ''})"
        columns.append(f"{'NULL' if source.static else newest} AS newest")
        return steps.finish("how many are not", f"SELECT\n{listed(columns)}\nFROM rows_read")

    def first_broken(self, rows: ReadSource, expected: Sequence[Expectation], number: int, most: int) -> str:
        """The statement: file, row and value of the first rows that break an expectation."""
        column = expected[number].column
        assert column is not None
        steps = self._numbered(rows, expected, [f"{self.rows.quoted(column)} AS value"])
        return steps.finish(
            f"the first that break: {expected[number].reason}",
            f"SELECT {FILE}, {ROW}, value\nFROM rows_read\nWHERE {_broken(number, expected)}\n"
            f"ORDER BY {FILE}, {ROW}\nLIMIT {most}",
        )

    def set_aside(self, rows: ReadSource, expected: Sequence[Expectation], most: int) -> str:
        """The statement: file and row of the first rows that go to quarantine, and the reasons."""
        said = {i: self.text(e.reason) for i, e in enumerate(expected) if e.action == QUARANTINE}
        reasons = ", ".join(f"CASE WHEN NOT passes_{i} THEN {why} END" for i, why in said.items())
        steps = self._numbered(rows, expected, [])
        return steps.finish(
            "those that are set aside, and why",
            f"SELECT {FILE}, {ROW}, concat_ws('; ', {reasons}) AS reason\nFROM rows_read\nWHERE NOT ({_kept(expected)})\n"
            f"ORDER BY {FILE}, {ROW}\nLIMIT {most}",
        )

    def _numbered(self, rows: ReadSource, expected: Sequence[Expectation], columns: Sequence[str]) -> Steps:
        steps, read = Steps(), [FILE, ROW, *columns, *self._tests(rows, expected)]
        said = f"rows of source {rows.source.name}, by file and number: what of them is as expected"
        steps.add("rows_read", said, f"SELECT\n{listed(read)}\nFROM {self.rows.relation(numbered(rows.source))}")
        return steps

    def _tests(self, rows: ReadSource, expected: Sequence[Expectation]) -> list[str]:
        types = {c.name: c.dtype for c in rows.columns}
        return [f"({self.rows.where_holds(rows, e.passes(types))}) IS TRUE AS passes_{i}" for i, e in enumerate(expected)]

    def _visible(self, rows: ReadSource) -> list[str]:
        if rows.source.static:
            return []
        return [f"greatest({self.rows.event_time(rows.source)}, {self.rows.known_time(rows)}) AS visible_from"]


def _kept(expected: Sequence[Expectation], before: int | None = None) -> str:
    """That a row passes what quarantines, up to one expectation; "" where nothing does."""
    return " AND ".join(f"passes_{i}" for i, e in enumerate(expected[:before]) if e.action == QUARANTINE)


def _broken(number: int, expected: Sequence[Expectation]) -> str:
    kept = _kept(expected, number if expected[number].action == QUARANTINE else None)
    return f"NOT passes_{number}" + (f" AND {kept}" if kept else "")
