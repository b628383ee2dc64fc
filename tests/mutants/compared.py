"""Stories of `drift` and `performance`: what alerts, what does not, and which labels may be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from featurestore.monitoring.drift import categories, compare
from featurestore.monitoring.drift.numbers import Values, _of_values, edges, shares
from featurestore.monitoring.drift.p_values import holm
from featurestore.monitoring.drift.p_values import shares as p_of_shares
from featurestore.monitoring.drift.sides import drawn
from featurestore.monitoring.performance import Wanted, auc, performance

DAY = 86_400 * 10**6


def _chance_is_corrected_for_all_tests(folder: Path) -> None:
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]


def _few_hits_are_no_proof(folder: Path) -> None:
    assert p_of_shares((0, 1), (100, 100)) == 1.0
    assert 0.02 < p_of_shares((0, 6), (100, 100)) < 0.04


def _distance_counts_ties_once(folder: Path) -> None:
    apart = _of_values(Values(np.array([0.0, 0.0, 1.0])), Values(np.array([0.0, 1.0, 1.0, 1.0])))
    assert (round(apart.ks, 9), round(apart.wasserstein or 0, 9)) == (round(5 / 12, 9), round(5 / 12, 9))


def _a_frequent_value_has_a_bin(folder: Path) -> None:
    side = Values(np.sort(np.r_[np.zeros(60), np.arange(1, 41), -np.arange(1, 41)].astype(float)))
    assert round(float(max(shares(side, edges(side)))), 3) == round(60 / 140, 3)


def _rare_categories_are_told_by_both_sides(folder: Path) -> None:
    counts = np.array([50, 40, 1, 0]), np.array([50, 41, 6, 2])
    swapped = categories.chi_square(counts[1], counts[0], with_p=False)
    found = categories.chi_square(*counts, with_p=False)
    assert found.statistic is not None
    assert swapped.statistic is not None
    assert abs(found.statistic - swapped.statistic) < 1e-9


def _what_matters_alerts(folder: Path) -> None:
    """0.2 standard deviations do, a trifle of a million rows does not, and a threshold replaces what it is about alone."""
    rng = np.random.default_rng(1)
    usual, gaps = rng.normal(size=10_000), np.arange(10_000) % 20 == 0
    moved = pa.array(rng.normal(0.2, size=10_000), mask=gaps)
    sides = pa.table({"x": usual}), pa.table({"x": moved})
    assert _alerts(compare(*sides, tests=True)) == {"ks", "null_rate"}
    assert _alerts(compare(*sides, thresholds={"x": {"psi": 9.0}})) == {"null_rate"}
    assert _alerts(compare(*sides, thresholds={"x": {"psi": 0.01}}, tests=False)) == {"psi"}
    assert _alerts(compare(*sides, thresholds={"x": {"chi_square": 9.0}})) == {"ks", "null_rate"}
    many = rng.normal(size=300_000)
    assert not _alerts(compare(pa.table({"x": many}), pa.table({"x": rng.normal(0.03, size=300_000)})))


def _alerts(found: object) -> set[str]:
    return {test.name for f in found.features if f.name == "x" for test in f.alerts}  # type: ignore[attr-defined]


def _a_draw_is_drawn(folder: Path) -> None:
    rows = drawn(10_000, 100, 1)
    assert len(set(rows.tolist())) == 100
    assert 3_000 < rows.mean() < 7_000


def _only_settled_days_are_judged(folder: Path) -> None:
    columns = [pa.chunked_array([values]) for values in (pa.array([0.1, 0.9, 0.5, 0.5]), pa.array([False, True, True, None]))]
    at = np.array([0, 1, DAY, DAY + 5], np.int64)
    names = {"service": "s", "label": "y", "score": "p"}
    found = performance(at, *columns, DAY + 4, Wanted(min_rows=1), names=names)
    assert [day.status for day in found.days] == ["ok", "skipped"]
    assert [day.status for day in performance(at, *columns, DAY + 5, Wanted(min_rows=1), names=names).days] == ["ok", "ok"]


def _ties_are_half_a_pair(folder: Path) -> None:
    assert auc(np.array([0.5, 0.5, 0.7]), np.array([1.0, 0.0, 0.0])) == 0.25


COMPARED: Mapping[str, Callable[[Path], None]] = {
    f"compared-{story.__name__.strip('_')}": story
    for story in (
        _chance_is_corrected_for_all_tests,
        _few_hits_are_no_proof,
        _distance_counts_ties_once,
        _a_frequent_value_has_a_bin,
        _rare_categories_are_told_by_both_sides,
        _what_matters_alerts,
        _a_draw_is_drawn,
        _only_settled_days_are_judged,
        _ties_are_half_a_pair,
    )
}
