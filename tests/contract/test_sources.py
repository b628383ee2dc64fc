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
