"""Ask F again for some features and rows of a training set under audit: at other instants, under other rules, and which facts
of a source lie around an instant or have a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from featurestore import plan as planning
from featurestore.audit.judged import AS_OF
from featurestore.audit.narrowed import narrowed
from featurestore.audit.whys import Why
from featurestore.compiler import duckdb as sql
from featurestore.definitions import OnDemandInstance, ViewInstance
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import pushed_to
from featurestore.errors import DataError
from featurestore.plan.nodes import Latest, TrainingSet, Window, chain_of
from featurestore.registry import BoundService
from featurestore.retrieval.spine import key_column, spine_of
from featurestore.retrieval.training_set import Build, Request
from featurestore.sources import SourceData

Timed = Latest | Window
Columns = Mapping[str, pa.Array]
Given = list[dict[str, pa.Array]]
_NEVER = 2**60
"""An instant, in microseconds, after which there is no fact; before the same with a minus there is none."""
_TIME = pa.timestamp("us", "UTC")
_OVERFLOWS = ("FS306", "FS307")


@dataclass(frozen=True)
class Asking:
    """service: without labels. questions: of all rows of the file keys, what is taken from the request, and AS_OF.
    known_before, serving_lag: microseconds, as the file was built with."""

    service: BoundService
    questions: pa.Table
    sources: Mapping[str, SourceData]
    settings: Settings
    known_before: int | None = None
    serving_lag: int = 0

    def answers(self, names: Sequence[str], rows: pa.Array, whys: Sequence[Why], instants: Sequence[pa.Array]) -> Given | None:
        """What explanations of one kind (`Why.rules`) give: for each, {feature: its value per row}.

        instants: for each explanation an instant per row, in microseconds; NULL: as_of itself.
        None where a sum leaves its type at one of these instants: then nothing can be said.
        """
        service, why = of_features(self.service, names), whys[0]
        keys = self.questions.take(rows)
        own = keys[AS_OF].cast(pa.int64()).combine_chunks()
        asked = pa.concat_tables([_at(keys, pc.coalesce(at, own)) for at in instants]).combine_chunks()
        needed = [*service.spine_keys, *service.request, AS_OF]
        known_before, lag = (None, 0) if why.is_leak else (self.known_before, self.serving_lag)
        request = Request(as_of=AS_OF, known_before=known_before, serving_lag=lag + why.lag)
        sources = {name: self.sources[name] for name in service.sources}
        try:
            with Build(service, spine_of(asked.select(needed)), sources, self.settings, request, replan=why.replan) as build:
                found = pa.concat_tables(list(build.batches())).select(list(names)).combine_chunks()
        except DataError as error:
            if error.code not in _OVERFLOWS:
                raise
            return None
        parts = [found.slice(number * len(rows), len(rows)) for number in range(len(instants))]
        return [{name: part[name].combine_chunks() for name in names} for part in parts]

    @property
    def is_bounded(self) -> bool:
        return self.known_before is not None or self.serving_lag > 0

    def events(self, feature: str, rows: pa.Array) -> pa.Array:
        """The event time of the fact, expired or not, that a latest value comes from, in microseconds; NULL without one."""
        service = of_features(self.service, [feature])
        asked = self.questions.take(rows).select([*service.spine_keys, AS_OF])
        request = Request(
            as_of=AS_OF, known_before=self.known_before, serving_lag=self.serving_lag, include=("event_timestamp",)
        )
        sources = {name: self.sources[name] for name in service.sources}
        with Build(service, spine_of(asked), sources, self.settings, request, replan=_unchanged) as build:
            found = pa.concat_tables(list(build.batches()))
        return found[f"{feature}__event_timestamp"].cast(pa.int64()).combine_chunks()

    def landmarks(self, part: Timed, rows: pa.Array) -> dict[str, pa.Array]:
        """{name: an instant per row, in microseconds, NULL where there is none}: those of `compiler.duckdb.LANDMARKS`, and the
        last event of the row's key (last_of_key) and of all keys asked for (last_of_all)."""
        with self._session(part, rows, {}) as session:
            found = {which: session.table(sql.landmark(part, which)) for which in sql.LANDMARKS}
            end = pa.repeat(pa.scalar(_NEVER), len(rows))
            session.bind(sql.CELLS, self._cells(part, rows, {}, end))
            found["last_of_key"] = session.table(sql.landmark(part, "last_event"))
        marks = {which: _in_order(table, len(rows))["at"].combine_chunks() for which, table in found.items()}
        return {**marks, "last_of_all": pa.repeat(pc.max(marks["last_of_key"]), len(rows))}

    def steps(self, part: Timed, rows: pa.Array, which: str, count: int) -> list[pa.Array]:
        """The landmarks of one name one after the other, away from as_of: an instant per row each, NULL beyond the last."""
        found: list[pa.Array] = []
        forth, exact = which.startswith("next"), part.facts.exact
        on = (0 if exact else 1) if forth else (-1 if exact else 0)  # so that the landmark found is not found again
        with self._session(part, rows, {}) as session:
            for _ in range(count):
                at = _in_order(session.table(sql.landmark(part, which)), len(rows))["at"].combine_chunks()
                if at.null_count == len(at):
                    break
                found.append(at)
                beyond = pa.scalar(_NEVER if forth else -_NEVER)
                session.bind(sql.CELLS, self._cells(part, rows, {}, pc.coalesce(pc.add(at, on), beyond)))
        return found

    def holders(
        self, part: Timed, feature: str | None, rows: pa.Array, cells: Columns, *, tied: bool = False, placed: bool = False
    ) -> pa.Table:
        """What `compiler.duckdb.holders` says, a row for each row asked for. cells: `truth_event`, and `found`."""
        output = next((o for o in part.outputs if o.name == feature), None)
        with self._session(part, rows, cells, placed=placed) as session:
            return _in_order(session.table(sql.holders(part, output, tied=tied, placed=placed)), len(rows))

    def source_of(self, part: Timed) -> SourceData:
        return self.sources[chain_of(part.facts)[0].rows.source.name]

    def _session(self, part: Timed, rows: pa.Array, cells: Columns, *, placed: bool = False) -> Session:
        """One in which the part's source and the relation `cells` are bound."""
        session = Session(self.settings)
        columns = {c.name: c.dtype for c in chain_of(part.facts)[0].rows.columns}
        bind = session.bind_numbered if placed else session.bind_source
        bind(self.source_of(part), list(columns), columns)
        session.bind(sql.CELLS, self._cells(part, rows, cells))
        return session

    def _cells(self, part: Timed, rows: pa.Array, more: Columns, at: pa.Array | None = None) -> pa.Table:
        asked = self.questions.take(rows)
        at = asked[AS_OF].cast(pa.int64()) if at is None else at
        relation = {"row_id": pa.arange(0, len(rows)), "asked_at": at, "known_by": self._known_by(at, part), **more}
        for key in part.spine.keys:
            relation[f"key_{key.name}"] = key_column(spine_of(asked), key.spine_column, key.dtype)
        if not part.spine.keys:
            relation["key_all"] = pa.repeat(pa.scalar(0, pa.int32()), len(rows))
        return pa.table(relation)

    def _known_by(self, at: pa.Array, part: Timed) -> pa.Array:
        """Before when a fact must be known to count, in microseconds: the boundary, the cut-off, the serving lag."""
        known_by = pc.add(at, int(part.facts.exact))
        if self.serving_lag:
            known_by = pc.subtract(at, self.serving_lag)
        return known_by if self.known_before is None else pc.min_element_wise(known_by, self.known_before)

    def parts(self, instance: str) -> list[Timed]:
        """The parts of a view instance that have a history, over the data that is there."""
        return [p.part for p in self._plan.parts if p.instance == instance and isinstance(p.part, Latest | Window)]

    @cached_property
    def _plan(self) -> TrainingSet:
        return planning.with_pushed(planning.training_set(self.service), pushed_to(self.sources))


def _unchanged(plan: TrainingSet) -> TrainingSet:
    """The same question, of sources that were checked before."""
    return plan


def of_features(service: BoundService, names: Sequence[str]) -> BoundService:
    """The service with some of its features alone, by name, and no labels."""
    kept: list[ViewInstance | OnDemandInstance] = []
    for given in service.service.features:
        chosen = tuple(f if isinstance(f, str) else f.name for column, f in given.features if column in names)
        if chosen:
            kept.append(replace(given, chosen=chosen))
    return narrowed(service, kept)


def _at(keys: pa.Table, at: pa.Array) -> pa.Table:
    return keys.set_column(keys.column_names.index(AS_OF), AS_OF, at.cast(_TIME))


def _in_order(table: pa.Table, rows: int) -> pa.Table:
    """The rows of a statement by `row_id`, one for each row asked for, NULL where the statement gave none."""
    asked = pa.table({"row_id": pa.arange(0, rows)})
    table = table.set_column(0, "row_id", table["row_id"].cast(pa.int64()))
    return asked.join(table, keys="row_id", join_type="left outer").sort_by("row_id")


__all__ = ["Asking", "Given", "Timed", "of_features"]
