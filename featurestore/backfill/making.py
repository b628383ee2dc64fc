"""Make the values of a view at instants, and write those of each as Parquet.

The rows are the keys that have a fact which counts by then, in order; each has what could have been known of it at that
instant: a training set of one view. Instants of few rows are asked together; one of many is a spine that asks once. What was
asked together decides time and memory, never a byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.atomic import removed_on_error
from featurestore.compiler.duckdb import backfill as sql
from featurestore.definitions import FeatureService
from featurestore.dtypes import TIMESTAMP
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import facts_read
from featurestore.plan.nodes import Visible
from featurestore.progress import Watcher
from featurestore.registry import BoundService, BoundView, Registry
from featurestore.retrieval.output import write_parquet
from featurestore.retrieval.partitions import memory
from featurestore.retrieval.spine import ROWS_AT_ONCE, open_spine
from featurestore.retrieval.training_set import Build, Request, run_parameters
from featurestore.sources import SourceData

if TYPE_CHECKING:
    from featurestore.engines.spark import SparkSettings

AS_OF = "as_of"
ROWS_TOGETHER = 2_000_000
"""Instants are asked together until they have so many rows."""
PIECES = 4
"""Into how many pieces the instants of a job are cut, so that jobs end at about one time."""


@dataclass(frozen=True)
class Maker:
    """What it takes to make the values of a view at any instant. include: as for a build."""

    bound: BoundView
    data: SourceData
    settings: Settings
    include: tuple[str, ...] = ()

    def schema(self) -> pa.Schema:
        """The columns of every file: keys, as_of, features, and what is included."""
        with self._build(self._spine(self._no_keys, 0)) as build:
            return build.schema

    def keys(self, session: Session, at: int) -> pa.Table:
        """The keys that have a fact which counts at an instant, in order."""
        visible, types = self._visible, {c: self.bound.types[c] for c in self.bound.view.columns}
        session.bind_source(self.data, list(types), types)
        parameters = {**run_parameters(None, 0, exact=visible.exact), "at": at}
        return session.table(sql.keys_at(visible), parameters)

    def write(self, session: Session, work: Mapping[int, Path]) -> Iterator[tuple[int, int]]:
        """The values at some instants, each in its Parquet file. Gives (instant, rows) as they are done."""
        held = dict[int, pa.Table]()
        for at in work:
            held[at] = self.keys(session, at)
            if sum(keys.num_rows for keys in held.values()) >= ROWS_TOGETHER:
                yield from self._write(session, held, work)
                held = {}
        if held:
            yield from self._write(session, held, work)

    def _write(self, session: Session, keys: Mapping[int, pa.Table], paths: Mapping[int, Path]) -> list[tuple[int, int]]:
        spine = pa.concat_tables([self._spine(of_instant, at) for at, of_instant in keys.items()])
        with ExitStack() as stack:
            for at in keys:
                stack.enter_context(removed_on_error(paths[at]))
            build = stack.enter_context(self._build(spine, session, together=len(keys) > 1))
            rows = _Rows(build.batches())
            for at, of_instant in keys.items():
                write_parquet(paths[at], build.schema, rows.take(of_instant.num_rows))
            rows.end()
        return [(at, of_instant.num_rows) for at, of_instant in keys.items()]

    @cached_property
    def _visible(self) -> Visible:
        read = facts_read(self.bound, self.data)
        assert isinstance(read, Visible)
        return replace(read, exact=self.bound.view.allow_exact_matches)

    @property
    def _no_keys(self) -> pa.Table:
        names = [f"key_{key.name}" for key in self.bound.keys] or ["key_all"]
        return pa.table({name: pa.nulls(0) for name in names})

    def _spine(self, keys: pa.Table, at: int) -> pa.Table:
        columns = {key.name: keys[f"key_{key.name}"].cast(key.dtype.arrow) for key in self.bound.keys}
        return pa.table({**columns, AS_OF: pc.cast(pa.repeat(pa.scalar(at), keys.num_rows), TIMESTAMP.arrow)})

    def _build(self, spine: pa.Table, session: Session | None = None, *, together: bool = False) -> Build:
        """The sources were looked at before."""
        settings = self.settings if together else replace(self.settings, window_plan="snapshot", snapshot=True)
        asked = open_spine(spine, keys={}, as_of=AS_OF)
        request = Request(as_of=AS_OF, include=self.include)
        sources = {self.data.source.name: self.data}
        return Build(self._service, asked, sources, settings, request, replan=lambda plan: plan, session=session)

    @cached_property
    def _service(self) -> BoundService:
        view = self.bound.view
        registry = Registry.of([FeatureService(name=view.name, features=[view])])
        return registry.bind({view.source.name: self.bound.types}).services[view.name]


class _Rows:
    """The rows of a build, taken as many at a time as an instant has: in tables that are cut as if it were asked alone."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables, self._rest = tables, next(tables)

    def take(self, rows: int) -> Iterator[pa.Table]:
        """The next rows, ROWS_AT_ONCE at a time; at least one table, which may be empty."""
        for start in range(0, max(rows, 1), ROWS_AT_ONCE):
            yield self._next(min(rows - start, ROWS_AT_ONCE)).combine_chunks()

    def _next(self, rows: int) -> pa.Table:
        while self._rest.num_rows < rows:
            self._rest = pa.concat_tables([self._rest, next(self._tables)])
        taken, self._rest = self._rest.slice(0, rows), self._rest.slice(rows)
        return taken

    def end(self) -> None:
        """Have the build look at its sources again, as it does after its last row."""
        assert self._rest.num_rows == 0
        assert next(self._tables, None) is None


