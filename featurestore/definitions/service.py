"""Feature services: the features one model is trained on and served with, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featurestore.definitions.base import Definition
from featurestore.definitions.view import FeatureView, ViewInstance
from featurestore.errors import DefinitionError


@dataclass(frozen=True, kw_only=True, repr=False)
class FeatureService(Definition):
    """A list of views, or instances of views, whose features a model reads together.

    Args: features: views, `view[["a", "b"]]`, `.alias(…)`, `.with_join_key_map(…)`, `.with_prefix(…)`.
    Raises: DefinitionError FS202, FS207 (a feature's or view's name twice).
    """

    features: Any = ()

    kind = "feature service"

    def _check(self) -> None:
        if not isinstance(self.features, list | tuple):
            what = f"features={self.features!r} is not a list of views"
            raise DefinitionError("FS202", what, hint="features=[card_payments]")
        instances = tuple(ViewInstance(view=f) if isinstance(f, FeatureView) else f for f in self.features)
        for given in instances:
            if not isinstance(given, ViewInstance):
                raise DefinitionError("FS202", f"{given!r} is not a feature view", hint="features=[card_payments]")
        if not instances:
            raise DefinitionError("FS202", "a feature service needs at least one view", hint="features=[card_payments]")
        self._set("features", instances)
        _unique([i.name for i in instances], "views", "view.alias('…')")
        _unique([column for i in instances for column, _ in i.features], "features", "view.with_prefix('…')")

    @property
    def instances(self) -> tuple[ViewInstance, ...]:
        return self.features  # type: ignore[no-any-return]

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The output columns, in order."""
        return tuple(column for instance in self.instances for column, _ in instance.features)


def _unique(names: list[str], what: str, hint: str) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DefinitionError("FS207", f"two {what} of the service are named {twice[0]!r}", hint=hint)
