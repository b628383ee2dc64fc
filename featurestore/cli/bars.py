"""Progress on stderr: bars where it is a terminal, one plain line per stage where it is not, nothing if quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            yield _Bars(bars)


class _Lines:
    """One line per stage, when it begins."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, now: Progress) -> None:
        if now.stage != self._stage:
            self._stage = now.stage
            print(now.stage, file=sys.stderr, flush=True)


class _Bars:
    """One bar per stage; a stage ends when the next begins."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, now: Progress) -> None:
        if now.stage != self._stage:
            if self._task is not None:
                self._bars.update(self._task, visible=False)
            self._stage = now.stage
            self._task = self._bars.add_task(now.stage, total=now.total)
        assert self._task is not None
        self._bars.update(self._task, completed=now.done, total=now.total)
