"""Folds of the online store: a row per aggregate, the one order of values, and ties among facts of one event time."""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from featurestore.definitions import AGGREGATES
from featurestore.dtypes import DType
from featurestore.engines.reference.aggregates import Taken, aggregate
from featurestore.online.order import ranked
from featurestore.retrieval.online_folds import AGES, FOLDS, TIMED, Aggregated

PARAMETERS = {"q": (0.0, 0.3, 0.5, 0.999, 1.0), "k": (1, 2, 3, 100), None: (None,)}
VALUES: dict[str, tuple[Any, ...]] = {
    "double": (math.nan, math.inf, -math.inf, 0.0, 1.5, 1.5, 1e16, 1e308, -1e308, 5e-324),
    "int64": (0, 1, 1, -1, 2**58, -(2**58)),
    "string": ("", "a", "Z", "é", "\U0001f600", "\uffff"),
    "bool": (True, False),
    "decimal128(38, 3)": tuple(
        map(Decimal, ("0.000", "-0.001", "0.001", "12345678901234567890123456789012.345", "2.500", "2.500"))
    ),
    "list<double>": ([], [None], [1.0], [1.0, None], [math.nan], [-math.inf, 2.0]),
}
TAKES = [(name, t) for name, row in AGGREGATES.items() for t in VALUES if row.result(DType(t)) is not None]
"""Each aggregate with each type it takes."""


def test_every_aggregate_has_a_fold() -> None:
    assert set(FOLDS) == set(AGGREGATES)


@pytest.mark.parametrize("name", AGGREGATES)
def test_known_time_is_kept_for_those_that_ask_for_it(name: str) -> None:
    assert AGGREGATES[name].by_time == (FOLDS[name].takes == TIMED)


@pytest.mark.parametrize(("name", "dtype"), TAKES)
def test_a_fold_is_what_the_oracle_makes_of_the_same_facts(name: str, dtype: str) -> None:
    taken = DType(dtype)
    result = AGGREGATES[name].result(taken)
    assert result is not None
    rng = Random(f"{name}/{dtype}")
    for number in range(200):
        facts = [Taken(rng.choice((1, 2, 3)), rng.choice((5, 6)), rng.choice(VALUES[dtype])) for _ in range(number % 12)]
        parameter = rng.choice(PARAMETERS[AGGREGATES[name].parameter])
        assert repr(_folded(name, parameter, taken, result, facts)) == repr(aggregate(name, parameter, facts, 9)), facts


def _folded(name: str, parameter: Any, taken: DType, result: DType, facts: list[Taken]) -> Any:
    folding = FOLDS[name]
    ordered = sorted(facts, key=lambda fact: fact.e)
    if folding.takes == TIMED:
        given: list[Any] = [tuple(fact) for fact in ordered]
    else:
        given = [9 - fact.e if folding.takes == AGES else fact.value for fact in ordered]
    return folding.make(Aggregated(parameter, taken, result))(given)


def test_an_integer_sum_outside_its_type_is_an_overflow() -> None:
    fold = FOLDS["sum"].make(Aggregated(None, DType("int64"), DType("int64")))
    assert fold([2**62, 2**62, -1]) == 2**63 - 1
    for beyond in ([2**62, 2**62], [-(2**62), -(2**62), -1]):
        with pytest.raises(OverflowError):
            fold(beyond)


@pytest.mark.parametrize("name", ["sum", "mean", "var_samp", "var_pop", "stddev_pop"])
def test_decimals_and_doubles_far_apart_keep_every_digit(name: str) -> None:
    wide = [Decimal("9" * 29 + ".12345678"), Decimal("-0.00000001"), Decimal("12.5")]
    for values in (wide, [1e308, -1e308, 5e-324], [1e16, 1.0, 2.0], [10000000.1, 10000000.2, 10000000.3], [5e-324, 5e-324]):
        dtype = DType("double" if isinstance(values[0], float) else "decimal128(38, 8)")
        facts = [Taken(number, number, value) for number, value in enumerate(values)]
        result = AGGREGATES[name].result(dtype)
        assert result is not None
        assert repr(_folded(name, None, dtype, result, facts)) == repr(aggregate(name, None, facts, 9))


def test_what_python_orders_rightly_needs_no_stand_in() -> None:
    assert [ranked(DType(t)) for t in ("int64", "uint64", "string", "binary", "bool", "date32", "decimal128(5, 2)")] == [
        None
    ] * 7
