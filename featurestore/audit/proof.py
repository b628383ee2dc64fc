"""What a proof of leaks found: probe by probe what was done, to how many rows, and which cells moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 5
"""How many moved cells of a probe are told in full."""


@dataclass(frozen=True)
class Moved:
    """One cell that moved: feature, row of the spine (from 0), its keys and instant, and the cell before and after."""

    feature: str
    row: int
    keys: Mapping[str, Any]
    as_of: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {
            "feature": self.feature, "row": self.row, "key": dict(self.keys), "as_of": self.as_of,
            "before": dict(self.before), "after": dict(self.after),
        }  # fmt: skip


@dataclass
class Control:
    """The same done to rows that are seen: if no cell moves, the probe would notice nothing. touched: {source: rows}."""

    touched: Mapping[str, int]
    moved: Mapping[str, int]
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"touched": dict(self.touched), "moved": dict(self.moved), "error": self.error or None}


@dataclass
class Probe:
    """One probe. kind: deleted, changed, delayed, added, or what shuffled; pivot: by which columns instants were drawn.

    touched: {source: rows}. rows, features: what was compared. moved: {feature: cells}. reason: why it could not be run.
    error: of a build that failed only because of rows it may not see. bytes: whether a whole file was compared byte for byte.
    """

    name: str
    kind: str
    done: str
    pivot: str = ""
    seed: int = 0
    touched: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0
    features: tuple[str, ...] = ()
    moved: Mapping[str, int] = field(default_factory=dict)
    examples: list[Moved] = field(default_factory=list)
    control: Control | None = None
    bytes: bool = False
    reason: str = ""
    error: str = ""

    @property
    def cells(self) -> int:
        return self.rows * len(self.features)

    @property
    def outcome(self) -> str:
        """held, moved, or nothing to probe (no row to touch, or a reason)."""
        if self.error or self.moved:
            return "moved"
        touches = self.bytes or any(self.touched.values())
        return "held" if touches and self.cells and not self.reason else "nothing to probe"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "kind": self.kind, "done": self.done, "pivot": self.pivot or None, "seed": self.seed,
            "outcome": self.outcome, "touched": dict(self.touched), "rows": self.rows, "features": len(self.features),
            "cells": self.cells, "bytes": self.bytes, "moved": sum(self.moved.values()), "moved_features": dict(self.moved),
            "control": None if self.control is None else self.control.to_dict(), "reason": self.reason or None,
            "error": self.error or None, "examples": [e.to_dict() for e in self.examples],
        }  # fmt: skip


@dataclass
class Proof:
    """What `prove` found of a service. rows: of the spine; asked: those that were probed, a sample where there are many.

    features: those of views with a history, which can leak at all. `ok`: probes held, and nothing moved.
    """

    service: str
    rows: int
    asked: int
    seed: int
    features: tuple[str, ...]
    probes: list[Probe] = field(default_factory=list)

    @property
    def moved(self) -> int:
        """Cells that moved, and builds that failed."""
        return sum(sum(p.moved.values()) + bool(p.error) for p in self.probes)

    @property
    def held(self) -> int:
        """Probes of rows nobody may see that touched something and moved nothing."""
        return sum(p.outcome == "held" and not p.bytes for p in self.probes)

    @property
    def unseen(self) -> list[str]:
        """Features that no control moved: nothing shows that a leak into them would be noticed."""
        seen = {feature for p in self.probes if p.control is not None for feature in p.control.moved}
        return [feature for feature in self.features if feature not in seen]

    @property
    def ok(self) -> bool:
        return self.held > 0 and not self.moved and len(self.unseen) < len(self.features)

    def to_dict(self) -> dict[str, Any]:
        return {
            "service": self.service, "rows": self.rows, "asked": self.asked, "seed": self.seed, "moved": self.moved,
            "held": self.held, "features": list(self.features), "unseen": self.unseen,
            "probes": [p.to_dict() for p in self.probes],
        }  # fmt: skip


__all__ = ["EXAMPLES", "Control", "Moved", "Probe", "Proof"]
