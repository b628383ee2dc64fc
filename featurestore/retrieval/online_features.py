"""Answer look-ups from the online store alone: F(view, key, t, W, S) from a generation's records.

A service is resolved once, into readers of records, and kept until the store's epoch moves. The values of a record at t
are decided here as the plan decides them offline; both are checked against the oracle.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from featurestore.dtypes import DType, parse_dtype
from featurestore.engines.exact import exact_sum
from featurestore.errors import RequestError, StoreError, TooEarly, UnknownName, nearest
from featurestore.intervals import Clock, format_instant
from featurestore.materialization.generations import EPOCH, Generation, generation, served_services
from featurestore.online.codec import CANDIDATE, IN_REACH, Entry, RecordCodec, encode_key, storage_key
from featurestore.online.store import OnlineStore, Snapshot

INCLUDES = ("statuses", "event_timestamps")
Cell = tuple[Any, str, int | None]
"""Value, status, event time in microseconds (None where a feature has none)."""


@dataclass
class OnlineFeatures:
    """An answer: one row per entity, in the order asked, one value per feature, in service order.

    Values are Python's: int, float, str, bool, bytes, Decimal, list, dates as date, times as microseconds.
    as_of: the instant answered for, microseconds. watermarks: {view instance: microseconds}.
    """

    feature_service: str
    fingerprint: str
    as_of: int
    feature_names: tuple[str, ...]
    feature_types: tuple[DType, ...]
    rows: list[list[Any]]
    statuses: list[list[str]] = field(default_factory=list)
    event_timestamps: list[list[int | None]] = field(default_factory=list)
    watermarks: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, list[Any]]:
        """{feature: values}, as plain Python; times as ISO 8601 text."""
        shown = [[_shown(v, t) for v, t in zip(row, self.feature_types, strict=True)] for row in self.rows]
        return {name: [row[i] for row in shown] for i, name in enumerate(self.feature_names)}

    def to_arrow(self) -> Any:
        """A pyarrow Table with the features' declared types."""
        import pyarrow as pa

        columns = []
        for i, dtype in enumerate(self.feature_types):
            values = [row[i] for row in self.rows]
            if dtype.is_timestamp:
                columns.append(pa.array(values, pa.int64()).cast(dtype.arrow))
            else:
                columns.append(pa.array(values, dtype.arrow))
        fields = [pa.field(n, t.arrow) for n, t in zip(self.feature_names, self.feature_types, strict=True)]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _shown(value: Any, dtype: DType) -> Any:
    return format_instant(value) if dtype.is_timestamp and value is not None else value


class _View:
    """Reads the records of one view instance: keys in, cells out."""

    def __init__(self, instance: Mapping[str, Any], made: Generation) -> None:
        view = made.view
        self.name: str = instance["name"]
        self.view = made.name
        self.table = made.table
        self.watermark = made.watermark
        self.key_columns: list[str] = [column for column, _ in instance["keys"]]
        self.families: list[str] = [key["family"] for key in view["keys"]]
        self._exact: bool = view["allow_exact_matches"]
        self._ttl: int | None = view["ttl"]
        self._static: bool = view["static"]
        self._codec = RecordCodec([parse_dtype(t) for _, t in made.columns])
        self._features = _features(instance, made, self._exact)
        self.feature_types = [parse_dtype(f["type"]) for f in _chosen(instance, view)]
        self.feature_names = [out for out, _ in instance["features"]]
        self._only_latest = all(isinstance(f, int) for f in self._features)

    def cells(self, record: bytes | None, t: int) -> list[Cell]:
        """One cell per feature of the instance, as of t. A record exact only up to an earlier instant is stale."""
        if record is None:
            return [self._cell(feature, None, (), t) for feature in self._features]
        exact_until, entries = self._codec.decode(record)
        if t > exact_until:
            return [(None, "stale", None)] * len(self._features)
        newest = self._newest(entries, t)
        return [self._cell(feature, newest, entries, t) for feature in self._features]

    def _newest(self, entries: Sequence[Entry], t: int) -> Entry | None:
        """Entries come in order of event time, candidates for latest before those of windows."""
        newest = None
        bound = t if self._exact or self._static else t - 1
        for entry in entries:
            if entry[0] == CANDIDATE and entry[1] <= bound:
                newest = entry
        return newest

    def _cell(self, feature: int | _Windowed, newest: Entry | None, entries: Sequence[Entry], t: int) -> Cell:
        if not isinstance(feature, int):
            value = feature.value(entries, t)
            return value, "null" if value is None else "present", None
        if newest is None:
            return None, "not_found", None
        event = None if self._static else newest[1]
        if self._ttl is not None and t - newest[1] > self._ttl:
            return None, "expired", event
        value = newest[2][feature]
        return value, "null" if value is None else "present", event


