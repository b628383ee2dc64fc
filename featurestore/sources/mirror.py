"""Copies of remote Parquet files in which only what is asked for is there.

A copy has the size of its file, and each byte its place; what was not fetched is a hole. Footers and all else between the
column chunks (bloom filters, indexes) are always there, so that an engine reads the copy as it would the file; of the chunks
those of the columns that are read, in the row groups that can have a row that is needed. Each is fetched once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.sources.files import FileStamp
from featurestore.sources.footers import extents_of
from featurestore.sources.objects import ObjectFile, check_all, fetched
from featurestore.sources.parts import FilePart

AT_ONCE = 1 << 26
"""So many bytes are in memory between the store and the disk."""
REQUEST = 1 << 23
"""One request asks for so many bytes at most,"""
GAP = 1 << 15
"""and takes so many along that nobody asked for, where another request would cost more."""
Span = tuple[int, int]


@dataclass(frozen=True)
class _Copy:
    """A copy of a file. chunks: (row group, column) -> where its bytes lie. held: what is there."""

    file: ObjectFile
    path: Path
    metadata: Any
    chunks: Mapping[tuple[int, str], Sequence[Span]]
    held: set[Span] = field(default_factory=set)


class Mirror:
    """The copies of one session, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies: dict[ObjectFile, _Copy] = {}
        self._numbers = count()

    def local(self, parts: Sequence[FilePart], columns: Iterable[str], times: Sequence[str], needed: Needed) -> list[FilePart]:
        """The same parts over copies of their files, in which the columns are there, in the row groups that can have rows that
        are needed. times: the columns of event and created time, of which footers tell instants.

        Raises: SourceError FS326 if a file changed since it was listed; StoreError FS482, FS483; OSError of the disk.
        """
        columns = list(columns)
        copies = [self._copy(part.parquet) for part in parts]
        lacking = [_lacking(part, copy, columns, times, needed) for part, copy in zip(parts, copies, strict=True)]
        _fill([(copy, spans) for copy, spans in zip(copies, lacking, strict=True) if spans])
        for copy, spans in zip(copies, lacking, strict=True):
            copy.held.update(spans)
        return [replace(part, parquet=_stamp(copy)) for part, copy in zip(parts, copies, strict=True)]

    def _copy(self, file: Any) -> _Copy:
        if file not in self._copies:
            path = self._folder / f"remote_{next(self._numbers)}.parquet"
            metadata = pq.read_metadata(file.footer())
            with path.open("wb") as sparse:
                sparse.truncate(file.size)
                sparse.seek(file.size - len(file.tail))
                sparse.write(file.tail)
            self._copies[file] = _Copy(file, path, metadata, _chunks(metadata))
        return self._copies[file]


def _chunks(metadata: Any) -> dict[tuple[int, str], list[Span]]:
    found: dict[tuple[int, str], list[Span]] = {}
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for j in range(group.num_columns):
            chunk = group.column(j)
            start = min((at for at in (chunk.data_page_offset, chunk.dictionary_page_offset) if at), default=0)
            found.setdefault((i, chunk.path_in_schema), []).append((start, start + chunk.total_compressed_size))
    return found


def _lacking(part: FilePart, copy: _Copy, columns: Sequence[str], times: Sequence[str], needed: Needed) -> list[Span]:
    """Where the bytes lie that are wanted and are not there."""
    own = set(part.in_file(columns))
    groups = extents_of(part, copy.metadata, times) if needed != EVERYTHING else ()
    missed = {i for i, ends in enumerate(groups) if needed.misses(*ends)}
    wanted = [span for (i, path), spans in copy.chunks.items() if i not in missed and own & _levels(path) for span in spans]
    return sorted({*wanted, *_between(copy)} - copy.held)


def _levels(path: str) -> set[str]:
    """The columns that a path in a footer may belong to: dots part the levels of nested columns, and stand in names."""
    steps = path.split(".")
    return {".".join(steps[: i + 1]) for i in range(len(steps))}


def _between(copy: _Copy) -> Iterator[Span]:
    """What is in no column chunk."""
    at, end = 0, copy.file.size - len(copy.file.tail)
    for start, stop in sorted(span for spans in copy.chunks.values() for span in spans):
        if at < min(start, end):
            yield at, min(start, end)
        at = max(at, stop)
    if at < end:
        yield at, end


def _fill(wanted: Sequence[tuple[_Copy, Sequence[Span]]]) -> None:
    requests = [(copy, *span) for copy, spans in wanted for span in _requests(spans)]
    for some in _limited(requests):
        contents = fetched([(copy.file, start, end) for copy, start, end in some])
        for (copy, start, _), content in zip(some, contents, strict=True):
            _write(copy.path, start, content)
    check_all(copy.file for copy, _ in wanted)


def _requests(spans: Sequence[Span]) -> Iterator[Span]:
    """Spans as they are asked for: near ones together, long ones in pieces."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] <= GAP:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    for start, end in joined:
        for at in range(start, end, REQUEST):
            yield at, min(at + REQUEST, end)


def _limited(requests: Sequence[tuple[_Copy, int, int]]) -> Iterator[list[tuple[_Copy, int, int]]]:
    some, size = list[tuple[_Copy, int, int]](), 0
    for request in requests:
        some.append(request)
        size += request[2] - request[1]
        if size >= AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _write(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _stamp(copy: _Copy) -> FileStamp:
    return FileStamp(copy.file.name, copy.path, copy.file.size, os.stat(copy.path).st_mtime_ns)


__all__ = ["Mirror"]
