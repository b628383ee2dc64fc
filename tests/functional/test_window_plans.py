"""Plans of windows over keys of every density: which one is chosen, and that all of them give the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, agg
from featurestore.compiler.duckdb.windows.stretches import LEVELS

YEAR = 365 * 86_400 * 10**6
START = 1_700_000_000_000_000
BUSY = 3 * 2**LEVELS + 5_000
"""Facts of one key: more than fill as many tiles as runs of extremes cover."""
LATE = {"created_timestamp": "k"}


def write(folder: Path, per_key: Sequence[int], rows: int) -> Path:
    """Facts and a spine; some facts at one instant, some late, prices in doubles. Returns: the spine."""
    rng = Random(str(per_key))
    keys = [key for key, facts in enumerate(per_key) for _ in range(facts)]
    events = [START + rng.randrange(YEAR) // 1_000 * 1_000 for _ in keys]
    known = [e + (rng.randrange(3 * 86_400 * 10**6) if rng.random() < 0.1 else 0) for e in events]
    prices = [None if rng.random() < 0.01 else rng.randrange(10**6) / 100 for _ in keys]
    times = pa.timestamp("us", "UTC")
    facts = {"key": keys, "e": pa.array(events, times), "k": pa.array(known, times), "v": pa.array(prices, pa.float64())}
    folder.mkdir(parents=True)
    pq.write_table(pa.table(facts), folder / "facts.parquet")
    spine = {"key": [rng.choice(keys) for _ in range(rows)]}
    spine["as_of"] = pa.array([START + rng.randrange(-YEAR // 50, YEAR + YEAR // 50) for _ in range(rows)], times)
    pq.write_table(pa.table(spine), folder / "spine.parquet")
    return folder / "spine.parquet"


def service(folder: Path, features: Sequence[Any], **known: Any) -> FeatureService:
    options = known or {"delay": "0s"}
    source = ParquetSource(name="facts", path=str(folder / "facts.parquet"), event_timestamp="e", **options)
    view = FeatureView(name="view", entities=[Entity(name="key")], source=source, features=list(features))
    return FeatureService(name="service", features=[view])


SUMS = [agg.count(window=["1d", "30d"]), agg.sum("v", window=["1d", "30d", None]), agg.var_pop("v", window="30d")]
EXTREMES = [agg.max("v", window=["1d", "30d", None]), agg.min("v", window="30d", offset="1d"), agg.last("v", window="30d")]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Callable[..., pa.Table]:
    def build(asked: FeatureService, spine: Path, plan: str) -> pa.Table:
        """The same with 1, 2 and 4 threads."""
        monkeypatch.setenv("FEATURESTORE_OFFLINE__WINDOW_PLAN", plan)
        tables = []
        for threads in (1, 2, 4):
            monkeypatch.setenv("FEATURESTORE_OFFLINE__THREADS", str(threads))
            store, reports = FeatureStore(definitions=[asked]), list[Any]()
            tables.append(store.build_training_set(asked, spine, report=reports.append))
            assert plan in {one["plan"] for one in reports[0].windows["view"]}
        assert tables[0].equals(tables[1])
        assert tables[0].equals(tables[2])
        return tables[0]

    return build


@pytest.mark.parametrize("per_key", [(BUSY, 7, 0, 1), (12_000, 3_000, 800, 200, 50, 12, 3, 1, 1)], ids=["one busy key", "Zipf"])
@pytest.mark.parametrize("known", [{}, {"delay": "6h"}], ids=["at once", "delayed"])
def test_tiles_and_frames_give_the_bits_of_the_pair_join(
    per_key: tuple[int, ...], known: dict[str, Any], build: Callable[..., pa.Table], tmp_path: Path
) -> None:
    spine = write(tmp_path / "data", per_key, 200)
    asked = service(tmp_path / "data", [*SUMS, *EXTREMES], **known)
    expected = build(asked, spine, "pairs")
    assert build(asked, spine, "tiles").equals(expected)
    assert build(asked, spine, "frames").equals(expected)


@pytest.mark.parametrize("per_key", [(BUSY, BUSY // 2), (3_000, 2_500, 0, 2_000, 1)], ids=["far hops", "alike"])
@pytest.mark.parametrize("known", [{}, {"delay": "6h"}], ids=["at once", "delayed"])
def test_aligned_tiles_give_the_bits_of_the_pair_join(
    per_key: tuple[int, ...], known: dict[str, Any], build: Callable[..., pa.Table], tmp_path: Path
) -> None:
    windows = ["1d", "30d", "360d"]
    features = [
        agg.count(window=windows),
        agg.sum("v", window=windows),
        agg.var_pop("v", window="30d"),
        agg.min("v", window="6h"),
    ]
    features += [agg.max("v", window=windows), agg.min("v", window="30d", offset="1d"), agg.last("v", window="360d")]
    spine = write(tmp_path / "data", per_key, 200)
    asked = service(tmp_path / "data", features, **known)
    assert build(asked, spine, "aligned").equals(build(asked, spine, "pairs"))


@pytest.mark.parametrize("plan", ["sweep", "aligned_sweep"])
@pytest.mark.parametrize("per_key", [(BUSY // 4, 400, 7, 1), (3_000, 2_500, 0, 2_000, 1)], ids=["one busy key", "alike"])
def test_sweeps_give_the_bits_of_the_pair_join(
    plan: str, per_key: tuple[int, ...], build: Callable[..., pa.Table], tmp_path: Path
) -> None:
    spine = write(tmp_path / "data", per_key, 200)
    more = [agg.mean("v", window="2d", offset="1d"), agg.sum("v", window="180d")]
    asked = service(tmp_path / "data", [*SUMS, *more], **LATE)
    assert build(asked, spine, plan).equals(build(asked, spine, "pairs"))


@pytest.mark.parametrize("per_key", [(BUSY // 2, 400, 7, 1), (3_000, 2_500, 0, 2_000, 1)], ids=["one busy key", "alike"])
def test_the_split_gives_the_bits_of_the_pair_join(
    per_key: tuple[int, ...], build: Callable[..., pa.Table], tmp_path: Path
) -> None:
    spine = write(tmp_path / "data", per_key, 200)
    asked = service(
        tmp_path / "data", [*EXTREMES, agg.first("v", window="6h"), agg.any("v > 9000", name="dear", window="7d")], **LATE
    )
    assert build(asked, spine, "split").equals(build(asked, spine, "pairs"))


def test_every_density_chooses_its_plan(tmp_path: Path) -> None:
    def chosen(name: str, per_key: Sequence[int], features: Sequence[Any], **known: Any) -> dict[str, set[str]]:
        spine = write(tmp_path / name, per_key, 4_000)
        asked = service(tmp_path / name, features, **known)
        [one] = FeatureStore(definitions=[asked]).window_plans(asked, spine)
        assert one.rows == 4_000
        return {c.plan: {o.name for o in c.outputs} for c in one.choices}

    windows = [agg.sum("v", window="30d"), agg.max("v", window="30d")]
    assert set(chosen("sparse", [20] * 2_000, windows)) == {"pairs"}
    assert set(chosen("dense", [20_000] * 2, windows)) == {"aligned"}
    assert set(chosen("Zipf", [20_000, 2_000, *[10] * 2_000], windows)) == {"tiles"}
    late = chosen("late", [20_000] * 2, windows, **LATE)
    assert late == {"aligned_sweep": {"v_sum_30d"}, "split": {"v_max_30d"}}
    assert set(chosen("late, Zipf", [20_000, 2_000, *[10] * 2_000], windows[:1], **LATE)) == {"sweep"}
    distinct = chosen("distinct", [20_000] * 2, [agg.count_distinct("v", window="30d")])
    assert set(distinct) == {"frames"}
