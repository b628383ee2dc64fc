"""Answer look-ups from the online store alone: F(view, key, t, W, S) from a generation's records.

A service is resolved once, into views that read records, and kept until the store's epoch moves. What a record means at
an instant is `online_view`'s business; how an answer is written as JSON is the server's.
"""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from featurestore.dtypes import DATE, TIMESTAMP, DType
from featurestore.errors import RequestError, StoreError, StoreUnavailable, TooEarly, UnknownName, UsageError, nearest
from featurestore.intervals import FOREVER, Clock, format_instant
from featurestore.online.codec import encode_key, lookup_keys, record_of, storage_key
from featurestore.online.generations import EPOCH, generation, served_services
from featurestore.online.store import Moved, OnlineStore, Snapshot
from featurestore.online.tables import exact_until
from featurestore.retrieval.online_request import Values, checked_request
from featurestore.retrieval.online_view import Answer, View
from featurestore.typed_values import DAY, brief

if TYPE_CHECKING:
    from featurestore.retrieval.online_on_demand import Cells, OnDemand

INCLUDES = ("statuses", "event_timestamps")
_EPOCH_DAY = date(1970, 1, 1)

Keys = Mapping[str, Sequence[object]]
"""Key column -> one value per row; None matches nothing."""


class Found:
    """What a look-up found: one answer per view and row, and what can be told of it, as stored.

    Rows come in the order asked, cells in service order; dates are days, times microseconds.
    """

    __slots__ = ("_answers", "_service", "t")

    def __init__(self, service: Service, answers: list[list[Answer]], t: int) -> None:
        self._service, self._answers, self.t = service, answers, t

    def by_view(self) -> list[tuple[View, list[Answer]]]:
        """The views of the service, and what each has answered, row by row."""
        return list(zip(self._service.views, self._answers, strict=True))

    def rows(self) -> list[Sequence[Any]]:
        if len(self._answers) == 1:
            return [answer[0] for answer in self._answers[0]]
        return [[value for answer in parts for value in answer[0]] for parts in zip(*self._answers, strict=True)]

    def statuses(self) -> list[list[str]]:
        return self._joined([view.statuses for view in self._service.views])

    def event_timestamps(self) -> list[list[int | None]]:
        return self._joined([view.event_timestamps for view in self._service.views])

    def _joined(self, tell: Sequence[Callable[[Answer], list[Any]]]) -> list[list[Any]]:
        return [
            [cell for of, answer in zip(tell, parts, strict=True) for cell in of(answer)]
            for parts in zip(*self._answers, strict=True)
        ]


class OnlineFeatures:
    """An answer: one row per entity, in the order asked, one value per feature, in service order.

    Values are Python's: int, float, str, bool, bytes, Decimal, list, dates as date, times as microseconds; a histogram is a
    list of (value, count).
    as_of: the instant answered for, microseconds. watermarks: {view instance: microseconds}. Statuses and event timestamps
    are made when they are first looked at.
    """

    def __init__(self, service: Service, found: Cells) -> None:
        self.feature_service = service.name
        self.fingerprint = service.fingerprint
        self.as_of = found.t
        self.feature_names = service.feature_names
        self.feature_types = service.feature_types
        self.watermarks: Mapping[str, int] = service.watermarks
        self._found = found

    def __repr__(self) -> str:
        return f"OnlineFeatures({self.feature_service!r}, as_of={format_instant(self.as_of)}, {len(self.rows)} rows)"

    @cached_property
    def rows(self) -> list[list[Any]]:
        rows = [list(row) for row in self._found.rows()]
        for i, dtype in enumerate(self.feature_types):
            if DATE in _value_types(dtype):
                for row in rows:
                    row[i] = _each(row[i], dtype, as_date)
            elif dtype.is_list or dtype.is_map:  # a list of its own: the empty one stands for all without facts
                for row in rows:
                    row[i] = None if row[i] is None else list(row[i])
        return rows

    @cached_property
    def statuses(self) -> list[list[str]]:
        """present, null, expired, not_found, stale or unavailable."""
        return self._found.statuses()

    @cached_property
    def event_timestamps(self) -> list[list[int | None]]:
        """Microseconds; None where a feature has none."""
        return self._found.event_timestamps()

    def to_dict(self) -> dict[str, list[Any]]:
        """{feature: values}, as plain Python; times as ISO 8601 text."""
        return {
            name: [_each(v, dtype, format_instant) for v in values] if TIMESTAMP in _value_types(dtype) else values
            for name, dtype, values in self._columns()
        }

    def to_arrow(self) -> Any:
        """A pyarrow Table with the features' declared types."""
        import pyarrow as pa

        arrays = {}
        for name, dtype, values in self._columns():
            stored = pa.array(values, pa.int64()) if dtype.is_timestamp else pa.array(values, dtype.arrow)
            arrays[name] = stored.cast(dtype.arrow)
        return pa.table(arrays)

    def _columns(self) -> list[tuple[str, DType, list[Any]]]:
        columns = zip(self.feature_names, self.feature_types, strict=True)
        return [(name, dtype, [row[i] for row in self.rows]) for i, (name, dtype) in enumerate(columns)]


