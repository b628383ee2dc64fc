"""Audits of a training set that the real Feast made: right where its join is, accused where it lets rows see too much."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.environments import environment
from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, latest
from tests.needs import ROOT

pytestmark = pytest.mark.slow  # importing Feast alone takes many seconds
T0, HOUR = 1_760_000_000_000_000, 3_600_000_000
TIME = pa.timestamp("us", "UTC")
FEATURES = ["v1", "v2", "v3", "v4", "v5"]
AT_EVENTS = 10
"""Rows of the spine that ask at the very instant of an event."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of facts, a third of them known a day late, with a spine and what Feast joined to it."""
    folder, rng = tmp_path_factory.mktemp("feast"), Random("feast")
    keys = [rng.randrange(20) for _ in range(2_000)]
    events = [T0 + n * HOUR + 1 for n in range(2_000)]
    known = [e + (24 * HOUR if rng.random() < 1 / 3 else 60_000_000) for e in events]
    values = {"v1": [n + 0.5 for n in range(2_000)], "v2": [n * 0.1 for n in range(2_000)], "v3": list(range(2_000)),
              "v4": [f"w{n}" for n in range(2_000)], "v5": [n % 3 == 0 for n in range(2_000)]}  # fmt: skip
    facts = {"key": keys, "e": pa.array(events).cast(TIME), "k": pa.array(known).cast(TIME), **values}
    pq.write_table(pa.table(facts), folder / "facts_0.parquet")
    asked = [(rng.randrange(21), T0 + rng.randrange(2_000) * HOUR + HOUR // 2) for _ in range(300)]
    asked += [(keys[n], events[n]) for n in rng.sample(range(1_000, 2_000), AT_EVENTS)]
    spine = pa.table({"key": [k for k, _ in asked], "as_of": pa.array([t for _, t in asked]).cast(TIME)})
    pq.write_table(spine, folder / "spine.parquet")
    arguments = {"folder": str(folder), "output": str(folder / "feast.parquet")}
    command = [environment("feast"), str(ROOT / "benchmarks" / "feast_task.py"), "feast", json.dumps(arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return folder


def audited(folder: Path, **known: Any) -> Any:
    source = ParquetSource(name="facts", path=str(folder / "facts_0.parquet"), event_timestamp="e", **known)
    view = FeatureView(name="newest", entities=[Entity(name="key")], source=source, features=[latest(n) for n in FEATURES])
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])])
    spine = pq.read_table(folder / "spine.parquet").rename_columns(["key", "event_timestamp"])
    return store.audit(folder / "feast.parquet", "service", as_of="event_timestamp", spine=spine), store


def test_where_rows_are_known_at_once_feast_errs_at_the_instant_of_an_event_alone(made: Path) -> None:
    found, _ = audited(made, delay="0s")
    assert (found.rows, found.dropped, found.fan_out) == (300 + AT_EVENTS, 0, 0)
    for name in FEATURES[:4]:
        assert found.features[name].causes == {"exact": 300, "future": AT_EVENTS}
    assert {e.ahead_us for e in found.examples} == {0}
    assert found.features["row"].causes == {"exact": 0, "unmatched": 310}  # a column that the spine has not


def test_feast_lets_rows_see_what_was_not_known_yet(made: Path) -> None:
    found, store = audited(made, created_timestamp="k")
    spine = pq.read_table(made / "spine.parquet")
    at_once, _ = audited(made, delay="0s")
    honest = store.build_training_set("service", spine)["v3"].to_pylist()
    feast = pq.read_table(made / "feast.parquet").sort_by("row")["v3"].to_pylist()
    late = sum(a != b for a, b in zip(honest[:300], feast[:300], strict=True))
    assert late > 50
    assert found.features["v3"].causes == {"exact": 300 - late, "future": AT_EVENTS, "late_known": late}
    assert found.leaks > at_once.leaks
