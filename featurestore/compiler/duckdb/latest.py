"""Latest values: the newest visible fact per spine row, ties decided, values fetched late.

Only keys and times are sorted; the few facts that answer a row are joined back for their values, and ties are ranked
among those alone. Three plans give the same answer: one as-of join where known time is event time plus a constant;
a running maximum over one timeline where rows have a known time of their own; and for versioned sources that timeline
for facts which hold for ever, merged with the few that are later replaced. Where all rows ask at one instant nothing is
sorted at all: the newest of the facts that count then is a maximum per key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from featurestore.compiler.duckdb.facts import (
    PACKED,
    UNPACKED_EVENT,
    UNPACKED_KNOWN,
    add_facts,
    add_intervals,
    add_seen,
    fact_columns,
    input_name,
    is_simple,
    key_names,
    live,
    on_keys,
    row_key_names,
    visible_from,
)
from featurestore.compiler.duckdb.scalars import canonical, quoted, scalar, sortable
from featurestore.compiler.latest import EXPIRED, FOUND, NOT_FOUND
from featurestore.compiler.statement import Steps, listed
from featurestore.dtypes import DType
from featurestore.expressions import Column
from featurestore.plan.nodes import Facts, Latest, Output, Visible, facts_of


def latest(plan: Latest) -> str:
    """The statement: __row, __event (microseconds), __match, then the outputs; ordered by __row."""
    steps = Steps()
    if plan.spine.at_once:
        return _snapshot(steps, plan)
    add_facts(steps, plan.facts)
    _, versions, _ = facts_of(plan.facts)
    if versions is not None:
        _versioned(steps, plan)
        return steps.finish("the answer, in spine order", _answer(plan, "answers", "a"))
    if is_simple(plan.facts):
        _as_of(steps, plan)
        source = f"matched AS m LEFT JOIN chosen AS a ON {_same(plan, 'm', ['event_time'])}"
        return steps.finish("the answer, in spine order", _answer(plan, source, "a", spine="m", event="m.event_time"))
    _timeline(steps, plan)
    same = _same(plan, "m", ["event_time", "known_time"])
    source = f"spine AS s LEFT JOIN matched AS m USING (row_id)\nLEFT JOIN chosen AS a ON {same}"
    return steps.finish("the answer, in spine order", _answer(plan, source, "a", spine="s"))


def _keys(plan: Latest) -> list[str]:
    return key_names(plan.spine.keys)


def _same(plan: Latest, left: str, times: list[str]) -> str:
    return on_keys(left, "a", [*_keys(plan), *times])


def _as_of(steps: Steps, plan: Latest) -> None:
    """Known time grows with event time, so the newest visible fact is the last one visible."""
    keys, compare = _keys(plan), ">=" if plan.facts.exact else ">"
    steps.add(
        "matched",
        "per spine row the event time of its newest visible fact",
        f"SELECT s.row_id, {', '.join(f's.{k}' for k in keys)}, s.asked_at, f.event_time\n"
        f"FROM spine AS s ASOF LEFT JOIN (\n  SELECT {', '.join(keys)}, event_time, known_time FROM facts\n) AS f\n"
        f"ON {on_keys('s', 'f', keys)} AND s.asked_at {compare} f.{visible_from(plan.facts)}",
        materialized=True,
    )
    columns = [*keys, "event_time"]
    steps.add("wanted", "the facts that answer some row",
              f"SELECT DISTINCT {', '.join(columns)} FROM matched WHERE event_time IS NOT NULL")  # fmt: skip
    add_candidates(steps, plan.facts, f"facts SEMI JOIN wanted USING ({', '.join(columns)})")
    add_chosen(steps, plan.facts, columns)


def _snapshot(steps: Steps, plan: Latest) -> str:
    """Per key the newest of the facts that count at the one instant asked; rows of one key get one answer."""
    keys = _keys(plan)
    by, times = ", ".join(keys), "max(event_time) AS event_time"
    columns = [*keys, "event_time"]
    add_seen(steps, plan.facts)
    if is_simple(plan.facts):
        newest = f"SELECT {by}, {times}\nFROM seen GROUP BY {by}"
    else:
        columns.append("known_time")
        newest = (
            f"SELECT {by}, event_time, {UNPACKED_KNOWN} AS known_time\nFROM (\n"
            f"  SELECT *, {UNPACKED_EVENT} AS event_time\n"
            f"  FROM (SELECT {by}, max({PACKED}) AS newest FROM seen GROUP BY {by})\n)"
        )
    steps.add("wanted", "per key the event and known time of its newest fact", newest)
    add_candidates(steps, plan.facts, f"seen SEMI JOIN wanted USING ({', '.join(columns)})")
    add_chosen(steps, plan.facts, columns)
    source = f"spine AS s LEFT JOIN chosen AS a USING ({by})"
    return steps.finish("the answer, in spine order", _answer(plan, source, "a", spine="s"))


def tick(exact: bool) -> tuple[str, str]:
    """(tick of a spine row, tick of a fact): twice the instant, the half deciding who comes first at equal instants."""
    if exact:
        return "2 * asked_at + 1", "2 * greatest(event_time, known_time)"
    return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"


def _timeline(steps: Steps, plan: Latest) -> None:
    """Rows and facts on one timeline per key; the running maximum of (event, known) is the newest visible fact."""
    keys = _keys(plan)
    row_tick, fact_tick = tick(plan.facts.exact)
    steps.add(
        "timeline",
        "spine rows, and facts at the instant they become visible",
        f"SELECT {', '.join(keys)}, {row_tick} AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine\nUNION ALL\n"
        f"SELECT {', '.join(keys)}, {fact_tick}, NULL, {PACKED} FROM facts",
    )
    _add_running(steps, keys)
    _add_matched(steps, keys, "")
    columns = [*keys, "event_time", "known_time"]
    steps.add("wanted", "the facts that answer some row", f"SELECT DISTINCT {', '.join(columns)} FROM matched")
    add_candidates(steps, plan.facts, f"facts SEMI JOIN wanted USING ({', '.join(columns)})")
    add_chosen(steps, plan.facts, columns)


def _add_running(steps: Steps, keys: list[str]) -> None:
    steps.add(
        "running",
        "the newest fact so far, event and known time in one integer",
        f"SELECT row_id, {', '.join(keys)}, tick, max(packed) OVER (\n"
        f"  PARTITION BY {', '.join(keys)} ORDER BY tick ROWS UNBOUNDED PRECEDING\n) AS newest\nFROM timeline",
    )


def _add_matched(steps: Steps, keys: list[str], more: str) -> None:
    kept = "row_id IS NOT NULL" if more else "row_id IS NOT NULL AND newest IS NOT NULL"
    steps.add(
        "matched",
        "per spine row the event and known time of its newest visible fact",
        f"SELECT row_id, {', '.join(keys)}{more}, event_time, {UNPACKED_KNOWN} AS known_time\n"
        f"FROM (SELECT *, {UNPACKED_EVENT} AS event_time FROM running WHERE {kept})",
        materialized=True,
    )


def canonical_columns(facts: Facts, keys: list[str], alias: str = "") -> list[str]:
    dot = f"{alias}." if alias else ""
    times = [f"{dot}{c}" for c in [*keys, "event_time", "known_time"]]
    return times + [f"{canonical(dot + input_name(c.name), c.dtype)} AS {input_name(c.name)}" for c in facts.inputs]


def add_candidates(steps: Steps, visible: Visible, source: str) -> None:
    """The step `candidates`: facts of `source` that answer some row, their inputs made canonical."""
    facts, _, _ = facts_of(visible)
    selected = canonical_columns(facts, key_names(facts.keys))
    steps.add("candidates", "those facts with their inputs, made canonical",
              f"SELECT\n{listed(selected)}\nFROM {source}", materialized=True)  # fmt: skip


def tie_order(facts: Facts, extra: list[str]) -> str:
    """Newest known first, then the greatest tuple of inputs; NULL is lowest."""
    columns = [*extra, *(sortable(input_name(c.name), c.dtype) for c in facts.inputs)]
    return ", ".join(f"{c} DESC NULLS LAST" for c in columns) or "1"


def add_chosen(steps: Steps, visible: Visible, columns: list[str]) -> None:
    """The step `chosen`: of candidates, one per `columns`; only tied ones are ranked."""
    facts, _, _ = facts_of(visible)
    by = ", ".join(columns)
    extra = [] if "known_time" in columns else ["known_time"]
    steps.add("tied", "facts that more than one row claims to be",
              f"SELECT {by} FROM candidates GROUP BY ALL HAVING count(*) > 1", materialized=True)  # fmt: skip
    steps.add(
        "chosen",
        "one candidate each: of tied ones the greatest by known time, then by inputs",
        f"SELECT * FROM candidates ANTI JOIN tied USING ({by})\nUNION ALL\n(\n"
        f"  SELECT * FROM candidates SEMI JOIN tied USING ({by})\n"
        f"  QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY {tie_order(facts, extra)}) = 1\n)",
    )


def _versioned(steps: Steps, plan: Latest) -> None:
    """Facts that hold for ever ride the timeline; those replaced later are joined raw, and the newest of both wins."""
    visible, keys = plan.facts, _keys(plan)
    row_keys = ", ".join(row_key_names(visible))
    row_tick, fact_tick = tick(visible.exact)
    add_intervals(steps, visible)
    steps.add("single", "facts of row keys with one version",
              f"SELECT * FROM versions ANTI JOIN repeated USING ({row_keys}) WHERE {live(visible)}",
              materialized=False)  # fmt: skip
    steps.add(
        "timeline",
        "spine rows, and facts that are never replaced at the instant they become visible",
        f"SELECT {', '.join(keys)}, {row_tick} AS tick, row_id, CAST(NULL AS HUGEINT) AS packed FROM spine\nUNION ALL\n"
        f"SELECT {', '.join(keys)}, {fact_tick}, NULL, {PACKED} FROM single\nUNION ALL\n"
        f"SELECT {', '.join(keys)}, {fact_tick}, NULL, {PACKED} FROM intervals WHERE until IS NULL",
    )
    _add_running(steps, keys)
    _add_matched(steps, keys, f", {'(tick - 1)' if visible.exact else 'tick'} // 2 AS asked_at, newest")
    columns = [*keys, "event_time", "known_time"]
    by = ", ".join(columns)
    steps.add("wanted", "the lasting facts that answer some row",
              f"SELECT DISTINCT {by} FROM matched WHERE newest IS NOT NULL")  # fmt: skip
    own = ", ".join(fact_columns(visible))
    steps.add("wanted_versions", "versions with those times, before any other join can grow on them",
              f"SELECT * FROM versions SEMI JOIN wanted USING ({by})", materialized=True)  # fmt: skip
    steps.add(
        "lasting",
        "the lasting facts among them, with their inputs",
        f"SELECT {own} FROM wanted_versions ANTI JOIN repeated USING ({row_keys}) WHERE {live(visible)}\nUNION ALL\n"
        f"SELECT {own} FROM intervals SEMI JOIN wanted USING ({by}) WHERE until IS NULL",
    )
    add_candidates(steps, visible, "lasting")
    add_chosen(steps, visible, columns)
    _merge_replaced(steps, plan, columns)


def _merge_replaced(steps: Steps, plan: Latest, columns: list[str]) -> None:
    """Facts later replaced, in force and visible at the row's instant, against the lasting one."""
    visible, keys = plan.facts, _keys(plan)
    facts, _, _ = facts_of(visible)
    start = "greatest(r.event_time, r.known_time)"
    inside = (
        f"{start} <= m.asked_at AND m.asked_at < r.until"
        if visible.exact
        else f"{start} < m.asked_at AND m.asked_at <= r.until"
    )
    inputs = [input_name(c.name) for c in facts.inputs]
    steps.add(
        "replaced",
        "facts that a later version replaces",
        f"SELECT\n{listed([*canonical_columns(facts, keys), 'until', f'{PACKED} AS packed'])}\n"
        "FROM intervals WHERE until IS NOT NULL",
        materialized=True,
    )
    steps.add(
        "newer",
        "rows for which a replaced fact was in force and at least as new as the lasting one",
        f"SELECT m.row_id, m.newest, max(r.packed) AS packed\nFROM matched AS m JOIN replaced AS r\n"
        f"ON {on_keys('m', 'r', keys)} AND {inside} AND (m.newest IS NULL OR r.packed >= m.newest)\n"
        "GROUP BY m.row_id, m.newest",
        materialized=True,
    )

    def taken(alias: str) -> str:
        return ", ".join(f"{alias}.{c}" for c in ["event_time", *inputs])

    steps.add(
        "merged",
        "the facts that share that newest time, lasting or replaced; the greatest inputs win",
        f"SELECT * FROM (\n"
        f"  SELECT n.row_id, {taken('r')}\n  FROM newer AS n JOIN matched AS m USING (row_id) JOIN replaced AS r\n"
        f"  ON {on_keys('m', 'r', keys)} AND r.packed = n.packed AND {inside}\n  UNION ALL\n"
        f"  SELECT n.row_id, {taken('c')}\n  FROM newer AS n JOIN matched AS m USING (row_id) JOIN chosen AS c\n"
        f"  ON {on_keys('m', 'c', columns)} AND n.newest = n.packed\n)\n"
        f"QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY {tie_order(facts, [])}) = 1",
    )
    chosen = [f"CASE WHEN g.row_id IS NULL THEN c.{x} ELSE g.{x} END AS {x}" for x in ["event_time", *inputs]]
    steps.add(
        "answers",
        "per spine row its newest fact",
        f"SELECT\n{listed(['m.row_id', 'm.asked_at', *chosen])}\nFROM matched AS m\n"
        f"LEFT JOIN chosen AS c ON {on_keys('m', 'c', columns)}\nLEFT JOIN merged AS g ON g.row_id = m.row_id",
    )


