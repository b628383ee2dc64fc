"""How good were predictions, by UTC day, once their labels are known? Pure functions over Arrow.

Decides when a day is judged: when every label of it is mature at the instant of asking. Of which facts a label is made, and
when it is mature, is the business of label views; labels come from a build with that instant as its cut-off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import DataError, UsageError, nearest
from featurestore.intervals import MICROS_PER_DAY, format_instant
from featurestore.monitoring.results import ALERT, OK, SKIPPED, Result
from featurestore.retrieval.labels import positive

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

METRICS: Mapping[str, bool] = {"auc": True, "logloss": False, "rmse": False, "mae": False}
"""Whether more is better."""
_OF_CLASSES = ("auc", "logloss")
LEAST = 1e-15
"""A score nearer to 0 or 1 than this counts as that near: one bad prediction is no infinity."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """Predictions of one UTC day, or of another slice of time, from `start` on, in microseconds.

    rows: all. judged: those with a score and a label. positive: of these, whose label says yes (classes alone). metrics: None
    where undefined (AUC of one class). status: OK, ALERT, or SKIPPED, and `what` says why: immature labels, too few rows.
    """

    start: int
    rows: int
    judged: int = 0
    positive: int | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    status: str = OK
    what: str = ""

    @property
    def name(self) -> str:
        """The day; of a slice that begins within one, the instant."""
        whole = format_instant(self.start)
        return whole if self.start % MICROS_PER_DAY else whole[:10]

    def to_json(self) -> dict[str, Any]:
        return {
            "day": self.name, "rows": self.rows, "judged": self.judged, "positive": self.positive,
            "metrics": dict(self.metrics), "status": self.status, "what": self.what,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Performance:
    """All days, oldest first. mature_until: the last as_of whose label is mature (microseconds), None: there is none.
    without_score, without_label: rows of judged days that lack the one, or, though mature, the other (its value is NULL)."""

    service: str
    label: str
    score: str
    metrics: Sequence[str]
    thresholds: Mapping[str, float]
    mature_until: int | None
    days: Sequence[Day] = ()
    without_score: int = 0
    without_label: int = 0

    @property
    def ok(self) -> bool:
        return not self.alerts

    @property
    def alerts(self) -> list[Day]:
        return [day for day in self.days if day.status == ALERT]

    def to_json(self) -> dict[str, Any]:
        return {
            "service": self.service, "label": self.label, "score": self.score, "metrics": list(self.metrics),
            "thresholds": dict(self.thresholds),
            "mature_until": None if self.mature_until is None else format_instant(self.mature_until),
            "without_score": self.without_score, "without_label": self.without_label, "alerts": len(self.alerts),
            "days": [day.to_json() for day in self.days],
        }  # fmt: skip

    def results(self, at: int) -> list[Result]:
        """As results of monitoring, one a day; value: of the first metric."""
        first = self.metrics[0]
        return [
            Result(
                at=at, check="performance", kind="service", subject=self.service, feature=self.score, status=day.status,
                value=day.metrics.get(first), threshold=self.thresholds.get(first), what=day.what, details=day.to_json(),
            )
            for day in self.days
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """metrics: of METRICS; without any, nor thresholds, the label's type chooses. thresholds: AUC at least, the others at most.
    min_rows: judged rows a day needs. slice: microseconds that are judged together, a day unless said otherwise; multiples of
    it since 1970 begin one. Raises: UsageError FS396."""

    metrics: Sequence[str] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    min_rows: int = 100
    slice: int = MICROS_PER_DAY

    def __post_init__(self) -> None:
        for name in (*self.metrics, *self.thresholds):
            if name not in METRICS:
                raise UsageError("FS396", f"unknown metric {name!r}", known=METRICS, hint=nearest(name, METRICS))
        for name, bound in self.thresholds.items():
            if not np.isfinite(bound):
                raise UsageError("FS396", f"threshold {name} is {bound}, which is no bound", hint="--threshold auc=0.8")

    def of(self, label: pa.DataType) -> tuple[str, ...]:
        """The metrics, for a label of that type. Raises: UsageError FS396 for a type that has none."""
        usual = _OF_CLASSES if pa.types.is_boolean(label) else ("rmse", "mae")
        chosen = tuple(dict.fromkeys([*self.metrics, *self.thresholds])) or usual
        if not (_is_number(label) or set(chosen) <= set(_OF_CLASSES)):
            hint = "--metric auc, to ask whether there is a value"
            raise UsageError("FS396", f"a label of type {label} has no {', '.join(chosen)}", known=_OF_CLASSES, hint=hint)
        return chosen


def performance(
    instants: Array,
    score: pa.ChunkedArray,
    label: pa.ChunkedArray,
    mature_until: int | None,
    wanted: Wanted,
    *,
    names: Mapping[str, str],
) -> Performance:
    """Metrics by UTC day.

    Args:
        instants: as_of of each row, microseconds. score, label: as long; a label is NULL where it is not mature.
        mature_until: the last instant whose label is mature. names: {"service", "label", "score"}.
    Raises: UsageError FS396; DataError FS396 for a score that is no number, or for the log loss no share.
    """
    metrics = wanted.of(label.type)
    scores, truth = _numbers(score, names["score"]), _truth(label, metrics)
    usable = ~np.isnan(scores) & ~np.isnan(truth)
    if "logloss" in metrics:
        _check_shares(scores, usable, names["score"])
    days, found = instants // wanted.slice * wanted.slice, []
    last = -(2**63) if mature_until is None else mature_until
    judged = np.zeros(len(days), bool)
    for day in np.unique(days):
        rows = days == day
        if instants[rows].max() > last:
            late = int((instants[rows] > last).sum())
            what = f"immature: {late:,} of its labels are not settled"
            found.append(Day(start=int(day), rows=int(rows.sum()), status=SKIPPED, what=what))
            continue
        judged |= rows
        found.append(_day(int(day), int(rows.sum()), scores[rows & usable], truth[rows & usable], metrics, wanted))
    return Performance(
        **names, metrics=metrics, thresholds=dict(wanted.thresholds), mature_until=mature_until, days=found,
        without_score=int((judged & np.isnan(scores)).sum()), without_label=int((judged & np.isnan(truth)).sum()),
    )  # fmt: skip


def _day(start: int, rows: int, scores: Array, truth: Array, metrics: Sequence[str], wanted: Wanted) -> Day:
    yes = int(truth.sum()) if set(metrics) & set(_OF_CLASSES) else None
    found = Day(start=start, rows=rows, judged=len(scores), positive=yes)
    if len(scores) < max(wanted.min_rows, 1):
        what = f"{len(scores):,} rows with score and label, {wanted.min_rows:,} needed"
        return Day(**{**vars(found), "status": SKIPPED, "what": what})
    values = {name: _METRICS[name](scores, truth) for name in metrics}
    broken = [
        f"{name} {value:.4g} {'<' if METRICS[name] else '>'} {bound:g}"
        for name, bound in wanted.thresholds.items()
        if (value := values[name]) is not None and (value < bound if METRICS[name] else value > bound)
    ]
    what = "; ".join(broken) or ("one class alone: no AUC" if "auc" in values and values["auc"] is None else "")
    return Day(**{**vars(found), "metrics": values, "status": ALERT if broken else OK, "what": what})


def _numbers(column: pa.ChunkedArray, name: str) -> Array:
    """As doubles, NaN for NULL and for what is no finite number. Raises: DataError FS396."""
    if not (_is_number(column.type) or pa.types.is_boolean(column.type) or pa.types.is_null(column.type)):
        raise DataError("FS396", f"column {name!r} is {column.type}, not numbers")
    plain = column.cast(pa.float64(), safe=False).combine_chunks()
    values = np.array(pc.fill_null(plain, float("nan")), np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _truth(label: pa.ChunkedArray, metrics: Sequence[str]) -> Array:
    """Labels as doubles, NaN where there is none: 0 and 1 where classes are asked for."""
    if set(metrics) <= set(_OF_CLASSES):
        label = pc.if_else(pc.is_valid(label), positive(label), None)
    elif set(metrics) & set(_OF_CLASSES):
        raise UsageError("FS396", "metrics of classes and of numbers are asked for at once", known=METRICS, hint="either kind")
    return _numbers(label, "label")


def _check_shares(scores: Array, usable: Array, name: str) -> None:
    outside = np.flatnonzero(usable & ((scores < 0) | (scores > 1)))
    if len(outside):
        row = int(outside[0])
        what = f"score {name!r} is {scores[row]:g} in row {row} (counted from 0), which is no probability"
        raise DataError("FS396", what, hint="--metric auc, which asks for the order alone")


def auc(scores: Array, truth: Array) -> float | None:
    """The share of pairs of a positive and a negative in which the positive scores higher; ties are half. None: one class."""
    yes = int(truth.sum())
    no = len(truth) - yes
    if not yes or not no:
        return None
    _, at, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return float((ranks[truth == 1].sum() - yes * (yes + 1) / 2) / (yes * no))


def logloss(scores: Array, truth: Array) -> float:
    p = np.clip(scores, LEAST, 1 - LEAST)
    return float(-np.mean(np.where(truth == 1, np.log(p), np.log1p(-p))))


def rmse(scores: Array, truth: Array) -> float:
    return float(np.sqrt(np.mean((scores - truth) ** 2)))


def mae(scores: Array, truth: Array) -> float:
    return float(np.mean(np.abs(scores - truth)))


_METRICS: Mapping[str, Any] = {"auc": auc, "logloss": logloss, "rmse": rmse, "mae": mae}

__all__ = ["METRICS", "Day", "Performance", "Wanted", "performance"]
