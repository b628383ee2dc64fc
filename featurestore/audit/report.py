"""What a verification found: cells counted by what became of them, per service and view, and some that differ in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.intervals import format_instant
from featurestore.retrieval.online_view import STALE, UNAVAILABLE

EQUAL, DIFFERENT, UNVERIFIABLE = "equal", "different", "unverifiable"
OUTCOMES = (EQUAL, DIFFERENT, STALE, UNAVAILABLE, UNVERIFIABLE)


@dataclass
class Difference:
    """One cell that differs. keys, request, online and offline as people write them; probe: what the instant is."""

    feature: str
    keys: Mapping[str, Any]
    as_of: str
    online: Mapping[str, Any]
    offline: Mapping[str, Any]
    cause: str
    probe: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        told = {"feature": self.feature, "key": dict(self.keys), "as_of": self.as_of, "probe": self.probe or "any instant"}
        told |= {"request": dict(self.request)} if self.request else {}
        return {**told, "online": dict(self.online), "offline": dict(self.offline), "cause": self.cause}


@dataclass
class ViewVerification:
    """What became of the cells of one view (on-demand views too, which have no watermark).

    cells: {equal, different, stale, unavailable, unverifiable: number}. An `unavailable` cell is one whose sum leaves its
    type offline too, a `stale` one lies beyond the instant up to which its record is exact. reason: why it is unverifiable.
    causes: {cause: cells that differ}. scratch: what became of cells asked of stores made just before an event, {"stores",
    "equal", "different": number}; they are not among `cells`.
    """

    view: str
    watermark: int | None = None
    source_files: int = 0
    reason: str = ""
    cells: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    causes: dict[str, int] = field(default_factory=dict)
    scratch: dict[str, int] = field(default_factory=lambda: {"stores": 0, EQUAL: 0, DIFFERENT: 0})
    examples: list[Difference] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "watermark": None if self.watermark is None else format_instant(self.watermark),
            "source_files": self.source_files,
            **self.cells,
            "reason": self.reason or None,
            "causes": self.causes,
            "scratch": self.scratch,
            "examples": [e.to_dict() for e in self.examples],
        }


@dataclass
class ServiceVerification:
    """What became of one service: rows asked, and its views by name."""

    service: str
    rows: int = 0
    reason: str = ""
    views: dict[str, ViewVerification] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        views = {name: view.to_dict() for name, view in self.views.items()}
        return {"rows": self.rows, "reason": self.reason or None, "views": views}


@dataclass
class Verification:
    """What `verify` found. `ok`: something was compared, and nothing differs."""

    sample: int
    seed: int
    services: dict[str, ServiceVerification] = field(default_factory=dict)

    @property
    def views(self) -> Iterator[ViewVerification]:
        return (view for service in self.services.values() for view in service.views.values())

    @property
    def cells(self) -> dict[str, int]:
        """Cells of all views, by what became of them."""
        return {outcome: sum(view.cells[outcome] for view in self.views) for outcome in OUTCOMES}

    @property
    def different(self) -> int:
        """Cells that differ, those of scratch stores too."""
        return self.cells[DIFFERENT] + sum(view.scratch[DIFFERENT] for view in self.views)

    @property
    def compared(self) -> int:
        """Cells whose two answers were compared, those of scratch stores too."""
        return self.different + self.cells[EQUAL] + sum(view.scratch[EQUAL] for view in self.views)

    @property
    def unverifiable(self) -> dict[str, str]:
        """What could not be compared, and why: {"service" or "service/view": reason}."""
        reasons = {name: service.reason for name, service in self.services.items()}
        reasons |= {f"{n}/{view.view}": view.reason for n, s in self.services.items() for view in s.views.values()}
        return {name: reason for name, reason in reasons.items() if reason}

    @property
    def ok(self) -> bool:
        return self.cells[EQUAL] > 0 and not self.different

    def to_dict(self) -> dict[str, Any]:
        services = {name: service.to_dict() for name, service in self.services.items()}
        return {"sample": self.sample, "seed": self.seed, **self.cells, "services": services}


__all__ = [
    "DIFFERENT", "EQUAL", "OUTCOMES", "UNVERIFIABLE", "Difference", "ServiceVerification", "Verification", "ViewVerification",
]  # fmt: skip
