"""Scalar SQL, read once into a small tree of our own.

Decides which expressions may stand in a definition (an allow-list), what they mean, and which type they have. sqlglot
only reads the text; what an operation is called in a dialect is the compiler's business, and how it is computed is each
engine's. A tree has four kinds of node: `Column`, `Literal`, `Cast`, and `Call` of an operation from `OPERATIONS`.

Values inside an expression have one of six types: integers of any width are read as int64, floats and decimals as
double; string, bool, date32 and timestamp[us, UTC] stay (binary and lists can only be tested for NULL). A bare column is
not computed with and keeps its own type.
An operation without a value (overflow, zero divisor, failed cast, ln of 0) gives NULL. NULL in gives NULL out, except
where `Operation.nulls` says otherwise. Comparisons use the one order of the contract: NaN = NaN, NaN above everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from featurestore import patterns
from featurestore.dtypes import BOOL, DATE, DOUBLE, INT64, STRING, TIMESTAMP, DType
from featurestore.errors import DefinitionError, nearest


@dataclass(frozen=True, slots=True)
class Column:
    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: None, bool, int (64 bit), float, or str. 1, 1.0 and TRUE are three constants."""

    value: bool | int | float | str | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash(repr(self.value))


@dataclass(frozen=True, slots=True)
class Cast:
    operand: Expr
    dtype: DType


@dataclass(frozen=True, slots=True)
class Call:
    """`operation` is a key of OPERATIONS. `case` takes (condition, value, …, otherwise); `in` takes (needle, *haystack)."""

    operation: str
    args: tuple[Expr, ...]


Expr = Column | Literal | Cast | Call


class _Mismatch(Exception):
    """The operands' types do not fit; carries what would."""


Rule = Callable[[Sequence[DType | None]], DType | None]
"""From the types of the operands (None: the NULL literal) to the type of the result."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the allow-list; docs/reference/expressions.md is generated from these rows."""

    spelling: str
    meaning: str
    rule: Rule
    arity: tuple[int, int | None]
    nulls: str = ""


def _is_number(dtype: DType | None) -> bool:
    return dtype is None or dtype in (INT64, DOUBLE)


def _arithmetic(types: Sequence[DType | None]) -> DType:
    if not all(_is_number(t) for t in types):
        raise _Mismatch("numbers")
    return DOUBLE if DOUBLE in types else INT64


def _takes(result: DType, *accepted: DType | None) -> Rule:
    def rule(types: Sequence[DType | None]) -> DType:
        for position, dtype in enumerate(types):
            wanted = accepted[min(position, len(accepted) - 1)]
            if wanted is DOUBLE and _is_number(dtype):
                continue
            if dtype is not None and dtype != wanted:
                raise _Mismatch(str(wanted))
        return result

    return rule


def _common(types: Sequence[DType | None]) -> DType | None:
    known = {t for t in types if t is not None}
    if not known:
        return None
    if known <= {INT64, DOUBLE}:
        return DOUBLE if DOUBLE in known else INT64
    if len(known) > 1 or not known <= {STRING, BOOL, DATE, TIMESTAMP}:
        raise _Mismatch("values of one type")
    return next(iter(known))


def _compared(types: Sequence[DType | None]) -> DType:
    _common(types)
    return BOOL


def _any(types: Sequence[DType | None]) -> DType:
    return BOOL


def _case(types: Sequence[DType | None]) -> DType | None:
    if any(t not in (BOOL, None) for t in types[:-1:2]):
        raise _Mismatch("a bool after WHEN")
    return _common([*types[1:-1:2], types[-1]])


def _same_number(types: Sequence[DType | None]) -> DType:
    return _arithmetic(types)


def _nullif(types: Sequence[DType | None]) -> DType | None:
    _compared(types)
    return types[0]


_TEXT = _takes(STRING, STRING)
_MATH = _takes(DOUBLE, DOUBLE)
_TEXT_TEST = _takes(BOOL, STRING)
_PATTERNS = "of what [check sources](../how-to/check-sources.md) lists"
_LOGIC = _takes(BOOL, BOOL)

