"""What a store remembers of generations that are live no more: their watermark and source state, without their records.

So what was answered long ago can still be held against the truth of then. A state names every file, and most are those of the
next generation as well: it is told by what it has in common with that one. Remembered are the generations of a definition
that is still in use, for `SPAN` of watermarks.

    past    view + 00 + fingerprint + 00 + number (8 bytes, big-endian) -> JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from featurestore.intervals import MICROS_PER_DAY

FORMAT = 1
TABLE = "past"
SPAN = 35 * MICROS_PER_DAY
"""As long as a serve log is kept by default, and a little longer."""

State = Sequence[Mapping[str, Any]]
"""Entries of a source state, as a generation has them."""


class Told(Protocol):
    """What of a generation is remembered."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def watermark(self) -> int: ...

    @property
    def state(self) -> tuple[Mapping[str, Any], ...]: ...

    @property
    def log(self) -> str: ...

    @property
    def applied(self) -> int: ...


class Scanned(Protocol):
    def scan(self, table: str, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]: ...


class Written(Scanned, Protocol):
    def put(self, table: str, items: Sequence[tuple[bytes, bytes]]) -> None: ...

    def delete(self, table: str, keys: Sequence[bytes]) -> None: ...


def remember(batch: Written, former: Told, other: Told) -> None:
    """Keep in mind a generation in whose place another comes; forget those that are long past."""
    told = {
        "format": FORMAT,
        "number": former.number,
        "watermark": former.watermark,
        "log": former.log,
        "applied": former.applied,
        "of": other.number,
        "state": in_common(former.state, other.state),
    }
    batch.put(TABLE, [(_prefix(former) + former.number.to_bytes(8, "big"), json.dumps(told, sort_keys=True).encode())])
    old = []
    for key, one in _of(batch, former):
        if one["watermark"] >= other.watermark - SPAN:
            break
        old.append(key)
    batch.delete(TABLE, old)


def forget(batch: Written, made: Told) -> None:
    """Forget all generations of a view by one definition."""
    batch.delete(TABLE, [key for key, _ in _of(batch, made)])


def remembered(snapshot: Scanned, known: Sequence[Told]) -> list[dict[str, Any]]:
    """What is remembered of generations of the same view and definition as these (at least one), newest first: number,
    watermark, log, applied, and state, put together from theirs."""
    states: dict[int, State] = {made.number: made.state for made in known}
    waiting = [told for _, told in _of(snapshot, known[0]) if told["number"] not in states][::-1]
    found = []
    while waiting:  # once, but for generations that were turned back to
        rest = []
        for told in waiting:
            if told["of"] not in states:
                rest.append(told)
                continue
            states[told["number"]] = whole(told["state"], states[told["of"]])
            found.append({**told, "state": states[told["number"]]})
        if len(rest) == len(waiting):
            break
        waiting = rest
    return sorted(found, key=lambda told: -told["number"])


def kept_of(scanned: Scanned, name: str, fingerprint: str, after: int) -> list[bytes]:
    """What is remembered of the generations of a view by one definition whose numbers are above `after`, oldest first, as it is
    kept: see `number_and_watermark`."""
    return [value for _, value in _scan(scanned, _prefix_of(name, fingerprint), after.to_bytes(8, "big"))]


def number_and_watermark(raw: bytes) -> tuple[int, int] | None:
    """(number, watermark) of what is kept; None of a newer format."""
    one = json.loads(raw)
    return (one["number"], one["watermark"]) if one["format"] <= FORMAT else None


def in_common(state: State, other: State) -> list[Any]:
    """A state as stretches [from, to) of another, and entries that the other does not have, in their order."""
    places = {_text(entry): i for i, entry in enumerate(other)}
    told: list[Any] = []
    for entry in state:
        at = places.get(_text(entry))
        if at is None:
            told.append(entry)
        elif told and isinstance(told[-1], list) and told[-1][1] == at:
            told[-1][1] = at + 1
        else:
            told.append([at, at + 1])
    return told


def whole(told: Sequence[Any], other: State) -> tuple[Mapping[str, Any], ...]:
    """What `in_common` was given."""
    parts = (other[part[0] : part[1]] if isinstance(part, list) else [part] for part in told)
    return tuple(entry for part in parts for entry in part)


def _text(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True)


def _of(scanned: Scanned, made: Told) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Oldest first; a newer format is left out: it can tell more, and nothing here depends on it."""
    for key, value in _scan(scanned, _prefix(made)):
        told = json.loads(value)
        if told["format"] <= FORMAT:
            yield key, told


def _scan(scanned: Scanned, prefix: bytes, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """What is kept under a prefix, from the key after `after` on."""
    for key, value in scanned.scan(TABLE, prefix + after):
        if not bytes(key).startswith(prefix):
            return
        yield bytes(key), bytes(value)


def _prefix(made: Told) -> bytes:
    return _prefix_of(made.name, made.fingerprint)


def _prefix_of(name: str, fingerprint: str) -> bytes:
    return f"{name}\0{fingerprint}\0".encode()


__all__ = ["SPAN", "TABLE", "forget", "in_common", "kept_of", "remember", "remembered", "number_and_watermark", "whole"]
