"""FeatureStore: a project, or definitions in a notebook, wired to an engine and an online store. Wiring only."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore import config as settings
from featurestore import discovery
from featurestore.definitions import Definition, FeatureService
from featurestore.dtypes import DType, parse_dtype
from featurestore.errors import NOT_THERE, DefinitionError, FeatureStoreError, SourceError, StoreError, UsageError
from featurestore.intervals import (
    FOREVER,
    MICROS_PER_SECOND,
    Clock,
    SystemClock,
    format_instant,
    parse_duration,
    parse_formatted,
    parse_instant,
)
from featurestore.openlineage.observed import observed
from featurestore.registry import MANIFEST_FORMAT, BoundRegistry, BoundService, Registry, known
from featurestore.sources import IdentityCache, SourceData, open_source, reading

if TYPE_CHECKING:
    import pyarrow as pa

    from featurestore.audit.diff import Difference
    from featurestore.audit.findings import Audit
    from featurestore.audit.influences import Influences
    from featurestore.audit.offline import Offline
    from featurestore.audit.proof import Proof
    from featurestore.audit.rebuild import Rebuilt
    from featurestore.audit.report import Verification
    from featurestore.backfill import Backfilled
    from featurestore.engines.duckdb import Settings
    from featurestore.engines.duckdb.expectations import Judge
    from featurestore.engines.spark import SparkSettings
    from featurestore.materialization import ViewReport
    from featurestore.materialization.forget import Forgotten
    from featurestore.materialization.upkeep import Collected, RolledBack
    from featurestore.monitoring.drift import Comparison, Windows
    from featurestore.monitoring.monitor import Check, Monitor
    from featurestore.monitoring.performance import Performance
    from featurestore.monitoring.results import Result
    from featurestore.monitoring.retrain import Decision
    from featurestore.monitoring.skew import Skew
    from featurestore.online.store import OnlineStore
    from featurestore.plan.flow import Flow
    from featurestore.progress import Progress
    from featurestore.retrieval.online_features import OnlineFeatures, OnlineReader
    from featurestore.retrieval.splits import Split
    from featurestore.retrieval.training_set import Report
    from featurestore.retrieval.window_plans import Chosen
    from featurestore.sources.push_compaction import Folded
    from featurestore.sources.push_log import PushLog
    from featurestore.sources.push_rows import PushTarget


class FeatureStore:
    """A feature store over a project folder, or over definitions alone.

    Args:
        project: the folder that holds featurestore.toml (or one below it).
        definitions: services, views, … instead of a folder; nothing is then read from or written to disk but the
            sources' files (paths relative to the working directory), and the online store lives in memory.
        clock: who tells the time; the system's by default.
    Raises: UsageError FS107 (no project or bad settings), DefinitionError.
    """

    def __init__(
        self,
        project: str | Path | None = None,
        *,
        definitions: Iterable[Definition] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if (project is None) == (definitions is None):
            raise UsageError("FS107", "give either a project folder or definitions", hint='FeatureStore(".")')
        self.root = None if project is None else settings.find_project(Path(project).resolve())
        self.config = settings.load(self.root)
        self.clock: Clock = clock or SystemClock()
        self._push_logs: dict[str, PushLog] = {}
        self._push_logs_lock = threading.Lock()
        self._definitions = None if definitions is None else list(discovery.definitions_in(list(definitions)))

    # What the project holds.

    @cached_property
    def registry(self) -> Registry:
        """The definitions, cross-checked."""
        if self._definitions is not None:
            return Registry.of(self._definitions)
        assert self.root is not None
        return discovery.load(self.root / self.config.project.registry)

    @cached_property
    def bound(self) -> BoundRegistry:
        """The definitions with the sources' column types: declared, else from the files, else from sql/manifest.json."""
        return self.registry.bind({name: self.types_of(name) for name in self.registry.sources})

    def source(self, name: str) -> SourceData:
        """A source's files and what was pushed to it, as they are now, frozen. Raises: SourceError FS321, FS325, FS342."""
        return self.source_of(self.registry.sources[name])

    @reading()
    def types_of(self, name: str) -> Mapping[str, DType]:
        """A source's column types: declared, else from its files, else from sql/manifest.json. Raises: SourceError."""
        source = self.registry.sources[name]
        if source.schema is not None:
            return source.schema
        try:
            return open_source(source, self._base).types
        except (SourceError, StoreError) as error:
            committed = self._committed_types().get(name)
            if error.code not in NOT_THERE or committed is None:
                raise
            return {column: parse_dtype(t) for column, t in committed.items()}

    def _committed_types(self) -> Mapping[str, Mapping[str, str]]:
        path = None if self.root is None else self.sql_folder / "manifest.json"
        if path is None or not path.is_file():
            return {}
        try:
            committed = json.loads(path.read_text(encoding="utf-8"))
            newer = committed["format"] > MANIFEST_FORMAT
            sources: Mapping[str, Mapping[str, str]] = committed["sources"]
        except (ValueError, KeyError, TypeError) as error:
            where = f"{path.parent.name}/{path.name}"
            raise DefinitionError("FS222", "the manifest cannot be read", where=where, hint="featurestore compile") from error
        if newer:
            what = f"the manifest has format {committed['format']}, this featurestore reads {MANIFEST_FORMAT}"
            raise DefinitionError("FS222", what, where=f"{path.parent.name}/{path.name}", hint="a newer featurestore")
        return sources

    @property
    def _base(self) -> Path:
        return self.root or Path.cwd()

    @property
    def _log_folder(self) -> Path:
        """Where what was served is logged."""
        return self._base / self.config.serve_log.path

    @property
    def _results_folder(self) -> Path:
        """Where results of monitoring are kept."""
        return self._base / self.config.monitor.path

    @property
    def sql_folder(self) -> Path:
        """Where compiled SQL lies."""
        return self._base / self.config.project.sql

    # Training sets.

    @reading()
    @observed("build")
    def build_training_set(
        self,
        service: str | FeatureService,
        spine: Any,
        *,
        as_of: str = "as_of",
        timezone: str = "UTC",
        as_of_format: str | None = None,
        known_before: str | int | None = None,
        serving_lag: Any = None,
        include: Sequence[str] = (),
        label: str | None = None,
        split: Split | None = None,
        engine: str | None = None,
        memory_limit: str | None = None,
        temp_directory: str | Path | None = None,
        partitions: int | None = None,
        output: str | Path | None = None,
        watch: Callable[[Progress], None] | None = None,
        report: Callable[[Report], None] | None = None,
    ) -> pa.Table | Path:
        """Join a service's features to a spine, each row as of its own instant.

        Args:
            service: its name, or the definition. spine: a path (Parquet, CSV), Arrow, Polars, pandas or DuckDB relation.
            as_of: the spine's column of instants; naive ones are read in `timezone`, text as ISO 8601 or `as_of_format`.
            known_before: use facts known before this instant only (ISO 8601 with offset, or microseconds).
            serving_lag: answer as a store materialized that long before each row would have ("1h").
            include: "status", "event_timestamp" add <feature>__status, <feature>__event_timestamp.
            label: the spine's label column, to be checked, counted and recorded.
            split: adds a column `split`, such as `Split.time(test_from="2026-01-01T00:00:00Z", embargo="7d")`.
            memory_limit: what the engine may use, such as "4GB", instead of what the settings say.
            temp_directory: where it spills, and keeps finished partitions so that a build that was stopped goes on from there.
            partitions: into how many the keys are cut (1: not at all), to be built one after the other.
            engine: "duckdb" or "spark"; default: as the settings say. Values are the same.
            output: write .parquet or .csv there, with OUTPUT.manifest.json, instead of returning a table. Of Spark it is a
                folder of Parquet files, whose order by name is the spine's.
            watch: called with progress. report: called once with what the build counted.
        Returns: a pyarrow Table, or the output's path: the spine's rows and columns in order, the features, then the labels.
        Raises: UnknownName FS101, UsageError, SpineError, SourceError, DataError, StoreError; nothing is then written.
        """
        from featurestore.retrieval import build

        done = build.run(
            self.bound_service(service),
            spine,
            sources=self.source_of,
            settings=self.engine_settings(memory_limit, temp_directory, partitions),
            judge=self.judge(memory_limit),
            identities=self.identities,
            request=build.request(
                as_of=as_of, timezone=timezone, as_of_format=as_of_format, known_before=_instant(known_before),
                serving_lag=0 if serving_lag is None else parse_duration(serving_lag, what="serving_lag").micros,
                include=tuple(include), label=label, split=split, engine=engine or self.config.offline.engine,
            ),
            output=None if output is None else Path(output),
            folder=self._base,
            watch=watch,
            spark=self._spark(engine),
            profile=self.config.profiles.builds,
        )  # fmt: skip
        if report is not None:
            report(done.report)
        return done.result

    @reading()
    def rebuild(
        self,
        manifest: str | Path,
        *,
        output: str | Path | None = None,
        spine: str | Path | None = None,
        verify: bool = False,
        memory_limit: str | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> Rebuilt:
        """Build a training set again from its manifest, out of exactly the files it was built from.

        Args:
            manifest: the manifest, or the training set it lies beside.
            output: where to write the set; by default in place of the one that is gone. No other file is written over.
            spine: where the spine lies, if not where the manifest says, or if it was a table in memory.
            verify: compare with what the manifest says, and keep nothing unless `output` is given.
            memory_limit: what the engine may use, such as "4GB", instead of what the settings say.
        Returns: Rebuilt: `same` if the bytes are, `changed` what is not as it was, `differences` in cells, `to_dict()`.
        Raises: DataError FS361, FS363, UsageError FS106, FS151, DefinitionError, StoreError; nothing is then written.
        """
        from featurestore.audit.rebuild import Project, rebuild

        project = Project(self.registry, self._base, self.engine_settings(memory_limit), self.push_folder)
        paths = [None if path is None else Path(path) for path in (output, spine)]
        return rebuild(project, Path(manifest), output=paths[0], spine=paths[1], verify=verify, watch=watch)

    @staticmethod
    def diff(
        a: str | Path,
        b: str | Path,
        *,
        keys: Sequence[str] = (),
        as_of: str | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> Difference:
        """Compare two training sets (Parquet or CSV), or two manifests, cell by cell, and tell what can explain what differs.

        Args: keys, as_of: the columns by which rows are matched, where no manifest says and their order is another.
        Returns: Difference: `same`, `cells`, `columns`, `changes`, `causes`, `to_dict()`.
        Raises: DataError FS361, FS362, UsageError FS106, FS152.
        """
        from featurestore.audit.diff import diff

        return diff(Path(a), Path(b), keys=keys, as_of=as_of, watch=watch)

    @reading()
    def prove(
        self,
        service: str | FeatureService,
        spine: Any,
        *,
        as_of: str = "as_of",
        timezone: str = "UTC",
        as_of_format: str | None = None,
        probes: int = 1,
        seed: int = 0,
        memory_limit: str | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> Proof:
        """Probe a service's training set for leaks: what its rows may not see is deleted, changed, delayed and added to.

        Args:
            service, spine, as_of, timezone, as_of_format, memory_limit: as for a build.
            probes: how many instants are drawn for each key. seed: which ones; one seed asks the same of the same data.
        Returns: Proof: `ok` if rows were touched and no cell moved, `probes` with what was done to how many source rows, and
            the first cells that moved; `to_dict()`. Files are written below the engine's temporary directory only.
        Raises: UnknownName FS101, UsageError FS102, SpineError, SourceError, DataError, StoreError.
        """
        from featurestore.audit.prove import prove
        from featurestore.retrieval import build

        request = build.request(as_of=as_of, timezone=timezone, as_of_format=as_of_format, engine=self.config.offline.engine)
        return prove(
            self.bound_service(service), spine, sources=self.source_of, settings=self.engine_settings(memory_limit),
            identities=self.identities, request=request, probes=probes, seed=seed, watch=watch,
        )  # fmt: skip

    @reading()
    def influence(
        self,
        service: str | FeatureService,
        feature: str,
        spine: Any = None,
        *,
        keys: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
        as_of: str | int | None = None,
        as_of_column: str = "as_of",
        timezone: str = "UTC",
        as_of_format: str | None = None,
        top: int = 20,
        reach: int = 10_000,
        memory_limit: str | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> Influences:
        """Which source rows move a feature's values: each row in reach is left out once, and the value computed without it.

        Args:
            spine: the rows that ask, as for a build, with `as_of_column`, `timezone`, `as_of_format`. Or else
            keys: {key column: value} of one entity, `request`: {name: value} of what an on-demand feature takes besides, and
                `as_of`: the instant (ISO 8601 with offset, or microseconds; default: now).
            top: how many source rows are told of each row asked, and over all. reach: how many are left out, the newest.
        Returns: Influences: per row asked its value, and the source rows (file, row number from 0, times, values) that move it
            most, farthest first; overall, those that move all values most. Only temporary files are written.
        Raises: UnknownName FS101, UsageError FS102, FS138 (a label), RequestError, SpineError, SourceError, DataError.
        """
        from featurestore.audit.influence import influence, one_row, only
        from featurestore.retrieval import build

        if (spine is None) == (keys is None):
            raise UsageError("FS102", "give either a spine or the keys of one entity", hint="--spine FILE, or KEY=VALUE…")
        asked = only(self.bound_service(service), feature)
        at = _instant(as_of)
        if keys is not None:
            spine, as_of_column = one_row(asked, keys, request or {}, self.clock.now() if at is None else at), "as_of"
        return influence(
            asked, feature, spine, sources=self.source_of, settings=self.engine_settings(memory_limit),
            request=build.request(
                as_of=as_of_column, timezone=timezone, as_of_format=as_of_format, engine=self.config.offline.engine
            ),
            top=top, most=reach, watch=watch,
        )  # fmt: skip

    @reading()
    def window_plans(self, service: str | FeatureService, spine: Any = None, *, as_of: str = "as_of") -> list[Chosen]:
        """By which plans a build would compute the service's windows, and at what estimated cost; nothing is built.

        Args: spine: as for a build; without one, one row for ten facts is assumed.
        Raises: UnknownName FS101, SpineError, SourceError.
        """
        from featurestore.retrieval.spine import open_spine
        from featurestore.retrieval.training_set import Request
        from featurestore.retrieval.window_plans import window_plans

        bound = self.bound_service(service)
        keys = {column: key.dtype for column, key in bound.spine_keys.items()}
        opened = None if spine is None else open_spine(spine, keys=keys, as_of=as_of)
        data = {name: self.source_of(source) for name, source in bound.sources.items()}
        return window_plans(bound, data, self.engine_settings(), opened, Request(as_of=as_of))

    @reading()
    @observed("backfill")
    def backfill(
        self,
        view: str,
        start: str | int,
        end: str | int,
        *,
        output: str | Path,
        every: Any = "1d",
        partition_by: str = "instant",
        include: Sequence[str] = (),
        jobs: int = 1,
        dry_run: bool = False,
        format: str = "parquet",
        engine: str | None = None,
        memory_limit: str | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> Backfilled:
        """Write a view's values at regular instants as partitioned Parquet, and leave alone what is up to date there.

        Each instant has one file, with a row for every key that has a fact which counts by then, in the order of keys: the
        keys, `as_of`, the features as they could have been known at that instant, from the sources as they are now.

        Args:
            start, end: the first instant, and that before which they end (ISO 8601 with offset, or microseconds).
            every: how far apart they are ("1d", "6h"), a fixed length of UTC time. output: the folder; or with `format` "delta"
                the path or URL of a table, with "iceberg" the name of one, in which the rows of instants are replaced.
            partition_by: a folder for each ("instant"), or its "day" or "month". include: as for a build.
            jobs: instants that are computed side by side, each with its share of threads and memory. engine: "spark" computes
                them on its executors, all side by side.
            dry_run: say what would be done, and write nothing.
        Returns: Backfilled: `partitions` with their rows, `status` and `reason`, `to_dict()`.
        Raises: UnknownName FS101, UsageError FS102, FS385 to FS387, StoreFormat FS388, StoreLocked FS389, SourceError,
            StoreError. Files stand whole; those that were finished are kept.
        """
        from featurestore import backfill

        if not 1 <= jobs <= settings.MOST_JOBS:
            raise UsageError("FS102", f"{jobs} jobs", hint=f"1 to {settings.MOST_JOBS}")
        backfill.check_view(self.registry, view)
        asked = backfill.Asked(
            parse_instant(start, what="--from") if isinstance(start, str) else start,
            parse_instant(end, what="--to") if isinstance(end, str) else end,
            parse_duration(every, what="--every").micros, partition_by, tuple(include),
        )  # fmt: skip
        asked.check_past(self.clock.now())
        bound = self.bound.views[view]
        project = backfill.Project(
            self.engine_settings(memory_limit), self.identities, self.judge(memory_limit), self._spark(engine), self._base
        )
        return backfill.backfill(
            bound, self.source_of(bound.view.source), asked, output, project,
            kind=format, jobs=jobs, dry_run=dry_run, watch=watch,
        )  # fmt: skip

    def lineage(self) -> Flow:
        """How columns flow through the project, from those of the sources into features and services."""
        from featurestore.plan.flow import flow

        return flow(self.bound)

    def bound_service(self, service: str | FeatureService) -> BoundService:
        """A service with types, from the registry or given as a definition. Raises: UnknownName FS101."""
        if isinstance(service, FeatureService) and self.registry.services.get(service.name) is not service:
            own = Registry.of([service])
            return own.bind({n: open_source(s, self._base).types for n, s in own.sources.items()}).services[service.name]
        return self.bound.service(service)

    def source_of(self, source: Any) -> SourceData:
        """The files of a source definition and what was pushed to it, frozen now."""
        return open_source(source, self._base, self.push_folder(source.name))

    # Push.

    def push(self, source: str, rows: Any) -> dict[str, Any]:
        """Take rows of a source with `row_key` now, instead of in a file later. All are taken, or none.

        They are on the disk on return, known from their arrival on, and in the answers of the online store; the row that later
        comes in a file is a version of the same fact.

        Args:
            rows: a list of {column: value}, or a pyarrow, Polars or pandas table. Every column of the source but the created
                timestamp, which is the arrival; `deleted` may be left out. Instants are datetimes or text with an offset,
                or integers of microseconds.
        Returns: {"accepted": rows, "known_at": the arrival of the last, RFC 3339}.
        Raises: UnknownName FS101, UsageError FS107 (no project folder), FS140 (no row_key), PushError FS340, FS341;
            StoreError FS405, FS440; nothing is then taken.
        """
        from featurestore.materialization.pushed import push

        skew = parse_duration(self.config.online.push_skew, what="online.push_skew")
        return push(self._push_log(source), self._push_target(source), rows, clock=self.clock, skew=skew).to_dict()

    def compact(self, sources: Sequence[str] | None = None) -> dict[str, Folded]:
        """Fold the push logs of sources (default: all that have one) into Parquet. Killed, it goes on when called again.

        Returns: {source: what was folded}. Raises: UnknownName FS101, StoreLocked FS442, StoreError.
        """
        from featurestore.sources.push_compaction import compact

        found = {}
        for name in sources or self.registry.sources:
            known(self.registry.sources, name, "source")
            folder = self.push_folder(name)
            if folder is not None and (sources or folder.is_dir()):
                found[name] = compact(folder)
        return found

    def push_folder(self, source: str) -> Path | None:
        """Where a source's push log lies, if there is one; None without a project folder."""
        return None if self.root is None else push_folder(self.root, source)

    def judge(self, memory_limit: str | None = None) -> Judge:
        """Who holds the rows of sources against what is expected of them, and keeps those in quarantine in the project."""
        from featurestore.engines.duckdb.expectations import Judge

        folder = None if self.root is None else self.root / ".featurestore" / "quarantine"
        return Judge(self.engine_settings(memory_limit), self.clock, folder)

    def push_positions(self, sources: Iterable[str]) -> dict[str, int]:
        """How far the push logs of sources have come, for those that were pushed to."""
        from featurestore.sources.push_log import read_log

        logs = {name: folder and read_log(folder) for name in sources for folder in [self.push_folder(name)]}
        return {name: log.position for name, log in logs.items() if log}

    def _push_target(self, name: str) -> PushTarget:
        from featurestore.sources.push_rows import PushTarget

        return PushTarget.of(known(self.registry.sources, name, "source"), self.types_of(name))

    def _push_log(self, name: str) -> PushLog:
        from featurestore.materialization.pushed import ToOnline
        from featurestore.sources.push_log import PushLog

        folder = self.push_folder(name)
        if folder is None:
            raise UsageError("FS107", "rows are pushed into a project folder", hint='FeatureStore(".")')
        with self._push_logs_lock:
            if name not in self._push_logs:
                self._push_logs[name] = PushLog(folder, ToOnline(name, folder, self._filled_if_any))
            return self._push_logs[name]

    # Online.

    @reading()
    @observed("materialize")
    def materialize(
        self,
        views: Sequence[str] | str | None = None,
        *,
        known_before: str | int | None = None,
        full: bool = False,
        engine: str | None = None,
        watch: Callable[[Progress], None] | None = None,
        report: Callable[[ViewReport], None] | None = None,
    ) -> list[ViewReport]:
        """Bring views (default: all that are kept online) to a watermark (default: now) in the online store.

        Args:
            engine: "duckdb" or "spark" computes their states; default: as the settings say. Records are the same.
            report: called with the report of each view as soon as it is done; its new state is then live.
        Returns: one report per view. Raises: UsageError FS101, FS108, StoreLocked FS401, SourceError, StoreError.
        """
        from featurestore import materialization

        chosen = [views] if isinstance(views, str) else list(views or [])
        for name in chosen:
            view = known(self.registry.views, name, "feature view")
            if not view.online:
                raise UsageError("FS109", f"view {name!r} says online=False", where=view.place)
        return materialization.materialize(
            self.bound,
            lambda name: self.source(name),
            self.online,
            views=chosen or [n for n, v in self.registry.views.items() if v.online],
            clock=self.clock,
            settings=self.engine_settings(),
            judge=self.judge(),
            identities=self.identities,
            horizon=parse_duration(self.config.online.horizon, what="online.horizon"),
            known_before=_instant(known_before),
            full=full,
            keep=self.config.online.keep,
            push_folder=self.push_folder,
            push_at_once=self.config.online.push and self.root is not None,
            watch=watch,
            spark=self._spark(engine),
            report=self._keeping_catalogue(self._profiled(report)),
        )

    def _keeping_catalogue(self, report: Callable[[ViewReport], None] | None) -> Callable[[ViewReport], None] | None:
        """As `report`; with the first view that is done the store is told of the definitions, for those who only read it."""
        if self.root is None or not self.config.server.page:
            return report
        kept = False

        def told(done: ViewReport) -> None:
            from featurestore.catalogue import keep, making

            nonlocal kept
            if not kept:
                kept = True
                keep(self.online, making.outline(self.bound), lambda: making.document(self.bound))
            if report is not None:
                report(done)

        return told

    def _profiled(self, report: Callable[[ViewReport], None] | None) -> Callable[[ViewReport], None] | None:
        """The same, after the profile of the view is kept, if it is to be. One that fails is a warning of the report."""
        if self.profile_folder is None or not self.config.profiles.materializations:
            return report

        def done(made: ViewReport) -> None:
            self._keep_profile(made)
            if report is not None:
                report(made)

        return done

    def _keep_profile(self, made: ViewReport) -> None:
        from featurestore.profiles import kept
        from featurestore.retrieval.view_profile import profile_of_view

        if made.mode == "nothing" or self.profile_folder is None:
            return
        retention = parse_duration(self.config.profiles.retention, what="profiles.retention").micros
        try:
            profile = profile_of_view(self.online, made.view, made.fingerprint, self.config.profiles.keys)
            if profile is not None:
                kept.keep(self.profile_folder, made.view, parse_formatted(made.watermark), profile, retention)
        except Exception as error:  # the view's new state is live already
            made.warnings.append(f"no profile was kept of {made.view}: {' '.join(str(error).split())[:200]}")

    @property
    def profile_folder(self) -> Path | None:
        """Where profiles of runs are kept (`profiles.kept`); None without a project folder."""
        return None if self.root is None else self.root / self.config.profiles.path

    def rollback(self, view: str, *, live: int | None = None) -> RolledBack:
        """Turn a view back to the generation before the live one; its watermark goes back with it.

        Args: live: do so only if the generation of that number is the live one; else nothing changes.
        Raises: UsageError FS101, StoreError FS402, FS411 (nothing to go back to), StoreLocked FS401.
        """
        from featurestore.materialization import upkeep

        return upkeep.roll_back(self._filled(), view, self.push_folder, live=live)

    def gc(self, *, keep: int = 1) -> Collected:
        """Drop all but `keep` generations of each view, and what interrupted runs left.

        Raises: UsageError FS102, StoreError FS402, StoreLocked FS401.
        """
        from featurestore.materialization import upkeep

        return upkeep.collect(self._filled(), keep)

    def sweep_builds(self) -> list[str]:
        """Remove what stopped builds of training sets have finished and kept, but for those under way. Returns: the folders."""
        from featurestore.retrieval.work_folder import sweep

        folder = self.engine_settings().temp_directory
        return [] if folder is None else [path.name for path in sweep(folder, older_than=0)]

    @reading()
    def forget(self, entity: str, key: Any) -> Forgotten:
        """Take an entity's records out of the online store and its rows out of push logs; tell which sources still hold some.

        Args: key: the value of the entity's join key, or {join key: value}.
        Raises: UnknownName FS101, RequestError FS502, FS504, StoreLocked FS401, SourceError, StoreError.
        """
        from featurestore.materialization.forget import forget

        columns = known(self.registry.entities, entity, "entity").join_keys
        named = key if isinstance(key, Mapping) else {columns[0]: key}
        folder = self.judge().folder
        return forget(self.bound, self.source, self._filled_if_any(), entity, named, self.push_folder, folder)

    def key_families(self, entity: str) -> dict[str, str]:
        """Join key -> the family its values compare in. Raises: UnknownName FS101."""
        from featurestore.materialization.forget import families

        known(self.registry.entities, entity, "entity")
        return families(self.bound, entity)

    def _filled(self) -> OnlineStore:
        """The online store, for writing to what it holds. Raises: StoreError FS402 where there is none yet."""
        _ = self.reader.store  # does not create a store where there is none
        return self.online

    def _filled_if_any(self) -> OnlineStore | None:
        """The online store, for writing to what it holds; None where there is none yet."""
        try:
            return self._filled()
        except StoreError as error:
            if error.code != "FS402":
                raise
            return None

    def get_online_features(
        self,
        service: str | FeatureService,
        entities: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        request: Mapping[str, Any] | None = None,
        as_of: str | int | None = None,
        include: Sequence[str] = (),
    ) -> OnlineFeatures:
        """Look features up in the online store.

        Args:
            entities: {key column: value or list of values}, or a list of {key column: value}.
            request: {name: value or list of values} of what on-demand features take from the request, one value per row.
            as_of: answer for this instant instead of now; not before the watermark.
        Returns: OnlineFeatures, one row per entity, in order; a NULL key, like an unknown one, is not_found.
        Raises: UnknownName FS501, RequestError FS502, FS504, TooEarly FS503, StoreError FS402.
        """
        name = service if isinstance(service, str) else service.name
        brought = _columns(request or {})
        return self.reader.get(name, _columns(entities), request=brought, as_of=_instant(as_of), include=include)

    @reading()
    def verify(
        self,
        service: str | FeatureService | None = None,
        *,
        sample: int = 1_000,
        seed: int = 0,
        scratch: int = 2,
        watch: Callable[[Progress], None] | None = None,
    ) -> Verification:
        """Compare online answers with the offline truth at the same instants, watermarks and source files, cell by cell.

        Args:
            service: its name, or the definition; None: each that is kept online.
            sample: how many rows (keys and instants) are asked of each service. seed: which ones.
            scratch: how many stores are made in memory for each view, each just before an event, and asked around it.
        Returns: Verification: `ok` if something was compared and nothing differs, `cells` counted by what became of them,
            `services` with their views and examples, `to_dict()`. Nothing is written.
        Raises: UnknownName FS101, FS501, UsageError FS102, StoreError.
        """
        from featurestore.audit.verify import verify

        name = service.name if isinstance(service, FeatureService) else service
        return verify(self.reader, self._offline, service=name, sample=sample, seed=seed, scratch=scratch, watch=watch)

    @reading()
    def verify_log(
        self,
        service: str | FeatureService | None = None,
        *,
        since: str | int | None = None,
        until: str | int | None = None,
        sample: int = 10_000,
        seed: int = 0,
        watch: Callable[[Progress], None] | None = None,
    ) -> Skew:
        """Compare what was served, as the serve log has it, with the offline truth at the logged instants and watermarks.

        Args:
            service: its name, or the definition; None: each that has a log.
            since, until: of answers for instants from `since` on, before `until` (ISO 8601 with offset, or microseconds).
            sample: how many logged rows of each service are replayed, a uniform draw. seed: which ones.
        Returns: Skew: `ok` if something was compared and no feature differs more than `[monitor] skew` says, `services` with
            their features, causes and examples, `to_dict()`. Nothing is written.
        Raises: UnknownName FS101, UsageError FS102, FS107 (no project folder), StoreError.
        """
        from featurestore.monitoring.replay import Window, replay

        if sample < 1:
            raise UsageError("FS102", f"--sample {sample} asks nothing", hint="--sample 10000")
        if self.root is None:
            raise UsageError("FS107", "a serve log lies in a project folder", hint='FeatureStore(".")')
        start, end = _instant(since), _instant(until)
        window = Window(-FOREVER if start is None else start, FOREVER if end is None else end, sample, seed)
        name = service.name if isinstance(service, FeatureService) else service
        threshold = self.config.monitor.skew
        return replay(self.reader, self._offline, self._log_folder, window, service=name, threshold=threshold, watch=watch)

    def monitor(self) -> Monitor:
        """What looks at freshness, lateness, volume, partitions, drift and skew: `look()` while it is `locked()`.

        Each look opens the project anew, so that changed definitions and settings of checks count from the next one on.
        Raises: UsageError FS107 without a project folder.
        """
        from featurestore.monitoring.monitor import Monitor
        from featurestore.monitoring.webhook import Webhook

        if self.root is None:
            raise UsageError("FS107", "a monitor works in a project folder", hint='FeatureStore(".")')
        told = self.config.monitor
        return Monitor(
            self.root / told.path, self.config.project.name, self._checks, clock=self.clock,
            retention=parse_duration(told.retention, what="monitor.retention").micros,
            send=None if told.webhook is None else Webhook(told.webhook).send,
        )  # fmt: skip

    @contextmanager
    def _checks(self) -> Iterator[Sequence[Check]]:
        """The checks of a look."""
        from featurestore.monitoring.monitor import Check

        store = FeatureStore(self.root, clock=self.clock)
        try:
            yield [
                Check(("freshness", "lateness", "volume", "partitions", "reading"), lambda now: store.freshness(now=now)),
                Check(("drift",), store._drift),
                Check(("skew",), store._skew),
            ]
        finally:
            if "reader" in store.__dict__:
                store.reader.store.close()

    def _skew(self, now: int) -> list[Result]:
        """Served cells of the last `[monitor] window`, against the offline truth."""
        told = self.config.monitor
        since = now - parse_duration(told.window, what="monitor.window").micros
        found = self.verify_log(since=since, until=now + 1, sample=told.sample)
        return [result for service in found.services.values() for result in service.results(now, told.skew)]

    def _drift(self, now: int) -> Iterator[Result]:
        """Served rows of the last `[monitor] window`, against what the settings name for their service."""
        from featurestore.monitoring.monitor import failed

        told = self.config.monitor
        start = format_instant(now - parse_duration(told.window, what="monitor.window").micros)
        for service, reference in told.drift.items():
            served = f"serve-log:{service}@{start}..{format_instant(now + 1)}"
            try:
                found = self.drift(str(self._base / reference), served, service=service)
            except FeatureStoreError as error:
                yield failed(error, at=now, check="drift", kind="service", subject=service)
            else:
                yield from found.results(now, "service", service)

    @property
    def _offline(self) -> Offline:
        """The offline side of a verification."""
        from featurestore.audit.offline import Offline

        return Offline(self.registry, self._base, self.engine_settings(), self.identities, self.push_folder)

    @reading()
    def audit(
        self,
        training_set: Any,
        service: str | FeatureService,
        *,
        as_of: str = "as_of",
        timezone: str = "UTC",
        as_of_format: str | None = None,
        spine: Any = None,
        renamed: Mapping[str, str] | None = None,
        known_before: str | int | None = None,
        serving_lag: Any = None,
        label: str | None = None,
        split: str | None = None,
        tolerance: float | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> Audit:
        """Judge a training set that anybody may have built: compute every cell anew, and give what differs its cause.

        Args:
            training_set: a path (Parquet, CSV) or a pyarrow, Polars or pandas table, with the service's keys and as_of.
            as_of, timezone, as_of_format: as for a build. renamed: {column of the set: its name in the service}.
            spine: the rows that were asked for, in which rows too many and too few are found.
            known_before, serving_lag: what the set was built with; default: as its manifest says, else no cut-off and "0s".
            label: a column whose relation to each feature is compared with that to the honest values.
            split: a column that says which rows train and which test; default: `split`, if there is one.
            tolerance: relative difference that sums and the like of doubles may have in files of others; default 1e-9.
        Returns: Audit: `ok` if every cell is exact, `leaks`, `features` with their cells by cause, `examples`, `to_dict()`.
        Raises: UnknownName FS101, UsageError FS102, SpineError, SourceError, DataError.
        """
        from featurestore.audit.training_set import audit

        lag = None if serving_lag is None else parse_duration(serving_lag, what="serving_lag").micros
        return audit(
            training_set, self.bound_service(service), self.source_of, self.engine_settings(),
            as_of=as_of, timezone=timezone, as_of_format=as_of_format, spine=spine, renamed=renamed,
            known_before=_instant(known_before), serving_lag=lag, label=label, split=split, tolerance=tolerance, watch=watch,
        )  # fmt: skip

    # What is watched.

    def record(self, results: Sequence[Result]) -> None:
        """Keep results where `monitor` keeps its own, for boards and `should_retrain`. Raises: StoreError FS405, FS407."""
        from featurestore.atomic import disk_errors
        from featurestore.monitoring.results import append, finite

        folder = self._results_folder
        with disk_errors(folder):
            append(folder, [finite(result) for result in results])

    def drift(
        self,
        reference: Any,
        current: Any,
        *,
        service: str | FeatureService | None = None,
        label: str | None = None,
        as_of: str | None = None,
        timezone: str = "UTC",
        sample: int | None = None,
        seed: int = 0,
        windows: Windows | None = None,
        alpha: float | None = None,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        tests: bool = True,
        watch: Callable[[Progress], None] | None = None,
    ) -> Comparison:
        """Have features moved from one side to the other? Each feature is compared, and all of them together.

        Args:
            reference, current: a training set or profile (a path), a pyarrow table, or served rows:
                "serve-log:SERVICE@FROM..TO". service: whose features are compared; default: those the sides say they have.
            label: a column that is compared as the label; default: as a manifest says.
            as_of, timezone: the column of instants of files, and the zone in which naive ones are read; for windows.
            sample: rows to draw from either side, by `seed`. windows: of the current side, each compared by itself.
            alpha, thresholds: instead of, and over, what the settings say. tests: False: distances alone.
        Returns: Comparison: `ok` if nothing alerts, `features` with their tests, `to_json()`, `results(…)`.
        Raises: UnknownName FS101, UsageError FS390, FS391, FS393, FS394, FS398, DataError FS392.
        """
        from featurestore.monitoring.drift.asked import Places, drift

        places = Places(
            log=self._log_folder,
            now=self.clock.now(),
            at=as_of,
            timezone=timezone,
            sample=sample,
            seed=seed,
        )
        features = None if service is None else list(self.bound_service(service).feature_types)
        set_here = self.config.drift
        return drift(
            reference, current, places, settings=set_here.thresholds, asked=thresholds or {}, features=features, label=label,
            windows=windows, alpha=alpha or set_here.alpha, min_rows=set_here.min_rows, tests=tests, watch=watch,
        )  # fmt: skip

    @reading()
    def performance(
        self,
        predictions: Any,
        service: str | FeatureService,
        *,
        score: str = "score",
        label: str | None = None,
        metrics: Sequence[str] = (),
        thresholds: Mapping[str, float] | None = None,
        min_rows: int | None = None,
        slice: Any = "1d",
        known_before: str | int | None = None,
        as_of: str | None = None,
        timezone: str = "UTC",
    ) -> Performance:
        """How good were predictions, by UTC day, once the labels of that day are settled?

        Args:
            predictions: a path (Parquet, CSV), a pyarrow table, or "serve-log:SERVICE@FROM..TO": join keys, instants, scores.
            service: what was served; `label` of its labels is the truth (default: its only one).
            metrics: "auc", "logloss"; "rmse", "mae"; default: by the label's type. thresholds: {metric: bound}.
            min_rows: that a day needs; default: as the settings say. slice: what is judged together, if not a day.
            known_before: judge by the facts known before this instant alone; default: by those that are known by now.
            as_of, timezone: the column of instants, and the zone in which naive ones are read.
        Returns: Performance: `days`, `ok` if none breaks a threshold, `to_json()`, `results(at)`.
        Raises: UnknownName FS101, UsageError FS394, FS396, DataError FS392, FS396, and what a build raises.
        """
        from featurestore.monitoring import predictions as asked
        from featurestore.monitoring.drift.asked import Places
        from featurestore.monitoring.performance import Wanted, performance

        needed = self.config.drift.min_rows if min_rows is None else min_rows
        length = parse_duration(slice, what="slice").micros
        wanted = Wanted(metrics=metrics, thresholds=thresholds or {}, min_rows=needed, slice=length)
        places = Places(log=self._log_folder, now=self.clock.now(), at=as_of, timezone=timezone)
        rows = asked.opened(predictions, places)
        served = self.bound_service(service).service
        alone, column, view = asked.labels_alone(served, label, list(rows.types))
        keys = list(dict.fromkeys(key for instance in (*alone.instances, *alone.labels) for key in instance.key_columns))
        given = asked.read(rows, score, keys, timezone)
        reports: list[Report] = []
        cutoff = places.now + 1 if known_before is None else known_before  # rows dated later settle nothing yet
        built = self.build_training_set(alone, given.spine, known_before=cutoff, report=reports.append)
        assert not isinstance(built, Path)
        until = reports[0].labels[view]["mature_until"]
        names = {"service": served.name, "label": column, "score": score}
        return performance(given.at, given.score, built[column], _instant(until), wanted, names=names)

    @reading()
    def freshness(self, names: Sequence[str] = (), *, now: str | int | None = None) -> list[Result]:
        """Whether what is served is fresh, and sources still send as they usually do.

        Args:
            names: views and sources (of a view also its source); default: all.
            now: the instant (ISO 8601 with offset, or microseconds; default: the clock's). Rows that became known later are
                not there.
        Returns: of each view that is kept online its watermark's age ("freshness"); of each source "freshness" (how long
            nothing came in), "lateness", "volume" and "partitions", and "reading" where that fails. Values and thresholds
            are in seconds, or rows.
        Raises: UnknownName FS101, UsageError FS107 (`[monitor] freshness`), StoreError. A source that cannot be read alerts.
        """
        from featurestore.monitoring.look import Looker, checked, chosen

        views = {n: v.source.name for n, v in self.registry.views.items() if v.online}
        limits = checked(self.config.monitor.freshness, views, self.registry.sources)
        picked, sources = chosen(names, views, self.registry.sources)
        at = _instant(now)
        looker = Looker(self.engine_settings(), self.source, self._watermarks(), self.clock.now() if at is None else at)
        return looker.look(picked, sources, limits)

    @reading()
    def should_retrain(
        self,
        policy: str | Path,
        *,
        training_set: str | Path | None = None,
        service: str | None = None,
        current: str | Path | None = None,
        now: str | int | None = None,
    ) -> Decision:
        """Whether a policy says that a model is to be trained anew, by what is known at an instant.

        Args:
            policy: a TOML file with [[rule]] of kind "time", "volume", "drift" or "performance" (`monitoring.policy`).
            training_set: the set the model was trained on, or its manifest; default: as the policy says. service: whose
                results count; default: as the policy says, else the training set's. current: what the training set is compared
                with for drift, as by `drift`; default: the results that `monitor` kept.
            now: the instant (ISO 8601 with offset, or microseconds; default: the clock's).
        Returns: Decision: `retrain`, `judged` (False: no rule could be), `rules` with value, limit and why, `to_dict()`.
        Raises: UnknownName FS101, UsageError FS168, DataError FS361, FS492, FS493, SourceError.
        """
        from featurestore.monitoring import policy as policies
        from featurestore.monitoring import results, retrain

        asked, at = policies.read(Path(policy)), _instant(now)
        at = self.clock.now() if at is None else at
        path = asked.training_set if training_set is None else Path(training_set)
        made, of = (None, None) if path is None else retrain.made_at(path)
        if current is not None and path is None:
            raise UsageError("FS102", "--current is compared with a training set", hint="--training-set FILE")
        named = service or asked.service
        if named is not None:
            self.registry.service(named)  # or it is typed wrong
        service = named or of
        kept = results.of_checks(self._results_folder, asked.kinds & {"drift", "performance"}, at - asked.reach, at + 1)
        mine = [r for r in kept if service is None or service in (r.subject, r.details.get("service"))]
        drift = [r for r in mine if r.check == "drift"]
        if current is not None and path is not None and service is not None and "drift" in asked.kinds:
            drift = self.drift(retrain.read(path).output, current, service=service, tests=False).results(at, "service", service)
        since = {}
        if made is not None and service is not None and "volume" in asked.kinds:
            sources = [self.source_of(source) for source in self.bound_service(service).sources.values()]
            since = retrain.rows_since(sources, self.engine_settings(), made, at, asked.windows("volume"))
        performance = [r for r in mine if r.check == "performance"]
        return retrain.decide(asked, retrain.Known(at, made, since, drift, performance), service)

    def _watermarks(self) -> dict[str, int]:
        """Of each view that has a generation, of whatever definition, the newest."""
        from featurestore.online.generations import generations

        try:
            store = self.reader.store
        except StoreError as error:
            if error.code != "FS402":
                raise
            return {}
        with store.read() as snapshot:
            return {made.name: made.watermark for made in sorted(generations(snapshot), key=lambda made: made.watermark)}

    @cached_property
    def online(self) -> OnlineStore:
        """The online store, opened for writing."""
        return open_online(self.config, self.root)

    @cached_property
    def reader(self) -> OnlineReader:
        """Look-ups in the online store; a store on disk is opened for reading only. Raises: StoreError FS402 without one."""
        from featurestore.retrieval.online_features import OnlineReader

        in_memory = self.root is None or self.config.online.store == "memory"
        store = self.online if in_memory else open_online(self.config, self.root, read_only=True)
        return OnlineReader(store, self.clock)

    # Shared parts.

    def engine_settings(
        self, memory_limit: str | None = None, temp_directory: str | Path | None = None, partitions: int | None = None
    ) -> Settings:
        """What the engine may use, as the settings say where nothing is given. Raises: UsageError FS102 for a `memory_limit`
        that is no size, or so many partitions."""
        from featurestore.engines.duckdb import Settings

        if partitions is not None and not 1 <= partitions <= settings.MOST_PARTITIONS:
            raise UsageError("FS102", f"{partitions} partitions", hint=f"1 to {settings.MOST_PARTITIONS}")
        if memory_limit is not None and not re.fullmatch(settings.SIZE, memory_limit):
            raise UsageError("FS102", f"memory limit {memory_limit!r} is not a size", hint="4GB")
        offline = self.config.offline
        temp = None if self.root is None else self.root / offline.temp_directory
        return Settings(
            offline.threads, memory_limit or offline.memory_limit, temp if temp_directory is None else Path(temp_directory),
            offline.temp_limit, window_plan=offline.window_plan, partitions=partitions or offline.partitions,
            snapshot=offline.snapshot,
        )  # fmt: skip

    def _spark(self, engine: str | None) -> SparkSettings | None:
        """The Spark to use; None: DuckDB is asked for. Raises: UsageError FS102."""
        from featurestore.retrieval.build import check_engine

        return self.spark_settings if check_engine(engine or self.config.offline.engine) == "spark" else None

    @property
    def spark_settings(self) -> SparkSettings:
        """Which Spark is used, as the settings say."""
        from featurestore.engines.spark import SparkSettings

        spark = self.config.spark
        seconds = parse_duration(spark.timeout, what="spark.timeout").micros / MICROS_PER_SECOND
        return SparkSettings((self._base / spark.work).absolute(), spark.master, spark.remote, spark.conf, seconds)

    @cached_property
    def identities(self) -> IdentityCache:
        """sha256 of the sources' files, remembered below .featurestore/."""
        return IdentityCache(None if self.root is None else self.root / ".featurestore" / "identities.json")


def open_online(config: settings.Config, root: Path | None, *, read_only: bool = False) -> OnlineStore:
    """The store that the settings name; in memory without a project folder. Raises: StoreError FS402 to FS412."""
    if root is None or config.online.store == "memory":
        from featurestore.online.memory import MemoryStore

        return MemoryStore()
    if config.online.store == "redis":
        from featurestore.online.redis import RedisStore

        seconds = parse_duration(config.online.deadline, what="online.deadline").micros / MICROS_PER_SECOND
        return RedisStore(config.online.url, config.project.name, read_only=read_only, deadline=seconds)
    from featurestore.online.lmdb import LmdbStore

    return LmdbStore(root / config.online.path, read_only=read_only)


def push_folder(root: Path, source: str) -> Path:
    """Where a source's push log lies in a project."""
    return root / ".featurestore" / "push" / source


def online_identity(config: settings.Config, root: Path) -> object:
    """Tells the store that `open_online` would open from another that has taken its place; None where there is none.

    A store in Redis notices by itself when another takes its place.
    """
    if config.online.store == "redis":
        return config.online.url
    from featurestore.online.lmdb.files import file_identity

    return file_identity(root / config.online.path)


def _instant(given: str | int | None) -> int | None:
    return parse_instant(given) if isinstance(given, str) else given


def _columns(entities: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    if isinstance(entities, Mapping):
        return {name: list(v) if isinstance(v, list | tuple) else [v] for name, v in entities.items()}
    names = list(dict.fromkeys(name for row in entities for name in row))
    return {name: [row.get(name) for row in entities] for name in names}


__all__ = ["FeatureStore", "online_identity", "open_online", "push_folder"]
