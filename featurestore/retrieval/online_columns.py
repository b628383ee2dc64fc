"""Answers of a look-up by column: for those who want a feature at a time, as Feast's clients and Arrow do.

Says nothing that `online_features` and `online_view` do not say by row; it only avoids making rows of a thousand entities
to take them apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from featurestore.dtypes import TIMESTAMP, DType
from featurestore.retrieval.online_features import Found, Service
from featurestore.retrieval.online_on_demand import Cells
from featurestore.retrieval.online_view import PRESENT, Answer, View

if TYPE_CHECKING:
    import pyarrow as pa


class Columns:
    """What was found, a column per feature, in service order. Values are as stored: dates are days, times microseconds."""

    __slots__ = ("_found", "rows", "service", "values")

    def __init__(self, service: Service, found: Cells, rows: int) -> None:
        self.service, self.rows = service, rows
        self._found = found
        self.values: list[Sequence[Any]] = []
        if isinstance(found, Found):
            for view, answers in found.by_view():
                self.values += _turned([answer[0] for answer in answers], view.feature_names)
        else:
            self.values += _turned(found.rows(), service.feature_names)

    def statuses(self) -> list[Sequence[str] | None]:
        """None for a feature that is present in every row: a value that is there is present."""
        lacking = [None in column for column in self.values]
        if True not in lacking:
            return [None] * len(lacking)
        return [
            [told(row)[i] if value is None else PRESENT for row, value in enumerate(column)] if lacks else None
            for column, lacks, (told, i) in zip(self.values, lacking, self._tellers(), strict=True)
        ]

    def _tellers(self) -> list[tuple[Callable[[int], Sequence[str]], int]]:
        """Per feature: what tells the statuses of a row, and which of them is the feature's."""
        if isinstance(self._found, Found):
            views = [(_told(view, answers), len(view.feature_names)) for view, answers in self._found.by_view()]
            return [(told, i) for told, features in views for i in range(features)]
        told = self._found.statuses().__getitem__
        return [(told, i) for i in range(len(self.values))]

    def event_timestamps(self) -> list[Sequence[int | None]]:
        """Microseconds. Features of one view share a column, the same object."""
        if isinstance(self._found, Found):
            return [column for view, answers in self._found.by_view() for column in view.event_columns(answers)]
        return _turned(self._found.event_timestamps(), self.service.feature_names)

    def to_arrow(self, *, statuses: bool = False, event_timestamps: bool = False) -> pa.Table:
        """A table with the features' declared types; and as asked, <feature>__status and <feature>__event_timestamp, as
        training sets name them."""
        import pyarrow as pa

        names, types = self.service.feature_names, self.service.feature_types
        columns = {name: arrow(c, dtype) for name, dtype, c in zip(names, types, self.values, strict=True)}
        if statuses:
            for name, told in zip(names, self.statuses(), strict=True):
                columns[f"{name}__status"] = pa.repeat(PRESENT, self.rows) if told is None else pa.array(told, pa.string())
        if event_timestamps:
            for name, events in zip(names, self.event_timestamps(), strict=True):
                columns[f"{name}__event_timestamp"] = arrow(events, TIMESTAMP)
        return pa.table(columns)


def joined(service: Service, founds: Sequence[Cells]) -> Cells:
    """Several answers of one service as one, row after row; of their instants it keeps the first."""
    if len(founds) == 1:
        return founds[0]
    if all(isinstance(found, Found) for found in founds):
        by_view = zip(*[[answers for _, answers in found.by_view()] for found in founds], strict=True)  # type: ignore[attr-defined]
        return Found(service, [list(chain.from_iterable(parts)) for parts in by_view], founds[0].t)
    return _Joined(founds)


class _Joined:
    """`Cells` of answers that are rows already."""

    def __init__(self, founds: Sequence[Cells]) -> None:
        self._founds, self.t = founds, founds[0].t

    def rows(self) -> list[Sequence[Any]]:
        return [row for found in self._founds for row in found.rows()]

    def statuses(self) -> list[list[str]]:
        return [row for found in self._founds for row in found.statuses()]

    def event_timestamps(self) -> list[list[int | None]]:
        return [row for found in self._founds for row in found.event_timestamps()]


def arrow(values: Sequence[Any], dtype: DType) -> pa.Array:
    """Stored values as Arrow's: days and microseconds become dates and times, inside of lists and maps too."""
    import pyarrow as pa

    stored = _stored(dtype)
    return pa.array(values, stored) if stored == dtype.arrow else pa.array(values, stored).cast(dtype.arrow)


def _stored(dtype: DType) -> pa.DataType:
    import pyarrow as pa

    if dtype.is_list:
        return pa.list_(_stored(dtype.item))
    if dtype.is_map:
        return pa.map_(_stored(dtype.key), pa.int64())
    return {"date32": pa.int32(), TIMESTAMP.name: pa.int64()}.get(dtype.name, dtype.arrow)


def _told(view: View, answers: Sequence[Answer]) -> Callable[[int], Sequence[str]]:
    """Statuses of a row, kept: several features ask for the same."""
    known: dict[int, Sequence[str]] = {}

    def told(row: int) -> Sequence[str]:
        found = known.get(row)
        if found is None:
            found = known[row] = view.statuses(answers[row])
        return found

    return told


def _turned(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> list[Sequence[Any]]:
    """Rows as columns; as many without any row."""
    return list(zip(*rows, strict=True)) if rows else [()] * len(names)


__all__ = ["Columns", "arrow", "joined"]