def made(maker: Maker, work: Mapping[int, Path], jobs: int) -> Iterator[tuple[int, int]]:
    """Make the values of some instants, each in its file, so many at a time. Gives (instant, rows) as they are done.

    What is not asked for any more is not begun.
    """
    jobs = min(jobs, len(work))
    maker = replace(maker, settings=_share(maker.settings, jobs))
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(maker.settings)) for _ in range(jobs)]
        if jobs <= 1:
            yield from (done for session in sessions for done in maker.write(session, work))
            return
        pool = stack.enter_context(ThreadPoolExecutor(jobs, "backfill"))
        try:
            yield from _side_by_side(maker, work, sessions, pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for session in sessions:
                session.interrupt()
            raise


def _side_by_side(
    maker: Maker, work: Mapping[int, Path], sessions: list[Session], pool: ThreadPoolExecutor
) -> Iterator[tuple[int, int]]:
    instants, each = list(work), -(-len(work) // (PIECES * len(sessions)))
    pieces = iter([instants[i : i + each] for i in range(0, len(instants), each)])
    idle, running = list(sessions), dict[Future[list[tuple[int, int]]], Session]()
    while True:
        for piece in islice(pieces, len(idle)):
            session = idle.pop()
            running[pool.submit(_listed, maker, session, {at: work[at] for at in piece})] = session
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            idle.append(running.pop(future))
            yield from future.result()


def _listed(maker: Maker, session: Session, work: Mapping[int, Path]) -> list[tuple[int, int]]:
    return list(maker.write(session, work))


@dataclass(frozen=True)
class _OnExecutor:
    """What one task does: the values of the instant of that number, in its file, by one thread."""

    maker: Maker
    work: tuple[tuple[int, Path], ...]

    def __call__(self, number: int) -> int:
        at, path = self.work[number]
        with Session(replace(self.maker.settings, threads=1, temp_directory=None)) as session:
            [(_, rows)] = self.maker.write(session, {at: path})
            return rows


def made_by_spark(
    maker: Maker, work: Mapping[int, Path], spark: SparkSettings, watch: Watcher, stage: str
) -> Iterator[tuple[int, int]]:
    """The same in one Spark job, a task for each instant; the files lie where driver and executors see them."""
    from featurestore.engines.spark import Session as SparkSession

    if not work:
        return
    with SparkSession(spark) as session, session.watched(watch, stage):
        rows = session.each(_OnExecutor(maker, tuple(work.items())), range(len(work)))
    yield from zip(work, rows, strict=True)


def _share(settings: Settings, jobs: int) -> Settings:
    """What each of some jobs at one time may use."""
    if jobs <= 1:
        return settings
    threads = max((settings.threads or os.cpu_count() or 1) // jobs, 1)
    return replace(settings, threads=threads, memory_limit=f"{int(memory(settings.memory_limit) / jobs)}B")


__all__ = ["Maker", "made", "made_by_spark"]
