"""The rows of two training sets side by side, a bounded number at a time: by position, or by keys and as_of.

Rows of one key and instant are matched in their order. By keys, both files are first dealt out into buckets by the hash of
the key, so that what is in memory is one bucket of each.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.atomic import disk_errors
from featurestore.audit.cells import differing, plain, plain_type
from featurestore.errors import DataError, UsageError
from featurestore.sources.folders import ParquetTable

ROWS_AT_ONCE = 65_536
ROWS_OF_A_BUCKET = 250_000
ROW = "__row"
"""The number of a row in its file; no column of a training set is called so."""


@dataclass(frozen=True)
class Rows:
    """The rows of a training set in a file, or in a folder of Parquet files. A CSV holds text, whatever was written into it:
    `typed` is False then."""

    path: Path
    schema: pa.Schema
    typed: bool

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows in order, some at a time."""
        wanted = list(self.schema.names if columns is None else columns)
        with _reading(self.path):
            if not self.typed:
                with _csv(self.path) as reader:
                    for batch in reader:
                        yield pa.Table.from_batches([batch]).select(wanted)
                return
            with ParquetTable(self.path, page_checksum_verification=True, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=wanted):
                    yield pa.Table.from_batches([batch]).select(wanted)

    def count(self) -> int:
        if self.typed:
            with _reading(self.path), ParquetTable(self.path) as file:
                return file.rows
        return sum(table.num_rows for table in self.batches(self.schema.names[:1]))


def open_rows(path: Path) -> Rows:
    """Raises: UsageError FS106 for another suffix; DataError FS362 for a file that cannot be read."""
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".csv"):
        raise UsageError("FS106", f"unknown kind of training set {path.name!r}", known=(".parquet", ".csv", ".manifest.json"))
    with _reading(path):
        if suffix == ".parquet":
            with ParquetTable(path) as file:
                return Rows(path, file.schema_arrow.remove_metadata(), True)
        with _csv(path) as reader:
            return Rows(path, reader.schema, False)


def _csv(path: Path) -> pa.RecordBatchReader:
    """Every column as text; an empty field without quotes is NULL, as it was written."""
    from pyarrow import csv

    parse = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    options = csv.ConvertOptions(
        column_types={name: pa.string() for name in names}, strings_can_be_null=True, quoted_strings_can_be_null=False,
        null_values=[""],
    )  # fmt: skip
    return csv.open_csv(path, convert_options=options, parse_options=parse)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raises: DataError FS362 for what cannot be read."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            "FS362", f"the training set cannot be read: {reason}", where=path.name, hint="the file again"
        ) from error


@dataclass(frozen=True)
class Pairs:
    """Some rows of A and of B: those at the same place belong together. only_a, only_b: those nobody belongs to.

    Each table also has the column ROW.
    """

    a: pa.Table
    b: pa.Table
    only_a: pa.Table | None = None
    only_b: pa.Table | None = None


def same_columns(a: Rows, b: Rows, columns: Sequence[str]) -> bool:
    """Whether both have those columns with the same cells, row by row."""
    if not (set(columns) <= set(a.schema.names) & set(b.schema.names)) or not columns or a.count() != b.count():
        return False
    for one, other in _in_step(a.batches(columns), b.batches(columns)):
        for name in columns:
            if pc.any(differing(plain(one[name]), plain(other[name]))).as_py():
                return False
    return True


def by_position(a: Rows, b: Rows) -> Iterator[Pairs]:
    """Row i of A with row i of B, both of one length."""
    done = 0
    for one, other in _in_step(a.batches(), b.batches()):
        yield Pairs(_numbered(one, done), _numbered(other, done))
        done += one.num_rows


