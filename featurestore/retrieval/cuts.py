"""Cut the relations of a build by key, into files of its work folder, when they are first asked for.

A source is cut piece by piece, some of its files at a time: what is finished of it need not be done again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from featurestore.compiler.duckdb import partitions as sql
from featurestore.compiler.duckdb import relation, sql_type
from featurestore.dtypes import DType
from featurestore.engines.duckdb import Session, reading
from featurestore.failpoints import reach
from featurestore.plan.needed import Needed, union
from featurestore.plan.nodes import Part, StaticLookup, chain_of
from featurestore.progress import Progress, Watcher
from featurestore.retrieval.work_folder import WorkFolder
from featurestore.sources import SourceData

PIECE_ROWS = 10_000_000
"""A piece of a source has at least so many rows, if it has so many."""


def digest(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Cut:
    """Of a source what all parts need that ask for the same keys. part: one of them."""

    part: Part
    columns: Mapping[str, DType]
    needed: Needed

    @property
    def source(self) -> str:
        return sql.rows_of(self.part).source.name

    @cached_property
    def name(self) -> str:
        return f"source-{digest(_cut_by(self.part), sorted((n, t.name) for n, t in self.columns.items()), self.needed)}"


def _cut_by(part: Part) -> tuple[object, ...]:
    """What parts have in common that can share a cut."""
    versions = () if isinstance(part, StaticLookup) else chain_of(part.facts)[1]
    row_key = versions.row_key if versions else ()
    return sql.rows_of(part).source.name, tuple((k.source_column, k.dtype.name) for k in sql.source_keys(part)), row_key


class Cuts:
    """The relations of partitions, bound one partition after the other."""

    def __init__(
        self, session: Session, work: WorkFolder, number: int, sources: Mapping[str, SourceData],
        parts: Sequence[tuple[Part, Needed]], watch: Watcher,
    ) -> None:  # fmt: skip
        self._session, self._work, self._number, self._watch = session, work, number, watch
        self._sources = sources
        self._cuts: dict[tuple[object, ...], Cut] = {}
        for part, needed in parts:
            if sql.source_keys(part):
                self._add(part, needed)

    def _add(self, part: Part, needed: Needed) -> None:
        before = self._cuts.get(_cut_by(part))
        columns = {c.name: c.dtype for c in sql.rows_of(part).columns}
        if before is not None:
            columns = {**before.columns, **columns}
            needed = union([before.needed, needed])
        self._cuts[_cut_by(part)] = Cut(part, columns, needed)

    def make(self, part: Part, spine: Callable[[], pa.Table]) -> None:
        """Cut what a part reads, as far as that has not been done. spine: the whole of it."""
        self._make_spine(part, spine)
        self._make_source(self._cuts[_cut_by(part)])

    def bind(self, session: Session, part: Part, partition: int) -> None:
        """Make a partition of the spine and of the part's source known to a session. They have been made."""
        cut, root = self._cuts[_cut_by(part)], self._work.path
        session.bind_files("spine", _files(root, [_spine_name(part)], partition), sql.spine_types(part))
        files = _files(root, [name for name, _ in self._pieces(cut)], partition)
        session.bind_files(relation(sql.rows_of(part).source), files, self._types(cut))

    def drop(self) -> None:
        """What was cut is needed no more."""
        for path in [*self._work.path.glob("source-*"), *self._work.path.glob("spine-*")]:
            self._work.drop(path.name)

    def _types(self, cut: Cut) -> dict[str, str]:
        data = self._sources[cut.source]
        columns = reading.columns_bound(data, list(cut.columns))
        return {c: sql_type(reading.target_type(data.source, c, cut.columns)) for c in columns}

    def _make_spine(self, part: Part, spine: Callable[[], pa.Table]) -> None:
        if not self._work.has(_spine_name(part)):
            self._watch(Progress("cutting the spine by key"))
            self._session.bind("spine", spine())
            with self._work.making(_spine_name(part)) as folder:
                self._copy(sql.cut_spine(part, self._number), folder)

    def _make_source(self, cut: Cut) -> None:
        left = [(name, piece) for name, piece in self._pieces(cut) if not self._work.has(name)]
        if left:
            self._cut(cut, left)

    def _pieces(self, cut: Cut) -> list[tuple[str, SourceData]]:
        return [(f"{cut.name}-{number}", piece) for number, piece in enumerate(_pieces(self._sources[cut.source]))]

    def _cut(self, cut: Cut, left: Sequence[tuple[str, SourceData]]) -> None:
        stage, rows = f"cutting source {cut.source} by key", self._sources[cut.source].rows
        done = rows - sum(piece.rows for _, piece in left)
        self._watch(Progress(stage, done, rows))
        moved = sql.moved_versions(cut.part, self._number)
        if moved is not None:
            self._bind(cut, self._sources[cut.source])
            self._session.execute(f"CREATE OR REPLACE TEMP TABLE {sql.MOVED} AS\n{moved}")
        with ThreadPoolExecutor(1, "cut") as disk:  # it has its own pace: while a piece gets there, the next one is cut
            kept = []
            for name, piece in left:
                self._bind(cut, piece)
                columns = reading.columns_bound(piece, list(cut.columns))
                with self._work.written(name) as folder:
                    self._copy(sql.cut_source(cut.part, columns, self._number), folder)
                kept.append(disk.submit(self._keep, name))
                done += piece.rows
                self._watch(Progress(stage, done, rows))
            for piece_kept in kept:
                piece_kept.result()
        if moved is not None:
            self._session.execute(f"DROP TABLE {sql.MOVED}")

    def _bind(self, cut: Cut, data: SourceData) -> None:
        self._session.bind_source(data, list(cut.columns), cut.columns, needed=cut.needed)

    def _keep(self, name: str) -> None:
        self._work.keep(name)
        reach("partition.cut")

    def _copy(self, select: str, folder: Path) -> None:
        folder.mkdir()
        self._session.execute(sql.copied(select, str(folder)))


def _spine_name(part: Part) -> str:
    keys = [(k.name, k.spine_column, k.dtype.name) for k in part.spine.keys]
    return f"spine-{digest(keys, part.spine.ahead)}"


def _pieces(data: SourceData) -> Iterator[SourceData]:
    """The source, so many of its files at a time that they hold PIECE_ROWS."""
    parts, rows = [], 0
    for part in data.parts:
        parts.append(part)
        rows += part.rows
        if rows >= PIECE_ROWS:
            yield replace(data, parts=tuple(parts))
            parts, rows = [], 0
    if parts:
        yield replace(data, parts=tuple(parts))


def _files(root: Path, folders: Sequence[str], partition: int) -> list[Path]:
    return sorted(path for folder in folders for path in (root / folder / f"{sql.PARTITION}={partition}").glob("*.parquet"))
