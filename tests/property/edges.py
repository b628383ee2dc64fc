"""Count how often the generated cases meet an edge, as the oracle read them: a suite that misses one proves nothing."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import pyarrow as pa

from featurestore.definitions import AGGREGATES, Feature, FeatureService, FeatureView, LabelView
from featurestore.engines.reference.facts import History, Row, read_history
from featurestore.engines.reference.order import rank

_TIMED = {
    "tie on e", "tie on (e, k)", "exact duplicate", "visible at t", "e = t", "age = ttl", "age = ttl + 1us", "age = ttl - 1us",
    "e = t - w", "e = t - w + 1us", "e = t - w - 1us", "e = t - o", "newest value null", "null key asked", "null key in source",
    "null event time", "several files", "e = t - o - w", "e = t - o - w + 1us", "e = t - o - w - 1us", "e = t - o - 1us",
    "e = t - o + 1us", "empty window", "null skipped",
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
    "at_once": _TIMED | _LABELLED - {"label: a fact known late"} | {"e = t - 1us"},
    "delayed": _TIMED | _LABELLED,
    "created": _TIMED | _KNOWN | _LABELLED | {"e = t - 1us"},
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
        if feature.is_latest:
            continue
        end = t - feature.offset.micros
        offset = " - o" if feature.offset.micros else ""
        edges = {f"t{offset}": end} if offset else {}
        if feature.window is not None:
            edges |= {f"t{offset} - w": end - feature.window.micros, "t - w": end - feature.window.micros}
        for name, moment in edges.items():
            near = ((moment, ""), (moment + 1, " + 1us"), (moment - 1, " - 1us"))
            found |= {f"e = {name}{step}" for m, step in near if any(r.e == m for r in usable)}
        found |= _of_fold(view, feature, usable, t)
    return found | {"e = t - 1us" for r in usable if r.e == t - 1}


def _of_fold(view: FeatureView, feature: Feature, usable: Sequence[Row], t: int) -> set[str]:
    """What an aggregate finds in its window."""
    end = t - feature.offset.micros + view.allow_exact_matches
    start = -math.inf if feature.window is None else end - feature.window.micros
    covered = [r for r in usable if r.e is not None and start <= r.e < end]
    facts = [(r.e, r.k, rank(r.results[feature.name])) for r in covered if r.results[feature.name] is not None]
    values = [r.results[feature.name] for r in covered if r.results[feature.name] is not None]
    found = {"empty window"} if not covered else {"window without a value"} if not facts else set()
    found |= {"null skipped"} if 0 < len(facts) < len(covered) else set()
    told = _OF_AGGREGATE.get(feature.aggregate or "")
    return found | (told(sorted(facts), values, feature.parameter) if told is not None and facts else set())


def _of_ends(facts: list[Any], values: list[Any], k: Any) -> set[str]:
    pairs = [(a, b) for a, b in itertools.pairwise(facts) if a[0] == b[0] and a[2] != b[2]]
    found = {"value decides which is first" for a, b in pairs if a[1] == b[1]}
    found |= {"known time decides which is first" for a, b in pairs if a[1] < b[1] and a[2] > b[2]}
    return found | _of_list(facts, values, k)


def _of_list(facts: list[Any], values: list[Any], k: Any) -> set[str]:
    ranks = [r for _, _, r in facts]
    found = {"list cut to k"} if k is not None and len(ranks) > k else set()
    return found | ({"equal values"} if len(set(ranks)) < len(ranks) else set())


def _of_frequencies(facts: list[Any], values: list[Any], k: Any) -> set[str]:
    counted = Counter(r for _, _, r in facts)
    most = max(counted.values())
    found = {"tie of frequencies"} if list(counted.values()).count(most) > 1 else set()
    found |= {"a most frequent value"} if most > 1 and len(counted) > 1 else set()
    return found | ({"histogram cut"} if k is not None and len(counted) > k else set())


def _of_quantile(facts: list[Any], values: list[Any], q: Any) -> set[str]:
    ordered = sorted(rank(float(v)) for v in values)
    place = (0.5 if q is None else q) * (len(values) - 1)
    if place == math.floor(place):
        return {"quantile at a value"}
    low = math.floor(place)
    return {"quantile of equal neighbours" if ordered[low] == ordered[low + 1] else "quantile between two"}


def _of_moment(facts: list[Any], values: list[Any], parameter: Any) -> set[str]:
    if not all(math.isfinite(v) for v in values):
        return {"values not finite"}
    if isinstance(values[0], float) and sum(values) != sum(map(Fraction, values)):
        return {"sum rounded"}
    return {"one value"} if len(values) == 1 else {"several values"}


def _of_flags(facts: list[Any], values: list[Any], parameter: Any) -> set[str]:
    return {"both true and false"} if len(set(values)) == 2 else set()


_MOMENTS = ("sum", "mean", "var_samp", "var_pop", "stddev_samp", "stddev_pop")
_OF_AGGREGATE: Mapping[str, Callable[[list[Any], list[Any], Any], set[str]]] = {
    **dict.fromkeys(_MOMENTS, _of_moment),
    **dict.fromkeys(("first", "last", "first_k", "last_k"), _of_ends),
    **dict.fromkeys(("min_k", "max_k", "count_distinct"), _of_list),
    **dict.fromkeys(("median", "quantile"), _of_quantile),
    **dict.fromkeys(("mode", "histogram"), _of_frequencies),
    **dict.fromkeys(("any", "all"), _of_flags),
}
_ENDS = {"value decides which is first", "known time decides which is first"}
_RANKED = {"quantile at a value", "quantile between two", "quantile of equal neighbours"}
_COVERED = {"empty window", "window without a value", "null skipped"}
EXPECTED_OF: Mapping[str, set[str]] = {
    **dict.fromkeys(AGGREGATES, _COVERED),
    **{name: _COVERED | {"values not finite", "sum rounded", "one value", "several values"} for name in _MOMENTS},
    **dict.fromkeys(("first", "last"), _COVERED | _ENDS),
    **{name: _COVERED | _ENDS | {"list cut to k", "equal values"} for name in ("first_k", "last_k")},
    **{name: _COVERED | {"list cut to k", "equal values"} for name in ("min_k", "max_k")},
    "count_distinct": _COVERED | {"equal values"},
    **dict.fromkeys(("median", "quantile"), _COVERED | _RANKED),
    "mode": _COVERED | {"tie of frequencies", "a most frequent value"},
    "histogram": _COVERED | {"tie of frequencies", "a most frequent value", "histogram cut"},
    **{name: _COVERED | {"both true and false"} for name in ("any", "all")},
}
"""Aggregate -> the edges that windows of it must meet."""
PLANS_OF: Mapping[str, set[str]] = {
    **{name: {"pairs", "tiles", "aligned", "frames", "sweep", "aligned_sweep"} for name in _MOMENTS},
    **{name: {"pairs", "tiles", "aligned", "frames", "split"} for name in ("min", "max")},
}
"""Aggregate -> the plans that serve it somewhere."""
OFTEN_OF = 4
"""How often each of them must occur in the cases of one aggregate: at least."""


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
