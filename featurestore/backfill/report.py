"""What a backfill did, instant by instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.intervals import format_instant

WRITTEN, UNCHANGED = "written", "unchanged"


@dataclass(frozen=True)
class Partition:
    """The values of one instant. status: WRITTEN or UNCHANGED; reason: why it was computed, "" if it was not. rows: None where
    a dry run cannot tell yet."""

    as_of: int
    file: str
    rows: int | None
    status: str
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"as_of": format_instant(self.as_of), "file": self.file, "rows": self.rows, "status": self.status,
                "reason": self.reason}  # fmt: skip


@dataclass
class Backfilled:
    """partitions: in order of time. dry_run: nothing was written, and `written` says what would be."""

    view: str
    fingerprint: str
    output: str
    partitions: list[Partition] = field(default_factory=list)
    dry_run: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def written(self) -> list[Partition]:
        return [p for p in self.partitions if p.status == WRITTEN]

    @property
    def reasons(self) -> dict[str, int]:
        """Why partitions were computed, and how many for each; some may have turned out to be as they were."""
        return dict(Counter(p.reason for p in self.partitions if p.reason))

    def to_dict(self) -> dict[str, Any]:
        return {
            "view": self.view, "fingerprint": self.fingerprint, "output": self.output, "dry_run": self.dry_run,
            "written": len(self.written), "unchanged": len(self.partitions) - len(self.written),
            "rows": sum(p.rows or 0 for p in self.partitions), "reasons": self.reasons,
            "partitions": [p.to_dict() for p in self.partitions], "left_out": dict(self.left_out), "warnings": self.warnings,
        }  # fmt: skip
