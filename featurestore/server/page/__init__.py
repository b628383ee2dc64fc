"""The page for people: what is defined, where it comes from, how it does. Read-only; nothing is loaded from elsewhere."""

from featurestore.server.page.app import Page, wants_html

__all__ = ["Page", "wants_html"]