class _Windowed:
    """One aggregate, evaluated over the entries in its window at the moment of asking."""

    def __init__(self, feature: Mapping[str, Any], measure: int, dtype: DType, exact: bool) -> None:
        self._measure, self._dtype = measure, dtype
        self._window: int | None = feature["window"]
        self._offset: int = feature["offset"]
        self._shift = 1 if exact else 0
        self._fold = _FOLDS[feature["aggregate"]]

    def value(self, entries: Sequence[Entry], t: int) -> Any:
        # [low, high): with exact matches (t - o - w, t - o] is the same interval a microsecond later.
        high = t - self._offset + self._shift
        low = -math.inf if self._window is None else high - self._window
        values = [e[2][self._measure] for e in entries if e[0] == IN_REACH and low <= e[1] < high]
        return self._fold([v for v in values if v is not None], self._dtype)


def _sum(values: list[Any], dtype: DType) -> Any:
    if not values:
        return None
    if dtype.name == "double":
        return exact_sum(values)
    total = sum(values, Decimal(0)) if dtype.is_decimal else sum(values)
    if dtype.name == "int64" and not -(2**63) <= total < 2**63:
        raise OverflowError
    return total


def _count_distinct(values: list[Any], dtype: DType) -> int:
    return len({"nan" if isinstance(v, float) and math.isnan(v) else v for v in values})


_FOLDS: Mapping[str, Callable[[list[Any], DType], Any]] = {
    "count": lambda values, _: len(values),
    "sum": _sum,
    "count_distinct": _count_distinct,
}


