"""One LMDB environment per path and process: opened, shared, grown, reopened after a fork, closed with its last user.

Decides when it is safe to do what LMDB leaves to its caller:

- LMDB must not be opened twice in one process, so environments are shared and counted (`acquire`, `release`).
- The map may only change size, and the file only be reopened, while no transaction of this process is open. Every
  transaction therefore passes a gate (`active`), and such changes wait until it is empty (`_exclusively`).
- An environment does not survive fork: the child would write into its parent's reader slots. A child reopens it; a
  child forked while a transaction was open cannot even close it safely, and is told so.
- Handles may only be opened when nothing else runs. All there can be (`slots`) are made when the store is created and
  opened with it, so none is opened later. py-lmdb opens handles of a writable environment in a write transaction only:
  opening to write waits for a write that is under way in another process; opening to read never waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from featurestore.errors import StoreError
from featurestore.online.lmdb.errors import absent, translate, unreadable
from featurestore.online.lmdb.files import exists, file_identity, sync_folder
from featurestore.online.lmdb.header import check_file
from featurestore.online.store import FORMAT, check_format
from featurestore.online.turns import Turns

META, TABLE = b"m", b"t"
_FORMAT = b"f"
_CATALOG = b"catalog"
MAX_TABLES = 512
"""Tables alive at once: up to four for each generation of a view. A read costs 0.5 µs more than with 16, 1 µs at 1024."""
_SLOTS = [b"slot%04d" % number for number in range(MAX_TABLES)]
_MAX_READERS = 1024
_PATIENCE = 10.0
"""Seconds to wait for this process's open snapshots before a change of the map is given up."""

Tables = dict[str, lmdb._Database]
Reading = tuple["lmdb.Transaction[bytes]", lmdb._Database, Tables]


