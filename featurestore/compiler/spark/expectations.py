"""Spark SQL that judges the rows of a source by what is expected of them.

Rows that an expectation sends to quarantine are judged first; of the others it is told which fail, and how many only warn: a
row that is as if it were not there breaks nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.compiler.facts import FILE, ROW, numbered
from featurestore.compiler.spark.facts import event_time, known_time, relation, where_holds
from featurestore.compiler.spark.scalars import quoted, text
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions.expectations import QUARANTINE, Expectation
from featurestore.plan.nodes import ReadSource


def judged(rows: ReadSource, expected: Sequence[Expectation]) -> str:
    """The statement of one row: `rows`; `broken_0`, … of each expectation on a column, the rows that break it (of quarantine:
    and none before it); `newest`, the last instant up to :now at which a row became visible, NULL without any."""
    steps, source = Steps(), rows.source
    read = [*_tests(rows, expected), *_visible(rows)]
    steps.add("rows_read", f"rows of source {source.name}: what of them is as expected",
              f"SELECT\n{listed(read)}\nFROM {quoted(relation(source))}")  # fmt: skip
    columns = ["count(*) AS rows"]
    columns += [f"count(*) FILTER (WHERE {_broken(i, expected)}) AS broken_{i}" for i, _ in enumerate(expected)]
    kept = _kept(expected)
    newest = f"max(visible_from) FILTER (WHERE visible_from <= :now{f' AND {kept}' if kept else ''})"
    columns.append(f"{'NULL' if source.static else newest} AS newest")
    return steps.finish("how many are not", f"SELECT\n{listed(columns)}\nFROM rows_read")


def first_broken(rows: ReadSource, expected: Sequence[Expectation], number: int, most: int) -> str:
    """The statement: file, row and value of the first rows that break an expectation."""
    column = expected[number].column
    assert column is not None
    steps = _numbered(rows, expected, [f"{quoted(column)} AS value"])
    return steps.finish(
        f"the first that break: {expected[number].reason}",
        f"SELECT {FILE}, {ROW}, value\nFROM rows_read\nWHERE {_broken(number, expected)}\nORDER BY {FILE}, {ROW}\nLIMIT {most}",
    )


def set_aside(rows: ReadSource, expected: Sequence[Expectation], most: int) -> str:
    """The statement: file and row of the first rows that go to quarantine, and the reasons."""
    said = {i: text(e.reason) for i, e in enumerate(expected) if e.action == QUARANTINE}
    reasons = ", ".join(f"CASE WHEN NOT passes_{i} THEN {why} END" for i, why in said.items())
    steps = _numbered(rows, expected, [])
    return steps.finish(
        "those that are set aside, and why",
        f"SELECT {FILE}, {ROW}, concat_ws('; ', {reasons}) AS reason\nFROM rows_read\nWHERE NOT ({_kept(expected)})\n"
        f"ORDER BY {FILE}, {ROW}\nLIMIT {most}",
    )


def _numbered(rows: ReadSource, expected: Sequence[Expectation], columns: Sequence[str]) -> Steps:
    steps, read = Steps(), [FILE, ROW, *columns, *_tests(rows, expected)]
    steps.add("rows_read", f"rows of source {rows.source.name}, by file and number: what of them is as expected",
              f"SELECT\n{listed(read)}\nFROM {quoted(numbered(rows.source))}")  # fmt: skip
    return steps


def _tests(rows: ReadSource, expected: Sequence[Expectation]) -> list[str]:
    types = {c.name: c.dtype for c in rows.columns}
    return [f"({where_holds(rows, e.passes(types))}) IS TRUE AS passes_{i}" for i, e in enumerate(expected)]


def _visible(rows: ReadSource) -> list[str]:
    return [] if rows.source.static else [f"greatest({event_time(rows.source)}, {known_time(rows)}) AS visible_from"]


def _kept(expected: Sequence[Expectation], before: int | None = None) -> str:
    """That a row passes what quarantines, up to one expectation; "" where nothing does."""
    return " AND ".join(f"passes_{i}" for i, e in enumerate(expected[:before]) if e.action == QUARANTINE)


def _broken(number: int, expected: Sequence[Expectation]) -> str:
    kept = _kept(expected, number if expected[number].action == QUARANTINE else None)
    return f"NOT passes_{number}" + (f" AND {kept}" if kept else "")


__all__ = ["first_broken", "judged", "set_aside"]
