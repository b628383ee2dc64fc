"""Aggregates over a set of facts, as the engine spells them: what every plan shares that looks at facts themselves.

A call holds the word FILTERED where the engine's FILTER and OVER go, so that one table serves groups and frames alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from featurestore.compiler.duckdb.scalars import as_double, quoted, sortable
from featurestore.compiler.duckdb.types import sql_type
from featurestore.compiler.duckdb.windows.measured import measure_name
from featurestore.definitions import AGGREGATES
from featurestore.definitions.aggregation import Parameter
from featurestore.plan.nodes import Measure, Output

MACROS = (
    "CREATE TEMP MACRO between_neighbours(a, b, f) AS CASE WHEN a = b THEN a ELSE canonical_double(a + (b - a) * f) END",
    "CREATE TEMP MACRO quantile_place(l, place) AS between_neighbours("
    "l[CAST(floor(place) AS BIGINT) + 1], l[CAST(ceil(place) AS BIGINT) + 1], place - floor(place))",
    "CREATE TEMP MACRO quantile_between(l, q) AS quantile_place(list_sort(l), q * (len(l) - 1))",
    # A map of doubles as keys is wrong beside NaN on some versions of the engine; one of lists of one double is not.
    "CREATE TEMP MACRO of_lists(h) AS list_transform(map_entries(h), lambda x: struct_pack(key := x.key[1], value := x.value))",
    "CREATE TEMP MACRO by_frequency(h) AS list_transform(list_sort(list_transform(h, "
    "lambda x: row(-CAST(x.value AS BIGINT), x.key))), lambda x: struct_pack(value := x[2], count := -x[1]))",
    "CREATE TEMP MACRO most_frequent(h, k) AS map_from_entries(list_transform(by_frequency(h)[1:k], "
    "lambda x: struct_pack(k := x.value, v := x.count)))",
)
"""What an engine defines on its connection beyond its own functions."""


def _timed(measure: str, taken: Measure) -> str:
    """What orders values by time, the value itself last; lists are sorted by what the contract makes of their items."""
    sorting = [sortable(measure, taken.dtype)] if taken.dtype.is_list else []
    return f"row({', '.join(['event_time', 'known_time', *sorting, measure])})"


def _of_timed(timed: str, taken: Measure) -> str:
    return f"({timed})[{4 if taken.dtype.is_list else 3}]"


EXTREMES: Mapping[str, tuple[str, Callable[[str, Measure], str]]] = {
    "min": ("min", lambda m, _: m),
    "max": ("max", lambda m, _: m),
    "all": ("min", lambda m, _: m),
    "any": ("max", lambda m, _: m),
    "first": ("min", _timed),
    "last": ("max", _timed),
    "time_since_first": ("min", lambda m, _: "event_time"),
    "time_since_last": ("max", lambda m, _: "event_time"),
}
"""Aggregates that are the least or greatest of something of each fact whose measure is not NULL: a plan may take them of
parts and then of those."""

BOTH = {"min": "least", "max": "greatest"}
"""How two such results make one."""


def _ends(function: str, *, turned: bool) -> Callable[[str, Measure, Parameter], str]:
    def call(measure: str, taken: Measure, k: Parameter) -> str:
        found = f"{function}({_timed(measure, taken)}, {k}) FILTERED"
        return f"list_transform({f'list_reverse({found})' if turned else found}, lambda x: x[3])"

    return call


def _counted(measure: str, taken: Measure) -> str:
    """The distinct values and their counts, in no order."""
    if taken.dtype.is_float:
        return f"of_lists(histogram([{measure}]) FILTERED)"
    return f"map_entries(histogram({measure}) FILTERED)"


def _extreme(aggregate: str) -> Callable[[str, Measure, Parameter], str]:
    function, what = EXTREMES[aggregate]
    return lambda m, taken, _: f"{function}({what(m, taken)}) FILTERED"


_CALLS: Mapping[str, Callable[[str, Measure, Parameter], str]] = {
    **{name: _extreme(name) for name in EXTREMES},
    "count": lambda m, _, __: f"count({m}) FILTERED",
    "count_distinct": lambda m, _, __: f"count(DISTINCT {m}) FILTERED",
    "first_k": _ends("min", turned=False),
    "last_k": _ends("max", turned=True),
    "min_k": lambda m, _, k: f"min({m}, {k}) FILTERED",
    "max_k": lambda m, _, k: f"max({m}, {k}) FILTERED",
    "median": lambda m, taken, _: f"quantile_between(list({as_double(m, taken.dtype)}) FILTERED, 0.5::DOUBLE)",
    "quantile": lambda m, taken, q: f"quantile_between(list({as_double(m, taken.dtype)}) FILTERED, {q!r}::DOUBLE)",
    "mode": lambda m, taken, _: f"by_frequency({_counted(m, taken)})[1].value",
    "histogram": lambda m, taken, k: f"most_frequent({_counted(m, taken)}, {k})",
}
_SKIP_NULLS = {"count", "count_distinct", "min", "max", "any", "all"}
"""Aggregates of the engine's own that pass over NULLs."""


def call(output: Output, taken: Measure, number: int, over: Callable[[str], str]) -> str:
    """An aggregate's SQL. over: from the test a fact must pass ("": none) to what stands for FILTERED."""
    measure = measure_name(number)
    test = "" if output.aggregate in _SKIP_NULLS else f"{measure} IS NOT NULL"
    return _CALLS[output.aggregate or ""](measure, taken, output.parameter).replace("FILTERED", over(test)).strip()


def listed_values(number: int, over: Callable[[str], str]) -> str:
    """All values of a measure as a list."""
    return f"list({measure_name(number)}) {over(f'{measure_name(number)} IS NOT NULL')}"


def finished(output: Output, taken: Measure, found: str) -> str:
    """Select item of an output in the final select, from what its call gave (NULL: no facts)."""
    aggregate, name = output.aggregate or "", quoted(output.name)
    if aggregate in ("first", "last"):
        found = _of_timed(found, taken)
    if aggregate.startswith("time_since"):
        found = f"s.asked_at - {found}"
    empty = AGGREGATES[aggregate].empty
    if empty is not None:
        nothing = {(): "MAP {}" if output.dtype.is_map else "[]"}.get(empty, empty)  # type: ignore[arg-type]
        found = f"coalesce({found}, {nothing})"
    return f"CAST({found} AS {sql_type(output.dtype)}) AS {name}"
