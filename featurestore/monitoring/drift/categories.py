"""Categories of two sides: counts of the same names, in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.monitoring.drift import p_values
from featurestore.monitoring.drift.found import Test
from featurestore.monitoring.drift.numbers import jensen_shannon, psi

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

LEAST_EXPECTED = 5
SHOWN = 12
LONGEST = 40
"""Characters of a category that are shown."""


def tests(before: Array, after: Array, *, with_p: bool, complete: bool) -> list[Test]:
    """The measures of counts by category, of two sides that both have values. complete: False where a side does not know all
    its categories, so that what is new cannot be told."""
    found = [chi_square(before, after, with_p=with_p)]
    grouped = [_grouped(counts, _common(before, after)) for counts in (before, after)]
    found += [Test(name="psi", effect=psi(*grouped)), Test(name="js", effect=jensen_shannon(*grouped))]
    return [*found, new(before, after, with_p=with_p)] if complete else found


def chi_square(before: Array, after: Array, *, with_p: bool) -> Test:
    """Of independence of side and category. effect: Cramér's V of sides of one size with these shares: the same difference is
    as great however many rows either side has. p is None with one category alone."""
    counts = np.array([_grouped(side, _common(before, after)) for side in (before, after)], float)
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return Test(name="chi_square", statistic=0.0, effect=0.0)
    whole = counts.sum()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / whole
    statistic = float(((counts - expected) ** 2 / expected).sum())
    p = p_values.chi_square(statistic, counts.shape[1] - 1) if with_p else None
    first, second = counts / counts.sum(axis=1, keepdims=True)
    effect = float((((first - second) ** 2 / (first + second)).sum() / 2) ** 0.5)
    return Test(name="chi_square", statistic=statistic, effect=effect, p=p)


def new(before: Array, after: Array, *, with_p: bool) -> Test:
    """The share of current values whose category the reference lacks; p: of the most frequent of these."""
    unseen = after[before == 0]
    share = float(unseen.sum() / after.sum())
    p = None
    if with_p:
        categories, most = int(((before + after) > 0).sum()), int(unseen.max(initial=0))
        p = p_values.unseen(most, int(before.sum()), int(after.sum()), categories) if most else 1.0
    return Test(name="new_categories", statistic=share, effect=share, p=p)


def _common(before: Array, after: Array) -> Array:
    """Which categories stand for themselves: at least LEAST_EXPECTED values are expected on either side. Both sides together
    decide, so that a category does not get its place by being more frequent on one."""
    together = before + after
    smaller = min(before.sum(), after.sum()) / together.sum()
    common: Array = together * smaller >= LEAST_EXPECTED
    return common


def _grouped(counts: Array, common: Array) -> Array:
    """The common categories, and all others as one (which may be none)."""
    return np.append(counts[common], counts[~common].sum())


def shown(names: Sequence[str], before: Array, after: Array) -> dict[str, Any]:
    """The shares of the most frequent categories of both sides together, and of all others."""
    together = before / max(before.sum(), 1) + after / max(after.sum(), 1)
    first = np.argsort(-together, kind="stable")[:SHOWN]
    first = first[together[first] > 0]
    told: dict[str, list[Any]] = {"names": [_short(names[n]) for n in first]}
    for side, counts in (("reference", before), ("current", after)):
        told[side] = [round(float(counts[n] / max(counts.sum(), 1)), 6) for n in first]
    if (together > 0).sum() > len(first):
        told["names"].append("(others)")
        for side in ("reference", "current"):
            told[side].append(round(max(0.0, 1 - sum(told[side])), 6))
    return told


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
