"""Which rows of a source a view leaves out, and why: one scan, before anything is built."""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import event_time, known_time, not_null, relation
from featurestore.compiler.duckdb.scalars import canonical, quoted
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import Source
from featurestore.intervals import MICROS_PER_DAY
from featurestore.plan.nodes import Facts, InForce, OnlineState, StaticLookup, facts_of

REASONS = (
    "event_time_null", "event_time_out_of_range", "known_time_null", "known_time_out_of_range", "key_null", "row_key_null",
)  # fmt: skip
"""Why a row is no fact (or, with row_key, no version). Each row counts once, under the first that applies."""


def left_out(plan: OnlineState) -> str:
    """The statement: rows, one count per reason that can occur, and has_time_of_day (whether any event time does)."""
    if isinstance(plan.facts, StaticLookup):
        keys = [quoted(k.source_column) for k in plan.facts.keys]
        return _counts(plan.facts.rows.source, [("key_null", f"NOT ({not_null(keys)})")] if keys else [], "TRUE")
    facts, versions, _ = facts_of(plan.facts)
    source = facts.rows.source
    tests = _version_tests(source, versions) if versions is not None else _fact_tests(source, facts)
    return _counts(source, tests, f"coalesce(bool_or({event_time(source)} % {MICROS_PER_DAY} <> 0), count(*) = 0)")


def _fact_tests(source: Source, facts: Facts) -> list[tuple[str, str]]:
    assert source.event_timestamp is not None
    event = quoted(source.event_timestamp)
    tests = [("event_time_null", f"{event} IS NULL"), ("event_time_out_of_range", f"({event_time(source)}) IS NULL")]
    tests += _known_tests(source)
    keys = [quoted(k.source_column) for k in facts.keys]
    return tests + ([("key_null", f"NOT ({not_null(keys)})")] if keys else [])


def _version_tests(source: Source, versions: InForce) -> list[tuple[str, str]]:
    row_keys = [quoted(c) for c in versions.row_key]
    return [*_known_tests(source), ("row_key_null", f"NOT ({not_null(row_keys)})")]


def _known_tests(source: Source) -> list[tuple[str, str]]:
    column = source.created_timestamp or source.event_timestamp
    assert column is not None
    null = f"{quoted(column)} IS NULL AND ({known_time(source)}) IS NULL"
    return [("known_time_null", null), ("known_time_out_of_range", f"({known_time(source)}) IS NULL")]


def _counts(source: Source, tests: list[tuple[str, str]], time_of_day: str) -> str:
    columns, before = ["count(*) AS rows"], ""
    for reason, test in tests:
        columns.append(f"count(*) FILTER (WHERE {before}({test})) AS {reason}")
        before += f"NOT ({test}) AND "
    columns.append(f"{time_of_day} AS has_time_of_day")
    return f"SELECT\n{listed(columns)}\nFROM {relation(source)}\n"


def ambiguous(plan: OnlineState) -> str | None:
    """The statement that counts groups of versions equal in row key, order and known time that differ; None without."""
    if isinstance(plan.facts, StaticLookup):
        return None
    facts, versions, _ = facts_of(plan.facts)
    if versions is None:
        return None
    source, types = facts.rows.source, {c.name: c.dtype for c in facts.rows.columns}
    group = [*(canonical(quoted(c), types[c]) for c in versions.row_key), f"({known_time(source)})"]
    group += [quoted(source.row_order)] if source.row_order else []
    content = ", ".join(canonical(quoted(c.name), c.dtype) for c in facts.rows.columns)
    columns = [*(f"{g} AS group_{i}" for i, g in enumerate(group)), f"row({content}) AS content"]
    row_keys = [quoted(c) for c in versions.row_key]
    steps = Steps()
    steps.add("rows_read", f"versions of source {source.name}",
              f"SELECT\n{listed(columns)}\nFROM {relation(source)}\n"
              f"WHERE {not_null(row_keys)} AND ({known_time(source)}) IS NOT NULL")  # fmt: skip
    groups = ", ".join(f"group_{i}" for i in range(len(group)))
    return steps.finish(
        "groups whose versions differ",
        f"SELECT count(*) AS ambiguous_versions\nFROM (\n  SELECT {groups} FROM rows_read GROUP BY ALL HAVING count(*) > 1 "
        "AND count(DISTINCT content) > 1\n)",
    )
