"""The verbs of an online store over Redis, and how a write ends: made, made by somebody else first, or not at all."""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress

from featurestore.errors import StoreError
from featurestore.online.redis import errors
from featurestore.online.redis.batch import Batch, begin
from featurestore.online.redis.layout import Layout, State, next_epoch
from featurestore.online.redis.lease import DELETE_IF, Lease
from featurestore.online.redis.links import Link, Links, packed
from featurestore.online.redis.reader import Reader, Snapshot
from featurestore.online.redis.sweep import sweep
from featurestore.online.store import TOTAL, closed
from featurestore.online.store import Batch as Changes
from featurestore.online.turns import Turns

log = logging.getLogger(__name__)

DEADLINE = 0.25
"""Seconds a look-up waits for Redis."""
PATIENCE = 10.0
"""Seconds a write waits for each reply: a long transaction may take some."""
ATTEMPTS = 50
HURRIES, TURN_SECONDS = 3, 2.0
"""After so many attempts at which others were faster a writer has them wait for it, so long at most."""
"""How often a write that others overtake is begun anew."""


class RedisStore:
    """An online store in the Redis at `url`, under keys of its own for each project; see `OnlineStore` for its promises.

    Args:
        deadline: seconds to wait for Redis when reading. A write waits longer.
    Opening to write makes the store; opening `read_only` where there is none is a StoreError FS402. Any number of stores,
    threads, processes and machines may share it. It is one Redis that accepts writes, not a cluster.
    Raises: StoreUnavailable FS412 when Redis does not answer, UsageError FS107 for a bad URL.
    """

    at_once, ordered = 5_000, False  # Redis does nothing else while it makes a switch

    def __init__(self, url: str, project: str, *, read_only: bool = False, deadline: float = DEADLINE) -> None:
        self._links = Links(url, deadline)
        self._layout = Layout(project, self._links.where)
        self._reader = Reader(self._links, self._layout)
        self.read_only = read_only
        self._closed = False
        self._writing = Turns()  # others are met at the switch
        self._who = secrets.token_bytes(9)
        self._lease: Lease | None = None
        if not read_only:
            with self._own_link() as link:
                begin(link, self._layout)
        self.format = self._reader.fetch(missing=errors.absent).state.format

    def __repr__(self) -> str:
        return f"RedisStore({self._layout.where!r}, {self._layout.project!r}, read_only={self.read_only})"

    def read(self, *, locked: bool = False) -> Snapshot:
        self._check_open()
        snapshot = self._reader.fetch()
        return snapshot.steady() if locked else snapshot

    def recall(self) -> Snapshot:
        self._check_open()
        return self._reader.recall()

    def sizes(self) -> dict[str, int]:
        state = self.read().state
        sizes = {name: table.size for name, table in sorted(state.tables.items())}
        return {**sizes, TOTAL: sum(sizes.values()) + sum(len(name) + len(value) for name, value in state.metas.items())}

    def write(self, fill: Callable[[Changes], None], *, expected_bytes: int = 0) -> None:
        self._check_writable()
        with self._writing:
            for attempt in range(ATTEMPTS):
                time.sleep(random.uniform(0, min(0.02 * attempt, 0.5)))
                made = self._write_once(fill, expected_bytes, attempt)
                if made is not None:
                    self._reader.keep(made)
                    return
        what = f"other writers were faster {ATTEMPTS} times; {errors.UNCHANGED}"
        raise StoreError("FS406", what, where=self._layout.where, hint="again later")

    @contextmanager
    def lock(self) -> Iterator[None]:
        self._check_writable()
        lease = Lease(self._layout, self._own_link)
        with self._own_link() as link:
            lease.take(link)
        self._lease = lease
        try:
            self._sweep()
            yield
        finally:
            self._lease = None
            lease.give_up()

    def close(self) -> None:
        self._closed = True
        self._reader.forget()
        self._links.close()

    # One write

    @contextmanager
    def _turn(self, link: Link, attempt: int) -> Iterator[None]:
        """Wait for a writer to whom others were faster a few times, or be that writer: a long write (a run's) would else never
        come between many short ones (pushes)."""
        turn, end = self._layout.turn, time.monotonic() + TURN_SECONDS
        hurries = attempt >= HURRIES
        while time.monotonic() < end:
            if hurries:
                link.ask(b"SET", turn, self._who, b"NX", b"PX", b"%d" % int(TURN_SECONDS * 1_000))
            if link.ask(b"GET", turn) in (None, self._who):
                break
            time.sleep(0.005)
        yield
        if hurries:
            with suppress(errors.FAILED):  # the write is made; a turn that is not given up expires
                link.ask(b"EVAL", DELETE_IF, b"1", turn, self._who)

    def _write_once(self, fill: Callable[[Changes], None], expected_bytes: int, attempt: int) -> State | None:
        """The state the write has made; None if another came between."""
        layout = self._layout
        with self._own_link() as link, self._turn(link, attempt):
            state, memory = begin(link, layout)
            memory.check_keeps(layout.where)
            memory.check_room(expected_bytes, layout.where)
            batch = Batch(link, layout, state)
            try:
                fill(batch)
                made = self._committed(batch, link)
            except errors.LOST:
                raise  # there is nobody to ask; what is left over expires
            except BaseException:
                self._sweep(batch.staged)
                raise
            if made is None or batch.leaves_garbage:
                self._sweep(batch.staged if made is None else ())
            return made

    def _committed(self, batch: Batch, link: Link) -> State | None:
        batch.settle()
        with nullcontext() if self._lease is None else self._lease.held(link):
            try:
                return batch.commit()
            except errors.LOST:
                if batch.committing and self._arrived(batch):
                    return batch.result()
                raise

    def _arrived(self, batch: Batch) -> bool:
        """Whether a transaction whose reply was lost has been made. If not, it is seen to that it never will be.

        The server may still hold the command, unread: another epoch, made for the purpose, lets it fail. False also where
        others have written since; whoever is told of a failure and writes again ends in the same store.
        """
        epoch = self._layout.epoch
        with self._own_link() as link:
            for _ in range(ATTEMPTS):
                link.ask(b"WATCH", epoch)
                found = link.ask(b"GET", epoch)
                if found != batch.state.epoch:
                    return bool(found == batch.epoch)
                if link.ask_all([packed(b"MULTI"), packed(b"SET", epoch, next_epoch(found)), packed(b"EXEC")])[-1] is not None:
                    break
        return False

    def _sweep(self, given_up: Collection[str] = ()) -> None:
        """Remove what writes have left over. What cannot be removed now is removed by the next."""
        try:
            with self._own_link() as link:
                sweep(link, self._layout, given_up)
        except StoreError as error:
            log.info("rows left over in Redis are removed later: %s", error)

    @contextmanager
    def _own_link(self) -> Iterator[Link]:
        """A connection for one purpose. Raises: StoreError in place of what redis-py raises."""
        try:
            with self._links.own(PATIENCE) as link:
                yield link
        except errors.FAILED as error:
            raise errors.translate(error, self._layout.where) from error

    def _check_open(self) -> None:
        if self._closed:
            raise closed(self._layout.where)

    def _check_writable(self) -> None:
        self._check_open()
        if self.read_only:
            raise StoreError("FS407", "the online store was opened read-only", where=self._layout.where)
