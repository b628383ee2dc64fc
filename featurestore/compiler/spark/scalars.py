"""Scalar expressions in Spark SQL: one row per operation, built as sqlglot's AST, printed by sqlglot.

Every row gives NULL where the operation has no value; none can raise, with ANSI mode on or off: what could is a `try_` of
Spark's, or cannot meet the operands for which it would. Operands arrive in the type the expression computes with (int64,
double, string, bool, date32, timestamp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from sqlglot import ErrorLevel, exp

from featurestore import expressions
from featurestore.compiler.spark.patterns import in_java
from featurestore.compiler.spark.types import sql_type
from featurestore.dtypes import DOUBLE, INT64, STRING, DType
from featurestore.expressions import Call, Cast, Column, Expr, Literal

SqlExpr = exp.Expression
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
    inner = _Lowering(types, name).lower(expression)
    return canonical(f"CAST({render(inner)} AS {sql_type(result)})", result)


def condition(expression: Expr, types: Mapping[str, DType], name: Callable[[str], str]) -> str:
    """A condition as SQL; callers keep TRUE only."""
    return render(_Lowering(types, name).lower(expression))


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


def _func(name: str, *args: SqlExpr) -> SqlExpr:
    return exp.Anonymous(this=name, expressions=list(args))


def _cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.Cast(this=node, to=exp.DataType.build(to, dialect="spark"))


def _try_cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.TryCast(this=node, to=exp.DataType.build(to, dialect="spark"), safe=True)


def _int(value: int) -> SqlExpr:
    number = exp.Literal.number(value) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))
    return _cast(number, "BIGINT")


def _double(value: float) -> SqlExpr:
    return _cast(exp.Literal.string(repr(value)), "DOUBLE")


def _paren(node: SqlExpr) -> SqlExpr:
    return exp.Paren(this=node) if isinstance(node, exp.Binary | exp.Unary | exp.Is | exp.In) else node


def _when(*pairs: tuple[SqlExpr, SqlExpr], otherwise: SqlExpr | None = None) -> SqlExpr:
    case = exp.Case(ifs=[exp.If(this=test.copy(), true=value.copy()) for test, value in pairs])
    case.set("default", None if otherwise is None else otherwise.copy())
    return case


def _binary(kind: type[exp.Expression]) -> Callable[[SqlExpr, SqlExpr], SqlExpr]:
    return lambda a, b: kind(this=_paren(a.copy()), expression=_paren(b.copy()))


_equal, _less, _and = _binary(exp.EQ), _binary(exp.LT), _binary(exp.And)


def _tried(name: str, kind: type[exp.Expression]) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    """Integer arithmetic by the function that gives NULL where 64 bits do not hold it; double arithmetic as it is."""

    def lower(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
        if result == INT64:
            return _func(name, *(_settled(a, name) for a in args))
        return _binary(kind)(args[0], args[1])

    return lower


def _settled(operand: SqlExpr, name: str) -> SqlExpr:
    """An operand that Spark's optimizer leaves where it is, by a shift of no bits.

    It takes integer addition and multiplication for associative, also where they give NULL: of (a + 9223372036854775807)
    + -9223372036854775807 it would make a + 0, and lose the overflow.
    """
    inside = any(node.name == name for node in operand.find_all(exp.Anonymous))
    return _func("shiftleft", operand, exp.Literal.number(0)) if inside else operand


def _opposite(a: SqlExpr) -> SqlExpr:
    return _func("try_subtract", _int(0), a)


def _negate(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
    return _opposite(args[0]) if result == INT64 else exp.Neg(this=_paren(args[0]))


def _abs(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
    (a,) = args
    return _when((_less(a, _int(0)), _opposite(a)), otherwise=a) if result == INT64 else _func("abs", a)


def _power(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    """Java's, but 1 to the power of anything is 1, and so is -1 to an infinite one, as IEEE has it."""
    a, b = args
    infinite, fractional = _equal(_func("abs", b), _double(float("inf"))), _binary(exp.NEQ)(b, _func("rint", b))
    one = _double(1.0)
    return _when(
        (exp.Or(this=exp.Is(this=a.copy(), expression=exp.Null()), expression=exp.Is(this=b.copy(), expression=exp.Null())),
         exp.Null()),
        (_and(_equal(a, _double(0.0)), _less(b, _double(0.0))), exp.Null()),
        (_and(_less(a, _double(0.0)), fractional), exp.Null()),
        (_equal(a, one), one),
        (_and(_equal(a, _double(-1.0)), infinite), one),
        otherwise=_func("pow", a, b),
    )  # fmt: skip


