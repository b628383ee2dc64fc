"""How the values of a feature were at the last runs: read from the profiles that runs keep, a few of them for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from markupsafe import Markup

from featurestore.errors import FeatureStoreError
from featurestore.pictures import histogram, line
from featurestore.profiles import FeatureProfile, Profile
from featurestore.server.page.boards.words import instant, percent, short, text

MOST_RUNS = 8
"""Profiles that one page reads: the newest."""
_TOP, _FEW = 8, 20
_WIDTH, _HEIGHT, _BINS = 420.0, 140.0, 30


@dataclass(frozen=True)
class Past:
    """A feature at its last runs. at: as of when the newest was. newest: (name, value) of that one. top: its most frequent
    values, (value, share) as text. pictures: (caption, picture)."""

    at: str
    runs: int
    newest: Sequence[tuple[str, str]]
    top: Sequence[tuple[str, str]]
    pictures: Sequence[tuple[str, Markup]]


def past(files: Sequence[tuple[int, Path]], feature: str) -> Past | None:
    """Of a view's profiles, (watermark, file), oldest first; None where none of them knows the feature, or can be read."""
    known = [(at, found) for at, path in files[-MOST_RUNS:] if (found := _of(path, feature)) is not None]
    if not known:
        return None
    at, newest = known[-1]
    pictures = _pictures(feature, known) if newest.is_numeric else _nulls(feature, known)
    return Past(instant(at), len(known), _numbers(newest), _top(newest), pictures)


def _of(path: Path, feature: str) -> FeatureProfile | None:
    try:
        return _read(path, path.stat().st_mtime_ns, feature)
    except (OSError, FeatureStoreError):  # retention took it, a newer featurestore wrote it, or it does not know the feature
        return None


@lru_cache(maxsize=256)
def _read(path: Path, written: int, feature: str) -> FeatureProfile | None:
    """written: makes another file of the same name another one."""
    return Profile.read(path, [feature]).features.get(feature)


def _numbers(one: FeatureProfile) -> list[tuple[str, str]]:
    """What is not known, such as the mean of a text, is left out."""
    about = "" if one.is_counted else ", about"
    told = [("keys", f"{one.rows:,}"), ("NULL", percent(one.null_rate)), (f"distinct{about}", short(round(one.cardinality)))]
    if one.nans or one.infinities:
        told.append(("not finite", f"{one.nans + one.infinities:,}"))
    ends = (("least", one.least), ("greatest", one.greatest))
    told += [(name, _shown(one, value)) for name, value in ends if value is not None]
    for name, number in (("mean", one.mean), ("median", one.quantile(0.5))):
        if number is not None:
            told.append((name, _shown(one, number)))
    return told if one.std is None else [*told, ("standard deviation", short(one.std))]


def _shown(one: FeatureProfile, value: float | str) -> str:
    try:
        return text(one.shown(value), 60)
    except (OverflowError, ValueError):  # an instant beyond the calendar
        return short(value) if isinstance(value, float) else text(value, 60)


def _top(one: FeatureProfile) -> list[tuple[str, str]]:
    """Of a number with many values none of them says much."""
    if one.is_numeric and one.cardinality > _FEW:
        return []
    return [(text(value, 60), percent(count / one.rows if one.rows else None)) for value, count in one.top[:_TOP]]


def _pictures(feature: str, known: Sequence[tuple[int, FeatureProfile]]) -> list[tuple[str, Markup]]:
    newest = known[-1][1]
    middle, low, high = ([one.quantile(q) for _, one in known] for q in (0.5, 0.05, 0.95))
    at = [float(instant) for instant, _ in known]
    over_time = line(
        list(zip(at, middle, strict=True)),
        label=f"Median of {feature} over the last {len(known)} runs, {_shown(newest, middle[-1] or 0.0)} at the last",
        ends=_ends(known),
        band=list(zip(at, low, high, strict=True)),
        width=_WIDTH,
        height=_HEIGHT,
    )
    edges, counts = newest.histogram(_BINS)
    bars = histogram(
        edges.tolist(), counts.tolist(), label=f"Histogram of {feature} at the last run", width=_WIDTH, height=_HEIGHT - 34
    )
    return [
        ("median, between the 5th and the 95th percentile", over_time),
        ("histogram at the last run", bars),
        *_nulls(feature, known),
    ]


def _nulls(feature: str, known: Sequence[tuple[int, FeatureProfile]]) -> list[tuple[str, Markup]]:
    rates = [one.null_rate for _, one in known]
    label = f"Share of NULL in {feature} over the last {len(known)} runs, {percent(rates[-1])} at the last"
    shown = line(
        [(float(at), one.null_rate) for at, one in known], label=label, ends=_ends(known), width=_WIDTH, height=_HEIGHT
    )
    return [("share of NULL", shown)]


def _ends(known: Sequence[tuple[int, FeatureProfile]]) -> tuple[str, str]:
    first, last = instant(known[0][0])[:16], instant(known[-1][0])[:16]
    return ("", last) if len(known) == 1 else (first, last)


__all__ = ["MOST_RUNS", "Past", "past"]
