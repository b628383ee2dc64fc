"""Count how often the generated cases meet an edge, as the oracle read them: a suite that misses one proves nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from featurestore.definitions import FeatureService, FeatureView, LabelView
from featurestore.engines.reference.facts import History, Row, read_history
from featurestore.engines.reference.order import rank

_TIMED = {
    "tie on e", "tie on (e, k)", "exact duplicate", "visible at t", "e = t", "age = ttl", "age = ttl + 1us", "age = ttl - 1us",
    "e = t - w", "e = t - w + 1us", "e = t - w - 1us", "e = t - o", "newest value null", "null key asked", "null key in source",
    "null event time", "several files",
}  # fmt: skip
_LABELLED = {
    "label: e = begin", "label: e = begin - 1us", "label: e = begin + 1us", "label: e = end", "label: e = end - 1us",
    "label: e = end + 1us", "label: mature at last", "label: immature by 1us", "label: immature, positive already",
    "label: a fact known late", "label: mature at the cut-off", "label: immature at the cut-off by 1us",
}  # fmt: skip
_KNOWN = {"k = t", "k > t", "late row older than the newest", "k = known_before", "k = t - lag"}
_VERSIONED = {
    "label: corrected after its window",
    "moved to another key", "moved to another time", "correction fails where", "correction not yet known",
    "version moved or deleted",
}  # fmt: skip
_UNVERSIONED = {"exact duplicate", "tie on (e, k)"}
EXPECTED: Mapping[str, set[str]] = {
    "at_once": _TIMED | _LABELLED - {"label: a fact known late"},
    "delayed": _TIMED | _LABELLED,
    "created": _TIMED | _KNOWN | _LABELLED,
    "created_or_event": _TIMED | _KNOWN | _LABELLED,
    "versions": _TIMED - _UNVERSIONED | _KNOWN | _VERSIONED | _LABELLED,
    "versions_deleted": _TIMED - _UNVERSIONED | _KNOWN | _VERSIONED | _LABELLED | {"deleted"},
    "versions_delayed": _TIMED - _UNVERSIONED | _VERSIONED | _LABELLED | {"deleted"},
    "static": {"null key asked", "null key in source", "several files"},
}
"""Kind of source -> the edges that its cases must meet."""
OFTEN = 50
"""How often each edge must occur in the suite: at least."""


def least(edge: str) -> int:
    """How often an edge must occur in the cases of each kind that expects it, so that it is OFTEN enough in all."""
    return -(-OFTEN // sum(edge in wanted for wanted in EXPECTED.values()))


def count(
    service: FeatureService, tables: Sequence[pa.Table], asked: Sequence[tuple[Any, int]], known_before: int, lag: int
) -> Counter[str]:
    """The edges of one case. asked: (key or None, t) per spine row. Each counts once per spine row or case."""
    view = service.instances[0].view
    assert isinstance(view, FeatureView)
    history = read_history(view, tables)
    found: Counter[str] = Counter()
    found["several files"] += sum(table.num_rows > 0 for table in tables) > 1
    found["null key in source"] += any(row.key is None for row in history.rows)
    found["null key asked"] += sum(key is None for key, _ in asked)
    if view.source.static:
        return found
    found["null event time"] += any(row.e is None for row in history.rows)
    for key, t in asked:
        if key is not None:
            found.update(_of_row(view, history, key, t, known_before, lag))
    for instance in service.labels:
        labelled = read_history(instance.view, tables)
        for key, t in asked:
            if key is not None:
                found.update(_of_label(labelled, key, t, known_before))
    return found


def _of_label(history: History, key: Any, t: int, known_before: int) -> set[str]:
    """What a label meets: facts about the ends of its window, and when it becomes mature."""
    view = history.view
    assert isinstance(view, LabelView)
    begin, end, mature = t + view.gap.micros, t + view.reach, t + view.horizon
    facts = history.settled(key, float("inf"))
    found = set()
    for name, moment in (("begin", begin), ("end", end)):
        for shown, near in (("", 0), (" - 1us", -1), (" + 1us", 1)):
            found |= {f"label: e = {name}{shown}" for f in facts if f.e == moment + near}
    for shown, limit in (("", history.greatest_known), (" at the cut-off", known_before)):
        found |= {f"label: mature{shown or ' at last'}"} if mature == limit else set()
        found |= {f"label: immature{shown} by 1us"} if mature == limit + 1 else set()
    within = [f for f in facts if f.e is not None and begin < f.e < end]
    found |= {"label: immature, positive already" for f in within if f.k is not None and f.k < known_before < mature}
    found |= {"label: a fact known late" for f in within if f.k is not None and f.k >= end}
    if view.source.row_key:
        then = history.settled(key, end)
        found |= {"label: corrected after its window" for f in then if begin < (f.e or 0) < end and f not in facts}
    return found


def _of_row(view: FeatureView, history: History, key: Any, t: int, known_before: int, lag: int) -> set[str]:
    mine = [r for r in history.rows if r.key == key and r.e is not None and r.k is not None]
    found = {name for name, moment in (("e", lambda r: r.e), ("k", lambda r: r.k)) if any(moment(r) == t for r in mine)}
    found = {f"{name} = t" for name in found}
    found |= {"k > t" for r in mine if r.e < t < r.k}
    found |= {"visible at t" for r in mine if max(r.e, r.k) == t}
    found |= {"k = known_before" for r in mine if r.k == known_before and r.e < t}
    found |= {"k = t - lag" for r in mine if r.k == t - lag and r.e < t}
    if view.source.row_key:
        found |= _of_versions(view, history, key, t)
    usable = history.usable(key, t, float("inf"))
    return found | _of_windows(view, usable, t) | (_of_latest(view, usable, t) if usable else set())


def _of_windows(view: FeatureView, usable: Sequence[Row], t: int) -> set[str]:
    found = set()
    for feature in view.features:
        end = t - feature.offset.micros
        if feature.window is not None:
            start = end - feature.window.micros
            for name, moment in (("", start), (" + 1us", start + 1), (" - 1us", start - 1)):
                found |= {f"e = t - w{name}" for r in usable if r.e == moment}
        if feature.offset.micros:
            found |= {"e = t - o" for r in usable if r.e == end}
    return found


def _of_latest(view: FeatureView, usable: Sequence[Row], t: int) -> set[str]:
    inputs = view.input_columns

    def order(row: Row) -> Any:
        return row.e, row.k, tuple(rank(row.values[c]) for c in inputs)

    newest = max(usable, key=order)
    tied = [r for r in usable if r.e == newest.e]
    found = {"tie on e"} if len(tied) > 1 else set()
    tied = [r for r in tied if r.k == newest.k]
    found |= {"tie on (e, k)"} if len(tied) > 1 else set()
    found |= {"exact duplicate"} if sum(order(r) == order(newest) for r in tied) > 1 else set()
    found |= {"late row older than the newest" for r in usable if r.e < newest.e and r.k > newest.k}
    found |= {"newest value null" for f in view.features if f.is_latest and newest.results[f.name] is None}
    ages = {} if view.ttl is None else {view.ttl.micros + d: n for d, n in ((0, ""), (1, " + 1us"), (-1, " - 1us"))}
    return found | {f"age = ttl{name}" for age, name in ages.items() if t - newest.e == age}


def _of_versions(view: FeatureView, history: History, key: Any, t: int) -> set[str]:
    """What happened to the facts that were once the asked key's, as far as a row at t knows."""
    found: set[str] = set()
    facts: dict[Any, list[Row]] = {}
    for row in history.rows:
        if row.row_key is not None and row.k is not None:
            facts.setdefault(row.row_key, []).append(row)
    for versions in facts.values():
        known = sorted((v for v in versions if v.k < t), key=lambda v: v.order)
        if known and len(known) < len(versions):
            found.add("correction not yet known")
        if len(known) < 2:
            continue
        *before, last = known
        replaced = [v for v in before if v.key == key and v.e is not None and v.kept and not v.deleted]
        if not replaced:
            continue
        found |= {"deleted"} if last.deleted else set()
        found |= {"correction fails where"} if not last.kept else set()
        found |= {"moved to another key"} if last.key not in (key, None) else set()
        found |= {"moved to another time" for v in replaced if last.e not in (v.e, None)}
        found |= {"version moved or deleted"} if last.deleted or last.key != key else set()
    return found
