"""`featurestore verify` by stories: the right is found right, what was put wrong is named, what cannot be known is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import (
    ArrowSource,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    OnDemandFeatureView,
    ParquetSource,
    UsageError,
    agg,
    latest,
)
from featurestore.audit.report import Verification
from featurestore.dtypes import parse_dtype
from featurestore.errors import UnknownName
from featurestore.intervals import FixedClock, format_instant
from featurestore.online.codec import RecordCodec, encode_key, storage_key
from featurestore.online.generations import Generation, generations
from featurestore.online.memory import MemoryStore
from featurestore.retrieval.online_view import View
from tests.functional.conftest import WATERMARK

DAY = 86_400_000_000
W = 20_000 * DAY
TIME = pa.timestamp("us", "UTC")
thing = Entity(name="thing", join_keys=["k"])
place = Entity(name="place", join_keys=["country", "day"])


# A small world whose facts lie around the watermark.


def write(path: Path, *rows: tuple[Any, ...], columns: str = "k e x", types: dict[str, pa.DataType] | None = None) -> None:
    """Rows as a file; e and c (created) are microseconds after W."""
    arrays = {}
    for name, values in zip(columns.split(), zip(*rows, strict=True), strict=True):
        timed = name in ("e", "c")
        given = [None if v is None else W + v for v in values] if timed else list(values)
        array = pa.array(given, pa.int64() if timed else (types or {}).get(name))
        arrays[name] = array.cast(TIME) if timed else array
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays), path)


def store_of(folder: Path, *features: Any, source: dict[str, Any] | None = None, **view: Any) -> FeatureStore:
    """A store over one view of the files of a folder, materialized at W."""
    options = {"event_timestamp": "e", **({"delay": "0s"} if source is None else source)}
    facts = ParquetSource(name="facts", path=str(folder / "*.parquet"), allow_left_out=True, **options)
    made = FeatureView(**{"name": "view", "entities": [thing], "source": facts, "features": list(features), **view})
    return materialized(FeatureService(name="service", features=[made]))


def materialized(*services: FeatureService) -> FeatureStore:
    store = FeatureStore(definitions=services, clock=FixedClock(W))
    store.materialize(known_before=W)
    return store


def tamper(store: FeatureStore, change: Callable[[Generation, dict[bytes, bytes]], dict[bytes, bytes | None]]) -> None:
    """Write other records, or none, for some keys of the one view."""
    with store.online.read() as snapshot:
        [made] = generations(snapshot)
        changed = change(made, dict(snapshot.scan(made.table)))

    def fill(batch: Any) -> None:
        batch.put(made.table, [(k, v) for k, v in changed.items() if v is not None])
        batch.delete(made.table, [k for k, v in changed.items() if v is None])

    store.online.write(fill)


def stored(k: int) -> bytes:
    return storage_key(encode_key([k], ["integer"]))


def right(found: Verification) -> None:
    assert found.unverifiable == {}
    assert found.different == 0, [d for view in found.views for d in view.examples]
    assert found.cells["equal"] > 0
    assert found.ok


def causes(found: Verification) -> set[str]:
    return {cause for view in found.views for cause in view.causes}


def times() -> list[int]:
    """Event times at which a window, an offset or a ttl of a day, an hour or 10 µs turns near W."""
    spans = (0, 10, 3_600_000_000, DAY, 2 * DAY)
    return sorted({near - span for span in spans for near in (-2, -1, 0, 1, 2, 500)} - {0} | {0})


# What is right is found right.


def test_a_scaffolded_project_is_right_after_full_and_incremental_runs(cli, project):
    for known_before in (None, "2026-02-01T00:00:00Z"):
        if known_before:
            shutil.copy("data/payments/2025-12.parquet", "data/payments/new.parquet")
            said = cli("materialize", "--known-before", known_before, "--json").json["result"]["views"]
            assert [view["mode"] for view in said] == ["incremental", "incremental"]
        for seed in (0, 1):
            said = cli("verify", "--json", "--sample", 600, "--seed", seed)
            assert said.code == 0, said.out
            result = said.json["result"]
            assert (result["different"], result["unverifiable"], result["stale"]) == (0, 0, 0)
            assert result["equal"] == 600 * 8
            views = result["services"]["fraud_v1"]["views"]
            assert views["card_payments"]["watermark"] == (known_before or WATERMARK)[:19] + ".000000Z"


def test_windows_with_offsets_ttl_and_pending_facts_are_right(tmp_path):
    rows = [(k, e, e - 3 * DAY if k % 2 else e, float(e % 97)) for k in range(8) for e in times()]
    write(tmp_path / "a.parquet", *rows, columns="k e c x")
    features = (
        latest("x"), agg.count(window="1h"), agg.sum("x", window=["1d", None]), agg.max("x", window="1d", offset="1h"),
        agg.stddev_samp("x", window="1d"), agg.histogram("x", window="1d"), agg.last_k("x", 3, window="1d"),
        agg.time_since_last("x", window="1d"),
    )  # fmt: skip
    for exact in (False, True):
        store = store_of(tmp_path, *features, source={"created_timestamp": "c"}, ttl="1d", allow_exact_matches=exact)
        right(store.verify(sample=1_500, seed=exact))


def test_versions_deletions_and_moves_are_right(tmp_path):
    rows = [
        (1, 1, -DAY, -DAY, 1.0, False), (1, 1, -DAY, -5, 2.0, False),  # corrected
        (2, 1, -7, -7, 3.0, False), (2, 1, -7, -3, 3.0, True),  # deleted
        (3, 2, -9, -9, 4.0, False), (3, 1, 20, -2, 5.0, False),  # moved to another key and time, still pending
        (4, 2, -9, 9, 6.0, False),  # not yet known
    ]  # fmt: skip
    write(tmp_path / "a.parquet", *rows, columns="id k e c x gone")
    options = {"created_timestamp": "c", "row_key": ["id"], "deleted": "gone"}
    store = store_of(tmp_path, latest("x"), agg.sum("x", window="1h"), source=options)
    right(store.verify(sample=300))
    write(tmp_path / "b.parquet", (4, 3, 5, 1, 7.0, False), (5, 2, -1, 1, None, None), columns="id k e c x gone")
    store.clock.micros = W + 100
    [report] = store.materialize(known_before=W + 50)
    assert report.mode == "incremental"
    right(store.verify(sample=300))


def test_static_views_composite_keys_and_the_one_row_are_right(tmp_path):
    types = {"day": pa.int32()}
    write(tmp_path / "s" / "a.parquet", ("GB", 3, 7), ("é\0", -1, None), columns="country day x", types=types)
    table = pq.read_table(tmp_path / "s" / "a.parquet")
    pq.write_table(table.set_column(1, "day", table["day"].cast(pa.date32())), tmp_path / "s" / "a.parquet")
    write(tmp_path / "g" / "a.parquet", *[(e, e * 2) for e in times()], columns="e x")
    about = FeatureView(
        name="about", entities=[place], features=[latest("x", name="about")],
        source=ParquetSource(name="places", path=str(tmp_path / "s" / "*.parquet"), static=True),
    )  # fmt: skip
    world = FeatureView(
        name="world", entities=[], features=[latest("x", name="newest"), agg.count(window="1h")], ttl="1d",
        source=ParquetSource(name="world", path=str(tmp_path / "g" / "*.parquet"), event_timestamp="e", delay="5us"),
    )  # fmt: skip
    found = materialized(
        FeatureService(name="both", features=[about, world]),
        FeatureService(name="one", features=[world.with_prefix("w_")]),
    ).verify(sample=400)
    right(found)
    assert set(found.services) == {"both", "one"}
    assert found.services["both"].views["about"].cells["equal"] == 400
    assert found.services["one"].views["w_world"].cells["equal"] == 800


def test_on_demand_features_are_computed_anew_from_offline_cells(tmp_path):
    found = on_demand_store(tmp_path).verify(sample=500)
    right(found)
    assert found.services["service"].views["asked"].cells["equal"] == 1_500
    assert found.services["service"].views["asked"].watermark is None


def on_demand_store(folder: Path) -> FeatureStore:
    write(folder / "a.parquet", *[(k, e, float(k)) for k in range(5) for e in times()])
    facts = ParquetSource(name="facts", path=str(folder / "*.parquet"), event_timestamp="e", delay="0s")
    view = FeatureView(name="view", entities=[thing], source=facts, features=[latest("x"), agg.sum("x", window="1d")])
    asked = OnDemandFeatureView(
        name="asked",
        inputs=[view],
        request={"amount": "double", "day": "date32", "n": "int64"},
        features={
            "ratio": "amount / nullif(x_sum_1d, 0)",
            "bent": "exp(ln(abs(amount)) + x / 7)",
            "early": "day < CAST(as_of AS DATE) AND n + 1 > 0",
        },
    )
    return materialized(FeatureService(name="service", features=[view[["x"]], asked]))


def test_a_sum_that_leaves_its_type_is_unavailable_on_both_sides(tmp_path):
    write(tmp_path / "a.parquet", *[(1, -i, 2**62) for i in range(1, 4)], (2, -1, 5))
    store = store_of(tmp_path, latest("x"), agg.sum("x", window="1h"))
    found = store.verify(sample=60)
    right(found)
    assert 10 < found.cells["unavailable"] < 60


def test_beyond_facts_held_back_answers_are_stale_and_counted_apart(tmp_path):
    write(tmp_path / "a.parquet", (1, 50 * DAY, -5, 1.0), (2, -5, -5, 2.0), columns="k e c x")
    store = store_of(tmp_path, latest("x"), source={"created_timestamp": "c"})
    store.clock.micros = W + 60 * DAY
    found = store.verify(sample=100)
    right(found)
    assert found.cells["stale"] > 0


def test_files_that_came_after_the_run_disturb_nothing(cli, project):
    shutil.copy("data/payments/2025-12.parquet", "data/payments/new.parquet")
    said = cli("verify", "--json", "--sample", 200)
    assert (said.code, said.json["result"]["different"], said.json["result"]["equal"]) == (0, 0, 1600)


def test_one_seed_asks_the_same_and_another_something_else(tmp_path):
    write(tmp_path / "a.parquet", *[(k, -k * 1000, float(k)) for k in range(1, 400)])
    store = store_of(tmp_path, latest("x"))
    tamper(store, lambda made, rows: dict.fromkeys(list(rows)[::3]))
    one, again, other = (store.verify(sample=50, seed=seed).to_dict()["services"] for seed in (1, 1, 2))
    assert one == again
    assert one != other


# What is wrong is found and named.


def test_a_missing_key_a_key_too_many_and_a_wrong_value_are_found(tmp_path):
    write(tmp_path / "a.parquet", *[(k, -k * 1000, k) for k in range(1, 50)])
    for change, cause, k in (
        (lambda made, rows: {stored(7): None}, "key missing", 7),
        (lambda made, rows: {stored(77): rows[stored(7)]}, "key that should not be there", 77),
        (lambda made, rows: {stored(7): reencoded(made, rows[stored(7)], value=99)}, "value", 7),
        (lambda made, rows: {stored(7): reencoded(made, rows[stored(7)], earlier=5)}, "another fact", 7),
    ):
        store = store_of(tmp_path, latest("x"))
        tamper(store, change)
        found = store.verify(sample=400)
        assert not found.ok
        assert causes(found) == {cause}
        [view] = found.views
        assert {example.keys["k"] for example in view.examples} == {k}
        assert found.cells["different"] + found.cells["equal"] == 400


def reencoded(made: Generation, record: bytes, *, value: Any = None, earlier: int = 0) -> bytes:
    """The record with another value or event time in each entry."""
    types = [parse_dtype(t) for _, t in made.columns]
    codec = RecordCodec(types)
    until, entries = codec.decode(record)
    flags, events, values = zip(*entries, strict=True)
    given = [[v[i] if value is None else value for v in values] for i in range(len(types))]
    columns = [pa.array(column, t.arrow) for column, t in zip(given, types, strict=True)]
    made_anew = codec.encode_entries(pa.array(flags, pa.uint8()), pa.array([e - earlier for e in events], pa.int64()), columns)
    offsets = pa.array([0, len(entries)], pa.int64())
    return codec.encode_records(pa.array([until], pa.int64()), offsets, made_anew)[0].as_py()


def with_view(store: FeatureStore, **changes: Any) -> None:
    """Change what the generation's own manifest says of the view: an online path that means something else."""
    with store.online.read() as snapshot:
        [made] = generations(snapshot)
    document = Generation(**{**made.__dict__, **changes})
    store.online.write(lambda batch: batch.put_meta(f"view/{made.name}/{made.fingerprint}", document.to_bytes()))


