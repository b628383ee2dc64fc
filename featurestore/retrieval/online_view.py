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

from featurestore.definitions.view import ONLINE_CAP
from featurestore.dtypes import DType, parse_dtype
from featurestore.intervals import FOREVER
from featurestore.online import tables
from featurestore.online.codec import CANDIDATE, Entry
from featurestore.online.generations import KEYED, Generation, push_codec
from featurestore.online.layout import Columns, Facts, Indexed, Layout, Listed
from featurestore.retrieval.online_folds import FOLDS, TIMED, VALUES, Aggregated
from featurestore.retrieval.online_indexed import LOOKS
from featurestore.retrieval.online_pushed import Pushed, Timed, Untold, WithPushed, together

PRESENT, NULL, EXPIRED, NOT_FOUND, STALE, UNAVAILABLE = "present", "null", "expired", "not_found", "stale", "unavailable"
UNKNOWN = (STALE, UNAVAILABLE)
"""Statuses of cells whose value at t the store cannot tell."""

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
        self.pushed_table = tables.pushed_to(made.name, made.number) if made.pushed else None
        """Where it has what was pushed since its records were made; None if nothing was."""
        of_any_length = {"text", "binary"} & {key["family"] for key in view["keys"]}
        self.long_keys = bool(of_any_length) and made.format >= KEYED
        """Whether records may be kept under digests, with their key behind them."""
        self.watermark = made.watermark
        self.key_columns: tuple[str, ...] = tuple(column for column, _ in instance["keys"])
        self.families: tuple[str, ...] = tuple(key["family"] for key in view["keys"])
        self.feature_names: tuple[str, ...] = tuple(out for out, _ in computed)
        self.feature_types: tuple[DType, ...] = tuple(parse_dtype(f["type"]) for f in chosen)
        self._static: bool = view["static"]
        self._ttl: int | None = view["ttl"]
        self._before = 0 if view["allow_exact_matches"] else 1
        self._read = layout_of(made).read
        self._changes = push_codec(made).changes if made.pushed else None
        self._is_latest = [f["aggregate"] is None for f in chosen]
        names = [name for name, _ in made.columns]
        self._pick = _picker([names.index(f["name"]) for f in chosen if f["aggregate"] is None], _latest(made))
        self._no_latest = (None,) * sum(self._is_latest)
        self._spans = _Spans()
        self._windows = [_Window(f, made, 1 - self._before, self._spans) for f in chosen if f["aggregate"] is not None]
        self._arrange = _picker(_places(self._is_latest), len(chosen))
        self._nothing: Answer = (self._together(self._no_latest, Listed(0, [], 0, None), 0)[0], NOT_FOUND, None, ())
        self._stale: Answer = ((None,) * len(chosen), STALE, None, ())
        self.unavailable: Answer = ((None,) * len(chosen), UNAVAILABLE, None, ())
        """Of a key whose record cannot be had."""

    def answer(self, record: bytes | memoryview | None, t: int) -> Answer:
        """The features of one key as of t. A record exact only up to an earlier instant has no values."""
        if record is None:
            return self._nothing
        entries, facts = self._read(record)
        if t > facts.exact_until:
            return self._stale
        status, event, latest = self._of_newest(self._newest(entries, t), t)
        if not self._windows:
            return self._arrange(latest), status, None if self._static else event, ()
        values, unavailable = self._together(latest, facts, t)
        return values, status, event, unavailable

    def answer_pushed(self, record: bytes | memoryview | None, pushed: bytes | memoryview | None, t: int) -> Answer:
        """As `answer`, of a key that rows were pushed to since. t: not before the newest of them arrived."""
        if pushed is None:
            return self.answer(record, t)
        assert self._changes is not None
        entries, facts = self._read(record) if record is not None else ([], Listed(FOREVER, [], 0, None))
        if t > facts.exact_until:
            return self._stale
        try:
            changes = Pushed(self._changes(bytes(pushed))[1], t - self._before)
            status, event, latest = self._of_newest(changes.newest(entries), t) if self._no_latest else (NOT_FOUND, None, ())
            values, unavailable = self._together(latest, facts, t, changes)
        except Untold:
            return self._stale
        return values, status, event, unavailable

    def statuses(self, answer: Answer) -> list[str]:
        """One status per feature."""
        values, status, _, unavailable = answer
        if status in UNKNOWN:
            return [status] * len(values)
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

    def _of_newest(self, newest: Entry | None, t: int) -> tuple[str, int | None, tuple[Any, ...]]:
        """Status, event time and values of the latest features, given the newest fact."""
        if newest is None:
            return NOT_FOUND, None, self._no_latest
        event = newest[1]
        if self._ttl is not None and t - event > self._ttl:
            return EXPIRED, event, self._no_latest
        return PRESENT, event, self._pick(newest[2])

    def _newest(self, entries: Sequence[Entry], t: int) -> Entry | None:
        """The last candidate usable at t: they come in order of event time."""
        bound = math.inf if self._static else t - self._before
        newest = None
        for entry in entries:
            if entry[0] == CANDIDATE and entry[1] <= bound:
                newest = entry
        return newest

    def _together(
        self, latest: tuple[Any, ...], facts: Facts, t: int, changes: Pushed | None = None
    ) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        """Latest values and windows in the order of the features, and the positions of those without a value.

        Raises: Untold, with changes.
        """
        values = list(latest)
        unavailable: list[int] = []
        spans = self._spans.of(facts.times, t) if isinstance(facts, Columns) else []
        for window in self._windows:
            try:
                values.append(window.value(facts, t, spans) if changes is None else window.changed(facts, t, spans, changes))
            except OverflowError:
                unavailable.append(len(values))
                values.append(None)
        places = [self._arrange(range(len(values))).index(i) for i in unavailable]
        return self._arrange(values), tuple(places)


