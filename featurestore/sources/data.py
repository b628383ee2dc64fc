"""What a source holds at one moment: its frozen files (or table), the rows pushed to it, their schemas, the column types.

`SourceData` checks that all files mean the same by a column before anything is read. Values are not looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.definitions import ArrowSource, ParquetSource, Source
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import TIMESTAMP, DType, from_arrow
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.sources.files import FileStamp, IdentityCache, expand, stamped
from featurestore.sources.push_log import Compacted, Pushed, read_log, where_of
from featurestore.sources.push_segments import POSITION, damaged


@dataclass(frozen=True)
class Part:
    """One file of a source, or one table from memory, with its physical schema."""

    name: str
    schema: pa.Schema
    rows: int
    stamp: FileStamp | None = None
    table: pa.Table | None = None

    def read(self, columns: Sequence[str], batch_rows: int = 131_072) -> Iterator[pa.RecordBatch]:
        """The rows of some columns, batch by batch, with page checksums verified where the file has them."""
        present = [c for c in columns if c != PUSHED_AT or c in self.schema.names]
        for batch in self._batches(present, batch_rows):
            if len(present) == len(columns):
                yield batch
            else:  # the rows of files did not arrive by push
                arrays = [batch.column(c) if c in present else pa.nulls(batch.num_rows, TIMESTAMP.arrow) for c in columns]
                yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _batches(self, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        if self.table is not None:
            yield from self.table.select(columns).to_batches(max_chunksize=batch_rows)
        elif self.stamp is not None:
            with pq.ParquetFile(self.stamp.path, page_checksum_verification=True) as file:
                yield from file.iter_batches(batch_size=batch_rows, columns=list(columns))


@dataclass(frozen=True)
class PushedPart(Part):
    """Rows that were pushed, of positions `first` to `last`: a table, or a Parquet file they were compacted into.

    Times in it are instants, however the source's files write them. A column that the source did not have when they were
    pushed is NULL in them.
    """

    first: int = 0
    last: int = 0

    def read(self, columns: Sequence[str], batch_rows: int = 131_072) -> Iterator[pa.RecordBatch]:
        present = [c for c in columns if c in self.schema.names]
        for batch in self._batches(list(dict.fromkeys([*present, POSITION])), batch_rows):
            arrays = [batch.column(c) if c in present else pa.nulls(batch.num_rows) for c in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))


@dataclass(frozen=True)
class UpTo:
    """How much of a push log is read: of the log of that name, all up to a position."""

    log: str
    position: int


@dataclass(frozen=True)
class SourceData:
    """A source and its parts, frozen. pushed: of its push log, None if nothing was ever pushed."""

    source: Source
    parts: tuple[Part, ...]
    pushed: UpTo | None = None

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        """The source's own files: what a push log holds is named by its position."""
        return tuple(p.stamp for p in self.parts if p.stamp is not None and not isinstance(p, PushedPart))

    def state(self, identities: IdentityCache) -> list[dict[str, Any]]:
        """What S says of the source: [{"path", "size", "sha256"}] of its files, then {"push_log", "log", "position"}."""
        log = [] if self.pushed is None else [{"push_log": self.source.name, **asdict(self.pushed)}]
        return [*identities.identify(self.stamps), *log]

    def since(self, state: Sequence[Mapping[str, Any]]) -> SourceData:
        """What is here and was not in an earlier state: other files, and what was pushed since."""
        known = {entry["path"] for entry in state if "path" in entry}
        before = pushed_in(state)
        position = 0 if before is None else before.position
        parts = [_after(p, position) if isinstance(p, PushedPart) else p for p in self.parts if p.name not in known]
        return replace(self, parts=tuple(p for p in parts if p.rows))

    @cached_property
    def types(self) -> Mapping[str, DType]:
        """Column -> type: as declared, else of the first part that has it. Columns of other types are absent."""
        if self.source.schema is not None:
            return self.source.schema
        types: dict[str, DType] = {}
        for part in self.parts:
            for field in part.schema:
                try:
                    types.setdefault(field.name, from_arrow(field.type))
                except FeatureStoreError:
                    continue
        return types

    def check(self, columns: Sequence[str]) -> None:
        """All parts have `columns`, spelled the same, of one type, and naive or aware alike.

        Raises: SourceError FS322 (missing or drifted column), FS323 (names that differ in case), FS324 (naive beside aware).
        """
        for problem in self.problems(columns):
            raise problem

    def problems(self, columns: Sequence[str]) -> Iterator[SourceError]:
        """All that `check` would raise, one after the other."""
        for part in self.parts:
            checks = [partial(self._check_case, part), *(partial(self._check_column, part, c) for c in columns)]
            yield from _raised(checks)
        yield from _raised(partial(self._check_zones, column) for column in columns)

    def _check_case(self, part: Part) -> None:
        seen: dict[str, str] = {}
        for name in part.schema.names:
            twin = seen.setdefault(name.lower(), name)
            if twin != name or part.schema.names.count(name) > 1:
                raise SourceError("FS323", f"columns {twin!r} and {name!r} differ in case only, or are one", where=part.name)

    def _check_column(self, part: Part, column: str) -> None:
        if isinstance(part, PushedPart):
            if column in self.source.time_columns and column in part.schema.names:
                return
            if column not in part.schema.names and column not in (*self.source.row_key, self.source.event_timestamp):
                return
        if column not in part.schema.names:
            raise SourceError(
                "FS322", f"source {self.source.name!r}: column {column!r} is missing", where=part.name,
                known=part.schema.names, hint="rewrite the file, or leave it out of the path",
            )  # fmt: skip
        found, wanted = _folded(part.schema.field(column).type), self.types.get(column)
        if found != wanted:
            raise SourceError(
                "FS322",
                f"source {self.source.name!r}: column {column!r} is {part.schema.field(column).type} here and {wanted} "
                + ("in schema=" if self.source.schema is not None else f"in {self.parts[0].name}"),
                where=part.name,
                hint="write the files with one schema",
            )

    def _check_zones(self, column: str) -> None:
        files = [p for p in self.parts if not isinstance(p, PushedPart) and column in p.schema.names]
        kinds = {_naive(part.schema.field(column).type): part.name for part in files}
        kinds.pop(None, None)
        if len(kinds) > 1:
            raise SourceError(
                "FS324",
                f"source {self.source.name!r}: times in {column!r} are naive in {kinds[True]} and aware in {kinds[False]}",
                hint="write them all with a zone",
            )


