"""On-demand features of a look-up: trees of expressions from the store, evaluated row by row.

They are read as data and never executed as text; the evaluator is the oracle's (docs/adr/0010), proven bit for bit against
the SQL. Dates are days here, as the store keeps them. What the inputs are at t is `online_view`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from featurestore import trees
from featurestore.dtypes import DType, parse_dtype
from featurestore.engines.reference.evaluate import DAY_CASTS, evaluator
from featurestore.expressions import columns
from featurestore.retrieval.online_request import Values
from featurestore.retrieval.online_view import NULL, PRESENT, STALE, UNAVAILABLE, UNKNOWN, Answer, View


class Cells(Protocol):
    """What a look-up found: rows of values, statuses and event timestamps, one cell per feature."""

    t: int

    def rows(self) -> list[Sequence[Any]]: ...

    def statuses(self) -> list[list[str]]: ...

    def event_timestamps(self) -> list[list[int | None]]: ...


class _Feature(NamedTuple):
    """reads: positions of the looked-up cells its expression reads."""

    value: Callable[[Mapping[str, Any]], Any]
    reads: tuple[int, ...]


class _View:
    """One on-demand view: where its operands come from, and its features."""

    def __init__(self, definition: Mapping[str, Any], positions: Mapping[str, int]) -> None:
        types = {name: parse_dtype(dtype) for name, _, _, dtype in definition["operands"]}
        cells = {name: positions[column] for name, origin, column, _ in definition["operands"] if origin == "feature"}
        self.features = []
        for feature in definition["features"]:
            tree = trees.from_data(feature["expression"])
            reads = tuple(cells[name] for name in dict.fromkeys(columns(tree)) if name in cells)
            self.features.append(_Feature(evaluator(tree, types, DAY_CASTS), reads))
        self._cells = tuple(cells.items())
        self._request = tuple(name for name, origin, _, _ in definition["operands"] if origin == "request")

    def operands(self, cells: Sequence[Any], request: Values, row: int, t: int) -> dict[str, Any]:
        """What the expressions read, for one row."""
        known = {name: cells[position] for name, position in self._cells}
        for name in self._request:
            known[name] = request[name][row]
        known["as_of"] = t
        return known


class OnDemand:
    """The on-demand views of a service, and how its answers are put together.

    Cells are looked up in the order of the views' columns, hidden ones included; computed ones follow.
    """

    def __init__(self, service: Mapping[str, Any], views: Sequence[View]) -> None:
        looked_up = [name for view in views for name in view.feature_names]
        computed = [f["name"] for definition in service["on_demand"] for f in definition["features"]]
        positions = {name: i for i, name in enumerate([*looked_up, *computed])}
        self._views, self._sources = [_View(d, positions) for d in service["on_demand"]], views
        self._arranged = [positions[name] for name in service["feature_names"]]
        types = [dtype for view in views for dtype in view.feature_types]
        types += [parse_dtype(f["type"]) for definition in service["on_demand"] for f in definition["features"]]
        self.feature_names: tuple[str, ...] = tuple(service["feature_names"])
        self.feature_types: tuple[DType, ...] = tuple(types[i] for i in self._arranged)
        self.request: Mapping[str, DType] = {
            name: parse_dtype(dtype) for definition in service["on_demand"] for name, dtype in definition["request"].items()
        }

    def added(self, answers: Sequence[Sequence[Answer]], found: Cells, request: Values, rows: int) -> Cells:
        """What was looked up, hidden cells dropped and on-demand features computed."""
        looked_up = found.rows() if self._sources else [()] * rows
        values: list[Sequence[Any]] = []
        statuses = []
        for row, cells in enumerate(looked_up):
            unknown = _unknown([column[row] for column in answers])
            computed, told = self._computed(cells, unknown, request, row, found.t)
            values.append(self._arrange((*cells, *computed)))
            statuses.append(told)
        return _Added(self, found, values, statuses)

    def _computed(
        self, cells: Sequence[Any], unknown: Mapping[int, str], request: Values, row: int, t: int
    ) -> tuple[list[Any], list[str]]:
        """Value and status of each feature of a row. What reads a cell the store does not know is not evaluated."""
        values: list[Any] = []
        statuses: list[str] = []
        for view in self._views:
            operands = view.operands(cells, request, row, t)
            for feature in view.features:
                missing = [unknown[i] for i in feature.reads if i in unknown] if unknown else []
                value = None if missing else feature.value(operands)
                values.append(value)
                statuses.append(_worst(missing) if missing else NULL if value is None else PRESENT)
        return values, statuses

    def _arrange(self, cells: Sequence[Any]) -> list[Any]:
        return [cells[i] for i in self._arranged]

    def joined(self, looked_up: Sequence[Sequence[Any]], computed: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Rows of looked-up and computed cells as rows of the answer."""
        looked_up = looked_up if self._sources else [()] * len(computed)
        return [self._arrange((*one, *other)) for one, other in zip(looked_up, computed, strict=True)]


class _Added:
    """`Cells` with on-demand features; statuses and event timestamps are put together when they are looked at."""

    __slots__ = ("_computed", "_found", "_on_demand", "_rows", "t")

    def __init__(self, on_demand: OnDemand, found: Cells, rows: list[Sequence[Any]], computed: Sequence[Sequence[str]]) -> None:
        self._on_demand, self._found, self._rows, self._computed, self.t = on_demand, found, rows, computed, found.t

    def rows(self) -> list[Sequence[Any]]:
        return self._rows

    def statuses(self) -> list[list[str]]:
        return self._on_demand.joined(self._found.statuses(), self._computed)

    def event_timestamps(self) -> list[list[int | None]]:
        return self._on_demand.joined(self._found.event_timestamps(), [[None] * len(told) for told in self._computed])


def _unknown(answers: Sequence[Answer]) -> dict[int, str]:
    """The cells of a row that the store does not know at t, by position: stale or unavailable."""
    found: dict[int, str] = {}
    start = 0
    for values, status, _, unavailable in answers:
        if status in UNKNOWN:
            found.update(dict.fromkeys(range(start, start + len(values)), status))
        for position in unavailable:
            found[start + position] = UNAVAILABLE
        start += len(values)
    return found


def _worst(statuses: Sequence[str]) -> str:
    """Of both, stale: the next run may cure it."""
    return STALE if STALE in statuses else UNAVAILABLE


__all__ = ["Cells", "OnDemand"]
