"""Our expression trees as sqlglot's, whatever the dialect: in which type an operation computes, and what is brought to it.

How a dialect spells an operation, a cast, a literal or a stored value is its own business (`Spelling`); that int64 beside
double is computed as double, and where, is decided here, once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from sqlglot import exp

from featurestore import expressions
from featurestore.dtypes import DOUBLE, INT64, STRING, DType
from featurestore.expressions import Call, Cast, Column, Expr, Literal

SqlExpr = exp.Expression
Operation = Callable[[Sequence[SqlExpr], DType], SqlExpr]
"""Operands in the type they are computed in, and the result's type, to SQL."""

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


@dataclass(frozen=True)
class Spelling:
    """How a dialect writes what an expression is made of. casts: by the names of both types. widened: a stored value in the
    type computations use. literal: a number; NULL, booleans and texts are the same to all."""

    dialect: str
    operations: Mapping[str, Operation]
    casts: Mapping[tuple[str, str], Callable[[SqlExpr], SqlExpr]]
    sql_type: Callable[[DType], str]
    widened: Callable[[str, DType], str]
    literal: Callable[[int | float], SqlExpr]

    def lower(self, expression: Expr, types: Mapping[str, DType], name: Callable[[str], str]) -> SqlExpr:
        """An expression over columns of `types`, found under `name(column)`."""
        return _Lowering(self, types, name).lower(expression)


@dataclass(frozen=True)
class _Lowering:
    spelling: Spelling
    types: Mapping[str, DType]
    name: Callable[[str], str]

    def lower(self, expression: Expr) -> SqlExpr:
        match expression:
            case Column(column):
                stored = self.spelling.widened(self.name(column), self.types[column])
                return exp.maybe_parse(stored, dialect=self.spelling.dialect)
            case Literal(value):
                return self._literal(value)
            case Cast(operand, dtype):
                return self._cast(operand, dtype)
            case Call(operation, args):
                return self._call(operation, args)

    def _literal(self, value: object) -> SqlExpr:
        if value is None:
            return exp.Null()
        if isinstance(value, bool):
            return exp.Boolean(this=value)
        return self.spelling.literal(value) if isinstance(value, int | float) else exp.Literal.string(str(value))

    def _cast(self, operand: Expr, dtype: DType) -> SqlExpr:
        source = self._type(operand)
        if source is None:
            return self._as(self.lower(operand), dtype)
        return self.lower(operand) if source == dtype else self.spelling.casts[source.name, dtype.name](self.lower(operand))

    def _call(self, operation: str, args: tuple[Expr, ...]) -> SqlExpr:
        mixed = {DOUBLE, INT64} <= {self._type(a) for a in args}
        if mixed and operation in _PAIRWISE:
            return self.lower(_PAIRWISE[operation](*args))
        result = self._type(Call(operation, args)) or STRING
        lowered = [self.lower(a) for a in args]
        if operation in _DOUBLE_OPERANDS or (operation in _COMMON_OPERANDS and mixed):
            lowered = [self._as_double(a, n) for a, n in zip(args, lowered, strict=True)]
        return self.spelling.operations[operation](lowered, result)

    def _as_double(self, operand: Expr, node: SqlExpr) -> SqlExpr:
        return self._as(node, DOUBLE) if self._type(operand) == INT64 else node

    def _as(self, node: SqlExpr, dtype: DType) -> SqlExpr:
        return exp.Cast(this=node, to=exp.DataType.build(self.spelling.sql_type(dtype), dialect=self.spelling.dialect))

    def _type(self, expression: Expr) -> DType | None:
        return expressions.operand_type(expression, self.types)


def func(name: str, *args: SqlExpr) -> SqlExpr:
    return exp.Anonymous(this=name, expressions=list(args))


def paren(node: SqlExpr) -> SqlExpr:
    return exp.Paren(this=node) if isinstance(node, exp.Binary | exp.Unary | exp.Is | exp.In) else node


def when(*pairs: tuple[SqlExpr, SqlExpr], otherwise: SqlExpr | None = None) -> SqlExpr:
    case = exp.Case(ifs=[exp.If(this=test.copy(), true=value.copy()) for test, value in pairs])
    case.set("default", None if otherwise is None else otherwise.copy())
    return case


def binary(kind: type[exp.Expression]) -> Callable[[SqlExpr, SqlExpr], SqlExpr]:
    return lambda a, b: kind(this=paren(a.copy()), expression=paren(b.copy()))


def plain(name: str) -> Operation:
    return lambda args, _: func(name, *args)


def infix(kind: type[exp.Expression]) -> Operation:
    return lambda args, _: binary(kind)(args[0], args[1])


def is_in(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    return exp.In(this=paren(args[0]), expressions=list(args[1:]))


def case(args: Sequence[SqlExpr], _: DType) -> SqlExpr:
    return when(*zip(args[:-1:2], args[1:-1:2], strict=True), otherwise=args[-1])


ALIKE: Mapping[str, Operation] = {
    "equal": infix(exp.EQ),
    "not_equal": infix(exp.NEQ),
    "less": infix(exp.LT),
    "less_equal": infix(exp.LTE),
    "greater": infix(exp.GT),
    "greater_equal": infix(exp.GTE),
    "and": infix(exp.And),
    "or": infix(exp.Or),
    "not": lambda args, _: exp.Not(this=paren(args[0])),
    "is_null": lambda args, _: exp.Is(this=paren(args[0]), expression=exp.Null()),
    "in": is_in,
    "case": case,
    "coalesce": plain("coalesce"),
    "nullif": plain("nullif"),
}
"""Operations that all dialects have, and mean the same by."""