OPERATIONS: Mapping[str, Operation] = {
    "add": Operation("a + b", "int64 if both are, NULL on overflow; else double", _arithmetic, (2, 2)),
    "subtract": Operation("a - b", "int64 if both are, NULL on overflow; else double", _arithmetic, (2, 2)),
    "multiply": Operation("a * b", "int64 if both are, NULL on overflow; else double", _arithmetic, (2, 2)),
    "divide": Operation("a / b", "always double; NULL when b is 0", _MATH, (2, 2)),
    "modulo": Operation("a % b", "int64 remainder with the sign of a; NULL when b is 0", _takes(INT64, INT64), (2, 2)),
    "negate": Operation("-a", "NULL for the least int64", _same_number, (1, 1)),
    "equal": Operation("a = b", "an int64 beside a double is read as double; NaN = NaN; text by bytes", _compared, (2, 2)),
    "not_equal": Operation("a <> b", "the opposite of =", _compared, (2, 2)),
    "less": Operation("a < b", "false < true; numbers up to +inf < NaN; text by bytes", _compared, (2, 2)),
    "less_equal": Operation("a <= b", "less or equal", _compared, (2, 2)),
    "greater": Operation("a > b", "b < a", _compared, (2, 2)),
    "greater_equal": Operation("a >= b", "b <= a", _compared, (2, 2)),
    "and": Operation("a AND b", "three-valued", _LOGIC, (2, 2), "false AND NULL is false"),
    "or": Operation("a OR b", "three-valued", _LOGIC, (2, 2), "true OR NULL is true"),
    "not": Operation("NOT a", "three-valued", _LOGIC, (1, 1)),
    "is_null": Operation("a IS NULL", "also a IS NOT NULL; any type", _any, (1, 1), "never NULL"),
    "in": Operation("a IN (b, c, …)", "as a = b OR a = c …", _compared, (2, None), "NULL when unmatched and a NULL is listed"),
    "case": Operation("CASE WHEN c THEN v … ELSE w END", "the first v whose c holds", _case, (3, None), "no ELSE is ELSE NULL"),
    "coalesce": Operation("coalesce(a, b, …)", "the first that is not NULL", _common, (1, None), "NULL if all are"),
    "nullif": Operation("nullif(a, b)", "NULL where a = b, else a", _nullif, (2, 2), "a where b is NULL"),
    "greatest": Operation("greatest(a, b, …)", "the greatest in the one order", _common, (1, None), "NULLs are skipped"),
    "least": Operation("least(a, b, …)", "the least in the one order", _common, (1, None), "NULLs are skipped"),
    "abs": Operation("abs(a)", "NULL for the least int64", _same_number, (1, 1)),
    "floor": Operation("floor(a)", "as double", _MATH, (1, 1)),
    "ceil": Operation("ceil(a)", "as double", _MATH, (1, 1)),
    "round": Operation("round(a)", "to a whole double, halves away from zero", _MATH, (1, 1)),
    "sqrt": Operation("sqrt(a)", "NULL below 0", _MATH, (1, 1)),
    "ln": Operation("ln(a)", "natural logarithm; NULL at 0 and below", _MATH, (1, 1)),
    "exp": Operation("exp(a)", "+inf beyond the double range", _MATH, (1, 1)),
    "power": Operation("power(a, b)", "NULL where a < 0 and b is not whole, and where a = 0 and b < 0", _MATH, (2, 2)),
    "is_nan": Operation("isnan(a)", "true for NaN", _takes(BOOL, DOUBLE), (1, 1)),
    "concat": Operation("a || b", "text joined", _TEXT, (2, 2)),
    "length": Operation("length(a)", "number of code points", _takes(INT64, STRING), (1, 1)),
    "lower": Operation("lower(a)", "A–Z become a–z, nothing else changes", _TEXT, (1, 1)),
    "upper": Operation("upper(a)", "a–z become A–Z, nothing else changes", _TEXT, (1, 1)),
    "trim": Operation("trim(a)", "without the spaces (U+0020) at both ends", _TEXT, (1, 1)),
    "starts_with": Operation("starts_with(a, b)", "by bytes", _TEXT_TEST, (2, 2)),
    "ends_with": Operation("ends_with(a, b)", "by bytes", _TEXT_TEST, (2, 2)),
    "contains": Operation("contains(a, b)", "by bytes", _TEXT_TEST, (2, 2)),
    "matches": Operation("regexp_full_match(a, 'pattern')", f"the whole text; a constant {_PATTERNS}", _TEXT_TEST, (2, 2)),
    "year": Operation("year(t)", "of a timestamp, in UTC", _takes(INT64, TIMESTAMP), (1, 1)),
    "month": Operation("month(t)", "1 to 12, in UTC", _takes(INT64, TIMESTAMP), (1, 1)),
    "day": Operation("day(t)", "of the month, in UTC", _takes(INT64, TIMESTAMP), (1, 1)),
    "hour": Operation("hour(t)", "0 to 23, in UTC", _takes(INT64, TIMESTAMP), (1, 1)),
    "day_of_week": Operation("isodow(t)", "1 (Monday) to 7, in UTC", _takes(INT64, TIMESTAMP), (1, 1)),
    "epoch_us": Operation("epoch_us(t)", "microseconds since 1970-01-01T00:00:00Z", _takes(INT64, TIMESTAMP), (1, 1)),
}  # fmt: skip

