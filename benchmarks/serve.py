"""One-key look-ups over HTTP, beside a static FastAPI route that returns the same bytes on the same server settings.

    python benchmarks/serve.py PROJECT        a project whose online store is filled

Both servers run in processes of their own; the load comes from a third. Rounds alternate and the best of each counts,
since noise only takes away.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONNECTIONS = 16
ROUNDS = 5
SECONDS = 1.5
PATH = "/v1/online-features"


def measure(project_root: str | Path) -> dict[str, Any]:
    """Requests per second and latencies of a one-key look-up and of the static route, and what the look-up costs in process.

    Returns: {"ours": {"rate", "p50_ms", "p99_ms"}, "static_fastapi": {…}, "ratio", "in_process_us", "features"}; rates over
    16 connections, latencies over one.
    """
    root = Path(project_root).resolve()
    question, features = one_key(root)
    body = json.dumps(question).encode()
    with server("--ours", str(root)) as ours:
        answer = once(ours, body)
        with server("--static", answer.hex()) as static:
            assert once(static, body) == answer
            found = rounds({"ours": ours, "static_fastapi": static}, body)
    ratio = found["ours"]["rate"] / found["static_fastapi"]["rate"]
    return {**found, "ratio": round(ratio, 3), "in_process_us": in_process(root, question), "features": features}


def one_key(root: Path) -> tuple[dict[str, Any], int]:
    """A look-up of one entity that the first service knows, as of its watermark; and how many features that gives."""
    from featurestore import config
    from featurestore.intervals import SystemClock, format_instant
    from featurestore.online.codec import decode_key
    from featurestore.retrieval.online_features import OnlineReader
    from featurestore.store import open_online

    store = open_online(config.load(root), root, read_only=True)
    with store.read() as snapshot:
        name, service = next(iter(OnlineReader(store, SystemClock()).services(snapshot).items()))
        entities: dict[str, list[Any]] = {}
        for view in service.views:
            key, _ = next(snapshot.scan(view.table))
            for column, value in zip(view.key_columns, decode_key(key[1:], view.families), strict=True):
                entities.setdefault(column, [value])
    store.close()
    as_of = format_instant(service.watermark)
    return {"feature_service": name, "entities": entities, "as_of": as_of}, len(service.feature_names)


def in_process(root: Path, question: dict[str, Any]) -> float:
    """Microseconds of one `get_online_features`."""
    from featurestore import FeatureStore

    store = FeatureStore(root)
    name, entities, as_of = question["feature_service"], question["entities"], question["as_of"]
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(300):
            store.get_online_features(name, entities, as_of=as_of)
        best = min(best, (time.perf_counter() - start) / 300)
    return round(best * 1e6, 1)


def environment(**settings: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE.parent), **settings}


@contextmanager
def server(*arguments: str, **settings: str) -> Iterator[int]:
    """A server process on a free port; settings: of its environment. Gives: the port."""
    command = [sys.executable, __file__, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(**settings))
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        if "serving on" not in said:
            raise RuntimeError(said + process.stderr.read())
        yield int(said.rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.wait(10)


def rounds(ports: dict[str, int], body: bytes) -> dict[str, dict[str, float]]:
    loads = {name: _load(port, body) for name, port in ports.items()}
    best = {name: dict(one) for name, one in loads.items()}
    for number in range(1, ROUNDS):
        for name in list(ports)[:: -1 if number % 2 else 1]:
            for what, value in _load(ports[name], body).items():
                best[name][what] = (max if what == "rate" else min)(best[name][what], value)
    return best


def rates(ports: dict[str, int], body: bytes, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Requests per second over 16 connections, round after round; the order of the servers turns from one to the next."""
    found: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(rounds):
        for name in list(ports)[:: -1 if number % 2 else 1]:
            command = [sys.executable, __file__, "--rate", str(ports[name]), body.decode(), str(seconds)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(float(done.stdout))
    return found


def _load(port: int, body: bytes) -> dict[str, float]:
    """One round of load, from a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--load", str(port), body.decode()], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _request(port: int, body: bytes, path: str = PATH) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


def once(port: int, body: bytes, path: str = PATH) -> bytes:
    """The body of one answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_request(port, body, path))
        head, _, rest = _until_head(connection)
        length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
        while len(rest) < length:
            rest += connection.recv(65_536)
    assert head.startswith(b"HTTP/1.1 200"), head + rest
    return rest


def _until_head(connection: socket.socket) -> tuple[bytes, bytes, bytes]:
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65_536)
    return got.partition(b"\r\n\r\n")


