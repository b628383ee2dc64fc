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
from featurestore.online import runs, tables
from featurestore.online.codec import decode_key, encode_key, encode_keys, storage_key
from featurestore.online.generations import Generation, change, generations, kept_generations, sweep_tables
from featurestore.online.store import Batch, OnlineStore, Snapshot
from featurestore.online.tables import ABSENT
from featurestore.registry import BoundFacts, BoundRegistry
from featurestore.sources import Part, SourceData
from featurestore.sources.push_compaction import without

KeyColumns = tuple[tuple[str, str, str], ...]
"""Of a source: join key, column, family."""


@dataclass
class Forgotten:
    """What was forgotten, and who still knows.

    removed: [{"view", "generation", "kept", "records"}] of generations that held records. sources: [{"source", "file",
    "rows"}]: the next run that reads these rows brings the key back. logs: [{"source", "rows"}] taken out of push logs.
    unreadable: records of views with further keys whose key is too long to be read back, so that nobody can say whose they are.
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
) -> Forgotten:
    """Take every record out of the store, and every row out of the push logs, whose key columns of these names have these
    values.

    key: a value for each of the entity's join keys. Views with further keys lose every record that has these among them.
    store: None where there is none yet; then the sources alone are looked through.
    Raises: RequestError FS502, FS504 for a key that is not the entity's; StoreLocked FS401; SourceError.
    """
    _check(registry, entity, key)
    told = Forgotten(entity, dict(key))
    with nullcontext() if store is None else store.lock():  # a run that still reads the rows would bring the key back
        told.logs = list(_in_logs(registry, key, push_folder))
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
    with store.read() as snapshot:
        live = generations(snapshot)
        made = [(one, False) for one in live] + [(one, True) for of in live for one in kept_generations(snapshot, of)]
        found = {}
        for one, _ in made:
            for table in (one.table, one.undo):
                if table and table not in found:
                    found[table] = _stored(snapshot, one, table, key, told)

    def fill(batch: Batch) -> None:
        told.removed = []
        for left in runs.all_running(batch):
            runs.give_up(batch, left.view)
        for one, kept in made:
            if one.undo:  # what it had would come back with it
                batch.delete(one.undo, found[one.undo])
                continue
            gone = tables.replace(batch, one.table, ((k, ABSENT) for k in found[one.table]))
            if gone:
                change(batch, replace(one, keys=batch.count(one.table)), kept=kept)
                told.removed.append({"view": one.name, "generation": one.number, "kept": kept, "records": len(gone)})
        reach("forget.removed")

    store.write(fill)
    reach("forget.done")
    sweep_tables(store)


def _stored(snapshot: Snapshot, made: Generation, table: str, key: Mapping[str, object], told: Forgotten) -> list[bytes]:
    """The storage keys of a table that have these values."""
    columns = [(column["name"], column["family"]) for column in made.view["keys"]]
    wanted = {i: key[name] for i, (name, _) in enumerate(columns) if name in key}
    if len(wanted) < len(key):
        return []
    try:
        parts = {i: encode_key([value], [columns[i][1]]) for i, value in wanted.items()}
    except ValueError:  # keys of another family: none of them is this one
        return []
    if len(parts) == len(columns):
        whole = storage_key(b"".join(parts[i] for i in range(len(columns))))
        return [whole] if snapshot.get(table, [whole]) != [None] else []
    return list(_matching(snapshot, table, [family for _, family in columns], parts, told))


def _matching(
    snapshot: Snapshot, table: str, families: Sequence[str], parts: Mapping[int, bytes], told: Forgotten
) -> Iterator[bytes]:
    for stored, _ in snapshot.scan(table):
        if stored[:1] != b"\0":
            told.unreadable += 1
            continue
        values = decode_key(stored[1:], families)
        if all(encode_key([values[i]], [families[i]]) == part for i, part in parts.items()):
            yield bytes(stored)


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
