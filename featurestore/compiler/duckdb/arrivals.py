"""When the rows of a source came, for `freshness`: only what could be known before an instant, $now, is counted.

Nothing here bears on a value.
"""

from __future__ import annotations

from featurestore.compiler.duckdb.facts import event_time, known_time, relation, where
from featurestore.compiler.duckdb.profile import late_in_few_digits
from featurestore.compiler.duckdb.scalars import quoted
from featurestore.compiler.statement import Steps, listed
from featurestore.intervals import MICROS_PER_SECOND
from featurestore.plan.nodes import ReadSource

ARRIVED = "arrived"
"""The relation in which what `arrived` gives is kept."""
SETTLED = 0.75
"""The share of an interval's facts without which it is not complete."""
_MINUTE = 60 * MICROS_PER_SECOND


def newest(rows: ReadSource) -> str:
    """The statement: rows known before $now, the last known time among them, and the last event that had happened by then."""
    steps = _rows_known(rows)
    return steps.finish(
        "the newest of them",
        "SELECT count(*) AS rows, max(known_time) AS newest_known,\n"
        "  max(event_time) FILTER (WHERE event_time < $now) AS newest_event\nFROM rows_known",
    )


def arrived(rows: ReadSource) -> str:
    """The statement: times of those known before $now that happened from $event_since on, or became known from $known_since
    on; `first`: whether it is the row of a fact that came first, for what comes later of a fact is not late. Of facts before
    $event_since no row counts as that: what was known of them is not looked at.
    """
    steps = _rows_known(rows)
    steps.add("recent", "the recent ones",
              "SELECT * FROM rows_known WHERE event_time >= $event_since OR known_time >= $known_since")  # fmt: skip
    first = "TRUE"
    if rows.source.row_key:
        keys = ", ".join(quoted(f"row_{column}") for column in rows.source.row_key)
        place = f"row_number() OVER (PARTITION BY {keys} ORDER BY known_time, event_time NULLS LAST)"
        first = f"event_time >= $event_since AND {place} = 1"
    return steps.finish("and which of a fact came first", f"SELECT event_time, known_time, {first} AS first\nFROM recent")


def bursts() -> str:
    """The statement: of each minute in which rows became known the first, the last and how many, in order."""
    return (
        "SELECT min(known_time) AS first, max(known_time) AS last, count(*) AS rows\n"
        f"FROM {ARRIVED}\nWHERE known_time >= $known_since\nGROUP BY {_floor('known_time', _MINUTE)}\nORDER BY first"
    )


def intervals(length: int) -> str:
    """The statement: of each interval of so many microseconds in which facts had happened by $now its start, how many, and
    when most of these (SETTLED) had become known, in order."""
    start = _floor("event_time", length)
    return (
        f"SELECT {start} AS start, count(*) AS rows, quantile_disc(known_time, {SETTLED}) AS settled\n"
        f"FROM {ARRIVED}\nWHERE first AND event_time >= $event_since AND event_time < $now\nGROUP BY {start}\nORDER BY start"
    )


def lateness() -> str:
    """The statement: how long after their events facts became known, three digits rounded up: (late_by, rows, recent), of which
    those recent that became known from $recent_from on."""
    steps = Steps()
    steps.add("rows_read", "how long after its event each is known",
              f"SELECT known_time - event_time AS late_by, known_time >= $recent_from AS recent\nFROM {ARRIVED}\n"
              "WHERE first AND known_time >= $known_since")  # fmt: skip
    late_in_few_digits(steps, "recent")
    return steps.finish(
        "how many are how late",
        "SELECT\n  CAST(bound AS BIGINT) AS late_by, count(*) AS rows,\n  count(*) FILTER (WHERE recent) AS recent\n"
        "FROM rounded\nGROUP BY bound\nORDER BY bound",
    )


def known_since() -> str:
    """The statement: how many rows became known from $since on."""
    return f"SELECT count(*) AS rows\nFROM {ARRIVED}\nWHERE known_time >= $since"


def known_between(rows: ReadSource) -> str:
    """The statement: how many rows were known before $made, and how many became known from then on and before $now, of these
    only those from $since on."""
    steps = _rows_known(rows)
    return steps.finish(
        "then and since",
        "SELECT count(*) FILTER (WHERE known_time < $made) AS before,\n"
        "  count(*) FILTER (WHERE known_time >= greatest($made, $since)) AS since\nFROM rows_known",
    )


def _rows_known(rows: ReadSource) -> Steps:
    steps = Steps()
    columns = [f"{event_time(rows.source)} AS event_time", f"{known_time(rows)} AS known_time"]
    columns += [f"{quoted(column)} AS {quoted(f'row_{column}')}" for column in rows.source.row_key]
    steps.add("rows_read", f"rows of source {rows.source.name}: times in microseconds UTC",
              f"SELECT\n{listed(columns)}\nFROM {relation(rows.source)}{where(rows)}")  # fmt: skip
    steps.add("rows_known", "those known before now", "SELECT * FROM rows_read WHERE known_time < $now")  # fmt: skip
    return steps


def _floor(time: str, length: int) -> str:
    """The start of the interval that an instant lies in, also before 1970."""
    return f"{time} - (({time} % {length}) + {length}) % {length}"
