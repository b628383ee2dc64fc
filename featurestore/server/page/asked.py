"""What a page is told: who asks for what, and what of the project they may see. Gathered once, read by every page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from featurestore.catalogue import Catalogue
from featurestore.config import Config
from featurestore.server.page.live import Live


@dataclass(frozen=True)
class Asked:
    """One request for a page.

    path: decoded, without query. query: by name, the last of equals. catalogue, live: what who asks may see, nothing else.
    now: microseconds. root, config: the project's, for results and profiles below it; None where there is no folder.
    address: where the server was reached, for examples: "http://127.0.0.1:8000". who: the API key's name; "" where there
    are no keys. limited: whether that key may see some services only. signed_in: by a session rather than by a header. theme:
    "light" or "dark" where one was chosen, else "". trouble: what is wrong with the online store, in one sentence.
    """

    path: str
    query: Mapping[str, str]
    catalogue: Catalogue
    live: Live
    now: int
    root: Path | None = None
    config: Config | None = None
    address: str = "http://127.0.0.1:8000"
    who: str = ""
    limited: bool = False
    signed_in: bool = False
    theme: str = ""
    trouble: str = ""

    def may_see(self, kind: str, subject: str) -> bool:
        """Whether a result about ("source" | "view" | "service" | …, name) may be shown to who asks. Training sets are told
        by their paths, which say nothing of services: only who may see all sees them."""
        return self.catalogue.get(kind, subject) is not None if kind in ("source", "view", "service") else not self.limited

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A number of the query within bounds; the default for what is none."""
        given = self.query.get(name, "")
        return min(max(int(given), least), most) if given.isascii() and given.isdigit() and len(given) < 9 else default


class NotThere(Exception):
    """No such page, or nothing that who asks may see. what: one sentence."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


__all__ = ["Asked", "NotThere"]
