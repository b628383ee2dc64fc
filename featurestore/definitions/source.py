"""Sources: where facts come from, and how their times are to be read.

A source declares meaning (which column is the event time, when a row became known, whether rows are versions of one
fact); reading files is `featurestore.sources`' work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featurestore.definitions.base import Definition, FrozenMap, names
from featurestore.definitions.expectations import QUARANTINE, Expectation
from featurestore.dtypes import DType, parse_dtype
from featurestore.errors import DefinitionError
from featurestore.intervals import Duration, parse_duration, parse_instant, zone

PUSHED_AT = "__pushed_at"
"""Beside the columns of a source: when a row arrived that was pushed. NULL for the rows of files."""
TIME_UNITS = ("s", "ms", "us", "ns")
TIME_FORMAT_DIRECTIVES = {"%Y": r"\d{4}", "%m": r"\d{2}", "%d": r"\d{2}", "%H": r"\d{2}", "%M": r"\d{2}", "%S": r"\d{2}",
                          "%f": r"\d{1,6}", "%z": r"[+-]\d{2}:?\d{2}|Z"}  # fmt: skip
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")
_USER = re.compile(r"[^/@]*:(?!\d*(/|$))")
"""A colon before the first slash that is not before a port: a secret may have slashes."""
_QUERY = re.compile(r"[?&][^/?&]*=")
_DEFAULT_RANGE = (parse_instant("1677-01-01T00:00:00Z"), parse_instant("2262-01-01T00:00:00Z"))


@dataclass(frozen=True, kw_only=True, repr=False)
class Source(Definition):
    """What all sources declare. Columns are named exactly as the data has them.

    Args:
        event_timestamp: column of the event time e: when it happened.
        created_timestamp: column of the known time k: when the row could first be read. A row is visible at max(e, k).
        delay: without a created timestamp, k = e + delay ("0s" declares that rows are known at once).
        created_null: "never" (a row without created time is never known) or "event" (then k = e + delay).
        row_key: columns that identify one fact; rows that share them are versions, the newest known one is in force.
        row_order: a column that orders versions before k does. deleted: a bool column that marks a tombstone.
        static: one row per key and no history, the same for every instant; takes no time option.
        timezone: zone in which naive times are read, or {column: zone}. Default "UTC".
        time_unit: "s", "ms", "us" or "ns" for integer times. time_format: for text times, built of
            %Y %m %d %H %M %S %f %z and literal characters, or "iso8601".
        date_is: what a DATE means as a time: "end", the last microsecond of that day (default), or "start".
        time_range: (first, last) instants with offset; event and known times outside count as NULL.
            Default: years 1677 to 2262, the end exclusive.
        schema: {column: type} to pin the types; without it they come from the data.
        allow_left_out: do not fail when more than half of the rows are left out for one reason.
        expectations: what the rows must be like, and what becomes of those that are not: [expect.between("amount", 0, 100,
            action="quarantine"), …].
    Raises: DefinitionError FS201, FS202, FS204 (options that contradict), FS211 to FS213.
    """

    event_timestamp: str | None = None
    created_timestamp: str | None = None
    delay: Any = None
    created_null: str = "never"
    row_key: Any = ()
    row_order: str | None = None
    deleted: str | None = None
    static: bool = False
    timezone: Any = "UTC"
    time_unit: str | None = None
    time_format: str | None = None
    date_is: str = "end"
    time_range: Any = None
    schema: Mapping[str, Any] | None = None
    allow_left_out: bool = False
    expectations: Any = ()

    kind = "source"

    def _check(self) -> None:
        self._set("row_key", names(self.row_key, "row_key") if self.row_key else ())
        self._set("delay", None if self.delay is None else parse_duration(self.delay, what="delay"))
        self._set("expectations", _expectations(self.expectations))
        self._check_choices()
        self._check_combinations()
        self._set("timezone", self._zones())
        self._set("time_range", self._range())
        if self.schema is not None:
            if not isinstance(self.schema, Mapping):
                raise DefinitionError("FS202", f"schema={self.schema!r} is not {{column: type}}", hint='{"amount": "double"}')
            self._set("schema", FrozenMap({column: parse_dtype(t) for column, t in self.schema.items()}))
            maps = [column for column, dtype in self.schema.items() if dtype.is_map]
            if maps:
                raise DefinitionError("FS213", f"column {maps[0]!r} is a map, which is no value of a source")
            missing = [c for c in self.declared_columns if c not in self.schema]
            if missing:
                raise DefinitionError("FS203", f"schema= lacks column {missing[0]!r}", known=self.schema)
            self.check_expectations(self.schema)

    def _check_choices(self) -> None:
        for option, value, allowed in (
            ("created_null", self.created_null, ("never", "event")),
            ("date_is", self.date_is, ("end", "start")),
            ("time_unit", self.time_unit, (None, *TIME_UNITS)),
        ):
            if value not in allowed:
                raise DefinitionError("FS202", f"{option}={value!r} is not a choice", known=[repr(a) for a in allowed if a])
        if self.time_format is not None and self.time_format != "iso8601":
            check_time_format(self.time_format)
        for option in ("event_timestamp", "created_timestamp", "row_order", "deleted"):
            value = getattr(self, option)
            if value is not None and (not isinstance(value, str) or not value):
                raise DefinitionError("FS202", f"{option}={value!r} is not a column name")

    def _check_combinations(self) -> None:
        if self.static:
            if any(e.column is None for e in self.expectations):
                raise DefinitionError("FS204", "a static source has no times, so it is never fresh or not")
            given = [o for o in ("event_timestamp", "created_timestamp", "delay", "row_key", "deleted", "row_order")
                     if getattr(self, o) not in (None, ())]  # fmt: skip
            if given:
                raise DefinitionError("FS204", f"static=True has no history, so {given[0]} does not go with it")
            return
        if self.event_timestamp is None:
            raise DefinitionError(
                "FS204",
                "a source without event_timestamp has no history to join",
                hint="event_timestamp='…', or static=True if its values hold for every instant",
            )
        if self.created_timestamp and self.delay is not None and self.created_null != "event":
            raise DefinitionError(
                "FS204",
                "created_timestamp and delay both say when a row is known",
                hint="one of them, or created_null='event'",
            )
        if self.created_null == "event" and not self.created_timestamp:
            raise DefinitionError("FS204", "created_null='event' needs a created_timestamp")
        if self.row_order and not self.row_key:
            raise DefinitionError("FS204", "row_order orders versions, so it needs row_key", hint="row_key=['…']")
        if self.deleted and not self.row_key:
            raise DefinitionError("FS204", "deleted marks a version of a fact, so it needs row_key", hint="row_key=['…']")

    def _zones(self) -> str | FrozenMap[str]:
        if isinstance(self.timezone, str):
            return zone(self.timezone).key
        if isinstance(self.timezone, Mapping):
            return FrozenMap({column: zone(name).key for column, name in self.timezone.items()})
        raise DefinitionError("FS212", f"timezone={self.timezone!r} is neither a zone nor {{column: zone}}", hint="'UTC'")

    def _range(self) -> tuple[int, int]:
        """(first instant, end), half open: the end of a declared range is included by adding one microsecond."""
        if self.time_range is None:
            return _DEFAULT_RANGE
        try:
            first, last = (parse_instant(x, what="time_range") for x in self.time_range)
        except (TypeError, ValueError):
            raise DefinitionError("FS202", f"time_range={self.time_range!r} is not a pair of instants") from None
        except Exception as error:
            raise DefinitionError("FS202", f"time_range: {error}") from None
        if first > last:
            raise DefinitionError("FS202", "time_range ends before it starts")
        return first, last + 1

    def _shown(self) -> dict[str, Any]:
        shown = super()._shown()
        if shown.get("time_range") == _DEFAULT_RANGE:
            del shown["time_range"]
        return shown

    def zone_of(self, column: str) -> str:
        """The zone in which naive times of `column` are read."""
        return self.timezone if isinstance(self.timezone, str) else self.timezone.get(column, "UTC")

    @property
    def known_delay(self) -> Duration:
        return self.delay or Duration(0)

    @property
    def assumed_known_at_once(self) -> bool:
        """Nothing was declared about when rows become known."""
        return not self.static and self.created_timestamp is None and self.delay is None

    @property
    def declared_columns(self) -> tuple[str, ...]:
        """The columns the declaration itself names, in a fixed order, without repetition."""
        named = (self.event_timestamp, self.created_timestamp, *self.row_key, self.row_order, self.deleted)
        return tuple(dict.fromkeys(c for c in named if c))

    @property
    def quarantine(self) -> tuple[Expectation, ...]:
        """The expectations that set rows aside: all that bear on meaning."""
        return tuple(e for e in self.expectations if e.action == QUARANTINE)

    @property
    def quarantine_columns(self) -> tuple[str, ...]:
        """The columns by which rows are set aside, without repetition."""
        return tuple(dict.fromkeys(e.column for e in self.quarantine if e.column is not None))

    def check_expectations(self, types: Mapping[str, DType]) -> None:
        """Whether the expectations fit the columns. Raises: DefinitionError FS203, FS216, FS219."""
        for expectation in self.expectations:
            try:
                expectation.check(types, self.time_columns)
            except DefinitionError as error:
                raise error.at(f"{expectation.location}, {self.kind} {self.name!r}") from None

    @property
    def time_columns(self) -> tuple[str, ...]:
        return tuple(c for c in (self.event_timestamp, self.created_timestamp) if c)


@dataclass(frozen=True, kw_only=True, repr=False)
class ParquetSource(Source):
    """Parquet files. `path` is a file, a folder's glob ("data/payments/*.parquet", ** allowed) or a list of these, relative to
    the project folder; or URLs of an object store, with globs too ("s3://bucket/payments/*.parquet"; any scheme of fsspec).
    Credentials and endpoint come from the environment or the machine's profile, never from a URL. See `Source` for the other
    options.

    Raises: DefinitionError FS202 for what is no path, or a URL with credentials in it.
    """

    path: Any = ""

    def _check(self) -> None:
        paths = (self.path,) if isinstance(self.path, str) else self.path
        if not isinstance(paths, list | tuple) or not paths or not all(isinstance(p, str) and p for p in paths):
            raise DefinitionError("FS202", f"path={self.path!r} is not a path", hint="path='data/payments/*.parquet'")
        for path in paths:
            check_url(path)
        self._set("path", tuple(paths))
        super()._check()


def is_url(path: str) -> bool:
    """Whether a path is a URL, of an object store or of something like it."""
    return _URL.match(path) is not None


def check_url(path: str) -> None:
    """A URL names a place and no one who may go there. Raises: DefinitionError FS202, in which the URL is not shown."""
    if not is_url(path):
        return
    place = path.partition("://")[2]
    scheme = path.partition("://")[0]
    if "::" in scheme:
        raise DefinitionError("FS202", f"path: {scheme}:// is a chain of schemes", hint="one scheme, such as s3://")
    if "@" in place.partition("/")[0] or _USER.match(place) or _QUERY.search(place):
        what = f"path: the {scheme}:// URL holds credentials, or a query, which do not belong into a definition"
        raise DefinitionError("FS202", what, hint=f"{scheme}://bucket/prefix/*.parquet, credentials from the environment")


@dataclass(frozen=True, kw_only=True, repr=False)
class ArrowSource(Source):
    """Rows from memory, as they are when this is defined: a pyarrow Table, RecordBatch or RecordBatchReader (read to its end),
    a Polars or pandas frame, or a DuckDB relation. See `Source` for the other options."""

    table: Any = field(default=None, compare=False, repr=False)

    def _check(self) -> None:
        self._set("table", as_arrow(self.table))
        super()._check()


def _expectations(given: Any) -> tuple[Expectation, ...]:
    """Expectations, each once. Raises: DefinitionError FS202, FS204."""
    listed = tuple(given) if isinstance(given, list | tuple) else (given,)
    seen: dict[str, Expectation] = {}
    for one in listed:
        if not isinstance(one, Expectation):
            hint = 'expect.between("amount", 0, 100, action="quarantine")'
            raise DefinitionError("FS202", f"{one!r} is not an expectation", hint=hint)
        if one.reason in seen:
            what = f"two expectations say {one.reason!r} ({seen[one.reason].location} and {one.location})"
            raise DefinitionError("FS204", what, hint="one of them")
        seen[one.reason] = one
    return listed


def as_arrow(frame: Any) -> Any:
    """A pyarrow Table from a Table, RecordBatch or reader of them, a Polars or pandas frame, or a DuckDB relation. What is made
    of the frame later does not reach the table. Raises: DefinitionError FS202 for others."""
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    hint = "a pyarrow, Polars or pandas table"
    try:
        if type(frame).__module__.split(".")[0] == "pandas" and hasattr(frame, "columns"):
            return pa.Table.from_pandas(frame.copy(), preserve_index=False)  # pandas writes into memory that it has given away
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        what = f"table={type(frame).__name__} cannot be read as a table: {reason}"
        raise DefinitionError("FS202", what, hint=hint) from error
    raise DefinitionError("FS202", f"table={type(frame).__name__} is no frame", hint=hint)


def check_time_format(text: str) -> None:
    """A time format holds known directives, each once, and at least year, month and day."""
    import re

    used = re.findall(r"%.?", text) if isinstance(text, str) else []
    unknown = [d for d in used if d not in TIME_FORMAT_DIRECTIVES]
    if unknown or len(set(used)) < len(used) or not {"%Y", "%m", "%d"} <= set(used):
        raise DefinitionError(
            "FS202",
            f"time_format={text!r} is not readable" + (f": {unknown[0]}" if unknown else ""),
            known=["iso8601", *TIME_FORMAT_DIRECTIVES],
            hint="'%Y-%m-%d %H:%M:%S'",
        )
