"""How likely samples of one distribution are to differ so much, and the correction for having looked many times."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from featurestore.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def library(name: str) -> ModuleType:
    """A module of scipy or scikit-learn. Raises: UsageError FS391 where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = "scikit-learn" if name.startswith("sklearn") else "scipy"
        what = f"tests of drift need {package}, which is not installed"
        hint = "pip install 'featurestore[monitor]', or --no-tests for distances and thresholds alone"
        raise UsageError("FS391", what, hint=hint) from error


def kolmogorov(distance: float, n: int, m: int) -> float:
    """Of a two-sample KS distance, by its limit distribution: at samples from a hundred up it is within a tenth of the exact
    p or above it, and with ties far above. scipy's approximation (`ks_2samp(method="asymp")`) lies below the exact p, and is
    not used: what alerts must not be rarer than it says."""
    return float(library("scipy.special").kolmogorov(distance * (n * m / (n + m)) ** 0.5))


def chi_square(statistic: float, freedom: int) -> float:
    return float(library("scipy.special").chdtrc(freedom, statistic))


def shares(hits: tuple[int, int], rows: tuple[int, int]) -> float:
    """That two samples have shares so different: twice the smaller tail of the hypergeometric distribution (Fisher's exact
    test with both tails counted alike), so it holds however few the hits are."""
    together = library("scipy.stats").hypergeom(sum(rows), sum(hits), rows[0])
    return min(1.0, 2 * float(min(together.cdf(hits[0]), together.sf(hits[0] - 1))))


def unseen(count: int, n: int, m: int, categories: int) -> float:
    """That of so many categories one of `count` values lies whole in the sample of m, and none in that of n: each lies there
    with probability (m/(n+m))^count at most, times how many there are."""
    return float(min(1.0, categories * (m / (n + m)) ** count))


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p by Holm's method: the share of comparisons of which any true hypothesis falls below alpha is at most
    alpha, however the tests depend on each other."""
    adjusted, greatest = [0.0] * len(ps), 0.0
    for place, number in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        greatest = max(greatest, (len(ps) - place) * ps[number])
        adjusted[number] = min(1.0, greatest)
    return adjusted
