"""What is measured: one function per contender. Each is run by a process of its own (`python tasks.py NAME '{…}'`).

A task does its imports first, then times one call as its user makes it. It prints one line of JSON: seconds, peak memory
in MB, and what else it has to say.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
THREADS = 2


class Stopwatch:
    """Seconds on the clock, and seconds of all threads on the processors: the second hardly knows of other programs."""

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._wall, self._cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def read(self) -> dict[str, Any]:
        return {"seconds": self._wall, "cpu_seconds": self._cpu}


def baseline(folder: str, output: str) -> dict[str, Any]:
    """The hand-written join."""
    return _by_hand(folder, output, "asof_baseline.sql")


def plain_windows(folder: str, output: str, sql: str, value: str) -> dict[str, Any]:
    """A hand-written statement for windows. value: "v", doubles, or "n", integers."""
    return _by_hand(folder, output, sql, value=value, type={"v": "DOUBLE", "n": "BIGINT"}[value])


def _by_hand(folder: str, output: str, sql: str, **names: str) -> dict[str, Any]:
    """A statement of `sql/`, on a connection with DuckDB's own settings."""
    import duckdb

    text = (HERE / "sql" / sql).read_text(encoding="utf-8")
    text = text.format(facts=f"{folder}/facts_*.parquet", spine=f"{folder}/spine.parquet", output=output, **names)
    with Stopwatch() as watch, duckdb.connect() as con:
        con.execute(f"SET threads = {THREADS}")
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_progress_bar = false")
        con.execute(text)
    return watch.read()


def build_windows(folder: str, output: str, value: str, aggregates: list[str], created: bool = False) -> dict[str, Any]:
    """`build_training_set` from files to a file. created: rows have a known time of their own."""
    from featurestore import FeatureStore

    _imports()
    service = windows_service(folder, value, aggregates, created=created)
    with Stopwatch() as watch:
        store = FeatureStore(definitions=[service])
        store.build_training_set(service, f"{folder}/spine.parquet", output=output)
    return watch.read()


WINDOWS = ["1d", "7d", "30d"]


def windows_service(folder: str, value: str, aggregates: list[str], *, created: bool) -> Any:
    """Aggregates of a folder's facts over the three windows."""
    from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg

    known: dict[str, Any] = {"created_timestamp": "k"} if created else {}
    source = ParquetSource(name="facts", path=f"{folder}/facts_*.parquet", event_timestamp="e", **known)
    features = [
        agg.count(window=WINDOWS) if name == "count" else getattr(agg, name)(value, window=WINDOWS) for name in aggregates
    ]
    view = FeatureView(name="windows", entities=[Entity(name="key")], source=source, features=features)
    return FeatureService(name="bench", features=[view])


def build(folder: str, output: str, kind: str, again: bool = False) -> dict[str, Any]:
    """`build_training_set` from files to a file: the first call of a process, nothing remembered. again: a second one."""
    from featurestore import FeatureStore

    _imports()
    service = training_service(folder, kind)
    with Stopwatch() as watch:
        store = FeatureStore(definitions=[service])
        store.build_training_set(service, f"{folder}/spine.parquet", output=output)
    if again:
        with Stopwatch() as watch:
            store.build_training_set(service, f"{folder}/spine.parquet", output=output)
    return watch.read()


def build_large(folder: str, output: str, memory_limit: str) -> dict[str, Any]:
    """Twelve windows and five latest values of one source, at a memory limit, spilling beside the output."""
    from featurestore import FeatureService, FeatureStore

    _imports()
    newest = training_service(folder, "event").instances[0].view
    windows = windows_service(folder, "v1", ["count", "sum", "mean", "max"], created=False).instances[0].view
    service = FeatureService(name="bench", features=[replace(windows, source=newest.source, entities=newest.entities), newest])
    with Stopwatch() as watch:
        store = FeatureStore(definitions=[service])
        spill = Path(output).with_suffix(".tmp")
        store.build_training_set(
            service, f"{folder}/spine.parquet", output=output, memory_limit=memory_limit, temp_directory=spill
        )
    return watch.read()


