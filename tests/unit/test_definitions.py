"""Definitions: every option, checked at birth, named as the design says."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from featurestore import (
    ArrowSource,
    DeltaSource,
    Entity,
    FeatureService,
    FeatureView,
    IcebergSource,
    ParquetSource,
    agg,
    latest,
)
from featurestore.definitions import AGGREGATES
from featurestore.dtypes import DOUBLE, INT64, TIMESTAMP, DType
from featurestore.errors import DefinitionError
from featurestore.intervals import Duration

HERE = "unit/test_definitions.py:"
DAY = 86_400_000_000


def source(**options: Any) -> ParquetSource:
    return ParquetSource(**{"name": "s", "path": "s.parquet", "event_timestamp": "e", **options})


def table(**options: Any) -> DeltaSource:
    return DeltaSource(**{"name": "s", "path": "t", "event_timestamp": "e", **options})


def lake(**options: Any) -> IcebergSource:
    return IcebergSource(**{"name": "s", "table": "db.t", "event_timestamp": "e", **options})


def view(**options: Any) -> FeatureView:
    person = Entity(name="person", join_keys=["person_id"])
    given = {"name": "v", "entities": [person], "source": source(), "features": [latest("a"), latest("b")], **options}
    return FeatureView(**given)


def service(*features: Any) -> FeatureService:
    return FeatureService(name="svc", features=list(features))


VERSIONED = {"created_timestamp": "k", "row_key": ["id"]}

BAD: dict[str, tuple[str, Callable[[], object]]] = {
    "a capital in a name": ("FS201", lambda: Entity(name="Customer")),
    "a digit first": ("FS201", lambda: Entity(name="1st")),
    "a double underscore": ("FS201", lambda: Entity(name="a__b")),
    "64 letters": ("FS201", lambda: Entity(name="a" * 64)),
    "a line break behind a name": ("FS201", lambda: Entity(name="a\n")),
    "a name that is no text": ("FS201", lambda: Entity(name=5)),  # type: ignore[arg-type]
    "a column that is no feature name": ("FS201", lambda: latest("Amount")),
    "an alias that is no name": ("FS201", lambda: view().alias("V")),
    "an alias that is no text": ("FS201", lambda: view().alias(5)),  # type: ignore[arg-type]
    "a prefix that is no name": ("FS201", lambda: view().with_prefix("P_")),
    "a prefix that is no text": ("FS201", lambda: view().with_prefix(5)),  # type: ignore[arg-type]
    "a prefix that makes a name too long": ("FS201", lambda: view(features=[latest("a" * 60)]).with_prefix("long_")),
    "a join key that is no text": ("FS202", lambda: Entity(name="a", join_keys=[5])),
    "a join key twice": ("FS202", lambda: Entity(name="a", join_keys=["id", "ID"])),
    "an empty join key": ("FS202", lambda: Entity(name="a", join_keys=[""])),
    "tags that are a list": ("FS202", lambda: Entity(name="a", tags=["x"])),  # type: ignore[arg-type]
    "an owner that is no text": ("FS202", lambda: Entity(name="a", owner=None)),  # type: ignore[arg-type]
    "a flag in words": ("FS202", lambda: view(online="no")),
    "an exact match in words": ("FS202", lambda: view(allow_exact_matches="yes")),
    "no path": ("FS202", lambda: source(path=[])),
    "a path that is no text": ("FS202", lambda: source(path=Path("x"))),
    "a table without a path": ("FS202", lambda: table(path=" ")),
    "a list of tables": ("FS202", lambda: table(path=["a"])),
    "credentials in a table's URL": ("FS202", lambda: table(path="s3://me:secret@bucket/t")),
    "a version that is no number": ("FS202", lambda: table(version="3")),
    "a version that is a flag": ("FS202", lambda: table(version=True)),
    "a version below the first": ("FS202", lambda: table(version=-1)),
    "an instant without offset": ("FS202", lambda: table(as_of="2026-01-01T00:00:00")),
    "an instant that is a number": ("FS202", lambda: table(as_of=1)),
    "a version and an instant": ("FS204", lambda: table(version=1, as_of="2026-01-01T00:00:00Z")),
    "a table without its namespace": ("FS202", lambda: lake(table="payments")),
    "a table of empty names": ("FS202", lambda: lake(table="db..payments")),
    "a catalog without a name": ("FS202", lambda: lake(catalog="")),
    "a snapshot that is no number": ("FS202", lambda: lake(snapshot=1.5)),
    "a snapshot and an instant": ("FS204", lambda: lake(snapshot=1, as_of="2026-01-01T00:00:00Z")),
    "a table without event time": ("FS204", lambda: lake(event_timestamp=None)),
    "a schema that is no mapping": ("FS202", lambda: source(schema=["e"])),
    "an unknown created_null": ("FS202", lambda: source(created_null="always")),
    "an unknown date_is": ("FS202", lambda: source(date_is="noon")),
    "an unknown time_unit": ("FS202", lambda: source(time_unit="m")),
    "an unknown directive": ("FS202", lambda: source(time_format="%Y-%m-%d %q")),
    "a directive twice": ("FS202", lambda: source(time_format="%Y%Y%m%d")),
    "a time format without a year": ("FS202", lambda: source(time_format="%m-%d")),
    "a time format that is no text": ("FS202", lambda: source(time_format=5)),
    "a time range without offset": ("FS202", lambda: source(time_range=("2020-01-01", "2021-01-01"))),
    "a time range of one instant": ("FS202", lambda: source(time_range=("2020-01-01T00:00:00Z",))),
    "a time range backwards": ("FS202", lambda: source(time_range=("2021-01-01T00:00:00Z", "2020-01-01T00:00:00Z"))),
    "a column that is no text": ("FS202", lambda: source(event_timestamp=5)),
    "a source that is none": ("FS202", lambda: view(source="payments")),
    "one entity instead of a list": ("FS202", lambda: view(entities=Entity(name="a"))),
    "no entities at all": ("FS202", lambda: view(entities=None)),
    "no features": ("FS202", lambda: view(features=[])),
    "a feature that is text": ("FS202", lambda: view(features=["a"])),
    "a join key map that is a list": ("FS202", lambda: view(join_key_map=["person_id"])),
    "no feature named": ("FS202", lambda: view()[[]]),
    "a feature named twice": ("FS202", lambda: view()[["a", "a"]]),
    "a feature by number": ("FS202", lambda: view()[0]),  # type: ignore[index]
    "a service without views": ("FS202", lambda: service()),
    "a service of text": ("FS202", lambda: service("v")),
    "a service of a view alone": ("FS202", lambda: FeatureService(name="svc", features=view())),
    "a frame that is none": ("FS202", lambda: ArrowSource(name="s", event_timestamp="e", table=5)),
    "a sum of nothing": ("FS202", lambda: agg.sum(None, window="1d")),  # type: ignore[arg-type]
    "an unknown feature": ("FS203", lambda: view()[["a", "c"]]),
    "an unknown key in a source's map": ("FS203", lambda: view(join_key_map={"person": "x"})),
    "an unknown key in an instance's map": ("FS203", lambda: view().with_join_key_map({"person": "x"})),
    "a schema without the event time": ("FS203", lambda: source(schema={"k": "int64"})),
    "neither event time nor static": ("FS204", lambda: source(event_timestamp=None)),
    "created time and delay": ("FS204", lambda: source(created_timestamp="k", delay="1h")),
    "created_null without created time": ("FS204", lambda: source(created_null="event")),
    "deleted without row key": ("FS204", lambda: source(created_timestamp="k", deleted="d")),
    "row order without row key": ("FS204", lambda: source(created_timestamp="k", row_order="n")),
    "static with an event time": ("FS204", lambda: source(static=True)),
    "static with a delay": ("FS204", lambda: source(static=True, event_timestamp=None, delay="1h")),
    "static with a row key": ("FS204", lambda: source(static=True, event_timestamp=None, row_key=["id"])),
    "ttl on a static source": ("FS204", lambda: view(source=source(static=True, event_timestamp=None), ttl="1d")),
    "a window on a static source": (
        "FS204",
        lambda: view(source=source(static=True, event_timestamp=None), features=[agg.count(window="1d")]),
    ),
    "an expression without a name": ("FS205", lambda: latest("a + b")),
    "an aggregate of an expression without a name": ("FS205", lambda: agg.sum("a * b", window="1d")),
    "an aggregate with a where without a name": ("FS205", lambda: agg.count(window="1d", where="a > 1")),
    "no window": ("FS206", lambda: agg.count()),
    "an empty list of windows": ("FS206", lambda: agg.count(window=[])),
    "a window of nothing": ("FS206", lambda: agg.count(window="0s")),
    "a feature twice": ("FS207", lambda: view(features=[latest("a"), latest("b", name="a")])),
    "a feature of two views": ("FS207", lambda: service(view(), view(name="w"))),
    "one view twice": ("FS207", lambda: service(view()[["a"]], view()[["b"]])),
    "a join key of two entities": ("FS208", lambda: view(entities=[Entity(name="a"), Entity(name="b", join_keys=["A"])])),
    "a ttl of months": ("FS211", lambda: view(ttl="3 months")),
    "a window of a month": ("FS211", lambda: agg.count(window="1 month")),
    "a window of half an hour": ("FS211", lambda: agg.count(window="0.5h")),
    "a delay of years": ("FS211", lambda: source(delay="1y")),
    "a negative offset": ("FS211", lambda: agg.count(window="1d", offset="-1d")),
    "a bare number": ("FS211", lambda: agg.count(window=7)),
    "an unknown zone": ("FS212", lambda: source(timezone="Europe/Atlantis")),
    "a zone that is no text": ("FS212", lambda: source(timezone=5)),
    "a zone of a column that is no text": ("FS212", lambda: source(timezone={"e": 5})),
    "an unknown type": ("FS213", lambda: source(schema={"e": "instant"})),
    "a type that is a number": ("FS213", lambda: source(schema={"e": 64})),
    "SQL that cannot be read": ("FS214", lambda: latest("a +", name="x")),
    "an expression that is a list": ("FS214", lambda: latest(["a"])),  # type: ignore[arg-type]
    "a where that is a list": ("FS214", lambda: view(where=["a"])),
    "the clock in a where": ("FS215", lambda: view(where="e < now()")),
    "chance in a feature": ("FS215", lambda: latest("random()", name="x")),
    "an aggregate in an expression": ("FS215", lambda: latest("sum(a)", name="x")),
    "an unknown aggregate": ("FS218", lambda: agg.average("a", window="1d")),
    "a negative window": ("FS211", lambda: agg.mean("a", window="-1d")),
    "a window of a year": ("FS211", lambda: agg.last_k("a", k=3, window="1 year")),
    "one empty window among others": ("FS206", lambda: agg.max("a", window=["1d", "0s"])),
    "a quantile without q": ("FS223", lambda: agg.quantile("a", window="1d")),
    "a quantile above 1": ("FS223", lambda: agg.quantile("a", q=95, window="1d")),
    "a quantile below 0": ("FS223", lambda: agg.quantile("a", q=-0.1, window="1d")),
    "a quantile that is NaN": ("FS223", lambda: agg.quantile("a", q=float("nan"), window="1d")),
    "a quantile in words": ("FS223", lambda: agg.quantile("a", q="0.5", window="1d")),
    "a quantile that is true": ("FS223", lambda: agg.quantile("a", q=True, window="1d")),
    "a list without k": ("FS223", lambda: agg.last_k("a", window="1d")),
    "a list of none": ("FS223", lambda: agg.first_k("a", k=0, window="1d")),
    "a list of fewer than none": ("FS223", lambda: agg.min_k("a", k=-1, window="1d")),
    "a list of one and a half": ("FS223", lambda: agg.max_k("a", k=1.5, window="1d")),
    "a list of true": ("FS223", lambda: agg.max_k("a", k=True, window="1d")),
    "a list of many": ("FS223", lambda: agg.max_k("a", k=10**6, window="1d")),
    "a histogram in words": ("FS223", lambda: agg.histogram("a", k="10", window="1d")),
    "a last of nothing": ("FS202", lambda: agg.last(window="1d")),
    "a histogram of nothing": ("FS202", lambda: agg.histogram(window="1d")),
    "an aggregate of nothing that can be read": ("FS214", lambda: agg.mode("a b c", window="1d")),
}


@pytest.mark.parametrize("story", BAD)
def test_what_cannot_mean_anything_is_refused_where_it_was_written(story: str) -> None:
    code, make = BAD[story]
    with pytest.raises(DefinitionError) as caught:
        make()
    assert caught.value.code == code
    assert caught.value.exit_code == 3
    lines, first = inspect.getsourcelines(make)
    written = range(first, first + len(lines) + 1)
    helper = inspect.getsource(view).count("\n") + inspect.getsourcelines(view)[1]
    place = caught.value.where.partition(HERE)[2].partition(",")[0]
    assert place, caught.value.where
    assert int(place) in written or int(place) <= helper + 4  # the line of the case, or of the helper it calls


def test_an_error_says_what_where_what_is_known_and_what_to_try() -> None:
    with pytest.raises(DefinitionError) as caught:
        view(features=[agg.sum("amount", window=["7d", "30d"])])[["amount_sum_30"]]
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    expected = (
        f"FS203 unknown feature 'amount_sum_30' of 'v' · in {HERE}{line} · "
        "known: amount_sum_7d, amount_sum_30d · try amount_sum_30d"
    )
    assert str(caught.value) == expected
    assert caught.value.to_dict() == {
        "code": "FS203",
        "what": "unknown feature 'amount_sum_30' of 'v'",
        "where": f"{HERE}{line}",
        "known": ["amount_sum_7d", "amount_sum_30d"],
        "try": "amount_sum_30d",
    }


def test_a_place_names_file_line_and_definition_but_no_machine() -> None:
    entity = Entity(name="customer")
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert entity.place == f"{HERE}{line}, entity 'customer'"
    assert latest("a").location == f"{HERE}{line + 3}"


@pytest.mark.parametrize("kind", [Entity, ParquetSource, ArrowSource, FeatureView, FeatureService])
def test_definitions_take_keywords_only(kind: Any) -> None:
    parameters = list(inspect.signature(kind).parameters.values())
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(TypeError):
        kind("customer")


@pytest.mark.parametrize("made", [Entity(name="a"), source(), view(), service(view()), view().alias("w"), latest("a")])
def test_definitions_are_frozen(made: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"


def test_tags_and_maps_cannot_change_after_birth() -> None:
    tags = {"tier": "1"}
    entity = Entity(name="a", tags=tags)
    tags["tier"] = "2"
    assert entity.tags == {"tier": "1"}
    with pytest.raises(TypeError):
        entity.tags["tier"] = "3"  # type: ignore[index]


def test_equal_definitions_are_equal_wherever_they_are_written() -> None:
    assert Entity(name="a") == Entity(name="a")
    assert latest("a") == latest("a")


# Options.


@pytest.mark.parametrize(
    "option, given, kept",
    [
        ("path", "a.parquet", ("a.parquet",)),
        ("path", ["a/*.parquet", "b/**/*.parquet"], ("a/*.parquet", "b/**/*.parquet")),
        ("delay", "1h", Duration(3_600_000_000)),
        ("delay", "0s", Duration(0)),
        ("delay", timedelta(minutes=1), Duration(60_000_000)),
        ("delay", None, None),
        ("row_key", "id", ("id",)),
        ("row_key", ["id", "part"], ("id", "part")),
        ("timezone", "Europe/Paris", "Europe/Paris"),
        ("timezone", {"e": "Asia/Tokyo"}, {"e": "Asia/Tokyo"}),
        ("time_unit", "ns", "ns"),
        ("time_format", "iso8601", "iso8601"),
        ("time_format", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S"),
        ("date_is", "start", "start"),
        ("time_range", ("1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"), (0, 1_000_001)),
        ("schema", {"e": "timestamp", "x": "double"}, {"e": TIMESTAMP, "x": DOUBLE}),
        ("allow_left_out", True, True),
        ("tags", {"team": "risk"}, {"team": "risk"}),
        ("description", "Card payments.", "Card payments."),
        ("owner", "risk", "risk"),
    ],
)
def test_a_source_keeps_what_it_was_told(option: str, given: Any, kept: Any) -> None:
    assert getattr(source(**{option: given}), option) == kept


def test_a_source_of_versions() -> None:
    made = source(**VERSIONED, row_order="n", deleted="gone", created_null="event", delay="1h")
    assert made.declared_columns == ("e", "k", "id", "n", "gone")
    assert made.time_columns == ("e", "k")
    assert made.known_delay == Duration(3_600_000_000)


@pytest.mark.parametrize(
    "options, assumed",
    [
        ({}, True),
        ({"delay": "0s"}, False),
        ({"created_timestamp": "k"}, False),
        ({"static": True, "event_timestamp": None}, False),
    ],
)
def test_declaring_nothing_about_arrival_is_an_assumption(options: dict[str, Any], assumed: bool) -> None:
    assert source(**options).assumed_known_at_once is assumed


def test_naive_times_have_the_zone_of_their_column() -> None:
    made = source(created_timestamp="k", timezone={"k": "Asia/Tokyo"})
    assert [made.zone_of(c) for c in ("e", "k")] == ["UTC", "Asia/Tokyo"]


@pytest.mark.parametrize("frame", [pa.table({"e": [1]}), pl.DataFrame({"e": [1]}), pd.DataFrame({"e": [1]})])
def test_an_arrow_source_takes_frames_from_memory(frame: Any) -> None:
    assert ArrowSource(name="s", event_timestamp="e", time_unit="s", table=frame).table.to_pydict() == {"e": [1]}


def test_an_entity_is_its_own_key_unless_it_says_otherwise() -> None:
    assert Entity(name="card").join_keys == ("card",)
    assert Entity(name="card", join_keys="card_id").join_keys == ("card_id",)
    assert Entity(name="seat", join_keys=["train", "seat_no"]).join_keys == ("train", "seat_no")


def test_a_view_knows_its_keys_and_the_columns_it_reads() -> None:
    made = view(
        source=source(**VERSIONED, deleted="gone"),
        entities=[Entity(name="a"), Entity(name="b", join_keys=["b1", "b2"])],
        features=[latest("y"), agg.sum("x + y", window="1d", where="z > 0", name="xy"), latest("x")],
        where="status = 'ok' and x > 0",
        join_key_map={"b1": "other"},
    )
    assert made.join_keys == ("a", "b1", "b2")
    assert made.key_columns == ("a", "other", "b2")
    assert made.input_columns == ("y", "x", "z")
    assert made.columns == ("e", "k", "id", "gone", "a", "other", "b2", "y", "x", "z", "status")


def test_a_view_keeps_its_ttl_boundary_and_whether_it_is_online() -> None:
    made = view(ttl="90d", allow_exact_matches=True, online=False)
    assert (made.ttl, made.allow_exact_matches, made.online) == (Duration(90 * DAY), True, False)
    assert (view().ttl, view().allow_exact_matches, view().online) == (None, False, True)


def test_no_entities_is_one_global_row() -> None:
    assert view(entities=[]).join_keys == ()


# Names of features.

NAMES = [
    (lambda: latest("amount"), ["amount"]),
    (lambda: latest('"amount"'), ["amount"]),
    (lambda: latest("(amount)"), ["amount"]),
    (lambda: latest("amount", name="last_amount"), ["last_amount"]),
    (lambda: latest("a + b", name="both"), ["both"]),
    (lambda: agg.count(window="7d"), ["count_7d"]),
    (lambda: agg.count("x", window="7d"), ["x_count_7d"]),
    (lambda: agg.sum("x", window="7d"), ["x_sum_7d"]),
    (lambda: agg.sum("x", window=None), ["x_sum_lifetime"]),
    (lambda: agg.sum("x", window="7d", offset="1d"), ["x_sum_7d_offset_1d"]),
    (lambda: agg.sum("x", window="7d", offset="0s"), ["x_sum_7d"]),
    (lambda: agg.sum("x", window=None, offset="1d"), ["x_sum_lifetime_offset_1d"]),
    (lambda: agg.count_distinct("x", window="1h"), ["x_count_distinct_1h"]),
    (lambda: agg.sum("x", window=["1d", "7d", None]), ["x_sum_1d", "x_sum_7d", "x_sum_lifetime"]),
    (lambda: agg.sum("x", window=("1d",)), ["x_sum_1d"]),
    (lambda: agg.sum("x", window=["1d", "7d"], name="spent"), ["spent_1d", "spent_7d"]),
    (lambda: agg.sum("x", window="7d", name="spent"), ["spent"]),
    (lambda: agg.sum("x", window=["1d", "7d"], offset="1d", name="spent"), ["spent_1d", "spent_7d"]),
    (lambda: agg.sum("x * y", window=["1d"], name="xy"), ["xy_1d"]),
    (lambda: agg.count(window="1d", where="x > 1", name="large"), ["large"]),
    (lambda: agg.count(window="168h"), ["count_168h"]),
    (lambda: agg.count(window="7 d"), ["count_7d"]),
    (lambda: agg.count(window=timedelta(days=7)), ["count_7d"]),
    (lambda: agg.quantile("x", q=0.95, window="7d"), ["x_quantile_p95_7d"]),
    (lambda: agg.quantile("x", 0.95, window="7d"), ["x_quantile_p95_7d"]),
    (lambda: agg.quantile("x", q=0.999, window="7d"), ["x_quantile_p99_9_7d"]),
    (lambda: agg.quantile("x", q=0.5, window=None), ["x_quantile_p50_lifetime"]),
    (lambda: agg.quantile("x", q=0, window="7d"), ["x_quantile_p0_7d"]),
    (lambda: agg.quantile("x", q=1.0, window="7d"), ["x_quantile_p100_7d"]),
    (lambda: agg.quantile("x", q=0.07, window="7d"), ["x_quantile_p7_7d"]),
    (lambda: agg.quantile("x", q=0.29, window="7d"), ["x_quantile_p29_7d"]),
    (lambda: agg.quantile("x", q=1e-7, window="7d"), ["x_quantile_p0_00001_7d"]),
    (lambda: agg.median("x", window="7d"), ["x_median_7d"]),
    (lambda: agg.last_k("x", k=3, window="7d"), ["x_last_k_3_7d"]),
    (lambda: agg.max_k("x", 3, window=["1d", "7d"], offset="1d"), ["x_max_k_3_1d_offset_1d", "x_max_k_3_7d_offset_1d"]),
    (lambda: agg.histogram("x", window="7d"), ["x_histogram_7d"]),
    (lambda: agg.histogram("x", k=5, window="7d"), ["x_histogram_5_7d"]),
    (lambda: agg.histogram("x", k=5, window=["7d"], name="top"), ["top_7d"]),
    (lambda: agg.stddev_samp("x", window="7d"), ["x_stddev_samp_7d"]),
    (lambda: agg.time_since_last(window=None), ["time_since_last_lifetime"]),
    (lambda: agg.time_since_first("x", window="7d"), ["x_time_since_first_7d"]),
    (lambda: agg.any("x", window="7d", offset="1d"), ["x_any_7d_offset_1d"]),
    (lambda: agg.count(window=timedelta(minutes=90)), ["count_90m"]),
    (lambda: agg.count(window=Duration(1)), ["count_1us"]),
]


@pytest.mark.parametrize("make, names", NAMES)
def test_features_name_themselves(make: Callable[[], Any], names: list[str]) -> None:
    made = make()
    assert [f.name for f in (made if isinstance(made, tuple) else (made,))] == names


def test_a_feature_keeps_window_offset_and_condition() -> None:
    made = agg.sum("x", window="2w", offset="1d", where="y", name="s", description="Sum.")
    assert (made.aggregate, made.window, made.offset) == ("sum", Duration(14 * DAY), Duration(DAY))
    assert made.inputs == ("x", "y")
    assert made.description == "Sum."
    assert latest("x").is_latest
    assert not made.is_latest


def test_every_aggregate_has_a_method() -> None:
    assert all(inspect.ismethod(getattr(agg, name)) for name in AGGREGATES)


@pytest.mark.parametrize(
    "aggregate, given, result",
    [
        ("count", "string", "int64"),
        ("count", "list<int64>", "int64"),
        ("sum", "int8", "int64"),
        ("sum", "uint64", "int64"),
        ("sum", "float", "double"),
        ("sum", "decimal128(10, 2)", "decimal128(38, 2)"),
        ("sum", "string", None),
        ("sum", "bool", None),
        ("count_distinct", "string", "int64"),
        ("count_distinct", "list<int64>", None),
        ("mean", "uint64", "double"),
        ("mean", "decimal128(10, 2)", "double"),
        ("mean", "bool", None),
        ("var_samp", "int8", "double"),
        ("stddev_pop", "date32", None),
        ("min", "int16", "int64"),
        ("max", "uint64", "uint64"),
        ("min", "float", "double"),
        ("max", "string", "string"),
        ("min", "list<int64>", None),
        ("first", "list<int64>", "list<int64>"),
        ("last", "int8", "int64"),
        ("first_k", "float", "list<double>"),
        ("last_k", "timestamp[us, UTC]", "list<timestamp[us, UTC]>"),
        ("min_k", "decimal128(10, 2)", "list<decimal128(10, 2)>"),
        ("max_k", "list<int64>", None),
        ("median", "float", "double"),
        ("median", "string", None),
        ("quantile", "timestamp[us, UTC]", None),
        ("mode", "binary", "binary"),
        ("mode", "list<int64>", None),
        ("histogram", "int8", "map<int64, int64>"),
        ("histogram", "date32", "map<date32, int64>"),
        ("histogram", "list<int64>", None),
        ("any", "bool", "bool"),
        ("all", "int64", None),
        ("time_since_last", "string", "int64"),
        ("time_since_first", "list<int64>", "int64"),
    ],
)
def test_the_types_aggregates_take_and_give(aggregate: str, given: str, result: str | None) -> None:
    more = {"q": {"q": 0.5}, "k": {"k": 2}, None: {}}[AGGREGATES[aggregate].parameter]
    feature = getattr(agg, aggregate)("x", window="1d", **more)
    types = {"x": DType(given)}
    if result is None:
        with pytest.raises(DefinitionError, match="cannot take") as caught:
            feature.result_type(types)
        assert (caught.value.code, bool(caught.value.hint)) == ("FS217", True)
    else:
        assert feature.result_type(types).name == result


@pytest.mark.parametrize(
    "make, code, tried",
    [
        (lambda: agg.avg("a", window="1d"), "FS218", "mean"),
        (lambda: agg.stdev_samp("a", window="1d"), "FS218", "stddev_samp"),
        (lambda: agg.percentile("a", q=0.5, window="1d"), "FS218", "quantile"),
        (lambda: agg.count_distint("a", window="1d"), "FS218", "count_distinct"),
        (lambda: agg.mean(window="1d"), "FS202", 'agg.mean("amount", …)'),
        (lambda: agg.mean("a"), "FS206", 'window="7d", or window=None for the whole past'),
        (lambda: agg.mean("a", window="1 month"), "FS211", "30d"),
        (lambda: agg.quantile("a", q=95, window="1d"), "FS223", "q=0.95"),
        (lambda: agg.last_k("a", k=0, window="1d"), "FS223", "k=3"),
        (lambda: agg.any("a", window="1d").result_type({"a": INT64}), "FS217", "a bool"),
        (lambda: agg.mean("a", window="1d").result_type({"a": DType("string")}), "FS217", "a number, or a CAST"),
        (lambda: agg.min("a", window="1d").result_type({"a": DType("list<int64>")}), "FS217", "a single value, no list"),
        (lambda: agg.mode("amout", window="1d").result_type({"amount": INT64}), "FS203", "amount"),
    ],
)
def test_a_wrong_aggregate_says_what_to_try(make: Callable[[], Any], code: str, tried: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert (caught.value.code, tried in caught.value.hint) == (code, True), str(caught.value)


def test_the_method_of_an_aggregate_says_what_it_takes_and_gives() -> None:
    assert agg.last_k.__doc__ == "The k newest values, oldest first. Takes a single value, no list; over no facts it is empty."
    assert agg.count.__doc__ is not None
    assert agg.count.__doc__.endswith("over no facts it is 0.")


def test_q_and_k_are_part_of_a_feature() -> None:
    assert agg.quantile("x", q=1, window="1d").parameter == 1.0
    assert agg.last_k("x", k=3, window="1d") != agg.last_k("x", k=4, window="1d", name="x_last_k_3_1d")
    assert agg.histogram("x", window="1d").parameter == 100
    assert agg.sum("x", window="1d").parameter is None


def test_a_condition_is_a_bool() -> None:
    with pytest.raises(DefinitionError) as caught:
        agg.count(window="1d", where="x + 1", name="n").result_type({"x": INT64})
    assert caught.value.code == "FS216"


# Views in services.


def test_a_part_of_a_view_in_the_order_named() -> None:
    assert service(view()[["b", "a"]]).feature_names == ("b", "a")
    assert service(view()["b"]).feature_names == ("b",)


def test_one_view_twice_under_two_names_keys_and_prefixes() -> None:
    mine = view()
    both = service(mine, mine[["a"]].alias("boss").with_join_key_map({"person_id": "boss_id"}).with_prefix("boss_"))
    assert both.feature_names == ("a", "b", "boss_a")
    assert [i.name for i in both.instances] == ["v", "boss"]
    assert [i.key_columns for i in both.instances] == [("person_id",), ("boss_id",)]


def test_a_prefix_names_the_instance_unless_an_alias_does() -> None:
    assert view().with_prefix("p_").name == "p_v"
    assert view().with_prefix("p_").alias("w").name == "w"


def test_the_order_of_the_calls_does_not_matter() -> None:
    mine = view()
    assert mine[["a"]].with_prefix("p_") == mine.with_prefix("p_")[["a"]]
    assert mine.alias("w").with_join_key_map({"person_id": "x"}) == mine.with_join_key_map({"person_id": "x"}).alias("w")


# How they print.


def test_definitions_print_in_one_short_line() -> None:
    assert repr(Entity(name="customer", join_keys=["id"])) == "Entity('customer', join_keys=['id'])"
    assert repr(source()) == "ParquetSource('s', event_timestamp='e', path=['s.parquet'])"
    assert repr(view(ttl="7d")) == "FeatureView('v', entities=[person], source=s, features=[a, b], ttl=7d)"
    many = view(features=[latest(f"a_rather_long_column_{i}") for i in range(100)])
    assert len(repr(many)) < 250
    assert repr(service(many)) == "FeatureService('svc', features=[v])"
    assert repr(view()[["a"]].with_prefix("p_")) == "p_v[a] (of v)"


def test_a_notebook_shows_html_that_cannot_be_broken_out_of() -> None:
    shown = view(description="<script>alert('x')</script> & more", where="a < b")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; more" in shown
    assert "a &lt; b" in shown
    assert shown.startswith("<table><caption><b>v</b> (feature view)</caption>")


def test_an_error_does_not_show_the_credentials_it_refuses() -> None:
    with pytest.raises(DefinitionError) as caught:
        table(path="s3://me:planted@bucket/t")
    assert "planted" not in str(caught.value)


def test_which_version_of_a_table_is_read_is_no_part_of_its_meaning() -> None:
    from featurestore.registry import source_meaning

    types = {"e": TIMESTAMP}
    meanings = [
        source_meaning(one, types)
        for one in (
            source(),
            table(),
            table(version=3),
            table(as_of="2026-01-01T00:00:00Z"),
            lake(),
            lake(snapshot=7),
            lake(table="a.b"),
        )
    ]
    assert all(meaning == meanings[0] for meaning in meanings)
