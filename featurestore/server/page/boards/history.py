"""The history of the online store: the generations of each view, live, kept, and those that it only remembers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from featurestore.online.generations import Generation
from featurestore.profiles.kept import path_of
from featurestore.server.page.boards.words import NOTHING, State, instant
from featurestore.server.page.live import Live

PER_PAGE = 100
LIVE = State("ok", "✓", "live")
KEPT = State("skipped", "○", "kept")
PAST = State("skipped", "·", "replaced")


@dataclass(frozen=True)
class Run:
    """A run that made a generation. watermark: microseconds. made: the generation, None where its number is all that is
    remembered."""

    view: str
    number: int
    watermark: int
    state: State
    made: Generation | None = None


@dataclass(frozen=True)
class Row:
    """A run as it is shown; "–" for what nothing tells. profiled: when its profile was written. pushes: whether pushed rows
    stand beside its records."""

    view: str
    number: str
    state: State
    watermark: str
    keys: str = NOTHING
    files: str = NOTHING
    fingerprint: str = NOTHING
    profiled: str = NOTHING
    pushes: bool = False


def runs(live: Live, view: str = "") -> list[Run]:
    """Those of a view, or of all, by view, the newest first."""
    found = [*_of(live.generations.values(), LIVE), *_of(live.kept.values(), KEPT)]
    found += [Run(name, number, at, PAST) for name, told in live.past.items() for number, at in told]
    return sorted((run for run in found if view in ("", run.view)), key=lambda run: (run.view, -run.number))


def _of(groups: Iterable[Iterable[Generation]], state: State) -> list[Run]:
    return [Run(made.name, made.number, made.watermark, state, made) for group in groups for made in group]


def row(run: Run, profiles: Path | None) -> Row:
    """profiles: the folder of the profiles of runs, whose times say when a run was."""
    shown = Row(run.view, str(run.number), run.state, instant(run.watermark), profiled=_profiled(run, profiles))
    made = run.made
    if made is None:
        return shown
    files = str(sum("path" in entry for entry in made.state))
    return replace(shown, keys=f"{made.keys:,}", files=files, fingerprint=made.fingerprint[:12], pushes=made.pushed)


def _profiled(run: Run, profiles: Path | None) -> str:
    try:
        return NOTHING if profiles is None else instant(path_of(profiles, run.view, run.watermark).stat().st_mtime_ns // 1_000)
    except OSError:
        return NOTHING


__all__ = ["PER_PAGE", "Row", "Run", "row", "runs"]
