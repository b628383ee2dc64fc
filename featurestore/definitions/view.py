"""Feature views: features of one source, about some entities, and instances of views as services use them.

What feature views and label views share (whose they are, which facts they read) is `View`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from featurestore import expressions
from featurestore.definitions.aggregation import Feature
from featurestore.definitions.base import Definition, FrozenMap, located
from featurestore.definitions.entity import Entity
from featurestore.definitions.instance import Instance
from featurestore.definitions.source import Source
from featurestore.errors import DefinitionError, nearest
from featurestore.expressions import Expr
from featurestore.intervals import parse_duration

ONLINE_CAP = 10_000


@dataclass(frozen=True, kw_only=True, repr=False)
class View(Definition):
    """Facts of one source about some entities, and what is made of them: `features`.

    Args:
        entities: whose facts these are; [] is one global row.
        source: where the facts come from.
        where: a condition on source columns; keeps facts for which it is TRUE (judged on the version in force).
        join_key_map: {entity key: source column} where their names differ.
    """

    entities: Any = ()
    source: Source = None  # type: ignore[assignment]
    where: str | None = None
    join_key_map: Mapping[str, str] = field(default_factory=dict)

    def _check(self) -> None:
        if not isinstance(self.source, Source):
            raise DefinitionError("FS202", f"source={self.source!r} is not a source", hint="source=ParquetSource(…)")
        if not isinstance(self.entities, list | tuple) or not all(isinstance(e, Entity) for e in self.entities):
            raise DefinitionError("FS202", "entities must be a list of Entity", hint="entities=[customer]")
        self._set("entities", tuple(self.entities))
        self._set("join_key_map", _key_map(self.join_key_map, self.join_keys))
        if self.where is not None:
            expressions.parse(self.where)

    @property
    def features(self) -> tuple[Feature, ...]:
        """What is made of the facts, in order."""
        raise NotImplementedError

    @property
    def condition(self) -> Expr | None:
        return None if self.where is None else expressions.parse(self.where)

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The join keys of all entities, in order."""
        keys = [key for entity in self.entities for key in entity.join_keys]
        if len({k.lower() for k in keys}) < len(keys):
            raise DefinitionError("FS208", f"two entities share a join key: {', '.join(keys)}", hint="rename one of them")
        return tuple(keys)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The source columns that hold the join keys, in order of `join_keys`."""
        return tuple(self.join_key_map.get(key, key) for key in self.join_keys)

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The source columns the features read, in order of first appearance: the order of ties."""
        return tuple(dict.fromkeys(c for f in self.features for c in f.inputs))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every source column the view reads, declared ones included, without repetition."""
        return tuple(dict.fromkeys((*self.value_columns, *self.source.quarantine_columns)))

    @property
    def value_columns(self) -> tuple[str, ...]:
        """Those of them that say what a fact is: not what is read only to set rows aside."""
        where = () if self.condition is None else tuple(expressions.columns(self.condition))
        return tuple(dict.fromkeys((*self.source.declared_columns, *self.key_columns, *self.input_columns, *where)))

    def feature(self, name: str) -> Feature:
        """The feature of that name. Raises: DefinitionError FS203 naming the nearest."""
        for feature in self.features:
            if feature.name == name:
                return feature
        known = [f.name for f in self.features]
        raise DefinitionError("FS203", f"unknown feature {name!r} of {self.name!r}", known=known, hint=nearest(name, known))

    def alias(self, name: str) -> ViewInstance:
        """The view under another name (needed when a service lists one view twice)."""
        return ViewInstance(view=self).alias(name)

    def with_join_key_map(self, mapping: Mapping[str, str]) -> ViewInstance:
        """The view looked up by other columns of spine or request: {entity key: column}."""
        return ViewInstance(view=self).with_join_key_map(mapping)

    def with_prefix(self, prefix: str) -> ViewInstance:
        """The view with a prefix before each feature's name."""
        return ViewInstance(view=self).with_prefix(prefix)


