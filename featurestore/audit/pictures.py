"""What the pictures of an audit show, as numbers: leaked cells over time, and honest beside leaked values, for each feature."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.findings import LEAKS
from featurestore.audit.wrong import Wrong
from featurestore.intervals import format_instant

STRETCHES, BARS, WORDS = 40, 24, 10
"""Stretches of time, bars of a distribution of numbers, and most frequent values of other features."""


def pictures(at: pa.Array, wrong: Mapping[str, Wrong]) -> dict[str, Any]:
    """{feature with leaks: {"over_time": {"from", "to", "share": one per stretch of time, None without rows}, "values": {"of":
    names of the bars, "honest", "leaked": cells per bar}}}. at: as_of of all rows, in microseconds."""
    found = {}
    for name, cells in wrong.items():
        masks = [settled.cells for settled in cells.settled if settled.cause in LEAKS]
        if masks:
            leaked = masks[0]
            for mask in masks[1:]:
                leaked = pc.or_(leaked, mask)
            found[name] = {"over_time": _over_time(at, cells.rows.filter(leaked)), "values": _values(cells, leaked)}
    return found


def _over_time(at: pa.Array, rows: pa.Array) -> dict[str, Any]:
    ends = pc.min_max(at).as_py()
    first, last = ends["min"], ends["max"]
    width = max(1, -(-(last - first + 1) // STRETCHES))
    stretch = pc.divide(pc.subtract(at, first), width)
    all_rows, leaked = (_counted(numbers) for numbers in (stretch, stretch.take(rows)))
    share = [leaked[n] / all_rows[n] if all_rows[n] else None for n in range(STRETCHES)]
    return {"from": format_instant(first), "to": format_instant(last), "share": share}


def _counted(numbers: pa.Array) -> Counter[int]:
    counted = pc.value_counts(numbers)
    return Counter(dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)))


def _values(cells: Wrong, leaked: pa.Array) -> dict[str, Any]:
    found, honest = cells.found.filter(leaked), cells.truth.filter(leaked)
    if cells.how.dtype.is_numeric:
        return _numbers(found.cast(pa.float64(), safe=False), honest.cast(pa.float64(), safe=False))
    return _words([str(v) for v in found.to_pylist()], [str(v) for v in honest.to_pylist()])


def _numbers(found: pa.Array, honest: pa.Array) -> dict[str, Any]:
    """Bars of equal width from the least to the greatest value; NULL and what is not finite has one of its own."""
    finite = [v for v in (*found.to_pylist(), *honest.to_pylist()) if v is not None and math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    width = high / BARS - low / BARS

    def bars(values: pa.Array) -> list[int]:
        counted = [0] * (BARS + 1)
        for value in values.to_pylist():
            if value is None or not math.isfinite(value):
                counted[BARS] += 1
            else:
                counted[min(BARS - 1, int(value / width - low / width)) if width else 0] += 1
        return counted

    names = [f"{low + n * width:.4g}" for n in range(BARS)]
    return {"of": [*names, "NULL"], "honest": bars(honest), "leaked": bars(found)}


def _words(found: list[str], honest: list[str]) -> dict[str, Any]:
    commonest = [word for word, _ in Counter([*found, *honest]).most_common(WORDS)]
    one, other = Counter(honest), Counter(found)
    return {"of": commonest, "honest": [one[w] for w in commonest], "leaked": [other[w] for w in commonest]}


__all__ = ["pictures"]
