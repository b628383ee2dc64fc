"""Features: the latest value of a column, and aggregates over windows of time.

`AGGREGATES` is a closed table: an aggregate is a row with what it takes, its result type and its value on the empty
window. What a window covers is the contract's section 5; how an engine computes it is the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from featurestore import expressions
from featurestore.definitions.base import caller, check_name, located
from featurestore.dtypes import BOOL, DOUBLE, INT64, DType
from featurestore.errors import DefinitionError, nearest
from featurestore.expressions import Column, Expr
from featurestore.intervals import Duration, parse_duration

DEFAULT_HISTOGRAM_SIZE = 100
GREATEST_K = 999_999
"""More values in one cell are not a feature; engines set bounds as well."""

Parameter = int | float | None
"""What an aggregate takes beside its input: the q of a quantile, the k of a k-list or a histogram."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One row of the table of aggregates.

    needs_input: whether it takes a column or expression (a count may go without). empty: its value over no facts; ()
    is the empty list or map. result: from the type in which it reads its input (`read_as`) to the type of its output,
    or None where it cannot take it. parameter: "q", "k" or None. takes: what it can take, for people. by_time: it puts
    values in the order of (event time, known time, value).
    """

    name: str
    meaning: str
    empty: int | tuple[()] | None
    result: Callable[[DType | None], DType | None]
    takes: str
    needs_input: bool = True
    parameter: str | None = None
    by_time: bool = False


def read_as(dtype: DType) -> DType:
    """The type in which aggregates read a value: floats as double, integers as int64; uint64 and all else as stored."""
    return dtype if dtype.is_decimal or dtype.name == "uint64" else expressions.widened(dtype)


def _always(result: DType) -> Callable[[DType | None], DType | None]:
    return lambda dtype: result


def _sum_type(dtype: DType | None) -> DType | None:
    if dtype is None or not dtype.is_numeric:
        return None
    if dtype.is_decimal:
        return DType(f"decimal128(38, {dtype.precision_scale[1]})")
    return expressions.widened(dtype)


def _number(dtype: DType | None) -> DType | None:
    return DOUBLE if dtype is not None and dtype.is_numeric else None


def _bool(dtype: DType | None) -> DType | None:
    return BOOL if dtype == BOOL else None


def _itself(dtype: DType | None) -> DType | None:
    return dtype


def _ordered(dtype: DType | None) -> DType | None:
    return None if dtype is None or dtype.is_list else dtype


def _distinct(dtype: DType | None) -> DType | None:
    return None if dtype is not None and dtype.is_list else INT64


def _several(dtype: DType | None) -> DType | None:
    return None if dtype is None or dtype.is_list else DType(f"list<{dtype}>")


def _counts(dtype: DType | None) -> DType | None:
    return None if dtype is None or dtype.is_list else DType(f"map<{dtype}, int64>")


_NUMBERS, _SINGLE, _ANY = "a number", "a single value, no list", "any value"

AGGREGATES: Mapping[str, Aggregate] = {
    a.name: a
    for a in (
        Aggregate("count", "facts, or with a column its values that are not NULL", 0, _always(INT64), _ANY, False),
        Aggregate("sum", "exact sum, rounded once for doubles; NULL over no values", None, _sum_type, _NUMBERS),
        Aggregate("mean", "the exact sum, rounded to a double, divided by the count", None, _number, _NUMBERS),
        Aggregate("min", "the least value in the one order", None, _ordered, _SINGLE),
        Aggregate("max", "the greatest value in the one order", None, _ordered, _SINGLE),
        Aggregate("var_samp", "sample variance; NULL over one value", None, _number, _NUMBERS),
        Aggregate("var_pop", "population variance", None, _number, _NUMBERS),
        Aggregate("stddev_samp", "sample standard deviation; NULL over one value", None, _number, _NUMBERS),
        Aggregate("stddev_pop", "population standard deviation", None, _number, _NUMBERS),
        Aggregate("count_distinct", "distinct values that are not NULL", 0, _distinct, _SINGLE),
        Aggregate("first", "the earliest value, by event time, known time, value", None, _itself, _ANY, by_time=True),
        Aggregate("last", "the newest value, by event time, known time, value", None, _itself, _ANY, by_time=True),
        Aggregate("first_k", "the k earliest values, oldest first", (), _several, _SINGLE, parameter="k", by_time=True),
        Aggregate("last_k", "the k newest values, oldest first", (), _several, _SINGLE, parameter="k", by_time=True),
        Aggregate("min_k", "the k least values, ascending", (), _several, _SINGLE, parameter="k"),
        Aggregate("max_k", "the k greatest values, descending", (), _several, _SINGLE, parameter="k"),
        Aggregate("median", "the quantile at 0.5", None, _number, _NUMBERS),
        Aggregate("quantile", "the value at rank q·(n - 1): a + (b - a)·f between its neighbours", None, _number, _NUMBERS,
                  parameter="q"),
        Aggregate("mode", "the most frequent value; of equals the least", None, _ordered, _SINGLE),
        Aggregate("histogram", "value to count for the k most frequent values, then the least", (), _counts, _SINGLE,
                  parameter="k"),
        Aggregate("any", "whether any value is true; NULLs are skipped", None, _bool, "a bool"),
        Aggregate("all", "whether all values are true; NULLs are skipped", None, _bool, "a bool"),
        Aggregate("time_since_last", "microseconds from the newest fact to t, or from the newest with a value", None,
                  _always(INT64), _ANY, False),
        Aggregate("time_since_first", "microseconds from the earliest fact to t, or from the earliest with a value", None,
                  _always(INT64), _ANY, False),
    )
}  # fmt: skip


NO_OFFSET = Duration(0)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One named column of a view: an expression over the source's columns, taken latest or aggregated over a window.

    aggregate None means the latest value. window None with an aggregate means the whole past (lifetime). parameter: the
    q or k of the aggregate.
    """

    name: str
    expression: Expr | None
    aggregate: str | None = None
    parameter: Parameter = None
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
        row = AGGREGATES[self.aggregate]
        result = row.result(None if dtype is None else read_as(dtype))
        if result is None:
            hint = "a number, or a CAST" if row.takes == _NUMBERS else row.takes
            raise DefinitionError("FS217", f"{self.aggregate} cannot take {dtype} ({what})", hint=hint)
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


