"""Look-ups of twenty features: beside a bare ASGI application, with windows, of a hundred keys, of one key with a million
facts, while five million keys are being materialized, and with a log of what is served.

    python benchmarks/online.py            all of it, as JSON

Projects are generated; servers, load and materializer are processes of their own, on the same two cores.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb

import serve

KEYS, FACTS_PER_KEY, BUSY, MANY_KEYS = 100_000, 10, 1_000_000, 5_000_000
LOG_EVERY, LOG_ROUNDS, LOG_SECONDS = "2s", 11, 1.2
WATERMARK = "2025-01-01T00:00:00Z"
WINDOWS = 'agg.count(window=["1d", "7d", "30d"]), agg.sum("c0", window=["7d", "30d"]), agg.max("c0", window="30d"),'
REGISTRY = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

key = Entity(name="key", join_keys=["key"])
facts = ParquetSource(name="facts", path="data/facts.parquet", event_timestamp="e", delay="0s")
first = FeatureView(name="first", entities=[key], source=facts, features=[latest(f"c{i}") for i in range(10)])
second = FeatureView(name="second", entities=[key], source=facts, features=[
    WINDOWS *[latest(f"c{i}", name=f"d{i}") for i in range(LATEST)],
])
service = FeatureService(name="service", features=[first, second])
"""


def make_project(root: Path, *, windows: bool, keys: int, per_key: int = FACTS_PER_KEY) -> Path:
    """A project of two views with ten features each, of which six are windows or none, and its filled store."""
    (root / "registry").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "featurestore.toml").write_text('[project]\nname = "bench"\n', encoding="utf-8")
    text = REGISTRY.replace("WINDOWS", WINDOWS if windows else "").replace("LATEST", "4" if windows else "10")
    (root / "registry" / "features.py").write_text(text, encoding="utf-8")
    columns = ", ".join(f"CAST(hash(i, {c}) % 100000 AS DOUBLE) / 100 AS c{c}" for c in range(10))
    year = "TIMESTAMPTZ '2024-11-20T00:00:00Z' + to_microseconds(CAST(hash(i, 'e') % 3456000000000 AS BIGINT))"
    duckdb.sql(
        f"COPY (SELECT i % {keys} AS key, {year} AS e, {columns} FROM range({keys * per_key}) AS t(i)) "
        f"TO '{root}/data/facts.parquet' (FORMAT parquet)"
    )
    _featurestore("materialize", "--project", str(root), "--known-before", WATERMARK)
    return root


def _featurestore(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "featurestore.cli", *arguments], check=True, capture_output=True, env=serve.environment()
    )


def question(keys: list[int]) -> dict[str, Any]:
    return {"feature_service": "service", "entities": {"key": keys}, "as_of": "2025-01-03T00:00:00Z"}


