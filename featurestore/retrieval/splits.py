"""Splits of a training set that do not leak: which rows train a model, and which ones it is tested on.

Decides each row's part from its instant, its keys and how far its label looks ahead, never from its place in the spine: a
spine in another order gives every row the same part. Where label windows come from is the service's business, what a row
may see is the contract's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import from_arrow
from featurestore.errors import DefinitionError, FeatureStoreError, SpineError, UsageError
from featurestore.intervals import FOREVER, format_instant, micros_of, parse_duration, parse_formatted, parse_instant
from featurestore.registry import BoundService
from featurestore.retrieval.spine import Spine, key_column

COLUMN = "split"
TRAIN, VALIDATION, TEST, PURGED, EMBARGO = range(5)
PARTS = ("train", "validation", "test", "purged", "embargo")
KINDS = ("time", "group", "random")


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a training set is split into parts. Made by `Split.time`, `Split.group` or `Split.random`.

    Instants and durations are microseconds. by: the columns whose values name an entity that stays in one part.
    """

    kind: str
    test_from: int | None = None
    validation_from: int | None = None
    embargo: int = 0
    label_window: int | None = None
    by: tuple[str, ...] = ()
    test_share: float = 0.0
    validation_share: float = 0.0
    seed: int = 0

    @classmethod
    def time(
        cls, *, test_from: Any, validation_from: Any = None, embargo: Any = "0s", label_window: Any = None,
        by: str | Sequence[str] = (),
    ) -> Split:  # fmt: skip
        """Rows from `test_from` on are tested on, those before train; from `validation_from` on, if given, they validate.

        A row is `purged` if its label's window reaches into a later part, and `embargo` if it lies within `embargo` before one.
        Args:
            test_from, validation_from: ISO 8601 with an offset, an aware datetime, or microseconds.
            embargo: a duration such as "7d". label_window: how far a label that is a column of the spine looks ahead.
            by: columns whose values name an entity: one that is in a later part is purged from the earlier ones.
        Raises: UsageError FS103, FS153.
        """
        window = None if label_window is None else _length(label_window, "label_window")
        later = None if validation_from is None else _instant(validation_from, "validation_from")
        return cls(
            kind="time", test_from=_instant(test_from, "test_from"), validation_from=later, label_window=window,
            embargo=_length(embargo, "embargo"), by=_names(by),
        )  # fmt: skip

    @classmethod
    def group(cls, *, by: str | Sequence[str], test_share: float, validation_share: float = 0.0, seed: int = 0) -> Split:
        """All rows of an entity are in one part, drawn by its key and `seed`; a row with a NULL key is drawn by itself.

        Args: by: the columns that name the entity. test_share, validation_share: of all entities, between 0 and 1.
        Raises: UsageError FS153.
        """
        return cls(kind="group", by=_names(by), test_share=test_share, validation_share=validation_share, seed=seed)

    @classmethod
    def random(cls, *, test_share: float, validation_share: float = 0.0, seed: int = 0) -> Split:
        """Each row's part is drawn by its keys, its instant and `seed`: rows that ask the same are in one part.

        Of rows with instants it trains on the future of what it tests on. Raises: UsageError FS153.
        """
        return cls(kind="random", test_share=test_share, validation_share=validation_share, seed=seed)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError("FS153", f"unknown kind of split {self.kind!r}", known=KINDS)
        if self.kind == "time":
            self._check_times()
        else:
            self._check_shares()
        if self.kind == "group" and not self.by:
            raise UsageError("FS153", "a split by group needs the columns that name an entity", hint="by='customer_id'")

    def _check_times(self) -> None:
        if self.test_from is None:
            raise UsageError("FS153", "a split by time needs the instant from which rows are tested on", hint="test_from=…")
        for instant in (self.test_from, self.validation_from or 0):
            if abs(instant) >= FOREVER // 8:
                raise UsageError("FS153", f"the instant {instant} is out of all time", hint="microseconds since 1970")
        if self.validation_from is not None and self.validation_from >= self.test_from:
            raise UsageError("FS153", "validation_from is not before test_from", hint="an earlier instant")

    def _check_shares(self) -> None:
        shares = (self.test_share, self.validation_share)
        if not all(isinstance(share, int | float) and 0 <= share < 1 for share in shares) or not self.test_share > 0:
            what = f"test_share {self.test_share!r} and validation_share {self.validation_share!r} are no shares"
            raise UsageError("FS153", what, hint="numbers between 0 and 1, such as 0.2")
        if sum(shares) >= 1:
            raise UsageError("FS153", "nothing is left to train on", hint="shares that add up to less than 1")
        if not isinstance(self.seed, int) or not -(2**63) <= self.seed < 2**63:
            raise UsageError("FS153", f"seed {self.seed!r} is not an integer of 64 bits", hint="seed=7")

    def to_manifest(self) -> dict[str, Any]:
        """What was asked, as data."""
        if self.kind == "time":
            later = None if self.validation_from is None else format_instant(self.validation_from)
            assert self.test_from is not None
            told: dict[str, Any] = {
                "test_from": format_instant(self.test_from), "validation_from": later, "embargo_us": self.embargo,
                "label_window_us": self.label_window,
            }  # fmt: skip
        else:
            told = {"test_share": self.test_share, "validation_share": self.validation_share, "seed": self.seed}
        return {"kind": self.kind, **told, "by": list(self.by)}

    @classmethod
    def from_manifest(cls, told: Mapping[str, Any]) -> Split:
        """What `to_manifest` gave. Raises: UsageError FS153."""
        options = {name.removesuffix("_us"): value for name, value in told.items() if value is not None}
        options |= {name: parse_formatted(options[name]) for name in ("test_from", "validation_from") if name in options}
        try:
            return cls(**{**options, "by": tuple(options.get("by", ()))})
        except TypeError as error:
            raise UsageError("FS153", f"unknown kind of split: {error}", known=KINDS) from error