def manifest(store: FeatureStore) -> dict[str, Any]:
    with store.online.read() as snapshot:
        return dict(generations(snapshot)[0].view)


def test_a_window_that_ends_a_microsecond_late_is_caught_at_its_boundary(tmp_path):
    write(tmp_path / "a.parquet", *[(k, -k * 1_000_000_000, 1) for k in range(1, 30)])
    store = store_of(tmp_path, agg.count(window="1d"))
    view = manifest(store)
    view["features"] = [{**f, "window": f["window"] + 1} for f in view["features"]]
    with_view(store, view=view)
    found = store.verify(sample=1_000)
    assert causes(found) == {"boundary: e + w (1d) + 1 µs"}


def test_a_ttl_that_ends_a_microsecond_early_is_caught_at_its_boundary(tmp_path):
    write(tmp_path / "a.parquet", *[(k, -k * 1_000_000_000, 1) for k in range(1, 30)])
    store = store_of(tmp_path, latest("x"), ttl="1d")
    with_view(store, view={**manifest(store), "ttl": DAY - 1})
    assert causes(store.verify(sample=1_000)) == {"boundary: e + ttl (1d)"}
    with_view(store, view={**manifest(store), "ttl": 2 * DAY})
    assert "ttl" in causes(store.verify(sample=1_000))


