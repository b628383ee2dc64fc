"""Read a spine: the rows that ask. Decides what its keys and instants are; its own columns pass through untouched.

A spine is a Parquet or CSV file, a folder of Parquet files (in the order of their names), a pyarrow table or reader, a Polars
or pandas frame, or a DuckDB relation (in the order in which it is first delivered).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.dtypes import DType, decoded, from_arrow
from featurestore.errors import FeatureStoreError, SpineError, UsageError, nearest
from featurestore.intervals import FOREVER, zone
from featurestore.retrieval.content import ContentHash
from featurestore.sources import folders
from featurestore.sources.folders import ParquetTable
from featurestore.sources.times import TimeReading, to_micros

ROWS_AT_ONCE = 131_072


@dataclass(frozen=True)
class Spine:
    """The rows that ask, unread columns left where they are.

    schema: its columns as they will stand in the training set. Either `table` or `path` (Parquet) holds the rows. first: the
    number of its first row, where it is a piece of another.
    """

    schema: pa.Schema
    rows: int
    table: pa.Table | None = None
    path: Path | None = None
    identity: Mapping[str, Any] | None = None
    first: int = 0

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns, whole."""
        if self.table is not None:
            return self.table.select(names)
        assert self.path is not None
        with reading(self.path), ParquetTable(self.path) as file:
            return file.read(columns=list(names)).select(list(names))

    def batches(self, names: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows in order, or some columns of them, ROWS_AT_ONCE at a time; one empty table for an empty spine."""
        schema = self.schema if names is None else pa.schema([self.schema.field(name) for name in names])
        if self.table is not None:
            for start in range(0, max(self.rows, 1), ROWS_AT_ONCE):
                yield self.table.slice(start, ROWS_AT_ONCE).select(schema.names)
            return
        if self.rows == 0:
            yield schema.empty_table()
            return
        pending: list[pa.Table] = []
        held = 0
        for batch in self._read(names):
            pending.append(pa.Table.from_batches([batch]).select(schema.names).cast(schema))
            held += batch.num_rows
            while held >= ROWS_AT_ONCE:
                whole = pa.concat_tables(pending)
                yield whole.slice(0, ROWS_AT_ONCE)
                pending, held = [whole.slice(ROWS_AT_ONCE)], held - ROWS_AT_ONCE
        if held:
            yield pa.concat_tables(pending)

    def _read(self, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        assert self.path is not None
        with reading(self.path), ParquetTable(self.path, page_checksum_verification=True) as file:
            yield from file.iter_batches(batch_size=ROWS_AT_ONCE, columns=names)


def spine_of(table: pa.Table) -> Spine:
    """A table as a spine, its names unchecked."""
    return Spine(schema=table.schema, rows=table.num_rows, table=table)


@contextmanager
def reading(path: Path | None) -> Iterator[None]:
    """Raises: SpineError FS301 for what the Parquet reader cannot make sense of."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason, name = str(error).splitlines()[0], "" if path is None else path.name
        raise SpineError("FS301", f"the spine cannot be read as Parquet: {reason}", where=name) from error


def open_spine(given: Any, *, keys: Mapping[str, DType], as_of: str) -> Spine:
    """Open whatever a user calls a spine. `keys` gives the types in which keys and request columns are read from CSV.

    Raises: UsageError FS105 (no such file or kind), SpineError FS301 (not readable), FS304 (columns that clash).
    """
    if isinstance(given, str | Path):
        spine = _from_file(Path(given), keys)
        _check_names(spine.schema)
        return spine
    try:
        table = _from_memory(given)
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise SpineError("FS301", f"the spine cannot be read as a table: {reason}", hint="one type per column") from error
    _check_names(table.schema)
    return Spine(schema=table.schema, rows=table.num_rows, table=table, identity={"kind": "memory"})


def _from_file(path: Path, keys: Mapping[str, DType]) -> Spine:
    if not folders.is_there(path):
        raise SpineError("FS301", f"no spine file {path.name!r}", where=str(path), hint="a Parquet or CSV file")
    identity = {"kind": "file", "name": path.name, "size": folders.size(path), "sha256": folders.identity(path)}
    if path.suffix.lower() == ".csv":
        table = _read_csv(path, keys)
        return Spine(schema=table.schema, rows=table.num_rows, table=table, identity=identity)
    with reading(path), ParquetTable(path) as file:
        schema = file.schema_arrow.remove_metadata()
        return Spine(schema=schema, rows=file.rows, path=path, identity=identity)


def _read_csv(path: Path, keys: Mapping[str, DType]) -> pa.Table:
    """Every column as text; keys and request columns are then read with the service's types ("007" stays text where the
    key is text), instants later, as as_of is."""
    from pyarrow import csv

    try:
        with path.open("rb") as file:
            header = csv.open_csv(file).schema.names if path.stat().st_size else []
        options = csv.ConvertOptions(
            column_types={name: pa.string() for name in header}, strings_can_be_null=True, quoted_strings_can_be_null=False,
            null_values=[""],
        )  # fmt: skip
        table = csv.read_csv(path, convert_options=options, parse_options=csv.ParseOptions(newlines_in_values=True))
    except (pa.ArrowException, OSError) as error:
        raise SpineError("FS301", f"the spine cannot be read as CSV: {str(error).splitlines()[0]}", where=path.name) from error
    _check_names(table.schema)
    for name, dtype in keys.items():
        if name in table.column_names and dtype.name != "string" and not dtype.is_timestamp:
            at = table.column_names.index(name)
            table = table.set_column(at, name, _parsed(table[name], dtype, name))
    return table


def _parsed(column: pa.ChunkedArray, dtype: DType, name: str) -> pa.ChunkedArray:
    if dtype.key_family == "integer":
        good = pc.match_substring_regex(column, r"^[+-]?0*[0-9]{1,38}$")
        bad = pc.index(pc.fill_null(good, True), False).as_py()
        if bad >= 0:
            raise SpineError(
                "FS302", f"column {name!r} is an integer, but row {bad} (counted from 0) holds {column[bad].as_py()!r}",
                hint="digits, 38 at most",
            )  # fmt: skip
        exact = pc.replace_substring_regex(column, r"^([+-]?)0*([0-9])", r"\1\2").cast(pa.decimal128(38, 0))
        try:
            return exact.cast(dtype.arrow)
        except pa.ArrowInvalid:  # a value outside the source's range matches nothing, and is still the spine's
            return exact
    try:
        return column.cast(dtype.arrow)
    except pa.ArrowException as error:
        raise SpineError("FS302", f"column {name!r} cannot be read as {dtype}: {str(error).splitlines()[0]}") from error


def _from_memory(given: Any) -> pa.Table:
    if isinstance(given, pa.Table):
        return given.replace_schema_metadata(None)
    if isinstance(given, pa.RecordBatch):
        return pa.Table.from_batches([given]).replace_schema_metadata(None)
    if isinstance(given, pa.RecordBatchReader):
        return given.read_all().replace_schema_metadata(None)
    module = type(given).__module__.split(".")[0]
    if module == "pandas":
        return pa.Table.from_pandas(given, preserve_index=False).replace_schema_metadata(None)
    if module == "polars" and hasattr(given, "collect"):
        given = given.collect()
    if hasattr(given, "to_arrow_table"):
        return given.to_arrow_table().replace_schema_metadata(None)
    if hasattr(given, "__arrow_c_stream__"):
        return pa.table(given).replace_schema_metadata(None)
    raise UsageError(
        "FS105", f"a {type(given).__name__} is no spine",
        hint="a path, or a pyarrow, Polars, pandas or DuckDB table",
    )  # fmt: skip


def _check_names(schema: pa.Schema) -> None:
    seen: dict[str, str] = {}
    for name in schema.names:
        twin = seen.get(name.lower())
        seen[name.lower()] = name
        if twin is not None:
            what = (
                f"two columns named {name!r}" if twin == name else f"columns {twin!r} and {name!r}, which differ in case only"
            )
            raise SpineError("FS304", f"the spine has {what}", hint="rename one")


def check_features(schema: pa.Schema, added: Sequence[str]) -> None:
    """No column of the spine has the name of a column to be added, in any case. Raises: SpineError FS304."""
    lower = {name.lower(): name for name in schema.names}
    for name in added:
        if name.lower() in lower:
            raise SpineError(
                "FS304", f"spine column {lower[name.lower()]!r} has the name of feature {name!r}",
                hint="rename the spine's column, or view.with_prefix('…')",
            )  # fmt: skip


def check_label(schema: pa.Schema, label: str, taken: Sequence[str], built: Container[str] = ()) -> None:
    """The label is a column of the spine, and not one that asks (`taken`). `built`: labels that label views make.

    Raises: UsageError FS110.
    """
    if label in built:
        what = f"{label!r} is made by a label view of the service, not read from the spine"
        raise UsageError("FS110", what, hint="leave --label away")
    if label not in schema.names:
        raise UsageError(
            "FS110",
            f"the spine has no label column {label!r}",
            known=schema.names,
            hint=nearest(label, schema.names),
        )
    if label in taken:
        free = [name for name in schema.names if name not in taken]
        raise UsageError("FS110", f"label column {label!r} is a join key, a request column or as_of", known=free)


def instants(spine: Spine, as_of: str, *, timezone: str = "UTC", as_of_format: str | None = None) -> pa.Array:
    """The spine's as_of as int64 microseconds.

    Naive times are read in `timezone`, dates mean the first instant of their day, nanoseconds round down; text is ISO
    8601 or `as_of_format`. Raises: SpineError FS303 (no such column, or not a time), FS300 (NULL or unreadable; the
    first bad row is named).
    """
    if as_of not in spine.schema.names:
        raise SpineError(
            "FS303", f"the spine has no column {as_of!r}", known=spine.schema.names,
            hint=nearest(as_of, spine.schema.names) or "--as-of-column NAME",
        )  # fmt: skip
    column = spine.columns([as_of])[as_of]
    how = TimeReading(zone=zone(timezone).key, format=as_of_format or "iso8601")
    try:
        micros = to_micros(column, how)
    except FeatureStoreError:
        raise SpineError(
            "FS303", f"as_of column {as_of!r} is {column.type}, which is not a time", hint="a timestamp with a zone"
        ) from None
    bad = pc.index(_usable(micros), False).as_py()
    if bad >= 0:
        shown = column[bad].cast(pa.string()).as_py() if column[bad].is_valid else "NULL"
        hint = "--as-of-format, or drop the row" if pa.types.is_string(column.type) and column[bad].is_valid else "drop the row"
        raise SpineError("FS300", f"as_of column {as_of!r} is {shown} in row {spine.first + bad} (counted from 0)", hint=hint)
    return micros


def _usable(micros: pa.Array) -> pa.Array:
    """Present, and so far from the ends of int64 that no window or tick can leave it."""
    limit = FOREVER // 8
    inside = pc.and_(pc.less(micros, limit), pc.greater(micros, -limit))
    return pc.fill_null(inside, False)


def key_column(spine: Spine, column: str, dtype: DType) -> pa.Array:
    """A spine column as a join key of the source's type; values outside its range become NULL and match nothing.

    Raises: SpineError FS303 (missing, or floats), FS302 (another family).
    """
    if column not in spine.schema.names:
        hint = nearest(column, spine.schema.names)
        raise SpineError("FS303", f"the spine has no key column {column!r}", known=spine.schema.names, hint=hint)
    values = spine.columns([column])[column].combine_chunks()
    return to_key(values, column, dtype)


def request_column(spine: Spine, column: str, dtype: DType, *, timezone: str = "UTC") -> pa.Array:
    """A spine column as a request input of a declared type: of that type, or of a narrower one of its kind.

    Instants are read as as_of is, naive ones in `timezone`. Raises: SpineError FS303 (missing), FS302 (another type, or a
    value that the type does not hold; the first bad row is named).
    """
    if column not in spine.schema.names:
        raise SpineError(
            "FS303", f"the spine has no column {column!r}, which an on-demand feature takes from the request",
            known=spine.schema.names, hint=nearest(column, spine.schema.names) or f"a column {column} of type {dtype}",
        )  # fmt: skip
    values = decoded(spine.columns([column])[column])
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), dtype.arrow)
    if not _is_readable(values.type, dtype):
        what = f"request column {column!r} is {values.type}, but the on-demand view's is {dtype}"
        raise SpineError("FS302", what, hint=f"a cast to {dtype}")
    if dtype.is_timestamp:
        read = to_micros(values, TimeReading(zone=zone(timezone).key, format="iso8601"))
    else:
        read = _cast_where_it_fits(values, dtype)
    bad = pc.index(pc.and_(read.is_null(), values.is_valid()), True).as_py()
    if bad >= 0:
        shown = values[bad].cast(pa.string()).as_py()
        raise SpineError(
            "FS302", f"request column {column!r} is {dtype}, but row {spine.first + bad} (counted from 0) holds {shown!r}",
            hint="a value of that type, or NULL",
        )  # fmt: skip
    return read.cast(dtype.arrow)


