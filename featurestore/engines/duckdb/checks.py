"""Look at a source before using it: rows left out and why, duplicate keys, times that look like dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from featurestore import plan as planning
from featurestore.compiler import duckdb as sql
from featurestore.engines.duckdb.session import Session
from featurestore.errors import SourceError
from featurestore.plan.nodes import StaticLookup
from featurestore.registry import BoundFacts, BoundLabel
from featurestore.sources import SourceData


@dataclass
class SourceCounts:
    """Rows of a source as one view sees them, and those it leaves out by reason."""

    rows: int
    left_out: dict[str, int]
    warnings: list[str]


def check_left_out(session: Session, bound: BoundFacts, data: SourceData) -> SourceCounts:
    """Count the rows a view leaves out. Raises: SourceError FS327 when one reason takes more than half of them."""
    read = planning.facts_read(bound)
    columns = bound.view.columns
    session.bind_source(data, columns, {c: bound.types[c] for c in columns})
    counts = session.table(sql.left_out(read)).to_pylist()[0]
    rows, with_time = counts.pop("rows"), counts.pop("has_time_of_day")
    left_out = {reason: n for reason, n in counts.items() if n}
    for reason, n in left_out.items():
        if 2 * n > rows and not bound.view.source.allow_left_out:
            raise SourceError(
                "FS327", f"{n} of {rows} rows of source {data.source.name!r} are left out: {reason} (view {bound.name!r})",
                where=bound.view.source.place, hint="mend the data, or allow_left_out=True if that is meant",
            )  # fmt: skip
    warnings = _warnings(data, rows, with_time, bound.types)
    if (ambiguous := sql.ambiguous(read)) and (n := session.table(ambiguous).to_pylist()[0]["ambiguous_versions"]):
        left_out["ambiguous_versions"] = n
    return SourceCounts(rows, left_out, warnings)


def _warnings(data: SourceData, rows: int, with_time: bool, types: Mapping[str, Any]) -> list[str]:
    source, warnings = data.source, []
    event = source.event_timestamp
    if event is not None and rows and not with_time and types[event].is_timestamp:
        warnings.append(
            f"source {source.name}: every {event} is midnight, probably a date: it counts as known at the start of its "
            "day; store it as DATE (then date_is says what it means) or shift it"
        )
    if source.assumed_known_at_once:
        warnings.append(f'source {source.name}: assumed known at once; declare created_timestamp, or delay (delay="0s")')
    return warnings


def check_static(session: Session, plan: StaticLookup) -> None:
    """Raises: SourceError FS308 when a static source has two rows of one key."""
    twice = session.table(sql.duplicates(plan))
    if twice.num_rows:
        row = twice.to_pylist()[0]
        key = ", ".join(str(v) for k, v in row.items() if k != "rows")
        raise SourceError(
            "FS308", f"static source {plan.rows.source.name!r} has {row['rows']} rows for key {key}",
            where=plan.rows.source.place, hint="one row per key, or an event_timestamp",
        )  # fmt: skip


def greatest_known(session: Session, bound: BoundLabel) -> int | None:
    """Up to when a label's source, whose rows are bound, is known: their greatest known time; None without any."""
    found: int | None = session.table(sql.greatest_known(bound.view.source)).to_pylist()[0]["greatest_known"]
    return found
