"""Take a push: check its rows, write them to the log, bring them online.

The one way of rows into a push log, for the library, the command line and the server alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from featurestore.intervals import Clock, Duration, format_instant
from featurestore.sources.push_log import PushLog
from featurestore.sources.push_rows import PushTarget


@dataclass(frozen=True)
class Accepted:
    """What became of a push. known_at: the arrival of its last row, in microseconds; position: where that stands in the log."""

    rows: int
    known_at: int
    position: int

    def to_dict(self) -> dict[str, Any]:
        return {"accepted": self.rows, "known_at": format_instant(self.known_at)}


def push(log: PushLog, target: PushTarget, rows: Any, *, clock: Clock, skew: Duration, from_json: bool = False) -> Accepted:
    """Take rows: they are on the disk, and applied, on return. All or none. See `PushTarget.rows` and `PushLog.append`.

    Raises: PushError FS340, FS341; StoreError FS405, FS407, FS440, FS441.
    """
    batch = target.rows(rows, now=clock.now(), skew=skew, from_json=from_json)
    arrival = log.append(batch, clock, created=target.created)
    apply_online(target.source, batch, arrival.last, arrival.known_at)
    return Accepted(batch.num_rows, arrival.known_at, arrival.last)


def apply_online(source: str, rows: pa.RecordBatch, position: int, known_at: int) -> None:
    """Bring rows that are in the log online: the last of them stands at `position` and is known at `known_at`, each one
    before it a position and a microsecond earlier. For now the next run of the materializer does."""
