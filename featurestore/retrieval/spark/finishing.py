"""The last steps of a training set on executors: a piece of the spine, beside it what the parts answered, one Parquet file.

The steps are those of every build (`PartReader`, on-demand features, statuses, labels); only where they run is another.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.engines.duckdb import Session, Settings
from featurestore.plan.nodes import LabelOf, OnDemand, PartOf, StaticLookup
from featurestore.retrieval.labels import Maturity
from featurestore.retrieval.on_demand import OnDemandColumns
from featurestore.retrieval.output import parquet_writer
from featurestore.retrieval.spark.asked import Asked
from featurestore.retrieval.spark.pieces import Pieces
from featurestore.retrieval.training_set import LabelReader, PartReader, Request, Served


@dataclass(frozen=True)
class Answer:
    """What a statement answered: below `folder`, in `__range=<piece>`, one or more Parquet files in any order of rows."""

    part: PartOf | LabelOf
    served: Served
    folder: Path
    greatest_known: int | None = None

    def stream(self, number: int) -> pa.RecordBatchReader:
        """The rows of one piece, ordered by row number."""
        files = sorted((self.folder / f"__range={number}").glob("*.parquet"))
        if files:
            tables = [pq.ParquetFile(file).read() for file in files]
            table = pa.concat_tables(tables).sort_by("__row")
        else:  # a piece without rows
            columns = {o.name: o.dtype.arrow for o in self.served.outputs}
            table = pa.schema({"__row": pa.int64(), "__event": pa.int64(), "__match": pa.int8(), **columns}).empty_table()
        return table.to_reader()


def slim(part: PartOf | LabelOf) -> PartOf | LabelOf:
    """The part without what it reads: it goes to executors, and a source may hold a table."""
    bare = replace(part.part, **{"rows" if isinstance(part.part, StaticLookup) else "facts": None})  # type: ignore[arg-type]
    return replace(part, part=bare)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Finish:
    """Makes the file of one piece of a training set."""

    pieces: Pieces
    asked: Asked
    answers: tuple[Answer, ...]
    on_demand: tuple[OnDemand, ...]
    request: Request
    schema: pa.Schema
    folder: Path

    def make(self, number: int) -> dict[str, Any]:
        """Write the file of one piece, aside and then by its name: should the task be tried again, it writes the same.
        Returns: the counts of what is in it. Raises: DataError FS307, FS309."""
        piece = self.pieces.piece(number)
        asked = self.asked.read(number).combine_chunks()
        at = _whole(asked["asked_at"])
        readers = [self._reader(answer, number, at, piece.first) for answer in self.answers]
        columns: dict[str, pa.ChunkedArray] = {}
        for reader in readers:
            columns |= reader.take(piece.rows)
        made = self._on_demand(piece.rows, columns, asked, at)
        added = [columns[f.name].cast(f.type) for f in list(self.schema)[len(piece.schema) :]]
        assert piece.table is not None
        self._write(pa.Table.from_arrays([*piece.table.columns, *added], schema=self.schema), number)
        return {
            "counts": {name: counts for reader in readers for name, counts in reader.counts.items()} | made["counts"],
            "without_value": made["without_value"],
            "labels": {r.part.instance: r.maturity.counts.to_dict() for r in readers if isinstance(r, LabelReader)},
            "label_nulls": 0 if self.request.label is None else piece.table[self.request.label].null_count,
        }

    def _reader(self, answer: Answer, number: int, at: pa.Array, first: int) -> PartReader:
        stream = answer.stream(number)
        if isinstance(answer.part, PartOf):
            return PartReader(answer.part, answer.served, stream, self.request, first)
        maturity = Maturity(answer.part, self.request.known_before, answer.greatest_known)
        return LabelReader(answer.part, answer.served, stream, self.request, at, maturity, first)

    def _on_demand(
        self, rows: int, columns: dict[str, pa.ChunkedArray], asked: pa.Table, at: pa.Array
    ) -> dict[str, dict[str, Any]]:
        """Add the on-demand features to the columns. Returns: their counts."""
        counts: dict[str, dict[str, int]] = {}
        without_value: dict[str, int] = {}
        if self.on_demand:
            with Session(Settings(threads=1)) as session:
                for node in self.on_demand:
                    made = OnDemandColumns(node, session, self.request.include)
                    columns |= made.of(rows, columns, lambda name: _whole(asked[f"r_{name}"]), at)
                    counts |= made.counts
                    without_value |= made.without_value
        return {"counts": counts, "without_value": without_value}

    def _write(self, table: pa.Table, number: int) -> None:
        path = self.folder / f"part-{number:05d}.parquet"
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        with parquet_writer(aside, self.schema) as writer:
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
