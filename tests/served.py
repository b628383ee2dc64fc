"""A serve log made of a store's own answers, as the server writes it; and a small project whose answers turn within hours."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import FeatureStore
from featurestore.intervals import FixedClock
from featurestore.serve_log import layout

SECOND = 1_000_000
HOUR = 3_600 * SECOND
W = 20_000 * 24 * HOUR
TIME = pa.timestamp("us", "UTC")
LOG = ".featurestore/serve_log"

DEFINITIONS = """
from featurestore import Entity, FeatureService, FeatureView, OnDemandFeatureView, ParquetSource, agg, latest

thing = Entity(name="thing", join_keys=["k"])
facts = ParquetSource(name="facts", path="data/*.parquet", event_timestamp="e", created_timestamp="c", row_key=["id"])
view = FeatureView(
    name="view", entities=[thing], source=facts, ttl="2h",
    features=[latest("x"), agg.sum("x", window="1h", name="total"), agg.count(window="1h", name="number")],
)
ratio = OnDemandFeatureView(
    name="ratio", inputs=[view], request={"amount": "double"},
    features={"x_ratio": "amount / nullif(x, 0)", "hour": "total + 1"},
)
service = FeatureService(name="service", features=[view, ratio])
"""
FEATURES = ("x", "total", "number", "x_ratio", "hour")


def project(folder: Path, settings: str = "", *, keys: int = 40, seed: int = 0) -> FeatureStore:
    """A project with facts of `keys` things in the three hours before W, materialized at W; its clock stands there."""
    rng = random.Random(seed)
    (folder / "registry").mkdir(parents=True)
    (folder / "featurestore.toml").write_text(f'[project]\nname = "things"\n{settings}')
    (folder / "registry" / "definitions.py").write_text(DEFINITIONS)
    times = [W - rng.randrange(1, 3 * HOUR) for _ in range(8 * keys)]
    facts(folder / "data" / "a.parquet", [(i, i % keys, e, min(e + rng.randrange(HOUR), W - 1)) for i, e in enumerate(times)])
    store = FeatureStore(folder, clock=FixedClock(W))
    store.materialize(known_before=W)
    return store


def facts(path: Path, rows: Sequence[tuple[int, int, int, int]]) -> None:
    """rows: (id, k, e, c)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, k, e, c = ([row[i] for row in rows] for i in range(4))
    times = {name: pa.array(values, pa.int64()).cast(TIME) for name, values in (("e", e), ("c", c))}
    pq.write_table(pa.table({"id": number, "k": k, **times, "x": [float(i % 7) for i in number]}), path)


def answered(
    store: FeatureStore, service: str, keys: Mapping[str, Sequence[Any]], t: int, **request: Sequence[Any]
) -> pa.Table:
    """What the store answers as of t, as rows of a serve log."""
    found = store.get_online_features(service, keys, as_of=t, request=request)
    n = len(found.rows)
    columns: dict[str, Any] = {
        "t": pa.array([found.as_of] * n, pa.int64()).cast(TIME),
        "served_at": pa.array([store.clock.now()] * n, pa.int64()).cast(TIME),
        "latency_us": pa.array([700] * n, pa.int64()),
        "fingerprint": [found.fingerprint] * n,
        "watermarks": [json.dumps(dict(found.watermarks))] * n,
        "request_id": [f"r{t}"] * n,
        "sampled": [1.0] * n,
        **{f"key.{name}": list(values) for name, values in keys.items()},
        **{f"request.{name}": list(values) for name, values in request.items()},
    }
    values = found.to_arrow()
    for i, name in enumerate(found.feature_names):
        columns |= {name: values[name], f"{name}__status": [told[i] for told in found.statuses]}
    return pa.table(columns)


def log(folder: Path, service: str, *tables: pa.Table, name: str = "") -> Path:
    """Write rows to the log of a project. name: of the file, where several hold the same instants."""
    table = pa.concat_tables(tables).combine_chunks().replace_schema_metadata({layout.FORMAT_KEY: b"1"})
    t = table["t"].cast(pa.int64()).to_pylist()
    path = layout.file_of(folder / LOG, service, max(t), min(t), max(t), f"1-{name or len(list((folder / LOG).rglob('*')))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def altered(table: pa.Table, column: str, changes: Mapping[int, Any]) -> pa.Table:
    """The same with other cells in some rows."""
    values = table[column].to_pylist()
    for row, value in changes.items():
        values[row] = value
    return table.set_column(table.column_names.index(column), column, pa.array(values, table[column].type))


def a_day(store: FeatureStore, *, rows: int = 400, seed: int = 0, after: int = 0) -> pa.Table:
    """Answers of the small project at instants of the three hours from `after` microseconds behind W on, some for things that
    do not exist."""
    rng = random.Random(seed)
    at = sorted(W + after + rng.randrange(3 * HOUR) for _ in range(rows // 10))
    tables = []
    for t in at:
        keys = [rng.randrange(44) for _ in range(10)]
        tables.append(answered(store, "service", {"k": keys}, t, amount=[rng.random() for _ in keys]))
    return pa.concat_tables(tables)
