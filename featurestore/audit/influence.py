"""Which source rows moved a value: each row in reach is left out once, and the feature computed without it.

For n rows asked, each with r source rows in reach, that are n (r + 1) cases of r rows each: cost grows with n r². Cases are
answered many at a time (`cases`); how far a value moves is `influences.distance`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from featurestore.audit.asking import asking
from featurestore.audit.cases import Case, Cases, Place
from featurestore.audit.influences import Asked, Influence, Influences, Overall, SourceRow, distance, readable
from featurestore.audit.narrowed import narrowed
from featurestore.audit.probes import key_array
from featurestore.audit.truth import bits, stored
from featurestore.definitions import OnDemandInstance, Source, ViewInstance
from featurestore.dtypes import DType
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import DataError, RequestError, UnknownName, UsageError, nearest
from featurestore.intervals import format_instant
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundService
from featurestore.retrieval.build import open_all
from featurestore.retrieval.spine import Spine, instants
from featurestore.retrieval.training_set import Build, Request
from featurestore.sources import SourceData

ROWS = 10_000
"""How many rows of a spine are asked; of a larger one so many, evenly spread."""
REACH = 10_000
"""How many source rows are left out of one value: the newest."""
TOP = 20


def only(service: BoundService, feature: str) -> BoundService:
    """The service with nothing but a feature, by its name there. Raises: UnknownName FS101, UsageError FS138 for a label."""
    if feature in service.label_types:
        what = f"{feature!r} is a label, which looks ahead"
        raise UsageError("FS138", what, known=service.feature_types, hint="a feature")
    known = service.feature_types
    if feature not in known:
        raise UnknownName("FS101", f"unknown feature {feature!r}", known=known, hint=nearest(feature, known))
    kept: list[ViewInstance | OnDemandInstance] = []
    for given in service.service.features:
        for column, chosen in given.features:
            if column == feature:
                kept.append(given[[chosen if isinstance(chosen, str) else chosen.name]])
    return narrowed(service, kept)


def one_row(service: BoundService, keys: Mapping[str, Any], given: Mapping[str, Any], as_of: int) -> pa.Table:
    """A spine of one row that asks at an instant. given: what on-demand features take from the request.

    Raises: RequestError FS502 (a key or request column is missing), FS504 (a value of another type).
    """
    columns = {"as_of": pa.array([as_of], pa.int64()).cast(pa.timestamp("us", "UTC"))}
    for what, names, values in (("key", service.key_columns, keys), ("request column", service.request, given)):
        for name in names:
            if name not in values:
                raise RequestError("FS502", f"missing {what} {name!r}", known=list(names), hint=f"{name}=…")
    for name, key in service.key_columns.items():
        columns[name] = _array(name, keys[name], partial(key_array, family=key.family))
    for name, dtype in service.request.items():
        columns[name] = _array(name, given[name], partial(pa.array, type=dtype.arrow))
    return pa.table(columns)


def _array(name: str, value: Any, made: Callable[[list[Any]], pa.Array]) -> pa.Array:
    try:
        return made([value])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise RequestError("FS504", f"{name!r} cannot be {value!r}", hint="a value of its type") from None


def influence(
    service: BoundService,
    feature: str,
    spine: Any,
    *,
    sources: Callable[[Source], SourceData],
    settings: Settings,
    request: Request,
    top: int = TOP,
    most: int = REACH,
    watch: Watcher | None = None,
) -> Influences:
    """Leave out what rows of a spine look at. service: what `only` gives. most: how many source rows of one value.

    Raises: UsageError FS102, SpineError, SourceError, DataError, StoreError; nothing but temporary files is written.
    """
    for option, number in (("--top", top), ("--reach", most)):
        if number < 1:
            raise UsageError("FS102", f"{option} {number} is below 1", hint=f"{option} 20")
    opened, data = open_all(service, spine, sources, request.as_of)
    with Session(settings) as session:
        numbers, asked = asking(opened, service, request.as_of, ROWS)
        run = _Run(service, feature, asked, numbers, request, top, watch or (lambda _: None))
        run.take_values(data, settings)
        return run.result(Cases(session, service, feature, asked, data, settings, request), opened.rows, most)


@dataclass(frozen=True)
class _Left:
    """A value without a source row: how far it moves, and whether to or from NULL."""

    place: Place
    without: Any
    moves: float
    null: bool

    @property
    def rank(self) -> tuple[Any, ...]:
        """To and from NULL first, then the farthest, then as they lie in their files."""
        return not self.null, -self.moves, self.place.source, self.place.part, self.place.row


@dataclass
class _Run:
    """One question: a feature, the rows asked and their values."""

    service: BoundService
    feature: str
    spine: Spine
    numbers: Sequence[int]
    request: Request
    top: int
    watch: Watcher

    def take_values(self, data: Mapping[str, SourceData], settings: Settings) -> None:
        """The values that are, from a build over the untouched sources."""
        self.watch(Progress("building the values"))
        request = self.request
        self._at = instants(self.spine, request.as_of, timezone=request.timezone, as_of_format=request.as_of_format)
        with Build(self.service, self.spine, data, settings, self.request) as build:
            self._values = [v for batch in build.batches() for v in stored(batch[self.feature])]

    def result(self, cases: Cases, spine_rows: int, most: int) -> Influences:
        dtype = self.service.feature_types[self.feature]
        tried = [_newest(cases.reach(n), most) for n in range(self.spine.rows)]
        every: list[Case] = [(n, place) for n, places in enumerate(tried) for place in (None, *places)]
        found: list[list[_Left]] = [[] for _ in tried]
        done = 0
        for chunk in cases.chunks(every):
            self.watch(Progress("leaving rows out", done, len(every)))
            for (n, place), without in zip(chunk, cases.values(chunk), strict=True):
                if place is None:
                    self._check(n, without)
                else:
                    found[n].append(self._left(place, self._values[n], without, dtype))
            done += len(chunk)
        self.watch(Progress("leaving rows out", done, len(every)))
        overall = self._overall(found)
        best = [heapq.nsmallest(self.top, one, key=lambda left: left.rank) for one in found]
        named = self._named(cases, {left.place for one in best for left in one} | {place for place, _ in overall})
        rows = [self._row(n, one, len(cases.reach(n)), len(tried[n]), named) for n, one in enumerate(best)]
        summed = [Overall(named[place], *told) for place, told in overall]
        return Influences(self.service.name, self.feature, spine_rows, rows, summed)

    def _left(self, place: Place, value: Any, without: Any, dtype: DType) -> _Left:
        far = distance(value, without, numeric=dtype.is_numeric)
        return _Left(place, without, far, (value is None) != (without is None))

    def _check(self, n: int, value: Any) -> None:
        """Nothing left out, the rows in reach must give the value that is."""
        if bits(value) != bits(self._values[n]):
            what = f"the rows in reach of {self.feature!r} give {value!r} in spine row {n}, and all rows {self._values[n]!r}"
            raise DataError("FS139", what, hint="a report with the view's definition")

    def _overall(self, found: Sequence[Sequence[_Left]]) -> list[tuple[Place, tuple[int, float, int]]]:
        """The places that move most in sum: (values moved, sum, of them to or from NULL)."""
        moved: dict[Place, list[_Left]] = {}
        for left in (each for one in found for each in one if each.moves):
            moved.setdefault(left.place, []).append(left)
        told = [(p, (len(all_), _sum(a.moves for a in all_), sum(a.null for a in all_))) for p, all_ in moved.items()]
        return heapq.nsmallest(self.top, told, key=lambda t: (-t[1][1], -t[1][0], *_order(t[0])))

    def _named(self, cases: Cases, places: set[Place]) -> dict[Place, SourceRow]:
        listed = sorted(places, key=_order)
        return {
            place: SourceRow(cases.names[place.source], cases.file(place), place.row, _time(place.e), _time(place.k), values)
            for place, values in zip(listed, cases.rows(listed), strict=True)
        }

    def _row(self, n: int, best: Sequence[_Left], reach: int, tried: int, named: Mapping[Place, SourceRow]) -> Asked:
        assert self.spine.table is not None
        dtype = self.service.feature_types[self.feature]
        keys = {name: self.spine.table[name][n].as_py() for name in self.service.key_columns}
        rows = [Influence(named[b.place], readable(b.without, dtype), b.moves, b.null) for b in best]
        at = format_instant(self._at[n].as_py())
        return Asked(self.numbers[n], keys, at, readable(self._values[n], dtype), reach, tried, rows)


def _sum(distances: Iterable[float]) -> float:
    try:
        return math.fsum(distances)
    except OverflowError:
        return math.inf


def _newest(places: Sequence[Place], most: int) -> list[Place]:
    return sorted(places, key=lambda p: -math.inf if p.e is None else p.e, reverse=True)[:most]


def _order(place: Place) -> tuple[int, int, int]:
    return place.source, place.part, place.row


def _time(micros: int | None) -> str | None:
    return None if micros is None else format_instant(micros)


__all__ = ["REACH", "ROWS", "TOP", "influence", "one_row", "only"]
