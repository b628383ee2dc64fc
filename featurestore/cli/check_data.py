"""The rows of every source, for `featurestore check --data`: what is wrong is collected, what is doubtful is warned of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from featurestore.cli import show
from featurestore.errors import DefinitionError, FeatureStoreError, nearest

if TYPE_CHECKING:
    from featurestore.definitions import Source
    from featurestore.dtypes import DType
    from featurestore.engines.duckdb import Session
    from featurestore.engines.duckdb.profile import Lateness
    from featurestore.progress import Watcher
    from featurestore.registry import BoundFacts
    from featurestore.sources import SourceData
    from featurestore.store import FeatureStore


class SourceCheck:
    """One source. views: those of its views that are sound. found: the answer, as far as it was come to."""

    def __init__(
        self,
        store: FeatureStore,
        source: Source,
        views: Mapping[str, BoundFacts],
        warn: Callable[[str], None],
        add: Callable[[FeatureStoreError], None],
        watch: Watcher,
    ) -> None:
        self.store, self.source, self.views = store, source, views
        self.warn, self.add, self.watch = warn, add, watch
        self.found: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Schema, then pages, then rows: rows that cannot be read are not counted."""
        from featurestore.sources import reading

        with reading():
            try:
                self._run(self.store.source(self.source.name))
            except FeatureStoreError as error:
                self.add(error)
        return self.found

    def _run(self, data: SourceData) -> None:
        types = self._types(data)
        self.found |= {"rows": data.rows, "files": len(data.files), "columns": list(types)}
        if not any([*map(self._noted, data.problems(list(types))), *map(self._noted, self._damaged(data, list(types)))]):
            self._rows(data, types)

    def _noted(self, error: FeatureStoreError) -> bool:
        self.add(error)
        return True

    def _types(self, data: SourceData) -> dict[str, DType]:
        """Of every column that is used: declared, read by a view, or a time that may tell more. Raises: DefinitionError
        FS203."""
        from featurestore.engines.duckdb.profile import other_times

        source, types = self.source, data.types
        for column in source.declared_columns:
            if column not in types:
                what, hint = f"source {source.name!r} has no column {column!r}", nearest(column, types)
                raise DefinitionError("FS203", what, where=source.place, known=types, hint=hint)
        registry = self.store.registry
        views = [v for v in (*registry.views.values(), *registry.labels.values()) if v.source is source]
        expected = [e.column for e in source.expectations if e.column is not None]
        used = [*source.declared_columns, *expected, *(c for v in views for c in v.columns), *(source.schema or ())]
        return {c: types[c] for c in dict.fromkeys([*used, *other_times(source, types)]) if c in types}

    def _damaged(self, data: SourceData, columns: list[str]) -> Iterator[FeatureStoreError]:
        from featurestore.progress import Progress
        from featurestore.sources.pages import damaged

        for number, part in enumerate(data.parts):
            self.watch(Progress(f"pages of source {self.source.name}", number, len(data.parts)))
            yield from damaged(part, columns)

    def _rows(self, data: SourceData, types: dict[str, DType]) -> None:
        from featurestore.engines.duckdb import Session
        from featurestore.engines.duckdb.profile import Profile
        from featurestore.progress import Progress

        self.watch(Progress(f"rows of source {self.source.name}"))
        keys = list(dict.fromkeys(bound.view.key_columns for bound in self.views.values()))
        with Session(self.store.engine_settings()) as session:
            self._expectations(session, data)
            profile = Profile(session, data, types, keys, self.store.clock.now())
            self.found |= profile.to_dict()
            self._advise(profile.candidates)
            self.found["left_out"] = {}
            for name, bound in self.views.items():
                self._view(session, name, bound, data)

    def _expectations(self, session: Session, data: SourceData) -> None:
        judge = self.store.judge()
        if not self.source.expectations:
            judge.clear(data)
            return
        judgement = judge.judge(session, data, examples=True)
        self.found |= judgement.to_dict()
        for error in judgement.errors:
            self.add(error)
        for warning in judgement.warnings:
            self.warn(warning)

    def _view(self, session: Session, name: str, bound: BoundFacts, data: SourceData) -> None:
        from featurestore import plan as planning
        from featurestore.engines.duckdb.checks import check_left_out, check_static
        from featurestore.plan.nodes import StaticLookup

        try:
            counts = check_left_out(session, bound, data)
            self.found["left_out"][name] = counts.left_out
            for warning in counts.warnings:
                self.warn(warning)
            facts = planning.facts_read(bound)
            if isinstance(facts, StaticLookup):
                check_static(session, facts)
        except FeatureStoreError as error:
            self.add(error)

    def _advise(self, candidates: tuple[Lateness, ...]) -> None:
        """Say what is doubtful in what was found."""
        for time, read in (("event", "event_time"), ("known", "known_time")):
            if future := self.found.get(read, {}).get("future", 0):
                self._doubt(f"{future:,} rows lie after now by their {time} time, the last at {self.found[read]['last']}")
        for key in self.found["keys"]:
            if key["repeated"] and not self.source.row_key:
                self._advise_of_repeated(key)
        for lateness in candidates:
            self._advise_of_loading(lateness)

    def _doubt(self, what: str) -> None:
        self.warn(f"source {self.source.name}: {what}")

    def _advise_of_repeated(self, key: Mapping[str, Any]) -> None:
        told = " and ".join([*key["columns"], *self.source.time_columns[:1]])
        groups = f"{key['repeated']:,} groups, of at most {key['most']:,}"
        meaning = "" if self.source.static else ": each is a fact, unless row_key says which are versions of one"
        self._doubt(f"{key['rows_repeated']:,} rows share {told} with another ({groups}){meaning}")

    def _advise_of_loading(self, lateness: Lateness) -> None:
        """A column of times after the events is, perhaps, when the rows were loaded."""
        delay, loaded = self.source.delay, lateness.column
        hint = f'created_timestamp="{loaded}", or delay="{lateness.suggested}", which covers 99 % of the rows'
        if delay is None:
            self._doubt(f"if {loaded} tells when rows became known, declare it: {hint}")
        elif lateness.late:
            late = show.share(lateness.late, lateness.rows)
            self._doubt(f"if {loaded} tells when rows became known, delay={delay} is too short for {late} of them: {hint}")
