"""Remove rows that no catalog names: of tables that were dropped, and of writes that failed or were killed.

The set `garbage` lists their tags; a tag is in it before its first row is written, and leaves it only in the transaction
that names it in the catalog. A tag may be swept if no write is making it (`staging`) and then, looked at afterwards, the
catalog does not name it: a write whose staging key has gone can no longer commit.
"""

from __future__ import annotations

from collections.abc import Collection

from featurestore.online.redis.layout import Layout, Table
from featurestore.online.redis.links import Link

_STEP = 1_000


def sweep(link: Link, layout: Layout, given_up: Collection[str] = ()) -> None:
    """Remove what nobody needs. given_up: tags of a write that has ended without a commit. Raises: redis-py's exceptions."""
    if given_up:
        link.ask(b"DEL", *map(layout.staging, given_up))
    tags = sorted(tag.decode() for tag in link.ask(b"SMEMBERS", layout.garbage))
    tags = [tag for tag in tags if not link.ask(b"EXISTS", layout.staging(tag))]
    if not tags:
        return
    named = {Table.from_bytes(raw).tag for raw in link.ask(b"HVALS", layout.tables)}
    for tag in tags:
        if tag not in named:
            _remove(link, layout.rows(tag) + b"*")
            link.ask(b"SREM", layout.garbage, tag.encode())


def _remove(link: Link, pattern: bytes) -> None:
    """In steps that hold nobody up: each looks at a thousand keys, and memory is freed in the background."""
    cursor = b"0"
    while True:
        cursor, names = link.ask(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % _STEP)
        if names:
            link.ask(b"UNLINK", *names)
        if cursor == b"0":
            return
