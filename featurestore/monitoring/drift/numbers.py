"""Numbers of two sides: how far apart their distributions lie. Of all values where both are here, else by their sketches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from featurestore.monitoring.drift import p_values
from featurestore.monitoring.drift.found import Test

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

TENTHS = np.arange(1, 10) / 10
BINS = 30
GRID = np.arange(1, 400) / 400


class Distribution(Protocol):
    """Numbers of one side, NULL and NaN apart. error: by how much a share may be wrong because it comes from a sketch."""

    @property
    def n(self) -> int: ...
    @property
    def error(self) -> float: ...
    @property
    def std(self) -> float | None: ...
    def up_to(self, points: Array) -> Array:
        """The share of values that are at most each point."""
        ...

    def quantiles(self, shares: Array) -> Array:
        """The least value up to which at least that share lies. n must not be 0."""
        ...


@dataclass(frozen=True)
class Values:
    """All values, sorted; infinities are values, NaN is none."""

    sorted: Array
    error: float = 0.0

    @property
    def n(self) -> int:
        return len(self.sorted)

    @property
    def std(self) -> float | None:
        low, high = np.searchsorted(self.sorted, [-np.inf, np.inf], side="right")[0], np.searchsorted(self.sorted, np.inf)
        if not high > low:
            return None
        scale = float(np.abs(self.sorted[[low, high - 1]]).max()) or 1.0  # so that no square leaves a double
        return float(np.std(self.sorted[low:high] / scale)) * scale

    def up_to(self, points: Array) -> Array:
        found: Array = np.searchsorted(self.sorted, points, side="right") / max(self.n, 1)
        return found

    def quantiles(self, shares: Array) -> Array:
        found: Array = self.sorted[np.clip(np.ceil(shares * self.n).astype(np.int64) - 1, 0, self.n - 1)]
        return found


@dataclass(frozen=True)
class Apart:
    """How far two distributions lie apart. wasserstein: None where infinite values are in the way."""

    ks: float
    wasserstein: float | None


def tests(reference: Distribution, current: Distribution, *, with_p: bool) -> list[Test]:
    """The measures of two sides that both have values."""
    apart = _of_values(reference, current) if _whole(reference, current) else _of_sketches(reference, current)
    p = None
    if with_p and not _one_value(reference, current):
        least = max(0.0, apart.ks - reference.error - current.error)
        p = p_values.kolmogorov(least, reference.n, current.n)
    before, after = (side.n * shares(side, edges(reference)) for side in (reference, current))
    return [
        Test(name="ks", statistic=apart.ks, effect=apart.ks, p=p),
        Test(name="wasserstein_std", effect=_over(apart.wasserstein, reference.std)),
        Test(name="wasserstein", effect=apart.wasserstein),
        Test(name="psi", effect=psi(before, after)),
        Test(name="js", effect=jensen_shannon(before, after)),
    ]


def _over(distance: float | None, std: float | None) -> float | None:
    return None if distance is None or not std else distance / std


def _whole(*sides: Distribution) -> bool:
    return all(isinstance(side, Values) for side in sides)


def _one_value(reference: Distribution, current: Distribution) -> bool:
    """Whether all values of both sides are the same: then there is nothing to test, and no correction for it."""
    ends = np.concatenate([side.quantiles(np.array([0.0, 1.0])) for side in (reference, current)])
    return bool(ends.min() == ends.max())


def _of_values(reference: Any, current: Any) -> Apart:
    """One merge of two sorted runs gives both: how far apart the two distribution functions are at each value, in whole
    numbers over n times m, and the area between them."""
    n, m = reference.n, current.n
    both = np.concatenate([reference.sorted, current.sorted])
    order = np.argsort(both, kind="stable")
    values = both[order]
    apart = np.cumsum(order < n, dtype=np.int64)
    apart *= n + m
    apart -= np.arange(n, n * (n + m + 1), n)
    np.abs(apart, out=apart)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(values)
        ks = int(np.max(apart[:-1], where=steps > 0, initial=0)) / (n * m)
        area = float(np.sum(apart[:-1] * steps)) / (n * m)  # no dot: its threads wait by spinning
    return Apart(ks, area if np.isfinite(area) else None)


def _of_sketches(reference: Distribution, current: Distribution) -> Apart:
    """The same on the points at which either side has one in 400 more of its values."""
    points = np.unique(np.concatenate([side.quantiles(GRID) for side in (reference, current)]))
    apart = np.abs(reference.up_to(points) - current.up_to(points))
    finite = np.isfinite(points)
    with np.errstate(over="ignore", invalid="ignore"):
        area = float(np.sum(apart[finite][:-1] * np.diff(points[finite])))
    return Apart(float(apart.max()), area if np.isfinite(area) else None)


def edges(reference: Distribution) -> Array:
    """The upper ends of all bins but the last, tenths of the reference; a value with more than a tenth of the rows gets a
    bin of its own."""
    tenths = reference.quantiles(TENTHS)
    often = tenths[1:][tenths[1:] == tenths[:-1]]
    return np.unique(np.concatenate([tenths, np.nextafter(often, -np.inf)]))


def shares(side: Distribution, ends: Array) -> Array:
    """The share of values in each bin: up to its end, above the one before."""
    return np.diff(np.concatenate([[0.0], side.up_to(ends), [1.0]]))


def psi(before: Array, after: Array) -> float:
    """Population stability index of counts, half a row added to each bin so that an empty one is no infinity."""
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (before, after))
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(before: Array, after: Array) -> float:
    """Jensen–Shannon distance (base 2) of counts: 0 for equal shares, 1 for nothing in common."""
    p, q = before / before.sum(), after / after.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        halves = [np.where(x > 0, x * np.log2(x / middle), 0.0).sum() for x in (p, q)]
    return float(np.sqrt(max(0.0, sum(halves) / 2)))


def shown(reference: Distribution, current: Distribution) -> dict[str, Any] | None:
    """A histogram of both sides over the same bins of equal width; the outermost half percent may lie outside."""
    lows, highs = zip(*(side.quantiles(np.array([0.005, 0.995])) for side in (reference, current)), strict=True)
    low, high = float(min(lows)), float(max(highs))
    if not np.isfinite([low, high]).all() or not np.isfinite(high - low):
        return None
    ends = np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    found = {}
    for name, side in (("reference", reference), ("current", current)):
        below = np.append(side.up_to(np.nextafter(ends[:1], -np.inf)), side.up_to(ends[1:]))
        found[name] = [round(float(share), 6) for share in np.diff(below)]
    return {"edges": [float(end) for end in ends], **found}
