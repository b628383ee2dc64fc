"""Whether an LMDB file is whole, found out by plain reads before LMDB maps it.

LMDB trusts its file: touching a page past the end of a truncated one kills the process with SIGBUS. The newer meta page
says how many pages there are. A sound file may yet be a little shorter, because pages that a transaction took and gave
back are never written; so missing pages are damage only if they are not on the free list, which is read here when need
be (about one file in fifty).

Layout (LMDB 0.9, 64 bit, little-endian):

    page   number u64, pad u16, flags u16, lower u16, upper u16, then u16 offsets of its nodes as far as lower
    meta   16 bytes page header, magic u32, version u32, address u64, map size u64, two database descriptors of 48 bytes
           (the free list's first: it begins with the page size u32 and ends with its root page u64), last page u64,
           transaction u64
    node   lo u16, hi u16, flags u16, key size u16, key, data; a branch's child is lo, hi, flags as 48 bits, a leaf's
           data size lo, hi; with flag 1 the data is the number of an overflow page
    free   a leaf's data in the free list: a count u64, then so many page numbers u64
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from featurestore.online.lmdb.errors import damaged, unreadable

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_META_SIZE = 152
_LEAF, _BIG = 2, 1
_NO_PAGE = (1 << 64) - 1


class _Meta(NamedTuple):
    transaction: int
    last_page: int
    free_root: int
    page_size: int


class _Broken(Exception):
    """A page that is not there, or not what it should be."""


def check_file(folder: Path) -> None:
    """Raises: StoreError when data.mdb is no LMDB file, or lacks pages that are in use."""
    path = folder / "data.mdb"
    try:
        with path.open("rb", buffering=0) as file:
            _check(file, path)
    except OSError as error:
        raise unreadable(path, error) from error


def _check(file: BinaryIO, path: Path) -> None:
    while True:
        meta = _newer_meta(file)
        if meta is None:
            raise damaged(path, "is not an LMDB 0.9 file, or ends within its header")
        length = os.fstat(file.fileno()).st_size  # after the header: a writer only makes it longer meanwhile
        missing = range(length // meta.page_size, meta.last_page + 1)
        if not missing or _all_free(file, meta, missing):
            return
        if meta == _newer_meta(file):  # else a writer was at work, and what was read of the free list means nothing
            raise damaged(path, f"is truncated: {length:,} bytes of {(meta.last_page + 1) * meta.page_size:,}")


def _newer_meta(file: BinaryIO) -> _Meta | None:
    first = _read_meta(file, 0)
    second = None if first is None else _read_meta(file, first.page_size)
    return None if first is None or second is None else max(first, second)


def _read_meta(file: BinaryIO, start: int) -> _Meta | None:
    head = os.pread(file.fileno(), _META_SIZE, start)
    if len(head) < _META_SIZE or struct.unpack_from("<II", head, 16) != (_MAGIC, _VERSION):
        return None
    page_size, free_root, last_page, transaction = struct.unpack_from("<I36xQ48xQQ", head, 40)
    return _Meta(transaction, last_page, free_root, page_size) if 512 <= page_size <= 65_536 else None


def _all_free(file: BinaryIO, meta: _Meta, pages: range) -> bool:
    try:
        return set(pages) <= {page for page in _free_pages(file, meta.free_root, meta.page_size) if page in pages}
    except (_Broken, struct.error, RecursionError):
        return False


def _free_pages(file: BinaryIO, number: int, size: int) -> Iterator[int]:
    """Every page number on the free list below the B-tree page of that number."""
    if number == _NO_PAGE:
        return
    page = _read(file, number * size, size)
    flags, lower = struct.unpack_from("<10xHH", page)
    for (at,) in struct.iter_unpack("<H", page[16:lower]):
        low, high, node_flags, key_size = struct.unpack_from("<HHHH", page, at)
        if not flags & _LEAF:
            yield from _free_pages(file, low | high << 16 | node_flags << 32, size)
            continue
        data = page[at + 8 + key_size :][: low | high << 16]
        if node_flags & _BIG:
            overflow = struct.unpack_from("<Q", page, at + 8 + key_size)[0]
            data = _read(file, overflow * size + 16, low | high << 16)
        count = struct.unpack_from("<Q", data)[0]
        yield from struct.unpack_from(f"<{count}Q", data, 8)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    found = os.pread(file.fileno(), size, start)
    if len(found) < size:
        raise _Broken
    return found
