"""Scalar expressions in Spark SQL: one row per operation, built as sqlglot's AST, printed by sqlglot.

Every row gives NULL where the operation has no value; none can raise, with ANSI mode on or off: what could is a `try_` of
Spark's, or cannot meet the operands for which it would. Operands arrive in the type the expression computes with (int64,
double, string, bool, date32, timestamp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from sqlglot import ErrorLevel, exp

from featurestore.compiler.lowering import ALIKE, Operation, Spelling, SqlExpr, binary, func, infix, paren, plain, when
from featurestore.compiler.spark.patterns import in_java
from featurestore.compiler.spark.types import sql_type
from featurestore.dtypes import DOUBLE, INT64, DType
from featurestore.expressions import Column, Expr

SETTINGS: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",
    "spark.sql.variable.substitute": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
}
"""What a session has to be told for a statement to mean what it says: where a day begins, that names differ in case, and
that a text is what stands between its quotes, `${…}` too."""
MACROS: tuple[str, ...] = ()
"""What an engine defines on its session before running a statement: nothing, Spark has what is needed."""
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "[+-]?[0-9]+"
_DECIMAL = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
_LEAST, _GREATEST = -(2**63), 2**63 - 1
_WHOLE_BEYOND = 2.0**53
"""From here on every double is a whole number."""


def quoted(name: str) -> str:
    """An identifier as Spark reads it, always quoted."""
    return exp.to_identifier(name, quoted=True).sql(dialect="spark")


def render(node: SqlExpr) -> str:
    return node.sql(dialect="spark", normalize_functions=False, unsupported_level=ErrorLevel.RAISE)


def text(value: str) -> str:
    """A text as Spark reads it."""
    return render(exp.Literal.string(value))


def scalar(expression: Expr, types: Mapping[str, DType], name: Callable[[str], str], result: DType) -> str:
    """An expression over columns of `types`, found under `name(column)`, as SQL of type `result`.

    A bare column keeps its type and is canonical already or made so; anything computed is made canonical.
    """
    if isinstance(expression, Column):
        return canonical(name(expression.name), types[expression.name])
    inner = SPELLING.lower(expression, types, name)
    return canonical(f"CAST({render(inner)} AS {sql_type(result)})", result)


def condition(expression: Expr, types: Mapping[str, DType], name: Callable[[str], str]) -> str:
    """A condition as SQL; callers keep TRUE only."""
    return render(SPELLING.lower(expression, types, name))


def canonical(sql: str, dtype: DType) -> str:
    """-0.0 becomes 0.0 and every NaN the one quiet NaN, inside lists too; other types pass."""
    if dtype.is_float:
        kind = sql_type(dtype)
        return f"nanvl({sql} + CAST(0 AS {kind}), CAST('NaN' AS {kind}))"
    if dtype.is_list and (dtype.item.is_float or dtype.item.is_list):
        return f"transform({sql}, x -> {canonical('x', dtype.item)})"
    return sql


def sortable(sql: str, dtype: DType) -> str:
    """What ORDER BY puts in the contract's order: Spark's own, in lists too, where it holds NULL for the least."""
    return sql


def widened(sql: str, dtype: DType) -> str:
    """A stored value in the type computations use: int64, exact-to-nearest double, or itself."""
    if dtype.is_integer:
        return f"TRY_CAST({sql} AS BIGINT)" if dtype.name != "int64" else sql
    if dtype.is_decimal:
        return as_double(sql, dtype)
    if dtype.is_float:
        return canonical(sql if dtype == DOUBLE else f"CAST({sql} AS DOUBLE)", DOUBLE)
    return sql


def as_double(sql: str, dtype: DType) -> str:
    """A number as the nearest double."""
    return sql if dtype == DOUBLE else f"CAST({sql} AS DOUBLE)"


def _cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.Cast(this=node, to=exp.DataType.build(to, dialect="spark"))


def _try_cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.TryCast(this=node, to=exp.DataType.build(to, dialect="spark"), safe=True)


def _int(value: int) -> SqlExpr:
    number = exp.Literal.number(value) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))
    return _cast(number, "BIGINT")


def _double(value: float) -> SqlExpr:
    return _cast(exp.Literal.string(repr(value)), "DOUBLE")


_equal, _less, _and = binary(exp.EQ), binary(exp.LT), binary(exp.And)


def _tried(name: str, kind: type[exp.Expression]) -> Operation:
    """Integer arithmetic by the function that gives NULL where 64 bits do not hold it; double arithmetic as it is."""

    def lower(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
        if result == INT64:
            return func(name, *(_settled(a, name) for a in args))
        return binary(kind)(args[0], args[1])

    return lower


def _settled(operand: SqlExpr, name: str) -> SqlExpr:
    """An operand that Spark's optimizer leaves where it is, by a shift of no bits.

    It takes integer addition and multiplication for associative, also where they give NULL: of (a + 9223372036854775807)
    + -9223372036854775807 it would make a + 0, and lose the overflow.
    """
    inside = any(node.name == name for node in operand.find_all(exp.Anonymous))
    return func("shiftleft", operand, exp.Literal.number(0)) if inside else operand


def _opposite(a: SqlExpr) -> SqlExpr:
    return func("try_subtract", _int(0), a)


def _negate(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
    return _opposite(args[0]) if result == INT64 else exp.Neg(this=paren(args[0]))


def _abs(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
    (a,) = args
    return when((_less(a, _int(0)), _opposite(a)), otherwise=a) if result == INT64 else func("abs", a)


def _power(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    """Java's, but 1 to the power of anything is 1, and so is -1 to an infinite one, as IEEE has it."""
    a, b = args
    infinite, fractional = _equal(func("abs", b), _double(float("inf"))), binary(exp.NEQ)(b, func("rint", b))
    one = _double(1.0)
    return when(
        (exp.Or(this=exp.Is(this=a.copy(), expression=exp.Null()), expression=exp.Is(this=b.copy(), expression=exp.Null())),
         exp.Null()),
        (_and(_equal(a, _double(0.0)), _less(b, _double(0.0))), exp.Null()),
        (_and(_less(a, _double(0.0)), fractional), exp.Null()),
        (_equal(a, one), one),
        (_and(_equal(a, _double(-1.0)), infinite), one),
        otherwise=func("pow", a, b),
    )  # fmt: skip


