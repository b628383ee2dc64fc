"""Lay rows out as files: writers, encodings, time units, zones, row groups. What the rows mean is not decided here.

Every layout writes the same facts: a time is stored such that reading it as the source declares gives the microsecond
drawn, except that milliseconds cut it first (then the row simply happened earlier).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.testing.strategies import CREATED, EVENT, Definition, Row

ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "Europe/Paris", "Pacific/Chatham")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class File:
    """How one file is written. unit: of its timestamps; text: of its strings."""

    writer: str
    unit: str
    text: str
    row_group: int


@dataclass(frozen=True)
class Layout:
    """How a source lies. form: "timestamp", "integer" or "text" times. options: what the source must then declare."""

    files: tuple[File, ...]
    form: str
    naive: bool
    options: Mapping[str, Any]

    @property
    def in_memory(self) -> bool:
        return not self.files[0].writer


def draw_layout(rng: Random, *, timed: bool) -> Layout:
    files = tuple(
        File(rng.choice(("pyarrow", "polars")), rng.choice(("us", "us", "us", "ns", "ns", "us", "us", "ms")),
             rng.choice(("string", "large", "dictionary")), rng.choice((3, 50, 10_000)))
        for _ in range(rng.choice((1, 2, 2, 3, 4, 5)))
    )  # fmt: skip
    if rng.random() < 0.15:
        files = (File("", rng.choice(("us", "ns")), rng.choice(("string", "large", "dictionary")), rng.choice((7, 10_000))),)
    form = rng.choice(("timestamp",) * 8 + ("integer", "text")) if timed else "timestamp"
    naive = form != "integer" and rng.random() < 0.4
    options: dict[str, Any] = {}
    if naive:
        options["timezone"] = rng.choice((rng.choice(ZONES), {EVENT: rng.choice(ZONES)}))
    if form != "timestamp":
        options |= {"time_unit": rng.choice(("us", "ns"))} if form == "integer" else {"time_format": "iso8601"}
    return Layout(files, form, naive, options)


def tables_of(
    rng: Random, rows: Sequence[Row], definition: Definition, columns: Sequence[str], layout: Layout
) -> list[pa.Table]:
    """The rows, shuffled and dealt to the layout's files, as the tables they hold."""
    dealt: list[list[Row]] = [[] for _ in layout.files]
    for row in rng.sample(rows, len(rows)):
        rng.choice(dealt).append(row)
    return [
        pa.table({c: _column(rng, c, [row[c] for row in part], definition.columns[c], file, layout) for c in columns})
        for part, file in zip(dealt, layout.files, strict=True)
    ]


def _column(rng: Random, name: str, values: list[Any], dtype: pa.DataType, file: File, layout: Layout) -> pa.Array:
    if pa.types.is_timestamp(dtype):
        return _times(rng, name, values, file, layout)
    array = pa.array(values, dtype)
    if pa.types.is_string(dtype) and file.text != "string":
        return array.cast(pa.large_string()) if file.text == "large" else array.dictionary_encode()
    return array


def _times(rng: Random, name: str, values: list[int | None], file: File, layout: Layout) -> pa.Array:
    zone = layout.options.get("timezone", "UTC")
    zone = zone if isinstance(zone, str) else zone.get(name, "UTC")
    shown = [_local(v, zone) if layout.naive and v is not None else v for v in values]
    if name in (EVENT, CREATED) and layout.form == "integer":
        unit = layout.options["time_unit"]
        return pa.array([_scaled(rng, v, unit) for v in shown], pa.int64())
    if name in (EVENT, CREATED) and layout.form == "text":
        return pa.array([None if v is None else _text(rng, v, naive=layout.naive) for v in shown])
    scaled = [_scaled(rng, v, file.unit) for v in shown]
    return pa.array(scaled, pa.int64()).cast(pa.timestamp(file.unit, None if layout.naive else "UTC"))


def _scaled(rng: Random, micros: int | None, unit: str) -> int | None:
    """A count of the unit that a source reads as these microseconds (nanoseconds round up); NULL beyond its range."""
    if micros is None or unit == "us":
        return micros
    if unit == "ms":
        return micros // 1_000
    nanos = micros * 1_000 - rng.choice((0, 0, 1, 999))
    return nanos if abs(nanos) < 2**63 - 1 else None


def _local(micros: int, zone: str) -> int:
    """What a wall clock of the zone shows, as if it were UTC."""
    shown = (_EPOCH + timedelta(microseconds=micros)).astimezone(ZoneInfo(zone))
    return (shown.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def _text(rng: Random, micros: int, *, naive: bool) -> str:
    hours = 0 if naive else rng.choice((0, 0, 2, -5))
    moment = _EPOCH + timedelta(microseconds=micros) + timedelta(hours=hours)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text if naive else text + ("Z" if hours == 0 else f"{hours:+03d}:00")


def write(tables: Sequence[pa.Table], folder: Path, layout: Layout | None = None) -> Path:
    """The tables as Parquet files in a folder made for them. Returns: the glob that names them."""
    folder.mkdir(parents=True)
    for number, table in enumerate(tables):
        file = layout.files[number] if layout else File("pyarrow", "us", "string", 10_000)
        path = folder / f"{number}.parquet"
        if file.writer == "polars":
            pl.from_arrow(table).write_parquet(path, row_group_size=file.row_group)
        else:
            pq.write_table(table, path, row_group_size=file.row_group)
    return folder / "*.parquet"


def read(pattern: Path) -> list[pa.Table]:
    """What lies in the files, as a reader other than the engines' sees it."""
    return [pq.read_table(path, partitioning=None) for path in sorted(pattern.parent.glob(pattern.name))]


def spine_table(rng: Random, rows: Sequence[Row], definition: Definition) -> tuple[pa.Table, str]:
    """The spine, and the zone in which its as_of is to be read."""
    columns = {name: spine_column([row[name] for row in rows], dtype) for name, dtype in definition.spine_types.items()}
    instants = [row["as_of"] for row in rows]
    form = rng.choice(("aware", "aware", "ns", "naive"))
    zone = rng.choice(ZONES) if form == "naive" else "UTC"
    if form == "ns":
        columns["as_of"] = pa.array([t * 1_000 + rng.choice((0, 1, 999)) for t in instants], pa.int64()).cast(
            pa.timestamp("ns", "UTC")
        )
    elif form == "naive":
        columns["as_of"] = pa.array([_local(t, zone) for t in instants], pa.int64()).cast(pa.timestamp("us"))
    return pa.table(columns), zone


def spine_column(values: list[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(dtype):
        return pa.array(values, pa.int64()).cast(dtype)
    if pa.types.is_dictionary(dtype):
        return pa.array(values, dtype.value_type).dictionary_encode()
    return pa.array(values, dtype)
