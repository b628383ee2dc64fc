"""Stories of `prove` and `influence` for the focused suite: what they touch, notice and measure, counted by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, agg, latest
from featurestore.audit.influences import distance
from featurestore.audit.moved import moved
from featurestore.audit.perturbed import Workbench, pivots
from featurestore.engines.duckdb import Session
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import Request
from tests.mutants.leaks import SOURCES, proof, rows, service, spine

HOUR = 3_600 * 10**6
DAY = 24 * HOUR
T = 20_000 * DAY
TIME = pa.timestamp("us", "UTC")


# What a probe touches.


def touches_what_counts_later(kind: str, exact: bool, folder: Path) -> None:
    """For every way of touching the rows that nobody may see, by hand, are those that are touched."""
    asked = service(kind, exact=exact, table=at_the_boundary(kind))
    store = FeatureStore(definitions=[asked])
    bound = store.bound_service(asked)
    sources = {name: store.source_of(source) for name, source in bound.sources.items()}
    with Session(store.engine_settings()) as session:
        bench = Workbench(session, bound, open_spine(spine(), keys={}, as_of="as_of"), sources, Request())
        drawn = bench.draw(pivots(bound)[0], 1)
        expected = len(hidden(kind, exact, drawn.rows.to_pylist()))
        for way in ("deleted", "changed", "delayed"):
            assert bench.perturbed(way, drawn, 1)[1] == {"facts": expected}, way
    assert 0 < expected < rows(kind).num_rows


def at_the_boundary(kind: str) -> pa.Table:
    """The rows of a kind, most of them known at an instant at which their key is asked for, or a microsecond later."""
    times: dict[int, list[int]] = {}
    for row in in_micros(spine(), "as_of").to_pylist():
        times.setdefault(row["key"], []).append(row["as_of"])
    found = in_micros(rows(kind), "e", "k").to_pylist()
    for number, row in enumerate(found):
        known = times.get(row["key"], [])
        if number % 4 and known:
            at = known[number % len(known)] + number % 2
            row |= {"k": at, "e": at - 2 * HOUR if kind == "delayed" else at}
    table = pa.Table.from_pylist(found)
    return pa.table({name: table[name].cast(rows(kind).schema.field(name).type) for name in table.column_names})


def hidden(kind: str, exact: bool, asked: list[int]) -> list[int]:
    last: dict[int, int] = {}
    for row in in_micros(spine(), "as_of").take(asked).to_pylist():
        last[row["key"]] = max(row["as_of"] + exact, last.get(row["key"], row["as_of"]))
    facts = in_micros(at_the_boundary(kind), "e", "k").to_pylist()
    versioned, limits = "row_key" in SOURCES[kind], dict[int, int]()
    for number, row in enumerate(facts):
        row["fact"] = row["fact"] if versioned else number
        limits[row["fact"]] = max(limits.get(row["fact"], -(2**62)), last.get(row["key"], -(2**62)))
    return [number for number, row in enumerate(facts) if is_hidden(kind, row, limits[row["fact"]])]


def in_micros(table: pa.Table, *columns: str) -> pa.Table:
    for name in columns:
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.int64()))
    return table


def is_hidden(kind: str, row: Mapping[str, Any], limit: int) -> bool:
    k = row["k"]
    if kind in ("at_once", "delayed"):
        k = row["e"] + 2 * HOUR * (kind == "delayed")
    if kind == "created_or_event" and k is None:
        k = row["e"] + HOUR
    if k is None:
        return True
    return (k if "row_key" in SOURCES[kind] else max(row["e"], k)) >= limit


def is_proven(kind: str, exact: bool, folder: Path) -> None:
    found = proof(kind, exact=exact)
    assert found.ok
    assert not found.unseen


def every_difference_is_a_move(folder: Path) -> None:
    def one(*values: Any, dtype: Any = None) -> pa.Table:
        return pa.table({"f": pa.array(values, dtype)})

    assert moved(one(1.0, None, 3.0, math.nan), one(1.0, 2.0, None, math.nan), ["f"]) == {"f": [1, 2]}
    assert moved(one(0.0), one(-0.0), ["f"]) == {"f": [0]}
    assert moved(one("a", "b"), one("a", "c"), ["f"]) == {"f": [1]}
    assert moved(one([1.0], [math.nan]), one([1.0, None], [math.nan]), ["f"]) == {"f": [0]}
    status = [pa.table({"f": [1], "f__status": [s], "f__event_timestamp": [7]}) for s in ("null", "expired")]
    assert moved(*status, ["f"]) == {"f": [0]}


# What moves a value.


def told(facts: list[tuple[Any, ...]], columns: str, feature: Any, **options: Any) -> list[tuple[int, Any, bool]]:
    """Of key 1 at T: (source row, the value without it, to or from NULL), as ranked. Times are hours after T."""
    view = {name: options.pop(name) for name in ("ttl", "allow_exact_matches") if name in options}
    arrays = dict(zip(columns.split(), zip(*facts, strict=True), strict=True))
    for name in {"e", "k"} & arrays.keys():
        arrays[name] = pa.array([T + int(v * HOUR) for v in arrays[name]], pa.int64()).cast(TIME)
    source = ArrowSource(name="facts", table=pa.table(arrays), event_timestamp="e", **(options or {"delay": "0s"}))
    made = FeatureView(name="view", entities=[Entity(name="who", join_keys=["key"])], source=source, features=[feature], **view)
    store = FeatureStore(definitions=[FeatureService(name="service", features=[made])])
    [asked] = store.influence("service", feature.name, keys={"key": 1}, as_of=T).rows
    return [(i.row.row, i.without, i.null) for i in asked.rows]


def without_the_winner_the_next_fact_answers(folder: Path) -> None:
    facts = [(1, -3, "a"), (1, -2, "b"), (1, -1, "c"), (2, -1, "d"), (1, 0, "e")]
    assert told(facts, "key e s", latest("s")) == [(2, "b", False), (0, "c", False), (1, "c", False)]
    assert told(facts, "key e s", latest("s"), ttl="1h") == [(2, None, True)]


def a_window_reaches_as_far_as_it_does(folder: Path) -> None:
    facts = [(1, -4, 1), (1, -3, 2), (1, -1, 4), (1, 0, 8)]
    feature = agg.sum("x", window="3h", name="f")
    assert told(facts, "key e x", feature) == [(2, 2, False), (1, 4, False)]
    assert told(facts, "key e x", feature, allow_exact_matches=True) == [(3, 4, False), (2, 8, False)]
    assert told(facts, "key e x", agg.sum("x", window="3h", offset="1h", name="f")) == [(1, 1, False), (0, 2, False)]


def without_a_correction_the_version_before_stands(folder: Path) -> None:
    facts = [("p", 1, -5, -5, 1.0), ("p", 1, -5, -2, 10.0), ("q", 1, -4, -4, 5.0), ("q", 2, -4, -1, 5.0), ("p", 1, -5, 1, 99.0)]
    options = {"created_timestamp": "k", "row_key": ["fact"]}
    found = told(facts, "fact key e k x", agg.sum("x", window="9h", name="f"), **options)
    assert found == [(1, 1.0, False), (3, 15.0, False), (0, 10.0, False), (2, 10.0, False)]


def null_is_farther_than_any_number(folder: Path) -> None:
    facts = [(1, -1, None), (1, -2, 1e9)]
    assert told(facts, "key e x", latest("x")) == [(0, 1e9, True), (1, None, False)]
    facts = [("q", 1, -3, -3, 1.0, False), ("p", 1, -2, -2, 1e3, False), ("p", 1, -2, -1, 1e3, True)]
    options = {"created_timestamp": "k", "row_key": ["fact"], "deleted": "gone"}
    found = told(facts, "fact key e k x gone", latest("x"), **options)  # without q there is nothing, without the tombstone p
    assert found == [(0, None, True), (2, 1e3, False), (1, 1.0, False)]
    assert distance(None, 7.5, numeric=True) == 7.5
    assert distance(0, None, numeric=True) == 1.0
    assert distance(math.nan, 1.0, numeric=True) == math.inf


STORIES: Mapping[str, Callable[[Path], None]] = {
    **{
        f"prove-{kind}{' exact' * exact}-touches_what_counts_later": partial(touches_what_counts_later, kind, exact)
        for kind in SOURCES
        for exact in (False, True)
    },
    "prove-every_difference_is_a_move": every_difference_is_a_move,
    "prove-versions-is_proven": partial(is_proven, "versions", False),
    "prove-created exact-is_proven": partial(is_proven, "created", True),
    "influence-without_the_winner_the_next_fact_answers": without_the_winner_the_next_fact_answers,
    "influence-a_window_reaches_as_far_as_it_does": a_window_reaches_as_far_as_it_does,
    "influence-without_a_correction_the_version_before_stands": without_a_correction_the_version_before_stands,
    "influence-null_is_farther_than_any_number": null_is_farther_than_any_number,
}