def _extreme(name: str) -> Operation:
    return lambda args, _: func(name, *args) if len(args) > 1 else args[0]


def _whole(name: str) -> Operation:
    """Spark's floor and ceil are int64: asked only where that holds what they give, and where there is something to do."""

    def lower(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
        small = _less(func("abs", args[0]), _double(_WHOLE_BEYOND))
        return when((small, _cast(func(name, args[0].copy()), "DOUBLE")), otherwise=args[0])

    return lower


def _micros(instant: SqlExpr) -> SqlExpr:
    """Microseconds since 1970; NULL for the instants that stand for infinities."""
    return reduce(lambda a, b: func("nullif", a, _int(b)), (_LEAST, _LEAST + 1, _GREATEST), func("unix_micros", instant))


def _utc(name: str) -> Operation:
    return lambda args, _: _cast(func(name, func("timestamp_micros", _micros(args[0]))), "BIGINT")


def _day_of_week(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
    return binary(exp.Add)(_utc("weekday")(args, result), _int(1))


def _translated(source: str, target: str) -> Operation:
    return lambda args, _: func("translate", args[0], exp.Literal.string(source), exp.Literal.string(target))


def _found(node: SqlExpr, pattern: str) -> SqlExpr:
    return exp.RegexpLike(this=paren(node.copy()), expression=exp.Literal.string(pattern))


OPERATIONS: Mapping[str, Operation] = {
    "add": _tried("try_add", exp.Add),
    "subtract": _tried("try_subtract", exp.Sub),
    "multiply": _tried("try_multiply", exp.Mul),
    "divide": plain("try_divide"),
    "modulo": plain("try_mod"),
    "negate": _negate,
    "abs": _abs,
    **ALIKE,
    "greatest": _extreme("greatest"),
    "least": _extreme("least"),
    "floor": _whole("floor"),
    "ceil": _whole("ceil"),
    "round": plain("round"),
    "sqrt": lambda args, _: when((binary(exp.GTE)(args[0], _double(0.0)), func("sqrt", args[0].copy()))),
    "ln": plain("ln"),
    "exp": plain("exp"),
    "power": _power,
    "is_nan": lambda args, _: _equal(args[0], _double(float("nan"))),
    "concat": infix(exp.DPipe),
    "length": plain("length"),
    "lower": _translated(_UPPER, _LOWER),
    "upper": _translated(_LOWER, _UPPER),
    "trim": lambda args, _: func("btrim", args[0], exp.Literal.string(" ")),
    "starts_with": plain("startswith"),
    "ends_with": plain("endswith"),
    "contains": plain("contains"),
    "matches": lambda args, _: _found(args[0], in_java(args[1].this)),
    "year": _utc("year"),
    "month": _utc("month"),
    "day": _utc("day"),
    "hour": _utc("hour"),
    "day_of_week": _day_of_week,
    "epoch_us": lambda args, _: _micros(args[0]),
}


def _matched(node: SqlExpr, pattern: str, to: str) -> SqlExpr:
    return when((_found(node, in_java(pattern)), _try_cast(node, to)))


def _read_double(node: SqlExpr) -> SqlExpr:
    """Text as a double; NULL beyond its range, where the engine gives an infinity."""
    read = _matched(node, _DECIMAL, "DOUBLE")
    return reduce(lambda a, b: func("nullif", a, _double(float(b))), ("inf", "-inf"), read)


def _to_whole(node: SqlExpr) -> SqlExpr:
    """Spark casts 2^63 to the greatest int64, one below."""
    return _try_cast(func("nullif", func("rint", node), _double(2.0**63)), "BIGINT")


def _first_instant(node: SqlExpr) -> SqlExpr:
    days = _cast(func("unix_date", node), "BIGINT")
    return func("timestamp_micros", func("try_multiply", days, _int(86_400_000_000)))


CASTS: Mapping[tuple[str, str], Callable[[SqlExpr], SqlExpr]] = {
    ("int64", "double"): lambda a: _cast(a, "DOUBLE"),
    ("double", "int64"): _to_whole,
    ("bool", "int64"): lambda a: _cast(a, "BIGINT"),
    ("int64", "bool"): lambda a: _cast(a, "BOOLEAN"),
    ("int64", "string"): lambda a: _cast(a, "STRING"),
    ("string", "int64"): lambda a: _matched(a, _DIGITS, "BIGINT"),
    ("string", "double"): _read_double,
    ("timestamp[us, UTC]", "date32"): lambda a: _cast(a, "DATE"),
    ("date32", "timestamp[us, UTC]"): _first_instant,
}


def _literal(value: int | float) -> SqlExpr:
    return _double(value) if isinstance(value, float) else _int(value)


SPELLING = Spelling("spark", OPERATIONS, CASTS, sql_type, widened, _literal)