_FUNCTIONS = [o.spelling.split("(")[0] for o in OPERATIONS.values() if o.spelling.split("(")[0].isidentifier()]

CASTS: Mapping[tuple[str, str], str] = {
    ("int64", "double"): "the nearest double",
    ("double", "int64"): "to the nearest whole number, halves to even; NULL for NaN and outside int64",
    ("bool", "int64"): "false 0, true 1",
    ("int64", "bool"): "0 false, all else true",
    ("int64", "string"): "decimal digits",
    ("string", "int64"): "optional sign and digits only; NULL otherwise and outside int64",
    ("string", "double"): "sign, digits, fraction, exponent; NULL otherwise (no 'inf', no 'nan')",
    ("timestamp[us, UTC]", "date32"): "the UTC day",
    ("date32", "timestamp[us, UTC]"): "its first instant, UTC",
}
"""Allowed casts (a cast to the same type is always allowed), with their meaning."""


def parse(text: str) -> Expr:
    """Read scalar SQL into a tree. Column names are taken exactly as written; "quoted names" may hold anything.

    Raises: DefinitionError FS214 (unreadable) or FS215 (readable, but not on the allow-list).
    """
    if not isinstance(text, str) or not text.strip():
        raise DefinitionError("FS214", f"{text!r} is not an expression", hint="a column name or scalar SQL")
    return _parsed(text)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Expr:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(text, dialect="duckdb")
    except SqlglotError as error:
        reason = str(error).splitlines()[0].split(". Line")[0]
        raise DefinitionError("FS214", f"cannot read expression {text!r}: {reason}", hint="scalar SQL") from error
    if len(statements) != 1 or statements[0] is None:
        raise DefinitionError("FS214", f"{text!r} is not one expression", hint="a column name or scalar SQL")
    return _Reader(text).read(statements[0])


