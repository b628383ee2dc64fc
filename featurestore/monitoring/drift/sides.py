"""What can stand on either side of a comparison: a training set, a table, a profile. Decides which of its columns are features,
which of its rows are drawn, and that a column is read when it is compared, not before."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from featurestore.errors import DataError, FeatureStoreError, UsageError
from featurestore.intervals import zone
from featurestore.monitoring.drift.columns import Kind, kind_of, name_of
from featurestore.monitoring.drift.found import Compared
from featurestore.monitoring.drift.windows import Windows
from featurestore.retrieval.output import manifest_of
from featurestore.sources import folders
from featurestore.sources.folders import ParquetTable
from featurestore.sources.times import TimeReading, to_micros

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]

CONFIDENCE = 0.95
ROWS_AT_ONCE = 131_072
_OWN = frozenset({"as_of", "split", "row"})
"""Columns of a training set without a manifest that are no features, beside those with a double underscore."""


class Side(Protocol):
    """Rows and their columns. name: as messages say it. rows: all of them. features: those it says it has, None: it does not
    say. label: its label column, if it says. at: its column of instants, if it has one."""

    @property
    def name(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def types(self) -> Mapping[str, Any]: ...
    @property
    def features(self) -> tuple[str, ...] | None: ...
    @property
    def label(self) -> str | None: ...
    @property
    def at(self) -> str | None: ...
    @property
    def looked_at(self) -> int: ...
    def kind(self, name: str) -> Kind:
        """How the feature is compared."""
        ...

    def type_name(self, name: str) -> str: ...
    def draw(self, sample: int | None, seed: int) -> Side:
        """At most so many of its rows, each as likely as any other; a side without rows stays as it is."""
        ...

    def cut(self, windows: Windows) -> Sequence[tuple[tuple[int, int], Any]]:
        """Every window with what is in it, as the side keeps it."""
        ...

    def compared(self) -> Compared:
        """What was looked at, and with what error."""
        ...


@dataclass(frozen=True)
class Rows:
    """A side whose rows are at hand: a table in memory, or a Parquet file or folder whose columns are read one by one.

    drawn: the numbers of the rows that are looked at, rising; None: all. of: how many rows there were before an earlier draw.
    """

    name: str
    source: pa.Table | ParquetTable
    rows: int
    features: tuple[str, ...] | None = None
    label: str | None = None
    at: str | None = None
    drawn: Array | None = None
    of: int | None = None
    timezone: str = "UTC"

    @cached_property
    def types(self) -> Mapping[str, pa.DataType]:
        schema = self.source.schema if isinstance(self.source, pa.Table) else self.source.schema_arrow
        return {name: schema.field(name).type for name in schema.names}

    def kind(self, name: str) -> Kind:
        return kind_of(self.types[name])

    def type_name(self, name: str) -> str:
        return name_of(self.types[name])

    def cut(self, windows: Windows) -> list[tuple[tuple[int, int], Array]]:
        """Every window with its rows. Raises: DataError FS392, UsageError FS393, FS398."""
        return windows.cut(self.instants())

    @property
    def looked_at(self) -> int:
        return self.rows if self.drawn is None else len(self.drawn)

    def compared(self) -> Compared:
        whole = max(self.of or 0, self.rows)
        if self.looked_at >= whole:
            return Compared(name=self.name, rows=whole)
        return Compared(name=self.name, rows=whole, drawn=self.looked_at, error=bound(self.looked_at))

    def column(self, name: str) -> pa.ChunkedArray:
        """The values of the rows that are looked at. Raises: DataError FS392."""
        with _reading(self.name):
            if isinstance(self.source, pa.Table):
                column = self.source[name]
                return column if self.drawn is None else column.take(pa.array(self.drawn))
            if self.drawn is None:
                return self.source.read(columns=[name])[name]
            return pa.chunked_array(list(self._taken(name)), self.types[name])

    def _taken(self, name: str) -> Iterator[pa.Array]:
        assert self.drawn is not None
        assert isinstance(self.source, ParquetTable)
        first = 0
        for batch in self.source.iter_batches(ROWS_AT_ONCE, [name]):
            low, high = np.searchsorted(self.drawn, [first, first + len(batch)])
            if high > low:
                yield batch.column(0).take(pa.array(self.drawn[low:high] - first))
            first += len(batch)

    def instants(self) -> Array:
        """Of the rows that are looked at, microseconds UTC; naive ones are read in `timezone`. Raises: DataError FS392,
        UsageError FS393."""
        if self.at is None or self.at not in self.types:
            what = f"{self.name} has no column of instants" + (f" {self.at!r}" if self.at else "")
            raise UsageError("FS393", what, known=self.types, hint="--as-of-column NAME")
        reading = TimeReading(zone=zone(self.timezone).key, format="iso8601")
        try:
            micros = to_micros(self.column(self.at), reading)
        except FeatureStoreError as error:
            raise DataError("FS392", f"column {self.at!r} is no column of instants", where=self.name) from error
        if micros.null_count:
            raise DataError("FS392", f"column {self.at!r} holds {micros.null_count:,} that are no instants", where=self.name)
        found: Array = np.asarray(micros)
        return found

    def draw(self, sample: int | None, seed: int) -> Rows:
        """At most so many of its rows, each as likely as any other; the same for the same seed."""
        if sample is None or sample >= self.rows or self.drawn is not None:
            return self
        return replace(self, drawn=drawn(self.rows, sample, seed))


def drawn(rows: int, sample: int, seed: int) -> Array:
    """So many numbers of rows, rising."""
    return np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False, shuffle=False))


def bound(rows: int) -> float:
    """How far the share of all rows up to any value may lie from that of so many drawn ones: with CONFIDENCE for two sides at
    once, by the inequality of Dvoretzky, Kiefer and Wolfowitz."""
    return min(1.0, math.sqrt(math.log(4 / (1 - CONFIDENCE)) / (2 * max(rows, 1))))


def open_file(path: Path, *, at: str | None = None, timezone: str = "UTC") -> Rows:
    """A training set, ours or anyone's: Parquet or CSV. Raises: DataError FS392."""
    if not folders.is_there(path):
        raise DataError(
            "FS392", f"no file {path.name!r}", where=str(path), hint="a training set, or serve-log:SERVICE@FROM..TO"
        )
    with _reading(path.name):
        manifest = manifest_of(path) or {}
        told = _told(manifest)
        asked = manifest.get("as_of", {})
        when = at or asked.get("column") or "as_of"
        if timezone == "UTC" and when == asked.get("column"):
            timezone = asked.get("timezone") or timezone  # in which the build has read them
        source: Any = _csv(path) if path.suffix.lower() == ".csv" else ParquetTable(path, pre_buffer=False)
        rows = source.num_rows if isinstance(source, pa.Table) else source.rows
        return Rows(name=path.name, source=source, rows=rows, at=when, timezone=timezone, **told)


