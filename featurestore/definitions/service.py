"""Feature services: the features one model is trained on and served with, in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from featurestore.definitions.base import Definition, FrozenMap, names
from featurestore.definitions.label import LabelView
from featurestore.definitions.on_demand import OnDemandFeatureView, OnDemandInstance
from featurestore.definitions.view import FeatureView, View, ViewInstance
from featurestore.dtypes import DType
from featurestore.errors import DefinitionError


@dataclass(frozen=True, kw_only=True, repr=False)
class FeatureService(Definition):
    """A list of views, or instances of views, whose features a model reads together.

    Args:
        features: views, on-demand views, `view[["a", "b"]]`, `.alias(…)`, `.with_join_key_map(…)`, `.with_prefix(…)`.
        labels: label views, or instances of them. They come after the features of training sets, and nowhere else: what
            the service serves, and its fingerprint, do not depend on them.
        slices: columns of spines, or features, by whose values profiles of training sets part the rows: text, integers, bool
            or dates. Neither what is served nor the fingerprint depends on them.
    Raises: DefinitionError FS202, FS207 (a feature's, label's or view's name twice), FS229 (a request column of two types),
        FS231 (a label among the features, or a feature among the labels).
    """

    features: Any = ()
    labels: Any = ()
    slices: Any = ()

    kind = "feature service"

    def _check(self) -> None:
        self._set("features", _instances(self.features, "features", FeatureView))
        self._set("labels", _instances(self.labels, "labels", LabelView))
        self._set("slices", names(self.slices, "slices"))
        if not self.features:
            raise DefinitionError("FS202", "a feature service needs at least one view", hint="features=[card_payments]")
        every = (*self.instances, *self.on_demand, *self.labels)
        _unique([i.name for i in every], "views", "view.alias('…')")
        _unique(list(self.feature_names), "features", "view.with_prefix('…')")
        _unique([*self.feature_names, *self.request], "inputs or features", "another name for the request column")
        columns = [*self.feature_names, *self.request, *self.label_names]
        _unique(columns, "columns", "name='…' for the label, or view.with_prefix('…')")

    @property
    def listed(self) -> tuple[ViewInstance, ...]:
        """The view instances whose features the service returns, in order."""
        return tuple(i for i in self.features if isinstance(i, ViewInstance))

    @property
    def on_demand(self) -> tuple[OnDemandInstance, ...]:
        """The on-demand views, in order."""
        return tuple(i for i in self.features if isinstance(i, OnDemandInstance))

    @property
    def instances(self) -> tuple[ViewInstance, ...]:
        """What has to be computed: the instances listed, then those that on-demand features alone read; each with the
        features that it hides. An input listed under the same keys and prefix is that listed instance, alias or not."""
        found = list(self.listed)
        for asked in self.on_demand:
            for given in asked.view.inputs:
                _compute([f.name for column, f in given.features if column in asked.reads], given, found)
        return tuple(found)

    @property
    def request(self) -> Mapping[str, DType]:
        """Name and type of what each request brings, in order of first use. Raises: DefinitionError FS229."""
        types: dict[str, DType] = {}
        for asked in self.on_demand:
            for name, dtype in asked.view.request.items():
                if types.setdefault(name, dtype) != dtype:
                    raise DefinitionError(
                        "FS229", f"request column {name!r} is {types[name]} and {dtype}", hint="one type, or two names"
                    )
        return FrozenMap(types)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return tuple(column for instance in self.features for column, _ in instance.features)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The label columns of its training sets, in order."""
        return tuple(column for instance in self.labels for column, _ in instance.features)


def _instance(given: Any) -> Any:
    if isinstance(given, View):
        return ViewInstance(view=given)
    return OnDemandInstance(view=given) if isinstance(given, OnDemandFeatureView) else given


def _compute(names: list[str], given: ViewInstance, found: list[ViewInstance]) -> None:
    """Have features of an input computed: by an instance found that computes them, or could, else by one of its own."""
    same = [i for i, other in enumerate(found) if other.computation == given.computation]
    missing = [n for n in names if not any(n == f.name for i in same for _, f in found[i].computed)]
    if not missing:
        return
    if same:
        found[same[0]] = replace(found[same[0]], hidden=(*found[same[0]].hidden, *missing))
    else:
        found.append(replace(given, chosen=(), hidden=tuple(missing)))


_EXAMPLES = {"features": "features=[card_payments]", "labels": "labels=[chargeback_30d]"}


def _instances(given: Any, argument: str, kind: type[View]) -> tuple[ViewInstance | OnDemandInstance, ...]:
    """The views of one list as instances; on-demand views are features. Raises: DefinitionError FS202, FS231."""
    if not isinstance(given, list | tuple):
        what = f"{argument}={given!r} is not a list of {kind.kind}s"
        raise DefinitionError("FS202", what, hint=_EXAMPLES[argument])
    instances = tuple(_instance(item) for item in given)
    for item in instances:
        if isinstance(item, OnDemandInstance) and argument == "features":
            continue
        if not isinstance(item, ViewInstance | OnDemandInstance):
            raise DefinitionError("FS202", f"{item!r} is not a {kind.kind}", hint=_EXAMPLES[argument])
        if not isinstance(item.view, kind):
            other = "labels" if argument == "features" else "features"
            what = f"{item.view.name!r} is a {item.view.kind} and cannot be among the {argument}"
            raise DefinitionError("FS231", what, hint=f"{other}=[{item.view.name}]")
    return instances


def _unique(names: list[str], what: str, hint: str) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DefinitionError("FS207", f"two {what} of the service are named {twice[0]!r}", hint=hint)
