"""Spines: whatever holds rows that ask, read without touching them; keys and instants as the contract says."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore.dtypes import BOOL, DATE, INT64, STRING, DType
from featurestore.errors import DefinitionError, FeatureStoreError, SpineError, UsageError
from featurestore.intervals import parse_instant
from featurestore.retrieval.spine import (
    ROWS_AT_ONCE,
    Spine,
    check_features,
    check_label,
    instants,
    key_column,
    open_spine,
    to_key,
)

UINT64 = DType("uint64")
ROWS = {"id": [3, 1, 2], "name": ["c", "a", None]}


def opened(given: Any, **keys: DType) -> Spine:
    return open_spine(given, keys=keys, as_of="as_of")


def from_csv(folder: Path, text: str | bytes, **keys: DType) -> pa.Table:
    path = folder / "spine.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    spine = opened(path, **keys)
    assert spine.table is not None
    return spine.table


def as_file(rows: dict[str, list[Any]], folder: Path) -> Path:
    pq.write_table(pa.table(rows), folder / "spine.parquet", row_group_size=2)
    return folder / "spine.parquet"


KINDS = {
    "a Parquet file": as_file,
    "a Parquet file named as text": lambda rows, folder: str(as_file(rows, folder)),
    "an Arrow table": lambda rows, _: pa.table(rows),
    "a record batch": lambda rows, _: pa.RecordBatch.from_pydict(rows),
    "a record batch reader": lambda rows, _: pa.table(rows).to_reader(max_chunksize=2),
    "a Polars frame": lambda rows, _: pl.DataFrame(rows),
    "a lazy Polars frame": lambda rows, _: pl.LazyFrame(rows),
    "a pandas frame": lambda rows, _: pd.DataFrame(rows, index=[9, 8, 7]),
    "a DuckDB relation": lambda rows, _: duckdb.connect().from_arrow(pa.table(rows)).project("*"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_spine_may_be(kind: str, tmp_path: Path) -> None:
    spine = opened(KINDS[kind](ROWS, tmp_path))
    assert spine.rows == 3
    assert pa.concat_tables(spine.batches()).to_pydict() == ROWS
    assert spine.columns(["name"]).to_pydict() == {"name": ROWS["name"]}
    assert spine.schema.metadata is None


def test_a_relations_order_is_the_one_it_delivers() -> None:
    relation = duckdb.connect().sql("SELECT range AS id FROM range(5) ORDER BY (id * 7) % 5 DESC")
    assert opened(relation).columns(["id"])["id"].to_pylist() == [2, 4, 1, 3, 0]


@pytest.mark.parametrize("given", [None, 5, [1], {"id": [1]}, object()])
def test_what_holds_no_rows_is_no_spine(given: object) -> None:
    with pytest.raises(UsageError) as caught:
        opened(given)
    assert caught.value.code == "FS105"


def test_a_frame_that_arrow_cannot_hold_is_refused() -> None:
    with pytest.raises(SpineError) as caught:
        opened(pd.DataFrame({"id": pd.Series([1, "x"], dtype=object)}))
    assert caught.value.code == "FS301"


@pytest.mark.parametrize("size", [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
@pytest.mark.parametrize("row_group", [50_000, 1_000_000])
def test_batches_are_the_same_however_the_file_lies(size: int, row_group: int, tmp_path: Path) -> None:
    table = pa.table({"id": pa.arange(0, size)})
    pq.write_table(table, tmp_path / "spine.parquet", row_group_size=row_group)
    for spine in (opened(table), opened(tmp_path / "spine.parquet")):
        assert [b.num_rows for b in spine.batches()] == ([size] if size <= ROWS_AT_ONCE else [ROWS_AT_ONCE, 1])
        assert pa.concat_tables(spine.batches()).equals(table)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"id,as_of\n1,2\n"])
def test_a_file_that_is_no_parquet(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "spine.parquet").write_bytes(content)
    with pytest.raises(SpineError) as caught:
        opened(tmp_path / "spine.parquet")
    assert (caught.value.code, caught.value.where) == ("FS301", "spine.parquet")


def test_a_file_whose_pages_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "spine.parquet"
    pq.write_table(pa.table({"id": pa.arange(0, 10_000)}), path, write_page_checksum=True, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(SpineError) as caught:
        list(opened(path).batches())
    assert caught.value.code == "FS301"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "nosuch.parquet", tmp_path):
        with pytest.raises(SpineError) as caught:
            opened(path)
        assert caught.value.code == "FS301"


# CSV.


def test_csv_keys_have_the_services_types_and_all_else_is_text(tmp_path: Path) -> None:
    table = from_csv(tmp_path, "id,code,as_of,amount,label\n7,007,2025-01-01T00:00:00Z,1.50,1\n", id=INT64, code=STRING)
    assert table.schema.types == [pa.int64(), *[pa.string()] * 4]
    assert table.to_pylist() == [{"id": 7, "code": "007", "as_of": "2025-01-01T00:00:00Z", "amount": "1.50", "label": "1"}]


@pytest.mark.parametrize("text, value", [("7", 7), ("007", 7), ("+7", 7), ("-7", -7), ("0", 0), ("-0", 0), ("", None)])
def test_csv_integers(text: str, value: int | None, tmp_path: Path) -> None:
    assert from_csv(tmp_path, f"id,x\n{text},y\n", id=INT64)["id"].to_pylist() == [value]


@pytest.mark.parametrize("text", ["1.0", "seven", "1e3", "0x7", " 7", "1" * 39, "٣"])
def test_a_csv_key_that_is_no_integer_names_its_row(text: str, tmp_path: Path) -> None:
    with pytest.raises(SpineError) as caught:
        from_csv(tmp_path, f"id,x\n1,y\n{text},y\n", id=INT64)
    assert caught.value.code == "FS302"
    assert f"row 1 (counted from 0) holds {text!r}" in caught.value.what


def test_a_csv_integer_beyond_the_sources_range_is_kept_and_matches_nothing(tmp_path: Path) -> None:
    table = from_csv(tmp_path, f"id\n{2**63}\n5\n", id=INT64)
    assert table["id"].to_pylist() == [Decimal(2**63), Decimal(5)]
    assert to_key(table["id"], "id", INT64).to_pylist() == [None, 5]


@pytest.mark.parametrize(
    "dtype, text, value",
    [(BOOL, "true", True), (DATE, "2025-01-31", dt.date(2025, 1, 31)), (UINT64, str(2**64 - 1), 2**64 - 1), (STRING, '""', "")],
)
def test_csv_keys_of_other_families(dtype: DType, text: str, value: object, tmp_path: Path) -> None:
    assert from_csv(tmp_path, f"id,x\n{text},\n", id=dtype).to_pylist() == [{"id": value, "x": None}]


@pytest.mark.parametrize("dtype, text", [(BOOL, "maybe"), (DATE, "2025-02-30")])
def test_a_csv_key_that_cannot_be_read_is_an_error(dtype: DType, text: str, tmp_path: Path) -> None:
    with pytest.raises(SpineError) as caught:
        from_csv(tmp_path, f"id\n{text}\n", id=dtype)
    assert caught.value.code == "FS302"


@pytest.mark.parametrize(
    "text, value",
    [('"a\nb"', "a\nb"), ('"a,b"', "a,b"), ('"say ""hi"""', 'say "hi"'), ("größe", "größe"), ("NULL", "NULL"), ("NA", "NA")],
)
def test_csv_text_is_taken_as_it_stands(text: str, value: str, tmp_path: Path) -> None:
    assert from_csv(tmp_path, f"id,x\n1,{text}\n", id=INT64)["x"].to_pylist() == [value]


