"""What goes into the indexed record of a key, which has many facts in reach of its view's windows."""

from __future__ import annotations

from itertools import compress

from featurestore.materialization.state import State
from featurestore.online.codec import plain_values
from featurestore.online.indexed import FOLDABLE, MeasureFacts, TooWide, edges_of, encode, wanted_by
from featurestore.plan.nodes import OnlineState, measure_of, measures

MANY = 128
"""Facts in reach from which on a key's windows are not computed by going through them one by one."""


class Indexing:
    """Indexed records of one run: of a view, from a watermark to a horizon (both microseconds)."""

    def __init__(self, plan: OnlineState, watermark: int, horizon: int) -> None:
        self._until = watermark + horizon
        used = measures(plan.windows)
        self._measures = [(m.dtype, wanted_by([str(o.aggregate) for o in plan.windows if measure_of(o) == m])) for m in used]
        spans = [(None if o.window is None else o.offset + o.window, o.offset) for o in plan.windows]
        foldable = all(o.aggregate in FOLDABLE for o in plan.windows)
        self._edges = edges_of(spans, watermark, horizon) if foldable else None

    def record(self, entries: bytes, facts: State, exact_until: int) -> bytes | None:
        """The record of one key; None where a plain one serves better. entries: of its latest values. facts: in reach."""
        times = facts.event.to_pylist()
        known = None if facts.known is None else facts.known.to_pylist()
        laid = []
        for column, (dtype, wanted) in zip(facts.measures, self._measures, strict=True):
            present = column.is_valid().to_pylist()
            of_measure = MeasureFacts(dtype, wanted, list(compress(times, present)), plain_values(column.drop_null(), dtype))
            if known is not None and wanted.by_time:
                of_measure.known = list(compress(known, present))
            laid.append(of_measure)
        try:
            return encode(exact_until, self._until, entries, laid, self._edges)
        except TooWide:
            return None
