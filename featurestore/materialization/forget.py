"""Forget an entity: take its records out of the online store, and say who could bring them back.

Decides where a key can be: in the tables of every generation, live and kept, with what lies beside them; in half-written
tables, which are dropped whole; in push logs, out of which its rows are taken for good; and in the sources' own files, which
are not ours to change and are only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import RequestError, SourceError
from featurestore.failpoints import reach
from featurestore.materialization import applying
from featurestore.online import runs, tables
from featurestore.online.codec import decode_key, encode_key, encode_keys, is_digest, parted, storage_key
from featurestore.online.generations import (
    KEYED,
    Generation,
    Metas,
    change,
    generations,
    kept_generations,
    push_codec,
    sweep_tables,
)
from featurestore.online.pushes import Version
from featurestore.online.store import Batch, OnlineStore, Snapshot
from featurestore.online.tables import ABSENT
from featurestore.registry import BoundFacts, BoundRegistry
from featurestore.sources import Part, SourceData
from featurestore.sources.push_compaction import without
from featurestore.sources.quarantine import remove

KeyColumns = tuple[tuple[str, str, str], ...]
"""Of a source: join key, column, family."""


@dataclass
class Forgotten:
    """What was forgotten, and who still knows.

    removed: [{"view", "generation", "kept", "records"}] of generations that held records. sources: [{"source", "file",
    "rows"}]: the next run that reads these rows brings the key back. logs: [{"source", "rows"}] taken out of push logs.
    unreadable: of what older featurestores wrote, or was pushed to keys nobody has a record of, what is kept under a digest: in
    views with further keys nobody can say whose it is.
    """

    entity: str
    key: dict[str, Any]
    removed: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    unreadable: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def forget(
    registry: BoundRegistry,
    sources: Callable[[str], SourceData],
    store: OnlineStore | None,
    entity: str,
    key: Mapping[str, object],
    push_folder: Callable[[str], Path | None],
    quarantine: Path | None = None,
) -> Forgotten:
    """Take every record out of the store, and every row out of the push logs, whose key columns of these names have these
    values.

    key: a value for each of the entity's join keys. Views with further keys lose every record that has these among them.
    store: None where there is none yet; then the sources alone are looked through. quarantine: the folder of rows set aside;
    what it holds of the entity's sources goes as a whole, for the next look at them writes it again.
    Raises: RequestError FS502, FS504 for a key that is not the entity's; StoreLocked FS401; SourceError.
    """
    _check(registry, entity, key)
    told = Forgotten(entity, dict(key))
    with nullcontext() if store is None else store.lock():  # a run that still reads the rows would bring the key back
        told.logs = list(_in_logs(registry, key, push_folder))
        if quarantine is not None:
            for source, _ in _asked(registry, key):
                remove(quarantine / f"{source}.parquet")
        if store is not None:
            _from_store(store, key, told)
    told.sources = list(_in_sources(registry, sources, key))
    return told


def families(registry: BoundRegistry, entity: str) -> dict[str, str]:
    """The family of each join key, as the first view of the entity has it; of an entity no view has, text."""
    names = registry.registry.entities[entity].join_keys
    found = {key.name: key.family for facts in reversed(_facts(registry)) for key in facts.keys}
    return {name: found.get(name, "text") for name in names}


def _check(registry: BoundRegistry, entity: str, key: Mapping[str, object]) -> None:
    wanted = families(registry, entity)
    if set(key) != set(wanted):
        raise RequestError(
            "FS502", f"a key of entity {entity!r} has the columns {', '.join(wanted)}, got {', '.join(key) or 'none'}",
            known=wanted,
        )  # fmt: skip
    for name, family in wanted.items():
        try:
            encode_key([key[name]], [family])
        except ValueError as error:
            raise RequestError("FS504", f"key {name!r} takes {family}: {error}") from error


def _in_logs(
    registry: BoundRegistry, key: Mapping[str, object], push_folder: Callable[[str], Path | None]
) -> Iterator[dict[str, Any]]:
    """Take the key's rows out of the push logs."""
    for source, columns in _asked(registry, key):
        folder = push_folder(source)
        gone = 0 if folder is None else without(folder, partial(_is_key, columns=columns, key=key))
        if gone:
            yield {"source": source, "rows": gone}