def _told(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Features and label, as a manifest says them."""
    if not manifest:
        return {}
    labels = [told["column"] for told in (manifest.get("labels") or {}).values()]
    label = (manifest.get("label") or {}).get("column")
    return {"features": tuple(manifest.get("features", ())), "label": label or next(iter(labels), None)}


def _csv(path: Path) -> pa.Table:
    from pyarrow import csv

    if not path.stat().st_size:
        raise pa.ArrowInvalid("it is empty")
    options = csv.ConvertOptions(null_values=["", "NULL"], strings_can_be_null=True, quoted_strings_can_be_null=False)
    return csv.read_csv(path, convert_options=options, parse_options=csv.ParseOptions(newlines_in_values=True))


class _reading:
    """Raises: DataError FS392 for what the reader cannot make sense of."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError):
            reason = str(error).splitlines()[0]
            raise DataError("FS392", f"it cannot be read: {reason}", where=self.name) from error


def of_table(table: pa.Table, name: str = "a table in memory", *, at: str | None = "as_of") -> Rows:
    return Rows(name=name, source=table, rows=table.num_rows, at=at)


def columns_of(reference: Side, current: Side, asked: Sequence[str] | None) -> list[str]:
    """The columns that are features: those asked for, else those that either side says it has, else all but keys of time."""
    if asked is not None:
        return list(asked)
    said = [name for side in (reference, current) for name in side.features or ()]
    if said:
        return list(dict.fromkeys(said))
    out = {*_OWN, reference.at, current.at, reference.label, current.label}
    found = dict.fromkeys(name for side in (reference, current) for name in side.types)
    return [name for name in found if name not in out and "__" not in name and "." not in name]
