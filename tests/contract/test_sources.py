"""Every kind of source keeps the same contract."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.testing.sources import SourceContract
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
