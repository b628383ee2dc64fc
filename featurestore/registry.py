"""The registry: definitions cross-checked against each other and, once column types are known, bound to them.

`Registry.of` decides whether a set of definitions fits together; `Registry.bind` adds the sources' column types and
gives every view and service a fingerprint. Both are immutable. Where definitions come from is `discovery`'s business,
where types come from is `sources`'.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from featurestore import expressions, trees
from featurestore.definitions import (
    Definition,
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    LabelView,
    OnDemandFeatureView,
    OnDemandInstance,
    Source,
    View,
    ViewInstance,
)
from featurestore.definitions.aggregation import check_condition
from featurestore.definitions.base import FrozenMap
from featurestore.definitions.on_demand import AS_OF
from featurestore.dtypes import TIMESTAMP, ColumnTypes, DType
from featurestore.errors import DefinitionError, FeatureStoreError, UnknownName, nearest

SEMANTICS_VERSION = 1
"""Raised whenever the same definition would come to mean other values; part of every fingerprint."""
MANIFEST_FORMAT = 1

D = TypeVar("D", bound=Definition)
B = TypeVar("B", bound="BoundFacts", covariant=True)
Schemas = Mapping[str, Mapping[str, DType]]
"""Source name -> column -> type."""


@dataclass(frozen=True)
class Registry:
    """All definitions of a project, by kind and name."""

    entities: Mapping[str, Entity]
    sources: Mapping[str, Source]
    views: Mapping[str, FeatureView]
    services: Mapping[str, FeatureService]
    labels: Mapping[str, LabelView]
    on_demand: Mapping[str, OnDemandFeatureView] = FrozenMap()

    @classmethod
    def of(cls, definitions: Iterable[Definition]) -> Registry:
        """Collect definitions and all that they reach.

        Raises: DefinitionError FS209 when two of one kind share a name (both places are named). Views of features, of labels
        and on demand are one kind there: reports name them by their names alone.
        """
        found: dict[int, Definition] = {}
        for definition in definitions:
            _reach(definition, found)
        views, on_demand = _by_name(found.values(), View), _by_name(found.values(), OnDemandFeatureView)
        for name in sorted(set(views) & set(on_demand)):
            raise _twice(views[name], on_demand[name])
        return cls(
            entities=_by_name(found.values(), Entity),
            sources=_by_name(found.values(), Source),
            views=_by_name(found.values(), FeatureView),
            services=_by_name(found.values(), FeatureService),
            labels=_by_name(found.values(), LabelView),
            on_demand=on_demand,
        )

    def service(self, name: str | FeatureService) -> FeatureService:
        """The service of that name. Raises: UnknownName FS101."""
        if isinstance(name, FeatureService):
            return name
        return known(self.services, name, "feature service")

    def view(self, name: str) -> FeatureView:
        """The view of that name. Raises: UnknownName FS101."""
        return known(self.views, name, "feature view")

    def bind(self, schemas: Schemas) -> BoundRegistry:
        """The registry with column types. Raises: DefinitionError FS203, FS216, FS217, FS219, FS220."""
        views = {name: bind_view(view, schemas[view.source.name]) for name, view in self.views.items()}
        labels = {name: bind_label(view, schemas[view.source.name]) for name, view in self.labels.items()}
        services = {name: bind_service(service, views, labels) for name, service in self.services.items()}
        on_demand = {name: bind_on_demand(OnDemandInstance(view=v), views) for name, v in self.on_demand.items()}
        return BoundRegistry(
            registry=self,
            views=FrozenMap(views),
            services=FrozenMap(services),
            labels=FrozenMap(labels),
            schemas=schemas,
            on_demand=FrozenMap(on_demand),
        )


def known(items: Mapping[str, D], name: str, kind: str) -> D:
    """items[name], or UnknownName FS101 with the known names and the nearest one."""
    if name not in items:
        raise UnknownName("FS101", f"unknown {kind} {name!r}", known=items, hint=nearest(name, items))
    return items[name]


def _reach(definition: Definition, found: dict[int, Definition]) -> None:
    if id(definition) in found:
        return
    found[id(definition)] = definition
    if isinstance(definition, FeatureService):
        for instance in (*definition.features, *definition.labels):
            _reach(instance.view, found)
    elif isinstance(definition, OnDemandFeatureView):
        for given in definition.inputs:
            _reach(given.view, found)
    elif isinstance(definition, View):
        _reach(definition.source, found)
        for entity in definition.entities:
            _reach(entity, found)


def _by_name(definitions: Iterable[Definition], kind: type[D]) -> Mapping[str, D]:
    named: dict[str, D] = {}
    for definition in definitions:
        if not isinstance(definition, kind):
            continue
        twin = named.get(definition.name)
        if twin is not None:
            raise _twice(twin, definition)
        named[definition.name] = definition
    return FrozenMap({name: named[name] for name in sorted(named)})


def _twice(one: Definition, other: Definition) -> DefinitionError:
    kinds = " and ".join(dict.fromkeys((one.kind, other.kind)))
    return DefinitionError(
        "FS209",
        f"two definitions of kind {kinds} are named {one.name!r}",
        where=f"{one.location} and {other.location}",
        hint="rename one, or import it instead of writing it again",
    )


@dataclass(frozen=True)
class Key:
    """One join key of a view: the entity's name for it, the source column that holds it, and that column's type."""

    name: str
    column: str
    dtype: DType

    @property
    def family(self) -> str:
        family = self.dtype.key_family
        assert family is not None
        return family


@dataclass(frozen=True)
class BoundFacts:
    """A view of either kind whose columns have types.

    types: every source column the view reads. feature_types: in the order of the view's features.
    """

    view: View
    types: Mapping[str, DType]
    keys: tuple[Key, ...]
    feature_types: Mapping[str, DType]

    @property
    def name(self) -> str:
        return self.view.name

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits that change whenever the meaning may have changed, and for nothing else."""
        return fingerprint(self.meaning())

    def meaning(self) -> dict[str, Any]:
        """All that bears on the values, as plain data."""
        view = self.view
        return {
            "semantics": SEMANTICS_VERSION,
            "keys": [[key.name, key.column, key.dtype.name] for key in self.keys],
            "source": source_meaning(view.source, self.types),
            "where": None if view.condition is None else expressions.normalised(view.condition),
            "features": [self._feature(f) for f in view.features],
        }

    def _feature(self, feature: Feature) -> dict[str, Any]:
        normal = expressions.normalised
        return {
            "name": feature.name,
            "type": self.feature_types[feature.name].name,
            "expression": None if feature.expression is None else normal(feature.expression),
            "aggregate": feature.aggregate,
            **({} if feature.parameter is None else {"parameter": feature.parameter}),
            "window": None if feature.window is None else feature.window.micros,
            "offset": feature.offset.micros,
            "where": None if feature.where is None else normal(feature.where),
        }


