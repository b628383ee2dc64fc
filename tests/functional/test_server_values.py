"""Every value type over HTTP: what cannot be said in JSON is said in text, and keys come back as they went."""

from __future__ import annotations

import asyncio
import base64
import math
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pyarrow as pa
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, agg, latest
from featurestore.intervals import FixedClock, parse_instant
from featurestore.server import create_app
from featurestore.server.lookups import PATH

NOW = parse_instant("2026-01-02T00:00:00Z")
EVENT = pa.array([NOW - 10], pa.int64()).cast(pa.timestamp("us", "UTC"))

# Arrow type, value, as JSON has it; and as it has it with "int64": "string" where that differs.
VALUES: list[tuple[Any, Any, Any, Any]] = [
    (pa.bool_(), True, True, True),
    (pa.int8(), -128, -128, -128),
    (pa.int64(), 2**63 - 1, 2**63 - 1, str(2**63 - 1)),
    (pa.uint64(), 2**64 - 1, 2**64 - 1, str(2**64 - 1)),
    (pa.float64(), 0.1, 0.1, 0.1),
    (pa.float64(), math.nan, "NaN", "NaN"),
    (pa.float64(), math.inf, "Infinity", "Infinity"),
    (pa.float64(), -math.inf, "-Infinity", "-Infinity"),
    (pa.float32(), math.nan, "NaN", "NaN"),
    (pa.float32(), 0.10000000149011612, 0.10000000149011612, 0.10000000149011612),
    (pa.decimal128(38, 10), Decimal("1234567890123456789012345678.0123456789"), "1234567890123456789012345678.0123456789", ...),
    (pa.decimal128(12, 10), Decimal("0E-10"), "0.0000000000", ...),
    (pa.string(), 'é\u2028"\\😀', 'é\u2028"\\😀', ...),
    (pa.binary(), b"\x00\xff", "AP8=", ...),
    (pa.date32(), date(1969, 12, 31), "1969-12-31", ...),
    (pa.timestamp("us", "UTC"), -1, "1969-12-31T23:59:59.999999Z", ...),
    (pa.list_(pa.float64()), [1.0, math.nan, None, -math.inf], [1.0, "NaN", None, "-Infinity"], ...),
    (pa.list_(pa.int64()), [1, None, 2**62], [1, None, 2**62], ["1", None, str(2**62)]),
    (pa.list_(pa.string()), ["a", None], ["a", None], ...),
    (pa.list_(pa.date32()), [date(2024, 2, 29), None], ["2024-02-29", None], ...),
    (pa.list_(pa.decimal128(5, 1)), [Decimal("1.0")], ["1.0"], ...),
    (pa.string(), None, None, ...),
]

KEYS: list[tuple[Any, Any, Any]] = [
    (pa.int64(), -(2**63), -(2**63)),
    (pa.uint64(), 2**64 - 1, 2**64 - 1),
    (pa.decimal128(38, 0), Decimal(10**37), str(10**37)),
    (pa.string(), "", ""),
    (pa.string(), "\x00é😀" * 300, "\x00é😀" * 300),
    (pa.bool_(), False, False),
    (pa.date32(), date(2024, 2, 29), "2024-02-29"),
    (pa.binary(), b"\x00\xff" * 300, base64.b64encode(b"\x00\xff" * 300).decode()),
]


def app_over(columns: dict[str, Any], keys: list[str], features: list[Any]) -> Any:
    """The server's application over one row of a table in memory."""
    source = ArrowSource(name="rows", table=pa.table({"at": EVENT, **columns}), event_timestamp="at", delay="0s")
    entities = [Entity(name="thing", join_keys=keys)] if keys else []
    view = FeatureView(name="things", entities=entities, source=source, features=features)
    store = FeatureStore(definitions=[FeatureService(name="service", features=[view])], clock=FixedClock(NOW))
    store.materialize()
    return create_app(store.reader)


