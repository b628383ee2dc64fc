"""How a store lies in Redis: the names of its keys, and the state they tell of.

All keys of a project begin with `fs:<project>:`, so that projects can share a database.

    fs:shop:epoch                 string   "<format>.<count>.<random>": new with every write, never the same twice
    fs:shop:metas                 hash     name -> value
    fs:shop:tables                hash     name -> "<tag> <keys> <bytes>": the catalog
    fs:shop:t:<tag>:<key>         string   a row. A tag is random, made with the table and never used again: what belongs
                                           to a table that was dropped, or to a write that failed, is named by nobody
    fs:shop:garbage               set      tags that are not, or not yet, in the catalog
    fs:shop:staging:<tag>         string   a write is under way that makes this table; it expires
    fs:shop:lock                  string   who materializes; it expires
    fs:shop:turn                  string   for which writer the others wait, because they were faster; it expires

Rows are strings and not fields of a hash because one MGET then serves keys of many tables, and the epoch with them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from featurestore.online.redis import errors
from featurestore.online.store import FORMAT, check_format

Reply = list[bytes]


@dataclass(frozen=True)
class Layout:
    """The names of one project's keys. where: what errors say of the server; no password is in it."""

    project: str
    where: str

    def __post_init__(self) -> None:
        # Quoted, a name holds no ':' that could make two projects' keys alike, and nothing a SCAN pattern gives meaning to.
        prefix = f"fs:{quote(self.project, safe='')}:".encode()
        for name in ("epoch", "metas", "tables", "garbage", "lock", "turn"):
            object.__setattr__(self, name, prefix + name.encode())
        object.__setattr__(self, "_prefix", prefix)

    epoch: bytes = b""
    metas: bytes = b""
    tables: bytes = b""
    garbage: bytes = b""
    lock: bytes = b""
    turn: bytes = b""
    _prefix: bytes = b""

    def rows(self, tag: str) -> bytes:
        """What the keys of a table's rows begin with."""
        return b"%bt:%b:" % (self._prefix, tag.encode())

    def staging(self, tag: str) -> bytes:
        return b"%bstaging:%b" % (self._prefix, tag.encode())


@dataclass(frozen=True)
class Table:
    """A table as the catalog has it. size: bytes of its keys, as Redis has them, and values."""

    tag: str
    keys: int = 0
    size: int = 0

    def to_bytes(self) -> bytes:
        return f"{self.tag} {self.keys} {self.size}".encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Table:
        tag, keys, size = raw.decode().split(" ")
        return cls(tag, int(keys), int(size))

    def changed(self, keys: int, size: int) -> Table:
        return replace(self, keys=self.keys + keys, size=self.size + size)


@dataclass(frozen=True)
class State:
    """Everything but the rows, at one epoch."""

    epoch: bytes
    metas: Mapping[str, bytes]
    tables: Mapping[str, Table]

    @property
    def format(self) -> int:
        return int(self.epoch.split(b".")[0])


def new_tag() -> str:
    return secrets.token_urlsafe(6)


def next_epoch(epoch: bytes | None) -> bytes:
    """Another epoch, that no other writer can have made."""
    count = 0 if epoch is None else int(epoch.split(b".")[1])
    return f"{FORMAT}.{count + 1}.{secrets.token_urlsafe(9)}".encode()


def state_of(epoch: bytes, metas: Reply, tables: Reply, where: str) -> State:
    """The state that replies to GET epoch and HGETALL tell of. Raises: StoreFormat for one of a newer format."""
    check_format(int(epoch.split(b".")[0]), where)
    found = {name.decode(): Table.from_bytes(raw) for name, raw in pairs(tables)}
    return State(epoch, {name.decode(): value for name, value in pairs(metas)}, found)


def pairs(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


@dataclass(frozen=True)
class Memory:
    """What INFO says of the server's memory. limit: 0 without one."""

    used: int
    limit: int
    policy: str

    @classmethod
    def from_info(cls, info: object) -> Memory:
        """Of an INFO that is not allowed, or not understood, nothing is concluded."""
        if not isinstance(info, bytes):
            return cls(0, 0, "")
        fields = dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
        return cls(
            int(fields.get("used_memory", 0)), int(fields.get("maxmemory", 0)), fields.get("maxmemory_policy", "")
        )  # fmt: skip

    def check_keeps(self, where: str) -> None:
        """Raises: StoreUnavailable for a server that evicts rows. Those with an expiry are none of the store's rows."""
        if self.limit and self.policy.startswith("allkeys"):
            raise errors.evicting(self.policy, where)

    def check_room(self, expected: int, where: str) -> None:
        """Raises: StoreError where a write of so many bytes is bound to fail."""
        if self.limit and self.used + expected > self.limit:
            raise errors.no_memory(where)