@dataclass(frozen=True)
class BoundView(BoundFacts):
    """A feature view whose columns have types."""

    view: FeatureView

    def meaning(self) -> dict[str, Any]:
        ttl = None if self.view.ttl is None else self.view.ttl.micros
        return {**super().meaning(), "ttl": ttl, "allow_exact_matches": self.view.allow_exact_matches}

    def to_manifest(self) -> dict[str, Any]:
        """What an online store and its server need to know of the view, without code or source."""
        meaning = self.meaning()
        return {
            "fingerprint": self.fingerprint,
            "source": self.view.source.name,
            "static": self.view.source.static,
            "online": self.view.online,
            "online_cap": self.view.online_cap,
            "keys": [{"name": k.name, "type": k.dtype.name, "family": k.family} for k in self.keys],
            **{part: meaning[part] for part in ("where", "ttl", "allow_exact_matches", "features")},
        }


@dataclass(frozen=True)
class BoundLabel(BoundFacts):
    """A label view whose columns have types."""

    view: LabelView

    def meaning(self) -> dict[str, Any]:
        return {**super().meaning(), "gap": self.view.gap.micros, "settle": self.view.settle.micros}

    def to_manifest(self) -> dict[str, Any]:
        """What is recorded of the label in `sql/manifest.json`; the online store never hears of it."""
        meaning = self.meaning()
        return {
            "fingerprint": self.fingerprint,
            "source": self.view.source.name,
            "keys": [{"name": k.name, "type": k.dtype.name, "family": k.family} for k in self.keys],
            **{part: meaning[part] for part in ("where", "gap", "settle", "features")},
        }