def _is_in(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    return exp.In(this=_paren(args[0]), expressions=list(args[1:]))


def _case(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    pairs = list(zip(args[:-1:2], args[1:-1:2], strict=True))
    return _when(*pairs, otherwise=args[-1])


def _plain(name: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _func(name, *args)


def _infix(kind: type[exp.Expression]) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _binary(kind)(args[0], args[1])


def _extreme(name: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _func(name, *args) if len(args) > 1 else args[0]


def _whole(name: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    """Spark's floor and ceil are int64: asked only where that holds what they give, and where there is something to do."""

    def lower(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
        small = _less(_func("abs", args[0]), _double(_WHOLE_BEYOND))
        return _when((small, _cast(_func(name, args[0].copy()), "DOUBLE")), otherwise=args[0])

    return lower


def _micros(instant: SqlExpr) -> SqlExpr:
    """Microseconds since 1970; NULL for the instants that stand for infinities."""
    return reduce(lambda a, b: _func("nullif", a, _int(b)), (_LEAST, _LEAST + 1, _GREATEST), _func("unix_micros", instant))


def _utc(name: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _cast(_func(name, _func("timestamp_micros", _micros(args[0]))), "BIGINT")


def _day_of_week(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
    return _binary(exp.Add)(_utc("weekday")(args, result), _int(1))


def _translated(source: str, target: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _func("translate", args[0], exp.Literal.string(source), exp.Literal.string(target))


def _found(node: SqlExpr, pattern: str) -> SqlExpr:
    return exp.RegexpLike(this=_paren(node.copy()), expression=exp.Literal.string(pattern))


OPERATIONS: Mapping[str, Callable[[Sequence[SqlExpr], DType], SqlExpr]] = {
    "add": _tried("try_add", exp.Add),
    "subtract": _tried("try_subtract", exp.Sub),
    "multiply": _tried("try_multiply", exp.Mul),
    "divide": _plain("try_divide"),
    "modulo": _plain("try_mod"),
    "negate": _negate,
    "abs": _abs,
    "equal": _infix(exp.EQ),
    "not_equal": _infix(exp.NEQ),
    "less": _infix(exp.LT),
    "less_equal": _infix(exp.LTE),
    "greater": _infix(exp.GT),
    "greater_equal": _infix(exp.GTE),
    "and": _infix(exp.And),
    "or": _infix(exp.Or),
    "not": lambda args, _: exp.Not(this=_paren(args[0])),
    "is_null": lambda args, _: exp.Is(this=_paren(args[0]), expression=exp.Null()),
    "in": _is_in,
    "case": _case,
    "coalesce": _plain("coalesce"),
    "nullif": _plain("nullif"),
    "greatest": _extreme("greatest"),
    "least": _extreme("least"),
    "floor": _whole("floor"),
    "ceil": _whole("ceil"),
    "round": _plain("round"),
    "sqrt": lambda args, _: _when((_binary(exp.GTE)(args[0], _double(0.0)), _func("sqrt", args[0].copy()))),
    "ln": _plain("ln"),
    "exp": _plain("exp"),
    "power": _power,
    "is_nan": lambda args, _: _equal(args[0], _double(float("nan"))),
    "concat": _infix(exp.DPipe),
    "length": _plain("length"),
    "lower": _translated(_UPPER, _LOWER),
    "upper": _translated(_LOWER, _UPPER),
    "trim": lambda args, _: _func("btrim", args[0], exp.Literal.string(" ")),
    "starts_with": _plain("startswith"),
    "ends_with": _plain("endswith"),
    "contains": _plain("contains"),
    "matches": lambda args, _: _found(args[0], in_java(args[1].this)),
    "year": _utc("year"),
    "month": _utc("month"),
    "day": _utc("day"),
    "hour": _utc("hour"),
    "day_of_week": _day_of_week,
    "epoch_us": lambda args, _: _micros(args[0]),
}
_DOUBLE_OPERANDS = {"divide", "floor", "ceil", "round", "sqrt", "ln", "exp", "power", "is_nan"}
_COMMON_OPERANDS = {
    "add", "subtract", "multiply", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "coalesce",
    "greatest", "least", "case",
}  # fmt: skip
_PAIRWISE: Mapping[str, Callable[..., Expr]] = {
    "in": lambda a, *items: reduce(lambda x, y: Call("or", (x, y)), [Call("equal", (a, item)) for item in items]),
    "nullif": lambda a, b: Call("case", (Call("equal", (a, b)), Literal(None), a)),
}
"""Operations whose integers, beside doubles, are doubles in the comparison only: what they mean in other operations."""


def _matched(node: SqlExpr, pattern: str, to: str) -> SqlExpr:
    return _when((_found(node, in_java(pattern)), _try_cast(node, to)))


def _read_double(node: SqlExpr) -> SqlExpr:
    """Text as a double; NULL beyond its range, where the engine gives an infinity."""
    read = _matched(node, _DECIMAL, "DOUBLE")
    return reduce(lambda a, b: _func("nullif", a, _double(float(b))), ("inf", "-inf"), read)


def _to_whole(node: SqlExpr) -> SqlExpr:
    """Spark casts 2^63 to the greatest int64, one below."""
    return _try_cast(_func("nullif", _func("rint", node), _double(2.0**63)), "BIGINT")


def _first_instant(node: SqlExpr) -> SqlExpr:
    days = _cast(_func("unix_date", node), "BIGINT")
    return _func("timestamp_micros", _func("try_multiply", days, _int(86_400_000_000)))


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


class _Lowering:
    """Our tree to sqlglot's, operands brought to the type the operation computes in."""

    def __init__(self, types: Mapping[str, DType], name: Callable[[str], str]) -> None:
        self._types = types
        self._name = name

    def lower(self, expression: Expr) -> SqlExpr:
        match expression:
            case Column(column):
                return exp.maybe_parse(widened(self._name(column), self._types[column]), dialect="spark")
            case Literal(value):
                return _literal(value)
            case Cast(operand, dtype):
                return self._cast(operand, dtype)
            case Call(operation, args):
                return self._call(operation, args)

    def _cast(self, operand: Expr, dtype: DType) -> SqlExpr:
        source = self._type(operand)
        if source is None:
            return _cast(self.lower(operand), sql_type(dtype))
        return self.lower(operand) if source == dtype else CASTS[(source.name, dtype.name)](self.lower(operand))

    def _call(self, operation: str, args: tuple[Expr, ...]) -> SqlExpr:
        mixed = {DOUBLE, INT64} <= {self._type(a) for a in args}
        if mixed and operation in _PAIRWISE:
            return self.lower(_PAIRWISE[operation](*args))
        result = self._type(Call(operation, args)) or STRING
        lowered = [self.lower(a) for a in args]
        if operation in _DOUBLE_OPERANDS or (operation in _COMMON_OPERANDS and mixed):
            lowered = [self._as_double(a, n) for a, n in zip(args, lowered, strict=True)]
        return OPERATIONS[operation](lowered, result)

    def _as_double(self, operand: Expr, node: SqlExpr) -> SqlExpr:
        return _cast(node, "DOUBLE") if self._type(operand) == INT64 else node

    def _type(self, expression: Expr) -> DType | None:
        return expressions.operand_type(expression, self._types)


def _literal(value: object) -> SqlExpr:
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, int):
        return _int(value)
    return _double(value) if isinstance(value, float) else exp.Literal.string(str(value))
