"""`featurestore rebuild` by stories: the same bytes, or what is not as it was, by name; and nothing written over."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import DataError, FeatureStore, Split, UsageError
from featurestore.sources.files import sha256
from tests.functional.conftest import Cli, contents
from tests.functional.made_again import HOUR, PAID, UTC, Made, payments, spine, told

OPTIONS = {"known_before": 2**59 + 1, "split": Split.time(test_from=2**58, embargo="3d", by="customer")}, {
    "known_before": "2024-02-20T00:00:00Z", "serving_lag": "1h", "include": ("status", "event_timestamp"),
           "label": "label"}  # fmt: skip


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A project with a training set. Read only: `made` is a copy to change."""
    made = Made.new(tmp_path_factory.mktemp("made") / "project")
    made.build()
    return made


@pytest.fixture
def made(built: Made, tmp_path: Path) -> Made:
    shutil.copytree(built.folder, tmp_path / "project")
    return Made(tmp_path / "project")


# The same bytes.


def test_what_nobody_touched_is_built_again_to_the_byte(made: Made) -> None:
    before = contents(made.folder)
    found = made.verify()
    assert (found.same, found.bytes, found.content) == (True, True, True)
    assert (found.changed, found.notes, found.output, found.differences) == ([], [], None, None)
    assert contents(made.folder) == before
    assert made.verify("train.parquet.manifest.json").same


@pytest.mark.parametrize("options", OPTIONS, ids=["far", "near"])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_all_that_was_asked_is_asked_again(made: Made, suffix: str, options: dict[str, Any]) -> None:
    made.build(f"asked.{suffix}", **options)
    assert made.verify(f"asked.{suffix}").same
    assert sha256(made.folder / f"asked.{suffix}") != sha256(made.folder / "train.parquet")


def test_a_spine_of_text_in_a_zone_and_a_format_of_its_own(made: Made) -> None:
    (made.folder / "asked.csv").write_text("customer,shop,when,asked\n1,s1,09.01.2024 10:00,1.5\n2,,29.02.2024 23:00,\n")
    options = {"as_of": "when", "as_of_format": "%d.%m.%Y %H:%M", "timezone": "Pacific/Chatham"}
    made.build("train.csv", made.folder / "asked.csv", **options)
    assert made.verify("train.csv").same


@pytest.mark.parametrize("settings", [("1", "512MB"), ("2", "2GB"), ("4", "256MB")], ids="-".join)
def test_the_same_bytes_with_any_threads_and_memory(
    made: Made, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, str]
) -> None:
    monkeypatch.setenv("FEATURESTORE_OFFLINE__THREADS", settings[0])
    assert made.verify(memory_limit=settings[1]).same


def test_the_same_bytes_whatever_the_files_are_called_and_in_which_rows_lie(made: Made) -> None:
    folder = made.folder / "data" / "payments"
    rows = pa.concat_tables(pq.read_table(path) for path in sorted(folder.iterdir()))
    rows = rows.take(Random(3).sample(range(rows.num_rows), rows.num_rows))
    shutil.rmtree(folder)
    folder.mkdir()
    for name, (first, last) in {"b": (0, 40), "a": (40, 200), "z": (200, 300)}.items():
        pq.write_table(rows.slice(first, last - first), folder / f"{name}.parquet", row_group_size=17)
    made.build("again.parquet")
    assert sha256(made.folder / "again.parquet") == sha256(made.folder / "train.parquet")


def test_words_for_people_change_nothing(made: Made) -> None:
    made.redefine('description="As it was."', 'description="Otherwise.", owner="me", tags={"a": "b"}')
    found = made.verify()
    assert (found.same, found.changed) == (True, [])


# What changed, by name.


