"""Clients that mean harm or are merely slow: they are answered or cut off in time, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.functional.serving import PATH, Served, make_project, serving

QUESTION = {"feature_service": "fraud_v1", "entities": {"customer_id": [10038], "merchant_id": ["m00001"]}}
BODY = json.dumps(QUESTION).encode()
HEAD = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("connections") / "shop", rows=500)


@pytest.fixture(scope="module")
def hasty(filled: Path) -> Iterator[Served]:
    """A server that waits for a second only, and holds 40 connections."""
    with serving(filled, receive_deadline="1s", max_connections=40) as served:
        yield served


def connect(served: Served, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=30)
    if sent:
        connection.sendall(sent)
    return connection


def until_end(connection: socket.socket) -> bytes:
    """All that comes until the other side is done."""
    got = b""
    while True:
        try:
            part = connection.recv(65_536)
        except ConnectionResetError:
            return got
        if not part:
            return got
        got += part


def asked(connection: socket.socket) -> int:
    """The status of one good request on a connection that stays open."""
    connection.sendall(HEAD + BODY)
    return answered(connection)


def answered(connection: socket.socket) -> int:
    """The status of the answer that is next."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65_536)
    head, _, rest = got.partition(b"\r\n\r\n")
    length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
    while len(rest) < length:
        rest += connection.recv(65_536)
    return int(head.split(b" ")[1])


# --- the deadline -----------------------------------------------------------------------------------------------------

LATE = {
    "nothing": (b"", b""),
    "a piece of a request line": (b"POS", b"408"),
    "empty lines": (b"\r\n\r\n", b"408"),
    "headers without an end": (b"GET /health HTTP/1.1\r\nhost: x\r\n", b"408"),
    "a head without its body": (HEAD, b"408"),
    "half a body": (HEAD + BODY[:20], b"408"),
    "half a chunk": (HEAD.replace(f"content-length: {len(BODY)}".encode(), b"transfer-encoding: chunked") + b"5\r\nab", b"408"),
    "a body nobody reads": (b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nab", b"200"),
    "a second request cut short": (HEAD + BODY + HEAD, b"200"),
    "an upgrade nobody offers": (b"GET /health HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n", b"408"),
}


@pytest.mark.parametrize("sent, status", LATE.values(), ids=LATE.keys())
def test_a_request_that_does_not_arrive_in_time_ends_its_connection(hasty: Served, sent: bytes, status: bytes) -> None:
    start = time.monotonic()
    with connect(hasty, sent) as connection:
        got = until_end(connection)
    assert 0.7 < time.monotonic() - start < 6
    assert got[9:12] == status
    if status == b"408":
        assert b"application/problem+json" in got
        assert b"FS508" in got
        assert b"connection: close" in got


def test_the_deadline_is_absolute_however_steadily_bytes_drip(hasty: Served) -> None:
    start = time.monotonic()
    with connect(hasty) as connection:
        try:
            for byte in (HEAD + BODY)[:-1]:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:  # it was closed
            pass
    assert time.monotonic() - start < 6


def test_an_idle_connection_is_no_late_one(hasty: Served) -> None:
    with connect(hasty) as connection:
        for pause in (0, 1.8, 0.1):
            time.sleep(pause)
            assert asked(connection) == 200


def test_the_deadline_begins_anew_with_each_request(hasty: Served) -> None:
    with connect(hasty) as connection:
        for _ in range(4):
            connection.sendall(HEAD)
            time.sleep(0.4)
            connection.sendall(BODY)
            assert answered(connection) == 200


def test_requests_sent_together_are_answered_in_order(hasty: Served) -> None:
    asked = (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" + HEAD + BODY) * 20
    with connect(hasty, asked + b"GET /v1 HTTP/1.1\r\nconnection: close\r\n\r\n") as c:
        got = until_end(c)
    assert [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]] == [b"200"] * 40 + [b"404"]


# --- what is no request -----------------------------------------------------------------------------------------------

MALFORMED = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a path that is none": (b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "an authority": (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a path beyond ASCII": ("GET /\u00e9 HTTP/1.1\r\nhost: x\r\n\r\n".encode(), 400),
    "a length that is none": (HEAD.replace(b"content-length: ", b"content-length: x"), 400),
    "a negative length": (HEAD.replace(b"content-length: ", b"content-length: -"), 400),
    "two lengths": (HEAD.replace(b"host: x", b"content-length: 1"), 400),
    "length and chunks": (HEAD.replace(b"host: x", b"transfer-encoding: chunked"), 400),
    "a chunk of no size": (HEAD.replace(b"content-length: ", b"transfer-encoding: chunked\r\nx: ") + b"zz\r\n", 400),
    "a header without a colon": (b"GET /health HTTP/1.1\r\nhost\r\n\r\n", 400),
    "a NUL": (b"GET /health HTTP/1.1\r\nhost: \x00\r\n\r\n", 400),
    "a head without end": (b"GET /health HTTP/1.1\r\n" + b"x: y\r\n" * 60_000, 431),
    "a header without end": (b"GET /health HTTP/1.1\r\nx: " + b"y" * 600_000, 431),
    "a path without end": (b"GET /" + b"y" * 600_000, 431),
}  # fmt: skip


