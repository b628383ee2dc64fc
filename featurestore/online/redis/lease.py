"""The right to materialize, in Redis: a key that expires, renewed while its holder lives.

A holder that is cut off or stopped for long loses it without notice. Therefore its writes are fenced: the transaction of a
write watches the key, and is refused once it is no longer the holder's.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from featurestore.errors import StoreError, StoreLocked
from featurestore.online.redis.layout import Layout
from featurestore.online.redis.links import Link

log = logging.getLogger(__name__)

SECONDS = 30.0
_RENEW = b"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
DELETE_IF = b"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lease:
    """One holder's right, from `take` to `give_up`. open_link: makes a connection for as long as the context lasts."""

    def __init__(self, layout: Layout, open_link: Callable[[], AbstractContextManager[Link]], seconds: float = SECONDS) -> None:
        self._key, self._where, self._open_link = layout.lock, layout.where, open_link
        self._who = f"{secrets.token_urlsafe(9)} process {os.getpid()} on {socket.gethostname()}".encode()
        self._seconds = seconds
        self._busy = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, name="lease", daemon=True)

    def take(self, link: Link) -> None:
        """Raises: StoreLocked, naming the holder."""
        if link.ask(b"SET", self._key, self._who, b"NX", b"PX", self._millis) is None:
            raise self._locked(link.ask(b"GET", self._key), "is materializing into this store")
        self._thread.start()

    def give_up(self) -> None:
        """Let others have it. If Redis cannot be reached, it expires."""
        self._over.set()
        self._thread.join()
        try:
            with self._open_link() as link:
                link.ask(b"EVAL", DELETE_IF, b"1", self._key, self._who)
        except StoreError as error:
            log.info("the right to materialize is left to expire: %s", error)

    @contextmanager
    def held(self, link: Link) -> Iterator[None]:
        """Within this the link watches the right. Renewing would look like a loss, so it waits. Raises: StoreLocked."""
        with self._busy:
            link.ask(b"EVAL", _RENEW, b"1", self._key, self._who, self._millis)
            link.ask(b"WATCH", self._key)
            holder = link.ask(b"GET", self._key)
            if holder != self._who:
                raise self._locked(holder, "has taken over the right to materialize, this run has lost it")
            yield

    @property
    def _millis(self) -> bytes:
        return b"%d" % int(self._seconds * 1000)

    def _renew_for_ever(self) -> None:
        while not self._over.wait(self._seconds / 3):
            try:
                with self._busy, self._open_link() as link:
                    link.ask(b"EVAL", _RENEW, b"1", self._key, self._who, self._millis)
            except StoreError as error:
                log.warning("the right to materialize could not be renewed: %s", error)

    def _locked(self, holder: bytes | None, what: str) -> StoreLocked:
        who = "another process" if holder is None else holder.decode().partition(" ")[2]
        return StoreLocked("FS401", f"{who} {what}", where=self._where)