def test_a_pending_fact_that_counts_at_its_own_instant_is_caught(tmp_path):
    rows = [(k, k * 1_000_000_000, -5, k) for k in range(30)]
    write(tmp_path / "a.parquet", *rows, columns="k e c x")
    store = store_of(tmp_path, latest("x"), source={"created_timestamp": "c"})
    with_view(store, view={**manifest(store), "allow_exact_matches": True})
    assert causes(store.verify(sample=1_000)) == {"boundary: e", "boundary"}  # at the watermark itself, k = 0 turns too


def test_facts_known_too_late_are_called_so(tmp_path):
    rows = [row for k in range(15) for row in ((k, -50, -50, -1), (k, -5, k - 15, k))]
    write(tmp_path / "a.parquet", *rows, columns="k e c x")
    store = store_of(tmp_path, latest("x"), source={"created_timestamp": "c"})
    with_view(store, watermark=W - 7)  # the store says that it knows less than it does
    store.clock.micros = W + DAY
    found = store.verify(sample=300)
    [view] = found.views
    assert max(view.causes, key=lambda cause: view.causes[cause]) == "known time"
    assert {example.keys["k"] for example in view.examples if example.cause == "known time"} <= set(range(8, 15))


def test_a_fact_that_counts_at_its_own_instant_is_caught_on_a_store_made_just_before_it(tmp_path, monkeypatch):
    """All facts are long past: the live store cannot be asked for their instants any more."""
    write(tmp_path / "a.parquet", *[(k, (k - 99) * DAY, (k - 100) * DAY, k) for k in range(20)], columns="k e c x")
    store = store_of(tmp_path, latest("x"), source={"created_timestamp": "c"})
    found = store.verify(sample=200, scratch=5)
    right(found)
    assert [view.scratch for view in found.views] == [{"stores": 5, "equal": 300, "different": 0}]
    newest = View._newest
    monkeypatch.setattr(View, "_newest", lambda self, entries, t: newest(self, entries, t + 1))
    found = store.verify(sample=200, scratch=5)
    [view] = found.views
    assert (found.cells["different"], view.scratch["different"], found.ok) == (0, 5, False)
    assert {(d.probe, d.cause) for d in view.examples} == {("e, of a store made just before e", "scratch store")}
    assert store.verify(sample=200, scratch=0).ok


