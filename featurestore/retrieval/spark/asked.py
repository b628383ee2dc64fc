"""What a spine asks, made on executors: instants, keys and request columns of each piece, kept as Parquet for Spark to read.

How a column of a spine is read is decided in `retrieval.spine`, for every engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from featurestore.compiler.spark import key_type, quoted
from featurestore.dtypes import DType
from featurestore.plan.nodes import Part, PlanKey
from featurestore.retrieval.spark.pieces import Pieces
from featurestore.retrieval.spine import instants, key_column, request_column


@dataclass(frozen=True)
class Reading:
    """How the spine is read: its column of instants, and in what zone and format."""

    as_of: str
    timezone: str
    as_of_format: str | None


@dataclass(frozen=True)
class Asked:
    """The files `asked-<piece>.parquet` below `folder`: row_id, asked_at, a column `k<i>` per key column and type, and
    `r_<name>` per request column."""

    pieces: Pieces
    folder: Path
    reading: Reading
    keys: tuple[tuple[str, DType], ...]
    request: Mapping[str, DType] = field(default_factory=dict)

    def make(self, number: int) -> dict[str, Any]:
        """Write the file of one piece. Returns: its least and greatest instant. Raises: SpineError, naming the row."""
        used = dict.fromkeys([self.reading.as_of, *(column for column, _ in self.keys), *self.request])
        piece = self.pieces.piece(number, [c for c in used if c in self.pieces.schema.names])
        zone = self.reading.timezone
        at = instants(piece, self.reading.as_of, timezone=zone, as_of_format=self.reading.as_of_format)
        columns: dict[str, Any] = {"row_id": pa.arange(piece.first, piece.first + piece.rows), "asked_at": at}
        for i, (column, dtype) in enumerate(self.keys):
            columns[f"k{i}"] = key_column(piece, column, dtype)
        for name, dtype in self.request.items():
            columns[f"r_{name}"] = request_column(piece, name, dtype, timezone=zone)
        pq.write_table(pa.table(columns), self._file(number), compression="zstd", compression_level=1)
        ends = pc.min_max(at)
        return {"first": ends["min"].as_py(), "last": ends["max"].as_py()}

    def _file(self, number: int) -> Path:
        return self.folder / f"asked-{number:05d}.parquet"

    @property
    def files(self) -> list[Path]:
        return [self._file(number) for number in range(self.pieces.count)]

    def read(self, number: int) -> pa.Table:
        """asked_at and the request columns of one piece."""
        return pq.read_table(self._file(number), columns=["asked_at", *(f"r_{name}" for name in self.request)])

    @property
    def columns(self) -> dict[str, str]:
        """Of the files, what parts of a plan read: {name: type, as Spark's SQL}."""
        keys = {f"k{i}": key_type(dtype) for i, (_, dtype) in enumerate(self.keys)}
        return {"row_id": "BIGINT", "asked_at": "BIGINT", **keys}

    def spine_of(self, part: Part) -> list[str]:
        """The columns of a part's relation `spine`, as SQL over these files."""
        ahead = f" + {part.spine.ahead}" if part.spine.ahead else ""
        keys = [f"k{self._number(key)} AS {quoted(f'key_{key.name}')}" for key in part.spine.keys] or ["0 AS key_all"]
        return ["row_id", f"asked_at{ahead} AS asked_at", *keys]

    def _number(self, key: PlanKey) -> int:
        return self.keys.index((key.spine_column, key.dtype))
