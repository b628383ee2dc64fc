"""Parquet in object stores: which objects a URL names, how few bytes are fetched, what becomes of objects that change, and what
is said when the store does not give them."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, LabelView, ParquetSource, agg, latest
from featurestore.definitions.source import is_url
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import DefinitionError, FeatureStoreError, SourceError, UsageError
from featurestore.sources import IdentityCache, objects, open_source, reopen_source
from featurestore.sources.objects import ObjectFile
from tests.functional.conftest import Cli, contents
from tests.s3_server import KEY_ID, SECRET, Bucket

fsspec = pytest.importorskip("fsspec")
HOUR = 3_600_000_000
FIRST = 1_700_000_000_000_000
UTC = pa.timestamp("us", "UTC")


def facts(rows: int = 40, *, first: int = 0, others: int = 0) -> pa.Table:
    """One fact every hour; `others` are columns that nobody reads, as wide as the value that is read."""
    numbers = range(first, first + rows)
    return pa.table({
        "key": pa.array([i % 5 for i in numbers]),
        "e": pa.array([FIRST + i * HOUR for i in numbers], pa.int64()).cast(UTC),
        "v": pa.array([(i * 0.618) % 1 for i in numbers]),
        **{f"other_{n}": pa.array([(i * 0.377 + n / 7) % 1 for i in numbers]) for n in range(others)},
    })  # fmt: skip


def spine(first: int, last: int, rows: int = 50) -> pa.Table:
    """Rows that ask from one hour to another."""
    asked = [FIRST + first * HOUR + (last - first) * HOUR * i // rows + HOUR // 2 for i in range(rows)]
    return pa.table({"key": pa.array([i % 6 for i in range(rows)]), "as_of": pa.array(asked, pa.int64()).cast(UTC)})


def source(path: Any, **options: Any) -> ParquetSource:
    return ParquetSource(**{"name": "facts", "path": path, "event_timestamp": "e", "delay": "0s", **options})


def store(path: Any, *features: Any, **options: Any) -> FeatureStore:
    view = FeatureView(
        name="view", entities=[Entity(name="key")], source=source(path, **options),
        features=list(features) or [latest("v"), agg.count(window="5h"), agg.sum("v", window="7h")],
    )  # fmt: skip
    return FeatureStore(definitions=[FeatureService(name="service", features=[view])])


def names(path: Any) -> list[str]:
    return [part.name for part in open_source(source(path), Path("/")).parts]


# Which objects.


def test_globs_lists_and_single_urls_name_objects_each_once_in_order(bucket: Bucket) -> None:
    for key in (
        "a/2.parquet",
        "a/1.parquet",
        "a/deep/3.parquet",
        "b/4.parquet",
        "a/notes.txt",
        "b/[5].parquet",
        "b/a b=1.parquet",
    ):
        bucket.put(key, facts(1))
    url = bucket.url
    assert names(url("a/*.parquet")) == [url("a/1.parquet"), url("a/2.parquet")]
    assert names(url("a/**/*.parquet")) == [url("a/1.parquet"), url("a/2.parquet"), url("a/deep/3.parquet")]
    assert names([url("b/4.parquet"), url("a/?.parquet"), url("a/1.parquet")]) == [
        url("a/1.parquet"), url("a/2.parquet"), url("b/4.parquet"),
    ]  # fmt: skip
    assert names(url("b/[5].parquet")) == [url("b/[5].parquet")]
    assert names(url("b/a b=*.parquet")) == [url("b/a b=1.parquet")]


def test_local_files_and_objects_may_stand_beside_each_other(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("b.parquet", facts(10, first=10))
    pq.write_table(facts(10), tmp_path / "a.parquet")
    path = [bucket.url("b.parquet"), str(tmp_path / "a.parquet"), f"file://{tmp_path}/*.parquet"]
    data = open_source(source(path), tmp_path)
    assert [part.name for part in data.parts] == ["a.parquet", bucket.url("b.parquet")]
    kinds = [sorted(entry) for entry in data.state(IdentityCache(None))]
    assert kinds == [["path", "sha256", "size"], ["etag", "path", "size"]]
    both = store(path).build_training_set("service", spine(0, 20))
    pq.write_table(facts(20), tmp_path / "whole.parquet")
    assert both.equals(store(str(tmp_path / "whole.parquet")).build_training_set("service", spine(0, 20)))


@pytest.mark.parametrize("key", ["nothing/*.parquet", "nothing.parquet", "a"])
def test_what_matches_nothing_is_an_error_at_the_definition(key: str, bucket: Bucket) -> None:
    bucket.put("a/1.parquet", facts(1))
    with pytest.raises(SourceError) as caught:
        names(bucket.url(key))
    assert caught.value.code == "FS321"
    assert bucket.url(key) in caught.value.what
    assert "test_object_stores.py" in caught.value.where


@pytest.mark.parametrize("url", ["s3://no-such-bucket-here/*.parquet", "s3://no-such-bucket-here/a.parquet"])
def test_a_bucket_that_is_not_there_is_said(url: str, bucket: Bucket) -> None:
    with pytest.raises(SourceError) as caught:
        names(url)
    assert caught.value.code == "FS321"


def test_what_is_no_parquet_is_named(bucket: Bucket) -> None:
    for number, content in enumerate((b"", b"PAR1", b"not parquet at all" * 9, b"x" * 100 + b"\xff\xff\xff\x7fPAR1")):
        bucket.put(f"{number}.parquet", content)
        with pytest.raises(SourceError) as caught:
            names(bucket.url(f"{number}.parquet"))
        assert (caught.value.code, caught.value.where) == ("FS325", bucket.url(f"{number}.parquet"))


def test_the_list_is_frozen_when_it_is_made(bucket: Bucket) -> None:
    bucket.put("a.parquet", facts(10))
    made = store(bucket.url("*.parquet"))
    data = made.source("facts")
    bucket.put("b.parquet", facts(10, first=10))
    assert [p.name for p in data.parts] == [bucket.url("a.parquet")]
    assert made.source("facts").rows == 20


# How few bytes.

GROUPS, EACH = 40, 2_000


@pytest.fixture
def wide(bucket: Bucket) -> tuple[Bucket, int]:
    """20 columns, of which 3 are read, in row groups of which a tenth is asked for; and how many bytes that is."""
    size = bucket.put("wide.parquet", facts(GROUPS * EACH, others=17), row_group_size=EACH, use_dictionary=False)
    return bucket, size


def test_three_of_twenty_columns_over_a_tenth_of_the_time_are_a_few_of_the_bytes(
    wide: tuple[Bucket, int], tmp_path: Path
) -> None:
    bucket, size = wide
    asked = spine(20 * EACH + 10, 24 * EACH - 10)
    with bucket.server.served.counted() as served:
        found = store(bucket.url("wide.parquet")).build_training_set("service", asked)
        assert served.bytes <= 0.15 * size, f"{served.bytes / size:.1%} of the bytes"
    (tmp_path / "wide.parquet").write_bytes(bucket.get("wide.parquet"))
    assert found.equals(store(str(tmp_path / "wide.parquet")).build_training_set("service", asked))


def test_nothing_is_fetched_twice(wide: tuple[Bucket, int]) -> None:
    """Neither footers, which opening a source again may reuse, nor pages, which several statements read."""
    bucket, size = wide
    features = [latest("v"), agg.sum("v", window="9h"), agg.max("v", window="30h"), agg.count_distinct("v", window="1d")]
    made = store(bucket.url("wide.parquet"), *features)
    with bucket.server.served.counted() as served:
        made.build_training_set("service", spine(0, GROUPS * EACH))
        assert served.bytes < 3.2 / 20 * size
        footers = [r for r in served.requests if r.startswith("GET") and "wide.parquet" in r]
        made.types_of("facts")
        assert [r for r in served.requests if r.startswith("GET") and "wide.parquet" in r] == footers


# Objects that change.


@pytest.fixture
def quiet(bucket: Bucket) -> Iterator[None]:
    yield
    bucket.server.served.before = None


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("other", [facts(60, first=7), facts(40, first=7), facts(3)], ids=["longer", "as long", "shorter"])
@pytest.mark.parametrize("number", [0, 1])
def test_an_object_replaced_while_it_is_read_stops_a_build(
    number: int, other: pa.Table, bucket: Bucket, tmp_path: Path
) -> None:
    """number: at which request for its bytes, its footer's or that for its pages."""
    bucket.put("a.parquet", facts(40), row_group_size=10)
    made, key = store(bucket.url("*.parquet")), "a.parquet"
    made.bound  # noqa: B018
    seen = 0

    def before(request: str) -> None:
        nonlocal seen
        if request.startswith("GET") and key in request:
            seen += 1
            if seen == number + 1:
                bucket.put(key, other, row_group_size=10)

    objects._stores.clear()
    bucket.server.served.before = before
    with pytest.raises(SourceError) as caught:
        made.build_training_set("service", spine(0, 40), output=tmp_path / "train.parquet")
    assert (caught.value.code, caught.value.where) == ("FS326", bucket.url(key))
    assert list(tmp_path.iterdir()) == []
    bucket.server.served.before = None
    assert made.build_training_set("service", spine(0, 40)).num_rows == 50


