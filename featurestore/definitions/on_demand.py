"""On-demand feature views: scalar expressions over a row's own features, the request's inputs, and the instant asked for.

Decides what such an expression may name, and that no name is ambiguous. Which types its operands have is the registry's
question; how it is computed is each engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from featurestore import expressions
from featurestore.definitions.base import Definition, FrozenMap, check_name, located
from featurestore.definitions.instance import Instance
from featurestore.definitions.view import FeatureView, ViewInstance
from featurestore.dtypes import DType, parse_dtype
from featurestore.errors import DefinitionError, nearest
from featurestore.expressions import Expr

AS_OF = "as_of"
"""The name by which every expression can read the instant asked for."""


@dataclass(frozen=True, kw_only=True, repr=False)
class OnDemandFeatureView(Definition):
    """Features computed when they are asked for, row by row, from other features and from what the request brings along.

    Args:
        inputs: feature views or instances of them, such as `weather.with_prefix("origin_")`; expressions read their
            columns by the names the instance gives them. What the service does not list is computed and not returned.
        request: {name: type} of the values each request brings; offline the spine's columns of those names. bool,
            integers, float, double, string, binary, date32 or timestamp.
        features: {name: scalar SQL} over the inputs' columns, the request, and `as_of`, the instant asked for.
    Raises: DefinitionError FS201, FS202, FS203 (an unknown name), FS207 (a name with two meanings), FS213, FS214, FS215,
        FS228 (an input that no expression may read: a label, a service, another on-demand view).
    """

    inputs: Any = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, str] = field(default_factory=dict)

    kind = "on-demand feature view"

    def _check(self) -> None:
        self._set("inputs", _inputs(self.inputs))
        self._set("request", _request(self.request))
        self._set("features", _features(self.features))
        self._check_names()
        for name, expression in self.expressions.items():
            for column in expressions.columns(expression):
                if column not in self.readable:
                    raise DefinitionError(
                        "FS203", f"unknown name {column!r} in feature {name!r}", known=self.readable,
                        hint=nearest(column, self.readable) or "an input's feature, a request column, or as_of",
                    )  # fmt: skip

    def _check_names(self) -> None:
        """A name means one thing: to the expressions, and to who reads their results beside their inputs."""
        readable = [*(column for i in self.inputs for column, _ in i.features), *self.request, AS_OF]
        for name in readable:
            if readable.count(name) > 1:
                raise DefinitionError(
                    "FS207", f"{name!r} is the name of two inputs", hint="view.with_prefix('…'), or another request name"
                )
        for name in self.features:
            if name in readable:
                raise DefinitionError("FS207", f"feature {name!r} is named as one of its inputs", hint="another name")

    @property
    def expressions(self) -> Mapping[str, Expr]:
        """The features' expressions, by name."""
        return {name: expressions.parse(text) for name, text in self.features.items()}

    @property
    def readable(self) -> tuple[str, ...]:
        """The names an expression may read: the inputs' columns, the request's, and `as_of`."""
        return (*(column for i in self.inputs for column, _ in i.features), *self.request, AS_OF)

    def feature(self, name: str) -> Expr:
        """The expression of that name. Raises: DefinitionError FS203 naming the nearest."""
        if name not in self.features:
            what, hint = f"unknown feature {name!r} of {self.name!r}", nearest(str(name), self.features)
            raise DefinitionError("FS203", what, known=self.features, hint=hint)
        return expressions.parse(self.features[name])

    def __getitem__(self, names: str | list[str]) -> OnDemandInstance:
        """The view with only some of its features, in the order named."""
        return OnDemandInstance(view=self)[names]

    def alias(self, name: str) -> OnDemandInstance:
        """The view under another name."""
        return OnDemandInstance(view=self).alias(name)

    def with_prefix(self, prefix: str) -> OnDemandInstance:
        """The view with a prefix before each of its own features' names; its expressions read what they read before."""
        return OnDemandInstance(view=self).with_prefix(prefix)

    def with_join_key_map(self, mapping: Mapping[str, str]) -> NoReturn:
        """An on-demand view has no keys of its own. Raises: DefinitionError FS228."""
        raise located(_no_keys)


@dataclass(frozen=True, kw_only=True, repr=False)
class OnDemandInstance(Instance):
    """An on-demand view as one service uses it."""

    view: OnDemandFeatureView

    @property
    def features(self) -> tuple[tuple[str, str], ...]:
        """(output column, feature of the view) in order."""
        return tuple((f"{self.prefix}{name}", name) for name in self.chosen or self.view.features)

    @property
    def reads(self) -> tuple[str, ...]:
        """The names the chosen features read, in order of first appearance."""
        named = self.view.expressions
        return tuple(dict.fromkeys(c for _, name in self.features for c in expressions.columns(named[name])))

    def with_join_key_map(self, mapping: Mapping[str, str]) -> NoReturn:
        raise located(_no_keys)


def _no_keys() -> DefinitionError:
    raise DefinitionError(
        "FS228", "an on-demand view has no join keys to map", hint="inputs=[view.with_join_key_map({…})], on its inputs"
    )


def _inputs(given: Any) -> tuple[ViewInstance, ...]:
    if not isinstance(given, list | tuple):
        raise DefinitionError("FS202", f"inputs={given!r} is not a list of views", hint="inputs=[card_payments]")
    for item in given:
        if isinstance(item, OnDemandFeatureView | OnDemandInstance):
            raise DefinitionError(
                "FS228", f"input {item.name!r} is an on-demand view: one cannot read another",
                hint="its inputs, and its expression written out here",
            )  # fmt: skip
        view = item.view if isinstance(item, ViewInstance) else item
        if not isinstance(view, FeatureView):
            item = view if isinstance(view, Definition) else item
            shown = f"{item.kind} {item.name!r}" if isinstance(item, Definition) else repr(item)
            raise DefinitionError("FS228", f"input {shown} is not a feature view", hint="inputs=[card_payments]")
    return tuple(ViewInstance(view=item) if isinstance(item, FeatureView) else item for item in given)


def _request(given: Any) -> FrozenMap[DType]:
    if not isinstance(given, Mapping):
        raise DefinitionError("FS202", f"request={given!r} is not a mapping from name to type", hint='{"amount": "double"}')
    types = {}
    for name, written in given.items():
        dtype = parse_dtype(written)
        if dtype.is_list or dtype.is_map or dtype.is_decimal:
            raise DefinitionError(
                "FS213", f"request column {name!r} cannot be {dtype}",
                known=["bool", "int64", "double", "string", "binary", "date32", "timestamp[us, UTC]"],
                hint="double" if dtype.is_decimal else "a column per value",
            )  # fmt: skip
        types[check_name(name, "request column")] = dtype
    return FrozenMap(types)


def _features(given: Any) -> FrozenMap[str]:
    if not isinstance(given, Mapping) or not given:
        raise DefinitionError(
            "FS202", f"features={given!r} is not a mapping from name to scalar SQL", hint='{"ratio": "a / nullif(b, 0)"}'
        )
    for name, text in given.items():
        check_name(name, "feature")
        expressions.parse(text)
    return FrozenMap(given)


__all__ = ["AS_OF", "OnDemandFeatureView", "OnDemandInstance"]
