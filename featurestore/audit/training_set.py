"""One call from a training set to its verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featurestore.audit.findings import Audit
from featurestore.audit.judge import TOLERANCE, Judge, Options
from featurestore.audit.judged import Judged, Reading
from featurestore.definitions import Source
from featurestore.engines.duckdb import Settings
from featurestore.errors import UsageError
from featurestore.progress import Watcher
from featurestore.registry import BoundService
from featurestore.sources import SourceData


def audit(
    given: Any,
    service: BoundService,
    source_of: Callable[[Source], SourceData],
    settings: Settings,
    *,
    as_of: str,
    timezone: str,
    as_of_format: str | None,
    spine: Any,
    renamed: Mapping[str, str] | None,
    known_before: int | None,
    serving_lag: int | None,
    label: str | None,
    split: str | None,
    tolerance: float | None,
    watch: Watcher | None,
) -> Audit:
    """See `FeatureStore.audit`."""
    if tolerance is not None and not 0 <= tolerance < 1:
        raise UsageError("FS102", f"tolerance {tolerance} is not a share", hint="1e-9, or 0 for bit by bit")
    reading = Reading(as_of, timezone, as_of_format, renamed)
    file = Judged(given, reading)
    asked = None if spine is None else Judged(spine, replace(reading, where_there=True))
    bounds = TOLERANCE if tolerance is None else tolerance
    options = Options(asked, known_before, serving_lag, label, split, bounds)
    sources = {name: source_of(source) for name, source in service.sources.items()}
    found = Judge(service, file, sources, settings, options, watch).result()
    found.file = Path(given).name if isinstance(given, str | Path) else "a table in memory"
    return found


__all__ = ["audit"]
