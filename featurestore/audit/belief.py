"""Try explanations on the wrong cells of a group, and believe those that explain most.

Of more than SAMPLE wrong rows a sample shows first which explanations explain anything; only those are tried on all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.columns import differs
from featurestore.audit.findings import FUTURE, LATE, STALE
from featurestore.audit.judged import AS_OF
from featurestore.audit.reask import Asking
from featurestore.audit.whys import Why
from featurestore.audit.wrong import Group, Wrong, count, open_rows

SAMPLE = 20_000
AT_ONCE = 2_000_000
"""How many rows one build is asked for at most."""
FEW, SOME = 20, 3
"""Among fewer wrong cells nothing tells chance from reason; and so many must share a reason that is far-fetched."""


@dataclass(frozen=True)
class Tried:
    """An explanation, and the number of the group's view whose facts it looks at."""

    view: int
    why: Why


def believe(asking: Asking, group: Group, tried: Sequence[Tried], seed: int) -> None:
    """Settle the open cells of a group that some of the explanations explain."""
    rows = open_rows(group.wrong)
    if not len(rows) or not tried:
        return
    if len(rows) > SAMPLE:
        drawn = sorted(Random(f"audit {seed}").sample(range(len(rows)), SAMPLE))
        gives = _Gives(asking, group, rows.take(pa.array(drawn)), tried)
        tried = [one for one in tried if gives.explains_any(one)]
    gives = _Gives(asking, group, rows, tried)
    for wrong in group.wrong:
        _believe(wrong, tried, gives)


