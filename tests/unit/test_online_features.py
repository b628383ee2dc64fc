"""Look-ups in process, story by story: each is a small table of facts, a watermark, and what is known of it later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, agg, latest
from featurestore.errors import RequestError, TooEarly, UnknownName
from featurestore.intervals import FixedClock
from featurestore.online.columnar import ColumnarCodec
from featurestore.online.generations import GENERATION_FORMAT
from featurestore.online.lmdb import LmdbStore
from featurestore.online.memory import MemoryStore
from featurestore.registry import Registry

DAY = 86_400_000_000
W = 20_000 * DAY
TIME = pa.timestamp("us", "UTC")
thing = Entity(name="thing", join_keys=["k"])


def facts(*rows: tuple[Any, ...], columns: str = "k e x", types: Sequence[Any] = ()) -> pa.Table:
    """Rows as a table; e and c (created) are microseconds."""
    names = columns.split()
    arrays = {}
    for i, name in enumerate(names):
        values = [row[i] for row in rows]
        if name in ("e", "c"):
            arrays[name] = pa.array(values, pa.int64()).cast(TIME)
        else:
            arrays[name] = pa.array(values, dict(zip(names, types, strict=False)).get(name))
    return pa.table(arrays)


def store_of(
    table: Any, features: Any, *, now: int = W, store: Any = None, source: dict[str, Any] | None = None, **view: Any
) -> FeatureStore:
    """A store over one view of a table, or of the files of a path, not yet materialized."""
    options = {"event_timestamp": "e", "allow_left_out": True, **({"delay": "0s"} if source is None else source)}
    if options.get("static"):
        del options["event_timestamp"]
    where = (
        ParquetSource(name="facts", path=str(table), **options)
        if isinstance(table, Path)
        else ArrowSource(name="facts", table=table, **options)
    )
    made = FeatureView(**{"name": "view", "entities": [thing], "source": where, "features": features, **view})
    found = FeatureStore(definitions=[FeatureService(name="service", features=[made])], clock=FixedClock(now))
    found.online = MemoryStore() if store is None else store
    return found


def cells(store: FeatureStore, key: Any, t: int | None = None, service: str = "service") -> list[tuple[Any, str]]:
    """Value and status of each feature of one key."""
    found = store.get_online_features(service, {"k": [key]} if key is not ... else {}, as_of=t)
    return list(zip(found.rows[0], found.statuses[0], strict=True))


# --- time -------------------------------------------------------------------------------------------------------------


def test_ttl_is_judged_when_asked_and_its_last_microsecond_holds() -> None:
    store = store_of(facts((1, W - 5, 7)), [latest("x")], ttl="10us")
    store.materialize(known_before=W)
    assert cells(store, 1, W + 5) == [(7, "present")]
    assert cells(store, 1, W + 6) == [(None, "expired")]
    assert store.get_online_features("service", {"k": [1]}, as_of=W + 6).event_timestamps == [[W - 5]]


def test_a_window_slides_between_runs() -> None:
    store = store_of(facts((1, W - 5, 7), (1, W - 3, 2)), [agg.sum("x", window="10us"), agg.count(window="10us")])
    store.materialize(known_before=W)
    assert [cells(store, 1, t)[0][0] for t in (W, W + 5, W + 6, W + 7, W + 8)] == [9, 9, 2, 2, None]
    assert cells(store, 1, W + 8) == [(None, "null"), (0, "present")]
    assert cells(store, 2, W) == [(None, "null"), (0, "present")]


@pytest.mark.parametrize("exact, first", [(False, W + 11), (True, W + 10)])
def test_a_fact_known_before_it_happens_waits_for_its_time(exact: bool, first: int) -> None:
    table = facts((1, W - 9, W - 9, 1), (1, W + 10, W - 1, 2), columns="k e c x")
    created = {"created_timestamp": "c"}
    store = store_of(table, [latest("x"), agg.count(window=None)], source=created, allow_exact_matches=exact)
    store.materialize(known_before=W)
    assert cells(store, 1, first - 1) == [(1, "present"), (1, "present")]
    assert cells(store, 1, first) == [(2, "present"), (2, "present")]


def test_without_as_of_the_answer_is_of_now_but_never_before_the_watermark() -> None:
    store = store_of(facts((1, W - 5, 7)), [latest("x")], now=W + 3)
    store.materialize(known_before=W)
    assert store.get_online_features("service", {"k": [1]}).as_of == W + 3
    store.clock.micros = W - 100  # type: ignore[attr-defined]
    assert store.get_online_features("service", {"k": [1]}).as_of == W
    with pytest.raises(TooEarly, match="watermark") as error:
        store.get_online_features("service", {"k": [1]}, as_of=W - 1)
    assert error.value.code == "FS503"


@pytest.mark.parametrize("exact, last", [(False, W + 10), (True, W + 9)])
def test_facts_beyond_the_horizon_make_an_answer_stale_until_a_later_run(exact: bool, last: int) -> None:
    table = facts((1, W - 1, W - 1, 1), (1, W + 10, W - 1, 2), columns="k e c x")
    store = store_of(table, [latest("x")], now=W + 9, source={"created_timestamp": "c"}, allow_exact_matches=exact)
    online = store.config.online.model_copy(update={"horizon": "5us"})
    store.config = store.config.model_copy(update={"online": online})
    [report] = store.materialize(known_before=W)
    assert report.keys_held_back == 1
    assert cells(store, 1, last) == [(1, "present")]
    assert cells(store, 1, last + 1) == [(None, "stale")]
    [report] = store.materialize(known_before=W + 9)
    assert report.keys_held_back == 0
    assert cells(store, 1, W + 11) == [(2, "present")]


def test_static_rows_hold_at_every_instant_also_before_1970() -> None:
    table = pa.table({"k": [1], "x": [7]})
    store = store_of(table, [latest("x")], now=-(10**15), source={"static": True})
    store.materialize()
    assert cells(store, 1) == [(7, "present")]
    assert cells(store, 2) == [(None, "not_found")]


# --- runs -------------------------------------------------------------------------------------------------------------


def files_store(folder: Path, *, now: int = W + 100, **view: Any) -> FeatureStore:
    (folder / "facts").mkdir()
    source = {"created_timestamp": "c", "row_key": ["id"], "deleted": "gone"}
    return store_of(folder / "facts" / "*.parquet", [latest("x"), agg.sum("x", window=None)], now=now, source=source, **view)


def write(folder: Path, name: str, *rows: tuple[Any, ...]) -> None:
    pq.write_table(facts(*rows, columns="id k e c x gone"), folder / "facts" / name)


def test_corrections_moves_and_deletions_come_as_new_files(tmp_path: Path) -> None:
    store = files_store(tmp_path)
    write(tmp_path, "1.parquet", (1, 1, W - 9, W - 9, 10, False), (2, 1, W - 8, W - 8, 20, False))
    assert store.materialize(known_before=W)[0].mode == "full"
    assert cells(store, 1, W) == [(20, "present"), (30, "present")]
    write(tmp_path, "2.parquet", (2, 2, W - 8, W - 1, 21, False))
    [report] = store.materialize(known_before=W)
    assert (report.mode, report.new_files) == ("incremental", 1)
    assert cells(store, 1, W) == [(10, "present"), (10, "present")]
    assert cells(store, 2, W) == [(21, "present"), (21, "present")]
    write(tmp_path, "3.parquet", (1, 1, W - 9, W + 1, 10, True), (2, 2, W - 8, W + 50, 0, True))
    store.materialize(known_before=W + 2)
    assert cells(store, 1, W + 60) == [(None, "not_found"), (None, "null")]
    assert cells(store, 2, W + 60) == [(21, "present"), (21, "present")]
    store.materialize(known_before=W + 51)
    assert cells(store, 2, W + 60) == [(None, "not_found"), (None, "null")]


def test_a_file_that_is_gone_or_changed_makes_the_run_full_and_it_says_so(tmp_path: Path) -> None:
    store = files_store(tmp_path)
    write(tmp_path, "1.parquet", (1, 1, W - 9, W - 9, 10, False))
    write(tmp_path, "2.parquet", (2, 1, W - 8, W - 8, 20, False))
    store.materialize(known_before=W)
    write(tmp_path, "2.parquet", (2, 1, W - 8, W - 8, 25, False), (3, 3, W - 8, W - 8, 1, False))
    [report] = store.materialize(known_before=W)
    assert report.mode == "full"
    assert "2.parquet is gone or changed" in report.reason
    assert cells(store, 1, W)[1] == (35, "present")
    (tmp_path / "facts" / "2.parquet").unlink()
    [report] = store.materialize(known_before=W)
    assert (report.mode, "2.parquet" in report.reason) == ("full", True)
    assert cells(store, 1, W)[1] == (10, "present")
    assert cells(store, 3, W)[1] == (None, "null")


def test_an_earlier_watermark_changes_nothing_and_says_so(tmp_path: Path) -> None:
    store = files_store(tmp_path)
    write(tmp_path, "1.parquet", (1, 1, W - 9, W - 9, 10, False))
    store.materialize(known_before=W)
    write(tmp_path, "2.parquet", (2, 1, W - 8, W - 8, 20, False))
    [report] = store.materialize(known_before=W - 1)
    assert report.mode == "nothing"
    assert report.reason
    assert cells(store, 1, W)[0] == (10, "present")


def test_a_service_answers_by_its_old_definition_until_every_view_has_the_new_one(tmp_path: Path) -> None:
    def definitions(*features: Any) -> FeatureService:
        table = facts((1, W - 5, 7))
        views = [
            FeatureView(
                name=name,
                entities=[thing],
                source=ArrowSource(name="facts", table=table, event_timestamp="e", delay="0s"),
                features=features,
            )
            for name in ("one", "two")
        ]
        views[1] = FeatureView(name="two", entities=[thing], source=views[0].source, features=features)
        return FeatureService(name="service", features=[views[0].with_prefix("a_"), views[1].with_prefix("b_")])

    online = LmdbStore(tmp_path / "online", map_size=1 << 24)

    def store(*features: Any) -> FeatureStore:
        found = FeatureStore(definitions=[definitions(*features)], clock=FixedClock(W))
        found.online = online
        return found

    old, new = store(latest("x")), store(latest("x"), agg.count(window=None))
    old.materialize()
    before = old.get_online_features("service", {"k": [1]})
    new.materialize("one")
    between = new.get_online_features("service", {"k": [1]})
    assert (between.fingerprint, between.rows) == (before.fingerprint, [[7, 7]])
    new.materialize("two")
    after = new.get_online_features("service", {"k": [1]})
    assert after.fingerprint != before.fingerprint
    assert after.rows == [[7, 1, 7, 1]]
    online.close()


def test_a_view_kept_offline_keeps_its_services_offline() -> None:
    store = store_of(facts((1, W - 5, 7)), [latest("x")], online=False)
    assert store.materialize() == []
    with pytest.raises(UnknownName) as error:
        cells(store, 1)
    assert error.value.code == "FS501"


# --- keys and values --------------------------------------------------------------------------------------------------


def test_a_view_without_entities_has_one_row_for_all() -> None:
    store = store_of(facts((1, W - 5, 7)), [latest("x")], entities=[])
    store.materialize()
    assert cells(store, ...) == [(7, "present")]


KEYS = [
    (pa.int64(), -(2**63)),
    (pa.uint64(), 2**64 - 1),
    (pa.decimal128(38, 0), Decimal(10**37)),
    (pa.string(), "e\u0301\U0001f600\x00"),
    (pa.string(), "long" * 200),
    (pa.binary(), b"\x00\xff" * 400),
    (pa.bool_(), False),
    (pa.date32(), date(1969, 12, 31)),
]


@pytest.mark.parametrize("dtype, key", KEYS, ids=[f"{k[0]} {str(k[1])[:8]}" for k in KEYS])
@pytest.mark.parametrize("on_disk", [False, True])
def test_keys_of_every_family_find_their_row(dtype: Any, key: Any, on_disk: bool, tmp_path: Path) -> None:
    online = LmdbStore(tmp_path / "online", map_size=1 << 24) if on_disk else None
    store = store_of(facts((key, W - 5, 7), columns="k e x", types=[dtype]), [latest("x")], store=online)
    store.materialize()
    assert cells(store, key) == [(7, "present")]
    assert cells(store, None) == [(None, "not_found")]
    store.online.close()


def test_numpy_integers_are_integers_and_datetimes_are_no_dates() -> None:
    import datetime

    import numpy as np

    store = store_of(facts((1, W - 5, 7)), [latest("x")])
    store.materialize()
    assert store.get_online_features("service", {"k": list(np.array([1, 2]))}).rows == [[7], [None]]
    dates = store_of(facts((date(2024, 1, 1), W - 5, 7)), [latest("x")])
    dates.materialize()
    with pytest.raises(RequestError, match="date"):
        cells(dates, datetime.datetime(2024, 1, 1))


@pytest.mark.parametrize(
    "entities, code",
    [
        ({}, "FS502"), ({"k": [1], "other": [1]}, "FS502"), ({"k": "text"}, "FS504"), ({"k": [True]}, "FS504"),
        ({"k": [1.0]}, "FS504"), ({"k": ["1"]}, "FS504"), ({"k": [[1]]}, "FS504"),
    ],
)  # fmt: skip
def test_a_request_of_the_wrong_shape_says_which_column(entities: Any, code: str) -> None:
    store = store_of(facts((1, W - 5, 7)), [latest("x")])
    store.materialize()
    with pytest.raises(RequestError, match=r"'(k|other)'") as error:
        store.reader.get("service", entities)
    assert error.value.code == code


def test_a_sum_beyond_int64_is_unavailable_and_its_neighbours_stand() -> None:
    table = facts((1, W - 5, 2**62), (1, W - 4, 2**62), (2, W - 4, 1))
    features = [agg.count(window=None), agg.sum("x", window=None), latest("x")]
    store = store_of(table, features)
    store.materialize()
    assert cells(store, 1) == [(2, "present"), (None, "unavailable"), (2**62, "present")]
    assert cells(store, 2) == [(1, "present"), (1, "present"), (1, "present")]


def test_sums_of_decimals_keep_every_digit() -> None:
    great, small = Decimal("9" * 35 + ".99"), Decimal("0.01")
    table = facts((1, W - 5, great), (1, W - 4, small), columns="k e x", types=[None, None, pa.decimal128(38, 2)])
    store = store_of(table, [agg.sum("x", window=None)])
    store.materialize()
    assert cells(store, 1) == [(Decimal(10**35) + Decimal("0.00"), "present")]


def test_features_in_any_order_and_a_choice_of_them() -> None:
    table = facts((1, W - 5, 7, "a"), columns="k e x y")
    features = [agg.count(window="1d"), latest("y"), agg.sum("x", window="1d"), latest("x")]
    store = store_of(table, features)
    store.materialize()
    assert [value for value, _ in cells(store, 1)] == [1, "a", 7, 7]
    view = store.registry.views["view"]
    chosen = FeatureService(name="some", features=[view[["x", "count_1d"]]])
    other = FeatureStore(definitions=[chosen], clock=FixedClock(W))
    other.materialize()
    assert [value for value, _ in cells(other, 1, service="some")] == [7, 1]
    assert Registry.of([chosen]).services["some"].feature_names == ("x", "count_1d")


def test_lists_and_histograms_as_python_and_as_arrow() -> None:
    types = [None, None, pa.date32(), TIME, pa.decimal128(5, 2)]
    rows = [(1, W - 5, date(2024, 1, 1), 3, Decimal("1.50")), (1, W - 4, date(1, 1, 1), 3, Decimal("0.50"))]
    table = facts(*rows, columns="k e d t n", types=types)
    store = store_of(table, [
        agg.histogram("d", window=None), agg.histogram("t", window=None), agg.histogram("n", window=None),
        agg.last_k("d", k=2, window=None), agg.last_k("t", k=1, window=None), agg.mode("d", window=None),
    ])  # fmt: skip
    store.materialize()
    found = store.get_online_features("service", {"k": [1, 2]})
    days = [date(2024, 1, 1), date(1, 1, 1)]
    assert found.rows[0] == [
        [(days[1], 1), (days[0], 1)], [(3, 2)], [(Decimal("0.50"), 1), (Decimal("1.50"), 1)], days, [3], days[1],
    ]  # fmt: skip
    assert found.rows[1] == [[], [], [], [], [], None]
    assert found.to_dict()["t_histogram_lifetime"] == [[("1970-01-01T00:00:00.000003Z", 2)], []]
    assert found.to_dict()["t_last_k_1_lifetime"] == [["1970-01-01T00:00:00.000003Z"], []]
    arrow = found.to_arrow()
    assert arrow.schema.types == [dtype.arrow for dtype in found.feature_types]
    assert arrow.schema.field("t_histogram_lifetime").type == pa.map_(TIME, pa.int64())
    assert arrow["d_histogram_lifetime"].to_pylist() == [[(days[1], 1), (days[0], 1)], []]
    spine = pa.table({"k": [1, 2], "as_of": pa.array([W, W], TIME)})
    assert arrow.equals(store.build_training_set("service", spine).select(arrow.column_names))


def test_an_answer_keeps_no_hold_on_what_its_reader_changes() -> None:
    store = store_of(facts((1, W - 5, 7)), [agg.last_k("x", k=2, window=None)])
    store.materialize()
    store.get_online_features("service", {"k": [2]}).rows[0][0].append("changed")
    assert store.get_online_features("service", {"k": [2]}).rows == [[[]]]


@pytest.mark.parametrize("other", ["mean", "count", "max"])
def test_only_the_sum_that_leaves_its_type_is_unavailable(other: str) -> None:
    table = facts((1, W - 5, 2**62), (1, W - 4, 2**62))
    store = store_of(table, [agg.sum("x", window="1d"), getattr(agg, other)("x", window="1d")])
    store.materialize()
    (total, status), (_, neighbour) = cells(store, 1)
    assert (total, status, neighbour) == (None, "unavailable", "present")


def test_a_store_written_before_there_were_parameters_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(facts((1, W - 5, 7)), [agg.sum("x", window=None), latest("x")])
    with monkeypatch.context() as then:  # records listed entries
        then.setattr(ColumnarCodec, "serves", lambda measures: False)
        store.materialize()
    with store.online.read() as snapshot:
        documents = {name: json.loads(raw) for name, raw in snapshot.metas().items()}
    assert {d["format"] for d in documents.values()} == {GENERATION_FORMAT} == {4}
    with store.online.read() as snapshot:
        assert [record[0] for _, record in snapshot.scan("view@1")] == [1]
    store.online.write(
        lambda batch: [batch.put_meta(n, json.dumps(d | {"format": 1}).encode()) for n, d in documents.items()] and None
    )
    store.reader.forget()
    assert cells(store, 1) == [(7, "present"), (7, "present")]


def test_an_answer_as_arrow_has_the_declared_types() -> None:
    types = [None, None, pa.date32(), TIME, pa.decimal128(5, 2), pa.list_(pa.date32())]
    row = (1, W - 5, date(2024, 1, 1), 3, Decimal("1.50"), [date(1, 1, 1), None])
    table = facts(row, columns="k e d t n l", types=types)
    store = store_of(table, [latest("d"), latest("t"), latest("n"), latest("l")])
    store.materialize()
    found = store.get_online_features("service", {"k": [1, 2]})
    arrow = found.to_arrow()
    assert arrow.schema.types == [pa.date32(), TIME, pa.decimal128(5, 2), pa.list_(pa.date32())]
    assert arrow.slice(0, 1).to_pylist()[0]["l"] == [date(1, 1, 1), None]
    assert arrow["d"].to_pylist() == [date(2024, 1, 1), None]
    assert found.to_dict()["t"] == ["1970-01-01T00:00:00.000003Z", None]


@pytest.mark.parametrize(
    "name", ["kind", "event_time", "known_time", "measure_1", "row_id", "asked_at", "visible_from", "until"]
)
@pytest.mark.parametrize("source", [{"created_timestamp": "c", "row_key": ["e"]}, {"static": True}])
def test_a_feature_may_have_any_name_also_one_that_statements_use(name: str, source: dict[str, Any]) -> None:
    table = facts((1, W - 5, W - 5, 7), columns="k e c x")
    windows = [] if "static" in source else [agg.max("x", window=None), agg.last("x", window=None)]
    spine = pa.table({"k": [1, 2], "as_of": pa.array([W, W], TIME)})
    for feature in [latest("x"), *windows]:
        named = replace(feature, name=name)
        store = store_of(table, [named, *(f for f in windows if f is not feature)], source=source)
        assert store.build_training_set("service", spine)[name].to_pylist() == [7, None]
        store.materialize(known_before=W)
        assert [cells(store, key, W)[0][0] for key in (1, 2)] == [7, None]
