"""The steps every part begins with, in Spark SQL: spine, facts, versions in force.

Columns and steps are called as in the other dialect: `row_id` and `asked_at` of the spine; `event_time` and `known_time`
of facts; `key_…` join keys; `in_…` source columns. Steps are plain CTEs: Spark inlines them, and reuses exchanges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.compiler.facts import SOURCE_PREFIX, is_simple, known_delay, not_null, on_keys, relation, visible_from
from featurestore.compiler.spark.scalars import canonical, condition, quoted, sortable
from featurestore.compiler.spark.types import key_type
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import Source
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import DType
from featurestore.expressions import Expr
from featurestore.intervals import format_instant
from featurestore.plan.nodes import InForce, PlanKey, ReadSource, Settled, Visible, chain_of


def key_names(keys: Sequence[PlanKey]) -> list[str]:
    """The key columns inside a statement; a view without entities has one constant key."""
    return [quoted(f"key_{key.name}") for key in keys] or ["key_all"]


def input_name(column: str) -> str:
    return quoted(f"in_{column}")


def key_selects(keys: Sequence[PlanKey]) -> list[str]:
    """Key columns from source columns, in the type their family compares in."""
    if not keys:
        return ["0 AS key_all"]
    return [f"CAST({quoted(k.source_column)} AS {key_type(k.dtype)}) AS {quoted(f'key_{k.name}')}" for k in keys]


def event_time(source: Source) -> str:
    """e in microseconds, NULL outside the source's time range."""
    assert source.event_timestamp is not None
    return micros(source.event_timestamp, source)


def known_time(rows: ReadSource) -> str:
    """k in microseconds: of a pushed row its arrival, else the created timestamp, or e + delay."""
    declared = _declared_known_time(rows.source)
    if not rows.pushed:
        return declared
    if rows.files_before is not None:
        declared = f"CASE WHEN {declared} < {rows.files_before} THEN {declared} END"
    arrival = micros(PUSHED_AT, rows.source)
    return f"CASE WHEN {quoted(PUSHED_AT)} IS NULL THEN {declared} ELSE {arrival} END"


def _declared_known_time(source: Source) -> str:
    delay = source.known_delay.micros
    from_event = f"{event_time(source)} + {delay}" if delay else event_time(source)
    if source.created_timestamp is None:
        return from_event
    created = micros(source.created_timestamp, source)
    if source.created_null == "event":
        return f"coalesce({created}, {from_event})"
    return created


def micros(column: str, source: Source) -> str:
    first, end = source.time_range
    name = quoted(column)
    inside = f"{name} >= TIMESTAMP '{format_instant(first)}' AND {name} < TIMESTAMP '{format_instant(end)}'"
    return f"CASE WHEN {inside} THEN unix_micros({name}) END"


def where_holds(rows: ReadSource, where: Expr) -> str:
    return condition(where, {c.name: c.dtype for c in rows.columns}, quoted)


def where(rows: ReadSource, *conditions: str) -> str:
    """The WHERE of a statement over the rows of a source as they are bound: those that are set aside are not among them."""
    tests = [where_holds(rows, test) for _, test in rows.kept_if]
    if tests:
        kept = "\n  AND ".join(f"({each})" for each in (*tests, *conditions))
        return f"\nWHERE {kept}"
    return f"\nWHERE {' AND '.join(conditions)}" if conditions else ""


def visible_delay(visible: Visible | Settled) -> str:
    """How long after its event a fact of a simple source becomes visible, in microseconds, as SQL."""
    if isinstance(visible, Settled):
        return "0"
    delay = known_delay(visible)
    return f"({delay} + :known_shift)" if delay else ":known_shift"


def add_rows_read(
    steps: Steps, visible: Visible | Settled, name: str, source_relation: str, besides: Sequence[str] = ()
) -> None:
    """The step `name`: rows of a relation as facts or versions to be: keys, times, inputs as stored. besides: other columns.

    Rows that are no versions and fail the view's condition are gone; of versions it only says whether each `holds`,
    because one that does not hold still hides its predecessors.
    """
    facts, versions, held = chain_of(visible)
    rows, source = facts.rows, facts.rows.source
    columns = [*key_selects(facts.keys), f"{event_time(source)} AS event_time", f"{known_time(rows)} AS known_time"]
    aside = "; those in quarantine are left out" if rows.kept_if else ""
    if versions is not None:
        columns, kept = [*_version_columns(rows, versions, held), *columns], where(rows)
        note = f"rows of source {source.name}: versions of facts, whether each holds, what orders them{aside}"
    else:
        kept = where(rows, *([] if held is None else [where_holds(rows, held)]))
        note = f"rows of source {source.name}: keys, times in microseconds UTC, inputs{aside}"
    columns += [*(f"{quoted(c.name)} AS {input_name(c.name)}" for c in facts.inputs), *besides]
    steps.add(name, note, f"SELECT\n{listed(columns)}\nFROM {quoted(source_relation)}{kept}")


def _version_columns(rows: ReadSource, versions: InForce, held: Expr | None) -> list[str]:
    source, types = rows.source, {c.name: c.dtype for c in rows.columns}
    holds = [] if held is None else [f"({where_holds(rows, held)}) IS TRUE"]
    if source.deleted:
        holds.append(f"{quoted(source.deleted)} IS NOT TRUE")
    columns = [f"{canonical(quoted(c), types[c])} AS {quoted(f'row_{c}')}" for c in versions.row_key]
    columns.append(f"{' AND '.join(holds) or 'TRUE'} AS holds")
    columns.append(f"coalesce({quoted(source.deleted)}, FALSE) AS deleted" if source.deleted else "FALSE AS deleted")
    if source.row_order:
        columns.append(f"{_ordering(source.row_order, types)} AS row_order")
    return columns + [f"{_ordering(c, types)} AS {quoted(f'by_{c}')}" for c in versions.order]


