"""Stories of profiles: short ones, for mutants to stumble over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.profiles import Profile
from featurestore.profiles.distinct import folded, registers_of
from featurestore.profiles.points import Levels, Points
from featurestore.retrieval.output import profile_of, write

DAY = 86_400_000_000
SCHEMA = pa.schema([("x", pa.int64())])


def points_within_their_error(_: Path) -> None:
    r = np.random.default_rng(0)
    levels, rows = Levels(20), np.empty(0)
    for _block in range(40):
        values = r.normal(size=97)
        rows = np.concatenate((rows, values))
        levels.add(Points.of(values, np.array([0, 97])))
    made = levels.points(1).thinned(20)
    told = np.concatenate(([0], np.cumsum(made.weights)))[np.searchsorted(made.values, rows, side="right")]
    off = np.abs(told - np.searchsorted(np.sort(rows), rows, side="right")).max()
    assert off <= made.errors[0]
    assert 0.09 * len(rows) < made.errors[0] < 0.12 * len(rows)
    assert made.totals[0] == len(rows)


def merged_moments(_: Path) -> None:
    parts = [np.array([1e9, 1e9 + 1]), np.array([1e9 + 5, 1e9 + 7, 1e9 + 20])]
    merged = Profile.merged([Profile.of(pa.table({"x": part}), at=None) for part in parts]).features["x"]
    both = np.concatenate(parts)
    assert math.isclose(merged.mean or 0, both.mean(), rel_tol=1e-15)
    assert math.isclose(merged.std or 0, both.std(), rel_tol=1e-7)  # a mean of 1e9 has seven digits after the point


def nulls_and_nans_apart(_: Path) -> None:
    f = Profile.of(pa.table({"x": [None, float("nan"), 1.0, float("inf")]}), at=None).features["x"]
    assert (f.nulls, f.nans, f.infinities, f.max, f.rank([1.0]).tolist()) == (1, 1, 1, 1.0, [1.0])


def days_before_1970(_: Path) -> None:
    table = pa.table({"x": [1, 2], "as_of": pa.array([-1, 0], pa.timestamp("us", "UTC"))})
    assert [(start, p.rows) for start, p in Profile.of(table, {"x": pa.int64()}).days()] == [(-DAY, 1), (0, 1)]


def counts_never_too_great(_: Path) -> None:
    words = [f"w{n % 3_000 if n % 5 else 0}" for n in range(12_000)]
    f = Profile.of(pa.table({"x": words}), at=None).features["x"]
    assert f.values_error > 0
    assert all(rows <= words.count(word) <= rows + f.values_error for word, rows in f.top)


def registers_fold(_: Path) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, 50_000, dtype=np.uint64) * np.uint64(2)
    assert (folded(registers_of(hashes, 14), 12) == registers_of(hashes, 12)).all()


def profiles_of_their_set(tmp_path: Path) -> None:
    def built(profile: Callable[[Path], bool] | None) -> Path | None:
        write(tmp_path / "x.parquet", SCHEMA, [pa.table({"x": [1]})], lambda: {"kind": "training_set"}, profile)
        return profile_of(tmp_path / "x.parquet")

    def profile(path: Path) -> bool:
        Profile.of(pq.read_table(tmp_path / "y.parquet"), at=None).write(path)
        return True

    pq.write_table(pa.table({"x": [1]}), tmp_path / "y.parquet")
    assert built(profile) == tmp_path / "x.parquet.profile"
    (tmp_path / "x.parquet.profile").write_bytes(b"of another set")
    assert profile_of(tmp_path / "x.parquet") is None
    assert built(None) is None
    assert not (tmp_path / "x.parquet.profile").exists()


STORIES: tuple[Callable[[Path], None], ...] = (
    points_within_their_error, merged_moments, nulls_and_nans_apart, days_before_1970, counts_never_too_great, registers_fold,
    profiles_of_their_set,
)  # fmt: skip
PROFILED: Mapping[str, Callable[[Path], None]] = {f"profiled-{story.__name__}": story for story in STORIES}
