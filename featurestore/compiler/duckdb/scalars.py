"""Scalar expressions in DuckDB SQL: one row per operation, built as sqlglot's AST, printed by sqlglot.

Every row gives NULL where the operation has no value; none can raise. Operands arrive in the type the expression
computes with (int64, double, string, bool, date32, timestamp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from sqlglot import exp

from featurestore import expressions, patterns
from featurestore.compiler.duckdb.types import sql_type
from featurestore.dtypes import DOUBLE, INT64, STRING, DType
from featurestore.expressions import Call, Cast, Column, Expr, Literal

SqlExpr = exp.Expression
MACROS = tuple(
    f"CREATE TEMP MACRO canonical_{name}(x) AS "
    f"CASE WHEN isnan(x) THEN CAST('nan' AS {kind}) WHEN x = 0 THEN CAST(0 AS {kind}) ELSE x END"
    for name, kind in (("double", "DOUBLE"), ("float", "FLOAT"))
)
"""What an engine defines on its connection before running a statement: the one zero and the one NaN of a float."""
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "[+-]?[0-9]+"
_DECIMAL = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"


def quoted(name: str) -> str:
    """An identifier as DuckDB reads it, always quoted."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def render(node: SqlExpr) -> str:
    return node.sql(dialect="duckdb", normalize_functions=False)


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
        return f"canonical_{dtype.name}({sql})"
    if dtype.is_list and (dtype.item.is_float or dtype.item.is_list):
        return f"list_transform({sql}, lambda x: {canonical('x', dtype.item)})"
    return sql


def sortable(sql: str, dtype: DType) -> str:
    """What ORDER BY puts in the contract's order: inside lists the engine holds NULL for the greatest, we for the least."""
    if not dtype.is_list:
        return sql
    return f"list_transform({sql}, lambda x: row(x IS NOT NULL, {sortable('x', dtype.item)}))"


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
    if dtype == DOUBLE:
        return sql
    return f"CAST(CAST({sql} AS VARCHAR) AS DOUBLE)" if dtype.is_decimal else f"CAST({sql} AS DOUBLE)"


def _func(name: str, *args: SqlExpr) -> SqlExpr:
    return exp.Anonymous(this=name, expressions=list(args))


def _cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.Cast(this=node, to=exp.DataType.build(to, dialect="duckdb"))


def _try_cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.TryCast(this=node, to=exp.DataType.build(to, dialect="duckdb"))


def _number(value: int) -> SqlExpr:
    return exp.Literal.number(value) if value >= 0 else exp.Paren(this=exp.Neg(this=exp.Literal.number(-value)))


def _paren(node: SqlExpr) -> SqlExpr:
    return exp.Paren(this=node) if isinstance(node, exp.Binary | exp.Unary | exp.Is | exp.In) else node


def _when(*pairs: tuple[SqlExpr, SqlExpr], otherwise: SqlExpr | None = None) -> SqlExpr:
    case = exp.Case(ifs=[exp.If(this=test.copy(), true=value.copy()) for test, value in pairs])
    case.set("default", None if otherwise is None else otherwise.copy())
    return case


def _binary(kind: type[exp.Expression]) -> Callable[[SqlExpr, SqlExpr], SqlExpr]:
    return lambda a, b: kind(this=_paren(a.copy()), expression=_paren(b.copy()))


_add, _subtract, _multiply = _binary(exp.Add), _binary(exp.Sub), _binary(exp.Mul)
_equal, _less, _greater = _binary(exp.EQ), _binary(exp.LT), _binary(exp.GT)
_and, _or = _binary(exp.And), _binary(exp.Or)


def _wide(node: SqlExpr) -> SqlExpr:
    return _cast(node, "HUGEINT")


