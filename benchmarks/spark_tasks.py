"""What one process does for `spark.py`: build a training set by Spark or DuckDB, or compare two. Runs in `.venv-spark`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

WINDOWS = ["1d", "7d", "30d"]
AGGREGATES = ("count", "sum", "max", "var_samp")
DIGITS = 1e-9
"""How far two variances may be apart, relatively."""


def service(folder: str) -> Any:
    """Twelve features of windows and five latest values over a folder's facts."""
    from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

    source = ParquetSource(name="facts", path=f"{folder}/facts_*.parquet", event_timestamp="e", delay="0s")
    windows = [agg.count(window=WINDOWS), *(getattr(agg, name)("v1", window=WINDOWS) for name in AGGREGATES[1:])]
    features = [*(latest(f"v{n}") for n in range(1, 6)), *windows]
    view = FeatureView(name="view", entities=[Entity(name="key")], source=source, features=features)
    return FeatureService(name="bench", features=[view])


def build(folder: str, output: str, engine: str) -> dict[str, Any]:
    """One build from files to files. Spark's session is started, and its first query compiled, before the clock runs.

    Returns: seconds; shuffle_mb: what all tasks wrote for others to read.
    """
    from featurestore import FeatureStore

    asked = service(folder)
    store = FeatureStore(definitions=[asked])
    if engine == "spark":
        _warm(store)
    before, start = _shuffled(), time.perf_counter()
    store.build_training_set(asked, f"{folder}/spine.parquet", engine=engine, output=output)
    return {"seconds": time.perf_counter() - start, "shuffle_mb": (_shuffled() - before) / 1e6}


def _warm(store: Any) -> None:
    from featurestore.engines.spark import starting

    starting.start(store.spark_settings).range(1000).selectExpr("sum(id)").collect()


def _shuffled() -> int:
    """Bytes of shuffles that this process has written so far."""
    if "pyspark" not in sys.modules:
        return 0
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if context is None:
        return 0
    executors = context._jsc.sc().statusStore().executorList(True)
    return sum(executors.apply(i).totalShuffleWrite() for i in range(executors.size()))


def compare(one: str, other: str) -> dict[str, Any]:
    """Two training sets of the same question: their hashes without the variances, and how many of those differ too much."""
    from featurestore.retrieval.content import ContentHash

    spread = [f"v1_var_samp_{window}" for window in WINDOWS]
    left, right = (ds.dataset(_files(path), format="parquet").to_table() for path in (one, other))
    hashes = []
    for table in (left, right):
        table = table.drop_columns(spread)
        content = ContentHash(table.schema)
        content.update(table)
        hashes.append(content.hexdigest())
    differ = sum(_far(left[name], right[name]) for name in spread)
    return {"hashes": hashes, "differ": differ, "cells": left.num_rows * len(spread), "rows": left.num_rows}


def _files(path: str) -> list[str]:
    found = Path(path)
    found = Path(path)
    return [str(found)] if found.is_file() else sorted(map(str, found.glob("*.parquet")))


def _far(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    nulls = pc.sum(pc.not_equal(pc.is_null(one), pc.is_null(other))).as_py() or 0
    far = pc.greater(pc.abs(pc.subtract(one, other)), pc.multiply(pc.abs(one), DIGITS))
    return nulls + (pc.sum(far).as_py() or 0)


TASKS = {"build": build, "compare": compare}

if __name__ == "__main__":
    print(json.dumps({"peak_mb": 0.0, **TASKS[sys.argv[1]](**json.loads(sys.argv[2]))}))
