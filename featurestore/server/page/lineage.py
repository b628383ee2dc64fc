"""The picture of where values come from: source columns, features, services, from left to right."""

from __future__ import annotations

from markupsafe import Markup

from featurestore.catalogue import Catalogue, Entry


def picture(catalogue: Catalogue, entry: Entry) -> Markup:
    """An <svg> around an entry; empty where nothing is known."""
    return Markup("")
