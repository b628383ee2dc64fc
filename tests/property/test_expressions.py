"""Every operation and cast means the same in DuckDB SQL and in the oracle, on the operands that break expressions.

The oracle's evaluator is also what a look-up uses, with days for dates and trees that went through the store's JSON: that
is compared as well, and whether an operation had no value. Operands are drawn from pools of values by type, in every
combination of types an operation allows; results are compared bit by bit, and those of exp, ln and power to 2 units in the
last place. A row of a table without a test fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from random import Random
from typing import Any

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore import expressions, trees
from featurestore.compiler.duckdb import scalars
from featurestore.compiler.spark import scalars as spark
from featurestore.dtypes import BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP, DType, parse_dtype
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.reference import evaluate
from featurestore.expressions import CASTS, OPERATIONS, Call, Cast, Column, Expr, Literal
from tests.property.operands import (
    COLUMN_TYPES,
    CONSTANTS,
    POOLS,
    SIGNATURES,
    TWO_ULP,
    alike,
    drawn,
    read_found,
    rows_of,
    table_of,
    tree,
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(Settings(threads=1)) as opened:
        yield opened


def test_every_operation_and_cast_is_in_every_table_and_tried_here() -> None:
    assert set(scalars.OPERATIONS) == set(OPERATIONS) == set(evaluate.EVALUATORS) == set(SIGNATURES)
    assert set(spark.OPERATIONS) == set(OPERATIONS)
    assert set(spark.CASTS) == set(scalars.CASTS) == set(CASTS) == set(evaluate.CAST_EVALUATORS) == set(evaluate.DAY_CASTS)
    assert {dtype for cast in CASTS for dtype in cast} <= set(POOLS)


@pytest.mark.fuzz
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_means_the_same_in_sql(operation: str, session: Session, fuzz_cases: int) -> None:
    def one(rng: Random) -> None:
        for signature in SIGNATURES[operation]:
            columns = drawn(rng, signature)
            for constant in CONSTANTS.get(operation, (None,)):
                operands = [*map(Column, columns), *([] if constant is None else [Literal(constant)])]
                check(session, Call(operation, tuple(operands)), columns, ulps=2 if operation in TWO_ULP else 0)

    repeated(one, fuzz_cases, operation)


@pytest.mark.fuzz
@pytest.mark.parametrize("cast", CASTS, ids=" to ".join)
def test_a_cast_means_the_same_in_sql(cast: tuple[str, str], session: Session, fuzz_cases: int) -> None:
    def one(rng: Random) -> None:
        columns = drawn(rng, (cast[0],))
        check(session, Cast(Column("c0"), parse_dtype(cast[1])), columns)

    repeated(one, fuzz_cases, str(cast))


@pytest.mark.fuzz
def test_trees_of_operations_mean_the_same_in_sql(session: Session, fuzz_cases: int) -> None:
    """Nesting shows what single operations cannot: precedence when printed, literals, NULL literals, conditions."""

    def one(rng: Random) -> None:
        columns = drawn(rng, tuple(COLUMN_TYPES))
        for _ in range(20):
            dtype = rng.choice((INT64, DOUBLE, BOOL, STRING, TIMESTAMP, DATE))
            check(session, tree(rng, dtype, 3), columns)

    repeated(one, fuzz_cases, "trees", times=3)


def repeated(one: Any, fuzz_cases: int, name: str, *, times: int = 1) -> None:
    """Once in `make test` (every seed has ROWS rows of operands), more often in `make fuzz`."""

    @hypothesis.settings(
        max_examples=max(1, times * fuzz_cases // 3_000), phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @hypothesis.given(seed=st.integers(0, 2**64 - 1))
    def draw(seed: int) -> None:
        one(Random(f"{name}/{seed}"))

    draw()


def check(session: Session, expression: Expr, columns: Mapping[str, tuple[DType, list[Any]]], *, ulps: int = 0) -> None:
    """The column DuckDB computes is the one the oracle does, and a look-up; so is where an operation had no value."""
    types = {name: dtype for name, (dtype, _) in columns.items()}
    table = table_of(columns)
    result = expressions.result_type(expression, types, what="the test")
    sql = scalars.scalar(expression, types, scalars.quoted, result)
    session.bind("operands", table.append_column("row_number", pa.array(range(table.num_rows))))
    missed = trees.without_value(expression, types)
    flag = "FALSE" if missed is None else scalars.condition(missed, types, scalars.quoted)
    both = session.table(f"SELECT {sql} AS x, {flag} AS missed FROM operands ORDER BY row_number")
    found = both["x"]
    assert found.type == result.arrow
    rows = rows_of(table)
    expected = map(evaluate.evaluator(expression, types), rows)
    got = read_found(found)
    wrong = [(row, e, g) for row, e, g in zip(rows, expected, got, strict=True) if not alike(e, g, ulps)]
    assert not wrong, (
        f"{expressions.normalised(expression)}\n{sql}\n(operands, oracle, DuckDB) of {len(wrong)} rows: {wrong[:5]}"
    )
    lacks = evaluate.lacking(expression, types)
    wrong = [(row, told) for row, told in zip(rows, both["missed"].to_pylist(), strict=True) if lacks(row) is not told]
    assert not wrong, f"{expressions.normalised(expression)}\n{flag}\n(operands, no value in DuckDB): {wrong[:5]}"
    check_look_up(expression, types, rows, got, ulps)


def check_look_up(
    expression: Expr, types: Mapping[str, DType], rows: Sequence[Mapping[str, Any]], expected: list[Any], ulps: int
) -> None:
    """What a look-up evaluates, of a tree that the store kept, is what DuckDB computed."""
    kept = trees.from_data(json.loads(json.dumps(trees.to_data(expression))))
    assert kept == expression
    value = evaluate.evaluator(kept, types, evaluate.DAY_CASTS)
    got = [value({name: in_days(v) for name, v in row.items()}) for row in rows]
    wrong = [(row, e, g) for row, e, g in zip(rows, map(in_days, expected), got, strict=True) if not alike(e, g, ulps)]
    assert not wrong, f"{expressions.normalised(expression)}\n(operands, DuckDB, look-up) of {len(wrong)} rows: {wrong[:5]}"


def in_days(value: Any) -> Any:
    return (value - date(1970, 1, 1)).days if isinstance(value, date) else value