def test_a_wrong_on_demand_feature_says_whether_its_input_was_wrong(tmp_path):
    store = on_demand_store(tmp_path)
    tamper(store, lambda made, rows: {stored(3): rows[stored(4)]})
    found = store.verify(sample=500).services["service"].views
    assert found["view"].cells["different"] > 0
    assert found["asked"].causes == {"input": found["asked"].cells["different"]}
    assert found["asked"].cells["different"] > 0


def test_a_tree_that_means_something_else_is_found(tmp_path):
    store = on_demand_store(tmp_path)
    with store.online.read() as snapshot:
        raw = snapshot.meta("service/service")
    changed = raw.replace(b'"call": "divide"', b'"call": "multiply"')
    assert changed != raw, raw
    assert store.verify(sample=50).ok
    store.online.write(lambda batch: batch.put_meta("service/service", changed))
    assert not store.verify(sample=200).ok


def test_differences_end_with_exit_1_and_name_the_cell(cli, project):
    found = FeatureStore(".")
    with found.online.read() as snapshot:
        made = next(g for g in generations(snapshot) if g.name == "merchant_profile")
        key = next(iter(snapshot.scan(made.table)))[0]
    found.online.write(lambda batch: batch.delete(made.table, [key]))
    found.online.close()
    said = cli("verify", "fraud_v1", "--sample", 400)
    assert said.code == 1
    assert "FS131" in said.err
    assert "merchant_profile" in said.err
    assert "cause    key missing" in said.out
    result = cli("verify", "--sample", 400, "--json").json
    assert (result["ok"], result["errors"][0]["code"]) == (False, "FS131")
    view = result["result"]["services"]["fraud_v1"]["views"]["merchant_profile"]
    example = view["examples"][0]
    assert view["causes"] == {"key missing": view["different"]}
    assert set(example) == {"feature", "key", "as_of", "probe", "online", "offline", "cause"}
    assert (example["online"]["value"], example["online"]["status"]) == (None, "not_found")
    assert example["offline"]["status"] == "present"


