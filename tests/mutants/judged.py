"""Stories of `audit` for the focused suite: a small world, cells planted in it, and the cause that each must get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, ParquetSource, agg, latest

T0 = 1_760_000_000_000_000
TIME = pa.timestamp("us", "UTC")
thing = Entity(name="thing", join_keys=["k"])

FACTS = [  # k, event, created, value, word: one key with a past, a late fact, ties and a future; others with less
    (1, 0, 10, 1.25, "old"),
    (1, 100, 105, 9.5, "twin"),
    (1, 100, 110, 2.5, "new"),
    (1, 200, 500, 3.5, "late"),
    (1, 300, 290, 4.5, "now"),
    (1, 400, 410, 5.5, "next"),
    (1, 900, 910, 6.5, "last"),
    (2, 0, 10, 7.5, "worn"),
    (3, 400, 410, 8.5, "first"),
]
SPINE = [(1, 300), (2, 300), (3, 300), (1, 50), (None, 300), (4, 300)]
VIEW = {
    "ttl": "250us",
    "features": [
        latest("x"),
        latest("word"),
        agg.sum("x", window="250us", name="total"),
        agg.count(window="250us", name="n"),
        agg.max("x", window=None, name="best"),
    ],
}


VALUES = ("x", "word", "total", "n", "best", "ratio")


def instants(values: list[int | None]) -> pa.Array:
    return pa.array([None if v is None else T0 + v for v in values], pa.int64()).cast(TIME)


def store_of(folder: Path, facts: list[tuple[Any, ...]] = FACTS, **view: Any) -> FeatureStore:
    k, e, c, x, word = map(list, zip(*facts, strict=True))
    table = pa.table({"k": pa.array(k, pa.int64()), "e": instants(e), "c": instants(c), "x": x, "word": word})
    (folder / "facts").mkdir(exist_ok=True)
    pq.write_table(table.slice(0, 4), folder / "facts" / "a.parquet")
    pq.write_table(table.slice(4), folder / "facts" / "b.parquet")
    source = ParquetSource(name="facts", path=str(folder / "facts" / "*"), event_timestamp="e", created_timestamp="c")
    made = FeatureView(**{"name": "view", "entities": [thing], "source": source, **VIEW, **view})
    share = OnDemandFeatureView(name="share", inputs=[made], request={"amount": "double"}, features={"ratio": "amount / x"})
    return FeatureStore(definitions=[FeatureService(name="service", features=[made, share])])


def spine(rows: list[tuple[int | None, int]] = SPINE) -> pa.Table:
    keys, at = zip(*rows, strict=True)
    amounts = [float(n) for n in range(len(rows))]
    return pa.table({"k": pa.array(keys, pa.int64()), "as_of": instants(list(at)), "amount": amounts})


def honest(store: FeatureStore, asked: pa.Table | None = None) -> pl.DataFrame:
    built = store.build_training_set("service", spine() if asked is None else asked)
    return pl.from_arrow(built)  # type: ignore[return-value]


PLANTED = [  # feature, row, value; cause, source row, µs after as_of
    ("x", 0, 5.5, "future", ("b.parquet", 1), 110),  # the next fact, known 110 µs after as_of
    ("x", 0, 6.5, "future", ("b.parquet", 2), 610),  # the last one there is
    ("x", 0, 4.5, "future", ("b.parquet", 0), 0),  # the one that happens at as_of itself
    ("x", 0, 3.5, "late_known", ("a.parquet", 3), 200),
    ("x", 0, 9.5, "tie", ("a.parquet", 1), None),
    ("x", 0, 1.25, "stale", ("a.parquet", 0), None),
    ("x", 0, None, "stale", None, None),
    ("x", 0, 777.0, "unexplained", None, None),
    ("x", 1, 7.5, "expired", None, None),
    ("x", 2, 8.5, "future", ("b.parquet", 4), 110),  # for an entity that had no history
    ("x", 2, 777.0, "unexplained", None, None),
    ("x", 4, 777.0, "unexplained", None, None),  # a NULL key
    ("word", 0, "late", "late_known", ("a.parquet", 3), 200),
    ("word", 0, "next", "future", ("b.parquet", 1), 110),
    ("word", 0, "nobody's", "unexplained", None, None),
    ("total", 0, 2.5 + 9.5 + 3.5, "late_known", ("a.parquet", 3), 200),
    ("total", 0, 2.5 + 9.5 + 4.5, "future", ("b.parquet", 0), 0),
    ("total", 0, 2.5 + 9.5 + 1.25, "stale", None, None),  # a longer window
    ("total", 0, 1.25 + 9.5, "stale", None, None),  # before the newest was known
    ("total", 0, 777.0, "unexplained", None, None),
    ("total", 0, None, "stale", None, None),
    ("total", 2, 8.5, "future", ("b.parquet", 4), 110),
    ("total", 3, 777.0, "unexplained", None, None),
    ("n", 2, 1, "future", ("b.parquet", 4), 110),
    ("n", 0, 0, "stale", None, None),
    ("n", 0, -1, "unexplained", None, None),
    ("best", 3, 9.5, "future", ("a.parquet", 1), 55),
    ("ratio", 2, 2.0 / 8.5, "future", ("b.parquet", 4), 110),
    ("ratio", 0, 0.25, "unexplained", None, None),
]  # fmt: skip


def rounds() -> list[list[tuple[Any, ...]]]:
    """The cases, each feature once in a round: one audit has them all, and they know nothing of each other."""
    found: list[list[tuple[Any, ...]]] = []
    for case in PLANTED:
        free = next((one for one in found if case[0] not in [other[0] for other in one]), None)
        if free is None:
            found.append([case])
        else:
            free.append(case)
    return found


def tells_causes(cases: list[tuple[Any, ...]], folder: Path) -> None:
    """Each planted cell gets its cause, and the source row that explains it; nobody else is accused."""
    store = store_of(folder)
    frame = honest(store)
    for feature, row, value, *_ in cases:
        frame[row, feature] = value
    found = store.audit(frame, "service")
    for feature, row, value, expected, place, ahead in cases:
        assert found.features[feature].causes == {"exact": len(frame) - 1, expected: 1}, feature
        [example] = [e for e in found.examples if e.feature == feature]
        assert (example.row, example.found, example.cause, example.ahead_us) == (row, value, expected, ahead), feature
        assert place == (example.source and (Path(example.source["file"]).name, example.source["row"])), feature
    assert found.leaks == sum(case[3] in ("future", "late_known") for case in cases)
    assert {name for name, f in found.features.items() if set(f.causes) == {"exact"}} == set(VALUES) - {c[0] for c in cases}


def tells_late_from_future(folder: Path) -> None:
    """What had happened by as_of is late, also where a later instant gives it too, and that explains another cell besides."""
    store = store_of(folder)
    frame = honest(store, spine([(1, 250), (1, 300)])).with_columns(pl.Series("x", [3.5, 4.5]))
    assert store.audit(frame, "service").features["x"].causes == {"exact": 0, "late_known": 1, "future": 1}


def keeps_the_right_one_of_twins(folder: Path) -> None:
    """Of two rows for one question the one with the wrong cell is too many, wherever it stands."""
    store = store_of(folder)
    good = honest(store)
    twin = good.slice(0, 1).with_columns(pl.lit(9.5).alias("x"))  # a join on a tie gave a row for each
    found = store.audit(pl.concat([twin, good.slice(0, 5)]), "service", spine=spine())
    assert (found.fan_out, found.dropped, found.leaks) == (1, 1, 0)
    assert found.features["x"].causes == {"exact": 5, "fan_out": 1, "dropped": 1}


def misses_a_column(folder: Path) -> None:
    """A feature under another name is no feature."""
    store = store_of(folder)
    found = store.audit(honest(store).rename({"x": "view__x"}), "service")
    assert (found.ok, found.features["x"].causes) == (False, {"exact": 0, "unmatched": 6})


def rounds_no_latest_value(folder: Path) -> None:
    """The last digits of a latest value are its own; those of a sum may be another tool's."""
    store = store_of(folder)
    nudged = honest(store).with_columns(pl.col("x", "total") * (1 + 4e-16))
    causes = {name: f.causes for name, f in store.audit(nudged, "service").features.items()}
    assert causes["total"] == {"exact": 6}
    assert causes["x"] == {"exact": 4, "unexplained": 2}


def _named(cases: list[tuple[Any, ...]]) -> str:
    return ", ".join(f"{case[0]}={case[2]}" for case in cases)


STORIES: Mapping[str, Callable[[Path], None]] = {
    **{f"judged-{_named(cases)}": partial(tells_causes, cases) for cases in rounds()},
    "judged-late beside future": tells_late_from_future,
    "judged-twins": keeps_the_right_one_of_twins,
    "judged-renamed": misses_a_column,
    "judged-rounding": rounds_no_latest_value,
}
