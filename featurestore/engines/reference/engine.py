"""Answer a service for a spine: the latest value and the aggregates over windows at each row's t (CONTRACT 4 to 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from featurestore.definitions import Feature, FeatureService, FeatureView, LabelView, OnDemandInstance, View, ViewInstance
from featurestore.dtypes import DType
from featurestore.engines.reference.aggregates import SumOverflow, Taken, aggregate
from featurestore.engines.reference.facts import Cutoff, History, Row, read_history
from featurestore.engines.reference.on_demand import OnDemand, read_request
from featurestore.engines.reference.order import GREATEST_INT64, LEAST_INT64, rank
from featurestore.engines.reference.times import Reading, is_text, plain
from featurestore.engines.reference.values import Key, key_family, read_keys
from featurestore.errors import SourceError, SpineError, UsageError, nearest
from featurestore.intervals import zone

Cell = tuple[Any, str, int | None]
"""A value, its status, and the event time of the fact it comes from."""


@dataclass(frozen=True)
class Answer:
    """One list per feature, then per label, in the spine's order.

    values: ints (timestamps too, in µs), floats, Decimal, str, bytes, bool, date, lists; None is NULL. statuses:
    present, null, expired or not_found. event_timestamps: e of the matched fact, also of an expired one; None for
    windows, labels, static sources and on-demand features. left_out: {view: {reason: rows}}. labels: {label view:
    {"mature", "immature", "positive": rows}}. without_value: {on-demand feature: rows in which an operation had no value}.
    """

    names: tuple[str, ...]
    types: dict[str, DType]
    values: dict[str, list[Any]]
    statuses: dict[str, list[str]]
    event_timestamps: dict[str, list[int | None]]
    left_out: dict[str, dict[str, int]]
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    without_value: dict[str, int] = field(default_factory=dict)

    def to_arrow(self) -> pa.Table:
        """The feature and label columns alone, in their declared Arrow types."""
        return pa.table({name: pa.array(self.values[name], self.types[name].arrow) for name in self.names})


class ReferenceEngine:
    """The oracle over rows in memory.

    Args: sources: {source name: one table per file}, with the physical types of the files.
    """

    def __init__(self, sources: Mapping[str, Sequence[pa.Table]]) -> None:
        self.sources = sources
        self._histories: dict[int, tuple[View, History]] = {}  # by the identity of views, which are kept alive with it

    def answer(
        self,
        service: FeatureService,
        spine: pa.Table,
        *,
        as_of: str = "as_of",
        timezone: str = "UTC",
        known_before: int | None = None,
        serving_lag: int = 0,
    ) -> Answer:
        """F(view, key, t, K) for every feature and label of the service and every row of the spine.

        A serving lag says what a model could see, and has no part in labels.

        Args: timezone: of naive `as_of`. known_before, serving_lag: microseconds; K is the lesser of known_before and
        as_of - serving_lag (if the lag is > 0), else infinite. An online answer at t with watermark W is as_of = t,
        known_before = W.
        Raises: SpineError, SourceError, DefinitionError.
        """
        _check_names(service, spine)
        reading = Reading(zone(timezone).key, late=False, date_is="start", text="iso8601")
        instants = _instants(spine, as_of, reading)
        histories: dict[str, History] = {}

        def ask(instance: ViewInstance) -> _Asked:
            view = instance.view.name
            if view not in histories:
                histories[view] = self._history(instance)
            return _Asked(instance, histories[view], spine)

        asked = [ask(i) for i in service.listed]
        request = read_request(service.request, spine, reading)
        read_by = [(o, [ask(i) for i in _read(o)]) for o in service.on_demand]
        computed = [(OnDemand(o, {n: t for one in inputs for n, t in one.types.items()}), inputs) for o, inputs in read_by]
        seen = [*asked, *(one for _, inputs in computed for one in inputs)]
        exact = any(one.history.view.allow_exact_matches for one in seen if isinstance(one.history.view, FeatureView))
        labels = [_AskedLabel(i, self._history(i), spine, exact) for i in service.labels]
        names = (*service.feature_names, *service.label_names)
        cells: dict[str, list[Cell]] = {name: [] for name in names}
        for row, t in enumerate(instants):
            cutoff = min(
                math.inf if known_before is None else known_before,
                t - serving_lag if serving_lag > 0 else math.inf,
            )
            for one in asked:
                for name, cell in one.cells(row, t, cutoff):
                    cells[name].append(cell)
            for made, inputs in computed:
                known = {name: value for one in inputs for name, (value, _, _) in one.cells(row, t, cutoff)}
                known |= {name: values[row] for name, values in request.items() if name in made.request} | {"as_of": t}
                for name, value in made.values(known):
                    cells[name].append((value, _present_or_null(value), None))
            for label in labels:
                name, cell = label.cell(row, t, math.inf if known_before is None else known_before)
                cells[name].append(cell)
        types = {name: dtype for one in asked for name, dtype in one.types.items()}
        types |= {name: dtype for made, _ in computed for name, dtype in made.types.items()}
        types |= {name: f.result_type(one.history.types) for one in labels for name, f in one.instance.features}
        left_out = {view: dict(history.left_out) for view, history in histories.items()}
        return Answer(
            names=names,
            types={name: types[name] for name in names},
            values={name: [value for value, _, _ in column] for name, column in cells.items()},
            statuses={name: [status for _, status, _ in column] for name, column in cells.items()},
            event_timestamps={name: [e for _, _, e in column] for name, column in cells.items()},
            left_out=left_out | {one.instance.view.name: dict(one.history.left_out) for one in labels},
            labels={label.instance.name: dict(label.counts) for label in labels},
            without_value={name: rows for made, _ in computed for name, rows in made.without_value.items()},
        )

    def _history(self, instance: ViewInstance) -> History:
        source = instance.view.source
        if source.name not in self.sources:
            raise UsageError("FS102", f"no rows for source {source.name!r}", known=self.sources)
        if id(instance.view) not in self._histories:
            self._histories[id(instance.view)] = instance.view, read_history(instance.view, self.sources[source.name])
        return self._histories[id(instance.view)][1]


def _read(asked: OnDemandInstance) -> list[ViewInstance]:
    """The inputs of which an on-demand view reads something; the others are no part of the service."""
    return [i for i in asked.view.inputs if {name for name, _ in i.features} & set(asked.reads)]


class _Asked:
    """One view of a service, with the keys the spine asks it for."""

    def __init__(self, instance: ViewInstance, history: History, spine: pa.Table) -> None:
        self.instance, self.history = instance, history
        self.keys = _spine_keys(instance, history, spine)

    @property
    def types(self) -> dict[str, DType]:
        return {name: feature.result_type(self.history.types) for name, feature in self.instance.features}

    def cells(self, row: int, t: int, cutoff: Cutoff) -> list[tuple[str, Cell]]:
        """The cells of one spine row, by output column. Raises: SourceError FS307 for a sum that overflows."""
        history, key = self.history, self.keys[row]
        if history.view.source.static:
            found = history.only(key)
            return [(name, _static(f, found)) for name, f in self.instance.features]
        usable = history.usable(key, t, cutoff)
        answers = []
        for name, feature in self.instance.features:
            try:
                cell = (_latest if feature.is_latest else _window)(feature, history, usable, t)
            except SumOverflow as overflow:
                raise SourceError(
                    "FS307", f"the sum {name!r} overflows: {overflow}", where=f"spine row {row} (counted from 0)",
                    hint="a cast to double inside the sum",
                ) from None  # fmt: skip
            answers.append((name, cell))
        return answers


class _AskedLabel(_Asked):
    """One label view of a service. exact: some view sees facts at t, so that the label must not. counts: rows."""

    def __init__(self, instance: ViewInstance, history: History, spine: pa.Table, exact: bool) -> None:
        super().__init__(instance, history, spine)
        self.exact = exact
        self.counts = {"mature": 0, "immature": 0, "positive": 0}

    def cell(self, row: int, t: int, cutoff: Cutoff) -> tuple[str, Cell]:
        """The label of one spine row and its column (CONTRACT 7). Raises: SourceError FS307 for a sum that overflows."""
        view = self.history.view
        assert isinstance(view, LabelView)
        ((name, label),) = self.instance.features
        begin = t + view.gap.micros
        end = begin + view.window.micros
        if end + view.settle.micros > min(cutoff, self.history.greatest_known):
            self.counts["immature"] += 1
            return name, (None, "null", None)
        facts = self.history.settled(self.keys[row], cutoff)
        if self.exact:
            covered = [f for f in facts if f.e is not None and begin < f.e <= end]
        else:
            covered = [f for f in facts if f.e is not None and begin <= f.e < end]
        value = self._aggregated(name, label, covered, row, end)
        self.counts["mature"] += 1
        self.counts["positive"] += self._positive(value)
        return name, (value, _present_or_null(value), None)

    def _positive(self, value: Any) -> bool:
        """TRUE, a number above 0 in the one order (where NaN is above all), or any other value but NULL."""
        dtype = self.history.view.features[0].result_type(self.history.types)
        if value is not None and (dtype.is_numeric or dtype.name == "bool"):
            return bool(rank(value) > rank(type(value)(0)))
        return value is not None

    def _aggregated(self, name: str, label: Feature, covered: Sequence[Row], row: int, end: int) -> Any:
        taken = [Taken(f.e, f.k, f.results[label.name]) for f in covered if f.e is not None and f.k is not None]
        assert label.aggregate is not None
        try:
            return aggregate(label.aggregate, label.parameter, taken, end)
        except SumOverflow as overflow:
            raise SourceError(
                "FS307", f"the sum {name!r} overflows: {overflow}", where=f"spine row {row} (counted from 0)",
                hint="a cast to double inside the sum",
            ) from None  # fmt: skip


def _latest(feature: Feature, history: History, usable: Sequence[Row], t: int) -> Cell:
    """The newest usable fact, whole: greatest e, then k, then the tuple of the view's input columns."""
    assert isinstance(history.view, FeatureView)
    if not usable:
        return None, "not_found", None
    inputs = history.view.input_columns
    newest = max(usable, key=lambda f: (f.e, f.k, tuple(rank(f.values[c]) for c in inputs)))
    assert newest.e is not None
    if history.view.ttl is not None and t - newest.e > history.view.ttl.micros:
        return None, "expired", newest.e
    value = newest.results[feature.name]
    return value, _present_or_null(value), newest.e


