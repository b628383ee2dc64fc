"""Aggregates over a set of facts, as Spark spells them: what a plan needs that looks at facts themselves.

A call gathers something of a group's facts (a value, or a list in the one order); `finished` makes the answer of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from featurestore.compiler.spark.scalars import canonical, quoted
from featurestore.compiler.spark.types import sql_type
from featurestore.compiler.spark.windows.measured import measure_name
from featurestore.compiler.statement import Steps, listed
from featurestore.definitions import AGGREGATES
from featurestore.dtypes import DOUBLE
from featurestore.plan.nodes import Output

TIMED = "named_struct('event_time', event_time, 'known_time', known_time, 'value', {m})"
"""What orders values by time, the value itself last."""
EXTREMES: Mapping[str, tuple[str, str]] = {
    "min": ("min", "{m}"),
    "max": ("max", "{m}"),
    "all": ("min", "{m}"),
    "any": ("max", "{m}"),
    "first": ("min", TIMED),
    "last": ("max", TIMED),
    "time_since_first": ("min", "event_time"),
    "time_since_last": ("max", "event_time"),
}
"""Aggregates that are the least or greatest of something of each fact whose measure is not NULL."""
_LISTED: Mapping[str, str] = {
    "first_k": TIMED, "last_k": TIMED, "min_k": "{m}", "max_k": "{m}", "mode": "{m}", "histogram": "{m}",
    "count_distinct": "{m}", "median": "CAST({m} AS DOUBLE)", "quantile": "CAST({m} AS DOUBLE)",
}  # fmt: skip
"""Aggregates of a list of something of each such fact."""
_COUNTED = ("count_distinct", "mode", "histogram")
"""Those that ask how often each value occurs."""


def call(output: Output, number: int, inside: str, *, unordered: bool = False) -> str:
    """An aggregate's SQL over a group. inside: the test for a fact to lie in the window ("": every one does). unordered: only
    the list of values."""
    measure = measure_name(number)
    tests = [f"{measure} IS NOT NULL", *([inside] if inside else [])]
    kept = f"FILTER (WHERE {' AND '.join(tests)})"
    if unordered:
        return f"collect_list({measure}) {kept}"
    if (aggregate := output.aggregate or "") in EXTREMES:
        function, what = EXTREMES[aggregate]
        return f"{function}({what.format(m=measure)}) {kept}"
    return f"collect_list({_LISTED[aggregate].format(m=measure)}) {kept}"


def add_prepared(steps: Steps, source: str, outputs: Sequence[Output], unordered: Sequence[bool]) -> str:
    """The steps that put lists in order, and count how often each value occurs in one. Returns: the last step."""
    ordered = {f"value_{i}": o for i, (o, alone) in enumerate(zip(outputs, unordered, strict=True), 1)
               if o.aggregate in _LISTED and not alone}  # fmt: skip
    if not ordered:
        return source
    columns = [f"sort_array({v}, {str(o.aggregate not in ('last_k', 'max_k')).lower()}) AS {v}" for v, o in ordered.items()]
    steps.add("in_order", "lists in order", f"SELECT * EXCEPT ({', '.join(ordered)}),\n{listed(columns)}\nFROM {source}")
    counted = {v: o for v, o in ordered.items() if o.aggregate in _COUNTED}
    if not counted:
        return "in_order"
    begins = [f"CASE WHEN array_size({v}) > 0 THEN filter(sequence(0, array_size({v}) - 1), "
              f"i -> NOT (get({v}, i) <=> get({v}, i - 1))) END AS {v}_begins" for v in counted]  # fmt: skip
    steps.add("begins", "where in a list each value begins", f"SELECT *,\n{listed(begins)}\nFROM in_order")
    several = [v for v, o in counted.items() if o.aggregate != "count_distinct"]
    if not several:
        return "begins"
    runs = [f"transform({v}_begins, (begin, i) -> named_struct("
            f"'less', begin - coalesce(get({v}_begins, i + 1), array_size({v})), 'value', get({v}, begin))) AS {v}_runs"
            for v in several]  # fmt: skip
    steps.add("runs", "each value, after how often it occurs: the most frequent is the least",
              f"SELECT *,\n{listed(runs)}\nFROM begins")  # fmt: skip
    return "runs"


def _between(value: str, q: float) -> str:
    """a + (b - a)·f between the neighbours of a place in a list."""
    place = f"({q!r}D * (array_size({value}) - 1))"
    a, b = (f"get({value}, CAST({end}({place}) AS INT))" for end in ("floor", "ceil"))
    between = canonical(f"({a} + ({b} - {a}) * ({place} - floor({place})))", DOUBLE)
    return f"CASE WHEN array_size({value}) > 0 THEN CASE WHEN {a} = {b} THEN {a} ELSE {between} END END"


def _slice(value: str, k: object) -> str:
    return f"slice({value}, 1, {k})"


_FINISHED: Mapping[str, Callable[[str, Output], str]] = {
    "first": lambda v, o: f"{v}.value",
    "last": lambda v, o: f"{v}.value",
    "first_k": lambda v, o: f"transform({_slice(v, o.parameter)}, x -> x.value)",
    "last_k": lambda v, o: f"transform(reverse({_slice(v, o.parameter)}), x -> x.value)",
    "min_k": lambda v, o: _slice(v, o.parameter),
    "max_k": lambda v, o: _slice(v, o.parameter),
    "median": lambda v, o: _between(v, 0.5),
    "quantile": lambda v, o: _between(v, float(o.parameter or 0.0)),
    "count_distinct": lambda v, o: f"array_size({v}_begins)",
    "mode": lambda v, o: f"array_min({v}_runs).value",
    "histogram": lambda v, o: f"map_from_entries(transform({_slice(f'sort_array({v}_runs)', o.parameter)}, "
                              "x -> named_struct('key', x.value, 'value', CAST(-x.less AS BIGINT))))",
    "time_since_first": lambda v, o: f"asked_at - {v}",
    "time_since_last": lambda v, o: f"asked_at - {v}",
}  # fmt: skip


def finished(output: Output, value: str) -> str:
    """Select item of an output in the final select, from what its call gave, prepared (NULL: no facts)."""
    aggregate = output.aggregate or ""
    found = _FINISHED[aggregate](value, output) if aggregate in _FINISHED else value
    empty = AGGREGATES[aggregate].empty
    if empty == 0:
        found = f"coalesce({found}, 0)"
    elif empty == ():
        found = f"coalesce({found}, {_empty(output)})"
    return f"CAST({found} AS {sql_type(output.dtype)}) AS {quoted(output.name)}"


def _empty(output: Output) -> str:
    if output.dtype.is_map:
        key = sql_type(output.dtype.key)
        return f"map_from_arrays(CAST(array() AS ARRAY<{key}>), CAST(array() AS ARRAY<BIGINT>))"
    return f"CAST(array() AS {sql_type(output.dtype)})"
