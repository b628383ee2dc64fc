"""The case of drift: 200 features of two training sets of a million rows each, of all rows and of a draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import data as generated
from data import Place, Sizes
from figures import Figure
from measure import Case, Contender, Measured

SIZES = Sizes(rows=1_000_000, keys=1, spine=1)
SAMPLE = 100_000


class Drift:
    """One distribution on both sides but for one feature, which has to be found, and nothing else."""

    def __init__(self, place: Place, sample: int | None) -> None:
        folder = place.ensure("drift", generated.two_sets, SIZES)
        self._sample = sample
        self._contender = Contender("drift", {"folder": str(folder), "sample": sample})
        self._found = Measured()

    def measure(self) -> list[Figure]:
        self._found.runs.append(self._contender.run())
        told = self._found.last
        if told["alerts"] != [generated.DRIFTED]:
            raise RuntimeError(f"drift finds {told['alerts']}, and not {generated.DRIFTED} alone")
        which = f"{self._sample:,} drawn of either side, ±{told['error']:.4f}" if self._sample else "all rows"
        detail = f"{told['features']} features, {told['rows']:,} against as many rows, {which}; {told['peak_mb'] / 1000:.2f} GB"
        name = "drift_sample" if self._sample else "drift"
        figures = [Figure(name, self._found.seconds, detail, "s")]
        memory = Figure("drift_memory", self._found.peak_mb / 1000, "imports included", "GB")
        return figures if self._sample else [*figures, memory]


CASES: dict[str, Callable[[Place], Case]] = {
    "drift": partial(Drift, sample=None),
    "drift_sample": partial(Drift, sample=SAMPLE),
}
