"""Events on their way to a receiver or a file, in a thread of its own: what is told of never waits for it, but at its end for a
bounded time. An event that is not taken is counted, and never sent again: late events would say that old runs go on."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from featurestore.config import OpenLineage
from featurestore.intervals import MICROS_PER_SECOND, parse_duration
from featurestore.posting import post, reason_of

log = logging.getLogger(__name__)

TOKEN = "OPENLINEAGE_API_KEY"
"""The environment variable that holds the receiver's token, as other senders of OpenLineage know it."""


class Sender:
    """Sends events in their order. `lost`: how many were not taken. base: the folder from which a file is named."""

    def __init__(self, settings: OpenLineage, base: Path) -> None:
        self.wait = parse_duration(settings.timeout, what="openlineage.timeout").micros / MICROS_PER_SECOND
        self._ways: list[Callable[[bytes], None]] = []
        if settings.url:
            self._ways.append(_Http(settings.url, settings.endpoint, self.wait))
        if settings.file:
            self._ways.append(_File(base / settings.file))
        self._events: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._asked = self._taken = 0
        self.why = "no answer in time"
        self._thread = threading.Thread(target=self._send, name="openlineage", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        return self._asked - self._taken

    def send(self, make: Callable[[], Mapping[str, Any]]) -> None:
        """Send the event that `make` makes; one that cannot be made is lost as well."""
        self._asked += 1
        try:
            self._events.put(json.dumps(make(), ensure_ascii=False, allow_nan=False).encode())
        except Exception as error:
            self.why = f"{type(error).__name__} while it was made"
            log.debug("openlineage: %s", self.why, exc_info=True)

    def close(self) -> str:
        """Wait for what is under way, as long as is set. Returns: what to say of lost events, or ""."""
        self._events.put(None)
        self._thread.join(self.wait)
        return f"openlineage: {self.lost} of {self._asked} events were not taken: {self.why}" if self.lost else ""

    def _send(self) -> None:
        while (event := self._events.get()) is not None:
            taken = [self._sent(way, event) for way in self._ways]
            self._taken += all(taken)

    def _sent(self, way: Callable[[bytes], None], event: bytes) -> bool:
        try:
            way(event)
        except Exception as error:
            self.why = reason_of(error)
            return False
        return True


class _Http:
    """POST to a receiver."""

    def __init__(self, url: str, endpoint: str, wait: float) -> None:
        self._url = f"{url.rstrip('/')}/{endpoint.lstrip('/')}"
        self._wait = wait
        self._token = os.environ.get(TOKEN, "")

    def __call__(self, event: bytes) -> None:
        post(self._url, event, token=self._token, wait=self._wait)


class _File:
    """One line an event, in one write: runs that share the file do not mix within a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, event: bytes) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, event + b"\n")
        finally:
            os.close(handle)


def now() -> str:
    seconds, rest = divmod(time.time_ns() // 1000, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06d}Z"