# The store.


def _from_store(store: OnlineStore, key: Mapping[str, object], told: Forgotten) -> None:
    with store.read(locked=True) as snapshot:
        found = {(one.name, one.fingerprint, one.number): _held(snapshot, one, key, told) for one, _ in _made(snapshot)}

    def fill(batch: Batch) -> None:
        told.removed = []
        for left in runs.all_running(batch):
            runs.give_up(batch, left.view)
        for one, kept in _made(batch):  # as they are now: a push may have come meanwhile
            held = found[one.name, one.fingerprint, one.number]
            if one.undo:  # what it had would come back with it
                batch.delete(one.undo, [*held.keys, *held.rows])
                continue
            tables.replace(batch, one.table, ((k, ABSENT) for k in (*held.keys, *held.rows)))
            if held.keys:
                change(batch, replace(one, keys=batch.count(one.table)), kept=kept)
            pushed = applying.forget(batch, one, held.owner.has) if one.pushed and held.owner is not None else ()
            records = len({*held.keys, *pushed})
            if records:
                told.removed.append({"view": one.name, "generation": one.number, "kept": kept, "records": records})
        reach("forget.removed")

    store.write(fill)
    reach("forget.done")
    sweep_tables(store)


def _made(metas: Metas) -> list[tuple[Generation, bool]]:
    """The generations of all views, live ones and then those kept (True)."""
    live = generations(metas)
    return [(one, False) for one in live] + [(one, True) for of in live for one in kept_generations(metas, of)]


@dataclass(frozen=True)
class _Held:
    """What a generation holds of a key: storage keys of records, and keys of rows that are its facts, in its own table or in
    the one that undoes a step. owner: tells what else is the key's; None where the view has no such keys."""

    owner: _Owner | None = None
    keys: list[bytes] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)


def _held(snapshot: Snapshot, made: Generation, key: Mapping[str, object], told: Forgotten) -> _Held:
    owner = _Owner.of(made, key, told)
    if owner is None:
        return _Held()
    table = made.undo or made.table
    held = _Held(owner, owner.keys(snapshot, table))
    if made.push:
        held.rows.extend(owner.rows(snapshot, made.undo or tables.rows_of(table), push_codec(made).row))
    return held


