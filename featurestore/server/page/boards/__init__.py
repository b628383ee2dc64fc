"""What checks found, shown: boards of their own, and fragments on the pages of what was checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from featurestore.server.page.asked import Asked
from featurestore.server.page.boards.fragments import fragment
from featurestore.server.page.boards.pages import alerts, drift_page, freshness_page, history_page, skew_page

PAGES: Mapping[str, tuple[str, Callable[[Asked], str]]] = {
    "/freshness": ("Freshness", freshness_page),
    "/drift": ("Drift", drift_page),
    "/skew": ("Skew", skew_page),
    "/history": ("History", history_page),
}
"""Path -> (its name in the navigation, the page), in order of the navigation."""

__all__ = ["PAGES", "alerts", "fragment"]