def _instant(given: Any, what: str) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    return parse_instant(given, what=what) if isinstance(given, str) else micros_of(given)


def _length(given: Any, what: str) -> int:
    try:
        return parse_duration(given, what=what).micros
    except DefinitionError as error:
        raise UsageError("FS153", error.what, known=error.known, hint=error.hint) from error


def _names(by: str | Sequence[str]) -> tuple[str, ...]:
    return (by,) if isinstance(by, str) else tuple(by)


class Parts:
    """The part of every row of a spine. column: as it stands in the training set. warnings: what the user should know.

    Args: at: the instants of the rows, in microseconds.
    Raises: SpineError FS303 for a column of `by` that is missing, or cannot be a key.
    """

    def __init__(self, split: Split, service: BoundService, spine: Spine, at: pa.Array) -> None:
        self._split, self._service, self._spine, self._at = split, service, spine, at
        self.warnings: list[str] = []
        codes = self._by_time() if split.kind == "time" else self._drawn()
        self.column = pa.DictionaryArray.from_arrays(codes.cast(pa.int8()), pa.array(PARTS))
        self._warn_of_empty()

    @cached_property
    def counts(self) -> dict[str, dict[str, Any]]:
        """{part: {"rows", "first", "last": its instants as text}}."""
        return {part: self._counted(code) for code, part in enumerate(PARTS)}

    def to_manifest(self) -> dict[str, Any]:
        return {"asked": self._split.to_manifest(), "label_reach_us": self.reach, "parts": self.counts}

    def _counted(self, code: int) -> dict[str, Any]:
        mine = self._at.filter(pc.equal(self.column.indices, code))
        ends = pc.min_max(mine)
        first, last = (ends[end].as_py() for end in ("min", "max"))
        return {
            "rows": len(mine),
            "first": None if first is None else format_instant(first),
            "last": None if last is None else format_instant(last),
        }

    def _warn_of_empty(self) -> None:
        asked = ["train", "test"]
        if self._split.validation_from is not None or self._split.validation_share:
            asked.insert(1, "validation")
        for part in asked:
            if not self.counts[part]["rows"]:
                self.warnings.append(f"no row of the split is in {part!r}")

    # By time.

    @cached_property
    def reach(self) -> int | None:
        """How far any label looks ahead of its row, in microseconds; None if nobody says."""
        known = [label.bound.view.reach for label in self._service.labels]
        if self._split.label_window is not None:
            known.append(self._split.label_window)
        return max(known, default=None)

    def _by_time(self) -> pa.Array:
        split = self._split
        if self.reach is None:
            self.warnings.append("no row is purged by its label: nothing says how far labels look ahead (--label-window)")
        starts = [(VALIDATION, split.validation_from)] if split.validation_from is not None else []
        codes = pa.repeat(pa.scalar(TRAIN), len(self._at))
        for part, start in [*starts, (TEST, split.test_from)]:
            assert start is not None
            codes = self._from(codes, part, start)
        return self._apart(codes) if split.by else codes

    def _from(self, codes: pa.Array, part: int, start: int) -> pa.Array:
        """Rows from `start` on are of `part`; those of earlier parts that come too near are of none."""
        inside = pc.greater_equal(self._at, start)
        near = pc.greater_equal(self._at, start - self._split.embargo)
        codes = pc.if_else(inside, part, pc.if_else(near, EMBARGO, codes))
        if self.reach is None:
            return codes
        reaches = pc.greater_equal if self._service.exact else pc.greater  # (…, …] holds its end, […, …) does not
        purged = pc.and_(pc.less(codes, part), reaches(self._at, start - self.reach))
        return pc.if_else(purged, PURGED, codes)

    def _apart(self, codes: pa.Array) -> pa.Array:
        """An entity that is in a later part is purged from the earlier ones."""
        entity = _identified([self._key(name) for name in self._split.by])
        for part, earlier in ((TEST, (TRAIN, VALIDATION)), (VALIDATION, (TRAIN,))):
            there = entity.filter(pc.equal(codes, part)).drop_null().unique()
            also = pc.and_(pc.is_in(entity, value_set=there), pc.is_in(codes, value_set=pa.array(earlier, codes.type)))
            codes = pc.if_else(also, PURGED, codes)
        return codes

    # Drawn.

    def _drawn(self) -> pa.Array:
        row = [*(self._key(name) for name in sorted(self._service.spine_keys)), self._at]
        lots = _hashed(row, self._split.seed)
        if self._split.kind == "random":
            said = "a random split of rows with instants trains on the future of rows it tests on; one by time does not"
            self.warnings.append(said)
        else:
            keys = [self._key(name) for name in self._split.by]
            named = pc.is_valid(_identified(keys))
            lots = pc.if_else(named, _hashed(keys, self._split.seed), lots)
        test, validation = self._split.test_share, self._split.validation_share
        codes = pc.if_else(pc.less(lots, _share(test + validation)), VALIDATION, TRAIN)
        return pc.if_else(pc.less(lots, _share(test)), TEST, codes)

    def _key(self, name: str) -> pa.Array:
        """A column that names entities, typed as the service's keys are. Raises: SpineError FS302, FS303."""
        if name in self._service.spine_keys:
            return key_column(self._spine, name, self._service.spine_keys[name].dtype)
        if name not in self._spine.schema.names:
            known = [*self._service.spine_keys, *self._spine.schema.names]
            raise SpineError("FS303", f"the spine has no column {name!r} to split by", known=dict.fromkeys(known))
        kind = self._spine.schema.field(name).type
        try:
            dtype = from_arrow(kind)
        except FeatureStoreError:
            dtype = None
        if dtype is None or dtype.key_family is None:
            what = f"column {name!r} is {kind}, and cannot name an entity to split by"
            raise SpineError("FS303", what, hint="integers, text, bool, date or binary")
        return key_column(self._spine, name, dtype)


