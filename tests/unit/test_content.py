"""The content hash: equal for equal content, however it is sliced, encoded inside or laid out."""

from __future__ import annotations

import random
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore.retrieval.content import ContentHash

COLUMNS = {
    "int64": pa.array([1, None, 3, 4, 0]),
    "bool": pa.array([True, None, False, True, None]),
    "double": pa.array([1.5, None, float("nan"), -0.0, 0.0]),
    "half": pa.array([1, None, 2, 3, 4], pa.float16()),
    "text": pa.array(["a", None, "", "bc", "größe"]),
    "large text": pa.array(["a", None, "", "bc", "d"], pa.large_string()),
    "text view": pa.array(["a", None, "", "bc", "long enough not to be kept inline"], pa.string_view()),
    "binary": pa.array([b"a", None, b"", b"\0", b"\xff"]),
    "fixed binary": pa.array([b"ab", None, b"cd", b"\0\0", b"ef"], pa.binary(2)),
    "dictionary": pa.array(["a", None, "b", "a", "b"]).dictionary_encode(),
    "timestamp": pa.array([1, None, 2, 3, 4], pa.timestamp("ns", "Europe/Paris")),
    "time": pa.array([1, None, 2, 3, 4], pa.time32("s")),
    "duration": pa.array([1, None, 2, 3, 4], pa.duration("ns")),
    "interval": pa.array([(1, 2, 3), None, (0, 0, 1), (0, 0, 2), (0, 0, 3)], pa.month_day_nano_interval()),
    "decimal": pa.array([Decimal("1.5"), None, Decimal("-1.5"), Decimal(0), Decimal("9.9")], pa.decimal128(2, 1)),
    "wide decimal": pa.array([Decimal(1), None, Decimal(2), Decimal(3), Decimal(4)], pa.decimal256(60, 0)),
    "list": pa.array([[1], None, [], [2, None], [3, 4]]),
    "list of text": pa.array([["a"], None, [], ["b", None], ["", "cd"]], pa.large_list(pa.string())),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2, "b": None}, {"a": 3, "b": ""}]),
    "map": pa.array([[("a", 1)], None, [], [("b", 2)], [("c", None)]], pa.map_(pa.string(), pa.int64())),
    "map of times": pa.array([[(1, 1)], None, [], [(2, 2), (1, 3)], [(5, 1)]], pa.map_(pa.timestamp("us", "UTC"), pa.int64())),
    "list of maps": pa.array([[[("a", 1)]], None, [], [None, []], [[("b", 2)]]], pa.list_(pa.map_(pa.string(), pa.int64()))),
    "null": pa.nulls(5),
}


def content(*tables: pa.Table) -> str:
    hashed = ContentHash(tables[0].schema)
    for table in tables:
        hashed.update(table)
    return hashed.hexdigest()


def of(column: pa.Array | pa.ChunkedArray, name: str = "x") -> str:
    return content(pa.table({name: column}))


@pytest.mark.parametrize("kind", COLUMNS)
def test_slices_and_chunks_do_not_show(kind: str) -> None:
    column = COLUMNS[kind]
    table = pa.table({"x": column})
    whole = content(table)
    for cuts in ([1, 4], [2, 3], [1, 1, 1, 1, 1], [0, 5, 0]):
        starts = [sum(cuts[:i]) for i in range(len(cuts))]
        slices = [table.slice(start, rows) for start, rows in zip(starts, cuts, strict=True)]
        assert content(*slices) == whole
        assert content(pa.concat_tables(slices)) == whole


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_value_and_its_place_shows(kind: str) -> None:
    column = COLUMNS[kind]
    others = [column.slice(0, 4), pa.concat_arrays([column, column])]
    if kind != "null":
        first, second, *rest = column.to_pylist()
        changed = ([second, first, *rest], [first, first, *rest], [None] * 5)
        others += [pa.array(values, column.type) for values in changed]
    assert len({of(x) for x in [column, *others]}) == len(others) + 1


def test_what_lies_under_a_null_does_not_show() -> None:
    masked = pa.array([1, 2, 3], mask=pa.array([False, True, False]).to_numpy(zero_copy_only=False))
    hidden = pa.Array.from_buffers(pa.int64(), 3, [masked.buffers()[0], pa.array([1, 99, 3]).buffers()[1]])
    assert hidden.equals(masked)
    assert of(hidden) == of(masked)


@pytest.mark.parametrize(
    "one, other",
    [
        (["ab", "c"], ["a", "bc"]),
        ([None, ""], ["", None]),
        ([None, 0], [0, None]),
        ([[1], [2, 3]], [[1, 2], [3]]),
        ([0.0], [-0.0]),
    ],
)
def test_neighbours_do_not_run_together(one: list[object], other: list[object]) -> None:
    assert of(pa.array(one)) != of(pa.array(other))


@pytest.mark.parametrize("kind", ["map", "map of times", "list of maps", "list", "list of text", "struct"])
def test_a_file_holds_the_same_content(kind: str) -> None:
    table = pa.table({"x": COLUMNS[kind]})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    assert content(pq.read_table(pa.BufferReader(buffer.getvalue()))) == content(table)


@pytest.mark.parametrize(
    "other",
    [
        [[("b", 2), ("a", 1)], [("c", 3)]],
        [[("a", 1)], [("b", 2), ("c", 3)]],
        [[("a", 1), ("b", 3)], [("c", 3)]],
        [[("a", 1), ("c", 2)], [("b", 3)]],
    ],
)
def test_pairs_of_maps_their_order_and_their_row_show(other: list[object]) -> None:
    kind = pa.map_(pa.string(), pa.int64())
    assert of(pa.array([[("a", 1), ("b", 2)], [("c", 3)]], kind)) != of(pa.array(other, kind))


def test_names_types_and_order_of_columns_show() -> None:
    a, b = pa.array([1]), pa.array([2])
    tables = [
        pa.table({"a": a, "b": b}), pa.table({"b": b, "a": a}), pa.table({"a": b, "b": a}), pa.table({"a": a, "c": b}),
        pa.table({"a": a.cast(pa.int32()), "b": b}), pa.table({"a": a}),
    ]  # fmt: skip
    assert len({content(t) for t in tables}) == len(tables)


def test_a_dictionarys_own_order_does_not_show() -> None:
    one = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", "b"]))
    other = pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array(["b", "a"]))
    assert of(one) == of(other)


def test_an_empty_table_has_one_hash_however_many_chunks_it_has() -> None:
    schema = pa.schema([("x", pa.string()), ("y", pa.list_(pa.int64()))])
    chunked = pa.Table.from_batches([], schema)
    assert content(chunked) == content(schema.empty_table()) == content(schema.empty_table(), chunked)


def test_random_cuts_of_many_rows() -> None:
    rng = random.Random(1)
    table = pa.table({"i": pa.arange(0, 10_000), "s": [str(rng.random()) for _ in range(10_000)]})
    cuts = sorted(rng.sample(range(10_000), 30))
    pieces = [table.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    assert content(*pieces) == content(table)
    assert content(table.take(pc.sort_indices(table["s"]))) != content(table)
