"""What is kept of pushed rows beside a generation, as bytes: whose fact each row is, and what pushes have changed since.

A generation's records do not change with a push. Beside them stand

    rows      02 + row key -> of the row's newest version before the watermark: what it is in the records (CANDIDATE,
              IN_REACH), event time; key, known time, row_order, measures
    pushed    storage key  -> the newest arrival at the key, and the changes to it, `Change`
              02 + row key -> of the row's newest pushed version: key (None: it is no fact), known time, row_order
              03           -> how far the log has come here

A change is a fact that came (FACT), or one of the records that a pushed version has taken the place of (TAKEN with CANDIDATE
or IN_REACH), or says that the key cannot be told before the next run (UNSURE). What they mean to an answer is the business of
those who read them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from featurestore.dtypes import BINARY, INT64, DType
from featurestore.online.columns import join
from featurestore.online.keys import encode_keys, storage_keys
from featurestore.online.records import CANDIDATE, IN_REACH, RecordCodec, value_writer
from featurestore.online.tables import ROW

FACT, TAKEN, UNSURE = 4, 8, 16
"""Flags of a change, beside CANDIDATE and IN_REACH."""
MARK = b"\3"


class Change(NamedTuple):
    """One change to a key.

    flags, event: of the fact that came, or was taken. row: the key of the row. known: the arrival of the push that made the
    change; until: that of a later version of the same row, from which on the fact no longer is one (None: it still is).
    fact_known: the known time of the fact itself. latest, measures: its values.
    """

    flags: int
    event: int
    row: bytes
    known: int
    until: int | None
    fact_known: int
    latest: tuple[Any, ...]
    measures: tuple[Any, ...]


class Version(NamedTuple):
    """The newest version of a row, in the records or pushed. flags: what it is in the records. key: None if it is no fact."""

    flags: int
    event: int
    key: bytes | None
    known: int
    order: Any
    measures: tuple[Any, ...] = ()


class PushCodec:
    """Rows and changes of one generation. order: the type of the source's row_order, if it has one."""

    def __init__(self, latest: Sequence[DType], measures: Sequence[DType], order: DType | None) -> None:
        self._latest, self._no_order = len(latest), order is None
        orders = [] if order is None else [order]
        self._rows = RecordCodec([BINARY, INT64, *orders, *measures])
        self._pushed = RecordCodec([BINARY, INT64, *orders])
        self._changes = RecordCodec([BINARY, INT64, INT64, INT64, *latest, *measures])

    def rows(
        self, flags: pa.Array, events: pa.Array, keys: pa.Array, known: pa.Array, orders: Sequence[pa.Array],
        measures: Sequence[pa.Array],
    ) -> pa.Array:  # fmt: skip
        """One encoded row per row, for the table of rows."""
        return self._rows.encode_entries(flags, events, [keys, known, *orders, *measures])

    def row(self, stored: bytes) -> Version:
        """A row of the table of rows. Raises: StoreFormat."""
        return self._version(self._rows, stored)

    def pushed_row(self, stored: bytes) -> Version:
        """Raises: StoreFormat."""
        return self._version(self._pushed, stored)

    def _version(self, codec: RecordCodec, stored: bytes) -> Version:
        ((flags, event, (key, known, *rest)),) = codec.entries(stored, 0, len(stored))
        order, measures = (None, rest) if self._no_order else (rest[0], rest[1:])
        return Version(flags, event, key, known, order, tuple(measures))

    def encode_pushed_row(self, version: Version) -> bytes:
        orders = () if self._no_order else (version.order,)
        return self._pushed.encode_entry(0, version.event, (version.key, version.known, *orders))

    def encode_changes(self, newest: int, changes: Sequence[Change]) -> bytes:
        """newest: the arrival of the newest push applied to the key."""
        entries = [
            self._changes.encode_entry(c.flags, c.event, (c.row, c.known, c.until, c.fact_known, *c.latest, *c.measures))
            for c in changes
        ]
        return self._changes.encode_record(newest, entries)

    def changes(self, stored: bytes) -> tuple[int, list[Change]]:
        """The newest arrival at a key, and its changes. Raises: StoreFormat."""
        newest, entries = self._changes.decode(bytes(stored))
        end = 4 + self._latest
        return newest, [Change(flags, e, v[0], v[1], v[2], v[3], v[4:end], v[end:]) for flags, e, v in entries]


def row_keys(columns: Sequence[pa.Array], dtypes: Sequence[DType]) -> pa.Array:
    """The keys of rows from the columns of their row key, none NULL: made canonical, whatever type they have."""
    parts = []
    for column, dtype in zip(columns, dtypes, strict=True):
        family = dtype.key_family
        if dtype.is_timestamp:
            column, family = column.cast(pa.int64()), "integer"
        elif family is None:
            write = value_writer(dtype)
            column, family = pa.array([write(value) for value in column.to_pylist()], pa.binary()), "binary"
        parts.append(encode_keys([column], [family]))
    return join(pa.scalar(ROW, pa.binary()), storage_keys(join(*parts)))


class Mark(NamedTuple):
    """How far a push log has been applied."""

    log: str
    position: int

    def to_bytes(self) -> bytes:
        return json.dumps([self.log, self.position]).encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Mark:
        return cls(*json.loads(bytes(stored)))


__all__ = ["CANDIDATE", "FACT", "IN_REACH", "MARK", "TAKEN", "UNSURE", "Change", "Mark", "PushCodec", "Version", "row_keys"]
