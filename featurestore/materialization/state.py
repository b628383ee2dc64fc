"""The rows of an online state, column by column: by place, for features may be named like anything a statement uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from featurestore.online.layout import Layout
from featurestore.plan.nodes import OnlineState, measures, ordered_by_time


@dataclass(frozen=True)
class State:
    """Rows sorted by key, kind and event time. known: known times, where some aggregate orders by them."""

    kind: pa.Array
    event: pa.Array
    latest: list[pa.Array]
    measures: list[pa.Array]
    known: pa.Array | None

    @classmethod
    def of(cls, rows: pa.Table, plan: OnlineState, keys: int) -> State:
        """rows: what the state's statement gives, behind so many key columns."""
        kind, event, *values = (rows.column(i).combine_chunks() for i in range(keys, rows.num_columns))
        first, end = len(plan.latest), len(plan.latest) + len(measures(plan.windows))
        return cls(kind, event, values[:first], values[first:end], values[end] if ordered_by_time(plan.windows) else None)

    def slice(self, start: int, end: int) -> State:
        return self._each(lambda column: column.slice(start, end - start))

    def filter(self, mask: pa.Array) -> State:
        return self._each(lambda column: column.filter(mask))

    def _each(self, change: Callable[[pa.Array], pa.Array]) -> State:
        known = None if self.known is None else change(self.known)
        latest, measures = (list(map(change, part)) for part in (self.latest, self.measures))
        return State(change(self.kind), change(self.event), latest, measures, known)


def layout_of(plan: OnlineState) -> Layout:
    """The layout of a view's records."""
    types = [m.dtype for m in measures(plan.windows)]
    return Layout([o.dtype for o in plan.latest], types, known=ordered_by_time(plan.windows))
