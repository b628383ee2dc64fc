"""Compare two sides feature by feature, and all features together. What is measured of one feature is said by `parts`, when
that alerts by `rules`; here is the order of things, and the one correction for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.errors import UsageError, nearest
from featurestore.monitoring.drift import classifier, p_values, parts, profiled, rules
from featurestore.monitoring.drift.columns import Categories, Numbers
from featurestore.monitoring.drift.found import ALL, Comparison, FeatureDrift, Test
from featurestore.monitoring.drift.sides import Rows, Side, columns_of, drawn, of_table, open_file
from featurestore.monitoring.drift.windows import Windows
from featurestore.monitoring.results import ALERT, OK, SKIPPED
from featurestore.profiles import Profile

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

THREADS = 2
"""Features compared side by side: what takes the time leaves the interpreter alone. Each holds some 100 bytes a row."""
Watch = Callable[[int, int], None]
"""Called with (features done, features in all)."""


def compare(
    reference: Any,
    current: Any,
    *,
    thresholds: rules.Thresholds | None = None,
    alpha: float = 0.01,
    min_rows: int = 100,
    sample: int | None = None,
    seed: int = 0,
    features: Sequence[str] | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    tests: bool = True,
    watch: Watch | None = None,
) -> Comparison:
    """How the features of `current` differ from those of `reference`.

    Args:
        reference, current: a path (Parquet, CSV, profile), an Arrow table, a profile, or a side of `sides`.
        thresholds: {feature or "*": {measure: value}}; these alert by effect, whatever the p.
        alpha: the share of comparisons without drift that may alert. min_rows: rows, and values, that either side needs.
        sample: rows to draw from either side. features: columns to compare; default: those that the sides say they have.
        label: a column to compare as the label. windows: of the current side, each compared with the whole reference.
        tests: False: no p and no classifier, so that nothing but numpy is needed; thresholds alone alert then.
    Raises: UsageError FS102, FS390, FS391 (extra `monitor` missing), FS393, FS398; DataError FS392.
    """
    rules.check(thresholds or {})
    if seed < 0:
        raise UsageError("FS102", f"seed {seed} is below 0")
    given = (_side(reference, "the reference"), _side(current, "the current rows"))
    sides = [side.draw(sample, seed + n) for n, side in enumerate(given)]
    job = _Job(sides[0], sides[1], features, label, windows, min_rows, seed, tests)
    found = list(job.run(watch))
    ps = [(n, k, test.p) for n, feature in enumerate(found) for k, test in enumerate(feature.tests) if test.p is not None]
    adjusted = {(n, k): p for (n, k, _), p in zip(ps, p_values.holm([p for _, _, p in ps]), strict=True)}
    settled = [_settled(f, {k: adjusted.get((n, k)) for k in range(len(f.tests))}, thresholds or {}, alpha)
               for n, f in enumerate(found)]  # fmt: skip
    job.notes += _idle(found, thresholds or {})
    if not any(feature.tests for feature in found):
        job.notes.append("nothing could be compared")
    settled.sort(key=lambda f: (f.window or (0, 0), f.status != ALERT, f.name != ALL and not f.is_label))
    return Comparison(
        reference=job.reference.compared(), current=job.current.compared(), alpha=alpha, min_rows=min_rows, seed=seed,
        features=settled, tests=len(ps), notes=tuple(job.notes),
    )  # fmt: skip


def _side(given: Any, name: str) -> Side:
    if isinstance(given, str | Path):
        return profiled.opened(Path(given)) if profiled.is_profile(Path(given)) else open_file(Path(given))
    if isinstance(given, Profile):
        return profiled.Profiled(name, given)
    side: Side = of_table(given, name) if isinstance(given, pa.Table) else given
    return side


def _idle(found: Sequence[FeatureDrift], thresholds: rules.Thresholds) -> Iterator[str]:
    """Of thresholds of one feature, each that it has no such measure for."""
    measured: dict[str, dict[str, None]] = {}
    for feature in found:
        if feature.tests and feature.name != ALL:
            measured.setdefault(feature.name, {}).update({t.name: None for t in feature.tests if t.effect is not None})
    for name, measures in measured.items():
        for measure in sorted(thresholds.get(name, {}).keys() - measures):
            yield f"threshold {name}.{measure} has no effect: what is measured of it is {', '.join(measures)}"


def _settled(
    feature: FeatureDrift, adjusted: Mapping[int, float | None], thresholds: rules.Thresholds, alpha: float
) -> FeatureDrift:
    """The feature with its p adjusted, judged."""
    if not feature.tests:
        return feature
    tests = [replace(test, p_adjusted=adjusted[k]) for k, test in enumerate(feature.tests)]
    judged = rules.judged(feature.name, tests, thresholds, alpha)
    alerts = [test for test in judged if test.alert]
    if not alerts:
        return replace(feature, tests=judged)
    return replace(feature, tests=judged, status=ALERT, what="; ".join(_said(test) for test in alerts))


def _said(test: Test) -> str:
    by = f", p {test.p_adjusted:.2g} adjusted" if test.p_adjusted is not None else ""
    bound = f" ≥ {test.threshold:g}" if test.threshold is not None else by
    return f"{test.name} {test.effect:.3g}{bound}"


@dataclass
class _Job:
    reference: Side
    current: Side
    features: Sequence[str] | None
    label: str | None
    windows: Windows | None
    min_rows: int
    seed: int
    tests: bool

    def __post_init__(self) -> None:
        self.notes: list[str] = []
        self.cut: list[tuple[tuple[int, int] | None, Any]] = [(None, None)]
        if self.windows is not None:
            self.cut = list(self.current.cut(self.windows))
        self.label = self.label or self.reference.label or self.current.label

    def run(self, watch: Watch | None) -> Iterator[FeatureDrift]:
        names = [n for n in columns_of(self.reference, self.current, self.features) if n != self.label]
        self._check_label()
        every = [*names, self.label] if self.label is not None else names
        rows = self._classified()

        def compared(name: str) -> tuple[list[FeatureDrift], list[Array]]:
            seen: list[Array] = []
            found = self._feature(name, rows if name != self.label else None, seen)
            return [replace(one, is_label=name == self.label) for one in found], seen

        together: list[Array] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for number, (found, seen) in enumerate(pool.map(compared, every)):
                yield from found
                together += seen
                if watch is not None:
                    watch(number + 1, len(every))
        if rows is not None:
            yield self._all(rows, together)

    def _check_label(self) -> None:
        if self.label is not None and not any(self.label in side.types for side in (self.reference, self.current)):
            known = dict.fromkeys([*self.reference.types, *self.current.types])
            what = f"neither side has a label column {self.label!r}"
            raise UsageError("FS393", what, known=known, hint=nearest(self.label, known))

    def _classified(self) -> tuple[Array, Array] | None:
        """The rows of either side that the classifier sees; None: it is not asked."""
        if not self.tests:
            return None
        p_values.library("sklearn.linear_model")
        if not (isinstance(self.reference, Rows) and isinstance(self.current, Rows)):
            self.notes.append("no classifier of all features together: a profile has no rows")
            return None
        if self.windows is not None:
            self.notes.append("no classifier of all features together: it is not asked of windows")
            return None
        if min(self.reference.looked_at, self.current.looked_at) < max(self.min_rows, 2 * classifier.FOLDS):
            return None
        first, second = (
            drawn(side.looked_at, min(side.looked_at, classifier.ROWS), self.seed + n)
            for n, side in enumerate((self.reference, self.current))
        )
        return first, second

    def _feature(self, name: str, classified: tuple[Array, Array] | None, seen: list[Array]) -> Iterator[FeatureDrift]:
        """The feature in every window. seen: gets what the classifier sees of it."""
        here = [name in side.types for side in (self.reference, self.current)]
        if not all(here):
            what = f"only in {(self.reference if here[0] else self.current).name}" if any(here) else "in neither side"
            empty = [side for side in (self.reference, self.current) if not side.rows]
            what = _short(empty[0].name, "", (0, self.min_rows), self.min_rows, "rows") if empty else what
            yield FeatureDrift(name=name, kind="other", status=SKIPPED, what=what)
            return
        kinds = {side.kind(name) for side in (self.reference, self.current)} - {"null"}
        kind = kinds.pop() if len(kinds) == 1 else "null" if not kinds else "other"
        names = [side.type_name(name) for side in (self.reference, self.current)]
        said = "" if names[0] == names[1] else f"{names[0]} in {self.reference.name}, {names[1]} in {self.current.name}"
        for (window, _), cells in zip(self.cut, self._cells(name, kind, classified, seen), strict=True):
            yield self._compared(FeatureDrift(name=name, kind=kind, window=window, rows=cells.rows, what=said), cells)

    def _cells(self, name: str, kind: str, classified: tuple[Array, Array] | None, seen: list[Array]) -> Iterator[parts.Cells]:
        windows = [rows for _, rows in self.cut]
        if not (isinstance(self.reference, Rows) and isinstance(self.current, Rows)):
            return profiled.cells(name, kind, self.reference, self.current, windows)
        columns = self.reference.column(name), self.current.column(name)
        if kind not in ("numbers", "categories"):
            nulls = [np.asarray(pc.is_null(column)) for column in columns]
            return parts.of_nulls(nulls[0], nulls[1], windows)
        sides: list[Any]
        cells: Callable[..., Iterator[parts.Cells]]
        if kind == "numbers":
            sides, cells = [Numbers.of(column) for column in columns], parts.of_numbers
        else:
            sides, cells = list(Categories.of_both(*columns)), parts.of_categories
        if classified is not None:
            seen += classifier.columns(sides[0].at(classified[0]), sides[1].at(classified[1]))
        return cells(sides[0], sides[1], windows)

    def _compared(self, feature: FeatureDrift, cells: parts.Cells) -> FeatureDrift:
        short = _short(self.reference.name, self.current.name, cells.rows, self.min_rows, "rows")
        if short:
            return replace(feature, status=SKIPPED, what=short)
        tests = cells.missing(with_p=self.tests, nans=feature.kind == "numbers")
        if feature.kind not in ("numbers", "categories"):
            what = feature.what and f"{feature.what}: NULL alone is compared"
            return replace(feature, tests=tests, what=what or _ALONE[feature.kind])
        short = _short(self.reference.name, self.current.name, cells.values, self.min_rows, "values")
        if short:
            return replace(feature, tests=tests, what="; ".join(filter(None, (feature.what, short))))
        return replace(feature, tests=[*cells.tests(with_p=self.tests), *tests], shown=cells.shown())

    def _all(self, rows: tuple[Array, Array], seen: list[Array]) -> FeatureDrift:
        counted = len(rows[0]), len(rows[1])
        found = FeatureDrift(name=ALL, kind="all", rows=counted)
        if not seen:
            return replace(found, status=SKIPPED, what="no feature of which a classifier could learn")
        tests = [classifier.auc(seen, *counted, self.seed)]
        return replace(found, tests=tests, status=OK)


_ALONE = {"other": "of this type NULL alone is compared", "null": "NULL on both sides"}


def _short(reference: str, current: str, counted: tuple[int, int], needed: int, what: str) -> str:
    for name, number in zip((reference, current), counted, strict=True):
        if number < needed:
            return f"{number:,} {what} in {name}, {needed:,} needed"
    return ""


__all__ = ["compare"]