def _is_readable(arrow: pa.DataType, dtype: DType) -> bool:
    """Whether a column may stand for a request input: what the reader of a file may have made of the declared type."""
    try:
        found = from_arrow(arrow)
    except FeatureStoreError:
        return False
    if dtype.is_timestamp:
        return found.is_timestamp or found.name == "string"
    if dtype.is_integer:
        return found.is_integer
    if dtype.is_float:
        return found.is_float and (found.name == "float" or dtype.name == "double")
    return found == dtype


def _cast_where_it_fits(values: pa.Array, dtype: DType) -> pa.Array:
    """Values in the declared type; NULL where it does not hold them."""
    try:
        return values.cast(dtype.arrow)
    except pa.ArrowInvalid:
        return pa.array([_held(v, dtype) for v in values.to_pylist()], dtype.arrow)


def _held(value: int | None, dtype: DType) -> int | None:
    try:
        return None if value is None else pa.scalar(value, dtype.arrow).as_py()
    except (pa.ArrowInvalid, OverflowError):
        return None


def to_key(values: pa.Array, column: str, dtype: DType) -> pa.Array:
    """Values of any encoding as keys that compare with a source column of `dtype`."""
    values = decoded(values)
    family = _family(values.type)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), _key_arrow(dtype))
    if family != dtype.key_family:
        if family == "float":
            raise SpineError(
                "FS303", f"key column {column!r} is {values.type}: floats lose digits as keys", hint=f"a cast to {dtype}"
            )
        hint = f"a cast to {dtype}"
        raise SpineError("FS302", f"key column {column!r} is {values.type}, but the source's is {dtype}", hint=hint)
    if family == "integer":
        return _integer_key(values, dtype)
    return values.cast(_key_arrow(dtype))