def _method(aggregate: str) -> Any:
    """The method of `agg` for a row of the table, documented by it."""
    row = AGGREGATES[aggregate]

    def plain(self: _Aggregations, column: str | None = None, *, window: Any = ..., offset: Any = None,
              where: str | None = None, name: str | None = None, description: str = "") -> Any:  # fmt: skip
        return located(lambda: _aggregates(row, column, None, window, offset, where, name, description))

    def with_q(self: _Aggregations, column: str | None = None, q: Any = None, *, window: Any = ..., offset: Any = None,
               where: str | None = None, name: str | None = None, description: str = "") -> Any:  # fmt: skip
        return located(lambda: _aggregates(row, column, q, window, offset, where, name, description))

    def with_k(self: _Aggregations, column: str | None = None, k: Any = None, *, window: Any = ..., offset: Any = None,
               where: str | None = None, name: str | None = None, description: str = "") -> Any:  # fmt: skip
        return located(lambda: _aggregates(row, column, k, window, offset, where, name, description))

    method = {None: plain, "q": with_q, "k": with_k}[row.parameter]
    empty = {None: "NULL", (): "empty"}.get(row.empty, row.empty)  # type: ignore[arg-type]
    method.__name__, method.__qualname__ = aggregate, f"agg.{aggregate}"
    method.__doc__ = f"{row.meaning[0].upper()}{row.meaning[1:]}. Takes {row.takes}; over no facts it is {empty}."
    return method