def _ordering(column: str, types: Mapping[str, DType]) -> str:
    return sortable(canonical(quoted(column), types[column]), types[column])


def add_facts(steps: Steps, boundary: Visible | Settled) -> None:
    """The step `facts`, or for versioned sources `versions`: known before the cut-off. What is settled has no versions left:
    there it is `facts` in any case.

    Known times carry the run's shift from here on, so that every later step has one boundary.
    """
    facts, versions, _ = chain_of(boundary)
    add_rows_read(steps, boundary, "rows_read", relation(facts.rows.source))
    settled = isinstance(boundary, Settled)
    lag = "" if settled else ", their known time shifted by the serving lag"
    known = "known_time" if settled else "known_time + :known_shift AS known_time"
    if versions is None:
        present = not_null([*key_names(facts.keys), "event_time", "known_time"])
        columns = [known if c == "known_time" else c for c in fact_columns(boundary)]
        steps.add("facts", f"facts known before the cut-off{lag}",
                  f"SELECT {', '.join(columns)}\nFROM rows_read\nWHERE {present} AND known_time < :known_before")  # fmt: skip
        return
    row_keys = row_key_names(boundary)
    columns = [known if c == "known_time" else c for c in version_columns(boundary)]
    steps.add("versions", f"versions known before the cut-off{lag}",
              f"SELECT {', '.join(columns)}\nFROM rows_read\n"
              f"WHERE {not_null([*row_keys, 'known_time'])} AND known_time < :known_before")  # fmt: skip
    if settled:
        add_newest_versions(steps, boundary)
        steps.add("facts", "those that are facts",
                  f"SELECT {', '.join(fact_columns(boundary))} FROM newest_versions WHERE {live(boundary)}")  # fmt: skip


def add_newest_versions(steps: Steps, boundary: Visible | Settled) -> None:
    """The step `newest_versions`: of each row key the version in force at the cut-off, whether or not it is a fact."""
    columns = ", ".join(version_columns(boundary))
    row_keys = ", ".join(row_key_names(boundary))
    steps.add(
        "newest_versions",
        "of each row key the newest version known",
        f"SELECT {columns}\nFROM (\n"
        f"  SELECT *, row_number() OVER (\n    PARTITION BY {row_keys}\n"
        f"    ORDER BY {version_order(boundary, descending=True)}\n  ) AS place\n  FROM versions\n)\nWHERE place = 1",
    )


def version_order(visible: Visible | Settled, *, descending: bool) -> str:
    """ORDER BY of versions: row_order if declared, known time, event time, deleted, then columns by name."""
    direction = "DESC NULLS LAST" if descending else "ASC NULLS FIRST"
    return ", ".join(f"{c} {direction}" for c in _deciding(visible))


def _deciding(visible: Visible | Settled) -> list[str]:
    facts, versions, _ = chain_of(visible)
    assert versions is not None
    columns = ["row_order"] if facts.rows.source.row_order else []
    return [*columns, "known_time", "event_time", "deleted", *(quoted(f"by_{c}") for c in versions.order)]


def row_key_names(visible: Visible | Settled) -> list[str]:
    _, versions, _ = chain_of(visible)
    assert versions is not None
    return [quoted(f"row_{c}") for c in versions.row_key]


def fact_columns(visible: Visible | Settled) -> list[str]:
    """key, event_time, known_time and input columns: what a fact is once it is in force."""
    facts, _, _ = chain_of(visible)
    return [*key_names(facts.keys), "event_time", "known_time", *(input_name(c.name) for c in facts.inputs)]


def version_columns(visible: Visible | Settled) -> list[str]:
    """All columns of `versions`: what a fact is, its row key, whether it holds, and what orders it."""
    deciding = [c for c in _deciding(visible) if c not in ("known_time", "event_time")]
    return [*row_key_names(visible), "holds", *deciding, *fact_columns(visible)]


def live(visible: Visible | Settled) -> str:
    """A version in force that is a fact: it holds, and has keys and an event time."""
    facts, _, _ = chain_of(visible)
    return f"holds AND {not_null([*key_names(facts.keys), 'event_time'])}"


def add_intervals(steps: Steps, visible: Visible | Settled) -> None:
    """The step `intervals`: each version that is ever a fact, and until when (NULL: for ever).

    Of all row keys, whether or not they are repeated: to find out which are, all versions would be shuffled just as well.
    Newest first, because Spark keeps a running minimum up to a row, but takes one from a row to the end anew for each.
    """
    keys = ", ".join(row_key_names(visible))
    columns = ", ".join(fact_columns(visible))
    steps.add(
        "intervals",
        "versions that are ever facts, and when the next in order of the same row key becomes known",
        f"SELECT {columns}, until\nFROM (\n"
        f"  SELECT *, min(known_time) OVER (\n    PARTITION BY {keys}\n"
        f"    ORDER BY {version_order(visible, descending=True)}\n"
        f"    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING\n  ) AS until\n  FROM versions\n)\n"
        f"WHERE {live(visible)} AND (until IS NULL OR until > greatest(event_time, known_time))",
    )


__all__ = [
    "SOURCE_PREFIX", "add_facts", "add_intervals", "add_newest_versions", "add_rows_read", "event_time", "fact_columns",
    "input_name", "is_simple", "key_names", "key_selects", "known_delay", "known_time", "live", "micros", "not_null",
    "on_keys", "relation", "row_key_names", "version_columns", "version_order", "visible_delay", "visible_from", "where",
    "where_holds",
]  # fmt: skip
