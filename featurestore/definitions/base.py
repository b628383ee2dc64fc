"""What every definition shares: a checked name, the place it was written, words for people, and a way to print itself.

Definitions are frozen and keyword-only. They are checked at birth: one that exists is valid by itself; whether it fits
the others is the registry's question.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from featurestore.errors import DefinitionError, FeatureStoreError

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
V = TypeVar("V")
R = TypeVar("R")


class FrozenMap(Mapping[str, V]):
    """A mapping that cannot change and can be hashed; prints like a dict."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


def caller() -> str:
    """File and line of the nearest frame outside this package: where the user wrote the definition."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith((_PACKAGE, "<string>", "<frozen")):
            return f"{_short(filename)}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ""


def located(make: Callable[[], R]) -> R:
    """What `make` returns; an error it raises is placed at the user's line."""
    try:
        return make()
    except FeatureStoreError as error:
        raise error.at(caller()) from None


def _short(filename: str) -> str:
    """The path as people say it: from the folder above, so that no machine's path is printed or stored."""
    path = Path(filename)
    if filename.startswith("<"):
        return filename
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def check_name(name: object, what: str) -> str:
    """Names match ^[a-z][a-z0-9_]{0,62}$ and hold no double underscore. Raises: DefinitionError FS201."""
    if isinstance(name, str) and _NAME.fullmatch(name) and "__" not in name:
        return name
    try_this = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]+", "_", str(name).lower())).strip("_")
    raise DefinitionError(
        "FS201",
        f"{what} name {name!r} is not a name: a lower-case letter, then letters, digits and single underscores, 63 at most",
        hint=try_this if _NAME.fullmatch(try_this) else "a name such as 'customer'",
    )


def names(value: object, what: str) -> tuple[str, ...]:
    """A list of distinct, non-empty column names, as a tuple. A lone string counts as a list of one."""
    listed = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else None
    if listed is None or not all(isinstance(v, str) and v for v in listed):
        raise DefinitionError("FS202", f"{what} must be a list of column names, got {value!r}", hint='["customer_id"]')
    if len({v.lower() for v in listed}) < len(listed):
        raise DefinitionError("FS202", f"{what} {list(listed)!r} names a column twice (case does not count)")
    return listed


@dataclass(frozen=True, kw_only=True, repr=False)
class Definition:
    """Name, words for people, and the place of birth. `description`, `owner` and `tags` never bear on meaning."""

    name: str
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    location: str = field(default="", init=False, compare=False)

    kind = "definition"

    def __post_init__(self) -> None:
        self._set("location", caller())
        try:
            check_name(self.name, self.kind)
            self._set("tags", _tags(self.tags))
            self._check_plain()
            self._check()
        except DefinitionError as error:
            label = f"{self.kind} {self.name!r}"
            raise error.at(f"{self.location}, {label}" if self.location else label) from None

    def _check(self) -> None:
        """Normalise and check the fields of the kind."""

    def _check_plain(self) -> None:
        """A flag is True or False (online="no" would be true), and words are text."""
        for spec in fields(self):
            wanted = {"bool": bool, "str": str}.get(str(spec.type))
            value = getattr(self, spec.name)
            if wanted is not None and not isinstance(value, wanted):
                choice = "True or False" if wanted is bool else "text"
                raise DefinitionError("FS202", f"{spec.name}={value!r} is not {choice}")

    def _set(self, attribute: str, value: object) -> None:
        object.__setattr__(self, attribute, value)

    @property
    def place(self) -> str:
        """Where it was written and what it is, as errors say it."""
        return f"{self.location}, {self.kind} {self.name!r}" if self.location else f"{self.kind} {self.name!r}"

    def _shown(self) -> dict[str, Any]:
        """The fields worth printing: those that differ from their default."""
        shown = {}
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.name in ("name", "location") or value in (spec.default, (), {}) or not spec.repr:
                continue
            if isinstance(value, FrozenMap) and not value:
                continue
            shown[spec.name] = value
        return shown

    def __repr__(self) -> str:
        inner = "".join(f", {key}={_brief(value)}" for key, value in self._shown().items())
        return f"{type(self).__name__}({self.name!r}{inner})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th><td>{html.escape(_brief(value, 400))}</td></tr>"
            for key, value in self._shown().items()
        )
        return f"<table><caption><b>{html.escape(self.name)}</b> ({self.kind})</caption>{rows}</table>"


def _tags(tags: object) -> FrozenMap[str]:
    if not isinstance(tags, Mapping) or not all(isinstance(x, str) for pair in tags.items() for x in pair):
        raise DefinitionError("FS202", f"tags must map text to text, got {tags!r}", hint='{"team": "risk"}')
    return FrozenMap(tags)


def _brief(value: object, limit: int = 80) -> str:
    if isinstance(value, Definition):
        return value.name
    if isinstance(value, tuple):
        text = "[" + ", ".join(_brief(v, limit) for v in value) + "]"
    else:
        text = str(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
