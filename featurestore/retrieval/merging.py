"""Lay the answers of partitions together again: each is in spine order, and so is what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.retrieval.spine import ROWS_AT_ONCE

ROW = "__row"


def batch_rows(partitions: int) -> int:
    """How many rows of an answer are written, and read again, at a time: of all partitions together about ROWS_AT_ONCE."""
    return max(ROWS_AT_ONCE // partitions, 2_048)


def merged(paths: Sequence[Path], rows: int) -> pa.RecordBatchReader:
    """All rows of some files of record batches, ordered by their row number, ROWS_AT_ONCE at a time; little more is held."""
    lanes = [_Lane(path) for path in paths]
    return pa.RecordBatchReader.from_batches(lanes[0].schema, _merged(lanes, rows))


def _merged(lanes: Sequence[_Lane], rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, rows)
        table = pa.concat_tables([lane.before(end) for lane in lanes]).combine_chunks()
        if len(lanes) > 1:
            table = table.take(pc.sort_indices(table[ROW]))
        yield from table.to_batches()


class _Lane:
    """One file, read once from its beginning to its end. It is open only while it is read: there may be many."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
            self.schema, self._batches = reader.schema, reader.num_record_batches
        self._held = self.schema.empty_table()

    def before(self, end: int) -> pa.Table:
        """The rows not yet taken whose number is less."""
        while self._next < self._batches and (not self._held.num_rows or self._held[ROW][-1].as_py() < end):
            self._held = pa.concat_tables([self._held, self._read()])
        taken = pc.sum(pc.less(self._held[ROW], end), min_count=0).as_py()
        mine, self._held = self._held.slice(0, taken), self._held.slice(taken)
        return mine

    def _read(self) -> pa.Table:
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_file(file) as reader:
            batch = reader.get_batch(self._next)
        self._next += 1
        return pa.Table.from_batches([batch])