def check_name(names: Iterable[str]) -> None:
    """No other column is called as the one a split adds, in any case. Raises: SpineError FS304."""
    for name in names:
        if name.lower() == COLUMN:
            what = f"column {name!r} has the name of the column that a split adds"
            raise SpineError("FS304", what, hint="rename the spine's column, or the feature by name='…'")


# Entities as numbers.


def _identified(keys: Sequence[pa.Array]) -> pa.Array:
    """A number for every tuple of keys, the same for equal ones alone; NULL where one of them is."""
    whole = pa.repeat(pa.scalar(0, pa.int64()), len(keys[0]))
    for key in keys:
        encoded = key.dictionary_encode()
        whole = pc.add(pc.multiply(whole, len(encoded.dictionary)), encoded.indices.cast(pa.int64()))
        whole = whole.dictionary_encode().indices.cast(pa.int64())  # stays below the number of rows
    return whole


_M = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def _hashed(columns: Sequence[pa.Array], seed: int) -> pa.Array:
    """64 evenly mixed bits of each row's values: of nothing else, on any machine and with any version of a library."""
    state = pa.repeat(_word(seed), len(columns[0]))
    for column in columns:
        state = _mixed(pc.add(pc.multiply(state, _word(0x9E3779B97F4A7C15)), _words(column)))
    return state


def _mixed(state: pa.Array) -> pa.Array:
    """The finalizer of splitmix64."""
    for shift, factor in zip((30, 27), _M, strict=True):
        state = pc.multiply(pc.bit_wise_xor(state, pc.shift_right(state, _word(shift))), _word(factor))
    return pc.bit_wise_xor(state, pc.shift_right(state, _word(31)))


def _words(column: pa.Array) -> pa.Array:
    """Each value as 64 bits, mixed; NULL is a value of its own."""
    if pa.types.is_int64(column.type):
        words = _mixed(column.view(pa.uint64()))
    else:
        encoded = column.dictionary_encode()
        named = pa.array([_digest(value) for value in encoded.dictionary.to_pylist()], pa.uint64())
        words = named.take(encoded.indices)
    return pc.fill_null(words, _word(0x5851F42D4C957F2D))


def _digest(value: Any) -> int:
    data = value if isinstance(value, bytes) else str(value).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _word(value: int) -> pa.Scalar:
    return pa.scalar(value % 2**64, pa.uint64())


def _share(share: float) -> pa.Scalar:
    """The hashes below it are that share of all."""
    return _word(int(share * 2**64))


__all__ = ["COLUMN", "PARTS", "Parts", "Split", "check_name"]