@pytest.mark.parametrize("text", ["", "id,x\n1,2,3\n", b"id,x\n1,\xff\n"])
def test_csv_that_cannot_be_read(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(SpineError) as caught:
        from_csv(tmp_path, text, id=INT64)
    assert caught.value.code == "FS301"


def test_csv_with_a_header_alone_is_an_empty_spine(tmp_path: Path) -> None:
    table = from_csv(tmp_path, "id,as_of\n", id=INT64)
    assert (table.num_rows, table.schema.types) == (0, [pa.int64(), pa.string()])


# Names.


@pytest.mark.parametrize("names", [["x", "x"], ["xy", "xy"], ["id", "Id"], ["é", "É"]])
@pytest.mark.parametrize("form", ["arrow", "parquet", "csv"])
def test_names_that_are_one_or_differ_in_case_only(names: list[str], form: str, tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names)
    given: Any = table
    if form == "parquet":
        pq.write_table(table, given := tmp_path / "spine.parquet")
    if form == "csv":
        given = tmp_path / "spine.csv"
        given.write_text(f"{','.join(names)}\n1,2\n", encoding="utf-8")
    with pytest.raises(SpineError) as caught:
        opened(given, **{names[0]: INT64})
    assert caught.value.code == "FS304"
    assert all(name in caught.value.what for name in names)


@pytest.mark.parametrize("name", ["amount_sum_7d", "Amount_Sum_7D"])
def test_a_column_named_like_a_feature(name: str) -> None:
    with pytest.raises(SpineError) as caught:
        check_features(pa.schema([("id", pa.int64()), (name, pa.int64())]), ["count_1h", "amount_sum_7d"])
    assert caught.value.code == "FS304"
    assert name in caught.value.what
    check_features(pa.schema([("id", pa.int64())]), ["count_1h"])


def test_a_label_is_a_column_that_does_not_ask() -> None:
    schema = pa.schema([("id", pa.int64()), ("is_fraud", pa.bool_())])
    check_label(schema, "is_fraud", ["id", "as_of"])
    for label in ("is_frod", "id"):
        with pytest.raises(UsageError) as caught:
            check_label(schema, label, ["id", "as_of"])
        assert caught.value.code == "FS110"


# Instants.


def at(values: Any, kind: Any = None, **options: Any) -> list[int]:
    column = values if isinstance(values, pa.Array) else pa.array(values, kind)
    return instants(opened(pa.table({"as_of": column})), "as_of", **options).to_pylist()


MOMENT = parse_instant("2025-03-01T12:00:00Z")


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp(u, z) for u in ("s", "ms", "us", "ns") for z in (None, "UTC", "Europe/Paris", "+05:30")],
    ids=str,
)
def test_timestamps_of_any_unit_and_zone_are_one_instant(kind: pa.DataType) -> None:
    count = MOMENT * 1_000 // {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[kind.unit]
    assert at(pa.array([count], kind)) == [MOMENT]


