"""The search of the catalogue: every word has to occur, and what is named so comes before what is described so."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.catalogue import KINDS, Catalogue, Entry

MOST_WORDS = 8
LONGEST = 200


def words_of(query: Mapping[str, str]) -> str:
    """What was typed, as it is shown."""
    return " ".join(query.get("q", "")[:LONGEST].split())


def found(catalogue: Catalogue, query: Mapping[str, str]) -> list[Entry]:
    """Entries by q (words), kind, owner and tag ("name:value"), the likeliest first; without words in the catalogue's order."""
    kind, owner, tag = (query.get(name, "") for name in ("kind", "owner", "tag"))
    entries = [
        entry
        for entry in catalogue
        if (not kind or entry.kind == kind)
        and (not owner or entry.owner == owner)
        and (not tag or tag in (f"{name}:{value}" for name, value in entry.tags.items()))
    ]
    words = words_of(query).lower().split()[:MOST_WORDS]
    if not words:
        return entries
    order = {kind: n for n, kind in enumerate(KINDS)}
    matching = [entry for entry in entries if all(word in entry.words for word in words)]
    return sorted(matching, key=lambda entry: (_rank(entry, words), order[entry.kind], entry.name))


def _rank(entry: Entry, words: list[str]) -> int:
    title = entry.title.lower()
    if title == " ".join(words) or title == "_".join(words):
        return 0
    if title.startswith(words[0]) and all(word in title for word in words):
        return 1
    return 2 if all(word in title for word in words) else 3 if all(word in entry.name.lower() for word in words) else 4


__all__ = ["found", "words_of"]
