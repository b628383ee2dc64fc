"""The steps every part begins with: spine, facts, versions in force.

Column names inside a statement: `row_id` and `asked_at` of the spine; `event_time` and `known_time` of facts; `key_…`
join keys; `in_…` source columns. Features have their own names only in the final select, so no name of a user's can clash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featurestore.compiler.duckdb.scalars import canonical, condition, quoted, sortable
from featurestore.compiler.duckdb.types import key_type
from featurestore.compiler.facts import (
    FILE,
    ROW,
    SOURCE_PREFIX,
    is_simple,
    known_delay,
    not_null,
    numbered,
    on_keys,
    relation,
    visible_from,
)
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import Source
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import DType
from featurestore.expressions import Expr
from featurestore.intervals import format_instant
from featurestore.plan.nodes import InForce, PlanKey, ReadSource, Settled, Visible, chain_of

PACKED = "CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time"
"""Event and known time in one integer: its order is theirs. A running maximum of it is the newest fact so far."""
UNPACKED_EVENT = "CAST((newest + 9223372036854775808) >> 64 AS BIGINT)"
UNPACKED_KNOWN = "CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT)"


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
    """e in microseconds, NULL outside the source's time range (infinite times are outside of any)."""
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
    inside = f"{name} >= TIMESTAMPTZ '{format_instant(first)}' AND {name} < TIMESTAMPTZ '{format_instant(end)}'"
    return f"CASE WHEN {inside} THEN epoch_us({name}) END"


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
    return f"({delay} + $known_shift)" if delay else "$known_shift"


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
    # Inlined: a step used twice would otherwise be kept whole, and these are as large as the source.
    steps.add(name, note, f"SELECT\n{listed(columns)}\nFROM {source_relation}{kept}", materialized=False)


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


def add_facts(steps: Steps, boundary: Visible | Settled, *, at_once: bool = False) -> None:
    """The step `facts`, or for versioned sources `versions` and `repeated`: known before the cut-off. What is settled has
    no versions left: there it is `facts` in any case.

    Known times carry the run's shift from here on, so that every later step has one boundary. at_once: of versions only those
    known at the instant $at.
    """
    facts, versions, _ = chain_of(boundary)
    add_rows_read(steps, boundary, "rows_read", relation(facts.rows.source))
    settled = isinstance(boundary, Settled)
    lag = "" if settled else ", their known time shifted by the serving lag"
    read = "SELECT *" if settled else "SELECT * REPLACE (known_time + $known_shift AS known_time)"
    if versions is None:
        present = not_null([*key_names(facts.keys), "event_time", "known_time"])
        steps.add("facts", f"facts known before the cut-off{lag}",
                  f"{read}\nFROM rows_read\nWHERE {present} AND known_time < $known_before", materialized=False)  # fmt: skip
        return
    row_keys = [quoted(f"row_{c}") for c in versions.row_key]
    by_then = f" AND known_time + $known_shift {'<=' if boundary.exact else '<'} $at" if at_once and not settled else ""
    steps.add("versions", f"versions known before the cut-off{' and at the instant asked' if by_then else ''}{lag}",
              f"{read}\nFROM rows_read\n"
              f"WHERE {not_null([*row_keys, 'known_time'])} AND known_time < $known_before{by_then}",
              materialized=False)  # fmt: skip
    steps.add("repeated", "row keys with more than one version",
              f"SELECT {', '.join(row_keys)}\nFROM versions\nGROUP BY ALL\nHAVING count(*) > 1", materialized=True)  # fmt: skip
    if settled:
        add_newest_versions(steps, boundary)
        steps.add("facts", "those that are facts",
                  f"SELECT {', '.join(fact_columns(boundary))} FROM newest_versions WHERE {live(boundary)}")  # fmt: skip


def add_newest_versions(steps: Steps, boundary: Visible | Settled) -> None:
    """The step `newest_versions`: of each row key the version in force at the cut-off, whether or not it is a fact."""
    row_keys = ", ".join(row_key_names(boundary))
    steps.add(
        "newest_versions",
        "of each row key the newest version known",
        f"SELECT * FROM versions ANTI JOIN repeated USING ({row_keys})\nUNION ALL\n(\n"
        f"  SELECT * FROM versions SEMI JOIN repeated USING ({row_keys})\n"
        f"  QUALIFY row_number() OVER (PARTITION BY {row_keys} ORDER BY {version_order(boundary, descending=True)}) = 1\n)",
    )


