"""The state of a view at a watermark, in Spark SQL: per key, the facts that any later instant may need.

Rows come ordered by key, kind, event time; what they are for and what a run asks besides is told in the other dialect's module,
whose words these are.
"""

from __future__ import annotations

from featurestore.compiler.online import HELD, IN_WINDOW, LATEST, NEW_PREFIX
from featurestore.compiler.spark.facts import (
    add_facts,
    add_newest_versions,
    add_rows_read,
    fact_columns,
    input_name,
    key_names,
    live,
    not_null,
    relation,
    row_key_names,
)
from featurestore.compiler.spark.latest import newest_of, value
from featurestore.compiler.spark.scalars import quoted
from featurestore.compiler.spark.static import add_static_rows
from featurestore.compiler.spark.types import sql_type
from featurestore.compiler.spark.windows.measured import measure_sql
from featurestore.compiler.statement import Steps, listed
from featurestore.plan.nodes import OnlineState, StaticLookup, Visible, facts_of, measures, ordered_by_time, reach_of


def online_state(plan: OnlineState, *, limited: bool = False) -> str:
    """The statement: key columns, __kind, __event, the latest outputs, measure_1… of the windows, and known_time of the
    facts in windows if an aggregate orders by it.

    :known_before is the watermark, :horizon how far after it pending facts are kept. limited: only the keys in the
    relation `touched`.
    """
    steps = Steps()
    if isinstance(plan.facts, StaticLookup):
        return _static(steps, plan, plan.facts)
    _add_in_force(steps, plan.facts, limited)
    branches = [_held_rows(plan)]
    if plan.latest:
        _add_chosen(steps, plan.facts)
        branches.append(_latest_rows(plan))
    if plan.windows:
        branches.append(_window_rows(plan))
    keys = ", ".join(key_names(facts_of(plan.facts)[0].keys))
    return steps.finish("the state, by key", "\nUNION ALL\n".join(branches) + f"\nORDER BY {keys}, __kind, __event")


def _add_in_force(steps: Steps, visible: Visible, limited: bool) -> None:
    """The steps `in_force` (facts at the watermark, of the keys to refresh) and `current` (those before the horizon)."""
    add_facts(steps, visible)
    facts, versions, _ = facts_of(visible)
    keys = key_names(facts.keys)
    semi = f" LEFT SEMI JOIN touched USING ({', '.join(keys)})" if limited else ""
    columns = ", ".join(fact_columns(visible))
    if versions is None:
        steps.add("in_force", "facts of the keys to refresh", f"SELECT {columns} FROM facts{semi}")
    else:
        add_newest_versions(steps, visible)
        steps.add("in_force", "those that are facts, of the keys to refresh",
                  f"SELECT {columns} FROM newest_versions{semi} WHERE {live(visible)}")  # fmt: skip
    steps.add("current", "facts up to the horizon", "SELECT * FROM in_force WHERE event_time < :known_before + :horizon")


def _pending(visible: Visible) -> str:
    usable = "event_time <= :known_before" if visible.exact else "event_time < :known_before"
    return f"CASE WHEN {usable} THEN NULL ELSE event_time END"


def _add_chosen(steps: Steps, visible: Visible) -> None:
    """The step `chosen`: per key the newest fact the watermark can see, and one per pending event time."""
    facts, _, _ = facts_of(visible)
    keys = ", ".join(key_names(facts.keys))
    steps.add(
        "chosen",
        "per key the newest fact usable at the watermark, and those still to come",
        f"SELECT {keys}, newest.*\nFROM (\n  SELECT {keys}, pending, max(fact) AS newest\n"
        f"  FROM (SELECT {keys}, {_pending(visible)} AS pending, {newest_of(facts)} AS fact FROM current)\n"
        f"  GROUP BY {keys}, pending\n)",
    )