@pytest.mark.parametrize("sent, status", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_request_is_a_problem_document_and_the_end(hasty: Served, sent: bytes, status: int) -> None:
    with connect(hasty) as connection:
        try:
            connection.sendall(sent)
        except OSError:  # it has heard enough
            assert status == 431
        got = until_end(connection)
    if got or status != 431:  # what was sent after the end may have taken the answer with it
        assert int(got[9:12]) == status, got
        assert b"FS524" in got
        assert b"application/problem+json" in got
    assert hasty.ask(QUESTION).status == 200


# --- many -------------------------------------------------------------------------------------------------------------


def test_half_open_connections_give_way_to_those_that_ask(filled: Path) -> None:
    with serving(filled, receive_deadline="60s", max_connections=20) as served, ExitStack() as stack:
        regular = stack.enter_context(connect(served))
        assert asked(regular) == 200
        half_open = [stack.enter_context(connect(served, HEAD)) for _ in range(60)]
        for _ in range(5):
            assert served.ask(QUESTION).status == 200
        assert asked(regular) == 200  # it was idle, and half-open ones go first
        assert until_end(half_open[0]) == b""
        assert served.metrics()['featurestore_connections_closed_total{reason="evicted"}'] >= 40
        assert served.metrics()["featurestore_connections"] <= 21


def test_beyond_the_queue_complete_requests_get_503_and_the_rest_an_answer(filled: Path) -> None:
    with serving(filled, max_queue=4) as served, connect(served) as connection:
        connection.sendall((HEAD + BODY) * 50 + b"GET /health HTTP/1.1\r\nconnection: close\r\n\r\n")
        got = until_end(connection).split(b"HTTP/1.1 ")[1:]
        statuses = [int(part[:3]) for part in got]
        assert set(statuses[:-1]) == {200, 503}
        assert statuses[:4] == [200] * 4
        assert statuses[-1] == 200  # health is never too busy
        busy = next(part for part in got if part.startswith(b"503"))
        assert b"retry-after: 1" in busy
        assert b"FS523" in busy
        told = served.metrics()
        assert told['featurestore_requests_total{route="/v1/online-features",status="503"}'] == statuses.count(503)
        assert told["featurestore_requests_in_flight"] == 1  # the one that asks
        assert served.ask(QUESTION).status == 200


def test_a_client_that_takes_no_answer_is_cut_off(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where the half minute can be made a second."""
    from featurestore.server import connections

    monkeypatch.setattr(connections, "TAKE_SECONDS", 1.0)
    shared = connections.Connections()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1_000):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})

    endless.connections = shared  # type: ignore[attr-defined]

    async def run() -> None:
        import uvicorn

        config = uvicorn.Config(endless, http=connections.Protocol, lifespan="off", proxy_headers=False, log_level="critical")
        config.load()
        state = uvicorn.server.ServerState()
        loop = asyncio.get_running_loop()
        made = await loop.create_server(lambda: connections.Protocol(config, state, {}), "127.0.0.1", 0)
        client = socket.create_connection(made.sockets[0].getsockname())
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(200):
            await asyncio.sleep(0.05)
            if shared.closed:
                break
        await asyncio.sleep(0.05)
        assert shared.closed == {"not taken": 1}
        assert (shared.open, shared.waiting) == (0, 0)
        client.close()
        made.close()
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)

    asyncio.run(run())


HALF_OPEN = 300


def test_300_half_open_connections_slow_nobody_and_are_gone_in_10_seconds(filled: Path) -> None:
    """By the settings a project has that says nothing. The machine may be busy: idle and beset times are taken in turns."""
    with serving(filled) as served:
        _latencies(served, 1.0)
        idle = _latencies(served, 3.0)
        start = time.monotonic()
        connections = [connect(served, sent) for sent in (b"", b"POST ", HEAD) for _ in range(HALF_OPEN // 3)]
        beset = _latencies(served, 3.0)
        assert served.metrics()["featurestore_connections"] >= HALF_OPEN
        ends = [_ended(connection) - start for connection in connections]
        after = _latencies(served, 3.0)
    calm = max(_p99(idle), _p99(after))
    assert max(ends) < 10
    assert min(ends) > 5
    assert _p99(beset) <= 2 * max(calm, 0.002), (idle[:3], statistics.median(idle), _p99(idle), _p99(beset))
    assert statistics.median(beset) <= 2 * max(statistics.median(idle), 0.0005)


def _latencies(served: Served, seconds: float) -> list[float]:
    """Of one client with a connection that stays open."""
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        client.request("POST", PATH, BODY, {"content-type": "application/json"})
        answer = client.getresponse()
        answer.read()
        taken.append(time.perf_counter() - start)
        assert answer.status == 200
    client.close()
    return sorted(taken)


def _p99(taken: list[float]) -> float:
    return taken[len(taken) * 99 // 100]


def _ended(connection: socket.socket) -> float:
    until_end(connection)
    connection.close()
    return time.monotonic()


CLIENTS = 64


def test_64_clients_at_once_never_get_each_others_answers(filled: Path, tmp_path: Path) -> None:
    """Each entity's value holds its key, each request its own id."""
    root = _echoing(tmp_path)
    wrong: list[Any] = []

    def client(number: int, served: Served) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=90)
        for i in range(25):
            ids = [f"client{number}-{(i * 7 + j) % 50}" for j in range(1 + i % 3)]
            body = json.dumps({"feature_service": "echo", "entities": {"id": ids}})
            asked_as = f"{number}.{i}"
            connection.request("POST", PATH, body, {"content-type": "application/json", "x-request-id": asked_as})
            answer = connection.getresponse()
            found = json.loads(answer.read())
            if found["rows"] != [[f"value of {name}"] for name in ids] or answer.getheader("x-request-id") != asked_as:
                wrong.append((ids, found, answer.getheaders()))
        connection.close()

    with serving(root, workers=2) as served:
        threads = [threading.Thread(target=client, args=(n, served)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def _echoing(folder: Path) -> Path:
    """A project whose one feature tells the key it belongs to."""
    from datetime import UTC, datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    from featurestore import FeatureStore

    root = folder / "echo"
    (root / "registry").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "featurestore.toml").write_text('[project]\nname = "echo"\n')
    (root / "registry" / "echo.py").write_text(
        "from featurestore import Entity, FeatureService, FeatureView, ParquetSource, latest\n"
        "client = Entity(name='client', join_keys=['id'])\n"
        "said = ParquetSource(name='said', path='data/said.parquet', event_timestamp='at', delay='0s')\n"
        "view = FeatureView(name='echoes', entities=[client], source=said, features=[latest('value')])\n"
        "service = FeatureService(name='echo', features=[view])\n"
    )
    ids = [f"client{number}-{i}" for number in range(CLIENTS) for i in range(50)]
    at = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * len(ids), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"id": ids, "at": at, "value": [f"value of {i}" for i in ids]}), root / "data" / "said.parquet")
    FeatureStore(root).materialize(known_before="2026-01-02T00:00:00Z")
    return root
