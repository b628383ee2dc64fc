"""A table of records and what lies beside it: the index of records that are exact only up to an instant, and undo tables.

Decides their names and keeps them in step: whoever writes records of a generation writes them here.

    <view>@<number>            key -> record
    <view>@<number>/until      exact_until (8 bytes, big-endian, biased) + key -> nothing; for records that expire alone
    <view>@<number>/undo       key -> the record it had before a step in place, empty where it had none
    <view>@<number>/changed    key -> nothing: what others wrote while a run was under way (`runs.note_changed`)

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

_OF_A_VIEW = re.compile(r"[a-z][a-z0-9_]*@\d+(/[a-z]+)?")
_FOREVER = FOREVER.to_bytes(8, "little")
_BIAS = 1 << 63
_CHUNK = 16_384

Row = tuple[bytes, bytes]
"""A storage key and a record."""


class Scanned(Protocol):
    def scan(self, table: str, after: bytes = b"") -> Iterator[Row]: ...


def name_of(view: str, number: int, beside: str = "") -> str:
    """The table a run makes, or one beside it."""
    return f"{view}@{number}{beside}"


def until_index(table: str) -> str:
    return f"{table}/until"


def belongs_to_a_view(table: str) -> bool:
    """Whether a table is one of those above: what is none of them is somebody else's, and never swept."""
    return _OF_A_VIEW.fullmatch(table) is not None


def exact_until(record: bytes) -> int:
    """The instant up to which a record is exact: it follows the format byte, whatever the format."""
    return int.from_bytes(record[1:9], "little", signed=True)


def put_new(batch: Batch, table: str, rows: Sequence[Row]) -> None:
    """Add records of keys the table does not hold."""
    batch.put(table, rows)
    expiring = [(_index_key(key, record), b"") for key, record in rows if record[1:9] != _FOREVER]
    if expiring:
        batch.put(until_index(table), expiring)


def replace(batch: Batch, table: str, rows: Iterable[Row]) -> list[Row]:
    """Set keys to records, or remove those whose record is ABSENT.

    Returns: what the keys that have changed had before. A key given twice in one call takes its last record.
    """
    before: list[Row] = []
    stream = iter(dict(rows).items())
    while chunk := list(islice(stream, _CHUNK)):
        olds = [old or ABSENT for old in batch.get(table, [key for key, _ in chunk])]
        changed = [(key, old, new) for (key, new), old in zip(chunk, olds, strict=True) if old != new]
        index = [_index_key(key, old) for key, old, _ in changed if old and old[1:9] != _FOREVER]
        batch.delete(until_index(table), index)
        batch.delete(table, [key for key, _, new in changed if not new])
        put_new(batch, table, [(key, new) for key, _, new in changed if new])
        before += [(key, old) for key, old, _ in changed]
    return before


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