def _raised(checks: Iterable[Callable[[], None]]) -> Iterator[SourceError]:
    for check in checks:
        try:
            check()
        except SourceError as error:
            yield error


def _folded(arrow: pa.DataType) -> DType | None:
    try:
        return from_arrow(arrow)
    except FeatureStoreError:
        return None


def _naive(arrow: pa.DataType) -> bool | None:
    return arrow.tz is None if pa.types.is_timestamp(arrow) else None


def open_source(source: Source, root: Path, push: Path | None = None) -> SourceData:
    """Freeze a source's files and read their footers, and its push log, which lies in the folder `push`.

    Raises: SourceError FS321 (no file), FS325 (not readable as Parquet), FS342 (pushed to, but no row_key);
    StoreError FS440, FS441 (the push log).
    """
    pushed = None if push is None else read_log(push)
    if pushed is not None and not source.row_key:
        what = f"rows were pushed to source {source.name!r}, which has no row_key: they would be facts a second time"
        raise SourceError("FS342", what, where=source.place, hint="row_key= as it was, or remove .featurestore/push/…")
    own = _own_parts(source, root)
    if pushed is None:
        return SourceData(source, own)
    return SourceData(source, (*own, *_pushed_parts(pushed)), UpTo(pushed.log, pushed.position))


def _own_parts(source: Source, root: Path) -> tuple[Part, ...]:
    if isinstance(source, ArrowSource):
        return (Part(name=source.name, schema=source.table.schema, rows=source.table.num_rows, table=source.table),)
    assert isinstance(source, ParquetSource)
    return tuple(_parquet_part(stamp) for stamp in expand(source.path, root, where=source.place))


def _pushed_parts(pushed: Pushed) -> Iterator[PushedPart]:
    """The log's rows up to its position, those in Parquet first."""
    for file in pushed.files:
        yield _before(_compacted_part(file), pushed.position)
    for table in pushed.tables:
        yield _table_part(table)


