"""Serve a project's online store over HTTP until told to stop.

One process by default; with more workers each opens the store itself, after it was started: LMDB does not survive a fork.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from featurestore.config import Config
from featurestore.errors import StoreError, UsageError
from featurestore.intervals import SystemClock, parse_duration
from featurestore.retrieval.online_features import OnlineReader
from featurestore.server.app import Application, create_app
from featurestore.server.late import LateStore
from featurestore.server.readiness import Readiness, awaited
from featurestore.store import online_identity, open_online, push_folder

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than the pools of clients and balancers keep theirs."""
GRACE = 5
"""Seconds that requests under way have when the server is told to stop."""
STARTS_WITHIN = 60
"""Seconds after which a worker that says nothing is replaced: on a busy machine imports alone may take many."""


def serve(
    config: Config,
    root: Path,
    host: str | None = None,
    port: int | None = None,
    workers: int = 1,
    manifest: Path | None = None,
) -> None:
    """Answer look-ups until SIGTERM or SIGINT. Says where on stderr as soon as connections are taken.

    Args:
        root: the project folder, for the paths in `config`; only the online store below it is read.
        host, port: instead of those in `config`; port 0 is any that is free.
        manifest: sql/manifest.json; /ready is 503 until every service in it that is kept online has a generation.
    Raises: UsageError FS107 (a store that no other process can fill, a bad manifest), StoreError FS407 (address taken).
    """
    if config.online.store == "memory":
        what = "online.store = 'memory' cannot be served: no other process could fill it"
        raise UsageError("FS107", what, hint='store = "lmdb"')
    names = awaited(manifest) if manifest is not None else []
    with _bound(host or config.server.host, config.server.port if port is None else port) as listening, _quiet_signals():
        settings = _settings(partial(_application, config, root, names), workers)
        address = _address(listening)
        if workers > 1:
            listening.listen(settings.backlog)
            _tell(address)
            Multiprocess(settings, [listening]).run()
        else:
            _Server(settings, lambda: _tell(address)).run([listening])


def _application(config: Config, root: Path, names: list[str]) -> Application:
    """What each worker runs, made in the worker."""
    opening, identity = partial(open_online, config, root, read_only=True), partial(online_identity, config, root)
    store = LateStore(opening, identity, lambda: reader.forget())
    reader = OnlineReader(store, SystemClock())
    skew = parse_duration(config.online.push_skew, what="online.push_skew")
    folder = partial(push_folder, root)
    return create_app(reader, limits=config.server, readiness=Readiness(names), push_folder=folder, push_skew=skew)


class _Server(uvicorn.Server):
    """Says when it takes connections."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _settings(application: Callable[[], Application], workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        factory=True,
        workers=workers,
        interface="asgi3",
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=STARTS_WITHIN,
    )


def _bound(host: str, port: int) -> socket.socket:
    """A socket at the address, open for connections of the family that the host names."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        hint = "another --port, or --port 0 for any that is free"
        raise StoreError("FS407", f"cannot serve on {host}:{port}: {error.strerror or error}", hint=hint) from None
    listening.set_inheritable(True)
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tell(address: str) -> None:
    print(f"serving on {address}", file=sys.stderr, flush=True)


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises a signal again once it has stopped for it. Being told to stop is no failure: the exit code is 0."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["serve"]
