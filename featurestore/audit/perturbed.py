"""Draw what is asked up to which instant, and change what nobody may see by then: sources and spines for probes of leaks.

A probe has a pivot: the columns of the spine by which some views are looked up. For every combination of them an instant is
drawn from the spine; rows asked later are left away, and rows of the sources that count only later are fair game. The pivot
without columns is the whole spine at one instant. What is done to a row is `compiler.duckdb.perturbed`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pyarrow as pa

from featurestore.audit.narrowed import narrowed, read_by
from featurestore.audit.rewritten import columns_read, part_of, rewrite
from featurestore.compiler.duckdb import perturbed as sql
from featurestore.definitions import OnDemandInstance, ViewInstance
from featurestore.engines.duckdb import Session
from featurestore.registry import BoundInstance, BoundService, BoundView
from featurestore.retrieval.spine import Spine, instants, key_column
from featurestore.retrieval.training_set import Request
from featurestore.sources import Part, SourceData

WHOLE = "the whole spine"


@dataclass(frozen=True)
class Pivot:
    """service: the views (and what is made of them on demand) that are looked up by these columns of the spine, all of them
    if `columns` is None; its labels left away, for they look ahead."""

    columns: tuple[str, ...] | None
    service: BoundService

    def __str__(self) -> str:
        return WHOLE if self.columns is None else ", ".join(self.columns) or "one global row"

    @property
    def instances(self) -> tuple[BoundInstance[BoundView], ...]:
        """Those with a history."""
        return tuple(i for i in self.service.instances if not i.bound.view.source.static)


def pivots(service: BoundService) -> list[Pivot]:
    """By which columns views with a history are looked up, each once; the whole spine last."""
    found: dict[tuple[str, ...], Pivot] = {}
    for instance in service.instances:
        columns = _pivot_of(instance.instance)
        if columns is not None and columns not in found:
            kept = [given for given in service.service.features if _only(given, columns)]
            if kept:
                found[columns] = Pivot(columns, narrowed(service, kept))
    return [*found.values(), Pivot(None, narrowed(service, service.service.features))]


def _pivot_of(instance: ViewInstance) -> tuple[str, ...] | None:
    return None if instance.view.source.static else tuple(sorted(set(instance.key_columns)))


def _only(given: ViewInstance | OnDemandInstance, columns: tuple[str, ...]) -> bool:
    read = read_by(given)
    return bool(read) and all(_pivot_of(i) == columns for i in read)


@dataclass(frozen=True)
class Drawn:
    """The rows of the spine that a probe asks, by number, and per source how its rows are found and until when seen."""

    rows: pa.Array
    lookups: Mapping[str, tuple[sql.Lookup, ...]]


class Workbench:
    """A service's spine and sources, rewritten once, and what is made of them probe by probe in the session's folder."""

    def __init__(
        self, session: Session, service: BoundService, spine: Spine, sources: Mapping[str, SourceData], request: Request
    ) -> None:
        self._session, self._sources = session, sources
        self._numbers = count()
        self._at = instants(spine, request.as_of, timezone=request.timezone, as_of_format=request.as_of_format)
        self._keys = {
            (column, key.dtype.name): key_column(spine, column, key.dtype) for i in service.instances for column, key in i.keys
        }
        views: dict[str, list[BoundView]] = {}
        for instance in (*service.instances, *service.labels):
            views.setdefault(instance.bound.view.source.name, []).append(instance.bound)  # type: ignore[arg-type]
        self._columns = {name: columns_read(bound) for name, bound in views.items()}
        self._paths = {name: self._path(name) for name in views}
        for name, path in self._paths.items():
            rewrite(sources[name], self._columns[name], path)

    # What is asked.

    def draw(self, pivot: Pivot, seed: int) -> Drawn:
        """An instant for each combination of the pivot's columns, from the rows that ask for it."""
        names = {which: f"c{i}" for i, which in enumerate(self._keys)}
        whole = pa.table(
            {"row_id": pa.arange(0, len(self._at)), "asked_at": self._at} | {names[w]: keys for w, keys in self._keys.items()}
        )
        by = [next(names[which] for which in names if which[0] == column) for column in pivot.columns or ()]
        self._session.bind("spine", whole)
        rows = self._session.table(sql.kept_rows(by), {"seed": seed})["row_id"].combine_chunks()
        self._session.bind("spine", whole.take(rows))
        lookups: dict[str, dict[tuple[object, ...], sql.Lookup]] = {}
        for instance in pivot.instances:
            keys = () if pivot.columns is None else instance.keys
            asked = [names[column, key.dtype.name] for column, key in keys]
            columns = tuple((key.column, key.dtype) for _, key in keys)
            exact = instance.bound.view.allow_exact_matches
            known = lookups.setdefault(instance.bound.view.source.name, {})
            if (*asked, columns, exact) not in known:
                name = f"limits_{next(self._numbers)}"
                self._session.bind(name, self._session.table(sql.limits(asked, exact)))
                known[*asked, columns, exact] = sql.Lookup(columns, name, tuple(key.column for key in instance.bound.keys))
        return Drawn(rows, {name: tuple(found.values()) for name, found in lookups.items()})

    # What it is asked of.

    def perturbed(
        self, kind: str, drawn: Drawn, seed: int, *, control: bool = False
    ) -> tuple[dict[str, SourceData], dict[str, int]]:
        """The sources with rows changed in one way, and how many rows of each were."""
        changed, touched = {}, {}
        for name, lookups in drawn.lookups.items():
            path = self._path(f"{name}_{kind}")
            statement = sql.KINDS[kind](self._perturbation(name, lookups, seed, control))
            self._write(statement, path)
            counted = f"SELECT count(*) AS n, count(*) FILTER ({sql.TOUCHED}) AS touched FROM read_parquet('{_literal(path)}')"
            told = self._session.table(counted).to_pylist()[0]
            touched[name] = self._sources[name].rows - told["n"] if kind == "deleted" else told["touched"]
            changed[name] = self._data(name, [part_of(path)])
        return {**self._sources, **changed}, touched

    def shuffled(self, files: int, seed: int) -> dict[str, SourceData]:
        """The sources with their rows in another order, in some files each."""
        found = {}
        for name in self._paths:
            parts = []
            for number in range(files):
                path = self._path(f"{name}_{number}")
                self._write(sql.shuffled(self._perturbation(name, (), seed, False), files, number), path)
                parts.append(part_of(path))
            found[name] = self._data(name, parts)
        return found

    def forget(self, sources: Mapping[str, SourceData]) -> None:
        """Remove the files that were made for a probe."""
        for name, data in sources.items():
            for part in data.parts if data is not self._sources[name] else ():
                assert part.file is not None
                Path(part.file.location).unlink()

    def _perturbation(self, name: str, lookups: tuple[sql.Lookup, ...], seed: int, control: bool) -> sql.Perturbation:
        data = self._sources[name]
        pushed = data.pushed is not None
        return sql.Perturbation(data.source, self._columns[name], str(self._paths[name]), lookups, seed, pushed, control)

    def _write(self, statement: str, path: Path) -> None:
        self._session.execute(f"COPY (\n{statement}\n) TO '{_literal(path)}' (FORMAT parquet, COMPRESSION zstd)")

    def _data(self, name: str, parts: Sequence[Part]) -> SourceData:
        return replace(self._sources[name], parts=tuple(parts))

    def _path(self, what: str) -> Path:
        return self._session.folder / f"{what}_{next(self._numbers)}.parquet"


def _literal(path: Path) -> str:
    return str(path).replace("'", "''")


__all__ = ["Drawn", "Pivot", "Workbench", "pivots"]
