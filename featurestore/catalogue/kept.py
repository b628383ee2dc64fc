"""The catalogue in an online store: one compressed document in a table of its own, told of by one meta.

It is written when it has changed, in a write of its own after a view of a run was published, and read as a whole. Documents
of generations and services know nothing of it: a store without one answers look-ups all the same.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from featurestore.catalogue.entries import Catalogue, Entry
from featurestore.online.store import Batch, OnlineStore, Snapshot

FORMAT = 1
META, TABLE, KEY = "catalogue", "catalogue", b"document"
MOST_BYTES = 32_000_000
"""Of the document as JSON. Beyond it the longest texts are left out, then all, then the document."""


@dataclass(frozen=True)
class Raw:
    """A catalogue as it is kept. digest: tells one from the next."""

    digest: str
    body: bytes


def keep(store: OnlineStore, outline: str, made: Callable[[], Mapping[str, Any]]) -> bool:
    """Keep a document, if the one that is kept was made of something else. Returns: whether it was.

    outline: a digest of all that the document is made of, which costs less than to make it.
    """
    with store.read() as snapshot:
        known = _meta(snapshot)
    if known is not None and (known["outline"] == outline or known["format"] > FORMAT):
        return False
    body = packed(made())
    digest = hashlib.sha256(body).hexdigest()[:16]
    meta = json.dumps({"format": FORMAT, "outline": outline, "digest": digest}, sort_keys=True).encode()

    def fill(batch: Batch) -> None:
        batch.drop(TABLE)
        batch.put(TABLE, [(KEY, body)])
        batch.put_meta(META, meta)

    store.write(fill, expected_bytes=len(body))
    return True


def raw_of(snapshot: Snapshot, known: Raw | None = None) -> Raw | None:
    """What is kept: `known` itself if that is still it; None where nothing is, or only what a newer featurestore can read."""
    meta = _meta(snapshot)
    if meta is None or meta["format"] > FORMAT:
        return None
    if known is not None and known.digest == meta["digest"]:
        return known
    (body,) = snapshot.get(TABLE, [KEY])
    return None if body is None else Raw(meta["digest"], bytes(body))


def read(raw: Raw) -> Catalogue:
    """The catalogue. Raises: ValueError for bytes that are none."""
    unpacking = zlib.decompressobj()
    try:
        given = unpacking.decompress(raw.body, MOST_BYTES + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(given) > MOST_BYTES or not unpacking.eof:
        raise ValueError("the catalogue is too large, or cut off")
    return Catalogue(map(_entry, json.loads(given)["entries"]))


def _entry(given: Mapping[str, Any]) -> Entry:
    return Entry(**{**given, "uses": tuple((kind, name) for kind, name in given.get("uses", ()))})


def packed(document: Mapping[str, Any]) -> bytes:
    """The document as it is kept, with as many of its texts as there is room for."""
    body = _json(document)
    if len(body) > MOST_BYTES:
        body = _json(without_longest(document, len(body) - MOST_BYTES * 9 // 10))
    return zlib.compress(body, 6)


def without_longest(document: Mapping[str, Any], spared: int) -> dict[str, Any]:
    """The document without its longest texts, until so many bytes are spared or none is left."""
    sizes = sorted(
        ((len(text.encode()), n, name) for n, e in enumerate(document["entries"]) for name, text in e.get("texts", {}).items()),
        reverse=True,
    )
    dropped: dict[int, set[str]] = {}
    for size, n, name in sizes:
        if spared <= 0:
            break
        dropped.setdefault(n, set()).add(name)
        spared -= size
    entries = [
        {**e, "texts": {name: text for name, text in e["texts"].items() if name not in dropped[n]}} if n in dropped else e
        for n, e in enumerate(document["entries"])
    ]
    return {**document, "entries": entries}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _meta(snapshot: Snapshot) -> dict[str, Any] | None:
    raw = snapshot.meta(META)
    if raw is None:
        return None
    given: dict[str, Any] = json.loads(raw)
    return {"format": 0, "outline": "", "digest": "", **given}


__all__ = ["FORMAT", "MOST_BYTES", "Raw", "keep", "packed", "raw_of", "read", "without_longest"]
