"""One write to Redis: rows of new tables are sent ahead, all else is held back for the one transaction that switches.

A new table's rows lie under a tag that no catalog names, so nobody can see them before the switch; they are sent in bounded
chunks, the next being packed while Redis takes the last. Changes of a table that is already there wait in memory, and go
into the transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from featurestore.online.redis.layout import Layout, Memory, State, Table, new_tag, next_epoch
from featurestore.online.redis.links import Link, checked, packed
from featurestore.online.redis.reader import Metas, read_state, scanned, state_commands
from featurestore.online.store import Moved, check_keys, check_name

_CHUNK = 1_000
STAGING_SECONDS = 600
"""How long a table in the making outlives the last chunk sent for it. A write that pauses longer is begun anew."""

Rows = Mapping[bytes, bytes | None]


def begin(link: Link, layout: Layout) -> tuple[State, Memory]:
    """The present state, watched: a transaction on this link fails if another write comes between. Makes the store if need be.

    Raises: redis-py's exceptions, StoreFormat.
    """
    watch = packed(b"WATCH", layout.epoch)
    while True:
        with suppress(Moved):
            watched, *replies = link.ask_all([watch, *state_commands(layout)])
            checked([watched])
            state, memory = read_state(replies, layout)
            if state is not None:
                return state, memory
            _create(link, layout)
        link.ask(b"UNWATCH")


def _create(link: Link, layout: Layout) -> None:
    clean = packed(b"DEL", layout.metas, layout.tables)
    made = packed(b"SET", layout.epoch, next_epoch(None))
    checked(link.ask_all([packed(b"MULTI"), clean, made, packed(b"EXEC")]))


class Batch(Metas):
    """The changes of one write, on a link that watches `state`."""

    def __init__(self, link: Link, layout: Layout, state: State) -> None:
        super().__init__(dict(state.metas))
        self.state = state
        self.epoch = next_epoch(state.epoch)
        self.committing = False
        self._link, self._layout = link, layout
        self._tables = dict(state.tables)
        self._last: dict[str, bytes] = {}
        self._changes: dict[str, dict[bytes, bytes | None]] = {}
        self._dropped: list[str] = []
        self._unread: Callable[[], None] | None = None

    @property
    def staged(self) -> list[str]:
        """Tags of the tables this write has made, dropped ones included."""
        return list(self._last)

    @property
    def leaves_garbage(self) -> bool:
        return bool(self._dropped)

    # What `fill` is given

    def get(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        found = self._tables.get(table)
        if found is None:
            return [None] * len(keys)
        changes = self._changes.get(found.tag, {})
        stored = iter(self._stored(found.tag, [key for key in keys if key not in changes]))
        return [changes[key] if key in changes else next(stored) for key in keys]

    def scan(self, table: str, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        found = self._tables.get(table)
        if found is None:
            return
        self.settle()
        prefix = self._layout.rows(found.tag)
        keys = {
            name[len(prefix) :] for name in scanned(prefix + b"*", lambda command: checked(self._link.ask_all([command]))[0])
        }
        for chunk in _chunks(sorted(key for key in keys | self._changes.get(found.tag, {}).keys() if key > after)):
            for key, value in zip(chunk, self.get(table, chunk), strict=True):
                if value is not None:
                    yield key, value

    def count(self, table: str) -> int:
        self.settle()
        found = self._tables.get(table)
        return 0 if found is None else found.keys

    def put_meta(self, name: str, value: bytes) -> None:
        check_name(name, "meta")
        self._metas[name] = bytes(value)

    def delete_meta(self, name: str) -> None:
        self._metas.pop(name, None)

    def put(self, table: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        check_name(table, "table")
        for chunk in _chunks(items):
            rows = dict(chunk)
            check_keys(list(rows))
            found = self._tables.get(table) or self._new_table(table)
            if found.tag in self._last:
                self._stage(table, found.tag, rows)
            else:
                self._change(table, found.tag, rows)

    def delete(self, table: str, keys: Iterable[bytes]) -> None:
        found = self._tables.get(table)
        if found is None:
            return
        for chunk in _chunks(keys):
            gone: Rows = dict.fromkeys(chunk)
            if found.tag in self._last:
                self._tally(table, self._stored(found.tag, list(gone)), gone)
                self._link.ask(b"UNLINK", *self._names(found.tag, gone))
            else:
                self._change(table, found.tag, gone)

    def drop(self, table: str) -> None:
        self.settle()
        found = self._tables.pop(table, None)
        if found is not None:
            self._changes.pop(found.tag, None)
            self._dropped.append(found.tag)

    # New tables

    def _new_table(self, name: str) -> Table:
        """Made known as garbage first: whatever becomes of this write, its rows will be found."""
        self.settle()
        table = self._tables[name] = Table(new_tag())
        self._last[table.tag] = b""
        listed = packed(b"SADD", self._layout.garbage, table.tag.encode())
        checked(self._link.ask_all([listed, self._stays(table.tag)]))
        return table

    def _stays(self, tag: str) -> bytes:
        return packed(b"SET", self._layout.staging(tag), b"", b"EX", b"%d" % STAGING_SECONDS)

    def _stage(self, name: str, tag: str, rows: Mapping[bytes, bytes]) -> None:
        """Send rows ahead. What was there before matters only to counting, and where keys ascend there was nothing."""
        ascending = min(rows) > self._last[tag]
        self._last[tag] = max(self._last[tag], max(rows))
        names = self._names(tag, rows)
        commands = [self._stays(tag), packed(b"MSET", *chain.from_iterable(zip(names, rows.values(), strict=True)))]
        if not ascending:
            commands.insert(1, packed(b"MGET", *names))
        self.settle()
        self._link.send(b"".join(commands))
        self._unread = lambda: self._taken(name, rows, ascending)

    def _taken(self, name: str, rows: Rows, ascending: bool) -> None:
        replies = checked(self._link.replies(2 if ascending else 3))
        self._tally(name, [None] * len(rows) if ascending else replies[1], rows)

    def settle(self) -> None:
        """Read what Redis has said to the last chunk: nothing else may be asked before."""
        unread, self._unread = self._unread, None
        if unread is not None:
            unread()

    # Tables that are there

    def _change(self, name: str, tag: str, rows: Rows) -> None:
        self._tally(name, self.get(name, list(rows)), rows)
        self._changes.setdefault(tag, {}).update(rows)

    def _stored(self, tag: str, keys: list[bytes]) -> list[bytes | None]:
        """What Redis has under keys of a table; the link's watch tells if it is no longer so."""
        self.settle()
        found: list[bytes | None] = []
        for chunk in _chunks(self._names(tag, keys)):
            found += self._link.ask(b"MGET", *chunk)
        return found

    def _tally(self, name: str, old: Iterable[bytes | None], new: Rows) -> None:
        prefix = len(self._layout.rows(self._tables[name].tag))
        keys = size = 0
        for (key, value), before in zip(new.items(), old, strict=True):
            if before is not None:
                keys, size = keys - 1, size - prefix - len(key) - len(before)
            if value is not None:
                keys, size = keys + 1, size + prefix + len(key) + len(value)
        self._tables[name] = self._tables[name].changed(keys, size)

    def _names(self, tag: str, keys: Iterable[bytes]) -> list[bytes]:
        prefix = self._layout.rows(tag)
        return [prefix + key for key in keys]

    # The switch

    def commit(self) -> State | None:
        """Switch to the new state, at once; after `settle`.

        Returns: None if another write came between, or this one took too long: then nothing has changed.
        Raises: redis-py's exceptions. If the connection is lost meanwhile, it is not known whether the switch was made.
        """
        staged = [self._layout.staging(tag) for tag in self.staged]
        if staged:
            self._link.ask(b"WATCH", *staged)
            if self._link.ask(b"EXISTS", *staged) < len(staged):
                return None
        self.committing = True
        replies = self._link.ask_all(chain([packed(b"MULTI")], self._switch(), [packed(b"EXEC")]))
        if replies[-1] is None:
            return None
        checked(replies)
        return self.result()

    def result(self) -> State:
        """The state after the switch."""
        return State(self.epoch, self._metas, self._tables)

    def _switch(self) -> Iterator[bytes]:
        layout, old = self._layout, self.state
        for tag, rows in self._changes.items():
            yield from self._changed_rows(tag, rows)
        yield from _changed_hash(layout.metas, old.metas, self._metas)
        catalogs = [{name: table.to_bytes() for name, table in tables.items()} for tables in (old.tables, self._tables)]
        yield from _changed_hash(layout.tables, *catalogs)
        if self._dropped:
            yield packed(b"SADD", layout.garbage, *map(str.encode, self._dropped))
        kept = [tag for tag in self.staged if tag not in self._dropped]
        if kept:
            yield packed(b"SREM", layout.garbage, *map(str.encode, kept))
        if self.staged:
            yield packed(b"DEL", *map(layout.staging, self.staged))
        yield packed(b"SET", layout.epoch, self.epoch)

    def _changed_rows(self, tag: str, rows: Rows) -> Iterator[bytes]:
        for chunk in _chunks(rows.items()):
            put = [(name, value) for name, (_, value) in zip(self._names(tag, dict(chunk)), chunk, strict=True)]
            gone = [name for name, value in put if value is None]
            kept = [(name, value) for name, value in put if value is not None]
            if gone:
                yield packed(b"UNLINK", *gone)
            if kept:
                yield packed(b"MSET", *chain.from_iterable(kept))


def _changed_hash(name: bytes, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Iterator[bytes]:
    put = [(field.encode(), value) for field, value in new.items() if old.get(field) != value]
    gone = [field.encode() for field in old if field not in new]
    if put:
        yield packed(b"HSET", name, *chain.from_iterable(put))
    if gone:
        yield packed(b"HDEL", name, *gone)


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    stream = iter(items)
    while chunk := list(islice(stream, _CHUNK)):
        yield chunk
