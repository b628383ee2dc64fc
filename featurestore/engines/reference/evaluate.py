"""Compute expressions, one row at a time, from their tree (CONTRACT 9). Which trees are allowed is decided elsewhere.

Two tables are the whole of it: EVALUATORS, one row per operation, and CAST_EVALUATORS, one row per cast. A result that
is NULL where no operand is (overflow, zero divisor, failed cast) is an operation without a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from featurestore.dtypes import DOUBLE, DType
from featurestore.engines.reference.order import GREATEST_INT64, LEAST_INT64, canonical, rank
from featurestore.engines.reference.times import DAY, SECOND
from featurestore.expressions import Call, Cast, Column, Expr, Literal, operand_type
from featurestore.patterns import matches

Row = Mapping[str, Any]
_FOUR_CENTURIES = 146_097
_EPOCH_DAY = date(1970, 1, 1)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


Casts = Mapping[tuple[str, str], Callable[[Any], Any]]


def evaluator(expression: Expr, types: Mapping[str, DType], casts: Casts | None = None) -> Callable[[Row], Any]:
    """The expression as a function of a row {column: value}. A bare column is passed on as it is, not widened.

    casts: instead of CAST_EVALUATORS, where dates are not Python's.
    """
    if isinstance(expression, Column):
        name = expression.name
        return lambda row: row[name]
    return _computed(expression, types, CAST_EVALUATORS if casts is None else casts)


def _computed(expression: Expr, types: Mapping[str, DType], casts: Casts) -> Callable[[Row], Any]:
    match expression:
        case Column(name):
            return lambda row: widened(row[name])
        case Literal(value):
            constant = canonical(value)
            return lambda row: constant
        case Cast(operand, dtype):
            inner, source = _computed(operand, types, casts), operand_type(operand, types)
            convert = _same if source is None or source == dtype else casts[source.name, dtype.name]
            return lambda row: _unless_null(convert, [inner(row)])
        case Call(operation, args):
            return _call(operation, [_computed(a, types, casts) for a in args], operand_type(expression, types))


FALLIBLE = {"add", "subtract", "multiply", "negate", "abs", "divide", "modulo", "sqrt", "ln", "power"}
FALLIBLE_CASTS = {
    ("double", "int64"), ("string", "int64"), ("string", "double"), ("date32", "timestamp[us, UTC]"),
}  # fmt: skip
"""What has no value for some operands: arithmetic that fails or overflows, and casts."""


def lacking(expression: Expr, types: Mapping[str, DType]) -> Callable[[Row], bool]:
    """Whether an operation had operands and no value, of those a reader from left to right comes to in a row (CONTRACT 9)."""
    match expression:
        case Cast(operand, dtype):
            source = operand_type(operand, types)
            fallible = source is not None and (source.name, dtype.name) in FALLIBLE_CASTS
            return _lacking_call(expression, (operand,), types, fallible=fallible)
        case Call("case", args):
            tests, results = args[:-1:2], args[1::2]
            branches = [(_both(test, types), lacking(result, types)) for test, result in zip(tests, results, strict=True)]
            return _lacking_case(branches, lacking(args[-1], types))
        case Call("coalesce", args):
            return _lacking_until(lambda value: value is not None, [_both(a, types) for a in args])
        case Call("and" | "or" as operation, args):
            return _lacking_until(lambda value: value is (operation == "or"), [_both(a, types) for a in args])
        case Call(operation, args):
            return _lacking_call(expression, args, types, fallible=operation in FALLIBLE)
    return lambda row: False


_Both = tuple[Callable[[Row], Any], Callable[[Row], bool]]
"""An operand's value, and whether an operation in it lacks one."""


def _both(expression: Expr, types: Mapping[str, DType]) -> _Both:
    return _computed(expression, types, CAST_EVALUATORS), lacking(expression, types)


def _lacking_call(
    expression: Expr, args: Sequence[Expr], types: Mapping[str, DType], *, fallible: bool
) -> Callable[[Row], bool]:
    operands, value = [_both(a, types) for a in args], _computed(expression, types, CAST_EVALUATORS)

    def lacks(row: Row) -> bool:
        if any(inner(row) for _, inner in operands):
            return True
        return fallible and None not in [operand(row) for operand, _ in operands] and value(row) is None

    return lacks


def _lacking_case(
    branches: Sequence[tuple[_Both, Callable[[Row], bool]]], otherwise: Callable[[Row], bool]
) -> Callable[[Row], bool]:
    def lacks(row: Row) -> bool:
        for (holds, missed), result in branches:
            if missed(row):
                return True
            if holds(row) is True:
                return result(row)
        return otherwise(row)

    return lacks


