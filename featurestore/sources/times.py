"""Read a column of times, however it is written, as integer microseconds UTC.

One place decides rounding of nanoseconds, zones, folds and gaps, dates, integers and text (contract, section 1). Which
column is a time, and what its values mean for a fact, is decided elsewhere. All work is vectorised Arrow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.definitions.source import TIME_FORMAT_DIRECTIVES, Source
from featurestore.errors import DataError
from featurestore.intervals import MICROS_PER_DAY, MICROS_PER_SECOND

_PER_UNIT = {"s": MICROS_PER_SECOND, "ms": 1_000, "us": 1}
_ISO = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:\.(?P<f>\d{1,9}))? ?(?P<z>[Zz]|[+-]\d{2}:?\d{2})?)?$"
)


@dataclass(frozen=True)
class TimeReading:
    """How one column of times is to be read.

    later: sources read an ambiguous or missing local time as the later instant and round nanoseconds up; spines take
    the earlier and round down. That way neither can know too much.
    """

    zone: str = "UTC"
    unit: str | None = None
    format: str | None = None
    date_is: Literal["start", "end"] | str = "start"
    later: bool = False


def source_reading(source: Source, column: str) -> TimeReading:
    """How `source` says its column of times is read."""
    return TimeReading(
        zone=source.zone_of(column),
        unit=source.time_unit,
        format=source.time_format,
        date_is=source.date_is,
        later=True,
    )


def to_micros(values: pa.ChunkedArray | pa.Array, reading: TimeReading) -> pa.Array:
    """Instants in microseconds UTC (int64), null where the value is null or unreadable.

    Raises: DataError FS305 for a type that is not a time, or an integer or text column with no unit or format.
    """
    column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _from_timestamp(column, reading)
    if pa.types.is_date(kind):
        return _from_date(column.cast(pa.date32()), reading)
    if pa.types.is_integer(kind) and reading.unit is not None:
        return _from_integer(column, reading)
    if _is_text(kind) and reading.format is not None:
        return _from_text(column.cast(pa.string()), reading)
    raise DataError("FS305", f"a column of type {kind} is not a time as declared", hint="time_unit= or time_format=")


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _from_timestamp(column: pa.Array, reading: TimeReading) -> pa.Array:
    micros = _scaled(column.cast(pa.int64()), column.type.unit, reading.later)
    return micros if column.type.tz is not None else localized(micros, reading)


def _from_integer(column: pa.Array, reading: TimeReading) -> pa.Array:
    """Integers count from 1970 in UTC: they have no zone to be read in."""
    wide = (
        pc.if_else(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())), None, column)
        if column.type == pa.uint64()
        else column
    )
    return _scaled(wide.cast(pa.int64()), reading.unit or "us", reading.later)


def _scaled(counts: pa.Array, unit: str, up: bool) -> pa.Array:
    """Counts of a unit as microseconds; nanoseconds round up or down; beyond int64 is null (an instant nobody meant)."""
    if unit == "ns":
        whole = floor_div(counts, 1_000)
        exact = pc.equal(pc.multiply(whole, 1_000), counts)
        return pc.add(whole, pc.if_else(exact, 0, 1)) if up else whole
    factor = _PER_UNIT[unit]
    limit = (2**63 - 1) // factor
    fits = pc.and_(pc.less_equal(counts, limit), pc.greater_equal(counts, -limit))
    return pc.multiply(pc.if_else(fits, counts, None), factor)


def floor_div(values: pa.Array, divisor: int) -> pa.Array:
    """Integer division that rounds towards minus infinity (Arrow's rounds towards zero)."""
    quotient = pc.divide(values, divisor)
    below = pc.and_(pc.less(values, 0), pc.not_equal(pc.multiply(quotient, divisor), values))
    return pc.subtract(quotient, pc.if_else(below, 1, 0))


def localized(micros: pa.Array, reading: TimeReading) -> pa.Array:
    """Local microseconds of a zone as instants: folds and gaps as the reading says, years without zone data unmoved."""
    side = "latest" if reading.later else "earliest"
    return _in_zone(micros, reading.zone, repeated=side, skipped=side)


def _in_zone(micros: pa.Array, zone: str, *, repeated: str, skipped: str) -> pa.Array:
    if zone == "UTC":
        return micros
    span = pc.and_(pc.greater(micros, -(10**17)), pc.less(micros, 10**17))
    local = pc.if_else(span, micros, None).cast(pa.timestamp("us"))
    aware = pc.assume_timezone(local, zone, ambiguous=repeated, nonexistent=skipped)
    return pc.if_else(span, aware.cast(pa.int64()), micros)


def _from_date(column: pa.Array, reading: TimeReading) -> pa.Array:
    """A day's first instant or last microsecond, in the zone: of two midnights the first, of a skipped one what follows."""
    days = column.cast(pa.int32()).cast(pa.int64())
    ends = reading.date_is != "start"
    midnights = pc.multiply(pc.add(days, int(ends)), MICROS_PER_DAY)
    return pc.subtract(_in_zone(midnights, reading.zone, repeated="earliest", skipped="latest"), int(ends))


def _from_text(column: pa.Array, reading: TimeReading) -> pa.Array:
    pattern, parts = _iso_pattern() if reading.format == "iso8601" else _format_pattern(reading.format or "")
    if len(column) == 0:
        return pa.array([], pa.int64())
    fields = pc.extract_regex(pc.utf8_trim_whitespace(column) if reading.format == "iso8601" else column, pattern)
    found = {name: pc.struct_field(fields, name) for name in parts}
    text, fraction, offset = _assembled(found, len(column))
    seconds = pc.strptime(text, format="%Y-%m-%d %H:%M:%S", unit="s", error_is_null=True)
    real = pc.equal(pc.strftime(seconds, format="%Y-%m-%d %H:%M:%S"), text)
    real = pc.and_(pc.and_(real, pc.invert(pc.starts_with(text, "0000"))), _is_offset(offset))
    whole = pc.multiply(pc.if_else(real, seconds.cast(pa.int64()), None), MICROS_PER_SECOND)
    digits = pc.utf8_rpad(pc.fill_null(fraction, ""), 9, "0")
    nanos = pc.cast(digits, pa.int64())
    micros = floor_div(nanos, 1_000)
    if reading.later:
        micros = pc.add(micros, pc.if_else(pc.equal(pc.multiply(micros, 1_000), nanos), 0, 1))
    local = pc.add(whole, micros)
    has_offset = pc.is_valid(offset)
    instants = pc.if_else(has_offset, pc.subtract(local, pc.fill_null(_offset_micros(offset), 0)), localized(local, reading))
    days = floor_div(whole, MICROS_PER_DAY).cast(pa.int32()).cast(pa.date32())
    return pc.if_else(_names_a_day(found, len(column)), _from_date(days, reading), instants)


def _names_a_day(found: dict[str, pa.Array], n: int) -> pa.Array:
    """Whether the text says no more than a day: then it is a DATE."""
    if "time" in found:
        return pc.fill_null(pc.equal(found["time"], ""), False)
    return pa.array([not {"H", "M", "S", "f", "z"} & set(found)] * n)


def _is_offset(offset: pa.Array) -> pa.Array:
    return pc.fill_null(pc.match_substring_regex(offset, "^([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])$"), True)


def _iso_pattern() -> tuple[str, tuple[str, ...]]:
    return _ISO, ("date", "time", "f", "z")


def _format_pattern(text: str) -> tuple[str, tuple[str, ...]]:
    names = {"%Y": "Y", "%m": "m", "%d": "d", "%H": "H", "%M": "M", "%S": "S", "%f": "f", "%z": "z"}
    pattern, used = "^", []
    for piece in re.split(r"(%.)", text):
        if piece in names:
            pattern += f"(?P<{names[piece]}>{TIME_FORMAT_DIRECTIVES[piece]})"
            used.append(names[piece])
        else:
            pattern += re.escape(piece)
    return pattern + "$", tuple(used)


def _assembled(found: dict[str, pa.Array], n: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """("YYYY-MM-DD HH:MM:SS", fraction digits, offset) from whatever parts the format has."""
    nothing = pa.nulls(n, pa.string())

    def part(name: str, default: str) -> pa.Array:
        value = found.get(name)
        if value is None:
            return pa.array([default] * n)
        return pc.if_else(pc.equal(value, ""), default, value)

    if "date" in found:
        time = part("time", "00:00:00")
        time = pc.if_else(pc.equal(pc.utf8_length(time), 5), pc.binary_join_element_wise(time, ":00", ""), time)
        text = pc.binary_join_element_wise(found["date"], time, " ")
    else:
        date = pc.binary_join_element_wise(found["Y"], found["m"], found["d"], "-")
        time = pc.binary_join_element_wise(part("H", "00"), part("M", "00"), part("S", "00"), ":")
        text = pc.binary_join_element_wise(date, time, " ")
    offset = found.get("z", nothing)
    return text, found.get("f", nothing), pc.if_else(pc.equal(offset, ""), None, offset)


def _offset_micros(offset: pa.Array) -> pa.Array:
    plain = pc.replace_substring(pc.if_else(pc.is_in(offset, pa.array(["Z", "z"])), "+0000", offset), ":", "")
    hours = pc.cast(pc.utf8_slice_codeunits(plain, 1, 3), pa.int64())
    minutes = pc.cast(pc.utf8_slice_codeunits(plain, 3, 5), pa.int64())
    size = pc.multiply(pc.add(pc.multiply(hours, 60), minutes), 60 * MICROS_PER_SECOND)
    return pc.if_else(pc.starts_with(plain, "-"), pc.negate(size), size)
