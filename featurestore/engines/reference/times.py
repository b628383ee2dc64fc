"""What a written time means as an instant (CONTRACT 1). What an instant means for a fact is `facts`' business.

Everything is an integer number of microseconds: UTC for instants, or "local" for what a wall clock shows. Sources read
times late (nanoseconds up, a repeated hour as its second pass, a DATE as its end) and spines early, so that doubt never
lets a row see more than was known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from featurestore.engines.reference.order import GREATEST_INT64, LEAST_INT64

SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_INFINITE = (LEAST_INT64, LEAST_INT64 + 1, GREATEST_INT64)
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(?: ?(Z|z|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_ISO_PARTS = ("%Y", "%m", "%d", "%H", "%M", "%S", "%f", "%z")
_DIRECTIVES = {
    "%Y": "[0-9]{4}", "%m": "[0-9]{2}", "%d": "[0-9]{2}", "%H": "[0-9]{2}", "%M": "[0-9]{2}", "%S": "[0-9]{2}",
    "%f": "[0-9]{1,6}", "%z": "[+-][0-9]{2}:?[0-9]{2}|Z",
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """How one side reads its times: `late` for sources, early for spines.

    zone: of naive times. date_is: what a DATE means, "end" or "start" of that day. unit: of integer times. text: format
    of text times, "iso8601" or directives. None: such columns are no times.
    """

    zone: str
    late: bool
    date_is: str
    unit: str | None = None
    text: str | None = None

    def can_read(self, kind: pa.DataType) -> bool:
        """Whether a column of this Arrow type holds times."""
        kind = plain(kind)
        if pa.types.is_integer(kind):
            return self.unit is not None
        if is_text(kind):
            return self.text is not None
        return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))

    def instant(self, scalar: Any) -> int | None:
        """The instant an Arrow scalar means; None for NULL and unreadable text. Infinities stay outside any range."""
        scalar = unwrapped(scalar)
        if scalar is None:
            return None
        if pa.types.is_timestamp(scalar.type):
            return self.timestamp(scalar)
        if pa.types.is_date(scalar.type):
            return self.day(days_of(scalar))
        if pa.types.is_integer(scalar.type):
            return self._micros(scalar.as_py(), str(self.unit))
        return self.parsed(scalar.as_py())

    def timestamp(self, scalar: Any) -> int:
        """The instant of a timestamp of any unit, naive or aware."""
        if scalar.value in _INFINITE:
            return LEAST_INT64 if scalar.value < 0 else GREATEST_INT64
        micros = self._micros(scalar.value, scalar.type.unit)
        return micros if scalar.type.tz is not None else self.of_local(micros)

    def day(self, days: int) -> int:
        """The instant of a DATE, in days since 1970-01-01: the first or last microsecond of that day in the zone."""
        if self.date_is == "start":
            return of_local(days * DAY, self.zone, repeated_late=False, skipped_late=True)
        return of_local(days * DAY + DAY - 1, self.zone, repeated_late=True, skipped_late=False)

    def of_local(self, local: int) -> int:
        """The instant of a naive time: a repeated one late in a source, a skipped one after the gap in a source."""
        return of_local(local, self.zone, repeated_late=self.late, skipped_late=self.late)

    def parsed(self, text: str) -> int | None:
        """The instant of text in the declared format, None if it is not. Text that names only a day is a DATE."""
        parts = _split(text, str(self.text))
        if parts is None:
            return None
        try:
            year, month, day = (int(parts[p] or 0) for p in ("%Y", "%m", "%d"))
            midnight = (date(year, month, day) - date(1970, 1, 1)).days * DAY
            clock = _clock(parts)
            offset = None if parts["%z"] is None else _offset(parts["%z"])
        except ValueError:
            return None
        if parts["%H"] is parts["%M"] is parts["%S"] is parts["%f"] is parts["%z"] is None:
            return self.day(midnight // DAY)
        local = midnight + clock + self._micros(int((parts["%f"] or "0").ljust(9, "0")), "ns")
        return self.of_local(local) if offset is None else local - offset

    def _micros(self, number: int, unit: str) -> int:
        if unit == "ns":
            return -(-number // 1_000) if self.late else number // 1_000
        return number * {"s": SECOND, "ms": 1_000, "us": 1}[unit]


def plain(kind: pa.DataType) -> pa.DataType:
    """The Arrow type behind its encodings."""
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def unwrapped(scalar: Any) -> Any:
    """The scalar behind its encodings, or None for NULL."""
    while scalar.is_valid and (pa.types.is_dictionary(scalar.type) or pa.types.is_run_end_encoded(scalar.type)):
        scalar = scalar.value
    return scalar if scalar.is_valid else None


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def days_of(scalar: Any) -> int:
    """A date32 or date64 scalar as days since 1970-01-01."""
    days: int = scalar.value
    return days // 86_400_000 if pa.types.is_date64(scalar.type) else days


def of_local(local: int, zone: str, *, repeated_late: bool, skipped_late: bool) -> int:
    """The instant at which the clocks of `zone` show `local`.

    A time shown twice is the later or the earlier instant; one never shown is the first instant after the gap or the
    last one before it.
    """
    if zone == "UTC":
        return local
    try:
        shown = (_NAIVE_EPOCH + timedelta(microseconds=local)).replace(tzinfo=ZoneInfo(zone))
        before, after = local - _length(shown.utcoffset()), local - _length(shown.replace(fold=1).utcoffset())
    except OverflowError:
        return local
    if before <= after:
        return after if repeated_late else before
    change = _first_after_change(after, before, zone)
    return change if skipped_late else change - 1


def _first_after_change(low: int, high: int, zone: str) -> int:
    """The first instant in (low, high] with the offset that `high` has and `low` has not."""
    wanted = _offset_at(high, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_at(middle, zone) == wanted:
            high = middle
        else:
            low = middle
    return high


def _offset_at(instant: int, zone: str) -> timedelta | None:
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).utcoffset()


def _length(offset: timedelta | None) -> int:
    assert offset is not None
    return offset // timedelta(microseconds=1)


def _split(text: str, form: str) -> dict[str, str | None] | None:
    """The parts of a time by directive, None for those that form or text lacks; None if the text does not fit."""
    if form == "iso8601":
        match = _ISO.fullmatch(text.strip())
        return None if match is None else dict(zip(_ISO_PARTS, match.groups(), strict=True))
    pieces = re.findall(r"%.|[^%]+", form)
    pattern = "".join(f"({_DIRECTIVES[p]})" if p in _DIRECTIVES else re.escape(p) for p in pieces)
    match = re.fullmatch(pattern, text)
    if match is None:
        return None
    found = dict(zip((p for p in pieces if p in _DIRECTIVES), match.groups(), strict=True))
    return {part: found.get(part) for part in _ISO_PARTS}


def _clock(parts: dict[str, str | None]) -> int:
    hour, minute, second = (int(parts[p] or 0) for p in ("%H", "%M", "%S"))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no such time of day")
    return ((hour * 60 + minute) * 60 + second) * SECOND


def _offset(text: str) -> int:
    if text in "Zz":
        return 0
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError("no such offset")
    return (-1 if text[0] == "-" else 1) * (hours * 60 + minutes) * 60 * SECOND
