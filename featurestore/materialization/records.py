"""From the rows of an online state to (key, record) pairs of bytes, batch by batch, in order of keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.compiler.duckdb import HELD, IN_WINDOW
from featurestore.intervals import FOREVER
from featurestore.materialization import indexing
from featurestore.materialization.state import State, layout_of
from featurestore.online.codec import SHORT, encode_keys, storage_keys, with_key
from featurestore.online.columns import grouped
from featurestore.plan.nodes import OnlineState, StaticLookup, measures

PAIRS = pa.schema([("key", pa.binary()), ("record", pa.binary()), ("held", pa.bool_())])


def pairs(
    batches: Iterable[pa.RecordBatch], families: Sequence[str], plan: OnlineState, watermark: int, horizon: int
) -> Iterator[pa.RecordBatch]:
    """Group rows (key columns, __kind, __event, values), which come sorted by key and kind, into one record per key.

    watermark, horizon: of the run that makes them, in microseconds.
    """
    records = _Records(families, plan, watermark, horizon)
    carry: pa.Table | None = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        rows = rows if carry is None else pa.concat_tables([carry, rows])
        keys = _keys(rows, families)
        starts = _starts(keys)
        last = starts[-1].as_py() if len(starts) else 0
        carry = rows.slice(last)
        if last:
            yield records.of(rows.slice(0, last), keys.slice(0, last), starts.slice(0, len(starts) - 1))
    if carry is not None and carry.num_rows:
        keys = _keys(carry, families)
        yield records.of(carry, keys, _starts(keys))


def typed(batches: Iterable[pa.RecordBatch], plan: OnlineState) -> Iterator[pa.RecordBatch]:
    """Rows in the types that records are made of: an engine may hold a value in a wider one."""
    wanted = {o.name: o.dtype.arrow for o in plan.latest} | {"__kind": pa.uint8(), "__flags": pa.uint8()}
    wanted |= {f"measure_{i}": m.dtype.arrow for i, m in enumerate(measures(plan.windows), 1)}
    for batch in batches:
        columns = [
            column if column.type == wanted.get(name, column.type) else column.cast(wanted[name])
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _keys(rows: pa.Table, families: Sequence[str]) -> pa.Array:
    columns = [rows.column(i).combine_chunks() for i in range(len(families))]
    return encode_keys(columns, families, rows=rows.num_rows)


def _starts(keys: pa.Array) -> pa.Array:
    """The positions at which a new key begins."""
    if len(keys) == 0:
        return pa.array([], pa.int64())
    changed = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
    return pa.concat_arrays([pa.array([0], pa.int64()), pc.add(pc.indices_nonzero(changed).cast(pa.int64()), 1)])


class _Records:
    """Makes records of whole keys."""

    def __init__(self, families: Sequence[str], plan: OnlineState, watermark: int, horizon: int) -> None:
        self._plan, self._layout = plan, layout_of(plan)
        self._key_columns = max(len(families), 1)
        self._indexing = indexing.Indexing(plan, watermark, horizon)
        # With exact matches a fact is usable at its own event time: a held-back one ends the record's exactness a µs earlier.
        self._early = int(not isinstance(plan.facts, StaticLookup) and plan.facts.exact)

    def of(self, rows: pa.Table, keys: pa.Array, starts: pa.Array) -> pa.RecordBatch:
        state = State.of(rows, self._plan, self._key_columns)
        held = pc.equal(state.kind.take(starts), HELD)
        until = pc.subtract(state.event.take(starts), self._early)
        exact_until = pc.if_else(held, until, pa.scalar(FOREVER, pa.int64()))
        offsets = pa.concat_arrays([starts, pa.array([rows.num_rows], pa.int64())])
        records = self._with_indexed(self._plain(state, offsets, exact_until), state, offsets, exact_until)
        own = keys.take(starts)
        return pa.RecordBatch.from_arrays([storage_keys(own), _with_long_keys(records, own), held], schema=PAIRS)

    def _plain(self, state: State, offsets: pa.Array, until: pa.Array) -> pa.Array:
        """Records that list facts, or have them in columns beside the entries of latest values."""
        layout = self._layout
        if layout.columnar is None:
            known = [] if state.known is None else [state.known]
            entries = layout.listed.encode_entries(state.kind, state.event, [*state.latest, *state.measures, *known])
            return layout.listed.encode_records(until, offsets, entries)
        in_window = pc.equal(state.kind, IN_WINDOW)
        facts = _counted(in_window, offsets)
        others, window = state.filter(pc.invert(in_window)), state.filter(in_window)
        entries = layout.entries.encode_entries(others.kind, others.event, others.latest)
        return layout.columnar.encode(
            until, grouped(entries, pc.subtract(offsets, facts)), facts, window.event, window.measures, window.known
        )

    def _with_indexed(self, records: pa.Array, state: State, offsets: pa.Array, until: pa.Array) -> pa.Array:
        """The records, those of keys with many facts in reach replaced. Of a key those facts come last."""
        before = _counted(pc.equal(state.kind, IN_WINDOW), offsets)
        facts = pc.subtract(before.slice(1), before.slice(0, len(records)))
        many = pc.indices_nonzero(pc.greater_equal(facts, indexing.MANY)).to_pylist()
        if not many:
            return records
        made = records.to_pylist()
        for i in many:
            start, end = offsets[i].as_py(), offsets[i + 1].as_py()
            first = end - facts[i].as_py()
            latest = state.slice(start, first)
            entries = self._layout.entry_bytes(latest.kind, latest.event, latest.latest)
            made[i] = self._indexing.record(entries, state.slice(first, end), until[i].as_py()) or made[i]
        return pa.array(made, pa.binary())


def _with_long_keys(records: pa.Array, keys: pa.Array) -> pa.Array:
    """The records, those of keys that are kept as digests with the key behind them."""
    long = pc.indices_nonzero(pc.greater(pc.binary_length(keys), SHORT)).to_pylist()
    if not long:
        return records
    made = records.to_pylist()
    for i in long:
        made[i] = with_key(made[i], keys[i].as_py())
    return pa.array(made, pa.binary())


def _counted(which: pa.Array, offsets: pa.Array) -> pa.Array:
    """How many of the rows are such before each offset."""
    before = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(which.cast(pa.int64()))])
    return before.take(offsets)
