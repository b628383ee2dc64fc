"""How a check that is about time says what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.intervals import MICROS_PER_SECOND, Duration, format_instant
from featurestore.monitoring.results import Result


@dataclass(frozen=True)
class Told:
    """One check of one subject, of which only the outcome is still to be said."""

    now: int
    check: str
    kind: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def result(self, status: str, what: str, *, value: float | None = None, threshold: float | None = None) -> Result:
        return Result(
            at=self.now, check=self.check, kind=self.kind, subject=self.subject, status=status, value=value,
            threshold=threshold, what=what, details=self.details,
        )  # fmt: skip


def instant(micros: int | None) -> str | None:
    return None if micros is None else format_instant(micros)


def seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / MICROS_PER_SECOND


def span(micros: int) -> str:
    """A length of time that is not negative: in whole seconds, from ten minutes on in minutes, from ten hours on in hours."""
    unit = next(u for u, least in ((3600, 36_000), (60, 600), (1, 0)) if micros >= least * MICROS_PER_SECOND)
    unit *= MICROS_PER_SECOND
    return str(Duration(micros // unit * unit))
