"""FeatureStore: finding the project, its settings and types, and building training sets in memory."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, agg, latest
from featurestore import config as settings
from featurestore.dtypes import DType
from featurestore.errors import DefinitionError, SourceError, SpineError, UnknownName, UsageError

UTC = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000


def instants(*hours: float | None) -> pa.Array:
    return pa.array([None if h is None else int(h * HOUR) for h in hours], UTC)


# Facts of one customer: what happened at 1, 2 and 3 o'clock was loaded half an hour, three hours and half an hour later.
FACTS = pa.table({"id": [1, 1, 1], "e": instants(1, 2, 3), "k": instants(1.5, 5, 3.5), "x": [10.0, 20.0, None]})


def service(**source: Any) -> FeatureService:
    facts = ArrowSource(**{"name": "facts", "event_timestamp": "e", "created_timestamp": "k", "table": FACTS, **source})
    features = [latest("x"), agg.count(window=None, name="n")]
    view = FeatureView(
        name="v", entities=[Entity(name="customer", join_keys=["id"])], source=facts, ttl="2h", features=features
    )
    return FeatureService(name="svc", features=[view])


def built(*hours: float, store: FeatureStore | None = None, **options: Any) -> dict[str, list[Any]]:
    asked = pa.table({"id": [1] * len(hours), "as_of": instants(*hours)})
    table = (store or FeatureStore(definitions=[service()])).build_training_set("svc", asked, **options)
    return {name: table[name].to_pylist() for name in table.column_names[2:]}


# Projects.

REGISTRY = """
from featurestore import *
facts = ParquetSource(name="facts", path="data/facts.parquet", event_timestamp="e", created_timestamp="k")
view = FeatureView(name="v", entities=[Entity(name="customer", join_keys=["id"])], source=facts, ttl="2h",
                   features=[latest("x"), agg.count(window=None, name="n")])
svc = FeatureService(name="svc", features=[view])
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("registry", "data", "sql"):
        (tmp_path / folder).mkdir()
    (tmp_path / "featurestore.toml").write_text('[project]\nname = "shop"\n')
    (tmp_path / "registry" / "all.py").write_text(REGISTRY)
    pq.write_table(FACTS, tmp_path / "data" / "facts.parquet")
    return tmp_path


