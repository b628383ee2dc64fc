"""What a backfill asks of a view's source: which keys have a fact at an instant, and which instants late rows touch.

A row that is no version touches the instants that see it, up to the end of its reach; if its key is new there, up to the one at
which an older fact shows the key. A version touches the instants at which it is the one in force. Of those, where values reach
back only so far, the ones at which neither its fact nor one it replaces is in reach, and at which the keys are there by others,
are as they were.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import (
    add_rows_read,
    add_seen,
    key_names,
    live,
    not_null,
    row_key_names,
    version_order,
    visible_from,
)
from featurestore.compiler.duckdb.online import NEW_PREFIX
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import Visible, facts_of

OLD_PREFIX = "old__"
"""Under which the rows of an earlier state are bound."""
_EVER = 2**62
"""Later than every instant, and still to be calculated with."""


def keys_at(visible: Visible) -> str:
    """The statement of the keys that have a fact which counts at $at, by key. Parameters: those of a run, and $at."""
    steps = Steps()
    keys = ", ".join(key_names(facts_of(visible)[0].keys))
    add_seen(steps, visible, asking=False)
    return steps.finish("their keys", f"SELECT DISTINCT {keys}\nFROM seen\nORDER BY {keys}")


def touched(visible: Visible, reach: int | None) -> str:
    """The statement of instants that rows of the relation `new__<source>` touch, beside those of `old__<source>`.

    Instants are $count, each $every after the one before, from $start on, and told by their numbers: first, last (all from the
    one to the other). reach: how long after it happened a fact bears on a value, in microseconds; None: for ever.
    """
    steps = Steps()
    source = facts_of(visible)[0].rows.source
    add_rows_read(steps, visible, "new_rows", f"{NEW_PREFIX}{source.name}")
    add_rows_read(steps, visible, "old_rows", f"{OLD_PREFIX}{source.name}")
    if facts_of(visible)[1] is None:
        _touched_by_facts(steps, visible, reach)
    else:
        _touched_by_versions(steps, visible, reach)
    seen_from = "greatest(begins - $start + $every - 1, 0)" if visible.exact else "greatest(begins - $start + $every, 0)"
    steps.add("numbered", "the numbers of the instants in them",
              f"SELECT {seen_from} // $every AS first, least(ends - $start, $every * ($count - 1)) // $every AS last\n"
              "FROM stretches WHERE ends >= $start AND begins < $start + $every * $count")  # fmt: skip
    select = "SELECT first, max(last) AS last\nFROM numbered WHERE first <= last\nGROUP BY first\nORDER BY first"
    return steps.finish("one stretch for each first instant", select)


def _touched_by_facts(steps: Steps, visible: Visible, reach: int | None) -> None:
    """The step `stretches`: of each new fact from when it counts (begins) until when it may matter (ends)."""
    keys = key_names(facts_of(visible)[0].keys)
    present, columns = not_null([*keys, "event_time", "known_time"]), f"{', '.join(keys)}, event_time"
    counts = f"{visible_from(visible)} AS begins"
    steps.add("new_facts", "new facts, and from when each counts",
              f"SELECT {columns}, {counts}\nFROM new_rows WHERE {present}", materialized=True)  # fmt: skip
    if reach is None:
        steps.add("stretches", "for ever from then on", f"SELECT begins, {_EVER} AS ends FROM new_facts")
        return
    by = ", ".join(keys)
    steps.add("before", "from when on an older fact shows the key",
              f"SELECT {by}, min(begins) AS shown\nFROM (SELECT {columns}, {counts} FROM old_rows WHERE {present})\n"
              f"SEMI JOIN new_facts USING ({by})\nGROUP BY {by}")  # fmt: skip
    steps.add("stretches", "up to the end of the fact's reach, and as long as nothing else shows its key",
              f"SELECT begins, greatest(event_time + {reach}, coalesce(shown, {_EVER})) AS ends\n"
              f"FROM new_facts LEFT JOIN before USING ({by})")  # fmt: skip


def _touched_by_versions(steps: Steps, visible: Visible, reach: int | None) -> None:
    """The step `stretches`: of each new version from when it is known until the next in order is."""
    row_keys = row_key_names(visible)
    by = ", ".join(row_keys)
    known = not_null([*row_keys, "known_time"])
    steps.add(
        "touched_rows", "row keys of new versions", f"SELECT DISTINCT {by} FROM new_rows WHERE {known}", materialized=True
    )
    steps.add("versions", "all versions of these",
              f"SELECT *, TRUE AS is_new FROM new_rows WHERE {known}\nUNION ALL BY NAME\n"
              f"SELECT *, FALSE AS is_new FROM old_rows SEMI JOIN touched_rows USING ({by}) WHERE {known}",
              materialized=True)  # fmt: skip
    steps.add("in_force", "from when to when each is in force",
              f"SELECT {by}, is_new, known_time AS begins, coalesce(min(known_time) OVER (\n"
              f"  PARTITION BY {by} ORDER BY {version_order(visible, descending=False)}\n"
              f"  ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING\n), {_EVER}) AS ends\nFROM versions")  # fmt: skip
    if reach is None:
        steps.add("stretches", "those of the new ones", "SELECT begins, ends FROM in_force WHERE is_new AND ends > begins")
        return
    keys = key_names(facts_of(visible)[0].keys)
    key_list = ", ".join(keys)
    steps.add("named", "the keys that versions of each row key have shown",
              f"SELECT DISTINCT {by}, {key_list}\nFROM versions WHERE {live(visible)}", materialized=True)  # fmt: skip
    steps.add("others", "from when on each key is shown by facts that nothing replaces, none of them of these row keys",
              f"SELECT {key_list}, min(greatest(event_time, known_time)) AS shown\nFROM (\n"
              f"  SELECT * FROM old_rows ANTI JOIN touched_rows USING ({by})\n"
              f"  WHERE {known} QUALIFY count(*) OVER (PARTITION BY {by}) = 1\n)\n"
              f"WHERE {live(visible)} GROUP BY {key_list}")  # fmt: skip
    steps.add(
        "matters",
        "until when one of the versions may matter: in reach, or all that shows a key",
        f"SELECT {by}, max(until) AS until\nFROM (\n"
        f"  SELECT {by}, event_time + {reach} AS until FROM versions\n  UNION ALL\n"
        f"  SELECT {by}, coalesce(shown, {_EVER}) FROM named LEFT JOIN others USING ({key_list})\n)\nGROUP BY {by}",
    )
    steps.add("stretches", "those of the new ones, as long as they matter",
              f"SELECT begins, least(ends, coalesce(until, -{_EVER})) AS ends\nFROM in_force JOIN matters USING ({by}) "
              "WHERE is_new AND ends > begins")  # fmt: skip
