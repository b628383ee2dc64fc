"""The steps every part begins with: spine, facts, versions in force. Columns are called as `compiler.rows` says."""

from __future__ import annotations

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
from featurestore.compiler.rows import Rows
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import Settled, Visible, chain_of

PACKED = "CAST(event_time AS HUGEINT) * 18446744073709551616 + known_time"
"""Event and known time in one integer: its order is theirs. A running maximum of it is the newest fact so far."""
UNPACKED_EVENT = "CAST((newest + 9223372036854775808) >> 64 AS BIGINT)"
UNPACKED_KNOWN = "CAST(newest - CAST(event_time AS HUGEINT) * 18446744073709551616 AS BIGINT)"


ROWS = Rows(
    quoted, canonical, sortable, condition, key_type,
    instant="TIMESTAMPTZ", micros_of="epoch_us", long="", parameter="$", relation=str, inlined=False,
)  # fmt: skip
"""What is read is inlined: a step used twice would otherwise be kept whole, and these are as large as the source."""
key_names = ROWS.key_names
input_name = ROWS.input_name
key_selects = ROWS.key_selects
event_time = ROWS.event_time
known_time = ROWS.known_time
micros = ROWS.micros
where_holds = ROWS.where_holds
where = ROWS.where
visible_delay = ROWS.visible_delay
add_rows_read = ROWS.add_rows_read
row_key_names = ROWS.row_key_names
fact_columns = ROWS.fact_columns
live = ROWS.live
version_order = ROWS.version_order


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
