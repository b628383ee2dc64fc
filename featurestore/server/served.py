"""What the server hands over to the serve log of an answered look-up, and how that becomes columns.

On the way of an answer nothing is done but to see whether the request is one of the sample, and to put what is there anyway
into the queue: the answers as they were found, the keys as they were checked. Everything else the log's thread does, for many
requests of one service at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import orjson
import pyarrow as pa

from featurestore.config import ServeLog
from featurestore.dtypes import TIMESTAMP
from featurestore.errors import FeatureStoreError, UsageError
from featurestore.intervals import MICROS_PER_SECOND, parse_duration
from featurestore.online.generations import generations, served_services
from featurestore.online.store import Snapshot
from featurestore.retrieval.online_columns import Columns, arrow, joined
from featurestore.retrieval.online_features import LookedUp, OnlineReader, Service
from featurestore.retrieval.online_view import PRESENT
from featurestore.retrieval.partitions import memory
from featurestore.serve_log import layout
from featurestore.serve_log.redaction import Redaction, Shown
from featurestore.serve_log.secret import Hasher
from featurestore.serve_log.writer import Limits, Piece, Writer, check_writable

log = logging.getLogger(__name__)

UNSETTLED = "redact"
"""Why rows are dropped: it is not known yet what the names of `redact` hide."""
CLOSES_WITHIN = 5.0
"""Seconds that the last files may take when the server stops."""
_WHOLE = 2**64
_FAMILIES: Mapping[str, pa.DataType] = {
    "integer": pa.int64(), "text": pa.string(), "bool": pa.bool_(), "date": pa.date32(), "binary": pa.binary(),
}  # fmt: skip
_LARGE = pa.decimal128(38, 0)


class _Served(NamedTuple):
    """A look-up that is logged. served_at, latency: microseconds."""

    looked_up: LookedUp
    shown: Shown
    request_id: bytes
    served_at: int
    latency: int


class ServedLog:
    """Takes answered look-ups, in the server's thread. Raises: StoreError FS484, FS486."""

    def __init__(self, settings: ServeLog, root: Path, reader: OnlineReader) -> None:
        hasher = Hasher(root / settings.secret) if settings.hash_keys else None
        self._reader, self._redaction = reader, Redaction(settings.redact)
        self._below = int(settings.sample * _WHOLE)
        self._shown: WeakKeyDictionary[Service, Shown] = WeakKeyDictionary()
        self._learnt: object = None
        self._warned = False
        limits = Limits(
            settings.queue,
            parse_duration(settings.every).micros / MICROS_PER_SECOND,
            parse_duration(settings.retention).micros,
            int(memory(settings.max_size)),
        )
        self.writer: Writer[_Served] = Writer(root / settings.path, _Pieces(settings.sample, hasher), limits)
        self.writer.dropped[UNSETTLED] = 0

    def is_sampled(self, request_id: bytes) -> bool:
        """Told by its id alone: a request that is sent again is logged again, whichever worker answers it."""
        return int.from_bytes(blake2b(request_id, digest_size=8).digest()) < self._below

    def add(self, looked_up: LookedUp, request_id: bytes, seconds: float) -> None:
        """Log a look-up, if it is one of the sample. seconds: from its head to its answer."""
        if not self.is_sampled(request_id):
            return
        rows = looked_up.asked.rows
        shown = self._shown.get(looked_up.service) or self._look_at(looked_up.service)
        if shown is None:
            self.writer.dropped[UNSETTLED] += rows
            return
        now = time.time_ns() // 1_000
        self.writer.add(_Served(looked_up, shown, request_id, now, int(seconds * MICROS_PER_SECOND)), rows)

    def close(self) -> None:
        """Write what waits. A disk that takes nothing is not waited for."""
        self.writer.close(CLOSES_WITHIN)

    def _look_at(self, service: Service) -> Shown | None:
        """What of a service met for the first time may be logged; None as long as that is not known."""
        if self._redaction and not self._is_settled():
            return None
        found = self._shown[service] = self._redaction.shown(service.definition, service.feature_names)
        return found

    def _is_settled(self) -> bool:
        """Whether everything that is to be hidden is known, as of the present state of the store."""
        try:
            with self._reader.store.read() as snapshot:
                state = self._reader.state(snapshot)
                if state is not self._learnt:
                    learn(self._redaction, snapshot)
                    self._learnt = state
        except FeatureStoreError:
            return False
        unknown = self._redaction.unknown
        if unknown and not self._warned:
            self._warned = True
            log.warning("nothing is logged of what is served: nothing is called %s (serve_log.redact)", ", ".join(unknown))
        return not unknown


