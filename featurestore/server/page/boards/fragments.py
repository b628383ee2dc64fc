"""What checks found of one definition, for its own page: how its values were, how they drift, how fresh they are."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from featurestore.catalogue import Entry
from featurestore.profiles.kept import kept
from featurestore.server.page.asked import Asked
from featurestore.server.page.boards import drift, freshness, skew
from featurestore.server.page.boards.findings import Findings, Series
from featurestore.server.page.boards.pages import findings, profiles, watermarks
from featurestore.server.page.render import render

MOST = 8
"""Rows of a table on the page of a definition; the boards have the others."""


def fragment(asked: Asked, entry: Entry) -> Markup:
    """HTML for the page of an entry; "" where there is nothing to look at. In it are only things that who asks may see."""
    found = findings(asked)
    if entry.kind == "feature":
        return _feature(asked, entry, found)
    if entry.kind == "service":
        return _service(asked, entry, found)
    if entry.kind in ("view", "source"):
        rows = _fresh(asked, found, entry.kind, entry.name)
        return _fragment("boards/of_feed.html", asked, entry=entry, rows=rows) if rows else Markup("")
    return Markup("")


def _feature(asked: Asked, entry: Entry, found: Findings) -> Markup:
    """Of a feature: its view's profiles, and drift and skew of each column that services return it as."""
    from featurestore.server.page.boards.past import past  # numpy, which other pages do without

    columns = {(service.name, column) for service, column in asked.catalogue.columns_of(entry)}
    folder, view = profiles(asked), asked.catalogue.get("view", entry.view)

    def mine(series: Series) -> bool:
        r = series.latest
        if r.kind == "view":
            return r.subject == entry.view and r.feature == entry.title
        return r.kind == "service" and (r.subject, r.feature) in columns

    return _fragment(
        "boards/of_feature.html",
        asked,
        entry=entry,
        is_kept=view is None or view.facts.get("kind", "feature") == "feature",
        past=None if folder is None else past(kept(folder, entry.view), entry.title),
        drift=[(s.latest.subject, drift.row(s)) for s in found.of(*drift.CHECKS) if mine(s)][:MOST],
        skew=[(s.latest.subject, skew.row(s)) for s in found.of(*skew.CHECKS) if mine(s)][:MOST],
        fresh=_fresh(asked, found, "view", entry.view),
    )


def _service(asked: Asked, entry: Entry, found: Findings) -> Markup:
    """Of a service: its worst features by drift and by skew."""
    drifted, skewed = (found.of(*checks, kind="service", subject=entry.name) for checks in (drift.CHECKS, skew.CHECKS))
    if not drifted and not skewed:
        return Markup("")
    return _fragment(
        "boards/of_service.html",
        asked,
        entry=entry,
        drift=[drift.row(s) for s in drifted[:MOST]],
        drifted=len(drifted),
        skew=[skew.row(s) for s in skewed[:MOST]],
        skewed=len(skewed),
    )


def _fresh(asked: Asked, found: Findings, kind: str, name: str) -> Sequence[freshness.Row]:
    held = {view: at for view, at in watermarks(asked).items() if kind == "view" and view == name}
    return [r for r in freshness.rows(found.about(kind, name), held, asked.now) if (r.kind, r.name) == (kind, name)]


def _fragment(template: str, asked: Asked, **context: object) -> Markup:
    return Markup(render(template, asked, **context))  # a template that escapes what is not marked safe


__all__ = ["fragment"]
