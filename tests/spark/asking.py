"""Ask Spark for many expressions over one table, in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Operands:
    """A table that Spark reads from a file, as it reads sources."""

    def __init__(self, spark: SparkSession, table: pa.Table, folder: Path) -> None:
        self._spark = spark
        file = folder / "operands.parquet"
        pq.write_table(table.append_column("row_number", pa.array(range(table.num_rows))), file)
        self._frame = spark.read.parquet(str(file))

    def ask(self, sql: Mapping[str, str], *, ansi: bool = True) -> pa.Table:
        """sql: output column -> an expression over the table's columns. One row per row of the table, in its order."""
        self._spark.conf.set("spark.sql.ansi.enabled", str(ansi).lower())
        listed = ", ".join(f"{expression} AS {name}" for name, expression in sql.items())
        self._frame.createOrReplaceTempView("operands")
        return self._spark.sql(f"SELECT row_number, {listed} FROM operands").toArrow().sort_by("row_number")
