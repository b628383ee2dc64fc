"""Which other questions a wrong value may answer: F at another instant, or without one of its rules.

Each explanation is one such question, asked for all rows at once; what it gives is compared with what was found. Of those that
explain a feature's cells the one that explains most is believed first, because a wrong column has one reason: a value of few
kinds, such as a flag, is found almost anywhere by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.findings import EXPIRED, FUTURE, LATE, LEAKS, STALE
from featurestore.intervals import MICROS_PER_DAY, MICROS_PER_SECOND, parse_instant
from featurestore.plan import whatif
from featurestore.plan.nodes import TrainingSet
from featurestore.plan.whatif import Replan

HOUR, DAY, WEEK = 3_600 * MICROS_PER_SECOND, MICROS_PER_DAY, 7 * MICROS_PER_DAY
LONG_AFTER, LONG_BEFORE = parse_instant("2300-01-01T00:00:00Z"), parse_instant("1600-01-01T00:00:00Z")
SHIFTS = tuple(n * HOUR for n in (2, 3, 4, 5, 6, 8, 12)) + tuple(n * DAY for n in (2, 3, 14, 30))
"""Besides those that suggest themselves: an hour, a day, a week."""
_MONDAY = 4 * DAY
"""The first Monday after the epoch: weeks begin there."""

Landmarks = Mapping[str, pa.Array]
"""Name (see `Asking.landmarks`) -> an instant per row, NULL where there is none."""


def _as_defined(plan: TrainingSet) -> TrainingSet:
    return plan


def _history_at_once(plan: TrainingSet) -> TrainingSet:
    return whatif.known_at_once(whatif.whole_history(plan))


def _last_at_once(plan: TrainingSet) -> TrainingSet:
    return whatif.known_at_once(whatif.without_ttl(plan))


def _twice_at_once(plan: TrainingSet) -> TrainingSet:
    return whatif.known_at_once(whatif.twice_the_windows(plan))


@dataclass(frozen=True)
class Why:
    """One explanation. told: in words, "the value …". instants: (as_of in microseconds, landmarks) -> when F is asked
    instead, NULL in rows for which there is no such instant. replan: under which rules. lag: by how much later facts are known,
    in microseconds. landmark: the one that the instants lie near. far: it suggests itself of many cells alone, since of one by
    one some instant far away may give anything."""

    cause: str
    told: str
    instants: Callable[[pa.Array, Landmarks], pa.Array]
    replan: Replan = _as_defined
    lag: int = 0
    landmark: str | None = None
    far: bool = False

    @property
    def is_leak(self) -> bool:
        return self.cause in LEAKS

    @property
    def rules(self) -> tuple[str, int, bool]:
        """What explanations share that one build can ask."""
        return self.replan.__name__, self.lag, self.is_leak


class Stage(Enum):
    """What is tried one after the other: rules and instants that suggest themselves, other lengths of time, other states of
    knowledge."""

    RULES, LENGTHS, LAGS = range(3)


def whys(
    stage: Stage, *, exact: bool, ttl: bool, windows: Sequence[int], lifetime: bool, latest: bool, bounded: bool
) -> list[Why]:
    """The explanations of a stage that may hold, the more particular first.

    exact: the view sees facts at as_of. windows: the lengths of its windows, in microseconds. lifetime: it has windows without
    end. latest: it has latest values, which may expire (ttl). bounded: the set has a cut-off or a serving lag.
    """
    if stage is Stage.LENGTHS:
        return _of_lengths(windows)
    if stage is Stage.LAGS:
        return _of_lags()
    at_once = whatif.known_at_once
    found = [Why(EXPIRED, "of a fact older than the ttl", _at, whatif.without_ttl)] if ttl else []
    if not exact:
        found.append(Why(FUTURE, "with what happened at as_of itself", _later(1)))
    if bounded:
        found.append(Why(LATE, "with what became known after the cut-off", _at))
    found.append(Why(LATE, "with what had happened by as_of, as if known at once", _at, at_once))
    if not exact:
        found.append(Why(FUTURE, "with what happened at as_of itself, as if known at once", _later(1), at_once))
    found += [
        _near(FUTURE, "with the next fact", "next_visible", 1),
        _near(FUTURE, "with the next fact, as if known at once", "next_event", 1, at_once),
        _near(STALE, "without the newest fact", "last_visible", -1 if exact else 0),
        _near(STALE, "without the newest event", "last_event", -1 if exact else 0),
    ]
    if windows:
        found.append(_near(STALE, "as of the last event, carried forward", "last_event", 0 if exact else 1))
    for name, length, start in (("day", DAY, 0), ("hour", HOUR, 0), ("week", WEEK, _MONDAY)):
        found.append(Why(FUTURE, f"as of the end of the {name}", _turn(length, start, 1)))
        found.append(Why(FUTURE, f"as of the end of the {name}, as if known at once", _turn(length, start, 1), at_once))
        found.append(Why(STALE, f"as of the start of the {name}", _turn(length, start, 0)))
    for window in dict.fromkeys(windows):
        told = _length(window)
        found.append(Why(FUTURE, f"of the {told} after as_of", _later(window), at_once))
        found.append(Why(FUTURE, f"of the {told} around as_of", _later(window // 2), at_once))
        found.append(Why(FUTURE, f"of the {told} before as_of and the {told} after it", _later(window), _twice_at_once))
    for shift in (HOUR, DAY, WEEK):
        found.append(Why(FUTURE, f"as of {_length(shift)} later", _later(shift)))
        found.append(Why(STALE, f"as of {_length(shift)} before", _later(-shift)))
    for told, mark in (("the last fact of its key", "last_of_key"), ("the end of the data", "last_of_all")):
        found.append(_after(f"as of {told}", mark))
        found.append(_after(f"as of {told}, as if known at once", mark, at_once))
    found.append(Why(FUTURE, "as of the last as_of of all", _last, far=True))
    if latest:
        found.append(_in_the_end("of the last fact there is", _last_at_once))
    if windows or lifetime:
        found.append(_in_the_end("over all facts there are", _history_at_once))
        found.append(Why(STALE, "over all facts before as_of, without a window", _at, whatif.whole_history))
    return [*found, Why(STALE, "from before the first fact", _always(LONG_BEFORE))]


def _of_lengths(windows: Sequence[int]) -> list[Why]:
    """Windows of another length, and instants so far away."""
    spans = dict.fromkeys([*windows, HOUR, DAY, WEEK, 30 * DAY, 90 * DAY]) if windows else ()
    found = [Why(STALE, f"with windows of {_length(span)}", _at, whatif.with_windows(span)) for span in spans]
    if windows:
        found.append(Why(STALE, "with windows twice as long", _at, whatif.twice_the_windows))
        found.append(Why(STALE, "with windows half as long", _at, whatif.half_the_windows))
    for shift in SHIFTS:
        found.append(Why(FUTURE, f"as of {_length(shift)} later", _later(shift), far=True))
        found.append(Why(STALE, f"as of {_length(shift)} before", _later(-shift), far=True))
    return found


def of_one_view(name: str) -> list[Why]:
    """Of features that several views give together: one of these views was asked otherwise."""
    at_once = whatif.known_at_once
    found = [
        Why(LATE, f"with what had happened by as_of in {name}, as if known at once", _at, whatif.only(name, at_once)),
        Why(FUTURE, f"with what happened at as_of itself in {name}", _at, whatif.only(name, whatif.later(1))),
        Why(FUTURE, f"of the last fact there is in {name}", _at, whatif.only(name, _far_ahead_at_once)),
    ]
    for shift in (HOUR, DAY, WEEK):
        found.append(Why(FUTURE, f"as of {_length(shift)} later in {name}", _at, whatif.only(name, whatif.later(shift))))
        found.append(Why(STALE, f"as of {_length(shift)} before in {name}", _at, whatif.only(name, whatif.later(-shift))))
    return found


def _far_ahead_at_once(plan: TrainingSet) -> TrainingSet:
    return whatif.later(36_500 * DAY)(_last_at_once(plan))


def _of_lags() -> list[Why]:
    found = []
    for lag in (HOUR, DAY, WEEK, 30 * DAY):
        found.append(Why(LATE, f"with what became known within {_length(lag)} of as_of", _at, lag=-lag))
        found.append(Why(STALE, f"with what was known {_length(lag)} before as_of", _at, lag=lag))
    return found


def _at(at: pa.Array, landmarks: Landmarks) -> pa.Array:
    return at


def _later(by: int) -> Callable[[pa.Array, Landmarks], pa.Array]:
    return lambda at, _: pc.add(at, by)


def _near(cause: str, told: str, landmark: str, by: int, replan: Replan = _as_defined) -> Why:
    return Why(cause, told, lambda at, landmarks: pc.add(landmarks[landmark], by), replan, landmark=landmark)


def _after(told: str, landmark: str, replan: Replan = _as_defined) -> Why:
    """Just after a landmark, in rows for which it lies after as_of."""

    def instants(at: pa.Array, landmarks: Landmarks) -> pa.Array:
        mark = landmarks[landmark]
        return pc.if_else(pc.greater_equal(mark, at), pc.add(mark, 1), pa.scalar(None, pa.int64()))

    return Why(FUTURE, told, instants, replan, landmark=landmark, far=True)


def _in_the_end(told: str, replan: Replan) -> Why:
    """After all there is, in rows after which something happens to the key."""

    def instants(at: pa.Array, landmarks: Landmarks) -> pa.Array:
        return pc.if_else(landmarks["next_event"].is_valid(), LONG_AFTER, pa.scalar(None, pa.int64()))

    return Why(FUTURE, told, instants, replan, landmark="next_event")


def _last(at: pa.Array, landmarks: Landmarks) -> pa.Array:
    return pa.repeat(pc.max(at), len(at))


def _always(instant: int) -> Callable[[pa.Array, Landmarks], pa.Array]:
    return lambda at, _: pa.repeat(pa.scalar(instant), len(at))


def _turn(length: int, start: int, ahead: int) -> Callable[[pa.Array, Landmarks], pa.Array]:
    """The start of the stretch of time (in UTC) that holds as_of, or of one after it."""

    def turned(at: pa.Array, landmarks: Landmarks) -> pa.Array:
        shifted = pc.subtract(at, start - length * 1_000_000)  # division truncates towards zero
        number = pc.add(pc.divide(shifted, length), ahead)
        return pc.add(pc.multiply(number, length), start - length * 1_000_000)

    return turned


def _length(micros: int) -> str:
    for name, unit in (("d", DAY), ("h", HOUR), ("min", 60 * MICROS_PER_SECOND), ("s", MICROS_PER_SECOND)):
        if micros % unit == 0:
            return f"{micros // unit} {name}"
    return f"{micros} µs"


def at_instant(cause: str, told: str) -> Why:
    """An explanation whose instants are told besides."""
    return Why(cause, told, _at)


__all__ = ["Landmarks", "Stage", "Why", "at_instant", "of_one_view", "whys"]