def add_seen(steps: Steps, boundary: Visible | Settled, *conditions: str, asking: bool = True) -> None:
    """The step `seen`, and those before it: the facts that count at the instant $at. conditions: what else must hold. asking:
    only of the keys that the spine asks for.
    """
    facts, versions, _ = chain_of(boundary)
    add_facts(steps, boundary, at_once=True)
    keys = ", ".join(key_names(facts.keys))
    source, tests = "facts", [f"{visible_from(boundary)} {'<=' if boundary.exact else '<'} $at", *conditions]
    if versions is not None and not isinstance(boundary, Settled):
        add_newest_versions(steps, boundary)
        source, tests = "newest_versions", [live(boundary), *tests]
    steps.add(
        "seen",
        f"facts that count at the instant asked{', of the keys that ask' if asking else ''}",
        f"SELECT {', '.join(fact_columns(boundary))}\n"
        f"FROM {source}{f' SEMI JOIN spine USING ({keys})' if asking else ''}\nWHERE {' AND '.join(tests)}",
        materialized=False,
    )


def version_order(visible: Visible | Settled, *, descending: bool) -> str:
    """ORDER BY of versions: row_order if declared, known time, event time, deleted, then columns by name."""
    facts, versions, _ = chain_of(visible)
    assert versions is not None
    columns = ["row_order"] if facts.rows.source.row_order else []
    columns += ["known_time", "event_time", "deleted", *(quoted(f"by_{c}") for c in versions.order)]
    direction = "DESC NULLS LAST" if descending else "ASC NULLS FIRST"
    return ", ".join(f"{c} {direction}" for c in columns)


def row_key_names(visible: Visible | Settled) -> list[str]:
    _, versions, _ = chain_of(visible)
    assert versions is not None
    return [quoted(f"row_{c}") for c in versions.row_key]


def fact_columns(visible: Visible | Settled) -> list[str]:
    """key, event_time, known_time and input columns: what a fact is once it is in force."""
    facts, _, _ = chain_of(visible)
    return [*key_names(facts.keys), "event_time", "known_time", *(input_name(c.name) for c in facts.inputs)]


def live(visible: Visible | Settled) -> str:
    """A version in force that is a fact: it holds, and has keys and an event time."""
    facts, _, _ = chain_of(visible)
    return f"holds AND {not_null([*key_names(facts.keys), 'event_time'])}"


def add_intervals(steps: Steps, visible: Visible | Settled) -> None:
    """The step `intervals`: of repeated row keys, each version that is ever a fact, and until when (NULL: for ever)."""
    keys = row_key_names(visible)
    partition = ", ".join(keys)
    steps.add(
        "intervals",
        "versions of repeated row keys that are ever facts, and when the next in order becomes known",
        f"SELECT {', '.join(fact_columns(visible))}, until\nFROM (\n"
        f"  SELECT *, min(known_time) OVER (\n    PARTITION BY {partition}\n"
        f"    ORDER BY {version_order(visible, descending=False)}\n"
        f"    ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING\n  ) AS until\n"
        f"  FROM versions SEMI JOIN repeated USING ({partition})\n)\n"
        f"WHERE {live(visible)} AND (until IS NULL OR until > greatest(event_time, known_time))",
        materialized=True,
    )


__all__ = [
    "FILE", "PACKED", "ROW", "SOURCE_PREFIX", "UNPACKED_EVENT", "UNPACKED_KNOWN", "add_facts", "add_intervals",
    "add_newest_versions", "add_rows_read", "event_time", "fact_columns", "input_name", "is_simple", "key_names",
    "key_selects", "known_delay", "known_time", "live", "micros", "not_null", "numbered", "on_keys", "relation",
    "row_key_names", "version_order", "visible_delay", "visible_from", "where", "where_holds",
]  # fmt: skip