def _chosen(instance: Mapping[str, Any], view: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    by_name = {f["name"]: f for f in view["features"]}
    return [by_name[name] for _, name in instance["features"]]


def _features(instance: Mapping[str, Any], made: Generation, exact: bool) -> list[int | _Windowed]:
    """Per feature of the instance: the position of its value among an entry's, or how to aggregate."""
    positions = {name: i for i, (name, _) in enumerate(made.columns)}
    first_measure = sum(f["aggregate"] is None for f in made.view["features"])
    measures = _measure_numbers(made.view["features"])
    found: list[int | _Windowed] = []
    for feature in _chosen(instance, made.view):
        if feature["aggregate"] is None:
            found.append(positions[feature["name"]])
        else:
            dtype = parse_dtype(feature["type"])
            found.append(_Windowed(feature, first_measure + measures[feature["name"]], dtype, exact))
    return found


def _measure_numbers(features: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Feature -> which measure it reads: measures are numbered by first use of an (expression, where), as in the plan."""
    numbers: dict[tuple[Any, Any], int] = {}
    return {
        f["name"]: numbers.setdefault((f["expression"], f["where"]), len(numbers))
        for f in features
        if f["aggregate"] is not None
    }


class Service:
    """A service resolved against one state of the store."""

    def __init__(self, definition: Mapping[str, Any], snapshot: Snapshot) -> None:
        self.name: str = definition["name"]
        self.fingerprint: str = definition["fingerprint"]
        self.views: list[_View] = []
        for instance in definition["instances"]:
            made = generation(snapshot, instance["view"], instance["fingerprint"])
            if made is None:
                raise StoreError("FS402", f"view {instance['view']!r} has no generation", hint="featurestore materialize")
            self.views.append(_View(instance, made))
        self.feature_names = tuple(n for v in self.views for n in v.feature_names)
        self.feature_types = tuple(t for v in self.views for t in v.feature_types)
        self.watermarks = {v.name: v.watermark for v in self.views}
        self.watermark = max(self.watermarks.values())
        self.keys: dict[str, str] = {c: f for v in self.views for c, f in zip(v.key_columns, v.families, strict=True)}
        self.key_types: dict[str, str] = {}

    def instant(self, as_of: int | None, clock: Clock) -> int:
        """The instant to answer for. Raises: TooEarly FS503 for one before a watermark."""
        if as_of is None:
            return max(clock.now(), self.watermark)
        if as_of < self.watermark:
            late = max(self.views, key=lambda v: v.watermark)
            raise TooEarly(
                "FS503",
                f"as_of {format_instant(as_of)} is before the watermark {format_instant(late.watermark)} of view {late.name!r}",
                hint=f"an instant from {format_instant(self.watermark)} on, or a training set for the past",
            )
        return as_of

    def cells(self, snapshot: Snapshot, keys: Mapping[str, Sequence[object]], rows: int, t: int) -> list[list[Cell]]:
        """One list of cells per row, in service order. keys: column -> one value per row (None matches nothing)."""
        per_view = [self._view_cells(snapshot, view, keys, rows, t) for view in self.views]
        if len(per_view) == 1:
            return per_view[0]
        return [[cell for cells in parts for cell in cells] for parts in zip(*per_view, strict=True)]

    def _view_cells(
        self, snapshot: Snapshot, view: _View, keys: Mapping[str, Sequence[object]], rows: int, t: int
    ) -> list[list[Cell]]:
        columns = [keys[column] for column in view.key_columns]
        asked = [_stored_key([column[i] for column in columns], view.families) for i in range(rows)]
        found = iter(snapshot.get(view.table, [key for key in asked if key is not None]))
        return [self._safely(view, next(found) if key is not None else None, t) for key in asked]

    def _safely(self, view: _View, record: bytes | None, t: int) -> list[Cell]:
        """A sum that leaves int64 has no value: its cells are unavailable, the others stand."""
        try:
            return view.cells(record, t)
        except OverflowError:
            return view_cells_one_by_one(view, record, t)


def view_cells_one_by_one(view: _View, record: bytes | None, t: int) -> list[Cell]:
    """The slow way round an overflow: each feature by itself."""
    assert record is not None
    _, entries = view._codec.decode(record)
    newest = view._newest(entries, t)
    cells: list[Cell] = []
    for feature in view._features:
        try:
            cells.append(view._cell(feature, newest, entries, t))
        except OverflowError:
            cells.append((None, "unavailable", None))
    return cells


def _stored_key(values: Sequence[object], families: Sequence[str]) -> bytes | None:
    """The store's key, or None where a part is NULL or no key of its family can be it."""
    if None in values:
        return None
    try:
        return storage_key(encode_key(values, families))
    except ValueError:
        return None


class OnlineReader:
    """Look-ups against one store. Safe for many threads; keeps resolved services until the store's epoch moves."""

    def __init__(self, store: OnlineStore, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self._resolved: tuple[bytes | None, dict[str, Service]] = (None, {})

    def service(self, snapshot: Snapshot, name: str) -> Service:
        """The service of that name as of the snapshot. Raises: UnknownName FS501."""
        services = self.services(snapshot)
        found = services.get(name)
        if found is None:
            raise UnknownName("FS501", f"unknown feature service {name!r}", known=services, hint=nearest(name, services))
        return found

    def services(self, snapshot: Snapshot) -> dict[str, Service]:
        """All services that can be answered, by name."""
        epoch = snapshot.meta(EPOCH)
        known_epoch, services = self._resolved
        if epoch != known_epoch or epoch is None:
            services = {name: Service(d, snapshot) for name, d in served_services(snapshot).items()}
            self._resolved = (epoch, services)
        return services

    def get(
        self, name: str, entities: Mapping[str, Sequence[object]], *, as_of: int | None = None, include: Sequence[str] = ()
    ) -> OnlineFeatures:
        """The features of some entities. Raises: UnknownName FS501, RequestError FS502, FS504, TooEarly FS503."""
        with self.store.read() as snapshot:
            service = self.service(snapshot, name)
            keys, rows = checked_keys(service, entities)
            t = service.instant(as_of, self.clock)
            cells = service.cells(snapshot, keys, rows, t)
        return OnlineFeatures(
            feature_service=service.name,
            fingerprint=service.fingerprint,
            as_of=t,
            feature_names=service.feature_names,
            feature_types=service.feature_types,
            rows=[[_as_python(c[0], d) for c, d in zip(row, service.feature_types, strict=True)] for row in cells],
            statuses=[[c[1] for c in row] for row in cells],
            event_timestamps=[[c[2] for c in row] for row in cells],
            watermarks=service.watermarks,
        )


def _as_python(value: Any, dtype: DType) -> Any:
    """Dates as date; the rest as it is."""
    if value is None or dtype.name != "date32":
        return value
    return date(1970, 1, 1) + timedelta(days=value)


_KEY_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int, Decimal), "text": (str,), "bool": (bool,), "date": (date, str), "binary": (bytes, str),
}  # fmt: skip


def checked_keys(service: Service, entities: Mapping[str, Sequence[object]]) -> tuple[dict[str, list[object]], int]:
    """Key columns of one length, values of the right family; and that length.

    Raises: RequestError FS502 (missing or unknown column), FS504 (a wrong type, or unequal lengths).
    """
    for column in entities:
        if column not in service.keys:
            raise RequestError(
                "FS502", f"unknown key column {column!r}", known=service.keys, hint=nearest(str(column), service.keys)
            )
    keys: dict[str, list[object]] = {}
    rows: int | None = None
    for column, family in service.keys.items():
        if column not in entities:
            raise RequestError("FS502", f"missing key column {column!r}", known=service.keys)
        values = entities[column]
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise RequestError("FS504", f"key column {column!r} must be a list of values, one per row")
        if rows is not None and len(values) != rows:
            raise RequestError("FS504", f"key columns have unequal lengths: {column!r} has {len(values)}, another {rows}")
        rows = len(values)
        keys[column] = [_checked_key(v, column, family) for v in values]
    if rows is None:
        rows = 1
    return keys, rows


def _checked_key(value: object, column: str, family: str) -> object:
    if value is None:
        return None
    if not isinstance(value, _KEY_TYPES[family]) or (isinstance(value, bool) and family != "bool"):
        raise RequestError("FS504", f"key {column!r} takes {family}, got {json.dumps(value, default=str)}")
    try:
        if family == "date" and isinstance(value, str):
            return date.fromisoformat(value)
        if family == "binary" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except ValueError:
        raise RequestError("FS504", f"key {column!r} takes {family}, got {value!r}") from None
    return value
