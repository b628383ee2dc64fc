"""The freshness board: how old each view and source is against what is allowed, how late rows come, how many, and which
partitions are missing. A feed that has stopped stands first and says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from featurestore.intervals import MICROS_PER_SECOND
from featurestore.monitoring.results import ALERT, OK, READING, SKIPPED, WARNING
from featurestore.server.page.boards.drawing import sparkline
from featurestore.server.page.boards.findings import MOST_POINTS, Findings, Series, number, numbers, part
from featurestore.server.page.boards.words import NOTHING, State, instant, short, span, state, text

CHECKS = ("freshness", "lateness", "volume", "partitions", READING)
PER_PAGE = 50
_WORST = (ALERT, WARNING, OK, SKIPPED)
_NAMED_PARTITIONS = 5


@dataclass(frozen=True)
class Measure:
    """One check of a subject: its value, what is usual or allowed, a picture over time."""

    state: State
    value: str
    allowed: str
    picture: Markup
    what: str


NONE = Measure(state(SKIPPED).saying("not looked at"), NOTHING, "", Markup(""), "")


@dataclass(frozen=True)
class Row:
    """A view or a source. looked: when it was last checked."""

    kind: str
    name: str
    state: State
    freshness: Measure
    lateness: Measure
    volume: Measure
    partitions: Measure
    looked: str
    what: Sequence[str]


def rows(found: Findings, watermarks: Mapping[str, int], now: int) -> list[Row]:
    """Of all that was looked at, and of all views online; the worst first.

    watermarks: W of the views online, microseconds. now: a view whose age is beyond its limit by now is stopped, also if the
    monitor itself has not looked since; one that has caught up since is not.
    """
    by_subject: dict[tuple[str, str], dict[str, Series]] = {("view", view): {} for view in watermarks}
    for series in found.of(*CHECKS):
        by_subject.setdefault((series.latest.kind, series.latest.subject), {})[series.latest.check] = series
    shown = [
        (*_row(kind, name, of, watermarks.get(name) if kind == "view" else None, now), kind, name)
        for (kind, name), of in by_subject.items()
    ]
    return [row for _, row, *_ in sorted(shown, key=lambda s: (s[0], s[2], s[3]))]


def _row(kind: str, name: str, of: Mapping[str, Series], watermark: int | None, now: int) -> tuple[int, Row]:
    """How bad it is, the least the worst, and the row."""
    fresh, stopped = _freshness(name, of.get("freshness"), watermark, now)
    told = [s.latest for check, s in of.items() if check != "freshness" or stopped or s.latest.status != ALERT]
    statuses = {r.status for r in told} or ({OK} if of else set())  # a view that has caught up since it alerted is ok
    if SKIPPED in {r.status for r in told if r.check == "freshness"}:
        statuses.discard(OK)  # that its rows are as many as ever does not make a silent feed fresh
    worst, status = next(((n, s) for n, s in enumerate(_WORST) if s in statuses), (len(_WORST), ""))
    shown = state(status) if status else NONE.state
    if stopped:
        worst, shown = -1, state(ALERT).saying("stopped")
    return worst, Row(
        kind=kind,
        name=name,
        state=shown,
        freshness=fresh,
        lateness=_lateness(name, of.get("lateness")),
        volume=_volume(name, of.get("volume")),
        partitions=_partitions(of.get("partitions")),
        looked=instant(max(s.latest.at for s in of.values())) if of else "never",
        what=[text(r.what, 240) for r in told if r.status in (ALERT, WARNING) and r.what],
    )


def _freshness(name: str, series: Series | None, watermark: int | None, now: int) -> tuple[Measure, bool]:
    """The measure, and whether the feed has stopped."""
    told, limit = (None, None) if series is None else (number(series.latest.value), number(series.latest.threshold))
    age = told if watermark is None else (now - watermark) / MICROS_PER_SECOND
    stopped = bool(None not in (age, limit) and age > limit)  # type: ignore[operator]
    if series is None:
        return Measure(NONE.state, span(age), "no limit" if age is not None else "", Markup(""), ""), stopped
    status, what = series.latest.status, series.latest.what
    if status == ALERT and None in (watermark, limit):
        stopped = True
    elif status == ALERT and not stopped:
        status, what = OK, ""  # a run has come since
    shown = state(ALERT).saying("stopped") if stopped else state(status)
    allowed = "no limit" if limit is None else f"at most {span(limit)}"
    picture = _line(series, f"Age of {name} over {len(series.points)} looks, {span(age)} now, {allowed}")
    return Measure(shown, span(age), allowed, picture, text(what, 240)), stopped


def _lateness(name: str, series: Series | None) -> Measure:
    if series is None:
        return NONE
    r = series.latest
    limit = number(r.threshold)
    says = f"How late rows of {name} came, over {len(series.points)} looks, {span(number(r.value))} at the last"
    allowed = "" if limit is None else f"at most {span(limit)}"
    return Measure(state(r.status), span(number(r.value)), allowed, _line(series, says), text(r.what, 240))


def _volume(name: str, series: Series | None) -> Measure:
    if series is None:
        return NONE
    r = series.latest
    expected = numbers(part(r.details, "expected"))
    low, high = expected if len(expected) == 2 else (None, None)
    counts = _counts(part(r.details, "history"))
    usual = f"{short(low)} to {short(high)}"
    interval = text(part(r.details, "interval") or "interval", 12)
    says = f"Rows of {name} per {interval}, {short(number(r.value))} in the newest, usually {usual}"
    picture = sparkline(counts, says, limits=[low]) if counts else _line(series, says)
    allowed = "" if low is None and high is None else f"usually {usual} per {interval}"
    return Measure(state(r.status), short(number(r.value)), allowed, picture, text(r.what, 240))


def _counts(told: object) -> list[float | None]:
    """Of rows by interval, oldest first, as many as a picture can tell apart."""
    return numbers(told)[-MOST_POINTS:]


def _partitions(series: Series | None) -> Measure:
    if series is None:
        return NONE
    r = series.latest
    missing = part(r.details, "missing")
    named = [text(one, 30) for one in missing] if isinstance(missing, list | tuple) else []
    more = f" and {len(named) - _NAMED_PARTITIONS} more" if len(named) > _NAMED_PARTITIONS else ""
    count = number(r.value)
    value = "none missing" if count == 0 else NOTHING if count is None else f"{short(count)} missing"
    return Measure(state(r.status), value, ", ".join(named[:_NAMED_PARTITIONS]) + more, Markup(""), text(r.what, 240))


def _line(series: Series, says: str) -> Markup:
    if len(series.points) < 2:
        return Markup("")
    return sparkline([p.value for p in series.points], says, limits=[p.threshold for p in series.points], width=120)


__all__ = ["CHECKS", "NONE", "PER_PAGE", "Measure", "Row", "rows"]
