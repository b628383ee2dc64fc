"""The pages of the catalogue: the list with its search, and one page for each definition and each feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from markupsafe import Markup

from featurestore.catalogue import KINDS, Entry
from featurestore.dtypes import parse_dtype
from featurestore.errors import DefinitionError
from featurestore.plan.columns import ROLES
from featurestore.server.page import boards
from featurestore.server.page.asked import Asked, NotThere
from featurestore.server.page.lineage import picture
from featurestore.server.page.live import Served
from featurestore.server.page.paging import paged
from featurestore.server.page.render import render
from featurestore.server.page.search import found, words_of

AT_ONCE = 50
"""Entries of the list, rows of a table of features."""
OPTIONS = 200
"""Choices of a filter at most: the most frequent."""


def catalogue(asked: Asked) -> str:
    """The list: by ?q=, ?kind=, ?owner=, ?tag=name:value and ?page=."""
    entries = found(asked.catalogue, asked.query)
    alerts = Markup("") if asked.query else boards.alerts(asked)
    return render(
        "catalogue.html", asked, words=words_of(asked.query), filters=_filters(asked), entries=paged(asked, entries, AT_ONCE),
        alerts=alerts,
    )  # fmt: skip


def _filters(asked: Asked) -> list[tuple[str, str, list[tuple[str, str]], str]]:
    """(label, name in the query, choices with how often each occurs, the one chosen)."""
    every = list(asked.catalogue)
    counted: list[tuple[str, str, Counter[str]]] = [
        ("Kind", "kind", Counter(entry.kind for entry in every)),
        ("Owner", "owner", Counter(entry.owner for entry in every if entry.owner)),
        ("Tag", "tag", Counter(f"{name}:{value}" for entry in every for name, value in entry.tags.items())),
    ]
    filters = []
    for label, name, counts in counted:
        chosen = asked.query.get(name, "")
        kept = {value for value, _ in counts.most_common(OPTIONS)} | ({chosen} & counts.keys())
        order = [kind for kind in KINDS if kind in kept] if name == "kind" else sorted(kept)
        filters.append((label, name, [(value, f"{value[:60]} ({counts[value]})") for value in order], chosen))
    return filters


def entity(asked: Asked, name: str) -> str:
    entry = _entry(asked, "entity", name)
    return render("entity.html", asked, entry=entry, views=_of(asked.catalogue.used_by(entry), "view"))


def source(asked: Asked, name: str) -> str:
    entry = _entry(asked, "source", name)
    views = _of(asked.catalogue.used_by(entry), "view")
    columns = list(entry.facts.get("columns", {}).items())
    readers: dict[str, list[Entry]] = {}
    for view in views:
        for feature in asked.catalogue.features(view.name):
            for _, column, roles in feature.facts.get("comes_from", ()):
                if "value" in roles:
                    readers.setdefault(column, []).append(feature)
    return render(
        "source.html", asked, entry=entry, views=views, columns=paged(asked, columns, AT_ONCE), readers=readers,
        picture=picture(asked.catalogue, entry), fragment=boards.fragment(asked, entry),
    )  # fmt: skip


def view(asked: Asked, name: str) -> str:
    entry = _entry(asked, "view", name)
    users = asked.catalogue.used_by(entry)
    return render(
        "view.html", asked, entry=entry, features=paged(asked, asked.catalogue.features(name), AT_ONCE),
        services=_of(users, "service"), views=_of(users, "view"), picture=picture(asked.catalogue, entry),
        live=asked.live.newest(name), kept=asked.live.kept.get(name, ()), fragment=boards.fragment(asked, entry),
    )  # fmt: skip


def feature(asked: Asked, name: str) -> str:
    entry = _entry(asked, "feature", name)
    of = _entry(asked, "view", entry.view)
    return render(
        "feature.html", asked, entry=entry, view=of, live=asked.live.newest(of.name), columns=asked.catalogue.columns_of(entry),
        on_demand=asked.catalogue.read_by(entry), picture=picture(asked.catalogue, entry), roles=ROLES,
        fragment=boards.fragment(asked, entry),
    )  # fmt: skip


def service(asked: Asked, name: str) -> str:
    entry = _entry(asked, "service", name)
    served = asked.live.services.get(name)
    fields = () if served is None else _fields(served)
    question = None if served is None else _question(served)
    return render(
        "service.html", asked, entry=entry, served=served, fields=fields, question=question,
        columns=paged(asked, entry.facts.get("columns", ()), AT_ONCE), picture=picture(asked.catalogue, entry),
        fragment=boards.fragment(asked, entry),
    )  # fmt: skip


def _fields(served: Served) -> list[tuple[str, str, str, str]]:
    """(name, "key" or "request", its type for people, how a value becomes JSON) of what a look-up takes."""
    types = {"integer": "integer", "bool": "bool"}
    fields = [(name, "key", family, types.get(family, "text")) for name, family in served.keys.items()]
    return fields + [(name, "request", dtype, _json_type(dtype)) for name, dtype in served.request.items()]


def _json_type(name: str) -> str:
    try:
        dtype = parse_dtype(name)
    except DefinitionError:
        return "json"
    if dtype.is_integer:
        return "integer"
    if dtype.is_list or dtype.is_map:
        return "json"
    return {"float": "number", "double": "number", "bool": "bool"}.get(dtype.name, "text")


_EXAMPLES: Mapping[str, Any] = {"integer": 1, "number": 1.5, "bool": True, "json": [], "text": "a"}
_TEXTS = {"date": "2026-01-02", "date32": "2026-01-02", "timestamp[us, UTC]": "2026-01-02T03:04:05Z", "binary": "YQ=="}
"""Examples of what is text in JSON, by type or family."""


def _question(served: Served) -> str:
    """A look-up as JSON, with values of the right types."""
    parts: dict[str, dict[str, list[Any]]] = {"key": {}, "request": {}}
    for name, part, dtype, kind in _fields(served):
        parts[part][name] = ["1" if dtype.startswith("decimal") else _TEXTS.get(dtype, _EXAMPLES[kind])]
    body: dict[str, Any] = {"feature_service": served.name, "entities": parts["key"]}
    if parts["request"]:
        body["request"] = parts["request"]
    return orjson.dumps(body).decode()


def _entry(asked: Asked, kind: str, name: str) -> Entry:
    entry = asked.catalogue.get(kind, name)
    if entry is None:
        raise NotThere(f"There is no {kind} {name[:130]!r}, or none that you may see.")
    return entry


def _of(entries: Iterable[Entry], kind: str) -> list[Entry]:
    return [entry for entry in entries if entry.kind == kind]


OF: Mapping[str, tuple[int, Callable[..., str]]] = {
    "entities": (1, entity),
    "sources": (1, source),
    "views": (1, view),
    "features": (2, feature),
    "services": (1, service),
}
"""The first part of a path: how many names follow it, and the page of what they name."""


__all__ = ["OF", "catalogue"]
