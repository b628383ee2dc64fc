"""POST /v1/push/{source}: rows that are on the disk, and in answers, before they are acknowledged.

The event loop reads the request and looks the source up; a thread checks the rows and waits for the disk, so that look-ups
go on, and pushes that come meanwhile share one fsync. What a row must bring is known from the online store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import orjson

from featurestore.config import Server
from featurestore.errors import RequestError, UnknownName, nearest
from featurestore.intervals import Duration
from featurestore.materialization.pushed import ToOnline, push
from featurestore.online.generations import pushable_sources
from featurestore.online.store import OnlineStore
from featurestore.retrieval.online_features import OnlineReader
from featurestore.server.exchange import Exchange, Reply
from featurestore.server.lookups import too_large
from featurestore.server.problems import Refused
from featurestore.sources.push_log import PushLog
from featurestore.sources.push_rows import PushTarget
from featurestore.typed_values import strict_json

PATH = "/v1/push/{source}"
_AT_ONCE = 32


class Pushes:
    """Takes the rows of requests.

    folder: where the push log of a source lies; None: there is no project to write into, so pushing is off. store: gives the
    online store to bring rows into.
    """

    def __init__(
        self, reader: OnlineReader, limits: Server, folder: Callable[[str], Path] | None, skew: Duration,
        store: Callable[[], OnlineStore | None],
    ) -> None:  # fmt: skip
        self._reader, self._limits, self._folder, self._skew, self._store = reader, limits, folder, skew, store
        self._logs: dict[str, PushLog] = {}
        self._threads = ThreadPoolExecutor(_AT_ONCE, "push")

    async def answer(self, exchange: Exchange, body: bytes) -> Reply:
        """Take the rows of one request. Raises: FeatureStoreError; nothing was then taken."""
        if not self._limits.push or self._folder is None:
            hint = "push = true in [server]"
            raise Refused(HTTPStatus.FORBIDDEN, "FS540", "this server takes no rows", hint=hint, closes=True)
        target = self._target(exchange.given)
        log = self._log(exchange.given)
        loop = asyncio.get_running_loop()
        return Reply(await loop.run_in_executor(self._threads, self._push, exchange, log, target, body))

    def _push(self, exchange: Exchange, log: PushLog, target: PushTarget, body: bytes) -> bytes:
        rows = _rows(body)
        exchange.rows = len(rows)
        if len(rows) > self._limits.max_rows:
            raise too_large(f"{len(rows)} rows pushed; one request takes {self._limits.max_rows}")
        done = push(log, target, rows, clock=self._reader.clock, skew=self._skew, from_json=True)
        return orjson.dumps(done.to_dict())

    def _target(self, source: str) -> PushTarget:
        """Raises: UnknownName FS101 (404), UsageError FS140 (422), StoreError FS402 (503)."""
        with self._reader.store.read() as snapshot:
            known = pushable_sources(snapshot)
        if source not in known:
            hint = nearest(source, known) or "featurestore materialize, if it is new"
            raise UnknownName("FS101", f"unknown source {source!r}", known=known, hint=hint)
        return PushTarget.from_data(source, known[source])

    def _log(self, source: str) -> PushLog:
        assert self._folder is not None
        if source not in self._logs:
            folder = self._folder(source)
            self._logs[source] = PushLog(folder, ToOnline(source, folder, self._store))
        return self._logs[source]


def _rows(body: bytes) -> list[object]:
    """Raises: Refused FS505 (400: not JSON), RequestError FS506 (422: not an object of rows)."""
    try:
        given = strict_json(body)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "FS505", f"the body is not JSON: {error}") from None
    if not isinstance(given, dict) or set(given) != {"rows"} or not isinstance(given["rows"], list):
        what = "the body must be an object with the one field rows, a list"
        raise RequestError("FS506", what, known=["rows"], hint='{"rows": [{"payment_id": 1, …}]}')
    return given["rows"]


__all__ = ["PATH", "Pushes"]
