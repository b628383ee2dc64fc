"""Connections that cannot be held against the server: a deadline for every request, room for those that ask, a bounded queue.

uvicorn limits neither how long a request may take to arrive nor how many connections wait for one to. Here a connection is

    receiving   since it was opened, or since the first byte after an answer: until the deadline, then 408 and the end
    waiting     a complete request, not answered yet: beyond `max_queue` of them, 503 with Retry-After
    idle        between requests: kept as long as there is room, and `KEEP_ALIVE` at most

Only complete requests count as work, so half-open connections lock nobody out: when there are too many connections, the
one that has been receiving longest gives way, then the one idle longest, and a newcomer is refused only if all wait for
answers. A client that does not take its answer is cut off too.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from http import HTTPStatus
from itertools import takewhile
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from featurestore.server.problems import Refused, problem

SWEEP_EVERY = 0.25
"""Seconds between looks for connections whose time is over."""
TAKE_SECONDS = 30.0
"""How long a client may take over an answer that is waiting for it."""
HEAD_BYTES = 65_536
"""The most that request line and headers may have: the parser itself keeps whatever comes."""
KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than the pools of clients and balancers keep theirs."""
GRACE = 5
"""Seconds that requests under way have when the server has stopped taking new ones."""
BUSY = "featurestore.busy"
LATE = "featurestore.late"
"""Marks in an ASGI scope: the queue was full when the request was complete; its body did not come in time."""


