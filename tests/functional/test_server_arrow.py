"""Answers as Arrow streams: who gets one, its types, and that it says what the JSON answer says."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, agg, latest
from featurestore.intervals import FixedClock, parse_instant
from featurestore.server import create_app
from featurestore.server.lookups import PATH

ARROW, JSON = "application/vnd.apache.arrow.stream", "application/json"
NOW = parse_instant("2026-01-02T00:00:00Z")
STAMP = pa.timestamp("us", "UTC")
VALUES: list[tuple[pa.DataType, Any]] = [
    (pa.bool_(), True),
    (pa.int8(), -128),
    (pa.int64(), 2**63 - 1),
    (pa.uint64(), 2**64 - 1),
    (pa.float32(), 0.10000000149011612),
    (pa.float64(), -math.inf),
    (pa.decimal128(38, 10), Decimal("1234567890123456789012345678.0123456789")),
    (pa.string(), 'é\u2028"\\😀'),
    (pa.binary(), b"\x00\xff"),
    (pa.date32(), date(1969, 12, 31)),
    (STAMP, -1),
    (pa.list_(pa.float64()), [1.0, None, math.inf]),
    (pa.list_(pa.date32()), [date(2024, 2, 29), None]),
    (pa.list_(pa.string()), []),
    (pa.float64(), None),
]


def ask(store: FeatureStore, accept: str | None = ARROW, **question: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(store.reader))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.headers.pop("accept")
            return await client.post(
                PATH, json=question, headers={} if accept is None else {b"accept": accept.encode("latin-1")}
            )

    return asyncio.run(send())


def table_of(answer: httpx.Response) -> pa.Table:
    assert (answer.status_code, answer.headers["content-type"]) == (200, ARROW), answer.text
    return pa.ipc.open_stream(answer.content).read_all()


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    """A feature of each type, histograms of two, and an on-demand feature."""
    columns: dict[str, Any] = {"k": [1], "e": pa.array([NOW - 10], pa.int64()).cast(STAMP)}
    for i, (type_, value) in enumerate(VALUES):
        columns[f"f{i}"] = pa.array([value], pa.int64()).cast(type_) if type_ == STAMP else pa.array([value], type_)
    source = ArrowSource(name="facts", table=pa.table(columns), event_timestamp="e", delay="0s")
    features = [latest(f"f{i}") for i in range(len(VALUES))]
    features += [agg.histogram("f7", window="1d", name="words"), agg.histogram("f9", window="1d", name="days")]
    view = FeatureView(name="all", entities=[Entity(name="thing", join_keys=["k"])], source=source, features=features, ttl="1h")
    twice = OnDemandFeatureView(name="twice", inputs=[view], request={"x": "double"}, features={"y": "x * 2", "z": "f1 + 1"})
    services = [FeatureService(name="every", features=[view]), FeatureService(name="more", features=[view[["f1"]], twice])]
    made = FeatureStore(definitions=services, clock=FixedClock(NOW))
    made.materialize(known_before=NOW)
    return made


def test_features_have_their_declared_types_and_values(store: FeatureStore) -> None:
    found = table_of(ask(store, feature_service="every", entities={"k": [1, 2]}))
    expected = store.get_online_features("every", {"k": [1, 2]})
    assert found.schema.names == list(expected.feature_names)
    for i, (type_, value) in enumerate(VALUES):
        assert found.schema.field(f"f{i}").type == type_
        stored = found[f"f{i}"].cast(pa.int64()) if type_ == STAMP else found[f"f{i}"]
        assert stored.to_pylist() == [value, None]
    assert found.replace_schema_metadata(None).equals(expected.to_arrow())
    assert found["days"].to_pylist() == [[(date(1969, 12, 31), 1)], []]


def test_statuses_and_event_timestamps_are_columns_named_as_in_training_sets(store: FeatureStore) -> None:
    question: dict[str, Any] = {
        "feature_service": "every",
        "entities": {"k": [1, 2]},
        "include": ["statuses", "event_timestamps"],
    }
    found, told = table_of(ask(store, **question)), ask(store, None, **question).json()
    names = told["feature_names"]
    assert found.schema.names == [*names, *(f"{n}__status" for n in names), *(f"{n}__event_timestamp" for n in names)]
    for i, name in enumerate(names):
        assert found[f"{name}__status"].to_pylist() == [row[i] for row in told["statuses"]]
        assert found.schema.field(f"{name}__event_timestamp").type == STAMP
        shown = [None if e is None else parse_instant(e) for e in (row[i] for row in told["event_timestamps"])]
        assert found[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist() == shown
    assert {"present", "null", "not_found"} == {status for row in told["statuses"] for status in row}


def test_an_expired_value_is_null(store: FeatureStore) -> None:
    later = {"as_of": "2026-01-02T02:00:00Z", "include": ["statuses"]}
    found = table_of(ask(store, feature_service="every", entities={"k": [1]}, **later))
    assert found.select(["f1", "f1__status", "words__status"]).to_pylist() == [
        {"f1": None, "f1__status": "expired", "words__status": "present"}
    ]


def test_on_demand_features_are_among_them(store: FeatureStore) -> None:
    question: dict[str, Any] = {"feature_service": "more", "entities": {"k": [1, 2]}, "request": {"x": [4, None]}}
    found = table_of(ask(store, **question, include=["statuses", "event_timestamps"]))
    assert found.to_pydict() | {"f1__event_timestamp": ...} == {
        "f1": [-128, None], "y": [8.0, None], "z": [-127, None],
        "f1__status": ["present", "not_found"], "y__status": ["present", "null"], "z__status": ["present", "null"],
        "f1__event_timestamp": ..., "y__event_timestamp": [None, None], "z__event_timestamp": [None, None],
    }  # fmt: skip


def test_the_schema_tells_what_answered(store: FeatureStore) -> None:
    question: dict[str, Any] = {"feature_service": "every", "entities": {"k": []}}
    found, told = table_of(ask(store, **question)), ask(store, None, **question).json()
    metadata = {name.decode(): value.decode() for name, value in found.schema.metadata.items()}
    assert json.loads(metadata.pop("watermarks")) == told["watermarks"] == {"all": "2026-01-02T00:00:00.000000Z"}
    assert metadata == {name: told[name] for name in ("feature_service", "fingerprint", "as_of")}
    assert (found.num_rows, found.num_columns) == (0, len(told["feature_names"]))


CHOICES: Mapping[str | None, str | None] = {
    None: JSON, "": JSON, "*/*": JSON, "application/*": JSON, JSON: JSON, "application/json; charset=utf-8": JSON,
    "text/html, */*;q=0.8": JSON,
    ARROW: ARROW, ARROW.upper(): ARROW, f" {ARROW} ;q=1.000": ARROW,
    f"{ARROW}, */*;q=0.1": ARROW, f"{ARROW}, */*": ARROW, f"{ARROW}, {JSON}": JSON, f"{JSON};q=0.5,{ARROW}": ARROW,
    f"{JSON}, {ARROW};q=0.9": JSON, f"{JSON};q=0, */*": ARROW, f"{ARROW};q=0, */*;q=0.1": JSON, f"{ARROW};q=0": None,
    "application/*;q=0": None, "*/*;q=0": None, "text/csv": None, "text/*": None, "json": None, "application/json;q=2": None,
    "application/json;q=x": None, "application/vnd.apache.arrow.file": None, ",": None, "é": None,
}  # fmt: skip


@pytest.mark.parametrize("accept", CHOICES)
def test_the_format_is_the_one_accepted_most(store: FeatureStore, accept: str | None) -> None:
    answer = ask(store, accept, feature_service="every", entities={"k": [1]})
    if CHOICES[accept] is not None:
        assert (answer.status_code, answer.headers["content-type"]) == (200, CHOICES[accept])
        return
    assert (answer.status_code, answer.json()["code"]) == (406, "FS561")
    assert answer.headers["content-type"] == "application/problem+json"
    assert ARROW in answer.json()["try"]


def test_errors_are_problems_whatever_is_accepted(store: FeatureStore) -> None:
    answer = ask(store, feature_service="none", entities={})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