class _Client(asyncio.Protocol):
    """Asks again as soon as it is answered; bodies are all of one length."""

    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self._request, self._latencies = request, latencies
        self._got, self._head, self._length = b"", -1, 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head < 0:
            return
        if head != self._head:  # a request's id may have one more digit
            lines = self._got[:head].split(b"\r\n")
            body = next(int(h.split(b":")[1]) for h in lines if h.lower().startswith(b"content-length"))
            self._head, self._length = head, head + 4 + body
        if len(self._got) >= self._length:
            assert len(self._got) == self._length
            assert self._got.startswith(b"HTTP/1.1 200")
            self._latencies.append(time.perf_counter() - self._asked)
            self._got = b""
            self._ask()


async def clients(port: int, body: bytes, connections: int, seconds: float, path: str = PATH) -> tuple[float, list[float]]:
    """Answers per second over so many connections, and the seconds each took, sorted."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    request = _request(port, body, path)
    made = [await loop.create_connection(lambda: _Client(request, latencies), "127.0.0.1", port) for _ in range(connections)]
    await asyncio.sleep(0.2)
    latencies.clear()
    start = time.perf_counter()
    await asyncio.sleep(seconds)
    rate = len(latencies) / (time.perf_counter() - start)
    for transport, _ in made:
        transport.abort()
    return rate, sorted(latencies)


def load(port: int, body: bytes) -> dict[str, float]:
    import uvloop

    rate, _ = uvloop.run(clients(port, body, CONNECTIONS, SECONDS))
    _, latencies = uvloop.run(clients(port, body, 1, SECONDS))
    place = len(latencies) - 1
    return {
        "rate": round(rate),
        "p50_ms": round(latencies[place // 2] * 1e3, 3),
        "p99_ms": round(latencies[place * 99 // 100] * 1e3, 3),
    }


def rate(port: int, body: bytes, seconds: float) -> float:
    import uvloop

    return uvloop.run(clients(port, body, CONNECTIONS, seconds))[0]


async def _paced(port: int, body: bytes, rate: float) -> list[float]:
    """Latencies at a rate, over so many connections that none waits for another; counted from when each was due."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[_Single] = asyncio.Queue()
    request, latencies = _request(port, body), list[float]()
    made = [await loop.create_connection(lambda: _Single(request, latencies, waiting), "127.0.0.1", port) for _ in range(32)]
    for _, client in made:
        waiting.put_nowait(client)
    start, asked = time.perf_counter(), 0
    while (now := time.perf_counter()) - start < SECONDS:
        due = start + asked / rate
        if due > now:
            await asyncio.sleep(due - now)
        (await waiting.get()).ask(due)
        asked += 1
    await asyncio.sleep(0.2)
    for transport, _ in made:
        transport.abort()
    return sorted(latencies)


class _Single(asyncio.Protocol):
    """Asks once when told to, and says when it may be told again."""

    def __init__(self, request: bytes, latencies: list[float], waiting: asyncio.Queue[_Single]) -> None:
        self._request, self._latencies, self._waiting = request, latencies, waiting
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, due: float) -> None:
        self._due = due
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, rest = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length"))
        if len(rest) >= length:
            assert head.startswith(b"HTTP/1.1 200"), head
            self._got = b""
            self._latencies.append(time.perf_counter() - self._due)
            self._waiting.put_nowait(self)


def paced(port: int, body: bytes, rate: float) -> dict[str, float]:
    import uvloop

    latencies = uvloop.run(_paced(port, body, rate))
    place = len(latencies) - 1
    return {
        "rate": round(rate),
        "p50_ms": round(latencies[place // 2] * 1e3, 3),
        "p99_ms": round(latencies[place * 99 // 100] * 1e3, 3),
    }


def serve_ours(root: Path) -> None:
    from featurestore import config
    from featurestore.server.run import serve

    serve(config.load(root), root, port=0)


def serve_static(answer: bytes) -> None:
    """The same bytes from a FastAPI route, by the same server with the same settings."""
    from fastapi import FastAPI, Response

    app = FastAPI()

    @app.post(PATH)
    async def static() -> Response:
        return Response(answer, media_type="application/json")

    _serve(app)


def serve_bare(answer: bytes) -> None:
    """The same bytes from a plain ASGI function that reads the request and looks at nothing."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            for part in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{part}.complete"})
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    _serve(bare)


def _serve(app: Any) -> None:
    from featurestore.server import run

    with run._bound("127.0.0.1", 0) as listening:
        address = run._address(listening)
        run._Server(run._settings(lambda: app, 1), lambda: run._tell(address)).run([listening])


def main(arguments: list[str]) -> None:
    match arguments:
        case ["--ours", root]:
            serve_ours(Path(root))
        case ["--static", answer]:
            serve_static(bytes.fromhex(answer))
        case ["--bare", answer]:
            serve_bare(bytes.fromhex(answer))
        case ["--paced", port, body, aim]:
            print(json.dumps(paced(int(port), body.encode(), float(aim))))
        case ["--rate", port, body, seconds]:
            print(rate(int(port), body.encode(), float(seconds)))
        case ["--load", port, body]:
            print(json.dumps(load(int(port), body.encode())))
        case [root]:
            print(json.dumps(measure(root), indent=2))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
