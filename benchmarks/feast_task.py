"""The same questions put to Feast: to its DuckDB offline store, and to its server. Runs in Feast's own environment, where
our package is not.

    python feast_task.py feast '{"folder": …, "output": …}'

Prints one line of JSON: seconds of the best call, peak memory in MB, Feast's version. The answer goes to `output`.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

CALLS = 2
YAML = """\
project: bench
registry: {folder}/registry.db
provider: local
offline_store:
  type: duckdb
online_store:
  type: sqlite
  path: {folder}/online.db
entity_key_serialization_version: 3
"""


def feast(folder: str, output: str) -> dict[str, Any]:
    import pandas as pd
    import pyarrow.parquet as pq
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Bool, Float64, Int64, String
    from feast.version import get_version

    with tempfile.TemporaryDirectory() as home:
        Path(home, "feature_store.yaml").write_text(YAML.format(folder=home), encoding="utf-8")
        store = FeatureStore(home)
        key = Entity(name="key", join_keys=["key"])
        types = {"v1": Float64, "v2": Float64, "v3": Int64, "v4": String, "v5": Bool}
        view = FeatureView(
            name="newest", entities=[key], ttl=timedelta(0), schema=[Field(name=n, dtype=t) for n, t in types.items()],
            source=FileSource(path=f"{folder}/facts_0.parquet", timestamp_field="e"),
        )  # fmt: skip
        store.apply([key, view])
        spine = pd.read_parquet(f"{folder}/spine.parquet").rename(columns={"as_of": "event_timestamp"})
        spine["row"] = range(len(spine))
        seconds = []
        for _ in range(CALLS):
            start = time.perf_counter()
            table = store.get_historical_features(spine, [f"newest:{n}" for n in types]).to_arrow()
            seconds.append(time.perf_counter() - start)
    pq.write_table(table, output)
    return {"seconds": min(seconds), "version": get_version()}


def store(folder: str, home: str) -> dict[str, Any]:
    """A Feast project in `home` over the views a and b, its SQLite store filled."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Bool, Float64, Int64, String
    from feast.version import get_version

    Path(home, "feature_store.yaml").write_text(YAML.format(folder=home), encoding="utf-8")
    made = FeatureStore(home)
    key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    types = [Float64] * 4 + [Int64] * 3 + [String] * 2 + [Bool]
    views = [
        FeatureView(
            name=name, entities=[key], ttl=timedelta(0),
            schema=[Field(name=f"{name}{i}", dtype=t) for i, t in enumerate(types)],
            source=FileSource(name=f"of_{name}", path=f"{folder}/{name}.parquet", timestamp_field="e"),
        )
        for name in "ab"
    ]  # fmt: skip
    made.apply([key, *views])
    start = time.perf_counter()
    made.materialize(datetime(2023, 12, 1, tzinfo=timezone.utc), datetime(2025, 2, 1, tzinfo=timezone.utc))  # noqa: UP017
    return {"seconds": time.perf_counter() - start, "version": get_version()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = {"feast": feast, "store": store}[sys.argv[1]](**json.loads(sys.argv[2]))
    scale = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6, **found}))