def source_meaning(source: Source, types: Mapping[str, DType]) -> dict[str, Any]:
    """The options of a source that bear on what its rows mean, and the types of the columns read."""
    zones = {c: source.zone_of(c) for c in sorted(types) if types[c].is_timestamp or c in source.time_columns}
    quarantine = sorted(expressions.normalised(e.passes(types)) for e in source.quarantine)
    return {
        "event_timestamp": source.event_timestamp,
        "created_timestamp": source.created_timestamp,
        "delay": source.known_delay.micros,
        "created_null": source.created_null,
        "row_key": list(source.row_key),
        "row_order": source.row_order,
        "deleted": source.deleted,
        "static": source.static,
        "timezones": zones,
        "time_unit": source.time_unit,
        "time_format": source.time_format,
        "date_is": source.date_is,
        "time_range": list(source.time_range),
        "types": {column: types[column].name for column in sorted(types)},
        **({"quarantine": quarantine} if quarantine else {}),
    }


@dataclass(frozen=True)
class BoundInstance(Generic[B]):
    """A view as a service uses it, with types."""

    instance: ViewInstance
    bound: B

    @property
    def name(self) -> str:
        return self.instance.name

    @property
    def features(self) -> tuple[tuple[str, Feature, DType], ...]:
        """(output column, feature, type) in order."""
        return tuple((out, f, self.bound.feature_types[f.name]) for out, f in self.instance.features)

    @property
    def computed(self) -> tuple[tuple[str, Feature, DType], ...]:
        """(column, feature, type): those returned, then those hidden for on-demand features."""
        return tuple((column, f, self.bound.feature_types[f.name]) for column, f in self.instance.computed)

    @property
    def keys(self) -> tuple[tuple[str, Key], ...]:
        """(column of spine or request, key) in order of the view's join keys."""
        return tuple(zip(self.instance.key_columns, self.bound.keys, strict=True))


@dataclass(frozen=True)
class BoundOnDemand:
    """An on-demand view, or an instance of one, whose names have types."""

    instance: OnDemandInstance
    inputs: tuple[BoundInstance[BoundView], ...]

    @property
    def name(self) -> str:
        return self.instance.name

    @cached_property
    def types(self) -> Mapping[str, DType]:
        """The type of every name an expression may read."""
        features = {column: dtype for i in self.inputs for column, _, dtype in i.features}
        return FrozenMap({**features, **self.instance.view.request, AS_OF: TIMESTAMP})

    @cached_property
    def features(self) -> tuple[tuple[str, expressions.Expr, DType], ...]:
        """(output column, expression, type) in order. Raises: DefinitionError FS216."""
        named = self.instance.view.expressions
        return tuple(
            (out, named[name], expressions.result_type(named[name], self.types, what=name))
            for out, name in self.instance.features
        )

    @cached_property
    def fingerprint(self) -> str:
        """Of the whole view: whatever an instance picks, its meaning is the view's."""
        return fingerprint({"semantics": SEMANTICS_VERSION, **self.meaning()})

    def meaning(self) -> dict[str, Any]:
        """All that bears on the values, as plain data."""
        view = self.instance.view
        return {
            "inputs": [_instance_meaning(i) for i in self.inputs],
            "request": {name: dtype.name for name, dtype in sorted(view.request.items())},
            "features": {name: expressions.normalised(e) for name, e in sorted(view.expressions.items())},
        }

    def to_manifest(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint, **self.meaning()}


def _instance_meaning(instance: BoundInstance[Any]) -> dict[str, Any]:
    return {
        "view": instance.bound.name,
        "name": instance.name,
        "fingerprint": instance.bound.fingerprint,
        "keys": [[column, key.name] for column, key in instance.keys],
        "features": [[out, feature.name] for out, feature, _ in instance.features],
    }