class _Spans:
    """The different windows of a view, [t + low, t + high), so that each is looked for once; low None: from the first fact."""

    def __init__(self) -> None:
        self._ends: list[tuple[int | None, int]] = []

    def number(self, low: int | None, high: int) -> int:
        if (low, high) not in self._ends:
            self._ends.append((low, high))
        return self._ends.index((low, high))

    def of(self, times: Sequence[int], t: int) -> list[tuple[int, int]]:
        """Of each window where in the times it begins and ends."""
        return [_between(times, low, high, t) for low, high in self._ends]


class _Window:
    """One aggregate, evaluated over the facts in its window at the moment of asking."""

    def __init__(self, feature: Mapping[str, Any], made: Generation, shift: int, spans: _Spans) -> None:
        self._measure = measures_of(made)[feature["expression"], feature["where"]]
        # [low, high): with exact matches (t - o - w, t - o] is the same interval a microsecond later.
        self._high: int = shift - feature["offset"]
        self._low: int | None = None if feature["window"] is None else self._high - feature["window"]
        self._dtype = parse_dtype(made.columns[_latest(made) + self._measure][1])
        of = Aggregated(
            feature.get("parameter"), self._dtype, parse_dtype(feature["type"]), made.view.get("online_cap", ONLINE_CAP)
        )
        folding = FOLDS[feature["aggregate"]]
        self._takes, self._fold = folding.takes, folding.make(of)
        self._is_count = feature["aggregate"] == "count"
        self._span = spans.number(self._low, self._high)
        self._look = LOOKS[feature["aggregate"]](of)

    def value(self, facts: Facts, t: int, spans: Sequence[tuple[int, int]]) -> Any:
        """spans: of all windows in the times of `Columns`, if facts are such.

        Raises: OverflowError for a sum that leaves its type, and for more distinct values than the view allows.
        """
        if isinstance(facts, Indexed):
            elements = facts.measure(self._measure, self._dtype)
            i, j = elements.between(None if self._low is None else t + self._low, t + self._high)
            return self._look(elements, i, j, t) if i < j else self._fold([])
        times, values, known = facts.measure(self._measure)
        if spans and times is facts.times:  # type: ignore[union-attr]
            i, j = spans[self._span]
        else:
            i, j = _between(times, self._low, self._high, t)
        if self._is_count:
            return j - i
        if self._takes is VALUES:
            return self._fold(values[i:j])
        if self._takes is TIMED:
            return self._fold(list(zip(times[i:j], known[i:j], values[i:j], strict=True)))
        return self._fold([t - time for time in times[i:j]])

    def changed(self, facts: Facts, t: int, spans: Sequence[tuple[int, int]], changes: Pushed) -> Any:
        """As `value`, with what was pushed since. Raises: OverflowError, Untold."""
        low, high = None if self._low is None else t + self._low, t + self._high
        came, gone = changes.came(self._measure, low, high), changes.gone(self._measure, low, high)
        if not came and not gone:
            return self.value(facts, t, spans)
        if isinstance(facts, Indexed):
            if gone:
                raise Untold  # it may be one of those that were added up
            elements = facts.measure(self._measure, self._dtype)
            i, j = elements.between(low, high)
            if i < j:
                both: Any = WithPushed(elements, came, self._dtype)
                return self._look(both, i, j, t)
            return self._folded(together([], came, (), self._dtype, by_known=False), t)
        times, values, known = facts.measure(self._measure)
        i, j = _between(times, self._low, self._high, t)
        own = list(zip(times[i:j], known[i:j] or times[i:j], values[i:j], strict=True))
        return self._folded(together(own, came, gone, self._dtype, by_known=bool(known)), t)

    def _folded(self, facts: Sequence[Timed], t: int) -> Any:
        if self._takes is VALUES:
            return self._fold([value for _, _, value in facts])
        return self._fold(facts if self._takes is TIMED else [t - time for time, _, _ in facts])


def _between(times: Sequence[int], low: int | None, high: int, t: int) -> tuple[int, int]:
    end = bisect_left(times, t + high)
    return (0 if low is None else bisect_left(times, t + low, 0, end)), end


def _latest(made: Generation) -> int:
    """How many of a generation's columns are latest values."""
    return sum(f["aggregate"] is None for f in made.view["features"])


def layout_of(made: Generation) -> Layout:
    types = [parse_dtype(t) for _, t in made.columns]
    latest = _latest(made)
    end = latest + len(measures_of(made))
    return Layout(types[:latest], types[latest:end], known=end < len(types))


def measures_of(made: Generation) -> dict[tuple[Any, Any], int]:
    """The number of each measure: by first use of an (expression, where), as the plan numbers them."""
    numbers: dict[tuple[Any, Any], int] = {}
    for f in made.view["features"]:
        if f["aggregate"] is not None:
            numbers.setdefault((f["expression"], f["where"]), len(numbers))
    return numbers


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
