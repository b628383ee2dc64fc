"""Which Spark is used, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SparkSettings:
    """master: of a classic session. remote: the URL of a Spark Connect server (sc://host:port) instead. conf: more settings
    of the session. work: a folder that the driver and all executors share, for what a build keeps while it runs. timeout:
    seconds to wait for a server to answer. window_plan: the plan to take for windows wherever it can serve, or "auto"."""

    work: Path
    master: str = "local[*]"
    remote: str | None = None
    conf: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    window_plan: str = "auto"
