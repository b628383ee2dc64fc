"""POST /v1/online-features: the hot path, a plain ASGI function in front of the framework.

A service is resolved once per state of the store and its answers are encoded straight to bytes; nothing here is a dict
for a framework to serialize again. What else takes a body and answers from the store inherits the protocol from here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any

from featurestore.config import Server
from featurestore.errors import UnknownName
from featurestore.retrieval.online_features import OnlineReader, Service, checked_keys
from featurestore.retrieval.online_on_demand import Cells
from featurestore.retrieval.online_request import checked_request
from featurestore.server import asked, formats
from featurestore.server.problems import Headers, Refused, problem
from featurestore.server.readiness import Readiness
from featurestore.server.wire import Wire

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Writer = Callable[[Service, Cells, int, Sequence[str]], bytes]
"""Writes what was found of a service for so many rows, with what is to be included."""

PATH = "/v1/online-features"
BODY_SECONDS = 30
"""How long a body may take to arrive: nobody holds a connection open by saying nothing."""

JSON_HEADERS: Headers = [(b"content-type", b"application/json")]


class _Gone(Exception):
    """The client went away before it had asked."""


class Lookups:
    """The ASGI application of one path."""

    path = PATH

    def __init__(self, reader: OnlineReader, limits: Server, readiness: Readiness) -> None:
        self._reader, self._limits, self._readiness = reader, limits, readiness
        self._wires: dict[tuple[str, bool], Wire] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            accepted = self._check(scope)
            headers, body = self.respond(await self._body(receive), accepted)
            status = 200
        except _Gone:
            return
        except Exception as error:
            status, headers, body = problem(error)
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def respond(self, body: bytes, accepted: bytes) -> tuple[Headers, bytes]:
        """Headers and body that answer a request's body. accepted: its Accept. Raises: FeatureStoreError."""
        if accepted in formats.PLAIN or formats.chosen(accepted) == formats.JSON:
            return JSON_HEADERS, self.answer(body)
        from featurestore.server.arrow import stream  # late: Arrow is not needed to answer in JSON

        return [(b"content-type", formats.ARROW)], self.answer(body, stream)

    def answer(self, body: bytes, write: Writer | None = None) -> bytes:
        """The answer to one request's body, in JSON unless `write` writes it otherwise. Raises: FeatureStoreError."""
        question = asked.read(body)
        reader = self._reader
        with reader.store.read() as snapshot:
            try:
                service = reader.service(snapshot, question.feature_service)
            except UnknownName as error:
                self._readiness.check_awaited(reader.services(snapshot), question.feature_service)
                raise error
            keys, rows = checked_keys(service, question.keys(service))
            if rows > self._limits.max_rows:
                raise too_many(rows, self._limits.max_rows)
            t = service.instant(question.as_of, reader.clock)
            values = None
            if service.request or question.request:
                values = checked_request(service.request, question.values(service), rows)
            found = service.look_up(snapshot, keys, rows, t, values)
        if write is not None:
            return write(service, found, rows, question.include)
        return self._wire(service, question.int64_text).answer(found, question.include)

    def _wire(self, service: Service, int64_text: bool) -> Wire:
        wire = self._wires.get((service.name, int64_text))
        if wire is None or wire.service is not service:
            wire = self._wires[service.name, int64_text] = Wire(service, int64_text=int64_text)
        return wire

    def _check(self, scope: Scope) -> bytes:
        """Method and headers; what is accepted in return. Raises: Refused."""
        if scope["method"] != "POST":
            allow = [(b"allow", b"POST")]
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "FS509", f"{self.path} takes POST only", headers=allow, closes=True)
        kind = accepted = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                kind = value
            elif name == b"accept":
                accepted = accepted + b"," + value if accepted else value
            elif name == b"content-length":
                self._check_size(int(value))
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise _unsupported("the body must not be compressed")
        if kind != b"application/json" and not _is_json(kind):
            raise _unsupported("the body must be application/json, in UTF-8")
        return accepted

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_body:
            raise _too_large(f"the body has more than {self._limits.max_body} bytes")

    async def _body(self, receive: Receive) -> bytes:
        """The whole body. Raises: Refused 413, 408; _Gone."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await receive()
                body: bytes = _part(message)
                while message.get("more_body"):
                    self._check_size(len(body))
                    message = await receive()
                    body += _part(message)
        except TimeoutError:
            what = f"the body did not arrive within {BODY_SECONDS} seconds"
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "FS508", what, closes=True) from None
        self._check_size(len(body))
        return body


def _part(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise _Gone
    return message.get("body", b"")  # type: ignore[no-any-return]


def _is_json(kind: bytes) -> bool:
    name, *parameters = kind.lower().replace(b" ", b"").split(b";")
    return name == b"application/json" and set(parameters) <= {b"", b"charset=utf-8", b'charset="utf-8"'}


def _unsupported(what: str) -> Refused:
    hint = "Content-Type: application/json"
    return Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "FS507", what, hint=hint, closes=True)


def too_many(rows: int, limit: int) -> Refused:
    return _too_large(f"{rows} rows asked for; one request takes {limit}")


def _too_large(what: str) -> Refused:
    hint = "smaller requests, or [server] max_rows and max_body"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "FS508", what, hint=hint, closes=True)
