"""One difference between what two training sets were made of: how it is named, and which columns it can have touched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]
"""A manifest, or a part of one."""


@dataclass(frozen=True)
class Change:
    """One difference. what: "definition", "source_file", "push_log", "source", "spine", "option", "version" or "output".

    where: the definition, file, option or package. was, now: None for nothing. views: whose columns it can have touched (None:
    those of any). features: which of those views, None for all. everywhere: the spine's own columns too.
    """

    what: str
    where: str
    detail: str
    was: Any = None
    now: Any = None
    views: frozenset[str] | None = None
    features: frozenset[str] | None = None
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"

    def to_dict(self) -> dict[str, Any]:
        return {"what": self.what, "where": self.where, "was": self.was, "now": self.now, "detail": str(self)}


def both_have(was: Document, now: Document, name: str) -> bool:
    """Whether two manifests can be compared in a part at all."""
    return name in was and name in now


def text(value: Any) -> str:
    """A value as a message shows it."""
    if value is None or value == [] or value == "":
        return "none"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


__all__ = ["Change", "Document", "both_have", "text"]
