"""Into how many partitions a build is cut: as many as keep what the engine holds at once well within its memory.

The number decides memory and time, never a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from featurestore.compiler.duckdb.partitions import source_keys
from featurestore.dtypes import DType
from featurestore.engines.duckdb import Settings
from featurestore.plan.nodes import Part, ReadSource, walk
from featurestore.sources import SourceData

WHOLE = 0.8
"""The share of its memory that a build may be thought to need and still be run in one piece."""
PIECE = 1 / 8
"""The share that a partition may need: what is left is for what the engine holds beside it, and for a key that is asked for
more than others."""
CACHED = 500_000_000
"""Bytes of a partition beyond which it only gets slower."""
MOST = 512  # as many as the settings allow
_ROW, _OUTPUT = 48, 40
"""Bytes that a spine row, and each of its outputs, take while they are computed."""
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def how_many(parts: Iterable[Part], sources: Mapping[str, SourceData], rows: int, settings: Settings) -> int:
    """1: the build is run in one piece. Parts without join keys are not asked: nothing could be cut by."""
    if settings.partitions is not None:
        return settings.partitions
    held = max((_held(part, sources, rows) for part in parts if source_keys(part)), default=0)
    limit = memory(settings.memory_limit)
    if held <= WHOLE * limit:
        return 1
    return min(int(held / min(PIECE * limit, CACHED)) + 1, MOST)


def _held(part: Part, sources: Mapping[str, SourceData], rows: int) -> int:
    """Bytes of a part's facts and answers, by and large."""
    facts = sum(
        sources[node.source.name].rows * sum(_width(c.dtype) for c in node.columns)
        for node in walk(part)
        if isinstance(node, ReadSource)
    )
    return facts + rows * (_ROW + _OUTPUT * len(part.outputs))


def _width(dtype: DType) -> int:
    if dtype.is_list or dtype.is_map:
        return 64
    return 24 if dtype.name in ("string", "binary") else 8


def memory(limit: str | None) -> float:
    """Bytes of a memory limit; without one what the engine takes by itself."""
    if limit is None:
        return 0.8 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    number, unit = re.fullmatch(r"([\d.]+) ?([a-z]*)b", limit.strip().lower()).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]
