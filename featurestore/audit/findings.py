"""What an audit found: counts by cause, examples, and how they look as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXACT = "exact"
FUTURE, LATE = "future", "late_known"
TIE, STALE, EXPIRED, UNEXPLAINED = "tie", "stale", "expired", "unexplained"
FAN_OUT, DROPPED, UNMATCHED = "fan_out", "dropped", "unmatched"
LEAKS = (FUTURE, LATE)
CAUSES = (EXACT, FUTURE, LATE, TIE, STALE, EXPIRED, FAN_OUT, DROPPED, UNMATCHED, UNEXPLAINED)
MEANING = {
    EXACT: "the value F gives for the key at as_of",
    FUTURE: "a value that existed only after as_of: a leak",
    LATE: "a value that had happened, but was not known yet: a leak",
    TIE: "another fact of the same event time",
    STALE: "an older value, or an older or longer window",
    EXPIRED: "older than the ttl",
    FAN_OUT: "a row more than the spine asks for",
    DROPPED: "a row the spine asks for that is not there",
    UNMATCHED: "a column that is missing, or that is nobody's",
    UNEXPLAINED: "nothing around as_of gives this value",
}


@dataclass(frozen=True)
class Example:
    """One cell. row: in the file, counted from 0. why: what gives the value that was found. source: {"file", "row",
    "event_timestamp", "known_at"} of the row that explains it, None where no single row does. ahead_us: how far after as_of
    that row was there."""

    feature: str
    row: int
    keys: Mapping[str, Any]
    as_of: str
    found: Any
    expected: Any
    cause: str
    why: str = ""
    source: Mapping[str, Any] | None = None
    ahead_us: int | None = None

    @property
    def named(self) -> str:
        """The keys on one line."""
        return ", ".join(f"{name}={value}" for name, value in self.keys.items()) or "the one row"


@dataclass
class FeatureFindings:
    """One feature. causes: cells by cause. why: of the cells that are wrong, how many each explanation explains. rounded: how
    many exact ones differ from the truth in their last digits."""

    causes: dict[str, int] = field(default_factory=dict)
    why: dict[str, int] = field(default_factory=dict)
    rounded: int = 0

    def add(self, cause: str, cells: int, why: str = "") -> None:
        if cells:
            self.causes[cause] = self.causes.get(cause, 0) + cells
            if why:
                self.why[why] = self.why.get(why, 0) + cells

    @property
    def leaks(self) -> int:
        return sum(self.causes.get(cause, 0) for cause in LEAKS)


@dataclass(frozen=True)
class Suspicion:
    """Something about label or splits. kind: "label", "time", "group" or "duplicates". severity: "leak" or "warning"."""

    kind: str
    what: str
    severity: str = "warning"
    feature: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Audit:
    """The verdict on a training set.

    rows: of the file. leaks: cells that are `future` or `late_known`. ok: every cell is exact, every row of the spine is there
    once, and no suspicion is a leak. fan_out, dropped: rows more and less than the spine's.
    """

    service: str
    file: str
    rows: int
    features: dict[str, FeatureFindings]
    examples: list[Example] = field(default_factory=list)
    fan_out: int = 0
    dropped: int = 0
    not_audited: list[str] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    label: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    pictures: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def leaks(self) -> int:
        return sum(found.leaks for found in self.features.values())

    @property
    def exact(self) -> bool:
        return not self.fan_out and not self.dropped and all(set(f.causes) <= {EXACT} for f in self.features.values())

    @property
    def ok(self) -> bool:
        return self.exact and not any(s.severity == "leak" for s in self.suspicions)

    def causes(self) -> dict[str, int]:
        """Cells of all features by cause, in the order of CAUSES."""
        total = {cause: sum(f.causes.get(cause, 0) for f in self.features.values()) for cause in CAUSES}
        return {cause: cells for cause, cells in total.items() if cells}

    def to_dict(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "file": self.file,
            "rows": self.rows,
            "exact": self.exact,
            "leaks": self.leaks,
            "features": {name: {c: f.causes[c] for c in CAUSES if c in f.causes} for name, f in self.features.items()},
            "explanations": {name: f.why for name, f in self.features.items() if f.why},
            "rounded": {name: f.rounded for name, f in self.features.items() if f.rounded},
            "examples": [vars(example) for example in self.examples],
            "fan_out": self.fan_out,
            "dropped": self.dropped,
            "not_audited": self.not_audited,
            "suspicions": [vars(suspicion) for suspicion in self.suspicions],
            "label": self.label,
            "warnings": self.warnings,
        }
