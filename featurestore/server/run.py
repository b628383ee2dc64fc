"""Serve a project's online store over HTTP until told to stop.

One process by default; with more workers each opens the store itself, after it was started: LMDB does not survive a fork.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import ipaddress
import resource
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors import Multiprocess

from featurestore.config import Config
from featurestore.errors import StoreError, UsageError
from featurestore.intervals import MICROS_PER_SECOND, SystemClock, parse_duration
from featurestore.online.store import OnlineStore
from featurestore.retrieval.online_features import OnlineReader
from featurestore.server.access_log import AccessLog, check_writable
from featurestore.server.app import Application, create_app
from featurestore.server.connections import GRACE, KEEP_ALIVE, Connections, Protocol
from featurestore.server.keys import Access
from featurestore.server.late import LateStore, LateWriter
from featurestore.server.metrics import Metrics
from featurestore.server.monitored import Monitored
from featurestore.server.readiness import Readiness
from featurestore.server.sessions import Sessions
from featurestore.store import online_identity, open_online, push_folder

if TYPE_CHECKING:
    from featurestore.server.served import ServedLog

SPARE_FILES = 256
"""Files a worker has open beside its connections, at most."""
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
    Raises: UsageError FS107 (a store that no other process can fill, a bad manifest, a name to redact that nothing has), FS121
    (an address that others reach, without API keys), FS122 (a bad file of keys), StoreError FS407 (address taken, or an access
    log that cannot be written), FS484, FS486 (a serve log that cannot be kept).
    """
    if config.online.store == "memory":
        what = "online.store = 'memory' cannot be served: no other process could fill it"
        raise UsageError("FS107", what, hint='store = "lmdb"')
    Readiness(manifest)  # what is wrong with a file is said here, before a worker trips over it
    keys = None if config.server.api_keys is None else root / config.server.api_keys
    Access(keys)
    if isinstance(config.server.access_log, str):
        check_writable(root / config.server.access_log)
    if config.serve_log.on:
        _check_serve_log(config, root)
    with (
        _bound(host or config.server.host, config.server.port if port is None else port, guarded=keys is not None) as listening,
        _quiet_signals(),
        _shared_folder(workers) as shared,
    ):
        settings = _settings(partial(_application, config, root, manifest, shared, Sessions()), workers)
        address = _address(listening)
        if workers > 1:
            listening.listen(settings.backlog)
            _tell(address)
            Multiprocess(settings, [listening]).run()
        else:
            _Server(settings, lambda: _tell(address)).run([listening])


@contextmanager
def _shared_folder(workers: int) -> Iterator[Path | None]:
    """Where workers leave their metrics for each other."""
    if workers == 1:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="featurestore-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _application(config: Config, root: Path, manifest: Path | None, shared: Path | None, sessions: Sessions) -> Application:
    """What each worker runs, made in the worker, within its loop. sessions: the same for all, so that each knows a browser that
    signed in at another."""
    opening, identity = partial(open_online, config, root), partial(online_identity, config, root)
    store = LateStore(partial(_opened, config, root), identity, lambda: reader.forget())
    reader = OnlineReader(store, SystemClock())
    server = config.server
    _allow_connections(server.max_connections)
    metrics = Metrics(shared)
    app = create_app(
        reader,
        limits=server,
        readiness=Readiness(manifest),
        access=Access(None if server.api_keys is None else root / server.api_keys, sessions),
        metrics=metrics,
        log=_access_log(server.access_log, root),
        served=_serve_log(config, root, reader),
        monitored=Monitored(root / config.monitor.path),
        push_folder=partial(push_folder, root),
        push_skew=parse_duration(config.online.push_skew, what="online.push_skew"),
        push_store=LateWriter(opening, identity),
        root=root,
        config=config,
        manifest=manifest,
    )
    loop = asyncio.get_running_loop()
    metrics.keep_leaving(loop)
    _drain_on_sigterm(app.connections, parse_duration(server.drain).micros / MICROS_PER_SECOND, loop)
    _keep_for_good()
    return app


def _keep_for_good() -> None:
    """What the program is made of stays: to look through it again and again for garbage would hold up answers."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or else libraries report at the end that it has leaked


def _opened(config: Config, root: Path) -> OnlineStore:
    """The store to read. Where rows are pushed an LMDB file that is there is opened to be written to from the beginning:
    look-ups would wait while it is opened anew."""
    if config.server.push and config.online.store == "lmdb" and online_identity(config, root) is not None:
        with suppress(StoreError):
            return open_online(config, root)
    return open_online(config, root, read_only=True)


def _access_log(setting: bool | str, root: Path) -> AccessLog | None:
    if setting is False:
        return None
    return AccessLog(None if setting is True else root / setting)


def _serve_log(config: Config, root: Path, reader: OnlineReader) -> ServedLog | None:
    if not config.serve_log.on:
        return None
    from featurestore.server.served import ServedLog  # late: it writes Parquet, which answers need not

    return ServedLog(config.serve_log, root, reader)


def _check_serve_log(config: Config, root: Path) -> None:
    """What is wrong with its settings is said before a worker trips over it; of names in the store, if it is there yet."""
    from featurestore.server.served import check

    with ExitStack() as stack:
        snapshot = None
        with suppress(StoreError):
            store = open_online(config, root, read_only=True)
            stack.callback(store.close)
            snapshot = stack.enter_context(store.read())
        check(config.serve_log, root, snapshot)


def _allow_connections(number: int) -> None:
    """As many open files as that takes, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _drain_on_sigterm(connections: Connections, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
    """Go on answering for a while after SIGTERM, so that whoever sends requests here can see that it should not.

    uvicorn's own handler, which stops taking connections and finishes what is under way, is called after that time; at once
    on a second SIGTERM.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):
        return

    def drain(number: int, frame: FrameType | None) -> None:
        if connections.draining or not seconds:
            stop(number, frame)
            return
        connections.draining = True
        loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, None)

    signal.signal(signal.SIGTERM, drain)


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
        lifespan="on",
        http=Protocol,
        ws="none",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=STARTS_WITHIN,
    )


def _bound(host: str, port: int, *, guarded: bool = False) -> socket.socket:
    """A socket at the address, open for connections of the family that the host names.

    Raises: UsageError FS121 for an address that others reach, unless it is guarded by keys; StoreError FS407.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if not guarded and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise UsageError(
                "FS121", f"{host} can be reached by others, and this server has no API keys",
                hint='featurestore keys add NAME, and [server] api_keys = "keys.toml"',
            )  # fmt: skip
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
