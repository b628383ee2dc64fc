"""Which instants are touched by what has come to a source since an earlier state of it: by arrival, as a run of `materialize`
finds late rows. All other instants have the values that they had.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from featurestore.backfill.asked import Asked
from featurestore.compiler import duckdb as sql
from featurestore.compiler.duckdb import backfill
from featurestore.engines.duckdb import Session, Settings
from featurestore.plan.nodes import OnlineState, Visible, reach_of
from featurestore.registry import BoundView
from featurestore.sources import Part, PushedPart, SourceData, pushed_in

State = Sequence[Mapping[str, Any]]


def why_all(data: SourceData, before: State, now: State) -> str:
    """Why nothing made from an earlier state can be kept, or "" if it is enough to look at what came since."""
    if not data.is_identified:
        return "a table in memory has no files to compare"
    if why := data.why_anew(before):
        return why
    told_whole = not data.pins  # what pins a table moves on with each append
    entries = [entry for entry in before if "path" in entry or (told_whole and "push_log" not in entry)]
    gone = [entry for entry in entries if entry not in now]
    if gone:
        return f"{gone[0].get('path', data.source.name)} is gone or changed"
    log, here = pushed_in(before), data.pushed
    if log is not None and (here is None or here.log != log.log or here.position < log.position):
        return f"the push log of {data.source.name} is another one"
    return ""


def touched(
    settings: Settings, bound: BoundView, plan: OnlineState, data: SourceData, before: State, asked: Asked
) -> Collection[int]:
    """The instants of those asked that rows touch which are in `data` and were not in an earlier state, of which nothing is
    gone."""
    assert isinstance(plan.facts, Visible)
    new = data.since(before)
    if not new.rows:
        return set()
    types = {c: bound.types[c] for c in bound.view.columns}
    with Session(settings) as session:
        session.bind_source(new, list(types), types, prefix=sql.NEW_PREFIX)
        session.bind_source(_until(data, before), list(types), types, prefix=backfill.OLD_PREFIX)
        statement = backfill.touched(plan.facts, reach(bound, plan, asked.include))
        found = session.table(statement, {"start": asked.start, "every": asked.every, "count": asked.count})
    numbers = (range(row["first"], row["last"] + 1) for row in found.to_pylist())
    return {asked.instants[number] for stretch in _joined(numbers) for number in stretch}


def _joined(stretches: Any) -> list[range]:
    """Stretches in order of their first number, without what an earlier one has."""
    found, end = list[range](), 0
    for stretch in stretches:
        found.append(range(max(stretch.start, end), stretch.stop))
        end = max(end, stretch.stop)
    return found


def reach(bound: BoundView, plan: OnlineState, include: Collection[str]) -> int | None:
    """How long after it happened a fact bears on what a backfill holds, in microseconds; None: for ever. One beyond its ttl
    still tells when it happened, where that is included."""
    ttl = 0
    if plan.latest:
        if bound.view.ttl is None or "event_timestamp" in include:
            return None
        ttl = bound.view.ttl.micros
    windows = reach_of(plan.windows)
    return None if windows is None else max(ttl, windows)


def _until(data: SourceData, state: State) -> SourceData:
    """What is here and was in an earlier state: what `since` leaves out."""
    known = {entry["path"] for entry in state if "path" in entry}
    log = pushed_in(state)
    parts = list[Part]()
    for part in data.parts:
        if isinstance(part, PushedPart):
            parts.append(part.before(0 if log is None else log.position))
        elif part.name in known:
            parts.append(part)
    return replace(data, parts=tuple(part for part in parts if part.rows))