def _lacking_until(decided: Callable[[Any], bool], operands: Sequence[_Both]) -> Callable[[Row], bool]:
    """The operands one after the other, up to the one whose value decides."""

    def lacks(row: Row) -> bool:
        for value, missed in operands:
            if missed(row):
                return True
            if decided(value(row)):
                return False
        return False

    return lacks


def _call(operation: str, operands: Sequence[Callable[[Row], Any]], dtype: DType | None) -> Callable[[Row], Any]:
    how = EVALUATORS[operation]

    def value(row: Row) -> Any:
        given = [operand(row) for operand in operands]
        found = how.function(*given) if how.takes_null else _unless_null(how.function, given)
        return canonical(float(found) if dtype == DOUBLE and found is not None else found)

    return value


def _unless_null(function: Callable[..., Any], given: Sequence[Any]) -> Any:
    return None if any(g is None for g in given) else function(*given)


def widened(value: Any) -> Any:
    """A column's value as it enters a computation: a decimal as the nearest double, an integer if int64 can hold it."""
    if isinstance(value, Decimal):
        return canonical(float(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return _int64(value)
    return value


def _int64(number: int) -> int | None:
    return number if LEAST_INT64 <= number <= GREATEST_INT64 else None


def _same(value: Any) -> Any:
    return value


def _arithmetic(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def value(a: Any, b: Any) -> Any:
        if isinstance(a, float) or isinstance(b, float):
            return function(float(a), float(b))
        return _int64(function(a, b))

    return value


def _divide(a: float, b: float) -> float | None:
    return None if b == 0 else float(a) / float(b)


def _modulo(a: int, b: int) -> int | None:
    if b == 0:
        return None
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


def _negate(a: Any) -> Any:
    return -a if isinstance(a, float) else _int64(-a)


def _abs(a: Any) -> Any:
    return abs(a) if isinstance(a, float) else _int64(abs(a))


def _compare(a: Any, b: Any) -> int:
    """-1, 0 or 1 in the one order; an integer beside a double is read as a double."""
    if isinstance(a, float) or isinstance(b, float):
        a, b = float(a), float(b)
    left, right = rank(a), rank(b)
    return int(left > right) - int(left < right)


def _and(a: bool | None, b: bool | None) -> bool | None:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _or(a: bool | None, b: bool | None) -> bool | None:
    if a is True or b is True:
        return True
    return None if a is None or b is None else False


def _in(needle: Any, *haystack: Any) -> bool | None:
    if needle is None:
        return None
    if any(item is not None and _compare(needle, item) == 0 for item in haystack):
        return True
    return None if None in haystack else False


def _case(*args: Any) -> Any:
    for condition, value in zip(args[:-1:2], args[1::2], strict=True):
        if condition is True:
            return value
    return args[-1]


def _coalesce(*args: Any) -> Any:
    return next((a for a in args if a is not None), None)


def _nullif(a: Any, b: Any) -> Any:
    if a is None or (b is not None and _compare(a, b) == 0):
        return None
    return a


def _extreme(sign: int) -> Callable[..., Any]:
    def value(*args: Any) -> Any:
        best = None
        for a in args:
            if a is not None and (best is None or sign * _compare(a, best) > 0):
                best = a
        return best

    return value


def _whole(function: Callable[[float], int]) -> Callable[[Any], float]:
    """A rounding function that passes infinities and NaN on."""
    return lambda a: float(function(float(a))) if math.isfinite(a) else float(a)


def _halves_away(a: float) -> int:
    whole = math.floor(abs(a))
    whole += abs(a) - whole >= 0.5
    return -whole if a < 0 else whole


def _sqrt(a: float) -> float | None:
    return None if a < 0 else math.sqrt(a)


def _ln(a: float) -> float | None:
    return None if a <= 0 else math.log(float(a))


def _exp(a: float) -> float:
    try:
        return math.exp(a)
    except OverflowError:
        return math.inf


def _power(a: float, b: float) -> float | None:
    a, b = float(a), float(b)
    if (a < 0 and math.isfinite(b) and not b.is_integer()) or (a == 0 and b < 0):
        return None
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf


def _ascii(first: str, shift: int) -> Callable[[str], str]:
    letters = range(ord(first), ord(first) + 26)
    return lambda text: text.translate({letter: letter + shift for letter in letters})


def calendar(instant: int) -> tuple[int, int, int, int] | None:
    """(year, month, day, ISO day of the week) of an instant in UTC, of any year; None for an infinite instant."""
    if instant in (LEAST_INT64, LEAST_INT64 + 1, GREATEST_INT64):
        return None
    cycles, days = divmod(instant // DAY, _FOUR_CENTURIES)
    day = _EPOCH_DAY + timedelta(days=days)
    return day.year + 400 * cycles, day.month, day.day, day.isoweekday()


def _part(position: int) -> Callable[[int], int | None]:
    def value(instant: int) -> int | None:
        found = calendar(instant)
        return None if found is None else found[position]

    return value


def _hour(instant: int) -> int | None:
    return None if calendar(instant) is None else instant % DAY // (3_600 * SECOND)


def _to_whole(value: float) -> int | None:
    return _int64(round(value)) if math.isfinite(value) else None


def _read_whole(text: str) -> int | None:
    return _int64(int(text)) if _WHOLE.fullmatch(text) else None


def _read_number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return canonical(value) if math.isfinite(value) else None


def _utc_day(instant: int) -> date | None:
    found = calendar(instant)
    return date(*found[:3]) if found and 1 <= found[0] <= 9999 else None


def _first_instant(day: date) -> int:
    return (day - _EPOCH_DAY).days * DAY


@dataclass(frozen=True)
class Evaluator:
    """takes_null: the function sees NULLs (as None); otherwise a NULL operand makes the result NULL."""

    function: Callable[..., Any]
    takes_null: bool = False


EVALUATORS: Mapping[str, Evaluator] = {
    "add": Evaluator(_arithmetic(lambda a, b: a + b)),
    "subtract": Evaluator(_arithmetic(lambda a, b: a - b)),
    "multiply": Evaluator(_arithmetic(lambda a, b: a * b)),
    "divide": Evaluator(_divide),
    "modulo": Evaluator(_modulo),
    "negate": Evaluator(_negate),
    "equal": Evaluator(lambda a, b: _compare(a, b) == 0),
    "not_equal": Evaluator(lambda a, b: _compare(a, b) != 0),
    "less": Evaluator(lambda a, b: _compare(a, b) < 0),
    "less_equal": Evaluator(lambda a, b: _compare(a, b) <= 0),
    "greater": Evaluator(lambda a, b: _compare(a, b) > 0),
    "greater_equal": Evaluator(lambda a, b: _compare(a, b) >= 0),
    "and": Evaluator(_and, takes_null=True),
    "or": Evaluator(_or, takes_null=True),
    "not": Evaluator(lambda a: not a),
    "is_null": Evaluator(lambda a: a is None, takes_null=True),
    "in": Evaluator(_in, takes_null=True),
    "case": Evaluator(_case, takes_null=True),
    "coalesce": Evaluator(_coalesce, takes_null=True),
    "nullif": Evaluator(_nullif, takes_null=True),
    "greatest": Evaluator(_extreme(1), takes_null=True),
    "least": Evaluator(_extreme(-1), takes_null=True),
    "abs": Evaluator(_abs),
    "floor": Evaluator(_whole(math.floor)),
    "ceil": Evaluator(_whole(math.ceil)),
    "round": Evaluator(_whole(_halves_away)),
    "sqrt": Evaluator(_sqrt),
    "ln": Evaluator(_ln),
    "exp": Evaluator(_exp),
    "power": Evaluator(_power),
    "is_nan": Evaluator(lambda a: math.isnan(a)),
    "concat": Evaluator(lambda a, b: a + b),
    "length": Evaluator(len),
    "lower": Evaluator(_ascii("A", 32)),
    "upper": Evaluator(_ascii("a", -32)),
    "trim": Evaluator(lambda a: a.strip(" ")),
    "starts_with": Evaluator(lambda a, b: a.startswith(b)),
    "ends_with": Evaluator(lambda a, b: a.endswith(b)),
    "contains": Evaluator(lambda a, b: b in a),
    "matches": Evaluator(lambda a, b: matches(b, a)),
    "year": Evaluator(_part(0)),
    "month": Evaluator(_part(1)),
    "day": Evaluator(_part(2)),
    "hour": Evaluator(_hour),
    "day_of_week": Evaluator(_part(3)),
    "epoch_us": Evaluator(lambda instant: None if calendar(instant) is None else instant),
}

CAST_EVALUATORS: Casts = {
    ("int64", "double"): float,
    ("double", "int64"): _to_whole,
    ("bool", "int64"): int,
    ("int64", "bool"): bool,
    ("int64", "string"): str,
    ("string", "int64"): _read_whole,
    ("string", "double"): _read_number,
    ("timestamp[us, UTC]", "date32"): _utc_day,
    ("date32", "timestamp[us, UTC]"): _first_instant,
}

_LAST_DAY = (2**63 - 1) // DAY
DAY_CASTS: Casts = {
    **CAST_EVALUATORS,
    ("timestamp[us, UTC]", "date32"): lambda instant: instant // DAY,
    ("date32", "timestamp[us, UTC]"): lambda day: day * DAY if abs(day) <= _LAST_DAY else None,
}
"""The same where dates are days since 1970, as online: no year is too far for them."""
