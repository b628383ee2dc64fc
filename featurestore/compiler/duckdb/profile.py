"""What a source's rows look like, for `check --data`: times, lateness, keys, versions; those in quarantine are no rows.

Nothing here bears on a value.
"""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.compiler.duckdb.facts import event_time, known_time, micros, not_null, relation, where
from featurestore.compiler.duckdb.scalars import canonical, quoted
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import ReadSource

_DIGITS = 3
"""Lateness is told in so many significant digits, rounded up, so that its distribution is a short list whatever the rows."""


def times(rows: ReadSource, others: Sequence[str]) -> str:
    """The statement: rows; of event and known time first, last, how many lie outside the source's range, and after $now;
    whether an event has a time of day; of each other column of times (`other_0`, …) its values, and those no earlier than
    the event."""
    source = rows.source
    assert source.event_timestamp is not None
    read = [
        f"{event_time(source)} AS event_time",
        f"{known_time(rows)} AS known_time",
        f"{quoted(source.event_timestamp)} AS event",
    ]
    read += [f"{micros(column, source)} AS other_{i}" for i, column in enumerate(others)]
    columns = [
        "count(*) AS rows",
        "count(*) - count(event) AS event_null",
        "count(event) - count(event_time) AS event_out_of_range",
    ]
    for name in ("event", "known"):
        columns += [f"min({name}_time) AS {name}_first", f"max({name}_time) AS {name}_last",
                    f"count(*) FILTER (WHERE {name}_time > $now) AS {name}_future"]  # fmt: skip
    columns.append("count(*) FILTER (WHERE known_time IS NULL) AS known_never")
    for i in range(len(others)):
        columns.append(f"count(*) FILTER (WHERE other_{i} IS NOT NULL AND event_time IS NOT NULL) AS other_{i}")
        columns.append(f"count(*) FILTER (WHERE other_{i} >= event_time) AS other_{i}_after")
    steps = Steps()
    steps.add("rows_read", f"rows of source {source.name}: times in microseconds UTC",
              f"SELECT\n{listed(read)}\nFROM {relation(source)}{where(rows)}")  # fmt: skip
    return steps.finish("what they range over", f"SELECT\n{listed(columns)}\nFROM rows_read")


def lateness(rows: ReadSource, column: str | None = None) -> str:
    """The statement: how long after their events rows became known (or, by another column, would have): (late_by, rows) in
    microseconds, in order, three digits rounded up, what was known before its event as -1; `most` of the group, and how many of
    it are later than $allowed."""
    known = known_time(rows) if column is None else micros(column, rows.source)
    steps = Steps()
    late_by = f"({known}) - ({event_time(rows.source)})"
    steps.add("rows_read", f"rows of source {rows.source.name}: how long after its event each is known",
              f"SELECT {late_by} AS late_by\nFROM {relation(rows.source)}{where(rows)}")  # fmt: skip
    late_in_few_digits(steps)
    return steps.finish(
        "how many rows are how late",
        "SELECT\n  CAST(bound AS BIGINT) AS late_by, count(*) AS rows, max(late_by) AS most,\n"
        "  count(*) FILTER (WHERE late_by > $allowed) AS late\nFROM rounded\nGROUP BY bound\nORDER BY bound",
    )


def late_in_few_digits(steps: Steps, *besides: str) -> None:
    """The step `rounded`: `late_by` of `rows_read` and, three digits rounded up, its `bound`; besides: what is kept beside."""
    kept = ", ".join(["late_by", *besides])
    bound = "CASE WHEN late_by <= 0 THEN sign(late_by) ELSE (late_by + step - 1) // step * step END"
    step = f"CAST(pow(10, greatest(floor(log10(greatest(late_by, 1))) - {_DIGITS - 1}, 0)) AS BIGINT)"
    steps.add("rounded", "in few digits, rounded up",
              f"SELECT {kept}, {bound} AS bound\nFROM (\n"
              f"  SELECT {kept}, {step} AS step\n  FROM rows_read WHERE late_by IS NOT NULL\n)")  # fmt: skip


def same_key_and_time(rows: ReadSource, keys: Sequence[str]) -> str:
    """The statement: of rows that share key columns and event time (of a static source: key columns) how many groups there
    are, the rows in them, the most in one; and the rows in which a key column is NULL. keys: at least one column."""
    columns = [quoted(key) for key in keys]
    group = [*columns, *([] if rows.source.static else [event_time(rows.source)])]
    present = not_null(columns)
    if not rows.source.static:
        present += f" AND ({event_time(rows.source)}) IS NOT NULL"
    return _repeated(rows, group, present, f"NOT ({not_null(columns)})")


def versions(rows: ReadSource) -> str:
    """The statement: of row keys with several versions how many there are, their versions, the most of one; the rows in which
    a row key is NULL; and how many row keys there are."""
    types = {c.name: c.dtype for c in rows.columns}
    columns = [canonical(quoted(c), types[c]) for c in rows.source.row_key]
    named = [quoted(c) for c in rows.source.row_key]
    return _repeated(rows, columns, not_null(named), f"NOT ({not_null(named)})")


def _repeated(rows: ReadSource, group: Sequence[str], present: str, missing: str) -> str:
    steps, relation_ = Steps(), relation(rows.source)
    steps.add("grouped", f"rows of source {rows.source.name} by what should tell them apart",
              f"SELECT count(*) AS rows\nFROM {relation_}{where(rows, present)}\nGROUP BY {', '.join(group)}")  # fmt: skip
    nulls = f"(SELECT count(*) FROM {relation_}{where(rows, missing)})"
    columns = ["count(*) AS groups", "count(*) FILTER (WHERE rows > 1) AS repeated",
               "CAST(coalesce(sum(rows) FILTER (WHERE rows > 1), 0) AS BIGINT) AS rows_repeated",
               "coalesce(max(rows), 0) AS most", f"{nulls} AS nulls"]  # fmt: skip
    return steps.finish("how many are not told apart", f"SELECT\n{listed(columns)}\nFROM grouped")