def _family(arrow: pa.DataType) -> str | None:
    if pa.types.is_floating(arrow):
        return "float"
    try:
        return from_arrow(arrow).key_family
    except FeatureStoreError:
        return None


def _key_arrow(dtype: DType) -> pa.DataType:
    if dtype.key_family == "integer":
        wide = dtype.is_decimal or dtype.name == "uint64"
        return pa.decimal128(38, 0) if wide else pa.int64()
    return dtype.arrow


def _integer_key(values: pa.Array, dtype: DType) -> pa.Array:
    target = _key_arrow(dtype)
    if pa.types.is_decimal(target):
        return values.cast(target)
    if pa.types.is_uint64(values.type):
        values = pc.if_else(pc.less_equal(values, pa.scalar(2**63 - 1, pa.uint64())), values, None)
    elif pa.types.is_decimal(values.type):
        wide = values.cast(pa.decimal128(38, 0))
        low, high = (pa.scalar(x, pa.int64()).cast(pa.decimal128(38, 0)) for x in (-(2**63), 2**63 - 1))
        values = pc.if_else(pc.and_(pc.greater_equal(wide, low), pc.less_equal(wide, high)), wide, None)
    return values.cast(pa.int64())


def content_identity(table: pa.Table) -> str:
    """What tells a spine from memory: its schema, values and order, not how they lie in memory."""
    content = ContentHash(table.schema)
    content.update(table)
    return content.hexdigest()
