"""Take a push: check its rows, write them to the log, bring them online.

The one way of rows into a push log, for the library, the command line and the server alike. A row counts once it is in the
log. Online it is applied at once, beside the live generations of its source's views; a run applies what arrived while it was
under way to the generation it makes. Should the store not be there to be written to, rows are brought online with the push
that follows, or by the next run: no push is applied before one that came earlier.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featurestore.errors import FeatureStoreError
from featurestore.failpoints import reach
from featurestore.intervals import Clock, Duration, format_instant
from featurestore.materialization.applying import apply, mark_of
from featurestore.online.generations import Generation, change, generations, moved
from featurestore.online.pushes import Mark
from featurestore.online.store import Batch, OnlineStore
from featurestore.sources import pushed_in
from featurestore.sources.push_log import Appended, PushLog, read_log, rows_after
from featurestore.sources.push_rows import PushTarget

log = logging.getLogger(__name__)

PushFolder = Callable[[str], Path | None]
"""Where the push log of a source lies, if there may be one."""


def nowhere(source: str) -> None:
    """For what has no push logs."""


@dataclass(frozen=True)
class Accepted:
    """What became of a push. known_at: the arrival of its last row, in microseconds."""

    rows: int
    known_at: int

    def to_dict(self) -> dict[str, Any]:
        return {"accepted": self.rows, "known_at": format_instant(self.known_at)}


def push(log: PushLog, target: PushTarget, rows: Any, *, clock: Clock, skew: Duration, from_json: bool = False) -> Accepted:
    """Take rows: they are on the disk, and applied where the log brings them online, on return. All or none. See
    `PushTarget.rows` and `PushLog.append`.

    Raises: PushError FS340, FS341; StoreError FS405, FS407, FS440, FS441.
    """
    batch = target.rows(rows, now=clock.now(), skew=skew, from_json=from_json)
    arrival = log.append(batch, clock, created=target.created)
    return Accepted(batch.num_rows, arrival.known_at)


class ToOnline:
    """Brings what was added to the push log of a source online. store: gives the store to write to, None where there is none
    yet."""

    def __init__(self, source: str, folder: Path, store: Callable[[], OnlineStore | None]) -> None:
        self._source, self._folder, self._store = source, folder, store

    def __call__(self, appended: Sequence[Appended]) -> None:
        """Never raises: the rows are on the disk, and are brought online later if that fails now."""
        try:
            store = self._store()
            if store is not None:
                store.write(lambda batch: self._fill(batch, appended))
                reach("apply.done")
        except FeatureStoreError as error:
            log.warning("rows pushed to %s are on the disk, and not online before the next run: %s", self._source, error)

    def _fill(self, batch: Batch, appended: Sequence[Appended]) -> None:
        for made in generations(batch):
            if made.push and made.view["source"] == self._source:
                self._apply(batch, made, appended)

    def _apply(self, batch: Batch, made: Generation, appended: Sequence[Appended]) -> None:
        mark, first, last = mark_of(batch, made), appended[0], appended[-1]
        if mark.log not in ("", last.log) or last.last <= mark.position:
            return  # another log, of which the next run makes all anew; or applied already, with a push that came later
        rows, position = [one.rows for one in appended], last.last
        if first.first != mark.position + 1:
            found = read_log(self._folder)
            assert found is not None
            rows, position = list(rows_after(found, mark.position)), found.position
        apply(batch, made, rows, Mark(last.log, position))
        if not made.pushed:
            change(batch, replace(made, pushed=True), kept=False)
            moved(batch)
        reach("apply.filled")


def caught_up(batch: Batch, made: Generation, folder: Path | None) -> Generation:
    """Apply to a generation that is about to be live what its push log has beyond its watermark, or beyond what was read of
    it. Returns: the generation, saying how far it has come."""
    found = read_log(folder) if made.push and folder is not None else None
    if found is None:
        return made
    read = pushed_in(made.state)
    if read is not None and _log(read.log) != _log(found.log):
        return made
    rows = list(rows_after(found, 0 if read is None else read.position, made.watermark))
    if rows:
        apply(batch, made, rows, Mark(_log(found.log), found.position))
    return replace(made, log=_log(found.log), applied=found.position, pushed=bool(rows))


def _log(name: str) -> str:
    """A log's own name, whatever was taken out of it for good: its other rows keep their positions."""
    return name.partition(".")[0]
