"""The steps every window plan begins with: facts, the instant they become visible, and what the aggregates take of them.

Columns of the step `measured`: keys, event_time, known_time, visible_from, measure_1… (canonical, NULL where the
measure's own condition does not hold), and until for versioned sources (the version is in force up to it; NULL: for ever).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from featurestore.compiler.duckdb.facts import (
    add_facts,
    add_intervals,
    add_rows_read,
    input_name,
    key_names,
    live,
    relation,
    row_key_names,
    visible_from,
)
from featurestore.compiler.duckdb.scalars import canonical, condition, scalar, widened
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DOUBLE, INT64, DType
from featurestore.expressions import Column
from featurestore.plan.nodes import Facts, Measure, Settled, Visible, Window, facts_of


def measure_sql(measure: Measure, types: dict[str, DType]) -> str:
    """A measure over inputs as stored: canonical, NULL where its own condition does not hold."""
    if measure.expression is None:
        sql = "TRUE"
    elif isinstance(measure.expression, Column):
        column = measure.expression.name
        stored = types[column]
        name = input_name(column)
        sql = canonical(name, stored) if stored == measure.dtype else widened(name, stored)
    else:
        sql = scalar(measure.expression, types, input_name, measure.dtype)
    if measure.where is None:
        return sql
    return f"CASE WHEN {condition(measure.where, types, input_name)} THEN {sql} END"


def add_measured(steps: Steps, visible: Visible | Settled, used: tuple[Measure, ...]) -> None:
    """The step `measured`, and those before it."""
    add_facts(steps, visible)
    _, versions, _ = facts_of(visible)
    if versions is not None:
        _add_versioned(steps, visible)
    times = [f"{visible_from(visible)} AS visible_from", *(["until"] if versions is not None else [])]
    add_measures(steps, visible, used, "facts", times)


def add_measures(
    steps: Steps, visible: Visible | Settled, used: tuple[Measure, ...], source: str, times: Sequence[str] = ()
) -> None:
    """The step `measured` over facts of a step that exists. times: what tells when each of them counts."""
    facts, _, _ = facts_of(visible)
    columns = [*key_names(facts.keys), "event_time", "known_time", *times, *measure_columns(facts, used)]
    note = "facts, the instant they become visible, and what the aggregates take of them"
    steps.add("measured", note if times else "facts, and what the aggregates take of them",
              f"SELECT\n{listed(columns)}\nFROM {source}", materialized=False)  # fmt: skip


def measure_columns(facts: Facts, used: tuple[Measure, ...]) -> list[str]:
    types = {c.name: c.dtype for c in facts.inputs}
    return [f"{measure_sql(m, types)} AS {measure_name(i)}" for i, m in enumerate(used, 1)]


def measure_name(number: int) -> str:
    return f"measure_{number}"


def _add_versioned(steps: Steps, visible: Visible | Settled) -> None:
    facts, _, _ = facts_of(visible)
    row_keys = ", ".join(row_key_names(visible))
    own = ", ".join([*key_names(facts.keys), "event_time", "known_time", *(input_name(c.name) for c in facts.inputs)])
    add_intervals(steps, visible)
    steps.add(
        "facts",
        "facts, and until when each is in force (NULL: for ever)",
        f"SELECT {own}, CAST(NULL AS BIGINT) AS until\nFROM versions ANTI JOIN repeated USING ({row_keys}) "
        f"WHERE {live(visible)}\nUNION ALL\nSELECT {own}, until FROM intervals",
        materialized=False,
    )


def statistics(plan: Window, used: tuple[Measure, ...], known: Collection[str] = ()) -> str | None:
    """The statement of one row, in one pass over the source: facts, the first and last instant of any (event or known), how
    late any is known (`latest`), and of every measure of doubles or integers how many are not NULL (`present_i`); of doubles
    also how many are finite (`finite_i`) and the least and greatest magnitude that is neither zero nor infinite (`least_i`,
    `greatest_i`), of integers the least and greatest. Versions count each.

    known: those that need not be counted, because every row of the source is known to be a fact or version; None if all are.
    """
    wanted = {name: sql for name, sql in _counted(used).items() if name not in known}
    if not wanted:
        return None
    steps = Steps()
    facts, _, _ = facts_of(plan.facts)
    if "latest" in known:
        source = "rows_read"
        add_rows_read(steps, plan.facts, source, relation(facts.rows.source))
    else:
        source = _add_source(steps, plan)
    read = [c for c, m in zip(measure_columns(facts, used), used, strict=True) if m.dtype in (DOUBLE, INT64)]
    return steps.finish("over all facts",
                        f"SELECT\n{listed([f'{sql} AS {name}' for name, sql in wanted.items()])}\n"
                        f"FROM (SELECT {', '.join(['event_time', 'known_time', *read])} FROM {source})")  # fmt: skip


def densities(plan: Window, every: int) -> str:
    """The statement of one row, from a sample of spine rows (each `every`th): the source's rows of their keys, summed over the
    spine rows (`met`), and the most of any of these keys (`most`). Beside that how many keys the whole spine asks for
    (`lines`)."""
    steps = Steps()
    facts, _, _ = facts_of(plan.facts)
    add_rows_read(steps, plan.facts, "rows_read", relation(facts.rows.source))
    keys = ", ".join(key_names(plan.spine.keys))
    steps.add("asked_for", "how many sampled rows ask for each key",
              f"SELECT {keys}, count(*) AS asked\nFROM spine\nWHERE row_id % {every} = 0\nGROUP BY {keys}",
              materialized=True)  # fmt: skip
    asked = f"rows_read SEMI JOIN asked_for USING ({keys})"
    steps.add("per_key", "how many rows each of those has", f"SELECT {keys}, count(*) AS facts\nFROM {asked}\nGROUP BY {keys}")
    return steps.finish("over all of them",
                        "SELECT coalesce(sum(asked * facts), 0) AS met, coalesce(max(facts), 0) AS most,\n"
                        f"  (SELECT count(*) FROM (SELECT DISTINCT {keys} FROM spine)) AS lines\n"
                        f"FROM per_key JOIN asked_for USING ({keys})")  # fmt: skip


def lateness(plan: Window, shares: Sequence[float], every: int) -> str:
    """The statement of one row, from about each `every`th fact: how long after it happened that share of them was known
    (`soon_1`, …), and the share that was known at once (`at_once`)."""
    steps = Steps()
    source = _add_source(steps, plan)
    steps.add("sample", "by chance that is the same every time",
              f"SELECT greatest(known_time - event_time, 0) AS late FROM {source}\n"
              f"WHERE hash(event_time, known_time) % {every} = 0")  # fmt: skip
    columns = [f"quantile_disc(late, {share}) AS soon_{i}" for i, share in enumerate(shares, 1)]
    columns.append("count(*) FILTER (WHERE late = 0) / greatest(count(*), 1) AS at_once")
    return steps.finish("over the sample", f"SELECT\n{listed(columns)}\nFROM sample")


def _add_source(steps: Steps, plan: Window) -> str:
    """The steps up to facts, or versions. Returns: the last."""
    add_facts(steps, plan.facts)
    return "facts" if facts_of(plan.facts)[1] is None else "versions"


def _counted(used: tuple[Measure, ...]) -> dict[str, str]:
    """name -> an aggregate over facts."""
    found = {
        "facts": "count(*)",
        "first_instant": "min(least(event_time, known_time))",
        "last_instant": "max(greatest(event_time, known_time))",
        "latest": "max(greatest(known_time - event_time, 0))",
    }
    for i, measure in enumerate(used, 1):
        m = measure_name(i)
        if measure.dtype in (DOUBLE, INT64):
            found[f"present_{i}"] = f"count({m})"
        if measure.dtype == INT64:
            found |= {f"least_{i}": f"min({m})", f"greatest_{i}": f"max({m})"}
        if measure.dtype == DOUBLE:
            size = f"CASE WHEN isfinite({m}) AND {m} <> 0 THEN abs({m}) END"
            found[f"finite_{i}"] = f"count(CASE WHEN isfinite({m}) THEN 1 END)"
            found |= {f"least_{i}": f"min({size})", f"greatest_{i}": f"max({size})"}
    return found


def sample(plan: Window, rows: int) -> str:
    """The statement of at most `rows` rows that could ask: row_id, asked_at and the keys of some facts, always the same."""
    steps = Steps()
    source = _add_source(steps, plan)
    keys = key_names(plan.spine.keys)
    known = " AND ".join(f"{c} IS NOT NULL" for c in [*keys, "event_time"])
    columns = ["row_number() OVER () - 1 AS row_id", "event_time AS asked_at", *keys]
    return steps.finish("some facts, by chance that is the same every time",
                        f"SELECT {', '.join(columns)}\nFROM (\n  SELECT * FROM {source} WHERE {known}\n"
                        f"  ORDER BY hash({', '.join(['event_time', *keys])}), event_time LIMIT {rows}\n)")  # fmt: skip
