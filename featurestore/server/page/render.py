"""From a template and what a page knows to HTML. Everything that is not marked safe is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from featurestore.catalogue import Entry
from featurestore.intervals import Duration, format_instant
from featurestore.server.page import static
from featurestore.server.page.asked import Asked

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).with_name("templates")
LONGEST = 40_000
"""Characters of a text (SQL, a plan) that a page shows at most."""
_FOLDERS = {"entity": "entities", "source": "sources", "view": "views", "feature": "features", "service": "services"}


def render(template: str, asked: Asked, **context: Any) -> str:
    """A page. The template extends base.html and gets `asked`, `context` and the helpers below."""
    from featurestore.server.page.boards import PAGES

    boards = [(path, name) for path, (name, _) in PAGES.items()]
    return environment().get_template(template).render(asked=asked, boards=boards, **context)


@lru_cache(maxsize=8_192)
def address(kind: str, name: str) -> str:
    """The path of an entry's page: address("feature", "payments/amount_sum_7d"). Safe in an attribute, whatever the name."""
    return f"/{_FOLDERS[kind]}/{quote(name, safe='/' if kind == 'feature' else '')}"


class _Facts(dict[str, Any]):
    """Facts of which some may be missing, in a catalogue made of what else is known."""

    def __missing__(self, name: str) -> None:
        return None


def facts_of(entry: Entry) -> Mapping[str, Any]:
    """The facts of an entry; None for what is not known."""
    return _Facts(entry.facts)


def link(entry: Entry) -> str:
    return address(entry.kind, entry.name)


def instant(micros: int | None) -> str:
    """2026-01-02 03:04:05 UTC; "–" for none."""
    if micros is None:
        return "–"
    text = format_instant(micros)
    return f"{text[:10]} {text[11:19]} UTC" if text.endswith("Z") else text


def ago(micros: int | None, now: int) -> str:
    """How long ago, in the two greatest units: "3 h 12 min"."""
    if micros is None:
        return "–"
    seconds = max(now - micros, 0) // 1_000_000
    days, hours, minutes = seconds // 86_400, seconds % 86_400 // 3_600, seconds % 3_600 // 60
    if days:
        return f"{days} d {hours} h" if days < 30 else f"{days} d"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds} s"


def duration(micros: int | None) -> str:
    return "" if micros is None else str(Duration(micros))


def short(text: str) -> str:
    """A text that is not too long for a page."""
    return text if len(text) <= LONGEST else text[:LONGEST].rpartition("\n")[0] + "\n…"


def with_query(asked: Asked, **changed: Any) -> str:
    """The page's own address with some of its query changed; None or "" leaves a name out."""
    query = {name: value for name, value in {**asked.query, **changed}.items() if value not in (None, "")}
    return f"{quote(asked.path)}?{urlencode(query)}" if query else quote(asked.path)


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    import jinja2
    from markupsafe import Markup

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )
    made.globals.update(
        address=address, facts_of=facts_of, link=link, ago=ago, with_query=with_query, static=static.address,
        style=Markup(static.style()), LONGEST=LONGEST,
    )  # fmt: skip
    made.filters.update(instant=instant, duration=duration, short=short)
    return made


def warm() -> None:
    """Compile every template, so that the first page does not wait for it."""
    made = environment()
    for name in made.list_templates():
        made.get_template(name)


__all__ = ["address", "ago", "duration", "environment", "instant", "link", "render", "short", "warm", "with_query"]