@dataclass(frozen=True, kw_only=True, repr=False)
class FeatureView(View):
    """Features computed from one source for each combination of the entities' join keys.

    Args:
        entities: whose features these are; [] is one global row.
        source: where the facts come from.
        features: `latest(…)` and `agg.…(…)`, in the order in which they are returned.
        where: a condition on source columns; keeps facts for which it is TRUE (judged on the version in force).
        ttl: the greatest age t - e at which a latest value still holds (equal holds); None: any. Windows ignore it.
        allow_exact_matches: also facts visible exactly at t (default: strictly before t).
        join_key_map: {entity key: source column} where their names differ.
        online: False keeps the view out of the online store.
        online_cap: how many distinct values of a key an aggregate that tells them apart (count_distinct, median, quantile,
            mode, histogram) may meet online; above it that cell is `unavailable`, never approximate.
    Raises: DefinitionError FS201 to FS208, FS211, FS214, FS215.
    """

    features: Any = ()
    ttl: Any = None
    allow_exact_matches: bool = False
    online: bool = True
    online_cap: int = ONLINE_CAP

    kind = "feature view"

    def _check(self) -> None:
        super()._check()
        self._set("features", _features(self.features))
        self._set("ttl", None if self.ttl is None else parse_duration(self.ttl, what="ttl"))
        if not isinstance(self.online_cap, int) or isinstance(self.online_cap, bool) or self.online_cap < 1:
            raise DefinitionError(
                "FS202", f"online_cap={self.online_cap!r} is not a number of values", hint="online_cap=10_000"
            )
        self._check_static()

    def _check_static(self) -> None:
        if not self.source.static:
            return
        if self.ttl is not None:
            raise DefinitionError("FS204", "a view of a static source has no age, so no ttl")
        windowed = [f.name for f in self.features if not f.is_latest]
        if windowed:
            raise DefinitionError("FS204", f"a static source has no history, so {windowed[0]!r} cannot have a window")

    def __getitem__(self, names: str | list[str]) -> ViewInstance:
        """The view with only some of its features, in the order named: `view[["a", "b"]]`."""
        return ViewInstance(view=self)[names]


@dataclass(frozen=True, kw_only=True, repr=False)
class ViewInstance(Instance):
    """A feature or label view as one service uses it: besides, by which keys.

    hidden: features that are computed besides, for on-demand features alone; only a service sets them.
    """

    view: View
    key_map: Mapping[str, str] = field(default_factory=FrozenMap)
    hidden: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[tuple[str, Feature], ...]:
        """(output column, feature) in order."""
        chosen = tuple(f.name for f in self.view.features) if self.chosen is None else self.chosen
        return tuple((f"{self.prefix}{name}", self.view.feature(name)) for name in chosen)

    @property
    def computed(self) -> tuple[tuple[str, Feature], ...]:
        """(column, feature): those returned, then the hidden ones. No name holds the dot of a hidden one's column."""
        besides = tuple((f"{self.name}.{self.prefix}{name}", self.view.feature(name)) for name in self.hidden)
        return (*self.features, *besides)

    @property
    def computation(self) -> tuple[View, tuple[str, ...], str]:
        """What two instances share whose values come from one computation: view, key columns and prefix."""
        return self.view, self.key_columns, self.prefix

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns of spine or request that hold its keys, in order of the view's join keys."""
        return tuple(self.key_map.get(key, key) for key in self.view.join_keys)

    def with_join_key_map(self, mapping: Mapping[str, str]) -> ViewInstance:
        return located(lambda: replace(self, key_map=_key_map(mapping, self.view.join_keys)))


def _features(given: Any) -> tuple[Feature, ...]:
    flat = tuple(_flatten(given))
    if not flat:
        raise DefinitionError("FS202", "a feature view needs at least one feature", hint='features=[latest("…")]')
    seen: dict[str, Feature] = {}
    for feature in flat:
        if feature.name in seen:
            raise DefinitionError(
                "FS207", f"two features are named {feature.name!r} ({seen[feature.name].location} and {feature.location})",
                hint="name='…' on one of them",
            )  # fmt: skip
        seen[feature.name] = feature
    return flat


def _flatten(given: Any) -> Iterable[Feature]:
    if isinstance(given, Feature):
        yield given
    elif isinstance(given, list | tuple):
        for item in given:
            yield from _flatten(item)
    else:
        raise DefinitionError("FS202", f"{given!r} is not a feature", hint='latest("…") or agg.count(window="1h")')


def _key_map(mapping: Any, keys: tuple[str, ...]) -> FrozenMap[str]:
    if not isinstance(mapping, Mapping) or not all(isinstance(c, str) and c for c in mapping.values()):
        raise DefinitionError("FS202", f"a join key map goes from entity key to column name, got {mapping!r}")
    for key in mapping:
        if key not in keys:
            raise DefinitionError("FS203", f"unknown join key {key!r}", known=keys, hint=nearest(str(key), keys))
    return FrozenMap(mapping)


__all__ = ["FeatureView", "View", "ViewInstance"]
