"""How records reach the store: in many bounded transactions into a table nobody sees yet, or in place in one.

Decides how much one transaction holds, and nothing about what is in it. Memory is that of one transaction, whatever the
number of keys; between two of them others may write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import pyarrow as pa

from featurestore.failpoints import reach
from featurestore.online import runs, tables
from featurestore.online.runs import Running
from featurestore.online.store import Batch, OnlineStore
from featurestore.online.tables import ABSENT, Row, is_row

RECORDS, BYTES = 200_000, 64 << 20
"""About what one transaction writes at most: records, and bytes of keys and records."""
IN_PLACE = 200_000
"""An incremental run that touches more keys than this writes a new table instead of changing the one that is served."""
MOST = 0.5
"""One that would have to makes all keys anew if it touches more than this share of them: that costs less than copying."""


class NotTheSame(Exception):
    """What a run that died has written is not what this one would have written: the data were not what they seemed."""


class TooMuch(Exception):
    """What a step in place would change is too much to hold, and the store is none to copy a table in."""


@dataclass
class Chunk:
    """What one transaction writes: records, then rows. held: how many of the records have facts held back."""

    rows: list[Row]
    held: int
    bytes: int

    @property
    def beside(self) -> int:
        """How many are rows."""
        return sum(is_row(key) for key, _ in self.rows)


def records_at_once(store: OnlineStore) -> int:
    """About how many records one transaction writes at most."""
    return min(RECORDS, store.at_once)


def chunks(batches: Iterable[pa.RecordBatch], records: int) -> Iterator[Chunk]:
    """(key, record, held) batches, cut and joined to the size of transactions of so many records."""
    chunk = Chunk([], 0, 0)
    for batch in batches:
        for piece in _pieces(batch, records):
            chunk.rows += zip(piece.column(0).to_pylist(), piece.column(1).to_pylist(), strict=True)
            chunk.held += piece.column(2).true_count
            chunk.bytes += piece.nbytes
            if len(chunk.rows) >= records or chunk.bytes >= BYTES:
                yield chunk
                chunk = Chunk([], 0, 0)
    if chunk.rows:
        yield chunk


def _pieces(batch: pa.RecordBatch, records: int) -> Iterator[pa.RecordBatch]:
    length = max(1, min(records, BYTES * batch.num_rows // max(batch.nbytes, 1)))
    for start in range(0, batch.num_rows, length):
        yield batch.slice(start, length)


class Writing:
    """One run's way through its transactions; `run` says how far it is. told: called with records written, or copied."""

    def __init__(self, store: OnlineStore, run: Running, told: Callable[[str, int], None]) -> None:
        self.store, self.run, self._told = store, run, told

    def decide(self, how: str, table: str) -> None:
        """Settle how the run writes, and where. It is noted with the first records."""
        self.run = replace(self.run, how=how, table=table)

    # A new table from nothing.

    def fill(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Write a new table; go on after what a run that died has written. Raises: NotTheSame, StoreError."""
        batches = self._after_what_is_there(batches) if self.run.written else batches
        self._write(chunks(batches, records_at_once(self.store)), tables.put_new)

    def _after_what_is_there(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Records come in one order, so those written are the first ones; that the last of them is there is looked up."""
        left = self.run.written
        for batch in batches:
            skipped = min(left, batch.num_rows)
            left -= skipped
            if skipped and not left:
                self._look_up(batch.column(0)[skipped - 1].as_py(), batch.column(1)[skipped - 1].as_py())
            yield batch.slice(skipped)
        if left:
            raise NotTheSame

    def _look_up(self, key: bytes, record: bytes) -> None:
        with self.store.read(locked=True) as snapshot:
            table = tables.rows_of(self.run.table) if is_row(key) else self.run.table
            if snapshot.get(table, [key]) != [record] or tables.count(snapshot, self.run.table) != self.run.written:
                raise NotTheSame

    def _write(self, chunks: Iterable[Chunk], put: Callable[[Batch, str, list[Row]], object]) -> None:
        for chunk in chunks:
            after = replace(
                self.run, written=self.run.written + len(chunk.rows), rows=self.run.rows + chunk.beside,
                held=self.run.held + chunk.held, size=self.run.size + chunk.bytes,
            )  # fmt: skip

            def fill(batch: Batch, after: Running = after, rows: list[Row] = chunk.rows) -> None:
                runs.advance(batch, after)
                put(batch, after.table, rows)
                reach("materialize.batch")

            self.store.write(fill, expected_bytes=chunk.bytes)
            self.run = after
            self._told("writing", after.written)
            reach("materialize.chunk")

    # A new table from the one that is served.

    def copy(self, former: str) -> None:
        """Bring every record over; go on after those a run that died has brought."""
        copied = 0
        while not self.run.copying_done:
            after, rows = self.run, list[Row]()

            def fill(batch: Batch) -> None:
                nonlocal after, rows
                found = tables.scan(batch, former, bytes.fromhex(self.run.copied))
                rows, done = _some(found, records_at_once(self.store))
                last = rows[-1][0].hex() if rows else self.run.copied
                after = replace(self.run, copied=last, copying_done=done)
                runs.advance(batch, after)
                tables.put_new(batch, after.table, rows)
                reach("materialize.copying")

            self.store.write(fill, expected_bytes=BYTES)
            self.run = after
            copied += len(rows)
            self._told("copying", copied)
            reach("materialize.copied")

    def refresh(self, keys: Iterable[bytes], chunks: Iterable[Chunk]) -> None:
        """Replace the records of `keys`, in the copy, by those that come. Doing so twice is as good as once."""
        self.run = replace(self.run, written=0, rows=0, held=0, size=0)
        stream = iter(keys)
        while some := [(key, ABSENT) for key in islice(stream, records_at_once(self.store))]:

            def fill(batch: Batch, rows: list[Row] = some) -> None:
                runs.advance(batch, self.run)
                tables.replace(batch, self.run.table, rows)
                reach("materialize.removing")

            self.store.write(fill)
        self._write(chunks, tables.replace)


def _some(rows: Iterator[Row], most: int) -> tuple[list[Row], bool]:
    """As many rows as one transaction takes, and whether they were the last."""
    found, size = list[Row](), 0
    for row in rows:
        found.append(row)
        size += len(row[0]) + len(row[1])
        if len(found) >= most or size >= BYTES:
            return found, False
    return found, True
