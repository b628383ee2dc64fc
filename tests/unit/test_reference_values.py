"""The oracle's values: one order, exact sums, and Arrow out as the definition declares it."""

from __future__ import annotations

import math
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest
from featurestore.definitions import AGGREGATES
from featurestore.engines.reference import ReferenceEngine
from featurestore.engines.reference.aggregates import AGGREGATORS, SumOverflow, Taken, aggregate, sum_of_doubles
from featurestore.engines.reference.order import canonical, rank


def test_every_aggregate_is_computed() -> None:
    assert set(AGGREGATORS) == set(AGGREGATES)


@pytest.mark.parametrize("name", AGGREGATES)
def test_an_aggregate_over_nothing_is_what_the_table_says(name: str) -> None:
    empty = AGGREGATES[name].empty
    wanted = [] if empty == () else empty
    parameter = {"q": 0.5, "k": 2, None: None}[AGGREGATES[name].parameter]
    assert aggregate(name, parameter, [], 9) == aggregate(name, parameter, [Taken(1, 1, None)], 9) == wanted


@pytest.mark.parametrize(
    "ascending",
    [
        [None, False, True],
        [None, -math.inf, -1.0, 0.0, 5e-324, math.inf, math.nan],
        [None, "", "A", "Z", "a", "ab", "é", "\uff5e", "\U0001f600"],
        [None, b"", b"\x00", b"\xff"],
        [None, [], [None], [1.0], [1.0, None], [1.0, 2.0], [math.nan]],
    ],
)
def test_the_one_order(ascending: list[object]) -> None:
    descending = ascending[::-1]
    assert sorted(descending, key=rank) == ascending
    assert len({rank(v) for v in ascending}) == len(ascending)


def test_values_are_canonical() -> None:
    assert math.copysign(1, canonical(-0.0)) == 1
    assert rank(canonical(float("-nan"))) == rank(math.nan)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300), min_size=1))
def test_a_sum_of_doubles_is_the_nearest_to_the_exact_sum(values: list[float]) -> None:
    assert sum_of_doubles(values) == math.fsum(values)
    assert sum_of_doubles(values) == sum_of_doubles(values[::-1])


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_a_sum_of_integers_is_exact_or_refused(values: list[int]) -> None:
    if -(2**63) <= sum(values) < 2**63:
        assert aggregate("sum", None, [Taken(1, 1, v) for v in values], 9) == sum(values)
    else:
        with pytest.raises(SumOverflow):
            aggregate("sum", None, [Taken(1, 1, v) for v in values], 9)


def test_the_edge_of_the_double_range_rounds_as_ieee_says() -> None:
    largest = math.ldexp(2 - 2**-52, 1023)
    half_ulp = math.ldexp(1, 969)
    assert sum_of_doubles([largest, half_ulp]) == largest
    assert Fraction(largest) + 2 * Fraction(half_ulp) == 2**1024 - 2**970
    assert sum_of_doubles([largest, half_ulp, half_ulp]) == math.inf


def test_the_answer_as_arrow_has_the_declared_types_and_nothing_else() -> None:
    source = ParquetSource(name="payments", path="payments.parquet", event_timestamp="at", delay="0s")
    view = FeatureView(
        name="v", entities=[Entity(name="customer")], source=source,
        features=[latest("amount"), latest("at"), agg.sum("amount", window="7d"), agg.count(window="7d")],
    )  # fmt: skip
    at = pa.array([1_000], pa.timestamp("ms", "Europe/Paris"))
    rows = pa.table({"customer": [1], "at": at, "amount": pa.array(["1.50"]).cast(pa.decimal128(5, 2))})
    spine = pa.table({"customer": [1, 2], "as_of": pa.array([2_000, 2_000], pa.timestamp("ms", "UTC"))})
    table = ReferenceEngine({"payments": [rows]}).answer(FeatureService(name="s", features=[view]), spine).to_arrow()
    assert table.schema == pa.schema(
        {
            "amount": pa.decimal128(5, 2),
            "at": pa.timestamp("us", "UTC"),
            "amount_sum_7d": pa.decimal128(38, 2),
            "count_7d": pa.int64(),
        }
    )
    assert [c.null_count for c in table.columns] == [1, 1, 1, 0]
