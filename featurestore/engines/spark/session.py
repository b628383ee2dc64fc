"""One Spark session for one task: the relations bound to it, the statements it runs, the functions it runs on executors.

Rows stay where they are: what a statement gives is written as Parquet into the work folder, what a function on the executors
finds is told in one small document per call.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore.atomic import alive
from featurestore.compiler import spark as sql
from featurestore.compiler.facts import numbered
from featurestore.compiler.spark import expectations
from featurestore.dtypes import DType
from featurestore.engines.spark import reading, starting
from featurestore.engines.spark.failures import Told, errors, raised
from featurestore.engines.spark.settings import SparkSettings
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.progress import Watcher
from featurestore.sources import SourceData

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FOLDER = "build-"


class Session:
    """Statements over bound relations. Use as a context manager. folder: of the files a task keeps while it runs."""

    sql, expectations = sql, expectations

    def __init__(self, settings: SparkSettings) -> None:
        self.spark = starting.start(settings)
        try:
            self.folder = _folder(settings.work)
        except BaseException:
            starting.end(self.spark)
            raise
        self._bound: dict[str, tuple[SourceData, tuple[str, ...], Needed]] = {}
        self._views: set[str] = set()
        self._numbers = count()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for view in self._views:
            self._drop(view)
        starting.end(self.spark)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _drop(self, view: str) -> None:
        try:
            self.spark.catalog.dropTempView(view)
        except Exception:  # a session that is gone has no views
            return

    def bind(self, name: str, rows: DataFrame | pa.Table) -> None:
        """Make a data frame, or a table, known under a name."""
        self._bound.pop(name, None)
        if isinstance(rows, pa.Table):
            path = self._path()
            pq.write_table(rows, path)
            rows = self.spark.read.parquet(str(path))
        rows.createOrReplaceTempView(name)
        self._views.add(name)

    def bind_files(self, name: str, paths: Sequence[Path], columns: Mapping[str, str]) -> DataFrame:
        """Make Parquet files known under a name. columns: {name: type, as SQL}."""
        with errors():
            frame = reading.files(self.spark, [str(p) for p in paths], columns)
            self.bind(name, frame)
        return frame

    def bind_source(
        self,
        data: SourceData,
        columns: Sequence[str],
        types: Mapping[str, DType],
        *,
        prefix: str = sql.SOURCE_PREFIX,
        needed: Needed = EVERYTHING,
    ) -> None:
        """Make the rows of a source known as `source__<name>`: times with a zone, and where rows were pushed also the arrival
        of each. Of rows that are not needed some or all may be left out.

        Data that is bound with these columns already stays as it is. Raises: SourceError FS322 to FS325.
        """
        name = f"{prefix}{data.source.name}"
        bound, held, narrowed = self._bound.get(name, (None, (), EVERYTHING))
        if bound is data and set(columns) <= set(held) and narrowed == needed:
            return
        data.check(columns)
        with errors(data.source.place):
            frame = reading.relation(self.spark, data, columns, types, needed, self._path)
            self.bind(name, frame)
        self._bound[name] = (data, tuple(columns), needed)

    def bind_numbered(self, data: SourceData, columns: Sequence[str], types: Mapping[str, DType]) -> None:
        """Make the rows of a source known as `numbered__<source>`: as `bind_source` has them, and of each row which of the
        source's parts it lies in, and its number in that. Raises: SourceError FS322 to FS325."""
        data.check(columns)
        with errors(data.source.place):
            self.bind(numbered(data.source), reading.numbered(self.spark, data, columns, types))

    def _path(self) -> Path:
        """Where a copy may lie; never one name twice."""
        return self.folder / f"copy_{next(self._numbers)}.parquet"

    def table(self, statement: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        """What a statement gives that counts, and gives few rows."""
        with errors():
            return self.frame(statement, parameters).toArrow()

    def write(
        self, statement: str, parameters: Mapping[str, object], path: Path, *, rows_per_file: int, row: str = "__row"
    ) -> None:
        """Keep what a statement gives in the folder `path`: a sub-folder `__range=i` per `rows_per_file` rows of the spine."""
        with errors():
            number = f"CAST({sql.quoted(row)} DIV {rows_per_file} AS INT) AS __range"
            frame = self.frame(statement, parameters).selectExpr("*", number).repartition("__range")
            frame.write.partitionBy("__range").mode("error").parquet(str(path))

    def keep(self, name: str, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Keep what a statement gives as a relation of that name, in place of one it had."""
        with errors():
            frame, path = self.frame(statement, parameters), self._path()
            frame.write.parquet(str(path))
            self.bind(name, self.spark.read.schema(frame.schema).parquet(str(path)))

    def add(self, name: str, statement: str) -> None:
        """Add what a statement gives to a relation that is kept."""
        self.keep(name, f"SELECT * FROM {sql.quoted(name)}\nUNION ALL\n{statement}")

    def count(self, name: str) -> int:
        """Rows of a relation."""
        with errors():
            return int(self.spark.table(name).count())

    def rows_of(self, name: str) -> Iterator[pa.RecordBatch]:
        """The rows of a relation, as they come."""
        return self.reader(f"SELECT * FROM {sql.quoted(name)}")

    def reader(self, statement: str, parameters: Mapping[str, object] | None = None) -> Iterator[pa.RecordBatch]:
        """What a statement gives, in its order: written into the work folder, and read from there some rows at a time."""
        path = self._path()
        with errors():
            self.frame(statement, parameters).write.parquet(str(path))
        for file in sorted(path.glob("part-*.parquet")):
            with pq.ParquetFile(file) as opened:
                yield from opened.iter_batches()
        shutil.rmtree(path, ignore_errors=True)

    def frame(self, statement: str, parameters: Mapping[str, object] | None) -> DataFrame:
        """What a statement gives, not yet computed."""
        return self.spark.sql(statement, args=_used(statement, parameters))

    def each(self, function: Callable[[int], Any], numbers: Iterable[int]) -> list[Any]:
        """Call a function on the executors, once for each number, and give what each call told (plain data, as JSON).

        The function is found by its name on the executors, where this package is installed. What it raises is raised here: of
        several calls that fail, what the lowest number told.
        """
        wanted = list(numbers)
        if not wanted:
            return []
        with errors():
            frame = self.spark.range(0, len(wanted), 1, len(wanted)).mapInArrow(_Calls(function, wanted).run, "told string")
            told = [json.loads(row[0]) for row in frame.collect()]
        found = {number: Told(**document) for number, document in told}
        for number in sorted(found):
            raised(found[number])
        return [found[number].result for number in wanted]

    def watched(self, watch: Watcher, stage: str) -> Any:
        """While it is open, tell how far the statements of this session are."""
        from featurestore.engines.spark.stages import watched

        return watched(self.spark, watch, stage)


class _Calls:
    """What runs on an executor: the numbers of its partition, one call each, errors of ours told and not raised."""

    def __init__(self, function: Callable[[int], Any], numbers: Sequence[int]) -> None:
        self._function, self._numbers = function, numbers

    def run(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                number = self._numbers[index]
                told = Told.of(self._function, number)
                yield pa.RecordBatch.from_pydict({"told": [json.dumps([number, told.document()])]})


def _used(statement: str, parameters: Mapping[str, object] | None) -> dict[str, Any]:
    """Only the parameters the statement names."""
    return {name: value for name, value in (parameters or {}).items() if f":{name}" in statement}


def _folder(work: Path) -> Path:
    """A folder of this task's own; those of processes that are gone are swept."""
    work.mkdir(parents=True, exist_ok=True)
    for left in work.glob(f"{_FOLDER}*-*"):
        pid = left.name.removeprefix(_FOLDER).split("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=work))
    folder.chmod(0o770)  # executors may be of the same group only
    return folder
