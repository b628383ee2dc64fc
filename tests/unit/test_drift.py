"""Drift: every measure beside scipy or a slow computation, the level of false alarms, power, and what must not alert."""

from __future__ import annotations

import importlib
import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from featurestore.errors import FeatureStoreError
from featurestore.monitoring.drift import Windows, compare, p_values, sides
from featurestore.monitoring.drift import categories as cats
from featurestore.monitoring.drift import numbers as nums
from featurestore.monitoring.drift.asked import parsed
from featurestore.monitoring.drift.classifier import mann_whitney
from featurestore.monitoring.drift.html import page
from featurestore.monitoring.drift.numbers import Values
from featurestore.monitoring.drift.sides import bound, open_file
from featurestore.monitoring.results import OK, SKIPPED
from featurestore.profiles import Profile

DAY = 86_400 * 10**6


def effects(found, name):
    (feature,) = [f for f in found.features if f.name == name]
    return feature.effects


def said(found):
    return {f.name: (f.status, f.what) for f in found.features}


# Every measure beside another computation of it.

DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "ties": lambda rng, n: rng.integers(0, 4, n).astype(float),
    "many_zeros": lambda rng, n: np.where(rng.random(n) < 0.9, 0.0, rng.exponential(size=n)),
    "heavy": lambda rng, n: rng.standard_cauchy(n),
    "one_value": lambda rng, n: np.full(n, 3.0),
    "huge": lambda rng, n: rng.normal(size=n) * 1e300,
}


@pytest.mark.parametrize("first", DRAWS)
@pytest.mark.parametrize("second", DRAWS)
def test_distances_of_numbers_are_those_of_scipy(first, second):
    rng = np.random.default_rng(7)
    a, b = np.sort(DRAWS[first](rng, 211)), np.sort(DRAWS[second](rng, 97))
    apart = nums._of_values(Values(a), Values(b))
    assert apart.ks == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-12)
    expected = stats.wasserstein_distance(a, b)
    assert apart.wasserstein is None if not math.isfinite(expected) else apart.wasserstein == pytest.approx(expected, rel=1e-9)


def test_infinite_values_are_values_and_have_no_distance():
    a, b = np.array([-np.inf, 0.0, 1.0, np.inf]), np.array([0.0, 1.0, np.inf, np.inf])
    apart = nums._of_values(Values(a), Values(b))
    assert (apart.ks, apart.wasserstein) == (0.25, None)


def test_psi_and_jensen_shannon_beside_a_slow_computation():
    rng = np.random.default_rng(1)
    for _ in range(30):
        a, b = (np.sort(rng.choice(DRAWS["many_zeros"](rng, 50), 300)) for _ in range(2))
        reference, current = Values(a), Values(b)
        ends = [-math.inf, *nums.edges(reference), math.inf]
        counts = [[sum(low < x <= high for x in side) for low, high in pairwise(ends)] for side in (a, b)]
        found = [side.n * nums.shares(side, nums.edges(reference)) for side in (reference, current)]
        assert np.allclose(counts, found)
        smooth = [[(c + 0.5) / (300 + 0.5 * len(side)) for c in side] for side in counts]
        psi = sum((q - p) * math.log(q / p) for p, q in zip(*smooth, strict=True))
        assert nums.psi(*map(np.array, found)) == pytest.approx(psi)
        assert nums.jensen_shannon(*found) == pytest.approx(jensenshannon(*counts, base=2), abs=1e-7)


def test_a_value_with_more_than_a_tenth_of_the_rows_has_a_bin_of_its_own():
    reference = Values(np.sort(np.r_[np.zeros(500), np.arange(-250, 0), np.arange(1, 251)].astype(float)))
    shares = nums.shares(reference, nums.edges(reference))
    assert max(shares) == pytest.approx(0.5)


