"""A store that may come later: opened when it is there, and opened anew when another takes its place. To read, or to write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from featurestore.errors import StoreError, StoreUnavailable
from featurestore.online.store import Batch, OnlineStore, Snapshot

LOOK_EVERY = 1.0
"""Seconds between looks at whether the store's place holds another one."""


class LateStore:
    """An online store to read from, wherever and whenever it comes to be. For use by one thread.

    Args:
        open_store: opens it. Raises: StoreError while there is none.
        identity: tells one store from the next at the same place; None where there is none.
        changed: called after another store was opened.
    """

    format = 0
    at_once, ordered = 0, False

    def __init__(
        self, open_store: Callable[[], OnlineStore], identity: Callable[[], object], changed: Callable[[], None]
    ) -> None:
        self._open_store, self._identity, self._changed = open_store, identity, changed
        self._store: OnlineStore | None = None
        self._opened: object = None
        self._look_at = 0.0
        self._unavailable: StoreUnavailable | None = None

    def read(self, *, locked: bool = False) -> AbstractContextManager[Snapshot]:
        """A snapshot of the store that is there. Raises: StoreError where none is."""
        return self._current().read()

    def recall(self) -> AbstractContextManager[Snapshot]:
        """The same, of a state that may be remembered."""
        return self._current().recall()

    def _current(self) -> OnlineStore:
        if time.monotonic() >= self._look_at:
            self._look()
        elif self._store is None:
            self._look_soon()
        assert self._store is not None
        return self._store

    def _look_soon(self) -> None:
        """What is not there yet is looked for at once; what did not answer is given time, for waiting adds up."""
        if self._unavailable is not None:
            raise self._unavailable.with_traceback(None)
        self._look()

    def _look(self) -> None:
        """Open what is there; where nothing new can be opened, what is open goes on answering."""
        self._look_at = time.monotonic() + LOOK_EVERY
        found = self._identity()
        if self._store is not None and found in (None, self._opened):
            return
        self._unavailable = None
        try:
            store = self._open_store()
        except StoreError as error:
            self._unavailable = error if isinstance(error, StoreUnavailable) else None
            if self._store is None:
                raise
            return
        self.close()
        self._store, self._opened = store, found
        self._changed()

    def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    # The rest of the protocol: who answers look-ups only reads.

    def write(self, fill: Callable[[Batch], None], *, expected_bytes: int = 0) -> None:
        raise StoreError("FS407", "the online store was opened read-only")

    @contextmanager
    def lock(self) -> Iterator[None]:
        raise StoreError("FS407", "the online store was opened read-only")
        yield

    def sizes(self) -> dict[str, int]:
        return {} if self._store is None else self._store.sizes()


class LateWriter:
    """The same store, to be written to by those who push. For any number of threads.

    Args: open_store, identity: as of `LateStore`.
    """

    def __init__(self, open_store: Callable[[], OnlineStore], identity: Callable[[], object]) -> None:
        self._open_store, self._identity = open_store, identity
        self._lock = threading.Lock()
        self._store: OnlineStore | None = None
        self._opened: object = None

    def __call__(self) -> OnlineStore | None:
        """The store that is there; None where none is. Raises: StoreError for one that cannot be opened to be written to."""
        with self._lock:
            found = self._identity()
            if found != self._opened:
                self._close()
                self._store = None if found is None else self._open_store()
                self._opened = found
            return self._store

    def _close(self) -> None:
        store, self._store, self._opened = self._store, None, None
        if store is not None:
            store.close()
