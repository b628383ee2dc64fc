"""What long work tells whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Progress:
    """What a long build tells whoever watches: a stage, and rows (or other units) done of all."""

    stage: str
    done: int = 0
    total: int | None = None
    unit: str = "rows"


Watcher = Callable[[Progress], None]


@dataclass
class Pace:
    """How fast one stage goes. What was done when it was first told of (by an earlier run) is nobody's speed."""

    clock: Callable[[], float]
    _began: tuple[float, int] | None = field(default=None, init=False)
    _now: tuple[float, int] = field(default=(0.0, 0), init=False)

    def see(self, now: Progress) -> None:
        self._now = self.clock(), now.done
        self._began = self._began or self._now

    @property
    def rate(self) -> float | None:
        """Rows a second so far; None while nothing was done."""
        began, rows = self._began or self._now
        seconds, done = self._now[0] - began, self._now[1] - rows
        return done / seconds if done > 0 and seconds > 0 else None

    def left(self, total: int | None) -> float | None:
        """Seconds until all is done at that rate; None where it cannot be said."""
        return None if total is None or self.rate is None else max(total - self._now[1], 0) / self.rate
