"""What a push must bring: a value for every column of the source, of its type, or nothing is taken.

Decides which sources can be pushed to, which columns their pushes have, and which rows are refused. Times of an event are
instants here, however files write them. The arrival is nobody's to bring: it is the log's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featurestore import trees
from featurestore.definitions import Source
from featurestore.definitions.expectations import FAIL, QUARANTINE
from featurestore.definitions.source import PUSHED_AT, as_arrow
from featurestore.dtypes import TIMESTAMP, DType, from_arrow, parse_dtype
from featurestore.errors import FeatureStoreError, PushError, UsageError, nearest
from featurestore.intervals import FOREVER, Duration, format_instant
from featurestore.sources.push_segments import POSITION
from featurestore.sources.times import TimeReading, to_micros
from featurestore.typed_values import NotOfType, brief, read, read_source_time

MAX_ROWS = 1_000_000
"""The most rows of one push."""
RESERVED = (PUSHED_AT, POSITION)


@dataclass(frozen=True)
class PushTarget:
    """A source as pushes see it. columns: what a row brings, in order, with types; `deleted` may be left out.

    created: the column that will tell the arrival. time_range: [first, end) of event and known times. expected: what a row must
    be like, as (reason, column, condition that is TRUE for it, as data); who takes a push judges that.
    """

    source: str
    columns: Mapping[str, DType]
    event: str
    created: str | None
    row_key: tuple[str, ...]
    deleted: str | None
    time_range: tuple[int, int]
    expected: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()

    @classmethod
    def of(cls, source: Source, types: Mapping[str, DType]) -> PushTarget:
        """Raises: UsageError FS140 for a source that cannot be pushed to."""
        if not source.row_key or source.event_timestamp is None:
            raise _no_row_key(source.name)
        taken = [name for name in types if name.lower() in RESERVED]
        if taken:
            raise UsageError("FS140", f"source {source.name!r} has a column {taken[0]!r}, which a push log needs for itself")
        columns = {name: dtype for name, dtype in types.items() if name != source.created_timestamp}
        return cls(
            source.name, columns | {source.event_timestamp: TIMESTAMP}, source.event_timestamp, source.created_timestamp,
            source.row_key, source.deleted, source.time_range, tuple(_expected(source, types)),
        )  # fmt: skip

    def to_data(self) -> dict[str, Any]:
        """As the online store keeps it, for a server that has no definitions."""
        return {
            "columns": [[name, dtype.name] for name, dtype in self.columns.items()],
            "event": self.event,
            "created": self.created,
            "row_key": list(self.row_key),
            "deleted": self.deleted,
            "time_range": list(self.time_range),
            **({"expected": [list(one) for one in self.expected]} if self.expected else {}),
        }

    @classmethod
    def from_data(cls, name: str, data: Mapping[str, Any]) -> PushTarget:
        """Raises: UsageError FS140 for a source that cannot be pushed to."""
        if not data["row_key"]:
            raise _no_row_key(name)
        first, end = data["time_range"]
        return cls(
            name, {column: parse_dtype(t) for column, t in data["columns"]}, data["event"], data["created"],
            tuple(data["row_key"]), data["deleted"], (first, end), tuple(tuple(one) for one in data.get("expected", ())),
        )  # fmt: skip

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, dtype.arrow) for name, dtype in self.columns.items()])

    def rows(self, given: Any, *, now: int, skew: Duration, from_json: bool = False) -> pa.RecordBatch:
        """The rows of a push, checked. given: a list of {column: value}, or a pyarrow, Polars or pandas table.

        now: the clock's instant; skew: how far beyond it an event may lie. from_json: instants are text, never integers.
        Raises: PushError FS340 (no rows, too many, a wrong column or value, a NULL row key), FS341 (an event beyond the
        clock, or a time outside the source's time range). All rows are good, or none is taken.
        """
        is_list = isinstance(given, list | tuple)
        count = len(given) if is_list else _frame(given).num_rows
        if not 0 < count <= MAX_ROWS:
            raise PushError("FS340", f"a push of {count:,} rows", hint=f"1 to {MAX_ROWS:,} rows")
        columns = self._of_rows(given, from_json) if is_list else self._of_frame(_frame(given))
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        self._check(batch, now, skew.micros)
        return batch

    def _of_rows(self, rows: Sequence[Any], from_json: bool) -> list[pa.Array]:
        optional = {} if self.deleted is None else {self.deleted: False}
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise self._wrong(number, f"is {brief(row)}, not an object", hint='{"column": value, …}')
            self._check_names(row, f"row {number} (counted from 0)", {*row, *optional})
        return [self._column(name, dtype, [row.get(name, optional.get(name)) for row in rows], from_json)
                for name, dtype in self.columns.items()]  # fmt: skip

    def _check_names(self, names: Any, where: str, covered: set[str]) -> None:
        for name in names:
            if name == self.created:
                what = f"column {name!r} tells when a row arrived; the push log sets it"
                raise PushError("FS340", what, where=where, hint="leave it out")
            if name not in self.columns:
                hint = nearest(str(name), self.columns)
                raise PushError("FS340", f"unknown column {name!r} of source {self.source!r}", where=where,
                                known=self.columns, hint=hint)  # fmt: skip
        for name in self.columns:
            if name not in covered:
                what = f"column {name!r} ({self.columns[name]}) of source {self.source!r} is missing"
                raise PushError("FS340", what, where=where, hint="null where it has no value")

    def _column(self, name: str, dtype: DType, values: Sequence[Any], from_json: bool) -> pa.Array:
        found = []
        for number, value in enumerate(values):
            try:
                found.append(None if value is None else _value(dtype, value, from_json))
            except NotOfType as error:
                raise self._wrong(number, f"column {name!r} {error}", hint="a value of that type, or null") from None
        try:
            return _array(found, dtype)
        except (pa.ArrowException, OverflowError, ValueError) as error:
            raise PushError("FS340", f"column {name!r} cannot be kept as {dtype}: {error}") from None

    def _of_frame(self, table: pa.Table) -> list[pa.Array]:
        names, columns = list(table.column_names), dict(self.columns)
        if len(set(names)) < len(names):
            raise PushError("FS340", "the table names a column twice", known=names)
        optional = {self.deleted} if self.deleted is not None else set()
        self._check_names(names, "the table pushed", {*names, *optional})
        return [
            self._cast(name, dtype, table.column(name)) if name in names else pa.repeat(pa.scalar(False), table.num_rows)
            for name, dtype in columns.items()
        ]

    def _cast(self, name: str, dtype: DType, column: pa.ChunkedArray) -> pa.Array:
        """A frame's column in the source's type, if it is of that type or an integer that fits."""
        array = column.combine_chunks()
        array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        naive = pa.types.is_timestamp(array.type) and array.type.tz is None
        try:
            found = None if pa.types.is_null(array.type) else from_arrow(array.type)
            alike = found in (None, dtype) or (found is not None and found.is_integer and dtype.is_integer)
            if alike and not naive and dtype == found == TIMESTAMP:
                micros = to_micros(array, TimeReading(later=True))
                if micros.null_count == array.null_count:
                    return micros.cast(dtype.arrow)
            elif alike and not naive:
                return array.cast(dtype.arrow)
        except (FeatureStoreError, pa.ArrowException):
            pass
        hint = "times with a zone" if naive else f"a column of type {dtype}"
        raise PushError("FS340", f"column {name!r} is {column.type}, which is no {dtype}", hint=hint)

    def _check(self, batch: pa.RecordBatch, now: int, skew: int) -> None:
        for name in self.row_key:
            if batch.column(name).null_count:
                number = pc.index(pc.is_null(batch.column(name)), True).as_py()
                raise self._wrong(number, f"row key {name!r} is NULL", hint="a row key says which fact a row is a version of")
        first, end = self.time_range
        if not first <= now < end:
            what = f"source {self.source!r} takes known times from {format_instant(first)} to {format_instant(end)} only"
            raise PushError("FS341", what, hint="another time_range")
        events = batch.column(self.event).cast(pa.int64())
        for bound, said in (
            (pc.greater(events, now + skew), f"lies more than {Duration(skew)} beyond the clock, {format_instant(now)}"),
            (pc.or_(pc.less(events, first), pc.greater_equal(events, end)), "lies outside the source's time_range"),
        ):
            number = pc.index(pc.fill_null(bound, False), True).as_py()
            if number >= 0:
                event = format_instant(events[number].as_py())
                raise PushError("FS341", f"event time {event} {said}", where=f"row {number} (counted from 0)",
                                hint="push what has happened, by a clock that is right")  # fmt: skip

    def _wrong(self, number: int, what: str, *, hint: str) -> PushError:
        return PushError("FS340", what, where=f"row {number} (counted from 0)", hint=hint)


def _expected(source: Source, types: Mapping[str, DType]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """What stops a build or sets a row aside is not taken; not of the column that tells the arrival, which nobody brings."""
    source.check_expectations(types)
    for one in source.expectations:
        if one.action in (FAIL, QUARANTINE) and one.column is not None and one.column != source.created_timestamp:
            yield one.reason, one.column, trees.to_data(one.passes(types))


def _no_row_key(source: str) -> UsageError:
    what = f"source {source!r} cannot be pushed to: without row_key the row that follows in a file would be a second fact"
    return UsageError("FS140", what, hint='row_key=["…"] on the source')


def _frame(given: Any) -> pa.Table:
    try:
        table: pa.Table = as_arrow(given)
    except FeatureStoreError:
        what = f"rows are a {type(given).__name__}"
        raise PushError("FS340", what, hint="a list of {column: value}, or a pyarrow, Polars or pandas table") from None
    return table


def _value(dtype: DType, value: Any, from_json: bool) -> Any:
    """An instant may come as an integer, of microseconds, where it comes from Python."""
    if dtype != TIMESTAMP:
        return read(dtype, value)
    if type(value) is not int or from_json:
        return read_source_time(value)
    if not -FOREVER <= value <= FOREVER:
        raise NotOfType("microseconds of 64 bits", value)
    return value


def _array(values: list[Any], dtype: DType) -> pa.Array:
    """Values as read (`typed_values`) in the column's type."""
    if dtype == TIMESTAMP:
        return pa.array(values, pa.int64()).cast(dtype.arrow)
    if dtype.name == "date32":
        return pa.array(values, pa.int32()).cast(dtype.arrow)
    if dtype.is_list and dtype.item.name in ("date32", TIMESTAMP.name):
        plain = pa.array(values, pa.list_(pa.int32() if dtype.item.name == "date32" else pa.int64()))
        return plain.cast(dtype.arrow)
    return pa.array(values, dtype.arrow)
