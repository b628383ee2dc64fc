"""Progress on stderr: bars where it is a terminal, plain lines now and then where it is not, nothing if quiet. Both tell
rows a second and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from featurestore.progress import Pace

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from featurestore.progress import Progress, Watcher


@contextmanager
def progress(*, quiet: bool) -> Iterator[Watcher]:
    """The watcher to hand to long work. Bars are gone when it is done: the answer says what was done."""
    if quiet:
        yield lambda _: None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        text, pace = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), pace)
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            yield _Bars(bars)


EVERY = 10.0
"""Seconds from a plain line to the next of the same stage."""


class _Lines:
    """A line per stage when it begins, and from time to time how far it is."""

    def __init__(self) -> None:
        self._stage = ""
        self._said = 0.0
        self._pace = Pace(time.monotonic)

    def __call__(self, now: Progress) -> None:
        if now.stage != self._stage:
            self._stage, self._pace, self._said = now.stage, Pace(time.monotonic), time.monotonic()
            print(now.stage, file=sys.stderr, flush=True)
        self._pace.see(now)
        if now.total and time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            print(f"{now.stage}: {now.done / now.total:.0%}{_told(self._pace, now)}", file=sys.stderr, flush=True)


class _Bars:
    """One bar per stage; a stage ends when the next begins."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._stage = ""
        self._task: TaskID | None = None
        self._pace = Pace(time.monotonic)

    def __call__(self, now: Progress) -> None:
        if now.stage != self._stage:
            if self._task is not None:
                self._bars.update(self._task, visible=False)
            self._stage, self._pace = now.stage, Pace(time.monotonic)
            self._task = self._bars.add_task(now.stage, total=now.total, pace="")
        assert self._task is not None
        self._pace.see(now)
        pace = _told(self._pace, now).removeprefix(", ")
        self._bars.update(self._task, completed=now.done, total=now.total, pace=pace)


def _told(pace: Pace, now: Progress) -> str:
    """ ", 312,000 rows/s, 2 min left", as far as it can be said."""
    rate, left = pace.rate, pace.left(now.total)
    digits = 0 if rate is None or rate >= 10 else 1
    return ("" if rate is None else f", {rate:,.{digits}f} {now.unit}/s") + ("" if left is None else f", {_time(left)} left")


def _time(seconds: float) -> str:
    if seconds >= 5_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
