"""Labels of a training set: for which rows one is mature, and what is counted of it.

What a label aggregates is the plan's business. Whether it may be told yet depends on a row's instant alone, so it is
decided here, batch by batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.intervals import FOREVER, format_instant
from featurestore.plan.nodes import LabelOf


@dataclass
class LabelCounts:
    """What a build did about one label. greatest_known: up to when its source is known; mature_until: the last as_of whose
    label is mature (both instants as text; None: there is none). positive: mature rows whose label is TRUE, a number above
    0 (NaN is), or else any value but NULL."""

    column: str
    greatest_known: str | None
    mature_until: str | None
    mature: int = 0
    immature: int = 0
    positive: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Maturity:
    """When a label is mature: as_of + horizon <= min(cut-off, greatest known time of its source).

    Args: known_before, greatest_known: microseconds; None: no cut-off, no row whose known time is told.
    """

    def __init__(self, label: LabelOf, known_before: int | None, greatest_known: int | None) -> None:
        cutoff = FOREVER if known_before is None else known_before
        self._last = None if greatest_known is None else min(cutoff, greatest_known) - label.horizon
        (output,) = label.part.outputs
        self.counts = LabelCounts(output.name, _shown(greatest_known), _shown(self._last))

    def of(self, instants: pa.Array) -> pa.Array:
        """Whether the label of a row asked at each instant is mature."""
        if self._last is None or self._last < -FOREVER:
            return pa.repeat(pa.scalar(False), len(instants))
        return pc.less_equal(instants, pa.scalar(self._last, pa.int64()))

    def count(self, mature: pa.Array, values: pa.ChunkedArray) -> None:
        """Add a batch: which rows are mature, and their labels, NULL where they are not."""
        counts, rows = self.counts, mature.true_count
        counts.mature += rows
        counts.immature += len(mature) - rows
        counts.positive += pc.sum(positive(values), min_count=0).as_py()


def kept(table: pa.Table, mature: pa.Array) -> pa.Table:
    """The table with all columns NULL in the rows that are not mature."""
    if mature.true_count == len(mature):
        return table
    rows = pa.arange(0, len(mature))
    return table.take(pc.if_else(mature, rows, pa.scalar(None, rows.type)))


def positive(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether a label says yes: TRUE, a number above 0 (in the one order NaN is above all), or else any value."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return values
    if pa.types.is_floating(kind):
        return pc.or_(pc.greater(values, 0), pc.is_nan(values))
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return pc.greater(values, pa.scalar(Decimal(0) if pa.types.is_decimal(kind) else 0).cast(kind))
    return pc.is_valid(values)


def _shown(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)