def _value_types(dtype: DType) -> Iterator[DType]:
    """The type, and those of what a list or a map of it holds; counts apart."""
    yield dtype
    if dtype.is_list or dtype.is_map:
        yield from _value_types(dtype.item if dtype.is_list else dtype.key)


def _each(value: Any, dtype: DType, show: Callable[[int], Any]) -> Any:
    """A stored value, the numbers in it that are dates or times shown otherwise."""
    if value is None:
        return None
    if dtype.is_list:
        return [_each(item, dtype.item, show) for item in value]
    if dtype.is_map:
        return [(_each(key, dtype.key, show), count) for key, count in value]
    return show(value)


def as_date(days: int) -> date | int:
    """Days since 1970 as a date; as they are outside the years 1 to 9999, which Python's dates do not know."""
    try:
        return _EPOCH_DAY + timedelta(days=days)
    except OverflowError:
        return days


class Checked(NamedTuple):
    """A question, checked against the service it is for. as_of: the instant that was asked for, None for now."""

    keys: Keys
    rows: int
    t: int
    request: Values | None = None
    as_of: int | None = None


class LookedUp(NamedTuple):
    """A look-up and its answer."""

    service: Service
    asked: Checked
    found: Cells


class Service:
    """A service resolved against one state of the store."""

    def __init__(self, definition: Mapping[str, Any], snapshot: Snapshot) -> None:
        self.definition = definition
        self.name: str = definition["name"]
        self.fingerprint: str = definition["fingerprint"]
        self.views = [_view(instance, snapshot) for instance in definition["instances"]]
        self.feature_names = tuple(name for view in self.views for name in view.feature_names)
        self.feature_types = tuple(dtype for view in self.views for dtype in view.feature_types)
        self.watermarks = {view.name: view.watermark for view in self.views}
        self.watermark = max(self.watermarks.values(), default=0)
        self._pushed_to = [i for i, view in enumerate(self.views) if view.pushed_table is not None]
        self.keys: dict[str, str] = {c: f for v in self.views for c, f in zip(v.key_columns, v.families, strict=True)}
        self.on_demand = _on_demand(definition, self.views)
        self.request: Mapping[str, DType] = {}
        if self.on_demand is not None:
            self.feature_names, self.feature_types = self.on_demand.feature_names, self.on_demand.feature_types
            self.request = self.on_demand.request

    def instant(self, as_of: int | None, clock: Clock) -> int:
        """The instant to answer for. Raises: TooEarly FS503 for one before a watermark."""
        if as_of is None:
            return max(clock.now(), self.watermark)
        if as_of < self.watermark:
            late = max(self.views, key=lambda view: view.watermark)
            raise TooEarly(
                "FS503",
                f"as_of {format_instant(as_of)} is before the watermark {format_instant(late.watermark)} of view {late.name!r}",
                hint=f"an instant from {format_instant(self.watermark)} on, or a training set for the past",
            )
        return as_of

    def look_up(self, snapshot: Snapshot, asked: Checked) -> Cells:
        """The answers to a checked question, all as of its t; every record is read in one go.

        Raises: Moved, StoreUnavailable; TooEarly FS503 for an as_of before the newest push to a key.
        """
        stored: dict[tuple[str, ...], list[bytes | None]] = {}
        requests = []
        for view in self.views:
            keys = stored.get(view.key_columns)
            if keys is None:
                columns = [asked.keys[c] for c in view.key_columns]
                keys = stored[view.key_columns] = _stored_keys(columns, view.families, asked.rows)
            requests.append((view.table, keys))
        if self._pushed_to:
            return self._look_up_pushed(snapshot, requests, asked)
        records, t = self._own(_records(snapshot, requests), requests), asked.t
        return self._together([[view.answer(r, t) for r in of] for view, of in zip(self.views, records, strict=True)], asked)

    def _look_up_pushed(self, snapshot: Snapshot, requests: list[tuple[str, list[bytes | None]]], asked: Checked) -> Cells:
        """As `look_up`, for a service to some of whose views rows were pushed since their generation was made."""
        beside = [(str(self.views[i].pushed_table), requests[i][1]) for i in self._pushed_to]
        found = self._own(_records(snapshot, requests + beside), requests)
        none: list[bytes | None] = [None] * asked.rows
        pushed = dict(zip(self._pushed_to, found[len(requests) :], strict=True))
        t = asked.t
        for i, of in pushed.items():
            t = max(t, self._newest_push(self.views[i].name, of, asked.as_of))
        answers = [
            [view.answer_pushed(record, change, t) for record, change in zip(of, pushed.get(i, none), strict=True)]
            for i, (view, of) in enumerate(zip(self.views, found[: len(requests)], strict=True))
        ]
        return self._together(answers, asked._replace(t=t))

    def _own(self, records: list[list[Any]], requests: list[tuple[str, list[bytes | None]]]) -> list[list[Any]]:
        """The records, those of other keys with the same digest left out."""
        for i, view in enumerate(self.views):
            if view.long_keys:
                records[i] = list(map(record_of, records[i], requests[i][1]))
        return records

    @staticmethod
    def _newest_push(view: str, pushed: list[bytes | None], as_of: int | None) -> int:
        """The arrival of the newest push to some keys. Raises: TooEarly FS503 if that is later than as_of."""
        newest = max((exact_until(bytes(one[:9])) for one in pushed if one is not None), default=-FOREVER)
        if as_of is not None and as_of < newest:
            raise TooEarly(
                "FS503",
                f"as_of {format_instant(as_of)} is before the newest push to a key of view {view!r}, {format_instant(newest)}",
                hint=f"an instant from {format_instant(newest)} on, or a training set for the past",
            )
        return newest

    def unavailable(self, asked: Checked) -> Cells:
        """The answers where the store cannot be asked: nothing is known, and nothing looks absent (CONTRACT 8)."""
        return self._together([[view.unavailable] * asked.rows for view in self.views], asked)

    def _together(self, answers: list[list[Answer]], asked: Checked) -> Cells:
        found = Found(self, answers, asked.t)
        return found if self.on_demand is None else self.on_demand.added(answers, found, asked.request or {}, asked.rows)


