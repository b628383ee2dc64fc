"""Take a push: check its rows, write them to the log, bring them online.

The one way of rows into a push log, for the library, the command line and the server alike. A row counts once it is in the
log. Online it is applied at once, beside the live generations of its source's views; a run applies what arrived while it was
under way to the generation it makes. Should the store not be there to be written to, rows are brought online with the push
that follows, or by the next run: no push is applied before one that came earlier.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore import trees
from featurestore.engines.reference.evaluate import DAY_CASTS, evaluator
from featurestore.errors import FeatureStoreError, PushError, StoreError, StoreUnavailable
from featurestore.failpoints import reach
from featurestore.intervals import Clock, Duration, format_instant
from featurestore.materialization.applying import apply, mark_of, values_of
from featurestore.online.generations import Generation, change, generations, moved
from featurestore.online.pushes import Mark
from featurestore.online.store import Batch, OnlineStore
from featurestore.sources import pushed_in
from featurestore.sources.push_log import Appended, PushLog, read_log, rows_after
from featurestore.sources.push_rows import PushTarget
from featurestore.typed_values import brief

log = logging.getLogger(__name__)

REST = 1.0
"""Seconds for which a store that did not answer is not asked again."""

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

    Raises: PushError FS340, FS341, FS343; StoreError FS405, FS407, FS440, FS441.
    """
    batch = target.rows(rows, now=clock.now(), skew=skew, from_json=from_json)
    check_expected(target, batch)
    arrival = log.append(batch, clock, created=target.created)
    return Accepted(batch.num_rows, arrival.known_at)


def check_expected(target: PushTarget, rows: pa.RecordBatch) -> None:
    """Raises: PushError FS343 for the first row that breaks what is expected of the source's rows."""
    columns = dict.fromkeys(column for _, column, _ in target.expected)
    values = {column: values_of(rows.column(column), target.columns[column]) for column in columns}
    for reason, column, tree in target.expected:
        passes = evaluator(trees.from_data(tree), target.columns, DAY_CASTS)
        for number, value in enumerate(values[column]):
            if passes({column: value}) is not True:
                told = brief(rows.column(column)[number].as_py())
                raise PushError("FS343", f"{column} is {told}, which breaks: {reason}", where=f"row {number} (counted from 0)",
                                hint="push what is as expected of the source's rows")  # fmt: skip


class ToOnline:
    """Brings what was added to the push log of a source online. store: gives the store to write to, None where there is none
    yet."""

    def __init__(self, source: str, folder: Path, store: Callable[[], OnlineStore | None]) -> None:
        self._source, self._folder, self._store = source, folder, store
        self._rests_until = 0.0

    def __call__(self, appended: Sequence[Appended]) -> None:
        """Never raises: the rows are on the disk, and come online with a later push or a run if that fails now."""
        if time.monotonic() < self._rests_until:
            return
        try:
            store = self._store()
            if store is not None:
                self._bring(store, appended)
                reach("apply.done")
        except Exception as error:
            if isinstance(error, StoreUnavailable):  # who pushes does not wait for it each time
                self._rests_until = time.monotonic() + REST
            self._tell("any view", error)

    def _bring(self, store: OnlineStore, appended: Sequence[Appended]) -> None:
        """To all views in one write; to each by itself if one of them cannot take the rows."""
        try:
            store.write(lambda batch: self._fill(batch, appended))
        except StoreError:
            raise
        except Exception:
            with store.read() as snapshot:
                live = [made for made in generations(snapshot) if self._takes(made)]
            for made in live:
                try:
                    store.write(partial(self._fill, appended=appended, only=(made.name, made.fingerprint)))
                except Exception as error:
                    self._tell(f"view {made.name!r}", error)

    def _tell(self, whom: str, error: Exception) -> None:
        what = error if isinstance(error, FeatureStoreError) else f"{type(error).__name__}: {error}"
        log.warning("rows pushed to %s are on the disk, and not online yet in %s: %s", self._source, whom, what)

    def _takes(self, made: Generation) -> bool:
        return bool(made.push) and made.view["source"] == self._source

    def _fill(self, batch: Batch, appended: Sequence[Appended], only: tuple[str, str] | None = None) -> None:
        for made in generations(batch):
            if self._takes(made) and only in (None, (made.name, made.fingerprint)):
                self._apply(batch, made, appended)

    def _apply(self, batch: Batch, made: Generation, appended: Sequence[Appended]) -> None:
        mark, first, last = mark_of(batch, made), appended[0], appended[-1]
        if mark.log not in ("", last.log) or last.last <= mark.position:
            return  # another log, of which the next run makes all anew; or applied already, with a push that came later
        rows, position = [one.rows for one in appended], last.last
        if first.first != mark.position + 1:
            found = read_log(self._folder, after=mark.position)
            if found is None:
                return
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
    read = pushed_in(made.state)
    if found is None or (read is not None and _log(read.log) != _log(found.log)):
        return made if read is None else replace(made, log=_log(read.log), applied=read.position)
    rows = list(rows_after(found, 0 if read is None else read.position, made.watermark))
    if rows:
        apply(batch, made, rows, Mark(_log(found.log), found.position))
    return replace(made, log=_log(found.log), applied=found.position, pushed=bool(rows))


def _log(name: str) -> str:
    """A log's own name, whatever was taken out of it for good: its other rows keep their positions."""
    return name.partition(".")[0]
