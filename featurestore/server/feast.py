"""POST /get-online-features: the request and the response of Feast's Python feature server.

Feast's HTTP clients and its `remote` online store then work unchanged. Decided here: what a `view:feature` means (a
feature of the newest generation of a view, whatever service it is in, asked by the view's own join keys; or one of an
on-demand view, by the service that has it), and how our values and statuses are told in Feast's words. Feast has no word
for a value the store cannot vouch for, and its clients take any other for absent: so a stale or unavailable cell is a 503.

As Feast, and unlike /v1/online-features: what on-demand features take from the request stands among `entities`, a column
of `entities` that nobody needs is passed over, times and dates are whole seconds, and a histogram is an object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

import orjson

from featurestore.config import Server
from featurestore.dtypes import DType
from featurestore.errors import RequestError, StoreError, StoreUnavailable, UnknownName, nearest
from featurestore.intervals import MICROS_PER_DAY, MICROS_PER_SECOND, format_instant
from featurestore.online.generations import Generation, generations
from featurestore.online.store import Moved, Snapshot
from featurestore.retrieval.online_columns import Columns
from featurestore.retrieval.online_features import MOVES, Checked, LookedUp, OnlineReader, Service, checked_keys
from featurestore.retrieval.online_request import checked_request
from featurestore.retrieval.online_view import EXPIRED, NOT_FOUND, NULL, PRESENT, STALE, UNAVAILABLE
from featurestore.server import asked, wire
from featurestore.server.exchange import Exchange, Reply
from featurestore.server.keys import Key
from featurestore.server.lookups import check_size
from featurestore.server.readiness import Readiness

PATH = "/get-online-features"
FIELDS = ("features", "feature_service", "entities", "full_feature_names", "include_feature_view_version_metadata")
_FLAGS = FIELDS[3:]
KEPT = 256
"""Lists of features whose meaning is kept, the last asked for."""

_STATUSES: Mapping[str, str] = {
    PRESENT: "PRESENT", NULL: "NULL_VALUE", NOT_FOUND: "NOT_FOUND", EXPIRED: "OUTSIDE_MAX_AGE",
}  # fmt: skip
_NO_TIME = "1970-01-01T00:00:00Z"
"""Feast's time of what has none: a key, a window, an entity nobody knows."""


# What is asked.


class Question(NamedTuple):
    """A request's body, its types checked. Either features or feature_service is empty."""

    features: tuple[str, ...]
    feature_service: str
    entities: Mapping[str, Sequence[Any]]
    full_names: bool
    with_views: bool


def read(body: bytes) -> Question:
    """Raises: Refused FS505 (400: not JSON), RequestError FS504, FS506 (422)."""
    given = asked.json_object(body, FIELDS)
    entities = asked.lists(given.get("entities"), "entities", '{"customer_id": [1, 2]}')
    features, service = given.get("features", []), given.get("feature_service")
    if not isinstance(features, list) or not {str}.issuperset(map(type, features)):
        raise RequestError("FS506", "features must be a list of names", hint='["view:feature"]')
    if service is not None and not isinstance(service, str):
        raise RequestError("FS506", "feature_service must be the name of a service")
    if service == "" or bool(features) == bool(service):
        raise RequestError("FS506", "give either features or a feature_service", hint='"features": ["view:feature"]')
    for flag in _FLAGS:
        if not isinstance(given.get(flag, False), bool):
            raise RequestError("FS506", f"{flag} must be true or false")
    asked.refuse_repeated(body, given, entities, text="".join(features) + (service or ""))
    return Question(tuple(features), service or "", entities, *(given.get(flag, False) for flag in _FLAGS))


