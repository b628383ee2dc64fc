"""How datasets are named for OpenLineage: by place, never by secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore import ArrowSource, ParquetSource
from featurestore import definitions as all_definitions
from featurestore.config import Config
from featurestore.definitions import Source
from featurestore.openlineage.datasets import _NAMED, Dataset, of_path, of_source, of_view

BASE = Path("/srv/shop")


@pytest.mark.parametrize(
    "path, namespace, name",
    [
        ("data/merchants.parquet", "file", "/srv/shop/data/merchants.parquet"),
        ("data/payments/*.parquet", "file", "/srv/shop/data/payments"),
        ("data/**/x.parquet", "file", "/srv/shop/data"),
        ("*.parquet", "file", "/srv/shop"),
        ("/mnt/a/b.parquet", "file", "/mnt/a/b.parquet"),
        ("../other/x.csv", "file", "/srv/other/x.csv"),
        ("file:///mnt/a.parquet", "file", "/mnt/a.parquet"),
        ("s3://bucket/payments/day=*/x.parquet", "s3://bucket", "payments"),
        ("s3://bucket/one.parquet", "s3://bucket", "one.parquet"),
        ("s3://bucket/*.parquet", "s3://bucket", "/"),
        ("gs://bucket/a/b", "gs://bucket", "a/b"),
        ("sftp://me:secret@host/a/b.parquet", "sftp://host", "a/b.parquet"),
    ],
)
def test_paths(path, namespace, name):
    assert of_path(path, BASE) == Dataset(namespace, name)


def test_a_source_of_several_places_is_several_datasets():
    source = ParquetSource(name="s", path=["a/*.parquet", "b/*.parquet", "a/*.pq"], event_timestamp="t")
    assert of_source(source, BASE, "shop") == (Dataset("file", "/srv/shop/a"), Dataset("file", "/srv/shop/b"))


def test_a_table_from_memory_is_named_within_the_project():
    table = pa.table({"t": pa.array([], pa.timestamp("us", "UTC"))})
    assert of_source(ArrowSource(name="s", table=table, event_timestamp="t"), BASE, "shop") == (Dataset("shop", "s"),)


@dataclass
class PostgresSource:
    """As much of one as a name needs."""

    url: str
    table: Any = ("payments",)
    query: str | None = None
    name: str = "payments"


@pytest.mark.parametrize(
    "url, table, environment, namespace, name",
    [
        ("postgresql://me@db:6000/bank", ("payments",), {}, "postgres://db:6000", "bank.public.payments"),
        ("postgresql://me@db/bank", ("risk", "payments"), {}, "postgres://db:5432", "bank.risk.payments"),
        ("$BANK", ("payments",), {"BANK": "postgres://me:hunter2@db:1/b"}, "postgres://db:1", "b.public.payments"),
        ("", ("payments",), {"PGHOST": "db", "PGPORT": "7", "PGDATABASE": "b"}, "postgres://db:7", "b.public.payments"),
        ("", None, {"PGUSER": "me"}, "postgres://localhost:5432", "me.payments"),
    ],
)
def test_postgres(monkeypatch, url, table, environment, namespace, name):
    for variable in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert of_source(PostgresSource(url, table), BASE, "shop") == (Dataset(namespace, name),)


@pytest.mark.parametrize(
    "online, dataset",
    [
        ({}, Dataset("file", "/srv/shop/.featurestore/online/v")),
        ({"store": "redis", "url": "redis://me:pw@cache:7000/1"}, Dataset("redis://cache:7000", "bank/v")),
        ({"store": "redis", "url": "unix:///run/redis.sock"}, Dataset("redis:///run/redis.sock", "bank/v")),
        ({"store": "memory"}, Dataset("bank", "online/v")),
    ],
)
def test_online_stores(online, dataset):
    config = Config(project={"name": "bank"}, online=online)
    assert of_view("v", config, BASE) == dataset


def test_every_kind_of_source_has_a_name():
    kinds = {n for n, kind in vars(all_definitions).items() if isinstance(kind, type) and issubclass(kind, Source)}
    assert kinds - {"Source", "ArrowSource"} <= set(_NAMED)
