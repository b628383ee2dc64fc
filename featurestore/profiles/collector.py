"""A profile in one pass: rows come in order, in batches of any size, and are looked at in blocks of a fixed one.

What is kept depends on the rows and their order alone, not on how they come. Memory is bounded by features, not by rows: the
block under way, and for each feature a few blocks' worth of points and counters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.profiles.columns import Column
from featurestore.profiles.feature import FeatureProfile
from featurestore.profiles.points import Ints
from featurestore.profiles.profile import Profile
from featurestore.profiles.slices import OTHER, SHOWN, Times, Values, most_times

BLOCK_VALUES = 1 << 23
"""Values of a block, all features together: 64 MB."""
AT = "__at"
STATUSES = ("present", "null", "expired", "not_found", "stale", "unavailable")
"""What a code of a status means, by its place; NULL is 0."""
_HELD = ("present", "null")
"""Statuses that the value itself tells."""


def block_rows(number: int) -> int:
    """Rows of a block with so many features: a power of two."""
    return 1 << min(max((BLOCK_VALUES // max(number, 1)).bit_length() - 1, 14), 19)


@dataclass
class _Slicing:
    """One way to part rows, and what was counted by group. rows: by group. missing: by key of statuses, rows by group and
    code."""

    groups: Times | Values
    rows: Ints
    missing: dict[str, Ints]

    def __len__(self) -> int:
        return len(self.groups)


class Collector:
    """Feed it with `add`, then ask for the `profile`.

    Args:
        features: column -> Arrow type. slices: columns of the tables whose values part the rows.
        status_of: feature -> the key under which `add` is given why its values are missing; several may share one.
        timed: whether rows have instants; then they are parted by UTC days, or longer where there are many.
    """

    def __init__(
        self,
        features: Mapping[str, pa.DataType],
        *,
        slices: Sequence[str] = (),
        status_of: Mapping[str, str] | None = None,
        timed: bool = True,
    ) -> None:
        self._status_of, self._timed = dict(status_of or {}), timed
        self._times = Times(most_times(len(features)))
        ways: dict[str, Times | Values] = {AT: self._times, **{name: Values() for name in slices}}
        self._ways = {name: _Slicing(groups, np.zeros(0, np.int64), {}) for name, groups in ways.items()}
        self._columns = {name: Column(name, kind, self._ways, len(features)) for name, kind in features.items()}
        self._read = list(dict.fromkeys((*features, *slices)))
        self._block = block_rows(len(features))
        self._held: list[pa.Table] = []
        self._waiting = self._rows = 0

    def add(self, table: pa.Table, at: Any = None, statuses: Mapping[str, Any] | None = None) -> None:
        """Consecutive rows. at: their instants, int64 microseconds. statuses: by key one code of STATUSES for each row."""
        given = table.select(self._read)
        if self._timed:
            given = given.append_column(AT, at)
        for key in dict.fromkeys(self._status_of.values()):
            codes = None if statuses is None else statuses.get(key)
            kept = pa.nulls(table.num_rows, pa.int8()) if codes is None else codes.cast(pa.int8())
            given = given.append_column(f"__status {key}", kept)
        self._held.append(given)
        self._waiting += given.num_rows
        while self._waiting >= self._block:
            whole = pa.concat_tables(self._held)
            self._look(whole.slice(0, self._block))
            self._held = [whole.slice(self._block)]
            self._waiting -= self._block

    def profile(self) -> Profile:
        """The profile of all that was added; nothing can be added after it."""
        if self._waiting or not self._rows:
            self._look(pa.concat_tables(self._held) if self._held else self._empty())
        self._held = []
        return self._made()

    def _empty(self) -> pa.Table:
        self._timed, self._status_of, read = False, {}, self._read
        return pa.table(
            {name: pa.nulls(0, self._columns[name].type if name in self._columns else pa.string()) for name in read}
        )

    # A block.

    def _look(self, block: pa.Table) -> None:
        self._rows += block.num_rows
        orders = {}
        for name, way in self._ways.items():
            orders[name] = self._parted(name, way, block)
        for key in dict.fromkeys(self._status_of.values()):
            codes = pc.fill_null(_whole(block[f"__status {key}"]), 0).to_numpy(zero_copy_only=False).astype(np.int64)
            for name, way in self._ways.items():
                counted = np.bincount(orders[name][0] * len(STATUSES) + codes, minlength=len(way) * len(STATUSES))
                _add(way.missing, key, counted.reshape(-1, len(STATUSES)))
        for name, column in self._columns.items():
            column.add(_whole(block[name]), orders)

    def _parted(self, name: str, way: _Slicing, block: pa.Table) -> tuple[Ints, Ints | None, Ints]:
        """Of the rows of a block: their groups, the order that brings those of a group together (None: they are), and where
        each group starts in it."""
        if name != AT:
            groups, moved = way.groups.see(_whole(block[name]))
        elif self._timed:
            groups, moved = self._times.see(_whole(block[AT]).to_numpy(zero_copy_only=False))
        else:
            groups, moved = self._times.see(np.zeros(block.num_rows, np.int64))
        if moved is not None:
            self._regroup(name, way, moved, len(way))
        rows = np.bincount(groups, minlength=len(way))
        way.rows = rows + np.pad(way.rows, (0, len(rows) - len(way.rows)))
        together = bool((groups[1:] >= groups[:-1]).all())
        order = None if together else np.argsort(groups.astype(np.uint16), kind="stable")
        return groups, order, np.concatenate(([0], np.cumsum(rows)))

    def _regroup(self, name: str, way: _Slicing, to: Ints, number: int) -> None:
        for column in self._columns.values():
            column.regroup(name, to, number)
        way.rows = _moved(way.rows, to, number)
        way.missing = {key: _moved(counted, to, number) for key, counted in way.missing.items()}

    # The end.

    def _made(self) -> Profile:
        for name, way in self._ways.items():
            if name != AT:
                self._keep_shown(name, way)
        by_time = self._ways[AT]
        parts, whole = {}, {}
        for name, column in self._columns.items():
            parts[name] = self._parts(column, AT, by_time)
            whole[name] = self._whole_of(column, parts[name])
            column.forget(AT)
        times: tuple[tuple[int, Profile], ...] = ()
        if self._timed:
            order = np.argsort(self._times.starts).tolist()
            times = tuple((int(self._times.starts[g]), self._part(parts, g)) for g in order)
        columns = {name: self._of_column(name, way) for name, way in self._ways.items() if name != AT}
        return Profile(self._rows, whole, times, columns, self._times.unit)

    def _whole_of(self, column: Column, parts: Sequence[FeatureProfile]) -> FeatureProfile:
        """All rows: counts, moments and points of the stretches of time, what is distinct of its own."""
        missing = {s: sum(p.missing.get(s, 0) for p in parts) for s in dict.fromkeys(s for p in parts for s in p.missing)}
        return replace(column.whole(self._rows), missing=missing)

    def _keep_shown(self, name: str, way: _Slicing) -> None:
        """Of the values of a column the most frequent; the rest goes to the others."""
        values = way.groups
        assert isinstance(values, Values)
        order = np.argsort(-way.rows[1:], kind="stable") + 1
        kept = np.sort(order[:SHOWN])
        to = np.zeros(len(way), np.int64)
        to[kept] = np.arange(1, len(kept) + 1)
        self._regroup(name, way, to, len(kept) + 1)
        values.names = [OTHER, *(values.names[place] for place in kept.tolist())]

    def _of_column(self, name: str, way: _Slicing) -> dict[str, Profile]:
        assert isinstance(way.groups, Values)
        parts = {}
        for of, column in self._columns.items():
            parts[of] = self._parts(column, name, way)
            column.forget(name)
        shown = sorted(range(1, len(way)), key=lambda g: (-int(way.rows[g]), way.groups.names[g]))  # type: ignore[union-attr]
        return {way.groups.names[g]: self._part(parts, g) for g in (*shown, 0) if way.rows[g]}

    def _parts(self, column: Column, name: str, way: _Slicing) -> list[FeatureProfile]:
        """A feature in every group of a way."""
        return [self._with_missing(f, way, g) for g, f in enumerate(column.profiles(name, way.rows))]

    @staticmethod
    def _part(parts: Mapping[str, Sequence[FeatureProfile]], group: int) -> Profile:
        of = {name: profiles[group] for name, profiles in parts.items()}
        return Profile(next(iter(of.values())).rows if of else 0, of)

    def _with_missing(self, profile: FeatureProfile, way: _Slicing, group: int) -> FeatureProfile:
        counted = way.missing.get(self._status_of.get(profile.name, ""))
        if counted is None or group >= len(counted):
            return profile
        told = dict(zip(STATUSES, counted[group].tolist(), strict=True))
        return replace(profile, missing={s: rows for s, rows in told.items() if rows and s not in _HELD})


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _add(kept: dict[str, Ints], key: str, counted: Ints) -> None:
    before = kept.get(key, counted[:0])
    kept[key] = counted + np.pad(before, ((0, len(counted) - len(before)), (0, 0)))


def _moved(counted: Ints, to: Ints, number: int) -> Ints:
    made = np.zeros((number, *counted.shape[1:]), np.int64)
    np.add.at(made, to[: len(counted)], counted)
    return made


__all__ = ["STATUSES", "Collector"]
