"""One run of the materializer: bring each view's online state to a new watermark.

A run is idempotent: the state of a key is replaced as F gives it, so replaying or overlapping runs end in the same
store. It is incremental where it can be: it reads the files the last run did not see and the rows that became known
since, among them those pushed, and refreshes every key they touch; where a file of the last run is gone or changed, the
view is made anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore import plan as planning
from featurestore.atomic import disk_errors
from featurestore.compiler import duckdb as sql
from featurestore.dtypes import INT64
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import check_left_out, check_static, pushed_to
from featurestore.errors import UsageError
from featurestore.failpoints import reach
from featurestore.intervals import Clock, Duration, format_instant
from featurestore.materialization.indexing import Indexing
from featurestore.materialization.records import PAIRS, pairs
from featurestore.online.codec import encode_keys, storage_keys
from featurestore.online.generations import Generation, generation, next_number, publish
from featurestore.online.layout import Layout
from featurestore.online.store import Batch, OnlineStore
from featurestore.plan.nodes import OnlineState, StaticLookup, Visible, measures, ordered_by_time
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundRegistry, BoundView
from featurestore.sources import IdentityCache, PushedPart, SourceData, pushed_in
from featurestore.sources.push_rows import PushTarget

log = logging.getLogger(__name__)


@dataclass
class ViewReport:
    """What a run did to one view. mode: "full", "incremental", or "nothing"; reason says why, when it is not plain."""

    view: str
    mode: str
    watermark: str
    fingerprint: str
    generation: int = 0
    reason: str = ""
    keys: int = 0
    keys_written: int = 0
    keys_removed: int = 0
    keys_held_back: int = 0
    new_files: int = 0
    pushed_rows: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def materialize(
    registry: BoundRegistry,
    sources: Callable[[str], SourceData],
    store: OnlineStore,
    *,
    views: Sequence[str],
    clock: Clock,
    settings: Settings,
    identities: IdentityCache,
    horizon: Duration,
    known_before: int | None = None,
    full: bool = False,
    watch: Watcher | None = None,
) -> list[ViewReport]:
    """Bring `views` to the watermark `known_before` (default: now), one after the other.

    Raises: UsageError FS108 for a watermark in the future; StoreLocked FS401 while another run holds the store;
    SourceError, StoreError. Views already done keep their new generation.
    """
    now = clock.now()
    watermark = now if known_before is None else known_before
    if watermark > now:
        raise UsageError(
            "FS108", f"--known-before {format_instant(watermark)} is in the future", hint="an instant that is past"
        )
    with store.lock():
        reports = []
        for name in views:
            data = sources(registry.views[name].view.source.name)
            run = _ViewRun(registry, registry.views[name], data, store, settings, identities, horizon.micros, watch)
            reports.append(run.to(watermark, full=full))
        return reports


class _ViewRun:
    """One view's way to a new generation."""

    def __init__(
        self,
        registry: BoundRegistry,
        bound: BoundView,
        data: SourceData,
        store: OnlineStore,
        settings: Settings,
        identities: IdentityCache,
        horizon: int,
        watch: Watcher | None,
    ) -> None:
        self.bound, self.data, self.store, self.settings = bound, data, store, settings
        self.horizon = horizon
        self.plan: OnlineState = planning.with_pushed(planning.online_state(bound), pushed_to({data.source.name: data}))
        self.services = _online_services(registry)
        self.views = {name: view.fingerprint for name, view in registry.views.items() if view.view.online}
        self.pushable = _pushable(registry)
        self.state = data.state(identities)
        self.layout = Layout(
            [o.dtype for o in self.plan.latest],
            [m.dtype for m in measures(self.plan.windows)],
            known=ordered_by_time(self.plan.windows),
        )
        self.families = [k.family for k in bound.keys]
        self._watch = watch or (lambda _: None)
        with store.read() as snapshot:
            self.previous = generation(snapshot, bound.name, bound.fingerprint)
            self.number = next_number(snapshot)

    def to(self, watermark: int, *, full: bool) -> ViewReport:
        """Make the generation of `watermark`, or say why there is nothing to do."""
        previous, name = self.previous, self.bound.name
        if previous is not None and watermark < previous.watermark:
            return ViewReport(
                name, "nothing", format_instant(previous.watermark), self.bound.fingerprint, previous.number,
                f"the store already knows facts up to {format_instant(previous.watermark)}", previous.keys,
            )  # fmt: skip
        reason = "asked for" if full else self._why_full()
        with Session(self.settings) as session:
            counts = check_left_out(session, self.bound, self.data)
            report = ViewReport(
                name, "full" if reason else "incremental", format_instant(watermark), self.bound.fingerprint, self.number,
                reason, left_out=counts.left_out, warnings=counts.warnings,
            )  # fmt: skip
            touched = None if reason else self._touched(session, watermark, report)
            spool = session.folder / "state.arrow"
            self._compute(session, spool, watermark, touched)
            self._check_unchanged()
            reach("materialize.computed")
            self._write(spool, watermark, touched, report)
        return report

    def _why_full(self) -> str:
        """Why the view must be made anew, or "" if a step from its last generation is enough."""
        if self.previous is None:
            return "first generation of this definition"
        if isinstance(self.plan.facts, StaticLookup):
            return "a static source has no history to follow"
        if not self.data.stamps:
            return "a table from memory has no files to compare"
        now = {(f["path"], f["sha256"]) for f in self.state if "path" in f}
        before = [f for f in self.previous.state if "path" in f]
        gone = [str(f["path"]) for f in before if (f["path"], f["sha256"]) not in now]
        if gone:
            return f"{gone[0]} is gone or changed since the last run"
        log, here = pushed_in(self.previous.state), self.data.pushed
        if log is not None and (here is None or here.log != log.log or here.position < log.position):
            return f"the push log of {self.data.source.name} is not the one of the last run"
        return "the horizon changed" if self.previous.horizon != self.horizon else ""

    def _touched(self, session: Session, watermark: int, report: ViewReport) -> pa.Table:
        """The keys an incremental run refreshes."""
        assert self.previous is not None
        self._watch(Progress(f"{self.bound.name}: finding touched keys"))
        new = self.data.since(self.previous.state)
        report.new_files = len(new.stamps)
        report.pushed_rows = new.rows - sum(p.rows for p in new.parts if not isinstance(p, PushedPart))
        self._bind(session, self.data)
        self._bind(session, new, prefix=sql.NEW_PREFIX)
        parameters = {"previous": self.previous.watermark, "known_before": watermark, "horizon": self.horizon}
        table = session.table(sql.touched(self.plan), parameters)
        session.bind("touched", table)
        return table

    def _bind(self, session: Session, data: SourceData, **prefix: str) -> None:
        columns = self.bound.view.columns
        session.bind_source(data, columns, {c: self.bound.types[c] for c in columns}, **prefix)

    def _compute(self, session: Session, spool: Path, watermark: int, touched: pa.Table | None) -> None:
        """Run the state's statement and keep (key, record) pairs in a file: the write may read them more than once."""
        self._bind(session, self.data)
        if isinstance(self.plan.facts, StaticLookup):
            check_static(session, self.plan.facts)
        exact = isinstance(self.plan.facts, Visible) and self.plan.facts.exact
        statement = sql.online_state(self.plan, limited=touched is not None)
        parameters = {"known_before": watermark, "known_shift": 0, "horizon": self.horizon}
        done = 0
        with disk_errors(spool), pa.OSFile(str(spool), "wb") as sink, pa.ipc.new_stream(sink, PAIRS) as writer:
            rows, indexing = session.reader(statement, parameters), Indexing(self.plan, watermark, self.horizon)
            for batch in pairs(rows, self.families, self.layout, exact=exact, indexing=indexing):
                writer.write_batch(batch)
                done += batch.num_rows
                self._watch(Progress(f"{self.bound.name}: computing", done))

    def _check_unchanged(self) -> None:
        for stamp in self.data.stamps:
            stamp.check()

    def _write(self, spool: Path, watermark: int, touched: pa.Table | None, report: ViewReport) -> None:
        """Records, generation and services in one transaction: readers see all of it or none."""
        table = f"{self.bound.name}@{self.number}" if touched is None or self.previous is None else self.previous.table

        def fill(batch: Batch) -> None:
            report.keys_written = report.keys_held_back = 0
            if touched is not None:
                batch.delete(table, _storage_keys(touched, self.families))
            batch.put(table, self._counted(spool, report))
            if touched is None and self.previous is not None:
                batch.drop(self.previous.table)
            reach("materialize.written")
            report.keys = batch.count(table)
            report.keys_removed = 0 if touched is None else max(touched.num_rows - report.keys_written, 0)
            publish(batch, self._generation(watermark, table, report.keys), self.services, self.views, self.pushable)
            reach("materialize.published")

        self.store.write(fill, expected_bytes=spool.stat().st_size)
        reach("materialize.done")

    def _counted(self, spool: Path, report: ViewReport) -> Iterator[tuple[bytes, bytes]]:
        with pa.memory_map(str(spool)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
                report.keys_written += batch.num_rows
                report.keys_held_back += batch.column(2).true_count
                self._watch(Progress(f"{self.bound.name}: writing", report.keys_written))
                reach("materialize.batch")

    def _generation(self, watermark: int, table: str, keys: int) -> Generation:
        columns = tuple((name, dtype.name) for name, dtype in entry_columns(self.plan))
        return Generation(
            self.bound.name, self.bound.fingerprint, self.number, watermark, self.horizon, table, keys, columns,
            tuple(self.state), self.bound.to_manifest(),
        )  # fmt: skip


def entry_columns(plan: OnlineState) -> list[tuple[str, Any]]:
    """(name, type) of an entry's values: latest features by name, the windows' measures in order, the known time if asked."""
    columns = [(o.name, o.dtype) for o in plan.latest]
    columns += [(f"measure_{i}", m.dtype) for i, m in enumerate(measures(plan.windows), 1)]
    return [*columns, ("known_time", INT64)] if ordered_by_time(plan.windows) else columns


def _online_services(registry: BoundRegistry) -> Mapping[str, Mapping[str, Any]]:
    """The services the online store can answer: those whose views are all kept online."""
    return {
        name: service.to_manifest()
        for name, service in registry.services.items()
        if all(i.bound.view.online for i in service.instances)
    }


def _pushable(registry: BoundRegistry) -> Mapping[str, Mapping[str, Any]]:
    """What a server, which has no definitions, must know to take rows of the sources behind the views kept online."""
    used = {view.view.source.name: view.view.source for view in registry.views.values() if view.view.online}
    found: dict[str, Mapping[str, Any]] = {}
    for name, source in used.items():
        try:
            found[name] = PushTarget.of(source, registry.schemas[name]).to_data()
        except UsageError:
            found[name] = {"row_key": []}
    return found


def _storage_keys(touched: pa.Table, families: Sequence[str]) -> Iterable[bytes]:
    columns = [touched.column(i).combine_chunks() for i in range(len(families))]
    return storage_keys(encode_keys(columns, families, rows=touched.num_rows)).to_pylist()  # type: ignore[no-any-return]
