"""`featurestore backfill` on the command line and from Python: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureService, FeatureStore, FeatureView, LabelView, ParquetSource, agg, latest
from featurestore.backfill import Asked
from featurestore.errors import FeatureStoreError
from featurestore.intervals import parse_instant
from tests.functional.conftest import Cli

FROM, TO = "2025-12-20T00:00:00Z", "2025-12-24T00:00:00Z"


def backfill(cli: Cli, project: Path, output: Path, *more: object, view: str = "card_payments") -> Any:
    given = {"--from": FROM, "--to": TO}
    for option in given.keys() & set(more):
        del given[option]
    arguments = [part for pair in given.items() for part in pair]
    return cli("backfill", view, "--project", project, "--output", output, *arguments, *more)


def told(found: Any) -> str:
    return "".join(p["status"][0] for p in found.json["result"]["partitions"])


def test_each_instant_is_a_training_set_of_its_keys(cli: Cli, project: Path, tmp_path: Path) -> None:
    found = backfill(cli, project, tmp_path / "out", "--include", "status", "--json")
    assert found.code == 0, found.err
    told_of = found.json["result"]["partitions"]
    assert [p["as_of"][:10] for p in told_of] == ["2025-12-20", "2025-12-21", "2025-12-22", "2025-12-23"]
    table = pa.concat_tables([pq.read_table(tmp_path / "out" / p["file"], partitioning=None) for p in told_of])
    assert [p["rows"] for p in told_of] == [n["counts"] for n in table["as_of"].combine_chunks().value_counts().to_pylist()]
    assert table.column_names[:3] == ["customer_id", "as_of", "card_country"]
    store = FeatureStore(project)
    view = store.registry.views["card_payments"]
    service = FeatureService(name="only", features=[view])
    built = store.build_training_set(service, table.select(["customer_id", "as_of"]), include=["status"])
    assert table.equals(built)
    assert "not_found" not in table["card_country__status"].to_pylist()


def test_files_are_read_by_folder(cli: Cli, project: Path, tmp_path: Path) -> None:
    for folder, names in (("instant", 8), ("day", 4), ("month", 1)):
        output = tmp_path / folder
        assert backfill(cli, project, output, "--every", "12h", "--partition-by", folder).code == 0
        assert len([p for p in output.iterdir() if p.name.startswith(f"{folder}=")]) == names
        table = ds.dataset(output, partitioning="hive").to_table()
        assert len(table["as_of"].unique()) == 8
        assert table.num_rows == sum(r["rows"] for r in json.loads((output / "_backfill.json").read_text())["partitions"])


def test_again_it_does_nothing_and_after_late_rows_what_they_touch(cli: Cli, project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert told(backfill(cli, project, output, "--json")) == "wwww"
    again = backfill(cli, project, output)
    assert "nothing to do, 4 of 4 instants are up to date" in again.out
    payments = pq.read_table(project / "data" / "payments")
    row = payments.slice(0, 1).to_pylist()[0]
    at = parse_instant("2025-12-21T12:00:00Z")
    row |= {"payment_id": -1, "status": "settled", "is_deleted": False}
    for name in ("paid_at", "loaded_at"):
        row[name] = pa.scalar(at).cast(pa.timestamp("us", "UTC")).as_py()
    pq.write_table(pa.Table.from_pylist([row], payments.schema), project / "data" / "payments" / "zz.parquet")
    dry = backfill(cli, project, output, "--dry-run", "--json")
    assert told(dry) == "uuww"
    assert [p["rows"] is None for p in dry.json["result"]["partitions"]] == [False, False, True, True]
    late = backfill(cli, project, output, "--json")
    assert (told(late), late.json["result"]["reasons"]) == ("uuww", {"late rows": 2})
    assert told(backfill(cli, project, tmp_path / "full", "--json")) == "wwww"
    for p in late.json["result"]["partitions"]:
        assert (output / p["file"]).read_bytes() == (tmp_path / "full" / p["file"]).read_bytes()


def test_pushed_rows_touch_what_comes_after_they_arrived(cli: Cli, project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert backfill(cli, project, output).code == 0
    row = pq.read_table(project / "data" / "payments").slice(0, 1).drop_columns(["loaded_at"]).to_pylist()[0]
    FeatureStore(project).push("payments", [row])  # known from now on: no instant of the past sees it
    assert told(backfill(cli, project, output, "--json")) == "uuuu"


def test_a_longer_stretch_adds_to_what_is_there(cli: Cli, project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert backfill(cli, project, output).code == 0
    longer = backfill(cli, project, output, "--from", "2025-12-18T00:00:00Z", "--json")
    assert told(longer) == "wwuuuu"
    assert longer.json["result"]["reasons"] == {"new": 2}


def test_another_definition_writes_all_anew_and_says_what_is_left(cli: Cli, project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert backfill(cli, project, output).code == 0
    file = project / "registry" / "payments.py"
    file.write_text(file.read_text().replace('ttl="90d"', 'ttl="3d"'))
    changed = backfill(cli, project, output, "--from", "2025-12-22T00:00:00Z", "--json")
    assert (told(changed), changed.json["result"]["reasons"]) == ("ww", {"the definition changed": 2})
    assert "2 partitions outside of --from and --to are of another definition" in changed.err


def test_jobs_and_memory_change_no_byte(cli: Cli, project: Path, tmp_path: Path) -> None:
    assert backfill(cli, project, tmp_path / "one").code == 0
    assert backfill(cli, project, tmp_path / "two", "--jobs", 3, "--memory-limit", "1GB").code == 0
    for path in (tmp_path / "one").rglob("*.parquet"):
        assert (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes() == path.read_bytes()


def test_instants_are_utc_and_a_fixed_length_apart() -> None:
    """On 30 March 2025 Paris skips an hour; a day is 24 hours all the same."""
    start, end = (parse_instant(t) for t in ("2025-03-29T00:00:00+01:00", "2025-04-01T00:00:00+02:00"))
    asked = Asked(start, end, 86_400_000_000)
    assert [asked.file(at)[8:28] for at in asked.instants] == [
        "2025-03-28T23-00-00Z", "2025-03-29T23-00-00Z", "2025-03-30T23-00-00Z",
    ]  # fmt: skip
    assert asked.count == 3
    half = Asked(0, 1_500_000, 500_000, "day")
    assert [half.file(at) for at in half.instants][1] == "day=1970-01-01/1970-01-01T00-00-00.500000Z.parquet"


@pytest.mark.parametrize(
    "more, code, exits, said",
    [
        (["--from", TO, "--to", FROM], "FS385", 2, "there is no instant"),
        (["--to", FROM], "FS385", 2, "--to is exclusive"),
        (["--every", "0s"], "FS385", 2, "--every is 0"),
        (["--every", "1us"], "FS385", 2, "at most 100,000 in one run"),
        (["--every", "1month"], "FS211", 2, "--every"),
        (["--from", "2025-12-20T00:00:00"], "FS103", 2, "--from '2025-12-20T00:00:00' has no offset"),
        (["--to", "2999-01-01T00:00:00Z", "--every", "300d"], "FS385", 2, "in the future"),
        (["--partition-by", "hour"], "FS102", 2, "instant, day, month"),
        (["--include", "state"], "FS102", 2, "status"),
        (["--engine", "polars"], "FS102", 2, "duckdb"),
        (["--jobs", "0"], "FS102", 2, "jobs"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_nothing_is_written(
    more: list[str], code: str, exits: int, said: str, cli: Cli, shop: Path, tmp_path: Path
) -> None:
    found = backfill(cli, shop, tmp_path / "out", *more)
    assert found.code == exits, found.err
    assert code in found.err
    assert said in found.err
    assert not (tmp_path / "out").exists()


def test_views_without_values_at_instants_are_refused(cli: Cli, shop: Path, tmp_path: Path) -> None:
    unknown = backfill(cli, shop, tmp_path / "out", view="card_payment")
    assert (unknown.code, "FS101" in unknown.err, "try card_payments" in unknown.err) == (2, True, True)
    source = ParquetSource(name="rows", path=str(shop / "data" / "merchants.parquet"), static=True)
    merchant = FeatureStore(shop).registry.views["merchant_profile"].entities
    static = FeatureView(name="who", entities=merchant, source=source, features=[latest("name")])
    events = ParquetSource(name="feed", path=str(shop / "data" / "merchants.parquet"), event_timestamp="valid_from", delay="1h")
    label = LabelView(name="later", entities=merchant, source=events, label=agg.count(window="7d"))
    store = FeatureStore(definitions=[static, label])
    for view in ("who", "later"):
        with pytest.raises(FeatureStoreError) as refused:
            store.backfill(view, FROM, TO, output=tmp_path / "out")
        assert (refused.value.code, refused.value.exit_code) == ("FS386", 2)


def test_a_folder_of_something_else_is_left_alone(cli: Cli, project: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    found = backfill(cli, project, foreign)
    assert (found.code, "FS387" in found.err, "notes.txt" in found.err) == (2, True, True)
    assert [p.name for p in foreign.iterdir()] == ["notes.txt"]
    output = tmp_path / "out"
    assert backfill(cli, project, output).code == 0
    for more, said in (
        ({"view": "merchant_profile"}, "holds the values of view 'card_payments'"),
        ({"more": ["--partition-by", "day"]}, "partition_by instant, not day"),
        ({"more": ["--include", "status"]}, "include nothing, not status"),
    ):
        refused = backfill(cli, project, output, *more.pop("more", []), **more)
        assert (refused.code, said in refused.err) == (2, True), refused.err
    file = tmp_path / "file"
    file.write_text("")
    assert "FS387" in backfill(cli, project, file).err


def test_a_manifest_of_another_hand_or_a_newer_format_is_refused(cli: Cli, project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert backfill(cli, project, output).code == 0
    manifest = output / "_backfill.json"
    whole = json.loads(manifest.read_text())
    for text, said in (
        (json.dumps(whole | {"format": 2}), "reads up to format 1"),
        ("{", "cannot be read as JSON"),
        ("[]", "no manifest of a backfill"),
        (json.dumps({**whole, "partitions": [{"as_of": whole["partitions"][0]["as_of"]}]}), "not what a backfill writes"),
    ):
        manifest.write_text(text)
        found = backfill(cli, project, output)
        assert (found.code, "FS388" in found.err, said in found.err) == (5, True, True), found.err
        assert manifest.read_text() == text


def test_one_run_at_a_time_holds_the_folder(cli: Cli, project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert backfill(cli, project, output).code == 0
    lock = os.open(output / ".backfill.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = backfill(cli, project, output, "--from", "2025-12-18T00:00:00Z")
        assert (found.code, "FS389" in found.err) == (5, True)
        assert told(backfill(cli, project, output, "--dry-run", "--json")) == "uuuu"
    finally:
        os.close(lock)


def test_an_instant_before_all_facts_has_no_rows_and_all_columns(cli: Cli, project: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert backfill(cli, project, output, "--from", "1999-01-01T00:00:00Z", "--to", "1999-01-02T00:00:00Z").code == 0
    table = pq.read_table(output / "instant=1999-01-01T00-00-00Z" / "part.parquet", partitioning=None)
    assert (table.num_rows, table.column_names[:3]) == (0, ["customer_id", "as_of", "card_country"])
    assert pc.count(table["as_of"]).as_py() == 0


def test_explain_and_build_say_that_a_spine_asks_at_one_instant(cli: Cli, project: Path, tmp_path: Path) -> None:
    spine = pq.read_table(project / "data" / "spine.parquet").drop_columns(["as_of"])
    at = pa.scalar(parse_instant(TO)).cast(pa.timestamp("us", "UTC"))
    pq.write_table(spine.append_column("as_of", pa.repeat(at, spine.num_rows)), tmp_path / "spine.parquet")
    explained = cli("explain", "fraud_v1", "--project", project, "--spine", tmp_path / "spine.parquet")
    assert "windows of card_payments by snapshot: " in explained.out
    assert "every row of the spine asks at 2025-12-24T00:00:00.000000Z: latest values by snapshot as well" in explained.out
    output = tmp_path / "scores.parquet"
    built = cli("build", "fraud_v1", "--project", project, "--spine", tmp_path / "spine.parquet", "--output", output)
    assert "asked at one instant, 2025-12-24T00:00:00.000000Z: by snapshot" in built.out
    manifest = json.loads((tmp_path / "scores.parquet.manifest.json").read_text())
    assert manifest["at_once"] == "2025-12-24T00:00:00.000000Z"
    assert [part["plan"] for part in manifest["windows"]["card_payments"]] == ["snapshot"]
