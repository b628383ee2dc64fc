"""What long work tells whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Progress:
    """What a long build tells whoever watches: a stage, and rows done of all."""

    stage: str
    done: int = 0
    total: int | None = None


Watcher = Callable[[Progress], None]
