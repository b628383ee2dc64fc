"""Is what is served fresh, and do the sources still send? Watermarks by their limits, feeds by what is usual for them.

Two things go stale: a generation, while rows keep coming (then nobody materialized), and a feed that has stopped (then that
would not help). What a source usually does is told from its own last four weeks; before it has a week of them, nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from featurestore.intervals import MICROS_PER_SECOND, format_instant
from featurestore.monitoring.arrivals import RECENT, YOUNG, SourceFacts, ViewFacts, is_grown, quantile
from featurestore.monitoring.results import ALERT, OK, READING, SKIPPED, Result
from featurestore.monitoring.told import Told, instant, seconds, span
from featurestore.monitoring.volume import partitions, volume

MIN_GAPS = 8
SLACK = 0.1
"""By what share of its longest a pause may be longer."""
MOST_OUTAGES = 2
LEAST_SILENCE = 5 * 60 * MICROS_PER_SECOND
MIN_RECENT, MIN_USUAL = 20, 200
"""Rows whose lateness is compared."""
LATE = 0.95
"""Half of the recent rows are later than this share of the usual ones: then they come late."""
LEAST_LATE = 60 * MICROS_PER_SECOND


def results(
    views: Sequence[ViewFacts], sources: Sequence[SourceFacts], now: int, limits: Mapping[str, int] | None = None
) -> list[Result]:
    """All that is to be said of views and sources at `now`.

    limits: {view, source or "*": microseconds}: how old a watermark may be ("*": of every view), and how long a source may
    be silent (default: by what is usual for it). sources: those of the views are among them.
    Returns: of each view "freshness"; of each source "freshness", "lateness", "volume", "partitions", and where it cannot be
    read "reading"; SKIPPED where there is nothing to compare.
    """
    within = limits or {}
    by_name = {source.name: source for source in sources}
    found = [watermark(view, by_name[view.source], now, within.get(view.name, within.get("*"))) for view in views]
    for source in sources:
        if source.trouble:
            told = Told(now, READING, "source", source.name)
            found.append(told.result(ALERT, f"it cannot be read: {source.trouble}"))
        found += [silence(source, now, within.get(source.name)), lateness(source, now)]
        found += [volume(source, now), partitions(source, now)]
    return found


def watermark(view: ViewFacts, source: SourceFacts, now: int, limit: int | None) -> Result:
    """How old a view's watermark is. value, threshold: seconds."""
    newest = source.newest_known
    details: dict[str, Any] = {"watermark": instant(view.watermark), "newest_known": instant(newest), "waiting": view.waiting}
    told = Told(now, "freshness", "view", view.name, details)
    if view.watermark is None:
        return told.result(SKIPPED if limit is None else ALERT, "never materialized", threshold=seconds(limit))
    if view.watermark > now:
        return told.result(SKIPPED, f"materialized to {format_instant(view.watermark)}, after the instant asked")
    age = now - view.watermark
    what = f"the watermark is {span(age)} old"
    if limit is None or age <= limit:
        return told.result(OK, what, value=seconds(age), threshold=seconds(limit))
    what += f", which may be {span(limit)}: "
    if view.waiting:
        what += f"{view.waiting:,} rows came in since; featurestore materialize"
    elif source.static or newest is None:
        what += "featurestore materialize"
    else:
        what += f"no row of {source.name} came in since, the last at {format_instant(newest)}"
    return told.result(ALERT, what, value=seconds(age), threshold=seconds(limit))


def silence(source: SourceFacts, now: int, limit: int | None = None) -> Result:
    """How long nothing came in. value, threshold: seconds."""
    details: dict[str, Any] = {
        "newest_event": instant(source.newest_event),
        "newest_known": instant(source.newest_known),
        "rows": source.rows,
    }
    told = Told(now, "freshness", "source", source.name, details)
    if source.trouble:
        return told.result(SKIPPED, "it cannot be read")
    if source.static or source.newest_known is None:
        return told.result(SKIPPED, "static: it has no times" if source.static else "no row is known yet")
    silent = now - source.newest_known
    gaps = [b.first - a.last for a, b in zip(source.bursts, source.bursts[1:], strict=False)]
    if gaps:
        details["usual_gap_s"] = median(gaps) / MICROS_PER_SECOND
    if limit is None and (len(gaps) < MIN_GAPS or not is_grown(source)):
        few = f"{len(gaps)} pauses were seen in four weeks, {MIN_GAPS} over a week tell what is usual"
        return told.result(SKIPPED, f"{span(silent)} since the last row; {few}", value=seconds(silent))
    allowed = usual_silence(gaps, outages=MOST_OUTAGES if _knows_weekends(source) else 0) if limit is None else limit
    what = f"{span(silent)} since the last row, known at {format_instant(source.newest_known)}"
    if silent > allowed:
        what = f"the feed stopped: {what}; {'usually at most' if limit is None else 'it may be'} {span(allowed)}"
    return told.result(OK if silent <= allowed else ALERT, what, value=seconds(silent), threshold=seconds(allowed))


def usual_silence(gaps: Sequence[int], *, outages: int = 0) -> int:
    """How long a feed may be silent that had these pauses: as much longer than the longest as that was than a middling one, and
    a little more. So a clockwork is missed soon, and one that comes at random is given its tail.

    outages: how many of the longest are left out, if by the others each of them is unusual.
    """
    ordered = sorted(gaps)
    for left_out in range(min(outages, len(ordered) - MIN_GAPS), 0, -1):
        allowed = usual_silence(ordered[:-left_out])
        if ordered[-left_out] > allowed:
            return allowed
    return max(round((2 + SLACK) * ordered[-1] - median(ordered)), LEAST_SILENCE)


def _knows_weekends(source: SourceFacts) -> bool:
    """Whether a pause that was seen once is no weekend: three of those would have been seen."""
    return source.bursts[-1].last - source.bursts[0].first >= 3 * YOUNG


def lateness(source: SourceFacts, now: int) -> Result:
    """How late the newest rows became known after their events. value: that of a middling one, threshold: the most that is
    usual; seconds."""
    recent, usual = (sum(rows for _, rows in counts) for counts in (source.recent, source.usual))
    told = Told(now, "lateness", "source", source.name)
    if not source.recorded or source.static:
        return told.result(SKIPPED, "when its rows become known is declared, not recorded")
    if recent < MIN_RECENT or usual < MIN_USUAL:
        few = f"{recent:,} rows in the newest {span(RECENT)} and {usual:,} before"
        return told.result(SKIPPED, f"{few}: {MIN_RECENT} and {MIN_USUAL} are compared")
    if not is_grown(source, RECENT):
        return told.result(SKIPPED, "seen for less than a week: too young to tell what is usual")
    told = replace(told, details={"recent": _quantiles(source.recent), "usual": _quantiles(source.usual)})
    half, limit = quantile(source.recent, 0.5), max(quantile(source.usual, LATE), LEAST_LATE)
    what = f"half of the newest rows are more than {span(half)} late, usually {span(quantile(source.usual, 0.5))}"
    return told.result(ALERT if half > limit else OK, what, value=seconds(half), threshold=seconds(limit))


def _quantiles(counts: Sequence[tuple[int, int]]) -> dict[str, Any]:
    shares = {f"p{round(100 * share)}_s": seconds(quantile(counts, share)) for share in (0.5, 0.9, 0.99)}
    return {**shares, "rows": sum(rows for _, rows in counts)}
