"""Make the values of a view at one instant, and write them as Parquet.

The rows are the keys that have a fact which counts by then, in order; each has what could have been known of it at that
instant: a training set of one view, whose spine asks once.
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
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import Build, Request, run_parameters
from featurestore.sources import SourceData

if TYPE_CHECKING:
    from featurestore.engines.spark import SparkSettings

AS_OF = "as_of"


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

    def write(self, session: Session, at: int, path: Path) -> int:
        """The values at an instant, as a Parquet file. Returns: its rows."""
        keys = self.keys(session, at)
        with removed_on_error(path), self._build(self._spine(keys, at), session) as build:
            write_parquet(path, build.schema, build.batches())
            return build.report.rows

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

    def _build(self, spine: pa.Table, session: Session | None = None) -> Build:
        """The sources were looked at before; the plan is the same for every file, so that its bits are."""
        settings = replace(self.settings, window_plan="snapshot", snapshot=True)
        asked = open_spine(spine, keys={}, as_of=AS_OF)
        request = Request(as_of=AS_OF, include=self.include)
        sources = {self.data.source.name: self.data}
        return Build(self._service, asked, sources, settings, request, replan=lambda plan: plan, session=session)

    @cached_property
    def _service(self) -> BoundService:
        view = self.bound.view
        registry = Registry.of([FeatureService(name=view.name, features=[view])])
        return registry.bind({view.source.name: self.bound.types}).services[view.name]


def made(maker: Maker, work: Mapping[int, Path], jobs: int) -> Iterator[tuple[int, int]]:
    """Make the values of some instants, each in its file, so many at a time. Gives (instant, rows) as they are done.

    What is not asked for any more is not begun.
    """
    jobs = min(jobs, len(work))
    maker = replace(maker, settings=_share(maker.settings, jobs))
    with ExitStack() as stack:
        sessions = [stack.enter_context(Session(maker.settings)) for _ in range(jobs)]
        if jobs <= 1:
            yield from ((at, maker.write(sessions[0], at, path)) for at, path in work.items())
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
    left, idle, running = iter(work.items()), list(sessions), dict[Future[int], tuple[int, Session]]()
    while True:
        for at, path in islice(left, len(idle)):
            session = idle.pop()
            running[pool.submit(maker.write, session, at, path)] = at, session
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            rows = future.result()
            at, session = running.pop(future)
            idle.append(session)
            yield at, rows


@dataclass(frozen=True)
class _OnExecutor:
    """What one task does: the values of the instant of that number, in its file, by one thread."""

    maker: Maker
    work: tuple[tuple[int, Path], ...]

    def __call__(self, number: int) -> int:
        at, path = self.work[number]
        with Session(replace(self.maker.settings, threads=1, temp_directory=None)) as session:
            return self.maker.write(session, at, path)


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
