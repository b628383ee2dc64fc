"""What the record of one key means at an instant: latest values, aggregates over windows, and their statuses.

The values of a record at t are decided here as the plan decides them offline; both are checked against the oracle. Where
records come from, and who asks, is the business of `online_features`; what an aggregate makes of its facts that of
`online_folds`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from featurestore.dtypes import DType, parse_dtype
from featurestore.online.codec import CANDIDATE, IN_REACH, Entry, RecordCodec
from featurestore.online.generations import Generation
from featurestore.retrieval.online_folds import AGES, FOLDS, TIMED, Aggregated

PRESENT, NULL, EXPIRED, NOT_FOUND, STALE, UNAVAILABLE = "present", "null", "expired", "not_found", "stale", "unavailable"

Answer = tuple[tuple[Any, ...], str, int | None, tuple[int, ...]]
"""One key's answer: a value per feature; the status of the latest ones (PRESENT also where their value is NULL) and the
event time they have; the positions of windows whose sum leaves its type. Statuses per cell are made of it on demand."""


class View:
    """Reads the records of one view instance as a service uses it; its features are those returned, then the hidden."""

    def __init__(self, instance: Mapping[str, Any], made: Generation) -> None:
        view = made.view
        by_name = {f["name"]: f for f in view["features"]}
        computed = [*instance["features"], *instance.get("hidden", ())]
        chosen = [by_name[name] for _, name in computed]
        self.name: str = instance["name"]
        self.table = made.table
        self.watermark = made.watermark
        self.key_columns: tuple[str, ...] = tuple(column for column, _ in instance["keys"])
        self.families: tuple[str, ...] = tuple(key["family"] for key in view["keys"])
        self.feature_names: tuple[str, ...] = tuple(out for out, _ in computed)
        self.feature_types: tuple[DType, ...] = tuple(parse_dtype(f["type"]) for f in chosen)
        self._static: bool = view["static"]
        self._ttl: int | None = view["ttl"]
        self._before = 0 if view["allow_exact_matches"] else 1
        self._decode = RecordCodec([parse_dtype(t) for _, t in made.columns]).decode
        self._is_latest = [f["aggregate"] is None for f in chosen]
        self._pick = _picker([_column(made, f) for f in chosen if f["aggregate"] is None], len(made.columns))
        self._no_latest = (None,) * sum(self._is_latest)
        self._windows = [_Window(f, made, 1 - self._before) for f in chosen if f["aggregate"] is not None]
        self._arrange = _picker(_places(self._is_latest), len(chosen))
        self._nothing: Answer = (self._together(self._no_latest, [], 0)[0], NOT_FOUND, None, ())
        self._stale: Answer = ((None,) * len(chosen), STALE, None, ())

    def answer(self, record: bytes | None, t: int) -> Answer:
        """The features of one key as of t. A record exact only up to an earlier instant has no values."""
        if record is None:
            return self._nothing
        exact_until, entries = self._decode(record)
        if t > exact_until:
            return self._stale
        newest = self._newest(entries, t)
        status, event, latest = NOT_FOUND, None, self._no_latest
        if newest is not None:
            event = newest[1]
            if self._ttl is not None and t - event > self._ttl:
                status = EXPIRED
            else:
                status, latest = PRESENT, self._pick(newest[2])
        if not self._windows:
            return self._arrange(latest), status, None if self._static else event, ()
        values, unavailable = self._together(latest, [e for e in entries if e[0] == IN_REACH], t)
        return values, status, event, unavailable

    def statuses(self, answer: Answer) -> list[str]:
        """One status per feature."""
        values, status, _, unavailable = answer
        if status is STALE:
            return [STALE] * len(values)
        found = [
            status if is_latest and status is not PRESENT else NULL if value is None else PRESENT
            for value, is_latest in zip(values, self._is_latest, strict=True)
        ]
        for position in unavailable:
            found[position] = UNAVAILABLE
        return found

    def event_timestamps(self, answer: Answer) -> list[int | None]:
        """One event time per feature, microseconds: of the fact a latest feature looked at, None for windows."""
        event = answer[2]
        return [event if is_latest else None for is_latest in self._is_latest]

    def event_columns(self, answers: Sequence[Answer]) -> list[list[int | None]]:
        """As `event_timestamps`, a column per feature; latest features share one."""
        events: list[int | None] = [answer[2] for answer in answers]
        none: list[int | None] = [None] * len(answers)
        return [events if is_latest else none for is_latest in self._is_latest]

    def _newest(self, entries: Sequence[Entry], t: int) -> Entry | None:
        """The last candidate usable at t: entries come by kind, candidates in order of event time before those of windows."""
        bound = math.inf if self._static else t - self._before
        newest = None
        for entry in entries:
            if entry[0] == CANDIDATE and entry[1] <= bound:
                newest = entry
            elif entry[0] == IN_REACH:
                break
        return newest

    def _together(self, latest: tuple[Any, ...], reach: list[Entry], t: int) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        """Latest values and windows in the order of the features, and the positions of those without a value."""
        times = [entry[1] for entry in reach]
        values = list(latest)
        unavailable: list[int] = []
        for window in self._windows:
            try:
                values.append(window.value(times, reach, t))
            except OverflowError:
                unavailable.append(len(values))
                values.append(None)
        places = [self._arrange(range(len(values))).index(i) for i in unavailable]
        return self._arrange(values), tuple(places)


class _Window:
    """One aggregate, evaluated over the facts in its window at the moment of asking."""

    def __init__(self, feature: Mapping[str, Any], made: Generation, shift: int) -> None:
        self._column, self._shift = _column(made, feature), shift
        self._known = len(made.columns) - 1  # where some aggregate orders by it
        self._length: int | None = feature["window"]
        self._offset: int = feature["offset"]
        folding = FOLDS[feature["aggregate"]]
        types = (made.columns[self._column][1], feature["type"])
        self._takes = folding.takes
        self._fold = folding.make(Aggregated(feature.get("parameter"), *map(parse_dtype, types)))

    def value(self, times: Sequence[int], reach: Sequence[Entry], t: int) -> Any:
        """times: the event times of `reach`, ascending. Raises: OverflowError for a sum that leaves its type."""
        # [low, high): with exact matches (t - o - w, t - o] is the same interval a microsecond later.
        high = t - self._offset + self._shift
        last = bisect_left(times, high)
        first = 0 if self._length is None else bisect_left(times, high - self._length, 0, last)
        return self._fold(self._taken(reach[first:last], t))

    def _taken(self, facts: Sequence[Entry], t: int) -> list[Any]:
        """What the fold takes of the facts that have a value."""
        column = self._column
        if self._takes is TIMED:
            known = self._known
            return [(entry[1], entry[2][known], v) for entry in facts if (v := entry[2][column]) is not None]
        if self._takes is AGES:
            return [t - entry[1] for entry in facts if entry[2][column] is not None]
        return [v for entry in facts if (v := entry[2][column]) is not None]


def _column(made: Generation, feature: Mapping[str, Any]) -> int:
    """Which of an entry's values a feature reads: its own, or its measure.

    Measures follow the latest values, numbered by first use of an (expression, where), as the plan numbers them; the known
    time, where it is kept, comes last.
    """
    if feature["aggregate"] is None:
        return [name for name, _ in made.columns].index(feature["name"])
    features = made.view["features"]
    numbers: dict[tuple[Any, Any], int] = {}
    for f in features:
        if f["aggregate"] is not None:
            numbers.setdefault((f["expression"], f["where"]), len(numbers))
    return sum(f["aggregate"] is None for f in features) + numbers[feature["expression"], feature["where"]]


def _places(is_latest: Sequence[bool]) -> list[int]:
    """Position of each feature among (latest ones…, windows…)."""
    latest, windows = 0, sum(is_latest)
    places = []
    for one in is_latest:
        places.append(latest if one else windows)
        latest, windows = latest + one, windows + (not one)
    return places


def _picker(positions: list[int], width: int) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """Takes the values at some positions out of `width`, as a tuple."""
    if positions == list(range(width)):
        return tuple
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda values: tuple(values[i] for i in positions)
