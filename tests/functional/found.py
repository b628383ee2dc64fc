"""Results as a monitor leaves them, of a project with faults: a feed stopped, a feature drifted, another was skewed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from featurestore.intervals import parse_instant
from featurestore.monitoring.results import Result, append

NOW = parse_instant("2026-01-01T05:10:00Z")
"""Of the newest look."""
HOUR = 3_600_000_000
LOOKS = 12


def plant(
    folder: Path,
    *,
    service: str,
    features: Sequence[str],
    view: str,
    source: str,
    others: Sequence[str] = (),
    looks: int = LOOKS,
) -> None:
    """Hourly looks up to NOW, kept in `folder`. features: of the service; the first has drifted, the second is skewed. view, of
    source: has stopped. others: views that are well."""
    found = [r for n in range(LOOKS - looks, LOOKS) for r in _look(n, service, features, view, source, others)]
    append(folder, found)


def _look(n: int, service: str, features: Sequence[str], view: str, source: str, others: Sequence[str]) -> Iterator[Result]:
    at = NOW - (LOOKS - 1 - n) * HOUR
    last = n == LOOKS - 1
    age = 600.0 + max(0, n - 7) * 3600.0
    yield Result(
        at=at,
        check="freshness",
        kind="view",
        subject=view,
        value=age,
        threshold=7200.0,
        status="alert" if age > 7200 else "ok",
        what=f"{view} is behind" if age > 7200 else "",
    )
    for name in others:
        yield Result(at=at, check="freshness", kind="view", subject=name, value=600.0, threshold=7200.0)
    counts = [max(0, 40 - (hour > 7) * 40) for hour in range(12)]
    yield Result(
        at=at,
        check="volume",
        kind="source",
        subject=source,
        value=float(counts[n]),
        threshold=20.0,
        status="alert" if last else "ok",
        what="no rows for four hours" if last else "",
        details={"interval": "1h", "expected": [20, 60], "history": counts},
    )
    yield Result(at=at, check="lateness", kind="source", subject=source, value=240.0, threshold=3600.0)
    yield Result(
        at=at,
        check="partitions",
        kind="source",
        subject=source,
        value=1.0,
        threshold=0.0,
        status="warning",
        what="a day is missing",
        details={"missing": ["2025-12-28"]},
    )
    for number, name in enumerate(features):
        yield _drift(at, n, number, service, name)
        yield _skew(at, n, number, service, name)
    yield Result(at=at, check="drift", kind="service", subject=service, value=0.5, threshold=0.6, details={"auc": 0.5})


def _drift(at: int, n: int, number: int, service: str, name: str) -> Result:
    effect = n / 24 if number == 0 else 0.01 + number % 7 / 100
    shift = 6.0 * effect

    def shares(centre: float) -> list[float]:
        heights = [math.exp(-((bar - centre) ** 2) / 18) for bar in range(20)]
        return [round(h / sum(heights), 5) for h in heights]

    alert = effect > 0.2
    return Result(
        at=at,
        check="drift",
        kind="service",
        subject=service,
        feature=name,
        value=effect,
        threshold=0.2,
        status="alert" if alert else "ok",
        what="values moved up" if alert else "",
        details={
            "psi": effect,
            "ks": effect / 2,
            "p": 1e-9 if alert else 0.4,
            "reference": {"edges": list(range(21)), "shares": shares(8.0)},
            "current": {"shares": shares(8.0 + shift)},
        },
    )


def _skew(at: int, n: int, number: int, service: str, name: str) -> Result:
    wrong = number == 1 and n > 5
    examples = [
        {
            "keys": {"customer_id": 40 + i},
            "t": "2026-01-01T04:12:00Z",
            "served": 12.5,
            "truth": None if i else 13.5,
            "cause": "late_rows",
        }
        for i in range(8)
    ]
    return Result(
        at=at,
        check="skew",
        kind="service",
        subject=service,
        feature=name,
        value=0.001 if wrong else 0.0,
        threshold=0.0,
        status="alert" if wrong else "ok",
        what="1 of 1,000 served values differs" if wrong else "",
        details={
            "compared": 10_000,
            "mismatched": 10 if wrong else 0,
            "unverifiable": 2,
            "causes": {"late_rows": 8, "other": 2} if wrong else {},
            "examples": examples if wrong else [],
        },
    )
