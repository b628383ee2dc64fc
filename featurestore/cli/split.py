"""The options of `build` that split a training set into parts, and what is said of the parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from featurestore.errors import UsageError

if TYPE_CHECKING:
    from featurestore.retrieval.splits import Split

_TIME = ("test_from", "validation_from", "embargo", "label_window")
_DRAWN = ("test_share", "validation_share", "seed")
_TAKEN = {"time": (*_TIME, "by"), "group": (*_DRAWN, "by"), "random": _DRAWN}


def split_of(kind: str | None, by: list[str] | None, **options: Any) -> Split | None:
    """The split that the options ask for; those that were not given are None. Raises: UsageError FS153, FS103."""
    given = {name: value for name, value in options.items() if value is not None}
    if by:
        given["by"] = [name.strip() for text in by for name in text.split(",") if name.strip()]
    if kind is None:
        if given:
            raise UsageError("FS153", f"{_flag(next(iter(given)))} belongs to a split", hint="--split time, group or random")
        return None
    if kind not in _TAKEN:
        raise UsageError("FS153", f"unknown kind of split {kind!r}", known=_TAKEN)
    for name in given:
        if name not in _TAKEN[kind]:
            known = [_flag(taken) for taken in _TAKEN[kind]]
            raise UsageError("FS153", f"--split {kind} takes no {_flag(name)}", known=known)
    needed = {"time": ("test_from",), "group": ("by", "test_share"), "random": ("test_share",)}[kind]
    for name in needed:
        if name not in given:
            raise UsageError("FS153", f"--split {kind} needs {_flag(name)}", hint=f"{_flag(name)} …")
    from featurestore.retrieval.splits import Split

    made: Split = getattr(Split, kind)(**given)
    return made


def _flag(name: str) -> str:
    return "--split-by" if name == "by" else f"--{name.replace('_', '-')}"


def told(split: Mapping[str, Any] | None) -> list[str]:
    """A line for every part that has rows."""
    if split is None:
        return []
    lines = [f"split by {split['asked']['kind']}:"]
    for part, counted in split["parts"].items():
        if counted["rows"]:
            lines.append(f"  {part}: {counted['rows']:,} rows, as_of {counted['first']} to {counted['last']}")
    return lines
