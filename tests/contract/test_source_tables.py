"""Delta and Iceberg tables keep the contract of sources, on a disk and in an object store."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pyarrow as pa
import pytest

from featurestore.testing.sources import VALUES, SourceContract
from tests.s3_server import KEY_ID, SECRET, Bucket
from tests.tables import Warehouse, write


class TestDeltaSource(SourceContract):
    drifts = False
    notices = False

    def definition(self) -> tuple[str, str]:
        return "DeltaSource", f'path="{self.folder}/facts"'

    def put(self, tables: Sequence[pa.Table]) -> None:
        shutil.rmtree(self.folder / "facts", ignore_errors=True)
        for table in tables:
            self.append(table)

    def append(self, table: pa.Table) -> None:
        write(self.folder / "facts", table)


@pytest.mark.slow
class TestPartitionedDeltaSource(TestDeltaSource):
    """By the key and a value, which are then in no file."""

    one_file = False

    def put(self, tables: Sequence[pa.Table]) -> None:
        shutil.rmtree(self.folder / "facts", ignore_errors=True)
        for table in tables:
            write(self.folder / "facts", table, partition_by=["key", "flag"])


@pytest.mark.slow
class TestDeltaOnS3(SourceContract):
    drifts = False
    notices = False
    bucket: Bucket

    @pytest.fixture(autouse=True)
    def _bucket(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def definition(self) -> tuple[str, str]:
        return "DeltaSource", f'path="{self.bucket.url("facts")}"'

    def put(self, tables: Sequence[pa.Table]) -> None:
        for key in self.bucket.listed():
            self.bucket.delete(key)
        for table in tables:
            self.append(table)

    def append(self, table: pa.Table) -> None:
        from featurestore.sources.delta_log import storage_options

        write(self.bucket.url("facts"), table, storage_options=storage_options())

    def secrets(self) -> Sequence[str]:
        return KEY_ID, SECRET


class TestIcebergSource(SourceContract):
    drifts = False
    notices = False
    holds = frozenset({*VALUES, "naive"})
    by: Sequence[str] = ()
    warehouse: Warehouse

    @pytest.fixture(autouse=True)
    def _warehouse(self, _folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.warehouse = Warehouse(self.folder, monkeypatch)

    def definition(self) -> tuple[str, str]:
        return "IcebergSource", 'table="db.facts"'

    def put(self, tables: Sequence[pa.Table]) -> None:
        if self.warehouse.exists("db.facts"):
            self.warehouse.catalog.purge_table("db.facts")
        for table in tables:
            self.warehouse.write(table, "db.facts", self.by)

    def append(self, table: pa.Table) -> None:
        self.warehouse.write(table, "db.facts")


@pytest.mark.slow
class TestPartitionedIcebergSource(TestIcebergSource):
    one_file = False
    by = ("key", "day")


@pytest.mark.slow
class TestIcebergOnS3(TestIcebergSource):
    @pytest.fixture(autouse=True)
    def _warehouse(self, _folder: None, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        self.warehouse = Warehouse(self.folder, monkeypatch, bucket.url("lake"))

    def secrets(self) -> Sequence[str]:
        return KEY_ID, SECRET
