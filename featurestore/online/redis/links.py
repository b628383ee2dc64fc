"""Connections to one Redis: made when needed, kept while they work, given up at the first trouble.

Decides how long anybody waits and what is tried again:

- Every wait for the server (to connect, for a reply) ends after `seconds`.
- A question may find a kept connection that the server has closed meanwhile (it was restarted): it is asked once more, of
  a new connection. A question that was not answered in time is not repeated.
- A write has a connection of its own, from beginning to end: what Redis promises to WATCH and what is staged so far hold
  for that connection only, so a lost one ends the attempt. redis-py's own client would reconnect and go on.

redis-py's `Connection` speaks the protocol. Commands are packed here: that is most of what a large MGET costs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis.connection import Connection, parse_url
from redis.exceptions import ConnectionError

from featurestore.errors import UsageError
from featurestore.online.redis.errors import LATE, LOST, REFUSED

_SEND = 1 << 20


def packed(*parts: bytes) -> bytes:
    """A command as the protocol writes it."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def first_error(replies: Iterable[object]) -> Exception | None:
    """The first error among replies, those of a transaction included."""
    for reply in replies:
        if isinstance(reply, Exception):
            return reply
        if isinstance(reply, list) and (found := first_error(reply)) is not None:
            return found
    return None


def checked(replies: list[Any]) -> list[Any]:
    """The replies. Raises: the first error among them."""
    error = first_error(replies)
    if error is not None:
        raise error
    return replies


class Link:
    """One connection. Replies come in the order asked; an error reply of one command leaves the connection usable.

    A lost one stays lost. redis-py would connect again at the next command, and what was watched would be so no more.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lost = False

    def send(self, command: bytes) -> None:
        """Raises: redis-py's exceptions."""
        if self._lost:
            raise ConnectionError("the connection was lost")
        try:
            self._connection.send_packed_command((command,), check_health=False)
        except LOST:
            self._lost = True
            raise

    def reply(self) -> Any:
        """The next reply. Raises: redis-py's exceptions."""
        try:
            return self._connection.read_response()
        except LOST:
            self._lost = True
            raise

    def replies(self, count: int) -> list[Any]:
        """The next replies; an error reply is in its place in the list."""
        return [self._reply_or_error() for _ in range(count)]

    def ask(self, *parts: bytes) -> Any:
        return self.ask_packed(packed(*parts))

    def ask_packed(self, command: bytes) -> Any:
        self.send(command)
        return self.reply()

    def ask_all(self, commands: Iterable[bytes]) -> list[Any]:
        """The replies to packed commands, sent about a megabyte at a time; an error reply is in its place in the list."""
        replies: list[Any] = []
        group: list[bytes] = []
        size = 0
        for command in commands:
            group.append(command)
            size += len(command)
            if size > _SEND:
                replies += self._replies(group)
                group, size = [], 0
        return replies + self._replies(group)

    def _replies(self, group: Sequence[bytes]) -> list[Any]:
        if group:
            self.send(b"".join(group))
        return self.replies(len(group))

    def _reply_or_error(self) -> Any:
        try:
            return self.reply()
        except REFUSED as error:
            return error

    def close(self) -> None:
        self._connection.disconnect()


class Links:
    """Connections to the Redis of a URL.

    Raises: UsageError FS107 for a URL that is none. Safe for many threads, and across fork: a child makes its own.
    """

    def __init__(self, url: str, seconds: float) -> None:
        try:
            self._options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise UsageError("FS107", f"setting online.url: {error}", hint="redis://127.0.0.1:6379/0") from error
        self._make = self._options.pop("connection_class", Connection)
        for name in ("socket_timeout", "socket_connect_timeout"):
            self._options[name] = float(self._options.get(name, seconds))
        self._options |= {"protocol": 2, "decode_responses": False}
        self._idle: list[Link] = []
        self._process = os.getpid()

    @property
    def where(self) -> str:
        """The server, without its password."""
        given = self._options
        place = given.get("path") or f"{given.get('host', 'localhost')}:{given.get('port', 6379)}"
        return f"redis {place}/{given.get('db', 0)}"

    def ask(self, command: bytes) -> Any:
        """The reply to one packed command. Raises: redis-py's exceptions, OSError."""
        return self._with_link(lambda link: link.ask_packed(command))

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """The replies to some packed commands, in one round trip."""
        found: list[Any] = self._with_link(lambda link: link.ask_all(commands))
        return found

    @contextmanager
    def own(self, seconds: float) -> Iterator[Link]:
        """A new connection for one user, closed at the end; it waits `seconds` for the server."""
        link = self._open(socket_timeout=seconds, socket_connect_timeout=seconds)
        try:
            yield link
        finally:
            link.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _with_link(self, use: Callable[[Link], Any]) -> Any:
        if self._process != os.getpid():
            self._idle, self._process = [], os.getpid()
        try:
            link = self._idle.pop()
        except IndexError:
            return self._used(self._open(), use)
        try:
            return self._used(link, use)
        except LATE:
            raise
        except LOST:
            self.close()  # the other kept ones are as old
        return self._used(self._open(), use)

    def _used(self, link: Link, use: Callable[[Link], Any]) -> Any:
        try:
            found = use(link)
        except REFUSED:
            self._idle.append(link)
            raise
        except BaseException:
            link.close()
            raise
        self._idle.append(link)
        return found

    def _open(self, **options: float) -> Link:
        connection = self._make(**{**self._options, **options})
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return Link(connection)