def online_rows(plan: OnlineState, *, limited: bool) -> str:
    """The statement that says whose fact each row is, of a source with versions: row keys, keys, __flags, __event, __known,
    the version's row_order if the source has one, and measure_1… of the windows; by row key.

    Of all that `online_state` has as a fact; with row_order of every newest version, since one that is no fact may still win
    over one that comes later. limited: of the keys in the relation `touched` only rows that are in `touched_rows`, or a
    candidate for the latest values.
    """
    visible = plan.facts
    assert isinstance(visible, Visible)
    steps = Steps()
    facts, _, _ = facts_of(visible)
    types = {c.name: c.dtype for c in facts.inputs}
    _add_in_force(steps, visible, limited)
    keys, row_keys, reach = key_names(facts.keys), row_key_names(visible), reach_of(plan.windows)
    wanted, joined = "FALSE", ""
    if plan.latest:
        by = ", ".join(keys)
        steps.add("marked", "the newest fact usable at the watermark per key, and those still to come, marked",
                  f"SELECT DISTINCT {by}, newest.event_time, newest.known_time, TRUE AS is_wanted\nFROM (\n"
                  f"  SELECT {by}, {_pending(visible)} AS pending, max(struct(event_time, known_time)) AS newest\n"
                  f"  FROM current GROUP BY {by}, {_pending(visible)}\n)")  # fmt: skip
        wanted, joined = "is_wanted IS TRUE", f" LEFT JOIN marked USING ({by}, event_time, known_time)"
    in_reach = "FALSE" if not plan.windows else "TRUE" if reach is None else f"event_time >= :known_before - {reach}"
    is_fact = f"{live(visible)} AND event_time < :known_before + :horizon"
    steps.add(
        "rows_told",
        "newest versions, and what each is in the records",
        f"SELECT *, is_fact AND {wanted} AS is_candidate, is_fact AND {in_reach} AS is_in_reach\n"
        f"FROM (SELECT *, coalesce({is_fact}, FALSE) AS is_fact FROM newest_versions){joined}",
    )
    order = bool(facts.rows.source.row_order)
    kept = ["TRUE" if order else "is_in_reach"]
    if limited:
        kept.append(f"({', '.join(row_keys)}) IN (SELECT {', '.join(row_keys)} FROM touched_rows)")
    flags = f"CASE WHEN is_candidate THEN {LATEST} ELSE 0 END + CASE WHEN is_in_reach THEN {IN_WINDOW} ELSE 0 END"
    columns = [*row_keys, *keys, f"CAST({flags} AS TINYINT) AS __flags", "coalesce(event_time, 0) AS __event",
               "known_time AS __known", *(["row_order AS __order"] if order else [])]  # fmt: skip
    columns += [f"CASE WHEN is_in_reach THEN {measure_sql(m, types)} END AS measure_{i}"
                for i, m in enumerate(measures(plan.windows), 1)]  # fmt: skip
    answer = f"SELECT\n{listed(columns)}\nFROM rows_told\nWHERE is_candidate OR ({' AND '.join(kept)})"
    return steps.finish("whose fact each row is", f"{answer}\nORDER BY {', '.join(row_keys)}")


def _rows(plan: OnlineState, kind: int, source: str, latest: list[str], taken: list[str], event: str = "event_time") -> str:
    assert isinstance(plan.facts, Visible)
    facts, _, _ = facts_of(plan.facts)
    columns = [*key_names(facts.keys), f"CAST({kind} AS TINYINT) AS __kind", f"{event} AS __event"]
    columns += [f"{sql} AS {quoted(o.name)}" for o, sql in zip(plan.latest, latest, strict=True)]
    columns += [f"{sql} AS measure_{i}" for i, sql in enumerate(taken, 1)]
    if ordered_by_time(plan.windows):
        columns.append("known_time" if kind == IN_WINDOW else "CAST(NULL AS BIGINT) AS known_time")
    return f"SELECT\n{listed(columns)}\nFROM {source}"


def _no_latest(plan: OnlineState) -> list[str]:
    return [f"CAST(NULL AS {sql_type(o.dtype)})" for o in plan.latest]


