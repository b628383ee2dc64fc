"""One request and its reply, and the table of hot paths: what a handler gets, gives, and may ask of the server.

A hot path is a plain function from the exchange and the whole body to a reply, or to one that is still to come. Method,
headers, sizes, API key, errors, metrics and the access log are the application's business; what the key may do for a service
is asked by `exchange.authorize`.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from featurestore.retrieval.online_features import Checked, LookedUp
from featurestore.server.keys import ANYONE, Key
from featurestore.server.problems import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON: Headers = [(b"content-type", b"application/json")]
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")
_START = os.urandom(6).hex().encode()
_NUMBERS = itertools.count(1)


class Exchange:
    """A request on its way.

    headers: by lower-case name. key: whose it is. given: what a path with a placeholder has in its place. request_id: the
    client's, or one of our own. service, rows, cells: what it asked, for metrics and log; asked, looked_up: the question as
    checked, and once it is answered the answer, for the serve log. The handler sets them.
    """

    __slots__ = ("asked", "cells", "given", "headers", "key", "looked_up", "request_id", "rows", "scope", "service")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.key: Key = ANYONE
        self.given = ""
        self.service = ""
        self.rows = self.cells = 0
        self.asked: Checked | None = None
        self.looked_up: LookedUp | None = None
        asked = self.headers.get(b"x-request-id")
        if asked is None or not _REQUEST_ID.fullmatch(asked):
            asked = b"%s-%x" % (_START, next(_NUMBERS))
        self.request_id = asked

    def authorize(self, scope: str, service: str | None = None) -> None:
        """May this request do that, for that service? Raises: Refused FS522 (403)."""
        if service is not None:
            self.service = service
        self.key.authorize(scope, service)


class Reply(NamedTuple):
    """What a handler answers. headers: the content type at least."""

    body: bytes
    headers: Headers = JSON
    status: int = 200


class Route(NamedTuple):
    """A hot path that takes POST and JSON.

    path: "/v1/push/{source}" has one placeholder, at its end. scope: what the key must allow, before the body is read.
    """

    path: str
    scope: str
    answer: Callable[[Exchange, bytes], Reply | Awaitable[Reply]]


class Routes:
    """The table of hot paths."""

    def __init__(self, *routes: Route) -> None:
        self._exact = {route.path: route for route in routes if not route.path.endswith("}")}
        self._open = {route.path[: route.path.index("{")]: route for route in routes if route.path.endswith("}")}

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route and what stands in its placeholder."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ""
        end = path.rfind("/") + 1
        found = self._open.get(path[:end])
        return None if found is None or end == len(path) else (found, path[end:])