def score(folder: str, output: str, kind: str, keys: int, snapshot: bool) -> dict[str, Any]:
    """A build whose spine asks for every key at one instant. snapshot: by the plans made for that."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from featurestore import FeatureService, FeatureStore

    _imports()
    os.environ["FEATURESTORE_OFFLINE__SNAPSHOT"] = str(snapshot).lower()
    newest = training_service(folder, kind).instances[0].view
    windows = windows_service(folder, "v1", ["count", "sum", "mean", "max"], created=False).instances[0].view
    service = FeatureService(name="bench", features=[replace(windows, source=newest.source, entities=newest.entities), newest])
    at, spine, reports = (
        pa.scalar(SCORED_AT, pa.timestamp("us", "UTC")),
        Path(output).with_suffix(".spine.parquet"),
        list[Any](),
    )
    pq.write_table(pa.table({"key": pa.arange(0, keys), "as_of": pa.repeat(at, keys)}), spine)
    with Stopwatch() as watch:
        store = FeatureStore(definitions=[service])
        store.build_training_set(service, spine, output=output, report=reports.append)
    assert (reports[0].at_once is not None) == snapshot
    return {**watch.read(), "content_hash": reports[0].content_hash}


SCORED_AT = 1_731_000_000_000_000
"""In November of the year in which facts happen."""


def _imports() -> None:
    """What a build imports on its way, done before the clock runs, as it is for the baseline. Arrow's first scalar
    imports pandas where that is installed: a second that has nothing to do with anyone's joins."""
    import pyarrow as pa

    from featurestore.retrieval import build  # noqa: F401

    pa.scalar(0)


def training_service(folder: str, kind: str, files: str = "facts_*.parquet") -> Any:
    """Five latest features over a folder's facts. kind: "event", "created" or "versioned"."""
    from featurestore import Entity, FeatureService, FeatureView, ParquetSource, latest

    known: dict[str, Any] = {
        "event": {},
        "created": {"created_timestamp": "k"},
        "versioned": {"created_timestamp": "k", "row_key": ["id"], "deleted": "deleted"},
    }[kind]
    source = ParquetSource(name="facts", path=f"{folder}/{files}", event_timestamp="e", **known)
    view = FeatureView(
        name="newest", entities=[Entity(name="key")], source=source,
        features=[latest(column) for column in ("v1", "v2", "v3", "v4", "v5")],
    )  # fmt: skip
    return FeatureService(name="bench", features=[view])


def seventeen_service(folder: str) -> Any:
    """Five latest values and twelve features of windows over a folder's facts, in one view."""
    from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

    source = ParquetSource(name="facts", path=f"{folder}/facts_*.parquet", event_timestamp="e", delay="0s")
    windows = [agg.count(window=WINDOWS), *(getattr(agg, name)("v2", window=WINDOWS) for name in ("sum", "mean", "max"))]
    features = [*(latest(f"v{n}") for n in range(1, 6)), *windows]
    view = FeatureView(name="view", entities=[Entity(name="key")], source=source, features=features)
    return FeatureService(name="bench", features=[view])


def build_seventeen(folder: str, output: str, profile: bool = False) -> dict[str, Any]:
    """profile: write one beside the training set."""
    from featurestore import FeatureStore

    os.environ["FEATURESTORE_PROFILES__BUILDS"] = str(profile).lower()
    if profile:
        from featurestore.profiles import collector, files  # noqa: F401

    _imports()
    service = seventeen_service(folder)
    with Stopwatch() as watch:
        store = FeatureStore(definitions=[service])
        store.build_training_set(service, f"{folder}/spine.parquet", output=output)
    return watch.read()


def audit_seventeen(folder: str, file: str) -> dict[str, Any]:
    return _audited(seventeen_service(folder), file, {})


def audit_latest(folder: str, file: str, renamed: dict[str, str]) -> dict[str, Any]:
    return _audited(training_service(folder, "event"), file, renamed)


def _audited(service: Any, file: str, renamed: dict[str, str]) -> dict[str, Any]:
    from featurestore import FeatureStore
    from featurestore.audit import training_set  # noqa: F401

    _imports()
    with Stopwatch() as watch:
        found = FeatureStore(definitions=[service]).audit(file, service, renamed=renamed)
    return {**watch.read(), "rows": found.rows, "leaks": found.leaks, "ok": found.ok}


