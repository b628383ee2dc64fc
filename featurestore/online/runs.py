"""What the store says of a materialization under way, so that it can be taken up again, fenced, and written beside.

A run writes in many transactions, of which the last alone can be seen. In between, the meta `run/<view>` says what it is
and how far it has come; it is written in the transaction that brings it so far. Two things follow:

- **Resuming.** A run that died leaves its meta and its table. The next run takes both over if it would do the same
  (`Running.same`), else they are swept.
- **Fencing.** Every run has a number of its own, and taking a run over gives it a new one. A transaction first asks whether
  its number still stands there: a run that lost its lock, and was overtaken, can write no more (FS410).

Pushes do not wait for a run: they change what stands beside the live generation, and the run's last transaction applies to the
new one what arrived meanwhile (`materialization.pushed.caught_up`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from featurestore.errors import StoreError
from featurestore.online.generations import GENERATION_FORMAT, Metas, next_number, read_json
from featurestore.online.store import Batch

NEW_TABLE, COPY, IN_PLACE, UNDECIDED = "new table", "copy", "in place", ""
_PREFIX = "run/"


@dataclass(frozen=True)
class Running:
    """A run of one view, as far as it has come.

    number: its own, for fencing. how: NEW_TABLE, COPY, IN_PLACE, or UNDECIDED. table: what it writes, "" before it has
    decided. base: the number of the generation it started from, 0 without one. watermark, horizon, state (a digest of the
    source files): what it makes. copied: of a copy, the last key copied (in hex). written: records and rows written, rows of
    them being rows; size: in bytes; held: how many records have facts held back.
    """

    view: str
    fingerprint: str
    number: int
    base: int
    watermark: int
    horizon: int
    state: str
    how: str = UNDECIDED
    table: str = ""
    copied: str = ""
    copying_done: bool = False
    written: int = 0
    rows: int = 0
    size: int = 0
    held: int = 0
    format: int = GENERATION_FORMAT

    def same(self, other: Running) -> bool:
        """Whether `other` makes the same of the same, whatever its number and however far it has come."""
        return all(
            getattr(self, part) == getattr(other, part)
            for part in ("view", "fingerprint", "base", "watermark", "horizon", "state", "format")
        )

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


def running(metas: Metas, view: str) -> Running | None:
    """The run of a view that is under way, or has died on its way."""
    raw = metas.meta(_PREFIX + view)
    return None if raw is None else _read(raw)


def all_running(metas: Metas) -> list[Running]:
    return [_read(raw) for raw in metas.metas(_PREFIX).values()]


def _read(raw: bytes) -> Running:
    known = {part.name for part in fields(Running)}
    return Running(**{name: value for name, value in read_json(raw).items() if name in known})


def begin(batch: Batch, view: str, fingerprint: str, *, base: int, watermark: int, horizon: int, state: str) -> Running:
    """Note that a run begins, in place of whatever run of the view there was; what that wrote is swept by the caller."""
    begun = Running(view, fingerprint, next_number(batch), base, watermark, horizon, state)
    batch.put_meta(_PREFIX + view, begun.to_bytes())
    return begun


def take_over(batch: Batch, left: Running) -> Running:
    """Go on with a run that died, under a new number: should it live after all, it can write no more."""
    taken = Running(**{**asdict(left), "number": next_number(batch)})
    batch.put_meta(_PREFIX + left.view, taken.to_bytes())
    return taken


def advance(batch: Batch, now: Running) -> None:
    """Note how far the run has come. Raises: StoreError FS410 if it has been overtaken."""
    check(batch, now)
    batch.put_meta(_PREFIX + now.view, now.to_bytes())


def check(batch: Batch, run: Running) -> None:
    """Raises: StoreError FS410 unless the run is still the one under way for its view."""
    there = running(batch, run.view)
    if there is None or there.number != run.number:
        raise overtaken(run.view)


def give_up(batch: Batch, view: str) -> None:
    """Forget the run of a view: it is done, or shall not go on. Tables that nothing names are then nobody's, and swept."""
    batch.delete_meta(_PREFIX + view)


def overtaken(view: str) -> StoreError:
    return StoreError(
        "FS410", f"another run of view {view!r} went ahead of this one, which changed nothing", hint="featurestore status"
    )
