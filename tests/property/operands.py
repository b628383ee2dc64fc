"""Operands that break expressions, by type; which types an operation is tried with; random trees of operations.

What engines are compared on: `test_expressions.py` here for DuckDB and look-ups, `tests/spark` for Spark.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa

from featurestore import expressions
from featurestore.dtypes import BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP, DType, parse_dtype
from featurestore.engines.reference.times import Reading
from featurestore.engines.reference.values import read_values
from featurestore.expressions import CASTS, Call, Cast, Column, Expr, Literal
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


def table_of(columns: Mapping[str, tuple[DType, list[Any]]]) -> pa.Table:
    return pa.table({name: _array(values, dtype) for name, (dtype, values) in columns.items()})


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as the oracle reads them."""
    read = {name: read_values(table[name], Reading("UTC", late=True, date_is="start")) for name in table.column_names}
    return [dict(zip(read, row, strict=True)) for row in zip(*read.values(), strict=True)]


def _array(values: list[Any], dtype: DType) -> pa.Array:
    return pa.array(values, pa.int64()).cast(dtype.arrow) if dtype.is_timestamp else pa.array(values, dtype.arrow)


def read_found(column: pa.ChunkedArray) -> list[Any]:
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()


def alike(expected: Any, found: Any, ulps: int) -> bool:
    if comparable(expected) == comparable(found):
        return True
    both = isinstance(expected, float) and isinstance(found, float) and math.isfinite(expected) and math.isfinite(found)
    return both and ulps > 0 and abs(expected - found) <= ulps * math.ulp(expected)


COLUMN_TYPES = ("int64", "double", "string", "bool", "date32", "timestamp[us, UTC]", "int8", "float")
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
    names = [f"c{i}" for i, name in enumerate(COLUMN_TYPES) if expressions.widened(parse_dtype(name)) == dtype]
    return Column(rng.choice(names))
