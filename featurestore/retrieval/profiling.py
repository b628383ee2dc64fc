"""The profile of a build: made by a thread of its own, beside the engine and the writer, of the batches as they are written.

Decides which columns are profiled and what a failing profile does: nothing to the training set; it is a warning, and there is
no profile. A full disk is no failing profile: then nothing is written at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from featurestore.compiler.latest import EXPIRED, FOUND, NOT_FOUND
from featurestore.dtypes import from_arrow
from featurestore.errors import FeatureStoreError, SpineError, nearest
from featurestore.retrieval.spine import Spine, instants

if TYPE_CHECKING:
    from featurestore.profiles import Collector, Profile
    from featurestore.registry import BoundService
    from featurestore.retrieval.training_set import Request

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Batches that may wait."""

Matches = Mapping[str, pa.ChunkedArray]
"""By statement: how the newest fact of each row was found (`compiler.latest`)."""


class Profiling:
    """Have a build observed by it, then `write`; `close` in any case: the thread has ended then.

    Raises: SpineError FS162 for a slice column that is not there, or of a type that parts nothing.
    """

    def __init__(self, service: BoundService, request: Request, schema: pa.Schema, rows: int) -> None:
        """rows: how many will be observed. After the last one the thread goes on to the end by itself."""
        self.slices = _slices(service, schema)
        names = [*service.feature_types, *service.label_types, *([request.label] if request.label else [])]
        self._types = {name: schema.field(name).type for name in names}
        self._request, self._left = request, rows
        self._made: Profile | None = None
        self._batches: Queue[tuple[Any, ...] | None] = Queue(AT_ONCE)
        self._thread: Thread | None = None
        self._collector: Collector | None = None
        self.problem = ""

    def close(self) -> None:
        """End the thread; what waits is not looked at any more."""
        self.problem = self.problem or "the build ended before"
        self._finish()

    def observe(self, table: pa.Table, at: pa.Array | None, status_of: Mapping[str, str], matches: Matches) -> None:
        """The next rows. at: their instants; None: they are read from the table. status_of: feature -> its statement."""
        if self.problem or (self._thread is not None and self._left <= 0):
            return  # nothing comes after the last row but empty batches
        if self._thread is None:
            self._thread = Thread(target=self._work, args=(dict(status_of),), name="profile", daemon=True)
            self._thread.start()
        needed = dict.fromkeys([*self._types, *self.slices, *([self._request.as_of] if at is None else [])])
        self._batches.put((table.select(list(needed)), at, matches))
        self._left -= table.num_rows
        if self._left <= 0:
            self._batches.put(None)

    def _work(self, status_of: Mapping[str, str]) -> None:
        while (batch := self._batches.get()) is not None:
            if not self.problem:
                self._tried(partial(self._add, status_of, *batch))
        if not self.problem:
            self._tried(self._make)

    def _make(self) -> None:
        self._made = self._begun({}).profile()

    def _add(self, status_of: Mapping[str, str], table: pa.Table, at: pa.Array | None, matches: Matches) -> None:
        codes = {statement: _codes(match) for statement, match in matches.items()}
        self._begun(status_of).add(table, self._instants(table) if at is None else at, codes)

    def _begun(self, status_of: Mapping[str, str]) -> Collector:
        from featurestore.profiles import Collector

        if self._collector is None:
            self._collector = Collector(self._types, slices=self.slices, status_of=status_of)
        return self._collector

    def _instants(self, table: pa.Table) -> pa.Array:
        asked = self._request
        spine = Spine(table.schema, table.num_rows, table)
        return instants(spine, asked.as_of, timezone=asked.timezone, as_of_format=asked.as_of_format)

    def write(self, path: Path) -> bool:
        """Write the profile. Returns: whether there is one; `problem` says why not. Raises: OSError of the disk."""
        self._finish()
        if self._made is not None:
            self._tried(partial(self._made.write, path), but=OSError)
        return self._made is not None and not self.problem

    def _finish(self) -> None:
        if self._thread is not None:
            if self._left > 0:
                self._batches.put(None)
            self._thread.join()
            self._thread = None

    def _tried(self, step: Callable[[], None], but: type[Exception] | tuple[()] = ()) -> None:
        """Do a step; if it fails, that is the problem."""
        try:
            step()
        except but:
            raise
        except Exception as error:
            log.debug("profile", exc_info=True)
            self.problem = f"no profile was made: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _codes(match: pa.ChunkedArray) -> pa.Array:
    """Ways of finding as codes of statuses."""
    import numpy as np

    from featurestore.profiles.collector import STATUSES

    codes = np.zeros(3, np.int8)
    codes[[FOUND, EXPIRED, NOT_FOUND]] = [STATUSES.index(s) for s in ("present", "expired", "not_found")]
    whole = match.combine_chunks() if match.num_chunks != 1 else match.chunk(0)
    return pa.array(codes[whole.fill_null(FOUND).to_numpy(zero_copy_only=False)])


def _slices(service: BoundService, schema: pa.Schema) -> tuple[str, ...]:
    """The columns by whose values a service's profiles are sliced."""
    slices: tuple[str, ...] = service.service.slices
    for name in slices:
        if name not in schema.names:
            what = f"service {service.name!r} is sliced by {name!r}, which neither the spine nor the service has"
            raise SpineError("FS162", what, known=schema.names, hint=nearest(name, schema.names))
        kind = schema.field(name).type
        if not _parts(kind):
            what = f"service {service.name!r} is sliced by {name!r}, which is {kind}"
            raise SpineError("FS162", what, hint="a column of text, integers, bool or dates")
    return slices


def _parts(kind: pa.DataType) -> bool:
    try:
        return from_arrow(kind).key_family is not None
    except FeatureStoreError:
        return False


__all__ = ["Profiling"]
