"""Into which groups the rows of a profile fall: stretches of UTC time, and values of a column.

Groups are numbered as they appear. There are never more than `most`: stretches of time then become longer, and values that
appear late go to the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.intervals import MICROS_PER_DAY
from featurestore.profiles.distinct import is_bytes, of_array
from featurestore.profiles.points import Ints

UNITS = ("day", "week", "month", "year", "ever")
"""Lengths of stretches of time: each is made of whole ones of the length before, but that a month parts weeks."""
MOST_TIMES = 400
MOST_CELLS = 4_096
"""Stretches of time, times features."""
FOLLOWED, SHOWN = 64, 20
"""Values of a column that are told apart while rows come in, and those that are kept in the end."""
OTHER, NULL = "(other)", "(null)"
LONGEST = 100
"""Characters of a value that are kept."""


def most_times(features: int) -> int:
    """Stretches of time there may be, with so many features."""
    return max(min(MOST_TIMES, MOST_CELLS // max(features, 1)), 12)


def start_of(days: Ints, unit: str) -> Ints:
    """The day on which the stretch begins that each day is in; days since 1970. Weeks begin on a Monday."""
    if unit == "day":
        return days
    if unit == "week":
        return (days + 3) // 7 * 7 - 3
    if unit == "ever":
        return np.zeros_like(days)
    months = days.astype("datetime64[D]").astype("datetime64[M]" if unit == "month" else "datetime64[Y]")
    return months.astype("datetime64[D]").astype(np.int64)


def coarsened(starts: Ints, unit: str, most: int) -> tuple[Ints, str]:
    """The starts of stretches of the shortest unit, not shorter than this one, that makes at most so many of them."""
    for longer in UNITS[UNITS.index(unit) :]:
        found = start_of(starts, longer)
        if len(np.unique(found)) <= most:
            return found, longer
    raise AssertionError("there is one stretch that holds all")


class Times:
    """Stretches of time. unit: how long they are by now."""

    def __init__(self, most: int) -> None:
        self.unit, self._most = UNITS[0], most
        self.starts: Ints = np.empty(0, np.int64)

    def see(self, at: Ints) -> tuple[Ints, Ints | None]:
        """The group of each instant (microseconds). Second, where stretches had to become longer, what became of each group
        there was."""
        days, inverse = _unique(start_of(at // MICROS_PER_DAY, self.unit))
        moved = None
        both = np.concatenate((self.starts, days[~np.isin(days, self.starts)]))
        if len(both) > self._most:
            longer, self.unit = coarsened(both, self.unit, self._most)
            before, days = longer[: len(self.starts)], start_of(days, self.unit)
            both = longer[np.sort(np.unique(longer, return_index=True)[1])]
            moved = _places(before, both)
        self.starts = both
        return _places(days, both)[inverse], moved

    def __len__(self) -> int:
        return len(self.starts)


def _unique(numbers: Ints) -> tuple[Ints, Ints]:
    """Distinct numbers in order, and which of them each one is; by a table where they lie close together."""
    if not len(numbers):
        return numbers, numbers
    low, high = int(numbers.min()), int(numbers.max())
    if high - low > 4 * len(numbers) + 1_000:
        found, inverse = np.unique(numbers, return_inverse=True)
        return found, inverse
    off = numbers - low
    there = np.zeros(high - low + 1, bool)
    there[off] = True
    return np.flatnonzero(there) + low, (np.cumsum(there) - 1)[off]


def _places(numbers: Ints, among: Ints) -> Ints:
    order = np.argsort(among)
    return order[np.searchsorted(among, numbers, sorter=order)]


class Values:
    """Values of one column; group 0 is that of the others."""

    def __init__(self) -> None:
        self.names = [OTHER]
        self._group = {OTHER: 0}
        self._hashes = np.empty(0, np.uint64)
        """Of the values that are told apart."""

    def see(self, column: pa.Array) -> tuple[Ints, None]:
        """The group of each value."""
        plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        encoded = plain.dictionary_encode()  # values that are there, as they appear
        values, hashes = encoded.dictionary, of_array(encoded.dictionary)
        groups = np.zeros(len(values) + 1, np.int64)
        room = max(FOLLOWED + 1 - len(self.names), 0)
        known = np.isin(hashes, self._hashes)
        new = np.flatnonzero(~known)[: 4 * room]  # several may have one text
        for place in np.concatenate((np.flatnonzero(known), new)).tolist():
            groups[place] = self._of(text_of(values[place]))
        if encoded.null_count:
            groups[-1] = self._of(NULL)
        self._hashes = np.append(self._hashes, hashes[new][groups[new] > 0])
        codes = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
        return groups[codes], None

    def _of(self, name: str) -> int:
        if name not in self._group:
            if len(self.names) > FOLLOWED:
                return 0
            self._group[name] = len(self.names)
            self.names.append(name)
        return self._group[name]

    def __len__(self) -> int:
        return len(self.names)


def text_of(value: Any) -> str:
    """A value that is not NULL as text of bounded length: bytes in hex, so that order stays."""
    if isinstance(value, pa.Scalar):
        value = value.cast(pa.large_binary()) if is_bytes(value.type) and not _is_text(value.type) else value
        value = value.as_py()
    text = value.hex() if isinstance(value, bytes) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
