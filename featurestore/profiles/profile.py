"""A profile: what is said of every feature over all rows and over slices of them; profiles of parts make one of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import DType
from featurestore.errors import UsageError, nearest
from featurestore.intervals import MICROS_PER_DAY
from featurestore.profiles.feature import FeatureProfile, merged
from featurestore.profiles.slices import OTHER, SHOWN, UNITS, coarsened, most_times, start_of

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".profile"


@dataclass(frozen=True)
class Profile:
    """rows: how many. features: over all of them. times: (day since 1970 on which it starts, its profile) of each stretch of
    time, each of one `unit`. columns: slice column -> value -> profile, the most frequent first, "(other)" last. Profiles of
    slices have no slices themselves."""

    rows: int
    features: Mapping[str, FeatureProfile]
    times: tuple[tuple[int, Profile], ...] = field(default=(), repr=False)
    columns: Mapping[str, Mapping[str, Profile]] = field(default_factory=dict, repr=False)
    unit: str = UNITS[0]

    @classmethod
    def of(
        cls,
        table: pa.Table,
        features: Mapping[str, DType | pa.DataType] | None = None,
        *,
        at: str | None = "as_of",
        slices: Sequence[str] = (),
        statuses: Sequence[str] = (),
    ) -> Profile:
        """The profile of a table.

        Args:
            features: column -> type; default: every column but `at`. at: the column of instants (timestamps, naive ones in
                UTC, or int64 microseconds); None: rows have none. slices: columns by whose values rows are parted.
            statuses: features whose column <feature>__status says why a value is missing.
        Raises: UsageError FS161 for a column that is not there.
        """
        from featurestore.profiles.collector import STATUSES, Collector

        names = table.schema.names
        for name in (*(features or ()), *slices, *([] if at is None else [at]), *(f"{s}__status" for s in statuses)):
            if name not in names:
                raise UsageError("FS161", f"no column {name!r} to profile", known=names, hint=nearest(name, names))
        chosen = [n for n in names if n != at] if features is None else list(features)
        types = {name: table.schema.field(name).type for name in chosen}
        collector = Collector(types, slices=slices, status_of={s: s for s in statuses}, timed=at is not None)
        told = {s: pc.index_in(table[f"{s}__status"].cast(pa.string()), pa.array(STATUSES)) for s in statuses}
        collector.add(table, None if at is None else micros(table[at]), told)
        return collector.profile()

    @staticmethod
    def merged(profiles: Sequence[Profile]) -> Profile:
        """The profile of all rows of all of them. A feature is that of those that have it; stretches of time are as long as
        the longest; of a slice column stays what all have parted by.

        Raises: UsageError FS161 for no profiles; DataError FS163 where a feature has two types.
        """
        if not profiles:
            raise UsageError("FS161", "no profiles to merge", hint="one at least")
        if len(profiles) == 1:
            return profiles[0]
        features = _features(profiles, whole=True)
        times, unit = _times(profiles, len(features))
        columns = {
            name: _values([p.columns[name] for p in profiles])
            for name in profiles[0].columns
            if all(name in p.columns for p in profiles)
        }
        return Profile(sum(p.rows for p in profiles), features, times, columns, unit)

    def days(self) -> list[tuple[int, Profile]]:
        """The stretches of time that have rows, oldest first: (start in microseconds, profile). Each is a UTC day, or where
        there would be too many a week, month or year: see `unit`."""
        return [(start * MICROS_PER_DAY, profile) for start, profile in self.times]

    def between(self, start: int, end: int) -> Profile:
        """The rows of the stretches of time that start in [start, end), microseconds; without any, a profile of no rows."""
        inside = [p for at, p in self.days() if start <= at < end]
        return Profile.merged(inside) if inside else Profile(0, {n: _empty(f) for n, f in self.features.items()})

    def by(self, column: str) -> Mapping[str, Profile]:
        """The rows by the values of a slice column. Raises: UsageError FS161."""
        if column not in self.columns:
            what = f"the profile has no slices by {column!r}"
            raise UsageError("FS161", what, known=list(self.columns), hint=nearest(column, self.columns) or "day")
        return self.columns[column]

    @staticmethod
    def read(path: Path | str, features: Sequence[str] | None = None) -> Profile:
        """The profile in a file. features: only these. Raises: DataError FS160."""
        from featurestore.profiles import files

        return files.read(path, features)

    def write(self, path: Path | str) -> None:
        """Write the profile to a file: Parquet, the same bytes for the same profile. Raises: OSError."""
        from featurestore.profiles import files

        files.write(self, path)


def micros(column: Any) -> Any:
    """Instants as int64 microseconds: of timestamps, naive ones being in UTC."""
    if pa.types.is_timestamp(column.type):
        unit = pa.timestamp("us", column.type.tz)
        return column.cast(unit, safe=False).cast(pa.int64())
    if pa.types.is_date(column.type):
        return pc.multiply(column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64()), MICROS_PER_DAY)
    if not pa.types.is_integer(column.type):
        raise UsageError("FS161", f"the column of instants is {column.type}", hint="timestamps, or at=None")
    return column.cast(pa.int64())


def _features(profiles: Sequence[Profile], *, whole: bool) -> dict[str, FeatureProfile]:
    names = dict.fromkeys(name for p in profiles for name in p.features)
    return {name: merged([p.features[name] for p in profiles if name in p.features], whole=whole) for name in names}


def _together(profiles: Sequence[Profile]) -> Profile:
    """Of slices: no slices of their own."""
    return profiles[0] if len(profiles) == 1 else Profile(sum(p.rows for p in profiles), _features(profiles, whole=False))


def _times(profiles: Sequence[Profile], features: int) -> tuple[tuple[tuple[int, Profile], ...], str]:
    unit = max((p.unit for p in profiles), key=UNITS.index)
    every = [(start, part) for p in profiles for start, part in p.times]
    starts = start_of(np.array([start for start, _ in every], np.int64), unit)
    starts, unit = coarsened(starts, unit, most_times(features))
    found: dict[int, list[Profile]] = {}
    for start, (_, part) in zip(starts.tolist(), every, strict=True):
        found.setdefault(start, []).append(part)
    return tuple((start, _together(found[start])) for start in sorted(found)), unit


def _values(parts: Sequence[Mapping[str, Profile]]) -> dict[str, Profile]:
    found: dict[str, list[Profile]] = {}
    for part in parts:
        for value, profile in part.items():
            found.setdefault(value, []).append(profile)
    rows = {value: sum(p.rows for p in of) for value, of in found.items() if value != OTHER}
    shown = sorted(rows, key=lambda value: (-rows[value], value))
    others = [p for value in (*shown[SHOWN:], OTHER) for p in found.get(value, ())]
    made = {value: _together(found[value]) for value in shown[:SHOWN]}
    return {**made, OTHER: _together(others)} if others else made


def _empty(feature: FeatureProfile) -> FeatureProfile:
    return FeatureProfile(feature.name, feature.type, feature.kind, 0)


__all__ = ["SUFFIX", "Profile", "micros"]
