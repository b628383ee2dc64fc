"""What keeps an online store in order between runs: turning a view back, and dropping what is no longer wanted.

Both take the lock that runs take, so neither can meet one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from featurestore.errors import StoreError, UsageError, nearest
from featurestore.failpoints import reach
from featurestore.intervals import format_instant
from featurestore.materialization.pushed import PushFolder, caught_up, nowhere
from featurestore.online import runs
from featurestore.online.generations import (
    Generation,
    Metas,
    change,
    generation,
    generations,
    kept_generations,
    sweep_tables,
    trim,
    turn_back,
)
from featurestore.online.store import Batch, OnlineStore


@dataclass
class RolledBack:
    """A view turned back: the generation that was live, and the one that is now. left: kept ones it can still go back to."""

    view: str
    fingerprint: str
    generation_before: int
    generation: int
    watermark_before: str
    watermark: str
    keys_before: int
    keys: int
    left: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Collected:
    """What `gc` took away. dropped: [{"view", "generation", "watermark"}]. runs: views whose interrupted run it gave up.
    bytes_freed: within the store; on disk its file keeps its size, and new records take the room."""

    dropped: list[dict[str, Any]]
    runs: list[str]
    bytes_freed: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def roll_back(store: OnlineStore, view: str, push_folder: PushFolder = nowhere, *, live: int | None = None) -> RolledBack:
    """Make the generation before the live one live again; the one that was live is gone. Readers see one or the other.

    live: only if that generation is the live one; else nothing changes, so that asking twice is asking once.

    W and S go back with it, so the next run starts from there; what was pushed since stays online. Of a view with several
    definitions in the store, the one that was materialized last is turned back.
    Raises: UsageError FS101 for a view the store does not hold; StoreError FS411 with nothing to go back to; StoreLocked FS401.
    """
    done: list[RolledBack] = []

    def fill(batch: Batch) -> None:
        made = _live(batch, view)
        kept = kept_generations(batch, made)
        if live is not None and made.number != live:
            done[:] = [_told(made, made, len(kept))]
            return
        if not kept:
            raise StoreError(
                "FS411", f"view {view!r} has no generation before number {made.number}", hint="featurestore materialize --full"
            )
        turn_back(batch, made, kept[-1])
        runs.give_up(batch, view)
        now = generation(batch, made.name, made.fingerprint)
        assert now is not None
        now = caught_up(batch, now, push_folder(now.view["source"]))
        change(batch, now, kept=False)
        done[:] = [_told(made, now, len(kept) - 1)]
        reach("rollback.turned")

    with store.lock():
        store.write(fill)
        reach("rollback.done")
        sweep_tables(store)
    return done[0]


def _told(before: Generation, now: Generation, left: int) -> RolledBack:
    return RolledBack(
        view=now.name,
        fingerprint=now.fingerprint,
        generation_before=before.number,
        generation=now.number,
        watermark_before=format_instant(before.watermark),
        watermark=format_instant(now.watermark),
        keys_before=before.keys,
        keys=now.keys,
        left=left,
    )


def _live(metas: Metas, view: str) -> Generation:
    live = generations(metas)
    of_view = [made for made in live if made.name == view]
    if not of_view:
        known = sorted({made.name for made in live})
        raise UsageError("FS101", f"the online store holds no view {view!r}", known=known, hint=nearest(view, known))
    return max(of_view, key=lambda made: made.number)


def collect(store: OnlineStore, keep: int = 1) -> Collected:
    """Drop all but `keep` generations of each view (the live one is the first of them), and what interrupted runs left.

    Raises: UsageError FS102 for fewer than one; StoreLocked FS401.
    """
    if keep < 1:
        raise UsageError("FS102", f"{keep} generations cannot be kept", hint="1: the live one is never dropped")
    found = Collected([], [], 0)

    def fill(batch: Batch) -> None:
        dropped = [one for made in generations(batch) for one in trim(batch, made, keep)]
        found.dropped = [{"view": g.name, "generation": g.number, "watermark": format_instant(g.watermark)} for g in dropped]
        found.runs = [left.view for left in runs.all_running(batch)]
        for view in found.runs:
            runs.give_up(batch, view)
        reach("gc.forgotten")

    with store.lock():
        store.write(fill)
        reach("gc.done")
        found.bytes_freed = sweep_tables(store)
    return found
