"""Windows on Spark: every plan gives the oracle's values, also on timelines that are cut; sums are exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg
from featurestore.compiler.spark.windows import moments
from featurestore.engines import exact
from featurestore.engines.spark import Session, SparkSettings
from featurestore.registry import Registry
from featurestore.retrieval.spark.build import SparkBuild, written
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import Request
from featurestore.sources import open_source
from featurestore.testing.strategies import world
from tests.property.engines import Question
from tests.property.test_offline import TWO_FILES, make_batch
from tests.spark.statements import Asking

EXTREMES = ("min", "max", "any", "all", "first", "last", "time_since_first", "time_since_last", "min", "max")
MOMENTS = ("count", "sum", "mean", "var_samp", "var_pop", "stddev_samp", "stddev_pop", "sum")
LISTS = ("count_distinct", "first_k", "last_k", "min_k", "max_k", "median", "quantile", "mode", "histogram")
DRAWN: Sequence[tuple[str, str, tuple[str, ...], bool]] = (
    ("delayed", "edges", (*EXTREMES, *MOMENTS), False),
    ("at_once", "edges", (*EXTREMES, *MOMENTS), True),
    ("created", "sweep", MOMENTS, True),
    ("versions_deleted", "sweep", MOMENTS, False),
    ("versions_delayed", "pairs", (*EXTREMES, *LISTS), False),
    ("created_or_event", "pairs", (*MOMENTS, *LISTS), False),
)
"""Kind of source, plan, aggregates, and whether timelines are cut."""


@pytest.mark.parametrize(("kind", "plan", "aggregates", "cut"), DRAWN)
def test_a_plan_gives_the_values_of_the_oracle(
    kind: str, plan: str, aggregates: tuple[str, ...], cut: bool, spark_settings: SparkSettings, tmp_path: Path
) -> None:
    rng = Random(f"{kind}/{plan}")
    batch = make_batch(rng, world(rng, kind, 60, aggregates), tmp_path, TWO_FILES)
    late = Question(batch.timezone, known_before=batch.drawn.known_before, serving_lag=batch.drawn.serving_lag)
    with Session(spark_settings) as session:
        assert not Asking(session, batch, plan, cut).wrong(late if cut else Question(batch.timezone))


@pytest.mark.parametrize("width", [52, *(pytest.param(width, marks=pytest.mark.slow) for width in (33, 20))])
def test_sums_are_exact_and_rounded_once(
    width: int, spark_settings: SparkSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a limb is so narrow that a value has several, up to five."""
    monkeypatch.setattr(moments, "WIDTH_MOST", width)
    rng = Random(width)
    groups = [hard(rng) for _ in range(400)]
    groups += [[rng.randrange(2**52, 2**53) * 2.0**-8 for _ in range(600)] + [1 + 2.0**-9, -1.0] for _ in range(20)]
    rows = [(key, v, rng.randrange(-(2**62), 2**62) >> rng.randrange(62)) for key, values in enumerate(groups) for v in values]
    keys, doubles, integers = (list(column) for column in zip(*rows, strict=True))
    time = pa.timestamp("us", "UTC")
    facts = pa.table({"key": keys, "e": pa.array(range(len(rows)), time), "v": doubles, "n": pa.array(integers, pa.int64())})
    pq.write_table(facts, tmp_path / "facts.parquet")
    source = ParquetSource(name="facts", path=str(tmp_path / "facts.parquet"), event_timestamp="e", delay="0s")
    features = [
        agg.sum("v", window=None),
        agg.mean("v", window=None),
        agg.mean("n", window=None),
        agg.var_pop("n", window=None),
    ]
    view = FeatureView(name="view", entities=[Entity(name="key")], source=source, features=features)
    service = FeatureService(name="service", features=[view])
    spine = pa.table({"key": range(len(groups)), "as_of": pa.array([10**9] * len(groups), time)})
    found, listed = built(service, spine, spark_settings)
    assert not listed
    assert found["v_sum_lifetime"].to_pylist() == [exact.exact_sum(values) for values in groups]
    assert found["v_mean_lifetime"].to_pylist() == [exact.exact_mean(values) for values in groups]
    whole = [[n for k, n in zip(keys, integers, strict=True) if k == key] for key in range(len(groups))]
    assert found["n_mean_lifetime"].to_pylist() == [exact.exact_mean(values) for values in whole]
    for value, values in zip(found["n_var_pop_lifetime"].to_pylist(), whole, strict=True):
        assert math.isclose(value, exact.MOMENTS["var_pop"](values), rel_tol=1e-12)


def hard(rng: Random) -> list[float]:
    """Doubles over 45 binary orders of magnitude, no more than limbs hold, whose sum cancels as often as not, and often is a
    tie or next to one."""
    several = range(rng.randint(1, 30))
    values = [rng.choice((-1, 1)) * rng.randrange(2**52, 2**53) * 2.0 ** rng.randint(-52, -8) for _ in several]
    if rng.random() < 0.5:
        values += [-v for v in values[1:]]
    if rng.random() < 0.5:
        beside = rng.choice((0, 1, -1))
        values = [2.0**44, 1 + 2.0**-9, -1.0, beside * (1 + 2.0**-52), -float(beside)]
    return [v for v in values if v]


def built(service: FeatureService, spine: pa.Table, settings: SparkSettings) -> tuple[pa.Table, list[str]]:
    """A training set, and the features whose values came as lists."""
    source = service.instances[0].view.source
    data = open_source(source, Path("/"))
    bound = Registry.of([service]).bind({source.name: data.types}).service(service.name)
    opened = open_spine(spine, keys={}, as_of="as_of")
    with SparkBuild(bound, opened, {source.name: data}, settings, Request()) as build, build.scratch() as folder:
        build.write(folder)
        listed = [name for chosen in build.report.windows.values() for choice in chosen for name in choice["as_lists"]]
        return pa.concat_tables(list(written(folder, build.schema))), listed
