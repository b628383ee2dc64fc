"""The kinds of sources there are. A new one is a definition, a module here that has a `Kind`, and a line in this table."""

from __future__ import annotations

from collections.abc import Mapping

from featurestore.definitions import ArrowSource, DeltaSource, IcebergSource, ParquetSource, PostgresSource, Source
from featurestore.sources import arrow, delta, iceberg, parquet, postgres
from featurestore.sources.kind import Kind

KINDS: Mapping[type[Source], Kind] = {
    ArrowSource: arrow.KIND,
    DeltaSource: delta.KIND,
    IcebergSource: iceberg.KIND,
    ParquetSource: parquet.KIND,
    PostgresSource: postgres.KIND,
}


def kind_of(source: Source) -> Kind:
    return KINDS[type(source)]