class _Reader:
    """Turns sqlglot's tree into ours, node class by node class; what it does not know is refused."""

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, node: Any) -> Expr:
        from sqlglot import exp

        name = type(node).__name__
        if name in _BINARY:
            return Call(_BINARY[name], (self.read(node.this), self.read(node.expression)))
        if name in _NAMED:
            return Call(_NAMED[name], tuple(self.read(a) for a in _arguments(node)))
        special = getattr(self, f"_{name.lower()}", None)
        if special is not None:
            return special(node)  # type: ignore[no-any-return]
        if isinstance(node, exp.Anonymous):
            operation = _ANONYMOUS.get(node.name.lower())
            if operation:
                return Call(operation, tuple(self.read(a) for a in node.expressions))
            raise self._refused(f"{node.name.lower()}()")
        raise self._refused(node.sql(dialect="duckdb"))

    def _refused(self, what: str) -> DefinitionError:
        close = nearest(what.split("(")[0].lower(), _FUNCTIONS)
        return DefinitionError(
            "FS215",
            f"{what} is not allowed in an expression ({self.text!r})",
            hint=f"{close}(…)" if close else "the operations listed in docs/reference/expressions.md",
        )

    def _paren(self, node: Any) -> Expr:
        return self.read(node.this)

    def _column(self, node: Any) -> Expr:
        if node.table or not node.name:
            raise self._refused(node.sql(dialect="duckdb"))
        return Column(node.name)

    def _literal(self, node: Any) -> Expr:
        if node.is_string:
            return Literal(node.this)
        if node.this.isdigit():
            if int(node.this) >= 2**63:
                raise DefinitionError("FS214", f"{node.this} is outside int64 ({self.text!r})", hint=f"{node.this}.0")
            return Literal(int(node.this))
        return Literal(float(node.this))

    def _null(self, node: Any) -> Expr:
        return Literal(None)

    def _boolean(self, node: Any) -> Expr:
        return Literal(bool(node.this))

    def _regexpfullmatch(self, node: Any) -> Expr:
        pattern = self.read(node.expression)
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str) or node.args.get("options"):
            raise self._refused(node.sql(dialect="duckdb"))
        patterns.parse(pattern.value)
        return Call("matches", (self.read(node.this), pattern))

    def _neg(self, node: Any) -> Expr:
        from sqlglot import exp

        if isinstance(node.this, exp.Literal) and node.this.this == str(2**63) and not node.this.is_string:
            return Literal(-(2**63))
        operand = self.read(node.this)
        if isinstance(operand, Literal) and type(operand.value) in (int, float):
            return Literal(-operand.value)  # type: ignore[operator]
        return Call("negate", (operand,))

    def _is(self, node: Any) -> Expr:
        from sqlglot import exp

        operand, test = self.read(node.this), node.expression
        if isinstance(test, exp.Null):
            return Call("is_null", (operand,))
        if isinstance(test, exp.Boolean):
            return Call("coalesce", (operand if test.this else Call("not", (operand,)), Literal(False)))
        raise self._refused(node.sql(dialect="duckdb"))

    def _in(self, node: Any) -> Expr:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field") or not node.expressions:
            raise self._refused(node.sql(dialect="duckdb"))
        return Call("in", (self.read(node.this), *(self.read(e) for e in node.expressions)))

    def _between(self, node: Any) -> Expr:
        low, high = self.read(node.args["low"]), self.read(node.args["high"])
        value = self.read(node.this)
        return Call("and", (Call("greater_equal", (value, low)), Call("less_equal", (value, high))))

    def _case(self, node: Any) -> Expr:
        subject = self.read(node.this) if node.this else None
        args: list[Expr] = []
        for branch in node.args["ifs"]:
            condition = self.read(branch.this)
            args.append(condition if subject is None else Call("equal", (subject, condition)))
            args.append(self.read(branch.args["true"]))
        otherwise = node.args.get("default")
        return Call("case", (*args, self.read(otherwise) if otherwise else Literal(None)))

    def _if(self, node: Any) -> Expr:
        otherwise = node.args.get("false")
        last = self.read(otherwise) if otherwise else Literal(None)
        return Call("case", (self.read(node.this), self.read(node.args["true"]), last))

    def _cast(self, node: Any) -> Expr:
        target = node.args["to"].sql(dialect="duckdb").lower()
        dtype = _CAST_TARGETS.get(target)
        if dtype is None:
            raise self._refused(f"a cast to {target}")
        return Cast(self.read(node.this), dtype)

    _trycast = _cast


_BINARY = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Mod": "modulo", "EQ": "equal", "NEQ": "not_equal",
    "LT": "less", "LTE": "less_equal", "GT": "greater", "GTE": "greater_equal", "And": "and", "Or": "or", "DPipe": "concat",
    "Nullif": "nullif", "Pow": "power",
}  # fmt: skip
_NAMED = {
    "Not": "not", "Coalesce": "coalesce", "Greatest": "greatest", "Least": "least", "Abs": "abs", "Floor": "floor",
    "Ceil": "ceil", "Round": "round", "Sqrt": "sqrt", "Ln": "ln", "Exp": "exp", "IsNan": "is_nan", "Length": "length",
    "Lower": "lower", "Upper": "upper", "Trim": "trim", "StartsWith": "starts_with", "EndsWith": "ends_with",
    "Contains": "contains", "Year": "year", "Month": "month", "Day": "day", "Hour": "hour", "DayOfWeekIso": "day_of_week",
    "EpochUs": "epoch_us",
}  # fmt: skip
_ANONYMOUS = {
    "epoch_us": "epoch_us", "isodow": "day_of_week", "hour": "hour", "isnan": "is_nan", "contains": "contains",
    "ends_with": "ends_with", "suffix": "ends_with", "ceiling": "ceil",
}  # fmt: skip
_CAST_TARGETS = {
    "bigint": INT64, "int": INT64, "double": DOUBLE, "text": STRING, "boolean": BOOL, "date": DATE,
    "timestamptz": TIMESTAMP,
}  # fmt: skip


