"""What comes in and goes out around a JSON body: method, headers, limits, and how long a body may take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from featurestore.server.problems import Headers, Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_SECONDS = 30
"""How long a body may take to arrive: nobody holds a connection open by saying nothing."""
JSON: Headers = [(b"content-type", b"application/json")]


class Gone(Exception):
    """The client went away before it had asked."""


def check(scope: Scope, path: str, limit: int) -> None:
    """Method and headers of a POST of JSON. Raises: Refused 405, 413, 415."""
    if scope["method"] != "POST":
        allow = [(b"allow", b"POST")]
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "FS509", f"{path} takes POST only", headers=allow, closes=True)
    kind = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value
        elif name == b"content-length":
            _check_size(int(value), limit)
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise _unsupported("the body must not be compressed")
    if kind != b"application/json" and not _is_json(kind):
        raise _unsupported("the body must be application/json, in UTF-8")


async def read(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises: Refused 413, 408; Gone."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
            body: bytes = _part(message)
            while message.get("more_body"):
                _check_size(len(body), limit)
                message = await receive()
                body += _part(message)
    except TimeoutError:
        what = f"the body did not arrive within {BODY_SECONDS} seconds"
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "FS508", what, closes=True) from None
    _check_size(len(body), limit)
    return body


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def too_large(what: str) -> Refused:
    hint = "smaller requests, or [server] max_rows and max_body"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "FS508", what, hint=hint, closes=True)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise too_large(f"the body has more than {limit} bytes")


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
