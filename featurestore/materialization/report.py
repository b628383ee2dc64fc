"""What a run of the materializer tells of one view."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class ViewReport:
    """What a run did to one view.

    mode: "full", "incremental", or "nothing"; reason says why, when it is not plain. how: "new table", "copy" (an
    incremental run that touched many keys), or "in place". keys: in the store now; of these keys_written were made anew and
    keys_kept were not. keys_removed: touched, and without any fact now. keys_held_back: with facts beyond the horizon.
    keys_resumed: those of keys_written that a run which died had written already. bytes_written: keys and records. seconds
    and keys_per_second: of this run alone.
    """

    view: str
    mode: str
    watermark: str
    fingerprint: str
    generation: int = 0
    reason: str = ""
    how: str = ""
    keys: int = 0
    keys_written: int = 0
    keys_kept: int = 0
    keys_removed: int = 0
    keys_held_back: int = 0
    keys_resumed: int = 0
    new_files: int = 0
    pushed_rows: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    keys_per_second: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
