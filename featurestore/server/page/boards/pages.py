"""The boards as pages: what of the findings each shows, in bounded pieces, and only what who asks may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from featurestore.intervals import MICROS_PER_SECOND, parse_duration
from featurestore.server.page.asked import Asked
from featurestore.server.page.boards import drift, freshness, history, skew
from featurestore.server.page.boards.findings import Findings, Series, watched
from featurestore.server.page.boards.runs import made_at
from featurestore.server.page.boards.words import instant, paged, span, state, text
from featurestore.server.page.render import render

MOST_PAGES = 100_000
ALERTS = 8
"""Open alerts that the first page shows."""
LOOKS_LEFT_OUT = 3
"""After how many intervals without a result a board says that nobody looks."""
BOARDS = {
    "freshness": "/freshness", "lateness": "/freshness", "volume": "/freshness", "partitions": "/freshness",
    "drift": "/drift", "performance": "/drift", "skew": "/skew",
}  # fmt: skip
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


def page_number(asked: Asked) -> int:
    return asked.number("page", 1, 1, MOST_PAGES)


def drift_page(asked: Asked) -> str:
    """/drift: subjects, the worst first; with ?kind= and ?of= all features of one."""
    return _by_subject(asked, drift.CHECKS, "boards/drift.html", drift.row, drift.PER_PAGE)


def skew_page(asked: Asked) -> str:
    """/skew: the same of what was served."""
    return _by_subject(asked, skew.CHECKS, "boards/skew.html", skew.row, skew.PER_PAGE)


def _by_subject(asked: Asked, checks: Sequence[str], template: str, row: object, per_page: int) -> str:
    assert callable(row)
    found = findings(asked)
    subjects = drift.subjects(found, checks)
    wanted = asked.query.get("kind", ""), asked.query.get("of", "")
    if any(wanted):
        subject = next((s for s in subjects if (s.kind, s.name) == wanted), None)
        shown = paged(subject.series if subject else (), page_number(asked), per_page)
        rows = [row(s) for s in shown.items]
        return render(template, asked, subject=subject, wanted=text(wanted[1]), paged=shown, rows=rows)
    listed = paged(subjects, page_number(asked), drift.SUBJECTS)
    shown_rows = [(s, [row(one) for one in s.series[: drift.PER_SUBJECT]]) for s in listed.items]
    return render(template, asked, subject=None, wanted="", paged=listed, shown=shown_rows, looked=looked(asked, found))


def freshness_page(asked: Asked) -> str:
    """/freshness: all views and sources, the worst first."""
    found = findings(asked)
    rows = freshness.rows(found, watermarks(asked), asked.now)
    listed = paged(rows, page_number(asked), freshness.PER_PAGE)
    counted = Counter(row.state.word for row in rows)
    return render("boards/freshness.html", asked, paged=listed, rows=listed.items, counted=counted, looked=looked(asked, found))


def watermarks(asked: Asked) -> Mapping[str, int]:
    """W of each view online."""
    return {view: made.watermark for view in asked.live.generations if (made := asked.live.newest(view)) is not None}


def history_page(asked: Asked) -> str:
    """/history: generations and runs, the newest first of each view; with ?of= those of one."""
    views = asked.live.generations
    of = asked.query.get("of", "")
    found = [row for row in history.rows(asked.live, made_at(asked, [*views])) if of in ("", row.view)]
    listed = paged(found, page_number(asked), history.PER_PAGE)
    return render("boards/history.html", asked, paged=listed, rows=listed.items, of=text(of))


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
        "kind": r.kind,
        "subject": r.subject,
        "feature": r.feature,
        "what": text(r.what, 200),
        "at": instant(r.at),
        "href": BOARDS.get(r.check, "/freshness"),
    }


__all__ = ["alerts", "drift_page", "findings", "freshness_page", "history_page", "skew_page", "watermarks"]
