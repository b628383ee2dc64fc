"""One moment of a database: whatever is read through it, however often and by how many connections, is of that moment."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pyarrow as pa

from featurestore.sources.extras import imported
from featurestore.sources.postgres.address import Address
from featurestore.sources.postgres.failures import asking, connecting

_BATCH_BYTES = 8 << 20
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SETTINGS = {
    "client_encoding": "UTF8",  # whatever PGCLIENTENCODING says
    "TimeZone": "UTC", "DateStyle": "ISO", "IntervalStyle": "postgres", "bytea_output": "hex", "extra_float_digits": "1",
    "synchronize_seqscans": "off", "max_parallel_workers_per_gather": "0", "jit": "off",  # one order of rows, each time
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "0",  # it is idle while the engine works
}  # fmt: skip
"""So that a text means the same on every server, and one statement gives its rows in one order."""
_BY_INDEX = ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan")


class Snapshot:
    """Reads an address as it was when this object was made, until it is closed or nobody holds it."""

    def __init__(self, address: Address, place: str) -> None:
        self.address, self.place = address, place
        self._idle: list[Any] = []
        self._all: list[Any] = []
        self._lock = threading.Lock()
        self.close = weakref.finalize(self, _closed, self._all)
        self.close.atexit = False
        self._idle.append(self._connected())
        self._name = self.rows("SELECT pg_export_snapshot() AS name", "the database")[0]["name"]

    def rows(self, sql: str, what: str) -> list[dict[str, Any]]:
        """The few rows of an answer. what: is read, for errors."""
        return [row for batch in self.batches(sql, what) for row in batch.to_pylist()]

    def batches(self, sql: str, what: str, *, as_it_lies: bool = False) -> Iterator[pa.RecordBatch]:
        """An answer as it comes, in memory that does not grow. as_it_lies: of a table, in the order its rows lie in."""
        with self._connection() as connection, asking(self.address, what, self.place), connection.cursor() as cursor:
            cursor.execute(_settings(dict.fromkeys(_BY_INDEX, "off" if as_it_lies else "on")))
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            cursor.execute(sql)
            yield from cursor.fetch_record_batch()

    def schema(self, relation: str, what: str) -> pa.Schema:
        """The columns of a relation, which is kept from being altered from now on."""
        with self._connection() as connection, asking(self.address, what, self.place), connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {relation} LIMIT 0")
            return cursor.fetch_record_batch().schema

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """One that nobody uses now: an answer that is not read to its end keeps its own."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connected(self._name)
        yield connection
        self._idle.append(connection)  # not after an error: its transaction has failed

    def _connected(self, snapshot: str | None = None) -> Any:
        dbapi = imported("adbc_driver_postgresql.dbapi", extra="postgres", what="a PostgresSource")
        with connecting(self.address, self.place):
            connection = dbapi.connect(self.address.conninfo, autocommit=True)
        self._all.append(connection)
        with asking(self.address, "the database", self.place), connection.cursor() as cursor:
            cursor.execute(_settings(_SETTINGS))
            cursor.execute(_BEGIN)
            if snapshot is not None:
                cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        return connection


def _settings(settings: dict[str, str]) -> str:
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())


def _closed(connections: list[Any]) -> None:
    while connections:
        connections.pop().close()


_shared: ContextVar[dict[Address, weakref.ref[Snapshot]] | None] = ContextVar("_shared", default=None)


@contextmanager
def of_one_moment() -> Iterator[None]:
    """What is opened within is of one moment, for each database."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def snapshot_of(address: Address, place: str) -> Snapshot:
    shared = _shared.get()
    found = None if shared is None or address not in shared else shared[address]()
    if found is None:
        found = Snapshot(address, place)
        if shared is not None:
            shared[address] = weakref.ref(found)
    return found
