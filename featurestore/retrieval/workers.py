"""Sessions that work side by side, each on a task of its own, with its share of what one may use.

One statement over few rows keeps few threads busy; several at once keep all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue

from featurestore.engines.duckdb import Session, Settings
from featurestore.retrieval.partitions import memory

AT_ONCE = 4
"""Sessions at most: more of them have less memory each."""
LEAST = 400_000_000
"""Bytes of memory that a session works well with."""
MINE = 1 / 8
"""The share of memory left to the session that waits for them."""

Task = Callable[[Session], None]


class Workers:
    """Use as a context manager. own: the session of who waits; it must not be used while tasks run."""

    def __init__(self, own: Session, settings: Settings) -> None:
        self._own, self._settings = own, settings
        self._threads = settings.threads or os.cpu_count() or 1
        self._memory = memory(settings.memory_limit)
        self._number = max(min(self._threads, AT_ONCE, int(self._memory * (1 - MINE) / LEAST)), 1)
        self._sessions: list[Session] = []
        self._idle: SimpleQueue[Session] = SimpleQueue()
        self._stack = ExitStack()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, tasks: Sequence[Task]) -> Iterator[int]:
        """Do all tasks. Gives the number of each as it is done. Raises: what a task raised; those under way are stopped."""
        if self._number == 1 or len(tasks) == 1:
            for number, task in enumerate(tasks):
                task(self._own)
                yield number
            return
        self._start()
        self._own.limit(self._memory * MINE)
        try:
            yield from self._side_by_side(tasks)
        finally:
            self._own.limit(self._memory)

    def _side_by_side(self, tasks: Sequence[Task]) -> Iterator[int]:
        with ThreadPoolExecutor(self._number, "partition") as pool:
            futures = {pool.submit(self._one, task): number for number, task in enumerate(tasks)}
            try:
                for future in as_completed(futures):
                    future.result()
                    yield futures[future]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for session in self._sessions:
                    session.interrupt()
                raise

    def _start(self) -> None:
        if not self._idle.empty():
            return
        memory_each, threads = self._memory * (1 - MINE) / self._number, max(self._threads // self._number, 1)
        share = replace(self._settings, threads=threads, memory_limit=f"{int(memory_each)}B")
        self._sessions = [self._stack.enter_context(Session(share)) for _ in range(self._number)]
        for session in self._sessions:
            self._idle.put(session)

    def _one(self, task: Task) -> None:
        session = self._idle.get()
        try:
            task(session)
        finally:
            self._idle.put(session)
