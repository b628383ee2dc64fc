"""From the statement that says whose fact each row is to (row key, row) pairs of bytes, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import DType
from featurestore.materialization.records import PAIRS
from featurestore.online.codec import encode_keys, storage_keys
from featurestore.online.pushes import PushCodec, row_keys
from featurestore.plan.nodes import OnlineState, chain_of, measures


class Rows:
    """What a view keeps of the rows of its source. Only for views with `applying.rules`."""

    def __init__(self, plan: OnlineState, families: Sequence[str]) -> None:
        facts, versions, _ = chain_of(plan.facts)  # type: ignore[arg-type]
        assert versions is not None
        types, order = {c.name: c.dtype for c in facts.rows.columns}, facts.rows.source.row_order
        self._families, self._width = list(families), max(len(families), 1)
        self._row_types: list[DType] = [types[c] for c in versions.row_key]
        self._orders = 0 if order is None else 1
        latest, of_windows = [o.dtype for o in plan.latest], [m.dtype for m in measures(plan.windows)]
        self._codec = PushCodec(latest, of_windows, None if order is None else types[order])

    def keys(self, rows: pa.RecordBatch) -> pa.Array:
        """The keys of rows, from the columns of their row key."""
        return row_keys(rows.columns[: len(self._row_types)], self._row_types)

    def pairs(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As `records.pairs`, of the rows of `compiler.duckdb.online_rows`."""
        for batch in batches:
            columns = batch.columns[len(self._row_types) :]
            keys = storage_keys(encode_keys(columns[: len(self._families)], self._families, rows=batch.num_rows))
            flags, events, known, *rest = columns[self._width :]
            rows = self._codec.rows(flags, events, keys, known, rest[: self._orders], rest[self._orders :])
            held = pc.is_null(flags)
            yield pa.RecordBatch.from_arrays([self.keys(batch), rows, held], schema=PAIRS)