@dataclass(frozen=True)
class BoundService:
    """A service whose features and labels have types. instances: all that is computed, also for on-demand features alone.

    `labels` never bear on `fingerprint` or `to_manifest`: they are no part of what is served.
    """

    service: FeatureService
    instances: tuple[BoundInstance[BoundView], ...]
    labels: tuple[BoundInstance[BoundLabel], ...] = ()
    on_demand: tuple[BoundOnDemand, ...] = ()

    @property
    def name(self) -> str:
        return self.service.name

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint({"semantics": SEMANTICS_VERSION, **self._meaning()})

    def _meaning(self) -> dict[str, Any]:
        meaning: dict[str, Any] = {"instances": [self._instance(i) for i in self.instances]}
        if self.on_demand:
            meaning["on_demand"] = [self._on_demand(o) for o in self.on_demand]
            meaning["feature_names"] = list(self.feature_types)
        return meaning

    def _instance(self, instance: BoundInstance[Any]) -> dict[str, Any]:
        hidden = [[column, f.name] for column, f, _ in instance.computed[len(instance.features) :]]
        return {**_instance_meaning(instance), **({"hidden": hidden} if hidden else {})}

    def _on_demand(self, asked: BoundOnDemand) -> dict[str, Any]:
        """All that a server needs to compute it: where each operand comes from, and the expressions as trees."""
        return {
            "view": asked.instance.view.name,
            "name": asked.name,
            "fingerprint": asked.fingerprint,
            "request": {name: dtype.name for name, dtype in asked.instance.view.request.items()},
            "operands": [[o.name, o.origin, o.column, o.dtype.name] for o in self.operands(asked)],
            "features": [{"name": out, "type": dtype.name, "expression": trees.to_data(e)} for out, e, dtype in asked.features],
        }

    def operands(self, asked: BoundOnDemand) -> tuple[Operand, ...]:
        """What the expressions of one of its on-demand views read, in order of first appearance."""
        return tuple(Operand(name, *self._origin(asked, name), asked.types[name]) for name in asked.instance.reads)

    def _origin(self, asked: BoundOnDemand, name: str) -> tuple[str, str]:
        """(where a name comes from, under which name it is found there)."""
        if name == AS_OF or name in asked.instance.view.request:
            return (AS_OF if name == AS_OF else "request"), name
        for given in asked.inputs:
            for column, feature, _ in given.features:
                if column == name:
                    return "feature", self._computed(given.instance, feature.name)
        raise AssertionError(name)

    def _computed(self, given: ViewInstance, feature: str) -> str:
        """The column that holds an input's feature."""
        return next(
            column
            for instance in self.instances
            if instance.instance.computation == given.computation
            for column, f, _ in instance.computed
            if f.name == feature
        )

    @cached_property
    def feature_types(self) -> Mapping[str, DType]:
        """Output column -> type, in service order."""
        types = {out: dtype for i in self.instances for out, _, dtype in i.features}
        types |= {out: dtype for o in self.on_demand for out, _, dtype in o.features}
        return FrozenMap({name: types[name] for name in self.service.feature_names})

    @property
    def request(self) -> Mapping[str, DType]:
        """Name and type of what each request brings; offline the spine's columns of those names."""
        return self.service.request

    @cached_property
    def label_types(self) -> Mapping[str, DType]:
        """Label column -> type, in service order."""
        return FrozenMap({out: dtype for i in self.labels for out, _, dtype in i.features})

    @property
    def exact(self) -> bool:
        """Some view sees facts at t itself: then labels begin after it, so that no fact is both feature and label."""
        return any(i.bound.view.allow_exact_matches for i in self.instances)

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """All that a training set reads, by name: the sources of the views and of the labels."""
        return FrozenMap({i.bound.view.source.name: i.bound.view.source for i in (*self.instances, *self.labels)})

    @cached_property
    def key_columns(self) -> Mapping[str, Key]:
        """Column of spine or request -> key, in order of first use: what a look-up takes."""
        return _first_keys(self.instances)

    @cached_property
    def spine_keys(self) -> Mapping[str, Key]:
        """Column of a spine -> key, those of the labels included: what a build reads."""
        return _first_keys((*self.instances, *self.labels))

    def to_manifest(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint, **self._meaning()}

    def labels_to_manifest(self) -> list[dict[str, Any]]:
        """Each label as the service uses it. exact: its window is (…, …], see `exact`."""
        return [{**self._instance(label), "exact": self.exact} for label in self.labels]


