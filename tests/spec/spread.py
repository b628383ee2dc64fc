"""When two cells agree: bit by bit; variances and standard deviations within the contract's tolerance (section 5).

|a - b| <= 1e-9·var + 1e-15·mean², where var and mean are the oracle's and a standard deviation is judged by its square.
Values that are not finite, and NULL, are never approximate.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from featurestore.definitions import Feature, FeatureService, FeatureView, OnDemandInstance, ViewInstance

SPREADS = {"var_samp": 1, "var_pop": 1, "stddev_samp": 2, "stddev_pop": 2}
"""Aggregate -> the power of its value that is a variance."""


def comparable(value: Any) -> Any:
    """Doubles with their bits (any NaN is one), so that 0.0 and -0.0 differ; decimals with their scale."""
    if isinstance(value, float):
        return ("nan",) if value != value else (value, struct.pack(">d", value).hex())
    if isinstance(value, Decimal):
        return (value, value.as_tuple().exponent)
    if isinstance(value, list | tuple):
        return [comparable(v) for v in value]
    return None if value is None else (type(value).__name__, value)


class Spread:
    """A comparable variance or standard deviation: equal to every comparable one within tolerance of it."""

    def __init__(self, value: float, mean: float, power: int) -> None:
        self.value, self.mean, self.power = value, mean, power

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Spread):
            other = comparable(other.value)
        if other == comparable(self.value):
            return True
        found = other[0] if isinstance(other, tuple) else None
        if not isinstance(found, float) or not math.isfinite(found) or found < 0.0:
            return False
        variance = self.value**self.power
        return abs(found**self.power - variance) <= 1e-9 * variance + 1e-15 * (self.mean * self.mean)

    def __repr__(self) -> str:
        return f"about {self.value!r} (mean {self.mean!r})"

    __hash__ = None  # type: ignore[assignment]


class Spreads:
    """The variances and standard deviations of a service.

    service: the service with one more feature for each of them, its mean. means: {output column: the mean's column}.
    """

    def __init__(self, service: FeatureService) -> None:
        self.means: dict[str, str] = {}
        self._powers: dict[str, int] = {}
        self._views: dict[str, FeatureView] = {}
        listed = [self._on_demand(i) if isinstance(i, OnDemandInstance) else self._instance(i) for i in service.features]
        for one in service.labels:
            self._powers |= {column: SPREADS[f.aggregate] for column, f in one.features if f.aggregate in SPREADS}
        self.service = replace(service, features=listed) if self.means else service

    def _instance(self, one: ViewInstance) -> ViewInstance:
        spread = [(column, f) for column, f in one.features if f.aggregate in SPREADS]
        for column, feature in spread:
            self.means[column] = f"{one.prefix}{_mean_name(feature)}"
            self._powers[column] = SPREADS[feature.aggregate or ""]
        return self._over_means(one, one.chosen and (*one.chosen, *(_mean_name(f) for _, f in spread)))

    def _on_demand(self, one: OnDemandInstance) -> OnDemandInstance:
        """The same over the views that have means; what it computes of a spread would be approximate, and is not judged."""
        inputs = [self._over_means(i, i.chosen) for i in one.view.inputs]
        return replace(one, view=replace(one.view, inputs=inputs))

    def _over_means(self, one: ViewInstance, chosen: tuple[str, ...] | None) -> ViewInstance:
        return replace(one, view=self._views.setdefault(one.view.name, _with_means(one.view)), chosen=chosen)

    def expected(self, column: str, value: Any, mean: float | None) -> Any:
        """The oracle's value of a column as what others are compared with. Of a label, which has one value, no mean is known:
        it is judged by its spread alone."""
        if column not in self._powers or value is None or not math.isfinite(value):
            return comparable(value)
        return Spread(value, 0.0 if mean is None else mean, self._powers[column])

    def _means_of(self, name: str, values: Mapping[str, list[Any]]) -> list[Any]:
        mean = self.means.get(name)
        return [None] * len(values[name]) if mean is None else values[mean]

    def all_expected(self, values: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """The same for whole columns of the oracle's answer to `service`, without those of the means."""
        added = set(self.means.values())
        return {
            name: [self.expected(name, v, m) for v, m in zip(column, self._means_of(name, values), strict=True)]
            for name, column in values.items()
            if name not in added
        }


def _with_means(view: FeatureView) -> FeatureView:
    """The means come last and read nothing new, so that no tie is decided otherwise."""
    means = [replace(f, name=_mean_name(f), aggregate="mean") for f in view.features if f.aggregate in SPREADS]
    return replace(view, features=[*view.features, *means]) if means else view


def _mean_name(feature: Feature) -> str:
    return f"mean_of_{feature.name}"