def _in_step(a: Iterator[pa.Table], b: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Two streams of as many rows, cut at the same places."""
    one, other = next(a, None), next(b, None)
    while one is not None and other is not None:
        rows = min(one.num_rows, other.num_rows)
        if rows:
            yield one.slice(0, rows), other.slice(0, rows)
        one = one.slice(rows) if one.num_rows > rows else next(a, None)
        other = other.slice(rows) if other.num_rows > rows else next(b, None)


def _numbered(table: pa.Table, first: int) -> pa.Table:
    return table.append_column(ROW, pa.arange(first, first + table.num_rows))


# By keys.


def by_keys(a: Rows, b: Rows, keys: Sequence[str], folder: Path | None = None) -> Iterator[Pairs]:
    """Rows with the same keys, duplicates in their order; bucket by bucket.

    folder: where buckets lie meanwhile; the system's by default.
    """
    buckets = max(1, -(-max(a.count(), b.count()) // ROWS_OF_A_BUCKET))
    types = {name: _common(a.schema.field(name).type, b.schema.field(name).type, name) for name in keys}
    where = Path(tempfile.mkdtemp(prefix="featurestore-diff-", dir=folder))
    try:
        dealt = [_dealt(rows, types, buckets, where / name) for rows, name in ((a, "a"), (b, "b"))]
        for number in range(buckets):
            yield _matched(_bucket(dealt[0], number), _bucket(dealt[1], number), types)
    finally:
        shutil.rmtree(where, ignore_errors=True)


def _common(a: pa.DataType, b: pa.DataType, name: str) -> pa.DataType:
    """The type in which a key of both is compared. Raises: UsageError FS152."""
    one, other = plain_type(a), plain_type(b)
    if one == other:
        return one
    for kind, text in ((other, one), (one, other)):
        if pa.types.is_large_string(text):
            return kind
    if all(pa.types.is_integer(kind) or pa.types.is_decimal(kind) for kind in (one, other)):
        return pa.decimal128(38, 0)
    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other):
        return pa.timestamp("ns" if "ns" in (one.unit, other.unit) else "us", other.tz)
    raise UsageError("FS152", f"key column {name!r} is {a} in one file and {b} in the other", hint="other --keys")


def _dealt(rows: Rows, types: dict[str, pa.DataType], buckets: int, folder: Path) -> Path:
    """The rows in files by bucket, in order, with their numbers; plain, because not every encoding can be put in an order."""
    folder.mkdir()
    done = 0
    schema = pa.schema([*((f.name, plain_type(f.type)) for f in rows.schema), (ROW, pa.int64())])
    with disk_errors(folder), ExitStack() as stack:
        writers = [stack.enter_context(pa.ipc.new_stream(str(folder / str(n)), schema)) for n in range(buckets)]
        for table in rows.batches():
            columns = [plain(column) for column in table.columns]
            numbered = _numbered(pa.table(columns, names=table.column_names), done)
            done += table.num_rows
            for number, mine in _by_bucket(numbered, types, buckets):
                writers[number].write_table(mine)
    return folder


def _by_bucket(table: pa.Table, types: dict[str, pa.DataType], buckets: int) -> Iterator[tuple[int, pa.Table]]:
    """(bucket, its rows of a table, in order)."""
    if buckets == 1:
        yield 0, table
        return
    hashed = (_frame(table, types).hash_rows(seed=0) % buckets).to_arrow()
    places = pa.table({"bucket": hashed, ROW: table[ROW]})
    sorted_rows = table.take(pc.sort_indices(places, [("bucket", "ascending"), (ROW, "ascending")]))
    first = 0
    for found in sorted(pc.value_counts(hashed).to_pylist(), key=lambda one: one["values"]):
        yield found["values"], sorted_rows.slice(first, found["counts"])
        first += found["counts"]


def _frame(table: pa.Table, types: dict[str, pa.DataType]) -> pl.DataFrame:
    """The keys alone, in types that both sides share. Raises: DataError FS362 for a key that is not of its type."""
    try:
        arrays = {f"k{i}": _read_as(table[name], kind) for i, (name, kind) in enumerate(types.items())}
    except pa.ArrowException as error:
        raise DataError("FS362", f"a key cannot be read: {str(error).splitlines()[0]}", hint="other --keys") from error
    return pl.DataFrame(pl.from_arrow(pa.table(arrays)))


def _read_as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    read = plain(column).cast(kind)
    return read.cast(pa.int64()) if pa.types.is_timestamp(kind) else read


def _bucket(folder: Path, number: int) -> pa.Table:
    with pa.memory_map(str(folder / str(number))) as file:
        return pa.ipc.open_stream(file).read_all().combine_chunks()


def _matched(a: pa.Table, b: pa.Table, types: dict[str, pa.DataType]) -> Pairs:
    names = [f"k{i}" for i in range(len(types))]
    one, other = (
        _frame(table, types).with_columns(pl.int_range(pl.len()).over(names).alias("nth")).with_row_index("at")
        for table in (a, b)
    )
    joined = one.join(other, on=[*names, "nth"], how="full", nulls_equal=True, suffix="_b").sort("at", "at_b")
    both = joined.filter(pl.col("at").is_not_null() & pl.col("at_b").is_not_null())
    left, right = (joined.filter(pl.col(gone).is_null())[mine] for mine, gone in (("at", "at_b"), ("at_b", "at")))
    return Pairs(
        a.take(both["at"].to_arrow()), b.take(both["at_b"].to_arrow()), a.take(left.to_arrow()), b.take(right.to_arrow())
    )


__all__ = ["ROW", "Pairs", "Rows", "by_keys", "by_position", "open_rows", "same_columns"]
