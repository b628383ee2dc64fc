"""Features: the latest value of a column, and aggregates over windows of time.

`AGGREGATES` is a closed table: an aggregate is a row with its result type and its value on the empty window. What a
window covers is the contract's section 5; how an engine computes it is the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore import expressions
from featurestore.definitions.base import caller, check_name, located
from featurestore.dtypes import INT64, DType
from featurestore.errors import DefinitionError
from featurestore.expressions import Column, Expr
from featurestore.intervals import Duration, parse_duration


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One row of the table of aggregates.

    needs_input: whether it takes a column or expression (count may go without). empty: its value over no facts.
    result: from the type of the input to the type of the output, or None where the aggregate cannot take it.
    """

    name: str
    meaning: str
    needs_input: bool
    empty: int | None
    result: Callable[[DType | None], DType | None]


def _sum_type(dtype: DType | None) -> DType | None:
    if dtype is None or not dtype.is_numeric:
        return None
    if dtype.is_decimal:
        return DType(f"decimal128(38, {dtype.precision_scale[1]})")
    return expressions.widened(dtype)


def _countable(dtype: DType | None) -> DType | None:
    return INT64


def _distinct(dtype: DType | None) -> DType | None:
    return None if dtype is not None and dtype.is_list else INT64


AGGREGATES: Mapping[str, Aggregate] = {
    "count": Aggregate("count", "facts, or with a column its values that are not NULL", False, 0, _countable),
    "sum": Aggregate("sum", "exact sum, rounded once for doubles; NULL over no values", True, None, _sum_type),
    "count_distinct": Aggregate("count_distinct", "distinct values that are not NULL", True, 0, _distinct),
}


NO_OFFSET = Duration(0)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One named column of a view: an expression over the source's columns, taken latest or aggregated over a window.

    aggregate None means the latest value. window None with an aggregate means the whole past (lifetime).
    """

    name: str
    expression: Expr | None
    aggregate: str | None = None
    window: Duration | None = None
    offset: Duration = NO_OFFSET
    where: Expr | None = None
    description: str = ""
    location: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return self.name

    @property
    def is_latest(self) -> bool:
        return self.aggregate is None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The source columns it reads, in the order written."""
        parts = [e for e in (self.expression, self.where) if e is not None]
        return tuple(dict.fromkeys(c for e in parts for c in expressions.columns(e)))

    def result_type(self, types: Mapping[str, DType]) -> DType:
        """The feature's type over source columns of `types`. Raises: DefinitionError FS203, FS216, FS217."""
        what = f"feature {self.name!r}"
        if self.where is not None:
            check_condition(self.where, types, what=f"where of {what}")
        dtype = None if self.expression is None else expressions.result_type(self.expression, types, what=what)
        if self.aggregate is None:
            assert dtype is not None
            return dtype
        result = AGGREGATES[self.aggregate].result(dtype)
        if result is None:
            raise DefinitionError("FS217", f"{self.aggregate} cannot take {dtype} ({what})", hint="a number, or a CAST")
        return result


def check_condition(condition: Expr, types: Mapping[str, DType], *, what: str) -> None:
    """A condition is a bool expression. Raises: DefinitionError FS203, FS216."""
    dtype = expressions.result_type(condition, types, what=what)
    if dtype.name != "bool":
        raise DefinitionError("FS216", f"{what} is {dtype}, not bool", hint="a comparison, such as amount > 10")


def latest(column: str, *, name: str | None = None, description: str = "") -> Feature:
    """The value of a column (or scalar expression) in the newest usable fact; NULL there is NULL here.

    Args: column: a source column or allow-listed expression; an expression needs `name`.
    Raises: DefinitionError FS201, FS205 (needs a name), FS214, FS215.
    """
    return located(lambda: _latest(column, name, description))


def _latest(column: str, name: str | None, description: str) -> Feature:
    expression = expressions.parse(column)
    if name is None and not isinstance(expression, Column):
        raise DefinitionError("FS205", f"latest({column!r}) is an expression and needs a name", hint="name='…'")
    chosen = expression.name if name is None and isinstance(expression, Column) else name
    return Feature(name=check_name(chosen, "feature"), expression=expression, description=description, location=caller())