def test_chi_square_is_that_of_scipy_with_rare_categories_together():
    rng = np.random.default_rng(2)
    for _ in range(30):
        a, b = rng.multinomial(400, rng.dirichlet(np.ones(6))), rng.multinomial(250, rng.dirichlet(np.ones(6)))
        common = (a + b) * 250 / 650 >= 5
        both = np.array([[*side[common], side[~common].sum()] for side in (a, b)])
        both = both[:, both.sum(axis=0) > 0]
        expected = stats.chi2_contingency(both, correction=False)
        found = cats.chi_square(a, b, with_p=True)
        assert found.statistic == pytest.approx(expected.statistic)
        assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
        alike = np.array([both[0] * 250, both[1] * 400])
        assert found.effect == pytest.approx(stats.contingency.association(alike, method="cramer"))


def test_a_difference_of_categories_is_as_great_beside_many_rows_as_beside_few():
    few = pa.table({"c": ["a"] * 800 + ["b"] * 200})
    for rows in (1_000, 200_000):
        found = compare(pa.table({"c": ["a", "b"] * (rows // 2)}), few, features=["c"])
        assert "chi_square" in [t.name for f in found.alerts if f.name == "c" for t in f.alerts]
        assert effects(found, "c")["chi_square"] == pytest.approx(0.3145, abs=1e-4)


def test_p_of_ks_is_not_below_the_exact_one():
    for n, m in ((100, 100), (120, 300), (250, 250)):
        rng = np.random.default_rng(n)
        for shift in (0.0, 0.1, 0.3):
            a, b = rng.normal(size=n), rng.normal(shift, size=m)
            exact = stats.ks_2samp(a, b, method="exact")
            assert p_values.kolmogorov(exact.statistic, n, m) >= 0.97 * exact.pvalue


def test_p_of_shares_is_twice_the_smaller_tail_of_fisher():
    for hits, rows in (((3, 9), (100, 120)), ((0, 7), (5_000, 5_000)), ((40, 40), (100, 100)), ((500, 620), (10_000, 9_000))):
        table = [[h, r - h] for h, r in zip(hits, rows, strict=True)]
        tails = [stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
        assert p_values.shares(hits, rows) == pytest.approx(min(1.0, 2 * min(tails)))
        assert p_values.shares(hits, rows) >= stats.fisher_exact(table).pvalue * (1 - 1e-9)


def test_holm_beside_its_definition():
    rng = np.random.default_rng(3)
    for _ in range(50):
        ps = list(rng.random(8) ** 3)
        adjusted = p_values.holm(ps)
        for alpha in (0.01, 0.05, 0.2):
            order, rejected = sorted(range(8), key=ps.__getitem__), set()
            for place, number in enumerate(order):
                if ps[number] > alpha / (8 - place):
                    break
                rejected.add(number)
            assert {n for n, p in enumerate(adjusted) if p <= alpha} == rejected
    assert p_values.holm([]) == []


def test_area_of_the_classifier_is_a_share_of_pairs():
    area, p = mann_whitney(np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0]))
    assert area == (1 + 0.5 + 0.5 + 3) / 6
    assert 0 < p < 0.5
    assert mann_whitney(np.zeros(5), np.zeros(5)) == (0.5, 1.0)


def test_the_spread_of_huge_values_is_no_infinity():
    values = np.array([-1.5e308, -1e308, 1e308, 1.5e308])
    assert Values(values).std == pytest.approx(np.std(values / 1e308) * 1e308)
    assert Values(np.r_[-np.inf, values, np.inf]).std == Values(values).std
    assert Values(np.full(9, 0.1)).std == 0.0


# The level of false alarms, and power.


def same(rng, n):
    """Rows of one distribution, of every kind of feature."""
    names = np.array([f"c{i}" for i in range(300)])
    return pa.table({
        "normal": rng.normal(size=n), "heavy": rng.standard_cauchy(n), "count": rng.poisson(0.3, n),
        "zeros": np.where(rng.random(n) < 0.8, 0.0, rng.exponential(size=n)),
        "gaps": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.03),
        "nans": np.where(rng.random(n) < 0.02, np.nan, rng.normal(size=n)),
        "few": names[rng.integers(0, 4, n)], "many": names[np.minimum(rng.geometric(0.05, n), 299)],
        "flag": pa.array(rng.random(n) < 0.01), "id": [str(x) for x in rng.integers(0, 10**9, n)],
    })  # fmt: skip


def false_alarms(runs, alpha, rows):
    """Of comparisons of samples of one distribution: those with any p below alpha, with any adjusted p, and that alert."""
    plain = adjusted = alerts = 0
    for seed in range(runs):
        rng = np.random.default_rng(1000 + seed)
        found = compare(same(rng, rows), same(rng, rows + 57), alpha=alpha, seed=seed)
        tests = [test for feature in found.features for test in feature.tests if test.p is not None]
        plain += min(test.p for test in tests) < alpha
        adjusted += min(test.p_adjusted for test in tests) < alpha
        alerts += not found.ok
    return plain, adjusted, alerts


def most(runs, alpha):
    """What a test of that level exceeds once in ten thousand."""
    return int(stats.binom.ppf(0.9999, runs, alpha))


def test_false_alarms_are_not_more_than_declared():
    """Without the correction they would be: of so many tests some p is often below alpha."""
    plain, adjusted, alerts = false_alarms(20, 0.1, 300)
    assert alerts <= adjusted <= most(20, 0.1) < plain


@pytest.mark.slow
def test_false_alarms_are_not_more_than_declared_in_many_comparisons():
    plain, adjusted, alerts = false_alarms(800, 0.05, 400)
    assert alerts <= adjusted <= most(800, 0.05) < plain


def missed(runs):
    """Of comparisons in which one feature of eleven lies 0.2 standard deviations higher, n = 10,000: those that miss it."""
    kinds = [
        lambda rng: rng.normal(size=10_000), lambda rng: rng.exponential(size=10_000),
        lambda rng: rng.uniform(0, 12**0.5, 10_000), lambda rng: (rng.random(10_000) < 0.5) * 2.0,
    ]  # fmt: skip
    wrong = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        draw = kinds[seed % len(kinds)]
        columns = [{f"f{i}": rng.normal(size=10_000) for i in range(10)} for _ in range(2)]
        found = compare(
            pa.table({**columns[0], "moved": draw(rng)}), pa.table({**columns[1], "moved": draw(rng) + 0.2}), seed=seed
        )
        wrong += "moved" not in [f.name for f in found.alerts]
    return wrong


def test_a_shift_of_a_fifth_of_a_standard_deviation_is_found():
    assert missed(8) == 0


@pytest.mark.slow
def test_a_shift_of_a_fifth_of_a_standard_deviation_is_found_99_times_of_100():
    assert missed(300) <= 3


@pytest.mark.parametrize("before, after", [(0.05, 0.07), (0.01, 0.03)])
def test_a_rare_flag_that_becomes_more_frequent_is_found_as_number_and_as_category(before, after):
    rng = np.random.default_rng(4)
    flags = [rng.random(10_000) < share for share in (before, after)]
    tables = [pa.table({"number": f.astype(float), "flag": f}) for f in flags]
    alerts = {f.name: [t.name for t in f.alerts] for f in compare(*tables).alerts}
    assert (after < 0.05) == ("number" in alerts)
    if "number" in alerts:
        assert alerts["number"] == alerts["flag"] == ["chi_square"]


# What is planted is found.


def test_nulls_new_categories_and_all_features_together_are_found():
    rng = np.random.default_rng(8)
    n = 4_000
    base = {f"f{i}": rng.normal(size=2 * n) for i in range(60)}
    name = np.where(rng.random(2 * n) < 0.5, "a", "b").astype(object)
    before = pa.table({**{k: v[:n] for k, v in base.items()}, "gap": rng.normal(size=n), "name": list(name[:n])})
    name[n : n + 60] = "new"
    gap = pa.array(rng.normal(size=n), mask=rng.random(n) < 0.05)
    after = pa.table({**{k: v[n:] + 0.04 for k, v in base.items()}, "gap": gap, "name": list(name[n:])})
    found = compare(before, after)
    alerts = {f.name: [t.name for t in f.alerts] for f in found.alerts}
    assert alerts["*"] == ["auc"]
    assert alerts["gap"] == ["null_rate"]
    assert "new_categories" in alerts["name"]
    assert not [name for name in alerts if name.startswith("f")], "none of them by itself"


def test_a_trifle_is_no_alert_however_sure_it_is():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=400_000), rng.normal(0.03, size=400_000)
    found = compare(pa.table({"x": a}), pa.table({"x": b}))
    (x,) = [f for f in found.features if f.name == "x"]
    assert min(t.p_adjusted for t in x.tests if t.p is not None) < 1e-20
    assert x.status == OK


# What must neither fail nor alert.


def odd(n, other):
    """Columns that have little to compare. other: the second side."""
    base = datetime(2026, 1, 1, tzinfo=UTC)
    return pa.table({
        "constant": np.full(n, 7.5), "nulls": pa.nulls(n), "typed_nulls": pa.nulls(n, pa.float64()), "nan": np.full(n, np.nan),
        "one": ["x"] * n, "flag": [True] * n, "infinite": np.where(np.arange(n) % 2, np.inf, -np.inf),
        "huge": pa.array([2**63 - 1 - i % 3 for i in range(n)], pa.int64()), "nothing": [""] * n,
        "list": [[i % 3] for i in range(n)], "when": [base + timedelta(days=i % 9 + 400 * other) for i in range(n)],
        "day": [date(2026 + other, 1, 1 + i % 9) for i in range(n)], "money": [Decimal(i % 50) / 10 for i in range(n)],
        "coded": pa.array([f"k{i % 5}" for i in range(n)]).dictionary_encode(), "struct": [{"a": i % 2} for i in range(n)],
        "both": pa.array([None if i % 4 == 0 else math.nan if i % 4 == 1 else 1.0 for i in range(n)]),
        "unlike": pa.array([str(i % 7) for i in range(n)]) if other else pa.array([i % 7 for i in range(n)]),
        "wider": pa.array([i % 90 for i in range(n)], pa.int64() if other else pa.float64()),
        "tiny": np.arange(n) % 77 * 5e-324, ("only_after" if other else "only_before"): np.arange(n),
    })  # fmt: skip


@pytest.mark.parametrize("rows", [(0, 0), (0, 500), (500, 0), (1, 1), (99, 500), (500, 700), (700, 500)])
def test_columns_with_little_to_compare_neither_fail_nor_alert(rows):
    for tests in (True, False):
        found = compare(odd(rows[0], 0), odd(rows[1], 1), tests=tests)
        assert found.ok, [(f.name, f.what) for f in found.alerts]
        for f in found.features:
            assert f.status == SKIPPED or min(rows) >= 100
        json.dumps([found.to_json(), *(r.to_json() for r in found.results(0, "service", "s"))], allow_nan=False)
        assert "Nothing alerts" in page(found)


def test_what_is_not_compared_is_told():
    told = said(compare(odd(500, 0), odd(700, 1)))
    assert told["only_before"] == (SKIPPED, "only in the reference")
    assert told["only_after"] == (SKIPPED, "only in the current rows")
    assert told["unlike"] == (OK, "int64 in the reference, string in the current rows: NULL alone is compared")
    assert told["wider"] == (OK, "double in the reference, int64 in the current rows")
    assert told["nan"] == (OK, "0 values in the reference, 100 needed")
    assert told["when"] == (OK, "of this type NULL alone is compared")
    assert said(compare(odd(500, 0), odd(99, 1)))["constant"] == (SKIPPED, "99 rows in the current rows, 100 needed")
    disjoint = compare(pa.table({"a": [1.0] * 200}), pa.table({"b": [1.0] * 200}))
    assert {f.status for f in disjoint.features} == {SKIPPED}


def test_another_constant_is_drift():
    found = compare(pa.table({"x": np.full(500, 1.0), "y": ["a"] * 500}), pa.table({"x": np.full(500, 2.0), "y": ["b"] * 500}))
    assert {f.name for f in found.alerts} == {"x", "y", "*"}


# Thresholds.


def test_a_threshold_replaces_the_default_of_what_it_is_about_and_of_nothing_else():
    rng = np.random.default_rng(10)
    before = pa.table({"x": rng.normal(size=2_000), "y": rng.normal(size=2_000)})
    gaps = pa.array(rng.normal(1, size=2_000), mask=rng.random(2_000) < 0.2)
    after = pa.table({"x": gaps, "y": rng.normal(1, size=2_000)})

    def alerts(**thresholds):
        return {
            f.name: [t.name for t in f.alerts] for f in compare(before, after, thresholds=thresholds).alerts if f.name != "*"
        }

    assert alerts() == {"x": ["ks", "null_rate"], "y": ["ks"]}
    assert alerts(x={"psi": 9.0}) == {"x": ["null_rate"], "y": ["ks"]}
    assert alerts(x={"psi": 0.1, "null_rate": 0.5}) == {"x": ["psi"], "y": ["ks"]}
    assert alerts(**{"*": {"ks": 0.9, "null_rate": 0.1}}, y={"ks": 0.1}) == {"x": ["null_rate"], "y": ["ks"]}


def test_a_threshold_of_what_is_not_measured_replaces_nothing_and_says_so():
    before, after = pa.table({"c": ["a", "b"] * 500}), pa.table({"c": ["a", "a"] * 500})
    for thresholds in ({"c": {"ks": 0.9}}, {"*": {"ks": 0.9}}):
        found = compare(before, after, thresholds=thresholds)
        assert [(f.name, [t.name for t in f.alerts]) for f in found.alerts if f.name != "*"] == [("c", ["chi_square"])]
        assert [note.partition(":")[0] for note in found.notes] == ["threshold c.ks has no effect"] * ("c" in thresholds)
    flat, varied = pa.table({"x": [1.0] * 500}), pa.table({"x": [1.0, 2.0] * 250})
    found = compare(flat, varied, thresholds={"x": {"wasserstein_std": 0.5}})
    assert "ks" in [t.name for f in found.alerts if f.name == "x" for t in f.alerts]
    windows = Windows(DAY, DAY, False)
    early = [*range(3), *range(DAY, DAY + 200)]
    some = pa.table({"x": [0.0, *np.linspace(0, 1, 202)], "as_of": pa.array(early, pa.timestamp("us", "UTC"))})
    found = compare(some, some, thresholds={"x": {"psi": 0.2}, "*": {"null_rate": 0.1}}, windows=windows)
    assert not [note for note in found.notes if "no effect" in note], found.notes


def test_that_nothing_could_be_compared_is_told_to_machines_too():
    assert "nothing could be compared" in compare(pa.table({"x": [1.0]}), pa.table({"x": [1.0]})).to_json()["notes"]


def test_thresholds_alone_need_no_extra(monkeypatch):
    def absent(name):
        raise ImportError(name)

    rng = np.random.default_rng(11)
    tables = [pa.table({"x": rng.normal(shift, size=500)}) for shift in (0, 1)]
    monkeypatch.setattr(importlib, "import_module", absent)
    found = compare(*tables, tests=False, thresholds={"x": {"wasserstein_std": 0.5}})
    assert [(t.name, t.p) for t in found.alerts[0].alerts] == [("wasserstein_std", None)]
    with pytest.raises(FeatureStoreError) as refused:
        compare(*tables)
    assert refused.value.code == "FS391"
    assert "featurestore[monitor]" in refused.value.hint


@pytest.mark.parametrize("thresholds", [{"x": {"kl": 0.1}}, {"x": {"ks": -1.0}}, {"*": {"psi": math.nan}}])
def test_thresholds_that_cannot_be(thresholds):
    with pytest.raises(FeatureStoreError) as refused:
        compare(pa.table({"x": [1]}), pa.table({"x": [1]}), thresholds=thresholds)
    assert refused.value.code == "FS390"


# Draws, files, windows.


def test_a_draw_is_the_same_of_a_file_and_of_a_table_and_every_row_is_as_likely(tmp_path: Path):
    table = pa.table({"n": pa.array(range(10_000)), "s": [str(i) for i in range(10_000)]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=900)
    file = open_file(tmp_path / "x.parquet").draw(500, 3)
    again = open_file(tmp_path / "x.parquet").draw(500, 3)
    numbers = file.column("n").to_pylist()
    assert numbers == again.column("n").to_pylist() == sorted(set(numbers))
    assert file.column("s").to_pylist() == [str(n) for n in numbers], "the same rows in every column"
    counted = np.zeros(10)
    for seed in range(100):
        counted += np.bincount(open_file(tmp_path / "x.parquet").draw(50, seed).drawn // 1_000, minlength=10)
    assert stats.chisquare(counted).pvalue > 1e-4
    in_memory = compare(table, table, sample=500, seed=3).to_json()
    of_file = compare(tmp_path / "x.parquet", tmp_path / "x.parquet", sample=500, seed=3).to_json()
    assert [f["tests"] for f in in_memory["features"]] == [f["tests"] for f in of_file["features"]]


def test_the_bound_of_a_draw_holds():
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=20_000), rng.normal(0.1, size=20_000)
    whole = stats.ks_2samp(a, b).statistic
    sides = [pa.table({"x": x}) for x in (a, b)]
    beyond = 0
    for seed in range(60):
        found = compare(*sides, sample=400, seed=seed, tests=False)
        assert found.error == pytest.approx(2 * bound(400))
        beyond += abs(effects(found, "x")["ks"] - whole) > found.error
    assert beyond <= stats.binom.ppf(0.9999, 60, 0.05)


@pytest.mark.parametrize(
    "windows, expected",
    [
        (Windows(DAY), [(0, 1), (1, 2), (2, 3)]),
        (Windows(2 * DAY, DAY), [(-1, 1), (0, 2), (1, 3)]),
        (Windows(DAY, DAY, cumulative=True), [(0, 1), (0, 2), (0, 3)]),
        (Windows(2 * DAY), [(0, 2), (2, 4)]),
    ],
)
def test_windows_hold_every_row_and_no_other(windows, expected):
    instants = np.array([0, DAY - 1, DAY, 2 * DAY + 5, 3 * DAY - 1])
    cut = windows.cut(instants)
    assert [(start // DAY, end // DAY) for (start, end), _ in cut] == expected
    for (start, end), rows in cut:
        assert list(rows) == [n for n, t in enumerate(instants) if start <= t < end]


def test_drift_is_found_in_the_windows_that_have_it_and_all_are_corrected_together():
    rng = np.random.default_rng(13)
    at = np.sort(rng.integers(0, 10 * DAY, 20_000))
    x = rng.normal(size=20_000) + np.where(at >= 6 * DAY, 0.4, 0.0)
    current = pa.table({"as_of": pa.array(at, pa.timestamp("us")), "x": x})
    reference = pa.table({"x": rng.normal(size=20_000)})
    found = compare(reference, current, windows=Windows(DAY))
    assert [f.window[0] // DAY for f in found.alerts] == [6, 7, 8, 9]
    assert found.tests == 10
    growing = compare(reference, current, windows=Windows(DAY, cumulative=True))
    assert growing.alerts
    assert all(f.window[0] == 0 and f.window[1] > 6 * DAY for f in growing.alerts)
    assert "Over time" in page(found)


@pytest.mark.parametrize(
    "refused, code",
    [
        (lambda: Windows(0), "FS398"),
        (lambda: Windows(DAY, 2 * DAY), "FS398"),
        (lambda: Windows(1).cut(np.array([0, DAY])), "FS398"),
        (lambda: compare(pa.table({"x": [1]}), pa.table({"x": [1]}), windows=Windows(DAY)), "FS393"),
        (lambda: compare(pa.table({"x": [1]}), pa.table({"x": [1], "as_of": ["soon"]}), windows=Windows(DAY)), "FS392"),
        (lambda: compare(pa.table({"x": [1]}), pa.table({"x": [1]}), label="y"), "FS393"),
        (lambda: compare("nowhere.parquet", pa.table({"x": [1]})), "FS392"),
        (lambda: parsed("serve-log:", 0), "FS394"),
        (lambda: parsed("serve-log:s@yesterday", 0), "FS394"),
        (lambda: parsed("serve-log:s@2026-01-02..2026-01-01", 0), "FS394"),
    ],
)
def test_what_cannot_be_asked(refused, code):
    with pytest.raises(FeatureStoreError) as error:
        refused()
    assert error.value.code == code


def test_files_that_cannot_be_read(tmp_path: Path):
    for name, text in (("a.parquet", "no parquet"), ("b.csv", ""), ("c.csv", "a,b\n1\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(FeatureStoreError) as error:
            compare(tmp_path / name, pa.table({"x": [1]}))
        assert (error.value.code, error.value.exit_code) == ("FS392", 4)


def test_a_window_of_the_serve_log_is_read_in_the_zone_that_is_asked_for():
    hour = 3_600 * 10**6
    asked = parsed("serve-log:s@2026-01-01..2026-01-02T00:00:00Z", 0, "Europe/Paris")
    assert asked.end - asked.start == 25 * hour
    assert parsed("serve-log:s@7d", 10 * DAY) == type(asked)("s", 3 * DAY, 10 * DAY)
    assert parsed("serve-log:s", 0).service == "s"


def test_naive_instants_of_a_set_are_read_as_its_build_read_them(tmp_path: Path, monkeypatch):
    pq.write_table(pa.table({"x": [1], "when": pa.array([0], pa.timestamp("us"))}), tmp_path / "x.parquet")
    told = {"as_of": {"column": "when", "timezone": "America/New_York"}, "features": ["x"]}
    monkeypatch.setattr(sides, "manifest_of", lambda _: told)
    hours = [
        open_file(tmp_path / "x.parquet", **asked).instants()[0] // 3_600_000_000
        for asked in ({}, {"timezone": "Asia/Tokyo"}, {"at": "when"})
    ]
    assert hours == [5, -9, 5]


def test_a_page_escapes_what_it_is_told():
    rng = np.random.default_rng(14)
    evil = "<script>alert('x')</script>"
    sides = [pa.table({evil: rng.normal(size=300), "c": [evil] * 200 + [f"{evil}{n}"] * 100}) for n in range(2)]
    found = compare(*sides, windows=None)
    assert evil not in page(found)
    assert "&lt;script&gt;" in page(found)


def test_the_label_is_compared_as_one_and_seen_by_no_classifier():
    rng = np.random.default_rng(15)
    sides = [pa.table({"x": rng.normal(size=3_000), "label": rng.random(3_000) < share}) for share in (0.1, 0.3)]
    found = compare(*sides, label="label")
    assert [(f.name, f.is_label) for f in found.alerts] == [("label", True)]
    assert compare(*sides).alerts[0].name == "*", "as a feature it would be"


# Profiles.


@pytest.mark.parametrize("seed", range(4))
def test_distances_of_profiles_are_those_of_rows_but_for_the_error_that_is_told(seed):
    rng = np.random.default_rng(seed)
    tables = [same(rng, 20_000), same(rng, 12_000)]
    if seed % 2:
        tables[1] = tables[1].set_column(0, "normal", pa.array(rng.normal(0.3, size=12_000)))
    sides = [Profile.of(table, at=None) for table in tables]
    exact = compare(*tables)
    for given in (sides, (tables[0], sides[1]), (sides[0], tables[1])):
        found = compare(*given)
        assert [f.name for f in found.alerts] == [f.name for f in exact.alerts if f.name != "*"] == ["normal"] * (seed % 2)
        for feature in found.features:
            before = effects(exact, feature.name)
            for test in feature.tests:
                if test.name in ("ks", "null_rate", "nan_rate"):
                    assert test.effect == pytest.approx(before[test.name], abs=found.error + 1 / 400 + 1e-9), feature.name
                if test.name == "wasserstein_std" and feature.name != "heavy":
                    assert test.effect == pytest.approx(before[test.name], abs=0.02), feature.name
        assert effects(found, "few") == pytest.approx(effects(exact, "few"))
        assert found.notes == ("no classifier of all features together: a profile has no rows",)


def test_a_profile_says_no_p_that_its_error_could_explain():
    rng = np.random.default_rng(5)
    below = 0
    for _ in range(30):
        sides = [Profile.of(pa.table({"x": rng.standard_cauchy(30_000)}), at=None) for _ in range(2)]
        below += min(t.p for f in compare(*sides).features for t in f.tests if t.p is not None) < 0.05
    assert below <= most(30, 0.05)


def test_names_that_a_profile_cuts_and_counts_that_it_tells_too_small_are_no_drift():
    rng = np.random.default_rng(6)
    page_of = [f"https://example.com/{'a' * 90}/{n}" for n in range(4)]
    visitors = [np.where(rng.random(60_000) < 0.3, "known", rng.integers(0, 10**6, 60_000).astype(str)) for _ in range(2)]
    tables = [pa.table({"page": [page_of[n] for n in rng.integers(0, 4, 60_000)], "visitor": list(v)}) for v in visitors]
    profiles = [Profile.of(table, at=None) for table in tables]
    assert profiles[0].features["visitor"].values_error
    for given in ((tables[0], profiles[1]), (profiles[0], tables[1]), profiles):
        assert compare(*given).ok, said(compare(*given))
    more = tables[1].set_column(1, "visitor", pa.array(np.where(rng.random(60_000) < 0.3, "known", visitors[1])))
    assert [f.name for f in compare(tables[0], Profile.of(more, at=None)).alerts] == ["visitor"]


def test_profiles_with_little_to_compare_neither_fail_nor_alert():
    for rows in ((0, 500), (500, 700), (99, 500)):
        tables = odd(rows[0], 0), odd(rows[1], 1)
        profiles = [Profile.of(table, at=None) for table in tables]
        for given in (profiles, (tables[0], profiles[1]), (profiles[0], tables[1])):
            found = compare(*given)
            assert found.ok, [(f.name, f.what) for f in found.alerts]
            json.dumps(found.to_json(), allow_nan=False)
            page(found)


def test_windows_of_a_profile_are_its_days(tmp_path: Path):
    rng = np.random.default_rng(16)
    at = np.sort(rng.integers(0, 8 * DAY, 16_000))
    current = pa.table({"as_of": pa.array(at, pa.timestamp("us", "UTC")), "x": rng.normal(size=16_000) + (at >= 6 * DAY)})
    Profile.of(current).write(tmp_path / "x.profile")
    reference = pa.table({"x": rng.normal(size=5_000)})
    for windows in (Windows(2 * DAY), Windows(2 * DAY, DAY), Windows(DAY, cumulative=True)):
        found = compare(reference, tmp_path / "x.profile", windows=windows)
        rows = compare(reference, current, windows=windows)
        assert [(f.window, f.rows) for f in found.alerts] == [(f.window, f.rows) for f in rows.alerts]
        assert found.alerts
    with pytest.raises(FeatureStoreError) as error:
        compare(reference, tmp_path / "x.profile", windows=Windows(DAY // 24))
    assert error.value.code == "FS398"
