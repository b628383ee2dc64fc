"""The steps every part begins with, in Spark SQL: spine, facts, versions in force.

Columns and steps are called as in the other dialect (`compiler.rows`). Steps are plain CTEs: Spark inlines them, and reuses
exchanges.
"""

from __future__ import annotations

from featurestore.compiler.facts import SOURCE_PREFIX, is_simple, known_delay, not_null, on_keys, relation, visible_from
from featurestore.compiler.rows import Rows
from featurestore.compiler.spark.scalars import canonical, condition, quoted, sortable
from featurestore.compiler.spark.types import key_type
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import Settled, Visible, chain_of

ROWS = Rows(
    quoted, canonical, sortable, condition, key_type,
    instant="TIMESTAMP", micros_of="unix_micros", long="L", parameter=":", relation=quoted, inlined=None,
)  # fmt: skip
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
deciding = ROWS.deciding


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


def version_columns(visible: Visible | Settled) -> list[str]:
    """All columns of `versions`: what a fact is, its row key, whether it holds, and what orders it."""
    ordering = [c for c in deciding(visible) if c not in ("known_time", "event_time")]
    return [*row_key_names(visible), "holds", *ordering, *fact_columns(visible)]


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
