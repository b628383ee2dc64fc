"""A catalogue in memory: entries by kind and name, what uses what, and which of it those may see who see some services only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

KINDS = ("service", "feature", "view", "source", "entity")
"""Kinds of entries, as people look for them. Views of features, of labels and on demand are one kind: names tell them apart."""

ON_DEMAND = "on-demand"
"""The kind, among views, of those that read other views."""

Ref = tuple[str, str]
"""Kind and name. A feature's name is "view/feature"."""


@dataclass(frozen=True)
class Entry:
    """One definition, or one feature of a view.

    place: file and line it was written at, "" if nobody knows. facts: what its kind has to say (see `making`). texts: long
    ones, by name ("plan", "sql"). uses: views of a service, source, entities and input views of a view.
    """

    kind: str
    name: str
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    uses: tuple[Ref, ...] = ()

    @property
    def ref(self) -> Ref:
        return self.kind, self.name

    @property
    def title(self) -> str:
        """A feature's own name; else the name."""
        return self.name.rpartition("/")[2]

    @property
    def view(self) -> str:
        """Of a feature: its view."""
        return self.name.partition("/")[0]

    @cached_property
    def words(self) -> str:
        """What a search looks through, in lower case."""
        tags = (part for pair in self.tags.items() for part in (*pair, ":".join(pair)))
        return "\n".join((self.name, self.description, self.owner, *tags)).lower()


class Catalogue:
    """All entries, in order of kind and name."""

    def __init__(self, entries: Iterable[Entry], *, complete: bool = True) -> None:
        order = {kind: n for n, kind in enumerate(KINDS)}
        found = sorted(entries, key=lambda entry: (order[entry.kind], entry.name))
        self.entries: Mapping[Ref, Entry] = {entry.ref: entry for entry in found}
        self.complete = complete
        """Whether words, SQL and plans are known too: not where an older run filled the store."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def get(self, kind: str, name: str) -> Entry | None:
        return self.entries.get((kind, name))

    def of(self, kind: str) -> Sequence[Entry]:
        """The entries of a kind, by name."""
        return self._by_kind.get(kind, ())

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self:
            found.setdefault(entry.kind, []).append(entry)
        return found

    def features(self, view: str) -> list[Entry]:
        """A view's features, in order of its definition."""
        found = self.get("view", view)
        names = found.facts.get("features", ()) if found else ()
        return [entry for name in names if (entry := self.get("feature", f"{view}/{name}"))]

    @cached_property
    def _users(self) -> Mapping[Ref, Sequence[Entry]]:
        users: dict[Ref, list[Entry]] = {}
        for entry in self:
            for ref in entry.uses:
                users.setdefault(ref, []).append(entry)
        return users

    def used_by(self, entry: Entry) -> Sequence[Entry]:
        """What names it: views of a source or entity, services and on-demand views of a view."""
        return self._users.get(entry.ref, ())

    def columns_of(self, feature: Entry) -> Sequence[tuple[Entry, str]]:
        """(service, column) wherever a service returns a feature."""
        return self._columns.get(feature.name, ())

    @cached_property
    def _columns(self) -> Mapping[str, Sequence[tuple[Entry, str]]]:
        found: dict[str, list[tuple[Entry, str]]] = {}
        for service in self.of("service"):
            for column in service.facts.get("columns", ()):
                found.setdefault(f"{column['view']}/{column['feature']}", []).append((service, column["name"]))
        return found

    def read_by(self, feature: Entry) -> Sequence[Entry]:
        """On-demand features that read a feature."""
        return self._readers.get(feature.name, ())

    @cached_property
    def _readers(self) -> Mapping[str, Sequence[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self.of("feature"):
            for of in dict.fromkeys(of for _, of in entry.facts.get("reads", ()) if of):
                found.setdefault(of, []).append(entry)
        return found

    # Who may see what.

    def seen_by(self, may_see: Callable[[str], bool]) -> Catalogue:
        """What is left for someone who may see some services only: those, the views they are made of with all their features,
        and what these are made of; of on-demand views what is computed from these alone. Nothing left names anything else."""
        seen = self._reached(entry for entry in self.of("service") if may_see(entry.name))
        left = [entry for entry in self if _is_left(entry, seen)]
        refs, columns = {entry.ref for entry in left}, _columns_read(left)
        return Catalogue((_narrowed(entry, refs, columns) for entry in left), complete=self.complete)

    def _reached(self, services: Iterable[Entry]) -> set[Ref]:
        """What services name, and what is named by that. Not by on-demand views: of their inputs a service names those it
        needs."""
        seen: set[Ref] = set()
        waiting = [service.ref for service in services]
        while waiting:
            ref = waiting.pop()
            if ref in seen or ref not in self.entries:
                continue
            seen.add(ref)
            if self.entries[ref].facts.get("kind") != ON_DEMAND:
                waiting += self.entries[ref].uses
        return seen


def _is_left(entry: Entry, seen: set[Ref]) -> bool:
    if entry.kind != "feature":
        return entry.ref in seen
    read = [of.partition("/")[0] for _, of in entry.facts.get("reads", ()) if of]
    return ("view", entry.view) in seen and all(("view", view) in seen for view in read)


def _columns_read(entries: Iterable[Entry]) -> Mapping[str, set[str]]:
    """Source -> the columns that some views read."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        if entry.kind == "view" and "source" in entry.facts:
            found.setdefault(entry.facts["source"], set()).update(entry.facts.get("columns", ()))
    return found


def _narrowed(entry: Entry, left: set[Ref], columns: Mapping[str, set[str]]) -> Entry:
    """The entry without what it says of others."""
    facts = dict(entry.facts)
    if entry.kind == "source":
        kept = columns.get(entry.name, set())
        facts["columns"] = {name: dtype for name, dtype in facts.get("columns", {}).items() if name in kept}
        facts["expectations"] = [pair for pair in facts.get("expectations", ()) if pair[0] is None or pair[0] in kept]
    if facts.get("kind") == ON_DEMAND:
        facts["features"] = [name for name in facts["features"] if ("feature", f"{entry.name}/{name}") in left]
        facts["inputs"] = [pair for pair in facts["inputs"] if ("view", pair[1]) in left]
    return replace(entry, facts=facts, uses=tuple(ref for ref in entry.uses if ref in left))


__all__ = ["KINDS", "ON_DEMAND", "Catalogue", "Entry", "Ref"]
