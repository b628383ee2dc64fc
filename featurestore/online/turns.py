"""Who may write to a store, among the threads of a process."""

from __future__ import annotations

import threading


class Turns:
    """As a context manager: one thread after the other. Raises: RuntimeError for a write within a thread's own write."""

    def __init__(self) -> None:
        self._lock, self._holder = threading.Lock(), 0

    def __enter__(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError("a write within a write")
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self._holder = 0
        self._lock.release()
