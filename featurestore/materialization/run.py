"""One run of the materializer: bring each view's online state to a new watermark.

A run is idempotent: the state of a key is replaced as F gives it, so replaying or overlapping runs end in the same store. It is
incremental where it can be: it reads the files the last run did not see and the rows that became known since, among them those
pushed, and refreshes every key they touch, and every key whose record is about to expire; where a file of the last run is gone
or changed, the view is made anew. How records then reach the store is `writing`'s business; here is decided which.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore import plan as planning
from featurestore.compiler import duckdb as sql
from featurestore.dtypes import INT64
from featurestore.engines.duckdb import Session, Settings
from featurestore.engines.duckdb.checks import check_left_out, check_static, pushed_to
from featurestore.engines.duckdb.expectations import Judge
from featurestore.errors import UsageError
from featurestore.failpoints import reach
from featurestore.intervals import Clock, Duration, format_instant
from featurestore.materialization import writing
from featurestore.materialization.applying import rules
from featurestore.materialization.pushed import PushFolder, caught_up, nowhere
from featurestore.materialization.records import pairs
from featurestore.materialization.report import ViewReport
from featurestore.materialization.rows import Rows
from featurestore.materialization.writing import Chunk, NotTheSame, TooMuch, Writing, chunks
from featurestore.online import runs, tables
from featurestore.online.codec import decode_key, encode_keys, is_digest, parted, storage_keys
from featurestore.online.generations import (
    GENERATION_FORMAT,
    Generation,
    Metas,
    generation,
    generations,
    keep,
    publish,
    sweep_tables,
    trim,
)
from featurestore.online.runs import COPY, IN_PLACE, NEW_TABLE, Running
from featurestore.online.store import Batch, OnlineStore
from featurestore.online.tables import ABSENT, is_row
from featurestore.plan.nodes import OnlineState, StaticLookup, measures, ordered_by_time
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundRegistry, BoundView
from featurestore.sources import IdentityCache, PushedPart, SourceData, pushed_in
from featurestore.sources.push_rows import PushTarget

log = logging.getLogger(__name__)

KEEP = 2
"""Generations of a view that a store keeps, the live one among them."""
_EXPIRING_AT_ONCE = 100_000


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
    keep: int = KEEP,
    push_folder: PushFolder = nowhere,
    push_at_once: bool = True,
    watch: Watcher | None = None,
    judge: Judge | None = None,
) -> list[ViewReport]:
    """Bring `views` to the watermark `known_before` (default: now), one after the other.

    keep: generations kept per view, the live one among them. push_folder: where the push log of a source lies.
    push_at_once: keep what it takes to bring pushed rows online at once. judge: of the sources' expectations.
    Raises: UsageError FS108 for a watermark in the future; StoreLocked FS401 while another run holds the store;
    StoreError FS410 for a run that was overtaken; SourceError, StoreError. Views already done keep their new generation.
    """
    now = clock.now()
    watermark = now if known_before is None else known_before
    if watermark > now:
        raise UsageError(
            "FS108", f"--known-before {format_instant(watermark)} is in the future", hint="an instant that is past"
        )
    with store.lock():
        reports, said = [], dict[object, list[str]]()
        for name in views:
            data = sources(registry.views[name].view.source.name)
            looked = data.source.name, data.look  # views of one source are of one look, if nothing came
            if judge is not None and looked not in said:
                said[looked] = judge.check([data], watch)
            view = _View(
                registry, registry.views[name], data, store, settings, identities, horizon.micros, keep, watch,
                push_folder=push_folder(data.source.name), push_at_once=push_at_once,
            )  # fmt: skip
            reports.append(view.to(watermark, full=full))
            reports[-1].warnings += said.get(looked, [])
        return reports


class _View:
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
        keep: int,
        watch: Watcher | None,
        *,
        push_folder: Path | None,
        push_at_once: bool,
    ) -> None:
        self.bound, self.data, self.store, self.settings = bound, data, store, settings
        self.horizon, self.keep, self.push_folder = horizon, keep, push_folder
        self.plan: OnlineState = planning.with_pushed(planning.online_state(bound), pushed_to({data.source.name: data}))
        self.static = isinstance(self.plan.facts, StaticLookup)
        self.push = rules(self.plan) if push_at_once else {}
        self.services = _online_services(registry)
        self.views = {name: view.fingerprint for name, view in registry.views.items() if view.view.online}
        self.pushable = _pushable(registry)
        self.state = data.state(identities)
        self.families = [k.family for k in bound.keys]
        self.rows = Rows(self.plan, self.families) if self.push else None
        self.watch = watch or (lambda _: None)

    @property
    def name(self) -> str:
        return self.bound.name

    def to(self, watermark: int, *, full: bool) -> ViewReport:
        """Make the generation of `watermark`, or say why there is nothing to do."""
        newest = self.newest()
        if newest is not None and watermark < newest.watermark:
            return ViewReport(
                self.name, "nothing", format_instant(newest.watermark), newest.fingerprint, newest.number,
                f"the store already knows facts up to {format_instant(newest.watermark)}", keys=newest.keys,
            )  # fmt: skip
        left = self._left(watermark, full)
        if left is None or left.watermark == watermark:
            return self._make(watermark, full, left)
        first = self._make(left.watermark, full, left)
        second = self._make(watermark, full=False)
        second.reason = second.reason or f"after the run to {first.watermark} that was left half-way"
        second.keys_resumed = first.keys_resumed
        return second

    def _make(self, watermark: int, full: bool, left: Running | None = None) -> ViewReport:
        """One step, taking up what a run that died has left; anew from nothing if that turns out to be of other data."""
        try:
            return _Step(self, watermark, left).make(full)
        except NotTheSame:
            log.warning("%s: what an interrupted run left does not fit the data; begun anew", self.name)
            return _Step(self, watermark, None).make(full)
        except TooMuch:
            report = _Step(self, watermark, None).make(full=True)
            report.reason = "the touched records are too large to be changed at once"
            return report

    def previous(self) -> Generation | None:
        with self.store.read() as snapshot:
            return generation(snapshot, self.name, self.bound.fingerprint)

    def newest(self) -> Generation | None:
        """That of the greatest watermark, whichever definition made it: no run goes behind it."""
        with self.store.read() as snapshot:
            return _newest(snapshot, self.name)

    def state_digest(self) -> str:
        """One name for the source files as they are; "" where there are none to name."""
        return hashlib.sha256(json.dumps(self.state, sort_keys=True).encode()).hexdigest() if self.data.is_identified else ""

    def _left(self, watermark: int, full: bool) -> Running | None:
        """The run that died half-way, if this one would do the same, or go on from where it was going."""
        with self.store.read() as snapshot:
            left = runs.running(snapshot, self.name)
        previous, newest = self.previous(), self.newest()
        if newest is not None and left is not None and left.watermark < newest.watermark:
            return None
        if left is None or not left.state or left.how not in (NEW_TABLE, COPY) or (full and left.how == COPY):
            return None
        if self.static:  # the same at every watermark
            left = replace(left, watermark=watermark)
        would = replace(
            left, fingerprint=self.bound.fingerprint, base=0 if previous is None else previous.number,
            watermark=min(left.watermark, watermark), horizon=self.horizon, state=self.state_digest(), format=GENERATION_FORMAT,
        )  # fmt: skip
        return left if left.same(would) else None


class _Step:
    """One generation in the making."""

    def __init__(self, view: _View, watermark: int, left: Running | None) -> None:
        self.view, self.watermark, self.left = view, watermark, left
        self.previous = view.previous()
        self.touched_keys = self.touched_rows = 0
        self._started = time.monotonic()

    def make(self, full: bool) -> ViewReport:
        view, left = self.view, self.left
        self.writing = Writing(view.store, self._begin(), self._told)
        self.report = ViewReport(
            view.name, "full", format_instant(self.watermark), view.bound.fingerprint, self.run.number,
            keys_resumed=0 if left is None or left.how == COPY else left.written - left.rows,
        )  # fmt: skip
        with Session(view.settings) as self.session:
            counts = check_left_out(self.session, view.bound, view.data)
            self.report.left_out, self.report.warnings = counts.left_out, counts.warnings
            if self._decided(full) == NEW_TABLE:
                self._fill()
            elif self.run.how == COPY:
                self._copy(self._read_touched(), self._chunks())
            else:
                self._in_place()
        sweep_tables(view.store)
        return self._told_of()

    @property
    def run(self) -> Running:
        return self.writing.run

    def _begin(self) -> Running:
        view, begun = self.view, list[Running]()

        def fill(batch: Batch) -> None:
            state = view.state_digest()
            base = 0 if self.previous is None else self.previous.number
            begun[:] = [
                runs.take_over(batch, replace(self.left, watermark=self.watermark)) if self.left is not None
                else runs.begin(batch, view.name, view.bound.fingerprint, base=base, watermark=self.watermark,
                                horizon=view.horizon, state=state)
            ]  # fmt: skip

        view.store.write(fill)
        sweep_tables(view.store)
        reach("materialize.begun")
        return begun[0]

    # What is to be done.

    def _decided(self, full: bool) -> str:
        """How this run writes: as the one it takes up did, or a new table, a copy, or in place."""
        reason = "asked for" if full else self._why_full()
        if self.left is not None and self.left.how == NEW_TABLE:
            self.report.reason = reason or "an interrupted run was"
            return NEW_TABLE
        if not reason:
            reason = self._find_touched()
        self.report.reason = reason
        self.report.mode = "full" if reason else "incremental"
        if self.left is None:
            how = NEW_TABLE if reason else IN_PLACE if self.touched_keys + self.touched_rows <= self._few else COPY
            self._decide(how)
        elif reason:
            raise NotTheSame
        return self.run.how

    @property
    def _few(self) -> int:
        """So many records are changed in place."""
        return min(writing.IN_PLACE, self.view.store.at_once)

    def _decide(self, how: str) -> None:
        in_place = how == IN_PLACE and self.previous is not None
        self.writing.decide(how, self.previous.table if in_place else tables.name_of(self.view.name, self.run.number))  # type: ignore[union-attr]

    def _why_full(self) -> str:
        """Why the view must be made anew, or "" if a step from its last generation may be enough."""
        if self.previous is None:
            return "first generation of this definition"
        if self.view.static:
            return "a static source has no history to follow"
        if not self.view.data.is_identified:
            return "a table from memory has no files to compare"
        if self.previous.format < GENERATION_FORMAT:
            return "an older featurestore made the last generation"
        if self.previous.push != self.view.push:
            return "what brings pushed rows online is not what the last generation has"
        if self._rows_kept() > 4 * max(self.previous.rows, writing.IN_PLACE):
            return "most of what is kept of rows is of facts out of reach"
        if another := self.view.data.why_anew(self.previous.state):
            return another
        before = [f for f in self.previous.state if "path" in f]
        gone = [str(f["path"]) for f in before if f not in self.view.state]
        if gone:
            return f"{gone[0]} is gone or changed since the last run"
        log, here = pushed_in(self.previous.state), self.view.data.pushed
        if log is not None and (here is None or here.log != log.log or here.position < log.position):
            return f"the push log of {self.view.data.source.name} is not the one of the last run"
        return "the horizon changed" if self.previous.horizon != self.view.horizon else ""

    def _rows_kept(self) -> int:
        """Steps leave rows of facts that have gone out of reach, which harm nothing but fill the store."""
        assert self.previous is not None
        with self.view.store.read() as snapshot:
            return snapshot.count(tables.rows_of(self.previous.table))

    def _find_touched(self) -> str:
        """Find the keys an incremental run refreshes, as the relation `touched`. Returns: why there are too many, or ""."""
        assert self.previous is not None
        view, session = self.view, self.session
        self._told("finding touched keys", 0)
        new = view.data.since(self.previous.state)
        self.report.new_files = len(new.own)
        self.report.pushed_rows = new.rows - sum(p.rows for p in new.parts if not isinstance(p, PushedPart))
        self._bind(view.data)
        self._bind(new, prefix=sql.NEW_PREFIX)
        parameters = {"previous": self.previous.watermark, "known_before": self.watermark, "horizon": view.horizon}
        for statement in sql.find_touched(view.plan):
            session.execute(statement, parameters)
        for keys in self._expiring(self.previous.table):
            session.bind("expiring", self._columns(keys))
            session.execute(sql.touched_too(view.plan))
        self.touched_keys = session.table(sql.touched_count()).column(0)[0].as_py()
        if view.rows is not None:
            self.touched_rows = session.table(sql.touched_rows_count()).column(0)[0].as_py()
        few = self.touched_keys + self.touched_rows <= self._few
        if few or (view.store.ordered and self.touched_keys <= max(self._few, writing.MOST * self.previous.keys)):
            return ""
        return f"{self.touched_keys:,} of {self.previous.keys:,} keys are touched"

    def _expiring(self, table: str) -> Iterator[list[bytes]]:
        """Keys of records that would not be exact for half a horizon from the new watermark on.

        Half, so that a record that is exact for a whole horizon is made anew once in half a horizon, not by every run, and
        the store stays exact for half a horizon should no run come.
        """
        bound = self.watermark + self.view.horizon // 2
        after = b""
        while True:
            with self.view.store.read(locked=True) as snapshot:
                entries = list(islice(tables.expiring(snapshot, table, bound, after), _EXPIRING_AT_ONCE))
                digests = [key for _, key in entries if is_digest(key)]
                long = [parted(record)[1] for record in snapshot.get(table, digests) if record is not None]
            if not entries:
                return
            yield [key[1:] for _, key in entries if not is_digest(key)] + long
            after = entries[-1][0] + entries[-1][1]

    def _columns(self, encoded: Sequence[bytes]) -> pa.Table:
        """Keys as columns."""
        families, keys = self.view.families, self.view.bound.keys
        values = [decode_key(key, families) for key in encoded]
        arrays = [pa.array([row[i] for row in values], key.dtype.arrow) for i, key in enumerate(keys)]
        names = [f"key_{key.name}" for key in keys]
        return pa.table(arrays or [pa.array([0] * len(encoded), pa.int32())], names=names or ["key_all"])

    def _bind(self, data: SourceData, prefix: str = sql.SOURCE_PREFIX) -> None:
        bound = self.view.bound
        columns = bound.view.columns
        self.session.bind_source(data, columns, {c: bound.types[c] for c in columns}, prefix=prefix)

    # Making it.

    def _fill(self) -> None:
        self.writing.fill(self._records())
        reach("materialize.computed")
        self._publish()

    def _copy(self, keys: Iterable[bytes], made: Iterable[Chunk]) -> None:
        assert self.previous is not None
        self.writing.copy(self.previous.table)
        self.writing.refresh(keys, made)
        reach("materialize.refreshed")
        self._publish()

    def _in_place(self) -> None:
        """Change the touched records in the transaction that publishes; into a copy after all if they are much to hold.

        Raises: TooMuch where a copy would take too long.
        """
        assert self.previous is not None
        keys = list(self._read_touched())
        rows, made = dict.fromkeys(keys, ABSENT), self._chunks()
        size = held = 0
        for chunk in made:
            rows.update(chunk.rows)
            size, held = size + chunk.bytes, held + chunk.held
            if size > writing.BYTES:
                if not self.view.store.ordered:
                    raise TooMuch
                collected = [(key, record) for key, record in rows.items() if record]
                del rows
                self._decide(COPY)
                return self._copy(keys, chain([Chunk(collected, held, size)], made))
        reach("materialize.computed")
        written = [key for key, record in rows.items() if record]
        self.writing.run = replace(self.run, written=len(written), rows=sum(map(is_row, written)), held=held, size=size)
        self._publish(rows)
        return None

    def _read_touched(self) -> Iterator[bytes]:
        """The storage keys in the relation `touched`, then the keys of rows. The session can do nothing else until they are
        read."""
        families = self.view.families
        for batch in self.session.reader(sql.touched_keys(self.view.plan)):
            columns = [batch.column(i) for i in range(len(families))]
            yield from storage_keys(encode_keys(columns, families, rows=batch.num_rows)).to_pylist()
        if self.view.rows is not None:
            for batch in self.session.reader(sql.touched_rows(self.view.plan)):
                yield from self.view.rows.keys(batch).to_pylist()

    def _chunks(self) -> Iterator[Chunk]:
        return chunks(self._records(), writing.records_at_once(self.view.store))

    def _records(self) -> Iterator[pa.RecordBatch]:
        """Run the state's statement, for all keys or for those touched; nothing happens before the first is asked for."""
        view = self.view
        self._bind(view.data)
        if isinstance(view.plan.facts, StaticLookup):
            check_static(self.session, view.plan.facts)
        limited = self.report.mode == "incremental"
        statement = sql.online_state(view.plan, limited=limited)
        parameters = {"known_before": self.watermark, "known_shift": 0, "horizon": view.horizon}
        self._told("computing", 0)
        rows = self.session.reader(statement, parameters)
        yield from pairs(rows, view.families, view.plan, self.watermark, view.horizon)
        if view.rows is not None:
            yield from view.rows.pairs(self.session.reader(sql.online_rows(view.plan, limited=limited), parameters))

    # Publishing it.

    def _publish(self, rows: Mapping[bytes, bytes] | None = None) -> None:
        """The one transaction that readers see: generation, services, and for a step in place the records; what was pushed
        since the watermark is applied in it. Raises: StoreError FS410 if another run went ahead."""
        self.view.data.check_unchanged()

        def fill(batch: Batch) -> None:
            self._check_fence(batch)
            undo = None if rows is None else dict(tables.replace(batch, self.run.table, rows.items()))
            new = self._generation()
            new = caught_up(batch, replace(new, keys=batch.count(new.table)), self.view.push_folder)
            reach("materialize.written")
            self._keep(batch, undo)
            publish(batch, new, self.view.services, self.view.views, self.view.pushable)
            trim(batch, new, self.view.keep)
            runs.give_up(batch, self.view.name)
            self.report.keys = new.keys
            reach("materialize.published")

        self.view.store.write(fill, expected_bytes=0 if rows is None else 2 * self.run.size)
        reach("materialize.done")

    def _check_fence(self, batch: Batch) -> None:
        runs.check(batch, self.run)
        current = generation(batch, self.view.name, self.view.bound.fingerprint)
        newest = _newest(batch, self.view.name)
        behind = newest is not None and newest.watermark > self.watermark
        if behind or self.run.base != (0 if current is None else current.number):
            raise runs.overtaken(self.view.name)

    def _keep(self, batch: Batch, undo: dict[bytes, bytes] | None) -> None:
        """Keep the generation before, unless a step in place has left it as it was: then only W and S have moved."""
        if self.previous is None or self.view.keep < 2 or undo == {}:
            return
        table = "" if undo is None else tables.name_of(self.view.name, self.run.number, "/undo")
        if undo is not None:
            batch.put(table, sorted(undo.items()))
        keep(batch, self.previous, table)

    def _generation(self) -> Generation:
        view = self.view
        columns = tuple((name, dtype.name) for name, dtype in entry_columns(view.plan))
        return Generation(
            view.name, view.bound.fingerprint, self.run.number, self.watermark, view.horizon, self.run.table, 0, columns,
            tuple(view.state), view.bound.to_manifest(), push=view.push,
            rows=self.run.rows if self.run.how == NEW_TABLE or self.previous is None else self.previous.rows,
        )  # fmt: skip

    # Telling of it.

    def _told(self, stage: str, done: int) -> None:
        total = self.touched_keys or (0 if self.previous is None else self.previous.keys)
        self.view.watch(Progress(f"{self.view.name}: {stage}", done, total if stage != "computing" and total else None))

    def _told_of(self) -> ViewReport:
        run, report = self.run, self.report
        written = run.written - run.rows
        report.how, report.keys_written, report.keys_held_back, report.bytes_written = run.how, written, run.held, run.size
        report.keys_kept = max(report.keys - written, 0)
        report.keys_removed = max(self.touched_keys - written, 0) if report.mode == "incremental" else 0
        report.seconds = round(time.monotonic() - self._started, 3)
        report.keys_per_second = round((written - report.keys_resumed) / max(report.seconds, 0.001))
        return report


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


def _newest(metas: Metas, view: str) -> Generation | None:
    of_view = [made for made in generations(metas) if made.name == view]
    return max(of_view, key=lambda made: made.watermark, default=None)


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
