"""What a pushed row must be: each wrong one is refused by name, and a right one is kept as it was meant."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from featurestore import ParquetSource
from featurestore.dtypes import parse_dtype
from featurestore.errors import PushError, UsageError
from featurestore.intervals import parse_duration
from featurestore.sources.push_rows import PushTarget

NOW = 1_000_000_000
SKEW = parse_duration("5m")
TYPES = {
    "id": "int64", "at": "date32", "loaded": "int64", "gone": "bool", "n": "int8", "f": "float", "x": "double",
    "d": "decimal128(6, 2)", "s": "string", "b": "binary", "day": "date32", "when": "timestamp[us, UTC]",
    "l": "list<double>", "days": "list<date32>",
}  # fmt: skip
SOURCE = ParquetSource(
    name="facts",
    path="f.parquet",
    event_timestamp="at",
    created_timestamp="loaded",
    time_unit="us",
    row_key=["id"],
    deleted="gone",
)
TARGET = PushTarget.of(SOURCE, {name: parse_dtype(t) for name, t in TYPES.items()})
GOOD: dict[str, Any] = {
    "id": 1, "at": "1970-01-01T00:10:00+00:01", "gone": None, "n": -128, "f": 0.5, "x": "NaN", "d": "12.50", "s": "é",
    "b": "AQI=",
    "day": "2024-02-29", "when": "2024-01-01T00:00:00.123456Z", "l": [1, None, "-Infinity"], "days": ["2024-01-01", None],
}  # fmt: skip


def kept(*rows: Any, **more: Any) -> pa.RecordBatch:
    return TARGET.rows(list(rows), now=NOW, skew=SKEW, **more)


def refused(*rows: Any, **more: Any) -> PushError:
    with pytest.raises(PushError) as caught:
        kept(*rows, **more)
    assert caught.value.exit_code == 4
    assert caught.value.http_status == 422
    return caught.value


def test_a_row_is_kept_in_the_types_of_the_source_its_event_as_an_instant() -> None:
    row = kept(GOOD, from_json=True).to_pylist()[0]
    assert str(row.pop("x")) == "nan"
    assert row == {
        "id": 1, "at": datetime(1970, 1, 1, 0, 9, tzinfo=UTC), "gone": None, "n": -128, "f": 0.5, "d": Decimal("12.50"),
        "s": "é",
        "b": b"\x01\x02", "day": date(2024, 2, 29), "when": datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
        "l": [1.0, None, float("-inf")], "days": [date(2024, 1, 1), None],
    }  # fmt: skip


def test_python_may_give_instants_as_datetimes_or_microseconds_and_decimals_as_they_are() -> None:
    given = GOOD | {"at": datetime(1970, 1, 1, tzinfo=UTC), "when": 17, "d": Decimal("1.5"), "b": b"\x00", "x": float("nan")}
    [row] = kept(given).to_pylist()
    assert row["when"] == datetime(1970, 1, 1, 0, 0, 0, 17, tzinfo=UTC)
    assert (row["d"], row["b"]) == (Decimal("1.50"), b"\x00")


def test_deleted_may_be_left_out_and_is_false() -> None:
    assert kept({k: v for k, v in GOOD.items() if k != "gone"})["gone"].to_pylist() == [False]


def test_an_event_may_be_null_and_all_but_the_row_key() -> None:
    assert kept(dict.fromkeys(GOOD) | {"id": 2})["at"].null_count == 1


WRONG: list[tuple[str, Any, str]] = [
    ("id", None, "row key 'id' is NULL"),
    ("id", "1", "takes an integer"),
    ("id", True, "takes an integer"),
    ("id", 1.0, "takes an integer"),
    ("id", 2**63, "takes an integer"),
    ("n", 128, "takes an integer (int8)"),
    ("x", "1.5", "takes a number"),
    ("x", True, "takes a number"),
    ("d", 1.5, "takes a decimal128(6, 2) as text"),
    ("d", "1.505", "takes a decimal128(6, 2) as text"),
    ("d", "10000.00", "takes a decimal128(6, 2) as text"),
    ("d", "1e3", "takes a decimal128(6, 2) as text"),
    ("s", 5, "takes text"),
    ("s", "\ud800", "takes text"),
    ("gone", 0, "takes true or false"),
    ("gone", "false", "takes true or false"),
    ("b", "???", "takes bytes"),
    ("day", "2024-02-30", "takes a date"),
    ("day", "2024-02-29T00:00:00Z", "takes a date"),
    ("when", "2024-01-01T00:00:00", "takes an instant"),
    ("when", "yesterday", "takes an instant"),
    ("at", "1970-01-01", "takes an instant"),
    ("at", True, "takes an instant"),
    ("l", [1, "x"], "takes a list"),
    ("l", 1, "takes a list"),
]


@pytest.mark.parametrize("column, value, said", WRONG)
def test_a_wrong_value_is_refused_with_its_row(column: str, value: Any, said: str) -> None:
    error = refused(GOOD, GOOD | {column: value})
    assert (error.code, error.where) == ("FS340", "row 1 (counted from 0)")
    assert said in error.what


def test_json_has_no_integers_for_instants() -> None:
    assert "takes an instant" in refused(GOOD | {"when": 17}, from_json=True).what


def test_a_column_unknown_missing_or_not_to_be_given() -> None:
    error = refused(GOOD | {"wen": "a"})
    assert (error.what, error.hint) == ("unknown column 'wen' of source 'facts'", "when")
    error = refused(GOOD, {k: v for k, v in GOOD.items() if k != "s"})
    assert error.what == "column 's' (string) of source 'facts' is missing"
    assert error.where == "row 1 (counted from 0)"
    assert "the push log sets it" in refused(GOOD | {"loaded": 5}).what


@pytest.mark.parametrize("rows", [[], [5], ["row"], [None], [[]]])
def test_rows_that_are_none(rows: list[Any]) -> None:
    assert refused(*rows).code == "FS340"


def test_an_event_beyond_the_clock_and_its_skew_is_refused() -> None:
    last = NOW + SKEW.micros
    assert kept(GOOD | {"at": last}).num_rows == 1
    error = refused(GOOD, GOOD | {"at": last + 1})
    assert (error.code, error.where) == ("FS341", "row 1 (counted from 0)")
    assert "more than 5m beyond the clock" in error.what


def test_times_outside_the_time_range_are_refused() -> None:
    assert refused(GOOD | {"at": "1600-01-01T00:00:00Z"}).code == "FS341"
    with pytest.raises(PushError, match="takes known times from"):
        TARGET.rows([GOOD], now=2**62, skew=SKEW)


def test_sources_that_cannot_be_pushed_to() -> None:
    plain = ParquetSource(name="plain", path="f.parquet", event_timestamp="at")
    static = ParquetSource(name="static", path="f.parquet", static=True)
    for source in (plain, static):
        with pytest.raises(UsageError) as caught:
            PushTarget.of(source, {"at": parse_dtype("timestamp[us, UTC]")})
        assert (caught.value.code, caught.value.exit_code, caught.value.http_status) == ("FS140", 2, 422)
    with pytest.raises(UsageError, match="__pushed_at"):
        PushTarget.of(SOURCE, {**TARGET.columns, "__pushed_at": parse_dtype("int64")})


def test_what_a_server_is_told_is_the_target() -> None:
    assert PushTarget.from_data("facts", TARGET.to_data()) == TARGET
    with pytest.raises(UsageError) as caught:
        PushTarget.from_data("facts", {"row_key": []})
    assert caught.value.code == "FS140"


# Frames.

SMALL = PushTarget.of(
    ParquetSource(name="small", path="f", event_timestamp="at", row_key=["id"], deleted="gone"),
    {
        "id": parse_dtype("int64"),
        "at": parse_dtype("timestamp[us, UTC]"),
        "s": parse_dtype("string"),
        "gone": parse_dtype("bool"),
    },
)
AT = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "frame",
    [
        pa.table({"s": ["a", None], "id": pa.array([1, 2], pa.int16()), "at": pa.array([AT, None], pa.timestamp("ms", "UTC"))}),
        pl.DataFrame({"id": [1, 2], "at": [AT, None], "s": ["a", None]}),
        pd.DataFrame({"id": [1, 2], "at": [AT, None], "s": ["a", None]}),
    ],
    ids=["arrow", "polars", "pandas"],
)
def test_frames_are_taken_if_their_columns_are_of_the_types(frame: Any) -> None:
    assert SMALL.rows(frame, now=NOW, skew=SKEW).to_pylist() == [
        {"id": 1, "at": AT, "s": "a", "gone": False}, {"id": 2, "at": None, "s": None, "gone": False},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change, said",
    [
        ({"id": pa.array(["1"])}, "which is no int64"),
        ({"id": pa.array([1.0])}, "which is no int64"),
        ({"id": pa.array([2**64 - 1], pa.uint64())}, "which is no int64"),
        ({"at": pa.array([datetime(1970, 1, 1)])}, "times with a zone"),
        ({"at": pa.array([2**62], pa.timestamp("s", "UTC"))}, "which is no timestamp"),
        ({"at": pa.array([1])}, "which is no timestamp"),
        ({"s": None}, "is missing"),
        ({"more": pa.array([1])}, "unknown column"),
    ],
)
def test_frames_that_are_refused(change: dict[str, Any], said: str) -> None:
    good = {"id": pa.array([1]), "at": pa.array([AT]), "s": pa.array(["a"])}
    columns = {name: column for name, column in (good | change).items() if column is not None}
    with pytest.raises(PushError) as caught:
        SMALL.rows(pa.table(columns), now=NOW, skew=SKEW)
    assert said in str(caught.value)


def test_nanoseconds_of_a_time_round_up_however_it_is_given() -> None:
    frame = pa.table({"id": [1, 2], "at": pa.array([1, -1_999], pa.timestamp("ns", "UTC")), "s": ["a", "b"]})
    assert SMALL.rows(frame, now=NOW, skew=SKEW)["at"].cast(pa.int64()).to_pylist() == [1, -1]
    rows = [
        {"id": 1, "at": "1970-01-01T00:00:00.000000001Z", "s": None},
        {"id": 2, "at": pd.Timestamp(-1_999, unit="ns", tz="UTC"), "s": None},
    ]
    assert SMALL.rows(rows, now=NOW, skew=SKEW)["at"].cast(pa.int64()).to_pylist() == [1, -1]


def test_decimals_of_38_digits_are_kept_and_what_is_no_number_is_refused() -> None:
    source = ParquetSource(name="wide", path="f", event_timestamp="at", row_key=["id"])
    types = {"id": "int64", "at": "timestamp[us, UTC]", "d": "decimal128(38, 0)"}
    target = PushTarget.of(source, {name: parse_dtype(t) for name, t in types.items()})

    def taken(value: Any) -> Any:
        return target.rows([{"id": 1, "at": AT, "d": value}], now=NOW, skew=SKEW)["d"][0].as_py()

    for text in ("9" * 38, "-" + "9" * 38):
        assert taken(text) == Decimal(text)
    for wrong in (Decimal("NaN"), Decimal("Infinity"), 10**38, 10**5000):
        with pytest.raises(PushError, match="takes a decimal128"):
            taken(wrong)


def test_what_is_no_frame() -> None:
    with pytest.raises(PushError, match="rows are a dict"):
        SMALL.rows({"id": 1}, now=NOW, skew=SKEW)
