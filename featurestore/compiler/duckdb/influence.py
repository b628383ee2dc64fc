"""Which rows of a source lie in reach of a feature, and the source once per row left out: what influence is measured with.

It reads rewritten files (`audit.rewritten`). What a row does to a value is not decided here: the service's own statements
are run over what is left, with the number of the case as one more key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.compiler.duckdb.perturbed import rows_of, times
from featurestore.compiler.duckdb.scalars import canonical, quoted
from featurestore.compiler.duckdb.types import key_type
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import Source
from featurestore.dtypes import DType


@dataclass(frozen=True)
class Reached:
    """A source as one view looks at it. keys, row_key: columns and their types. exact: rows at the instant count.

    since, until: of event times, in microseconds before the instant asked for; None: any. Facts count from `since` on, up to
    `until`; with exact matches after `since`, up to `until` itself. `since_counts`: facts exactly that old count in any case.
    """

    source: Source
    path: str
    pushed: bool
    keys: tuple[tuple[str, DType], ...]
    row_key: tuple[tuple[str, DType], ...]
    exact: bool
    since: int | None = None
    until: int | None = None
    since_counts: bool = False


def reached(asked: Reached) -> str:
    """Of the relation `asked` (n, asked_at, key_0, …) which rows each looks at: n, __part, __row, e, k; newest first.

    Of versioned facts these are all versions known by then of those facts of which one has the key, and the time.
    """
    steps, source = Steps(), asked.source
    keys = [f"CAST({quoted(c)} AS {key_type(t)}) AS key_{i}" for i, (c, t) in enumerate(asked.keys)]
    facts = [f"{canonical(quoted(c), t)} AS fact_{i}" for i, (c, t) in enumerate(asked.row_key)]
    when = "CAST(NULL AS BIGINT) AS e, CAST(NULL AS BIGINT) AS k" if source.static else times(source, pushed=asked.pushed)
    steps.add("timed", "rows with their event and known time",
              f"SELECT\n{listed(['__part', '__row', *keys, *facts, when])}\nFROM {rows_of(asked.path)}")  # fmt: skip
    match = " AND ".join(f"timed.key_{i} = asked.key_{i}" for i in range(len(keys))) or "TRUE"
    conditions = [] if source.static else [_known(asked, "timed.", "asked."), *_within(asked)]
    where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
    found = f"FROM timed JOIN asked ON {match}{where}"
    columns, order = "n, __part, __row, e, k", "ORDER BY n, e DESC, k DESC, __part, __row"
    if not asked.row_key:
        return steps.finish("what each may look at", f"SELECT DISTINCT {columns}\n{found}\n{order}")
    named = [f"fact_{i}" for i in range(len(facts))]
    steps.add("facts", "facts of which a version is in reach", f"SELECT DISTINCT n, asked_at, {', '.join(named)}\n{found}")
    same = " AND ".join(f"timed.{name} = facts.{name}" for name in named)
    known = _known(asked, "timed.", "facts.", versions=True)
    versions = f"SELECT DISTINCT {columns}\nFROM timed JOIN facts ON {same}\nWHERE {known}\n{order}"
    return steps.finish("their versions", versions)


def _known(asked: Reached, row: str, by: str, *, versions: bool = False) -> str:
    compare = "<=" if asked.exact else "<"
    if versions or asked.row_key:
        return f"{row}k {compare} {by}asked_at"
    return f"{row}e IS NOT NULL AND {row}k IS NOT NULL AND greatest({row}e, {row}k) {compare} {by}asked_at"


def _within(asked: Reached) -> list[str]:
    after, before = (">", "<=") if asked.exact else (">=", "<")
    found = []
    if asked.since is not None:
        found.append(f"timed.e {'>=' if asked.since_counts else after} asked.asked_at - {asked.since}")
    if asked.until:
        found.append(f"timed.e {before} asked.asked_at - {asked.until}")
    return found


def left_out(path: str, columns: Sequence[str], case: str, number: int) -> str:
    """The rows of a source once for each case, but for the row that the case leaves out.

    Relations: `reach_<number>` (n, part, row) and `cases` (number, n, source, part, row). case: the name of the column that
    tells the case.
    """
    names = [f"cases.number AS {quoted(case)}", *(f"timed.{quoted(c)} AS {quoted(c)}" for c in columns)]
    kept = f"cases.source IS DISTINCT FROM {number} OR cases.part <> timed.__part OR cases.row <> timed.__row"
    return (
        f"SELECT\n{listed(names)}\nFROM {rows_of(path)} AS timed\n"
        f"JOIN reach_{number} AS reach ON reach.part = timed.__part AND reach.row = timed.__row\n"
        f"JOIN cases ON cases.n = reach.n\nWHERE {kept}"
    )


def rows_named(path: str, columns: Sequence[str]) -> str:
    """The place, and some columns, of the rows that the relation `named` (place, part, row) names, in its order."""
    names = ", ".join(["named.place", *(f"timed.{quoted(c)} AS {quoted(c)}" for c in columns)])
    return (
        f"SELECT {names}\nFROM {rows_of(path)} AS timed\n"
        "JOIN named ON named.part = timed.__part AND named.row = timed.__row\nORDER BY named.place"
    )


__all__ = ["Reached", "left_out", "reached", "rows_named"]
