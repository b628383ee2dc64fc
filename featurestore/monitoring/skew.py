"""What a replay of the serve log found: cells of each feature counted by what became of them, and some that differ in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.intervals import format_instant
from featurestore.monitoring.results import ALERT, OK, SKIPPED, Result

EXAMPLES = 4
"""How many differing cells of each cause a feature reports in full."""


@dataclass
class FeatureSkew:
    """One feature of one service. compared: cells that were held against the truth; mismatched: those of them that differ.

    stale, unavailable: cells that were served without a value because the store could not tell it: no mismatches.
    unverifiable: {why no truth can be had: cells}. causes: {cause: cells that differ}. examples: {"keys", "request", "t",
    "served", "truth", "cause"}, at most `EXAMPLES` of each cause.
    """

    compared: int = 0
    mismatched: int = 0
    stale: int = 0
    unavailable: int = 0
    unverifiable: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rate(self) -> float | None:
        """The share of compared cells that differ; None where none was compared."""
        return self.mismatched / self.compared if self.compared else None

    def add_example(self, example: dict[str, Any]) -> None:
        if sum(one["cause"] == example["cause"] for one in self.examples) < EXAMPLES:
            self.examples.append(example)

    def to_dict(self) -> dict[str, Any]:
        return {
            "compared": self.compared,
            "mismatched": self.mismatched,
            "rate": self.rate,
            "stale": self.stale,
            "unavailable": self.unavailable,
            "unverifiable": self.unverifiable.total(),
            "reasons": dict(self.unverifiable.most_common()),
            "causes": dict(self.causes.most_common()),
            "examples": self.examples,
        }


@dataclass
class ServiceSkew:
    """One service: how many logged rows were replayed, when the first and the last of them was answered (microseconds), and
    its features in service order. reason: why nothing was replayed, or ""."""

    service: str
    rows: int = 0
    first: int | None = None
    last: int | None = None
    reason: str = ""
    features: dict[str, FeatureSkew] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "first": None if self.first is None else format_instant(self.first),
            "last": None if self.last is None else format_instant(self.last),
            "reason": self.reason or None,
            "features": {name: found.to_dict() for name, found in self.features.items()},
        }

    def above(self, threshold: float) -> list[str]:
        """The features of which more than that share of the compared cells differs."""
        return [name for name, found in self.features.items() if (found.rate or 0.0) > threshold]

    def results(self, at: int, threshold: float) -> Iterator[Result]:
        """What the monitor keeps: one result a feature; one of the service alone where nothing was replayed."""
        about: dict[str, Any] = {"at": at, "check": "skew", "kind": "service", "subject": self.service}
        if self.reason:
            yield Result(**about, status=SKIPPED, what=self.reason)
        for name, found in self.features.items():
            yield Result(
                **about,
                feature=name,
                status=_status(found, threshold),
                value=found.rate,
                threshold=threshold,
                what=_sentence(found),
                details=found.to_dict(),
            )


def _status(found: FeatureSkew, threshold: float) -> str:
    return SKIPPED if found.rate is None else ALERT if found.rate > threshold else OK


def _sentence(found: FeatureSkew) -> str:
    if not found.compared:
        untold = "every logged cell was stale or unavailable" if found.stale or found.unavailable else "none was logged"
        why = next(iter(found.unverifiable), untold)
        return f"no logged cell could be compared: {why}"
    told = f"{found.mismatched:,} of {found.compared:,} served cells differ from the offline truth"
    return f"{told}: {', '.join(f'{cause} {n:,}' for cause, n in found.causes.most_common())}" if found.causes else told


@dataclass
class Skew:
    """What a replay found. threshold: the share of a feature's cells that may differ."""

    threshold: float = 0.0
    services: dict[str, ServiceSkew] = field(default_factory=dict)

    @property
    def features(self) -> Iterator[FeatureSkew]:
        return (found for service in self.services.values() for found in service.features.values())

    @property
    def compared(self) -> int:
        return sum(found.compared for found in self.features)

    @property
    def mismatched(self) -> int:
        return sum(found.mismatched for found in self.features)

    @property
    def above(self) -> dict[str, list[str]]:
        """{service: its features that differ more than they may}."""
        found = {name: service.above(self.threshold) for name, service in self.services.items()}
        return {name: features for name, features in found.items() if features}

    @property
    def reasons(self) -> Mapping[str, str]:
        """{service: why nothing, or not all, of it could be compared}."""
        told = {}
        for name, service in self.services.items():
            counted = sum((found.unverifiable for found in service.features.values()), Counter[str]())
            reasons = [f"{reason} ({cells:,} cells)" for reason, cells in counted.most_common()]
            told[name] = service.reason or "; ".join(reasons)
        return {name: reason for name, reason in told.items() if reason}

    @property
    def ok(self) -> bool:
        """Whether something was compared, and no feature differs more than it may."""
        return self.compared > 0 and not self.above

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "compared": self.compared,
            "mismatched": self.mismatched,
            "unverifiable": sum(found.unverifiable.total() for found in self.features),
            "services": {name: service.to_dict() for name, service in self.services.items()},
        }


__all__ = ["EXAMPLES", "FeatureSkew", "ServiceSkew", "Skew"]
