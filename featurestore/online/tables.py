"""A table of records and what lies beside it: whose a row is, which records expire, what undoes a step, what was pushed.

Decides their names and keeps them in step: whoever writes records of a generation writes them here.

    <view>@<number>            key -> record
    <view>@<number>/rows       02 + row key -> whose fact the row is in these records, and which (`pushes`); only of views
                               whose source can be pushed to
    <view>@<number>/until      exact_until (8 bytes, big-endian, biased) + key -> nothing; for records that expire alone
    <view>@<number>/undo       what undoes a step in place: key, or 02 + row key -> what it had before, empty where nothing
    <view>@<number>/pushed     what was pushed since the generation of that number was made (`pushes`)

Records and rows are written together: a row's key begins with 02, which no storage key does, and says where it goes.

A number is given once in the life of a store, so no name is ever used for two things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from featurestore.intervals import FOREVER
from featurestore.online.store import Batch

ABSENT = b""
"""What stands for "no record" where a record could stand. A record has at least its head."""

ROW = b"\2"
"""What the key of a row begins with; storage keys begin with 00 or 01."""

_OF_A_VIEW = re.compile(r"[a-z][a-z0-9_]*@\d+(/[a-z]+)?")
_FOREVER = FOREVER.to_bytes(8, "little")
_BIAS = 1 << 63
_CHUNK = 16_384

Row = tuple[bytes, bytes]
"""A storage key and a record."""


class Counted(Protocol):
    def count(self, table: str) -> int: ...


class Scanned(Protocol):
    def scan(self, table: str, after: bytes = b"") -> Iterator[Row]: ...


def name_of(view: str, number: int, beside: str = "") -> str:
    """The table a run makes, or one beside it."""
    return f"{view}@{number}{beside}"


def until_index(table: str) -> str:
    return f"{table}/until"


def rows_of(table: str) -> str:
    return f"{table}/rows"


def pushed_to(view: str, number: int) -> str:
    """Where a generation has what was pushed since it was made."""
    return name_of(view, number, "/pushed")


def is_row(key: bytes) -> bool:
    """Whether a key written beside those of records is that of a row."""
    return key[:1] == ROW


def belongs_to_a_view(table: str) -> bool:
    """Whether a table is one of those above: what is none of them is somebody else's, and never swept."""
    return _OF_A_VIEW.fullmatch(table) is not None


def exact_until(record: bytes) -> int:
    """The instant up to which a record is exact: it follows the format byte, whatever the format."""
    return int.from_bytes(record[1:9], "little", signed=True)


def put_new(batch: Batch, table: str, rows: Sequence[Row]) -> None:
    """Add records of keys, and rows, that the table and what lies beside it do not hold."""
    records, beside = _parted(rows)
    if beside:
        batch.put(rows_of(table), beside)
    if records:
        _put_records(batch, table, records)


def _parted(rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
    """Records, and rows. Mostly all are of one kind."""
    beside = [row for row in rows if is_row(row[0])]
    if not beside:
        return rows, []
    return ([] if len(beside) == len(rows) else [row for row in rows if not is_row(row[0])]), beside


def _put_records(batch: Batch, table: str, rows: Sequence[Row]) -> None:
    batch.put(table, rows)
    expiring = [(_index_key(key, record), b"") for key, record in rows if record[1:9] != _FOREVER]
    if expiring:
        batch.put(until_index(table), expiring)


def replace(batch: Batch, table: str, rows: Iterable[Row]) -> list[Row]:
    """Set keys to records (or rows), or remove those whose record is ABSENT.

    Returns: what the keys that have changed had before. A key given twice in one call takes its last record.
    """
    before: list[Row] = []
    stream = iter(dict(rows).items())
    while chunk := list(islice(stream, _CHUNK)):
        for of_kind in _parted(chunk):
            if of_kind:
                before += _replaced(batch, table, of_kind)
    return before


def _replaced(batch: Batch, table: str, rows: Sequence[Row]) -> list[Row]:
    beside = is_row(rows[0][0])
    kept_in = rows_of(table) if beside else table
    olds = [old or ABSENT for old in batch.get(kept_in, [key for key, _ in rows])]
    changed = [(key, old, new) for (key, new), old in zip(rows, olds, strict=True) if old != new]
    if not beside:
        batch.delete(until_index(table), [_index_key(k, old) for k, old, _ in changed if old and old[1:9] != _FOREVER])
    batch.delete(kept_in, [key for key, _, new in changed if not new])
    put_new(batch, table, [(key, new) for key, _, new in changed if new])
    return [(key, old) for key, old, _ in changed]


def scan(scanned: Scanned, table: str, after: bytes = b"") -> Iterator[Row]:
    """Every record and then every row, as they are written, from the first key greater than `after` on."""
    if not is_row(after):
        yield from scanned.scan(table, after)
    yield from scanned.scan(rows_of(table), after if is_row(after) else b"")


def count(counted: Counted, table: str) -> int:
    """How many records and rows there are."""
    return counted.count(table) + counted.count(rows_of(table))


def expiring(scanned: Scanned, table: str, before: int, after: bytes = b"") -> Iterator[Row]:
    """The records that are exact only up to an instant before `before`, the soonest first, as (sortable instant, storage
    key); from the first on that comes after these two joined."""
    bound = _sortable(before)
    for entry, _ in scanned.scan(until_index(table), after):
        if entry[:8] >= bound:
            return
        yield entry[:8], entry[8:]


def first_expiry(scanned: Scanned, table: str) -> int | None:
    """The instant up to which every record of a table is exact; None if all are for ever."""
    entry = next(iter(scanned.scan(until_index(table))), None)
    return None if entry is None else int.from_bytes(entry[0][:8], "big") - _BIAS


def _index_key(key: bytes, record: bytes) -> bytes:
    return _sortable(exact_until(record)) + key


def _sortable(instant: int) -> bytes:
    return (min(max(instant, -_BIAS), _BIAS - 1) + _BIAS).to_bytes(8, "big")
