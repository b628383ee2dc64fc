"""Tables in an object store: versions by time, catalogs that hold the keys, and stores that do not answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from featurestore.errors import FeatureStoreError
from featurestore.intervals import format_instant
from featurestore.sources import IdentityCache, reopen_source
from featurestore.sources.delta_log import storage_options
from featurestore.sources.table_output import write_delta, write_iceberg
from tests.s3_server import KEY_ID, SECRET, Bucket
from tests.tables import Warehouse, delta, facts, iceberg, open_delta, open_iceberg, rows_of, write


def refused(folder: Path, path: str) -> FeatureStoreError:
    with pytest.raises(FeatureStoreError) as caught:
        open_delta(folder, path)
    assert not any(secret in str(caught.value) for secret in (KEY_ID, SECRET))
    return caught.value


def test_a_delta_table_is_read_at_an_instant_and_found_again(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.url("a b/t")
    write(url, facts(0), storage_options=storage_options(), partition_by=["key"])
    time.sleep(2.1)  # the store tells whole seconds
    between = int((time.time() - 1) * 1_000_000)
    write(url, facts(3), storage_options=storage_options())
    assert open_delta(tmp_path, url).rows == 6
    early = open_delta(tmp_path, url, as_of=format_instant(between))
    assert rows_of(early, "v") == [(0.0,), (1.0,), (2.0,)]
    state = early.state(IdentityCache(None))
    assert [sorted(entry) for entry in state[1:]] == [["etag", "path", "size"]] * 3
    assert reopen_source(delta(url), state, tmp_path, IdentityCache(None)).rows == 3


def test_a_delta_table_that_is_not_there_and_a_store_that_does_not_answer_are_told_apart(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(tmp_path, bucket.url("nothing")).code == "FS367"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_RETRIES", "0")
    error = refused(tmp_path, bucket.url("t"))
    assert (error.code, error.exit_code) == ("FS481", 5)


def test_keys_that_a_catalog_holds_open_its_files(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = bucket.server.environment["AWS_ENDPOINT_URL"]
    keys = {"S3__ACCESS_KEY_ID": KEY_ID, "S3__SECRET_ACCESS_KEY": SECRET, "S3__ENDPOINT": endpoint, "S3__REGION": "us-east-1"}
    warehouse = Warehouse(tmp_path / "lake", monkeypatch, bucket.url("lake"), **keys)
    warehouse.write(facts(0))
    for name in bucket.server.environment:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    data = open_iceberg(tmp_path)
    assert rows_of(data, "v") == [(0.0,), (1.0,), (2.0,)]
    state = data.state(IdentityCache(None))
    assert not any(secret in str(state) + repr(data) for secret in (KEY_ID, SECRET))
    assert reopen_source(iceberg(), state, tmp_path, IdentityCache(None)).rows == 3


def test_tables_are_written_to_an_object_store(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Warehouse(tmp_path / "lake", monkeypatch, bucket.url("lake"))
    rows = facts(0)
    pin = write_delta(bucket.url("out"), rows.to_batches(), rows.schema, root=tmp_path, partition_by=["key"])
    assert open_delta(tmp_path, bucket.url("out")).pins == (pin,)
    write_delta(bucket.url("out"), facts(9, 1).to_batches(), rows.schema, root=tmp_path, replace={"key": [0]})
    assert rows_of(open_delta(tmp_path, bucket.url("out")), "v") == [(1.0,), (2.0,), (9.0,)]
    write_iceberg("db.out", rows.to_batches(), rows.schema)
    assert open_iceberg(tmp_path, "db.out").rows == 3
