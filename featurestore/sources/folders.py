"""A table in Parquet: one file, or a folder of files whose order by name is the order of the rows.

Whoever opens a training set or a spine opens it here, so a folder does wherever a file does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.sources.files import sha256

_PATTERN = "*.parquet"
_FOOTERS = 16
"""Files whose footers are kept, so that a table read column by column does not parse them each time."""


def is_there(path: Path) -> bool:
    """A file, or a folder that holds Parquet files."""
    return path.is_file() or bool(files(path))


def files(path: Path) -> list[Path]:
    """The files of a table, in order: the file itself, or those of the folder; hidden ones are none of it."""
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(file for file in path.glob(_PATTERN) if not file.name.startswith((".", "_")))


def size(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    return sum(file.stat().st_size for file in files(path))


def identity(path: Path) -> str:
    """The sha256 of a file; of a folder that of its files' names and sha256, in order."""
    if not path.is_dir():
        return sha256(path)
    listing = "".join(f"{sha256(file)}  {file.name}\n" for file in files(path))
    return hashlib.sha256(listing.encode()).hexdigest()


class ParquetTable:
    """Reading of such a table, some of its columns or all. Use as a context manager; the same words as of one file.

    Raises: what pyarrow raises; ArrowInvalid for a folder without files, or of files of different columns.
    """

    def __init__(self, path: Path, *, page_checksum_verification: bool = False, pre_buffer: bool = True) -> None:
        self._paths = files(path) or [path]
        if path.is_dir() and self._paths == [path]:
            raise pa.ArrowInvalid("the folder holds no Parquet file")
        self._options = {"page_checksum_verification": page_checksum_verification, "pre_buffer": pre_buffer}
        self._footers: dict[Path, pq.FileMetaData] = {}
        with self._open(self._paths[0]) as first:
            self.schema_arrow = first.schema_arrow

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def _open(self, path: Path) -> pq.ParquetFile:
        file = pq.ParquetFile(path, metadata=self._footers.get(path), **self._options)
        if len(self._footers) < _FOOTERS:
            self._footers[path] = file.metadata
        return file

    @property
    def groups(self) -> Iterator[tuple[Path, int, int]]:
        """(file, number of its row group, rows in it), in order."""
        for path in self._paths:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(self.schema_arrow):
                    raise pa.ArrowInvalid(f"{path.name} has other columns than {self._paths[0].name}")
                for group in range(file.metadata.num_row_groups):
                    yield path, group, file.metadata.row_group(group).num_rows

    @property
    def rows(self) -> int:
        return sum(rows for _, _, rows in self.groups)

    def iter_batches(self, batch_size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        for path in self._paths:
            with self._open(path) as file:
                yield from file.iter_batches(batch_size=batch_size, **_of(columns))

    def of_group(
        self, path: Path, group: int, batch_size: int, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows of one row group."""
        with self._open(path) as file:
            yield from file.iter_batches(batch_size=batch_size, row_groups=[group], **_of(columns))

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        tables = []
        for path in self._paths:
            with self._open(path) as file:
                tables.append(file.read(**_of(columns)))
        return pa.concat_tables(tables)


def _of(columns: Sequence[str] | None) -> dict[str, Any]:
    """What a reader is asked for. One column is read by one thread: to hand it over costs as much as to read it."""
    return {"columns": None if columns is None else list(columns), "use_threads": columns is None or len(columns) > 1}