def _on_demand(definition: Mapping[str, Any], views: Sequence[View]) -> OnDemand | None:
    if not definition.get("on_demand"):
        return None
    from featurestore.retrieval.online_on_demand import OnDemand  # late: most services need no evaluator

    return OnDemand(definition, views)


def _view(instance: Mapping[str, Any], snapshot: Snapshot) -> View:
    made = generation(snapshot, instance["view"], instance["fingerprint"])
    if made is None:
        raise StoreError("FS402", f"view {instance['view']!r} has no generation", hint="featurestore materialize")
    return View(instance, made)


def _records(snapshot: Snapshot, requests: list[tuple[str, list[bytes | None]]]) -> list[list[bytes | None]]:
    """One record per table and key; None where the key is None or not in the store."""
    asked = [(table, [key for key in keys if key is not None]) for table, keys in requests]
    return [
        found if len(found) == len(keys) else _spread(found, keys)
        for found, (_, keys) in zip(snapshot.get_many(asked), requests, strict=True)
    ]


def _spread(found: list[bytes | None], keys: list[bytes | None]) -> list[bytes | None]:
    rest = iter(found)
    return [None if key is None else next(rest) for key in keys]


def _stored_keys(columns: Sequence[Sequence[object]], families: Sequence[str], rows: int) -> list[bytes | None]:
    if not columns:
        return [_stored_key((), ())] * rows
    if len(columns) == 1:
        return lookup_keys(columns[0], families[0])
    return [_stored_key(values, families) for values in zip(*columns, strict=True)]