@pytest.mark.parametrize("below", [".", "registry", "data/deep/er"])
def test_the_project_is_the_nearest_folder_above(below: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(project / below)
    store = FeatureStore(".")
    assert store.root == project
    assert store.config.project.name == "shop"
    assert built(10, store=store) == built(10)


def test_sources_are_relative_to_the_project_wherever_the_shell_is(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert built(2, store=FeatureStore(project)) == {"x": [10.0], "n": [1]}


def test_no_project_here_or_above(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        FeatureStore(tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("FS107", 2)


def test_a_project_or_definitions_but_not_both(project: Path) -> None:
    for options in ({}, {"project": project, "definitions": []}):
        with pytest.raises(UsageError):
            FeatureStore(**options)  # type: ignore[arg-type]


def test_definitions_alone_need_no_folder_and_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(FACTS, "facts.parquet")
    source = ParquetSource(name="facts", path="facts.parquet", event_timestamp="e", created_timestamp="k")
    view = FeatureView(name="v", entities=[Entity(name="customer", join_keys=["id"])], source=source, features=[latest("x")])
    store = FeatureStore(definitions=[FeatureService(name="svc", features=[view])])
    assert built(2, store=store) == {"x": [10.0]}
    store.materialize(known_before="1970-01-02T00:00:00Z")
    assert [p.name for p in tmp_path.iterdir()] == ["facts.parquet"]


def test_a_service_may_be_given_as_a_definition() -> None:
    store = FeatureStore(definitions=[])
    table = store.build_training_set(service(), pa.table({"id": [1], "as_of": instants(2)}))
    assert table["x"].to_pylist() == [10.0]


@pytest.mark.parametrize("name, hint", [("svd", "svc"), ("fraud", "")])
def test_an_unknown_service_has_its_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownName) as caught:
        FeatureStore(definitions=[service()]).build_training_set(name, pa.table({"id": [1], "as_of": instants(1)}))
    assert (caught.value.code, caught.value.known, caught.value.hint) == ("FS101", ("svc",), hint)


# Types without data.


def test_types_come_from_the_committed_manifest_when_the_files_are_absent(project: Path) -> None:
    committed = FeatureStore(project).bound.to_manifest()
    from featurestore.compiler.files import compiled

    files = compiled(FeatureStore(project).bound)
    (project / "sql" / "manifest.json").write_text(files["manifest.json"])
    (project / "data" / "facts.parquet").unlink()
    store = FeatureStore(project)
    assert store.bound.to_manifest() == committed
    assert compiled(store.bound) == files
    with pytest.raises(SourceError) as caught:
        built(1, store=store)
    assert caught.value.code == "FS321"


def test_without_files_manifest_or_schema_there_are_no_types(project: Path) -> None:
    (project / "data" / "facts.parquet").unlink()
    with pytest.raises(SourceError) as caught:
        FeatureStore(project).bound  # noqa: B018
    assert caught.value.code == "FS321"


def test_a_schema_comes_before_files_and_files_before_the_manifest(project: Path) -> None:
    manifest = project / "sql" / "manifest.json"
    manifest.write_text('{"format": 1, "sources": {"facts": {"x": "string"}}}')
    assert FeatureStore(project).types_of("facts")["x"] == DType("double")
    text = REGISTRY.replace(
        'event_timestamp="e"', 'event_timestamp="e", schema={"e": "timestamp", "k": "timestamp", "id": "int64", "x": "float"}'
    )
    (project / "registry" / "all.py").write_text(text)
    store = FeatureStore(project)
    assert store.types_of("facts")["x"] == DType("float")
    with pytest.raises(SourceError) as caught:  # a source that differs from its schema is a data error
        built(1, store=store)
    assert caught.value.code == "FS322"


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 2, "sources": {}}'])
def test_a_manifest_that_cannot_be_read_is_said(text: str, project: Path) -> None:
    (project / "sql" / "manifest.json").write_text(text)
    (project / "data" / "facts.parquet").unlink()
    with pytest.raises(DefinitionError) as caught:
        FeatureStore(project).bound  # noqa: B018
    assert (caught.value.code, caught.value.where) == ("FS222", "sql/manifest.json")


# Settings.


def test_a_name_alone_is_a_whole_file(project: Path) -> None:
    found = settings.load(project)
    assert (found.offline.engine, found.online.store, found.server.port) == ("duckdb", "lmdb", 8000)


def test_the_environment_goes_over_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "featurestore.toml").write_text('[offline]\nthreads = 1\nmemory_limit = "1GB"\n')
    monkeypatch.setenv("FEATURESTORE_OFFLINE__THREADS", "3")
    monkeypatch.setenv("FEATURESTORE_ONLINE__STORE", "memory")
    found = settings.load(project)
    assert (found.offline.threads, found.offline.memory_limit, found.online.store) == (3, "1GB", "memory")


@pytest.mark.parametrize(
    "text, what, hint",
    [
        ("[offline]\nthread = 1\n", "offline.thread", "threads"),
        ("[ofline]\nthreads = 1\n", "ofline", "offline"),
        ("[offline]\nthreads = 0\n", "offline.threads", ""),
        ('[offline]\nengine = "sqlite"\n', "offline.engine", ""),
        ('[offline]\nmemory_limit = "lots"\n', "offline.memory_limit", ""),
        ('[server]\nport = "eighty"\n', "server.port", ""),
        ("format = 2\n", "format 2 is newer", "a newer featurestore"),
        ('format = "one"\n', "format", ""),
        ("[project\n", "cannot be read", ""),
    ],
)
def test_a_setting_that_cannot_be_is_named(text: str, what: str, hint: str, project: Path) -> None:
    (project / "featurestore.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        FeatureStore(project)
    assert (caught.value.code, caught.value.where) == ("FS107", "featurestore.toml")
    assert what in caught.value.what
    assert not hint or caught.value.hint == hint


# Training sets.


def test_a_late_fact_is_invisible_until_it_was_loaded() -> None:
    # At 1.5 it is being loaded, at 1.6 it is known, at 3.2 it is older than 2 h; then 3 o'clock's x, a NULL, is the newest.
    assert built(1.0, 1.5, 1.6, 3.2, 5.0, 5.1) == {
        "x": [None, None, 10.0, None, None, None],
        "n": [0, 0, 1, 1, 2, 3],
    }


def test_the_status_tells_absent_from_expired_and_from_null() -> None:
    found = built(1.0, 1.6, 3.2, 4.0, include=("status", "event_timestamp"))
    assert found["x__status"] == ["not_found", "present", "expired", "null"]
    assert found["n__status"] == ["present"] * 4
    hours = [None if e is None else e.hour for e in found["x__event_timestamp"]]
    assert (hours[0], hours[1], hours[3]) == (None, 1, 3)
    assert list(found) == ["x", "n", "x__status", "n__status", "x__event_timestamp", "n__event_timestamp"]


def test_known_before_cuts_the_facts_off_by_when_they_were_known() -> None:
    assert built(6, known_before="1970-01-01T05:00:00Z") == {"x": [None], "n": [2]}
    assert built(6, known_before=5 * HOUR + 1) == {"x": [None], "n": [3]}
    with pytest.raises(UsageError) as caught:
        built(6, known_before="1970-01-01T05:00:00")
    assert caught.value.code == "FS103"


def test_a_serving_lag_asks_what_a_store_that_old_would_have_said() -> None:
    assert built(1.6, 2.0, 2.5, 2.6, serving_lag="1h") == {"x": [None, None, None, 10.0], "n": [0, 0, 0, 1]}
    assert built(1.6, serving_lag="0s") == built(1.6)
    with pytest.raises(DefinitionError) as caught:
        built(1.6, serving_lag="-1h")
    assert caught.value.code == "FS211"


@pytest.mark.parametrize(
    "options", [{"include": ("statuses",)}, {"engine": "sqlite"}, {"memory_limit": "lots"}, {"include": "status"}]
)
def test_an_option_that_does_not_exist(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        built(1, **options)
    assert caught.value.code == "FS102"


def test_the_same_view_twice_by_two_keys() -> None:
    view = service().instances[0].view
    both = FeatureService(
        name="svc", features=[view, view[["x"]].alias("boss").with_join_key_map({"id": "boss_id"}).with_prefix("boss_")]
    )
    asked = pa.table({"id": [1, 2], "boss_id": [2, 1], "as_of": instants(2, 2)})
    table = FeatureStore(definitions=[both]).build_training_set("svc", asked)
    assert table.select(["x", "n", "boss_x"]).to_pydict() == {"x": [10.0, None], "n": [1, 0], "boss_x": [None, 10.0]}


def test_rows_come_back_as_asked_doubled_unordered_and_with_null_keys() -> None:
    asked = pa.table({"id": [1, None, 1, 9], "note": ["b", "a", "b", None], "as_of": instants(2, 2, 2, 2)})
    table = FeatureStore(definitions=[service()]).build_training_set("svc", asked)
    assert table.select(["id", "note", "as_of"]).equals(asked)
    assert table["x"].to_pylist() == [10.0, None, 10.0, None]


def test_another_column_of_instants_in_another_zone() -> None:
    asked = pl.DataFrame({"id": [1, 1], "at": ["1970-01-01 02:36", "1970-01-01 02:30"]})
    table = FeatureStore(definitions=[service()]).build_training_set("svc", asked, as_of="at", timezone="Europe/Paris")
    assert table["x"].to_pylist() == [10.0, None]
    assert table["at"].to_pylist() == ["1970-01-01 02:36", "1970-01-01 02:30"]


@pytest.mark.parametrize(
    "asked, code",
    [
        ({"id": [1], "as_of": [None]}, "FS303"),
        ({"id": [1], "as_of": instants(None)}, "FS300"),
        ({"id": ["1"], "as_of": instants(1)}, "FS302"),
        ({"id": [1.0], "as_of": instants(1)}, "FS303"),
        ({"as_of": instants(1)}, "FS303"),
        ({"id": [1]}, "FS303"),
        ({"id": [1], "as_of": instants(1), "X": [1]}, "FS304"),
        ({"id": [1], "as_of": instants(1), "n": [1]}, "FS304"),
        ({"id": [1], "as_of": instants(1), "ID": [1]}, "FS304"),
    ],
)
def test_a_spine_that_cannot_ask(asked: dict[str, Any], code: str) -> None:
    with pytest.raises(SpineError) as caught:
        FeatureStore(definitions=[service()]).build_training_set("svc", pa.table(asked))
    assert (caught.value.code, caught.value.exit_code) == (code, 4)


def test_a_name_of_an_included_column_is_taken_only_if_it_is_included() -> None:
    asked = pa.table({"id": [1], "as_of": instants(1), "x__status": ["mine"]})
    store = FeatureStore(definitions=[service()])
    assert store.build_training_set("svc", asked)["x__status"].to_pylist() == ["mine"]
    with pytest.raises(SpineError):
        store.build_training_set("svc", asked, include=("status",))


EXOTIC = {
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "ordered dictionary": pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), pa.array(["b", "a"]), ordered=True),
    "nanoseconds of Paris": pa.array([1, None, -1], pa.timestamp("ns", "Europe/Paris")),
    "naive milliseconds": pa.array([1, None, -1], pa.timestamp("ms")),
    "struct": pa.array([{"a": 1, "b": [1]}, None, {"a": None, "b": None}]),
    "list": pa.array([[1, None], None, []]),
    "list of structs": pa.array([[{"a": 1}], None, []]),
    "fixed list": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int32(), 2)),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "float16": pa.array([1.5, None, float("nan")], pa.float16()),
    "negative zero": pa.array([-0.0, None, 0.0]),
    "duration": pa.array([1, None, -1], pa.duration("ns")),
    "time": pa.array([1, None, 2], pa.time64("ns")),
    "decimal256": pa.array([Decimal("1.50"), None, Decimal(-7)], pa.decimal256(60, 2)),
    "uint64": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "large text": pa.array(["größe", None, ""], pa.large_string()),
    "text view": pa.array(["größe", None, ""], pa.string_view()),
    "bytes of a fixed size": pa.array([b"ab", None, b"\0\0"], pa.binary(2)),
    "only NULL": pa.nulls(3),
    "a Polars category": pl.Series(["a", None, "b"], dtype=pl.Categorical).to_arrow(),
}  # fmt: skip


