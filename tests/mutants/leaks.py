"""Small worlds in which `prove` is asked whether a mutant leaks: a source of each kind, a view of latest values and windows."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pyarrow as pa

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, agg, latest
from featurestore.audit.proof import Proof
from featurestore.audit.prove import prove
from featurestore.retrieval import build

HOUR = 3_600 * 10**6
START = 1_700_000_000 * 10**6
SPAN = 40 * HOUR
KEYS = 12
_TIME = pa.timestamp("us", "UTC")
SOURCES: dict[str, dict[str, Any]] = {
    "at_once": {"delay": "0s"},
    "delayed": {"delay": "2h"},
    "created": {"created_timestamp": "k"},
    "created_or_event": {"created_timestamp": "k", "created_null": "event", "delay": "1h"},
    "versions": {"created_timestamp": "k", "row_key": ["fact"], "deleted": "gone"},
    "ordered": {"created_timestamp": "k", "row_key": ["fact"], "row_order": "version"},
}


def rows(kind: str, seed: int = 0, count: int = 400) -> pa.Table:
    """Facts of a few keys over some hours; known late, or loaded ahead, where the kind has known times of its own."""
    rng = Random(f"{kind} {seed}")
    e = [START + rng.randrange(SPAN) for _ in range(count)]
    lateness = [rng.choice((0, 0, 1, HOUR, 9 * HOUR, -HOUR)) for _ in range(count)]
    k = [None if rng.random() < 0.05 else t + late for t, late in zip(e, lateness, strict=True)]
    facts = [rng.randrange(count // 2) for _ in range(count)]
    return pa.table(
        {
            "key": [rng.randrange(KEYS) for _ in range(count)],
            "e": pa.array(e, _TIME),
            "k": pa.array(k, _TIME),
            "fact": facts,
            "version": [rng.randrange(9) for _ in range(count)],
            "gone": [rng.random() < 0.1 for _ in range(count)],
            "x": [rng.choice((1.5, 2.25, -3.0, 1e9, None)) for _ in range(count)],
            "s": [rng.choice(("a", "b", "c")) for _ in range(count)],
        }
    )


def spine(seed: int = 0, count: int = 120) -> pa.Table:
    rng = Random(f"spine {seed}")
    at = [START + rng.randrange(SPAN // 4, SPAN) for _ in range(count)]
    return pa.table({"key": [rng.randrange(KEYS + 1) for _ in range(count)], "as_of": pa.array(at, _TIME)})


def service(kind: str, *, exact: bool = False, table: pa.Table | None = None) -> FeatureService:
    source = ArrowSource(name="facts", table=rows(kind) if table is None else table, event_timestamp="e", **SOURCES[kind])
    view = FeatureView(
        name="view", entities=[Entity(name="who", join_keys=["key"])], source=source, where="s <> 'c'", ttl="20h",
        allow_exact_matches=exact,
        features=[latest("x"), latest("s"), agg.sum("x", window=["3h", "12h"]), agg.last("x", window=None),
                  agg.count(window="12h", offset="1h", name="then")],
    )  # fmt: skip
    return FeatureService(name="service", features=[view])


def proof(kind: str, *, exact: bool = False, plan: str = "auto", probes: int = 1, seed: int = 0) -> Proof:
    """What prove says of the code as it runs now."""
    asked = service(kind, exact=exact)
    store = FeatureStore(definitions=[asked])
    return prove(
        store.bound_service(asked), spine(), sources=store.source_of, identities=store.identities,
        settings=replace(store.engine_settings(), threads=1, window_plan=plan), probes=probes, seed=seed,
        request=build.request(engine="duckdb"),
    )  # fmt: skip