def flip(path: Path, bit: int) -> None:
    """Flip one bit; size and time stay what they were."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_any_flipped_bit_of_any_source_file_is_found(made: Made) -> None:
    rng = Random(11)
    os.utime(made.folder / "data/shops.parquet", ns=(1, 1))  # old enough to be remembered by its time
    for name in ("payments/0", "payments/1", "payments/2", "shops"):
        path = made.folder / "data" / f"{name}.parquet"
        source, size = name.split("/")[0], 8 * path.stat().st_size
        for bit in (0, size - 1, *(rng.randrange(size) for _ in range(20))):
            flip(path, bit)
            found = made.verify()
            assert (found.same, found.bytes) == (False, None)
            assert told(found.changed) == [f"source_file: data/{name}.parquet: changed (source {source})"]
            flip(path, bit)
    assert made.verify().same


def test_a_source_file_that_is_gone(made: Made) -> None:
    (made.folder / "data/shops.parquet").unlink()
    found = made.verify()
    assert (found.same, found.bytes) == (False, None)
    assert told(found.changed) == ["source_file: data/shops.parquet: gone (source shops)"]


def test_every_change_is_told_at_once(made: Made) -> None:
    (made.folder / "data/shops.parquet").unlink()
    flip(made.folder / "data/payments/1.parquet", 800)
    made.redefine('ttl="90d"', 'ttl="60d"')
    assert sorted(told(made.verify().changed)) == [
        "definition: view spending: ttl 90d → 60d",
        "source_file: data/payments/1.parquet: changed (source payments)",
        "source_file: data/shops.parquet: gone (source shops)",
    ]


def test_a_file_that_came_later_is_not_used_and_mentioned(made: Made) -> None:
    pq.write_table(payments(900, 50, 9), made.folder / "data/payments/0_before.parquet")
    found = made.verify()
    assert (found.same, found.changed) == (True, [])
    assert found.notes == ["data/payments/0_before.parquet came later and is not used"]
    for n in range(4):
        shutil.copy(made.folder / "data/payments/0_before.parquet", made.folder / f"data/payments/{n}_later.parquet")
    (note,) = made.verify().notes
    assert note.startswith("5 files came later and are not used: data/payments/0_before.parquet, ")


def test_rows_pushed_before_are_used_and_those_pushed_later_are_not(made: Made) -> None:
    row = {"payment_id": 1_000, "customer": 1, "paid_at": "2024-01-20T00:00:00Z", "amount": 5.0}
    made.store.push("payments", [row, {**row, "payment_id": 1_001, "customer": 2}])
    late = pa.table({"customer": [1, 2], "shop": ["s1", "s2"], "as_of": pa.array([2**51] * 2, pa.int64()).cast(UTC),
                     "asked": [1.0, 2.0]})  # fmt: skip
    pq.write_table(late, made.folder / "late.parquet")
    made.build("pushed.parquet", made.folder / "late.parquet")
    made.store.push("payments", [{**row, "payment_id": 1_002, "amount": 9.0}])
    found = made.verify("pushed.parquet")
    assert (found.same, found.changed) == (True, [])
    assert found.notes == ["push log of payments: 1 rows came later and are not used"]
    made.store.compact()
    assert made.verify("pushed.parquet").same
    shutil.rmtree(made.folder / ".featurestore" / "push")
    assert told(made.verify("pushed.parquet").changed) == ["push_log: push log of payments: gone"]
    made.store.push("payments", [row])
    (other,) = made.verify("pushed.parquet").changed
    assert str(other) == "push log of payments: another log, or one out of which rows were taken"


def test_a_damaged_push_log_is_named(made: Made) -> None:
    row = {"payment_id": 1_000, "customer": 1, "paid_at": "2024-01-20T00:00:00Z", "amount": 5.0}
    made.store.push("payments", [row])
    made.build()
    (segment,) = (made.folder / ".featurestore/push/payments/segments").iterdir()
    flip(segment, 8 * (segment.stat().st_size - 20))
    found = made.verify()
    assert (found.same, found.changed[0].what) == (False, "push_log")


def test_the_spine_is_another(made: Made) -> None:
    table = pq.read_table(made.folder / "data/spine.parquet")
    pq.write_table(table.slice(1), made.folder / "data/spine.parquet")
    found = made.verify()
    assert (found.same, found.bytes) == (False, None)
    assert told(found.changed) == ["spine: spine: its content is another"]


def test_a_spine_that_is_gone_is_asked_for(made: Made) -> None:
    (made.folder / "data/spine.parquet").rename(made.folder.parent / "moved.parquet")
    (gone,) = made.verify().changed
    assert str(gone) == "spine: data/spine.parquet is gone: give --spine FILE"
    assert made.verify(spine=made.folder.parent / "moved.parquet").same


def test_a_spine_behind_a_link_within_the_project_is_found_there(made: Made, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (made.folder / "data/spine.parquet").rename(elsewhere / "spine.parquet")
    (made.folder / "spines").symlink_to(elsewhere)
    made.build(given=made.folder / "spines" / "spine.parquet")
    assert made.manifest()["spine"]["path"] == "spines/spine.parquet"
    assert made.verify().same


def test_a_spine_outside_of_the_project_is_found_beside_the_manifest(made: Made) -> None:
    outside = made.folder.parent
    (made.folder / "data/spine.parquet").rename(outside / "spine.parquet")
    made.store.build_training_set("svc", outside / "spine.parquet", output=outside / "train.parquet")
    assert made.store.rebuild(outside / "train.parquet", verify=True).same


def test_a_spine_from_memory_is_known_again_by_its_content(made: Made) -> None:
    table = spine(50)
    made.build("memory.parquet", table)
    (asked,) = made.verify("memory.parquet").changed
    assert str(asked) == "spine: it was a table in memory when the set was built: write it to a file and give --spine FILE"
    pq.write_table(table, made.folder / "kept.parquet", row_group_size=7)
    assert made.verify("memory.parquet", spine=made.folder / "kept.parquet").same
    pq.write_table(table.slice(1), made.folder / "kept.parquet")
    (other,) = made.verify("memory.parquet", spine=made.folder / "kept.parquet").changed
    assert other.what == "spine"


def test_a_source_from_memory_cannot_be_verified(made: Made) -> None:
    made.redefine("shops = ParquetSource(", "import pyarrow.parquet as pq\nfrom featurestore import ArrowSource\n"
                  "from pathlib import Path\nshops = ArrowSource(")  # fmt: skip
    path = made.folder / "data/shops.parquet"
    made.redefine('path="data/shops.parquet"', f"table=pq.read_table({str(path)!r})")
    made.build()
    found = made.verify()
    assert (found.same, found.bytes) == (False, None)
    said = "source: source shops: a table in memory when the set was built; nothing tells whether it is the same"
    assert told(found.changed) == [said]


DEFINITIONS = [
    ('ttl="90d"', 'ttl="60d"', ["view spending: ttl 90d → 60d"]),
    ('ttl="90d", ', "", ["view spending: ttl 90d → none"]),
    ('ttl="90d"', 'ttl="90d", allow_exact_matches=True',
     ["view spending: allow_exact_matches false → true", "feature service svc: churn, exact false → true"]),
    ('where="amount > 0"', 'where="amount > 1"',
     ["""view spending: where greater("amount", 0) → greater("amount", 1)"""]),
    ('window=["1d", "7d"])', 'window=["7d"])', ["view spending: feature amount_sum_1d: gone"]),
    ("[latest(\"city\")]", "[latest(\"city\"), agg.count(window=None)]", ["view place: feature count_lifetime: added"]),
    ('"amount * 2"', '"amount * 3"',
     ["""view spending: feature twice: expression multiply("amount", 2) → multiply("amount", 3)"""]),
    ('agg.mean("amount * 2"', 'agg.sum("amount * 2"', ["view spending: feature twice: aggregate mean → sum"]),
    ('delay="1h"', 'delay="2h"', ["source shops: delay 1h → 2h"]),
    ('created_timestamp="loaded_at"', 'delay="3h"',
     ["source payments: created_timestamp loaded_at → none", "source payments: delay 0s → 3h"]),
    ('row_key=["payment_id"])', 'row_key=["payment_id", "customer"])',
     ["source payments: row_key payment_id → payment_id, customer"]),
    ('"asked / nullif(amount_sum_7d, 0)"', '"asked * amount_sum_7d"',
     ["""on-demand view ratio: feature share: expression divide("asked", nullif("amount_sum_7d", 0)) → """
      """multiply("asked", "amount_sum_7d")"""]),
    ("[spending, place, ratio]", "[spending, ratio]", ["view place: gone"]),
    ("[spending, place, ratio]", "[place, spending, ratio]",
     ["feature service svc: order of columns amount, amount_sum_1d, amount_sum_7d, twice, amount_stddev_samp_7d, city, share, "
      "again → city, amount, amount_sum_1d, amount_sum_7d, twice, amount_stddev_samp_7d, share, again"]),
    ("[spending, place, ratio]", 'spending, place.with_prefix("at_"), ratio]'.join(["[", ""]),
     ["feature service svc: column city: gone", "feature service svc: column at_city: added"]),
    ('settle="1d"', 'settle="2d"', ["label view churn: settle 1d → 2d"]),
    ('agg.count(window="2d", name="again")', 'agg.count(window="3d", name="again")',
     ["label view churn: feature again: window 2d → 3d"]),
    ('name="svc"', 'name="svc2"', ["feature service svc: gone"]),
]  # fmt: skip


def test_every_change_of_a_definition_is_named(made: Made) -> None:
    (made.folder / "data/spine.parquet").unlink()  # nothing has to be built to name them
    registry = made.folder / "registry" / "all.py"
    text = registry.read_text()
    wrong = []
    for was, now, expected in DEFINITIONS:
        made.redefine(was, now)
        found = [str(change) for change in made.verify().changed if change.what != "spine"]
        if not set(expected) <= set(found) or len(found) > len(expected):
            wrong.append((now, found))
        registry.write_text(text)
    assert wrong == []


def test_a_definition_that_changed_is_built_with_and_cells_that_differ_are_shown(made: Made) -> None:
    made.redefine('"amount * 2"', '"amount * 3"')
    found = made.verify()
    assert (found.same, found.bytes, found.content) == (False, False, False)
    assert found.differences is not None
    assert list(found.differences.columns) == ["twice"]
    twice = found.differences.columns["twice"]
    assert twice.causes == ["""view spending: feature twice: expression multiply("amount", 2) → multiply("amount", 3)"""]
    cell = twice.examples[0]
    assert cell["b"] == pytest.approx(cell["a"] * 1.5)


def test_a_definition_that_changes_no_byte_is_told_and_the_set_is_the_same(made: Made) -> None:
    made.redefine('ttl="90d"', 'ttl="9000d"')
    found = made.verify()
    assert (found.same, [str(c) for c in found.changed]) == (True, ["view spending: ttl 90d → 9000d"])


def test_a_registry_that_cannot_read_its_columns_any_more_is_told(made: Made) -> None:
    made.redefine('latest("city")', 'latest("town")')
    (change,) = made.verify().changed
    assert change.what == "definition"
    assert "has no column 'town'" in str(change)


def test_a_definition_that_cannot_be_asked_of_the_spine_any_more_is_told(made: Made) -> None:
    made.redefine('Entity(name="shop")', 'Entity(name="shop", join_keys=["market"])')
    made.redefine("source=shops, features", 'source=shops, join_key_map={"market": "shop"}, features')
    found = made.verify()
    assert (found.same, found.bytes) == (False, None)
    assert "view place: join keys shop (string) → market (string)" in [str(change) for change in found.changed]
    assert "no key column 'market'" in found.notes[0]


def test_another_version_is_named_and_the_same_bytes_are_the_same_bytes(made: Made) -> None:
    document = made.manifest()
    document["versions"]["duckdb"] = "1.9.9"
    made.rewrite_manifest(document)
    found = made.verify()
    assert found.same
    (change,) = found.changed
    assert (change.what, change.where, change.was) == ("version", "duckdb", "1.9.9")


def test_other_bytes_of_the_same_content_are_told_apart(made: Made) -> None:
    """As an older writer would have left it: the same cells, other bytes."""
    path = made.folder / "train.parquet"
    pq.write_table(pq.read_table(path), path, compression="none")
    document = made.manifest()
    document["versions"]["pyarrow"] = "20.0.0"
    document["output"] = {"name": path.name, "size": path.stat().st_size, "sha256": sha256(path)}
    made.rewrite_manifest(document)
    found = made.verify()
    assert (found.same, found.bytes, found.content) == (False, False, True)
    assert found.notes == ["other bytes, same content: every cell is as it was"]


def test_a_set_that_was_tampered_with_is_found_and_the_cell_is_shown(made: Made) -> None:
    path = made.folder / "train.parquet"
    table = pq.read_table(path)
    amounts = table["amount"].to_pylist()
    amounts[17] = 1234.5
    at = table.column_names.index("amount")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(amounts, pa.float64())), path)
    found = made.verify()
    assert (found.same, found.bytes) == (False, True)
    assert told(found.changed) == ["output: train.parquet: it is not the file that its manifest describes"]
    assert found.differences is not None
    (example,) = found.differences.columns["amount"].examples
    assert (example["row"], example["a"]) == (17, 1234.5)


def test_a_set_that_is_gone_is_verified_by_its_manifest(made: Made) -> None:
    (made.folder / "train.parquet").unlink()
    assert made.verify("train.parquet.manifest.json").same


def test_what_nothing_recorded_explains_is_shown_cell_by_cell(made: Made) -> None:
    """As a defect would: the manifest and its set agree, and say other cells than are built now."""
    path = made.folder / "train.parquet"
    table = pq.read_table(path)
    doubled = pc.multiply(table["twice"], 2.0)
    table = table.set_column(table.column_names.index("twice"), "twice", doubled)
    pq.write_table(table, path)
    document = made.manifest()
    document["content_hash"] = "0" * 64
    document["output"]["sha256"] = sha256(path)
    made.rewrite_manifest(document)
    found = made.verify()
    assert (found.same, found.changed) == (False, [])
    assert found.differences is not None
    assert found.differences.columns["twice"].causes == ["unexplained"]


# Writing it anew.


def test_a_set_that_is_gone_comes_back_under_its_name(made: Made) -> None:
    before = contents(made.folder)
    (made.folder / "train.parquet").unlink()
    done = made.store.rebuild(made.folder / "train.parquet.manifest.json")
    assert (done.same, done.output) == (True, made.folder / "train.parquet")
    assert contents(made.folder) == before


def test_a_set_goes_where_it_is_asked_to(made: Made) -> None:
    done = made.store.rebuild(made.folder / "train.parquet", output=made.folder / "other.parquet")
    assert (done.same, sha256(made.folder / "other.parquet")) == (True, made.manifest()["output"]["sha256"])
    assert made.manifest("other.parquet")["output"]["name"] == "other.parquet"
    assert made.verify("other.parquet").same


def test_a_file_with_other_bytes_is_never_written_over(made: Made) -> None:
    for other in ("train.parquet", "other.parquet"):
        (made.folder / other).write_bytes(b"mine")
        before = contents(made.folder)
        with pytest.raises(UsageError, match="is left as it is") as caught:
            made.store.rebuild(made.folder / "train.parquet.manifest.json", output=made.folder / other)
        assert (caught.value.code, contents(made.folder)) == ("FS151", before)


def test_a_manifest_is_not_lost_to_a_set_of_other_bytes(made: Made) -> None:
    (made.folder / "train.parquet").unlink()
    made.redefine('"amount * 2"', '"amount * 3"')
    before = contents(made.folder)
    with pytest.raises(UsageError, match="expression") as caught:
        made.store.rebuild(made.folder / "train.parquet.manifest.json")
    assert (caught.value.code, contents(made.folder)) == ("FS151", before)
    done = made.store.rebuild(made.folder / "train.parquet.manifest.json", output=made.folder / "new.parquet")
    assert (done.bytes, len(done.changed)) == (False, 1)
    assert made.verify("new.parquet").same


def test_what_cannot_be_built_as_it_was_is_not_built_at_all(made: Made) -> None:
    (made.folder / "train.parquet").unlink()
    flip(made.folder / "data/shops.parquet", 100)
    before = contents(made.folder)
    with pytest.raises(DataError, match=r"shops\.parquet: changed") as caught:
        made.store.rebuild(made.folder / "train.parquet.manifest.json")
    assert (caught.value.code, contents(made.folder)) == ("FS363", before)


def test_a_set_is_not_built_into_another_kind_of_file(made: Made) -> None:
    with pytest.raises(UsageError) as caught:
        made.store.rebuild(made.folder / "train.parquet", output=made.folder / "train.csv")
    assert caught.value.code == "FS151"


# Manifests.


def test_a_manifest_of_the_first_format_is_read_as_far_as_it_goes(made: Made) -> None:
    document = made.manifest()
    document["format"] = 1
    for part in ("definitions", "split"):
        document.pop(part, None)
    del document["spine"]["path"], document["versions"]["featurestore"]
    made.rewrite_manifest(document)
    shutil.copy(made.folder / "data/spine.parquet", made.folder / "spine.parquet")
    assert made.verify().same
    made.redefine('ttl="90d"', 'ttl="60d"')
    assert "view spending: its meaning is another" in [str(c) for c in made.verify().changed]


def test_a_spine_from_memory_of_the_first_format_is_left_to_the_bytes(made: Made) -> None:
    made.build("memory.parquet", spine(50))
    document = {**made.manifest("memory.parquet"), "format": 1}
    document["spine"]["sha256"] = "0" * 64
    made.rewrite_manifest(document, "memory.parquet")
    for rows, same in ((50, True), (49, False)):
        pq.write_table(spine(50).slice(0, rows), made.folder / "kept.parquet")
        found = made.verify("memory.parquet", spine=made.folder / "kept.parquet")
        assert (found.same, found.changed, "the bytes decide" in found.notes[0]) == (same, [], True)


def test_another_plan_of_windows_is_noted_where_bytes_differ(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    document = made.manifest()
    document["windows"]["spending"][0]["plan"] = "by hand"
    document["output"]["sha256"] = "0" * 64
    made.rewrite_manifest(document)
    said = "windows of spending were computed by another plan: variances and deviations may differ in their last places"
    assert said in made.verify().notes


BROKEN: list[tuple[str, Any, str]] = [
    ("format", 99, "reads up to format 2"),
    ("format", "2", "no manifest of a training set"),
    ("kind", "model", "no manifest of a training set"),
    ("sources", {"payments": [{"path": 3}]}, "'sources'"),
    ("spine", {"kind": "file"}, "'spine'"),
    ("as_of", None, "'as_of'"),
    ("columns", [["a"]], "'columns'"),
    ("serving_lag_us", -1, "'serving_lag_us'"),
    ("output", {}, "'output'"),
    ("definitions", {}, "'definitions'"),
    ("split", {"parts": {}}, "'split'"),
]


@pytest.mark.parametrize(("part", "value", "said"), BROKEN, ids=[f"{part}={value}" for part, value, _ in BROKEN])
def test_a_manifest_that_is_none_is_refused(made: Made, part: str, value: Any, said: str) -> None:
    made.rewrite_manifest({**made.manifest(), part: value})
    with pytest.raises(DataError, match=said) as caught:
        made.verify()
    assert caught.value.code == "FS361"


def test_a_manifest_with_a_part_missing_or_a_definition_changed_by_hand_is_refused(made: Made) -> None:
    whole = made.manifest()
    told = ("plan", "sql", "labels", "trust", "left_out", "source_rows", "windows", "without_value", "views", "engine",
            "fingerprint", "on_demand_fingerprints", "at_once", "profile", "lineage")  # fmt: skip
    documents = [{n: v for n, v in whole.items() if n != part} for part in whole if part not in (*told, "definitions", "split")]
    changed = made.manifest()
    changed["definitions"]["views"]["spending"]["ttl"] += 1
    for document in (*documents, changed):
        made.rewrite_manifest(document)
        with pytest.raises(DataError) as caught:
            made.verify()
        assert caught.value.code == "FS361"


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
def test_a_manifest_that_is_no_json_object_is_refused(made: Made, text: str) -> None:
    (made.folder / "train.parquet.manifest.json").write_text(text)
    with pytest.raises(DataError) as caught:
        made.verify()
    assert caught.value.code == "FS361"


def test_a_training_set_without_its_manifest_is_refused(made: Made) -> None:
    (made.folder / "train.parquet.manifest.json").unlink()
    for name, said in (("train.parquet", "no manifest beside it"), ("nothing.parquet", "no file")):
        with pytest.raises(DataError, match=said):
            made.verify(name)


# By command.


def test_the_command_says_so_and_exits_by_it(made: Made, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.folder)
    said = cli("rebuild", "train.parquet", "--verify", "--quiet")
    assert (said.code, said.out, said.err) == (0, "train.parquet.manifest.json: the same bytes\n", "")
    made.redefine('"amount * 2"', '"amount * 3"')
    said = cli("rebuild", "train.parquet", "--verify", "--json", "--quiet")
    assert (said.code, said.json["ok"], said.json["errors"][0]["code"]) == (1, False, "FS133")
    result = said.json["result"]
    assert (result["same"], result["bytes"], result["content"]) == (False, False, False)
    (change,) = result["changed"]
    assert (change["what"], change["where"]) == ("definition", "view spending")
    assert (change["was"], change["now"]) == ('multiply("amount", 2)', 'multiply("amount", 3)')
    assert set(result["differences"]["differences"]) == {"twice"}
    flip(made.folder / "data/shops.parquet", 100)
    said = cli("rebuild", "train.parquet", "--quiet", "--output", "new.parquet")
    assert (said.code, said.out) == (4, "")
    assert "data/shops.parquet: changed" in said.err


def test_a_build_from_definitions_alone_is_built_again_from_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg

    monkeypatch.chdir(tmp_path)
    pq.write_table(payments(0, 100, 1), "payments.parquet")
    source = ParquetSource(name="payments", path="payments.parquet", event_timestamp="paid_at", delay="0s")
    view = FeatureView(name="v", entities=[Entity(name="customer")], source=source, features=[agg.count(window="7d")])
    store = FeatureStore(definitions=[FeatureService(name="svc", features=[view])])
    pq.write_table(pa.table({"customer": [1, 2], "as_of": pa.array([PAID + 500 * HOUR] * 2, UTC)}), "spine.parquet")
    store.build_training_set("svc", "spine.parquet", output="train.parquet")
    assert store.rebuild("train.parquet", verify=True).same