def build_in_memory(folder: str, output: str, calls: int) -> dict[str, Any]:
    """What Feast is asked, asked of us: a pandas frame in, an Arrow table out, the best of a few calls."""
    import pandas as pd
    import pyarrow.parquet as pq

    from featurestore import FeatureStore

    _imports()
    service = training_service(folder, "event", files="facts_0.parquet")
    store = FeatureStore(definitions=[service])
    spine = pd.read_parquet(f"{folder}/spine.parquet")
    seconds = []
    for _ in range(calls):
        with Stopwatch() as watch:
            table = store.build_training_set(service, spine)
        seconds.append(watch.read()["seconds"])
    pq.write_table(table, output)
    return {"seconds": min(seconds)}


PROJECT = """
from featurestore import Entity, FeatureView, ParquetSource, latest
source = ParquetSource(name="facts", path="{folder}/facts_*.parquet", event_timestamp="e", created_timestamp="k")
view = FeatureView(
    name="newest", entities=[Entity(name="key")], source=source,
    features=[latest(column) for column in ("v1", "v2", "v3", "v4", "v5")],
)
"""


def materialize(folder: str) -> dict[str, Any]:
    """A first run of a project's view into LMDB, from files to a store that answers."""
    from featurestore import FeatureStore

    _imports()
    with tempfile.TemporaryDirectory(dir=folder) as root:
        Path(root, "registry").mkdir()
        Path(root, "featurestore.toml").write_text("format = 1\n", encoding="utf-8")
        Path(root, "registry", "views.py").write_text(PROJECT.format(folder=folder), encoding="utf-8")
        with Stopwatch() as watch:
            store = FeatureStore(root)
            (report,) = store.materialize(known_before="2025-06-01T00:00:00Z")
        store.online.close()
    return {**watch.read(), "keys": report.keys}


def build_postgres(url: str, output: str, spine: int, keys: int) -> dict[str, Any]:
    """Two latest values and two windows of the table `facts` there. Spine rows are spread over the table's year."""
    import pyarrow as pa

    from featurestore import Entity, FeatureService, FeatureStore, FeatureView, PostgresSource, agg, latest

    _imports()
    facts = PostgresSource(name="facts", table="public.facts", url=url, event_timestamp="e", delay="0s")
    features = [latest("amount"), latest("country"), agg.sum("amount", window="7d"), agg.count(window="1d")]
    view = FeatureView(name="v", entities=[Entity(name="key", join_keys=["key"])], source=facts, features=features)
    service = FeatureService(name="s", features=[view])
    year, start = 31_536_000_000_000, 1_735_689_600_000_000
    at = pa.array([start + i * year // spine for i in range(1, spine + 1)], pa.int64()).cast(pa.timestamp("us", "UTC"))
    asked = pa.table({"key": pa.array([i * 7907 % keys for i in range(spine)], pa.int64()), "as_of": at})
    store = FeatureStore(definitions=[service])
    with Stopwatch() as watch:
        store.build_training_set(service, asked, output=output)
    return watch.read()


def drift(folder: str, sample: int | None) -> dict[str, Any]:
    """Two training sets compared, feature by feature and all together."""
    from featurestore.monitoring.drift import compare

    _imports()
    with Stopwatch() as watch:
        found = compare(f"{folder}/reference.parquet", f"{folder}/current.parquet", sample=sample)
    names = [feature.name for feature in found.features if feature.name != "*"]
    alerts = [feature.name for feature in found.alerts if feature.name != "*"]
    told = {"features": len(names), "rows": found.current.rows, "alerts": alerts, "error": found.error}
    return {**watch.read(), **told}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "baseline": baseline, "build": build, "build_in_memory": build_in_memory, "materialize": materialize,
    "plain_windows": plain_windows, "build_windows": build_windows, "build_seventeen": build_seventeen,
    "audit_seventeen": audit_seventeen, "audit_latest": audit_latest, "build_large": build_large, "score": score,
    "build_postgres": build_postgres, "drift": drift,
}  # fmt: skip


def peak_mb() -> float:
    """The most memory this process has held, in MB of a million bytes."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


if __name__ == "__main__":
    found = TASKS[sys.argv[1]](**json.loads(sys.argv[2]))
    print(json.dumps({"peak_mb": peak_mb(), **found}))
