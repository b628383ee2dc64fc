"""Leave rows out, many at a time: each case is one row asked without one source row, and has a number that is one more key.

The definitions get that key, the sources are written once per case, and one build answers all cases. So it is F itself that
says what a value is without a row; there is no second evaluator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.audit.influences import OVERFLOW
from featurestore.audit.rewritten import columns_read, part_of, rewrite
from featurestore.audit.truth import stored
from featurestore.compiler.duckdb import influence as sql
from featurestore.definitions import Entity, FeatureService, FeatureView, OnDemandInstance, Source, ViewInstance
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import INT64, DType
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import DataError
from featurestore.intervals import format_instant
from featurestore.registry import BoundInstance, BoundService, BoundView, Registry
from featurestore.retrieval.spine import Spine, instants, key_column, spine_of
from featurestore.retrieval.training_set import Build, Request
from featurestore.sources import SourceData

AT_ONCE = 2_000_000
"""How many source rows are written for one build."""


@dataclass(frozen=True)
class Place:
    """Where a source row is: the number of its source, of the part there, and of the row in it; and its times."""

    source: int
    part: int
    row: int
    e: int | None = None
    k: int | None = None


Case = tuple[int, Place | None]
"""Which row asked, and what is left out."""


class Cases:
    """One feature of a service that computes nothing else, over some rows that ask."""

    def __init__(
        self, session: Session, service: BoundService, feature: str, spine: Spine, sources: Mapping[str, SourceData],
        settings: Settings, request: Request,
    ) -> None:  # fmt: skip
        assert spine.table is not None
        self._session, self._service, self._feature = session, service, feature
        self._spine, self._table, self._settings, self._request = spine, spine.table, settings, request
        self.names = tuple(dict.fromkeys(i.bound.view.source.name for i in service.instances))
        self._data = [sources[name] for name in self.names]
        self._numbers = count()
        views = [[i.bound for i in service.instances if i.bound.view.source.name == name] for name in self.names]
        self.columns = [columns_read(bound) for bound in views]
        self._paths = [str(session.folder / f"source_{n}.parquet") for n in range(len(self.names))]
        for data, columns, path in zip(self._data, self.columns, self._paths, strict=True):
            rewrite(data, columns, session.folder / path)
        taken = {c.lower() for columns in self.columns for c in columns} | {c.lower() for c in self._table.column_names}
        self._case = next(n for n in (f"case_{i}" for i in count()) if n not in taken and n != feature)
        self._numbered = _numbered(service, self._case, dict(zip(self.names, self.columns, strict=True)))
        self._at = instants(spine, request.as_of, timezone=request.timezone, as_of_format=request.as_of_format)
        self._reach = [self._reached(number) for number in range(len(self.names))]

    # What is in reach.

    def reach(self, n: int) -> list[Place]:
        """The source rows that a row asked looks at, the newest of each source first."""
        return [place for reach in self._reach for place in reach.get(n, ())]

    def _reached(self, number: int) -> dict[int, list[Place]]:
        """And what is in reach as a relation, for the cases."""
        found: dict[tuple[int, int, int], tuple[int | None, int | None]] = {}
        for instance in self._service.instances:
            if instance.bound.view.source.name == self.names[number]:
                columns = {"n": pa.arange(0, self._spine.rows), "asked_at": self._at}
                for i, (column, key) in enumerate(instance.keys):
                    columns[f"key_{i}"] = key_column(self._spine, column, key.dtype)
                self._session.bind("asked", pa.table(columns))
                told = self._session.table(sql.reached(self._asked(number, instance)))
                for n, part, row, e, k in zip(*(c.to_pylist() for c in told.columns), strict=True):
                    found[n, part, row] = e, k
        places = [list(column) for column in zip(*found, strict=True)] or [[], [], []]
        named = pa.table({name: pa.array(v, pa.int64()) for name, v in zip(("n", "part", "row"), places, strict=True)})
        self._session.bind(f"reach_{number}", named)
        reach: dict[int, list[Place]] = {}
        for (n, part, row), (e, k) in found.items():
            reach.setdefault(n, []).append(Place(number, part, row, e, k))
        return reach

    def _asked(self, number: int, instance: BoundInstance[BoundView]) -> sql.Reached:
        view = instance.bound.view
        features = [f for _, f, _ in instance.computed]
        oldest = [None if f.window is None else f.window.micros + f.offset.micros for f in features if not f.is_latest]
        oldest += [None if view.ttl is None else view.ttl.micros for f in features if f.is_latest]
        return sql.Reached(
            view.source, self._paths[number], self._data[number].pushed is not None,
            tuple((key.column, key.dtype) for _, key in instance.keys),
            tuple((c, instance.bound.types[c]) for c in view.source.row_key), view.allow_exact_matches,
            since=None if None in oldest else max(o for o in oldest if o is not None),
            until=min(0 if f.is_latest else f.offset.micros for f in features),
            since_counts=any(f.is_latest for f in features),
        )  # fmt: skip

    # What is left without a row.

    def values(self, cases: Sequence[Case]) -> list[Any]:
        """The feature's value in each case, as the online store gives values; OVERFLOW where its type cannot hold it."""
        try:
            return self._built(cases)
        except DataError as error:
            if error.code != "FS307":
                raise
            if len(cases) == 1:
                return [OVERFLOW]
        half = len(cases) // 2
        return [*self.values(cases[:half]), *self.values(cases[half:])]

    def _built(self, cases: Sequence[Case]) -> list[Any]:
        left = [place for _, place in cases]
        table = {"number": pa.arange(0, len(cases)), "n": pa.array([n for n, _ in cases], pa.int64())}
        for part in ("source", "part", "row"):
            table[part] = pa.array([None if place is None else getattr(place, part) for place in left], pa.int64())
        self._session.bind("cases", pa.table(table))
        sources = {name: self._left_out(number) for number, name in enumerate(self.names)}
        asked = self._table.take(table["n"]).append_column(self._case, table["number"])
        spine = spine_of(asked.combine_chunks())
        try:
            with Build(self._numbered, spine, sources, self._settings, self._request) as build:
                return [v for batch in build.batches() for v in stored(batch[self._feature])]
        finally:
            for data in sources.values():
                for made in data.parts:
                    Path(made.file.location).unlink()  # type: ignore[union-attr]

    def _left_out(self, number: int) -> SourceData:
        data = self._data[number]
        columns = [*self.columns[number], *([PUSHED_AT] if data.pushed is not None else [])]
        path = self._session.folder / f"left_out_{next(self._numbers)}.parquet"
        statement = sql.left_out(self._paths[number], columns, self._case, number)
        self._session.execute(f"COPY (\n{statement}\n) TO '{str(path).replace(chr(39), 2 * chr(39))}' (FORMAT parquet)")
        return SourceData(self._numbered.sources[self.names[number]], (part_of(path),), data.pushed)

    def chunks(self, cases: Iterable[Case]) -> Iterable[list[Case]]:
        """The cases in lists of which each writes about AT_ONCE source rows."""
        chunk, rows = list[Case](), 0
        for case in cases:
            chunk.append(case)
            rows += len(self.reach(case[0])) + 1
            if rows >= AT_ONCE:
                yield chunk
                chunk, rows = [], 0
        if chunk:
            yield chunk

    # What the rows are.

    def rows(self, places: Sequence[Place]) -> list[dict[str, Any]]:
        """What some rows hold, in order, of the columns that are read, their times apart."""
        found: list[dict[str, Any]] = [{} for _ in places]
        for number, columns in enumerate(self.columns):
            mine = [i for i, place in enumerate(places) if place.source == number]
            named = {"place": pa.array(mine, pa.int64())}
            named |= {what: pa.array([getattr(places[i], what) for i in mine], pa.int64()) for what in ("part", "row")}
            self._session.bind("named", pa.table(named))
            held = [c for c in columns if c not in self._data[number].source.time_columns]
            told = self._session.table(sql.rows_named(self._paths[number], held))
            names = told.column_names[1:]
            for place, *values in zip(*(column.to_pylist() for column in told.columns), strict=True):
                found[place] = dict(zip(names, values, strict=True))
        return found

    def file(self, place: Place) -> str:
        return self._data[place.source].parts[place.part].name


