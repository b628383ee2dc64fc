"""Where a backfill goes: a folder of Parquet, or a Delta or Iceberg table, whose commits replace the rows of instants.

What is known of a table lies in the project, with the version of the last commit: a table that somebody else has written to
since is written anew. Instants that are finished together are one commit, made by the driver.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.backfill.asked import Asked
from featurestore.backfill.folder import MANIFEST, Folder, Record
from featurestore.errors import UsageError
from featurestore.failpoints import reach
from featurestore.sources import IdentityCache, table_output

PARQUET, DELTA, ICEBERG = KINDS = ("parquet", "delta", "iceberg")
AS_OF = "as_of"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def target_of(kind: str, output: str | Path, view: str, asked: Asked, project: Path) -> Folder:
    """kind: of KINDS. output: a folder, the path or URL of a Delta table, or the name of an Iceberg table."""
    layout = {"partition_by": asked.partition_by, "include": list(asked.include)}
    if kind == PARQUET:
        return Folder(Path(output).absolute(), view, layout)
    if kind not in KINDS:
        raise UsageError("FS102", f"unknown --format {kind!r}", known=KINDS)
    name = hashlib.sha256(f"{kind} {output}".encode()).hexdigest()[:16]
    known = project.absolute() / ".featurestore" / "backfill" / name
    return Table(known, view, {**layout, "format": kind, "table": str(output)}, place=project)


@dataclass
class Table(Folder):
    """A table, and what is known of it. pin: its version after the last commit of ours; None before any."""

    place: Path = field(default_factory=Path)
    pin: dict[str, Any] | None = None

    def _check_empty(self) -> None:
        if self._now() is not None:
            what = f"there is a table {self.layout['table']!r} that no backfill of this project has written"
            raise UsageError("FS387", what, hint="another name")

    def remember(self, document: Mapping[str, Any]) -> None:
        self.pin = document["pin"]

    def besides(self) -> dict[str, Any]:
        return {"pin": self.pin}

    def told(self, file: str) -> str:
        return str(self.layout["table"])

    def as_written(self, instants: Iterable[int], identities: IdentityCache) -> set[int]:
        if self.pin is None or self.pin != self._now():
            return set()
        return {at for at in instants if at in self.records}

    def keep(self, made: Mapping[int, Record]) -> None:
        """Commit the rows of files that were written aside, then record them."""
        if not made:
            return
        paths = [self.aside(record.file) for _, record in sorted(made.items())]
        reach("backfill.written")
        self.pin = self._write(pq.read_schema(paths[0]), _rows(paths), sorted(made))
        reach("backfill.recorded")
        self.records |= made
        self.save()
        for path in paths:
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()

    def _write(self, schema: pa.Schema, rows: Iterator[pa.RecordBatch], instants: list[int]) -> dict[str, Any]:
        replaced = {AS_OF: [_EPOCH + timedelta(microseconds=at) for at in instants]}
        table = str(self.layout["table"])
        if self.layout["format"] == DELTA:
            return table_output.write_delta(table, rows, schema, root=self.place, partition_by=[AS_OF], replace=replaced)
        return table_output.write_iceberg(table, rows, schema, partition_by=[AS_OF], replace=replaced)

    def _now(self) -> dict[str, Any] | None:
        """The version the table is at; None if there is no table."""
        table = str(self.layout["table"])
        if self.layout["format"] == DELTA:
            return table_output.delta_at(table, root=self.place)
        return table_output.iceberg_at(table)


def _rows(paths: Iterable[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches()


__all__ = ["KINDS", "MANIFEST", "PARQUET", "Table", "target_of"]
