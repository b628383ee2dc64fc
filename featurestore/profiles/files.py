"""Profiles as Parquet: a row for each feature over all rows, and for each slice of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.errors import DataError, UsageError, nearest
from featurestore.profiles.feature import CATEGORY, FeatureProfile
from featurestore.profiles.moments import Moments
from featurestore.profiles.points import Points
from featurestore.profiles.profile import Profile
from featurestore.profiles.slices import UNITS

FORMAT = 1
_KEY = b"featurestore.profile"
_ALL, _TIME = "all", "time"
SCHEMA = pa.schema([
    ("by", pa.string()), ("start", pa.int64()), ("value", pa.string()), ("feature", pa.string()), ("rows", pa.int64()),
    ("nulls", pa.int64()), ("nans", pa.int64()), ("positive_infinities", pa.int64()), ("negative_infinities", pa.int64()),
    ("missing", pa.map_(pa.string(), pa.int64())), ("least", pa.float64()), ("greatest", pa.float64()),
    ("least_text", pa.string()), ("greatest_text", pa.string()), ("finite", pa.int64()), ("mean", pa.float64()),
    ("squares", pa.float64()), ("points", pa.list_(pa.float64())), ("weights", pa.list_(pa.int64())),
    ("points_error", pa.int64()), ("registers", pa.binary()), ("value_hashes", pa.list_(pa.uint64())),
    ("value_texts", pa.list_(pa.string())), ("value_counts", pa.list_(pa.int64())), ("values_error", pa.int64()),
])  # fmt: skip
"""by: "all", "time" or "column …". start: the day since 1970 on which a stretch of time begins. value: of the column."""


def write(profile: Profile, path: Path | str) -> None:
    """Raises: OSError."""
    said = {"format": FORMAT, "rows": profile.rows, "unit": profile.unit, "columns": list(profile.columns),
            "features": {name: {"type": f.type, "kind": f.kind} for name, f in profile.features.items()}}  # fmt: skip
    schema = SCHEMA.with_metadata({_KEY: json.dumps(said, ensure_ascii=False).encode()})
    rows = list(_rows(profile))
    arrays = [_array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]
    table = pa.table(arrays, schema=schema)
    repeating = ["by", "value", "feature", "weights.list.element", "value_texts.list.element"]
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=repeating,
                          write_statistics=["by", "feature"]) as writer:  # fmt: skip
        writer.write_table(table)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not (pa.types.is_list(kind) and values and isinstance(values[0], np.ndarray)):
        return pa.array(values, kind)
    offsets = np.concatenate(([0], np.cumsum([len(v) for v in values])))
    return pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(np.concatenate(values)), type=kind)


def _rows(profile: Profile) -> Iterator[tuple[Any, ...]]:
    yield from (_row(_ALL, None, None, f) for f in profile.features.values())
    for start, part in profile.times:
        yield from (_row(_TIME, start, None, f) for f in part.features.values())
    for column, parts in profile.columns.items():
        for value, part in parts.items():
            yield from (_row(f"column {column}", None, value, f) for f in part.features.values())


def _row(by: str, start: int | None, value: str | None, f: FeatureProfile) -> tuple[Any, ...]:
    text = f.kind == CATEGORY
    hashes, texts, counts = zip(*f.values, strict=True) if f.values else ((), (), ())
    return (
        by, start, value, f.name, f.rows, f.nulls, f.nans, f.positive_infinities, f.negative_infinities,
        list(f.missing.items()), None if text else f.least, None if text else f.greatest, f.least if text else None,
        f.greatest if text else None, int(f.moments.counts[0]), float(f.moments.means[0]), float(f.moments.squares[0]),
        f.points.values, f.points.weights, int(f.points.errors[0]), None if f.registers is None else f.registers.tobytes(),
        hashes, texts, counts, f.values_error,
    )  # fmt: skip


def read(path: Path | str, features: Sequence[str] | None = None) -> Profile:
    """Raises: DataError FS160, UsageError FS161."""
    path = Path(path)
    if not path.is_file():
        raise DataError("FS160", f"no profile {path.name!r}", where=str(path), hint="featurestore profile FILE")
    try:
        with pq.ParquetFile(path) as file:
            said = _said(file, path)
            known = said["features"]
            for name in features or ():
                if name not in known:
                    what = f"the profile has no feature {name!r}"
                    raise UsageError("FS161", what, where=path.name, known=known, hint=nearest(name, known))
            table = file.read()
        if features is not None:
            table = table.filter(pa.compute.is_in(table["feature"], pa.array(list(features), pa.string())))
        return _profile(table, said, [n for n in known if features is None or n in features])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError("FS160", "the file is no profile", where=path.name, hint="featurestore profile FILE") from error


def _said(file: pq.ParquetFile, path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((file.schema_arrow.metadata or {})[_KEY])
    if said["format"] > FORMAT:
        what = f"the profile has format {said['format']}, this featurestore reads up to format {FORMAT}"
        raise DataError("FS160", what, where=path.name, hint="a newer featurestore")
    if said["unit"] not in UNITS:
        raise ValueError(said["unit"])
    return said


def _profile(table: pa.Table, said: dict[str, Any], names: Sequence[str]) -> Profile:
    groups: dict[tuple[str, int | None, str | None], dict[str, FeatureProfile]] = {}
    for by, start, value, feature in _features(table, said["features"]):
        groups.setdefault((by, start, value), {})[feature.name] = feature
    parts = {key: _part(of, names) for key, of in groups.items()}
    times = tuple((start, part) for (by, start, _), part in parts.items() if by == _TIME and start is not None)
    columns: dict[str, dict[str, Profile]] = {name: {} for name in said["columns"]}
    for (by, _, value), part in parts.items():
        if by.startswith("column ") and value is not None:
            columns[by.removeprefix("column ")][value] = part
    whole = parts.get((_ALL, None, None), Profile(0, {}))
    return Profile(said["rows"], whole.features, times, columns, said["unit"])


def _part(of: dict[str, FeatureProfile], names: Sequence[str]) -> Profile:
    return Profile(next(iter(of.values())).rows, {name: of[name] for name in names if name in of})


def _features(table: pa.Table, said: dict[str, Any]) -> Iterator[tuple[str, int | None, str | None, FeatureProfile]]:
    plain = {name: table[name].to_pylist() for name in table.column_names if name not in ("points", "weights")}
    lists = [_arrays(table[name]) for name in ("points", "weights")]
    for i in range(table.num_rows):
        row = {name: values[i] for name, values in plain.items()}
        of, text = said[row["feature"]], said[row["feature"]]["kind"] == CATEGORY
        points, weights = (values[offsets[i] : offsets[i + 1]] for offsets, values in lists)
        yield (
            row["by"],
            row["start"],
            row["value"],
            FeatureProfile(
                row["feature"],
                of["type"],
                of["kind"],
                **{n: row[n] for n in ("rows", "nulls", "nans", "positive_infinities", "negative_infinities", "values_error")},
                missing=dict(row["missing"]),
                least=row["least_text"] if text else row["least"],
                greatest=row["greatest_text"] if text else row["greatest"],
                moments=Moments(np.array([row["finite"]]), np.array([row["mean"]]), np.array([row["squares"]])),
                points=Points(np.array([0, len(points)]), points, weights, np.array([row["points_error"]])),
                registers=None if row["registers"] is None else np.frombuffer(row["registers"], np.uint8),
                values=tuple(zip(row["value_hashes"], row["value_texts"], row["value_counts"], strict=True)),
            ),
        )


def _arrays(column: pa.ChunkedArray) -> tuple[Any, Any]:
    """Of a column of lists: where each starts, and what they hold."""
    whole = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return whole.offsets.to_numpy(), whole.values.to_numpy(zero_copy_only=False)
