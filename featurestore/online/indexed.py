"""The facts of one key, laid out so that a window is a few look-ups however many facts it holds.

A measure's facts lie in order of event time. Beside their times are running sums (whole numbers: doubles times a power of
two), ranks of their values, and trees over those ranks. What lies in no window's edge, as t moves from the watermark to the
horizon, can be *folded*: one element stands for all facts between two edges. Its time is the last before the gap's end: who
asks from that end on does not meet it, who asks up to there does, and nobody asks from within.

Everything is little-endian, offsets count from the record's first byte:

    record    02 (the format) + exact_until i64 + how many bytes of entries u32 + how many measures u32
              + entries (of the latest values) + a directory per measure
    directory FIELDS i64 each: where an array begins (0: there is none), or a number
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import Any, NamedTuple

from featurestore.dtypes import DType
from featurestore.errors import StoreFormat
from featurestore.online.order import ranked
from featurestore.online.records import plain_format, unscaled, value_reader, value_writer

INDEXED_FORMAT = 2
FIELDS = (
    "size", "times", "weights", "firsts", "lasts", "power", "sums", "sum_width", "squares", "square_width", "special",
    "ranks", "low", "high", "distinct", "distinct_size", "distinct_ends", "known", "block_ends", "block_ranks", "block_counts",
)  # fmt: skip
"""What the directory says of a measure: `size` elements; `weights` and `sums` and `squares` run (size + 1 each), so does
`special` (three times: NaN, +inf, -inf); `low` and `high` are trees of 2 · size ranks."""
BLOCK = 4_096
"""So many elements have their distinct values counted together."""
WIDEST = 128
"""Bytes of a running sum that are too many: doubles of all magnitudes, which are better added as they are met."""

_HEAD = struct.Struct("<BqII")
_DIRECTORY = struct.Struct(f"<{len(FIELDS)}q")
_PLACE = {name: i for i, name in enumerate(FIELDS)}


class TooWide(Exception):
    """The numbers of a measure span so many magnitudes that running sums would be larger than the facts."""


@dataclass(frozen=True)
class Wanted:
    """What the windows of a view ask of a measure: sums of its numbers, of their squares; its least and greatest; how often
    each value occurs; values in order of time."""

    sums: bool = False
    squares: bool = False
    extremes: bool = False
    counts: bool = False
    by_time: bool = False

    @property
    def ranks(self) -> bool:
        return self.extremes or self.counts or self.by_time


@dataclass
class MeasureFacts:
    """The facts of a measure that are not NULL, in order of event time. known: when each became known, where that matters."""

    dtype: DType
    wanted: Wanted
    times: list[int]
    values: list[Any]
    known: list[int] | None = None


Edges = Sequence[tuple[int, int]]
"""Stretches [a, b] of time, apart and in order, in which windows may begin or end."""


def encode(exact_until: int, horizon: int, entries: bytes, measures: Iterable[MeasureFacts], edges: Edges | None) -> bytes:
    """The record of a key. edges: fold what lies in none of them; then it is exact up to the horizon at most. None: keep every
    fact. Raises: TooWide.
    """
    laid = [_Measure(facts, edges) for facts in measures]
    if any(measure.folded for measure in laid):
        exact_until = min(exact_until, horizon)
    head = _HEAD.pack(INDEXED_FORMAT, exact_until, len(entries), len(laid)) + entries
    at = len(head) + len(laid) * _DIRECTORY.size
    directories, blobs = [], []
    for measure in laid:
        numbers = dict(measure.numbers)
        for name, blob in measure.arrays.items():
            numbers[name] = at
            blobs.append(blob)
            at += len(blob)
        directories.append(_DIRECTORY.pack(*(numbers.get(name, 0) for name in FIELDS)))
    return b"".join([head, *directories, *blobs])


class _Measure:
    """One measure as arrays of bytes and numbers."""

    def __init__(self, facts: MeasureFacts, edges: Edges | None) -> None:
        groups = _groups(facts.times, edges)
        self.folded = groups is not None
        self.arrays: dict[str, bytes] = {}
        self.numbers: dict[str, int] = {"size": len(facts.times) if groups is None else len(groups)}
        self._groups = groups
        self._add_times(facts.times)
        if facts.wanted.sums:
            self._add_sums(facts)
        if facts.wanted.ranks:
            self._add_ranks(facts)
        if facts.known is not None:
            self.arrays["known"] = array("q", facts.known).tobytes()

    def _add_times(self, times: list[int]) -> None:
        groups = self._groups
        if groups is None:
            self.arrays["times"] = array("q", times).tobytes()
            return
        self.arrays["times"] = array("q", [g.at for g in groups]).tobytes()
        self.arrays["weights"] = array("I", _running([g.end - g.start for g in groups])).tobytes()
        self.arrays["firsts"] = array("q", [times[g.start] for g in groups]).tobytes()
        self.arrays["lasts"] = array("q", [times[g.end - 1] for g in groups]).tobytes()

    def _add_sums(self, facts: MeasureFacts) -> None:
        whole, self.numbers["power"] = whole_numbers(facts.values, facts.dtype)
        self._add_running("sums", "sum_width", whole)
        if facts.wanted.squares:
            self._add_running("squares", "square_width", [v * v for v in whole])
        if facts.dtype.is_float and not all(map(_finite, facts.values)):
            counts = [array("I", _running(self._grouped([int(test(v)) for v in facts.values]))).tobytes() for test in _SPECIAL]
            self.arrays["special"] = b"".join(counts)

    def _add_running(self, name: str, width_name: str, numbers: list[int]) -> None:
        running = _running(self._grouped(numbers))
        width = (max(map(int.bit_length, running), default=0) + 8) // 8
        if width > WIDEST:
            raise TooWide
        self.numbers[width_name] = width
        if width <= 8:
            self.numbers[width_name] = 8
            self.arrays[name] = array("q", running).tobytes()
        else:
            self.arrays[name] = b"".join([n.to_bytes(width, "little", signed=True) for n in running])

    def _add_ranks(self, facts: MeasureFacts) -> None:
        key = ranked(facts.dtype)
        keys = facts.values if key is None else [_hashable(key(v)) for v in facts.values]
        shown = dict(zip(keys, facts.values, strict=True))
        order = sorted(shown)
        rank_of = {one: rank for rank, one in enumerate(order)}
        ranks = [rank_of[one] for one in keys]
        self._add_distinct([shown[one] for one in order], facts.dtype)
        self.arrays["ranks"] = array("I", ranks).tobytes()
        if facts.wanted.extremes:
            groups = self._groups
            low = ranks if groups is None else [min(ranks[g.start : g.end]) for g in groups]
            high = ranks if groups is None else [max(ranks[g.start : g.end]) for g in groups]
            self.arrays["low"] = array("I", _tree(low, min)).tobytes()
            self.arrays["high"] = array("I", _tree(high, max)).tobytes()
        if facts.wanted.counts:
            counters = [Counter(ranks[at : at + BLOCK]) for at in range(0, len(ranks), BLOCK)]
            self.arrays["block_ends"] = array("q", _running(list(map(len, counters)))).tobytes()
            self.arrays["block_ranks"] = array("I", [rank for c in counters for rank in c]).tobytes()
            self.arrays["block_counts"] = array("I", [n for c in counters for n in c.values()]).tobytes()

    def _add_distinct(self, values: list[Any], dtype: DType) -> None:
        self.numbers["distinct_size"] = len(values)
        plain = plain_format(dtype)
        if plain is not None:
            self.arrays["distinct"] = struct.pack(f"<{len(values)}{plain}", *values)
            return
        parts = list(map(value_writer(dtype), values))
        self.arrays["distinct"] = b"".join(parts)
        self.arrays["distinct_ends"] = array("q", _running(list(map(len, parts)))).tobytes()

    def _grouped(self, numbers: list[int]) -> list[int]:
        return numbers if self._groups is None else [sum(numbers[g.start : g.end]) for g in self._groups]


class _Group(NamedTuple):
    """The facts start to end that one element stands for, and the time at which it is met."""

    at: int
    start: int
    end: int


def _groups(times: list[int], edges: Edges | None) -> list[_Group] | None:
    """One group per fact in an edge and one per gap with facts; None where every fact is in an edge."""
    if edges is None:
        return None
    groups: list[_Group] = []
    done = 0
    for first, last in edges:
        start = bisect_left(times, first, done)
        if start > done:
            groups.append(_Group(first - 1, done, start))
        done = bisect_right(times, last, start)
        groups += [_Group(times[i], i, i + 1) for i in range(start, done)]
    if done < len(times):  # met by nobody who asks before the horizon
        groups.append(_Group(times[done], done, len(times)))
    return None if len(groups) == len(times) else groups


def _running(numbers: Sequence[int]) -> list[int]:
    return list(accumulate(numbers, initial=0))


def _tree(leaves: list[int], of: Callable[[int, int], int]) -> list[int]:
    """A leaf's neighbours joined pair by pair, down to the root at 1; 0 is not used."""
    size = len(leaves)
    tree = [0] * size + leaves
    for i in range(size - 1, 0, -1):
        tree[i] = of(tree[2 * i], tree[2 * i + 1])
    return tree


