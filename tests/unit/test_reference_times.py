"""The oracle's reading of times, against a search through every instant around a change of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from featurestore.engines.reference.times import DAY, Reading, of_local
from featurestore.intervals import split_iso

MINUTE = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(instant: int, zone: str) -> int:
    """What the clocks of a zone show at an instant, in local microseconds."""
    local = (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).replace(tzinfo=UTC)
    return (local - EPOCH) // timedelta(microseconds=1)


def micros(text: str) -> int:
    return split_iso(text)[0]


@pytest.mark.parametrize(
    "zone, day",
    [
        ("Europe/Paris", "2024-03-31"), ("Europe/Paris", "2024-10-27"),
        ("America/St_Johns", "2006-04-02"), ("America/St_Johns", "2006-10-29"),
        ("America/Havana", "2024-11-03"), ("America/Sao_Paulo", "2018-11-04"), ("America/Sao_Paulo", "2018-02-18"),
        ("Pacific/Apia", "2011-12-30"), ("Australia/Lord_Howe", "2024-04-07"), ("Asia/Tokyo", "2024-04-07"),
    ],
)  # fmt: skip
def test_every_minute_of_a_day_of_change_is_read_by_the_contracts_rules(zone: str, day: str) -> None:
    start = micros(day)
    instants = range(start - 2 * DAY, start + 3 * DAY, MINUTE)
    shows = [shown(i, zone) for i in instants]
    for local in range(start, start + DAY, 7 * MINUTE):
        times = [i for i, s in zip(instants, shows, strict=True) if s == local]
        late = of_local(local, zone, repeated_late=True, skipped_late=True)
        early = of_local(local, zone, repeated_late=False, skipped_late=False)
        if times:
            assert (early, late) == (times[0], times[-1])
        else:
            after = min(i for i, s in zip(instants, shows, strict=True) if s > local and i > start - DAY)
            assert (early, late) == (after - 1, after)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/Havana", "America/St_Johns", "Asia/Tokyo"])
@pytest.mark.parametrize("day", ["2024-03-31", "2024-11-03", "2006-10-29", "2006-10-28", "2024-06-01"])
def test_a_date_is_all_instants_that_show_it(zone: str, day: str) -> None:
    days = micros(day) // DAY
    minutes = range(days * DAY - DAY, days * DAY + 2 * DAY, MINUTE)
    of_that_day = [i for i in minutes if shown(i, zone) // DAY == days]
    assert Reading(zone, late=True, date_is="start").day(days) == of_that_day[0]
    assert Reading(zone, late=True, date_is="end").day(days) == of_that_day[-1] + MINUTE - 1


@pytest.mark.parametrize(
    "text, instant",
    [
        ("2024-01-10T12:00:00Z", "2024-01-10T12:00:00"),
        ("2024-01-10 12:00", "2024-01-10T11:00:00"),
        ("2024-01-10T12:00:00.5+0200", "2024-01-10T10:00:00.5"),
        ("2024-01-10T12:00:00 -05:30", "2024-01-10T17:30:00"),
        ("2024-01-10T12:00:00.000000001Z", "2024-01-10T12:00:00.000001"),
        ("2024-01-10", "2024-01-10T22:59:59.999999"),
        ("20240110", None), ("2024-W02-1", None), ("2024-1-10", None), ("2024-01-10T12", None),
        ("2024-01-10T24:00", None), ("2024-01-10T12:00:60", None),
        ("2024-02-30", None), ("0000-01-01", None), ("", None), ("２０２４-01-10", None),
    ],
)  # fmt: skip
def test_iso_text_in_a_source(text: str, instant: str | None) -> None:
    reading = Reading("Europe/Paris", late=True, date_is="end", text="iso8601")
    assert reading.instant(pa.scalar(text)) == (None if instant is None else micros(instant))


@pytest.mark.parametrize(
    "form, text, instant",
    [
        ("%Y%m%d", "20240110", "2024-01-10T22:59:59.999999"),
        ("%d.%m.%Y %H:%M:%S", "10.01.2024 12:00:00", "2024-01-10T11:00:00"),
        ("%Y-%m-%dT%H:%M:%S.%f%z", "2024-01-10T12:00:00.25-01:00", "2024-01-10T13:00:00.25"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-01-10T12:00:00Z", "2024-01-10T12:00:00"),
        ("%Y-%m-%d", "2024-13-10", None), ("%Y-%m-%d", "2024-01-10 ", None), ("%Y.%m.%d", "2024-01-10", None),
        ("%Y-%m-%d %H", "2024-01-10 24", None), ("%Y-%m-%d%z", "2024-01-10+99:00", None),
    ],
)  # fmt: skip
def test_text_in_a_declared_format(form: str, text: str, instant: str | None) -> None:
    reading = Reading("Europe/Paris", late=True, date_is="end", text=form)
    assert reading.instant(pa.scalar(text)) == (None if instant is None else micros(instant))
