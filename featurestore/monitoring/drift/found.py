"""What a comparison finds: for every feature its tests, whether one alerts and why, and what its picture shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from featurestore.intervals import format_instant
from featurestore.monitoring.results import ALERT, OK, SKIPPED, Result

ALL = "*"
"""The name under which all features together are compared, by the domain classifier; and of a threshold for every feature."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """One measure of one feature.

    name: of `rules.MEASURES`. statistic: of the test (the chi-square, say); effect: its size in the measure's own unit, what
    thresholds are about; None where undefined. p: that samples of one distribution look at least as different; None where the
    measure is no test. p_adjusted: corrected for all tests of the comparison (Holm). threshold: what was asked for, None: the
    default rule. alert: whether it does.
    """

    __test__ = False

    name: str
    statistic: float | None = None
    effect: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    threshold: float | None = None
    alert: bool = False

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("name", "statistic", "effect", "p", "p_adjusted", "threshold", "alert")}


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """One feature, the label, or all features together (ALL), of one window of the current side.

    kind: "numbers", "categories", "other" (nulls alone are compared), "null" (there is nothing else), or "all". status: OK,
    ALERT, or SKIPPED where nothing could be compared. what: one sentence. rows: of either side. shown: {"edges" (numbers) or
    "names" (categories), "reference", "current": shares}, or None. window: [from, to) in microseconds, None: all rows.
    """

    name: str
    kind: str
    tests: Sequence[Test] = ()
    status: str = OK
    what: str = ""
    rows: tuple[int, int] = (0, 0)
    shown: Mapping[str, Any] | None = None
    window: tuple[int, int] | None = None
    is_label: bool = False

    @property
    def effects(self) -> dict[str, float | None]:
        """The size of each measure."""
        return {test.name: test.effect for test in self.tests}

    @property
    def p(self) -> float | None:
        """The least adjusted p of its tests."""
        return min((test.p_adjusted for test in self.tests if test.p_adjusted is not None), default=None)

    @property
    def alerts(self) -> list[Test]:
        return [test for test in self.tests if test.alert]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "label": self.is_label,
            "status": self.status,
            "what": self.what,
            "rows": {"reference": self.rows[0], "current": self.rows[1]},
            "window": None if self.window is None else [format_instant(end) for end in self.window],
            "tests": [test.to_json() for test in self.tests],
            "shown": self.shown,
        }

    def details(self) -> dict[str, Any]:
        """What a board shows of it: the measures, the least adjusted p, and shares of either side by bin."""
        shown = self.shown or {}
        bins = {name: shown[name] for name in ("edges", "names") if name in shown}
        sides = {side: {**bins, "shares": shown[side]} if side in shown else None for side in ("reference", "current")}
        window = {} if self.window is None else {"window": [format_instant(end) for end in self.window]}
        return {**self.effects, "p": self.p, "label": self.is_label, **window, **sides}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One side. rows: all it has. drawn: those that were looked at, None: all. error: how far a share of rows at most some
    value may lie from that of all rows, by the draw (with CONFIDENCE) and by a sketch."""

    name: str
    rows: int
    drawn: int | None = None
    error: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows, "drawn": self.drawn, "error": self.error}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was found. features: of every window, those with alerts first. tests: how many p were corrected together.

    error: how far a KS distance may lie from that of all rows of both sides. notes: what is to be said besides.
    """

    reference: Compared
    current: Compared
    alpha: float
    min_rows: int
    seed: int
    features: Sequence[FeatureDrift] = ()
    tests: int = 0
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def error(self) -> float:
        return self.reference.error + self.current.error

    @property
    def ok(self) -> bool:
        return not self.alerts

    @property
    def alerts(self) -> list[FeatureDrift]:
        return [feature for feature in self.features if feature.status == ALERT]

    @property
    def skipped(self) -> list[FeatureDrift]:
        return [feature for feature in self.features if feature.status == SKIPPED]

    def to_json(self) -> dict[str, Any]:
        return {
            "reference": self.reference.to_json(),
            "current": self.current.to_json(),
            "alpha": self.alpha,
            "min_rows": self.min_rows,
            "seed": self.seed,
            "tests": self.tests,
            "error": self.error,
            "alerts": len(self.alerts),
            "notes": list(self.notes),
            "features": [feature.to_json() for feature in self.features],
        }

    def results(self, at: int, kind: str, subject: str) -> list[Result]:
        """As results of monitoring, one for each feature (and window); all features together have no name."""
        return list(self._results(at, kind, subject))

    def _results(self, at: int, kind: str, subject: str) -> Iterator[Result]:
        for feature in self.features:
            told = next(iter([*feature.alerts, *feature.tests]), None)
            yield Result(
                at=at,
                check="drift",
                kind=kind,
                subject=subject,
                feature=None if feature.name == ALL else feature.name,
                status=feature.status,
                value=None if told is None else told.effect,
                threshold=None if told is None else told.threshold,
                what=feature.what,
                details=feature.details(),
            )
