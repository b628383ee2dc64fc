"""What the sides of a comparison are called on the command line, and opening them.

A path names a training set (Parquet, CSV, a folder of Parquet) or a profile (`*.profile`); `serve-log:SERVICE@FROM..TO` names
the served rows with t in [FROM, TO). Either end may be left out, and `@7d` means the last seven days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.errors import DefinitionError, UsageError, nearest
from featurestore.intervals import FOREVER, parse_duration, split_iso, zone
from featurestore.monitoring.drift import profiled, rules
from featurestore.monitoring.drift.compare import compare
from featurestore.monitoring.drift.found import ALL, Comparison
from featurestore.monitoring.drift.rules import Thresholds
from featurestore.monitoring.drift.sides import Rows, Side, open_file
from featurestore.progress import Progress, Watcher
from featurestore.sources.times import TimeReading, localized

SCHEME = "serve-log:"
MOST_LOGGED = 200_000
"""Rows of a serve log that are compared; of more, so many are drawn."""


@dataclass(frozen=True)
class Places:
    """Where sides are looked for. log: folder of the serve log. now: microseconds. at, timezone: the column of instants of
    files, and the zone in which naive ones and naive ends of a window are read. sample: rows to draw."""

    log: Path
    now: int
    at: str | None = None
    timezone: str = "UTC"
    sample: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Logged:
    """Served rows of a service with t in [start, end), microseconds."""

    service: str
    start: int
    end: int


def drift(
    reference: Any,
    current: Any,
    places: Places,
    *,
    settings: Thresholds,
    asked: Thresholds,
    features: Sequence[str] | None,
    watch: Watcher | None,
    **options: Any,
) -> Comparison:
    """See `FeatureStore.drift`."""
    first, second = (open_side(given, places) if isinstance(given, str) else given for given in (reference, current))
    rules.check(settings)
    thresholds = rules.merged(settings, asked)

    def told(done: int, of: int) -> None:
        if watch is not None:
            watch(Progress("comparing", done, of))

    found = compare(
        first, second, thresholds=thresholds, sample=places.sample, seed=places.seed, features=features, watch=told, **options
    )
    known = {feature.name for feature in found.features}
    for name in asked:
        if name not in known and name != ALL:
            raise UsageError(
                "FS393", f"--threshold names feature {name!r}, which is on neither side", known=known, hint=nearest(name, known)
            )
    return found


def open_side(text: str, places: Places) -> Side:
    """Raises: UsageError FS394 for a window of the serve log typed wrong, DataError FS160, FS392."""
    if profiled.is_profile(Path(text)):
        return profiled.opened(Path(text))
    if not text.startswith(SCHEME):
        return open_file(Path(text), at=places.at, timezone=places.timezone)
    asked = parsed(text, places.now, places.timezone)
    return of_log(asked, places, text)


def parsed(text: str, now: int, timezone: str = "UTC") -> Logged:
    """A window of the serve log. Raises: UsageError FS394."""
    service, _, window = text.removeprefix(SCHEME).partition("@")
    first, dots, last = window.partition("..")
    if not service:
        raise UsageError("FS394", f"{text!r} names no service", hint=_HINT)
    if not window:
        return Logged(service, -FOREVER, FOREVER)
    if not dots:
        try:
            return Logged(service, now - parse_duration(window).micros, now)
        except DefinitionError as error:
            raise UsageError("FS394", f"{window!r} is neither FROM..TO nor a length", hint=_HINT) from error
    start = _instant(first, timezone) if first else -FOREVER
    end = _instant(last, timezone) if last else FOREVER
    if start >= end:
        raise UsageError("FS394", f"the window {window!r} ends before it begins", hint=_HINT)
    return Logged(service, start, end)


_HINT = "serve-log:fraud_v1@2026-01-01..2026-01-08, or serve-log:fraud_v1@7d"


def _instant(text: str, timezone: str) -> int:
    micros, offset = split_iso(text)
    if offset is not None:
        return micros - offset
    (instant,) = localized(pa.array([micros]), TimeReading(zone=zone(timezone).key)).to_pylist()
    return int(instant)


def of_log(asked: Logged, places: Places, name: str) -> Rows:
    from featurestore import serve_log

    known = serve_log.services(places.log)
    if asked.service not in known:
        raise UsageError(
            "FS394", f"the serve log holds nothing of service {asked.service!r}", known=known, hint="[serve_log] on"
        )
    most = places.sample or MOST_LOGGED
    window = (places.log, asked.service, asked.start, asked.end)
    table = serve_log.read(*window, most=most, seed=places.seed)
    rows = sum(batch.num_rows for batch in serve_log.batches(*window, columns=["t"]))
    return Rows(
        name=name,
        source=table,
        rows=table.num_rows,
        features=tuple(serve_log.features(table.schema.names)),
        at="t",
        of=max(rows, table.num_rows),
    )