# What cannot be known is said.


@pytest.mark.parametrize("gone", [True, False])
def test_a_file_gone_or_changed_makes_its_views_unverifiable_and_names_it(cli, project, gone):
    path = Path("data/merchants.parquet")
    if gone:
        path.unlink()
    else:
        table = pq.read_table(path)
        pq.write_table(table.slice(1), path)
    said = cli("verify", "--sample", 100, "--json")
    result = said.json["result"]
    views = result["services"]["fraud_v1"]["views"]
    assert views["merchant_profile"]["unverifiable"] == 200
    assert views["merchant_profile"]["reason"].startswith("data/merchants.parquet: ")
    assert f"is {'gone' if gone else 'changed'}" in views["merchant_profile"]["reason"]
    assert (views["card_payments"]["equal"], result["different"]) == (600, 0)
    assert said.code == 0
    assert "merchant_profile is unverifiable: data/merchants.parquet" in said.err


def test_a_changed_file_of_the_same_size_is_changed(tmp_path):
    write(tmp_path / "a.parquet", (1, -5, 7))
    store = store_of(tmp_path, latest("x"))
    raw = bytearray((tmp_path / "a.parquet").read_bytes())
    raw[10] ^= 1
    (tmp_path / "a.parquet").write_bytes(raw)
    found = store.verify(sample=20)
    assert found.cells == {"equal": 0, "different": 0, "stale": 0, "unavailable": 0, "unverifiable": 20}
    assert "a.parquet" in found.unverifiable["service/view"]
    assert not found.ok


