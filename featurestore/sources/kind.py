"""What a kind of source gives: how it becomes parts, and is found again as it was recorded. `sources.kinds` lists the kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featurestore.definitions import Source
from featurestore.errors import SourceError
from featurestore.sources.files import IdentityCache
from featurestore.sources.parts import Part

State = Sequence[Mapping[str, Any]]
"""What was recorded of a source's own rows (`SourceData.state`, without its push log)."""


@dataclass(frozen=True)
class Found:
    """The parts of a source, in an order that stays, and what pins all of it at once (`SourceData.pins`)."""

    parts: tuple[Part, ...]
    pins: tuple[Mapping[str, Any], ...] = ()


def nothing_later(source: Source, state: State, root: Path) -> list[str]:
    return []


def files_alone(was: State, now: State) -> str:
    """A step is told by the files that came, unless what was read before was no plain list of files."""
    return "a table was read in the last run" if any("path" not in entry for entry in was) else ""


@dataclass(frozen=True)
class Kind:
    """How a kind of source is read. `root` is the project's folder.

    open: what is there now. Raises: SourceError.
    reopen: what a state names, without proof that it is the same: the caller compares its state. Raises: SourceError FS335 for
        what is gone, or is seen to be another without reading it.
    observed: of the entries of a state those that are there now, in their form, with the identities they have now. No source: a
        state whose source is not defined any more.
    later: the names of what is there now and not in the state, for people to read.
    anew: why what was made of one state cannot be brought up to another by the files that came and no others, though all of its
        files are still there; "" if it can.
    """

    open: Callable[[Source, Path], Found]
    reopen: Callable[[Source, State, Path], Found]
    observed: Callable[[Source | None, State, Path, IdentityCache], list[Mapping[str, Any]]]
    later: Callable[[Source, State, Path], list[str]] = nothing_later
    anew: Callable[[State, State], str] = files_alone


def gone(name: str, what: str) -> SourceError:
    """What a state names is not there any more, or another: what."""
    what = f"a file that the online store was made from is {what}"
    return SourceError("FS335", what, where=name, hint="featurestore materialize --full")
