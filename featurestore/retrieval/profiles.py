"""The profile of a file: the one beside a training set, or else computed of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from featurestore.errors import DataError, SpineError, UsageError, nearest
from featurestore.profiles import SUFFIX, Collector, Profile
from featurestore.retrieval.output import manifest_of, profile_of
from featurestore.retrieval.spine import Spine, instants, open_spine
from featurestore.sources import folders

_BESIDE = ("__status", "__event_timestamp")


def profile_of_file(
    path: Path, as_of: str | None = None, slices: Sequence[str] = (), features: Sequence[str] | None = None
) -> tuple[Profile, str]:
    """A file's profile, and where it is from: "profile", or "file" if it was computed, because there is none that the manifest
    names, or because it is not sliced like this.

    Args: as_of: the column of instants; default: as the manifest says, else as_of if there is one. slices: columns by which
        rows are parted. features: only these; default: all.
    Raises: DataError FS160, UsageError FS106, FS161, SpineError.
    """
    if path.suffix == SUFFIX:
        return Profile.read(path, features), "profile"
    if not folders.is_there(path):
        raise DataError("FS160", f"no file {path.name!r}", where=str(path), hint="a training set, or its profile")
    beside = profile_of(path)
    if beside is not None and as_of is None:
        found = Profile.read(beside, features)
        if all(name in found.columns for name in slices):
            return found, "profile"
    return _computed(path, as_of, slices, features), "file"


def _computed(path: Path, as_of: str | None, slices: Sequence[str], features: Sequence[str] | None) -> Profile:
    said: dict[str, Any] = manifest_of(path) or {}
    asked = said.get("as_of", {})
    column = as_of or asked.get("column", "as_of")
    try:
        spine = open_spine(path, keys={}, as_of=column)
    except SpineError as error:
        raise DataError("FS160", error.what.replace("the spine", "the file"), where=path.name, hint=error.hint) from error
    if as_of is not None and as_of not in spine.schema.names:
        known = spine.schema.names
        raise UsageError("FS161", f"no column of instants {as_of!r}", where=path.name, known=known, hint=nearest(as_of, known))
    at = None
    if as_of is not None or column in spine.schema.names:
        at = instants(spine, column, timezone=asked.get("timezone", "UTC"), as_of_format=asked.get("format"))
    if path.suffix.lower() == ".csv":
        spine = _typed(spine)
    names = list(features or said.get("features") or [n for n in spine.schema.names if n != column and not n.endswith(_BESIDE)])
    for name in (*names, *slices):
        if name not in spine.schema.names:
            raise UsageError("FS161", f"no column {name!r} to profile", where=path.name, known=spine.schema.names)
    return _of(spine, names, at, slices)


def _typed(spine: Spine) -> Spine:
    """The columns of a CSV that hold nothing but numbers as numbers; NULL is none."""
    assert spine.table is not None
    table = spine.table
    for place, name in enumerate(table.column_names):
        for kind in (pa.int64(), pa.float64()):
            with suppress(pa.ArrowInvalid):
                table = table.set_column(place, name, spine.table[name].cast(kind))
                break
    return Spine(table.schema, spine.rows, table)


def _of(spine: Spine, names: Sequence[str], at: Any, slices: Sequence[str]) -> Profile:
    collector = Collector({n: spine.schema.field(n).type for n in names}, slices=slices, timed=at is not None)
    done = 0
    for rows in spine.batches(list(dict.fromkeys((*names, *slices)))):
        collector.add(rows, None if at is None else at.slice(done, rows.num_rows))
        done += rows.num_rows
    return collector.profile()


__all__ = ["profile_of_file"]
