"""The history of the online store: every generation it has, live and kept, and the runs that were profiled before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from featurestore.online.generations import Generation
from featurestore.server.page.boards.words import NOTHING, State, instant
from featurestore.server.page.live import Live

PER_PAGE = 100
LIVE = State("ok", "✓", "live")
KEPT = State("skipped", "○", "kept")
GONE = State("skipped", "·", "replaced")


@dataclass(frozen=True)
class Row:
    """A run of a view. number: of its generation; "–" where that is gone. made: when, "–" where nothing tells.
    pushes: whether pushed rows stand beside its records."""

    view: str
    number: str
    state: State
    watermark: str
    keys: str
    files: str
    fingerprint: str
    made: str
    pushes: bool
    order: tuple[str, int, int]


def rows(live: Live, made_at: Mapping[tuple[str, int], int]) -> list[Row]:
    """By view, the newest first. made_at: (view, watermark) -> when its run was profiled, microseconds: what tells of runs
    whose generations are gone too."""
    found = [_row(g, LIVE, made_at) for group in live.generations.values() for g in group]
    found += [_row(g, KEPT, made_at) for group in live.kept.values() for g in group]
    found += [_past(view, number, at, made_at) for view, told in live.past.items() for number, at in told]
    held = {(row.view, row.order[1]) for row in found}
    found += [_gone(view, watermark, made) for (view, watermark), made in made_at.items() if (view, -watermark) not in held]
    return sorted(found, key=lambda row: row.order)


def _row(made: Generation, shown: State, made_at: Mapping[tuple[str, int], int]) -> Row:
    at = made_at.get((made.name, made.watermark))
    return Row(
        view=made.name,
        number=str(made.number),
        state=shown,
        watermark=instant(made.watermark),
        keys=f"{made.keys:,}",
        files=str(sum("path" in entry for entry in made.state)),
        fingerprint=made.fingerprint[:12],
        made=NOTHING if at is None else instant(at),
        pushes=made.pushed,
        order=(made.name, -made.watermark, -made.number),
    )


def _past(view: str, number: int, watermark: int, made_at: Mapping[tuple[str, int], int]) -> Row:
    at = made_at.get((view, watermark))
    said = instant(watermark), NOTHING, NOTHING, NOTHING, NOTHING if at is None else instant(at)
    return Row(view, str(number), GONE, *said, False, (view, -watermark, -number))


def _gone(view: str, watermark: int, made: int) -> Row:
    said = instant(watermark), NOTHING, NOTHING, NOTHING, instant(made)
    return Row(view, NOTHING, GONE, *said, False, (view, -watermark, 0))


__all__ = ["PER_PAGE", "Row", "rows"]
