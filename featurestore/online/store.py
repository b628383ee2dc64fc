"""What an online store promises: one consistent state to read, one whole step to write, one materializer at a time.

Decides the verbs and their contract in words; `featurestore.testing.online.OnlineStoreContract` is the same contract as
tests, for any store to inherit. How bytes are kept is each store's business; what they mean is not known here at all.

A store holds *metas* (small named values: manifests, watermarks) and *tables* (many keys each). A table comes into
being with the first row put into it and is gone after `drop`; a missing table reads as an empty one.

Bounds, the same for every store so that none is a trap for those who change over: a key has 1 to 511 bytes
(`codec.storage_key` keeps longer ones out), a table's or a meta's name 1 to 480 bytes of UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from featurestore.errors import StoreError, StoreFormat

FORMAT = 1
"""The layout this version writes. Stored at creation; a store with a greater number is refused."""

MAX_KEY = 511
MAX_NAME = 480
TOTAL = "total"
"""The entry of `sizes()` that is no table, and therefore a name no table may have."""


class Moved(Exception):
    """The store has another state by now, and this snapshot can read no rows of its own any more: open another."""


class Snapshot(Protocol):
    """One state of the store, the same from the first call to the last, whatever is written meanwhile.

    A store that can keep old states (LMDB, memory) gives *isolated* snapshots: they go on answering. One that cannot
    (Redis) gives *optimistic* ones: `get`, `get_many` and `scan` answer as of the snapshot, or raise `Moved` because
    something was written since. An answer is never of another state, and never of two. Metas and counts are always the
    snapshot's.
    """

    def meta(self, name: str) -> bytes | None:
        """The meta of that name, or None."""
        ...

    def metas(self, prefix: str = "") -> dict[str, bytes]:
        """Every meta whose name starts with `prefix`, in order of the names' UTF-8 bytes."""
        ...

    def get(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """One answer per key, order and duplicates kept; None where the key or the whole table is missing.

        A large value may be a memoryview, valid while the snapshot is open, of which only what is looked at is read.
        """
        ...

    def get_many(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """`get` for many tables in one go, which a store far away answers in one round trip.

        Also of no requests at all: then it does nothing but raise `Moved` where `get` would.
        """
        ...

    def scan(self, table: str, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) in order of the keys' bytes, from the first key greater than `after` on. Valid while the
        snapshot is open."""
        ...

    def count(self, table: str) -> int:
        """The number of keys; 0 for a missing table."""
        ...


class Batch(Protocol):
    """The changes of one write. It reads its own writes; nobody else sees any before all are durable."""

    def meta(self, name: str) -> bytes | None: ...

    def metas(self, prefix: str = "") -> dict[str, bytes]: ...

    def get(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def scan(self, table: str, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """As a snapshot's. The table must not be written to before the scan has ended or is let go."""
        ...

    def count(self, table: str) -> int: ...

    def put_meta(self, name: str, value: bytes) -> None: ...

    def delete_meta(self, name: str) -> None:
        """Forget a meta; a missing one is no error."""
        ...

    def put(self, table: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Set keys to values, in any order; of equal keys the last wins. Sorted input into an empty table is fastest.

        `items` is read once, as a stream: a generator need not fit into memory.
        """
        ...

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        """Forget keys; missing ones, or a missing table, are no error."""
        ...

    def drop(self, table: str) -> None:
        """Forget a whole table, quickly; a missing one is no error. Its name may be used again at once."""
        ...


class OnlineStore(Protocol):
    """The bytes-level verbs under everything online. Safe to use from many threads at once.

    Every verb raises StoreUnavailable where the store cannot be asked: it says nothing of what the store holds.
    """

    at_once: int
    """How many records one write may change before readers have to wait for it."""
    ordered: bool
    """Whether a table lies in order of its keys, so that a part of it can be scanned without looking at all of it."""

    @property
    def format(self) -> int:
        """The layout number the store was created with, at most `FORMAT`."""
        ...

    def read(self, *, locked: bool = False) -> AbstractContextManager[Snapshot]:
        """One consistent state, for as long as it is open. Readers never wait for writers, nor writers for readers.

        locked: who asks holds the lock, and reads rows only of tables that nobody else changes: what others write meanwhile
        (pushes) then moves no optimistic snapshot.
        """
        ...

    def recall(self) -> AbstractContextManager[Snapshot]:
        """A state that was the store's not long ago, at less cost than `read`; for look-ups.

        An isolated store gives what `read` gives. An optimistic one may give a state it remembers: `get_many` proves that
        it is still the present one, or raises `Moved`; the next `recall` then gives a newer one.
        """
        ...

    def write(self, fill: Callable[[Batch], None], *, expected_bytes: int = 0) -> None:
        """Let `fill` change the store: all or nothing, durable (fsync, or as Redis is set up) on return.

        `fill` may be called again from the start, when the store had to make room or another writer came first (then
        against that one's state): it must be repeatable, with fresh iterators each time. What it raises aborts
        everything and propagates. A write within a write is an error. `expected_bytes` is a hint of keys plus values to
        come, so that room is made once.

        Raises: StoreError (exit 5) when the disk is full, a bound is broken or the store was opened read-only; in each
        case nothing has changed.
        """
        ...

    def lock(self) -> AbstractContextManager[None]:
        """The right to materialize: one holder across processes and threads. It does not hold up `read` or `write`.

        Where it can be lost (a lease that expired), writes made under it fail with StoreLocked from then on.
        Raises: StoreLocked, at once, naming the process that holds it. A holder that dies gives it up.
        """
        ...

    def sizes(self) -> dict[str, int]:
        """Bytes per table, and under `TOTAL` the bytes of the whole store (on disk, where there is a disk)."""
        ...

    def close(self) -> None:
        """Give up the store's resources. Closing twice is allowed; any other use afterwards is a StoreError."""
        ...


def check_format(found: int, where: str) -> int:
    """`found`, if this version can read it. Raises: StoreFormat for a store written by a newer featurestore."""
    if found > FORMAT:
        raise StoreFormat(
            "FS404",
            f"the online store has format {found}, this featurestore reads up to format {FORMAT}",
            where=where,
            hint="a newer featurestore, or a new store filled by `featurestore materialize`",
        )
    return found


def check_name(name: str, what: str) -> bytes:
    """The UTF-8 bytes of a table's or meta's name. Raises: StoreError for a name no store could keep."""
    encoded = name.encode()
    if not 1 <= len(encoded) <= MAX_NAME or name == TOTAL:
        raise StoreError("FS406", f"{what} name {name[:40]!r} must have 1 to {MAX_NAME} bytes and not be {TOTAL!r}")
    return encoded


def check_keys(keys: Sequence[bytes]) -> None:
    """Raises: StoreError for a key outside the bounds every store shares."""
    shortest, longest = min(map(len, keys)), max(map(len, keys))
    if not shortest or longest > MAX_KEY:
        raise StoreError("FS406", f"a key of {longest if shortest else 0} bytes; keys have 1 to {MAX_KEY}", hint="storage_key")


def closed(where: str) -> StoreError:
    """The error for using a store after `close`."""
    return StoreError("FS407", "the online store is closed", where=where)
