"""`sources.times.to_micros` and the oracle read every written time as the same instant: zones, folds, gaps, units, text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore.engines.reference.times import Reading
from featurestore.intervals import parse_instant
from featurestore.sources.times import TimeReading, to_micros

ZONES = (
    "UTC", "America/New_York", "Europe/Paris", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
    "Africa/Casablanca", "Pacific/Chatham", "Asia/Tehran", "Etc/GMT+12",
)  # fmt: skip
"""Half-hour changes (Lord Howe), changes at midnight (São Paulo, Tehran), a day that never was (Apia), many changes a year."""
SIDES = {"source": True, "spine": False}
HOUR = 3_600 * 10**6
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WIDE = (parse_instant("1950-01-01T00:00:00Z"), parse_instant("2037-01-01T00:00:00Z"))
APIA_SKIPPED = parse_instant("2011-12-30T12:00:00Z")


@lru_cache
def changes(zone: str) -> list[int]:
    """Instants at which the zone's clocks change, 1950 to 2037, found by bisection from the oracle's own library."""
    found = []
    step = 14 * DAY
    for low in range(WIDE[0], WIDE[1], step):
        first, last = offset(low, zone), offset(low + step, zone)
        if first != last:
            below, above = low, low + step
            while above - below > 1:
                middle = (below + above) // 2
                below, above = (middle, above) if offset(middle, zone) == first else (below, middle)
            found.append(above)
    return found


def offset(instant: int, zone: str) -> int:
    shown = (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).utcoffset()
    assert shown is not None
    return shown // timedelta(microseconds=1)


def agree(
    column: pa.Array, *, late: bool, zone: str = "UTC", date_is: str = "start", unit: str | None = None, form: str | None = None
) -> None:
    """Both read every value of the column alike."""
    found = to_micros(column, TimeReading(zone=zone, unit=unit, format=form, date_is=date_is, later=late)).to_pylist()
    oracle = Reading(zone, late=late, date_is=date_is, unit=unit, text=form)
    expected = [oracle.instant(value) for value in column]
    wrong = [
        (v.as_py() if form else getattr(v, "value", v), e, f) for v, e, f in zip(column, expected, found, strict=True) if e != f
    ]
    assert not wrong, f"(written, oracle, to_micros), {len(wrong)} of {len(column)}, {zone} {late=}: {wrong[:5]}"


def seeds(times: int, name: str) -> Any:
    """Run a test of a `Random` for some seeds."""

    def decorate(test: Any) -> Any:
        @hypothesis.settings(max_examples=times, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @hypothesis.given(seed=st.integers(0, 2**64 - 1))
        def draw(seed: int) -> None:
            test(Random(f"{name}/{seed}"))

        draw()

    return decorate


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("zone", ZONES)
def test_naive_times_around_every_change_of_the_clocks(zone: str, side: str) -> None:
    """Just before, inside and after each fold and gap, to the microsecond."""
    local = []
    for change in changes(zone):
        before, after = change + offset(change - 1, zone), change + offset(change, zone)
        middle = (before + after) // 2
        local += [edge + step for edge in (before, after, middle) for step in (-1, 0, 1)] + [middle + HOUR, middle - HOUR]
    local += [WIDE[0], 0, WIDE[1]]
    agree(pa.array(local, pa.int64()).cast(pa.timestamp("us")), late=SIDES[side], zone=zone)
    nanos = [1_000 * t + r for t in local for r in (-1, 1)]
    agree(pa.array(nanos, pa.int64()).cast(pa.timestamp("ns")), late=SIDES[side], zone=zone)


@pytest.mark.parametrize("side, date_is", [("source", "start"), ("source", "end"), ("spine", "start")])
@pytest.mark.parametrize("zone", ZONES)
def test_dates_around_every_change_of_the_clocks(zone: str, side: str, date_is: str) -> None:
    days = sorted(
        {(change + offset(change, zone)) // DAY + step for change in changes(zone) for step in (-1, 0, 1)} | {-1, 0, 1, 19_000}
    )
    agree(pa.array(days, pa.int32()).cast(pa.date32()), late=SIDES[side], zone=zone, date_is=date_is)
    agree(pa.array([d * 86_400_000 for d in days], pa.int64()).cast(pa.date64()), late=SIDES[side], zone=zone, date_is=date_is)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_aware_times_of_any_unit(unit: str, side: str) -> None:
    counts = [0, 1, -1, 999, -999, 1_000, -1_000, 1_001, -1_001, 10**12 + 1, -(10**12) - 1, None]
    column = pa.array(counts, pa.int64())
    agree(column.cast(pa.timestamp(unit, "UTC")), late=SIDES[side])
    agree(column.cast(pa.timestamp(unit, "Asia/Kathmandu")), late=SIDES[side], zone="America/New_York")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["int64", "int32", "uint32", "uint64", "int8"])
def test_integers_count_from_1970_in_utc(kind: str, unit: str, side: str) -> None:
    numbers = [0, 1, 7, 100, None] + ([-1, -7, -100] if kind.startswith("i") else [])
    agree(pa.array(numbers, getattr(pa, kind)()), late=SIDES[side], unit=unit, zone="Asia/Kathmandu")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("encode", ["string", "large", "dictionary"])
def test_text_in_iso_8601(encode: str, side: str) -> None:
    @seeds(20, f"iso/{encode}/{side}")
    def one(rng: Random) -> None:
        texts = [*_ODD, *(_iso(rng) for _ in range(200))]
        for zone in ("UTC", rng.choice(ZONES)):
            agree(_encoded(texts, encode), late=SIDES[side], zone=zone, form="iso8601", date_is=rng.choice(("start", "end")))


FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%d/%m/%Y", "%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S.%f%z", "%d.%m.%Y %H:%M", "%m|%d|%Y (%H)",
    "%z %Y-%m-%d %H:%M:%S.%f",
)  # fmt: skip


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("form", FORMATS)
def test_text_in_a_declared_format(form: str, side: str) -> None:
    @seeds(20, f"{form}/{side}")
    def one(rng: Random) -> None:
        texts = [_spelled(rng, form) for _ in range(200)] + [
            "",
            "x",
            None,
            "2024-02-30 00:00:00",
            "31/02/2024",
            "20240230000000",
        ]
        for zone in ("UTC", rng.choice(ZONES)):
            agree(_encoded(texts, "string"), late=SIDES[side], zone=zone, form=form, date_is=rng.choice(("start", "end")))


def _encoded(texts: Sequence[str | None], encode: str) -> pa.Array:
    column = pa.array(texts, pa.string())
    return {"string": column, "large": column.cast(pa.large_string()), "dictionary": column.dictionary_encode()}[encode]


_ODD = (
    None, "", " ", "now", "2024", "2024-02", "2024-02-29", "2023-02-29", "2024-13-01", "2024-00-10", "2024-01-00",
    "2024-1-1", "2024-02-29T", "2024-02-29T24:00:00Z", "2024-02-29T23:60:00Z", "2024-02-29T23:59:60Z",
    "2024-02-29T23:59", "2024-02-29 23:59Z", "2024-02-29T23:59:59.", "2024-02-29T23:59:59.1234567891Z",
    "2024-02-29T23:59:59.123456789Z", "2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59.000000001+05:45",
    "2024-02-29T12:00:00 +0200", "2024-02-29T12:00:00+02", "2024-02-29T12:00:00-00:00", "2024-02-29T12:00:00+23:59",
    "2024-02-29T12:00:00+24:00", "2024-02-29T12:00:00+02:60", "2024-02-29T12:00:00z", "2024-02-29t12:00:00Z",
    "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.9999999Z",
    " 2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z ", "2024-02-29T12:00:00Z\n", "infinity",
    "1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.0000001Z", "1900-02-29", "2000-02-29",
    "\u0662\u0660\u0662\u0664-01-01",
)  # fmt: skip


def _iso(rng: Random) -> str:
    moment = _moment(rng)
    text = moment.strftime("%Y-%m-%d")
    if rng.random() < 0.1:
        return text
    text += rng.choice("T ") + moment.strftime(rng.choice(("%H:%M", "%H:%M:%S", "%H:%M:%S")))
    if text.count(":") == 2 and rng.random() < 0.6:
        text += "." + str(rng.randrange(10**9)).zfill(9)[: rng.randrange(1, 10)]
    return text + (rng.choice(("Z", "z", "+00:00", "-05:00", "+0545", " +13:45", "-12:00")) if rng.random() < 0.5 else "")


def _spelled(rng: Random, form: str) -> str:
    text = form.replace("%f", str(rng.randrange(10**6)).zfill(6)[: rng.randrange(1, 7)])
    return _moment(rng).strftime(text.replace("%z", rng.choice(("Z", "+02:00", "-0330"))))


def _moment(rng: Random) -> datetime:
    """Near a change of the New York clocks, or anywhere."""
    if rng.random() < 0.5:
        around = rng.choice((parse_instant("2023-03-12T02:30:00Z"), parse_instant("2023-11-05T01:30:00Z"), APIA_SKIPPED))
        return _EPOCH + timedelta(microseconds=around + rng.randrange(-HOUR, HOUR))
    return _EPOCH + timedelta(microseconds=rng.randrange(*WIDE))
