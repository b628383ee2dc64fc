"""Windows of time over the rows of the current side, each compared with the whole reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featurestore.errors import UsageError

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

MOST = 500


@dataclass(frozen=True)
class Windows:
    """length, step: microseconds. Windows end at multiples of `step` since 1970 (UTC) and hold the `length` before; cumulative
    ones hold all rows before. The last one holds the last row."""

    length: int
    step: int = 0
    cumulative: bool = False

    def __post_init__(self) -> None:
        if self.length <= 0 or self.step < 0:
            raise UsageError("FS398", "a window is longer than nothing", hint="--window 7d")
        if self.step > self.length and not self.cumulative:
            raise UsageError("FS398", "windows that lie further apart than they are long miss rows", hint="a shorter --step")

    def spans(self, first: int, last: int) -> list[tuple[int, int]]:
        """[from, to) of every window from the one that holds the row at `first` to the one that holds that at `last`.
        Raises: UsageError FS398 for more than MOST."""
        step = self.step or self.length
        begin = first // step * step
        ends = range(begin + step, last // step * step + step + 1, step)
        if len(ends) > MOST:
            raise UsageError(
                "FS398", f"{len(ends):,} windows, and at most {MOST} are compared", hint="a longer --window or --step"
            )
        return [(begin if self.cumulative else end - self.length, end) for end in ends]

    def cut(self, instants: Array) -> list[tuple[tuple[int, int], Array]]:
        """Every window with the numbers of its rows, in their order."""
        if not len(instants):
            return []
        order = np.argsort(instants, kind="stable")
        ordered = instants[order]
        found = []
        for start, end in self.spans(int(ordered[0]), int(ordered[-1])):
            low, high = np.searchsorted(ordered, [start, end])
            found.append(((start, end), np.sort(order[low:high])))
        return found
