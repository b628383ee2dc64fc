"""Profiles of builds and of files: what is written beside a training set, and `featurestore profile`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore, atomic
from featurestore.intervals import format_instant
from featurestore.profiles import Collector, Profile
from featurestore.profiles.kept import kept
from featurestore.retrieval import view_profile
from featurestore.retrieval.output import manifest_of, profile_of
from featurestore.retrieval.profiling import Profiling
from tests.functional.conftest import WATERMARK, Cli

BUILD = ("build", "fraud_v1", "--spine", "data/spine.parquet", "--output")


def sliced(project: Path, *names: str) -> None:
    """Have the service say by what it is sliced."""
    path = project / "registry" / "services.py"
    path.write_text(path.read_text().replace("    features=", f"    slices={list(names)!r},\n    features=", 1))


@pytest.mark.parametrize("options", [(), ("--partitions", "3"), ("--include", "status"), ("--label", "label")])
def test_a_build_writes_the_profile_of_its_rows(project: Path, cli: Cli, options: tuple[str, ...]) -> None:
    assert cli(*BUILD, "train.parquet", *options).code == 0
    found, rows = Profile.read("train.parquet.profile"), pq.read_table("train.parquet")
    manifest = json.loads(Path("train.parquet.manifest.json").read_text())
    assert found.rows == manifest["rows"] == rows.num_rows
    for name, counts in manifest["features"].items():
        f = found.features[name]
        assert f.statuses == {s: n for s, n in counts.items() if n or s in ("present", "null")}
        if f.kind == "number":
            assert (f.min, f.max) == (pc.min(rows[name]).as_py(), pc.max(rows[name]).as_py())
            assert f.mean == pytest.approx(pc.mean(rows[name]).as_py())
    days = pc.floor_temporal(rows["as_of"].cast(pa.timestamp("us", "UTC")), unit="day").cast(pa.int64())
    assert {start: p.rows for start, p in found.days()} == {v["values"]: v["counts"] for v in pc.value_counts(days).to_pylist()}
    assert ("label" in found.features) == ("--label" in options)
    assert profile_of(Path("train.parquet")) == Path("train.parquet.profile")


def test_the_training_set_is_the_same_without_a_profile_and_an_old_one_goes(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli(*BUILD, "train.parquet")
    before, profile = Path("train.parquet").read_bytes(), Path("train.parquet.profile").read_bytes()
    cli(*BUILD, "again.parquet", "--partitions", "2")
    assert Path("again.parquet.profile").read_bytes() == profile
    monkeypatch.setenv("FEATURESTORE_PROFILES__BUILDS", "false")
    assert cli(*BUILD, "train.parquet").code == 0
    assert (Path("train.parquet").read_bytes(), Path("train.parquet.profile").exists()) == (before, False)
    assert "profile" not in json.loads(Path("train.parquet.manifest.json").read_text())


def test_a_profile_that_fails_is_a_warning_and_the_set_is_there(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("too much")

    cli(*BUILD, "train.parquet")
    monkeypatch.setattr(Collector, "add", broken)
    done = cli(*BUILD, "train.parquet", "--json")
    assert done.code == 0
    assert [w for w in done.json["result"]["warnings"] if "profile" in w] == ["no profile was made: MemoryError: too much"]
    assert not Path("train.parquet.profile").exists()
    assert cli("rebuild", "train.parquet", "--verify").code == 0


def test_a_full_disk_at_the_profile_leaves_everything_as_it_was(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cli(*BUILD, "train.parquet")
    before = {p.name: p.read_bytes() for p in project.iterdir() if p.name.startswith("train")}
    monkeypatch.setattr(Profile, "write", full)
    done = cli(*BUILD, "train.parquet", "--known-before", "2025-01-01T00:00:00Z")
    assert (done.code, "FS405" in done.err) == (5, True)
    assert {p.name: p.read_bytes() for p in project.iterdir() if "train" in p.name} == before


def test_a_rebuild_brings_the_profile_back(project: Path, cli: Cli) -> None:
    cli(*BUILD, "train.parquet")
    manifest, profile = (Path(f"train.parquet.{n}").read_bytes() for n in ("manifest.json", "profile"))
    Path("train.parquet").unlink()
    Path("train.parquet.profile").unlink()
    assert cli("rebuild", "train.parquet.manifest.json").code == 0
    assert Path("train.parquet.profile").read_bytes() == profile
    assert Path("train.parquet.manifest.json").read_bytes() == manifest
    assert cli("diff", "train.parquet", "train.parquet").code == 0


def test_a_profile_of_another_set_is_not_taken_for_this_one(project: Path, cli: Cli) -> None:
    cli(*BUILD, "train.parquet")
    Path("train.parquet.profile").write_bytes(b"of somebody else")
    assert profile_of(Path("train.parquet")) is None
    assert cli("profile", "train.parquet", "--json").json["result"]["from"] == "file"


def test_slices_are_of_the_service_and_not_of_its_fingerprint(project: Path, cli: Cli) -> None:
    before = cli(*BUILD, "train.parquet", "--json").json["result"]["fingerprint"]
    sliced(project, "category", "label")
    assert cli(*BUILD, "train.parquet", "--json").json["result"]["fingerprint"] == before
    found, rows = Profile.read("train.parquet.profile"), pq.read_table("train.parquet")
    told = {v["values"] or "(null)": v["counts"] for v in pc.value_counts(rows["category"]).to_pylist()}
    assert {name: p.rows for name, p in found.by("category").items()} == told
    assert sum(p.features["risk_score"].present for p in found.by("label").values()) == found.features["risk_score"].present


@pytest.mark.parametrize(("name", "said"), [("catgory", "try category"), ("amount_sum_7d", "double")])
def test_a_slice_column_that_is_none_stops_the_build(project: Path, cli: Cli, name: str, said: str) -> None:
    sliced(project, name)
    done = cli(*BUILD, "train.parquet")
    assert (done.code, "FS162" in done.err, said in done.err) == (4, True, True)
    assert not list(project.glob("*train*"))


def test_slices_are_names(project: Path, cli: Cli) -> None:
    sliced(project, "")
    assert (done := cli("check")).code == 3
    assert "FS202" in done.err


# The command.


def test_the_command_shows_a_profile_and_its_parts(project: Path, cli: Cli) -> None:
    cli(*BUILD, "train.parquet")
    shown = cli("profile", "train.parquet")
    assert "risk_score" in shown.out
    assert "█" in shown.out
    one = cli("profile", "train.parquet", "--feature", "category", "--json").json["result"]
    assert sum(v["rows"] for v in one["features"]["category"]["top"]) == one["features"]["category"]["rows"] - 7
    by_day = cli("profile", "train.parquet.profile", "--by", "day", "--json").json["result"]
    assert sum(part["rows"] for part in by_day["slices"]) == by_day["rows"]
    detail = cli("profile", "train.parquet", "--feature", "amount_sum_7d", "--by", "category")
    assert "pharmacy" in detail.out


@pytest.mark.parametrize("name", ["plain.parquet", "plain.csv"])
def test_any_file_has_a_profile(tmp_path: Path, cli: Cli, name: str) -> None:
    table = pa.table({"x": [1.0, 2.0, None], "city": ["a", "b", "a"], "when": ["2026-01-01", "2026-01-01", "2026-01-02"]})
    (pq.write_table if name.endswith("parquet") else csv.write_csv)(table, tmp_path / name)
    found = cli("profile", tmp_path / name, "--as-of-column", "when", "--by", "city", "--json").json["result"]
    assert found["features"]["x"]["mean"] == 1.5
    assert [part["slice"] for part in found["slices"]] == ["a", "b"]
    assert cli("profile", tmp_path / name, "--json").json["result"]["features"]["when"]["cardinality"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nothing.parquet",), 4, "FS160"), (("x.parquet", "--feature", "y"), 2, "FS161"),
        (("x.parquet", "--by", "y"), 2, "FS161"), (("x.parquet", "--as-of-column", "y"), 2, "FS161"),
        (("x.parquet", "--by", "day"), 2, "FS161"), (("x.profile",), 4, "FS160"),
        (("broken.parquet",), 4, "FS160 the file cannot be read as Parquet"),
    ],
)  # fmt: skip
def test_what_the_command_cannot_show(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"x": [1]}), "x.parquet")
    Path("x.profile").write_text("{}")
    Path("broken.parquet").write_text("{}")
    done = cli("profile", *arguments)
    assert (done.code, said in done.err) == (code, True)


def test_a_set_and_its_profile_are_found_between_their_renames(project: Path, cli: Cli) -> None:
    """As after a crash between the manifest's name and the profile's."""
    cli(*BUILD, "train.parquet")
    Path("train.parquet.profile").rename(".train.parquet.profile.999999999.partial")
    assert manifest_of(Path("train.parquet")) is not None
    assert profile_of(Path("train.parquet")) == Path(".train.parquet.profile.999999999.partial")
    from featurestore.retrieval.output import recover

    recover(Path("train.parquet"))
    assert profile_of(Path("train.parquet")) == Path("train.parquet.profile")
    Path("train.parquet.profile").rename(".train.parquet.profile.999999999.partial")
    Path(".train.parquet.profile.999999999.partial").write_bytes(b"half")
    recover(Path("train.parquet"))
    assert not list(project.glob(".train*"))


def test_a_profile_that_misses_its_name_alone_is_still_that_of_the_set(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = atomic.commit

    def failing(written: Path, path: Path) -> None:
        if path.suffix == ".profile":
            raise OSError(28, "No space left on device")
        commit(written, path)

    cli(*BUILD, "train.parquet")
    monkeypatch.setattr(atomic, "commit", failing)
    assert cli(*BUILD, "train.parquet", "--known-before", "2025-01-01T00:00:00Z").code == 5
    found = profile_of(Path("train.parquet"))
    assert found is not None
    assert found.name.endswith(".partial")


def test_empty_batches_after_the_last_row_wait_for_nobody(tmp_path: Path) -> None:
    table = pa.table({"x": [1], "as_of": pa.array([0], pa.timestamp("us", "UTC"))})
    service: Any = SimpleNamespace(feature_types={"x": pa.int64()}, label_types={}, service=SimpleNamespace(slices=()))
    profiling = Profiling(service, cast("Any", SimpleNamespace(label=None, as_of="as_of")), table.schema, 1)
    for rows in (table, *[table.slice(1)] * 5):
        profiling.observe(rows, pa.array([0] * rows.num_rows, pa.int64()), {}, {})
    assert profiling.write(tmp_path / "x.profile")
    assert Profile.read(tmp_path / "x.profile").rows == 1


# Runs.


def test_a_run_keeps_a_profile_of_the_values_at_its_watermark(project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with what the store is asked for each key by itself."""
    store = FeatureStore(project)
    (first,) = kept(store.profile_folder, "card_payments")
    assert format_instant(first[0]) == WATERMARK.replace("Z", ".000000Z")
    found = Profile.read(first[1])
    keys = sorted({key for key in pq.read_table("data/payments")["customer_id"].to_pylist() if key is not None})
    asked = {"customer_id": keys, "merchant_id": [None] * len(keys)}
    told = store.get_online_features("fraud_v1", asked, as_of=WATERMARK).to_arrow()
    assert found.rows == len(keys) == 20
    for name, f in found.features.items():
        assert f.nulls == told[name].null_count
        if f.kind == "number":
            assert (f.min, f.max) == tuple(pc.min_max(told[name]).as_py().values())
            assert f.mean == pytest.approx(pc.mean(told[name]).as_py())
    assert [(start, p.rows) for start, p in found.days()] == [(first[0], found.rows)]
    monkeypatch.setenv("FEATURESTORE_PROFILES__KEYS", "8")
    assert cli("materialize", "--known-before", "2026-01-03T00:00:00Z").code == 0
    assert [Profile.read(path).rows for _, path in kept(store.profile_folder, "card_payments")] == [found.rows, 8]
    monkeypatch.setenv("FEATURESTORE_PROFILES__RETENTION", "1d")
    assert cli("materialize", "--known-before", "2026-01-03T12:00:00Z").code == 0
    assert [format_instant(w)[:13] for w, _ in kept(store.profile_folder, "card_payments")] == [
        "2026-01-03T00",
        "2026-01-03T12",
    ]


def test_the_lowest_hashes_are_the_same_keys_however_they_are_scanned(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeatureStore(project)
    fingerprint = store.bound.views["card_payments"].fingerprint
    one = view_profile.profile_of_view(store.reader.store, "card_payments", fingerprint, 8)
    monkeypatch.setattr(view_profile, "AT_ONCE", 7)
    other = view_profile.profile_of_view(store.reader.store, "card_payments", fingerprint, 8)
    assert one is not None
    assert other is not None
    one.write("one")
    other.write("other")
    assert (one.rows, Path("one").read_bytes()) == (8, Path("other").read_bytes())


def test_a_profile_of_a_run_that_fails_is_a_warning_or_is_not_asked_for(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Profile, "write", broken)
    done = cli("materialize", "card_payments", "--known-before", "2026-01-03T00:00:00Z", "--json").json
    assert (done["ok"], len(done["result"]["warnings"])) == (True, 1)
    assert "no profile was kept of card_payments: FS405" in done["result"]["warnings"][0]
    monkeypatch.setenv("FEATURESTORE_PROFILES__MATERIALIZATIONS", "false")
    quiet = cli("materialize", "card_payments", "--known-before", "2026-01-04T00:00:00Z", "--json").json
    assert quiet["result"]["warnings"] == []
