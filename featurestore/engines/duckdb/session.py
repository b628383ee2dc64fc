"""One DuckDB connection for one task: its settings, the relations bound to it, and the statements it runs.

A connection shared by threads mixes up answers, so a session is used by one task at a time and closed with it. Its
temporary files lie in a folder of its own, swept when it closes.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.sqltypes import BIGINT

from featurestore.atomic import DISK_FULL, alive
from featurestore.compiler.duckdb import MACROS, SOURCE_PREFIX, quoted
from featurestore.compiler.duckdb.facts import numbered
from featurestore.definitions.source import PUSHED_AT
from featurestore.dtypes import DType
from featurestore.engines.duckdb import reading
from featurestore.errors import DataError, FeatureStoreError, SourceError, StoreError
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.sources import FilePart, Part, SourceData
from featurestore.sources.mirror import Mirror
from featurestore.sources.objects import ObjectFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """threads None: as many as cores. memory_limit, temp_limit: sizes such as "4GB", of memory and of spilled data.
    temp_directory None: the system's. window_plan: the plan to take for windows wherever it can serve, or "auto".
    partitions: by how many cuts of the keys a training set is built; None: as many as the memory asks for."""

    threads: int | None = None
    memory_limit: str | None = None
    temp_directory: Path | None = None
    temp_limit: str | None = None
    asof_loop_join_threshold: int | None = None
    window_plan: str = "auto"
    partitions: int | None = None


@dataclass(frozen=True)
class _Bound:
    """What a relation was bound to. parts: as they lie here."""

    data: SourceData
    columns: tuple[str, ...]
    needed: Needed
    parts: Sequence[Part]


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
"""The open ones: Ctrl-C must reach a statement that keeps the main thread inside the engine."""


def interrupt_all() -> None:
    """Stop the statements of all sessions; each ends in an error. May be called from any thread."""
    for session in list(_sessions):
        session.interrupt()


_MIXES_UP = duckdb.__version__.startswith("1.")
"""Before 2.0, where it need not preserve the order of what it reads, the engine also mixes up what a statement has ordered."""
_FOLDER = "featurestore-"


def _sweep(directory: Path) -> None:
    """Remove the folders of sessions whose process was killed."""
    for folder in directory.glob(f"{_FOLDER}*-*"):
        pid = folder.name.removeprefix(_FOLDER).split("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def scratch_folder(settings: Settings) -> Path:
    """A new folder for temporary files; should this process be killed, the next one asked for sweeps it."""
    if settings.temp_directory is not None:
        settings.temp_directory.mkdir(parents=True, exist_ok=True)
        _sweep(settings.temp_directory)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=settings.temp_directory))


class Session:
    """Statements over bound relations. Use as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.folder = scratch_folder(settings)
        self._con = duckdb.connect(config={"python_enable_replacements": "false", "autoload_known_extensions": "false"})
        self._bound: dict[str, _Bound] = {}
        self._copies: dict[str, list[Path]] = {}
        self._mirror = Mirror(self.folder)
        self._numbers = count()
        self._as_written = False
        self._configure(settings)

    def _configure(self, settings: Settings) -> None:
        chosen: dict[str, object] = {"TimeZone": "UTC", "temp_directory": str(self.folder / "spill")}
        chosen |= {"preserve_insertion_order": _MIXES_UP, "enable_progress_bar": False}
        for name in ("threads", "memory_limit", "asof_loop_join_threshold"):
            if getattr(settings, name) is not None:
                chosen[name] = getattr(settings, name)
        if settings.temp_limit is not None:
            chosen["max_temp_directory_size"] = settings.temp_limit
        for name, value in chosen.items():
            self._con.execute(f"SET {name} = {_literal(value)}")
        for macro in MACROS:
            self._con.execute(macro)
        _sessions.add(self)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        _sessions.discard(self)
        self._con.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def bind(self, name: str, table: pa.Table) -> None:
        """Make a table known under a name."""
        self._con.execute(f"DROP VIEW IF EXISTS {quoted(name)}")
        self._con.register(name, table)

    def bind_source(
        self,
        data: SourceData,
        columns: Sequence[str],
        types: Mapping[str, DType],
        *,
        prefix: str = SOURCE_PREFIX,
        needed: Needed = EVERYTHING,
    ) -> None:
        """Make the rows of a source known as `source__<name>`: one SELECT per physical schema, times with a zone. Where rows
        were pushed, each row also has its arrival. Of rows that are not needed some or all may be left out.

        Data that is bound with these columns already stays as it is.
        Raises: SourceError FS322 to FS325.
        """  # fmt: skip
        name = f"{prefix}{data.source.name}"
        bound = self._bound.get(name)
        if bound is not None and bound.data is data and set(columns) <= set(bound.columns) and bound.needed == needed:
            return
        data.check(columns)
        asked, columns = columns, reading.columns_bound(data, columns)
        self._bound.pop(name, None)
        before = self._copies.pop(name, [])
        selects, groups = [], dict[tuple[object, ...], list[Part]]()
        parts = self._here(data, columns, types, needed)
        for part in parts:
            if reading.is_direct(part, data.source, columns, types):
                groups.setdefault(reading.physical(part, columns), []).append(part)
            else:
                selects.append(reading.copied_select(self._copy(name, part, data, columns, types, needed), columns))
        if len(groups) > reading.MANY:
            groups = self._by_layout(groups, columns)
        for alike in groups.values():
            paths = [p.file.location for p in alike if p.file is not None]
            beside = self._constants(alike, data, columns, types)
            selects.append(reading.direct_select(paths, alike[0], data, columns, types, needed, beside=beside))
        with errors(data.source.place):
            self._con.execute(
                f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS\n"
                + "\nUNION ALL BY NAME\n".join(selects or [self._empty(data, columns, types)])
            )
        self._bound[name] = _Bound(data, tuple(asked), needed, parts)
        for path in before:
            path.unlink()

    def _by_layout(
        self, groups: Mapping[tuple[object, ...], Sequence[Part]], columns: Sequence[str]
    ) -> dict[tuple[object, ...], list[Part]]:
        """Parts that are told apart by nothing but their constants, together."""
        together = dict[tuple[object, ...], list[Part]]()
        for part in (part for parts in groups.values() for part in parts):
            together.setdefault(reading.layout(part, columns), []).append(part)
        return together

    def _constants(self, parts: Sequence[Part], data: SourceData, columns: Sequence[str], types: Mapping[str, DType]) -> str:
        """A relation of what each of the files has in all of its rows; "" if that is the same in all of them."""
        if len({reading.physical(part, columns) for part in parts}) == 1:
            return ""
        name = f"constants_{next(self._numbers)}"
        self._con.register(name, reading.constants(parts, data, columns, types))
        return name

    def bind_numbered(self, data: SourceData, columns: Sequence[str], types: Mapping[str, DType]) -> None:
        """Make the rows of a source known as `numbered__<source>`: as `bind_source` has them, and of each row which of the
        source's parts it lies in, and its number in that.

        Raises: SourceError FS322 to FS325.
        """
        data.check(columns)
        name, columns = numbered(data.source), reading.columns_bound(data, columns)
        selects = []
        for i, part in enumerate(self._here(data, columns, types)):
            if reading.is_direct(part, data.source, columns, types) and reading.is_numbered(part) and part.file is not None:
                selects.append(reading.direct_select([part.file.location], part, data, columns, types, number=i))
            else:
                path = self._copy(name, part, data, columns, types)
                selects.append(reading.copied_select(path, columns, number=i))
        with errors(data.source.place):
            self._con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS\n" + "\nUNION ALL BY NAME\n".join(selects))

    def _here(
        self, data: SourceData, columns: Sequence[str], types: Mapping[str, DType], needed: Needed = EVERYTHING
    ) -> list[Part]:
        """The parts of a source, those in remote files as copies in which what is needed of some columns is there."""
        remote = [p for p in data.parts if isinstance(p, FilePart) and isinstance(p.parquet, ObjectFile)]
        times = data.source.time_columns
        here = dict[int, Part]()
        for direct in (True, False):
            alike = [p for p in remote if reading.is_direct(p, data.source, [*columns, *times], types) is direct]
            wanted = [c for c in dict.fromkeys([*columns, *times]) if c != PUSHED_AT]
            with errors(data.source.place):
                copies = self._mirror.local(alike, wanted, times if direct else (), needed if direct else EVERYTHING)
            here |= {id(part): copy for part, copy in zip(alike, copies, strict=True)}
        return [here.get(id(part), part) for part in data.parts]

    def bind_files(self, name: str, paths: Sequence[Path], types: Mapping[str, str]) -> None:
        """Make Parquet files that the engine wrote known under a name; without any, a relation of these columns (and types, as
        SQL) without rows."""
        self._bound.pop(name, None)
        files = ", ".join(_literal(path) for path in paths)
        select = f"SELECT * FROM read_parquet([{files}], hive_partitioning = false)"
        if not paths:
            empty = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(column)}" for column, kind in types.items())
            select = f"SELECT {empty} WHERE FALSE"
        self.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {select}")

    def _copy(
        self, name: str, part: Part, data: SourceData, columns: Sequence[str], types: Mapping[str, DType],
        needed: Needed = EVERYTHING,
    ) -> Path:  # fmt: skip
        path = self.folder / f"copy_{next(self._numbers)}.parquet"  # never one name twice: the engine remembers footers
        self._copies.setdefault(name, []).append(path)
        try:
            reading.copy(part, data, columns, types, path, needed)
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) in DISK_FULL:
                raise translated(error) from error
            raise SourceError("FS325", f"cannot be read: {str(error).splitlines()[0]}", where=part.name) from error
        return path

    def _empty(self, data: SourceData, columns: Sequence[str], types: Mapping[str, DType]) -> str:
        """A source without files, such as the new files of a run that has none."""
        schema = pa.schema([(c, reading.target_type(data.source, c, types).arrow) for c in columns])
        name = f"empty__{data.source.name}"
        self._con.register(name, schema.empty_table())
        return f"SELECT * FROM {quoted(name)}"

    def execute(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        with self._running():
            self._con.execute(sql, _used(sql, parameters))

    def table(self, sql: str, parameters: Mapping[str, object] | None = None) -> pa.Table:
        with self._running():
            self._join(as_written=False)
            return self._con.sql(sql, params=_used(sql, parameters)).to_arrow_table()

    def reader(
        self, sql: str, parameters: Mapping[str, object] | None = None, rows: int = 131_072, *, as_written: bool = False
    ) -> pa.RecordBatchReader:
        """Results as they come. The session can run nothing else until the reader is read to its end.

        as_written: joins keep the right side in memory and pass the left one by, in the order written. The engine takes few
        rows for granted where it filters or groups, and would keep the source of facts in memory.
        """
        with self._running():
            self._join(as_written)
            stream = self._con.sql(sql, params=_used(sql, parameters)).to_arrow_reader(rows)
        return pa.RecordBatchReader.from_batches(stream.schema, self._batches(stream))

    def _batches(self, stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            with self._running():
                try:
                    batch = stream.read_next_batch()
                except StopIteration:
                    return
            yield batch

    @contextmanager
    def _running(self) -> Iterator[None]:
        """The engine's errors in our words; of a file it could not decode it does not always say which."""
        try:
            with errors():
                yield
        except SourceError as error:
            raise error.at(self._unreadable()) from error.__cause__

    def _unreadable(self) -> str:
        """The first bound file that cannot be read to its end, or ""."""
        for bound in self._bound.values():
            for part in bound.parts:
                try:
                    for _ in part.read(bound.columns):
                        pass
                except (pa.ArrowException, OSError):
                    return part.name
        return ""

    def _join(self, as_written: bool) -> None:
        if as_written != self._as_written:
            self._con.execute(f"SET disabled_optimizers = '{'join_order,build_side_probe_side' if as_written else ''}'")
            self._as_written = as_written

    def limit(self, memory: float) -> None:
        """From now on use so many bytes of memory."""
        self.execute(f"SET memory_limit = '{int(memory)}B'")

    def interrupt(self) -> None:
        self._con.interrupt()


_SILENT = re.compile(r"""--[^\n]*|'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
"""Where a statement names no parameter: in comments (with apostrophes of their own), texts and names."""


def _used(sql: str, parameters: Mapping[str, object] | None) -> dict[str, Any] | None:
    """Only the parameters the statement names, for the engine refuses others; whole numbers in 64 bits, for it would take
    small ones as 32 and let sums of them overflow."""
    named = set(re.findall(r"\$([a-z_0-9]+)", _SILENT.sub("", sql)))
    given = {name: value for name, value in (parameters or {}).items() if name in named}
    return {name: duckdb.Value(v, BIGINT) if type(v) is int else v for name, v in given.items()} or None


def _literal(value: object) -> str:
    if isinstance(value, bool | int):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


@contextmanager
def errors(where: str = "") -> Iterator[None]:
    """DuckDB's errors in our words: what was wrong with the data, or with the machine."""
    try:
        yield
    except FeatureStoreError:
        raise
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise translated(error, where) from error


def was_interrupted(error: BaseException) -> bool:
    """Whether an error only says that the engine was told to stop. It says so in several types, but always in that word."""
    return any("interrupt" in str(said).lower() for said in (error, error.__cause__))


def translated(error: BaseException, where: str = "") -> FeatureStoreError:
    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    no_room = any(sign in text.lower() for sign in ("no space left", "could not write", "max_temp_directory_size"))
    if no_room or getattr(error, "errno", None) in DISK_FULL:
        return StoreError("FS405", f"the disk is full: {first}", where=where, hint="free space, or another temp_directory")
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in text:
        return StoreError("FS409", f"memory limit reached: {first}", where=where, hint="a higher memory_limit")
    undecoded = type(error) is duckdb.Error  # what its Parquet reader throws has no kind of its own
    if undecoded or isinstance(error, duckdb.InvalidInputException | duckdb.IOException) or "parquet" in text.lower():
        return SourceError("FS325", f"a source cannot be read: {first}", where=where, hint="write the file again")
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return DataError("FS306", f"a value does not fit: {first}", where=where)
    return DataError("FS306", f"the engine failed: {first}", where=where)
