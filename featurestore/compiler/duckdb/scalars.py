"""Scalar expressions in DuckDB SQL: one row per operation, built as sqlglot's AST, printed by sqlglot.

Every row gives NULL where the operation has no value; none can raise. Operands arrive in the type the expression
computes with (int64, double, string, bool, date32, timestamp).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlglot import exp

from featurestore import patterns
from featurestore.compiler.duckdb.types import sql_type
from featurestore.compiler.lowering import ALIKE, Operation, Spelling, SqlExpr, binary, func, infix, paren, plain, when
from featurestore.dtypes import DOUBLE, INT64, DType
from featurestore.expressions import Column, Expr

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
    inner = SPELLING.lower(expression, types, name)
    return canonical(f"CAST({render(inner)} AS {sql_type(result)})", result)


def condition(expression: Expr, types: Mapping[str, DType], name: Callable[[str], str]) -> str:
    """A condition as SQL; callers keep TRUE only."""
    return render(SPELLING.lower(expression, types, name))


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


def _cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.Cast(this=node, to=exp.DataType.build(to, dialect="duckdb"))


def _try_cast(node: SqlExpr, to: str) -> SqlExpr:
    return exp.TryCast(this=node, to=exp.DataType.build(to, dialect="duckdb"))


def _number(value: int) -> SqlExpr:
    return exp.Literal.number(value) if value >= 0 else exp.Paren(this=exp.Neg(this=exp.Literal.number(-value)))


_add, _subtract, _multiply = binary(exp.Add), binary(exp.Sub), binary(exp.Mul)
_equal, _less, _greater = binary(exp.EQ), binary(exp.LT), binary(exp.GT)
_and, _or = binary(exp.And), binary(exp.Or)


def _wide(node: SqlExpr) -> SqlExpr:
    return _cast(node, "HUGEINT")


def _exact(kind: Callable[[SqlExpr, SqlExpr], SqlExpr]) -> Operation:
    """Integer arithmetic in 128 bits, NULL where 64 do not hold it; double arithmetic as it is."""

    def lower(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
        if result == INT64:
            return _try_cast(kind(_wide(args[0]), _wide(args[1])), "BIGINT")
        return kind(args[0], args[1])

    return lower


def _modulo(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    """-1 apart: the least int64 % -1 overflows inside the engine."""
    a, b = args
    rest = binary(exp.Mod)(a, func("nullif", b, _number(0)))
    return when((_equal(b, _number(-1)), _subtract(a, a)), otherwise=rest)


def _signless(make: Callable[[SqlExpr], SqlExpr]) -> Operation:
    """abs and minus: the least int64 has no opposite."""

    def lower(args: Sequence[SqlExpr], result: DType) -> SqlExpr:
        return _try_cast(make(_wide(args[0])), "BIGINT") if result == INT64 else make(args[0])

    return lower


def _power(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    a, b = args
    fractional = _and(_less(a, _number(0)), binary(exp.NEQ)(b, func("floor", b)))
    pole = _and(_equal(a, _number(0)), _less(b, _number(0)))
    valid = exp.Not(this=exp.Paren(this=_or(exp.Paren(this=fractional), exp.Paren(this=pole))))
    return when((valid, func("pow", a, b)))


def _utc(name: str) -> Operation:
    return lambda args, _: _cast(func(name, func("timezone", exp.Literal.string("UTC"), args[0])), "BIGINT")


def _where_valid(name: str, valid: Callable[[SqlExpr], SqlExpr]) -> Operation:
    return lambda args, _: when((valid(args[0]), func(name, args[0])))


def _translated(source: str, target: str) -> Operation:
    return lambda args, _: func("translate", args[0], exp.Literal.string(source), exp.Literal.string(target))


OPERATIONS: Mapping[str, Operation] = {
    "add": _exact(_add),
    "subtract": _exact(_subtract),
    "multiply": _exact(_multiply),
    "divide": lambda args, _: binary(exp.Div)(args[0], func("nullif", args[1], _number(0))),
    "modulo": _modulo,
    "negate": _signless(lambda a: exp.Neg(this=paren(a))),
    "abs": _signless(lambda a: func("abs", a)),
    **ALIKE,
    "greatest": plain("greatest"),
    "least": plain("least"),
    "floor": plain("floor"),
    "ceil": plain("ceil"),
    "round": plain("round"),
    "sqrt": _where_valid("sqrt", lambda a: binary(exp.GTE)(a, _number(0))),
    "ln": _where_valid("ln", lambda a: _greater(a, _number(0))),
    "exp": plain("exp"),
    "power": _power,
    "is_nan": plain("isnan"),
    "concat": infix(exp.DPipe),
    "length": plain("length"),
    "lower": _translated(_UPPER, _LOWER),
    "upper": _translated(_LOWER, _UPPER),
    "trim": lambda args, _: func("trim", args[0], exp.Literal.string(" ")),
    "starts_with": plain("starts_with"),
    "ends_with": plain("suffix"),
    "contains": plain("contains"),
    "matches": lambda args, _: func("regexp_full_match", args[0], exp.Literal.string(patterns.rendered(args[1].this))),
    "year": _utc("year"),
    "month": _utc("month"),
    "day": _utc("day"),
    "hour": _utc("hour"),
    "day_of_week": _utc("isodow"),
    "epoch_us": plain("epoch_us"),
}


def _matched(node: SqlExpr, pattern: str, to: str) -> SqlExpr:
    return when((func("regexp_full_match", node, exp.Literal.string(pattern)), _try_cast(node, to)))


def _read_double(node: SqlExpr) -> SqlExpr:
    """Text as a double; NULL beyond its range, where the engine gives an infinity."""
    read = _matched(node, _DECIMAL, "DOUBLE")
    return when((func("isfinite", read), read))


CASTS: Mapping[tuple[str, str], Callable[[SqlExpr], SqlExpr]] = {
    ("int64", "double"): lambda a: _cast(a, "DOUBLE"),
    ("double", "int64"): lambda a: _try_cast(func("round_even", a, _number(0)), "BIGINT"),
    ("bool", "int64"): lambda a: _cast(a, "BIGINT"),
    ("int64", "bool"): lambda a: _cast(a, "BOOLEAN"),
    ("int64", "string"): lambda a: _cast(a, "VARCHAR"),
    ("string", "int64"): lambda a: _matched(a, _DIGITS, "BIGINT"),
    ("string", "double"): _read_double,
    ("timestamp[us, UTC]", "date32"): lambda a: _cast(func("timezone", exp.Literal.string("UTC"), a), "DATE"),
    ("date32", "timestamp[us, UTC]"): lambda a: func("timezone", exp.Literal.string("UTC"), _try_cast(a, "TIMESTAMP")),
}


def _literal(value: int | float) -> SqlExpr:
    return _cast(exp.Literal.string(repr(value)), "DOUBLE") if isinstance(value, float) else _cast(_number(value), "BIGINT")


SPELLING = Spelling("duckdb", OPERATIONS, CASTS, sql_type, widened, _literal)
