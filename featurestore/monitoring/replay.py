"""The serve log replayed: each served cell must equal F(view, key, t, W, S) offline, at the t and W it was logged with.

S is not in the log: it is that of the generation with the row's W. A row answered by another definition than the store's now,
one whose generation is forgotten or whose source files are gone or changed, a hashed key: all that is `unverifiable`, and told
with its reason; it is no difference. What is true is `audit.truth`'s business, what the log looks like `serve_log`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.audit.offline import Offline
from featurestore.errors import StoreUnavailable, UnknownName, nearest
from featurestore.intervals import FOREVER
from featurestore.monitoring.logged import Logged
from featurestore.monitoring.replayed import Replayed, State
from featurestore.monitoring.skew import FeatureSkew, ServiceSkew, Skew
from featurestore.online.generations import Generation, generation, past_generations, served_services
from featurestore.online.store import Moved, Snapshot
from featurestore.progress import Progress, Watcher
from featurestore.retrieval.online_features import MOVES, OnlineReader, Service
from featurestore.serve_log.reading import read, services

NOT_SERVED = "the store answers no service of that name any more"


@dataclass(frozen=True)
class Window:
    """Which rows of the log are replayed: those answered for an instant in [start, end), microseconds; of each service a
    uniform draw of at most `most`."""

    start: int = -FOREVER
    end: int = FOREVER
    most: int = 10_000
    seed: int = 0


def replay(
    reader: OnlineReader,
    offline: Offline,
    log: Path,
    window: Window,
    *,
    service: str | None = None,
    threshold: float = 0.0,
    watch: Watcher | None = None,
) -> Skew:
    """Replay the log of one service, or of each that has one.

    Raises: UnknownName FS101 for a service that has no log and is not defined, StoreError, SourceError of a push log.
    """
    logged = services(log)
    if service is not None and service not in logged and service not in offline.registry.services:
        known = sorted({*logged, *offline.registry.services})
        raise UnknownName("FS101", f"unknown feature service {service!r}", known=known, hint=nearest(service, known))
    found = Skew(threshold)
    for name in [service] if service is not None else logged:
        if watch is not None:
            watch(Progress(f"replaying {name}"))
        table = read(log, name, window.start, window.end, most=window.most, seed=window.seed)
        if service is None and not table.num_rows and name not in offline.registry.services:
            continue  # nobody defines it, nor was it served: of its log a folder is left
        found.services[name] = _replayed(reader, offline, name, table)
    return found


def _replayed(reader: OnlineReader, offline: Offline, name: str, table: pa.Table) -> ServiceSkew:
    report = ServiceSkew(name, table.num_rows)
    if not table.num_rows:
        report.reason = "no logged row has its t in the window"
        return report
    rows = Logged(table)
    report.first, report.last = min(rows.t), max(rows.t)
    state = _state(reader, name)
    if state is None:
        for feature in rows.features:
            found = report.features.setdefault(feature, FeatureSkew())
            found.unverifiable[NOT_SERVED] += len(rows.t)
        return report
    return Replayed(offline, rows, state, report).result()


def _state(reader: OnlineReader, name: str) -> State | None:
    """Raises: StoreUnavailable FS412 where an optimistic store is written to all the time."""
    for _ in range(MOVES):
        try:
            with reader.store.read() as snapshot:
                definition = served_services(snapshot).get(name)
                if definition is None:
                    return None
                made = {i["view"]: _generations(snapshot, i) for i in definition["instances"]}
                return State(Service(definition, snapshot), made)
        except Moved:
            continue
    raise StoreUnavailable("FS412", f"the online store was written to during each of {MOVES} attempts", hint="again later")


def _generations(snapshot: Snapshot, instance: Mapping[str, Any]) -> list[Generation]:
    made = generation(snapshot, instance["view"], instance["fingerprint"])
    assert made is not None, "a service is served when all its views have a generation"
    return [made, *past_generations(snapshot, made)]


__all__ = ["Window", "replay"]