def _rows(entities: Mapping[str, Sequence[Any]]) -> int:
    """The length of all columns, used or not; 1 without any. Raises: RequestError FS504."""
    lengths = {column: len(values) for column, values in entities.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{column!r} {length}" for column, length in lengths.items())
        raise RequestError("FS504", f"the columns of entities have unequal lengths: {shown}", hint="one value per row in each")
    return next(iter(lengths.values()), 1)


# What the names mean.


class Meaning:
    """A service to look up, and how its features are told: names, plain and full, and what writes their values."""

    def __init__(self, service: Service, plain: Sequence[str], full: Sequence[str], views: Sequence[str]) -> None:
        self.service, self.views = service, views
        self._names = {False: tuple(plain), True: tuple(full)}
        self._twice = {which: _twice([*service.keys, *names]) for which, names in self._names.items()}
        self.floats = [i for i, dtype in enumerate(service.feature_types) if dtype.is_float]
        writers = [(i, _writer(dtype)) for i, dtype in enumerate(service.feature_types) if not dtype.is_float]
        self.writers = [(i, write) for i, write in writers if write is not None]

    def names(self, full: bool) -> tuple[str, ...]:
        """What the features are called. Raises: RequestError FS506 where two columns would be called the same."""
        if self._twice[full]:
            raise RequestError("FS506", f"two columns would be called {self._twice[full]!r}", hint='"full_feature_names": true')
        return self._names[full]


def _twice(names: Sequence[str]) -> str:
    return next((name for i, name in enumerate(names) if name in names[:i]), "")


class References:
    """The meaning of lists of `view:feature`, and of services, as of one state of the store.

    services: those that who asks may see. limited: and nothing but what is in them.
    """

    def __init__(self, snapshot: Snapshot, services: Mapping[str, Service], *, limited: bool) -> None:
        newest: dict[str, Generation] = {}
        for made in generations(snapshot):
            if made.name not in newest or made.number > newest[made.name].number:
                newest[made.name] = made
        self.visible = {view for service in services.values() for view in views_of(service.definition)}
        self._views = {name: made for name, made in newest.items() if not limited or name in self.visible}
        self.services = services
        self._on_demand: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        for service in services.values():
            for given in service.definition.get("on_demand", ()):
                self._on_demand.setdefault(given["name"], []).append((service.definition, given))
        self._kept: OrderedDict[tuple[str, ...], Meaning] = OrderedDict()
        self._of_services: dict[str, Meaning] = {}

    def of_service(self, service: Service) -> Meaning:
        """Features in service order; a full name begins with the view's, as the service names it."""
        found = self._of_services.get(service.name)
        if found is None:
            parts = [(i["name"], [out for out, _ in i["features"]]) for i in service.definition["instances"]]
            parts += [(o["name"], [f["name"] for f in o["features"]]) for o in service.definition.get("on_demand", ())]
            views = {name: view for view, names in parts for name in names}
            names = service.feature_names
            full = tuple(f"{views[name]}__{name}" for name in names)
            found = Meaning(service, names, full, tuple(view for view, outs in parts if outs))
            self._of_services[service.name] = found
        return found

    def of_features(self, snapshot: Snapshot, features: tuple[str, ...]) -> Meaning:
        """Raises: UnknownName FS560 (404), RequestError FS506 (422)."""
        found = self._kept.get(features)
        if found is None:
            found = self._kept[features] = self._composed(snapshot, features)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(features)
        return found

    def _composed(self, snapshot: Snapshot, features: tuple[str, ...]) -> Meaning:
        """A service made of what is asked for: view by view in order of first appearance, on-demand views last, as Feast's."""
        wanted: dict[str, list[str]] = {}
        for view, feature in map(_parts, features):
            self._check(view, feature)
            if feature in wanted.setdefault(view, []):
                raise RequestError("FS506", f"'{view}:{feature}' is asked for twice")
            wanted[view].append(feature)
        looked_up = {view: names for view, names in wanted.items() if view in self._views}
        computed = {view: names for view, names in wanted.items() if view not in self._views}
        instances = [_instance(self._views[view], names) for view, names in looked_up.items()]
        on_demand = []
        for view, names in computed.items():
            fed_by, alone = self._alone(view, names)
            instances += fed_by
            on_demand.append(alone)
        named = [(view, name) for view, names in (looked_up | computed).items() for name in names]
        full = tuple(f"{view}__{name}" for view, name in named)
        definition = {
            "name": "", "fingerprint": "", "instances": instances, "on_demand": on_demand, "feature_names": full,
        }  # fmt: skip
        service = Service(definition, snapshot)
        _check_families(service)
        return Meaning(service, tuple(name for _, name in named), full, tuple(looked_up))

    def _alone(self, view: str, features: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """As `_on_demand`, by a service that has all of its features. Raises: RequestError FS506 where two services that do
        feed it differently, for nothing says which is meant."""
        able = [(s, o) for s, o in self._on_demand[view] if set(features) <= {f["name"] for f in o["features"]}]
        if not able:
            raise RequestError("FS506", f"no service has all of these features of {view!r}", hint="one request for each")
        if len({_fed(service, given) for service, given in able}) > 1:
            names = ", ".join(service["name"] for service, _ in able)
            what = f"on-demand view {view!r} is fed otherwise in each of the services {names}"
            raise RequestError("FS506", what, hint='"feature_service", which says what feeds it')
        return _on_demand(view, features, *able[0])

    def _check(self, view: str, feature: str) -> None:
        if view in self._views:
            known = [f["name"] for f in self._views[view].view["features"]]
        elif view in self._on_demand:
            known = list(dict.fromkeys(f["name"] for _, given in self._on_demand[view] for f in given["features"]))
        else:
            views = [*self._views, *self._on_demand]
            raise UnknownName("FS560", f"unknown feature view {view!r}", known=views, hint=nearest(view, views))
        if feature not in known:
            raise UnknownName("FS560", f"view {view!r} has no feature {feature!r}", known=known, hint=nearest(feature, known))


def _fed(service: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What feeds an on-demand view in a service, whatever the columns are called there."""
    origin = {
        column: [instance["view"], instance["fingerprint"], instance["keys"], feature]
        for instance in service["instances"]
        for column, feature in [*instance["features"], *instance.get("hidden", ())]
    }
    operands = [
        [name, kind, origin[column] if kind == "feature" else column, dtype] for name, kind, column, dtype in given["operands"]
    ]
    return orjson.dumps([given["fingerprint"], operands]).decode()


def views_of(definition: Mapping[str, Any]) -> set[str]:
    """The views, and on-demand views, of a service."""
    return {i["view"] for i in definition["instances"]} | {o["name"] for o in definition.get("on_demand", ())}


def _parts(reference: str) -> tuple[str, str]:
    """View and feature; `view@latest:feature`, as Feast writes it too, is the same. Raises: RequestError FS506."""
    view, colon, feature = reference.partition(":")
    view = view.removesuffix("@latest")
    if not (view and colon and feature) or "@" in view:
        what = f"{reference[:80]!r} is no feature of a view"
        raise RequestError("FS506", what, hint="view:feature; of a view's versions only the newest is served")
    return view, feature


def _instance(made: Generation, features: Sequence[str]) -> dict[str, Any]:
    """A view asked for by its own join keys."""
    keys = [[key["name"], key["name"]] for key in made.view["keys"]]
    named = [[f"{made.name}__{feature}", feature] for feature in features]
    return {"name": made.name, "view": made.name, "fingerprint": made.fingerprint, "keys": keys, "features": named}


def _on_demand(
    name: str, features: Sequence[str], service: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """An on-demand view of a service, on its own: the instances that feed it, returning nothing, and its definition."""
    fed = {column for _, origin, column, _ in given["operands"] if origin == "feature"}
    instances = []
    for instance in service["instances"]:
        hidden = [
            [_operand(name, column), feature]
            for column, feature in [*instance["features"], *instance.get("hidden", ())]
            if column in fed
        ]
        if hidden:
            instances.append({**instance, "name": _operand(name, instance["name"]), "features": [], "hidden": hidden})
    operands = [
        [operand, origin, _operand(name, column) if origin == "feature" else column, dtype]
        for operand, origin, column, dtype in given["operands"]
    ]
    by_name = {f["name"]: f for f in given["features"]}
    computed = [{**by_name[feature], "name": f"{name}__{feature}"} for feature in features]
    return instances, {**given, "operands": operands, "features": computed}


def _operand(view: str, column: str) -> str:
    """A name that no feature and no other operand has."""
    return f"{view}/{column}"


def _check_families(service: Service) -> None:
    """One column cannot be keys of two types. Raises: RequestError FS506."""
    families: dict[str, tuple[str, str]] = {}
    for view in service.views:
        for column, family in zip(view.key_columns, view.families, strict=True):
            other, first = families.setdefault(column, (view.name, family))
            if first != family:
                what = f"key {column!r} is {first} in view {other!r} and {family} in view {view.name!r}"
                raise RequestError("FS506", what, hint="one request for each view")


# What is answered.


class FeastLookups:
    """Answers look-ups in Feast's form from one store."""

    def __init__(self, reader: OnlineReader, limits: Server, readiness: Readiness) -> None:
        self._reader, self._limits, self._readiness = reader, limits, readiness
        self._state: object = None
        self._references: dict[tuple[str, ...], References] = {}

    def answer(self, exchange: Exchange, body: bytes) -> Reply:
        """JSON, whatever is accepted: Feast's server has no other.

        Raises: UnknownName FS501, FS560, RequestError FS502 to FS506, Refused FS508, FS522, StoreError FS402, FS412, FS510,
        FS562 (503).
        """
        question = read(body)
        for _ in range(MOVES):
            with self._reader.store.read() as snapshot, suppress(Moved):
                return Reply(self._answered(exchange, snapshot, question))
        raise StoreUnavailable("FS412", f"the online store was written to during each of {MOVES} look-ups")

    def _answered(self, exchange: Exchange, snapshot: Snapshot, question: Question) -> bytes:
        self._authorize(exchange, snapshot, question)
        rows = _rows(question.entities)
        meaning = self._meaning(snapshot, question, exchange.key)
        service = meaning.service
        check_size(exchange, service, rows, self._limits)
        given = _only(question.entities, service.keys)
        names = meaning.names(question.full_names)
        keys, _ = checked_keys(service, given)
        request = None
        if service.request:
            request = checked_request(service.request, _only(question.entities, service.request), rows)
        checked = Checked(keys, rows, service.instant(None, self._reader.clock), request)
        found = service.look_up(snapshot, checked)
        exchange.looked_up = LookedUp(service, checked, found)
        metadata: dict[str, Any] = {"feature_names": [*given, *names]}
        if question.with_views:
            metadata["feature_view_metadata"] = [{"name": view} for view in meaning.views]
        results = _results(Columns(service, found, rows), given, names, meaning)
        return orjson.dumps({"results": results, "metadata": metadata})

    def _authorize(self, exchange: Exchange, snapshot: Snapshot, question: Question) -> None:
        """A key that is limited to services may ask for what their views hold. Raises: Refused FS522 (403)."""
        if question.feature_service:
            exchange.authorize("lookup", question.feature_service)
            return
        if not exchange.key.services:
            return
        visible = self._current(snapshot, exchange.key).visible
        for view in {_parts(feature)[0] for feature in question.features} - visible:
            exchange.authorize("lookup", f"(view {view})")

    def _meaning(self, snapshot: Snapshot, question: Question, key: Key) -> Meaning:
        references = self._current(snapshot, key)
        try:
            if question.feature_service:
                return references.of_service(self._reader.service(snapshot, question.feature_service))
            return references.of_features(snapshot, question.features)
        except UnknownName:
            self._readiness.check(references.services)  # what is awaited may bring it
            raise

    def _current(self, snapshot: Snapshot, key: Key) -> References:
        """What names mean to a key."""
        state = self._reader.state(snapshot)
        if state is not self._state:
            self._state, self._references = state, {}
        found = self._references.get(key.services)
        if found is None:
            services = {name: one for name, one in self._reader.services(snapshot).items() if key.may_see(name)}
            found = self._references[key.services] = References(snapshot, services, limited=bool(key.services))
        return found


def _only(entities: Mapping[str, Sequence[Any]], columns: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    return {column: values for column, values in entities.items() if column in columns}


def _results(
    columns: Columns, keys: Mapping[str, Sequence[Any]], names: Sequence[str], meaning: Meaning
) -> list[dict[str, Any]]:
    """The keys' columns, then those of the features. What columns share is encoded once."""
    present, no_times = _repeated("PRESENT", columns.rows), _repeated(_NO_TIME, columns.rows)
    results = [{"values": v, "statuses": _of_key(v, present), "event_timestamps": no_times} for v in keys.values()]
    times: dict[int, orjson.Fragment] = {}  # by the identity of a column, which features share
    for name, values, statuses, events in zip(
        names, _written(columns, meaning), columns.statuses(), columns.event_timestamps(), strict=True
    ):
        shown = times.get(id(events))
        if shown is None:
            shown = times[id(events)] = orjson.Fragment(orjson.dumps([_NO_TIME if e is None else _time(e) for e in events]))
        told = present if statuses is None else _told(name, statuses)
        results.append({"values": values, "statuses": told, "event_timestamps": shown})
    return results


@lru_cache(maxsize=64)
def _repeated(text: str, rows: int) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps([text] * rows))


def _of_key(values: Sequence[Any], present: orjson.Fragment) -> Any:
    if None not in values:
        return present
    return [_STATUSES[NULL if value is None else PRESENT] for value in values]


def _told(name: str, statuses: Sequence[str]) -> list[str]:
    """Raises: StoreError FS562 for a status Feast has no word for."""
    try:
        return [_STATUSES[status] for status in statuses]
    except KeyError:
        row = next(row for row, status in enumerate(statuses) if status in (STALE, UNAVAILABLE))
        what = f"{name!r} is {statuses[row]} for entity {row} of the request"
        raise StoreError("FS562", what, hint="featurestore materialize; /v1/online-features tells it cell by cell") from None


def _time(micros: int) -> str:
    """RFC 3339 with as many digits as it needs, of none, three and six."""
    second, fraction = divmod(micros, MICROS_PER_SECOND)
    shown = wire.whole_second(second)
    if not shown:
        return format_instant(micros)
    if not fraction:
        return f"{shown}Z"
    return f"{shown}.{fraction:06d}Z" if fraction % 1000 else f"{shown}.{fraction // 1000:03d}Z"


# How values are written.

_Writer = Callable[[Any], Any]


def _written(columns: Columns, meaning: Meaning) -> list[Sequence[Any]]:
    """The columns' values as JSON has them."""
    values = columns.values
    writers = meaning.writers
    if not _all_finite(values[i] for i in meaning.floats):
        writers = writers + [(i, wire.number) for i in meaning.floats]
    if writers:
        values = list(values)
        for i, write in writers:
            values[i] = [None if value is None else write(value) for value in values[i]]
    return values


def _all_finite(columns: Iterable[Sequence[float | None]]) -> bool:
    """Their sum tells: it may be infinite also where none of them is, never finite where one is not."""
    return isfinite(sum(filter(None, chain.from_iterable(columns))))


@lru_cache(maxsize=1024)
def _writer(dtype: DType) -> _Writer | None:
    """How a value of the type is written; None where orjson writes it as it is."""
    if dtype.is_timestamp:
        return lambda micros: micros // MICROS_PER_SECOND
    if dtype.name == "date32":
        return lambda days: days * (MICROS_PER_DAY // MICROS_PER_SECOND)
    if dtype.is_list:
        item = _writer(dtype.item)
        return None if item is None else lambda values: [None if v is None else item(v) for v in values]
    if dtype.is_map:
        key = _writer(dtype.key) or wire.as_is
        return lambda pairs: {_name(key(value)): count for value, count in pairs}
    return wire.writer(dtype, int64_text=False)


def _name(value: Any) -> str:
    """A value as the name of an object's member."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


__all__ = ["FIELDS", "FeastLookups", "PATH"]
