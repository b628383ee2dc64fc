"""Which keys get an indexed record, and what goes into it: those with many facts in reach of the view's windows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.compiler.duckdb import IN_WINDOW
from featurestore.online.codec import plain_values
from featurestore.online.indexed import FOLDABLE, Facts, TooWide, edges_of, encode, wanted_by
from featurestore.plan.nodes import OnlineState, measure_of, measures

MANY = 128
"""Facts in reach from which on a key's windows are not computed by going through them one by one."""


class Indexing:
    """Indexed records of one run: of a view, from a watermark to a horizon (both microseconds)."""

    def __init__(self, plan: OnlineState, watermark: int, horizon: int) -> None:
        self.until = watermark + horizon
        used = measures(plan.windows)
        self._measures = [
            (f"measure_{i}", m.dtype, wanted_by([str(o.aggregate) for o in plan.windows if measure_of(o) == m]))
            for i, m in enumerate(used, 1)
        ]
        spans = [(None if o.window is None else o.offset + o.window, o.offset) for o in plan.windows]
        foldable = all(o.aggregate in FOLDABLE for o in plan.windows)
        self._edges = edges_of(spans, watermark, horizon) if foldable else None

    def many(self, kinds: pa.Array, offsets: pa.Array) -> list[int]:
        """Of keys whose rows lie between offsets, the positions of those with many facts."""
        if not self._measures:
            return []
        lengths = pc.subtract(offsets.slice(1), offsets.slice(0, len(offsets) - 1))
        candidates = pc.indices_nonzero(pc.greater_equal(lengths, MANY)).to_pylist()
        return [i for i in candidates if _in_windows(kinds, offsets, i) >= MANY]

    def record(self, rows: pa.Table, entries: pa.Array, exact_until: int) -> bytes | None:
        """The record of one key; None where plain entries serve better. rows: of its state, by kind and event time."""
        facts = _in_windows(rows["__kind"].chunk(0), None, 0)
        first = rows.num_rows - facts
        window = rows.slice(first)
        times = window["__event"].to_pylist()
        known = window["known_time"].to_pylist() if "known_time" in rows.column_names else None
        laid = []
        for name, dtype, wanted in self._measures:
            values = plain_values(window[name], dtype)
            present: Sequence[bool] | None = window[name].is_valid().to_pylist() if window[name].null_count else None
            of = [times, values, known if wanted.by_time else None]
            some = [column if present is None or column is None else list(compress(column, present)) for column in of]
            laid.append(Facts(dtype, wanted, some[0] or [], some[1] or [], some[2]))
        before = b"".join(entries.slice(0, first).to_pylist())
        try:
            return encode(exact_until, self.until, before, laid, self._edges)
        except TooWide:
            return None


def _in_windows(kinds: pa.Array, offsets: pa.Array | None, key: int) -> int:
    start, end = (0, len(kinds)) if offsets is None else (offsets[key].as_py(), offsets[key + 1].as_py())
    return int(pc.sum(pc.equal(kinds.slice(start, end - start), IN_WINDOW)).as_py() or 0)