def _hashable(key: Any) -> Any:
    return tuple(map(_hashable, key)) if isinstance(key, list) else key


def _finite(value: float) -> bool:
    return value - value == 0.0


_SPECIAL: tuple[Callable[[float], bool], ...] = (
    lambda v: v != v,
    lambda v: v == float("inf"),
    lambda v: v == float("-inf"),
)


def whole_numbers(values: list[Any], dtype: DType) -> tuple[list[int], int]:
    """The values times 2^power (of decimals 10^scale, and no power) as whole numbers; those that are not finite as zero."""
    if dtype.is_float:
        ratios = [v.as_integer_ratio() if _finite(v) else (0, 1) for v in values]
        power = max((d.bit_length() - 1 for _, d in ratios), default=0)
        return [n << (power + 1 - d.bit_length()) for n, d in ratios], power
    if dtype.is_decimal:
        return [unscaled(v, dtype) for v in values], 0
    return [int(v) for v in values], 0


# Reading.


class Indexed:
    """A record of this layout, read in place: nothing is copied but what is asked for."""

    __slots__ = ("_measures", "_raw", "_start", "entries", "exact_until")

    def __init__(self, record: Any) -> None:
        self._raw = memoryview(record)
        try:
            _, self.exact_until, length, self._measures = _HEAD.unpack_from(self._raw)
        except struct.error:
            raise _bad(len(self._raw)) from None
        self._start = _HEAD.size + length
        self.entries = bytes(self._raw[_HEAD.size : self._start])
        """The bytes of the entries of the latest values."""

    def measure(self, number: int, dtype: DType) -> Elements:
        """number: from 0. dtype: of the measure's values."""
        if number >= self._measures:
            raise _bad(len(self._raw))
        try:
            return Elements(self._raw, _DIRECTORY.unpack_from(self._raw, self._start + number * _DIRECTORY.size), dtype)
        except struct.error:
            raise _bad(len(self._raw)) from None


