"""When a difference alerts: by a threshold that was set, or else because it is no chance and no trifle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from featurestore.errors import UsageError, nearest
from featurestore.monitoring.drift.found import ALL, Test


class Measure(NamedTuple):
    """about: thresholds replace the default rule of all measures about the same. floor: the least effect that alerts by
    default, given that it is no chance; None: the measure has no default rule. title: what the effect is."""

    about: str
    floor: float | None
    title: str


MEASURES: Mapping[str, Measure] = {
    "ks": Measure("values", 0.05, "Kolmogorov–Smirnov distance: the most by which the shares of rows up to some value differ"),
    "wasserstein_std": Measure("values", 0.1, "Wasserstein distance in standard deviations of the reference"),
    "wasserstein": Measure("values", None, "Wasserstein distance, in the feature's own unit"),
    "psi": Measure("values", None, "population stability index, over tenths of the reference or over categories"),
    "js": Measure("values", None, "Jensen–Shannon distance (base 2, from 0 to 1), over the same"),
    "chi_square": Measure("values", 0.05, "Cramér's V over categories, sides weighing alike; rare ones are one"),
    "null_rate": Measure("nulls", 0.01, "difference of the shares of NULL"),
    "nan_rate": Measure("nans", 0.01, "difference of the shares of NaN"),
    "new_categories": Measure("new categories", 0.005, "share of values that the reference does not have"),
    "auc": Measure("all", 0.55, "how well a classifier tells rows of the two sides apart: 0.5 not at all, 1 always"),
}
"""What can be measured. A default rule needs an adjusted p below alpha and an effect of at least the floor; of numbers one of
`ks` and `wasserstein_std` reaching its floor is enough, as the p is of both."""

Thresholds = Mapping[str, Mapping[str, float]]


def check(thresholds: Thresholds) -> None:
    """Raises: UsageError FS390 for a measure nobody knows, or a value that cannot be one."""
    for feature, wanted in thresholds.items():
        for measure, value in wanted.items():
            if measure not in MEASURES:
                what = f"unknown measure {measure!r} in the threshold of {feature}"
                raise UsageError("FS390", what, known=MEASURES, hint=nearest(measure, MEASURES))
            if not 0 <= value < float("inf"):
                raise UsageError("FS390", f"threshold {feature}.{measure} is {value}, not a number from 0 up")


def parsed(given: Sequence[str]) -> dict[str, dict[str, float]]:
    """FEATURE.MEASURE=VALUE, as the command line says it. Raises: UsageError FS390."""
    found: dict[str, dict[str, float]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        feature, dot, measure = name.rpartition(".")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not (feature and dot and measure and equals) or number < 0:
            what = f"threshold {text!r} is not FEATURE.MEASURE=VALUE"
            raise UsageError("FS390", what, known=MEASURES, hint="amount_sum_7d.psi=0.2, or '*.null_rate=0.05'")
        found.setdefault(feature, {})[measure] = number
    check(found)
    return found


def merged(settings: Thresholds, asked: Thresholds) -> dict[str, dict[str, float]]:
    """Thresholds of the settings, and over them those that were asked for."""
    return {name: {**settings.get(name, {}), **asked.get(name, {})} for name in (*settings, *asked)}


def judged(name: str, tests: Sequence[Test], thresholds: Thresholds, alpha: float) -> list[Test]:
    """The tests of a feature, each with its threshold and whether it alerts. A threshold of what was not measured of the
    feature replaces nothing."""
    wanted = {**thresholds.get(ALL, {}), **thresholds.get(name, {})}
    effects = {test.name: test.effect for test in tests}
    replaced = {MEASURES[measure].about for measure in wanted if effects.get(measure) is not None}
    found = []
    for test in tests:
        threshold = wanted.get(test.name)
        if threshold is not None:
            alert = test.effect is not None and test.effect >= threshold
        elif MEASURES[test.name].about in replaced:
            alert = False
        else:
            alert = test.p_adjusted is not None and test.p_adjusted < alpha and _matters(test.name, effects)
        found.append(replace(test, threshold=threshold, alert=alert))
    return found


def _matters(name: str, effects: Mapping[str, float | None]) -> bool:
    asked = ("ks", "wasserstein_std") if name == "ks" else (name,)
    pairs = [(effects.get(measure), MEASURES[measure].floor) for measure in asked]
    return any(effect is not None and floor is not None and effect >= floor for effect, floor in pairs)
