"""Look-ups of twenty features: beside a bare ASGI application, with windows, of a hundred keys, of one key with a million
facts, and while five million keys are being materialized.

    python benchmarks/online.py            all of it, as JSON

Projects are generated; servers, load and materializer are processes of their own, on the same two cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

import serve

KEYS, FACTS_PER_KEY, BUSY, MANY_KEYS = 100_000, 10, 1_000_000, 5_000_000
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


def measure(scratch: Path) -> dict[str, Any]:
    """Everything; see the keys of the result."""
    plain = make_project(scratch / "plain", windows=False, keys=KEYS)
    windowed = make_project(scratch / "windowed", windows=True, keys=KEYS)
    busy = make_project(scratch / "busy", windows=True, keys=1, per_key=BUSY)
    found: dict[str, Any] = {"one": _beside_bare(plain)}
    found["hundred"] = _hundred({"plain": plain, "windows": windowed})
    found["busy"] = _latencies(busy, [0])
    found["in_process_us"] = serve.in_process(plain, question([7]))
    found["while_materializing"] = _while_materializing(scratch, plain)
    return found


def question(keys: list[int]) -> dict[str, Any]:
    return {"feature_service": "service", "entities": {"key": keys}, "as_of": "2025-01-03T00:00:00Z"}


def _beside_bare(project: Path) -> dict[str, Any]:
    """One key: rates of ours and of an application that only sends the same bytes; and ours at half its rate."""
    body = json.dumps(question([7])).encode()
    with serve.server("--ours", str(project)) as ours:
        answer = serve._once(ours, body)
        with serve.server("--bare", answer.hex()) as bare:
            found = serve._rounds({"ours": ours, "bare": bare}, body)
        paced = min((_paced(ours, body, found["ours"]["rate"] / 2) for _ in range(3)), key=lambda one: one["p99_ms"])
    return {**found, "ratio": round(found["ours"]["rate"] / found["bare"]["rate"], 3), "half_load": paced}


def _paced(port: int, body: bytes, rate: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, serve.__file__, "--paced", str(port), body.decode(), str(rate)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _hundred(projects: Mapping[str, Path]) -> dict[str, Any]:
    body = json.dumps(question(list(range(0, 100 * 997, 997)))).encode()
    with serve.server("--ours", str(projects["plain"])) as plain, serve.server("--ours", str(projects["windows"])) as windows:
        found = serve._rounds({"plain": plain, "windows": windows}, body)
    return {**found, "ratio": round(found["windows"]["p50_ms"] / found["plain"]["p50_ms"], 3)}


def _latencies(project: Path, keys: list[int]) -> dict[str, float]:
    body = json.dumps(question(keys)).encode()
    with serve.server("--ours", str(project)) as port:
        return serve._rounds({"ours": port}, body)["ours"]


def _while_materializing(scratch: Path, project: Path) -> dict[str, Any]:
    """p99 over one connection, at rest and while another project's first run writes MANY_KEYS keys into a store of its own
    on the same machine; and while the same store gets a new generation of all its keys."""
    body = json.dumps(question([7])).encode()
    many = scratch / "many"
    make_project(many, windows=False, keys=10, per_key=1)
    columns = ", ".join(f"CAST(i % {7 + c} AS DOUBLE) AS c{c}" for c in range(10))
    duckdb.sql(
        f"COPY (SELECT i AS key, TIMESTAMPTZ '2024-12-01T00:00:00Z' AS e, {columns} FROM range({MANY_KEYS}) AS t(i)) "
        f"TO '{many}/data/facts.parquet' (FORMAT parquet)"
    )
    with serve.server("--ours", str(many)) as port:
        _paced(port, body, 500)
        idle = min(_paced(port, body, 500)["p99_ms"] for _ in range(3))
        command = [sys.executable, "-m", "featurestore.cli", "materialize", "--project", str(many), "first"]
        start = time.perf_counter()
        run = subprocess.Popen(
            [*command, "--full", "--known-before", WATERMARK],
            env=serve.environment(),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        busy = []
        while run.poll() is None:
            busy.append(_paced(port, body, 500)["p99_ms"])
        seconds = time.perf_counter() - start
    busy.sort()
    return {
        "idle_p99_ms": idle, "p99_ms": busy, "median_ratio": round(busy[len(busy) // 2] / idle, 2),
        "keys": MANY_KEYS, "seconds": round(seconds, 1), "rc": run.returncode,
    }  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder)), indent=2))
