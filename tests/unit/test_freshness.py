"""Views and sources judged by plain data: what is unusual alerts, what is usual, or too little to tell, does not."""

from __future__ import annotations

import json
import random
from bisect import bisect
from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from featurestore.intervals import MICROS_PER_DAY as DAY
from featurestore.intervals import MICROS_PER_SECOND as SECOND
from featurestore.intervals import parse_instant
from featurestore.monitoring.arrivals import (
    HISTORY,
    HOUR,
    RECENT,
    Burst,
    Interval,
    SourceFacts,
    ViewFacts,
    days_named,
    quantile,
)
from featurestore.monitoring.freshness import results, silence, usual_silence, watermark
from featurestore.monitoring.results import ALERT, OK, SKIPPED
from featurestore.monitoring.told import span
from featurestore.monitoring.volume import counted, missing_days, partitions, volume

MONDAY = parse_instant("2026-01-05T00:00:00Z")
MINUTE = 60 * SECOND


def facts(rows, now: int, **besides) -> SourceFacts:
    """Facts of rows (event, known)."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    e, k = table[table[:, 1] < now].T
    if not len(e):
        return SourceFacts(name="s", recorded=True, **besides)
    newest, event = int(k.max()), int(e.max())
    lately = k >= newest - HISTORY
    hours, by_day = (intervals(e, k, event - event % DAY - HISTORY, length) for length in (HOUR, DAY))
    k, late = np.sort(k[lately]), (k - e)[lately]
    recent = k_of(rows, now, newest) >= newest - RECENT
    firsts = np.flatnonzero(np.diff(k // MINUTE, prepend=-1))
    lasts = np.append(firsts[1:], len(k)) - 1
    bursts = tuple(Burst(int(k[a]), int(k[b]), int(b - a + 1)) for a, b in zip(firsts, lasts, strict=True))
    return SourceFacts(
        name="s", rows=int((table[:, 1] < now).sum()), newest_known=newest, newest_event=event, bursts=bursts,
        hours=hours, by_day=by_day, recent=counted_by(late[recent]), usual=counted_by(late[~recent]), recorded=True,
        **besides,
    )  # fmt: skip


def intervals(e, k, since: int, length: int) -> tuple[Interval, ...]:
    order = np.lexsort((k, e // length))
    e, k = e[order], k[order]
    starts, firsts, counts = np.unique(e // length, return_index=True, return_counts=True)
    settled = k[firsts + np.ceil(0.75 * counts).astype(int) - 1]
    told = zip((starts * length).tolist(), counts.tolist(), settled.tolist(), strict=True)
    return tuple(Interval(*one) for one in told if one[0] >= since)


def k_of(rows, now: int, newest: int):
    k = np.array(rows, dtype=np.int64).reshape(-1, 2)[:, 1]
    return k[(k < now) & (k >= newest - HISTORY)]


def counted_by(values) -> tuple[tuple[int, int], ...]:
    found, counts = np.unique(values, return_counts=True)
    return tuple(zip(found.tolist(), counts.tolist(), strict=True))


def alerts(source: SourceFacts, now: int) -> list[str]:
    found = results([], [source], now)
    json.dumps([r.to_json() for r in found], allow_nan=False)
    return [r.check for r in found if r.status == ALERT]


def steady(days: float, an_hour: int = 12, late: int = 2 * MINUTE, start: int = MONDAY):
    """A clockwork: rows at even distances, each known as long after its event."""
    step = HOUR // an_hour
    return [(start + i * step, start + i * step + late) for i in range(round(days * 24 * an_hour))]


def at_random(days: int, an_hour: float, seed: int, by_hour=lambda hour, weekday: 1.0):
    """Rows at random, of a rate that depends on hour and weekday, each known some minutes later."""
    drawn, rows = random.Random(seed), []
    for hour in range(days * 24):
        rate = an_hour * by_hour(hour % 24, hour // 24 % 7)
        at = drawn.expovariate(rate) if rate else 2.0
        while at < 1:
            e = MONDAY + hour * HOUR + int(at * HOUR)
            rows.append((e, e + int(drawn.expovariate(1 / (4 * MINUTE)))))
            at += drawn.expovariate(rate)
    return rows


def at_work(hour: int, weekday: int) -> float:
    return 1.0 if 8 <= hour < 18 and weekday < 5 else 0.0


def batches(days: int, an_hour: float, seed: int, weekend: bool = True):
    """Rows that happen all day, loaded at 2 in the morning, give or take; with a weekend, on Mondays to Fridays only."""
    drawn = random.Random(seed)
    load_days = [d for d in range(days + 1) if not (weekend and d % 7 >= 5)]
    loads = [MONDAY + d * DAY + 2 * HOUR + drawn.randrange(30 * MINUTE) for d in load_days]
    return [(e, loads[i]) for e, _ in at_random(days, an_hour, seed) if (i := bisect(loads, e)) < len(loads)]


FEEDS = {
    "steady": lambda seed: steady(35),
    "busy": lambda seed: at_random(35, 30, seed),
    "sparse": lambda seed: at_random(35, 0.3, seed),
    "rare": lambda seed: at_random(35, 0.02, seed),
    "office": lambda seed: at_random(35, 40, seed, at_work),
    "night": lambda seed: at_random(35, 40, seed, lambda hour, _: 0.1 if hour < 6 else 1.0),
    "batches": lambda seed: batches(35, 30, seed, weekend=False),
    "weekdays": lambda seed: batches(35, 30, seed),
    "growing": lambda seed: [row for i, row in enumerate(at_random(35, 50, seed)) if (i * 7919) % 1000 < 300 + i // 60],
}


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("seed", [pytest.param(n, marks=pytest.mark.slow if n else ()) for n in range(12)])
def test_a_feed_as_usual_alerts_at_no_time(feed: str, seed: int):
    rows, drawn = FEEDS[feed](seed), random.Random(seed)
    days = (5, 7, 8, 14, 21, 22) if seed else (7, 14)
    moments = [1, *(drawn.randrange(34 * DAY) for _ in range(40 if seed else 5)), *(d * DAY + HOUR for d in days)]
    found = {moment: alerts(facts(rows, MONDAY + moment), MONDAY + moment) for moment in moments}
    assert {moment: told for moment, told in found.items() if told} == {}


@pytest.mark.parametrize(
    "feed, within",
    [
        ("steady", HOUR),
        ("office", 3 * HOUR),
        ("batches", 6 * HOUR),
        pytest.param("busy", HOUR, marks=pytest.mark.slow),
        pytest.param("night", HOUR, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_feed_is_found_within_one_interval(feed: str, within: int):
    stop = MONDAY + 29 * DAY + 10 * HOUR if feed != "batches" else MONDAY + 29 * DAY + HOUR
    rows = [(e, k) for e, k in FEEDS[feed](3) if k < stop]
    due = stop if feed != "batches" else stop + HOUR + 30 * MINUTE
    found = next(at for at in range(due, due + 2 * DAY, 30 * MINUTE) if alerts(facts(rows, at), at))
    assert found - due <= within + 30 * MINUTE
    for days in (10, 59):  # and it is not forgotten when all of its last weeks are empty
        at = due + days * DAY + 5 * HOUR
        assert {"freshness", "volume"} <= {*alerts(facts(rows, at), at)}


def test_what_becomes_known_later_moves_nothing():
    now = MONDAY + 20 * DAY + 7 * HOUR
    rows = at_random(28, 30, 5)
    before = [row for row in rows if row[1] < now]
    assert len(rows) > len(before)
    assert results([], [facts(rows, now)], now) == results([], [facts(before, now)], now)


def test_rows_come_late():
    rows = steady(20, 60)
    stop = MONDAY + 19 * DAY
    late = [(e, k + (3 * HOUR if e >= stop else 0)) for e, k in rows]
    now = stop + 5 * HOUR
    assert alerts(facts(rows, now), now) == []
    (found,) = [r for r in results([], [facts(late, now)], now) if r.check == "lateness"]
    assert (found.status, found.value, found.threshold) == (ALERT, 10_920.0, 120.0)
    assert found.details["usual"] == {"p50_s": 120.0, "p90_s": 120.0, "p99_s": 120.0, "rows": 27_360 - 63}


@pytest.mark.parametrize("change, status", [(1.0, OK), (0.6, OK), (0.3, ALERT), (1.9, OK), (3.0, ALERT), (0.0, ALERT)])
def test_fewer_than_half_or_more_than_twice_is_not_usual(change: float, status: str):
    hour = MONDAY + 25 * DAY + 12 * HOUR
    kept = [row for row in steady(30, 60) if not hour <= row[0] < hour + HOUR]
    moved = [(hour + i * SECOND, hour + i * SECOND + 2 * MINUTE) for i in range(round(60 * change))]
    now = hour + HOUR + 10 * MINUTE
    found = volume(facts(kept + moved, now), now)
    assert (found.status, found.value) == (status, 60 * change)
    assert found.details["start"] == "2026-01-30T12:00:00.000000Z"
    assert found.details["expected"] == [60, 60]
    assert len(found.details["history"]) == 168


def test_the_interval_that_is_not_over_and_settled_is_not_judged():
    hour = MONDAY + 25 * DAY + 12 * HOUR
    rows = [row for row in steady(30, 60) if row[0] < hour]
    for minutes, judged in ((1, 11), (59, 11), (60, 12)):  # most are known when it is over
        now = hour + minutes * MINUTE
        assert volume(facts(rows, now), now).details["start"] == f"2026-01-30T{judged}:00:00.000000Z", minutes


def test_a_feed_by_local_time_may_move_when_clocks_are_put_forward():
    def hours(shift: int, days: range):
        return [
            (MONDAY + d * DAY + (h + shift) * HOUR + m * MINUTE, MONDAY + d * DAY + (h + shift) * HOUR + m * MINUTE + SECOND)
            for d in days for h in range(8, 20) for m in range(0, 60, 2)
        ]  # fmt: skip

    rows = [*hours(0, range(28)), *hours(-1, range(28, 35))]
    for hour in (0, 6, 8, 9, 18, 19, 20, 21):
        now = MONDAY + 30 * DAY + hour * HOUR + 5 * MINUTE
        assert alerts(facts(rows, now), now) == [], hour


def test_a_day_without_rows_is_missing_once_rows_are_behind_it():
    hole = MONDAY + 20 * DAY
    rows = [row for row in at_random(30, 40, 1) if not hole <= row[0] < hole + DAY]
    during, after = hole + 20 * HOUR, hole + 2 * DAY
    assert partitions(facts(rows, during), during).status == OK
    found = partitions(facts(rows, after), after)
    assert (found.status, found.value, found.details["missing"]) == (ALERT, 1.0, ["2026-01-25"])
    hour = [row for row in at_random(30, 40, 1) if not hole + 9 * HOUR <= row[0] < hole + 10 * HOUR]
    assert partitions(facts(hour, after), after).details["missing"] == ["2026-01-25T09Z"]
    much_later = hole + 16 * DAY
    assert partitions(facts(at_random(40, 40, 1), much_later), much_later).status == OK


def test_days_that_paths_lack_are_missing_but_for_weekends():
    now = MONDAY + 26 * DAY
    every = frozenset(MONDAY + d * DAY for d in range(26))
    office = frozenset(day for day in every if (day - MONDAY) // DAY % 7 < 5)
    gone = MONDAY + 16 * DAY
    assert missing_days(every, now) == missing_days(office, now) == []
    assert missing_days(every - {gone}, now) == missing_days(office - {gone}, now) == [gone]
    assert missing_days(every - {MONDAY + 2 * DAY}, now) == [], "long ago"
    assert missing_days(frozenset(sorted(every)[:10]) - {MONDAY + 5 * DAY}, now) is None, "too young"
    assert missing_days(frozenset(), now) is None
    found = partitions(facts(steady(26), now, days=every - {gone}), now)
    assert (found.status, found.details["missing"]) == (ALERT, ["2026-01-21"])


@pytest.mark.parametrize(
    "name, day",
    [
        ("data/x/day=2026-01-05/part.parquet", "2026-01-05"),
        ("data/2026/01/05/part-0.parquet", "2026-01-05"),
        ("data/payments_20260105.parquet", "2026-01-05"),
        ("data/year=2026/month=1/day=5/x.parquet", "2026-01-05"),
        ("data/2025-12-31/loaded-2026-01-05.parquet", "2026-01-05"),
        ("data/2026-02-31.parquet", None),
        ("data/part-0000120260105999.parquet", None),
        ("data/payments.parquet", None),
    ],
)
def test_a_path_names_a_day(name: str, day: str | None):
    named = days_named([name], parse_instant("2026-02-01T00:00:00Z"))
    assert named == (None if day is None else {parse_instant(f"{day}T00:00:00Z")})
    assert not days_named([name], parse_instant("2026-01-04T00:00:00Z")), "a day to come"


def test_few_paths_that_name_a_day_are_chance():
    assert days_named([*(f"part-{n}.parquet" for n in range(5)), "2026-01-05.parquet"], MONDAY + 9 * DAY) is None


@pytest.mark.parametrize("rows", [[], [(MONDAY, MONDAY)], [(MONDAY, MONDAY)] * 5_000, steady(3), [(2**60, MONDAY)] * 300])
def test_too_little_tells_nothing(rows):
    for now in (MONDAY + SECOND, MONDAY + 4 * DAY, MONDAY + 400 * DAY):
        if rows == steady(3) and now > MONDAY + 4 * DAY:
            continue
        source = facts(rows, now)
        source = (
            replace(source, newest_event=None, hours=(), by_day=())
            if source.newest_event and source.newest_event > now
            else source
        )
        found = results([], [source], now)
        assert {r.status for r in found} == {SKIPPED}, found


def test_a_static_source_and_one_that_cannot_be_read():
    static = results([], [SourceFacts(name="s", static=True)], MONDAY)
    assert [r.status for r in static] == [SKIPPED] * 4
    broken = results([], [SourceFacts(name="s", trouble="FS325 it is no Parquet")], MONDAY)
    assert [(r.check, r.status) for r in broken] == [
        ("reading", ALERT), *((check, SKIPPED) for check in ("freshness", "lateness", "volume", "partitions")),
    ]  # fmt: skip
    assert "FS325 it is no Parquet" in broken[0].what


def view(age: int | None, *, waiting: int = 0, limit: int | None = 2 * HOUR, newest: int | None = MONDAY - 5 * HOUR):
    """What is said of a view whose watermark is so old."""
    looked_at = ViewFacts(name="v", source="s", watermark=None if age is None else MONDAY - age, waiting=waiting)
    return watermark(looked_at, SourceFacts(name="s", newest_known=newest), MONDAY, limit)


def test_a_watermark_is_too_old_for_one_of_two_reasons():
    assert view(2 * HOUR).status == OK
    old = view(2 * HOUR + 1, waiting=12)
    assert (old.status, old.value, old.threshold) == (ALERT, 7200.000001, 7200.0)
    assert "12 rows came in since; featurestore materialize" in old.what
    assert "no row of s came in since" in view(3 * HOUR).what
    assert view(3 * HOUR, newest=None).what.endswith("featurestore materialize")
    assert view(400 * DAY, limit=None).status == OK
    assert (view(None).status, view(None, limit=None).status) == (ALERT, SKIPPED)
    assert view(-1).status == SKIPPED, "of a later instant"


def test_a_limit_of_a_source_is_taken_instead_of_what_is_usual():
    now = MONDAY + 2 * DAY + HOUR
    source = facts(steady(2), now)
    assert silence(source, now).status == SKIPPED
    assert silence(source, now, 30 * MINUTE).status == ALERT
    assert silence(source, now, 2 * HOUR).status == OK


def test_an_outage_does_not_make_the_next_one_usual():
    gaps = [DAY] * 25
    assert usual_silence(gaps) == round(1.1 * DAY)
    assert usual_silence([*gaps, 5 * DAY], outages=2) == round(1.1 * DAY)
    assert usual_silence([*gaps, 5 * DAY]) > 9 * DAY
    weekends = [*gaps[:12], 3 * DAY, 3 * DAY, 3 * DAY]
    assert usual_silence(weekends, outages=2) == usual_silence(weekends)


def test_counts_against_a_slow_computation():
    rows, now = at_random(24, 30, 11, lambda hour, day: 0.5 if hour < 6 else 1.0), MONDAY + 23 * DAY + 7 * HOUR
    counts = counted(facts(rows, now), now)
    known = [(e, k) for e, k in rows if k < now]
    assert counts is not None
    for index in (0, 100, 400, len(counts.rows) - 1):
        start = counts.at(index)
        assert counts.rows[index] == sum(start <= e < start + HOUR for e, _ in known)
        middles = []
        for beside in (-1, 0, 1):
            others = [MONDAY + h * HOUR for h in range(1, counts.seen + 1)]
            alike = [at for at in others if (at - start) // HOUR % 168 == beside % 168 and at != start]
            middles.append(median(sum(at <= e < at + HOUR for e, _ in known) for at in alike))
        assert counts.expected(index) == (min(middles), max(middles))


def test_quantiles_are_those_of_the_rows():
    drawn = random.Random(1)
    rows = sorted(drawn.randrange(50) for _ in range(997))
    counts = [(late, rows.count(late)) for late in set(rows)]
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        assert quantile(counts, share) == next(x for i, x in enumerate(rows, 1) if i >= share * len(rows))
    assert quantile([], 0.5) == 0
    assert quantile([(-5, 3)], 0.5) == 0


def test_lengths_of_time_are_told_shortly():
    told = {0: "0s", 1: "1s", 599: "599s", 600: "10m", 35_999: "599m", 36_000: "10h", 86_400: "1d"}
    assert {seconds: span(seconds * SECOND) for seconds in told} == told
