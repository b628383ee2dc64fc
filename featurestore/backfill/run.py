"""One run of a backfill: bring the values of a view at some instants up to date in a folder, and leave alone what is.

An instant's file is kept where it was made by the same definition from source files that are all still there, and nothing that
came since touches it. So a run that is repeated does nothing, and one after late rows does what a full one would.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore import plan as planning
from featurestore.backfill.asked import Asked
from featurestore.backfill.folder import Folder, Record
from featurestore.backfill.late import touched, why_all
from featurestore.backfill.making import Maker, made, made_by_spark
from featurestore.backfill.report import UNCHANGED, WRITTEN, Backfilled, Partition
from featurestore.backfill.tables import PARQUET, target_of
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import check_left_out, pushed_to
from featurestore.engines.duckdb.expectations import Judge
from featurestore.errors import UsageError
from featurestore.failpoints import reach
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundView, Registry
from featurestore.sources import IdentityCache, SourceData
from featurestore.sources.files import sha256

if TYPE_CHECKING:
    from featurestore.engines.spark import SparkSettings

KEPT_EVERY = 1.0
"""Seconds of work that a run which is killed may lose."""


@dataclass(frozen=True)
class Project:
    """What a run works with, beside the view. spark: the instants are computed on its executors, side by side. folder: of the
    project, where what is known of tables is kept."""

    settings: Settings
    identities: IdentityCache
    judge: Judge | None = None
    spark: SparkSettings | None = None
    folder: Path = Path()


def backfill(
    bound: BoundView, data: SourceData, asked: Asked, output: str | Path, project: Project, *,
    kind: str = PARQUET, jobs: int = 1, dry_run: bool = False, watch: Watcher | None = None,
) -> Backfilled:  # fmt: skip
    """Write the values of a view at the instants asked for. kind: of KINDS.

    Raises: UsageError FS387, StoreFormat FS388, StoreLocked FS389; SourceError, DataError, StoreError. Files that were
    finished are kept.
    """
    target = target_of(kind, output, bound.name, asked, project.folder)
    return _Run(bound, data, asked, target, str(output), project, watch or (lambda _: None)).run(jobs, dry_run)


def check_view(registry: Registry, name: str) -> None:
    """Raises: UnknownName FS101; UsageError FS386 for a view that looks ahead of its instant, or is the same at all of them."""
    if name in registry.labels:
        what = f"{name!r} is a label view: labels look ahead of their instant"
        raise UsageError("FS386", what, where=registry.labels[name].place, hint="a training set: featurestore build")
    view = registry.view(name)
    if view.source.static:
        what = f"view {name!r} is of a static source: its values are the same at every instant"
        raise UsageError("FS386", what, where=view.place, hint="read the source, or build a training set")


class _Run:
    def __init__(
        self, bound: BoundView, data: SourceData, asked: Asked, target: Folder, output: str, project: Project, watch: Watcher
    ) -> None:
        self.bound, self.data, self.asked, self.project, self.watch = bound, data, asked, project, watch
        self.plan = planning.with_pushed(planning.online_state(bound), pushed_to({data.source.name: data}))
        self.maker = Maker(bound, data, project.settings, asked.include)
        self.report = Backfilled(bound.name, bound.fingerprint, output)
        self.folder = target.opened()

    def run(self, jobs: int, dry_run: bool) -> Backfilled:
        self._check_source()
        self.maker.schema()  # names that clash come before any work
        self.state = self.data.state(self.project.identities)
        self.name = hashlib.sha256(json.dumps(self.state, sort_keys=True).encode()).hexdigest()[:16]
        self.folder.states[self.name] = self.state
        self.report.dry_run = dry_run
        if dry_run:
            self._report(self._work(), {})
            return self.report
        with self.folder.locked():
            self.folder = self.folder.opened()  # as it is now
            self.folder.states[self.name] = self.state
            reach("backfill.begun")
            work = self._work()
            self._report(work, self._make(work, jobs))
            reach("backfill.done")
        return self.report

    def _check_source(self) -> None:
        self.watch(Progress("checking sources"))
        if self.project.judge is not None:
            self.report.warnings += self.project.judge.check([self.data], self.watch)
        with Session(self.project.settings) as session:
            counts = check_left_out(session, self.bound, self.data)
        self.report.left_out = counts.left_out
        self.report.warnings += counts.warnings

    # What is to be done.

    def _work(self) -> dict[int, str]:
        """The instants that must be made, and why."""
        self.watch(Progress("finding what is to be done"))
        self.as_written = self.folder.as_written(self.asked.instants, self.project.identities)
        late = _Late(self)
        found = {at: self._why(at, late) for at in self.asked.instants}
        others = [at for at, r in self.folder.records.items() if at not in found and r.fingerprint != self.bound.fingerprint]
        if others:
            self.report.warnings.append(
                f"{len(others):,} partitions outside of --from and --to are of another definition of {self.bound.name}"
            )
        return {at: reason for at, reason in found.items() if reason}

    def _why(self, at: int, late: _Late) -> str:
        record = self.folder.records.get(at)
        if record is None:
            return "new"
        if record.fingerprint != self.bound.fingerprint:
            return "the definition changed"
        if at not in self.as_written:
            return "the file is not as it was written"
        return late.why(at, record.state)

    # Making it.

    def _make(self, work: Mapping[int, str], jobs: int) -> Collection[int]:
        """Make what is to be made. Returns: the instants whose file is another than it was."""
        changed, kept = set[int](), dict[int, Record]()
        paths = {at: self.folder.aside(self.asked.file(at)) for at in work}
        saved, stage = time.monotonic(), f"backfilling {self.bound.name}"
        if work:
            self.watch(Progress(stage, 0, len(work), "instants"))
        try:
            for done, (at, rows) in enumerate(self._made(paths, jobs, stage), 1):
                record = self._record(at, rows, paths[at])
                if self._is_the_same(at, record):
                    paths[at].unlink()
                    self.folder.records[at] = record
                else:
                    kept[at] = record
                    changed.add(at)
                if time.monotonic() - saved > KEPT_EVERY:
                    self.folder.keep(kept)
                    kept, saved = {}, time.monotonic()
                self.watch(Progress(stage, done, len(work), "instants"))
        finally:
            self.folder.keep(kept)
            for path in paths.values():
                path.unlink(missing_ok=True)
        self.folder.now_of([at for at in self.asked.instants if at not in work], self.name)
        self.folder.save()
        return changed

    def _made(self, paths: Mapping[int, Path], jobs: int, stage: str) -> Iterator[tuple[int, int]]:
        if self.project.spark is None:
            return made(self.maker, paths, jobs)
        return made_by_spark(self.maker, paths, self.project.spark, self.watch, stage)

    def _record(self, at: int, rows: int, path: Path) -> Record:
        return Record(self.asked.file(at), rows, path.stat().st_size, sha256(path), self.bound.fingerprint, self.name)

    def _is_the_same(self, at: int, record: Record) -> bool:
        return at in self.as_written and self.folder.records[at].sha256 == record.sha256

    def _report(self, work: Mapping[int, str], changed: Collection[int]) -> None:
        for at in self.asked.instants:
            record = self.folder.records.get(at)
            written = at in work if self.report.dry_run else at in changed
            rows = None if record is None or (written and self.report.dry_run) else record.rows
            self.report.partitions.append(
                Partition(at, self.folder.told(self.asked.file(at)), rows, WRITTEN if written else UNCHANGED, work.get(at, ""))
            )


class _Late:
    """What has come to the source since the states that files were made from; each looked at once."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._found: dict[str, tuple[str, Collection[int]]] = {}

    def why(self, at: int, state: str) -> str:
        if state == self._run.name and self._run.data.is_identified:
            return ""
        if state not in self._found:
            self._found[state] = self._since(self._run.folder.states.get(state, []))
        all_of_it, some = self._found[state]
        return all_of_it or ("late rows" if at in some else "")

    def _since(self, before: list[dict[str, object]]) -> tuple[str, Collection[int]]:
        run = self._run
        reason = why_all(run.data, before, run.state)
        if reason:
            return reason, ()
        return "", touched(run.project.settings, run.bound, run.plan, run.data, before, run.asked)