def _window(feature: Feature, history: History, usable: Sequence[Row], t: int) -> Cell:
    """The aggregate over the usable facts with e in [t-o-w, t-o), or (t-o-w, t-o] with exact matches."""
    assert feature.aggregate is not None
    assert isinstance(history.view, FeatureView)
    end = t - feature.offset.micros
    start = -math.inf if feature.window is None else end - feature.window.micros
    if history.view.allow_exact_matches:
        covered = [f for f in usable if f.e is not None and start < f.e <= end]
    else:
        covered = [f for f in usable if f.e is not None and start <= f.e < end]
    taken = [Taken(f.e, f.k, f.results[feature.name]) for f in covered if f.e is not None and f.k is not None]
    value = aggregate(feature.aggregate, feature.parameter, taken, t)
    return value, _present_or_null(value), None


def _static(feature: Feature, found: Row | None) -> Cell:
    if found is None:
        return None, "not_found", None
    value = found.results[feature.name]
    return value, _present_or_null(value), None


def _present_or_null(value: Any) -> str:
    return "null" if value is None else "present"


def _check_names(service: FeatureService, spine: pa.Table) -> None:
    seen: dict[str, str] = {}
    for column in spine.column_names:
        if column.lower() in seen:
            both = f"{seen[column.lower()]!r} and {column!r}"
            raise SpineError("FS304", f"spine columns {both} have one name (case does not count)")
        seen[column.lower()] = column
    for name in (*service.feature_names, *service.label_names):
        if name in seen:
            raise SpineError("FS304", f"spine column {seen[name]!r} has a feature's name", hint="view.with_prefix('…')")


