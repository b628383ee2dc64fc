"""Latest values, look-ups, versions and counts on Spark: what the order of its structs decides, and how it reads files."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest
from featurestore.engines.spark import SparkSettings, heavy
from tests.spark.engines import by_both

UTC = pa.timestamp("us", "UTC")
THING = Entity(name="thing", join_keys=["k"])
HOUR = 3_600_000_000
START = 20_000 * 24 * HOUR
POOLS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "double": (pa.float64(), [None, float("nan"), -0.0, 0.0, float("inf"), float("-inf"), 1.5, 5e-324]),
    "single": (pa.float32(), [None, float("nan"), -0.0, 0.0, float("-inf"), 0.1]),
    "flag": (pa.bool_(), [None, False, True]),
    "text": (pa.string(), [None, "", "a", "Z", "é", "\U0001f600", "\uffff", "ab"]),
    "bytes": (pa.binary(), [None, b"", b"\x00", b"\x7f", b"\xff", b"\x80\x01"]),
    "exact": (pa.decimal128(38, 4), [None, Decimal("-1.5"), Decimal("0"), Decimal(10) ** 33]),
    "small": (pa.uint8(), [None, 0, 127, 128, 255]),
    "large": (pa.uint64(), [None, 0, 2**63 - 1, 2**63, 2**64 - 1]),
    "whole": (pa.int64(), [None, -(2**63), 0, 2**63 - 1]),
    "day": (pa.date32(), [None, -1, 0, 19_000]),
    "instant": (UTC, [None, -1, 0, START]),
    "doubles": (pa.list_(pa.float64()), [None, [], [None], [None, 1.0], [-0.0], [0.0], [float("nan")], [1.0], [1.0, None]]),
    "texts": (pa.list_(pa.string()), [None, [], [None], [""], ["a"], ["a", "b"], ["b"]]),
    "lists": (pa.list_(pa.list_(pa.int64())), [None, [], [None], [[]], [[1]], [[1], [2]], [[2]]]),
}


def ties(draw: random.Random, rows: int) -> pa.Table:
    """Rows of few instants. Of key i all columns before the i-th are alike, so that it decides, and those after it."""
    names, keys = list(POOLS), [draw.randrange(3 * len(POOLS)) for _ in range(rows)]
    held: dict[str, list[Any]] = {name: [] for name in names}
    for key in keys:
        for i, name in enumerate(names):
            pool = POOLS[name][1]
            held[name].append(pool[1] if i < key % len(names) else draw.choice(pool))
    event = [START + HOUR * draw.randrange(3) for _ in keys]
    known = [e + HOUR * draw.randrange(3) for e in event]
    columns = {"k": pa.array(keys), "e": pa.array(event).cast(UTC), "c": pa.array(known).cast(UTC)}
    return pa.table(columns | {name: pa.array(held[name], POOLS[name][0]) for name in names})


def asking(keys: int, hours: int) -> pa.Table:
    asked = [(k, START + HOUR * h + offset) for k in range(keys) for h in range(hours) for offset in (0, 1)]
    return pa.table({"k": [k for k, _ in asked], "as_of": pa.array([at for _, at in asked]).cast(UTC)})


@pytest.mark.parametrize("exact", [False, True])
def test_ties_are_decided_by_the_contract_s_order_in_every_type(
    exact: bool, spark_settings: SparkSettings, tmp_path: Path
) -> None:
    pq.write_table(ties(random.Random(7), 1_500), tmp_path / "facts.parquet")
    source = ParquetSource(name="facts", path=str(tmp_path / "facts.parquet"), event_timestamp="e", created_timestamp="c")
    view = FeatureView(name="view", entities=[THING], source=source, features=[*map(latest, POOLS)], ttl="2h",
                       allow_exact_matches=exact)  # fmt: skip
    service = FeatureService(name="service", features=[view])
    by_both(service, asking(3 * len(POOLS) + 1, 6), tmp_path / "out", spark_settings)


def test_keys_that_hold_most_of_the_data_are_cut_into_stretches_and_keep_their_values(
    spark_settings: SparkSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heavy, "LEAST_ROWS", 40)
    found = list[int]()
    bind = heavy.Session.bind

    def counted(self: heavy.Session, name: str, rows: Any) -> None:
        if name == heavy.HEAVY:
            found.append(sum(len(row["cuts"]) for row in rows.collect()))
        bind(self, name, rows)

    monkeypatch.setattr(heavy.Session, "bind", counted)
    draw = random.Random(11)
    keys = [draw.choice([0, 0, 0, 1, 1, 2, 3, 4]) for _ in range(2_000)]
    event = [START + draw.randrange(400) * HOUR for _ in keys]
    known = [e + draw.choice([0, HOUR, 30 * HOUR, 900 * HOUR]) for e in event]
    columns = {"k": keys, "e": pa.array(event).cast(UTC), "c": pa.array(known).cast(UTC)}
    columns |= {"id": [draw.randrange(1_200) for _ in keys], "x": [draw.choice([None, 1.5, -2.25, 1e300]) for _ in keys]}
    pq.write_table(pa.table(columns), tmp_path / "facts.parquet")
    path = str(tmp_path / "facts.parquet")
    rows = ParquetSource(name="rows", path=path, event_timestamp="e", created_timestamp="c")
    versions = ParquetSource(name="versions", path=path, event_timestamp="e", created_timestamp="c", row_key=["id"])
    features = [latest("x"), agg.count(window="50h"), agg.sum("x", window=None), agg.max("x", window="50h")]
    views = [
        FeatureView(name=s.name, entities=[THING], source=s, features=features).with_prefix(f"{s.name}_")
        for s in (rows, versions)
    ]
    spine = pa.concat_tables([asking(6, 60), asking(1, 400)])
    by_both(FeatureService(name="service", features=views), spine, tmp_path / "out", spark_settings)
    assert len(found) == 4
    assert min(found) > 4


def test_files_are_read_wherever_they_lie_and_however_they_spell_a_time(spark_settings: SparkSettings, tmp_path: Path) -> None:
    """Names that Spark takes for hidden, for patterns or for partitions; schemas that differ; times Spark does not read."""
    spellings = [
        (pa.timestamp("us", "UTC"), "plain.parquet"),
        (pa.timestamp("ns", "UTC"), "_hidden.parquet"),
        (pa.timestamp("ms", "Asia/Tokyo"), "k=7/x=9.5/part.parquet"),
        (pa.timestamp("us", "UTC"), "[ab]{1,2}*/part ü?.parquet"),
        (pa.timestamp("ns", "UTC"), "nanos.parquet"),
        (pa.timestamp("us", "UTC"), ".dotted.parquet"),
    ]
    for number, (kind, name) in enumerate(spellings):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        event = pa.array([START + HOUR * (10 * i + number) for i in range(20)]).cast(pa.timestamp("us", "UTC"))
        columns = {"k": pa.array([i % 4 for i in range(20)], pa.int32()), "e": event.cast(kind), "x": [0.5 * number] * 20}
        more = {"unread": pa.array([number] * 20)} if number % 2 else {}
        pq.write_table(pa.table(columns | more), path, row_group_size=7)
    patterns = ["*.parquet", ".*.parquet", "*/**/*.parquet"]
    source = ParquetSource(name="facts", path=[str(tmp_path / "data" / p) for p in patterns], event_timestamp="e", delay="1h")
    view = FeatureView(name="view", entities=[THING], source=source, features=[latest("x"), agg.count(window="30h")])
    by_both(FeatureService(name="service", features=[view]), asking(4, 200), tmp_path / "out", spark_settings)
