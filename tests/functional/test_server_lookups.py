"""Look-ups over HTTP: what is answered, and what every wrong request gets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from tests.functional.serving import PATH, WATERMARK, Served, make_project, serving

LIMITS = "[server]\nmax_rows = 500\nmax_body = 60000\n"
GOOD = {
    "feature_service": "fraud_v1",
    "entities": {"customer_id": [10038, 10007], "merchant_id": ["m00001", "m00002"]},
    "as_of": WATERMARK,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_project(tmp_path_factory.mktemp("served") / "shop")
    settings = root / "featurestore.toml"
    settings.write_text(settings.read_text().replace("[server]\n", LIMITS))
    return root


@pytest.fixture(scope="module")
def served(project: Path) -> Iterator[Served]:
    with serving(project) as found:
        yield found


def changed(**fields: Any) -> dict[str, Any]:
    """The good question with other fields; ... leaves one out."""
    return {name: value for name, value in {**GOOD, **fields}.items() if value is not ...}


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_has_a_row_per_entity_in_order_and_says_as_of_when(served: Served, project: Path) -> None:
    answer = served.ask(changed(include=["statuses", "event_timestamps"]))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    found = answer.json
    expected = FeatureStore(project).get_online_features("fraud_v1", GOOD["entities"], as_of=WATERMARK)
    assert list(found) == [
        "feature_service", "fingerprint", "as_of", "feature_names", "rows", "statuses", "event_timestamps", "watermarks",
    ]  # fmt: skip
    assert (found["feature_service"], found["fingerprint"]) == ("fraud_v1", expected.fingerprint)
    assert found["as_of"] == "2026-01-01T00:00:00.000000Z"
    assert found["feature_names"] == list(expected.feature_names)
    assert found["rows"] == expected.rows
    assert any(value is not None for row in found["rows"] for value in row)
    assert found["statuses"] == expected.statuses
    assert found["watermarks"] == dict.fromkeys(expected.watermarks, "2026-01-01T00:00:00.000000Z")
    events = [e for row in found["event_timestamps"] for e in row if e is not None]
    assert all(len(e) == 27 and e.endswith("Z") for e in events)


def test_statuses_and_event_timestamps_are_there_only_if_asked_for(served: Served) -> None:
    assert not {"statuses", "event_timestamps"} & set(served.ask(GOOD).json)
    assert "statuses" in served.ask(changed(include=["statuses"])).json


def test_without_as_of_the_answer_is_as_of_now(served: Served) -> None:
    assert served.ask(changed(as_of=...)).json["as_of"] > "2026-01-01T00:00:00.000000Z"


def test_an_instant_with_another_offset_is_the_same_instant(served: Served) -> None:
    assert served.ask(changed(as_of="2026-01-01T05:45:00.0000009+05:45")).json == served.ask(GOOD).json


def test_a_null_key_and_an_unknown_one_are_not_found(served: Served) -> None:
    found = served.ask(changed(entities={"customer_id": [None, 1], "merchant_id": ["m00001", None]}, include=["statuses"])).json
    country, category = (found["feature_names"].index(name) for name in ("card_country", "category"))
    assert [row[country] for row in found["statuses"]] == ["not_found", "not_found"]
    assert [row[category] for row in found["statuses"]] == ["present", "not_found"]


def test_no_entities_are_no_rows(served: Served) -> None:
    assert served.ask(changed(entities={"customer_id": [], "merchant_id": []})).json["rows"] == []


def test_integers_as_text_both_ways_where_asked_for(served: Served) -> None:
    plain = served.ask(GOOD).json
    keys = {**GOOD["entities"], "customer_id": ["10038", 10007]}
    text = served.ask(changed(entities=keys, int64="string")).json
    count = plain["feature_names"].index("count_1h")
    assert [row[count] for row in text["rows"]] == [str(row[count]) for row in plain["rows"]]
    wide = {"customer_id": ["170141183460469231731687303715884105728"], "merchant_id": [None]}
    assert served.ask(changed(entities=wide, int64="string")).status == 200


def test_colons_in_keys_are_no_repeated_names(served: Served) -> None:
    assert served.ask(changed(entities={"customer_id": [1], "merchant_id": ['a":"b:c']})).status == 200


# --- errors -----------------------------------------------------------------------------------------------------------

MALFORMED = [
    b"", b"{", b"nonsense", b'{"feature_service": NaN}', b'{"a": Infinity}', b"\xff\xfe", b'{"a": "\\ud800"}', b"{'a': 1}",
    b"[" * 5000, json.dumps(GOOD).replace('"as_of"', '"feature_service": "x", "as_of"').encode(),
    b'{"feature_service": "fraud_v1", "entities": {"customer_id": [1], "customer_id": [2], "merchant_id": ["a"]}}',
]  # fmt: skip

UNPROCESSABLE: dict[str, Any] = {
    "not an object": [],
    "a number": 3,
    "null": None,
    "unknown field": changed(limit=3),
    "no service": changed(feature_service=...),
    "service is no name": changed(feature_service=["fraud_v1"]),
    "no entities": changed(entities=...),
    "entities is a list": changed(entities=[{"customer_id": 1}]),
    "missing key column": changed(entities={"customer_id": [1]}),
    "unknown key column": changed(entities={**GOOD["entities"], "city": ["x", "y"]}),
    "key column is no list": changed(entities={**GOOD["entities"], "customer_id": 1}),
    "unequal lengths": changed(entities={"customer_id": [1], "merchant_id": ["a", "b"]}),
    "bool for an integer": changed(entities={"customer_id": [True], "merchant_id": ["a"]}),
    "text for an integer": changed(entities={"customer_id": ["1"], "merchant_id": ["a"]}),
    "float for an integer": changed(entities={"customer_id": [1.0], "merchant_id": ["a"]}),
    "integer for text": changed(entities={"customer_id": [1], "merchant_id": [1]}),
    "list for a key": changed(entities={"customer_id": [[1]], "merchant_id": ["a"]}),
    "object for a key": changed(entities={"customer_id": [{"a": 1}], "merchant_id": ["a"]}),
    "beyond 64 bits as a number": changed(entities={"customer_id": [2**64], "merchant_id": ["a"]}),
    "no integer in text": changed(entities={"customer_id": ["1e3"], "merchant_id": ["a"]}, int64="string"),
    "leading zero in text": changed(entities={"customer_id": ["007"], "merchant_id": ["a"]}, int64="string"),
    "request of no view": changed(request={"amount": [1.0]}),
    "request is no object": changed(request=None),
    "unknown include": changed(include=["values"]),
    "include is text": changed(include="statuses"),
    "int64 is not string": changed(int64="number"),
    "as_of without offset": changed(as_of="2026-02-01T00:00:00"),
    "as_of a date": changed(as_of="2026-02-01"),
    "as_of a number": changed(as_of=1767225600),
    "as_of null": changed(as_of=None),
    "as_of no day": changed(as_of="2026-02-30T00:00:00Z"),
    "as_of nonsense": changed(as_of="tomorrow"),
}


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem document, if it is one as RFC 9457 writes it."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json
    assert set(found) == {"type", "title", "status", "detail", "code", "where", "known", "try"}
    assert found["status"] == status
    assert found["detail"]
    assert found["code"].startswith("FS")
    return found


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_json_is_a_400(served: Served, body: bytes) -> None:
    problem(served.ask(body), 400)


@pytest.mark.parametrize("question", UNPROCESSABLE.values(), ids=UNPROCESSABLE.keys())
def test_wrong_fields_types_and_lengths_are_a_422(served: Served, question: Any) -> None:
    body = json.dumps(question).encode()
    problem(served.ask(body), 422)


def test_an_unknown_service_is_a_404_that_knows_the_nearest(served: Served) -> None:
    found = problem(served.ask(changed(feature_service="fraud_v2")), 404)
    assert (found["code"], found["known"], found["try"]) == ("FS501", ["fraud_v1"], "fraud_v1")


def test_an_as_of_before_the_watermark_is_a_409_that_names_it(served: Served) -> None:
    found = problem(served.ask(changed(as_of="2025-12-31T23:59:59.999999Z")), 409)
    assert "2026-01-01T00:00:00.000000Z" in found["detail"]


def test_too_many_rows_are_a_413(served: Served) -> None:
    entities = {"customer_id": [1] * 501, "merchant_id": ["a"] * 501}
    assert "500" in problem(served.ask(changed(entities=entities)), 413)["detail"]


def test_too_many_bytes_are_a_413_before_they_are_read(served: Served) -> None:
    problem(served.ask(b" " * 60_001), 413)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_body_in_chunks_is_read_and_limited_like_any_other(served: Served) -> None:
    def chunked(body: bytes) -> bytes:
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        head += "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)]
        sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
            connection.sendall(head.encode() + sent + b"0\r\n\r\n")
            return connection.recv(65_536)

    assert chunked(json.dumps(GOOD).encode()).startswith(b"HTTP/1.1 200")
    assert chunked(b" " * 61_000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_another_content_type_is_a_415(served: Served, headers: dict[str, str]) -> None:
    problem(served.send("POST", PATH, json.dumps(GOOD).encode(), headers), 415)


def test_a_charset_that_is_utf8_is_welcome(served: Served) -> None:
    kind = {"content-type": "Application/JSON; charset=UTF-8"}
    assert served.send("POST", PATH, json.dumps(GOOD).encode(), kind).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_a_405_that_names_the_right_one(served: Served, method: str) -> None:
    answer = served.send(method, PATH)
    problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_paths_nobody_made_are_a_404_and_other_methods_a_405(served: Served) -> None:
    for path in ("/v1", "/docs", "/redoc", "/v1/online-features/"):
        problem(served.get(path), 404)
    problem(served.send("POST", "/health"), 405)


# --- many at once -----------------------------------------------------------------------------------------------------


def test_answers_to_many_clients_are_never_crossed(served: Served, project: Path) -> None:
    store = FeatureStore(project)
    customers = list(range(10_000, 10_040))
    expected = {
        c: store.get_online_features("fraud_v1", {"customer_id": [c], "merchant_id": [None]}, as_of=WATERMARK).rows
        for c in customers
    }
    wrong: list[Any] = []

    def client(number: int) -> None:
        for i in range(60):
            customer = customers[(number * 7 + i * (number + 1)) % len(customers)]
            found = served.ask(changed(entities={"customer_id": [customer], "merchant_id": [None]})).json["rows"]
            if found != expected[customer]:
                wrong.append((customer, found))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len({json.dumps(rows) for rows in expected.values()}) > 20
