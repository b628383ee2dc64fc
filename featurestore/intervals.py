"""Time as we keep it: instants are integer microseconds UTC, durations are fixed lengths, intervals are half open.

Decides how text becomes an instant or a duration, and who tells the time (`Clock`; tests own theirs). What an instant
means for a fact or a row is the contract's business, not this module's. Integers, because a float or a datetime loses
or rounds the very microsecond a boundary turns on.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from featurestore.errors import DefinitionError, UsageError

MICROS_PER_SECOND = 1_000_000
MICROS_PER_DAY = 86_400 * MICROS_PER_SECOND
_SPANS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
FOREVER = 2**63 - 1
"""An instant after every instant: no cut-off, or a record that never stops being exact."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"us": 1, "ms": 1_000, "s": MICROS_PER_SECOND, "m": 60 * MICROS_PER_SECOND, "h": 3_600 * MICROS_PER_SECOND}
_UNITS |= {"d": MICROS_PER_DAY, "w": 7 * MICROS_PER_DAY}
_DURATION = re.compile(r"(0|[1-9][0-9]{0,17}) ?([a-z]+)")
_INSTANT = re.compile(
    r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?\s?(Z|z|[+-]\d{2}:?\d{2})?$",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A fixed length of UTC time, in whole microseconds, never negative."""

    micros: int

    def __str__(self) -> str:
        """The shortest exact spelling, as names of features carry it: 604800000000 is "7d", 90 minutes are "90m"."""
        for unit in ("d", "h", "m", "s", "ms"):
            if self.micros and self.micros % _UNITS[unit] == 0:
                return f"{self.micros // _UNITS[unit]}{unit}"
        return f"{self.micros}us" if self.micros else "0s"


def parse_duration(text: str | timedelta | Duration, *, what: str = "duration") -> Duration:
    """Read "15m", "1h", "30d", "2w" (units us, ms, s, m, h, d, w) or a timedelta as a fixed length.

    Raises: DefinitionError for months and years (their length depends on where one starts), signs, fractions.
    """
    if isinstance(text, Duration):
        return text
    if isinstance(text, timedelta):
        micros = text // timedelta(microseconds=1)
        if micros < 0:
            raise DefinitionError("FS211", f"{what} {text!r} is negative", hint="a length of time, such as '7d'")
        return Duration(micros)
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match and match[2] in _UNITS:
        micros = int(match[1]) * _UNITS[match[2]]
        if micros < 2**62:
            return Duration(micros)
    if match and match[2] in ("mo", "month", "months", "y", "year", "years"):
        raise DefinitionError(
            "FS211",
            f"{what} {text!r} has no fixed length: months and years differ",
            hint="days, such as '30d' or '365d'",
        )
    raise DefinitionError("FS211", f"{what} {text!r} is not a duration", known=_UNITS, hint="'15m', '1h', '30d' or '2w'")


def parse_instant(text: str, *, what: str = "instant", up: bool = False) -> int:
    """Read an ISO 8601 instant that carries its offset; digits beyond microseconds round down, or up.

    Returns: microseconds since 1970-01-01T00:00:00Z. Raises: UsageError without an offset or when unreadable.
    """
    micros, offset = split_iso(text, what=what, up=up)
    if offset is None:
        whole = text.strip() if _INSTANT.match(text.strip()) else format_instant(micros)[:19]
        raise UsageError("FS103", f"{what} {text!r} has no offset from UTC", hint=f"{whole}Z or {whole}+01:00")
    return micros - offset


def split_iso(text: str, *, what: str = "time", up: bool = False) -> tuple[int, int | None]:
    """Read ISO 8601 text as (local microseconds, offset in microseconds or None when the text has none).

    up: digits beyond microseconds round up instead of down.
    """
    match = _INSTANT.match(text.strip()) if isinstance(text, str) else None
    try:
        if match is None:
            local = datetime.combine(date.fromisoformat(text.strip()), datetime.min.time())
            return micros_of(local.replace(tzinfo=UTC)), None
        local = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=UTC)
        offset = _offset_of(match[4])
    except (ValueError, AttributeError) as error:
        raise UsageError("FS103", f"{what} {text!r} is not an ISO 8601 time", hint="2026-01-31T13:45:00Z") from error
    nanos = int((match[3] or "").ljust(9, "0"))
    micros = micros_of(local) + (-(-nanos // 1_000) if up else nanos // 1_000)
    return micros, offset


def _offset_of(text: str | None) -> int | None:
    """An offset from UTC in microseconds. Raises: ValueError beyond 23:59."""
    if text is None or text in "Zz":
        return None if text is None else 0
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError
    return (-1 if text[0] == "-" else 1) * (hours * 3_600 + minutes * 60) * MICROS_PER_SECOND


def format_instant(micros: int) -> str:
    """RFC 3339 UTC with six digits: "2026-01-31T13:45:00.000000Z"; years beyond 9999 as plain microseconds."""
    try:
        moment = _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros}us"
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def in_words(seconds: int) -> str:
    """A length of time, not negative, in its two greatest units: "3 h 5 min"; "" for none."""
    said: list[str] = []
    for unit, length in _SPANS:
        if seconds >= length:
            said.append(f"{seconds // length} {unit}")
            seconds %= length
        elif said:
            break
        if len(said) == 2:
            break
    return " ".join(said)


def parse_formatted(text: str) -> int:
    """What `format_instant` gave, as microseconds. Raises: UsageError FS103."""
    years_away = re.fullmatch(r"(-?[0-9]{1,19})us", text, re.ASCII)
    return int(years_away[1]) if years_away else parse_instant(text)


def micros_of(moment: datetime, *, up: bool = False) -> int:
    """An aware datetime as microseconds since the epoch; nanoseconds, which those of pandas can have, round down, or up."""
    if moment.tzinfo is None:
        raise UsageError("FS103", f"{moment!r} has no time zone", hint="datetime(…, tzinfo=timezone.utc)")
    since = moment - _EPOCH
    return -(-since // timedelta(microseconds=1)) if up else since // timedelta(microseconds=1)


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises: DefinitionError for a name nobody knows."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise DefinitionError("FS212", f"unknown time zone {name!r}", hint="an IANA name, such as 'Europe/Paris'") from error


class Clock(Protocol):
    """Who tells the time. Everything that asks "now" takes one, so that tests own time."""

    def now(self) -> int:
        """The present instant, in microseconds UTC."""
        ...


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000


@dataclass(slots=True)
class FixedClock:
    """A clock that stands still until a test moves it."""

    micros: int

    def now(self) -> int:
        return self.micros
