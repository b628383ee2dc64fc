"""The oracle's evaluator: complete, and right where a table of cases in tests/spec cannot easily reach."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.dtypes import DOUBLE, INT64, STRING, TIMESTAMP
from featurestore.engines.reference.evaluate import CAST_EVALUATORS, EVALUATORS, evaluator
from featurestore.expressions import CASTS, OPERATIONS, parse

TYPES = {"a": INT64, "b": INT64, "x": DOUBLE, "y": DOUBLE, "s": STRING, "t": TIMESTAMP}
INT64S = st.integers(-(2**63), 2**63 - 1)


def value(text: str, **row: object) -> object:
    return evaluator(parse(text), TYPES)(row)


def test_every_operation_has_an_evaluator() -> None:
    assert set(EVALUATORS) == set(OPERATIONS)


def test_every_cast_has_an_evaluator() -> None:
    assert set(CAST_EVALUATORS) == set(CASTS)


NULL_AWARE = {"and", "or", "is_null", "in", "case", "coalesce", "nullif", "greatest", "least"}


def test_operations_that_see_nulls_are_those_whose_table_row_says_so() -> None:
    assert {name for name, e in EVALUATORS.items() if e.takes_null} == NULL_AWARE
    assert {name for name, o in OPERATIONS.items() if o.nulls} <= NULL_AWARE


@given(INT64S, INT64S)
def test_integers_are_exact_or_null(a: int, b: int) -> None:
    for sign, exact in (("+", a + b), ("-", a - b), ("*", a * b)):
        assert value(f"a {sign} b", a=a, b=b) == (exact if -(2**63) <= exact < 2**63 else None)


@given(INT64S, INT64S.filter(bool))
def test_a_remainder_is_smaller_than_the_divisor_and_has_the_sign_of_the_dividend(a: int, b: int) -> None:
    rest = value("a % b", a=a, b=b)
    assert isinstance(rest, int)
    assert abs(rest) < abs(b)
    assert rest == 0 or (rest < 0) == (a < 0)
    assert (a - rest) % b == 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_halves_round_away_from_zero(x: float) -> None:
    near = value("round(x)", x=x)
    assert isinstance(near, float)
    assert near.is_integer()
    assert abs(near - x) <= 0.5
    if abs(near - x) == 0.5:
        assert abs(near) > abs(x)


@pytest.mark.parametrize("a, b", [(-2.0, math.inf), (-0.5, math.inf), (-2.0, math.nan), (1.0, math.nan), (math.nan, 0.0)])
def test_powers_of_infinities_and_nan_are_ieee(a: float, b: float) -> None:
    assert repr(value("power(x, y)", x=a, y=b)) == repr(math.pow(a, b))


@pytest.mark.parametrize(
    "micros, year, month, day",
    [(253402300800000000, 10000, 1, 1), (-62135596800000001, 0, 12, 31), (-(2**62), -144169, 6, 28)],
)
def test_years_beyond_pythons_calendar_are_gregorian(micros: int, year: int, month: int, day: int) -> None:
    assert [value(f"{part}(t)", t=micros) for part in ("year", "month", "day")] == [year, month, day]


@pytest.mark.parametrize("part", ["year", "month", "day", "hour", "isodow"])
def test_an_infinite_timestamp_has_no_parts(part: str) -> None:
    assert value(f"{part}(t)", t=2**63 - 1) is None
    assert value(f"{part}(t)", t=-(2**63) + 1) is None


def test_a_bare_column_is_not_widened() -> None:
    assert value("a", a=2**64 - 1) == 2**64 - 1
    assert value("a + 0", a=2**64 - 1) is None


@pytest.mark.parametrize(
    "text, number", [(".5", 0.5), ("5.", 5.0), ("+1e+2", 100.0), ("1e999", None), ("-1e999", None), ("1e", None)]
)
def test_text_as_a_double(text: str, number: float | None) -> None:
    assert value("CAST(s AS DOUBLE)", s=text) == number
