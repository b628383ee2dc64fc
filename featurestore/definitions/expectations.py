"""What the rows of a source must be like, and what becomes of those that are not.

An expectation on a column is a condition of our own (`expressions`), so that every engine judges a row alike; a NULL passes all
but `not_null`. Which rows that leaves, and who is told, is decided where rows are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from featurestore import patterns
from featurestore.definitions.base import caller, located
from featurestore.dtypes import DATE, TIMESTAMP, DType
from featurestore.errors import DefinitionError, FeatureStoreError, nearest
from featurestore.expressions import Call, Cast, Column, Expr, Literal, result_type
from featurestore.intervals import MICROS_PER_DAY, Duration, micros_of, parse_duration, parse_instant

FAIL, QUARANTINE, WARN = ACTIONS = ("fail", "quarantine", "warn")
_EPOCH_DAY = date(1970, 1, 1)


@dataclass(frozen=True)
class Expectation:
    """Something that is to hold of every row, or of the newest (`column` None). Made by `expect`.

    kind: the method that made it. given: what it was given, checked. action: "fail" stops, "quarantine" sets the rows aside,
    "warn" counts them.
    """

    kind: str
    column: str | None
    given: tuple[Any, ...]
    action: str
    location: str = field(default="", compare=False)

    @property
    def reason(self) -> str:
        """In words, as reports name it."""
        match self.kind:
            case "between":
                low, high = self.given
                if low is None or high is None:
                    return f"{self.column} {'at least' if high is None else 'at most'} {_said(low if high is None else high)}"
                return f"{self.column} between {_said(low)} and {_said(high)}"
            case "one_of":
                return f"{self.column} one of {', '.join(map(_said, self.given))}"
            case "matches":
                return f"{self.column} matches {self.given[0]}"
            case "not_null":
                return f"{self.column} not null"
        return f"newest row at most {self.given[0]} old"

    @property
    def max_age(self) -> Duration:
        """How old the newest row may be; of `fresh` alone."""
        age: Duration = self.given[0]
        return age

    def __repr__(self) -> str:
        return f"{self.reason} ({self.action})"

    def passes(self, types: Mapping[str, DType]) -> Expr:
        """The condition that is TRUE for a row that is as expected. Of expectations on a column alone."""
        assert self.column is not None
        column = Column(self.column)
        if self.kind == "not_null":
            return Call("not", (Call("is_null", (column,)),))
        return Call("or", (Call("is_null", (column,)), self._test(column, types[self.column])))

    def _test(self, column: Column, dtype: DType) -> Expr:
        value, literals = _comparable(column, dtype), [_literal(g, dtype) for g in self.given]
        if self.kind == "one_of":
            return Call("in", (value, *literals))
        if self.kind == "matches":
            return Call("matches", (column, *literals))
        bounds = [(operation, bound) for operation, bound in zip(("greater_equal", "less_equal"), literals, strict=True)
                  if bound.value is not None]  # fmt: skip
        tests = [Call(operation, (value, bound)) for operation, bound in bounds]
        return tests[0] if len(tests) == 1 else Call("and", tuple(tests))

    def check(self, types: Mapping[str, DType], times: tuple[str, ...]) -> None:
        """Whether it fits a source's columns. times: the columns of event and known time.

        Raises: DefinitionError FS203 (no such column), FS216 (of another type), FS219 (a time that is not stored as one).
        """
        if self.column is None:
            return
        if self.column not in types:
            what = f"expectation {self.reason!r}: the source has no column {self.column!r}"
            raise DefinitionError("FS203", what, known=types, hint=nearest(self.column, types))
        dtype = types[self.column]
        if self.column in times and not dtype.is_timestamp:
            what = f"expectation {self.reason!r}: time column {self.column!r} is {dtype}, which is read as an instant"
            raise DefinitionError("FS219", what, hint="expect something of a column that is stored as it is meant")
        try:
            result_type(self.passes(types), types, what=f"expectation {self.reason!r}")
        except FeatureStoreError as error:
            what = f"expectation {self.reason!r} does not go with {self.column!r}, which is {dtype}"
            raise DefinitionError("FS216", what, hint=f"a value of that type ({error.what})") from None


def _comparable(column: Column, dtype: DType) -> Expr:
    """Days and instants are compared as microseconds."""
    if dtype == DATE:
        return Call("epoch_us", (Cast(column, TIMESTAMP),))
    return Call("epoch_us", (column,)) if dtype == TIMESTAMP else column


def _literal(given: Any, dtype: DType) -> Literal:
    """A constant as it is compared with a column of some type. Raises: DefinitionError FS216, UsageError FS103 for what is no
    such time."""
    if given is None:
        return Literal(None)
    if dtype == TIMESTAMP and isinstance(given, str | datetime):
        return Literal(parse_instant(given) if isinstance(given, str) else micros_of(given))
    if dtype == DATE and isinstance(given, str | date) and not isinstance(given, datetime):
        return Literal((_day(given) - _EPOCH_DAY).days * MICROS_PER_DAY)
    if isinstance(given, date) or dtype in (DATE, TIMESTAMP):
        raise DefinitionError("FS216", f"{given!r} is no {dtype}")
    return Literal(given)


def _day(given: str | date) -> date:
    try:
        return date.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise DefinitionError("FS216", f"{given!r} is no date") from None


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


class _Expect:
    """`expect.between("amount", 0, 100, action="fail")`, …: what the rows of a source must be like.

    action: "fail" (a build, a materialization or a check stops with a data error; a push is refused), "quarantine" (the row
    counts for nothing, as if it were not there, and is kept aside; a push is refused) or "warn" (the rows are counted).
    Bounds and values are numbers, text or bools as the column has them; of dates and timestamps also Python's, or ISO 8601
    text (a timestamp's with an offset). A NULL passes all but `not_null`.
    Raises: DefinitionError FS202 (an action or value that is none), FS204 (quarantine by the clock), FS211, FS224.
    """

    def between(self, column: str, low: Any = None, high: Any = None, *, action: str = FAIL) -> Expectation:
        """Neither below `low` nor above `high`, both allowed; None: no bound on that side. NaN is above all numbers."""
        return located(lambda: _made("between", column, _bounds(low, high), action))

    def one_of(self, column: str, values: Any, *, action: str = FAIL) -> Expectation:
        """One of a list of values."""
        return located(lambda: _made("one_of", column, _values(values), action))

    def matches(self, column: str, pattern: str, *, action: str = FAIL) -> Expectation:
        """Text that as a whole is what a regular expression says. Allowed is what all engines agree on: literals, `.`, classes,
        groups, `|` and quantifiers."""
        return located(lambda: _made("matches", column, _pattern(pattern), action))

    def not_null(self, column: str, *, action: str = FAIL) -> Expectation:
        """A value at all."""
        return located(lambda: _made("not_null", column, (), action))

    def fresh(self, max_age: Any, *, action: str = FAIL) -> Expectation:
        """The newest row of the source became visible no longer ago than this. It reads the clock, so it never changes a value:
        "fail" or "warn"."""
        return located(lambda: _fresh(max_age, action))


expect = _Expect()


def _made(kind: str, column: Any, given: tuple[Any, ...], action: Any) -> Expectation:
    if not isinstance(column, str) or not column:
        raise DefinitionError("FS202", f"{column!r} is not a column name", hint=f'expect.{kind}("amount", …)')
    _check_action(action, ACTIONS)
    return Expectation(kind, column, given, action, caller())


def _fresh(max_age: Any, action: Any) -> Expectation:
    if action == QUARANTINE:
        what = "fresh reads the clock, so it cannot quarantine rows: what they mean would change with time"
        raise DefinitionError("FS204", what, hint='action="fail" or "warn"')
    _check_action(action, (FAIL, WARN))
    return Expectation("fresh", None, (parse_duration(max_age, what="max_age"),), action, caller())


def _check_action(action: Any, known: tuple[str, ...]) -> None:
    if action not in known:
        hint = nearest(action, known) if isinstance(action, str) else ""
        raise DefinitionError("FS202", f"action={action!r} is not a choice", known=known, hint=hint or known[0])


def _bounds(low: Any, high: Any) -> tuple[Any, Any]:
    for bound in (low, high):
        if bound is not None and (isinstance(bound, bool) or not _is_value(bound)):
            raise DefinitionError("FS202", f"{bound!r} is not a bound", hint="a number, text, date or time, or None")
    if low is None and high is None:
        raise DefinitionError("FS202", "between needs a bound", hint='expect.between("amount", 0, 100)')
    try:
        # Of text nothing is said: it may be a time with an offset, which is not in the order of its characters.
        swapped = low is not None and high is not None and not isinstance(low, str) and low > high
    except TypeError:
        raise DefinitionError("FS202", f"bounds {low!r} and {high!r} are of two types") from None
    if swapped:
        raise DefinitionError("FS202", f"nothing is between {low!r} and {high!r}", hint=f"{high!r}, {low!r}")
    return low, high


def _values(given: Any) -> tuple[Any, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else ()
    if not values:
        raise DefinitionError("FS202", f"one_of needs a list of values, got {given!r}", hint='["open", "settled"]')
    for value in values:
        if not _is_value(value):
            hint = "a number, text, bool, date or time" + (" (NULL passes; not_null refuses it)" if value is None else "")
            raise DefinitionError("FS202", f"{value!r} is not a value to compare with", hint=hint)
    return values


def _is_value(value: Any) -> bool:
    """Whether a constant can stand in an expression: no NaN, no infinity, no integer beyond 64 bits, no time without zone."""
    if isinstance(value, datetime):
        return value.tzinfo is not None
    if isinstance(value, float):
        return abs(value) < float("inf")
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return isinstance(value, bool | str | date)


def _pattern(pattern: Any) -> tuple[str]:
    patterns.parse(pattern)
    return (pattern,)


__all__ = ["ACTIONS", "FAIL", "QUARANTINE", "WARN", "Expectation", "expect"]