def _arguments(node: Any) -> list[Any]:
    """The operands of a sqlglot function node in order; any operand beyond the plain ones makes it another function."""
    values = [node.this] if node.this is not None else []
    for key, value in node.args.items():
        if key == "this" or value in (None, False, []):
            continue
        if key in ("expression", "expressions", "decimals", "fill"):
            values.extend(value if isinstance(value, list) else [value])
        elif value is not True:
            raise DefinitionError(
                "FS215", f"{node.sql(dialect='duckdb')} has an option that is not allowed", hint="plain arguments"
            )
    return values


def columns(expression: Expr) -> Iterator[str]:
    """The columns an expression reads, in the order in which they are written, with repetitions."""
    match expression:
        case Column(name):
            yield name
        case Cast(operand, _):
            yield from columns(operand)
        case Call(_, args):
            for arg in args:
                yield from columns(arg)


def widened(dtype: DType) -> DType:
    """The type as which a column of `dtype` enters a computation."""
    if dtype.is_integer:
        return INT64
    return DOUBLE if dtype.is_float or dtype.is_decimal else dtype


def result_type(expression: Expr, types: Mapping[str, DType], *, what: str) -> DType:
    """The type of an expression over columns of `types`; a bare column keeps its own.

    Raises: DefinitionError FS203 for a column nobody has, FS216 for operands that do not fit.
    """
    if isinstance(expression, Column):
        return _column_type(expression.name, types, what)
    found = _typed(expression, types, what)
    if found is None:
        raise DefinitionError("FS216", f"{what} is always NULL", hint="an expression that reads a column")
    return found


def _column_type(name: str, types: Mapping[str, DType], what: str) -> DType:
    if name not in types:
        close = nearest(name, types)
        raise DefinitionError("FS203", f"unknown column {name!r} in {what}", known=types, hint=close)
    return types[name]


def _typed(expression: Expr, types: Mapping[str, DType], what: str) -> DType | None:
    match expression:
        case Column(name):
            return widened(_column_type(name, types, what))
        case Literal(value):
            return _LITERALS[type(value)]
        case Cast(operand, dtype):
            source = _typed(operand, types, what)
            if source is not None and source != dtype and (source.name, dtype.name) not in CASTS:
                allowed = [f"{a} to {b}" for a, b in CASTS]
                raise DefinitionError("FS216", f"{what} casts {source} to {dtype}", known=allowed)
            return dtype
        case Call(name, args):
            return _call_type(name, [_typed(a, types, what) for a in args], what)


_LITERALS: Mapping[type, DType | None] = {type(None): None, bool: BOOL, int: INT64, float: DOUBLE, str: STRING}


def _call_type(name: str, types: list[DType | None], what: str) -> DType | None:
    operation = OPERATIONS[name]
    least, most = operation.arity
    if len(types) < least or (most is not None and len(types) > most):
        raise DefinitionError("FS216", f"{operation.spelling} in {what} got {len(types)} operands", hint=operation.spelling)
    try:
        return operation.rule(types)
    except _Mismatch as mismatch:
        got = ", ".join("NULL" if t is None else t.name for t in types)
        raise DefinitionError("FS216", f"{operation.spelling} in {what} takes {mismatch}, got {got}", hint="a CAST") from None


def normalised(expression: Expr) -> str:
    """One spelling per tree, for fingerprints: blanks, parentheses and case of keywords do not show."""
    match expression:
        case Column(name):
            return '"' + name.replace('"', '""') + '"'
        case Literal(value):
            return repr(value)
        case Cast(operand, dtype):
            return f"cast({normalised(operand)}, {dtype})"
        case Call(name, args):
            return f"{name}({', '.join(normalised(a) for a in args)})"


def operand_type(expression: Expr, types: Mapping[str, DType]) -> DType | None:
    """The type an already checked sub-expression is computed in (None: the NULL literal)."""
    return _typed(expression, types, "expression")


__all__ = [
    "CASTS", "OPERATIONS", "Call", "Cast", "Column", "Expr", "Literal", "Operation", "columns", "normalised",
    "operand_type", "parse", "result_type", "widened",
]  # fmt: skip
