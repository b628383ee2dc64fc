"""The online store inside the project: one LMDB file, read in about a microsecond, switched by one fsynced commit.

Decides how tables and metas lie in LMDB and in which order a write happens. How an environment is opened, shared,
grown and survived across fork is the business of `environment`.

Layout: a *catalog* database holds `f` (the format), `m<name>` (metas) and `t<table>` (the slot a table lives in). A
slot is a named LMDB database, made with the store and never deleted: dropping a table empties its slot, and the next
table takes it over. Databases named after tables would read better, but a handle must be opened before it is used, in
py-lmdb behind the back of every running writer, and a server that lives through a thousand generations would run out
of handles. The catalog is read in the same transaction as the rows, so a table's name can never lead to another's rows.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from types import TracebackType

import lmdb

from featurestore.errors import StoreError, StoreLocked
from featurestore.online.lmdb.environment import MAX_TABLES, META, TABLE, Environment, acquire, scan_prefix
from featurestore.online.lmdb.errors import translate
from featurestore.online.store import TOTAL, Batch, check_keys, check_name, closed

MAP_SIZE = 1 << 36
"""64 GiB of address space to begin with; the file itself grows only as rows come. Doubled whenever it is full, which has
to wait for open snapshots of this process: hence not a small one."""

LARGE = 16_384
"""Bytes from which on a value is not copied out of the file: only what is asked of it is then read."""

_CHUNK = 16_384


class LmdbStore:
    """An online store in the folder `path`; see `OnlineStore` for what it promises.

    Opening to write creates the folder, and waits for a write under way in another process; opening `read_only` never
    waits, and where nothing was ever written is a StoreError. Any number of stores, threads and processes may share a
    path (not over NFS). Those of one process share one environment.
    """

    at_once, ordered = 1 << 30, True  # readers never wait

    def __init__(self, path: Path, *, read_only: bool = False, map_size: int = MAP_SIZE) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._environment: Environment | None = acquire(self.path, read_only, map_size)
        self.format = self._environment.format

    def __repr__(self) -> str:
        return f"LmdbStore({str(self.path)!r}, read_only={self.read_only})"

    def read(self, *, locked: bool = False) -> _Snapshot:
        return _Snapshot(self._environment or self._closed())

    recall = read

    def write(self, fill: Callable[[Batch], None], *, expected_bytes: int = 0) -> None:
        environment = self._writable()
        if shutil.disk_usage(self.path).free < expected_bytes:
            raise StoreError("FS405", f"not enough disk for {expected_bytes:,} more bytes", where=str(self.path))
        with environment.writing:
            environment.ensure_room(expected_bytes)
            while True:
                try:
                    return _write_once(environment, fill)
                except lmdb.MapFullError:
                    environment.grow()
                except lmdb.MapResizedError:
                    environment.adopt_size()
                except lmdb.PanicError:
                    environment.reopen()
                except lmdb.Error as error:
                    raise translate(error, self.path) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        self._writable()
        descriptor = os.open(self.path / "materialize.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        holder = os.getpid()
        try:
            self._take(descriptor)
            yield
        finally:
            if os.getpid() == holder:  # closing alone would leave the lock to a forked child's copy, and the reverse
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def sizes(self) -> dict[str, int]:
        with self.read() as snapshot:
            sizes = snapshot.sizes()
        return {**sizes, TOTAL: (self.path / "data.mdb").stat().st_size}

    def close(self) -> None:
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.release()

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode().strip()
            who = f"process {holder}" if holder else "another process"
            raise StoreLocked("FS401", f"{who} is materializing into this store", where=str(self.path)) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)

    def _writable(self) -> Environment:
        if self.read_only:
            raise StoreError("FS407", "the online store was opened read-only", where=str(self.path))
        return self._environment or self._closed()

    def _closed(self) -> Environment:
        raise closed(str(self.path))


def _write_once(environment: Environment, fill: Callable[[Batch], None]) -> None:
    with environment.active() as env:
        batch = _Batch(environment, env.begin(write=True))
        try:
            fill(batch)
        except BaseException:
            batch.give_up()
            raise
        batch.commit()


class _View:
    """Reading, as a snapshot and a batch have it in common: one transaction and the tables it knows."""

    __slots__ = ("_catalog", "_tables", "_txn")

    def __init__(self, txn: lmdb.Transaction[bytes], catalog: lmdb._Database, tables: dict[str, lmdb._Database]) -> None:
        self._txn = txn
        self._catalog = catalog
        self._tables = tables

    def meta(self, name: str) -> bytes | None:
        found = self._txn.get(META + name.encode(), None, self._catalog)
        return None if found is None else bytes(found)

    def metas(self, prefix: str = "") -> dict[str, bytes]:
        return {name.decode(): value for name, value in scan_prefix(self._txn, self._catalog, META, prefix.encode())}

    def get(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        database = self._tables.get(table)
        if database is None:
            return [None] * len(keys)
        get = self._txn.get
        found = [get(key, None, database) for key in keys]
        return [value if value is None or len(value) > LARGE else bytes(value) for value in found]

    def get_many(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        return [self.get(table, keys) for table, keys in requests]

    def scan(self, table: str, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        database = self._tables.get(table)
        if database is None:
            return iter(())
        cursor = self._txn.cursor(database)
        if after and not cursor.set_range(after):
            return iter(())
        if after and bytes(cursor.key()) == after and not cursor.next():
            return iter(())
        return ((bytes(key), bytes(value)) for key, value in cursor.iternext())

    def count(self, table: str) -> int:
        database = self._tables.get(table)
        return 0 if database is None else self._txn.stat(database)["entries"]

    def sizes(self) -> dict[str, int]:
        return {table: self._pages(database) for table, database in sorted(self._tables.items())}

    def _pages(self, database: lmdb._Database) -> int:
        stat = self._txn.stat(database)
        return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])


class _Snapshot(_View):
    """A read transaction, begun on entering and given up on leaving."""

    __slots__ = ("_environment",)

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def __enter__(self) -> _Snapshot:
        self._txn, self._catalog, self._tables = self._environment.begin_read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._environment.end_read(self._txn)
        if isinstance(error, lmdb.Error):
            raise translate(error, self._environment.path) from error


class _Batch(_View):
    """A write transaction. A new table takes a free slot, a dropped one gives its slot back."""

    __slots__ = ("_environment", "_free")

    def __init__(self, environment: Environment, txn: lmdb.Transaction[bytes]) -> None:
        tables = environment.tables(txn)
        super().__init__(txn, environment.catalog, tables)
        taken = set(map(id, tables.values()))
        self._free = [number for number, slot in enumerate(environment.slots) if id(slot) not in taken]
        self._environment = environment

    def put_meta(self, name: str, value: bytes) -> None:
        self._txn.put(META + check_name(name, "meta"), value, db=self._catalog)

    def delete_meta(self, name: str) -> None:
        self._txn.delete(META + name.encode(), db=self._catalog)

    def put(self, table: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        check_name(table, "table")
        stream = iter(items)
        while chunk := list(itertools.islice(stream, _CHUNK)):
            self._put_chunk(table, chunk)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        database = self._tables.get(table)
        if database is not None:
            for key in keys:
                self._txn.delete(key, db=database)

    def drop(self, table: str) -> None:
        database = self._tables.pop(table, None)
        if database is None:
            return
        self._txn.drop(database, delete=False)
        self._txn.delete(TABLE + table.encode(), db=self._catalog)
        self._free.append(self._environment.slots.index(database))

    def commit(self) -> None:
        self._txn.commit()

    def give_up(self) -> None:
        """Abort, by letting the transaction go.

        Not by py-lmdb's abort(): that waits for a moment when no other thread of the process is inside any LMDB call,
        which under steady reading does not come. It is the last resort for a transaction some traceback still holds.
        """
        transaction = weakref.ref(self._txn)
        del self._txn
        left = transaction()
        if left is not None:
            left.abort()

    def _put_chunk(self, table: str, chunk: list[tuple[bytes, bytes]]) -> None:
        """Store one chunk, by appending where it lies beyond all that is there."""
        chunk.sort(key=itemgetter(0))  # stable, so of equal keys the last still wins; linear when sorted already
        check_keys([key for key, _ in chunk])
        with self._txn.cursor(self._table(table)) as cursor:
            append = not cursor.last() or chunk[0][0] > cursor.key()
            consumed, added = cursor.putmulti(chunk, append=append)
            if append and added < consumed:  # keys given twice: LMDB appends the first and skips the others
                cursor.putmulti(chunk)

    def _table(self, table: str) -> lmdb._Database:
        database = self._tables.get(table)
        if database is None:
            if not self._free:
                raise StoreError("FS406", f"the online store holds {MAX_TABLES} tables already, all it can")
            number = self._free.pop(0)
            database = self._tables[table] = self._environment.slots[number]
            self._txn.put(TABLE + table.encode(), str(number).encode(), db=self._catalog)
        return database
