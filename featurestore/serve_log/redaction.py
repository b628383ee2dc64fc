"""Which columns of an answer may be logged, given the names that are not.

A name hides what is called so, in any service: a join key, a request column, a feature. A feature can be asked for under
other names too: with the prefix a service gives it, and by Feast's clients as `view__feature`; so the names of what one thing
is called belong together. An on-demand feature is hidden with what its expression reads, for that could be told from it. What
the expression of a view makes of a column of its source has a name of its own, and is hidden by that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from featurestore import trees
from featurestore.errors import UsageError, nearest
from featurestore.expressions import columns


class Shown(NamedTuple):
    """What of a service's answers is logged: names of key and request columns, and places of features in service order."""

    keys: tuple[str, ...]
    request: tuple[str, ...]
    features: tuple[int, ...]


class Redaction:
    """Names that hide. Until `learn` was told of all of them, nobody knows what they hide."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._known: set[str] = set()
        self._called: dict[str, set[str]] = defaultdict(set)
        """`view__feature`, or `view.key`, of a view -> what services call it."""

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._names)

    @property
    def unknown(self) -> list[str]:
        """Names that nothing learnt of has."""
        return sorted(self._names - self._known)

    def check(self) -> None:
        """Raises: UsageError FS107 for a name that nothing has: what it was to hide would be logged."""
        for name in self.unknown:
            known = sorted(self._known)
            what = f"setting serve_log.redact: nothing that is served is called {name!r}"
            raise UsageError("FS107", what, known=known, hint=nearest(name, known) or "a join key, request column or feature")

    def learn(self, services: Iterable[Mapping[str, Any]], views: Iterable[Mapping[str, Any]] = ()) -> None:
        """What is served: definitions of services and of views as data, as the online store has them."""
        for view in views:
            self._known.update(key["name"] for key in view["keys"])
            self._known.update(feature["name"] for feature in view["features"])
        for service in services:
            for instance in service["instances"]:
                for column, key in instance["keys"]:
                    self._called[f"{instance['view']}.{key}"].add(column)
                for column, feature in instance["features"]:
                    full = f"{instance['view']}__{feature}"
                    self._called[full].update((column, f"{instance['name']}__{column}"))
            for view in service.get("on_demand", ()):
                for column in (feature["name"] for feature in view["features"]):
                    self._called[f"{view['view']}__{_bare(view, column)}"].update((column, f"{view['name']}__{column}"))
            for names in (*_features(service).values(), *_keys(service).values()):
                self._known |= names
            self._known.update(_request(service))

    def shown(self, service: Mapping[str, Any], names: Sequence[str]) -> Shown:
        """What is left of a service. names: of its features, in service order. Of one that has no name, which Feast's
        clients put together, what any service hides is hidden."""
        composed = not service["name"]
        features, keys = _features(service), _keys(service)
        return Shown(
            tuple(column for column, called in keys.items() if not self._hides(called, composed)),
            tuple(column for column in _request(service) if not self._hides({column}, composed=False)),
            tuple(i for i, name in enumerate(names) if not self._hides(features[name], composed)),
        )

    def _hides(self, called: set[str], composed: bool) -> bool:
        if composed:
            called = called.union(*(self._called[name] for name in called if name in self._called))
        return not called.isdisjoint(self._names)


def _features(service: Mapping[str, Any]) -> dict[str, set[str]]:
    """Column -> what its feature is called, and what is read to compute it here."""
    found = {
        column: {column, feature, f"{instance['name']}__{column}", f"{instance['view']}__{feature}"}
        for instance in service["instances"]
        for column, feature in instance["features"]
    }
    looked_up = found | {
        column: {feature, column.rpartition(".")[2], f"{instance['view']}__{feature}"}
        for instance in service["instances"]
        for column, feature in instance.get("hidden", ())
    }
    for view in service.get("on_demand", ()):
        reads = {
            name: {"request": {column}, "feature": looked_up.get(column, set())}.get(origin, set())
            for name, origin, column, _ in view["operands"]
        }
        for feature in view["features"]:
            read = (reads.get(name, set()) for name in columns(trees.from_data(feature["expression"])))
            found[feature["name"]] = _called_on_demand(view, feature["name"]).union(*read)
    return found


def _called_on_demand(view: Mapping[str, Any], column: str) -> set[str]:
    """What an on-demand feature is called."""
    name, plain, bare = view["name"], column.rpartition("__")[2], _bare(view, column)
    return {column, plain, f"{name}__{plain}", bare, f"{view['view']}__{bare}"}


def _bare(view: Mapping[str, Any], column: str) -> str:
    """What an on-demand view itself calls its feature: a service's prefix stands before the view's name there too."""
    name, plain = view["name"], column.rpartition("__")[2]
    return plain.removeprefix(name.removesuffix(view["view"])) if name.endswith(view["view"]) else plain


def _keys(service: Mapping[str, Any]) -> dict[str, set[str]]:
    """Key column -> what the key is called."""
    found: dict[str, set[str]] = defaultdict(set)
    for instance in service["instances"]:
        for column, key in instance["keys"]:
            found[column] |= {column, key, f"{instance['view']}.{key}"}
    return found


def _request(service: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for view in service.get("on_demand", ()) for name in view["request"]))