def learn(redaction: Redaction, snapshot: Snapshot) -> None:
    """Tell a redaction what the store serves."""
    redaction.learn(served_services(snapshot).values(), [made.view for made in generations(snapshot)])


def check(settings: ServeLog, root: Path, snapshot: Snapshot | None) -> None:
    """Whether a log can be kept so. snapshot: of the online store, if there is one yet.

    Raises: UsageError FS107 for names that nothing has, and a secret within the log; StoreError FS484, FS486.
    """
    folder, secret = (root / settings.path).resolve(), (root / settings.secret).resolve()
    if secret.is_relative_to(folder):
        hint = 'secret = ".featurestore/serve_log.secret"'
        raise UsageError("FS107", "setting serve_log.secret: it lies in the log, whose readers it is kept from", hint=hint)
    check_writable(folder)
    if settings.hash_keys:
        Hasher(secret)
    redaction = Redaction(settings.redact)
    if redaction and snapshot is not None and served_services(snapshot):
        learn(redaction, snapshot)
        redaction.check()


class _Pieces:
    """Makes columns of look-ups, in the log's thread. sample: the share that is logged. hasher: of keys, if they are hashed."""

    def __init__(self, sample: float, hasher: Hasher | None) -> None:
        self._sample, self._hasher = sample, hasher

    def __call__(self, served: Sequence[_Served]) -> Iterator[Piece]:
        groups: dict[int, list[_Served]] = {}
        for one in served:
            if one.looked_up.asked.rows:
                groups.setdefault(id(one.looked_up.service), []).append(one)
        for group in groups.values():
            service = group[0].looked_up.service
            columns = dict(chain(self._of_requests(service, group), self._keys(service, group), _cells(service, group)))
            yield Piece(service.name or layout.FEATURES, service.fingerprint, pa.table(columns))

    def _of_requests(self, service: Service, group: Sequence[_Served]) -> Iterator[tuple[str, pa.Array]]:
        """What all rows of a request share."""
        rows = [one.looked_up.asked.rows for one in group]
        places = pa.array([place for place, count in enumerate(rows) for _ in range(count)], pa.int64())
        shared = {
            "t": [one.looked_up.found.t for one in group],
            "served_at": [one.served_at for one in group],
            "latency_us": [one.latency for one in group],
            "request_id": [one.request_id.decode("ascii") for one in group],
        }
        same = {
            "fingerprint": service.fingerprint,
            "watermarks": orjson.dumps(service.watermarks).decode(),
            "sampled": self._sample,
        }
        for name, dtype in layout.COLUMNS.items():
            if name in same:
                yield name, pa.repeat(pa.scalar(same[name], dtype), len(places))
            else:
                plain = pa.int64() if dtype == TIMESTAMP.arrow else dtype
                yield name, pa.array(shared[name], plain).cast(dtype).take(places)

    def _keys(self, service: Service, group: Sequence[_Served]) -> Iterator[tuple[str, pa.Array]]:
        for name in group[0].shown.keys:
            values = list(chain.from_iterable(one.looked_up.asked.keys[name] for one in group))
            family = service.keys[name]
            if self._hasher is None:
                yield layout.KEY + name, _key(values, family)
            else:
                yield layout.KEY_HASH + name, pa.array(self._hasher.hashed(values, family), pa.string())


def _key(values: Sequence[object], family: str) -> pa.Array:
    """Keys of a family. Integers beyond 64 bits need decimals; beyond 38 digits, where they match nothing, they are null."""
    try:
        return pa.array(values, _FAMILIES[family])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        if family != "integer":
            raise
        known = [None if value is None or abs(value) >= 10**38 else value for value in values]  # type: ignore[arg-type]
        return pa.array(known, _LARGE)


def _cells(service: Service, group: Sequence[_Served]) -> Iterator[tuple[str, Any]]:
    """Request columns, then values and statuses of the features."""
    shown = group[0].shown
    for name in shown.request:
        values = list(chain.from_iterable((one.looked_up.asked.request or {})[name] for one in group))
        yield layout.REQUEST + name, arrow(values, service.request[name])
    rows = sum(one.looked_up.asked.rows for one in group)
    columns = Columns(service, joined(service, [one.looked_up.found for one in group]), rows)
    statuses = columns.statuses()
    for i in shown.features:
        name, told = service.feature_names[i], statuses[i]
        yield layout.column_of(name), arrow(columns.values[i], service.feature_types[i])
        yield layout.status_of(name), pa.repeat(PRESENT, rows) if told is None else pa.array(told, pa.string())


__all__ = ["ServedLog", "check", "learn"]