class Elements:
    """One measure's elements. A range is positions [i, j): elements whose event time lies in [low, high)."""

    __slots__ = ("_directory", "_dtype", "_raw", "size", "times")

    def __init__(self, raw: memoryview, directory: tuple[int, ...], dtype: DType) -> None:
        self._raw, self._directory, self._dtype = raw, directory, dtype
        self.size = directory[0]
        self.times = self._array("times", "q", self.size)

    def between(self, low: int | None, high: int) -> tuple[int, int]:
        """Positions of [low, high); low None: from the beginning."""
        end = bisect_left(self.times, high)
        return (0 if low is None else bisect_left(self.times, low, 0, end)), end

    def count(self, i: int, j: int) -> int:
        """How many facts there are."""
        if not self._directory[_PLACE["weights"]]:
            return j - i
        weights = self._array("weights", "I", self.size + 1)
        return weights[j] - weights[i]

    def first(self, i: int) -> int:
        """The event time of the first fact of the element."""
        return int(self._array("firsts", "q", self.size)[i] if self._directory[_PLACE["firsts"]] else self.times[i])

    def last(self, i: int) -> int:
        """The event time of the last fact of the element."""
        return int(self._array("lasts", "q", self.size)[i] if self._directory[_PLACE["lasts"]] else self.times[i])

    @property
    def power(self) -> int:
        """Sums are of values times 2^power, squares of values times 2^(2·power)."""
        return self._directory[_PLACE["power"]]

    def sum(self, i: int, j: int) -> int:
        return self._run("sums", "sum_width", j) - self._run("sums", "sum_width", i)

    def squares(self, i: int, j: int) -> int:
        return self._run("squares", "square_width", j) - self._run("squares", "square_width", i)

    def special(self, i: int, j: int) -> tuple[int, int, int]:
        """How many are NaN, +inf and -inf."""
        if not self._directory[_PLACE["special"]]:
            return 0, 0, 0
        runs = self._array("special", "I", 3 * (self.size + 1))
        at = [n * (self.size + 1) for n in range(3)]
        nans, above, below = (runs[a + j] - runs[a + i] for a in at)
        return nans, above, below

    def least(self, i: int, j: int) -> Any:
        return self._extreme("low", min, i, j)

    def greatest(self, i: int, j: int) -> Any:
        return self._extreme("high", max, i, j)

    def smallest(self, i: int, j: int, k: int) -> list[Any]:
        """The k least values, ascending."""
        return self._foremost("low", 1, i, j, k)

    def largest(self, i: int, j: int, k: int) -> list[Any]:
        """The k greatest values, descending."""
        return self._foremost("high", -1, i, j, k)

    def nearest(self, i: int, j: int, k: int, *, newest: bool) -> list[tuple[int, int, Any]]:
        """(event time, known time, value) of the k first facts (newest: last) by event time, and of those that share it with
        the last of them. Every element must be a fact."""
        times = self.times
        start, end = (max(j - k, i), j) if newest else (i, min(i + k, j))
        while newest and start > i and times[start - 1] == times[start]:
            start -= 1
        while not newest and end < j and times[end] == times[end - 1]:
            end += 1
        return [(times[p], self.known(p), self.value(p)) for p in range(start, end)]

    def value(self, i: int) -> Any:
        """The value of one element that is a fact."""
        return self.distinct(self._array("ranks", "I", self.size)[i])

    def known(self, i: int) -> int:
        return int(self._array("known", "q", self.size)[i])

    def counts(self, i: int, j: int) -> Counter[int]:
        """How often each value occurs, by rank: values in order have ascending ranks."""
        ranks = self._array("ranks", "I", self.size)
        first, last = -(-i // BLOCK), j // BLOCK
        if first >= last:
            return Counter(ranks[i:j].tolist())
        found = Counter(ranks[i : first * BLOCK].tolist())
        found.update(ranks[last * BLOCK : j].tolist())
        ends = self._array("block_ends", "q", -(-self.size // BLOCK) + 1)
        block_ranks = self._array("block_ranks", "I", ends[-1])
        block_counts = self._array("block_counts", "I", ends[-1])
        a, b = ends[first], ends[last]
        for rank, n in zip(block_ranks[a:b].tolist(), block_counts[a:b].tolist(), strict=True):
            found[rank] += n
        return found

    @property
    def distinct_size(self) -> int:
        """How many distinct values there are."""
        return self._directory[_PLACE["distinct_size"]]

    def distinct(self, rank: int) -> Any:
        """The value of a rank."""
        size, at = self.distinct_size, self._directory[_PLACE["distinct"]]
        plain = plain_format(self._dtype)
        if plain is not None:
            return self._array("distinct", plain, size)[rank]
        ends = self._array("distinct_ends", "q", size + 1)
        return value_reader(self._dtype)(bytes(self._raw[at + ends[rank] : at + ends[rank + 1]]))

    def _extreme(self, name: str, of: Callable[[Iterable[int]], int], i: int, j: int) -> Any:
        tree = self._array(name, "I", 2 * self.size)
        return self.distinct(of(tree[node] for node in self._roots(i, j)))

    def _foremost(self, name: str, sign: int, i: int, j: int, k: int) -> list[Any]:
        """From the roots of the range down: whatever is foremost next is a leaf, or lies below the foremost node."""
        tree = self._array(name, "I", 2 * self.size)
        queue = [(sign * tree[node], node) for node in self._roots(i, j)]
        heapify(queue)
        found: list[Any] = []
        while queue and len(found) < k:
            rank, node = heappop(queue)
            if node >= self.size:
                found.append(self.distinct(sign * rank))
            else:
                for child in (2 * node, 2 * node + 1):
                    heappush(queue, (sign * tree[child], child))
        return found

    def _roots(self, i: int, j: int) -> Iterator[int]:
        """The nodes that together stand for [i, j)."""
        left, right = i + self.size, j + self.size
        while left < right:
            if left & 1:
                yield left
                left += 1
            if right & 1:
                right -= 1
                yield right
            left >>= 1
            right >>= 1

    def _run(self, name: str, width_name: str, i: int) -> int:
        width = self._directory[_PLACE[width_name]]
        if width == 8:
            return int(self._array(name, "q", self.size + 1)[i])
        at = self._directory[_PLACE[name]] + width * i
        return int.from_bytes(self._raw[at : at + width], "little", signed=True)

    def _array(self, name: str, kind: str, size: int) -> memoryview:
        at = self._directory[_PLACE[name]]
        return self._raw[at : at + size * _WIDTHS[kind]].cast(kind)  # type: ignore[call-overload, no-any-return]


_WIDTHS = {kind: struct.calcsize("<" + kind) for kind in "?bBhHiIqQfd"}


def _bad(length: int) -> StoreFormat:
    return StoreFormat("FS404", f"a record of {length} bytes is not one of format {INDEXED_FORMAT}",
                       hint="featurestore materialize --full")  # fmt: skip


# What aggregates ask.

_SUMS, _SQUARES, _EXTREMES = Wanted(sums=True), Wanted(sums=True, squares=True), Wanted(extremes=True)
_COUNTS, _BY_TIME = Wanted(counts=True), Wanted(by_time=True)
WANTED = {
    "count": Wanted(), "sum": _SUMS, "mean": _SUMS, "any": _SUMS, "all": _SUMS,
    "var_samp": _SQUARES, "var_pop": _SQUARES, "stddev_samp": _SQUARES, "stddev_pop": _SQUARES,
    "min": _EXTREMES, "max": _EXTREMES, "min_k": _EXTREMES, "max_k": _EXTREMES,
    "count_distinct": _COUNTS, "median": _COUNTS, "quantile": _COUNTS, "mode": _COUNTS, "histogram": _COUNTS,
    "first": _BY_TIME, "last": _BY_TIME, "first_k": _BY_TIME, "last_k": _BY_TIME,
    "time_since_last": Wanted(), "time_since_first": Wanted(),
}  # fmt: skip
"""Aggregate -> what it asks of its measure."""
FOLDABLE = frozenset(name for name, wanted in WANTED.items() if not wanted.counts and not wanted.by_time) - {"min_k", "max_k"}
"""Aggregates that need not know which facts lie between the edges of their windows."""


def wanted_by(aggregates: Iterable[str]) -> Wanted:
    """What some aggregates of one measure ask together."""
    asked = [WANTED[name] for name in aggregates]
    return Wanted(*(any(getattr(one, part) for one in asked) for part in ("sums", "squares", "extremes", "counts", "by_time")))


def edges_of(spans: Iterable[tuple[int | None, int]], watermark: int, horizon: int) -> list[tuple[int, int]]:
    """The stretches of time in which windows begin and end while t goes from the watermark to the horizon. spans: how long
    before t each begins (None: with the first fact) and ends."""
    ends = sorted({end for span in spans for end in span if end is not None}, reverse=True)
    edges: list[tuple[int, int]] = []
    for end in ends:
        first, last = watermark - end, watermark - end + horizon + 1  # with exact matches an end is a microsecond later
        if edges and first <= edges[-1][1] + 1:
            edges[-1] = edges[-1][0], last
        else:
            edges.append((first, last))
    return edges