def test_nothing_verifiable_ends_with_exit_1(cli, project):
    shutil.rmtree("data")
    said = cli("verify", "--sample", 50)
    assert said.code == 1
    assert "FS132 nothing could be verified" in said.err
    assert cli("verify", "--sample", 50, "--json").json["result"]["unverifiable"] == 50 * 8


def test_an_older_definition_in_the_store_is_unverifiable(cli, project):
    path = Path("registry/payments.py")
    path.write_text(path.read_text().replace('ttl="90d"', 'ttl="80d"'))
    said = cli("verify", "--sample", 50, "--json")
    views = said.json["result"]["services"]["fraud_v1"]["views"]
    assert (views["card_payments"]["unverifiable"], views["card_payments"]["equal"]) == (300, 0)
    assert "another definition" in views["card_payments"]["reason"]
    assert views["merchant_profile"]["equal"] == 100


def test_an_on_demand_view_is_unverifiable_with_its_input_or_another_definition(tmp_path):
    store = on_demand_store(tmp_path)
    changed = on_demand_store(tmp_path)
    asked = changed.registry.on_demand["asked"]
    object.__setattr__(asked, "features", {**asked.features, "ratio": "amount"})
    changed.online = store.online
    found = changed.verify(sample=20).services["service"].views
    assert found["view"].cells["equal"] == 20
    assert (found["asked"].cells["unverifiable"], found["asked"].cells["equal"]) == (60, 0)
    (tmp_path / "a.parquet").unlink()
    found = store.verify(sample=20).services["service"].views
    assert found["asked"].reason == "an input is unverifiable, or the registry's service does not have the view"


def test_a_table_in_memory_has_no_identity_to_compare(tmp_path):
    table = pa.table({"k": [1], "e": pa.array([W - 5]).cast(TIME), "x": [1]})
    view = FeatureView(
        name="view", entities=[thing], features=[latest("x")],
        source=ArrowSource(name="facts", table=table, event_timestamp="e", delay="0s"),
    )  # fmt: skip
    found = materialized(FeatureService(name="service", features=[view])).verify(sample=10)
    assert "table in memory" in found.unverifiable["service/view"]


def test_a_service_that_waits_for_its_first_run_is_said_to(tmp_path):
    write(tmp_path / "a.parquet", (1, -5, 7))
    store = store_of(tmp_path, latest("x"))
    store.online = MemoryStore()
    found = store.verify()
    assert found.unverifiable == {"service": "the online store cannot answer it yet: featurestore materialize"}
    assert not found.ok
    with pytest.raises(UnknownName) as refused:
        store.verify("service")
    assert refused.value.code == "FS501"


def test_a_name_or_a_number_typed_wrong_is_refused(cli, project):
    assert (cli("verify", "fraud_v2").code, cli("verify", "--sample", "0").code) == (2, 2)
    assert cli("verify", "--scratch", "-1").code == 2
    assert "try fraud_v1" in cli("verify", "fraud_v2").err
    with pytest.raises(UsageError) as refused:
        FeatureStore(".").verify("fraud_v1", sample=0)
    assert refused.value.code == "FS102"


def test_without_an_online_store_it_says_so(cli, project):
    shutil.rmtree(".featurestore/online")
    said = cli("verify")
    assert (said.code, "FS402" in said.err) == (5, True)


def test_verifying_writes_nothing(cli, project):
    from tests.functional.conftest import contents

    before = contents(project)
    assert cli("verify", "--sample", 50).code == 0
    assert contents(project) == before
    assert format_instant(W).startswith("2024-10-04")