def _stored_key(values: tuple[object, ...], families: Sequence[str]) -> bytes | None:
    """The store's key, or None where a part is NULL or no key of its family can be it."""
    if None in values:
        return None
    try:
        return storage_key(encode_key(values, families))
    except ValueError:
        return None


MOVES = 20
"""How often a look-up is begun anew because another write has come: far more often than a store can be written to."""


class OnlineReader:
    """Look-ups against one store. Safe for many threads; keeps resolved services until the store's epoch moves.

    They are kept also while the store cannot be asked: then every look-up says `unavailable`, by the service as last known.
    """

    def __init__(self, store: OnlineStore, clock: Clock) -> None:
        self.store, self.clock = store, clock
        self.forget()

    def forget(self) -> None:
        """Resolve everything anew: for when another store has taken this one's place."""
        self._resolved = _Resolved(None, {})

    def service(self, snapshot: Snapshot, name: str) -> Service:
        """The service of that name as of the snapshot. Raises: UnknownName FS501, StoreError FS402, FS404."""
        return self._current(snapshot).service(snapshot, name)

    def services(self, snapshot: Snapshot) -> dict[str, Service]:
        """All services that can be answered, by name."""
        current = self._current(snapshot)
        return {name: current.service(snapshot, name) for name in current.definitions}

    def state(self, snapshot: Snapshot) -> object:
        """The same object as long as the store says the same of itself: what others resolved of it stands as long."""
        return self._current(snapshot)

    def _current(self, snapshot: Snapshot) -> _Resolved:
        epoch = snapshot.meta(EPOCH)
        resolved = self._resolved
        if epoch is None or epoch != resolved.epoch:
            resolved = self._resolved = _Resolved(epoch, served_services(snapshot))
        return resolved

    def get(
        self,
        name: str,
        entities: Keys,
        *,
        request: Mapping[str, Sequence[object]] | None = None,
        as_of: int | None = None,
        include: Sequence[str] = (),
    ) -> OnlineFeatures:
        """The features of some entities. Raises: UnknownName FS501, RequestError FS502, FS504, TooEarly FS503."""
        unknown = [i for i in include if i not in INCLUDES]
        if unknown:
            raise RequestError("FS502", f"unknown include {unknown[0]!r}", known=INCLUDES)

        def ask(service: Service) -> Checked:
            keys, rows = checked_keys(service, entities)
            values = checked_request(service.request, request or {}, rows)
            return Checked(keys, rows, service.instant(as_of, self.clock), values, as_of)

        return OnlineFeatures(*self.look_up(name, ask))

    def look_up(self, name: str, ask: Callable[[Service], Checked], *, statuses: bool = True) -> tuple[Service, Cells]:
        """The answers of a service, and the service as it was for them.

        Args:
            ask: checks a question against the service; it may be called again.
            statuses: whether who asks is told statuses. Without them a value that is unavailable would look absent, so that
                is an error then.
        Raises: UnknownName FS501, what `ask` raises, StoreError; StoreUnavailable FS412 without statuses, or for a service
        that was never resolved.
        """
        try:
            for _ in range(MOVES):
                with self.store.recall() as snapshot, suppress(Moved):
                    return self._looked_up(snapshot, name, ask)
            raise StoreUnavailable("FS412", f"the online store was written to during each of {MOVES} look-ups")
        except StoreUnavailable:
            service = self._resolved.known(name)
            if service is None or not statuses:
                raise
            return service, service.unavailable(ask(service))

    def _looked_up(self, snapshot: Snapshot, name: str, ask: Callable[[Service], Checked]) -> tuple[Service, Cells]:
        try:
            service = self.service(snapshot, name)
            asked = ask(service)
        except UsageError:
            snapshot.get_many([])  # a state remembered may be an old one: of the present one the question may be right
            raise
        return service, service.look_up(snapshot, asked)