def _numbered(service: BoundService, case: str, types: Mapping[str, Mapping[str, DType]]) -> BoundService:
    """The service with the number of a case as one more key of each of its views, and of the facts of its sources."""
    entity = Entity(name=case, join_keys=[case])
    sources: dict[str, Source] = {}
    views: dict[str, FeatureView] = {}

    def source_of(source: Source) -> Source:
        if source.name not in sources:
            first, end = source.time_range
            sources[source.name] = replace(
                source, row_key=[*source.row_key, case] if source.row_key else (), schema={**types[source.name], case: INT64},
                time_range=(format_instant(first), format_instant(end - 1)), allow_left_out=True,
            )  # fmt: skip
        return sources[source.name]

    def instance_of(given: ViewInstance) -> ViewInstance:
        view = given.view
        assert isinstance(view, FeatureView)
        if view.name not in views:
            views[view.name] = replace(view, entities=[*view.entities, entity], source=source_of(view.source))
        return replace(given, view=views[view.name])

    def given_of(given: ViewInstance | OnDemandInstance) -> ViewInstance | OnDemandInstance:
        if isinstance(given, ViewInstance):
            return instance_of(given)
        return replace(given, view=replace(given.view, inputs=[instance_of(i) for i in given.view.inputs]))

    asked = FeatureService(name=service.name, features=[given_of(given) for given in service.service.features])
    schemas = {name: source.schema or {} for name, source in Registry.of([asked]).sources.items()}
    return Registry.of([asked]).bind(schemas).services[service.name]


__all__ = ["Case", "Cases", "Place"]
