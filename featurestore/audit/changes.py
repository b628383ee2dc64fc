"""What differs between what two training sets were made of, each difference named: from manifests alone, no row is read.

Decides what a source file, a push log, a spine, an option or a version that is another is called, and which columns it can
have touched; definitions have a module of their own. Whether cells differ is the business of `audit.diff`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featurestore.audit.change import Change, Document, both_have, text
from featurestore.audit.definition_changes import columns_of, definition_changes
from featurestore.intervals import Duration

_OPTIONS = ("service", "as_of", "known_before", "serving_lag_us", "include", "label", "split", "engine")


def changes(was: Document, now: Document) -> list[Change]:
    """All that differs between what two manifests say went in. What one of them does not record is not compared."""
    found = [*definition_changes(was, now), *_sources(was, now), *_spine(was, now), *_options(was, now)]
    return [*found, *_versions(was, now)]


def _spine(was: Document, now: Document) -> Iterator[Change]:
    if not both_have(was, now, "spine") or was["spine"]["sha256"] == now["spine"]["sha256"]:
        return
    before, after = ({k: s.get(k) for k in ("name", "size", "sha256")} for s in (was["spine"], now["spine"]))
    names = [s["name"] or "the table in memory" for s in (before, after)]
    detail = "its content is another" if names[0] == names[1] else f"{names[0]} → {names[1]}, of other content"
    yield Change("spine", "spine", detail, before, after, everywhere=True)


def _options(was: Document, now: Document) -> Iterator[Change]:
    for name in _OPTIONS:
        before, after = (_option(name, document.get(name)) for document in (was, now))
        if both_have(was, now, name) and before != after:
            yield Change("option", _words(name), _option_text(name, before, after), before, after)


def _option(name: str, value: Any) -> Any:
    """What was asked, without what was counted."""
    if name == "label":
        return None if value is None else value["column"]
    return value["asked"] if name == "split" and value is not None else value


def _option_text(name: str, was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        parts = [part for part in dict.fromkeys([*was, *now]) if was.get(part) != now.get(part)]
        return ", ".join(f"{_words(part)} {_option_text(part, was.get(part), now.get(part))}" for part in parts)
    told = [str(Duration(value)) if name.endswith("_us") and value is not None else text(value) for value in (was, now)]
    return " → ".join(told)


def _words(name: str) -> str:
    return name.removesuffix("_us").replace("_", " ")


def _versions(was: Document, now: Document) -> Iterator[Change]:
    before, after = was.get("versions", {}), now.get("versions", {})
    for name in [n for n in before if n in after and before[n] != after[n]]:
        yield Change("version", name, f"{before[name]} → {after[name]}", before[name], after[name], everywhere=True)


# Sources.


def _sources(was: Document, now: Document) -> Iterator[Change]:
    if not both_have(was, now, "sources"):
        return
    views = _views_by_source(was, now)
    for name in dict.fromkeys([*was["sources"], *now["sources"]]):
        touched = None if views is None else views.get(name, frozenset())
        if name in was["sources"] and name in now["sources"]:  # else a definition tells
            yield from _states(name, was["sources"][name], now["sources"][name], touched)


def _states(name: str, was: Any, now: Any, views: frozenset[str] | None) -> Iterator[Change]:
    if isinstance(was, str) or isinstance(now, str):
        if was != now:
            kinds = [s if isinstance(s, str) else "files" for s in (was, now)]
            yield Change("source", f"source {name}", " → ".join(kinds), kinds[0], kinds[1], views)
        return
    pins, after_pins = _pins(was), _pins(now)
    if pins != after_pins:
        yield Change("source", f"source {name}", _pins_text(pins, after_pins), pins, after_pins, views)
    files, after_files = _files(was), _files(now)
    for path in dict.fromkeys([*files, *after_files]):
        before, after = files.get(path), after_files.get(path)
        if before != after:
            said = "added" if before is None else "gone" if after is None else "changed"
            yield Change("source_file", path, f"{said} (source {name})", before, after, views)
    log, after_log = _log(was), _log(now)
    if log != after_log:
        yield Change("push_log", f"push log of {name}", _log_text(log, after_log), log, after_log, views)


def _files(state: Sequence[Document]) -> dict[str, Document]:
    return {entry["path"]: {k: v for k, v in entry.items() if k != "path"} for entry in state if "path" in entry}


def _pins(state: Sequence[Document]) -> list[Document]:
    """What names rows that are in no file, or all files at once (the version of a table)."""
    return [entry for entry in state if "path" not in entry and "push_log" not in entry]


def _pins_text(was: Sequence[Document], now: Sequence[Document]) -> str:
    if len(was) != 1 or len(now) != 1:
        called = [", ".join(" ".join(map(str, pair)) for pin in pins for pair in pin.items()) for pins in (was, now)]
        return f"{called[0] or 'files alone'} → {called[1] or 'gone'}"
    parts = [part for part in dict.fromkeys([*was[0], *now[0]]) if was[0].get(part) != now[0].get(part)]
    return ", ".join(f"{part} {text(was[0].get(part))} → {text(now[0].get(part))}" for part in parts)


def _log(state: Sequence[Document]) -> Document | None:
    return next(({"log": e["log"], "position": e["position"]} for e in state if "push_log" in e), None)


def _log_text(was: Document | None, now: Document | None) -> str:
    if was is None or now is None:
        return "gone" if now is None else f"now there is one, up to position {now['position']}"
    if was["log"] != now["log"]:
        return "another log, or one out of which rows were taken"
    return f"position {was['position']} → {now['position']}"


def _views_by_source(was: Document, now: Document) -> dict[str, frozenset[str]] | None:
    """{source: the views over it}, or None where a manifest does not record definitions."""
    if not both_have(was, now, "definitions"):
        return None
    found: dict[str, set[str]] = {}
    for document in (was, now):
        for kind in ("views", "labels"):
            for name, meaning in document["definitions"][kind].items():
                found.setdefault(meaning["source"]["name"], set()).add(name)
    return {name: frozenset(views) for name, views in found.items()}


# Which columns.

_NO_FEATURE: Mapping[str, Callable[[str], bool]] = {
    "label": lambda column: False,
    "include": lambda column: "__" in column,
    "split": lambda column: column == "split",
}
"""Options that touch no feature, and what they touch."""


@dataclass(frozen=True)
class Origins:
    """Where the columns of a training set come from, as far as its manifest says."""

    columns: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    inputs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    @classmethod
    def of(cls, document: Document) -> Origins:
        own = frozenset(spine_columns(document))
        if "definitions" not in document:
            return cls(own=own)
        service = document["definitions"]["service"]
        views = document["definitions"]["on_demand_views"]
        inputs = {name: frozenset(i["view"] for i in meaning["inputs"]) for name, meaning in views.items()}
        return cls(columns_of(service), inputs, own)

    def knows(self, column: str) -> bool:
        return column in self.own or column.split("__")[0] in self.columns

    def touched(self, column: str, change: Change) -> bool:
        """Whether a change can have touched a column's cells."""
        base = column.split("__")[0]  # <feature>__status, which no name of a feature looks like
        if change.everywhere:
            return True
        if change.what == "option" and change.where in _NO_FEATURE:
            return _NO_FEATURE[change.where](column)
        if column in self.own:
            return False
        if change.views is None or base not in self.columns:
            return True
        view, feature = self.columns[base]
        if view in change.views:
            return change.features is None or feature is None or feature in change.features
        return bool(self.inputs.get(view, frozenset()) & change.views)


def spine_columns(document: Document) -> list[str]:
    """The spine's own columns: they stand before the first feature."""
    names, first = [name for name, _ in document["columns"]], next(iter(document["features"]))
    return names[: names.index(first)] if first in names else []


__all__ = ["Origins", "changes", "spine_columns"]
