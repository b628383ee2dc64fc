"""The boards as pages: what of the findings each shows, in bounded pieces, and only what who asks may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup

from featurestore.intervals import MICROS_PER_SECOND, parse_duration
from featurestore.server.page.asked import Asked
from featurestore.server.page.boards import drift, freshness, history, skew
from featurestore.server.page.boards.findings import Findings, Series, watched
from featurestore.server.page.boards.words import instant, span, state, text
from featurestore.server.page.paging import paged
from featurestore.server.page.render import render

ALERTS = 8
"""Open alerts that the first page shows."""
LOOKS_LEFT_OUT = 3
"""After how many intervals without a result a board says that nobody looks."""
BOARDS = {
    check: path
    for path, checks in (("/freshness", freshness.CHECKS), ("/drift", drift.CHECKS), ("/skew", skew.CHECKS))
    for check in checks
}
"""Check -> the board that shows it."""


def findings(asked: Asked, *, newest: bool = False) -> Findings:
    """What was found of what who asks may see. newest: of the newest results alone."""
    if asked.root is None or asked.config is None:
        return Findings()
    watch = watched(asked.root / asked.config.monitor.path)
    found = watch.newest() if newest else watch.all()
    if not asked.limited:
        return found
    return found.seen_by(lambda r: asked.may_see(r.kind, r.subject))


@dataclass(frozen=True)
class _Board:
    """A board of subjects and their features. table: the macro that shows rows. empty: what is said before the first look."""

    title: str
    path: str
    table: str
    lead: str
    empty: str


_DRIFT = _Board(
    "Drift", "/drift", "drift_table",
    "How far values have moved from their reference, by effect. In each small picture the filled shape is the reference, the "
    "outline what was compared with it.",
    "Nothing has been compared yet.",
)  # fmt: skip
_SKEW = _Board(
    "Skew", "/skew", "skew_table",
    "What was served, replayed against the offline truth of the same instant: how many values differ, since when, and why.",
    "No served value has been verified yet: that takes a log of what is served, [serve_log] on = true.",
)  # fmt: skip


def drift_page(asked: Asked) -> str:
    """/drift: subjects, the worst first; with ?kind= and ?of= all features of one."""
    return _by_subject(asked, _DRIFT, drift.CHECKS, drift.row)


def skew_page(asked: Asked) -> str:
    """/skew: the same of what was served."""
    return _by_subject(asked, _SKEW, skew.CHECKS, skew.row)


def _by_subject(asked: Asked, board: _Board, checks: Sequence[str], row: Callable[[Series], object]) -> str:
    found = findings(asked)
    subjects = drift.subjects(found, checks)
    written = partial(render, "boards/by_subject.html", asked, board=board)
    wanted = asked.query.get("kind", ""), asked.query.get("of", "")
    if any(wanted):
        subject = next((s for s in subjects if (s.kind, s.name) == wanted), None)
        shown = paged(asked, subject.series if subject else (), drift.PER_PAGE)
        rows = [row(s) for s in shown.items]
        return written(subject=subject, wanted=text(wanted[1]), paged=shown, rows=rows)
    listed = paged(asked, subjects, drift.SUBJECTS)
    shown_rows = [(s, [row(one) for one in s.series[: drift.PER_SUBJECT]]) for s in listed.items]
    return written(subject=None, wanted="", paged=listed, shown=shown_rows, looked=looked(asked, found))


def freshness_page(asked: Asked) -> str:
    """/freshness: all views and sources, the worst first."""
    found = findings(asked)
    rows = freshness.rows(found, watermarks(asked), asked.now)
    listed = paged(asked, rows, freshness.PER_PAGE)
    counted = Counter(row.state.word for row in rows)
    return render("boards/freshness.html", asked, paged=listed, rows=listed.items, counted=counted, looked=looked(asked, found))


def watermarks(asked: Asked) -> Mapping[str, int]:
    """W of each view online."""
    return {view: made.watermark for view in asked.live.generations if (made := asked.live.newest(view)) is not None}


def history_page(asked: Asked) -> str:
    """/history: generations, the newest first of each view; with ?of= those of one."""
    of = asked.query.get("of", "")
    listed = paged(asked, history.runs(asked.live, of), history.PER_PAGE)
    rows = [history.row(run, profiles(asked)) for run in listed.items]
    return render("boards/history.html", asked, paged=listed, rows=rows, of=text(of))


def profiles(asked: Asked) -> Path | None:
    """The folder of the profiles of runs."""
    return None if asked.root is None or asked.config is None else asked.root / asked.config.profiles.path


def alerts(asked: Asked) -> Markup:
    """HTML for the first page: open alerts, the newest results alone; "" where nothing was ever looked at."""
    found = findings(asked, newest=True)
    if not found.series:
        return Markup("")
    open_alerts = found.alerts
    shown = [_alert(s) for s in open_alerts[:ALERTS]]
    told = render("boards/alerts.html", asked, shown=shown, total=len(open_alerts), looked=looked(asked, found))
    return Markup(told)  # of a template that escapes what is not marked safe


def looked(asked: Asked, found: Findings) -> str:
    """When the monitor last looked, and whether it should have looked since."""
    if found.looked is None or asked.config is None:
        return ""
    every = parse_duration(asked.config.monitor.every).micros
    quiet = asked.now - found.looked > LOOKS_LEFT_OUT * every
    said = f"Last looked at {instant(found.looked)}"
    return (
        f"{said}, {span((asked.now - found.looked) / MICROS_PER_SECOND)} ago: the monitor does not run."
        if quiet
        else f"{said}."
    )


def _alert(series: Series) -> dict[str, object]:
    r = series.latest
    return {
        "state": state(r.status),
        "check": r.check,
        "subject": r.subject,
        "feature": r.feature,
        "what": text(r.what, 200),
        "at": instant(r.at),
        "href": BOARDS.get(r.check, "/freshness"),
    }


__all__ = ["alerts", "drift_page", "findings", "freshness_page", "history_page", "profiles", "skew_page", "watermarks"]
