"""How the values of a feature were at the last runs: read from the profiles that runs keep, a few of them for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup

from featurestore.errors import FeatureStoreError
from featurestore.profiles import FeatureProfile, Profile
from featurestore.server.page.boards.drawing import band, overlaid, sparkline
from featurestore.server.page.boards.words import instant, percent, short, text

MOST_RUNS = 8
"""Profiles that one page reads: the newest."""
_TOP = 8


@dataclass(frozen=True)
class Past:
    """A feature at its last runs. pictures: (caption, picture). newest: (name, value) of the newest run. top: its most
    frequent values, (value, share) as text."""

    at: str
    runs: int
    newest: Sequence[tuple[str, str]]
    top: Sequence[tuple[str, str]]
    pictures: Sequence[tuple[str, Markup]]


def past(files: Sequence[tuple[int, Path]], feature: str) -> Past | None:
    """Of a view's profiles, oldest first; None where none of them knows the feature, or can be read."""
    known = [(at, found) for at, path in files[-MOST_RUNS:] if (found := _of(path, feature)) is not None]
    if not known:
        return None
    at, newest = known[-1]
    profiles = [found for _, found in known]
    return Past(instant(at), len(known), _numbers(newest), _top(newest), _pictures(feature, profiles))


def _of(path: Path, feature: str) -> FeatureProfile | None:
    try:
        return _read(path, path.stat().st_mtime_ns).features.get(feature)
    except (OSError, FeatureStoreError):  # retention took it, or a newer featurestore wrote it
        return None


@lru_cache(maxsize=4 * MOST_RUNS)
def _read(path: Path, written: int) -> Profile:
    """written: makes another file of the same name another one."""
    return Profile.read(path)


def _numbers(one: FeatureProfile) -> list[tuple[str, str]]:
    """What is not known, such as the mean of a text, is left out."""
    told: list[tuple[str, str]] = [
        ("keys", f"{one.rows:,}"),
        ("NULL", percent(one.nulls / one.rows if one.rows else None)),
        ("distinct, about", short(round(one.cardinality))),
    ]
    if one.nans or one.infinities:
        told.append(("not finite", f"{one.nans + one.infinities:,}"))
    numeric = one.quantile(0.5) is not None
    told += [(name, text(value if not isinstance(value, float) else short(value), 60))
             for name, value in (("least", one.min), ("greatest", one.max)) if value is not None]  # fmt: skip
    if numeric:
        told += [("mean", short(one.mean)), ("std", short(one.std)), ("median", short(one.quantile(0.5)))]
    return told


def _top(one: FeatureProfile) -> list[tuple[str, str]]:
    return [(text(value, 60), percent(count / one.rows if one.rows else None)) for value, count in one.top[:_TOP]]


def _pictures(feature: str, profiles: Sequence[FeatureProfile]) -> list[tuple[str, Markup]]:
    low, middle, high = ([p.quantile(q) for p in profiles] for q in (0.05, 0.5, 0.95))
    nulls = [p.nulls / p.rows if p.rows else None for p in profiles]
    runs = f"over the last {len(profiles)} runs"
    numeric = profiles[-1].quantile(0.5) is not None
    counts = [float(count) for count in profiles[-1].histogram(30)[1]] if numeric else []
    made = [
        (
            "median, between the 5th and the 95th percentile",
            band(low, middle, high, f"Median of {feature} {runs}, {short(middle[-1])} at the last"),
        ),
        ("NULL", sparkline(nulls, f"Share of NULL in {feature} {runs}, {percent(nulls[-1])} at the last", limits=[0.0])),
        ("histogram at the last run", overlaid(counts, [], f"Histogram of {feature} at the last run")),
    ]
    return [(caption, picture) for caption, picture in made if picture]


__all__ = ["MOST_RUNS", "Past", "past"]
