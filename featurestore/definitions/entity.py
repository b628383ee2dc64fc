"""Entities: what features are about, and the columns that name one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from featurestore.definitions.base import Definition, names


@dataclass(frozen=True, kw_only=True, repr=False)
class Entity(Definition):
    """A thing features describe, such as a customer.

    Args:
        name: its name in definitions.
        join_keys: the columns that together identify one, in spine, requests and (unless the view maps them) sources.
            Default: one column of the entity's own name. Types come from the sources; keys of one family (integers of
            any width, text, bool, date, binary) compare, text never matches a number.
    Raises: DefinitionError FS201 for the name, FS202 for the keys.
    """

    join_keys: Any = ()

    kind = "entity"

    def _check(self) -> None:
        self._set("join_keys", names(self.join_keys or [self.name], "join_keys"))