@dataclass(frozen=True)
class Operand:
    """What an on-demand expression reads by `name`. origin: "feature" (column: of the features computed for the row),
    "request" (column: of the request, or the spine), or "as_of"."""

    name: str
    origin: str
    column: str
    dtype: DType


def _first_keys(instances: Iterable[BoundInstance[Any]]) -> Mapping[str, Key]:
    first: dict[str, Key] = {}
    for instance in instances:
        for column, key in instance.keys:
            first.setdefault(column, key)
    return FrozenMap(first)


@dataclass(frozen=True)
class BoundRegistry:
    """A registry with types: what plans, fingerprints and manifests are made from."""

    registry: Registry
    views: Mapping[str, BoundView]
    services: Mapping[str, BoundService]
    labels: Mapping[str, BoundLabel]
    schemas: Schemas
    on_demand: Mapping[str, BoundOnDemand] = FrozenMap()

    def service(self, name: str | FeatureService) -> BoundService:
        if isinstance(name, FeatureService):
            if self.registry.services.get(name.name) is name:
                return self.services[name.name]
            return bind_service(name, self.views, self.labels)
        known(self.registry.services, name, "feature service")
        return self.services[name]

    def to_manifest(self) -> dict[str, Any]:
        """The registry as data: what `sql/manifest.json` keeps. Holds no path, clock or machine."""
        used = {v.view.source.name for v in (*self.views.values(), *self.labels.values())}
        on_demand = {name: view.to_manifest() for name, view in self.on_demand.items()}
        return {
            "format": MANIFEST_FORMAT,
            "sources": {s: {c: t.name for c, t in sorted(self.schemas[s].items())} for s in sorted(used)},
            "views": {name: view.to_manifest() for name, view in self.views.items()},
            "labels": {name: label.to_manifest() for name, label in self.labels.items()},
            **({"on_demand_views": on_demand} if on_demand else {}),
            "services": {
                name: {**service.to_manifest(), "labels": service.labels_to_manifest()}
                for name, service in self.services.items()
            },
        }


def bind_view(view: FeatureView, schema: Mapping[str, DType]) -> BoundView:
    """Give a view's columns their types. Raises: DefinitionError FS203, FS216, FS217, FS219."""
    return BoundView(view, *_typed(view, schema))


def bind_label(view: LabelView, schema: Mapping[str, DType]) -> BoundLabel:
    """Give a label view's columns their types. Raises: DefinitionError FS203, FS216, FS217, FS219."""
    return BoundLabel(view, *_typed(view, schema))


_Typed = tuple[Mapping[str, DType], tuple[Key, ...], Mapping[str, DType]]
"""Types of the columns read, keys, types of the features."""


def _typed(view: View, schema: Mapping[str, DType]) -> _Typed:
    try:
        return _types_of(view, schema)
    except FeatureStoreError as error:
        raise error.at(view.place) from None


