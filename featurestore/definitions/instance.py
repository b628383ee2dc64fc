"""Instances: a view as one service uses it. What those of feature views and of on-demand views share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from featurestore.definitions.base import check_name, located
from featurestore.errors import DefinitionError


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Which features of a view (chosen; None: all), and under which names."""

    view: Any
    chosen: tuple[str, ...] | None = None
    prefix: str = ""
    alias_name: str | None = None

    @property
    def name(self) -> str:
        """Its name in reports and watermarks: the alias, or the view's name behind the prefix."""
        return self.alias_name or f"{self.prefix}{self.view.name}"

    @property
    def features(self) -> tuple[tuple[str, Any], ...]:
        """(output column, feature) in order."""
        raise NotImplementedError

    def __getitem__(self, names: str | list[str]) -> Self:
        return located(lambda: replace(self, chosen=self._chosen(names)))

    def alias(self, name: str) -> Self:
        return located(lambda: replace(self, alias_name=check_name(name, "alias")))

    def with_prefix(self, prefix: str) -> Self:
        return located(lambda: self._prefixed(prefix))

    def _chosen(self, names: Any) -> tuple[str, ...]:
        chosen = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, list | tuple) else ()
        if not chosen or len(set(chosen)) < len(chosen):
            what = f"{self.view.name}[{names!r}] must name features once each"
            raise DefinitionError("FS202", what, hint='view[["a", "b"]]')
        for name in chosen:
            self.view.feature(name)
        return chosen

    def _prefixed(self, prefix: str) -> Self:
        check_name(f"{prefix}x" if isinstance(prefix, str) and prefix.endswith("_") else prefix, "prefix")
        instance = replace(self, prefix=prefix)
        for column, _ in instance.features:
            check_name(column, "prefixed feature")
        return instance

    def __repr__(self) -> str:
        chosen = "" if self.chosen is None else f"[{', '.join(self.chosen)}]"
        return f"{self.name}{chosen} (of {self.view.name})" if self.name != self.view.name else f"{self.name}{chosen}"
