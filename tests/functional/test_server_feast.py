"""POST /get-online-features over plain HTTP: what is answered, and what every wrong request gets.

Feast's own SDK and server are asked in test_feast_sdk.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, agg, latest
from featurestore.intervals import FixedClock, parse_instant
from featurestore.online.generations import moved
from featurestore.online.store import Batch
from featurestore.server import create_app, feast, keys, wire
from featurestore.server.readiness import Readiness
from tests.functional import fleet
from tests.functional.serving import Answer, Served, serving

PATH = "/get-online-features"
NONE = "1970-01-01T00:00:00Z"


class Fleet:
    def __init__(self, root: Path, now: int, served: Served) -> None:
        self.root, self.now, self.served = root, now, served

    def ask(self, question: Any = None, **fields: Any) -> Answer:
        given = question if isinstance(question, bytes) else json.dumps(fields if question is None else question).encode()
        return self.served.send("POST", PATH, given, {"content-type": "application/json"})

    def columns(self, **fields: Any) -> dict[str, dict[str, list[Any]]]:
        """The columns of an answer, by name, in order."""
        answer = self.ask(**fields)
        assert answer.status == 200, answer.body
        assert list(answer.json) == ["results", "metadata"]
        return dict(zip(answer.json["metadata"]["feature_names"], answer.json["results"], strict=True))

    def values(self, **fields: Any) -> dict[str, list[Any]]:
        return {name: column["values"] for name, column in self.columns(**fields).items()}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("feast") / "fleet"
    now = fleet.make_project(root)
    with serving(root) as served:
        yield Fleet(root, now, served)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_statuses_and_times_in_feast_s_words(asked: Fleet) -> None:
    found = asked.columns(features=["stats:trips"], entities={"driver_id": [1, 2, 3, 99, None]})
    assert found["driver_id"] == {
        "values": [1, 2, 3, 99, None],
        "statuses": [*["PRESENT"] * 4, "NULL_VALUE"],
        "event_timestamps": [NONE] * 5,
    }
    assert found["trips"]["values"] == [40, None, None, None, None]
    assert found["trips"]["statuses"] == ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND", "NOT_FOUND"]
    whole, fine, old, *none = found["trips"]["event_timestamps"]
    assert (len(whole), len(fine), len(old), none) == (20, 27, 20, [NONE, NONE])
    for shown, at in ((whole, asked.now - fleet.HOUR), (fine, asked.now - 2 * fleet.HOUR - 1_500)):
        assert parse_instant(shown) == at


def test_a_composite_key_is_two_columns_and_views_take_the_keys_they_have(asked: Fleet) -> None:
    entities = {"shop": ["x", "y", "x", "x"], "driver_id": [1, 1, 2, None]}
    found = asked.columns(features=["dishes:dish", "counts:trips", "dishes:price"], entities=entities)
    assert list(found) == ["shop", "driver_id", "dish", "price", "trips"]  # keys as given, features by view
    assert found["dish"]["values"] == ["soup", "tea", None, None]
    assert found["dish"]["statuses"] == ["PRESENT", "PRESENT", "NULL_VALUE", "NOT_FOUND"]
    assert found["trips"] == {"values": [1, 1, 1, 0], "statuses": ["PRESENT"] * 4, "event_timestamps": [NONE] * 4}


def test_a_feature_is_found_whatever_service_its_view_is_in(asked: Fleet) -> None:
    found = asked.values(features=["rules:meals", "stats:city", "dishes:price"], entities={"driver_id": [1], "shop": ["y"]})
    assert found == {"driver_id": [1], "shop": ["y"], "meals": [3], "city": ["Porto"], "price": [2]}


def test_a_service_answers_as_it_does_elsewhere(asked: Fleet) -> None:
    entities = {"driver_id": [1, 2, 3, 99], "shop": ["x", "x", "z", None]}
    theirs = asked.columns(feature_service="dispatch", entities=entities)
    ours = asked.served.ask(feature_service="dispatch", entities=entities, include=["statuses"]).json
    words = {"present": "PRESENT", "null": "NULL_VALUE", "expired": "OUTSIDE_MAX_AGE", "not_found": "NOT_FOUND"}
    assert list(theirs) == ["driver_id", "shop", *ours["feature_names"]]
    for i, name in enumerate(ours["feature_names"]):
        assert theirs[name]["statuses"] == [words[row[i]] for row in ours["statuses"]]
        if name not in ("seen", "day"):
            assert theirs[name]["values"] == [row[i] for row in ours["rows"]]


def test_full_names_begin_with_the_view_as_the_service_calls_it(asked: Fleet) -> None:
    found = asked.values(feature_service="general", entities={"driver_id": [1]}, full_feature_names=True)
    assert found == {"driver_id": [1], "rules__meals": [3], "tally__trips": [1], "tally__cities": [{"Porto": 1}]}
    priced = asked.values(feature_service="priced", entities={"driver_id": [1], "fare": [8]}, full_feature_names=True)
    assert priced == {"driver_id": [1], "stats__rate": [0.5], "share__fare_per_trip": [0.2], "share__per_count": [8.0]}


def test_views_are_told_if_asked_for(asked: Fleet) -> None:
    fields = {"features": ["counts:trips", "share:per_count"], "entities": {"driver_id": [1], "fare": [1]}}
    assert "feature_view_metadata" not in asked.ask(**fields).json["metadata"]
    told = asked.ask(**fields, include_feature_view_version_metadata=True).json["metadata"]
    assert told["feature_view_metadata"] == [{"name": "counts"}]


def test_on_demand_features_by_view_are_those_of_their_service(asked: Fleet) -> None:
    entities = {"driver_id": [1, 3, 99], "fare": [80, 5.0, None]}
    found = asked.columns(features=["share:per_count", "stats:trips", "share:fare_per_trip"], entities=entities)
    assert list(found) == ["driver_id", "trips", "per_count", "fare_per_trip"]  # computed ones last
    service = asked.columns(feature_service="priced", entities=entities)
    for name in ("per_count", "fare_per_trip"):
        assert found[name] == service[name]
    assert found["fare_per_trip"]["values"] == [2.0, None, None]
    assert found["fare_per_trip"]["statuses"] == ["PRESENT", "NULL_VALUE", "NULL_VALUE"]
    assert found["trips"]["statuses"] == ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]


def test_columns_nobody_needs_are_passed_over_and_still_count_rows(asked: Fleet) -> None:
    found = asked.values(features=["rules:meals"], entities={"__dummy_id": ["", ""]})
    assert found == {"meals": [3, 3]}
    assert asked.values(features=["rules:meals"], entities={}) == {"meals": [3]}
    assert asked.values(features=["stats:trips"], entities={"note": ["a:b"], "driver_id": [1]}) == {
        "driver_id": [1],
        "trips": [40],
    }


def test_no_entities_are_empty_columns(asked: Fleet) -> None:
    empty = {"values": [], "statuses": [], "event_timestamps": []}
    for features in (["stats:trips", "counts:trips"], ["share:per_count"]):
        entities: dict[str, Any] = {"driver_id": [], "fare": []}
        found = asked.columns(features=features, entities=entities, full_feature_names=True)
        assert list(found.values()) == [empty] * (1 + len(features))


def test_what_other_clients_write(asked: Fleet) -> None:
    entities = {"driver_id": [1]}
    assert asked.values(features=["stats@latest:trips"], entities=entities) == {"driver_id": [1], "trips": [40]}
    assert asked.values(features=["stats:trips"], feature_service=None, entities=entities)["trips"] == [40]
    assert asked.values(features=[], feature_service="general", entities=entities)["meals"] == [3]
    raw = b'{"features":["stats\\u003atrips"],"entities":{"driver_id":[1]}}'
    assert asked.ask(raw).json["results"][1]["values"] == [40]
    kind = {"content-type": "application/json; charset=utf-8", "accept": "text/html"}
    assert asked.served.send("POST", PATH, raw, kind).headers["content-type"] == "application/json"


# --- what is wrong ----------------------------------------------------------------------------------------------------

ONE = {"driver_id": [1]}
WRONG: list[tuple[Any, int, str, str]] = [
    (b"", 400, "FS505", "not JSON"),
    (b"{", 400, "FS505", "not JSON"),
    (b'{"features":["stats:trips"],"entities":{"driver_id":[NaN]}}', 400, "FS505", "not JSON"),
    (b'{"features":["stats:trips"],"features":["stats:rate"],"entities":{"driver_id":[1]}}', 400, "FS505", "twice"),
    (b'{"features":["stats:trips"],"entities":{"driver_id":[1],"driver_id":[2]}}', 400, "FS505", "twice"),
    (b'{"features":["stats\\u003atrips"],"entities":{"driver_id":[1],"driver_id":[2]}}', 400, "FS505", "twice"),
    ([], 422, "FS506", "object"),
    ({"features": ["stats:trips"]}, 422, "FS506", "entities"),
    ({"features": ["stats:trips"], "entities": None}, 422, "FS506", "entities"),
    ({"features": ["stats:trips"], "entities": [ONE]}, 422, "FS506", "entities"),
    ({"features": ["stats:trips"], "entities": {"driver_id": 1}}, 422, "FS506", "entities"),
    ({"features": "stats:trips", "entities": ONE}, 422, "FS506", "features"),
    ({"features": None, "entities": ONE}, 422, "FS506", "features"),
    ({"features": [1], "entities": ONE}, 422, "FS506", "features"),
    ({"features": [], "entities": ONE}, 422, "FS506", "either"),
    ({"entities": ONE}, 422, "FS506", "either"),
    ({"features": ["stats:trips"], "feature_service": "general", "entities": ONE}, 422, "FS506", "either"),
    ({"feature_service": 1, "entities": ONE}, 422, "FS506", "feature_service"),
    ({"feature_service": "generals", "entities": ONE}, 404, "FS501", "generals"),
    ({"features": ["stats:trips"], "entities": ONE, "full_feature_names": 1}, 422, "FS506", "full_feature_names"),
    ({"features": ["stats:trips"], "entities": ONE, "query": []}, 422, "FS506", "query"),
    ({"features": ["trips"], "entities": ONE}, 422, "FS506", "'trips'"),
    ({"features": [":trips"], "entities": ONE}, 422, "FS506", "':trips'"),
    ({"features": ["stats:"], "entities": ONE}, 422, "FS506", "'stats:'"),
    ({"features": ["stats@v2:trips"], "entities": ONE}, 422, "FS506", "stats@v2"),
    ({"features": ["stats:trips", "stats:trips"], "entities": ONE}, 422, "FS506", "twice"),
    ({"features": ["stats:trips", "counts:trips"], "entities": ONE}, 422, "FS506", "'trips'"),
    ({"features": ["stat:trips"], "entities": ONE}, 404, "FS560", "'stat'"),
    ({"features": ["stats:trip"], "entities": ONE}, 404, "FS560", "'trip'"),
    ({"features": ["share:trip"], "entities": ONE}, 404, "FS560", "'trip'"),
    ({"features": ["stats:\x00"], "entities": ONE}, 404, "FS560", "stats"),
    ({"features": ["stats:trips"], "entities": {"driver": [1]}}, 422, "FS502", "'driver_id'"),
    ({"features": ["dishes:dish"], "entities": ONE}, 422, "FS502", "'shop'"),
    ({"features": ["share:per_count"], "entities": ONE}, 422, "FS502", "'fare'"),
    ({"features": ["share:per_count"], "entities": {**ONE, "fare": ["a"]}}, 422, "FS504", "'fare'"),
    ({"features": ["stats:trips"], "entities": {"driver_id": ["1"]}}, 422, "FS504", "'driver_id'"),
    ({"features": ["stats:trips"], "entities": {"driver_id": [1.5]}}, 422, "FS504", "'driver_id'"),
    ({"features": ["stats:trips"], "entities": {"driver_id": [True]}}, 422, "FS504", "'driver_id'"),
    ({"features": ["stats:trips"], "entities": {"driver_id": [{"a": [1]}]}}, 422, "FS504", "'driver_id'"),
    ({"features": ["stats:trips"], "entities": {"driver_id": [1, 2], "note": [1]}}, 422, "FS504", "unequal"),
    ({"features": ["stats:trips"], "entities": {"driver_id": list(range(10_001))}}, 413, "FS508", "10001"),
]  # fmt: skip


@pytest.mark.parametrize("question, status, code, tells", WRONG)
def test_every_wrong_request_is_told_what_is_wrong(asked: Fleet, question: Any, status: int, code: str, tells: str) -> None:
    answer = asked.ask(question)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert tells in answer.json["detail"]


def test_only_json_by_post(asked: Fleet) -> None:
    body = json.dumps({"features": ["stats:trips"], "entities": ONE}).encode()
    assert asked.served.send("POST", PATH, body, {"content-type": "text/plain"}).status == 415
    assert asked.served.get(PATH).status == 405
    assert asked.served.get(PATH).json["detail"].startswith(PATH)


# --- in process: time, types, a store that changes --------------------------------------------------------------------

DAY = fleet.DAY
NOW = parse_instant("2026-01-02T00:00:00Z")
thing, other = Entity(name="thing", join_keys=["k"]), Entity(name="other", join_keys=["k"])


def ask(store: FeatureStore, readiness: Readiness | None = None, **question: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(store.reader, readiness=readiness))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(PATH, json=question)

    return asyncio.run(send())


def view_of(name: str, values: pa.Array, features: Any, *, key: Any = 1, entity: Entity = thing, **options: Any) -> FeatureView:
    table = pa.table({"k": [key], "e": pa.array([NOW - 10], pa.int64()).cast(pa.timestamp("us", "UTC")), "x": values})
    source = ArrowSource(name=name, table=table, event_timestamp="e", delay="0s")
    return FeatureView(name=name, entities=[entity], source=source, features=features, **options)


def store_of(*views: FeatureView, now: int = NOW) -> FeatureStore:
    return FeatureStore(definitions=[FeatureService(name="all", features=list(views))], clock=FixedClock(now))


# Arrow type, value, as Feast's server has it.
VALUES: list[tuple[Any, Any, Any]] = [
    (pa.bool_(), True, True),
    (pa.int64(), -(2**63), -(2**63)),
    (pa.uint64(), 2**64 - 1, 2**64 - 1),
    (pa.float64(), 1e308, 1e308),
    (pa.float64(), math.nan, "NaN"),
    (pa.float64(), -math.inf, "-Infinity"),
    (pa.float32(), 0.10000000149011612, 0.10000000149011612),
    (pa.string(), 'é"\\\u2028', 'é"\\\u2028'),
    (pa.binary(), b"\x00\xff", "AP8="),
    (pa.decimal128(20, 2), Decimal("12345678901234567.80"), "12345678901234567.80"),
    (pa.date32(), date(1969, 12, 31), -86_400),
    (pa.timestamp("us", "UTC"), -1, -1),
    (pa.timestamp("us", "UTC"), 1_999_999, 1),
    (pa.list_(pa.float64()), [1.0, math.nan, None], [1.0, "NaN", None]),
    (pa.list_(pa.timestamp("us", "UTC")), [2_500_000, None], [2, None]),
    (pa.list_(pa.string()), [], []),
]


@pytest.mark.parametrize("type_, value, expected", VALUES, ids=[f"{t} {v!r}"[:30] for t, v, _ in VALUES])
def test_values_are_written_as_feast_writes_them(type_: Any, value: Any, expected: Any) -> None:
    stored = pa.array([value], type_)
    store = store_of(view_of("one", stored, [latest("x")]))
    store.materialize(known_before=NOW)
    answer = ask(store, features=["one:x"], entities={"k": [1, 2]})
    assert answer.json()["results"][1]["values"] == [expected, None], answer.text
    assert answer.json()["results"][1]["statuses"] == ["PRESENT", "NOT_FOUND"]


def test_a_sum_of_large_numbers_does_not_look_infinite() -> None:
    store = store_of(view_of("one", pa.array([1.7e308]), [latest("x")]))
    store.materialize(known_before=NOW)
    assert ask(store, features=["one:x"], entities={"k": [1, 1]}).json()["results"][1]["values"] == [1.7e308, 1.7e308]


@pytest.mark.parametrize("type_, value, expected", [
    (pa.int64(), 7, {"7": 1}), (pa.string(), "a", {"a": 1}), (pa.bool_(), True, {"true": 1}),
    (pa.date32(), date(1970, 1, 2), {"86400": 1}), (pa.float64(), math.nan, {"NaN": 1}),
])  # fmt: skip
def test_a_histogram_is_an_object(type_: Any, value: Any, expected: Any) -> None:
    store = store_of(view_of("one", pa.array([value], type_), [agg.histogram("x", window="1d", name="h")]))
    store.materialize(known_before=NOW)
    assert ask(store, features=["one:h"], entities={"k": [1]}).json()["results"][1]["values"] == [expected]


def test_a_stale_cell_is_503_and_not_absent() -> None:
    """A fact known before the watermark, dated beyond the horizon: from its instant on the store cannot vouch for the key."""
    stamp = pa.timestamp("us", "UTC")
    times = {"e": [NOW - 1, NOW + 10, NOW - 1], "c": [NOW - 1] * 3}
    stamps = {name: pa.array(values, pa.int64()).cast(stamp) for name, values in times.items()}
    source = ArrowSource(name="facts", table=pa.table({"k": [1, 1, 2], **stamps, "x": [1, 2, 3]}), event_timestamp="e",
                         created_timestamp="c")  # fmt: skip
    store = store_of(FeatureView(name="one", entities=[thing], source=source, features=[latest("x")]))
    online = store.config.online.model_copy(update={"horizon": "5us"})
    store.config = store.config.model_copy(update={"online": online})
    store.materialize(known_before=NOW)
    assert ask(store, features=["one:x"], entities={"k": [1]}).json()["results"][1]["values"] == [1]
    store.clock.micros = NOW + 11  # type: ignore[attr-defined]
    assert ask(store, features=["one:x"], entities={"k": [2]}).json()["results"][1]["values"] == [3]
    answer = ask(store, features=["one:x"], entities={"k": [2, 1]})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "FS562", "1")
    assert answer.json()["detail"] == "'x' is stale for entity 1 of the request"


def test_a_sum_that_leaves_its_type_is_503_only_where_it_is_asked_for() -> None:
    at = pa.array([NOW - 10, NOW - 9], pa.int64()).cast(pa.timestamp("us", "UTC"))
    table = pa.table({"k": [1, 1], "e": at, "x": pa.array([2**62, 2**62])})
    source = ArrowSource(name="facts", table=table, event_timestamp="e", delay="0s")
    features = [agg.sum("x", window="1d", name="total"), agg.count(window="1d", name="n")]
    store = store_of(FeatureView(name="one", entities=[thing], source=source, features=features))
    store.materialize(known_before=NOW)
    assert ask(store, features=["one:n"], entities={"k": [1]}).json()["results"][1]["values"] == [2]
    assert ask(store, features=["one:total"], entities={"k": [2]}).status_code == 200
    answer = ask(store, features=["one:n", "one:total"], entities={"k": [2, 1]})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "FS562", "1")
    assert answer.json()["detail"] == "'total' is unavailable for entity 1 of the request"


def test_one_name_for_keys_of_two_types_is_refused() -> None:
    number, text = (
        view_of("number", pa.array([1]), [latest("x")]),
        view_of("text", pa.array([2]), [latest("x", name="y")], key="a", entity=other),
    )
    services = [FeatureService(name=f"of_{view.name}", features=[view]) for view in (number, text)]
    store = FeatureStore(definitions=services, clock=FixedClock(NOW))
    store.materialize(known_before=NOW)
    assert ask(store, features=["text:y"], entities={"k": ["a"]}).json()["results"][1]["values"] == [2]
    answer = ask(store, features=["number:x", "text:y"], entities={"k": [1]})
    assert (answer.status_code, answer.json()["code"]) == (422, "FS506")
    assert "integer in view 'number' and text in view 'text'" in answer.json()["detail"]


def test_before_the_first_generation_it_is_503_and_then_answers(tmp_path: Path) -> None:
    store = store_of(view_of("one", pa.array([1]), [latest("x")]))
    for question in ({"features": ["one:x"]}, {"feature_service": "all"}):
        assert ask(store, entities={"k": [1]}, **question).json()["code"] == "FS510"
    store.materialize(known_before=NOW)
    assert ask(store, features=["one:x"], entities={"k": [1]}).status_code == 200
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"format": 1, "views": {}, "services": {"all": {"instances": []}, "more": {"instances": []}}}')
    late = ask(store, Readiness(manifest), features=["two:x"], entities={"k": [1]})
    assert (late.status_code, late.json()["code"]) == (503, "FS510")


def test_the_newest_definition_of_a_view_answers_as_soon_as_it_has_a_generation() -> None:
    """A service goes on by the old one until all its views have the new; a view by its name is the view as it is now."""
    first = store_of(view_of("one", pa.array([1]), [latest("x")]), view_of("two", pa.array([5]), [latest("x", name="y")]))
    first.materialize(known_before=NOW)
    app = create_app(first.reader)
    changed = [
        view_of("one", pa.array([1]), [latest("x"), agg.count(window="1d", name="n")]),
        view_of("two", pa.array([5]), [latest("x", name="y")], ttl="9d"),
    ]
    second = store_of(*changed)
    second.online = first.online
    second.materialize(["one"], known_before=NOW)

    async def send(**question: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(PATH, json={"entities": {"k": [1]}, **question})

    assert asyncio.run(send(features=["one:n"])).json()["results"][1]["values"] == [1]
    assert asyncio.run(send(feature_service="all")).json()["metadata"]["feature_names"] == ["k", "x", "y"]
    second.materialize(["two"], known_before=NOW)
    assert asyncio.run(send(feature_service="all")).json()["metadata"]["feature_names"] == ["k", "x", "n", "y"]


def test_a_key_limited_to_services_may_ask_for_what_their_views_hold(tmp_path: Path) -> None:
    views = [view_of(name, pa.array([value]), [latest("x", name=name[0])]) for value, name in enumerate(("alpha", "beta"))]
    services = [FeatureService(name=f"of_{view.name}", features=[view]) for view in views]
    store = FeatureStore(definitions=services, clock=FixedClock(NOW))
    store.materialize(known_before=NOW)
    secret, _ = keys.add(tmp_path / "keys.toml", "scorer", services=["of_alpha"])
    app = create_app(store.reader, access=keys.Access(tmp_path / "keys.toml"))

    async def send(headers: dict[str, str], **question: Any) -> int:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.post(PATH, json={"entities": {"k": [1]}, **question}, headers=headers)).status_code

    mine = {"Authorization": f"Bearer {secret}"}
    for status, headers, question in (
        (200, mine, {"features": ["alpha:a"]}),
        (200, mine, {"feature_service": "of_alpha"}),
        (403, mine, {"features": ["beta:b"]}),
        (403, mine, {"features": ["alpha:a", "beta:b"]}),
        (403, mine, {"feature_service": "of_beta"}),
        (403, mine, {"features": ["nobody:n"]}),
        (401, {}, {"features": ["alpha:a"]}),
    ):
        assert asyncio.run(send(headers, **question)) == status, question


def test_an_on_demand_view_is_that_of_a_service_one_may_see_and_that_has_its_features(tmp_path: Path) -> None:
    view = view_of("alpha", pa.array([3.0]), [latest("x")])
    price = OnDemandFeatureView(name="price", inputs=[view], features={"twice": "x * 2", "half": "x / 2"})
    services = [FeatureService(name="mine", features=[price[["half"]]]), FeatureService(name="theirs", features=[price])]
    store = FeatureStore(definitions=services, clock=FixedClock(NOW))
    store.materialize(known_before=NOW)
    secret, _ = keys.add(tmp_path / "keys.toml", "scorer", services=["mine"])
    everything, _ = keys.add(tmp_path / "keys.toml", "boss")
    app = create_app(store.reader, access=keys.Access(tmp_path / "keys.toml"))

    async def send(secret: str, *features: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(PATH, json={"entities": {"k": [1]}, "features": list(features)}, headers=headers)

    def values(answer: httpx.Response) -> list[Any]:
        return [column["values"] for column in answer.json()["results"][1:]]

    assert values(asyncio.run(send(everything, "price:half", "price:twice"))) == [[1.5], [6.0]]
    assert values(asyncio.run(send(secret, "price:half"))) == [[1.5]]
    refused = asyncio.run(send(secret, "price:twice"))
    assert (refused.status_code, refused.json()["known"]) == (404, ["half"])
    with store.online.read() as snapshot:
        other = json.loads(snapshot.metas("service/theirs")["service/theirs"])
    other["on_demand"][0]["fingerprint"] = "of an older definition"

    def change(batch: Batch) -> None:
        batch.put_meta("service/theirs", json.dumps(other).encode())
        moved(batch)

    store.online.write(change)
    assert values(asyncio.run(send(everything, "price:twice"))) == [[6.0]]
    unclear = asyncio.run(send(everything, "price:half"))
    assert (unclear.status_code, unclear.json()["code"]) == (422, "FS506")
    assert "fed otherwise in each of the services mine, theirs" in unclear.json()["detail"]
    assert values(asyncio.run(send(secret, "price:half"))) == [[1.5]]


def test_a_limited_key_is_told_of_no_other_service(tmp_path: Path) -> None:
    view = view_of("alpha", pa.array([3.0]), [latest("x")])
    store = FeatureStore(definitions=[FeatureService(name=n, features=[view]) for n in ("one", "two")], clock=FixedClock(NOW))
    store.materialize(known_before=NOW)
    secret, _ = keys.add(tmp_path / "keys.toml", "scorer", services=["one", "ones"])
    (tmp_path / "manifest.json").write_text(json.dumps({
        "format": 1, "views": {"v": {"online": True}}, "services": {"three": {"instances": [{"view": "v"}]}},
    }))  # fmt: skip
    app = create_app(store.reader, access=keys.Access(tmp_path / "keys.toml"), readiness=Readiness(tmp_path / "manifest.json"))

    async def send(method: str, path: str, **body: Any) -> dict[str, Any]:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.request(method, path, json=body or None, headers=headers)
            return answer.json()  # type: ignore[no-any-return]

    unknown = asyncio.run(send("POST", "/v1/online-features", feature_service="ones", entities={"k": [1]}))
    assert (unknown["code"], unknown["known"], unknown["try"]) == ("FS501", ["one"], "")
    waits = asyncio.run(send("GET", "/ready"))
    assert (waits["code"], waits["known"], waits["detail"]) == ("FS510", ["one"], "a feature service has no generation")


def test_times_no_calendar_has_are_microseconds() -> None:
    year_10000 = 253_402_300_800_000_000
    for micros in (year_10000, year_10000 + 1, -(2**62)):
        assert wire.instant(micros) == feast._time(micros) == f"{micros}us"
    assert wire.instant(year_10000 - 1) == feast._time(year_10000 - 1) == "9999-12-31T23:59:59.999999Z"