def post(app: Any, **question: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post(PATH, json={"feature_service": "service", **question})

    return asyncio.run(send())


@pytest.mark.parametrize("dtype, value, shown, as_text", VALUES, ids=[f"{v[0]} {str(v[1])[:12]}" for v in VALUES])
def test_a_value_is_written_without_loss(dtype: Any, value: Any, shown: Any, as_text: Any) -> None:
    array = pa.array([value], pa.int64()).cast(dtype) if pa.types.is_timestamp(dtype) else pa.array([value], dtype)
    app = app_over({"k": [1], "x": array}, ["k"], [latest("x")])
    answer = post(app, entities={"k": [1]}, include=["event_timestamps"]).json()
    assert answer["rows"] == [[shown]]
    assert type(answer["rows"][0][0]) is type(shown)
    assert answer["event_timestamps"] == [["2026-01-01T23:59:59.999990Z"]]
    text = post(app, entities={"k": ["1"]}, int64="string").json()["rows"]
    assert text == [[shown if as_text is ... else as_text]]


# Arrow type, values of one key, an aggregate, as JSON has it, and with "int64": "string".
TIME = pa.timestamp("us", "UTC")
AGGREGATED: list[tuple[Any, list[Any], Any, Any, Any]] = [
    (pa.string(), ["b", "a", "b", None], agg.histogram("x", window=None), [["b", 2], ["a", 1]], [["b", "2"], ["a", "1"]]),
    (pa.int64(), [2**62, 7, 7], agg.histogram("x", window=None), [[7, 2], [2**62, 1]], [["7", "2"], [str(2**62), "1"]]),
    (pa.float64(), [math.nan, math.inf, 0.5, math.nan], agg.histogram("x", k=2, window=None), [["NaN", 2], [0.5, 1]],
     [["NaN", "2"], [0.5, "1"]]),
    (pa.date32(), [date(2024, 2, 29)], agg.histogram("x", window=None), [["2024-02-29", 1]], [["2024-02-29", "1"]]),
    (TIME, [3], agg.histogram("x", window=None), [["1970-01-01T00:00:00.000003Z", 1]], [["1970-01-01T00:00:00.000003Z", "1"]]),
    (pa.decimal128(5, 1), [Decimal("1.0")], agg.histogram("x", window=None), [["1.0", 1]], [["1.0", "1"]]),
    (pa.bool_(), [None], agg.histogram("x", window=None), [], []),
    (TIME, [3, 5], agg.last_k("x", k=1, window=None), ["1970-01-01T00:00:00.000005Z"], ...),
    (pa.float64(), [math.inf, 1.0, math.nan], agg.max_k("x", k=2, window=None), ["NaN", "Infinity"], ...),
    (pa.binary(), [b"\xff", b"\x00"], agg.min_k("x", k=1, window=None), ["AA=="], ...),
    (pa.float64(), [1.0, math.inf], agg.mean("x", window=None), "Infinity", ...),
    (pa.int64(), [1, 2], agg.quantile("x", q=0.5, window=None), 1.5, ...),
    (pa.int64(), [1], agg.var_samp("x", window=None), None, ...),
    (pa.bool_(), [True, None], agg.all("x", window=None), True, ...),
    (pa.string(), ["a"], agg.time_since_last("x", window=None), 10, "10"),
]  # fmt: skip


@pytest.mark.parametrize("dtype, values, feature, shown, as_text", AGGREGATED, ids=lambda v: str(v)[:24])
def test_an_aggregate_is_written_without_loss(dtype: Any, values: list[Any], feature: Any, shown: Any, as_text: Any) -> None:
    array = pa.array(values, pa.int64()).cast(dtype) if pa.types.is_timestamp(dtype) else pa.array(values, dtype)
    times = pa.array([NOW - 10] * len(values), pa.int64()).cast(TIME)
    app = app_over({"at": times, "k": [1] * len(values), "x": array}, ["k"], [feature])
    assert post(app, entities={"k": [1]}).json()["rows"] == [[shown]]
    text = post(app, entities={"k": ["1"]}, int64="string").json()["rows"]
    assert text == [[shown if as_text is ... else as_text]]
    nobody = post(app, entities={"k": [2]}, include=["statuses"]).json()
    empty = [] if isinstance(shown, list) else None
    assert (nobody["rows"], nobody["statuses"]) == ([[empty]], [["null" if empty is None else "present"]])


@pytest.mark.parametrize("dtype, key, asked", KEYS, ids=[str(k[0]) for k in KEYS])
def test_a_key_of_any_type_finds_its_row(dtype: Any, key: Any, asked: Any) -> None:
    app = app_over({"k": pa.array([key], dtype), "x": [7]}, ["k"], [latest("x")])
    more = {"int64": "string"} if pa.types.is_decimal(dtype) else {}
    rows = post(app, entities={"k": [asked, None]}, **more).json()["rows"]
    assert rows == [["7" if more else 7], [None]]


def test_composite_keys_and_a_service_without_keys() -> None:
    both = app_over({"a": ["x"], "b": [1], "x": [7]}, ["a", "b"], [latest("x")])
    assert post(both, entities={"b": [1, 1], "a": ["x", "y"]}).json()["rows"] == [[7], [None]]
    alone = app_over({"x": [7]}, [], [latest("x"), agg.count(window="1h")])
    assert post(alone, entities={}).json()["rows"] == [[7, 1]]


WRONG_KEYS = [
    (pa.date32(), date(2024, 2, 29), ["20240229", "2024-W09-4", "2024-02-30", 3]),
    (pa.binary(), b"a", ["AP8", "not base64!", 1]),
    (pa.bool_(), True, [0, "true"]),
    (pa.string(), "a", [1, True]),
    (pa.int64(), 1, [1e300, 1.0, "1", True]),
]


@pytest.mark.parametrize("dtype, key, wrong", WRONG_KEYS, ids=[str(k[0]) for k in WRONG_KEYS])
def test_a_key_of_another_type_is_a_422(dtype: Any, key: Any, wrong: list[Any]) -> None:
    app = app_over({"k": pa.array([key], dtype), "x": [7]}, ["k"], [latest("x")])
    for asked in wrong:
        answer = post(app, entities={"k": [asked]})
        assert (answer.status_code, answer.json()["code"]) == (422, "FS504"), asked


def test_an_error_nobody_foresaw_is_a_500_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_over({"k": [1], "x": [7]}, ["k"], [latest("x")])

    def fails(*_: Any) -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr("featurestore.retrieval.online_features.Service.look_up", fails)
    answer = post(app, entities={"k": [1]})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["code"] == "FS511"
    assert "the secret" in caplog.text
