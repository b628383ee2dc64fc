"""What the monitor found last, for Prometheus: read from the file it leaves, anew when it is another.

A key that is restricted to services sees what was found of these and of their views; sources are nobody's in particular, and
are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from featurestore.intervals import MICROS_PER_SECOND
from featurestore.monitoring.monitor import LATEST, latest
from featurestore.monitoring.results import ALERT, OK, SKIPPED, WARNING, Result
from featurestore.server.keys import Key

MOST_SERIES = 1_000
"""Of one family; those that alert are given first."""
_CODES = {SKIPPED: -1, OK: 0, WARNING: 1, ALERT: 2}


class _Value(NamedTuple):
    """How the value of a check is given. labels: of kind, subject and feature those that tell series apart: their names."""

    name: str
    meaning: str
    labels: Mapping[str, str]


_SUBJECT = {"kind": "kind", "subject": "subject"}
_SOURCE = {"subject": "source"}
_VALUES: Mapping[str, _Value] = {
    "skew": _Value("skew_mismatch_rate", "Share of served cells that differ from the offline truth.",
                   {"subject": "service", "feature": "feature"}),
    "drift": _Value("drift", "Effect size of the measure that is told of a feature.", {**_SUBJECT, "feature": "feature"}),
    "freshness": _Value("freshness_seconds", "Age of a view's watermark; time since a source's newest row.", _SUBJECT),
    "lateness": _Value("lateness_seconds", "How long after they happened rows of a source arrive.", _SOURCE),
    "volume": _Value("volume_rows", "Rows of a source in its newest whole interval.", _SOURCE),
    "partitions": _Value("partitions_missing", "Partitions that a source should have and has not.", _SOURCE),
}  # fmt: skip


class Monitored:
    """The results in a monitor's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None
        self._results: Sequence[Result] = ()

    def results(self) -> Sequence[Result]:
        """The newest. Reads and understands a file when it is another, which takes its time where results are many."""
        try:
            found = os.stat(self._folder / LATEST)
            seen: object = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            seen = None
        if seen != self._seen:
            self._seen, self._results = seen, latest(self._folder)
        return self._results

    def families(self, key: Key, views: Mapping[str, Iterable[str]]) -> Iterator[Any]:
        """Families of gauges. views: of each service."""
        from prometheus_client.core import GaugeMetricFamily

        of_key = {view for service, used in views.items() if key.may_see(service) for view in used}
        shown = [r for r in self.results() if not key.services or _is_theirs(r, key, of_key)]
        if not shown:
            return
        shown.sort(key=lambda r: (-_CODES.get(r.status, -1), r.check, r.kind, r.subject, r.feature or ""))
        look = max(r.at for r in shown) / MICROS_PER_SECOND
        yield GaugeMetricFamily("featurestore_monitor_last_look_seconds", "When the monitor looked last, in Unix time.", look)
        left_out = 0
        for name, meaning, labels, series in [_statuses(shown), *_values(shown)]:
            family = GaugeMetricFamily(f"featurestore_{name}", meaning, labels=labels)
            for told, value in list(series.items())[:MOST_SERIES]:
                family.add_metric(told, value)
            left_out += max(len(series) - MOST_SERIES, 0)
            yield family
        yield GaugeMetricFamily("featurestore_monitor_series_left_out", "Series beyond those that are given.", left_out)


def _is_theirs(result: Result, key: Key, views: set[str]) -> bool:
    if result.kind == "service":
        return key.may_see(result.subject)
    return result.kind == "view" and result.subject in views


_Family = tuple[str, str, list[str], dict[tuple[str, ...], float]]


def _statuses(results: Sequence[Result]) -> _Family:
    """The worst of each subject, which comes first."""
    series: dict[tuple[str, ...], float] = {}
    for r in results:
        series.setdefault((r.check, r.kind, r.subject), _CODES.get(r.status, -1))
    meaning = "The worst status of a check of a subject: 0 ok, 1 warning, 2 alert, -1 not compared."
    return "check_status", meaning, ["check", "kind", "subject"], series


def _values(results: Sequence[Result]) -> Iterator[_Family]:
    for check, told in _VALUES.items():
        series: dict[tuple[str, ...], float] = {}
        for r in results:
            if r.check == check and r.value is not None:
                series.setdefault(tuple(getattr(r, name) or "" for name in told.labels), r.value)
        yield told.name, told.meaning, list(told.labels.values()), series


__all__ = ["MOST_SERIES", "Monitored"]
