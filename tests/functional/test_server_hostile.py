"""Bodies that a client should not send, several hundred of them: each is answered by a 4xx problem document, never a 5xx."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.serving import PATH, Served, make_project, serving

GOOD: dict[str, Any] = {
    "feature_service": "fraud_v1",
    "entities": {"customer_id": [10038], "merchant_id": ["m00001"]},
    "as_of": "2026-02-01T00:00:00Z",
}

WRONG_TYPES: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e308, "", "x", "fraud_v1", [], [[]], [None], [True], [1.5], ["1"], [{}], {}, {"a": 1},
    {"customer_id": 1}, {"customer_id": "1"}, {"customer_id": {}}, {"customer_id": None}, {"": []},
]  # fmt: skip
"""In place of every field."""

WRONG_KEYS: list[Any] = [
    True, False, 1.0, 1.5, -0.0, 1e300, "1", "", "10038 ", [], [1], {}, {"a": 1}, 2**64, -(2**63) - 1, 2**200,
    "NaN", "é", "\x00",
    "😀", "a" * 5_000,
]  # fmt: skip

WRONG_INSTANTS: list[Any] = [
    None, 0, 1767225600, 1.5, True, [], {}, "", "now", "2026", "2026-02-01", "2026-02-01T00:00:00", "2026-02-01 00:00", "Z",
    "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-02-01T24:00:01Z", "2026-02-01T00:60:00Z",
    "2026-02-01T00:00:00+25:00",
    "2026-02-01T00:00:00.Z", "2026-02-01T00:00:00.1234567890Z", "２０２６-02-01T00:00:00Z",
    "2026-02-01T00:00:00Z\n", "-2026-02-01T00:00:00Z",
    "12026-02-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-02-01T00:00:60Z", "2026-02-01T00:00:00 Z",
    "2026-W05-1T00:00:00Z",
    "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "x" * 10_000,
]  # fmt: skip

GOOD_TEXT = json.dumps(GOOD)
NOT_JSON: list[bytes] = [
    b"", b" ", b"\x00", b"\xff",
    b"\xef\xbb\xbf" + GOOD_TEXT.encode(), GOOD_TEXT.encode("utf-16"), GOOD_TEXT.encode("utf-32"),
    b"nul", b"True", b"None", b"undefined", b"NaN", b"-Infinity", b"'x'", b"{", b"}", b"[", b"]", b"{]", b"[}",
    b"{}{}", b"{},",
    b"{'a':1}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{,"a":1}', b'{"a" 1}', b'{a:1}', b'{1:1}', b'{"a":01}',
    b'{"a":+1}', b'{"a":.5}',
    b'{"a":1.}', b'{"a":1e}', b'{"a":0x10}', b'{"a":1_000}', b'{"a":"\n"}', b'{"a":"\\x41"}', b'{"a":"\\u12"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\xc3\x28"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"x}', b"// x\n{}", b"{/**/}", b"{}#", GOOD_TEXT.encode() + b"x",
    GOOD_TEXT.encode()[:-1], GOOD_TEXT.encode() * 2, b"feature_service=fraud_v1", b"<xml/>", b"a: 1",
    b"\x1f\x8b\x08\x00" + b"\x00" * 20,
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 1_500 + b"]" * 1_500, b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
    b"-", b"--1", b"1e", b'"',
    b"\\", b"{\"a\":nan}", b'{"a":Infinity}', b'{"a":tru}',
]  # fmt: skip


def bodies() -> Iterator[tuple[str, bytes]]:
    for i, body in enumerate(NOT_JSON):
        yield f"not JSON {i}: {body[:30]!r}", body
    for field in ("feature_service", "entities", "request", "include", "int64"):
        for value in WRONG_TYPES:
            if not harmless(field, value):
                yield f"{field} = {value!r}", json.dumps({**GOOD, field: value}).encode()
    for value in WRONG_INSTANTS:
        yield f"as_of = {value!r}"[:60], json.dumps({**GOOD, "as_of": value}).encode()
    for column in ("customer_id", "merchant_id"):
        for value in WRONG_KEYS:
            if not (column == "merchant_id" and isinstance(value, str)):
                entities = {**GOOD["entities"], column: [value]}
                yield f"{column} holds {value!r}"[:60], json.dumps({**GOOD, "entities": entities}).encode()
    yield from whole()
    yield from repeated()


def harmless(field: str, value: Any) -> bool:
    """Values the field may have."""
    allowed: dict[str, list[Any]] = {"feature_service": ["fraud_v1"], "request": [{}], "include": [[]]}
    return any(type(value) is type(a) and value == a for a in allowed.get(field, []))


def whole() -> Iterator[tuple[str, bytes]]:
    """Bodies whose parts are right and whose whole is not."""
    others: dict[str, Any] = {
        "a list": [GOOD], "text": "x", "a number": 1, "null": None, "true": True, "an empty object": {},
        "a list of nothing": [],
        "no service": {k: v for k, v in GOOD.items() if k != "feature_service"},
        "no entities": {k: v for k, v in GOOD.items() if k != "entities"},
        "one key column": {**GOOD, "entities": {"customer_id": [1]}},
        "a key column too many": {**GOOD, "entities": {**GOOD["entities"], "x": [1]}},
        "unequal lengths": {**GOOD, "entities": {"customer_id": [1, 2], "merchant_id": ["a"]}},
        "one column empty": {**GOOD, "entities": {"customer_id": [], "merchant_id": ["a"]}},
        "rows instead of columns": {**GOOD, "entities": [{"customer_id": 1, "merchant_id": "a"}]},
        "nested columns": {**GOOD, "entities": {"customer_id": [[1]], "merchant_id": [["a"]]}},
        "request columns nobody takes": {**GOOD, "request": {"amount": [1.0]}},
        "too many rows": {**GOOD, "entities": {"customer_id": [1] * 501, "merchant_id": ["a"] * 501}},
        "too many values": {**GOOD, "entities": {"customer_id": [1] * 450, "merchant_id": ["a"] * 450}},
        "too many bytes": {**GOOD, "feature_service": "x" * 70_000},
        "a deep key": {**GOOD, "entities": {"customer_id": [json.loads("[" * 200 + "]" * 200)], "merchant_id": ["a"]}},
    }  # fmt: skip
    for field in (
        "limit",
        "Feature_service",
        "feature_service ",
        "entity",
        "features",
        "asof",
        "__proto__",
        "",
        "é",
        "\x00",
        "a" * 999,
    ):
        others[f"unknown field {field[:20]!r}"] = {**GOOD, field: 1}
    for name in ("fraud_v2", "FRAUD_V1", " fraud_v1", "fraud_v1\x00", "../fraud_v1", "fraud_v1'; --", "é" * 200, "a" * 5_000):
        others[f"service {name[:20]!r}"] = {**GOOD, "feature_service": name}
    for include in (["x"], ["statuses", "x"], ["Statuses"], [None], [["statuses"]], "statuses", {"statuses": True}, [1]):
        others[f"include {include!r}"] = {**GOOD, "include": include}
    for text in ("", " 1", "1 ", "+1", "007", "-0x1", "1e3", "1.0", "١", "1_0", "0x10", "NaN", "null", "1" * 400):
        entities = {"customer_id": [text], "merchant_id": ["a"]}
        others[f"integer in text {text[:20]!r}"] = {**GOOD, "int64": "string", "entities": entities}
    for name, body in others.items():
        yield name, json.dumps(body).encode()


def repeated() -> Iterator[tuple[str, bytes]]:
    """Names given twice: last-wins and first-wins readers would answer differently."""
    for field, value in GOOD.items():
        yield f"{field} twice", GOOD_TEXT[:-1].encode() + f', "{field}": {json.dumps(value)}}}'.encode()
        escaped = "".join(f"\\u{ord(c):04x}" for c in field)
        yield f"{field} twice, once escaped", GOOD_TEXT[:-1].encode() + f', "{escaped}": {json.dumps(value)}}}'.encode()
    for column in ("customer_id", "merchant_id"):
        text = GOOD_TEXT.replace(f'"{column}":', f'"{column}": [1], "{column}":')
        yield f"{column} twice", text.encode()
        yield f"{column} twice, with colons", text.replace("m00001", "a:b:c").encode()


BODIES = list(bodies())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = make_project(tmp_path_factory.mktemp("hostile") / "shop", rows=500)
    with serving(root, max_rows=500, max_body=60_000, max_cells=3_000) as found:
        yield found


def test_there_are_300_that_differ():
    assert len({body for _, body in BODIES}) >= 300


def test_each_is_a_4xx_problem_document(served: Served) -> None:
    wrong = []
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    for name, body in BODIES:
        connection.request("POST", PATH, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        told, kind = answer.read(), answer.getheader("content-type")
        fits = 400 <= answer.status < 500 and kind == "application/problem+json" and json.loads(told)["status"] == answer.status
        if not fits:
            wrong.append((name, answer.status, told[:200]))
    connection.close()
    assert wrong == []
    assert served.ask(GOOD).status == 200
    assert served.process.poll() is None


def test_the_limits_on_rows_values_and_bytes_are_413s_that_name_them(served: Served) -> None:
    told = {name: served.ask(body).json for name, body in BODIES if name.startswith("too many")}
    assert {name: t["status"] for name, t in told.items()} == dict.fromkeys(told, 413)
    assert "500" in told["too many rows"]["detail"]
    assert "3000 values" in told["too many values"]["detail"]
    assert "60000 bytes" in told["too many bytes"]["detail"]
    fits = {**GOOD, "entities": {"customer_id": [1] * 370, "merchant_id": ["a"] * 370}}
    assert served.ask(fits).status == 200
