"""How far Spark is: tasks done of those it knows of, told now and then while statements run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from featurestore.progress import Progress, Watcher

EVERY = 0.5


@contextmanager
def watched(spark: Any, watch: Watcher, stage: str) -> Iterator[None]:
    """Tell of tasks done while it is open. What cannot be told is not: progress never stops work."""
    watch(Progress(stage))
    if not hasattr(spark, "_jsparkSession"):  # Spark Connect
        handler = _handler(watch, stage)
        spark.registerProgressHandler(handler)
        try:
            yield
        finally:
            spark.removeProgressHandler(handler)
        return
    done = threading.Event()
    thread = threading.Thread(target=_poll, args=(spark, watch, stage, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _handler(watch: Watcher, stage: str) -> Any:
    def handler(stages: Any, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        total = sum(s.num_tasks for s in stages)
        if total:
            watch(Progress(f"{stage}, tasks", sum(s.num_completed_tasks for s in stages), total))

    return handler


def _poll(spark: Any, watch: Watcher, stage: str, done: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not done.wait(EVERY):
        with suppress(Exception):
            infos = [i for i in map(tracker.getStageInfo, tracker.getActiveStageIds()) if i is not None]
            total = sum(i.numTasks for i in infos)
            if total:
                watch(Progress(f"{stage}, tasks", sum(i.numCompletedTasks for i in infos), total))