class _Owner:
    """Whose records and rows of a view are asked for. whole: the storage key, if all its parts are given."""

    def __init__(self, families: Sequence[str], parts: Mapping[int, bytes], told: Forgotten, *, keyed: bool) -> None:
        self._families, self._parts, self._told, self._keyed = families, parts, told, keyed
        self._met, self._found = set[bytes](), set[bytes]()  # digests whose record was met, and those of keys that are theirs
        all_given = len(parts) == len(families)
        self._whole = storage_key(b"".join(parts[i] for i in range(len(families)))) if all_given else None

    @classmethod
    def of(cls, made: Generation, key: Mapping[str, object], told: Forgotten) -> _Owner | None:
        """None where the view has no such key columns, or keys of other families: none of them is this one."""
        columns = [(column["name"], column["family"]) for column in made.view["keys"]]
        wanted = {i: key[name] for i, (name, _) in enumerate(columns) if name in key}
        if len(wanted) < len(key):
            return None
        try:
            parts = {i: encode_key([value], [columns[i][1]]) for i, value in wanted.items()}
        except ValueError:
            return None
        return cls([family for _, family in columns], parts, told, keyed=made.format >= KEYED)

    def keys(self, snapshot: Snapshot, table: str) -> list[bytes]:
        """The storage keys in a table."""
        if self._whole is not None:
            return [] if snapshot.get(table, [self._whole]) == [None] else [self._whole]
        return [bytes(key) for key, stored in snapshot.scan(table) if self._is_theirs(bytes(key), stored)]

    def rows(self, snapshot: Snapshot, table: str, decode: Callable[[bytes], Version]) -> Iterator[bytes]:
        """The keys of rows in a table that are facts of such a storage key."""
        for row, stored in snapshot.scan(table, tables.ROW):
            owner = decode(bytes(stored)).key if tables.is_row(row) and stored else None
            if owner is not None and self.has(owner):
                yield bytes(row)

    def has(self, key: bytes) -> bool:
        """Whether a storage key is theirs. A digest can be told if `keys` has met its record."""
        if is_digest(key) and self._whole is None and key not in self._met:
            self._told.unreadable += 1
        return key in self._found or key == self._whole or self._has_short(key)

    def _is_theirs(self, key: bytes, stored: bytes) -> bool:
        if not is_digest(key):
            return self._has_short(key)
        if not self._keyed or not stored:
            self._told.unreadable += 1
            return False
        self._met.add(key)
        found = self._has(parted(stored)[1])
        if found:
            self._found.add(key)
        return found

    def _has_short(self, key: bytes) -> bool:
        return self._whole is None and key[:1] == b"\0" and self._has(key[1:])

    def _has(self, encoded: bytes) -> bool:
        values = decode_key(encoded, self._families)
        return all(encode_key([values[i]], [self._families[i]]) == part for i, part in self._parts.items())


# The sources.


def _in_sources(
    registry: BoundRegistry, sources: Callable[[str], SourceData], key: Mapping[str, object]
) -> Iterator[dict[str, Any]]:
    for source, columns in _asked(registry, key):
        for part in sources(source).parts:
            rows = _rows(part, columns, key)
            if rows:
                yield {"source": source, "file": part.name, "rows": rows}


def _asked(registry: BoundRegistry, key: Mapping[str, object]) -> list[tuple[str, KeyColumns]]:
    """The sources of views that have all of the key's columns, and which of their columns these are; each once."""
    found: dict[tuple[str, KeyColumns], None] = {}
    for facts in _facts(registry):
        columns = tuple((k.name, k.column, k.family) for k in facts.keys if k.name in key)
        if len(columns) == len(key):
            found[facts.view.source.name, columns] = None
    return list(found)


def _rows(part: Part, columns: KeyColumns, key: Mapping[str, object]) -> int:
    """How many rows of a file have the key."""
    try:
        names = dict.fromkeys(c for _, c, _ in columns)
        if not names.keys() <= set(part.schema.names):
            return 0
        batches = part.read(list(names))
        return sum(pc.sum(_is_key(batch, columns, key)).as_py() or 0 for batch in batches)
    except (pa.ArrowException, OSError) as error:
        raise SourceError("FS325", f"cannot be read: {str(error).splitlines()[0]}", where=part.name) from error


def _is_key(rows: pa.RecordBatch | pa.Table, columns: KeyColumns, key: Mapping[str, object]) -> pa.Array:
    """Which rows have the key. Keys compare as the store's do, whatever the width or encoding of a column."""
    of = [family for _, _, family in columns]
    if not {c for _, c, _ in columns} <= set(rows.schema.names):  # rows of before there was such a column
        return pa.array([False] * rows.num_rows, pa.bool_())
    try:
        wanted = pa.scalar(encode_key([key[name] for name, _, _ in columns], of), pa.binary())
    except ValueError:  # a key of another family: none of them is this one
        return pa.array([False] * rows.num_rows, pa.bool_())
    return pc.fill_null(pc.equal(encode_keys([rows.column(c) for _, c, _ in columns], of), wanted), False)


def _facts(registry: BoundRegistry) -> list[BoundFacts]:
    return [*registry.views.values(), *registry.labels.values()]