def _exact(kind: Callable[[SqlExpr, SqlExpr], SqlExpr]) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    """Integer arithmetic in 128 bits, NULL where 64 do not hold it; double arithmetic as it is."""

    def lower(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
        if result == INT64:
            return _try_cast(kind(_wide(args[0]), _wide(args[1])), "BIGINT")
        return kind(args[0], args[1])

    return lower


def _modulo(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    """-1 apart: the least int64 % -1 overflows inside the engine."""
    a, b = args
    rest = _binary(exp.Mod)(a, _func("nullif", b, _number(0)))
    return _when((_equal(b, _number(-1)), _subtract(a, a)), otherwise=rest)


def _signless(make: Callable[[SqlExpr], SqlExpr]) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    """abs and minus: the least int64 has no opposite."""

    def lower(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
        return _try_cast(make(_wide(args[0])), "BIGINT") if result == INT64 else make(args[0])

    return lower


def _power(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    a, b = args
    fractional = _and(_less(a, _number(0)), _binary(exp.NEQ)(b, _func("floor", b)))
    pole = _and(_equal(a, _number(0)), _less(b, _number(0)))
    valid = exp.Not(this=exp.Paren(this=_or(exp.Paren(this=fractional), exp.Paren(this=pole))))
    return _when((valid, _func("pow", a, b)))


def _is_in(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    return exp.In(this=_paren(args[0]), expressions=list(args[1:]))


def _case(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    pairs = list(zip(args[:-1:2], args[1:-1:2], strict=True))
    return _when(*pairs, otherwise=args[-1])


def _plain(name: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _func(name, *args)


def _infix(kind: type[exp.Expression]) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _binary(kind)(args[0], args[1])


def _utc(name: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _cast(_func(name, _func("timezone", exp.Literal.string("UTC"), args[0])), "BIGINT")


def _where_valid(name: str, valid: Callable[[SqlExpr], SqlExpr]) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _when((valid(args[0]), _func(name, args[0])))


def _translated(source: str, target: str) -> Callable[[Sequence[SqlExpr], DType], SqlExpr]:
    return lambda args, _: _func("translate", args[0], exp.Literal.string(source), exp.Literal.string(target))


OPERATIONS: Mapping[str, Callable[[Sequence[SqlExpr], DType], SqlExpr]] = {
    "add": _exact(_add),
    "subtract": _exact(_subtract),
    "multiply": _exact(_multiply),
    "divide": lambda args, _: _binary(exp.Div)(args[0], _func("nullif", args[1], _number(0))),
    "modulo": _modulo,
    "negate": _signless(lambda a: exp.Neg(this=_paren(a))),
    "abs": _signless(lambda a: _func("abs", a)),
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
    "greatest": _plain("greatest"),
    "least": _plain("least"),
    "floor": _plain("floor"),
    "ceil": _plain("ceil"),
    "round": _plain("round"),
    "sqrt": _where_valid("sqrt", lambda a: _binary(exp.GTE)(a, _number(0))),
    "ln": _where_valid("ln", lambda a: _greater(a, _number(0))),
    "exp": _plain("exp"),
    "power": _power,
    "is_nan": _plain("isnan"),
    "concat": _infix(exp.DPipe),
    "length": _plain("length"),
    "lower": _translated(_UPPER, _LOWER),
    "upper": _translated(_LOWER, _UPPER),
    "trim": lambda args, _: _func("trim", args[0], exp.Literal.string(" ")),
    "starts_with": _plain("starts_with"),
    "ends_with": _plain("suffix"),
    "contains": _plain("contains"),
    "matches": lambda args, _: _func("regexp_full_match", args[0], exp.Literal.string(patterns.rendered(args[1].this))),
    "year": _utc("year"),
    "month": _utc("month"),
    "day": _utc("day"),
    "hour": _utc("hour"),
    "day_of_week": _utc("isodow"),
    "epoch_us": _plain("epoch_us"),
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
    return _when((_func("regexp_full_match", node, exp.Literal.string(pattern)), _try_cast(node, to)))


def _read_double(node: SqlExpr) -> SqlExpr:
    """Text as a double; NULL beyond its range, where the engine gives an infinity."""
    read = _matched(node, _DECIMAL, "DOUBLE")
    return _when((_func("isfinite", read), read))


CASTS: Mapping[tuple[str, str], Callable[[SqlExpr], SqlExpr]] = {
    ("int64", "double"): lambda a: _cast(a, "DOUBLE"),
    ("double", "int64"): lambda a: _try_cast(_func("round_even", a, _number(0)), "BIGINT"),
    ("bool", "int64"): lambda a: _cast(a, "BIGINT"),
    ("int64", "bool"): lambda a: _cast(a, "BOOLEAN"),
    ("int64", "string"): lambda a: _cast(a, "VARCHAR"),
    ("string", "int64"): lambda a: _matched(a, _DIGITS, "BIGINT"),
    ("string", "double"): _read_double,
    ("timestamp[us, UTC]", "date32"): lambda a: _cast(_func("timezone", exp.Literal.string("UTC"), a), "DATE"),
    ("date32", "timestamp[us, UTC]"): lambda a: _func("timezone", exp.Literal.string("UTC"), _try_cast(a, "TIMESTAMP")),
}


class _Lowering:
    """Our tree to sqlglot's, operands brought to the type the operation computes in."""

    def __init__(self, types: Mapping[str, DType], name: Callable[[str], str]) -> None:
        self._types = types
        self._name = name

    def lower(self, expression: Expr) -> SqlExpr:
        match expression:
            case Column(column):
                return exp.maybe_parse(widened(self._name(column), self._types[column]), dialect="duckdb")
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
        return _cast(_number(value), "BIGINT")
    if isinstance(value, float):
        return _cast(exp.Literal.string(repr(value)), "DOUBLE")
    return exp.Literal.string(str(value))