def test_an_object_that_is_deleted_or_replaced_is_known_by_its_tag(bucket: Bucket) -> None:
    bucket.put("a.parquet", facts(10))
    data = open_source(source(bucket.url("*.parquet")), Path("/"))
    state = data.state(IdentityCache(None))
    again = reopen_source(data.source, state, Path("/"), IdentityCache(None))
    assert again.state(IdentityCache(None)) == state
    data.check_unchanged()
    bucket.put("a.parquet", facts(10))
    data.check_unchanged()  # the same bytes, put again, are the same
    bucket.put("a.parquet", facts(10, first=1))
    with pytest.raises(SourceError) as caught:
        data.check_unchanged()
    assert caught.value.code == "FS326"
    for change, word in ((lambda: None, "changed"), (lambda: bucket.delete("a.parquet"), "gone")):
        change()
        with pytest.raises(SourceError) as caught:
            reopen_source(data.source, state, Path("/"), IdentityCache(None))
        assert (caught.value.code, word in caught.value.what) == ("FS335", True)


# What the store does not give.


def refusal(path: Any) -> FeatureStoreError:
    with pytest.raises(FeatureStoreError) as caught:
        names(path)
    assert SECRET not in str(caught.value)
    assert KEY_ID not in str(caught.value)
    assert caught.value.__cause__ is None, "the library's own words may say too much"
    return caught.value