class _Gives:
    """What explanations give for some rows of a group, asked in as few builds as possible."""

    def __init__(self, asking: Asking, group: Group, rows: pa.Array, tried: Sequence[Tried]) -> None:
        self._asking, self._group, self._rows = asking, group, rows
        self._own = asking.questions[AS_OF].take(rows).cast(pa.int64()).combine_chunks()
        self._names = [wrong.feature for wrong in group.wrong]
        self._given: dict[Tried, dict[str, pa.Array] | None] = {}
        self._masks: dict[tuple[str, Tried], pa.Array] = {}
        self._asked_at: dict[Tried, pa.Array] = {}
        self._marks = [asking.landmarks(parts[0], rows) if parts else {} for parts in group.views]
        self._ask([one for one in tried if not any(one.why in wrong.known for wrong in group.wrong)])

    def explains_any(self, tried: Tried) -> bool:
        return any(count(pc.and_(self.mask(wrong, tried), wrong.open)) for wrong in self._group.wrong)

    def mask(self, wrong: Wrong, tried: Tried) -> pa.Array:
        """The cells of a feature whose value an explanation gives."""
        if tried.why in wrong.known:
            return wrong.known[tried.why]
        key = (wrong.feature, tried)
        if key not in self._masks:
            self._masks[key] = self._mask(wrong, tried)
        return self._masks[key]

    def _mask(self, wrong: Wrong, tried: Tried) -> pa.Array:
        given = self._given.get(tried)
        if given is None:
            return pa.repeat(pa.scalar(False), len(wrong.rows))
        at = pc.index_in(wrong.rows, self._rows)
        values = given[wrong.feature].take(at)
        unlike, _ = differs(wrong.found, values, wrong.how)
        if (wrong.how.aggregate or "").startswith("time_since"):  # measured from as_of to what another instant finds
            late = pc.subtract(self._asked_at[tried], self._own).take(at)
            since, _ = differs(wrong.found, pc.subtract(values, late), wrong.how)
            unlike = pc.and_(unlike, since)
        applies = self._asked_at[tried].is_valid().take(at)
        return pc.and_(pc.fill_null(applies, False), pc.invert(unlike))

    def is_chance(self, wrong: Wrong, tried: Tried, cells: pa.Array) -> bool:
        """Whether an explanation gives about as many of the cells as it would give if each had the value of the next."""
        given, numbers = self._given.get(tried), pc.indices_nonzero(cells)
        if given is None or len(numbers) < FEW:
            return False
        values = given[wrong.feature].take(pc.index_in(wrong.rows.take(numbers), self._rows))
        turned = pa.concat_arrays([numbers.slice(1), numbers.slice(0, 1)])
        unlike, _ = differs(wrong.found.take(turned), values, wrong.how)
        chance = len(numbers) - count(unlike)
        return bool(count(pc.and_(self.mask(wrong, tried), cells)) <= 1.3 * chance + 3 * chance**0.5)

    def instants(self, wrong: Wrong, tried: Tried) -> pa.Array | None:
        """At which an explanation asks, per wrong cell of a feature; NULL where it does not apply."""
        at = self._asked_at.get(tried)
        return None if at is None else at.take(pc.index_in(wrong.rows, self._rows))

    def _ask(self, tried: Sequence[Tried]) -> None:
        most = max(1, AT_ONCE // len(self._rows))
        for _, together in groupby(sorted(tried, key=_rules), key=_rules):
            alike = list(together)
            for start in range(0, len(alike), most):
                self._ask_some(alike[start : start + most])

    def _ask_some(self, some: Sequence[Tried]) -> None:
        instants = [one.why.instants(self._own, self._marks[one.view]) for one in some]
        given = self._asking.answers(self._names, self._rows, [one.why for one in some], instants)
        if given is None and len(some) > 1:  # a sum overflows at some instant: ask one by one
            for one in some:
                self._ask_some([one])
            return
        for number, one in enumerate(some):
            self._given[one] = None if given is None else given[number]
            self._asked_at[one] = instants[number]


def _rules(tried: Tried) -> tuple[str, int, bool]:
    return tried.why.rules


def _believe(wrong: Wrong, tried: Sequence[Tried], gives: _Gives) -> None:
    """The explanation that explains most cells first; it also tells whether leaks are believed before other causes.

    Values that say nothing count where two explain as much, and are never a leak by themselves. A leak has to explain more
    than chance would, and where the column goes wrong for another reason more than a FEW; what is far away more than SOME.
    """
    empty, left = wrong.empty(), list(tried)
    while left:
        telling = pc.and_(wrong.open, pc.invert(empty))
        weights = [_weight(gives.mask(wrong, one), one.why, wrong, telling) for one in left]
        most = max(weights)
        if most[1] == 0:
            break
        best = left.pop(weights.index(most))
        if _is_doubtful(best, most[1], wrong, telling, gives):
            continue
        wrong.leaking = best.why.is_leak if wrong.leaking is None else wrong.leaking
        _settle(wrong, best, tried, gives)
    for one in left:
        if one.why.cause == STALE:
            wrong.settle(pc.and_(gives.mask(wrong, one), empty), STALE, one.why.told)


def _is_doubtful(best: Tried, cells: int, wrong: Wrong, telling: pa.Array, gives: _Gives) -> bool:
    if best.why.far and cells < SOME:
        return True
    return best.why.is_leak and (gives.is_chance(wrong, best, telling) or (wrong.leaking is False and cells < FEW))


def _weight(mask: pa.Array, why: Why, wrong: Wrong, telling: pa.Array) -> tuple[bool, int, int]:
    told = count(pc.and_(mask, telling))
    return told > 0 and why.is_leak is wrong.leaking, told, count(pc.and_(mask, wrong.open))


def _settle(wrong: Wrong, best: Tried, tried: Sequence[Tried], gives: _Gives) -> None:
    """What had happened by as_of did not exist only after it, even if a later instant gives it too."""
    mask = gives.mask(wrong, best)
    for one in tried if best.why.cause == FUTURE else ():
        if one.why.cause == LATE:
            wrong.settle(pc.and_(mask, gives.mask(wrong, one)), LATE, one.why.told)
    wrong.settle(mask, best.why.cause, best.why.told, gives.instants(wrong, best))


__all__ = ["Tried", "believe"]
