"""What checks found, shown: boards of their own, and fragments on the pages of what was checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from featurestore.catalogue import Entry
from featurestore.server.page.asked import Asked

PAGES: Mapping[str, tuple[str, Callable[[Asked], str]]] = {}
"""Path -> (its name in the navigation, the page), in order of the navigation."""


def fragment(asked: Asked, entry: Entry) -> str:
    """HTML for the page of an entry: profile, drift, freshness, skew; "" where nothing was looked at."""
    return ""


def alerts(asked: Asked) -> str:
    """HTML for the top of the first page: what is wrong now; "" where nothing was looked at."""
    return ""


__all__ = ["PAGES", "alerts", "fragment"]
