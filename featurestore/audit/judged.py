"""The training set under audit: a file or frame that anybody may have written, read as questions and as found values.

Which of its columns are keys, the instant, and what on-demand features take from the request is the service's to say; what a
column means under another name is told by `renamed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore.audit import columns
from featurestore.dtypes import DType, parse_dtype
from featurestore.errors import SpineError, UsageError, nearest
from featurestore.retrieval.output import manifest_of
from featurestore.retrieval.spine import Spine, instants, open_spine, spine_of

AS_OF = "__as_of"
_KINDS = (".parquet", ".pq", ".csv", "")
_WIDE, _NARROW = parse_dtype("decimal128(38, 0)"), parse_dtype("int64")


@dataclass(frozen=True)
class Reading:
    """How the file's columns are named and its instants read. renamed: {column of the file: its name here}; where_there:
    those columns alone that the file has under the old name."""

    as_of: str = "as_of"
    timezone: str = "UTC"
    as_of_format: str | None = None
    renamed: Mapping[str, str] | None = None
    where_there: bool = False


class Judged:
    """The rows of a training set, or of the spine it should have. names: its columns, renamed. manifest: the one that
    featurestore wrote beside it, if so.

    Raises: SpineError, UsageError FS102 (a column to be renamed that is not there, or a name given twice).
    """

    def __init__(self, given: Any, reading: Reading) -> None:
        self.reading = reading
        self._spine = _opened(given, reading)
        self.is_text = isinstance(given, str | Path) and str(given).lower().endswith(".csv")
        self.manifest = manifest_of(Path(given)) if isinstance(given, str | Path) else None
        self._own = self._names(reading.renamed or {})
        self.names = tuple(self._own)

    @property
    def rows(self) -> int:
        return self._spine.rows

    def _names(self, renamed: Mapping[str, str]) -> dict[str, str]:
        """{name here: column of the file}."""
        found = self._spine.schema.names
        if self.reading.where_there:
            renamed = {old: new for old, new in renamed.items() if old in found and new not in found}
        for old in renamed:
            if old not in found:
                raise UsageError("FS102", f"the file has no column {old!r}", known=found, hint=nearest(old, found))
        own: dict[str, str] = {}
        for column in found:
            name = renamed.get(column, column)
            if name in own:
                what = f"columns {own[name]!r} and {column!r} would both be {name!r}"
                raise UsageError("FS102", what, hint="--map OLD=NEW, each NEW once")
            own[name] = column
        return own

    def column(self, name: str) -> pa.ChunkedArray:
        own = self._own[name]
        return pa.chunked_array([columns.plain(self._spine.columns([own])[own])])

    def type_of(self, name: str) -> pa.DataType:
        return self._spine.schema.field(self._own[name]).type

    def batches(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns, ROWS_AT_ONCE rows at a time; one empty table for a file without rows. Raises: SpineError FS301."""
        for table in self._spine.batches([self._own[name] for name in names]):
            yield table.rename_columns(list(names))

    def instants(self) -> pa.Array:
        """as_of in microseconds, per row. Raises: SpineError FS300, FS303."""
        as_of, reading = self.reading.as_of, self.reading
        if as_of not in self._own:
            near = nearest(as_of, self.names) or "--as-of-column NAME"
            raise SpineError("FS303", f"the file has no column {as_of!r}", known=self.names, hint=near)
        return instants(
            spine_of(pa.table({as_of: self.column(as_of)})), as_of, timezone=reading.timezone, as_of_format=reading.as_of_format
        )

    def questions(self, keys: Mapping[str, DType], request: Mapping[str, DType], at: pa.Array) -> pa.Table:
        """Keys, what is taken from the request, and AS_OF: a spine that asks what the file answers.

        Raises: SpineError FS302, FS303 for a column that is missing or cannot be a key.
        """
        table: dict[str, Any] = {name: self._key(name, dtype) for name, dtype in keys.items()}
        for name, dtype in request.items():
            table[name] = self._read(name, dtype) if self.is_text else self.column(self._known(name))
        return pa.table({**table, AS_OF: at.cast(pa.timestamp("us", "UTC"))})

    def _known(self, name: str) -> str:
        if name not in self._own:
            near = nearest(name, self.names) or f"--map COLUMN={name}"
            raise SpineError("FS303", f"the file has no column {name!r}", known=self.names, hint=near)
        return name

    def _key(self, name: str, dtype: DType) -> pa.ChunkedArray:
        """A key column; text of a CSV, and whole numbers that pandas made floats of, are read in the key's type."""
        column = self.column(self._known(name))
        floats = pa.types.is_floating(column.type) and dtype.key_family == "integer"
        if (self.is_text and dtype.key_family != "text") or floats:
            self._check_digits(name, column)
            return self._read(name, _of_family(dtype))
        return column

    def _check_digits(self, name: str, column: pa.ChunkedArray) -> None:
        """Raises: SpineError FS302 for keys that went through doubles and lost digits there."""
        if pa.types.is_string(column.type):
            column = column.filter(pc.fill_null(pc.match_substring_regex(column, r"^[+-]?[0-9]+\.0*$"), False))
        numbers = pc.abs(column.cast(pa.float64()))
        if len(numbers) and pc.any(pc.greater_equal(numbers, 2.0**53), min_count=0).as_py():
            what = f"key column {name!r} went through floating point, and numbers beyond 2^53 have lost digits there"
            raise SpineError("FS302", what, hint="write it from integers, such as pandas' Int64")

    def _read(self, name: str, dtype: DType) -> pa.ChunkedArray:
        read, bad = columns.read(self.column(name), dtype, self.reading.timezone)
        if bad is not None:
            row = pc.index(bad, True).as_py()
            value = self.column(name)[row].cast(pa.string()).as_py()
            what = f"column {name!r} is {dtype}, but row {row} (counted from 0) holds {value!r}"
            raise SpineError("FS302", what, hint=f"a value of type {dtype}, or NULL")
        return pa.chunked_array([read])


def _opened(given: Any, reading: Reading) -> Spine:
    """Raises: SpineError FS301 in words of a training set."""
    if isinstance(given, str | Path) and Path(given).suffix.lower() not in _KINDS:
        what = f"unknown kind of file {Path(given).name!r}"
        raise SpineError("FS301", what, known=[".parquet", ".csv"], hint="a Parquet or CSV file")
    try:
        return open_spine(given, keys={}, as_of=reading.as_of)
    except SpineError as error:
        what = error.what.replace("no spine file", "no file").replace("the spine", "the file")
        raise SpineError(error.code, what, where=error.where, known=error.known, hint=error.hint) from error


def _of_family(key: DType) -> DType:
    """The type in which any value of a key's family is read: one outside the source's range matches nothing."""
    if key.key_family != "integer":
        return key
    return _WIDE if key.is_decimal or key.name == "uint64" else _NARROW


__all__ = ["AS_OF", "Judged", "Reading"]