def _column(spine: pa.Table, name: str) -> Any:
    if name not in spine.column_names:
        known = spine.column_names
        raise SpineError("FS303", f"the spine has no column {name!r}", known=known, hint=nearest(name, known))
    return spine.column(name)


def _instants(spine: pa.Table, as_of: str, reading: Reading) -> list[int]:
    column = _column(spine, as_of)
    if not (reading.can_read(column.type) or (pa.types.is_null(column.type) and len(column))):
        raise SpineError("FS303", f"column {as_of!r} of type {column.type} is no time", hint="a timestamp column")
    instants = []
    for row, scalar in enumerate(column):
        instant = None if pa.types.is_null(column.type) else reading.instant(scalar)
        if instant is None or not LEAST_INT64 + 1 < instant < GREATEST_INT64:
            shown = scalar.as_py() if is_text(plain(column.type)) else "NULL" if instant is None else "infinite"
            raise SpineError("FS300", f"{as_of!r} is {shown!r}, not an instant", where=f"spine row {row} (counted from 0)")
        instants.append(instant)
    return instants


def _spine_keys(instance: ViewInstance, history: History, spine: pa.Table) -> list[Key | None]:
    columns = [_column(spine, name) for name in instance.key_columns]
    for name, column, wanted in zip(instance.key_columns, columns, history.families, strict=True):
        family = key_family(column.type)
        if family is None:
            raise SpineError("FS303", f"spine column {name!r} of type {column.type} is no key", hint=f"a cast to {wanted}")
        if family not in ("", wanted):
            what = f"spine column {name!r} is {family}, but view {instance.name!r} is keyed by {wanted}"
            raise SpineError("FS302", what, hint=f"a cast to {wanted}")
    return read_keys(columns, spine.num_rows, Reading("UTC", late=False, date_is="start"))