class _Aggregations:
    """`agg.count(window="1h")`, `agg.sum("amount", window=["1d", "7d"])`, …: one method per row of AGGREGATES.

    Every method takes `window` (a duration, a list of them, or None for the whole past; required), `offset` (a
    duration; the window ends that long before t), `where` (a condition judged per fact) and `name`; `quantile` takes
    `q` (0 to 1), the k-lists and `histogram` take `k` (a histogram's is 100 unless said). Without a name the feature is
    {column}_{aggregate}[_{parameter}]_{window}[_offset_{o}]; with several windows a name gets the window as suffix.

    Returns: a Feature, or a tuple of them for a list of windows.
    Raises: DefinitionError FS205 (needs a name), FS206 (window), FS223 (q or k), FS211, FS214, FS215.
    """

    count = _method("count")
    sum = _method("sum")
    mean = _method("mean")
    min = _method("min")
    max = _method("max")
    var_samp = _method("var_samp")
    var_pop = _method("var_pop")
    stddev_samp = _method("stddev_samp")
    stddev_pop = _method("stddev_pop")
    count_distinct = _method("count_distinct")
    first = _method("first")
    last = _method("last")
    first_k = _method("first_k")
    last_k = _method("last_k")
    min_k = _method("min_k")
    max_k = _method("max_k")
    median = _method("median")
    quantile = _method("quantile")
    mode = _method("mode")
    histogram = _method("histogram")
    any = _method("any")
    all = _method("all")
    time_since_last = _method("time_since_last")
    time_since_first = _method("time_since_first")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        hint = _ELSEWHERE.get(name.lower()) or nearest(name, AGGREGATES)
        raise DefinitionError("FS218", f"unknown aggregate {name!r}", where=caller(), known=AGGREGATES, hint=hint)


_ELSEWHERE = {
    "avg": "mean", "average": "mean", "std": "stddev_samp", "stddev": "stddev_samp", "var": "var_samp", "variance": "var_samp",
    "nunique": "count_distinct", "distinct": "count_distinct", "percentile": "quantile", "approx_quantile": "quantile",
    "most_frequent": "mode", "top_k": "max_k", "value_counts": "histogram", "bool_or": "any", "bool_and": "all",
}  # fmt: skip
"""What other tools call some aggregates."""

agg = _Aggregations()


def _aggregates(
    row: Aggregate, column: str | None, parameter: Any, window: Any, offset: Any, where: str | None, name: str | None,
    description: str,
) -> Feature | tuple[Feature, ...]:  # fmt: skip
    if window is ...:
        raise DefinitionError("FS206", f"agg.{row.name} needs a window", hint='window="7d", or window=None for the whole past')
    expression = None if column is None else expressions.parse(column)
    if expression is None and row.needs_input:
        hint = f'agg.{row.name}("amount", …)'
        raise DefinitionError("FS202", f"agg.{row.name} needs a column or expression", hint=hint)
    chosen = _parameter(row, parameter)
    several = isinstance(window, list | tuple)
    windows = list(window) if several else [window]
    if not windows:
        raise DefinitionError("FS206", f"agg.{row.name} got an empty list of windows", hint='window=["1d", "7d"]')
    condition = None if where is None else expressions.parse(where)
    lengths = [_window(one) for one in windows]
    shift = Duration(0) if offset is None else parse_duration(offset, what="offset")
    stem = row.name if parameter is None else f"{row.name}_{_spelled_parameter(row, chosen)}"
    features = tuple(
        Feature(
            name=_feature_name(stem, expression, one, offset if shift.micros else None, condition, name, several),
            expression=expression,
            aggregate=row.name,
            parameter=chosen,
            window=length,
            offset=shift,
            where=condition,
            description=description,
            location=caller(),
        )
        for one, length in zip(windows, lengths, strict=True)
    )
    return features if several else features[0]


def _parameter(row: Aggregate, given: Any) -> Parameter:
    """The q or k asked for, checked. Raises: DefinitionError FS223."""
    if row.parameter == "q":
        if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1:
            return float(given)
        raise DefinitionError("FS223", f"agg.{row.name} needs q, a number from 0 to 1, got {given!r}", hint="q=0.95")
    if row.parameter == "k":
        if given is None and row.name == "histogram":
            return DEFAULT_HISTOGRAM_SIZE
        if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= GREATEST_K:
            return given
        what = f"agg.{row.name} needs k, a whole number from 1 to {GREATEST_K}, got {given!r}"
        raise DefinitionError("FS223", what, hint="k=3")
    return None


def _spelled_parameter(row: Aggregate, parameter: Parameter) -> str:
    """0.95 is p95, 0.999 is p99_9; a k is its number."""
    if row.parameter == "k":
        return str(parameter)
    hundredths = format((Decimal(repr(parameter)) * 100).normalize(), "f")
    return "p" + hundredths.replace(".", "_")


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
    stem: str,
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
        raise DefinitionError("FS205", f"agg.{stem} with {reason} needs a name", hint="name='…'")
    whole = stem if expression is None else f"{expression.name}_{stem}"
    shift = f"_offset_{_spelled(offset)}" if offset is not None else ""
    return check_name(f"{whole}_{suffix}{shift}", "feature")
