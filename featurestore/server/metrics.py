"""What the server counts, for Prometheus: plain numbers while requests are answered, families only when they are asked for.

Each worker counts for itself. With several, each leaves its numbers in a folder every second, and whoever is asked adds
them up: its own as of now, the others' as of the last second, those of workers that died as they left them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featurestore.atomic import alive
from featurestore.errors import FeatureStoreError
from featurestore.intervals import MICROS_PER_SECOND
from featurestore.online.generations import generations
from featurestore.retrieval.online_features import OnlineReader
from featurestore.server.keys import ANYONE, Key

if TYPE_CHECKING:
    from featurestore.server.access_log import AccessLog
    from featurestore.server.connections import Connections
    from featurestore.server.monitored import Monitored
    from featurestore.server.served import ServedLog

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the latency histogram, in seconds."""
LEAVE_EVERY = 1.0

_PLACES = tuple(map(str, range(len(BUCKETS) + 1)))

Numbers = Counter[tuple[str, ...]]
"""(what, label, …) -> how much; "seconds" are a float."""
_COUNTERS = {
    "rows": ("featurestore_rows", "Entities asked for, and rows pushed, in answered requests."),
    "cells": ("featurestore_cells", "Values answered: entities times features."),
    "lost_lines": ("featurestore_access_log_lost_lines", "Lines the access log gave up because they could not be written."),
    "logged_rows": ("featurestore_serve_log_rows", "Rows written to the serve log."),
    "logged_bytes": ("featurestore_serve_log_bytes", "Bytes written to the serve log."),
    "logged_files": ("featurestore_serve_log_files", "Files written to the serve log."),
}
_GAUGES = {
    "waiting": ("featurestore_requests_in_flight", "Complete requests that are not answered yet."),
    "connections": ("featurestore_connections", "Open connections."),
}