def _compacted_part(file: Compacted) -> PushedPart:
    name = where_of(file.path)
    try:
        status = file.path.stat()
    except FileNotFoundError:
        raise damaged(name, "it is gone") from None
    stamp = FileStamp(name, file.path, status.st_size, status.st_mtime_ns)
    part = _parquet_part(stamp)
    return PushedPart(name, part.schema, part.rows, stamp, None, file.first, file.last)


def _table_part(table: pa.Table) -> PushedPart:
    first, last = (table[POSITION][i].as_py() for i in (0, table.num_rows - 1))
    return PushedPart(f"push log, positions {first} to {last}", table.schema, table.num_rows, None, table, first, last)


def _after(part: PushedPart, position: int) -> PushedPart:
    return part if part.first > position else _kept(part, pc.greater, position)


def _before(part: PushedPart, position: int) -> PushedPart:
    return part if part.last <= position else _kept(part, pc.less_equal, position)


def _kept(part: PushedPart, compare: Callable[[Any, int], Any], position: int) -> PushedPart:
    """The rows of a part on one side of a position; without any, a part of no rows."""
    table = pa.Table.from_batches(list(part.read(part.schema.names)), schema=part.schema)
    table = table.filter(compare(table[POSITION], position))
    return _table_part(table) if table.num_rows else PushedPart(part.name, part.schema, 0, None, table)


def pushed_in(state: Sequence[Mapping[str, Any]]) -> UpTo | None:
    """How much of a push log a state holds (`SourceData.state`)."""
    return next((UpTo(entry["log"], entry["position"]) for entry in state if "push_log" in entry), None)


def up_to(state: Sequence[Mapping[str, Any]], source: str, log: str, position: int) -> list[Mapping[str, Any]]:
    """The same state with more of the push log: up to a position. log: its name, if the state names none."""
    before = pushed_in(state)
    named = {"push_log": source, "log": log if before is None else before.log, "position": position}
    return [*(entry for entry in state if "push_log" not in entry), named]


def reopen_source(
    source: Source, state: Sequence[Mapping[str, Any]], root: Path, identities: IdentityCache, push: Path | None = None
) -> SourceData:
    """The files of a recorded source state (`SourceData.state`), and no others, as they were when it was recorded, and as much
    of the push log in the folder `push` as was read then.

    Raises: SourceError FS335 for a file or log that is gone or changed, or a source of which no files were recorded; FS325;
    StoreError FS440, FS441 (the push log).
    """
    files = [entry for entry in state if "path" in entry]
    if not files:
        raise SourceError("FS335", f"source {source.name!r} was a table in memory: nothing tells whether it is the same now")
    stamps = tuple(_recorded(file, root) for file in files)
    for file, now in zip(files, identities.identify(stamps), strict=True):
        if now != dict(file):
            raise _gone(str(file["path"]), "changed")
    own, upto = tuple(_parquet_part(stamp) for stamp in stamps), pushed_in(state)
    if upto is None:
        return SourceData(source, own)
    pushed = None if push is None else read_log(push, upto.position)
    if pushed is None or pushed.log != upto.log:
        raise _gone(f"the push log of {source.name}", "gone" if pushed is None else "another one")
    return SourceData(source, (*own, *_pushed_parts(pushed)), upto)


def _recorded(file: Mapping[str, Any], root: Path) -> FileStamp:
    """The file where it was recorded. One of another size needs no reading to be another."""
    name = str(file["path"])
    try:
        stamp = stamped(root / name, name)
    except OSError:
        raise _gone(name, "gone") from None
    if stamp.size != file["size"]:
        raise _gone(name, "changed")
    return stamp


def _gone(name: str, what: str) -> SourceError:
    what = f"a file that the online store was made from is {what}"
    return SourceError("FS335", what, where=name, hint="featurestore materialize --full")


def _parquet_part(stamp: FileStamp) -> Part:
    try:
        with pq.ParquetFile(stamp.path) as file:
            return Part(name=stamp.name, schema=file.schema_arrow, rows=file.metadata.num_rows, stamp=stamp)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            "FS325", f"cannot be read as Parquet: {reason}", where=stamp.name, hint="write the file again"
        ) from error
