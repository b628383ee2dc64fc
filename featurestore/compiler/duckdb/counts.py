"""What is counted of a source before anything is built: rows left out and why, and how far it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.compiler.counts import QUARANTINED, REASONS
from featurestore.compiler.duckdb.facts import event_time, known_time, not_null, relation, where, where_holds
from featurestore.compiler.duckdb.scalars import canonical, quoted
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions.source import PUSHED_AT
from featurestore.intervals import MICROS_PER_DAY
from featurestore.plan.nodes import ReadSource, StaticLookup, Visible, facts_of


def left_out(read: Visible | StaticLookup) -> str:
    """The statement: rows, one count per reason that can occur, and has_time_of_day (whether any event time does)."""
    if isinstance(read, StaticLookup):
        columns = [quoted(k.source_column) for k in read.keys]
        return _counts(read.rows, {"key_null": _any_null(columns)}, [("key_null", "key_null")], "TRUE")
    facts, versions, _ = facts_of(read)
    source = facts.rows.source
    assert source.event_timestamp is not None
    known_from = [source.created_timestamp or source.event_timestamp]
    known_from += [source.event_timestamp] if source.created_null == "event" else []
    known_from += [PUSHED_AT] if facts.rows.pushed else []
    of_row = {"event_time": event_time(source), "known_time": known_time(facts.rows)}
    of_row["no_known"] = " AND ".join(f"{quoted(c)} IS NULL" for c in dict.fromkeys(known_from))
    known = [("known_time_null", "no_known AND known_time IS NULL"), ("known_time_out_of_range", "known_time IS NULL")]
    if versions is not None:
        of_row["no_key"] = _any_null([quoted(c) for c in versions.row_key])
        tests = [*known, ("row_key_null", "no_key")]
    else:
        of_row["no_event"] = f"{quoted(source.event_timestamp)} IS NULL"
        of_row["no_key"] = _any_null([quoted(k.source_column) for k in facts.keys])
        tests = [("event_time_null", "no_event"), ("event_time_out_of_range", "event_time IS NULL"), *known]
        tests.append(("key_null", "no_key"))
    return _counts(facts.rows, of_row, tests, f"coalesce(bool_or(event_time % {MICROS_PER_DAY} <> 0), count(*) = 0)")


def _any_null(columns: Sequence[str]) -> str:
    return f"NOT ({not_null(columns)})" if columns else "FALSE"


def _counts(rows: ReadSource, of_row: Mapping[str, str], tests: Sequence[tuple[str, str]], time_of_day: str) -> str:
    """Each row gets, once, the number of the first reason that applies to it; the counts compare those numbers."""
    steps, source = Steps(), rows.source
    set_aside = {f"kept_{i}": f"({where_holds(rows, test)}) IS TRUE" for i, (_, test) in enumerate(rows.kept_if)}
    of_row = {**set_aside, **of_row}
    reasons = [f"{QUARANTINED}{reason}" for reason, _ in rows.kept_if]
    tests = [*((reason, f"NOT {name}") for reason, name in zip(reasons, set_aside, strict=True)), *tests]
    steps.add("rows_read", f"rows of source {source.name}: times in microseconds UTC, what is NULL",
              f"SELECT\n{listed([f'{sql} AS {name}' for name, sql in of_row.items()])}\nFROM {relation(source)}")  # fmt: skip
    cases = "\n".join(f"    WHEN {test} THEN {number}" for number, (_, test) in enumerate(tests, 1))
    steps.add("judged", "the number of the first reason that leaves a row out",
              f"SELECT\n  *,\n  CASE\n{cases}\n  END AS reason\nFROM rows_read")  # fmt: skip
    columns = ["count(*) AS rows"]
    columns += [f"count(*) FILTER (WHERE reason = {n}) AS {_named(name)}" for n, (name, _) in enumerate(tests, 1)]
    columns.append(f"{time_of_day} AS has_time_of_day")
    return steps.finish("rows by reason", f"SELECT\n{listed(columns)}\nFROM judged")


def _named(reason: str) -> str:
    return reason if reason in REASONS else quoted(reason)


def ambiguous(read: Visible | StaticLookup) -> str | None:
    """The statement that counts groups of versions equal in row key, order and known time that differ; None without."""
    if isinstance(read, StaticLookup):
        return None
    facts, versions, _ = facts_of(read)
    if versions is None:
        return None
    source, types = facts.rows.source, {c.name: c.dtype for c in facts.rows.columns}
    group = [*(canonical(quoted(c), types[c]) for c in versions.row_key), f"({known_time(facts.rows)})"]
    group += [quoted(source.row_order)] if source.row_order else []
    told = [c for c in facts.rows.columns if c.name not in facts.rows.only_tested]
    content = ", ".join(canonical(quoted(c.name), c.dtype) for c in told)
    columns = [*(f"{g} AS group_{i}" for i, g in enumerate(group)), f"row({content}) AS content"]
    row_keys = [quoted(c) for c in versions.row_key]
    steps = Steps()
    # Inlined: the groups are found on narrow columns, and content is built for the few rows of those groups only.
    steps.add("rows_read", f"versions of source {source.name}",
              f"SELECT\n{listed(columns)}\nFROM {relation(source)}"
              + where(facts.rows, not_null(row_keys), f"({known_time(facts.rows)}) IS NOT NULL"),
              materialized=False)  # fmt: skip
    groups = ", ".join(f"group_{i}" for i in range(len(group)))
    steps.add("repeated", "groups of more than one version",
              f"SELECT {groups}\nFROM rows_read\nGROUP BY ALL\nHAVING count(*) > 1", materialized=True)  # fmt: skip
    # Joined on the row key alone: known time and order are grouped again, where a NULL order equals a NULL.
    same_fact = ", ".join(f"group_{i}" for i in range(len(row_keys)))
    return steps.finish(
        "groups whose versions differ",
        f"SELECT count(*) AS ambiguous_versions\nFROM (\n"
        f"  SELECT {groups} FROM rows_read SEMI JOIN repeated USING ({same_fact})\n"
        "  GROUP BY ALL HAVING count(DISTINCT content) > 1\n)",
    )


def greatest_known(rows: ReadSource) -> str:
    """The statement: greatest_known, the greatest known time of all rows, in microseconds; NULL without any.

    Every row tells how far the source has come: also a tombstone, a row without a key, and one known after the cut-off; but not
    one that was set aside.
    """
    steps = Steps()
    steps.add("rows_read", f"rows of source {rows.source.name}: when each became known",
              f"SELECT {known_time(rows)} AS known_time\nFROM {relation(rows.source)}{where(rows)}")  # fmt: skip
    return steps.finish("up to when the source is known", "SELECT max(known_time) AS greatest_known\nFROM rows_read")


__all__ = ["QUARANTINED", "REASONS", "ambiguous", "greatest_known", "left_out"]
