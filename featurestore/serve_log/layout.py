"""What a serve log is on the disk: which folder and name a file has, and what its columns are called.

One folder per service, in it one per day (UTC) on which rows were served, in it files whose name tells the instants that
were asked for: `<first t>_<last t>_<writer>.parquet`, microseconds. Look-ups of `view:feature`, which Feast's clients ask for
without a service, lie under FEATURES.

Columns: those of COLUMNS, then `key.<name>` or `key_hash.<name>`, `request.<name>`, and of each feature `<name>` and
`<name>__status`. What a setting redacts has no column. No feature's name holds a dot, so none is taken for a key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from featurestore.intervals import format_instant

FORMAT = 1
FORMAT_KEY = b"featurestore.serve_log"
FEATURES = "_features"
"""Stands for the service where none was asked for. No service is called so."""

_STAMP = pa.timestamp("us", "UTC")
COLUMNS: dict[str, pa.DataType] = {
    "t": _STAMP,  # the instant answered for
    "served_at": _STAMP,  # the end of the request
    "latency_us": pa.int64(),  # from its head to its answer
    "fingerprint": pa.string(),  # of the service; "" under FEATURES
    "watermarks": pa.string(),  # JSON, view -> microseconds
    "request_id": pa.string(),  # rows of one request share it
    "sampled": pa.float64(),  # the share of requests that was logged
}
"""What every file has."""
KEY, KEY_HASH, REQUEST, STATUS = "key.", "key_hash.", "request.", "__status"
_OWN = "feature."
"""Before the name of a feature that is called as one of COLUMNS is."""
_NAME = re.compile(r"(-?\d{1,19})_(-?\d{1,19})_([0-9a-z-]+)\.parquet", re.ASCII)


class Named(NamedTuple):
    """A file of the log, as its name and folder tell it. day: YYYY-MM-DD. first, last: its least and greatest t."""

    path: Path
    day: str
    first: int
    last: int


def named(path: Path) -> Named | None:
    """None for a file that is none of the log's."""
    match = _NAME.fullmatch(path.name)
    return None if match is None else Named(path, path.parent.name, int(match[1]), int(match[2]))


def file_of(folder: Path, service: str, served_at: int, first: int, last: int, writer: str) -> Path:
    """Where a file belongs."""
    return folder / service / day_of(served_at) / f"{first}_{last}_{writer}.parquet"


def day_of(micros: int) -> str:
    """The UTC day of an instant."""
    return format_instant(micros)[:10]


def column_of(feature: str) -> str:
    """The column that holds a feature's values."""
    return _OWN + feature if feature in COLUMNS else feature


def status_of(feature: str) -> str:
    """The column that holds its statuses."""
    return feature + STATUS


def features(columns: Sequence[str]) -> list[str]:
    """The features that are logged, in service order, given a file's columns."""
    return [name.removesuffix(STATUS) for name in columns if name.endswith(STATUS)]


def keys(columns: Sequence[str]) -> list[str]:
    """The join keys that are logged."""
    return [name.removeprefix(KEY) for name in columns if name.startswith(KEY)]


def request_columns(columns: Sequence[str]) -> list[str]:
    """The columns of requests that are logged."""
    return [name.removeprefix(REQUEST) for name in columns if name.startswith(REQUEST)]