def _no_measures(plan: OnlineState) -> list[str]:
    return [f"CAST(NULL AS {sql_type(m.dtype)})" for m in measures(plan.windows)]


def _held_rows(plan: OnlineState) -> str:
    assert isinstance(plan.facts, Visible)
    keys = ", ".join(key_names(facts_of(plan.facts)[0].keys))
    source = f"in_force WHERE event_time >= :known_before + :horizon GROUP BY {keys}"
    return _rows(plan, HELD, source, _no_latest(plan), _no_measures(plan), event="min(event_time)")


def _latest_rows(plan: OnlineState) -> str:
    assert isinstance(plan.facts, Visible)
    types = {c.name: c.dtype for c in facts_of(plan.facts)[0].inputs}
    return _rows(plan, LATEST, "chosen", [value(o, types, input_name) for o in plan.latest], _no_measures(plan))


def _window_rows(plan: OnlineState) -> str:
    assert isinstance(plan.facts, Visible)
    types = {c.name: c.dtype for c in facts_of(plan.facts)[0].inputs}
    reach = reach_of(plan.windows)
    source = "current" if reach is None else f"current WHERE event_time >= :known_before - {reach}"
    return _rows(plan, IN_WINDOW, source, _no_latest(plan), [measure_sql(m, types) for m in measures(plan.windows)])


def _static(steps: Steps, plan: OnlineState, rows: StaticLookup) -> str:
    add_static_rows(steps, rows)
    keys = key_names(rows.keys)
    types = {c.name: c.dtype for c in rows.inputs}
    columns = [*keys, f"CAST({LATEST} AS TINYINT) AS __kind", "CAST(0 AS BIGINT) AS __event"]
    columns += [f"{value(o, types, input_name)} AS {quoted(o.name)}" for o in plan.latest]
    return steps.finish("the state, by key", f"SELECT\n{listed(columns)}\nFROM facts\nORDER BY {', '.join(keys)}")


def find_touched(plan: OnlineState) -> list[tuple[str, str]]:
    """The relations that a run keeps, and the statements that give them: see the other dialect."""
    assert isinstance(plan.facts, Visible)
    visible = plan.facts
    facts, versions, _ = facts_of(visible)
    keys = key_names(facts.keys)
    if versions is None:
        return [("touched", _distinct(_changed(visible), "their keys", keys, "changed"))]
    row_keys, steps = row_key_names(visible), Steps()
    add_rows_read(steps, visible, "rows_read", relation(facts.rows.source))
    of_these = f"rows_read LEFT SEMI JOIN touched_rows USING ({', '.join(row_keys)})"
    return [
        ("touched_rows", _distinct(_changed(visible), "their row keys", row_keys, "changed")),
        ("touched", _distinct(steps, "the keys of all versions of these row keys", keys, of_these)),
    ]


def touched_too(plan: OnlineState) -> str:
    """The keys of the relation `expiring` that are not in `touched`."""
    assert isinstance(plan.facts, Visible)
    keys = ", ".join(key_names(facts_of(plan.facts)[0].keys))
    return f"SELECT {keys} FROM expiring LEFT ANTI JOIN touched USING ({keys})"


def _distinct(steps: Steps, comment: str, columns: list[str], source: str) -> str:
    return steps.finish(comment, f"SELECT DISTINCT {', '.join(columns)}\nFROM {source}\nWHERE {not_null(columns)}")


def _changed(visible: Visible) -> Steps:
    """The step `changed`."""
    steps, source = Steps(), facts_of(visible)[0].rows.source
    add_rows_read(steps, visible, "rows_read", relation(source))
    add_rows_read(steps, visible, "new_rows", f"{NEW_PREFIX}{source.name}")
    steps.add(
        "changed",
        "rows in new files, known since the last run, or held back by it",
        "SELECT * FROM new_rows\nUNION ALL\nSELECT * FROM rows_read\n"
        "WHERE (known_time >= :previous AND known_time < :known_before) OR event_time >= :previous + :horizon",
    )
    return steps
