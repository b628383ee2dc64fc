"""Which keys get an indexed record, and what goes into it: those with many facts in reach of the view's windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.compiler.duckdb import IN_WINDOW
from featurestore.online.codec import plain_values
from featurestore.online.indexed import FOLDABLE, MeasureFacts, TooWide, edges_of, encode, wanted_by
from featurestore.online.layout import Layout
from featurestore.plan.nodes import OnlineState, measure_of, measures, ordered_by_time

MANY = 128
"""Facts in reach from which on a key's windows are not computed by going through them one by one."""


@dataclass(frozen=True)
class State:
    """Rows of a state, sorted by key, kind and event time, column by column."""

    kind: pa.Array
    event: pa.Array
    latest: list[pa.Array]
    measures: list[pa.Array]
    known: pa.Array | None

    def slice(self, start: int, length: int) -> State:
        return self._each(lambda column: column.slice(start, length))

    def filter(self, mask: pa.Array) -> State:
        return self._each(lambda column: column.filter(mask))

    def _each(self, change: Callable[[pa.Array], pa.Array]) -> State:
        known = None if self.known is None else change(self.known)
        latest, measures = (list(map(change, part)) for part in (self.latest, self.measures))
        return State(change(self.kind), change(self.event), latest, measures, known)


def layout(plan: OnlineState) -> Layout:
    """That of a view's records."""
    types = [m.dtype for m in measures(plan.windows)]
    return Layout([o.dtype for o in plan.latest], types, known=ordered_by_time(plan.windows))


class Indexing:
    """Indexed records of one run: of a view, from a watermark to a horizon (both microseconds)."""

    def __init__(self, plan: OnlineState, watermark: int, horizon: int) -> None:
        self.until = watermark + horizon
        used = measures(plan.windows)
        self._measures = [(m.dtype, wanted_by([str(o.aggregate) for o in plan.windows if measure_of(o) == m])) for m in used]
        self._latest, self._known = len(plan.latest), ordered_by_time(plan.windows)
        spans = [(None if o.window is None else o.offset + o.window, o.offset) for o in plan.windows]
        foldable = all(o.aggregate in FOLDABLE for o in plan.windows)
        self._edges = edges_of(spans, watermark, horizon) if foldable else None

    def state(self, rows: pa.Table, keys: int) -> State:
        """The rows of a state, behind so many key columns, by what they hold: names of features may be any."""
        kind, event, *values = (rows.column(i).combine_chunks() for i in range(keys, rows.num_columns))
        end = self._latest + len(self._measures)
        return State(kind, event, values[: self._latest], values[self._latest : end], values[end] if self._known else None)

    def many(self, kinds: pa.Array, offsets: pa.Array) -> list[int]:
        """Of keys whose rows lie between offsets, the positions of those with many facts."""
        if not self._measures:
            return []
        lengths = pc.subtract(offsets.slice(1), offsets.slice(0, len(offsets) - 1))
        candidates = pc.indices_nonzero(pc.greater_equal(lengths, MANY)).to_pylist()
        return [i for i in candidates if _in_windows(kinds, offsets, i) >= MANY]

    def record(self, layout: Layout, state: State, exact_until: int) -> bytes | None:
        """The record of one key; None where a plain one serves better. state: of the key alone."""
        first = len(state.kind) - _in_windows(state.kind, None, 0)
        window, others = state.slice(first, len(state.kind) - first), state.slice(0, first)
        times = window.event.to_pylist()
        known = None if window.known is None else window.known.to_pylist()
        laid = []
        for column, (dtype, wanted) in zip(window.measures, self._measures, strict=True):
            values = plain_values(column, dtype)
            present: Sequence[bool] | None = column.is_valid().to_pylist() if column.null_count else None
            of = [times, values, known if wanted.by_time else None]
            some = [column if present is None or column is None else list(compress(column, present)) for column in of]
            laid.append(MeasureFacts(dtype, wanted, some[0] or [], some[1] or [], some[2]))
        before = layout.entry_bytes(others.kind, others.event, others.latest)
        try:
            return encode(exact_until, self.until, before, laid, self._edges)
        except TooWide:
            return None


def _in_windows(kinds: pa.Array, offsets: pa.Array | None, key: int) -> int:
    start, end = (0, len(kinds)) if offsets is None else (offsets[key].as_py(), offsets[key + 1].as_py())
    return int(pc.sum(pc.equal(kinds.slice(start, end - start), IN_WINDOW)).as_py() or 0)