class Connections:
    """What one process knows of its connections. Shared by the protocol and the application, used by one thread.

    waiting: complete requests that are not answered yet. draining: told to stop, but still answering.
    closed: how many connections were closed on their clients, by reason.
    """

    def __init__(self, *, receive_seconds: float = 8.0, max_connections: int = 2_000, max_queue: int = 512) -> None:
        self.receive_seconds, self.max_connections, self.max_queue = receive_seconds, max_connections, max_queue
        self.waiting = 0
        self.open = 0
        self.draining = False
        self.closed: Counter[str] = Counter()
        # Each in the order of its deadlines, since each grants everyone the same time.
        self.receiving: dict[Protocol, float] = {}
        self.idle: dict[Protocol, None] = {}
        self.sending: dict[Protocol, float] = {}
        self._sweeping = False

    def begin(self, connection: Protocol, now: float) -> None:
        """A request is on its way."""
        self.idle.pop(connection, None)
        self.receiving[connection] = now + self.receive_seconds
        self._sweep_later(connection.loop)

    def must_take(self, connection: Protocol, now: float) -> None:
        """An answer, or the end, waits for the client to take it."""
        self.sending.setdefault(connection, now + TAKE_SECONDS)
        self._sweep_later(connection.loop)

    def make_room(self) -> bool:
        """False if every connection waits for an answer."""
        if self.open <= self.max_connections:
            return True
        for asks_nothing in (self.receiving, self.idle):
            for connection in asks_nothing:
                if not connection.waiting:
                    connection.evict()
                    return True
        return False

    def forget(self, connection: Protocol) -> None:
        for group in (self.receiving, self.idle, self.sending):
            group.pop(connection, None)

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(SWEEP_EVERY, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = False
        now = loop.time()
        for connection in _overdue(self.receiving, now):
            connection.time_out()
        for connection in _overdue(self.sending, now):
            connection.cut_off()
        if self.receiving or self.sending:
            self._sweep_later(loop)


def _overdue(group: dict[Protocol, float], now: float) -> list[Protocol]:
    """Those due by now; the group is in order of when they are."""
    return [connection for connection, _ in takewhile(lambda item: item[1] <= now, group.items())]


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, under the rules above. The application brings the `connections`."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections_known: Connections = getattr(self.app, "connections", None) or _unlimited()
        self.waiting = 0  # complete requests of this connection that are not answered yet
        self._heard = 0  # bytes since the last complete request
        self._in_head = True

    # What comes.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        known = self.connections_known
        known.open += 1
        if not known.make_room():
            self._refuse("full", Refused(HTTPStatus.SERVICE_UNAVAILABLE, "FS523", "too many connections", closes=True))
        else:
            known.begin(self, self.loop.time())

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        known = self.connections_known
        if not self.waiting and self not in known.receiving:
            known.begin(self, self.loop.time())
        self._heard += len(data)
        super().data_received(data)
        if self._in_head and self._heard > HEAD_BYTES and not self.transport.is_closing():
            what = f"the head of the request has more than {HEAD_BYTES} bytes"
            self._refuse("head", Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "FS524", what, closes=True))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        if self not in self.connections_known.receiving:  # the next one of several sent at once
            self.connections_known.begin(self, self.loop.time())

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        answered_early = self.cycle.response_complete
        super().on_message_complete()
        known = self.connections_known
        known.receiving.pop(self, None)
        self._heard = 0
        if answered_early:
            self._rest()
            return
        self.waiting += 1
        known.waiting += 1
        if known.waiting > known.max_queue:
            cast(dict[str, Any], self.scope)[BUSY] = True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        known = self.connections_known
        if self.waiting:
            self.waiting -= 1
            known.waiting -= 1
        if self.transport.is_closing():
            known.must_take(self, self.loop.time())
        else:
            self._rest()

    def _rest(self) -> None:
        known = self.connections_known
        if not self.waiting and self not in known.receiving:
            known.idle.pop(self, None)
            known.idle[self] = None

    # What goes, and how it ends.

    def pause_writing(self) -> None:
        super().pause_writing()
        self.connections_known.must_take(self, self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self.connections_known.sending.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        known = self.connections_known
        known.forget(self)
        known.open -= 1
        known.waiting -= self.waiting
        self.waiting = 0
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.connections_known.must_take(self, self.loop.time())

    def shutdown(self) -> None:
        """The server stops: an idle connection goes at once, a request on its way has a little time to be complete."""
        super().shutdown()
        if self.transport.is_closing():
            self.connections_known.must_take(self, self.loop.time())
        elif self in self.connections_known.receiving:
            self.loop.call_later(GRACE * 0.8, self.time_out)

    def _unsupported_upgrade_warning(self) -> None:
        """Answered as if it had not been asked for; a line in the log per request would be the client's to write."""

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, in our words."""
        what = "this is no request of HTTP/1.1"
        self._refuse("malformed", Refused(HTTPStatus.BAD_REQUEST, "FS524", what, closes=True))

    def time_out(self) -> None:
        """The request did not arrive in time."""
        if self not in self.connections_known.receiving:
            return
        seconds = self.connections_known.receive_seconds
        what = f"the request did not arrive within {seconds:g} seconds"
        silent = self.cycle is None and not self._heard  # opened ahead of need, perhaps: it asked nothing
        self._refuse("late", None if silent else Refused(HTTPStatus.REQUEST_TIMEOUT, "FS508", what, closes=True))

    def evict(self) -> None:
        """Give way to a connection that may ask something."""
        self._refuse("evicted", None)

    def cut_off(self) -> None:
        """The answer was not taken."""
        self.connections_known.closed["not taken"] += 1
        self.transport.abort()

    def _refuse(self, reason: str, error: Refused | None) -> None:
        """End the connection, saying why if no answer has begun."""
        known = self.connections_known
        known.closed[reason] += 1
        known.forget(self)
        cycle = self.cycle
        unanswered = cycle is not None and not cycle.response_complete
        if error is not None and not (unanswered and (cycle.response_started or self.pipeline)):
            self.transport.write(_response(error))
        if unanswered:  # whoever waits for the body is told that nobody is there any more
            cast(dict[str, Any], cycle.scope)[LATE] = reason == "late"
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()
        known.must_take(self, self.loop.time())


def _response(error: Refused) -> bytes:
    status, headers, body = problem(error)
    lines = [STATUS_LINE[status]]
    for name, value in [*headers, (b"content-length", b"%d" % len(body))]:
        lines += [name, b": ", value, b"\r\n"]
    return b"".join([*lines, b"\r\n", body])


def _unlimited() -> Connections:
    """For an application that says nothing of its connections."""
    return Connections(receive_seconds=math.inf, max_connections=1 << 30, max_queue=1 << 30)
