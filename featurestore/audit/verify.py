"""Verify online answers: each must equal F offline at the same (t, W, S), cell by cell.

A service is asked in one snapshot of the online store. W and S of each view stand in its generation: offline, a training
set with `known_before` = W is built over exactly the files of S, whatever files have come since, and as much of the push log
as is applied online. If a file of S is gone or changed, or the store answers by another definition than the registry's, a view
is `unverifiable`: that is no difference.
Which questions are asked is `probes`' business, what is true that of `truth`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random
from typing import Any

from featurestore.audit.offline import Offline, reason_of, why_not
from featurestore.audit.probes import LAST_INSTANT, Anchor, Key, Probe, Probes, around, times_of
from featurestore.audit.report import (
    DIFFERENT,
    EQUAL,
    UNVERIFIABLE,
    Difference,
    ServiceVerification,
    Verification,
    ViewVerification,
)
from featurestore.audit.scratch import Scratch
from featurestore.audit.truth import OVERFLOW, Cell, OnDemandTruth, ViewTruth, alike
from featurestore.dtypes import DType
from featurestore.errors import DefinitionError, SourceError, StoreUnavailable, UnknownName, UsageError, nearest
from featurestore.intervals import FOREVER, format_instant
from featurestore.materialization.applying import mark_of
from featurestore.online.codec import encode_key, record_of, storage_key
from featurestore.online.generations import Generation, generation, served_services
from featurestore.online.store import Moved, Snapshot
from featurestore.online.tables import exact_until
from featurestore.plan import online_state
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundView, Registry
from featurestore.retrieval.online_features import MOVES, Checked, OnlineReader, Service, as_date
from featurestore.retrieval.online_view import EXPIRED, NOT_FOUND, STALE, UNAVAILABLE, Answer, View

EXAMPLES = 4
"""How many differing cells of each cause a view reports in full."""
EXPLAINED = 200
"""Of how many differing rows of a view the cause is looked for."""
OVERFLOWS_CHECKED = 8
"""Of how many `unavailable` cells of a feature the offline sum is computed: each takes builds of its own."""

SCRATCH_KEYS = 20
"""Of how many keys a scratch store is made."""


def verify(
    reader: OnlineReader,
    offline: Offline,
    *,
    service: str | None = None,
    sample: int = 1_000,
    seed: int = 0,
    scratch: int = 2,
    watch: Watcher | None = None,
) -> Verification:
    """Ask `sample` questions of one service, or of each that the online store can answer or the registry defines.

    scratch: how many stores are made in memory for each view, each just before an event.

    Raises: UnknownName FS101, FS501 (the store cannot answer it yet), UsageError FS102, StoreError.
    """
    if sample < 1:
        raise UsageError("FS102", f"--sample {sample} asks nothing", hint="--sample 1000")
    if scratch < 0:
        raise UsageError("FS102", f"--scratch {scratch} is below 0", hint="--scratch 0")
    done = Verification(sample, seed)
    with reader.store.read() as snapshot:
        served = served_services(snapshot)
    if service is not None:
        _check_name(service, offline.registry, served)
    for name in [service] if service is not None else sorted({*served, *_kept_online(offline.registry)}):
        if watch is not None:
            watch(Progress(f"verifying {name}"))
        done.services[name] = _verified(reader, offline, name, sample, seed, scratch)
    return done


def _verified(reader: OnlineReader, offline: Offline, *asked: Any) -> ServiceVerification:
    """One service, begun anew where an optimistic store is written to meanwhile. Raises: StoreUnavailable FS412."""
    for _ in range(MOVES):
        with suppress(Moved):
            return _ServiceRun(reader, offline, *asked).result()
    raise StoreUnavailable("FS412", f"the online store was written to during each of {MOVES} attempts", hint="again later")


def _check_name(service: str, registry: Registry, served: Mapping[str, Any]) -> None:
    if service in served:
        return
    if service not in registry.services:
        known = sorted({*registry.services, *served})
        raise UnknownName("FS101", f"unknown feature service {service!r}", known=known, hint=nearest(service, known))
    what = f"the online store cannot answer feature service {service!r}"
    raise UnknownName("FS501", what, known=served, hint="featurestore materialize")


def _kept_online(registry: Registry) -> list[str]:
    offline = {name for name, view in registry.views.items() if not view.online}
    return [name for name, s in registry.services.items() if not offline & {i.view.name for i in s.instances}]


@dataclass
class _Instance:
    """A view as the served service uses it, with its generation and, where it can be had, its truth."""

    definition: Mapping[str, Any]
    made: Generation
    truth: ViewTruth | None
    report: ViewVerification

    @property
    def returned(self) -> dict[str, str]:
        """Column of the answer -> feature of the view."""
        return dict(self.definition["features"])

    @property
    def hidden(self) -> dict[str, str]:
        """Column computed for on-demand features alone -> feature of the view."""
        return dict(self.definition.get("hidden", ()))

    @property
    def computed(self) -> dict[str, str]:
        return {**self.returned, **self.hidden}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for column, _ in self.definition["keys"])

    def key(self, probe: Probe) -> Key:
        return tuple(probe.keys[c] for c in self.columns)

    def feature(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(f for f in self.made.view["features"] if f["name"] == name)
        return found


@dataclass
class _Answers:
    """What the online store answered: per probe its cells by column, hidden ones too; per view whether it holds the key."""

    cells: list[dict[str, Cell]]
    held: dict[str, list[bool]]


class _ServiceRun:
    """One service, from its questions to its report."""

    def __init__(self, reader: OnlineReader, offline: Offline, name: str, sample: int, seed: int, scratch: int) -> None:
        self._reader, self._offline, self._sample, self._seed, self._stores = reader, offline, sample, seed, scratch
        self.report = ServiceVerification(name)
        self._instances: list[_Instance] = []
        self._on_demand: list[tuple[Mapping[str, Any], OnDemandTruth | None, ViewVerification]] = []

    def result(self) -> ServiceVerification:
        with self._reader.store.read() as snapshot:
            definition = served_services(snapshot).get(self.report.service)
            if definition is None:
                self.report.reason = "the online store cannot answer it yet: featurestore materialize"
                return self.report
            self._resolve(definition, snapshot)
            service = Service(definition, snapshot)
            self._types = dict(zip(service.feature_names, service.feature_types, strict=True))
            self.probes = self._probes(service, snapshot)
            self.report.rows = len(self.probes)
            self._answers = self._ask(service, snapshot)
        true = self._true_cells()
        for instance in self._instances:
            self._judge_view(instance, true)
        for asked, computed, report in self._on_demand:
            self._judge_on_demand([f["name"] for f in asked["features"]], computed, report, true)
        return self.report

    # What is to be verified.

    def _resolve(self, definition: Mapping[str, Any], snapshot: Snapshot) -> None:
        views = dict[str, BoundView]()
        for given in definition["instances"]:
            made = generation(snapshot, given["view"], given["fingerprint"])
            assert made is not None, "a service is served when all its views have a generation"
            report = ViewVerification(given["name"], made.watermark, sum("path" in entry for entry in made.state))
            truth = None
            try:
                truth = self._offline.truth(made, mark_of(snapshot, made) if made.pushed else None)
                views[made.name] = truth.bound
            except (SourceError, DefinitionError) as error:
                report.reason = reason_of(error)
            self._instances.append(_Instance(given, made, truth, report))
            if given["features"]:
                self.report.views[report.view] = report
        nodes = self._offline.on_demand(self.report.service, views)
        for asked in definition.get("on_demand", ()):
            report = ViewVerification(asked["name"], reason=why_not(asked, nodes.get(asked["name"])))
            computed = None if report.reason else OnDemandTruth(nodes[asked["name"]], self._offline.settings)
            self._on_demand.append((asked, computed, report))
            self.report.views[report.view] = report

    def _probes(self, service: Service, snapshot: Snapshot) -> list[Probe]:
        anchors: dict[tuple[str, tuple[str, ...]], Anchor] = {}
        for i in self._instances:
            known = () if i.truth is None else (i.truth.bound, i.truth.data, min(i.truth.known_before, 2**62))
            anchors.setdefault((i.made.name, i.columns), Anchor(i.made, i.columns, *known))
        drawing = Probes(
            list(anchors.values()), service.keys, service.request, rows=self._sample, seed=self._seed,
            low=service.watermark, now=self._reader.clock.now(), settings=self._offline.settings,
        )  # fmt: skip
        return drawing.draw(snapshot)

    def _ask(self, service: Service, snapshot: Snapshot) -> _Answers:
        """One look-up per instant, all in the one snapshot; none as of an instant before the newest push to its key."""
        changes = {
            view.name: _records(snapshot, view, view.pushed_table, [instance.key(probe) for probe in self.probes])
            for instance, view in zip(self._instances, service.views, strict=True)
        }
        for row, probe in enumerate(self.probes):
            newest = max((exact_until(bytes(of[row][:9])) for of in changes.values() if of[row]), default=probe.t)  # type: ignore[index]
            if newest > probe.t:
                self.probes[row] = replace(probe, t=newest, why="the newest push to the key")
        cells: list[dict[str, Cell]] = [{}] * len(self.probes)
        by_instant: dict[int, list[int]] = {}
        for row, probe in enumerate(self.probes):
            by_instant.setdefault(probe.t, []).append(row)
        for t, rows in by_instant.items():
            asked = [self.probes[row] for row in rows]
            keys = {column: [p.keys[column] for p in asked] for column in service.keys}
            request = {name: [p.request[name] for p in asked] for name in service.request}
            found = service.look_up(snapshot, Checked(keys, len(rows), t, request))
            parts = zip(rows, found.rows(), found.statuses(), found.event_timestamps(), strict=True)
            for row, values, statuses, events in parts:
                told = zip(service.feature_names, values, statuses, events, strict=True)
                cells[row] = {name: Cell(*cell) for name, *cell in told}
        held = {}
        for instance, view in zip(self._instances, service.views, strict=True):
            records = _records(snapshot, view, view.table, [instance.key(probe) for probe in self.probes])
            both = list(zip(records, changes[view.name], strict=True))
            held[instance.report.view] = [record is not None or change is not None for record, change in both]
            if instance.hidden:
                for row, (record, change) in enumerate(both):
                    answer = view.answer_pushed(record, change, self.probes[row].t)
                    cells[row].update(_hidden_cells(view, answer, instance.hidden))
        return _Answers(cells, held)

    # What is true.

    def _true_cells(self) -> dict[str, list[Cell | None]]:
        """{column: a cell per probe}; None where no truth was asked for. Views that cannot be verified have no column."""
        true: dict[str, list[Cell | None]] = {}
        for instance in self._instances:
            if instance.truth is None:
                continue
            try:
                true |= self._truth_of(instance, instance.truth)
                self._ask_scratch_stores(instance, instance.truth)
            except SourceError as error:
                if error.code != "FS326":
                    raise
                instance.truth, instance.report.reason = None, f"{error.where} changed while it was read"
        return true

    def _truth_of(self, instance: _Instance, truth: ViewTruth) -> dict[str, list[Cell | None]]:
        """All features in one build; those that online call some cell `unavailable`, each by itself."""
        unavailable = {out: self._unavailable(out) for out in instance.computed}
        alone = {out for out, rows in unavailable.items() if rows}
        everywhere = range(len(self.probes))
        together = {out: name for out, name in instance.computed.items() if out not in alone}
        found = self._asked(instance, truth, together, everywhere)
        for out in alone:
            unchecked = set(unavailable[out][OVERFLOWS_CHECKED:])
            rows = [row for row in everywhere if row not in unchecked]
            checked = [row for row in rows if row in unavailable[out]]
            one = {out: instance.computed[out]}
            found |= self._asked(instance, truth, one, [row for row in rows if row not in checked])
            for row in checked:
                found[out][row] = self._asked(instance, truth, one, [row])[out][row]
        return found

    def _unavailable(self, column: str) -> list[int]:
        return [row for row, cells in enumerate(self._answers.cells) if cells[column].status == UNAVAILABLE]

    def _asked(
        self, instance: _Instance, truth: ViewTruth, columns: Mapping[str, str], rows: Sequence[int], shift: int = 0
    ) -> dict[str, list[Cell | None]]:
        """The truth of some columns in some rows, `shift` microseconds later than asked; None in the others."""
        features = list(dict.fromkeys(columns.values()))
        if not features:
            return {}
        keys = [instance.key(self.probes[row]) for row in rows]
        cells = truth.cells(features, keys, [self.probes[row].t + shift for row in rows])
        found: dict[str, list[Cell | None]] = {}
        for out, name in columns.items():
            found[out] = [None] * len(self.probes)
            for row, cell in zip(rows, cells[name], strict=True):
                found[out][row] = cell
        return found

    # What differs.

    def _judge_view(self, instance: _Instance, true: Mapping[str, list[Cell | None]]) -> None:
        report = instance.report
        wrong: dict[int, list[str]] = {}
        for out, name in instance.returned.items():
            aggregate = instance.feature(name)["aggregate"]
            for row, cells in enumerate(self._answers.cells):
                outcome = UNVERIFIABLE if report.reason else _outcome(cells[out], true[out][row], aggregate)
                report.cells[outcome] += 1
                if outcome == DIFFERENT:
                    wrong.setdefault(row, []).append(out)
        if not wrong or instance.truth is None:
            return
        causes = _Causes(self, instance, instance.truth, list(wrong)[:EXPLAINED])
        counted: Counter[str] = Counter()
        for row, columns in wrong.items():
            for out in columns:
                online, offline = self._answers.cells[row][out], true[out][row]
                assert offline is not None
                cause = causes.of(row, out, online, offline)
                counted[cause] += 1
                self._example(report, row, out, online, offline, cause)
        report.causes = dict(counted.most_common())

    def _judge_on_demand(
        self,
        features: Sequence[str],
        truth: OnDemandTruth | None,
        report: ViewVerification,
        true: Mapping[str, list[Cell | None]],
    ) -> None:
        """A cell is compared where all that it reads is known offline."""
        if truth is not None and not all(column in true for column in truth.inputs):
            truth, report.reason = None, "an input is unverifiable"
        if truth is None:
            report.cells[UNVERIFIABLE] += len(self.probes) * len(features)
            return
        inputs = {c: [None if cell is None else cell.value for cell in true[c]] for c in truth.inputs}
        found = truth.cells(self.probes, inputs)
        counted: Counter[str] = Counter()
        for out in features:
            for row, cells in enumerate(self._answers.cells):
                online, offline = cells[out], found[out][row]
                outcome = online.status if online.status in (STALE, UNAVAILABLE) else _outcome(online, offline, None)
                if outcome == DIFFERENT and online.status == offline.status:
                    known = {c: values[row] for c, values in inputs.items()}
                    outcome = EQUAL if truth.agrees(out, online.value, self.probes[row], known) else DIFFERENT
                report.cells[outcome] += 1
                if outcome == DIFFERENT:
                    cause = "input" if self._input_differs(truth.reads(out), row, true) else "value"
                    counted[cause] += 1
                    self._example(report, row, out, online, offline, cause)
        report.causes = dict(counted.most_common())

    def _input_differs(self, reads: Sequence[str], row: int, true: Mapping[str, list[Cell | None]]) -> bool:
        """Whether a feature of a view that the cell reads differs itself."""
        return any(_outcome(self._answers.cells[row][c], true[c][row], None) == DIFFERENT for c in reads)

    # Stores made just before an event.

    def _ask_scratch_stores(self, instance: _Instance, truth: ViewTruth) -> None:
        if truth.bound.view.source.static or not instance.returned:
            return
        rng, made = Random(f"scratch {self._seed}"), instance.made
        keys = [key for key in dict.fromkeys(map(instance.key, self.probes)) if None not in key]
        times = times_of(
            online_state(truth.bound), truth.bound, truth.data, keys, truth.settings, known_before=made.watermark,
            horizon=made.horizon, since=-(2**62), each=SCRATCH_KEYS, seed=self._seed,
        )  # fmt: skip
        events = sorted({e for known in times.values() for e in known if abs(e) < LAST_INSTANT})
        for e in rng.sample(events, min(self._stores, len(events))):
            own = [key for key, known in times.items() if e in known]
            others = rng.sample(list(times), min(SCRATCH_KEYS, len(times)))
            self._ask_scratch_store(instance, truth, list(dict.fromkeys([*own, *others]))[:SCRATCH_KEYS], e)

    def _ask_scratch_store(self, instance: _Instance, truth: ViewTruth, keys: Sequence[Key], e: int) -> None:
        store = Scratch(truth, instance.made, instance.definition, keys, e - 1)
        report, asked = instance.report, [(key, t, why) for key in keys for t, why in around(e).items()]
        report.scratch["stores"] += 1
        features = list(dict.fromkeys(instance.returned.values()))
        before = replace(truth, known_before=e - 1, files_before=None)
        true = before.cells(features, [key for key, _, _ in asked], [t for _, t, _ in asked])
        for row, (key, t, why) in enumerate(asked):
            online = store.cells(key, t)
            for out, name in instance.returned.items():
                outcome = _outcome(online[out], true[name][row], instance.feature(name)["aggregate"])
                if outcome not in (EQUAL, DIFFERENT):
                    continue
                report.scratch[outcome] += 1
                if outcome == DIFFERENT:
                    probe = Probe(dict(zip(instance.columns, key, strict=True)), t, {}, f"{why}, of a store made just before e")
                    self._add_example(report, probe, out, online[out], true[name][row], "scratch store")

    def _example(self, report: ViewVerification, row: int, out: str, online: Cell, offline: Cell, cause: str) -> None:
        self._add_example(report, self.probes[row], out, online, offline, cause)

    def _add_example(self, report: ViewVerification, probe: Probe, out: str, online: Cell, offline: Cell, cause: str) -> None:
        if sum(example.cause == cause for example in report.examples) >= EXAMPLES:
            return
        at, dtype = format_instant(probe.t), self._types[out]
        sides = _told(online, dtype), _told(offline, dtype)
        report.examples.append(Difference(out, probe.keys, at, *sides, cause, probe.why, probe.request))


class _Causes:
    """Why cells of a view differ, as far as F itself can tell: asked a microsecond off, or without a cut-off."""

    def __init__(self, run: _ServiceRun, instance: _Instance, truth: ViewTruth, rows: Sequence[int]) -> None:
        self._run, self._instance, self._rows = run, instance, frozenset(rows)
        self._held = run._answers.held[instance.report.view]
        later = ViewTruth(truth.bound, truth.data, truth.settings, FOREVER)
        asked = instance.returned
        self._shifted = [run._asked(instance, truth, asked, rows, near) for near in (-1, 1)]
        self._unbounded = run._asked(instance, later, asked, rows)
        self._with_facts = self._keys_with_facts(truth, rows)

    def _keys_with_facts(self, truth: ViewTruth, rows: Sequence[int]) -> set[Key] | None:
        """The keys of some rows that have a fact at all; None where the source has no facts in time."""
        if truth.bound.view.source.static:
            return None
        keys = [self._instance.key(self._run.probes[row]) for row in rows]
        made = self._instance.made
        found = times_of(
            online_state(truth.bound), truth.bound, truth.data, keys, truth.settings, known_before=made.watermark,
            horizon=made.horizon, since=-(2**62), each=1, seed=0,
        )  # fmt: skip
        return set(found)

    def of(self, row: int, out: str, online: Cell, offline: Cell) -> str:
        if row not in self._rows:
            return "not looked into"
        key = self._instance.key(self._run.probes[row])
        has_facts = offline.status != NOT_FOUND if self._with_facts is None else key in self._with_facts
        if self._held[row] and not has_facts:
            return "key that should not be there"
        if not self._held[row] and has_facts:
            return "key missing"
        if OVERFLOW in (offline.status, online.status) or UNAVAILABLE in (offline.status, online.status):
            return "overflow"
        why = self._run.probes[row].why
        if any(_same(online, shifted[out][row]) for shifted in self._shifted):
            return f"boundary: {why}" if why.startswith("e") else "boundary"
        if EXPIRED in (online.status, offline.status):
            return "ttl"
        if _same(online, self._unbounded[out][row]):
            return "known time"
        return "another fact" if online.event != offline.event else "value"


def _records(snapshot: Snapshot, view: View, table: str | None, keys: Sequence[Key]) -> list[bytes | None]:
    """What a table of a view holds of some keys; None where it holds nothing, as no table does."""
    stored = [None if table is None else _stored_key(key, view.families) for key in keys]
    found = iter(snapshot.get(table or view.table, [key for key in stored if key is not None]))
    records = [None if key is None else next(found) for key in stored]
    return list(map(record_of, records, stored)) if view.long_keys and table == view.table else records


def _hidden_cells(view: View, answer: Answer, hidden: Mapping[str, str]) -> dict[str, Cell]:
    cells = zip(answer[0], view.statuses(answer), view.event_timestamps(answer), strict=True)
    named = {name: Cell(*cell) for name, cell in zip(view.feature_names, cells, strict=True)}
    return {name: named[name] for name in hidden}


def _stored_key(key: Key, families: Sequence[str]) -> bytes | None:
    if None in key:
        return None
    try:
        return storage_key(encode_key(key, families))
    except ValueError:
        return None


def _outcome(online: Cell, offline: Cell | None, aggregate: str | None) -> str:
    """offline None: an `unavailable` cell that was not checked."""
    if online.status == STALE:
        return STALE
    if online.status == UNAVAILABLE:
        return UNAVAILABLE if offline is None or offline.status == OVERFLOW else DIFFERENT
    return EQUAL if _same(online, offline, aggregate) else DIFFERENT


def _same(online: Cell, offline: Cell | None, aggregate: str | None = None) -> bool:
    return (
        offline is not None
        and (online.status, online.event) == (offline.status, offline.event)
        and alike(online.value, offline.value, aggregate)
    )


def _told(cell: Cell, dtype: DType) -> dict[str, Any]:
    event = None if cell.event is None else format_instant(cell.event)
    return {"value": readable(cell.value, dtype), "status": cell.status, "event_timestamp": event}


def readable(value: Any, dtype: DType) -> Any:
    """A stored value as people write it: dates and times as such."""
    if value is None:
        return None
    if dtype.is_list:
        return [readable(item, dtype.item) for item in value]
    if dtype.is_map:
        return [[readable(key, dtype.key), count] for key, count in value]
    if dtype.is_timestamp:
        return format_instant(value)
    return as_date(value) if dtype.name == "date32" else value


__all__ = ["readable", "verify"]
