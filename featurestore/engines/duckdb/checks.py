"""Look at a source before using it: rows left out and why, duplicate keys, times that look like dates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from featurestore import plan as planning
from featurestore.compiler import duckdb as sql
from featurestore.engines.duckdb.reading import is_direct, lies_as_read
from featurestore.engines.duckdb.session import Session, errors
from featurestore.errors import SourceError
from featurestore.intervals import MICROS_PER_DAY
from featurestore.plan.needed import Needed
from featurestore.plan.nodes import StaticLookup, Visible, facts_of
from featurestore.registry import BoundFacts, BoundLabel
from featurestore.sources import SourceData
from featurestore.sources.footers import extents, group_ends


@dataclass
class SourceCounts:
    """Rows of a source as one view sees them, and those it leaves out by reason. whole: footers prove that there are none."""

    rows: int
    left_out: dict[str, int]
    warnings: list[str]
    whole: bool


def check_left_out(session: Session, bound: BoundFacts, data: SourceData) -> SourceCounts:
    """Count the rows a view leaves out. Raises: SourceError FS327 when one reason takes more than half of them."""
    read = facts_read(bound, data)
    data.check(bound.view.columns)
    whole, ambiguous = nothing_left_out(bound, data), sql.ambiguous(read)
    if not whole or ambiguous:
        _bind(session, bound, data)
    counts = {} if whole else session.table(sql.left_out(read)).to_pylist()[0]
    rows, with_time = counts.pop("rows", data.rows), counts.pop("has_time_of_day", True)
    left_out = {reason: n for reason, n in counts.items() if n}
    for reason, n in _by_rule(left_out).items():
        if 2 * n > rows and not bound.view.source.allow_left_out:
            raise SourceError(
                "FS327", f"{n} of {rows} rows of source {data.source.name!r} are left out: {reason} (view {bound.name!r})",
                where=bound.view.source.place, hint="mend the data, or allow_left_out=True if that is meant",
            )  # fmt: skip
    warnings = _warnings(data, rows, with_time, bound.types)
    if ambiguous and (n := session.table(ambiguous).to_pylist()[0]["ambiguous_versions"]):
        left_out["ambiguous_versions"] = n
    return SourceCounts(rows, left_out, warnings, whole)


def _bind(session: Session, bound: BoundFacts, data: SourceData) -> None:
    session.bind_source(data, bound.view.columns, {c: bound.types[c] for c in bound.view.columns})


def _by_rule(left_out: Mapping[str, int]) -> dict[str, int]:
    """The reasons of which none may take most rows: whichever expectation sets a row aside, that is one."""
    aside = {reason: n for reason, n in left_out.items() if reason.startswith(sql.QUARANTINED)}
    others = {reason: n for reason, n in left_out.items() if reason not in aside}
    return (aside if len(aside) < 2 else {"quarantined": sum(aside.values())}) | others


def facts_read(bound: BoundFacts, data: SourceData) -> Visible | StaticLookup:
    """The plan of a view's facts in data that is there."""
    return planning.with_pushed(planning.facts_read(bound), pushed_to({data.source.name: data}))


def pushed_to(sources: Mapping[str, SourceData]) -> set[str]:
    """The sources of which rows were pushed."""
    return {name for name, data in sources.items() if data.pushed is not None}


def nothing_left_out(bound: BoundFacts, data: SourceData) -> bool:
    """Whether the files' footers prove that every row is a fact (or version) of a view, and that events have a time of day.

    They do if times are read as they lie and in range, and no column that decides has a NULL; not of a source with pushed
    rows, which are not all in files.
    """
    source, read = bound.view.source, planning.facts_read(bound)
    times = [c for c in (source.event_timestamp, source.created_timestamp) if c is not None]
    if (
        isinstance(read, StaticLookup)
        or data.pushed is not None
        or source.quarantine
        or not all(lies_as_read(part, source, times, bound.types) for part in data.parts)
    ):
        return False
    facts, versions, _ = facts_of(read)
    keys = [k.source_column for k in facts.keys] if versions is None else versions.row_key
    with errors(source.place):
        found = extents(data, [*times, *keys])
    if not found or any(extent.nulls != 0 for extent in found.values()):
        return False
    first, end = source.time_range
    instants = [found[c].ends for c in times]
    in_range = all(at is not None and all(first <= instant < end for instant in at) for at in instants)
    return in_range and any(instant % MICROS_PER_DAY for instant in instants[0] or ())


def spares(needed: Needed, data: SourceData) -> bool:
    """Whether row groups need not be read at all if only those rows are: then it is worth to ask for no others."""
    source = data.source
    if any(part.narrows for part in data.parts):
        return True
    times = [c for c in (source.event_timestamp, source.created_timestamp) if c is not None]
    parts = tuple(part for part in data.parts if is_direct(part, source, times, {}))
    with errors(source.place):
        return any(needed.misses(*ends) for ends in group_ends(parts, times))


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


def greatest_known(session: Session, bound: BoundLabel, data: SourceData) -> int | None:
    """Up to when a label's source is known: the greatest known time of its rows; None without any."""
    _bind(session, bound, data)
    read = facts_read(bound, data)
    assert isinstance(read, Visible)
    found: int | None = session.table(sql.greatest_known(facts_of(read)[0].rows)).to_pylist()[0]["greatest_known"]
    return found
