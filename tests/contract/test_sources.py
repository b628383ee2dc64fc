"""Every kind of source keeps the same contract."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.testing.sources import SourceContract
from tests import needs
from tests.postgres_server import PostgresServer
from tests.postgres_tables import append, load
from tests.s3_server import KEY_ID, SECRET, Bucket


class TestParquetSource(SourceContract):
    def definition(self) -> tuple[str, str]:
        return "ParquetSource", f'path="{self.folder}/*.parquet"'

    def put(self, tables: Sequence[pa.Table]) -> None:
        for file in self.folder.glob("*.parquet"):
            file.unlink()
        for number, table in enumerate(tables):
            pq.write_table(table, self.folder / f"part-{number}.parquet", row_group_size=20)

    def append(self, table: pa.Table) -> None:
        number = len(list(self.folder.glob("*.parquet")))
        pq.write_table(table, self.folder / f"part-{number}.parquet", row_group_size=20)


class TestParquetOnS3(SourceContract):
    bucket: Bucket

    @pytest.fixture(autouse=True)
    def _bucket(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def definition(self) -> tuple[str, str]:
        return "ParquetSource", f'path="{self.bucket.url("facts/*.parquet")}"'

    def put(self, tables: Sequence[pa.Table]) -> None:
        for key in self.bucket.listed():
            self.bucket.delete(key)
        for number, table in enumerate(tables):
            self.bucket.put(f"facts/part-{number}.parquet", table, row_group_size=20)

    def append(self, table: pa.Table) -> None:
        self.bucket.put(f"facts/part-{len(self.bucket.listed())}.parquet", table, row_group_size=20)

    def secrets(self) -> Sequence[str]:
        return KEY_ID, SECRET


class TestParquetInMemory(SourceContract):
    """A file system of fsspec that has no tags, and lives as long as this process."""

    test_another_process_finds_the_same = None
    test_check_data_looks_at_all_rows = None

    # How rows are read from a copy, objects with tags tell above.
    test_every_type_comes_back_as_it_is = None
    test_times_are_read_in_their_zone = None
    test_rows_in_quarantine_are_left_out = None
    test_cut_by_key_it_is_the_same = None
    test_a_column_that_becomes_another_type_is_named = None

    @pytest.fixture(autouse=True)
    def _place(self, _folder: None) -> Iterator[None]:
        needs.require("fsspec", importlib.util.find_spec("fsspec") is not None, "fsspec is not installed")
        import fsspec

        self._memory, self._at = fsspec.filesystem("memory"), f"/{uuid4().hex}"
        yield
        self._clear()

    def definition(self) -> tuple[str, str]:
        return "ParquetSource", f'path="memory:/{self._at}/*.parquet"'

    def _clear(self) -> None:
        if self._memory.exists(self._at):
            self._memory.rm(self._at, recursive=True)

    def put(self, tables: Sequence[pa.Table]) -> None:
        self._clear()
        for table in tables:
            self.append(table)

    def append(self, table: pa.Table) -> None:
        number = len(self._memory.find(self._at))
        with self._memory.open(f"{self._at}/part-{number}.parquet", "wb") as file:
            pq.write_table(table, file, row_group_size=20)


class TestArrowSource(SourceContract):
    """Rows from memory: of each process its own, so nothing tells whether they are the same another time."""

    identified = False
    follows = False
    notices = False
    drifts = False
    imports = "import pyarrow.parquet as pq\n"

    def definition(self) -> tuple[str, str]:
        return "ArrowSource", f'table=pq.read_table("{self.folder}/facts.parquet")'

    def put(self, tables: Sequence[pa.Table]) -> None:
        pq.write_table(pa.concat_tables(tables), self.folder / "facts.parquet")

    def append(self, table: pa.Table) -> None:
        self.put([pq.read_table(self.folder / "facts.parquet"), table])


class TestPostgresSource(SourceContract):
    """A table of a database has no history of its own; a digest tells whether its rows are the same."""

    follows = False
    keeps = False
    notices = False
    drifts = False
    server: PostgresServer

    @pytest.fixture(autouse=True)
    def _server(self, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
        self.server = postgres_server

    def definition(self) -> tuple[str, str]:
        return "PostgresSource", f'table="public.facts", url="{self.server.url}"'

    def put(self, tables: Sequence[pa.Table]) -> None:
        load(self.server, "facts", pa.concat_tables(tables))

    def append(self, table: pa.Table) -> None:
        append(self.server, "facts", table)

    def secrets(self) -> Sequence[str]:
        return (self.server.PASSWORD,)


@pytest.mark.slow
class TestPostgresView(TestPostgresSource):
    """A view over a table that is cut by time."""

    def put(self, tables: Sequence[pa.Table]) -> None:
        self.server.sql("DROP VIEW IF EXISTS seen")
        load(self.server, "facts", pa.concat_tables(tables))
        self.server.sql("CREATE VIEW seen AS SELECT * FROM facts ORDER BY id")

    def definition(self) -> tuple[str, str]:
        return "PostgresSource", f'query="SELECT * FROM seen", url="{self.server.url}"'