def _types_of(view: View, schema: Mapping[str, DType]) -> _Typed:
    view.source.check_expectations(schema)
    for column in view.columns:
        if isinstance(schema, ColumnTypes) and column in schema.refused:
            raise schema.refused[column]
        if column not in schema:
            raise DefinitionError(
                "FS203",
                f"source {view.source.name!r} has no column {column!r}",
                known=schema,
                hint=nearest(column, schema),
            )
    types = {column: schema[column] for column in view.columns}
    if view.condition is not None:
        check_condition(view.condition, types, what="where")
    keys = tuple(Key(name, column, types[column]) for name, column in zip(view.join_keys, view.key_columns, strict=True))
    for key in keys:
        if key.dtype.key_family is None:
            raise DefinitionError(
                "FS219", f"join key {key.column!r} is {key.dtype}: keys are integers, text, bool, date or binary",
                hint="cast it where the data is written; floats as keys lose digits",
            )  # fmt: skip
    if view.source.deleted and types[view.source.deleted].name != "bool":
        raise DefinitionError("FS219", f"deleted column {view.source.deleted!r} is {types[view.source.deleted]}, not bool")
    _check_times(view.source, types)
    _check_time_columns_serve_once(view, types)
    return FrozenMap(types), keys, FrozenMap({f.name: f.result_type(types) for f in view.features})


def _check_times(source: Source, types: Mapping[str, DType]) -> None:
    for column in source.time_columns:
        dtype = types[column]
        if dtype.is_integer and source.time_unit is None:
            raise DefinitionError("FS219", f"time column {column!r} is {dtype}", hint='time_unit="us" (or s, ms, ns)')
        if dtype.name == "string" and source.time_format is None:
            raise DefinitionError("FS219", f"time column {column!r} is text", hint='time_format="iso8601"')
        if not (dtype.is_timestamp or dtype.is_integer or dtype.name in ("string", "date32")):
            raise DefinitionError("FS219", f"time column {column!r} is {dtype}, which is not a time")


def _check_time_columns_serve_once(view: View, types: Mapping[str, DType]) -> None:
    """A time written as text, integer or date is read as an instant; as a value it would be another thing."""
    source = view.source
    where = () if view.condition is None else tuple(expressions.columns(view.condition))
    others = {*view.input_columns, *view.key_columns, *where, *source.row_key, source.row_order}
    for column in source.time_columns:
        if column in others and not types[column].is_timestamp:
            raise DefinitionError(
                "FS219", f"time column {column!r} is {types[column]} and is read as a value too",
                hint="store the value in a column of its own",
            )  # fmt: skip


def bind_service(service: FeatureService, views: Mapping[str, BoundView], labels: Mapping[str, BoundLabel]) -> BoundService:
    """Give a service's instances their types.

    Raises: DefinitionError FS220 when one column is a key of two families, FS207 when one is a key and a feature or label.
    """
    on_demand = tuple(bind_on_demand(i, views) for i in service.on_demand)
    bound = BoundService(
        service,
        tuple(BoundInstance(i, views[i.view.name]) for i in service.instances),
        tuple(BoundInstance(i, labels[i.view.name]) for i in service.labels),
        on_demand,
    )
    families: dict[str, Key] = {}
    for instance in (*bound.instances, *bound.labels):
        for column, key in instance.keys:
            other = families.setdefault(column, key)
            if other.family != key.family:
                raise DefinitionError(
                    "FS220",
                    f"column {column!r} is a key of type {other.dtype} and of type {key.dtype}",
                    where=service.place,
                    hint="with_join_key_map, so that each reads a column of its own type",
                )
    columns = {column.lower(): column for column in families}
    for names, what, hint in (
        (bound.feature_types, "feature", "view.with_prefix('…')"),
        (bound.label_types, "label", "name='…' for the label"),
        (bound.request, "request column", "another name for the request column"),
    ):
        clash = sorted(set(names) & set(columns))
        if clash:
            what = f"{columns[clash[0]]!r} is both a key and a {what} (case does not count)"
            raise DefinitionError("FS207", what, where=service.place, hint=hint)
    return bound


def bind_on_demand(instance: OnDemandInstance, views: Mapping[str, BoundView]) -> BoundOnDemand:
    """Give an on-demand view's names and features their types. Raises: DefinitionError FS216."""
    bound = BoundOnDemand(instance, tuple(BoundInstance(i, views[i.view.name]) for i in instance.view.inputs))
    try:
        bound.features  # noqa: B018  # it raises, or is kept
    except FeatureStoreError as error:
        raise error.at(instance.view.place) from None
    return bound


def fingerprint(meaning: Any) -> str:
    """32 hex digits of the canonical JSON of plain data."""
    canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
