"""Feature services: the features one model is trained on and served with, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featurestore.definitions.base import Definition
from featurestore.definitions.label import LabelView
from featurestore.definitions.view import FeatureView, View, ViewInstance
from featurestore.errors import DefinitionError


@dataclass(frozen=True, kw_only=True, repr=False)
class FeatureService(Definition):
    """A list of views, or instances of views, whose features a model reads together.

    Args:
        features: views, `view[["a", "b"]]`, `.alias(…)`, `.with_join_key_map(…)`, `.with_prefix(…)`.
        labels: label views, or instances of them. They come after the features of training sets, and nowhere else: what
            the service serves, and its fingerprint, do not depend on them.
    Raises: DefinitionError FS202, FS207 (a feature's, label's or view's name twice), FS231 (a label among the features, or
        a feature among the labels).
    """

    features: Any = ()
    labels: Any = ()

    kind = "feature service"

    def _check(self) -> None:
        self._set("features", _instances(self.features, "features", FeatureView))
        self._set("labels", _instances(self.labels, "labels", LabelView))
        if not self.features:
            raise DefinitionError("FS202", "a feature service needs at least one view", hint="features=[card_payments]")
        _unique([i.name for i in (*self.features, *self.labels)], "views", "view.alias('…')")
        _unique(list(self.feature_names), "features", "view.with_prefix('…')")
        _unique([*self.feature_names, *self.label_names], "columns", "name='…' for the label, or view.with_prefix('…')")

    @property
    def instances(self) -> tuple[ViewInstance, ...]:
        return self.features  # type: ignore[no-any-return]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return tuple(column for instance in self.instances for column, _ in instance.features)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The label columns of its training sets, in order."""
        return tuple(column for instance in self.labels for column, _ in instance.features)


_EXAMPLES = {"features": "features=[card_payments]", "labels": "labels=[chargeback_30d]"}


def _instances(given: Any, argument: str, kind: type[View]) -> tuple[ViewInstance, ...]:
    """The views of one list as instances. Raises: DefinitionError FS202, FS231."""
    if not isinstance(given, list | tuple):
        what = f"{argument}={given!r} is not a list of {kind.kind}s"
        raise DefinitionError("FS202", what, hint=_EXAMPLES[argument])
    instances = tuple(ViewInstance(view=item) if isinstance(item, View) else item for item in given)
    for item in instances:
        if not isinstance(item, ViewInstance):
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