class _Aggregations:
    """`agg.count(window="1h")`, `agg.sum("amount", window=["1d", "7d"])`, …: one method per row of AGGREGATES.

    Every method takes `window` (a duration, a list of them, or None for the whole past; required), `offset` (a
    duration; the window ends that long before t), `where` (a condition judged per fact) and `name`. Without a name the
    feature is {column}_{aggregate}_{window}[_offset_{o}]; with several windows a name gets the window as suffix.

    Returns: a Feature, or a tuple of them for a list of windows.
    Raises: DefinitionError FS205 (needs a name), FS206 (window), FS211, FS214, FS215.
    """

    def count(self, column: str | None = None, *, window: Any = ..., offset: Any = None, where: str | None = None,
              name: str | None = None, description: str = "") -> Any:  # fmt: skip
        """The number of facts, or of non-NULL values of `column`; int64, 0 on the empty window."""
        return located(lambda: _aggregates("count", column, window, offset, where, name, description))

    def sum(self, column: str, *, window: Any = ..., offset: Any = None, where: str | None = None,
            name: str | None = None, description: str = "") -> Any:  # fmt: skip
        """The exact sum: int64 of integers, decimal(38, s) of decimals, double of floats (rounded once); NULL if empty."""
        return located(lambda: _aggregates("sum", column, window, offset, where, name, description))

    def count_distinct(self, column: str, *, window: Any = ..., offset: Any = None, where: str | None = None,
                       name: str | None = None, description: str = "") -> Any:  # fmt: skip
        """The exact number of distinct non-NULL values; int64, 0 on the empty window."""
        return located(lambda: _aggregates("count_distinct", column, window, offset, where, name, description))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise DefinitionError("FS218", f"unknown aggregate {name!r}", where=caller(), known=AGGREGATES)


agg = _Aggregations()


def _aggregates(
    aggregate: str, column: str | None, window: Any, offset: Any, where: str | None, name: str | None, description: str
) -> Feature | tuple[Feature, ...]:
    if window is ...:
        raise DefinitionError("FS206", f"agg.{aggregate} needs a window", hint='window="7d", or window=None for the whole past')
    expression = None if column is None else expressions.parse(column)
    if expression is None and AGGREGATES[aggregate].needs_input:
        raise DefinitionError("FS202", f"agg.{aggregate} needs a column or expression")
    several = isinstance(window, list | tuple)
    windows = list(window) if several else [window]
    if not windows:
        raise DefinitionError("FS206", f"agg.{aggregate} got an empty list of windows", hint='window=["1d", "7d"]')
    condition = None if where is None else expressions.parse(where)
    lengths = [_window(one) for one in windows]
    shift = Duration(0) if offset is None else parse_duration(offset, what="offset")
    features = tuple(
        Feature(
            name=_feature_name(aggregate, expression, one, offset if shift.micros else None, condition, name, several),
            expression=expression,
            aggregate=aggregate,
            window=length,
            offset=shift,
            where=condition,
            description=description,
            location=caller(),
        )
        for one, length in zip(windows, lengths, strict=True)
    )
    return features if several else features[0]


def _window(window: Any) -> Duration | None:
    if window is None:
        return None
    duration = parse_duration(window, what="window")
    if duration.micros == 0:
        raise DefinitionError("FS206", "a window of length 0 holds nothing", hint='window="1h"')
    return duration


def _spelled(duration: Any) -> str:
    return duration.replace(" ", "") if isinstance(duration, str) else str(parse_duration(duration))


def _feature_name(
    aggregate: str,
    expression: Expr | None,
    window: Any,
    offset: Any,
    where: Expr | None,
    name: str | None,
    several: bool,
) -> str:
    suffix = "lifetime" if window is None else _spelled(window)
    if name is not None:
        return check_name(f"{name}_{suffix}" if several else name, "feature")
    if where is not None or not (expression is None or isinstance(expression, Column)):
        reason = "a where" if where is not None else "an expression"
        raise DefinitionError("FS205", f"agg.{aggregate} with {reason} needs a name", hint="name='…'")
    stem = aggregate if expression is None else f"{expression.name}_{aggregate}"
    shift = f"_offset_{_spelled(offset)}" if offset is not None else ""
    return check_name(f"{stem}_{suffix}{shift}", "feature")
