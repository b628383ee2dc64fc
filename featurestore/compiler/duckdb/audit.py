"""What an audit asks of a source: which facts lie around an instant, and which of them have a value that was found.

Every row of a source counts here, as soon as it holds and has its keys and times: of versions each one, whether or not it was
ever in force when it was asked for. Statements read the relation `cells`: row_id, the keys, asked_at, known_by (before when a
fact must be known), and what they name.
"""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.compiler.duckdb.facts import (
    FILE,
    ROW,
    add_rows_read,
    input_name,
    key_names,
    not_null,
    numbered,
    on_keys,
    relation,
    row_key_names,
    version_order,
)
from featurestore.compiler.duckdb.latest import canonical_columns, value
from featurestore.compiler.statement import Steps
from featurestore.plan.nodes import Latest, Output, Visible, Window, facts_of

CELLS = "cells"
RELATIONS = ("tie", "late", "future", "older")
"""How a fact that has a value may lie to the instant: see `holders`."""
LANDMARKS = {
    "next_visible": ("visible", ">=", ">"),
    "next_event": ("event_time", ">=", ">"),
    "last_visible": ("visible", "<", "<="),
    "last_event": ("event_time", "<", "<="),
}
"""Name -> (time of a fact, how it lies to asked_at, how it does with exact matches): the nearest such time is taken."""


def landmark(part: Latest | Window, which: str) -> str:
    """The statement: row_id, at (microseconds, NULL where no fact of the key lies there); in any order."""
    time, strict, exact = LANDMARKS[which]
    steps, keys = Steps(), key_names(part.spine.keys)
    _add_facts(steps, part, None)
    times = ", ".join([*keys, f"{time} AS at"])
    steps.add("times", "when facts are there, for each key", f"SELECT DISTINCT {times} FROM facts")
    compare = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[exact if part.facts.exact else strict]
    return steps.finish(
        "the nearest to each row",
        f"SELECT c.row_id, f.at\nFROM {CELLS} AS c ASOF LEFT JOIN times AS f\n"
        f"ON {on_keys('c', 'f', keys)} AND c.asked_at {compare} f.at",
    )


def holders(part: Latest | Window, output: Output | None, *, tied: bool = False, placed: bool = False) -> str:
    """The statement: of each row for which some fact has the value `found`, which facts have it, as columns

        tie_event, tie_known           one of the event time `truth_event` that was in force
        late_event, late_known         one that had happened and was not known: the first to become known
        future_event, future_known     one that had not happened: the first to happen
        older_event, older_known       another that was visible, or one that was replaced: the newest

    each NULL without such a fact. output None: whatever its value (of windows, that the feature reads no single fact).
    tied: those of the event time `truth_event` alone, which is cheap. placed: of each also …_file and …_row, where it lies; the
    source is then read by its `numbered` relation.
    """
    steps, keys = Steps(), key_names(part.spine.keys)
    _add_facts(steps, part, output, placed)
    before, after = ("<=", ">") if part.facts.exact else ("<", ">=")
    usable = f"f.event_time {before} c.asked_at AND f.known_time < c.known_by"
    late, future = f"f.event_time {before} c.asked_at AND f.known_time >= c.known_by", f"f.event_time {after} c.asked_at"
    in_force = "(f.until IS NULL OR f.until >= c.known_by)"
    tie = "f.event_time = c.truth_event"
    place = {"file": FILE, "row": ROW} if placed else {}
    event_first = _struct({"event": "event_time", "known": "known_time", **place})
    known_first = _struct({"known": "known_time", "event": "event_time", **place})
    has = "" if output is None else " AND f.held IS NOT DISTINCT FROM c.found"
    same = f"{on_keys('c', 'f', keys)}{has}{f' AND {tie}' if tied else ''}"
    picked = [
        f"max({event_first}) FILTER (WHERE {tie} AND {usable} AND {in_force}) AS tie",
        f"min({known_first}) FILTER (WHERE {late}) AS late",
        f"min({event_first}) FILTER (WHERE {future}) AS future",
        f"max({event_first}) FILTER (WHERE {usable} AND NOT ({in_force} AND coalesce({tie}, FALSE))) AS older",
    ]
    listed = ",\n  ".join(["c.row_id", *picked])
    steps.add("picked", "of each row, and each relation to its instant, the first or newest fact with the value",
              f"SELECT\n  {listed}\nFROM {CELLS} AS c JOIN facts AS f\nON {same}\nGROUP BY c.row_id")  # fmt: skip
    told = [f"{name}.{what} AS {name}_{what}" for name in RELATIONS for what in ("event", "known", *place)]
    return steps.finish("their event and known times", f"SELECT row_id, {', '.join(told)}\nFROM picked")


def _struct(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"'{name}': f.{column}" for name, column in fields.items()) + "}"


def _add_facts(steps: Steps, part: Latest | Window, output: Output | None, placed: bool = False) -> None:
    """The step `facts`: keys, event_time, known_time, visible, until (of versions), held (the value of the output)."""
    boundary = part.facts
    assert isinstance(boundary, Visible)
    facts, versions, _ = facts_of(boundary)
    keys = key_names(facts.keys)
    source, place = facts.rows.source, [FILE, ROW] if placed else []
    add_rows_read(steps, boundary, "rows_read", numbered(source) if placed else relation(source), place)
    present = not_null([*keys, "event_time", "known_time"]) + ("" if versions is None else " AND holds")
    rows, held = "rows_read", "NULL"
    if versions is not None:
        rows = "replaced"
        _add_replaced(steps, boundary)
    if output is not None:
        types = {c.name: c.dtype for c in facts.inputs}
        columns = [*canonical_columns(facts, keys), *([] if versions is None else ["until"]), *place]
        steps.add("canonical", "rows with their inputs, made canonical",
                  f"SELECT {', '.join(columns)}\nFROM {rows} WHERE {present}",
                  materialized=False)  # fmt: skip
        rows, held = "canonical", value(output, types, input_name)
    until = "until" if versions is not None else "CAST(NULL AS BIGINT) AS until"
    times = f"event_time, known_time, greatest(event_time, known_time) AS visible, {until}"
    told = ", ".join([*keys, times, f"{held} AS held", *place])
    kept = f" WHERE {present}" if output is None else ""
    steps.add("facts", "each row as a fact: when it is there, and its value", f"SELECT {told}\nFROM {rows}{kept}")


def _add_replaced(steps: Steps, boundary: Visible) -> None:
    """The step `replaced`: versions, and when the next one in order became known (`until`, NULL for the last)."""
    by = ", ".join(row_key_names(boundary))
    order = version_order(boundary, descending=False)
    steps.add(
        "replaced",
        "versions, and until when each is in force",
        f"SELECT *, min(known_time) OVER (\n  PARTITION BY {by} ORDER BY {order}\n"
        "  ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING\n) AS until\n"
        f"FROM rows_read WHERE {not_null([*row_key_names(boundary), 'known_time'])}",
    )


__all__ = ["CELLS", "LANDMARKS", "holders", "landmark"]
