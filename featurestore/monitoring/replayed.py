"""One service, from its logged rows to what became of each cell: which truth a row has, if that is what was served, why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from featurestore.audit.offline import Offline, reason_of, why_not
from featurestore.audit.probes import Key, Probe
from featurestore.audit.truth import OVERFLOW, Cell, OnDemandTruth, ViewTruth, alike
from featurestore.audit.verify import readable
from featurestore.errors import DefinitionError, SourceError
from featurestore.intervals import FOREVER, format_instant
from featurestore.monitoring.logged import NO_REQUEST, Logged
from featurestore.monitoring.skew import FeatureSkew, ServiceSkew
from featurestore.online.generations import Generation
from featurestore.online.pushes import Mark
from featurestore.retrieval.online_features import Service
from featurestore.retrieval.online_view import EXPIRED, NOT_FOUND, STALE, UNAVAILABLE
from featurestore.sources import pushed_in
from featurestore.sources.push_log import read_log

EXPLAINED = 200
"""Of how many differing rows of a view and generation the cause is looked for."""

OTHERS = 3
"""How many generations, the newest, are asked whether a served cell is theirs."""

OTHER_DEFINITION = "answered by another definition of the service than the store's now"
FORGOTTEN = "the generation it was answered from is forgotten"
FORGOTTEN_ROWS = "rows that were pushed are forgotten since"
INPUT = "an input is unverifiable"


@dataclass(frozen=True)
class State:
    """A service as the store answers it, and of each of its views the generations whose source state is known, newest first."""

    service: Service
    generations: Mapping[str, Sequence[Generation]]


@dataclass
class _Instance:
    """A view as the service uses it, in each logged row. why: for what reason nothing can be said of the row, or "". true:
    {column: the true cell}. causes: {(row, column): why the served cell is another}."""

    definition: Mapping[str, Any]
    made: Sequence[Generation]
    why: list[str]
    true: dict[str, list[Cell | None]] = field(default_factory=dict)
    causes: dict[tuple[int, str], str] = field(default_factory=dict)

    @cached_property
    def returned(self) -> dict[str, str]:
        """Column of the answer -> feature of the view."""
        return dict(self.definition["features"])

    @cached_property
    def computed(self) -> dict[str, str]:
        """With those that on-demand features alone read."""
        return {**self.returned, **dict(self.definition.get("hidden", ()))}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for column, _ in self.definition["keys"])

    @cached_property
    def aggregates(self) -> dict[str, str | None]:
        of = {f["name"]: f["aggregate"] for f in self.made[0].view["features"]}
        return {column: of[name] for column, name in self.computed.items()}


class Replayed:
    """Fills the report of a service. Raises: StoreError, SourceError of a push log."""

    def __init__(self, offline: Offline, rows: Logged, state: State, report: ServiceSkew) -> None:
        self._offline, self._rows, self._state, self._report = offline, rows, state, report
        service = state.service
        self._types = dict(zip(service.feature_names, service.feature_types, strict=True))
        self._served = {name: rows.cells(name) for name in service.feature_names}
        self._keys = {column: rows.key(column, family) for column, family in service.keys.items()}
        self._request = {name: rows.request(name) for name in service.request}
        self._truths: dict[int, ViewTruth | str] = {}
        report.features = {name: FeatureSkew() for name in service.feature_names}

    def result(self) -> ServiceSkew:
        service = self._state.service
        instances = [self._instance(given) for given in service.definition["instances"]]
        for instance in instances:
            self._judge_view(instance)
        views = {t.bound.name: t.bound for t in self._truths.values() if isinstance(t, ViewTruth)}
        nodes = self._offline.on_demand(self._report.service, views)
        for asked in service.definition.get("on_demand", ()):
            node = nodes.get(asked["name"])
            reason = why_not(asked, node)
            truth = None if node is None or reason else OnDemandTruth(node, self._offline.settings)
            self._judge_on_demand([f["name"] for f in asked["features"]], truth, reason, instances)
        return self._report

    # What is true.

    def _instance(self, given: Mapping[str, Any]) -> _Instance:
        """A view with its truth in each row that one can be had of."""
        fingerprint = self._state.service.fingerprint
        why = ["" if f == fingerprint else OTHER_DEFINITION for f in self._rows.fingerprints]
        instance = _Instance(given, self._state.generations[given["view"]], why)
        for column in instance.columns:
            instance.why = [told or hidden for told, hidden in zip(instance.why, self._keys[column][1], strict=True)]
        instance.true = {column: [None] * len(why) for column in instance.computed}
        by_watermark: dict[int | None, list[int]] = {}
        for row, watermarks in enumerate(self._rows.watermarks):
            if not instance.why[row]:
                by_watermark.setdefault(watermarks.get(given["name"]), []).append(row)
        for watermark, rows in by_watermark.items():
            self._answer(instance, [made for made in instance.made if made.watermark == watermark], rows)
        return instance

    def _answer(self, instance: _Instance, made: Sequence[Generation], rows: list[int]) -> None:
        """The truth of rows of one watermark, which generations of one watermark may have answered: that which was served, if
        any of them gives it. A row that differs from all there are, and may be of one that cannot be asked, is unverifiable."""
        reason, first = "" if made else FORGOTTEN, None
        for one in made:
            truth = self._truth(one)
            if isinstance(truth, ViewTruth) and rows:
                try:
                    rows = self._compared(instance, truth, rows, again=first is not None)
                    first = first or (one, truth)
                    continue
                except SourceError as error:
                    if error.code != "FS326":
                        raise
                    truth = self._truths[one.number] = f"{error.where} changed while it was read"
            reason = truth if isinstance(truth, str) else reason
        if reason:
            for row in rows:
                instance.why[row] = reason
        elif rows and first is not None:
            instance.causes |= _Causes(self, instance, *first, rows[:EXPLAINED]).told()

    def _compared(self, instance: _Instance, truth: ViewTruth, rows: list[int], *, again: bool) -> list[int]:
        """Take what is true in some rows; again: only where it is what was served. Returns: the rows in which it is not."""
        found = self.asked(instance, truth, instance.computed, rows)
        differing = []
        for row in rows:
            told = {column: cells[row] for column, cells in found.items() if row in cells}
            differs = any(self.differs(instance, column, row, cell) for column, cell in told.items())
            if differs:
                differing.append(row)
            if not (again and differs):
                for column, cell in told.items():
                    instance.true[column][row] = cell
        return differing

    def _truth(self, made: Generation) -> ViewTruth | str:
        """F by a generation and what was pushed to it since, or why it cannot be had."""
        if made.number not in self._truths:
            pushed = self._pushed(made)
            self._truths[made.number] = pushed if isinstance(pushed, str) else self.truth(made, pushed)
        return self._truths[made.number]

    def truth(self, made: Generation, pushed: Mark | None = None) -> ViewTruth | str:
        try:
            return self._offline.truth(made, pushed)
        except (SourceError, DefinitionError) as error:
            return reason_of(error)

    def _pushed(self, made: Generation) -> Mark | str | None:
        """How far the push log has come that is told with a generation, or why that is not known. What arrived after a row was
        answered counts in no F of the row, so all there is will do."""
        view = self._offline.registry.views.get(made.name)
        folder = None if view is None or not made.push else self._offline.push_folder(view.source.name)
        log = None if folder is None else read_log(folder)
        if log is not None and "." in log.log and pushed_in(made.state) is None:
            return FORGOTTEN_ROWS  # another log than that of then, which the generation could not name yet
        return None if log is None or not log.position else Mark(log.log, log.position)

    def asked(
        self, instance: _Instance, truth: ViewTruth, columns: Mapping[str, str], rows: Sequence[int], shift: int = 0
    ) -> dict[str, dict[int, Cell]]:
        """{column: {row: cell}}, `shift` microseconds later than logged; nothing of cells that were served without a value."""
        by_rows: dict[tuple[int, ...], list[str]] = {}
        for column in columns:
            by_rows.setdefault(tuple(row for row in rows if not self._is_untold(column, row)), []).append(column)
        found: dict[str, dict[int, Cell]] = {}
        for among, together in by_rows.items():
            features = list(dict.fromkeys(columns[column] for column in together))
            keys = [self._key(instance, row) for row in among]
            cells = truth.cells(features, keys, [self._rows.t[row] + shift for row in among])
            found |= {column: dict(zip(among, cells[columns[column]], strict=True)) for column in together}
        return found

    def _key(self, instance: _Instance, row: int) -> Key:
        return tuple(self._keys[column][0][row] for column in instance.columns)

    def _is_untold(self, column: str, row: int) -> bool:
        cell = self.served(column, row)
        return cell is not None and cell.status in (STALE, UNAVAILABLE)

    def served(self, column: str, row: int) -> Cell | None:
        """None of a hidden column, and in rows that the feature was not asked in."""
        cells = self._served.get(column)
        return None if cells is None else cells[row]

    def differs(self, instance: _Instance, column: str, row: int, true: Cell | None) -> bool:
        served = self.served(column, row)
        return served is not None and not same(served, true, instance.aggregates[column])

    # What became of each cell.

    def _judge_view(self, instance: _Instance) -> None:
        for column in instance.returned:
            found, true = self._report.features[column], instance.true[column]
            for row, why in enumerate(instance.why):
                if self._is_compared(found, column, row, why):
                    found.compared += 1
                    if self.differs(instance, column, row, true[row]):
                        self._mismatch(found, column, row, true[row], instance.causes.get((row, column), "not looked into"))

    def _judge_on_demand(
        self, features: Sequence[str], truth: OnDemandTruth | None, reason: str, instances: Sequence[_Instance]
    ) -> None:
        """A cell is compared where all that its view reads is known offline."""
        of = {column: instance for instance in instances for column in instance.computed}
        inputs = () if truth is None else truth.inputs
        whys = [reason] * len(self._rows.t)
        for row, fingerprint in enumerate(self._rows.fingerprints):
            if fingerprint != self._state.service.fingerprint:
                whys[row] = OTHER_DEFINITION
            elif truth is not None:
                whys[row] = self._why_not(truth, of, row)
        rows = [row for row, why in enumerate(whys) if not why]
        probes = [self._probe(row) for row in rows]
        known = {c: [_value(of[c].true[c][row]) for row in rows] for c in inputs}
        true = {} if truth is None or not rows else truth.cells(probes, known)
        place = {row: i for i, row in enumerate(rows)}
        for column in features:
            found = self._report.features[column]
            for row, why in enumerate(whys):
                if not self._is_compared(found, column, row, why):
                    continue
                assert truth is not None
                found.compared += 1
                served, cell, i = self._served[column][row], true[column][place[row]], place[row]
                assert served is not None
                at = {c: values[i] for c, values in known.items()}
                if same(served, cell) or (served.status == cell.status and truth.agrees(column, served.value, probes[i], at)):
                    continue
                wrong = any((row, c) in of[c].causes for c in truth.reads(column))
                self._mismatch(found, column, row, cell, "input" if wrong else "value")

    def _why_not(self, truth: OnDemandTruth, of: Mapping[str, _Instance], row: int) -> str:
        """Why what an on-demand view reads in a row is not known, or ""."""
        for column in truth.inputs:
            if of[column].why[row] or of[column].true[column][row] is None:
                return of[column].why[row] or INPUT
        return NO_REQUEST if any(self._request[name][row] is None for name in truth.requested) else ""

    def _probe(self, row: int) -> Probe:
        return Probe({}, self._rows.t[row], {name: values[row] for name, values in self._request.items()})

    def _is_compared(self, found: FeatureSkew, column: str, row: int, why: str) -> bool:
        """Count a cell that is not; True for one that is."""
        served = self._served[column][row]
        if served is None:
            return False
        if served.status == STALE:
            found.stale += 1
        elif served.status == UNAVAILABLE:
            found.unavailable += 1
        elif why:
            found.unverifiable[why] += 1
        else:
            return True
        return False

    def _mismatch(self, found: FeatureSkew, column: str, row: int, true: Cell | None, cause: str) -> None:
        found.mismatched += 1
        found.causes[cause] += 1
        dtype = self._types[column]
        example: dict[str, Any] = {
            "keys": {column: values[row] for column, (values, _) in self._keys.items()},
            "request": {name: values[row] for name, values in self._request.items()},
            "t": format_instant(self._rows.t[row]),
            "cause": cause,
        }
        for side, cell in (("served", self._served[column][row]), ("truth", true)):
            example[side] = None if cell is None else {"value": readable(cell.value, dtype), "status": cell.status}
        found.add_example(example)


class _Causes:
    """Why cells of a view differ, as far as F itself can tell: asked a microsecond off, without a cut-off, without what was
    pushed, or as another generation has it."""

    def __init__(
        self, replayed: Replayed, instance: _Instance, made: Generation, truth: ViewTruth, rows: Sequence[int]
    ) -> None:
        self._replayed, self._instance, self._rows = replayed, instance, rows
        self._others: list[tuple[str, dict[str, dict[int, Cell]]]] = []
        for shift in (-1, 1):
            self._ask("boundary", truth, shift)
        if truth.files_before is not None:
            self._ask("push", replayed.truth(made))
        self._ask("known time", ViewTruth(truth.bound, truth.data, truth.settings, FOREVER))
        for other in instance.made[:OTHERS]:
            if other.watermark != made.watermark:
                self._ask("another generation", replayed.truth(other))

    def _ask(self, cause: str, truth: ViewTruth | str, shift: int = 0) -> None:
        if isinstance(truth, ViewTruth):
            with suppress(SourceError):  # a file that changed meanwhile: no cause is found by it
                asked = self._replayed.asked(self._instance, truth, self._instance.returned, self._rows, shift)
                self._others.append((cause, asked))

    def told(self) -> dict[tuple[int, str], str]:
        found = {}
        for column in self._instance.returned:
            for row in self._rows:
                served, true = self._replayed.served(column, row), self._instance.true[column][row]
                if served is not None and true is not None and self._replayed.differs(self._instance, column, row, true):
                    found[row, column] = self._of(column, row, served, true)
        return found

    def _of(self, column: str, row: int, served: Cell, true: Cell) -> str:
        if true.status == OVERFLOW:
            return "overflow"
        aggregate = self._instance.aggregates[column]
        for cause, cells in self._others:
            if same(served, cells.get(column, {}).get(row), aggregate):
                return cause
        statuses = served.status, true.status
        if EXPIRED in statuses:
            return "ttl"
        if NOT_FOUND in statuses:
            return "key missing" if served.status == NOT_FOUND else "key that should not be there"
        return "status" if alike(served.value, true.value, aggregate) else "value"


def same(served: Cell, true: Cell | None, aggregate: str | None = None) -> bool:
    """Value and status; the log keeps no event timestamps."""
    return true is not None and served.status == true.status and alike(served.value, true.value, aggregate)


def _value(cell: Cell | None) -> Any:
    return None if cell is None else cell.value


__all__ = ["Replayed", "State"]
