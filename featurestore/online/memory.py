"""A store in this process's memory, for notebooks and tests. Decides nothing the contract leaves open, keeps nothing.

State is one immutable value; a write builds the next one, copying only the tables it touches, and switches with a
single assignment. That is why a snapshot is just a reference and needs no lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import MappingProxyType

from featurestore.errors import StoreLocked
from featurestore.online.store import FORMAT, TOTAL, Batch, check_keys, check_name, closed
from featurestore.online.turns import Turns

_NOTHING: Mapping[bytes, bytes] = MappingProxyType({})


class _State:
    """Everything the store holds at one moment; also its own snapshot. Never changed once it is the store's state."""

    def __init__(self, metas: dict[str, bytes], tables: dict[str, dict[bytes, bytes]]) -> None:
        self._metas = metas
        self._tables = tables

    def meta(self, name: str) -> bytes | None:
        return self._metas.get(name)

    def metas(self, prefix: str = "") -> dict[str, bytes]:
        found = (name for name in self._metas if name.startswith(prefix))
        return {name: self._metas[name] for name in sorted(found, key=str.encode)}

    def get(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        rows = self._tables.get(table, _NOTHING)
        return [rows.get(key) for key in keys]

    def get_many(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        return [self.get(table, keys) for table, keys in requests]

    def scan(self, table: str, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(row for row in self._tables.get(table, _NOTHING).items() if row[0] > after))

    def count(self, table: str) -> int:
        return len(self._tables.get(table, _NOTHING))


class _Batch(_State):
    """The next state in the making: dicts of its own, and of each table a copy from the first change on."""

    def __init__(self, old: _State) -> None:
        super().__init__(dict(old._metas), dict(old._tables))
        self._copied: set[str] = set()

    def put_meta(self, name: str, value: bytes) -> None:
        check_name(name, "meta")
        self._metas[name] = bytes(value)

    def delete_meta(self, name: str) -> None:
        self._metas.pop(name, None)

    def put(self, table: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        check_name(table, "table")
        rows = None
        for key, value in items:
            check_keys([key])
            rows = self._rows(table) if rows is None else rows
            rows[key] = bytes(value)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        if table in self._tables:
            rows = self._rows(table)
            for key in keys:
                rows.pop(key, None)

    def drop(self, table: str) -> None:
        self._tables.pop(table, None)

    def _rows(self, table: str) -> dict[bytes, bytes]:
        if table not in self._copied:
            self._copied.add(table)
            self._tables[table] = dict(self._tables.get(table, _NOTHING))
        return self._tables.setdefault(table, {})

    def done(self) -> _State:
        return _State(self._metas, self._tables)


class MemoryStore:
    """An online store that lives and dies with this object."""

    format = FORMAT
    at_once, ordered = 1 << 30, True

    def __init__(self) -> None:
        self._state: _State | None = _State({}, {})
        self._writing = Turns()
        self._materializing = threading.Lock()

    def read(self, *, locked: bool = False) -> nullcontext[_State]:
        return nullcontext(self._now())

    recall = read

    def write(self, fill: Callable[[Batch], None], *, expected_bytes: int = 0) -> None:
        with self._writing:
            batch = _Batch(self._now())
            fill(batch)
            self._state = batch.done()

    @contextmanager
    def lock(self) -> Iterator[None]:
        if not self._materializing.acquire(blocking=False):
            raise StoreLocked("FS401", f"process {os.getpid()} is materializing into this store", where="memory")
        try:
            yield
        finally:
            self._materializing.release()

    def sizes(self) -> dict[str, int]:
        tables = self._now()._tables
        sizes = {name: sum(len(k) + len(v) for k, v in rows.items()) for name, rows in sorted(tables.items())}
        return {**sizes, TOTAL: sum(sizes.values())}

    def close(self) -> None:
        self._state = None

    def _now(self) -> _State:
        if self._state is None:
            raise closed("memory")
        return self._state