class Metrics:
    """The numbers of one process, and where it leaves them for the others."""

    def __init__(self, folder: Path | None = None) -> None:
        self._numbers: Numbers = Counter()
        self._connections: Connections | None = None
        self._log: AccessLog | None = None
        self._served: ServedLog | None = None
        self._file = None if folder is None else folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._left = ""

    def follow(self, connections: Connections, log: AccessLog | None, served: ServedLog | None = None) -> None:
        """Tell of these too, which count for themselves."""
        self._connections, self._log, self._served = connections, log, served

    def answered(self, route: str, status: int, seconds: float, rows: int, cells: int) -> None:
        """Count one request."""
        numbers = self._numbers
        numbers["requests", route, str(status)] += 1
        numbers["bucket", route, _PLACES[bisect_left(BUCKETS, seconds)]] += 1
        numbers["seconds", route] += seconds  # type: ignore[assignment]
        if rows and status == 200:
            numbers["rows",] += rows
            numbers["cells",] += cells

    def own(self) -> tuple[Numbers, Counter[str]]:
        """The numbers of this process, and what is true of it now."""
        numbers, gauges = Counter(self._numbers), Counter[str]()
        if self._connections is not None:
            numbers.update({("closed", reason): number for reason, number in self._connections.closed.items()})
            gauges = Counter(waiting=self._connections.waiting, connections=self._connections.open)
        if self._log is not None:
            numbers["lost_lines",] += self._log.lost
        if self._served is not None:
            writer = self._served.writer
            numbers.update({("dropped_rows", reason): number for reason, number in writer.dropped.items()})
            numbers.update({("logged_rows",): writer.rows, ("logged_bytes",): writer.bytes, ("logged_files",): writer.files})
        return numbers, gauges

    def together(self) -> tuple[Numbers, Counter[str]]:
        """The numbers of all workers, and what is true of those that live."""
        numbers, gauges = self.own()
        for left in self._others():
            numbers.update({tuple(key): value for key, value in left["numbers"]})
            if alive(left["pid"]):
                gauges.update(left["gauges"])
        return numbers, gauges

    def _others(self) -> Iterator[dict[str, Any]]:
        if self._file is None:
            return
        for path in self._file.parent.glob("*.json"):
            if path != self._file:
                yield json.loads(path.read_text(encoding="utf-8"))

    def keep_leaving(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave the numbers for the other workers, now and every second."""
        if self._file is not None:
            self._leave(self._file)
            loop.call_later(LEAVE_EVERY, self.keep_leaving, loop)

    def _leave(self, file: Path) -> None:
        numbers, gauges = self.own()
        text = json.dumps({"pid": os.getpid(), "numbers": list(numbers.items()), "gauges": gauges})
        if text == self._left:
            return
        written = file.with_suffix(".partial")
        with contextlib.suppress(OSError):  # the folder goes with the server
            written.write_text(text, encoding="utf-8")
            os.replace(written, file)
            self._left = text


def render(
    metrics: Metrics, reader: OnlineReader, version: str, monitored: Monitored | None = None, key: Key = ANYONE
) -> tuple[bytes, str]:
    """The text of /metrics and its content type. monitored: what a monitor found. Of it and of the store as much is told as the
    key may see."""
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    views = _views(reader)
    families = [*_of_requests(*metrics.together()), *_of_store(reader, key, views), *_of_build(version)]
    if monitored is not None:
        families += monitored.families(key, views)
    return generate_latest(_Collected(families)), CONTENT_TYPE_LATEST


class _Collected:
    """Families, as the renderer wants to be given them."""

    def __init__(self, families: Iterable[Any]) -> None:
        self.collect = lambda: families


def _of_requests(numbers: Numbers, gauges: Counter[str]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    requests = CounterMetricFamily("featurestore_requests", "Requests answered.", labels=["route", "status"])
    closed = CounterMetricFamily("featurestore_connections_closed", "Connections closed on clients.", labels=["reason"])
    dropped = CounterMetricFamily(
        "featurestore_serve_log_dropped_rows", "Rows that are missing in the serve log.", labels=["reason"]
    )
    labelled = {"requests": requests, "closed": closed, "dropped_rows": dropped}
    for (what, *labels), value in sorted(numbers.items()):
        if what in labelled:
            labelled[what].add_metric(labels, value)
    latency = HistogramMetricFamily(
        "featurestore_request_seconds", "From the head of a request to its answer.", labels=["route"]
    )
    for what, *labels in sorted(numbers):
        if what == "seconds":
            latency.add_metric(labels, _cumulative(numbers, labels[0]), numbers["seconds", labels[0]])
    yield from (requests, latency, closed, dropped)
    for what, (name, meaning) in _COUNTERS.items():
        yield CounterMetricFamily(name, meaning, numbers[what,])
    for what, (name, meaning) in _GAUGES.items():
        yield GaugeMetricFamily(name, meaning, gauges[what])


def _cumulative(numbers: Numbers, route: str) -> list[tuple[str, int]]:
    found, total = [], 0
    for i, bound in enumerate((*map(str, BUCKETS), "+Inf")):
        total += numbers["bucket", route, _PLACES[i]]
        found.append((bound, total))
    return found


def _of_store(reader: OnlineReader, key: Key, views: Mapping[str, Sequence[str]]) -> Iterator[Any]:
    """views: of each service. A key that is limited to services is told of these and of their views alone."""
    from prometheus_client.core import GaugeMetricFamily

    labels = ["view", "fingerprint"]
    number = GaugeMetricFamily("featurestore_generation", "Number of the view's generation.", labels=labels)
    age = GaugeMetricFamily("featurestore_watermark_age_seconds", "Time since the view's watermark.", labels=labels)
    seen = {service for service in views if key.may_see(service)}
    seen_views = {view for service in seen for view in views[service]}
    up = 1
    try:
        with reader.store.read() as snapshot:
            for made in generations(snapshot):
                if key.services and made.name not in seen_views:
                    continue
                of = [made.name, made.fingerprint]
                number.add_metric(of, made.number)
                age.add_metric(of, (reader.clock.now() - made.watermark) / MICROS_PER_SECOND)
    except FeatureStoreError:
        up = 0
    yield from (number, age)
    yield GaugeMetricFamily("featurestore_store_up", "1 if the online store can be read.", up)
    yield GaugeMetricFamily("featurestore_services", "Feature services that can be answered.", len(seen))


def _views(reader: OnlineReader) -> dict[str, list[str]]:
    """The views of each service, by name; none while the store cannot be read."""
    try:
        with reader.store.read() as snapshot:
            return {n: [i["view"] for i in s.definition["instances"]] for n, s in reader.services(snapshot).items()}
    except FeatureStoreError:
        return {}


def _of_build(version: str) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    build = GaugeMetricFamily("featurestore_build_info", "What runs.", labels=["version"])
    build.add_metric([version], 1)
    yield build
