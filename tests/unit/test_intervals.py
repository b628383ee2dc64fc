"""Durations have a fixed length, instants an offset; nothing is rounded on the way in or out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import DefinitionError, UsageError
from featurestore.intervals import (
    MICROS_PER_DAY,
    Duration,
    FixedClock,
    SystemClock,
    format_instant,
    micros_of,
    parse_duration,
    parse_instant,
    split_iso,
    zone,
)

DURATIONS = [
    ("0s", 0, "0s"),
    ("1us", 1, "1us"),
    ("15ms", 15_000, "15ms"),
    ("90s", 90_000_000, "90s"),
    ("60s", 60_000_000, "1m"),
    ("15m", 900_000_000, "15m"),
    ("24h", MICROS_PER_DAY, "1d"),
    ("36h", MICROS_PER_DAY * 3 // 2, "36h"),
    ("2w", 14 * MICROS_PER_DAY, "14d"),
    ("7 d", 7 * MICROS_PER_DAY, "7d"),
    (timedelta(hours=1, microseconds=1), 3_600_000_001, "3600000001us"),
    (Duration(5_000), 5_000, "5ms"),
]


@pytest.mark.parametrize("given, micros, spelled", DURATIONS)
def test_a_duration_is_microseconds_and_has_one_shortest_spelling(given: object, micros: int, spelled: str) -> None:
    duration = parse_duration(given)  # type: ignore[arg-type]
    assert duration.micros == micros
    assert str(duration) == spelled
    assert parse_duration(spelled) == duration


@pytest.mark.parametrize("given", ["1mo", "1 month", "3months", "1y", "2 years"])
def test_months_and_years_have_no_fixed_length(given: str) -> None:
    with pytest.raises(DefinitionError, match="no fixed length") as caught:
        parse_duration(given, what="ttl")
    assert caught.value.code == "FS211"


@pytest.mark.parametrize(
    "given", ["", "d", "7", "-1d", "+1d", "1.5h", "01d", "1  d", "1d ", "1d\n", "1D", "1d2h", "٣d", 7, None, 1.5, timedelta(-1)]
)
def test_what_is_not_a_duration(given: object) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_duration(given)  # type: ignore[arg-type]
    assert caught.value.code == "FS211"


def test_a_duration_that_no_instant_could_bear_is_refused() -> None:
    with pytest.raises(DefinitionError):
        parse_duration("99999999999999999w")


INSTANTS = [
    ("1970-01-01T00:00:00Z", 0),
    ("1970-01-01 00:00:00z", 0),
    ("1970-01-01T00:00Z", 0),
    ("1970-01-01T01:00:00+01:00", 0),
    ("1970-01-01T23:59:00+2359", 0),
    ("1969-12-31T23:30:00-0030", 0),
    ("1970-01-01T00:00:00.5Z", 500_000),
    ("1970-01-01T00:00:00.000001999Z", 1),
    ("1969-12-31T23:59:59.999999Z", -1),
    (" 1970-01-01T00:00:01Z ", 1_000_000),
]


@pytest.mark.parametrize("text, micros", INSTANTS)
def test_an_instant_carries_its_offset(text: str, micros: int) -> None:
    assert parse_instant(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "1970-01-01T00:00:00",
        "1970-01-01",
        "",
        "now",
        "1970-13-01T00:00:00Z",
        "1970-02-30T00:00:00Z",
        "0",
        "25:00Z",
        None,
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00-0160",
    ],
)
def test_an_instant_without_offset_or_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_instant(text, what="--known-before")
    assert caught.value.code == "FS103"
    assert "--known-before" in str(caught.value)


@pytest.mark.parametrize("text", ["2025-12-31", " 2025-12-31 ", "20251231", "2025-W01-1", "2025-12-31T10:00"])
def test_what_is_suggested_can_be_read(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_instant(text)
    for suggested in caught.value.hint.split(" or "):
        parse_instant(suggested)


def test_local_text_keeps_its_offset_apart() -> None:
    assert split_iso("1970-01-01T01:00:00") == (3_600_000_000, None)
    assert split_iso("1970-01-02") == (MICROS_PER_DAY, None)
    assert split_iso("1970-01-01T01:00:00+02:00") == (3_600_000_000, 7_200_000_000)


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59, 59, 999_999)))
def test_an_instant_survives_being_written(moment: datetime) -> None:
    micros = micros_of(moment.replace(tzinfo=UTC))
    assert parse_instant(format_instant(micros)) == micros


def test_an_instant_is_written_with_six_digits_and_z() -> None:
    assert format_instant(1) == "1970-01-01T00:00:00.000001Z"
    assert format_instant(2**62) == f"{2**62}us"


def test_a_datetime_without_zone_is_no_instant() -> None:
    with pytest.raises(UsageError):
        micros_of(datetime(2025, 1, 1))


@pytest.mark.parametrize("name", ["", "Mars/Base", "../UTC", "Europe", 5])
def test_an_unknown_zone_is_a_definition_error(name: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        zone(name)
    assert caught.value.code == "FS212"


def test_a_fixed_clock_stands_until_moved_and_the_systems_does_not() -> None:
    clock = FixedClock(5)
    clock.micros += 1
    assert clock.now() == 6
    assert SystemClock().now() > parse_instant("2020-01-01T00:00:00Z")
