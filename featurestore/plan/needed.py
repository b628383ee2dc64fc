"""Which rows of a source can bear on an answer, by their times alone: all others need not be read.

Bounds are wide where that costs nothing: a row outside of them decides nothing, a row inside still may not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.intervals import FOREVER
from featurestore.plan.nodes import Part, Settled, StaticLookup, Window, chain_of, reach_of


@dataclass(frozen=True)
class Needed:
    """Rows with event_from <= event time <= event_to and created time <= created_to, in microseconds; None: no bound.

    A row without the time in question is not needed where a bound is set.
    """

    event_from: int | None = None
    event_to: int | None = None
    created_to: int | None = None

    def misses(self, events: Sequence[int], created: Sequence[int] = ()) -> bool:
        """No row is needed whose times lie between these; without any there is nothing to tell by."""
        after = [(events, self.event_to), (created, self.created_to)]
        if any(ends and bound is not None and min(ends) > bound for ends, bound in after):
            return True
        return bool(events) and self.event_from is not None and max(events) < self.event_from


EVERYTHING = Needed()


def needed(part: Part, first: int | None, last: int | None, known_before: int | None, shift: int) -> Needed:
    """What a part can need whose spine rows ask from `first` to `last` (None without rows). shift: by how much facts are
    known later than they are.

    Facts (rows without a row key) count from the instant they happened and were known, so none after `last` does; windows
    reach back only so far. The newest fact counts however old it is: one beyond its ttl tells `expired` from `not_found`.
    Of versions one that moves a fact out of reach still hides the one before, so only those known too late can go.
    """
    if isinstance(part, StaticLookup) or first is None or last is None:
        return EVERYTHING
    facts, versions, _ = chain_of(part.facts)
    source, settled = facts.rows.source, isinstance(part.facts, Settled)
    if facts.rows.pushed:
        return EVERYTHING
    known_to = _least(None if settled else last - shift, None if known_before is None else known_before)
    declared = source.created_timestamp is not None and source.created_null == "never"
    created_to = known_to if declared else None
    if versions is not None:
        return Needed(created_to=created_to)
    event_to: int | None = last
    if source.created_timestamp is None and known_to is not None:
        event_to = _least(last, known_to - source.known_delay.micros)
    reach = reach_of(part.outputs) if isinstance(part, Window) else None
    return Needed(None if reach is None else first - reach, event_to, created_to)


def _least(*bounds: int | None) -> int | None:
    known = [b for b in bounds if b is not None and b < FOREVER]
    return min(known, default=None)


def union(all_needed: Iterable[Needed]) -> Needed:
    """What several parts can need together."""
    every = list(all_needed)

    def widest(bounds: list[int | None], pick: Any) -> int | None:
        known = [b for b in bounds if b is not None]
        return pick(known) if known and len(known) == len(bounds) else None

    return Needed(
        widest([n.event_from for n in every], min),
        widest([n.event_to for n in every], max),
        widest([n.created_to for n in every], max),
    )