def _answer(plan: Latest, source: str, alias: str, *, spine: str | None = None, event: str | None = None) -> str:
    """The final select: value where a fact was found and holds, and how it was found."""
    spine, event = spine or alias, event or f"{alias}.event_time"
    source = f"{source} AS {alias}" if " " not in source else source
    expired = "" if plan.ttl is None else f" WHEN {spine}.asked_at - {event} > {plan.ttl} THEN {EXPIRED}"
    match = f"CAST(CASE WHEN {event} IS NULL THEN {NOT_FOUND}{expired} ELSE {FOUND} END AS UTINYINT)"
    holds = f"{event} IS NOT NULL" if plan.ttl is None else f"{spine}.asked_at - {event} <= {plan.ttl}"
    types = {c.name: c.dtype for c in facts_of(plan.facts)[0].inputs}
    columns = [f"{spine}.row_id AS __row", f"{event} AS __event", f"{match} AS __match"]
    columns += [f"CASE WHEN {holds} THEN {value(o, types, lambda c: f'{alias}.{input_name(c)}')} END AS {quoted(o.name)}"
                for o in plan.outputs]  # fmt: skip
    return f"SELECT\n{listed(columns)}\nFROM {source}\nORDER BY __row"


def value(output: Output, types: Mapping[str, DType], name: Callable[[str], str]) -> str:
    """An output over canonical inputs: a bare column as it is, anything else computed."""
    assert output.expression is not None
    if isinstance(output.expression, Column):
        return name(output.expression.name)
    return scalar(output.expression, types, name, output.dtype)
