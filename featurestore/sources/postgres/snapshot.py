"""One moment of a database: whatever is read through it, however often and by how many connections, is of that moment."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Reads an address as it was when this object was made, until it is closed or nobody holds it.

    One connection holds the moment fast and answers in few rows; others, each for one reading at a time, join it.
    """

    def __init__(self, address: Address, place: str) -> None:
        self.address, self.place = address, place
        self._idle: list[Any] = []
        self._lock = threading.Lock()
        self._holder = self._connected()
        self._closing = weakref.finalize(self, _closed, self._holder, self._idle)
        self._closing.atexit = False
        self._name = self.table("SELECT pg_export_snapshot() AS name", "the database")["name"][0].as_py()

    def close(self) -> None:
        """A reading that goes on keeps its connection to its end."""
        with self._lock:
            self._closing()

    def table(self, sql: str, what: str) -> pa.Table:
        """An answer of few rows. what: is read, for errors."""
        with self._lock, asking(self.address, what, self.place), self._holder.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def batches(self, sql: str, what: str, *, as_it_lies: bool = False) -> Iterator[pa.RecordBatch]:
        """An answer as it comes, in memory that does not grow. as_it_lies: of a table, in the order its rows lie in."""
        with self._connection() as connection, asking(self.address, what, self.place), connection.cursor() as cursor:
            cursor.execute(_settings(dict.fromkeys(_BY_INDEX, "off" if as_it_lies else "on")))
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            cursor.execute(sql)
            yield from cursor.fetch_record_batch()

    def schema(self, relation: str, what: str) -> pa.Schema:
        """The columns of a relation, which is kept from being altered from now on."""
        return self.table(f"SELECT * FROM {relation} LIMIT 0", what).schema

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """One that nobody uses now. After an error, or an answer that was not read to its end, it is of no more use."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connected(self._name)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if self._closing.alive:
                self._idle.append(connection)
                return
        connection.close()

    def _connected(self, snapshot: str | None = None) -> Any:
        dbapi = imported("adbc_driver_postgresql.dbapi", extra="postgres", what="a PostgresSource")
        with connecting(self.address, self.place):
            connection = dbapi.connect(self.address.conninfo, autocommit=True)
        begin = [_settings(_SETTINGS), _BEGIN, *([] if snapshot is None else [f"SET TRANSACTION SNAPSHOT '{snapshot}'"])]
        try:
            with asking(self.address, "the database", self.place), connection.cursor() as cursor:
                for statement in begin:
                    cursor.execute(statement)
        except BaseException:
            connection.close()
            raise
        return connection


def _settings(settings: dict[str, str]) -> str:
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())


def _closed(holder: Any, idle: list[Any]) -> None:
    for connection in (*idle, holder):
        connection.close()
    idle.clear()
