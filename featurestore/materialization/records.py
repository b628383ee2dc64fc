"""From the rows of an online state to (key, record) pairs of bytes, batch by batch, in order of keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.compiler.duckdb import HELD, IN_WINDOW
from featurestore.intervals import FOREVER
from featurestore.materialization.indexing import Indexing, State
from featurestore.online.codec import encode_keys, storage_keys
from featurestore.online.columns import grouped
from featurestore.online.layout import Layout

PAIRS = pa.schema([("key", pa.binary()), ("record", pa.binary()), ("held", pa.bool_())])


def pairs(
    batches: Iterable[pa.RecordBatch], families: Sequence[str], layout: Layout, *, exact: bool, indexing: Indexing
) -> Iterator[pa.RecordBatch]:
    """Group rows (key columns, __kind, __event, values), which come sorted by key and kind, into one record per key.

    exact: whether a fact is usable at its own event time; then a held-back one ends the record's exactness a µs earlier.
    indexing: makes the records of keys with many facts.
    """
    carry: pa.Table | None = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        rows = rows if carry is None else pa.concat_tables([carry, rows])
        keys = _keys(rows, families)
        starts = _starts(keys)
        last = starts[-1].as_py() if len(starts) else 0
        carry = rows.slice(last)
        if last:
            done, begun = rows.slice(0, last), starts.slice(0, len(starts) - 1)
            yield _encoded(done, keys.slice(0, last), begun, layout, len(families), exact, indexing)
    if carry is not None and carry.num_rows:
        keys = _keys(carry, families)
        yield _encoded(carry, keys, _starts(keys), layout, len(families), exact, indexing)


def _keys(rows: pa.Table, families: Sequence[str]) -> pa.Array:
    columns = [rows.column(i).combine_chunks() for i in range(len(families))]
    return encode_keys(columns, families, rows=rows.num_rows)


def _starts(keys: pa.Array) -> pa.Array:
    """The positions at which a new key begins."""
    if len(keys) == 0:
        return pa.array([], pa.int64())
    changed = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
    return pa.concat_arrays([pa.array([0], pa.int64()), pc.add(pc.indices_nonzero(changed).cast(pa.int64()), 1)])


def _encoded(
    rows: pa.Table, keys: pa.Array, starts: pa.Array, layout: Layout, key_count: int, exact: bool, indexing: Indexing
) -> pa.RecordBatch:
    state = indexing.state(rows, max(key_count, 1))
    held = pc.equal(state.kind.take(starts), HELD)
    until = pc.subtract(state.event.take(starts), 1 if exact else 0)
    exact_until = pc.if_else(held, until, pa.scalar(FOREVER, pa.int64()))
    offsets = pa.concat_arrays([starts, pa.array([rows.num_rows], pa.int64())])
    records = (_listed if layout.columnar is None else _in_columns)(layout, state, offsets, exact_until)
    if many := indexing.many(state.kind, offsets):
        made = records.to_pylist()
        for i in many:
            start, end = offsets[i].as_py(), offsets[i + 1].as_py()
            made[i] = indexing.record(layout, state.slice(start, end - start), exact_until[i].as_py()) or made[i]
        records = pa.array(made, pa.binary())
    return pa.RecordBatch.from_arrays([storage_keys(keys.take(starts)), records, held], schema=PAIRS)


def _listed(layout: Layout, state: State, offsets: pa.Array, until: pa.Array) -> pa.Array:
    known = [] if state.known is None else [state.known]
    entries = layout.listed.encode_entries(state.kind, state.event, [*state.latest, *state.measures, *known])
    return layout.listed.encode_records(until, offsets, entries)


def _in_columns(layout: Layout, state: State, offsets: pa.Array, until: pa.Array) -> pa.Array:
    """Facts in reach of windows as columns, and the others as entries of latest values."""
    assert layout.columnar is not None
    in_window = pc.equal(state.kind, IN_WINDOW)
    before = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(in_window.cast(pa.int64()))])
    facts = before.take(offsets)
    others, window = state.filter(pc.invert(in_window)), state.filter(in_window)
    entries = layout.entries.encode_entries(others.kind, others.event, others.latest)
    return layout.columnar.encode(
        until, grouped(entries, pc.subtract(offsets, facts)), facts, window.event, window.measures, window.known
    )
