"""Find the cause of every wrong cell: first the explanations of `whys`, then, cell by cell, any fact or instant around it.

Whatever explains a cell first has it.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.belief import Tried, believe
from featurestore.audit.columns import differs
from featurestore.audit.findings import EXPIRED, FUTURE, LATE, STALE, TIE, UNEXPLAINED
from featurestore.audit.judged import AS_OF
from featurestore.audit.reask import Asking
from featurestore.audit.whys import Stage, Why, at_instant, of_one_view, whys
from featurestore.audit.wrong import Group, Wrong, open_rows
from featurestore.plan.nodes import Latest, Window

SEARCHED = 5_000
"""Of how many cells of a feature the facts and instants around are searched one by one."""
AROUND = 24
"""How many events are searched on each side of as_of."""
_EARLIER, _AFTER = "as of an earlier instant", "as of another instant after as_of"
_TIED = Why(TIE, "of another fact of the same event time", lambda at, _: at)


def explain(asking: Asking, group: Group, seed: int = 0) -> None:
    """Give every wrong cell of a group its cause."""
    for part, wrong in group.latest:
        wrong.events = asking.events(wrong.feature, wrong.rows)
        wrong.known[_TIED] = _tied(asking, part, wrong)
    if any(group.views):
        for stage in Stage:
            believe(asking, group, _tried(asking, group, stage), seed)
        _by_facts(asking, group)
        _by_instants(asking, group)
    for wrong in group.wrong:
        wrong.settle(wrong.open, UNEXPLAINED, "")


def _tried(asking: Asking, group: Group, stage: Stage) -> list[Tried]:
    """The explanations of a stage, for every view; those that need no fact of a view once. Ties come after leaks."""
    found: dict[tuple[int, str, str], Tried] = {}
    for number, parts in enumerate(group.views):
        spans = [o.window for part in parts if isinstance(part, Window) for o in part.outputs]
        latest = [part for part in parts if isinstance(part, Latest)]
        tried = whys(
            stage,
            exact=any(p.facts.exact for p in parts),
            ttl=any(p.ttl is not None for p in latest),
            windows=[span for span in spans if span is not None],
            lifetime=None in spans,
            latest=bool(latest),
            bounded=asking.is_bounded,
        )
        for why in tried:
            found.setdefault((number if why.landmark else -1, why.told, why.cause), Tried(number, why))
    for number, name in enumerate(group.inputs if stage is Stage.LENGTHS else ()):
        found |= {(number, why.told, why.cause): Tried(0, why) for why in of_one_view(name)}
    ties = [Tried(0, _TIED)] if stage is Stage.RULES and any(group.latest) else []
    return [*(one for one in found.values() if one.why.is_leak), *ties, *(o for o in found.values() if not o.why.is_leak)]


def _tied(asking: Asking, part: Latest, wrong: Wrong) -> pa.Array:
    """Cells that have the value of another fact of the event time that the truth has."""
    cells = {"truth_event": wrong.events, "found": wrong.found}
    held = asking.holders(part, wrong.feature, wrong.rows, cells, tied=True)
    return pc.and_(held["tie_known"].is_valid().combine_chunks(), pc.invert(_expired(asking, part, wrong)))


def _expired(asking: Asking, part: Latest, wrong: Wrong) -> pa.Array:
    """Where the truth is NULL because the newest fact is older than the ttl."""
    if part.ttl is None:
        return pa.repeat(pa.scalar(False), len(wrong.rows))
    at = asking.questions[AS_OF].take(wrong.rows).cast(pa.int64()).combine_chunks()
    return pc.fill_null(pc.greater(pc.subtract(at, wrong.events), part.ttl), False)


def _by_facts(asking: Asking, group: Group) -> None:
    """Latest values that some fact of the key has, wherever it lies. One that was there is no leak, whatever comes later."""
    for part, wrong in group.latest:
        cells = wrong.some_open(SEARCHED)
        if not len(cells):
            continue
        events, rows = wrong.events.take(cells), wrong.rows.take(cells)
        held = asking.holders(part, wrong.feature, rows, {"truth_event": events, "found": wrong.found.take(cells)})
        older = held["older_event"].is_valid().combine_chunks()
        expired = _expired(asking, part, wrong).take(cells)
        wrong.settle(wrong.at(cells, pc.and_(older, expired)), EXPIRED, "of a fact older than the ttl")
        wrong.settle(wrong.at(cells, older), STALE, "of an older fact")
        wrong.settle(wrong.at(cells, held["late_event"].is_valid()), LATE, "of a fact that was not known yet")
        wrong.settle(wrong.at(cells, held["future_event"].is_valid()), FUTURE, "of a fact that had not happened yet")


def _by_instants(asking: Asking, group: Group) -> None:
    """Other values that F has at some instant around as_of, where something happens to the key."""
    latest = {wrong.feature for _, wrong in group.latest}
    wrongs = [wrong for wrong in group.wrong if wrong.feature not in latest]
    for parts in group.views:
        for cause, mark, told in ((STALE, "last_visible", _EARLIER), (FUTURE, "next_visible", _AFTER)):
            rows = open_rows(wrongs).slice(0, SEARCHED)
            if not len(rows) or not parts:
                continue
            instants = [pc.add(at, 1) for at in asking.steps(parts[0], rows, mark, AROUND)]
            found = [at_instant(cause, told)] * len(instants)
            given = asking.answers([wrong.feature for wrong in wrongs], rows, found, instants) if instants else None
            for at, values in zip(instants, given or [], strict=bool(given)):
                for wrong in wrongs:
                    _settle_equal(wrong, rows, at, values[wrong.feature], cause, told)


def _settle_equal(wrong: Wrong, rows: pa.Array, at: pa.Array, values: pa.Array, cause: str, told: str) -> None:
    position = pc.index_in(wrong.rows, rows)
    unlike, _ = differs(wrong.found, values.take(position), wrong.how)
    asked = pc.fill_null(at.is_valid().take(position), False)
    explained = pc.and_(pc.and_(asked, pc.invert(unlike)), pc.invert(wrong.empty()))
    wrong.settle(explained, cause, told, at.take(position))


__all__ = ["explain"]
