"""One call from a request to a training set in memory or in a file, with its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from featurestore import plan as planning
from featurestore.compiler.files import training_set_sql
from featurestore.definitions import Source
from featurestore.definitions.source import is_url
from featurestore.engines.duckdb import Settings
from featurestore.engines.duckdb.expectations import Judge
from featurestore.errors import UsageError
from featurestore.intervals import format_instant
from featurestore.plan import columns
from featurestore.plan.leakage import assumed_known_at_once, static_sources
from featurestore.progress import Watcher
from featurestore.registry import BoundService
from featurestore.retrieval import output as files
from featurestore.retrieval.manifest import definitions, relative, versions
from featurestore.retrieval.profiling import Profiling
from featurestore.retrieval.spine import Spine, content_identity, open_spine
from featurestore.retrieval.training_set import Build, Report, Request
from featurestore.sources import IdentityCache, SourceData

if TYPE_CHECKING:
    from featurestore.engines.spark import SparkSettings
    from featurestore.retrieval.spark.build import SparkBuild

ENGINES = ("duckdb", "spark")


@dataclass
class Done:
    """A finished build: the table, or the path written; what was counted; the manifest (of a file)."""

    result: pa.Table | Path
    report: Report
    manifest: dict[str, Any] | None = None


def request(*, engine: str, **given: Any) -> Request:
    """A checked request. Raises: UsageError FS102 for an unknown engine or include, or a negative lag."""
    check_engine(engine)
    return Request(**given)


def check_engine(name: str) -> str:
    """Raises: UsageError FS102 for an engine there is not."""
    if name not in ENGINES:
        raise UsageError("FS102", f"unknown engine {name!r}", known=ENGINES)
    return name


def open_all(
    service: BoundService, spine: Any, sources: Callable[[Source], SourceData], as_of: str
) -> tuple[Spine, dict[str, SourceData]]:
    """What a build reads: the spine, and every source by name. Raises: what `open_spine` and `sources` raise."""
    key_types = {column: key.dtype for column, key in service.spine_keys.items()}
    opened = open_spine(spine, keys={**service.request, **key_types}, as_of=as_of)
    return opened, {name: sources(source) for name, source in service.sources.items()}


def run(
    service: BoundService,
    spine: Any,
    *,
    sources: Callable[[Source], SourceData],
    settings: Settings,
    identities: IdentityCache,
    request: Request,
    output: Path | None,
    folder: Path | None = None,
    watch: Watcher | None = None,
    judge: Judge | None = None,
    spark: SparkSettings | None = None,
    profile: bool = False,
) -> Done:
    """Build a training set. folder: a spine below it is recorded by its path from there. spark: by Spark, not by DuckDB; the
    output is a folder of Parquet files then, whose order by name is the spine's. profile: write one beside the output.

    Raises: what `Build` and `output.write` raise; nothing is then written."""
    if output is not None:
        files.check_output(output)
        if spark is not None and output.suffix.lower() != ".parquet":
            what = f"Spark writes a folder of Parquet files, not {output.name!r}"
            raise UsageError("FS106", what, hint=f"{output.stem}.parquet, or --engine duckdb")
    opened, data = open_all(service, spine, sources, request.as_of)
    on_disk = isinstance(spine, Path) or (isinstance(spine, str) and not is_url(spine))
    spine_at = relative(Path(spine), folder) if folder is not None and on_disk else None
    if spark is not None:
        return _by_spark(service, opened, data, spark, request, output, spine_at, identities, watch, judge, profile)
    said = [] if judge is None else judge.check(data.values(), watch)
    observer = _Observer()
    with observer, Build(service, opened, data, settings, request, watch, observe=observer) as build:
        build.report.warnings += said
        if profile and output is not None:
            observer.begin(Profiling(service, request, build.schema, opened.rows))
        if output is None:
            table = pa.concat_tables(list(build.batches()))
            return Done(table, build.report)
        known = _Ahead(lambda: {name: d.state(identities) or "memory" for name, d in sorted(data.items())})
        sql = _Ahead(lambda: hashlib.sha256(training_set_sql(service).encode()).hexdigest())
        tables = _starting(build.batches(), known, sql)
        manifest = files.write(
            output, build.schema, tables, lambda: describe(build, opened, known.result(), sql.result(), spine_at),
            observer.write,
        )  # fmt: skip
        build.report.warnings += observer.warnings
        return Done(output, build.report, manifest)


def _by_spark(
    service: BoundService, spine: Spine, data: dict[str, SourceData], spark: SparkSettings, request: Request,
    output: Path | None, spine_at: str | None, identities: IdentityCache, watch: Watcher | None, judge: Judge | None,
    profile: bool,
) -> Done:  # fmt: skip
    from featurestore.retrieval.spark.build import SparkBuild, written

    observer = _Observer()
    with observer, SparkBuild(service, spine, data, spark, request, watch, judge, observer) as build:
        if profile and output is not None:
            observer.begin(Profiling(service, request, build.schema, spine.rows))
        if output is None:
            with build.scratch() as folder:
                build.write(folder)
                return Done(pa.concat_tables(list(written(folder, build.schema))), build.report)

        def described() -> dict[str, Any]:
            sql = hashlib.sha256(training_set_sql(service, dialect="spark").encode()).hexdigest()
            return describe(build, spine, {n: d.state(identities) or "memory" for n, d in sorted(data.items())}, sql, spine_at)

        manifest = files.write_folder(output, build.write, described, observer.write)
        build.report.warnings += observer.warnings
        return Done(output, build.report, manifest)


class _Observer:
    """What a build shows its batches to: nobody, until a profile is begun."""

    def __init__(self) -> None:
        self._profiling: Profiling | None = None

    def begin(self, profiling: Profiling) -> None:
        self._profiling = profiling

    def __enter__(self) -> _Observer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._profiling is not None:
            self._profiling.close()

    def __call__(self, table: pa.Table, *told: Any) -> None:
        if self._profiling is not None:
            self._profiling.observe(table, *told)

    def write(self, path: Path) -> bool:
        """Whether there is a profile, and it is written. Raises: OSError."""
        return self._profiling is not None and self._profiling.write(path)

    @property
    def warnings(self) -> list[str]:
        return [self._profiling.problem] if self._profiling is not None and self._profiling.problem else []


def _starting(tables: Iterator[pa.Table], *calls: _Ahead) -> Iterator[pa.Table]:
    """The same tables. The calls start with the first: from then on the engine has little to do, and writing keeps one core
    busy."""
    first = next(tables)
    for call in calls:
        call.start()
    yield first
    yield from tables


class _Ahead:
    """A call made by a thread of its own while other work goes on; nobody waits for it but who wants the result."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._found: Any = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self.start = self._thread.start

    def _run(self) -> None:
        try:
            self._found = self._call()
        except Exception as error:
            self._error = error

    def result(self) -> Any:
        """Raises: what the call raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found


def describe(
    build: Build | SparkBuild, spine: Spine, sources: dict[str, Any], sql: str, spine_at: str | None = None
) -> dict[str, Any]:
    """The manifest of a build, all but its output file: what went in, what it means, what was counted. sql: the digest of the
    committed statements. spine_at: the spine's path from the project folder, if it lies there."""
    asked, service, report = build.request, build.service, build.report
    identity = {**(spine.identity or {}), **({} if spine_at is None else {"path": spine_at})}
    if spine.table is not None and "sha256" not in identity:
        identity["sha256"] = content_identity(spine.table)
    return {
        "format": files.MANIFEST_FORMAT,
        "kind": "training_set",
        "service": service.name,
        "fingerprint": service.fingerprint,
        "view_fingerprints": {i.bound.name: i.bound.fingerprint for i in service.instances},
        "on_demand_fingerprints": {o.instance.view.name: o.fingerprint for o in service.on_demand},
        "plan": hashlib.sha256(planning.explain(build.plan).encode()).hexdigest(),
        "sql": sql,
        "engine": build.engine,
        "versions": {**versions(), **build.versions},
        "sources": sources,
        "spine": identity,
        "as_of": {"column": asked.as_of, "timezone": asked.timezone, "format": asked.as_of_format},
        "known_before": None if asked.known_before is None else format_instant(asked.known_before),
        "serving_lag_us": asked.serving_lag,
        "include": list(asked.include),
        "at_once": report.at_once,
        "label": report.label,
        "labels": _labels(service, report),
        "split": report.split,
        "definitions": definitions(service),
        "lineage": columns.to_data(columns.of_plan(build.plan)),
        "trust": {"static": static_sources(build.plan), "assumed_known_at_once": assumed_known_at_once(build.plan)},
        "columns": [[f.name, str(f.type)] for f in build.schema],
        "content_hash": report.content_hash,
        **{name: counts for name, counts in asdict(report).items() if name in _COUNTS},
    }


def _labels(service: BoundService, report: Report) -> dict[str, Any]:
    """Per label view what it means and what was counted; apart from the service's fingerprint, which knows no labels."""
    meanings = {told["name"]: told for told in service.labels_to_manifest()}
    lengths = {
        label.name: {"gap_us": v.gap.micros, "window_us": v.window.micros, "settle_us": v.settle.micros}
        for label in service.labels
        for v in (label.bound.view,)
    }
    return {name: {**meanings[name], **lengths[name], **counts} for name, counts in report.labels.items()}


_COUNTS = ("rows", "views", "features", "left_out", "source_rows", "windows", "without_value")
