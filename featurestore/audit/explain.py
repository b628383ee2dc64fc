"""Find the cause of every wrong cell: first the explanations of `whys`, then, cell by cell, any fact or instant around it.

Cells of a feature are masks over its wrong rows; whatever explains a cell first has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from random import Random

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.columns import Compared, differs
from featurestore.audit.findings import EXPIRED, FUTURE, LATE, STALE, TIE, UNEXPLAINED
from featurestore.audit.judged import AS_OF
from featurestore.audit.reask import Asking, Timed
from featurestore.audit.whys import Why, at_instant, whys
from featurestore.plan.nodes import Latest, Window

SAMPLE = 20_000
"""Of how many wrong rows of a view all explanations are tried, before those that explain something are tried on all."""
AT_ONCE = 2_000_000
"""How many rows one build is asked for at most."""
SEARCHED = 5_000
"""Of how many cells of a feature the facts and instants around are searched one by one."""
AROUND = 24
"""How many events are searched on each side of as_of."""
_EARLIER, _AFTER = "as of an earlier instant", "as of another instant after as_of"


@dataclass(frozen=True)
class Settled:
    """Cells of a feature (a mask) that have one cause and explanation. instants: at which F gives the values found, in
    microseconds per cell; None where that is as_of, or no one instant."""

    cells: pa.Array
    cause: str
    why: str
    instants: pa.Array | None = None


@dataclass
class Wrong:
    """The wrong cells of one feature. rows: in the file, ascending. open: cells without a cause yet. events: of latest values
    the event time of the fact that the truth comes from, in microseconds, NULL without one. settled: the causes found."""

    feature: str
    how: Compared
    rows: pa.Array
    found: pa.Array
    truth: pa.Array
    settled: list[Settled] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open = pa.repeat(pa.scalar(True), len(self.rows))
        self.events = pa.nulls(len(self.rows), pa.int64())

    def settle(self, cells: pa.Array, cause: str, why: str, instants: pa.Array | None = None) -> None:
        mine = pc.and_(cells, self.open)
        if _count(mine):
            self.settled.append(Settled(mine, cause, why, instants))
            self.open = pc.and_(self.open, pc.invert(mine))

    def empty(self) -> pa.Array:
        """NULL, and of counts 0, of lists and maps none: what nearly every question may give."""
        nothing = self.found.is_null(nan_is_null=pa.types.is_floating(self.found.type))
        if self.how.aggregate in ("count", "count_distinct"):
            nothing = pc.or_(nothing, pc.fill_null(pc.equal(self.found, 0), False))
        if self.how.dtype.is_list or self.how.dtype.is_map:
            nothing = pa.array([not value for value in self.found.to_pylist()], pa.bool_())
        return nothing

    def some_open(self, most: int) -> pa.Array:
        """The numbers of the first open cells."""
        return pc.indices_nonzero(self.open).cast(pa.int64()).slice(0, most)

    def at(self, cells: pa.Array, holds: pa.Array) -> pa.Array:
        """A mask over all cells from one over some of them, by their numbers."""
        chosen = cells.filter(pc.fill_null(holds, False))
        return pc.is_in(pa.arange(0, len(self.rows)), chosen)


def _count(mask: pa.Array) -> int:
    return pc.sum(mask, min_count=0).as_py() or 0


@dataclass(frozen=True)
class Group:
    """Features that one view computes, or one on-demand view. views: of each view they read, its parts with a history."""

    name: str
    wrong: Sequence[Wrong]
    views: Sequence[Sequence[Timed]]

    @property
    def latest(self) -> Iterator[tuple[Latest, Wrong]]:
        """Each latest feature, with its part."""
        for wrong in self.wrong:
            for part in (part for parts in self.views for part in parts):
                if isinstance(part, Latest) and any(o.name == wrong.feature for o in part.outputs):
                    yield part, wrong


def explain(asking: Asking, group: Group, seed: int = 0) -> None:
    """Give every wrong cell of a group its cause."""
    _by_ties(asking, group)
    if any(group.views):
        _by_whys(asking, group, seed)
        _by_facts(asking, group)
        _by_instants(asking, group)
    for wrong in group.wrong:
        wrong.settle(wrong.open, UNEXPLAINED, "")


def _by_ties(asking: Asking, group: Group) -> None:
    """Other facts of the event time that the truth has."""
    for part, wrong in group.latest:
        wrong.events = asking.events(wrong.feature, wrong.rows)
        cells = {"truth_event": wrong.events, "found": wrong.found}
        held = asking.holders(part, wrong.feature, wrong.rows, cells, tied=True)
        tied = pc.and_(held["tie_known"].is_valid().combine_chunks(), pc.invert(_expired(asking, part, wrong)))
        wrong.settle(tied, TIE, "of another fact of the same event time")


def _expired(asking: Asking, part: Latest, wrong: Wrong) -> pa.Array:
    """Where the truth is NULL because the newest fact is older than the ttl."""
    if part.ttl is None:
        return pa.repeat(pa.scalar(False), len(wrong.rows))
    at = asking.questions[AS_OF].take(wrong.rows).cast(pa.int64()).combine_chunks()
    return pc.fill_null(pc.greater(pc.subtract(at, wrong.events), part.ttl), False)


# Other questions.


def _by_whys(asking: Asking, group: Group, seed: int) -> None:
    every = _tried(group)
    for tried in ([one for one in every if not one[1].lag], [one for one in every if one[1].lag]):
        _try(asking, group, tried, seed)


def _try(asking: Asking, group: Group, tried: list[tuple[int, Why]], seed: int) -> None:
    rows = _open_rows(group)
    if not len(rows):
        return
    if len(rows) > SAMPLE:
        drawn = sorted(Random(f"audit {seed}").sample(range(len(rows)), SAMPLE))
        gives = _Gives(asking, group, rows.take(pa.array(drawn)), tried)
        tried = [why for why in tried if gives.explains_any(why)]
    gives = _Gives(asking, group, rows, tried)
    for wrong in group.wrong:
        _believe(wrong, tried, gives)


def _open_rows(group: Group) -> pa.Array:
    """The rows in which a feature of the group has a cell without a cause, ascending."""
    rows = pa.chunked_array([wrong.rows.filter(wrong.open) for wrong in group.wrong], pa.int64())
    found = pc.unique(rows)
    return found.take(pc.sort_indices(found))


def _tried(group: Group) -> list[tuple[int, Why]]:
    """(view, explanation) for every view; those that need no fact of a view once."""
    found: dict[tuple[int, str, str], tuple[int, Why]] = {}
    for number, parts in enumerate(group.views):
        spans = [o.window for part in parts if isinstance(part, Window) for o in part.outputs]
        windows = [span for span in spans if span is not None]
        latest = [part for part in parts if isinstance(part, Latest)]
        exact, ttl = any(p.facts.exact for p in parts), any(p.ttl is not None for p in latest)
        for why in whys(exact=exact, ttl=ttl, windows=windows, lifetime=None in spans, latest=bool(latest)):
            found.setdefault((number if why.landmark else -1, why.told, why.cause), (number, why))
    return list(found.values())


class _Gives:
    """What explanations give for some rows of a group, asked in as few builds as possible."""

    def __init__(self, asking: Asking, group: Group, rows: pa.Array, tried: Sequence[tuple[int, Why]]) -> None:
        self._asking, self._group, self._rows = asking, group, rows
        self._names = [wrong.feature for wrong in group.wrong]
        self._given: dict[tuple[int, Why], dict[str, pa.Array] | None] = {}
        self._masks: dict[tuple[str, int, Why], pa.Array] = {}
        self._asked_at: dict[tuple[int, Why], pa.Array] = {}
        self._marks = [asking.landmarks(parts[0], rows) if parts else {} for parts in group.views]
        self._ask(tried)

    def explains_any(self, tried: tuple[int, Why]) -> bool:
        return any(_count(pc.and_(self.mask(wrong, tried), wrong.open)) for wrong in self._group.wrong)

    def mask(self, wrong: Wrong, tried: tuple[int, Why]) -> pa.Array:
        """The cells of a feature whose value an explanation gives."""
        key = (wrong.feature, *tried)
        if key not in self._masks:
            self._masks[key] = self._mask(wrong, self._given.get(tried))
        return self._masks[key]

    def _mask(self, wrong: Wrong, given: dict[str, pa.Array] | None) -> pa.Array:
        if given is None:
            return pa.repeat(pa.scalar(False), len(wrong.rows))
        at = pc.index_in(wrong.rows, self._rows)
        unlike, _ = differs(wrong.found, given[wrong.feature].take(at), wrong.how)
        return pc.and_(at.is_valid(), pc.invert(unlike))

    def instants(self, wrong: Wrong, tried: tuple[int, Why]) -> pa.Array:
        """At which an explanation asks, per wrong cell of a feature."""
        return self._asked_at[tried].take(pc.index_in(wrong.rows, self._rows))

    def _ask(self, tried: Sequence[tuple[int, Why]]) -> None:
        most = max(1, AT_ONCE // len(self._rows))
        for _, together in groupby(sorted(tried, key=_rules), key=_rules):
            alike = list(together)
            for start in range(0, len(alike), most):
                self._ask_some(alike[start : start + most])

    def _ask_some(self, some: Sequence[tuple[int, Why]]) -> None:
        own = self._asking.questions[AS_OF].take(self._rows).cast(pa.int64()).combine_chunks()
        instants = [why.instants(own, self._marks[number]) for number, why in some]
        given = self._asking.answers(self._names, self._rows, [why for _, why in some], instants)
        if given is None and len(some) > 1:  # a sum overflows at some instant: ask one by one
            for one in some:
                self._ask_some([one])
            return
        for number, one in enumerate(some):
            self._given[one] = None if given is None else given[number]
            self._asked_at[one] = instants[number]


def _rules(tried: tuple[int, Why]) -> tuple[str, int, bool]:
    return tried[1].rules


def _believe(wrong: Wrong, tried: Sequence[tuple[int, Why]], gives: _Gives) -> None:
    """Of the explanations the one that explains most cells first; it also tells whether leaks are believed before others.

    Values that say nothing count where two explain as much, and are never a leak by themselves.
    """
    empty, left, leaking = wrong.empty(), list(tried), None
    while left:
        telling = pc.and_(wrong.open, pc.invert(empty))
        weights = [_weight(gives.mask(wrong, one), one[1], wrong.open, telling, leaking) for one in left]
        most = max(weights)
        if most[1] == 0:
            break
        best = left.pop(weights.index(most))
        leaking = best[1].is_leak if leaking is None else leaking
        mask = gives.mask(wrong, best)
        for one in tried if best[1].cause == FUTURE else ():
            if one[1].cause == LATE:  # what had happened by as_of did not exist only after it
                wrong.settle(pc.and_(mask, gives.mask(wrong, one)), LATE, one[1].told)
        wrong.settle(mask, best[1].cause, best[1].told, gives.instants(wrong, best))
    for one in left:
        if one[1].cause == STALE:
            wrong.settle(pc.and_(gives.mask(wrong, one), empty), STALE, one[1].told)


def _weight(mask: pa.Array, why: Why, left: pa.Array, telling: pa.Array, leaking: bool | None) -> tuple[bool, int, int]:
    """How much an explanation explains. leaking: whether those believed so far are leaks."""
    told = _count(pc.and_(mask, telling))
    return told > 0 and why.is_leak is leaking, told, _count(pc.and_(mask, left))


# Any fact, any instant.


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
            rows = _open_rows(Group(group.name, wrongs, ())).slice(0, SEARCHED)
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


__all__ = ["Group", "Settled", "Wrong", "explain"]