class _Resolved:
    """The services of one epoch, each resolved when first asked for."""

    def __init__(self, epoch: bytes | None, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        self.epoch, self.definitions = epoch, definitions
        self._services: dict[str, Service] = {}

    def known(self, name: str) -> Service | None:
        """The service, if it was asked for before."""
        return self._services.get(name)

    def service(self, snapshot: Snapshot, name: str) -> Service:
        found = self._services.get(name)
        if found is None:
            if name not in self.definitions:
                known = self.definitions
                raise UnknownName("FS501", f"unknown feature service {name!r}", known=known, hint=nearest(name, known))
            found = self._services[name] = Service(self.definitions[name], snapshot)
        return found


def checked_keys(service: Service, entities: Keys) -> tuple[Keys, int]:
    """Key columns of one length, values of the right family; and that length.

    Raises: RequestError FS502 (missing or unknown column), FS504 (a wrong type, or unequal lengths).
    """
    families = service.keys
    for column in entities:
        if column not in families:
            raise RequestError("FS502", f"unknown key column {column!r}", known=families, hint=nearest(str(column), families))
    keys: dict[str, Sequence[object]] = {}
    rows: int | None = None
    for column, family in families.items():
        if column not in entities:
            raise RequestError("FS502", f"missing key column {column!r}", known=families)
        values = entities[column]
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise RequestError("FS504", f"key column {column!r} must be a list of values, one per row")
        if rows is not None and len(values) != rows:
            raise RequestError("FS504", f"key columns have unequal lengths: {column!r} has {len(values)}, another {rows}")
        rows = len(values)
        plain = _PLAIN[family]
        keys[column] = [v if v is None or type(v) is plain else _checked_key(v, column, family) for v in values]
    return keys, 1 if rows is None else rows


_PLAIN: Mapping[str, type] = {"integer": int, "text": str, "bool": bool, "date": date, "binary": bytes}


def _checked_key(value: object, column: str, family: str) -> object:
    """A value of another type than the family's own, if it can stand for one."""
    try:
        if family == "integer" and not isinstance(value, bool):
            return value if isinstance(value, Decimal) else operator.index(value)  # type: ignore[arg-type]
        if family == "text" and isinstance(value, str):
            return str(value)
        if family == "date" and isinstance(value, str) and DAY.fullmatch(value):
            return date.fromisoformat(value)
        if family == "binary" and isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        pass
    raise RequestError("FS504", f"key {column!r} takes {_TAKES[family]}, got {brief(value)}")


_TAKES: Mapping[str, str] = {
    "integer": "an integer", "text": "text", "bool": "true or false", "date": "a date (YYYY-MM-DD)", "binary": "bytes (base64)",
}  # fmt: skip


__all__ = ["Checked", "Found", "INCLUDES", "LookedUp", "OnlineFeatures", "OnlineReader", "Service", "as_date", "checked_keys"]
