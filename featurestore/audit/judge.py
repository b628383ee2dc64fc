"""Judge a training set, ours or anyone's: every cell is computed anew, and each that differs is given its cause.

The rows of the file are the questions: keys and as_of. What F answers comes from a build like any other, batch by batch; only
the wrong cells are kept. Rows that a spine asks for are matched by keys and as_of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit.columns import Compared, differs, read
from featurestore.audit.evidence import examples
from featurestore.audit.explain import explain
from featurestore.audit.findings import DROPPED, EXACT, FAN_OUT, UNEXPLAINED, UNMATCHED, Audit, FeatureFindings
from featurestore.audit.judged import AS_OF, Judged
from featurestore.audit.matching import Matched, match
from featurestore.audit.pictures import pictures
from featurestore.audit.reask import Asking, of_features
from featurestore.audit.suspicions import TESTS, of_label, of_splits
from featurestore.audit.wrong import Group, Wrong
from featurestore.definitions import ViewInstance
from featurestore.dtypes import DOUBLE, DType
from featurestore.engines.duckdb import Settings
from featurestore.errors import FeatureStoreError, UsageError, nearest
from featurestore.intervals import parse_instant
from featurestore.progress import Progress, Watcher
from featurestore.registry import BoundInstance, BoundService, BoundView
from featurestore.retrieval.spine import spine_of
from featurestore.retrieval.training_set import Build, Request
from featurestore.sources import SourceData

SPLIT = "split"
"""The column in which builds say which rows train and which test."""
TOLERANCE = 1e-9
"""How far, relatively, sums and the like of doubles in files of others may lie from the truth: their last digits."""


@dataclass(frozen=True)
class Options:
    """spine: the expected rows, if they are known. known_before, serving_lag: microseconds, None: as the file's manifest says,
    if it has one. label, split: columns of the file. tolerance: see TOLERANCE."""

    spine: Judged | None = None
    known_before: int | None = None
    serving_lag: int | None = None
    label: str | None = None
    split: str | None = None
    tolerance: float = TOLERANCE
    seed: int = 0


class Judge:
    """One audit. `result` does all the work."""

    def __init__(
        self, service: BoundService, file: Judged, sources: Mapping[str, SourceData], settings: Settings, options: Options,
        watch: Watcher | None = None,
    ) -> None:  # fmt: skip
        self.service, self._labels = of_features(service, service.service.feature_names), service.service.label_names
        self.file, self.options, self._settings = file, options, settings
        self._sources = {name: sources[name] for name in self.service.sources}
        self._watch = watch or (lambda _: None)
        self.names = [name for name in self.service.feature_types if name in file.names]
        self.warnings: list[str] = []

    def result(self) -> Audit:
        """Raises: SpineError, SourceError, DataError, as a build over these rows does."""
        file, service = self.file, self.service
        self.at = file.instants()
        questions = file.questions(self.keys, service.request, self.at)
        self.asking = Asking(service, questions, self._sources, self._settings, *self._cut_off())
        matched = self._matched()
        audit = Audit(service.name, "", file.rows, {name: FeatureFindings() for name in service.feature_types})
        wrong = self._compared(audit)
        surplus = matched.surplus([w.rows for w in wrong.values()])
        self._count_rows(audit, matched, surplus, wrong)
        self._explain(wrong)
        for name, cells in wrong.items():
            for settled in cells.settled:
                audit.features[name].add(settled.cause, pc.sum(settled.cells, min_count=0).as_py(), settled.why)
            audit.features[name].why = dict(sorted(audit.features[name].why.items(), key=lambda one: -one[1]))
        self._watch(Progress("finding the rows that explain"))
        audit.examples = examples(self.asking, self.groups(wrong))
        self._count_columns(audit)
        self._suspect(audit, wrong)
        audit.warnings = self.warnings
        audit.pictures = pictures(self.at, wrong)
        return audit

    def _suspect(self, audit: Audit, wrong: Mapping[str, Wrong]) -> None:
        label, split = self.options.label, self.split
        types = self.service.feature_types
        if label is not None:
            audit.label, found = of_label(self.file, label, types, wrong)
            audit.suspicions += found
        if split is not None:
            audit.suspicions += of_splits(self.file, split, self.asking.questions, list(types))

    def _cut_off(self) -> tuple[int | None, int]:
        """What the file was built with: as told, else as its manifest says."""
        told, (known_before, lag) = self.options, self._recorded()
        return (
            known_before if told.known_before is None else told.known_before,
            lag if told.serving_lag is None else told.serving_lag,
        )

    def _recorded(self) -> tuple[int | None, int]:
        """(cut-off, serving lag) of the manifest. Raises: UsageError FS102 for a manifest that does not say it."""
        manifest = self.file.manifest or {}
        known, lag = manifest.get("known_before"), manifest.get("serving_lag_us", 0)
        try:
            return None if known is None else parse_instant(known), int(lag)
        except (FeatureStoreError, TypeError, ValueError) as error:
            what = f"the manifest of the training set says known_before={known!r}, serving_lag_us={lag!r}"
            raise UsageError("FS102", what, hint="the manifest as it was written, or none") from error

    def _matched(self) -> Matched:
        spine = self.options.spine
        if spine is None:
            return Matched.everything()
        columns = [*self.keys, AS_OF]
        asked = spine.questions(self.keys, {}, spine.instants())
        return match(self.asking.questions.select(columns), asked.select(columns), self.keys)

    @property
    def keys(self) -> dict[str, DType]:
        return {name: key.dtype for name, key in self.service.spine_keys.items()}

    # What differs.

    def _compared(self, audit: Audit) -> dict[str, Wrong]:
        """Every feature with its wrong cells. What is right is counted."""
        request = Request(as_of=AS_OF, known_before=self.asking.known_before, serving_lag=self.asking.serving_lag)
        kept: dict[str, list[_Piece]] = {name: [] for name in self.names}
        if self.names:
            service = of_features(self.service, self.names)
            questions = spine_of(self.asking.questions.select([*service.spine_keys, *service.request, AS_OF]))
            sources = {name: self._sources[name] for name in service.sources}
            with Build(service, questions, sources, self._settings, request, self._watch) as build:
                done = 0
                for truth, found in zip(build.batches(), self.file.batches(self.names), strict=True):
                    for name in self.names:
                        piece = self._piece(name, found[name], truth[name], done, audit)
                        kept[name] += [piece] if piece is not None else []
                    done += truth.num_rows
            self.warnings += build.report.warnings
        return self._wrong({name: pieces for name, pieces in kept.items() if pieces})

    def _piece(self, name: str, column: pa.ChunkedArray, truth: pa.ChunkedArray, first: int, audit: Audit) -> _Piece | None:
        """The wrong cells of a batch. first: its first row."""
        how = self.how(name)
        found, bad = read(column, how.dtype, self.file.reading.timezone)
        true = truth.combine_chunks()
        if how.dtype.is_integer and pa.types.is_floating(column.type):  # whole numbers as doubles have lost digits
            doubles = column.combine_chunks().cast(pa.float64()), true.cast(pa.float64(), safe=False)
            unlike, rounded = differs(*doubles, replace(how, dtype=DOUBLE))
        else:
            unlike, rounded = differs(found, true, how)
        unlike = unlike if bad is None else pc.or_(unlike, bad)
        numbers = pc.indices_nonzero(unlike).cast(pa.int64())
        told = audit.features[name]
        told.rounded += rounded
        told.add(EXACT, len(found) - len(numbers))
        if not len(numbers):
            return None
        unread = pa.repeat(pa.scalar(False), len(numbers)) if bad is None else bad.take(numbers)
        return _Piece(pc.add(numbers, first), found.take(numbers), true.take(numbers), unread)

    def how(self, name: str) -> Compared:
        dtype, ours = self.service.feature_types[name], self.file.manifest is not None
        single = dtype.name == "double" and self.file.type_of(name) == pa.float32()
        tolerance, blank = 0.0 if ours else self.options.tolerance, self.file.is_text and not ours
        return Compared(dtype, self.aggregates.get(name), ours, tolerance, single, blank)

    @cached_property
    def split(self) -> str | None:
        """The column that says which rows train: as told, else `split` if it does."""
        if self.options.split is None and SPLIT in self.file.names and _names_sides(self.file.column(SPLIT)):
            return SPLIT
        return self.options.split

    @cached_property
    def aggregates(self) -> dict[str, str | None]:
        return {out: feature.aggregate for i in self.service.instances for out, feature, _ in i.features}

    def _wrong(self, kept: Mapping[str, Sequence[_Piece]]) -> dict[str, Wrong]:
        found = {}
        for name, pieces in kept.items():
            rows, values, truth, unread = (
                pa.chunked_array([getattr(piece, column) for piece in pieces]).combine_chunks()
                for column in ("rows", "found", "truth", "unread")
            )
            found[name] = Wrong(name, self.how(name), rows, values, truth)
            found[name].settle(unread, UNEXPLAINED, "not a value of the feature's type")
        return found

    def _instance_of(self, name: str) -> BoundInstance[BoundView] | None:
        return next((i for i in self.service.instances if any(out == name for out, _, _ in i.features)), None)

    # Rows and columns.

    def _count_rows(self, audit: Audit, matched: Matched, surplus: pa.Array, wrong: Mapping[str, Wrong]) -> None:
        """Rows too many count as such in every feature, whatever they hold; rows missing are added."""
        audit.fan_out, audit.dropped = len(surplus), matched.dropped
        for name in self.names:
            told, cells = audit.features[name], wrong.get(name)
            right = len(surplus)
            if cells is not None and right:
                too_many = pc.is_in(cells.rows, surplus)
                right -= pc.sum(too_many, min_count=0).as_py()
                cells.settle(too_many, FAN_OUT, "")
            told.causes[EXACT] = told.causes.get(EXACT, 0) - right  # also where there is none: it is always told
            told.add(FAN_OUT, right)
            told.add(DROPPED, matched.dropped)

    def _count_columns(self, audit: Audit) -> None:
        """Features that the file lacks, and with a spine columns that are nobody's."""
        missing = [name for name in self.service.feature_types if name not in self.file.names]
        asked = {*self.service.spine_keys, *self.service.request, self.file.reading.as_of, *self.names}
        asked |= {name for name in (self.options.label, self.split) if name is not None}
        extra = [name for name in self.file.names if name not in asked]
        for name in missing:
            audit.features[name].causes = {EXACT: 0, UNMATCHED: self.file.rows}
            audit.features[name].add(DROPPED, audit.dropped)
            near = self._like(name, extra)
            hint = f"; is it {near!r}? --map {near}={name}" if near else ""
            self.warnings.append(f"the file has no column {name!r}{hint}")
        spine = self.options.spine
        if spine is not None:
            own = {*spine.names, *self._include_columns(), *self._labels, ""}  # pandas writes its index without a name
            for name in (name for name in extra if name not in own):
                audit.features[name] = FeatureFindings({EXACT: 0, UNMATCHED: self.file.rows})
                self.warnings.append(f"column {name!r} is neither the spine's nor a feature")
        audit.not_audited = [name or "(no name)" for name in extra if name not in audit.features]

    def _include_columns(self) -> set[str]:
        return {f"{name}__{what}" for name in self.service.feature_types for what in ("status", "event_timestamp")}

    def _like(self, name: str, extra: Sequence[str]) -> str | None:
        """A column that may be the missing one: Feast puts the view before it, others misspell it."""
        instance = self._instance_of(name)
        full = "" if instance is None else f"{instance.name}__{name}"
        return full if full in extra else next((e for e in extra if e.endswith(f"_{name}")), None) or nearest(name, extra)

    # Causes.

    def _explain(self, wrong: Mapping[str, Wrong]) -> None:
        for group in self.groups(wrong):
            self._watch(Progress(f"looking for causes in {group.name}"))
            explain(self.asking, group, self.options.seed)

    def groups(self, wrong: Mapping[str, Wrong]) -> list[Group]:
        """Features with wrong cells, by the view or on-demand view that computes them."""
        found = []
        for given in self.service.service.features:
            mine = [wrong[column] for column, _ in given.features if column in wrong]
            if mine:
                views = [given] if isinstance(given, ViewInstance) else given.view.inputs
                parts = [self.asking.parts(name) for name in self._computing(views)]
                found.append(Group(given.name, mine, parts, [view.name for view in views] if len(parts) > 1 else ()))
        return found

    def _computing(self, views: Iterable[ViewInstance]) -> list[str]:
        """The names under which the service computes some views."""
        wanted = [view.computation for view in views]
        return [i.name for i in self.service.instances if i.instance.computation in wanted]


@dataclass(frozen=True)
class _Piece:
    """Wrong cells of one batch. unread: where what was found is no value of the type."""

    rows: pa.Array
    found: pa.Array
    truth: pa.Array
    unread: pa.Array


def _names_sides(column: pa.ChunkedArray) -> bool:
    sides = {str(value).lower() for value in pc.unique(column).to_pylist()}
    return any(side.startswith("train") for side in sides) and any(side in TESTS for side in sides)


__all__ = ["TOLERANCE", "Judge", "Options"]