@pytest.mark.parametrize(
    "text",
    [
        "2025-03-01T12:00:00Z", "2025-03-01 12:00", "2025-03-01T13:00:00+01:00", "2025-03-01T12:00:00.000000999Z",
        "2025-03-01T06:30:00-0530",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_iso_text_is_an_instant(text: str, kind: pa.DataType) -> None:
    assert at([text], kind) == [MOMENT]


def test_other_text_needs_its_format() -> None:
    assert at(["01.03.2025 12:00"], as_of_format="%d.%m.%Y %H:%M") == [MOMENT]
    assert at(pa.array(["2025-03-01T12:00:00Z"]).dictionary_encode()) == [MOMENT]


PARIS = {
    "summer": ("2025-07-01T12:00:00", "2025-07-01T10:00:00Z"),
    "an hour that occurs twice is its earlier one": ("2025-10-26T02:30:00", "2025-10-26T00:30:00Z"),
    "a time that never occurs is the last before the gap": ("2025-03-30T02:30:00", "2025-03-30T00:59:59.999999Z"),
    "a date is its first instant": ("2025-07-01", "2025-06-30T22:00:00Z"),
}


@pytest.mark.parametrize("story", PARIS)
def test_naive_times_are_read_in_the_zone_given(story: str) -> None:
    text, instant = PARIS[story]
    assert at([text], timezone="Europe/Paris") == [parse_instant(instant)]
    if "T" in text:
        naive = pa.array([dt.datetime.fromisoformat(text)], pa.timestamp("us"))
        assert at(naive, timezone="Europe/Paris") == [parse_instant(instant)]
    else:
        assert at([dt.date.fromisoformat(text)], pa.date32(), timezone="Europe/Paris") == [parse_instant(instant)]
        assert at([dt.date.fromisoformat(text)], pa.date64(), timezone="Europe/Paris") == [parse_instant(instant)]


def test_text_with_an_offset_ignores_the_zone() -> None:
    assert at(["2025-03-01T12:00:00Z"], timezone="Asia/Tokyo") == [MOMENT]


def test_nanoseconds_round_down_also_before_1970() -> None:
    assert at([1_999, -1, -1_000, 0], pa.timestamp("ns", "UTC")) == [1, -1, -1, 0]


@pytest.mark.parametrize(
    "values, kind, shown",
    [
        ([MOMENT, None, None], pa.timestamp("us", "UTC"), "NULL in row 1"),
        ([None], pa.string(), "NULL in row 0"),
        (["2025-03-01", "yesterday"], pa.string(), "yesterday in row 1"),
        (["2025-02-30T00:00:00Z"], pa.string(), "2025-02-30T00:00:00Z in row 0"),
        (["2025-03-01T25:00:00Z"], pa.string(), "in row 0"),
        ([2**62], pa.timestamp("s", "UTC"), "in row 0"),
        ([2**62], pa.timestamp("us", "UTC"), "in row 0"),
        ([None], pa.date32(), "NULL in row 0"),
    ],
)
def test_an_instant_that_is_missing_or_unreadable_names_the_first_bad_row(values: Any, kind: Any, shown: str) -> None:
    with pytest.raises(SpineError) as caught:
        at(values, kind)
    assert caught.value.code == "FS300"
    assert shown in caught.value.what


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.bool_(), pa.time64("us"), pa.null(), pa.duration("us")], ids=str)
def test_what_is_no_time_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(SpineError) as caught:
        at(pa.nulls(1, kind))
    assert caught.value.code == "FS303"


