"""What a source holds at one moment: its frozen files (or table), their schemas, and the column types.

`SourceData` checks that all files mean the same by a column before anything is read. Values are not looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.definitions import ArrowSource, ParquetSource, Source
from featurestore.dtypes import DType, from_arrow
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.sources.files import FileStamp, IdentityCache, expand, stamped


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
        if self.table is not None:
            yield from self.table.select(columns).to_batches(max_chunksize=batch_rows)
        elif self.stamp is not None:
            with pq.ParquetFile(self.stamp.path, page_checksum_verification=True) as file:
                yield from file.iter_batches(batch_size=batch_rows, columns=list(columns))


@dataclass(frozen=True)
class SourceData:
    """A source and its parts, frozen. `where` places its errors."""

    source: Source
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def stamps(self) -> tuple[FileStamp, ...]:
        return tuple(part.stamp for part in self.parts if part.stamp is not None)

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
        for part in self.parts:
            self._check_case(part)
            for column in columns:
                self._check_column(part, column)
        for column in columns:
            self._check_zones(column)

    def _check_case(self, part: Part) -> None:
        seen: dict[str, str] = {}
        for name in part.schema.names:
            twin = seen.setdefault(name.lower(), name)
            if twin != name or part.schema.names.count(name) > 1:
                raise SourceError("FS323", f"columns {twin!r} and {name!r} differ in case only, or are one", where=part.name)

    def _check_column(self, part: Part, column: str) -> None:
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
        kinds = {_naive(part.schema.field(column).type): part.name for part in self.parts}
        kinds.pop(None, None)
        if len(kinds) > 1:
            raise SourceError(
                "FS324",
                f"source {self.source.name!r}: times in {column!r} are naive in {kinds[True]} and aware in {kinds[False]}",
                hint="write them all with a zone",
            )


def _folded(arrow: pa.DataType) -> DType | None:
    try:
        return from_arrow(arrow)
    except FeatureStoreError:
        return None


def _naive(arrow: pa.DataType) -> bool | None:
    return arrow.tz is None if pa.types.is_timestamp(arrow) else None


def open_source(source: Source, root: Path) -> SourceData:
    """Freeze a source's files and read their footers.

    Raises: SourceError FS321 (no file), FS325 (not readable as Parquet).
    """
    if isinstance(source, ArrowSource):
        return SourceData(
            source,
            (Part(name=source.name, schema=source.table.schema, rows=source.table.num_rows, table=source.table),),
        )
    assert isinstance(source, ParquetSource)
    stamps = expand(source.path, root, where=source.place)
    return SourceData(source, tuple(_parquet_part(stamp) for stamp in stamps))


def reopen_source(source: Source, state: Sequence[Mapping[str, Any]], root: Path, identities: IdentityCache) -> SourceData:
    """The files of a recorded source state ([{"path", "size", "sha256"}]), and no others, as they were when it was recorded.

    Raises: SourceError FS335 for a file that is gone or changed, or a source of which no files were recorded; FS325.
    """
    if not state:
        raise SourceError("FS335", f"source {source.name!r} was a table in memory: nothing tells whether it is the same now")
    stamps = tuple(_recorded(file, root) for file in state)
    for file, now in zip(state, identities.identify(stamps), strict=True):
        if now != dict(file):
            raise _gone(str(file["path"]), "changed")
    return SourceData(source, tuple(_parquet_part(stamp) for stamp in stamps))


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
