"""Which other questions a wrong value may answer: F at another instant, or without one of its rules.

Each explanation is one such question, asked for all rows at once; what it gives is compared with what was found. Of those that
explain a feature's cells the one that explains most is believed first, because a wrong column has one reason: a value of few
kinds, such as a flag, is found almost anywhere by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.findings import EXPIRED, FUTURE, LATE, LEAKS, STALE
from featurestore.intervals import MICROS_PER_DAY, MICROS_PER_SECOND, parse_instant
from featurestore.plan import whatif
from featurestore.plan.nodes import TrainingSet

HOUR, DAY, WEEK = 3_600 * MICROS_PER_SECOND, MICROS_PER_DAY, 7 * MICROS_PER_DAY
LONG_AFTER, LONG_BEFORE = parse_instant("2300-01-01T00:00:00Z"), parse_instant("1600-01-01T00:00:00Z")
_MONDAY = 4 * DAY
"""The first Monday after the epoch: weeks begin there."""

Landmarks = Mapping[str, pa.Array]
"""Name (of `compiler.duckdb.LANDMARKS`) -> an instant per row, NULL where there is none."""


def _as_defined(plan: TrainingSet) -> TrainingSet:
    return plan


def _history_at_once(plan: TrainingSet) -> TrainingSet:
    return whatif.known_at_once(whatif.whole_history(plan))


def _last_at_once(plan: TrainingSet) -> TrainingSet:
    return whatif.known_at_once(whatif.without_ttl(plan))


@dataclass(frozen=True)
class Why:
    """One explanation. told: in words, "the value …". instants: (as_of in microseconds, landmarks) -> when F is asked
    instead, NULL in rows for which there is no such instant. replan: under which rules. lag: by how much later facts are known,
    in microseconds. landmark: the one that the instants lie near."""

    cause: str
    told: str
    instants: Callable[[pa.Array, Landmarks], pa.Array]
    replan: Callable[[TrainingSet], TrainingSet] = _as_defined
    lag: int = 0
    landmark: str | None = None

    @property
    def is_leak(self) -> bool:
        return self.cause in LEAKS

    @property
    def rules(self) -> tuple[str, int, bool]:
        """What explanations share that one build can ask."""
        return self.replan.__name__, self.lag, self.is_leak


def whys(*, exact: bool, ttl: bool, windows: Sequence[int], lifetime: bool, latest: bool) -> list[Why]:
    """The explanations that may hold, the more particular first. exact: the view sees facts at as_of. windows: the
    lengths of its windows, in microseconds. lifetime: it has windows without end. latest: it has latest values, which may
    expire (ttl)."""
    at_once = whatif.known_at_once
    found = [Why(EXPIRED, "of a fact older than the ttl", _at, whatif.without_ttl)] if ttl else []
    if not exact:
        found.append(Why(FUTURE, "with what happened at as_of itself", _later(1)))
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
    for shift in (HOUR, DAY, WEEK):
        found.append(Why(FUTURE, f"as of {_length(shift)} later", _later(shift)))
        found.append(Why(STALE, f"as of {_length(shift)} before", _later(-shift)))
    if latest:
        found.append(Why(FUTURE, "of the last fact there is", _always(LONG_AFTER), _last_at_once))
    if windows or lifetime:
        found.append(Why(FUTURE, "over all facts there are", _always(LONG_AFTER), _history_at_once))
        found.append(Why(STALE, "over all facts before as_of, without a window", _at, whatif.whole_history))
    for lag in (HOUR, DAY, WEEK, 30 * DAY):
        found.append(Why(LATE, f"with what became known within {_length(lag)} of as_of", _at, lag=-lag))
        found.append(Why(STALE, f"with what was known {_length(lag)} before as_of", _at, lag=lag))
    return [*found, Why(STALE, "from before the first fact", _always(LONG_BEFORE))]


def _at(at: pa.Array, landmarks: Landmarks) -> pa.Array:
    return at


def _later(by: int) -> Callable[[pa.Array, Landmarks], pa.Array]:
    return lambda at, _: pc.add(at, by)


def _near(cause: str, told: str, landmark: str, by: int, replan: Callable[[TrainingSet], TrainingSet] = _as_defined) -> Why:
    return Why(cause, told, lambda at, landmarks: pc.add(landmarks[landmark], by), replan, landmark=landmark)


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


__all__ = ["Landmarks", "Why", "at_instant", "whys"]
