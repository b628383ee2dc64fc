"""What is made of expression trees: plain data and back, and the question whether an operation in one had a value.

A store keeps on-demand features as data, so that a server reads a tree and never text to be run. Whether an operation was
left without a value is an expression too: every engine answers it as it answers any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

from featurestore import expressions
from featurestore.dtypes import INT64, DType, parse_dtype
from featurestore.errors import StoreFormat
from featurestore.expressions import OPERATIONS, Call, Cast, Column, Expr, Literal

_READ: Mapping[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text == "true",
    "int64": int,
    "double": float,
    "string": str,
}
_WRITTEN: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    type(None): ("null", lambda _: ""), bool: ("bool", lambda v: str(v).lower()), int: ("int64", str),
    float: ("double", repr), str: ("string", str),
}  # fmt: skip
"""How constants are written: as text, because JSON has one kind of number and no infinity."""


def to_data(expression: Expr) -> dict[str, Any]:
    """The tree as JSON can hold it: {"column"}, {"literal", "value"}, {"cast", "to"}, or {"call", "args"}."""
    match expression:
        case Column(name):
            return {"column": name}
        case Literal(value):
            kind, write = _WRITTEN[type(value)]
            return {"literal": kind, "value": write(value)}
        case Cast(operand, dtype):
            return {"cast": to_data(operand), "to": dtype.name}
        case Call(operation, args):
            return {"call": operation, "args": [to_data(a) for a in args]}


def from_data(data: Mapping[str, Any]) -> Expr:
    """The tree that `to_data` wrote. Raises: StoreFormat FS404 for what this version does not know."""
    match data:
        case {"column": str(name)}:
            return Column(name)
        case {"literal": str(kind), "value": str(text)} if kind in _READ:
            return Literal(_READ[kind](text))
        case {"cast": operand, "to": str(dtype)}:
            return Cast(from_data(operand), parse_dtype(dtype))
        case {"call": str(operation), "args": list(args)} if operation in OPERATIONS:
            return Call(operation, tuple(from_data(a) for a in args))
    raise StoreFormat("FS404", "the store holds an expression this featurestore does not know", hint="a newer featurestore")


# Operations without a value.

MAY_LACK_A_VALUE = frozenset({"divide", "modulo", "sqrt", "ln", "power"})
"""Operations that give NULL for some operands none of which is NULL. An infinite instant has no year and no day either,
but that is its nature: what the contract calls without a value is arithmetic that fails and text that cannot be read."""
_MAY_OVERFLOW = frozenset({"add", "subtract", "multiply", "negate", "abs"})
_CASTS_MAY_FAIL = frozenset({
    ("double", "int64"), ("string", "int64"), ("string", "double"), ("date32", "timestamp[us, UTC]"),
})  # fmt: skip
_NEVER = Literal(False)


def without_value(expression: Expr, types: Mapping[str, DType]) -> Expr | None:
    """A condition, never NULL: some operation that was reached gave NULL though none of its operands is NULL.

    Reached is what a reader from left to right needs: of CASE the conditions up to the first that holds, and its value; of
    coalesce the operands up to the first that is not NULL; what AND and OR have not decided yet. None: cannot happen.
    """
    found = _missed(expression, types)
    return None if found == _NEVER else found


def _missed(expression: Expr, types: Mapping[str, DType]) -> Expr:
    match expression:
        case Column() | Literal():
            return _NEVER
        case Cast(operand, dtype):
            source = expressions.operand_type(operand, types)
            fails = source is not None and (source.name, dtype.name) in _CASTS_MAY_FAIL
            return _any([_missed(operand, types), _lacks(expression, (operand,)) if fails else _NEVER])
        case Call("case", args):
            return _missed_case(args, types)
        case Call("coalesce", (first, *rest)):
            later = _missed(Call("coalesce", tuple(rest)), types) if rest else _NEVER
            return _any([_missed(first, types), _all([Call("is_null", (first,)), later])])
        case Call("and" | "or" as operation, (first, second)):
            undecided = Call("coalesce", (first if operation == "and" else Call("not", (first,)), Literal(True)))
            return _any([_missed(first, types), _all([undecided, _missed(second, types)])])
        case Call(operation, args):
            overflows = operation in _MAY_OVERFLOW and expressions.operand_type(expression, types) == INT64
            own = _lacks(expression, args) if overflows or operation in MAY_LACK_A_VALUE else _NEVER
            return _any([*(_missed(a, types) for a in args), own])


def _missed_case(args: tuple[Expr, ...], types: Mapping[str, DType]) -> Expr:
    if len(args) == 1:
        return _missed(args[0], types)
    condition, value, *rest = args
    taken, others = _missed(value, types), _missed_case(tuple(rest), types)
    branches = _NEVER if taken == others == _NEVER else Call("case", (condition, taken, others))
    return _any([_missed(condition, types), branches])


def _lacks(expression: Expr, operands: tuple[Expr, ...]) -> Expr:
    """NULL, and no operand is. A constant is none, unless it is NULL."""
    if any(o == Literal(None) for o in operands):
        return _NEVER
    present = [Call("not", (Call("is_null", (o,)),)) for o in operands if not isinstance(o, Literal)]
    return _all([Call("is_null", (expression,)), *present])


def _any(tests: Iterable[Expr]) -> Expr:
    kept = [t for t in tests if t != _NEVER]
    return reduce(lambda a, b: Call("or", (a, b)), kept) if kept else _NEVER


def _all(tests: Iterable[Expr]) -> Expr:
    tests = list(tests)
    return _NEVER if _NEVER in tests else reduce(lambda a, b: Call("and", (a, b)), tests)


__all__ = ["MAY_LACK_A_VALUE", "from_data", "to_data", "without_value"]