def test_without_credentials_it_says_where_to_put_them(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("a.parquet", facts(1))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for key in ("a.parquet", "*.parquet"):
        error = refusal(bucket.url(key))
        assert (error.code, error.exit_code) == ("FS482", 5)
        assert "AWS_ACCESS_KEY_ID" in error.hint
        assert bucket.url(key) in error.where


def test_a_profile_that_is_not_there_is_said(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert refusal(bucket.url("*.parquet")).code == "FS482"


def test_denied_access_is_said(bucket: Bucket) -> None:
    bucket.put("a.parquet", facts(1))
    bucket.deny("s3:GetObject")
    error = refusal(bucket.url("a.parquet"))
    assert (error.code, error.exit_code) == ("FS482", 5)
    assert "denied" in error.what
    assert bucket.url("a.parquet") in error.where


def test_an_endpoint_that_refuses_or_never_answers_ends_in_bounded_time(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setitem(objects._OPTIONS["s3"]["config_kwargs"], "read_timeout", 0.5)
        monkeypatch.setitem(objects._OPTIONS["s3"]["config_kwargs"], "retries", {"max_attempts": 1})
        for listening in (silent, closed):
            password = SECRET.replace("/", "%2F")
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{password}@127.0.0.1:{listening.getsockname()[1]}")
            error = refusal(bucket.url("*.parquet"))
            assert (error.code, error.exit_code) == ("FS483", 5)
            assert "AWS_ENDPOINT_URL" in error.hint


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    found = fsspec.get_filesystem_class.__globals__["_registry"]
    monkeypatch.delitem(found, "s3", raising=False)
    error = refusal("s3://bucket/*.parquet")
    assert (error.code, error.exit_code, error.hint) == ("FS480", 5, "pip install featurestore[s3]")
    assert "s3fs" in error.what
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert refusal("s3://bucket/*.parquet").hint == "pip install featurestore[s3]"


def test_a_scheme_that_nobody_knows_is_named() -> None:
    error = refusal("s4://bucket/*.parquet")
    assert (error.code, "'s4'" in error.what) == ("FS480", True)


# What a URL may hold.

CREDENTIALS = [
    f"s3://{KEY_ID}:{SECRET.replace('/', '%2F')}@bucket/*.parquet",
    f"s3://{KEY_ID}@bucket/*.parquet",
    f"https://host/a.parquet?X-Amz-Signature={SECRET}",
    f"S3://user:{SECRET}@bucket/a.parquet",
    f"abfs://container/{SECRET}/a.parquet?sig={SECRET}&se=1",
]


@pytest.mark.parametrize("url", CREDENTIALS)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    for path in (url, ["a.parquet", url]):
        with pytest.raises(DefinitionError) as caught:
            source(path)
        assert caught.value.code == "FS202"
        said = f"{caught.value} {caught.value.to_dict()}"
        assert not any(secret in said for secret in (SECRET, KEY_ID, SECRET.replace("/", "%2F")))


def test_chains_of_schemes_are_refused() -> None:
    with pytest.raises(DefinitionError) as caught:
        source("simplecache::s3://bucket/a.parquet")
    assert caught.value.code == "FS202"


@pytest.mark.parametrize(
    "path", ["s3://bucket/part-?.parquet", "s3://bucket/day=2024-01-01/*.parquet", "memory://a/b@c.parquet"]
)
def test_patterns_and_partitions_are_no_credentials(path: str) -> None:
    assert is_url(path)
    assert source(path).path == (path,)


# Spines, and outputs.


def test_a_spine_is_read_by_url_and_found_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("facts.parquet", facts(40))
    bucket.put("asked/spine.parquet", spine(0, 40))
    (tmp_path / "registry").mkdir()
    (tmp_path / "featurestore.toml").write_text('[project]\nname = "remote"\n')
    (tmp_path / "registry" / "all.py").write_text(
        "from featurestore import *\n"
        f"facts = ParquetSource(name='facts', path='{bucket.url('facts.parquet')}', event_timestamp='e', delay='0s')\n"
        "view = FeatureView(name='view', entities=[Entity(name='key')], source=facts, features=[latest('v')])\n"
        "service = FeatureService(name='service', features=[view])\n"
    )
    made, url = FeatureStore(tmp_path), bucket.url("asked/spine.parquet")
    made.build_training_set("service", url, output=tmp_path / "train.parquet")
    found = pq.read_table(tmp_path / "train.parquet")
    assert found.equals(made.build_training_set("service", spine(0, 40)))
    manifest = json.loads((tmp_path / "train.parquet.manifest.json").read_text())
    assert (manifest["spine"]["url"], manifest["spine"]["name"]) == (url, "spine.parquet")
    assert made.rebuild(tmp_path / "train.parquet", verify=True).same
    bucket.put("asked/spine.parquet", spine(1, 40))
    again = made.rebuild(tmp_path / "train.parquet", verify=True)
    assert [change.what for change in again.changed] == ["spine"]
    assert url in str(again.changed[0])
    with pytest.raises(UsageError) as caught:
        made.build_training_set("service", bucket.url("*.parquet").replace("*", "**/*"))
    assert caught.value.code == "FS105"
    with pytest.raises(DefinitionError):
        made.build_training_set("service", f"s3://{KEY_ID}:{SECRET}@bucket/spine.parquet")


def test_a_training_set_goes_to_a_disk(cli: Cli, project: Path) -> None:
    before = contents(project)
    said = cli("build", "fraud_v1", "--spine", "data/spine.parquet", "--output", "s3://bucket/train.parquet", "--json")
    error = said.json["errors"][0]
    assert (said.code, error["code"]) == (2, "FS106")
    assert "s3://" in error["what"]
    assert contents(project) == before


# Reading every shape of part.


@pytest.mark.parametrize("kind", ["naive in a zone", "nanoseconds", "date", "text", "dotted", "nested"])
def test_every_way_to_write_a_column_is_read_from_a_copy_as_from_the_file(kind: str, bucket: Bucket, tmp_path: Path) -> None:
    table, options = facts(60), dict[str, Any]()
    at = table.column_names.index("e")
    if kind == "naive in a zone":
        table, options = table.set_column(at, "e", table["e"].cast(pa.timestamp("us"))), {"timezone": "Asia/Kolkata"}
    elif kind == "nanoseconds":
        table = table.set_column(at, "e", table["e"].cast(pa.timestamp("ns", "UTC")))
    elif kind == "date":
        table = table.set_column(at, "e", table["e"].cast(pa.date32()))
    elif kind == "text":
        texts = pa.array([str(e) for e in table["e"].to_pylist()])
        table, options = table.set_column(at, "e", texts), {"time_format": "iso8601"}
    elif kind == "dotted":
        table = table.append_column("v.w", table["v"]).append_column("key.v", table["key"])
    else:
        lists = pa.array([[i / 3, None] if i % 4 else None for i in range(60)])
        table = table.set_column(table.column_names.index("v"), "v", lists)
    features = [latest("v"), agg.count(window="5h")]
    bucket.put("a.parquet", table, row_group_size=10)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    asked = spine(25, 30)
    found = store(bucket.url("a.parquet"), *features, **options).build_training_set("service", asked)
    assert found.equals(store(str(tmp_path / "a.parquet"), *features, **options).build_training_set("service", asked))


def test_labels_look_ahead_in_objects_too(bucket: Bucket, tmp_path: Path) -> None:
    table = facts(200)
    bucket.put("a.parquet", table, row_group_size=10)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    found = []
    for path in (bucket.url("a.parquet"), str(tmp_path / "a.parquet")):
        facts_of, key = source(path), Entity(name="key")
        view = FeatureView(name="view", entities=[key], source=facts_of, features=[latest("v")])
        label = LabelView(
            name="label", entities=[key], source=facts_of, label=agg.sum("v", window="3h", name="soon"), settle="1h"
        )
        made = FeatureStore(definitions=[FeatureService(name="service", features=[view], labels=[label])])
        found.append(made.build_training_set("service", spine(20, 60)))
    assert found[0].equals(found[1])


def test_who_touches_the_data_reads_objects_too(bucket: Bucket, tmp_path: Path) -> None:
    """Audits, proofs and influences rewrite, leave out and shuffle the rows of sources."""
    bucket.put("a.parquet", facts(60), row_group_size=10)
    pq.write_table(facts(60), tmp_path / "a.parquet", row_group_size=10)
    asked, found = spine(10, 50, rows=12), []
    for number, path in enumerate((bucket.url("a.parquet"), str(tmp_path / "a.parquet"))):
        made, train = store(path), tmp_path / f"train-{number}.parquet"
        made.build_training_set("service", asked, output=train)
        audit = made.audit(train, "service")
        assert audit.ok, audit.to_dict()
        proof = made.prove("service", asked)
        assert proof.ok, proof.to_dict()
        moved = made.influence("service", "v_sum_7h", asked)
        found.append([[(one.row.row, one.without) for one in asked_row.rows] for asked_row in moved.rows])
    assert found[0] == found[1]
    assert any(found[0])


def test_a_file_system_without_tags_is_known_by_its_content() -> None:
    memory = fsspec.filesystem("memory")
    with memory.open("/contract/a.parquet", "wb") as file:
        pq.write_table(facts(10), file)
    data = open_source(source("memory://contract/*.parquet"), Path("/"))
    (part,) = data.parts
    assert isinstance(part.file, ObjectFile)
    (entry,) = data.state(IdentityCache(None))
    assert (entry["path"], len(entry["sha256"])) == ("memory://contract/a.parquet", 64)
    data.check_unchanged()
    with memory.open("/contract/a.parquet", "wb") as file:
        pq.write_table(facts(10), file)
    with pytest.raises(SourceError):
        data.check_unchanged()  # written again: nothing tells without reading whether it is the same
    assert open_source(data.source, Path("/")).state(IdentityCache(None)) == [entry]


def test_copies_lie_in_the_folder_of_the_session_and_go_with_it(bucket: Bucket) -> None:
    bucket.put("a.parquet", facts(40))
    data = open_source(source(bucket.url("*.parquet")), Path("/"))
    with Session(Settings()) as session:
        session.bind_source(data, ["key", "e", "v"], data.types)
        assert len(list(session.folder.glob("remote_*.parquet"))) == 1
        folder = session.folder
    assert not folder.exists()


def test_a_bind_that_failed_leaves_no_hole_for_the_next(bucket: Bucket) -> None:
    """The store gives way half-way; the same session asks again when it is back."""
    bucket.put("a.parquet", facts(40), row_group_size=10)
    data = open_source(source(bucket.url("*.parquet")), Path("/"))
    with Session(Settings()) as session:
        bucket.deny("s3:GetObject")
        with pytest.raises(FeatureStoreError) as caught:
            session.bind_source(data, ["key", "e", "v"], data.types)
        assert caught.value.code == "FS482"
        bucket.allow()
        session.bind_source(data, ["key", "e", "v"], data.types)
        assert session.table("SELECT sum(v) AS v FROM source__facts").to_pylist()[0]["v"] == pytest.approx(
            sum(facts(40)["v"].to_pylist())
        )


def test_the_case_of_a_scheme_does_not_count(bucket: Bucket) -> None:
    bucket.put("a.parquet", facts(1))
    assert names(bucket.url("*.parquet").replace("s3://", "S3://")) == [bucket.url("a.parquet")]
