"""Reading from Redis: states are read as a whole, kept in the process, and proven with every row that is read.

Redis has no snapshots. A snapshot here is a state (epoch, metas, catalog) that was read between two looks at one epoch; the
rows read under it come in one MGET with the epoch. If that is still the state's, the rows are the state's too, because
every write changes the epoch in the transaction that changes anything else. If not, the snapshot says `Moved`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from featurestore.errors import StoreError, StoreUnavailable
from featurestore.online.redis import errors
from featurestore.online.redis.layout import Layout, Memory, State, Table, state_of
from featurestore.online.redis.links import Links, checked, packed
from featurestore.online.store import Moved

log = logging.getLogger(__name__)

REST = 1.0
"""Seconds for which Redis is not asked again after it has not answered: else everybody would wait out the deadline."""
MOVES = 20
"""How often a state is read again because another was written meanwhile."""
_STEP = 1_000

T = TypeVar("T")


def state_commands(layout: Layout) -> list[bytes]:
    """What to send to learn the state. No transaction: a server that is out of memory refuses those, even to read."""
    epoch, metas, tables = packed(b"GET", layout.epoch), packed(b"HGETALL", layout.metas), packed(b"HGETALL", layout.tables)
    return [epoch, packed(b"INFO", b"memory"), metas, tables, epoch]


def read_state(replies: list[Any], layout: Layout) -> tuple[State | None, Memory]:
    """The state that the replies tell of, None where there is none; and how the server's memory is.

    Raises: Moved if it was written to meanwhile, redis-py's exceptions, StoreFormat.
    """
    memory = Memory.from_info(replies.pop(1))
    before, metas, tables, after = checked(replies)
    if before != after:
        raise Moved
    return None if before is None else state_of(before, metas, tables, layout.where), memory


class Metas:
    """The metas of a state, as a snapshot and a batch both show them."""

    def __init__(self, metas: dict[str, bytes]) -> None:
        self._metas = metas

    def meta(self, name: str) -> bytes | None:
        return self._metas.get(name)

    def metas(self, prefix: str = "") -> dict[str, bytes]:
        found = (name for name in self._metas if name.startswith(prefix))
        return {name: self._metas[name] for name in sorted(found, key=str.encode)}


class Snapshot(Metas):
    """One state, its own context manager: there is nothing to give up."""

    def __init__(self, reader: Reader, state: State) -> None:
        super().__init__(dict(state.metas))
        self._reader, self.state = reader, state
        self.is_steady = False
        self._prefixes = {name: reader.layout.rows(table.tag) for name, table in state.tables.items()}

    def steady(self) -> Snapshot:
        """The same for who holds the lock and reads what nobody else changes: it does not move with what others write."""
        snapshot = Snapshot(self._reader, self.state)
        snapshot.is_steady = True
        return snapshot

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def get(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.get_many([(table, keys)])[0]

    def get_many(self, requests: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        asked: list[bytes] = []
        for table, keys in requests:
            prefix = self._prefixes.get(table)
            if prefix is not None:
                asked += [prefix + key for key in keys]
        values = self._reader.rows(self, asked)
        answers: list[list[bytes | None]] = []
        start = 0
        for table, keys in requests:
            if table not in self._prefixes:
                answers.append([None] * len(keys))
            else:
                answers.append(values[start : start + len(keys)])
                start += len(keys)
        return answers

    def scan(self, table: str, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """By looking at all keys of the database, and sorting those of the table: not for the hot path."""
        prefix = self._prefixes.get(table)
        names = [] if prefix is None else sorted(set(self._reader.names(prefix + b"*")))
        skip = len(prefix or b"")
        wanted = [name for name in names if name[skip:] > after]
        for start in range(0, len(wanted) or 1, _STEP):
            chunk = wanted[start : start + _STEP]
            for name, value in zip(chunk, self._reader.rows(self, chunk), strict=True):
                if value is None:  # the epoch stands, and the table has lost a key
                    raise errors.incomplete(self._reader.layout.where)
                yield name[skip:], value
        if len(names) != self.count(table):
            raise errors.incomplete(self._reader.layout.where)

    def count(self, table: str) -> int:
        return self.state.tables.get(table, Table("")).keys


def scanned(pattern: bytes, ask: Callable[[bytes], Any]) -> Iterator[bytes]:
    """All keys of a pattern, by a function that sends a command; one may come twice."""
    cursor = b"0"
    while True:
        cursor, names = ask(packed(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % _STEP))
        yield from names
        if cursor == b"0":
            return


class Reader:
    """Asks Redis for states and rows. Safe for many threads."""

    def __init__(self, links: Links, layout: Layout) -> None:
        self.layout = layout
        self._links = links
        self._kept: Snapshot | None = None
        self._rests_until = 0.0

    def fetch(self, missing: Callable[[str], StoreError] = errors.empty) -> Snapshot:
        """The state as it is now. Raises: StoreUnavailable, StoreFormat, and what `missing` makes where there is none."""
        for _ in range(MOVES):
            with suppress(Moved):
                state, memory = self._asked(lambda: read_state(self._links.ask_all(state_commands(self.layout)), self.layout))
                if state is None:
                    self._kept = None
                    raise missing(self.layout.where)
                memory.check_keeps(self.layout.where)
                return self.keep(state)
        raise errors.restless(self.layout.where)

    def recall(self) -> Snapshot:
        """The state last known here, without asking."""
        return self._kept or self.fetch()

    def keep(self, state: State) -> Snapshot:
        """Take over a state that is known to be the present one."""
        self._rests_until = 0.0
        snapshot = self._kept = Snapshot(self, state)
        return snapshot

    def forget(self) -> None:
        self._kept = None

    def rows(self, snapshot: Snapshot, names: list[bytes]) -> list[bytes | None]:
        """The values of rows by their keys in Redis, at the snapshot's state.

        Raises: Moved, also where no state is left: who then asks for the present one is told. StoreUnavailable.
        """
        command = packed(b"MGET", self.layout.epoch, *names)
        values: list[bytes | None] = self._asked(lambda: self._links.ask(command))
        epoch = values.pop(0)
        if epoch != snapshot.state.epoch and not (snapshot.is_steady and epoch is not None):
            if self._kept is snapshot:
                self._kept = None
            raise Moved
        return values

    def names(self, pattern: bytes) -> Iterator[bytes]:
        """All keys of a pattern; one may come twice."""
        return scanned(pattern, self._answer)

    def _answer(self, command: bytes) -> Any:
        return self._asked(lambda: self._links.ask(command))

    def _asked(self, ask: Callable[[], T]) -> T:
        """What Redis answers. After a failure it is left alone for a while."""
        if self._rests_until and time.monotonic() < self._rests_until:
            raise errors.resting(self.layout.where)
        try:
            return ask()
        except errors.FAILED as error:
            told = errors.translate(error, self.layout.where)
            if isinstance(told, StoreUnavailable):
                self._rests_until = time.monotonic() + REST
                log.warning("%s", told)
            raise told from error
