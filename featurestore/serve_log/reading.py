"""Read a serve log, while servers write to it and retention takes from it: a file that is gone is left out.

Files of one service may differ in their columns, for its definition may have changed. A batch has the columns of its file; a
table has all of them. What a row's service did not have is null there, its status too, which no served cell's is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.errors import StoreError
from featurestore.serve_log.layout import COLUMNS, FORMAT, FORMAT_KEY, Named, named

ROWS_AT_A_TIME = 65_536


def services(folder: Path) -> list[str]:
    """The services that were logged, by name."""
    return sorted(one.name for one in _folders(folder) if not one.name.startswith("_"))


def all_files(folder: Path) -> list[Named]:
    """Every file of the log, the longest served first."""
    found = [named(path) for service in _folders(folder) for day in _folders(service) for path in _entries(day)]
    return sorted((one for one in found if one is not None), key=lambda one: (one.day, one.first, one.path.name))


def files(folder: Path, service: str, start: int, end: int) -> list[Path]:
    """The files that may hold rows of t in [start, end), microseconds; oldest t first."""
    found = [named(path) for day in _folders(folder / service) for path in _entries(day)]
    meant = [one for one in found if one is not None and one.first < end and one.last >= start]
    return [one.path for one in sorted(meant, key=lambda one: (one.first, one.last, one.path.name))]


def batches(folder: Path, service: str, start: int, end: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of t in [start, end), file by file, a bounded number at a time; never an empty batch.

    columns: those wanted; what a file does not have, its batches do not have. Raises: StoreError FS485.
    """
    for path in files(folder, service, start, end):
        yield from _of_file(path, start, end, columns)


def read(
    folder: Path,
    service: str,
    start: int,
    end: int,
    *,
    columns: Sequence[str] | None = None,
    most: int | None = None,
    seed: int = 0,
) -> pa.Table:
    """Rows of t in [start, end) as one table, oldest file first.

    most: a uniform draw of that many rows, in their order; memory grows with it and not with the log. Where a column changed
    its type and no type holds both, the rows of the newest type are given alone. Without any row, the columns wanted of
    COLUMNS. Raises: StoreError FS485.
    """
    found = batches(folder, service, start, end, columns)
    tables = [pa.table(batch) for batch in (found if most is None else _drawn(found, most, seed))]
    if not tables:
        wanted = [name for name in COLUMNS if columns is None or name in columns]
        return pa.schema([(name, COLUMNS[name]) for name in wanted]).empty_table()
    return _together(tables)


def _of_file(path: Path, start: int, end: int, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check(path, schema)
            wanted = [name for name in schema.names if columns is None or name in columns]
            plain = pa.schema([schema.field(name) for name in wanted])
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=list(dict.fromkeys(["t", *wanted]))):
                t = batch["t"].cast(pa.int64())
                meant = batch.filter(pc.and_(pc.greater_equal(t, start), pc.less(t, end))).select(wanted)
                if meant.num_rows:
                    yield pa.RecordBatch.from_arrays(meant.columns, schema=plain)
    except FileNotFoundError:
        return
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, str(error)) from error


def _check(path: Path, schema: pa.Schema) -> None:
    told = (schema.metadata or {}).get(FORMAT_KEY)
    if told is None or "t" not in schema.names:
        raise _unreadable(path, "it is no file of a serve log")
    if int(told) > FORMAT:
        raise StoreError("FS485", f"a serve log of format {int(told)}", where=str(path), hint="a newer featurestore")


def _unreadable(path: Path, why: str) -> StoreError:
    return StoreError("FS485", f"cannot be read: {why.splitlines()[0]}", where=str(path), hint="the log without that file")


def _drawn(found: Iterator[pa.RecordBatch], most: int, seed: int) -> list[pa.RecordBatch]:
    """Every row gets a random number; those with the least ones stay, in the order they came."""
    import numpy as np  # late: who writes the log needs none

    generator = np.random.default_rng(seed)
    kept: list[tuple[pa.RecordBatch, Any]] = []
    held, bound = 0, 1.0
    for batch in found:
        kept.append(_below(batch, generator.random(batch.num_rows), bound))
        held += len(kept[-1][1])
        if held > 2 * most:
            bound, kept = _least(kept, most)
            held = most
    if held > most:
        _, kept = _least(kept, most)
    return [batch for batch, _ in kept if batch.num_rows]


def _least(kept: list[tuple[pa.RecordBatch, Any]], most: int) -> tuple[float, list[tuple[pa.RecordBatch, Any]]]:
    """The rows with the `most` least numbers, and the number they are all below."""
    import numpy as np

    numbers = np.concatenate([drawn for _, drawn in kept])
    bound = float(np.partition(numbers, most)[most])
    return bound, [_below(batch, drawn, bound) for batch, drawn in kept]


def _below(batch: pa.RecordBatch, drawn: Any, bound: float) -> tuple[pa.RecordBatch, Any]:
    stay = drawn < bound
    return (batch, drawn) if stay.all() else (batch.filter(pa.array(stay)), drawn[stay])


def _together(tables: list[pa.Table]) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        newest = tables[-1].schema
        return pa.concat_tables([one for one in tables if _agree(one.schema, newest)], promote_options="permissive")


def _agree(one: pa.Schema, other: pa.Schema) -> bool:
    return all(one.field(name).type == other.field(name).type for name in one.names if name in other.names)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
