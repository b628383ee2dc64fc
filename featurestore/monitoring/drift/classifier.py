"""All features at once: can a classifier tell whether a row is of the reference or current?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.monitoring.drift.columns import Categories, Numbers
from featurestore.monitoring.drift.found import Test
from featurestore.monitoring.drift.p_values import library

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

ROWS = 10_000
"""Of either side, at most."""
FOLDS = 5
NAMES = 20
"""The most frequent categories of a feature that the classifier sees, each as a column."""
FARTHEST = 5.0
"""Standard deviations beyond which a number is taken for one that far away."""


def columns(reference: Numbers | Categories, current: Numbers | Categories) -> list[Array]:
    """What the classifier sees of a feature, reference rows first. What is decided from the rows (means, frequent names) is
    decided from both sides together."""
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        return _of_numbers(np.concatenate([reference.values, current.values]), np.concatenate([reference.null, current.null]))
    assert isinstance(reference, Categories)
    assert isinstance(current, Categories)
    codes = np.concatenate([reference.codes, current.codes])
    counted = np.bincount(codes + 1)
    often = np.argsort(-counted, kind="stable")[:NAMES]
    return [x for code in often if counted[code] and _varies(x := (codes + 1 == code).astype(np.float64))]


def _of_numbers(values: Array, null: Array) -> list[Array]:
    there = ~null & np.isfinite(values)
    found = [x for x in (null.astype(np.float64), (~there & ~null).astype(np.float64)) if _varies(x)]
    if not there.any():
        return found
    scale = float(np.max(np.abs(values[there]))) or 1.0  # so that no square leaves a double
    scaled = values[there] / scale
    mean, std = float(scaled.mean()), float(scaled.std())
    if not std > 0:
        return found
    standard = np.zeros(len(values))
    standard[there] = np.clip((scaled - mean) / std, -FARTHEST, FARTHEST)
    return [standard, *found]


def _varies(column: Array) -> bool:
    return bool(column.min() != column.max()) if len(column) else False


def auc(seen: Sequence[Array], reference: int, current: int, seed: int) -> Test:
    """Cross-validated AUC of logistic regression, and its p.

    In each fold the rows held out are scored by a model that never saw them, so that without drift their order by score is
    any order: one-sided Mann–Whitney. The folds share training rows, so their p are joined by what holds for any
    dependence: twice their median. Raises: UsageError FS391.
    """
    linear, selection = library("sklearn.linear_model"), library("sklearn.model_selection")
    rows, side = np.column_stack(seen), np.repeat([0, 1], [reference, current])
    folds = selection.StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    areas, ps = [], []
    with library("threadpoolctl").threadpool_limits(1, "blas"):  # the same bits on any number of cores, and sooner so
        for train, test in folds.split(rows, side):
            model = linear.LogisticRegression(C=0.1, max_iter=200, tol=1e-3).fit(rows[train], side[train])
            score = model.decision_function(rows[test])
            area, p = mann_whitney(score[side[test] == 0], score[side[test] == 1])
            areas.append(area)
            ps.append(p)
    area = float(np.mean(areas))
    return Test(name="auc", statistic=area, effect=area, p=min(1.0, 2 * float(np.median(ps))))


def mann_whitney(low: Array, high: Array) -> tuple[float, float]:
    """(share of pairs in which `high` is greater, ties half; p that it is so great by chance)."""
    found = library("scipy.stats").mannwhitneyu(high, low, alternative="greater", method="asymptotic")
    p = float(found.pvalue)
    return float(found.statistic) / (len(low) * len(high)), 1.0 if np.isnan(p) else p
