"""What every hot path has in common: method, headers, API key, the body within its limit, and a place in the queue."""

from __future__ import annotations

from http import HTTPStatus

from featurestore.server.connections import BUSY
from featurestore.server.exchange import Exchange, Message, Receive, Reply, Route
from featurestore.server.keys import Access
from featurestore.server.lookups import too_large
from featurestore.server.problems import Refused


class Gone(Exception):
    """The client went away, or was cut off, before it had asked."""


class HotPaths:
    """Runs routes. max_body: bytes."""

    def __init__(self, access: Access, max_body: int) -> None:
        self._access, self._max_body = access, max_body

    async def run(self, route: Route, exchange: Exchange, receive: Receive) -> Reply:
        """The handler's reply. Raises: FeatureStoreError, Gone."""
        self._check(route, exchange)
        body = await self._body(receive)
        refuse_if_busy(exchange)
        reply = route.answer(exchange, body)
        return reply if isinstance(reply, Reply) else await reply

    def _check(self, route: Route, exchange: Exchange) -> None:
        """Method, key and headers. Raises: Refused."""
        if exchange.scope["method"] != "POST":
            allow = [(b"allow", b"POST")]
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "FS509", f"{route.path} takes POST only", headers=allow, closes=True)
        headers = exchange.headers
        exchange.key = self._access.key(headers)
        exchange.authorize(route.scope)
        length = headers.get(b"content-length")
        if length is not None:
            self._check_size(int(length))
        coded = headers.get(b"content-encoding")
        if coded is not None and coded.lower() != b"identity":
            raise _unsupported("the body must not be compressed")
        kind = headers.get(b"content-type", b"")
        if kind != b"application/json" and not _is_json(kind):
            raise _unsupported("the body must be application/json, in UTF-8")

    def _check_size(self, size: int) -> None:
        if size > self._max_body:
            raise too_large(f"the body has more than {self._max_body} bytes")

    async def _body(self, receive: Receive) -> bytes:
        """The whole body; that it arrives in time is the connection's business. Raises: Refused FS508 (413), Gone."""
        message = await receive()
        body = _part(message)
        if message.get("more_body"):
            parts, size = [body], len(body)
            while message.get("more_body"):
                self._check_size(size)
                message = await receive()
                parts.append(_part(message))
                size += len(parts[-1])
            body = b"".join(parts)
        self._check_size(len(body))
        return body


def refuse_if_busy(exchange: Exchange) -> None:
    """Raises: Refused FS523 (503) if too many requests were complete before this one was."""
    if exchange.scope.get(BUSY):
        hint = "the same request again, a little later"
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "FS523", "too many requests wait for an answer", hint=hint)


def _part(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b"")  # type: ignore[no-any-return]


def _is_json(kind: bytes) -> bool:
    name, *parameters = kind.lower().replace(b" ", b"").split(b";")
    return name == b"application/json" and set(parameters) <= {b"", b"charset=utf-8", b'charset="utf-8"'}


def _unsupported(what: str) -> Refused:
    hint = "Content-Type: application/json"
    return Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "FS507", what, hint=hint, closes=True)
