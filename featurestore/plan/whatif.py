"""Plans that answer another question on purpose: what a value would be without one of the rules.

They are asked by those who look for the reason of a wrong value. Nothing here is proven free of leaks, and no training set is
ever built from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from featurestore.plan.nodes import Latest, Part, Settled, StaticLookup, TrainingSet, Visible, Window

Replan = Callable[[TrainingSet], TrainingSet]


def known_at_once(plan: TrainingSet) -> TrainingSet:
    """Every fact is as it is known now, and was so when it happened: created timestamps, delays and corrections ignored."""

    def settled(part: Part) -> Part:
        if isinstance(part, StaticLookup) or not isinstance(part.facts, Visible):
            return part
        return replace(part, facts=Settled(part.facts.facts, part.facts.exact))  # type: ignore[arg-type]

    return _with(plan, settled)


def without_ttl(plan: TrainingSet) -> TrainingSet:
    """No fact expires."""
    return _with(plan, lambda part: replace(part, ttl=None) if isinstance(part, Latest) else part)


def whole_history(plan: TrainingSet) -> TrainingSet:
    """Every window is the whole past, without an offset."""

    def lifetime(part: Part) -> Part:
        if not isinstance(part, Window):
            return part
        return replace(part, outputs=tuple(replace(o, window=None, offset=0) for o in part.outputs))

    return _with(plan, lifetime)


def twice_the_windows(plan: TrainingSet) -> TrainingSet:
    return _with_windows(plan, lambda length: 2 * length)


def half_the_windows(plan: TrainingSet) -> TrainingSet:
    return _with_windows(plan, lambda length: max(1, length // 2))


@cache
def with_windows(length: int) -> Replan:
    """Every window is so long, in microseconds. The same function for the same length."""

    def changed(plan: TrainingSet) -> TrainingSet:
        return _with_windows(plan, lambda _: length)

    changed.__name__ = f"with_windows_{length}"
    return changed


def _with_windows(plan: TrainingSet, change: Callable[[int], int]) -> TrainingSet:
    def changed(part: Part) -> Part:
        if not isinstance(part, Window):
            return part
        outputs = (o if o.window is None else replace(o, window=change(o.window)) for o in part.outputs)
        return replace(part, outputs=tuple(outputs))

    return _with(plan, changed)


def later(by: int) -> Replan:
    """Everything is asked so much later, in microseconds; or earlier."""

    def changed(plan: TrainingSet) -> TrainingSet:
        return _with(plan, lambda part: replace(part, spine=replace(part.spine, ahead=part.spine.ahead + by)))

    changed.__name__ = f"later_{by}"
    return changed


def only(instance: str, replan: Replan) -> Replan:
    """Another question of one view instance alone; the others are asked as they were."""

    def changed(plan: TrainingSet) -> TrainingSet:
        pairs = zip(plan.parts, replan(plan).parts, strict=True)
        return replace(plan, parts=tuple(other if part.instance == instance else part for part, other in pairs))

    changed.__name__ = f"{replan.__name__}_of_{instance}"
    return changed


def _with(plan: TrainingSet, change: Callable[[Part], Part]) -> TrainingSet:
    return replace(plan, parts=tuple(replace(part, part=change(part.part)) for part in plan.parts))


__all__ = [
    "Replan", "half_the_windows", "known_at_once", "later", "only", "twice_the_windows", "whole_history", "with_windows",
    "without_ttl",
]  # fmt: skip
