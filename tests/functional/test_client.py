"""`Client` and `AsyncClient`: the answers of a real server as they are in process, its errors, and what else may answer."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featurestore.client
from featurestore import AsyncClient, Client, FeatureStore, FeatureStoreError, StoreError, UsageError
from featurestore.client import Pushed
from featurestore.errors import RequestError, TooEarly, UnknownName
from featurestore.intervals import parse_instant
from tests.functional import fleet
from tests.functional.conftest import environment
from tests.functional.serving import serving

INCLUDE = ("statuses", "event_timestamps")
Call = Callable[..., Any]


class Fleet:
    def __init__(self, root: Path, url: str, now: int) -> None:
        self.store, self.url, self.now = FeatureStore(root), url, now


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("client") / "fleet"
    now = fleet.make_project(root)
    with serving(root) as served:
        yield Fleet(root, f"http://127.0.0.1:{served.port}", now)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """`call(url, method, *arguments)` asks by either client."""
    if request.param == "sync":

        def ask(url: str, method: str, *arguments: Any, api_key: str | None = None, options: Any = None, **fields: Any) -> Any:
            with Client(url, api_key, **(options or {})) as client:
                return getattr(client, method)(*arguments, **fields)

        return ask

    def ask_async(
        url: str, method: str, *arguments: Any, api_key: str | None = None, options: Any = None, **fields: Any
    ) -> Any:
        async def asking() -> Any:
            async with AsyncClient(url, api_key, **(options or {})) as client:
                return await getattr(client, method)(*arguments, **fields)

        return asyncio.run(asking())

    return ask_async


# --- answers ----------------------------------------------------------------------------------------------------------

QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("dispatch", {"entities": {"driver_id": [1, 2, 3, 2**53 + 1, 5, 99, None], "shop": ["x", "x", "y", None, "x", "", "x"]}}),
    ("dispatch", {"entities": [{"driver_id": 1, "shop": "x"}, {"driver_id": 2}]}),
    ("dispatch", {"entities": {"driver_id": 1, "shop": "y"}}),
    ("dispatch", {"entities": {"driver_id": [], "shop": []}}),
    ("general", {"entities": {"driver_id": (1, 3, 99)}}),
    ("priced", {"entities": {"driver_id": [1, 2, 5, 1]}, "request": {"fare": [8.0, None, math.nan, Decimal("2.5")]}}),
    ("priced", {"entities": {"driver_id": 1}, "request": {"fare": -math.inf}}),
]


@pytest.mark.parametrize("service, question", QUESTIONS, ids=[f"{s}-{i}" for i, (s, _) in enumerate(QUESTIONS)])
def test_an_answer_is_the_one_given_in_process(asked: Fleet, call: Call, service: str, question: dict[str, Any]) -> None:
    as_of = time.time_ns() // 1_000
    theirs = call(asked.url, "get_online_features", service, **question, as_of=as_of, include=INCLUDE)
    ours = asked.store.get_online_features(service, **question, as_of=as_of)
    for name in ("feature_service", "fingerprint", "as_of", "feature_names", "feature_types", "watermarks", "statuses",
                 "event_timestamps"):  # fmt: skip
        assert getattr(theirs, name) == getattr(ours, name), name
    assert repr(theirs.rows) == repr(ours.rows)  # as text: NaN is then equal, and types are told apart
    assert repr(theirs.to_dict()) == repr(ours.to_dict())
    assert theirs.to_arrow().equals(ours.to_arrow()) or "nan" in repr(ours.rows)
    assert theirs.to_arrow().schema.equals(ours.to_arrow().schema, check_metadata=True)


def test_values_are_python_s(asked: Fleet) -> None:
    with Client(asked.url) as client:
        entities = {"driver_id": [2**53 + 1, 1, 5], "shop": ["x"] * 3}
        big, one, nan = client.get_online_features("dispatch", entities).rows
    assert big[:4] == [2**53 + 3, 0.1, 'x"\u2028', ["é"]]
    assert one[4:8] == [b"\x00\xff", True, asked.now - 90_000_000, date(2024, 10, 4)]
    assert math.isnan(nan[1])


def test_as_of_may_be_text_microseconds_or_now(asked: Fleet, call: Call) -> None:
    before = time.time_ns() // 1_000
    now = call(asked.url, "get_online_features", "general", {"driver_id": 1}).as_of
    assert before <= now <= time.time_ns() // 1_000
    for as_of in (now, datetime.fromtimestamp(now // 10**6, UTC).isoformat()[:19] + f".{now % 10**6:06d}+00:00"):
        assert call(asked.url, "get_online_features", "general", {"driver_id": 1}, as_of=as_of).as_of == now


def test_what_was_not_included_says_so(asked: Fleet, call: Call) -> None:
    found = call(
        asked.url, "get_online_features", "general", {"driver_id": 1}, include=["event_timestamps", "event_timestamps"]
    )
    assert found.event_timestamps == [[None, None, None]]
    with pytest.raises(UsageError, match=r"FS565 statuses were not asked for .* include=\(\"statuses\",\)"):
        _ = found.statuses
    assert repr(found).startswith("RemoteFeatures('general', as_of=20")


def test_services_and_readiness(asked: Fleet, call: Call) -> None:
    services = {service.name: service for service in call(asked.url, "feature_services")}
    assert set(services) == {"dispatch", "priced", "general"}
    assert services["dispatch"].keys == {"driver_id": "integer", "shop": "text"}
    assert services["priced"].request == {"fare": "double"}
    assert services["general"].features == {"meals": "int64", "trips": "int64", "cities": "map<string, int64>"}
    expected = asked.store.get_online_features("priced", {"driver_id": 1}, request={"fare": 1})
    assert services["priced"].watermarks == expected.watermarks
    assert call(asked.url, "ready") is True


def test_one_client_serves_many_threads_and_many_tasks(asked: Fleet) -> None:
    expected = [40, None, None, 2**53 + 3, 5]
    keys = [1, 2, 3, 2**53 + 1, 5]
    found: list[Any] = [None] * 40

    def ask(client: Client, i: int) -> None:
        found[i] = client.get_online_features("dispatch", {"driver_id": keys[i % 5], "shop": "x"}).rows[0][0]

    with Client(asked.url + "/") as client:
        threads = [threading.Thread(target=ask, args=(client, i)) for i in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == expected * 8

    async def asking() -> list[Any]:
        async with AsyncClient(asked.url) as client:
            questions = ({"driver_id": keys[i % 5], "shop": "x"} for i in range(40))
            answers = await asyncio.gather(*(client.get_online_features("dispatch", question) for question in questions))
            return [answer.rows[0][0] for answer in answers]

    assert asyncio.run(asking()) == expected * 8


# --- errors -----------------------------------------------------------------------------------------------------------

ERRORS: list[tuple[dict[str, Any], type[FeatureStoreError], str]] = [
    ({"service": "generals", "entities": {}}, UnknownName, "FS501"),
    ({"service": "general", "entities": {}}, RequestError, "FS502"),
    ({"service": "general", "entities": {"driver_id": 1, "x": 1}}, RequestError, "FS502"),
    ({"service": "general", "entities": {"driver_id": 1}, "include": ["status"]}, RequestError, "FS502"),
    ({"service": "general", "entities": {"driver_id": ["1"]}}, RequestError, "FS504"),
    ({"service": "general", "entities": {"driver_id": [1.5]}}, RequestError, "FS504"),
    ({"service": "priced", "entities": {"driver_id": [1]}, "request": {"fare": ["x"]}}, RequestError, "FS504"),
    ({"service": "priced", "entities": {"driver_id": [1]}, "request": {"fare": [1, 2]}}, RequestError, "FS504"),
    ({"service": "general", "entities": {"driver_id": 1}, "as_of": "2020-01-01T00:00:00Z"}, TooEarly, "FS503"),
    ({"service": "general", "entities": {"driver_id": 1}, "as_of": "2020-01-01"}, UsageError, "FS103"),
]


@pytest.mark.parametrize("question, kind, code", ERRORS)
def test_errors_have_the_class_and_code_they_have_in_process(
    asked: Fleet, call: Call, question: dict[str, Any], kind: type[FeatureStoreError], code: str
) -> None:
    with pytest.raises(FeatureStoreError) as here:
        asked.store.get_online_features(**question)
    with pytest.raises(FeatureStoreError) as there:
        call(asked.url, "get_online_features", **question)
    for raised in (here, there):
        assert (type(raised.value), raised.value.code) == (kind, code), raised.value
    if question.get("include") is None:
        assert (there.value.known, there.value.hint) == (here.value.known, here.value.hint)


def test_too_many_rows_are_told_by_the_server(asked: Fleet, call: Call) -> None:
    with pytest.raises(RequestError, match="FS508"):
        call(asked.url, "get_online_features", "general", {"driver_id": [1] * 10_001})


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, object(), datetime(2026, 1, 1), {1, 2}])
def test_what_cannot_be_sent_is_refused_before(call: Call, value: Any) -> None:
    with pytest.raises(RequestError, match="FS504"):
        call("http://127.0.0.1:9", "get_online_features", "general", {"driver_id": [value]})


@pytest.mark.parametrize("entities", [[1, 2], "driver_id", [("driver_id", 1)]])
def test_entities_that_are_neither_columns_nor_rows(call: Call, entities: Any) -> None:
    with pytest.raises(RequestError, match="FS504"):
        call("http://127.0.0.1:9", "get_online_features", "general", entities)
    with pytest.raises(UsageError, match="FS565"):
        call("http://127.0.0.1:9", "get_online_features", object(), {"driver_id": 1})


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://x", "http://", "", None, "http://x?y", "http://a b", "http://[::1", "http://x:y"]
)
def test_a_url_that_is_none(url: Any) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(UsageError, match="FS565"):
            kind(url)


@pytest.mark.parametrize("key", ["", "é", "a\nb"])
def test_a_key_no_header_may_hold(key: str) -> None:
    with pytest.raises(UsageError, match="FS565") as raised:
        Client("http://127.0.0.1:9", key)
    assert key == "" or key not in str(raised.value)


def test_nobody_there(call: Call) -> None:
    for method in ("ready", "feature_services"):
        with pytest.raises(StoreError, match=r"FS563 http://127\.0\.0\.1:9 cannot be reached"):
            call("http://127.0.0.1:9", method)


# --- what else may answer, and pushes ---------------------------------------------------------------------------------


class Scripted:
    """A real HTTP server that gives the answers it was told to, one after another, and keeps what it was asked."""

    def __init__(self, answers: list[tuple[int, dict[str, str], bytes]]) -> None:
        self.answers, self.asked = answers, list[tuple[str, str, dict[str, str], bytes]]()

    @contextmanager
    def running(self) -> Iterator[str]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                script.asked.append((self.command, self.path, headers, body))
                status, given, content = script.answers[min(len(script.asked), len(script.answers)) - 1]
                self.send_response(status)
                for name, value in {**given, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def problem(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    told = {
        "type": "about:blank",
        "title": "",
        "status": status,
        "detail": "so",
        "code": code,
        "where": "",
        "known": [],
        "try": "",
    }
    return status, {"content-type": "application/problem+json", **headers}, json.dumps(told).encode()


def found(answer: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"content-type": "application/json"}, json.dumps(answer).encode()


BUSY = problem(503, "FS510", **{"retry-after": "0"})
SERVICES = found({"feature_services": []})


@pytest.mark.parametrize("busy", [BUSY, problem(429, "FS510", **{"retry-after": "0"})])
def test_a_busy_server_is_asked_again_as_often_as_said(call: Call, busy: Any) -> None:
    script = Scripted([busy, busy, SERVICES])
    with script.running() as url:
        assert call(url, "feature_services") == []
        assert len(script.asked) == 3
    for options, asked in (({}, 3), ({"retries": 0}, 1), ({"retries": 4}, 5)):
        script = Scripted([busy])
        with script.running() as url, pytest.raises(StoreError, match="FS510"):
            call(url, "feature_services", options=options)
        assert len(script.asked) == asked


def test_it_waits_as_long_as_it_is_told_but_not_for_ever(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(featurestore.client, "LONGEST_WAIT", 0.3)
    script = Scripted(
        [problem(503, "FS510", **{"retry-after": "3600"}), problem(503, "FS510", **{"retry-after": "0.1"}), SERVICES]
    )
    start = time.monotonic()
    with script.running() as url:
        assert call(url, "feature_services") == []
        assert 0.4 <= time.monotonic() - start < 3


@pytest.mark.parametrize("headers", [{}, {"retry-after": "Fri, 31 Dec 2027 23:59:59 GMT"}, {"retry-after": "nan"}])
def test_without_a_time_to_wait_it_is_not_asked_again(call: Call, headers: dict[str, str]) -> None:
    script = Scripted([problem(503, "FS510", **headers)])
    with script.running() as url, pytest.raises(StoreError, match="FS510"):
        call(url, "feature_services")
    assert len(script.asked) == 1


def test_not_ready_is_false_and_not_waited_for(call: Call) -> None:
    script = Scripted([BUSY])
    with script.running() as url:
        assert call(url, "ready") is False
    assert len(script.asked) == 1


STRANGERS: list[Any] = [
    (502, {"content-type": "text/html"}, b"<html>Bad gateway</html>"),
    (503, {"content-type": "application/json"}, b'{"detail": "no"}'),
    (404, {}, b""),
    (200, {"content-type": "text/html"}, b"<html>Welcome</html>"),
    (200, {"content-type": "application/json"}, b"[]"),
    (200, {"content-type": "application/json"}, b"{}"),
    (200, {"content-type": "application/vnd.apache.arrow.stream"}, b"nonsense"),
    (301, {"location": "https://example.org/"}, b""),
]


@pytest.mark.parametrize("answer", STRANGERS, ids=[f"{a[0]}-{a[2][:10]!r}" for a in STRANGERS])
@pytest.mark.parametrize("method, arguments", [
    ("ready", ()), ("feature_services", ()), ("get_online_features", ("s", {})), ("push", ("s", [])),
])  # fmt: skip
def test_another_s_answer_is_told_from_ours(call: Call, answer: Any, method: str, arguments: Any) -> None:
    script = Scripted([answer])
    with script.running() as url, pytest.raises(StoreError, match=f"FS564 {url}/.* answered {answer[0]}"):
        call(url, method, *arguments)


def test_a_push_sends_rows_and_tells_what_was_taken(call: Call) -> None:
    script = Scripted([found({"accepted": 2, "known_at": "2026-01-02T03:04:05.000006Z"})])
    rows = [
        {"id": 1, "at": datetime(2026, 1, 1, tzinfo=UTC), "day": date(2026, 1, 2), "x": math.nan},
        {"id": 2, "raw": b"\xff"},
        {"id": np.int64(3), "x": np.float32("nan"), "y": np.array([1.5, math.inf]), "d": Decimal("0.10"), "n": Decimal(7)},
    ]
    with script.running() as url:
        known_at = parse_instant("2026-01-02T03:04:05.000006Z")
        assert call(url, "push", "payments", rows) == Pushed(accepted=2, known_at=known_at)
    [(method, path, headers, body)] = script.asked
    assert (method, path, headers["content-type"]) == ("POST", "/v1/push/payments", "application/json")
    assert json.loads(body) == {
        "rows": [
            {"id": 1, "at": "2026-01-01T00:00:00+00:00", "day": "2026-01-02", "x": "NaN"},
            {"id": 2, "raw": "/w=="},
            {"id": 3, "x": "NaN", "y": [1.5, "Infinity"], "d": "0.10", "n": 7},
        ]
    }


@pytest.mark.parametrize("source", ["", "../x", "a/b", "a b", "é", None])
def test_a_source_s_name_is_no_path(call: Call, source: Any) -> None:
    with pytest.raises(UsageError, match="FS565"):
        call("http://127.0.0.1:9", "push", source, [])


def test_a_key_goes_along_as_bearer_and_only_then(call: Call) -> None:
    script = Scripted([SERVICES])
    with script.running() as url:
        call(url, "feature_services", api_key="s3cret")
        call(url, "feature_services")
    assert script.asked[0][2]["authorization"] == "Bearer s3cret"
    assert "authorization" not in script.asked[1][2]


def test_a_silent_server_is_given_up(call: Call) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(StoreError, match="FS563"):
            call(f"http://127.0.0.1:{silent.getsockname()[1]}", "feature_services", options={"timeout": 0.2})
        assert time.monotonic() - start < 5


# --- what it imports --------------------------------------------------------------------------------------------------


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)


def test_the_client_imports_neither_store_nor_server_nor_engine() -> None:
    heavy = ("duckdb", "lmdb", "fastapi", "uvicorn", "sqlglot", "polars", "featurestore.store", "featurestore.server")
    done = python(
        f"import sys; from featurestore import Client; Client('http://x'); print([m for m in {heavy} if m in sys.modules])"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_without_httpx_it_says_what_to_install() -> None:
    done = python("import sys; sys.modules['httpx'] = None; from featurestore import AsyncClient; AsyncClient('http://x')")
    assert "FS566 the client needs httpx, which is not installed · try pip install 'featurestore[client]'" in done.stderr