@pytest.fixture(scope="module")
def exotic() -> tuple[pa.Table, pa.Table, FeatureStore]:
    """A spine with every exotic column, and its training set."""
    asked = pa.table({"id": [1, 1, 2], "as_of": instants(2, 1, 2), **EXOTIC})
    store = FeatureStore(definitions=[service()])
    return asked, store.build_training_set("svc", asked), store


@pytest.mark.parametrize("kind", EXOTIC)
def test_the_spines_columns_come_back_bit_by_bit(kind: str, exotic: tuple[pa.Table, pa.Table, FeatureStore]) -> None:
    _, table, _ = exotic
    assert table[kind].type == EXOTIC[kind].type
    assert identical(table[kind], EXOTIC[kind])


def identical(one: pa.ChunkedArray, other: pa.Array) -> bool:
    """Equal types, places of NULL and bits (0.0 is not -0.0, NaN is NaN)."""
    return one.type == other.type and repr(one.to_pylist()) == repr(other.to_pylist())


def test_they_survive_a_parquet_file_of_a_spine_and_of_a_training_set(
    exotic: tuple[pa.Table, pa.Table, FeatureStore], tmp_path: Path
) -> None:
    asked, table, store = exotic
    pq.write_table(asked, tmp_path / "spine.parquet", row_group_size=2)
    lies = pq.read_table(tmp_path / "spine.parquet")  # the same but for what Parquet itself folds, such as index types
    for number, given in enumerate((asked, tmp_path / "spine.parquet")):
        path = store.build_training_set("svc", given, output=tmp_path / f"{number}.parquet")
        back = pq.read_table(path)
        assert back.column_names == table.column_names
        for kind in EXOTIC:
            assert identical(back[kind], lies[kind].combine_chunks()), kind
        assert back["x"].to_pylist() == [10.0, None, None]


def test_keys_may_be_words_of_a_polars_category() -> None:
    """Frames hand categories over as dictionaries of text views, which Arrow's own decoding does not know."""
    facts = pa.table({"k": ["a", "b"], "e": instants(0, 1), "x": [1.5, 2.5]})
    source = ArrowSource(name="facts", table=facts, event_timestamp="e", delay="0s")
    view = FeatureView(name="view", entities=[Entity(name="k")], source=source, features=[latest("x")])
    store = FeatureStore(definitions=[FeatureService(name="words", features=[view])])
    asked = pl.DataFrame({"k": ["a", "b", None], "as_of": pl.from_arrow(instants(9, 9, 9))})
    table = store.build_training_set("words", asked.with_columns(pl.col("k").cast(pl.Categorical)))
    assert table["x"].to_pylist() == [1.5, 2.5, None]
