"""Profiles against an exact computation of the same rows: counts, extremes, moments, ranks, cardinality, top values."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import DataError, UsageError
from featurestore.profiles import Collector, FeatureProfile, Profile, distinct
from featurestore.profiles import collector as collecting
from featurestore.profiles.distinct import estimate, folded, of_array, registers_of
from featurestore.profiles.points import Levels, Points

DAY = 86_400_000_000
START = 20_000 * DAY


def exact_ranks(values: Any, xs: Any) -> Any:
    return np.searchsorted(np.sort(values), xs, side="right") / len(values)


def farthest(f: FeatureProfile, values: Any) -> float:
    """By how much a rank is off at most."""
    xs = np.unique(np.concatenate((np.quantile(values, np.linspace(0, 1, 501)), values[:200])))
    return float(np.abs(f.rank(xs) - exact_ranks(values, xs)).max())


def column(values: list[Any], kind: pa.DataType) -> FeatureProfile:
    return Profile.of(pa.table({"x": pa.array(values, kind)}), at=None).features["x"]


def days(rows: int, many: int, seed: int = 0) -> pa.Table:
    """Rows of so many days, in no order: a normal, a heavy-tailed, a discrete and a text column, with NULLs."""
    r = np.random.default_rng(seed)
    return pa.table({
        "normal": pa.array(r.normal(size=rows), mask=r.random(rows) < 0.1),
        "heavy": np.exp(3 * r.normal(size=rows)),
        "count": r.poisson(20, rows),
        "word": pa.array([f"w{n}" for n in r.zipf(1.5, rows) % 5_000]),
        "as_of": pa.array(START + r.integers(0, many, rows) * DAY + r.integers(0, DAY, rows), pa.timestamp("us", "UTC")),
    })  # fmt: skip


# One column of every type.


@pytest.mark.parametrize(
    ("kind", "values", "least", "greatest", "cardinality", "top"),
    [
        (pa.int64(), [3, 1, 3, None], 1, 3, 2, [("3", 2), ("1", 1)]),
        (pa.uint8(), [255, 0, None], 0, 255, 2, [("0", 1), ("255", 1)]),
        (pa.float32(), [0.5, -0.0, 0.0], 0.0, 0.5, 2, [("0", 2), ("0.5", 1)]),
        (pa.decimal128(10, 2), [Decimal("-1.25"), Decimal("7.00"), None], -1.25, 7.0, 2, [("-1.25", 1), ("7", 1)]),
        (pa.date32(), [date(2026, 1, 2), date(2026, 1, 2), None], 20455, 20455, 1, [("2026-01-02", 2)]),
        (pa.timestamp("ms"), [5, 5, None], 5_000, 5_000, 1, [("1970-01-01T00:00:00.005000Z", 2)]),
        (pa.timestamp("us", "UTC"), [7, None, 9], 7, 9, 2, None),
        (pa.bool_(), [True, False, True, None], "false", "true", 2, [("true", 2), ("false", 1)]),
        (pa.string(), ["é", "z", "é", None, ""], "", "é", 3, [("é", 2), ("", 1), ("z", 1)]),
        (pa.dictionary(pa.int8(), pa.string()), ["b", None, "b"], "b", "b", 1, [("b", 2)]),
        (pa.binary(), [b"\xff", b"\x00", None], "00", "ff", 2, [("00", 1), ("ff", 1)]),
        (pa.list_(pa.int64()), [[1, 2], [2, 1], [1, 2], [], None], 0, 2, 3, []),
        (pa.list_(pa.string()), [["a", "b"], ["ab", ""], None], 2, 2, 2, []),
        (pa.list_(pa.int64(), 2), [[1, 2], [2, 1], [1, 2], None], 2, 2, 2, []),
        (pa.map_(pa.string(), pa.int64()), [[("a", 1)], [("a", 2)], None], 1, 1, 2, []),
        (pa.large_string(), ["x" * 300, None], "x" * 99 + "…", "x" * 99 + "…", 1, [("x" * 99 + "…", 1)]),
        (pa.null(), [None, None], None, None, 0, []),
    ],
)  # fmt: skip
def test_each_type_has_its_counts_extremes_and_values(
    kind: pa.DataType, values: list[Any], least: Any, greatest: Any, cardinality: int, top: Any
) -> None:
    f = column(values, kind)
    assert (f.rows, f.nulls, f.min, f.max) == (len(values), values.count(None), least, greatest)
    assert round(f.cardinality) == cardinality
    assert top is None or list(f.top) == top
    assert f.statuses == {"present": f.present, "null": f.nulls}


def test_nan_and_infinities_are_counted_apart_and_nothing_else_knows_them() -> None:
    f = column([1.0, math.nan, math.inf, -math.inf, 3.0, None, math.nan], pa.float64())
    assert (f.nulls, f.nans, f.infinities, f.finite, f.min, f.max, f.mean, f.std) == (1, 2, 2, 2, 1.0, 3.0, 2.0, 1.0)
    assert (f.cardinality, f.quantile(0.5), f.rank([0, 1, 2, 9]).tolist()) == (5, 1.0, [0, 0.5, 0.5, 1])


@pytest.mark.parametrize("values", [[], [None, None], [math.nan], [math.inf, None]])
def test_without_a_finite_value_there_is_nothing_to_tell(values: list[Any]) -> None:
    f = column(values, pa.float64())
    assert (f.min, f.max, f.mean, f.std, f.quantile(0.5), f.top, f.other) == (None,) * 5 + ((), 0)
    assert np.isnan(f.rank([1.0])).all()
    assert [len(part) for part in f.histogram()] == [0, 0]


def test_a_constant_has_one_bar_and_no_spread() -> None:
    f = column([5.0] * 9, pa.float64())
    assert (f.std, f.cardinality, f.quantile(0.1), f.top) == (0.0, 1, 5.0, (("5", 9),))
    edges, rows = f.histogram(4)
    assert (rows.sum(), edges[0] < 5 < edges[-1]) == (9, True)
    edges, rows = column([1.7976931348623157e308] * 3, pa.float64()).histogram(4)
    assert (np.isfinite(edges).all(), rows.sum()) == (True, 3)


def test_huge_values_overflow_into_none_and_nothing_warns() -> None:
    f = column([1.7e308, -1.7e308, 1.7e308], pa.float64())
    assert (f.min, f.max, f.std) == (-1.7e308, 1.7e308, None)
    assert f.histogram(3)[1].tolist() == [1, 0, 2]


# Whole tables.


@pytest.fixture(scope="module")
def month() -> pa.Table:
    return days(60_000, 30)


@pytest.fixture(scope="module")
def profile(month: pa.Table) -> Profile:
    return Profile.of(month)


def check(f: FeatureProfile, values: pa.ChunkedArray) -> None:
    """Everything that is said of a numeric column, against all of its values."""
    held = values.drop_null().to_numpy().astype(float)
    assert (f.rows, f.nulls, f.finite) == (len(values), values.null_count, len(held))
    assert (f.min, f.max) == (held.min(), held.max())
    assert math.isclose(f.mean or 0, held.mean(), rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(f.std or 0, held.std(), rel_tol=1e-12)
    assert farthest(f, held) <= min(f.rank_error + 1e-12, 0.005)
    assert f.cardinality == pytest.approx(len(np.unique(held)), rel=0 if f.is_counted else 0.02)
    edges, rows = f.histogram(20)
    assert np.abs(rows - np.histogram(held, edges)[0]).max() <= 2 * f.rank_error * len(held)
    for q in (0.001, 0.25, 0.5, 0.999):
        assert abs(exact_ranks(held, [f.quantile(q)])[0] - q) <= f.rank_error + 1 / len(held) + f.is_counted


def test_one_pass_over_a_month_is_the_exact_computation_within_its_bounds(month: pa.Table, profile: Profile) -> None:
    for name in ("normal", "heavy", "count"):
        check(profile.features[name], month[name])
    words = Counter(month["word"].to_pylist())
    f = profile.features["word"]
    assert f.cardinality == pytest.approx(len(words), rel=0.02)
    for word, rows in f.top[:20]:
        assert rows <= words[word] <= rows + f.values_error
    assert sum(rows for _, rows in f.top) + f.other == f.present


def test_thirty_merged_days_are_one_pass_over_the_month(month: pa.Table, profile: Profile) -> None:
    day = pc.floor_temporal(month["as_of"], unit="day")
    parts = [Profile.of(month.filter(pc.equal(day, one))) for one in day.unique()]
    merged = Profile.merged(parts)
    assert merged.rows == profile.rows
    for name in ("normal", "heavy", "count"):
        check(merged.features[name], month[name])
        check(profile.between(START, START + 30 * DAY).features[name], month[name])
    assert merged.features["word"].cardinality == pytest.approx(len(month["word"].unique()), rel=0.02)
    assert [start for start, _ in merged.days()] == [start for start, _ in profile.days()]


def test_each_day_is_told_by_itself(month: pa.Table, profile: Profile) -> None:
    day = pc.floor_temporal(month["as_of"], unit="day").cast(pa.int64())
    assert len(profile.days()) == 30
    for start, part in profile.days()[::7]:
        rows = month.filter(pc.equal(day, start))
        check(part.features["normal"], rows["normal"])
        assert part.features["word"].present == part.rows == rows.num_rows


def test_batches_and_threads_do_not_change_a_byte(month: pa.Table, profile: Profile, tmp_path: Path) -> None:
    types = {n: month.schema.field(n).type for n in month.column_names if n != "as_of"}
    collector = Collector(types)
    r, done = np.random.default_rng(3), 0
    while done < month.num_rows:
        size = int(r.integers(1, 9_000))
        rows = month.slice(done, size)
        collector.add(rows, rows["as_of"].cast(pa.int64()))
        done += size
    collector.profile().write(tmp_path / "batches")
    profile.write(tmp_path / "whole")
    assert (tmp_path / "batches").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_file_brings_back_what_was_written(profile: Profile, tmp_path: Path) -> None:
    profile.write(tmp_path / "a")
    read = Profile.read(tmp_path / "a")
    read.write(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    one = Profile.read(tmp_path / "a", ["word"])
    assert {name: f.top for name, f in one.features.items()} == {"word": profile.features["word"].top}
    with pytest.raises(UsageError, match=r"FS161.*no feature 'wrd'.*try word"):
        Profile.read(tmp_path / "a", ["wrd"])


def test_small_blocks_give_the_same_within_the_bounds(month: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "block_rows", lambda _: 1_000)
    found = Profile.of(month)
    for name in ("normal", "heavy", "count"):
        check(found.features[name], month[name])
    words = Counter(month["word"].to_pylist())
    f = found.features["word"]
    assert all(rows <= words[word] <= rows + f.values_error for word, rows in f.top)


def test_many_days_become_weeks_and_months(tmp_path: Path) -> None:
    long = days(6_000, 900, seed=1)
    found = Profile.of(long)
    assert (found.unit, len(found.days())) == ("week", pytest.approx(130, abs=2))
    assert all((start // DAY + 3) % 7 == 0 for start, _ in found.days())  # Mondays
    assert sum(part.rows for _, part in found.days()) == 6_000
    late = Profile.of(days(500, 20_000, seed=2))
    assert late.unit == "month" or late.unit == "year"
    both = Profile.merged([found, late])
    assert (both.unit, sum(p.rows for _, p in both.days())) == (late.unit, 6_500)


def test_a_slice_column_parts_rows_by_its_most_frequent_values() -> None:
    r = np.random.default_rng(4)
    country = [f"c{n}" if n < 40 else None for n in np.minimum(r.zipf(1.3, 20_000), 40)]
    table = pa.table({"x": r.normal(size=20_000), "country": country})
    found = Profile.of(table, {"x": pa.float64()}, at=None, slices=["country"]).by("country")
    told = Counter("(null)" if c is None else c for c in country)
    shown = {name: part.rows for name, part in found.items()}
    assert shown == {**dict(told.most_common(20)), "(other)": 20_000 - sum(n for _, n in told.most_common(20))}
    assert list(found)[-1] == "(other)"
    mine = np.array([c == "c1" for c in country])
    check(found["c1"].features["x"], table.filter(pa.array(mine))["x"])


def test_a_value_is_told_apart_wherever_a_block_has_it_and_unused_names_take_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "block_rows", lambda _: 1_000)
    shop = ["often"] * 1_000 + [f"s{n}" for n in range(1_000, 1_990)] + ["often"] * 10
    table = pa.table({"x": np.arange(2_000.0), "shop": shop})
    assert Profile.of(table, {"x": pa.float64()}, at=None, slices=["shop"]).by("shop")["often"].rows == 1_010
    names = pa.array([*(f"unused {n}" for n in range(500)), "a", "b"])
    coded = pa.DictionaryArray.from_arrays(pa.array([500, 501, None, 500]), names)
    found = Profile.of(pa.table({"x": [1, 2, 3, 4], "c": coded}), {"x": pa.int64()}, at=None, slices=["c"]).by("c")
    assert {name: part.rows for name, part in found.items()} == {"a": 2, "(null)": 1, "b": 1}


def test_statuses_are_told_of_every_slice() -> None:
    table = pa.table({
        "x": pa.array([1, None, None, None]), "x__status": ["present", "null", "expired", "not_found"],
        "as_of": pa.array([0, 0, DAY, DAY], pa.timestamp("us")),
    })  # fmt: skip
    found = Profile.of(table, {"x": pa.int64()}, statuses=["x"])
    assert found.features["x"].statuses == {"present": 1, "null": 1, "expired": 1, "not_found": 1}
    assert [p.features["x"].statuses for _, p in found.days()] == [
        {"present": 1, "null": 1}, {"present": 0, "null": 0, "expired": 1, "not_found": 1},
    ]  # fmt: skip


def test_instants_before_1970_are_in_the_day_they_are_in() -> None:
    table = pa.table({"x": [1, 2], "as_of": pa.array([-1, 0], pa.timestamp("us", "UTC"))})
    assert [(start, p.rows) for start, p in Profile.of(table, {"x": pa.int64()}).days()] == [(-DAY, 1), (0, 1)]


# What cannot be.


def test_what_is_not_there_is_named(profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"FS161.*no column 'as_off'.*try as_of"):
        Profile.of(days(9, 1), at="as_off")
    with pytest.raises(UsageError, match=r"FS161.*no slices by 'word'"):
        profile.by("word")
    with pytest.raises(UsageError, match=r"FS161"):
        Profile.merged([])
    (tmp_path / "x").write_bytes(b"PAR1 and no more")
    for path in (tmp_path / "x", tmp_path / "none"):
        with pytest.raises(DataError, match=r"FS160"):
            Profile.read(path)
    with pytest.raises(DataError, match=r"FS163.*'normal' is double in one profile and int64"):
        Profile.merged([profile, Profile.of(pa.table({"normal": [1]}), at=None)])


# The parts.


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_points_are_within_the_error_they_tell(data: st.DataObject) -> None:
    """Any values, in any blocks, merged along any tree, thinned as often as it takes."""
    seed = data.draw(st.integers(0, 10_000))
    r = np.random.default_rng(seed)
    most, groups, blocks = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 12))
    kinds = [lambda n: r.normal(size=n), lambda n: r.integers(0, 30, n).astype(float), lambda n: np.sort(r.pareto(0.5, n))]
    levels, rows = Levels(most), [np.empty(0)] * groups
    for _ in range(blocks):
        parts = [kinds[r.integers(3)](int(r.integers(0, 60))) for _ in range(groups)]
        rows = [np.concatenate(pair) for pair in zip(rows, parts, strict=True)]
        levels.add(Points.of(np.concatenate(parts), np.concatenate(([0], np.cumsum([len(p) for p in parts])))))
    merged = levels.points(groups).thinned(most)
    assert merged.totals.tolist() == [len(of) for of in rows]
    for number, of in enumerate(rows):
        one = merged.group(number)
        assert len(one.values) <= most
        assert (np.diff(one.values) > 0).all()
        xs = np.unique(np.concatenate((of, one.values)))
        told = np.concatenate(([0], np.cumsum(one.weights)))[np.searchsorted(one.values, xs, side="right")]
        truth = np.searchsorted(np.sort(of), xs, side="right")
        assert (np.abs(told - truth) <= one.errors[0]).all()
    whole = merged.regrouped(np.zeros(groups, np.int64), 1)
    assert whole.totals.tolist() == [sum(map(len, rows))]


@pytest.mark.parametrize("many", [0, 1, 5, 300, 5_000, 40_000, 200_000])
def test_cardinalities_are_estimated_from_few_to_many(many: int) -> None:
    hashes = of_array(pa.array(np.arange(many, dtype=np.float64) * 1.5))
    registers = registers_of(hashes, 15)
    assert estimate(registers) == pytest.approx(many, rel=0.02, abs=0.5)
    assert (folded(registers, 12) == registers_of(hashes, 12)).all()
    assert (np.maximum(registers_of(hashes[::2], 14), registers_of(hashes[1::2], 14)) == registers_of(hashes, 14)).all()


def test_hashes_are_of_values_not_of_encodings(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", "a", "ab", "ba", "a\0", None, "é" * 50]
    plain = of_array(pa.array(texts))
    assert len(set(plain.tolist())) == len(texts)
    for kind in (pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.string_view()):
        assert (of_array(pa.array(texts).cast(kind)) == plain).all()
    assert (of_array(pa.array(["x", *texts]).slice(1)) == plain).all()
    monkeypatch.setattr(distinct, "_BYTES_AT_ONCE", 3)
    assert (of_array(pa.array(["x", *texts, ""]).slice(1, len(texts))) == plain).all()
    lists = pa.array([["a", "b"], ["ab"], ["b", "a"], [], None, ["a", "b"]])
    found = of_array(lists).tolist()
    assert (found[0] == found[5], len(set(found))) == (True, 5)
