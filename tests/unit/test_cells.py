"""When cells are the same: whole arrays agree with the value-by-value rule of `truth.bits`, whatever the type or encoding."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.audit.cells import differing, plain
from featurestore.audit.truth import bits

FLOATS = st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 5e-324])
TEXTS = st.sampled_from(["", "a", "A", "é", "ab"])
SCALARS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.float64(): FLOATS,
    pa.float32(): st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]),
    pa.int64(): st.sampled_from([0, 1, 2**63 - 1, -(2**63)]),
    pa.uint8(): st.integers(0, 2),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.string_view(): TEXTS,
    pa.binary(): st.sampled_from([b"", b"\x00", b"a"]),
    pa.dictionary(pa.int32(), pa.string()): TEXTS,
    pa.decimal128(5, 2): st.sampled_from([Decimal("0.10"), Decimal("1.00")]),
    pa.timestamp("us", "UTC"): st.integers(0, 2),
    pa.date32(): st.integers(0, 2),
    pa.null(): st.none(),
}


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


NESTED: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.list_(pa.float64()): st.lists(nullable(FLOATS), max_size=2),
    pa.large_list(pa.string()): st.lists(nullable(TEXTS), max_size=2),
    pa.list_(pa.list_(pa.int64())): st.lists(nullable(st.lists(nullable(st.integers(0, 1)), max_size=2)), max_size=2),
    pa.map_(pa.string(), pa.int64()): st.dictionaries(TEXTS, nullable(st.integers(0, 1)), max_size=2).map(
        lambda d: list(d.items())
    ),
    pa.struct([("x", pa.float64()), ("y", pa.string())]): st.fixed_dictionaries({"x": nullable(FLOATS), "y": nullable(TEXTS)}),
}
TYPES = SCALARS | NESTED


def by_value(value: Any) -> Any:
    return ("struct", *((k, by_value(v)) for k, v in value.items())) if isinstance(value, dict) else bits(value)


@pytest.mark.parametrize("kind", TYPES, ids=str)
@given(data=st.data())
def test_whole_columns_differ_where_their_values_do(kind: pa.DataType, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(nullable(TYPES[kind]), nullable(TYPES[kind]), st.booleans()), max_size=12))
    first = data.draw(st.integers(0, min(2, len(pairs))))
    sides = (pa.array([x for x, _, _ in pairs], kind), pa.array([x if same else y for x, y, same in pairs], kind))
    one, other = (side.slice(first) for side in sides)
    found = differing(plain(one), plain(pa.chunked_array([other[:1], other[1:]])))
    assert found.null_count == 0
    assert found.to_pylist() == [by_value(a) != by_value(b) for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (pa.array([1, 2, None], pa.int32()), pa.array([1, 3, None], pa.int64()), [False, True, False]),
        (pa.array([1, 2]), pa.array([1.0, 2.5]), [False, True]),
        (pa.array([2**53 + 1, None]), pa.array([2.0**53, None]), [True, False]),  # no double holds it
        (pa.array(["1", None, "x"]), pa.array([1, None, None], pa.int64()), [False, False, True]),
        (pa.array(["1.5", "nan", "-0"]), pa.array([1.5, math.nan, 0.0]), [False, False, True]),
        (pa.array(["2024-01-01 00:00:00.000001Z"]), pa.array([1_704_067_200_000_001], pa.timestamp("us", "UTC")), [False]),
        (pa.array(["true", "false"]), pa.array([True, True]), [False, True]),
        (pa.array([[1]]), pa.array([1.0]), [True]),
        (
            pa.array([0x7FF8 << 48], pa.uint64()).view(pa.float64()),
            pa.array([0xFFF8 << 48 | 1], pa.uint64()).view(pa.float64()),
            [False],
        ),
        (pa.array([None, None], pa.null()), pa.array([None, "a"]), [False, True]),
    ],
    ids=str,
)
def test_other_types_are_read_in_one_that_holds_both(a: pa.Array, b: pa.Array, expected: list[bool]) -> None:
    for one, other in ((a, b), (b, a)):
        assert differing(plain(one), plain(other)).to_pylist() == expected