def test_a_missing_column_has_its_nearest() -> None:
    spine = opened(pa.table({"as_off": [1], "cust_id": [1]}))
    for code, ask in [("as_off", lambda: instants(spine, "as_of")), ("cust_id", lambda: key_column(spine, "custid", INT64))]:
        with pytest.raises(SpineError) as caught:
            ask()
        assert (caught.value.code, caught.value.hint) == ("FS303", code)


def test_an_unknown_zone() -> None:
    with pytest.raises(DefinitionError) as caught:
        at(["2025-03-01"], timezone="Europe/Atlantis")
    assert caught.value.code == "FS212"


# Keys.

KEYS = {
    "a narrow integer": (pa.array([1, None], pa.int8()), INT64, [1, None]),
    "an integer for a narrow source": (pa.array([1_000]), DType("int8"), [1_000]),
    "a uint64 beyond int64": (pa.array([2**64 - 1, 5], pa.uint64()), INT64, [None, 5]),
    "a uint64": (pa.array([2**64 - 1], pa.uint64()), UINT64, [Decimal(2**64 - 1)]),
    "a negative for a uint64": (pa.array([-1]), UINT64, [Decimal(-1)]),
    "a decimal": (pa.array([Decimal(5), Decimal(10**30), Decimal(-(2**63))], pa.decimal128(38, 0)), INT64, [5, None, -(2**63)]),
    "a wide decimal": (pa.array([Decimal(5)], pa.decimal256(38, 0)), INT64, [5]),
    "an integer for a decimal": (pa.array([5]), DType("decimal128(20, 0)"), [Decimal(5)]),
    "a dictionary of integers": (pa.array([7, None, 7]).dictionary_encode(), INT64, [7, None, 7]),
    "a dictionary of text": (pa.array(["a", None]).dictionary_encode(), STRING, ["a", None]),
    "large text": (pa.array(["a"], pa.large_string()), STRING, ["a"]),
    "a view of text": (pa.array(["a"], pa.string_view()), STRING, ["a"]),
    "run-end encoded": (pc.run_end_encode(pa.array([1, 1, 2])), INT64, [1, 1, 2]),
    "bytes of a fixed size": (pa.array([b"ab"], pa.binary(2)), DType("binary"), [b"ab"]),
    "a date in milliseconds": (pa.array([dt.date(2025, 1, 1)], pa.date64()), DATE, [dt.date(2025, 1, 1)]),
    "a bool": (pa.array([True]), BOOL, [True]),
    "only NULL": (pa.nulls(2), STRING, [None, None]),
    "in chunks": (pa.chunked_array([[1], [2]]), INT64, [1, 2]),
    "in chunks of dictionaries": (
        pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]), STRING, ["a", "b"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("story", KEYS)
def test_a_key_may_be(story: str) -> None:
    values, dtype, expected = KEYS[story]
    assert to_key(values, "id", dtype).to_pylist() == expected


@pytest.mark.parametrize(
    "values, dtype, code",
    [
        (pa.array([1.0]), INT64, "FS303"),
        (pa.array([1.0], pa.float16()), INT64, "FS303"),
        (pa.array(["1"]), INT64, "FS302"),
        (pa.array([1]), STRING, "FS302"),
        (pa.array([True]), INT64, "FS302"),
        (pa.array([Decimal("1.5")]), INT64, "FS302"),
        (pa.array([dt.datetime(2025, 1, 1)]), DATE, "FS302"),
        (pa.array([b"a"]), STRING, "FS302"),
        (pa.array([{"a": 1}]), INT64, "FS302"),
    ],
)
def test_a_key_of_another_family_is_refused_with_the_cast_to_make(values: pa.Array, dtype: DType, code: str) -> None:
    with pytest.raises(FeatureStoreError) as caught:
        to_key(values, "id", dtype)
    assert (caught.value.code, caught.value.exit_code) == (code, 4)
    assert caught.value.hint == f"a cast to {dtype}"