class Environment:
    """What every store on one path shares. `slots[i]` is the handle of slot i; `catalog` that of the catalog."""

    env: lmdb.Environment
    catalog: lmdb._Database
    _seen: tuple[int, Tables]
    writing: Turns

    def __init__(self, path: Path, read_only: bool, map_size: int) -> None:
        self.path = path
        self.users = 0
        self.format = FORMAT
        self.read_only = read_only
        self.slots: list[lmdb._Database] = []
        self._map_size = map_size
        self._new_locks()
        self._usable = True
        self._open()

    # Reading

    def begin_read(self) -> Reading:
        """A read transaction, the catalog's handle, and the tables as that transaction sees them."""
        self._enter()
        try:
            while True:
                txn = self._try_begin()
                if txn is not None:
                    return txn, self.catalog, self._tables_seen_by(txn)
        except lmdb.Error as error:
            self._leave()
            raise translate(error, self.path) from error
        except BaseException:
            self._leave()
            raise

    def end_read(self, txn: lmdb.Transaction[bytes]) -> None:
        if self._usable:
            txn.abort()
            self._leave()

    def _try_begin(self) -> lmdb.Transaction[bytes] | None:
        try:
            return self.env.begin(buffers=True)  # type: ignore[return-value]  # its stub knows one kind of value
        except lmdb.MapResizedError:
            self._outside(self.adopt_size)
        except lmdb.PanicError:
            self._outside(self.reopen)
        except lmdb.ReadersFullError:
            if not self.env.reader_check():
                raise
        return None

    def _tables_seen_by(self, txn: lmdb.Transaction[bytes]) -> Tables:
        """The tables of this transaction's state; read once per state, not once per transaction."""
        seen, tables = self._seen
        if seen != txn.id():
            tables = self.tables(txn)
            self._seen = (txn.id(), tables)
        return tables

    def tables(self, txn: lmdb.Transaction[bytes]) -> Tables:
        """Every table's handle, from the catalog."""
        rows = scan_prefix(txn, self.catalog, TABLE)
        return {name.decode(): self.slots[int(slot)] for name, slot in rows}

    # Writing

    @contextmanager
    def active(self) -> Iterator[lmdb.Environment]:
        """Within this no other thread changes the map: whoever begins a transaction is inside."""
        self._enter()
        try:
            yield self.env
        finally:
            self._leave()

    def ensure_room(self, expected_bytes: int) -> None:
        """Forget dead readers, and make the map large enough for what is about to come."""
        with self.active() as env:
            env.reader_check()
            info, page_size = env.info(), env.stat()["psize"]
        needed = (info["last_pgno"] + 1) * page_size + expected_bytes * 3 // 2
        size = info["map_size"]
        while size < needed:
            size *= 2
        if size != info["map_size"]:
            self._resize(size)

    def grow(self) -> None:
        """Twice the map."""
        with self.active() as env:
            size = env.info()["map_size"]
        self._resize(size * 2)

    def adopt_size(self) -> None:
        """Take over the size another process has given the map."""
        self._resize(0)

    def reopen(self) -> None:
        """Close and open again: after a failed write of the meta page, or to write where only reading was meant."""
        self._exclusively(self._reopen)

    # Opening and closing

    def _open(self) -> None:
        """Open or create. Raises: StoreError where there is nothing to read, or nothing that can be read."""
        try:
            self._prepare_folder()
            self.env = lmdb.open(
                str(self.path),
                map_size=self._map_size,
                readonly=self.read_only,
                max_dbs=MAX_TABLES + 1,
                max_readers=_MAX_READERS,
                lib_version=0,  # the 0.9 layout, which `header` can check
            )
        except lmdb.Error as error:
            raise translate(error, self.path) from error
        except OSError as error:
            raise unreadable(self.path, error) from error
        try:
            self._open_to_read() if self.read_only else self._open_to_write()
            self._seen = (-1, {})
            self._file = file_identity(self.path)
        except lmdb.Error as error:
            self.env.close()
            raise translate(error, self.path) from error
        except BaseException:
            self.env.close()
            raise

    def _prepare_folder(self) -> None:
        if exists(self.path):
            check_file(self.path)
        elif self.read_only:
            raise absent(self.path)
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path.parent)

    def _open_to_read(self) -> None:
        try:
            self.catalog = self.env.open_db(_CATALOG, create=False)
        except lmdb.NotFoundError:  # a writer was killed before its first commit
            raise absent(self.path) from None
        with self.env.begin() as txn:
            self.format = self._check_format(txn)
        self.slots = [self.env.open_db(name, create=False) for name in _SLOTS]

    def _open_to_write(self) -> None:
        with self._begin_write() as txn:
            self.catalog = self.env.open_db(_CATALOG, txn=txn)
            fresh = txn.put(_FORMAT, str(FORMAT).encode(), overwrite=False, db=self.catalog)
            self.format = self._check_format(txn)
            self.slots = [self.env.open_db(name, txn=txn) for name in _SLOTS]
        if fresh:
            sync_folder(self.path)

    def _begin_write(self) -> lmdb.Transaction[bytes]:
        try:
            return self.env.begin(write=True)
        except lmdb.MapResizedError:
            self.env.set_mapsize(0)
            return self.env.begin(write=True)

    def _check_format(self, txn: lmdb.Transaction[bytes]) -> int:
        return check_format(int(txn.get(_FORMAT, b"0", self.catalog)), str(self.path))

    def _reopen(self) -> None:
        self._map_size = max(self._map_size, self.env.info()["map_size"])
        self.env.close()
        self._open()

    def make_writable(self) -> None:
        self.read_only = False
        try:
            self.reopen()
        except StoreError:
            self.read_only = True
            self._open()
            raise

    def is_current(self) -> bool:
        """Whether the path still leads to the file that is open: a store removed and made anew is another store."""
        return self._forked or not self._usable or self._file == file_identity(self.path)

    def release(self) -> None:
        """One user less; the last one closes the file, and with it whatever snapshot is still open."""
        with _registry.lock:
            self.users -= 1
            if self.users:
                return
            if _registry.by_path.get(str(self.path)) is self:
                del _registry.by_path[str(self.path)]
            with self._gate:
                if self._usable and not self._forked:
                    self.env.close()

    # The gate

    def _new_locks(self) -> None:
        self._lock = threading.Lock()  # a Condition's own `with` takes twice as long
        self._gate = threading.Condition(self._lock)
        self._active = 0
        self._changing = False
        self.writing = Turns()  # LMDB itself keeps other processes waiting
        self._forked = False

    def _enter(self) -> None:
        with self._lock:
            if not self._usable:
                raise StoreError(
                    "FS408", "this process was forked while the online store was in use", where=str(self.path),
                    hint="the 'spawn' start method, or fork before the first read",
                )  # fmt: skip
            if self._forked:
                self._open()
                self._forked = False
            while self._changing:
                self._gate.wait()
            self._active += 1

    def _leave(self) -> None:
        with self._lock:
            self._active -= 1
            if self._changing:
                self._gate.notify_all()

    def _outside(self, change: Callable[[], None]) -> None:
        """Do what needs an empty gate from within it."""
        self._leave()
        try:
            change()
        finally:
            with self._lock:
                self._active += 1

    def _exclusively(self, change: Callable[[], None]) -> None:
        with self._lock:
            self._wait(lambda: not self._changing)
            self._changing = True
            try:
                self._wait(lambda: self._active == 0)
                change()
            finally:
                self._changing = False
                self._gate.notify_all()

    def _wait(self, condition: Callable[[], bool]) -> None:
        if not self._gate.wait_for(condition, _PATIENCE):
            raise StoreError(
                "FS406",
                f"the online store must grow, but a snapshot in this process stayed open for {_PATIENCE:.0f} s",
                where=str(self.path),
                hint="closing snapshots before writing",
            )

    def _resize(self, size: int) -> None:
        def resize() -> None:
            try:
                self.env.set_mapsize(size)
            except lmdb.Error as error:  # py-lmdb gives the environment up
                self._reopen()
                raise translate(error, self.path) from error

        self._exclusively(resize)

    def after_fork_in_child(self) -> None:
        """Drop what belongs to the parent. With no transaction open, closing touches nothing the parent uses."""
        self._usable = self._usable and self._active == 0
        self._new_locks()
        if self._usable:
            self.env.close()
            self._forked = True


class _Registry:
    """The environments of this process, by real path."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_path: dict[str, Environment] = {}

    def after_fork_in_child(self) -> None:
        self.lock = threading.Lock()
        for environment in self.by_path.values():
            environment.after_fork_in_child()


_registry = _Registry()
os.register_at_fork(after_in_child=_registry.after_fork_in_child)


def acquire(path: Path, read_only: bool, map_size: int) -> Environment:
    """The environment of that path, opened on first use; give it back by `release`."""
    real = os.path.realpath(path)
    with _registry.lock:
        environment = _registry.by_path.get(real)
        if environment is None or not environment.is_current():
            environment = _registry.by_path[real] = Environment(Path(real), read_only, map_size)
        elif environment.read_only and not read_only:
            environment.make_writable()
        environment.users += 1
        return environment


def scan_prefix(
    txn: lmdb.Transaction[bytes], database: lmdb._Database, kind: bytes, prefix: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    """The catalog's rows of one kind whose name starts with `prefix`, as (name, value) in order."""
    with txn.cursor(database) as cursor:
        if cursor.set_range(kind + prefix):
            for row in cursor:
                key, value = map(bytes, row)
                if not key.startswith(kind + prefix):
                    return
                yield key[len(kind) :], value
