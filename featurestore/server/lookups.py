"""POST /v1/online-features: the hot path, a plain ASGI function in front of the framework.

A service is resolved once per state of the store and its answers are encoded straight to bytes; nothing here is a dict
for a framework to serialize again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from http import HTTPStatus
from typing import Any

from featurestore.config import Server
from featurestore.errors import UnknownName
from featurestore.retrieval.online_features import Checked, OnlineReader, Service, checked_keys
from featurestore.retrieval.online_request import checked_request
from featurestore.server import asked
from featurestore.server.problems import Headers, Refused, problem
from featurestore.server.readiness import Readiness
from featurestore.server.wire import Wire

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PATH = "/v1/online-features"
BODY_SECONDS = 30
"""How long a body may take to arrive: nobody holds a connection open by saying nothing."""

_JSON: Headers = [(b"content-type", b"application/json")]


class _Gone(Exception):
    """The client went away before it had asked."""


class Lookups:
    """The ASGI application of one path."""

    def __init__(self, reader: OnlineReader, limits: Server, readiness: Readiness) -> None:
        self._reader, self._limits, self._readiness = reader, limits, readiness
        self._wires: dict[tuple[str, bool], Wire] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
            status, headers, body = 200, _JSON, self.answer(await self._body(receive))
        except _Gone:
            return
        except Exception as error:
            status, headers, body = problem(error)
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def answer(self, body: bytes) -> bytes:
        """The answer to one request's body. Raises: FeatureStoreError."""
        question = asked.read(body)
        reader = self._reader
        try:
            ask, statuses = partial(self._checked, question), "statuses" in question.include
            service, found = reader.look_up(question.feature_service, ask, statuses=statuses)
        except UnknownName as error:
            with reader.store.read() as snapshot:
                self._readiness.check_awaited(reader.services(snapshot), question.feature_service)
            raise error
        return self._wire(service, question.int64_text).answer(found, question.include)

    def _checked(self, question: asked.Asked, service: Service) -> Checked:
        """The question, checked against the service. Raises: RequestError, Refused 413."""
        keys, rows = checked_keys(service, question.keys(service))
        if rows > self._limits.max_rows:
            raise _too_large(f"{rows} rows asked for; one request takes {self._limits.max_rows}")
        t = service.instant(question.as_of, self._reader.clock)
        if not (service.request or question.request):
            return Checked(keys, rows, t)
        return Checked(keys, rows, t, checked_request(service.request, question.values(service), rows))

    def _wire(self, service: Service, int64_text: bool) -> Wire:
        wire = self._wires.get((service.name, int64_text))
        if wire is None or wire.service is not service:
            wire = self._wires[service.name, int64_text] = Wire(service, int64_text=int64_text)
        return wire

    def _check(self, scope: Scope) -> None:
        """Method and headers. Raises: Refused."""
        if scope["method"] != "POST":
            allow = [(b"allow", b"POST")]
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "FS509", f"{PATH} takes POST only", headers=allow, closes=True)
        kind = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                kind = value
            elif name == b"content-length":
                self._check_size(int(value))
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise _unsupported("the body must not be compressed")
        if kind != b"application/json" and not _is_json(kind):
            raise _unsupported("the body must be application/json, in UTF-8")

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


def _too_large(what: str) -> Refused:
    hint = "smaller requests, or [server] max_rows and max_body"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "FS508", what, hint=hint, closes=True)
