"""Whole numbers of 128 bits become the nearest doubles in SQL, as Python's integers do."""

from __future__ import annotations

import math
from random import Random

import pytest

from featurestore.compiler.duckdb.windows.moments import NARROW_BITS
from featurestore.engines.duckdb import Session, Settings

RNG = Random(126)


def around(bits: int) -> list[int]:
    """Integers of so many bits: at random, and at and beside the ties between two doubles."""
    top = RNG.getrandbits(53) | 1 << 52
    shift = max(bits - 53, 0)
    ties = [(top << shift) + (1 << shift >> 1) + near for near in (-1, 0, 1)]
    return [sign * value for value in (RNG.getrandbits(bits), *ties) for sign in (1, -1)]


def in_sql(macro: str, values: list[int]) -> list[float]:
    rows = ", ".join(f"({number}, CAST('{value}' AS HUGEINT))" for number, value in enumerate(values))
    with Session(Settings(threads=1)) as session:
        return session.table(f"SELECT {macro}(x) AS y FROM (VALUES {rows}) AS t(i, x) ORDER BY i")["y"].to_pylist()


@pytest.mark.parametrize(("macro", "most"), [("exact_double", 126), ("narrow_double", NARROW_BITS)])
def test_the_nearest_double_ties_to_even(macro: str, most: int) -> None:
    values = [0, 2**NARROW_BITS, -(2**NARROW_BITS), *(v for bits in range(1, most + 1) for _ in range(6) for v in around(bits))]
    assert in_sql(macro, values) == [float(value) for value in values]


@pytest.mark.parametrize(
    ("nans", "positive", "negative", "expected"),
    [(0, 3, 0, math.inf), (0, 0, 2, -math.inf), (0, 1, 1, math.nan), (1, 0, 0, math.nan), (2, 5, 0, math.nan)],
)
def test_special_values_add_up_as_doubles_do(nans: int, positive: int, negative: int, expected: float) -> None:
    (found,) = in_sql("special_sum", [nans + positive * 2**32 + negative * 2**64])
    assert found == expected or (math.isnan(found) and math.isnan(expected))
