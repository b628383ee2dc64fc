"""Every operation and cast means the same in DuckDB SQL and in the oracle, on the operands that break expressions.

The oracle's evaluator is also what a look-up uses, with days for dates and trees that went through the store's JSON: that
is compared as well, and whether an operation had no value. Operands are drawn from pools of values by type, in every
combination of types an operation allows; results are compared bit by bit, and those of exp, ln and power to 2 units in the
last place. A row of a table without a test fails here.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore import expressions, trees
from featurestore.compiler.duckdb import scalars
from featurestore.dtypes import BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP, DType, parse_dtype
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.reference import evaluate
from featurestore.engines.reference.times import Reading
from featurestore.engines.reference.values import read_values
from featurestore.expressions import CASTS, OPERATIONS, Call, Cast, Column, Expr, Literal
from tests.spec.spread import comparable

ROWS = 300
LEAST, GREATEST = -(2**63), 2**63 - 1
INTEGERS = (
    0, 1, -1, 2, 3, -7, 10, 2**31, -(2**31), 2**53, 2**53 + 1, -(2**53) - 1, GREATEST, LEAST, LEAST + 1,
    GREATEST - 1,
)  # fmt: skip
DOUBLES = (
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 0.2, 1e16, 1e300, -1e300, 1.7976931348623157e308, 5e-324,
    2.0**63, -(2.0**63), 2.0**63 - 1024, 9007199254740993.0, 0.49999999999999994, 4503599627370497.5, math.inf,
    -math.inf, math.nan, 709.8, -745.2, 3.0,
)  # fmt: skip
TEXTS = (
    "", " ", "a", "A", "a ", "  b  ", "\u00e9", "e\u0301", "\u00c9", "\U0001f600", "\uffff", "\ta\n",
    "\u00a0x\u00a0", "\u0130", "ß", "1", "+1", "-0", "007", "1.5", ".5", "5.", "1e3", "-1E-400", "1e400", "inf",
    "nan", "NaN", "0x10", "1_000", " 1", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
    "\u0661", "it's", "a\x00b", "%", "_", "\\", "12345678901234567890", "1.7976931348623159e308",
)  # fmt: skip
DAY = 86_400_000_000
INSTANTS = (
    0, -1, 1, DAY - 1, -DAY, -DAY - 1, 1_709_164_800_000_000, 951_782_400_000_000 - 1, -2_208_988_800_000_000,
    -11_644_473_600_000_001, -62_135_596_800_000_000, 253_402_300_799_999_999, 4_102_444_799_999_999,
    -9_214_560_000_000_000, 1_700_000_000_123_456,
)  # fmt: skip
DAYS = ("1970-01-01", "1969-12-31", "2024-02-29", "1582-10-14", "0001-01-01", "9999-12-31")
POOLS: Mapping[str, Sequence[Any]] = {
    "int64": INTEGERS,
    "int8": (0, 1, -1, 127, -128),
    "uint64": (0, 1, 2**53 + 1, GREATEST, 2**63, 2**64 - 1),
    "double": DOUBLES,
    "float": (0.0, -0.0, 1.5, 0.10000000149011612, 3.4028234663852886e38, 1.401298464324817e-45, math.nan, math.inf, -math.inf),
    "decimal128(18, 4)": tuple(Decimal(d).scaleb(-4) for d in (0, 1, -1, 25_000, 10**17 + 1, -(10**17) - 1, 10**18 - 1)),
    "decimal128(38, 0)": tuple(Decimal(d) for d in (0, 1, 2**53 + 1, 10**37 + 1, -(2**64))),
    "string": TEXTS,
    "bool": (True, False),
    "date32": tuple(map(date.fromisoformat, DAYS)),
    "timestamp[us, UTC]": INSTANTS,
    "binary": (b"", b"\x00", b"a"),
    "list<double>": ([], [1.0], [None]),
}
"""Values of every type a column may have; NULL is added when drawn."""

NUMBERS = ("int64", "double", "int8", "uint64", "float", "decimal128(18, 4)", "decimal128(38, 0)")
_PAIRS = [
    *itertools.product(("int64", "double"), repeat=2),
    ("int8", "uint64"),
    ("float", "decimal128(18, 4)"),
    ("uint64", "int64"),
]
_ALIKE = [("string",) * 2, ("bool",) * 2, ("date32",) * 2, ("timestamp[us, UTC]",) * 2]
_MANY = [(a, b, a) for a, b in [*_PAIRS, *_ALIKE]]


def _each(names: Sequence[str], signatures: Sequence[tuple[str, ...]]) -> dict[str, Sequence[tuple[str, ...]]]:
    return dict.fromkeys(names, signatures)


SIGNATURES: Mapping[str, Sequence[tuple[str, ...]]] = {
    **_each(("add", "subtract", "multiply", "divide"), _PAIRS),
    "modulo": [("int64", "int64"), ("int8", "int64"), ("uint64", "int8")],
    **_each(("negate", "abs", "floor", "ceil", "round", "sqrt", "ln", "exp", "is_nan"), [(n,) for n in NUMBERS]),
    **_each(("equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "nullif"), [*_PAIRS, *_ALIKE]),
    **_each(("in", "coalesce", "greatest", "least"), [*_MANY, *_PAIRS, *_ALIKE]),
    **_each(("and", "or"), [("bool", "bool")]),
    "not": [("bool",)],
    "is_null": [(name,) for name in POOLS],
    "case": [("bool", a, b) for a, b in [*_PAIRS, *_ALIKE]] + [("bool", "int64", "bool", "double", "int64")],
    "power": _PAIRS,
    **_each(("length", "lower", "upper", "trim"), [("string",)]),
    **_each(("concat", "starts_with", "ends_with", "contains"), [("string", "string")]),
    "matches": [("string",)],
    **_each(("year", "month", "day", "hour", "day_of_week", "epoch_us"), [("timestamp[us, UTC]",)]),
}  # fmt: skip
"""Operation -> the column types it is tried with."""

CONSTANTS: Mapping[str, Sequence[str]] = {
    "matches": (
        "[a-zA-Z]*", ".*", "[^a]+", r"\s*\w+\s*", r"-?\d{1,3}", "(a|e\u0301|\u00e9)+", ".?.?", r"[\s\S]{2,}", "a\x00b", "it's",
    ),
}  # fmt: skip
"""The last operand of an operation that takes a constant there."""
TWO_ULP = {"exp", "ln", "power"}


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(Settings(threads=1)) as opened:
        yield opened


def test_every_operation_and_cast_is_in_every_table_and_tried_here() -> None:
    assert set(scalars.OPERATIONS) == set(OPERATIONS) == set(evaluate.EVALUATORS) == set(SIGNATURES)
    assert set(scalars.CASTS) == set(CASTS) == set(evaluate.CAST_EVALUATORS) == set(evaluate.DAY_CASTS)
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
        columns = drawn(rng, tuple(_COLUMN_TYPES))
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


def drawn(rng: Random, signature: Sequence[str]) -> dict[str, tuple[DType, list[Any]]]:
    """Columns c0, c1, … : all combinations of the pools if there are few, then random ones."""
    pools = [(None, *POOLS[name]) for name in signature]
    combined = list(itertools.product(*pools)) if math.prod(map(len, pools)) <= 1_600 else []
    combined += [tuple(_value(rng, name) for name in signature) for _ in range(ROWS)]
    columns = zip(*combined, strict=True)
    return {f"c{i}": (parse_dtype(name), list(values)) for i, (name, values) in enumerate(zip(signature, columns, strict=True))}


def _value(rng: Random, name: str) -> Any:
    chance = rng.random()
    if chance < 0.1:
        return None
    if chance < 0.5:
        return rng.choice(POOLS[name])
    if name == "int64":
        return rng.randrange(LEAST, GREATEST) >> rng.randrange(64)
    if name == "double":
        return rng.uniform(-10, 10) * 10.0 ** rng.choice((0, 0, 0, 5, 18, -5, -300))
    if name == "timestamp[us, UTC]":
        return rng.randrange(INSTANTS[10], 10**17) >> rng.randrange(40)  # from year 1: Python has no date before it
    if name == "string":
        return "".join(rng.choice(TEXTS) for _ in range(rng.randrange(4)))
    return rng.choice(POOLS[name])


def check(session: Session, expression: Expr, columns: Mapping[str, tuple[DType, list[Any]]], *, ulps: int = 0) -> None:
    """The column DuckDB computes is the one the oracle does, and a look-up; so is where an operation had no value."""
    types = {name: dtype for name, (dtype, _) in columns.items()}
    table = pa.table({name: _array(values, dtype) for name, (dtype, values) in columns.items()})
    result = expressions.result_type(expression, types, what="the test")
    sql = scalars.scalar(expression, types, scalars.quoted, result)
    session.bind("operands", table.append_column("row_number", pa.array(range(table.num_rows))))
    missed = trees.without_value(expression, types)
    flag = "FALSE" if missed is None else scalars.condition(missed, types, scalars.quoted)
    both = session.table(f"SELECT {sql} AS x, {flag} AS missed FROM operands ORDER BY row_number")
    found = both["x"]
    assert found.type == result.arrow
    read = {name: read_values(table[name], Reading("UTC", late=True, date_is="start")) for name in types}
    rows = [dict(zip(read, row, strict=True)) for row in zip(*read.values(), strict=True)]
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


def _array(values: list[Any], dtype: DType) -> pa.Array:
    return pa.array(values, pa.int64()).cast(dtype.arrow) if dtype.is_timestamp else pa.array(values, dtype.arrow)


def read_found(column: pa.ChunkedArray) -> list[Any]:
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()


def alike(expected: Any, found: Any, ulps: int) -> bool:
    if comparable(expected) == comparable(found):
        return True
    both = isinstance(expected, float) and isinstance(found, float) and math.isfinite(expected) and math.isfinite(found)
    return both and ulps > 0 and abs(expected - found) <= ulps * math.ulp(expected)


_COLUMN_TYPES = ("int64", "double", "string", "bool", "date32", "timestamp[us, UTC]", "int8", "float")
_LITERALS: Mapping[DType, Sequence[Any]] = {
    INT64: (0, 1, -1, 7, GREATEST, -GREATEST),
    DOUBLE: (0.0, 0.5, -1.5, 1e300, 1e-300),
    STRING: ("", "a", "it's", "\u00e9", "10"),
    BOOL: (True, False),
}
_BY_RESULT: Mapping[DType, Sequence[tuple[str, tuple[DType, ...]]]] = {
    INT64: [
        ("add", (INT64, INT64)), ("subtract", (INT64, INT64)), ("multiply", (INT64, INT64)), ("modulo", (INT64,
        INT64)), ("negate", (INT64,)), ("abs", (INT64,)), ("length", (STRING,)), ("year", (TIMESTAMP,)),
        ("epoch_us", (TIMESTAMP,)), ("coalesce", (INT64, INT64)), ("case", (BOOL, INT64, INT64)), ("greatest",
        (INT64, INT64)), ("nullif", (INT64, INT64))],
    DOUBLE: [
        ("add", (DOUBLE, INT64)), ("subtract", (DOUBLE, DOUBLE)), ("multiply", (INT64, DOUBLE)), ("divide", (INT64,
        INT64)), ("divide", (DOUBLE, DOUBLE)), ("negate", (DOUBLE,)), ("floor", (DOUBLE,)), ("round", (DOUBLE,)),
        ("sqrt", (DOUBLE,)), ("coalesce", (DOUBLE, INT64)), ("case", (BOOL, INT64, DOUBLE)), ("least", (DOUBLE,
        INT64))],
    BOOL: [
        ("equal", (INT64, DOUBLE)), ("less", (DOUBLE, DOUBLE)), ("greater_equal", (STRING, STRING)), ("not_equal",
        (DATE, DATE)), ("and", (BOOL, BOOL)), ("or", (BOOL, BOOL)), ("not", (BOOL,)), ("is_null", (DOUBLE,)),
        ("is_null", (STRING,)), ("in", (INT64, INT64, INT64)), ("contains", (STRING, STRING)), ("is_nan",
        (DOUBLE,)), ("less_equal", (TIMESTAMP, TIMESTAMP)), ("equal", (BOOL, BOOL)), ("case", (BOOL, BOOL, BOOL))],
    STRING: [
        ("concat", (STRING, STRING)), ("upper", (STRING,)), ("trim", (STRING,)), ("coalesce", (STRING, STRING)),
        ("case", (BOOL, STRING, STRING)), ("nullif", (STRING, STRING))],
    DATE: [
        ("coalesce", (DATE, DATE)), ("greatest", (DATE, DATE))],
    TIMESTAMP: [
        ("least", (TIMESTAMP, TIMESTAMP)), ("case", (BOOL, TIMESTAMP, TIMESTAMP))],
}  # fmt: skip
"""Result type -> operations that give it, with the types of their operands."""


def tree(rng: Random, dtype: DType, depth: int) -> Expr:
    """A random expression of a type: always at least one operation deep, so that it computes."""
    if depth < 3 and (depth == 0 or rng.random() < 0.2):
        return _leaf(rng, dtype)
    casts = [cast for cast in CASTS if cast[1] == dtype.name]
    if casts and rng.random() < 0.15:
        return Cast(tree(rng, parse_dtype(rng.choice(casts)[0]), depth - 1), dtype)
    operation, operands = rng.choice(_BY_RESULT[dtype])
    return Call(operation, tuple(tree(rng, o, depth - 1) for o in operands))


def _leaf(rng: Random, dtype: DType) -> Expr:
    if dtype in _LITERALS and rng.random() < 0.35:
        return Literal(rng.choice(_LITERALS[dtype]))
    names = [f"c{i}" for i, name in enumerate(_COLUMN_TYPES) if expressions.widened(parse_dtype(name)) == dtype]
    return Column(rng.choice(names))