def _paced(port: int, body: bytes, rate: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, serve.__file__, "--paced", str(port), body.decode(), str(rate)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _project(scratch: Path, name: str, **options: Any) -> Path:
    """Made once, however often it is measured."""
    root = scratch / name
    return root if root.exists() else make_project(root, **options)


Found = dict[str, tuple[float, str] | tuple[float, str, str]]
"""Figure -> value, details, and the unit of one that is no ratio."""


def one_key(scratch: Path) -> Found:
    """One key: rates of ours and of an application that only sends the same bytes; ours at half its rate; and in process."""
    project = _project(scratch, "plain", windows=False, keys=KEYS)
    body = json.dumps(question([7])).encode()
    with serve.server("--ours", str(project)) as port:
        answer = serve.once(port, body)
        with serve.server("--bare", answer.hex()) as bare:
            found = serve.rounds({"ours": port, "bare": bare}, body)
        ours = found["ours"]
        half = min((_paced(port, body, ours["rate"] / 2) for _ in range(3)), key=lambda one: one["p99_ms"])
    rates = f"ours {ours['rate']:,.0f} requests/s, a bare ASGI application {found['bare']['rate']:,.0f}"
    paced = f"at {half['rate']:,.0f} requests/s"
    return {
        "lookup_bare": (ours["rate"] / found["bare"]["rate"], f"{rates}; one key, 20 features of 2 views"),
        "lookup_p50": (half["p50_ms"], paced, "ms"),
        "lookup_p99": (half["p99_ms"], paced, "ms"),
        "lookup_in_process": (serve.in_process(project, question([7])), "one key, 20 features of 2 views", "µs"),
    }


def hundred_keys(scratch: Path) -> Found:
    projects = {name: _project(scratch, name, windows=name == "windows", keys=KEYS) for name in ("plain", "windows")}
    body = json.dumps(question(list(range(0, 100 * 997, 997)))).encode()
    with serve.server("--ours", str(projects["plain"])) as plain, serve.server("--ours", str(projects["windows"])) as windows:
        found = serve.rounds({"plain": plain, "windows": windows}, body)
    plain_ms, windows_ms = found["plain"]["p50_ms"], found["windows"]["p50_ms"]
    told = f"six windows of {FACTS_PER_KEY} facts a key {windows_ms:.2f} ms, none {plain_ms:.2f} ms"
    return {
        "lookup_hundred": (plain_ms, "100 keys, 20 latest features of 2 views, over HTTP", "ms"),
        "lookup_windows": (windows_ms / plain_ms, told),
    }


def serve_log(scratch: Path) -> Found:
    """One key, with a log of what is served and without: the ratio of the medians of rounds in turn."""
    project = _project(scratch, "plain", windows=False, keys=KEYS)
    body = json.dumps(question([7])).encode()
    given = {"ON": "true", "EVERY": LOG_EVERY, "MAX_SIZE": "100MB"}
    logs = {"off": {}, "default": given, "all": {**given, "SAMPLE": "1"}}
    with ExitStack() as servers:
        ports = {
            name: servers.enter_context(
                serve.server("--ours", str(project), **{f"FEATURESTORE_SERVE_LOG__{key}": value for key, value in log.items()})
            )
            for name, log in logs.items()
        }
        rates = {name: statistics.median(some) for name, some in serve.rates(ports, body, LOG_ROUNDS, LOG_SECONDS).items()}
    told = f"off {rates['off']:,.0f} requests/s; one key, 20 features of 2 views, a file every {LOG_EVERY}"
    return {
        "serve_log": (rates["default"] / rates["off"], f"a tenth logged, {told}"),
        "serve_log_all": (rates["all"] / rates["off"], f"all logged, {told}"),
    }


def busy_key(scratch: Path) -> Found:
    project = _project(scratch, "busy", windows=True, keys=1, per_key=BUSY)
    body = json.dumps(question([0])).encode()
    with serve.server("--ours", str(project)) as port:
        found = serve.rounds({"ours": port}, body)["ours"]
    return {"lookup_busy": (found["p50_ms"], f"{BUSY:,} facts of one key, six windows; p99 {found['p99_ms']:.2f} ms", "ms")}


def while_materializing(scratch: Path) -> Found:
    """p99 at 500 requests a second, at rest and while the store asked gets a new generation of MANY_KEYS keys."""
    body = json.dumps(question([7])).encode()
    many = _project(scratch, "many", windows=False, keys=10, per_key=1)
    columns = ", ".join(f"CAST(i % {7 + c} AS DOUBLE) AS c{c}" for c in range(10))
    duckdb.sql(
        f"COPY (SELECT i AS key, TIMESTAMPTZ '2024-12-01T00:00:00Z' AS e, {columns} FROM range({MANY_KEYS}) AS t(i)) "
        f"TO '{many}/data/facts.parquet' (FORMAT parquet)"
    )
    with serve.server("--ours", str(many)) as port:
        _paced(port, body, 500)
        idle = min(_paced(port, body, 500)["p99_ms"] for _ in range(3))
        command = [sys.executable, "-m", "featurestore.cli", "materialize", "--project", str(many), "first", "--full"]
        start = time.perf_counter()
        run = subprocess.Popen(
            [*command, "--known-before", WATERMARK],
            env=serve.environment(),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        busy = []
        while run.poll() is None:
            busy.append(_paced(port, body, 500)["p99_ms"])
        seconds = time.perf_counter() - start
    if run.returncode:
        raise RuntimeError("the materializer failed")
    median = sorted(busy)[len(busy) // 2]
    told = f"median of {len(busy)} stretches {median:.2f} ms, the worst {max(busy):.2f} ms; at rest {idle:.2f} ms; "
    return {"lookup_materializing": (median / idle, f"{told}{MANY_KEYS:,} keys in {seconds:.0f} s, on the same two cores")}


MEASURED: dict[str, Callable[[Path], Found]] = {
    "lookup_one": one_key, "lookup_hundred": hundred_keys, "lookup_busy": busy_key, "lookup_materializing": while_materializing,
    "serve_log": serve_log,
}  # fmt: skip
"""Case -> what measures it."""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({name: measure(Path(folder)) for name, measure in MEASURED.items()}, indent=2))
