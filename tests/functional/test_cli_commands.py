"""Every command on a scaffolded project: what it does, what it says, and that `--json` says the same."""

from __future__ import annotations

import json
import re
import shutil

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from featurestore.cli.app import COMMANDS
from featurestore.cli.command import name_of
from tests.functional.conftest import WATERMARK, contents

BUILD = ("build", "fraud_v1", "--spine", "data/spine.parquet", "--output", "train.parquet")
FEATURES = ["card_country", "count_1h", "amount_sum_1d", "amount_sum_7d", "amount_sum_30d",
            "merchant_id_count_distinct_30d", "category", "risk_score"]  # fmt: skip


@pytest.fixture
def entity(project):
    """A customer and a merchant who have paid and been paid."""
    row = pq.read_table(project / "data" / "payments" / "2025-12.parquet").slice(0, 1).to_pylist()[0]
    return f"customer_id={row['customer_id']}", f"merchant_id={row['merchant_id']}"


# Help


def test_help_lists_every_command(cli):
    said = cli("--help")
    assert said.code == 0
    assert all(f"\n  {name_of(c)} " in said.out for c in COMMANDS)


@pytest.mark.parametrize("command", [name_of(c) for c in COMMANDS])
def test_the_help_of_a_command_has_an_example_and_the_common_options(cli, command):
    said = cli(command, "--help")
    assert said.code == 0
    assert f"Example:\n    featurestore {command}" in said.out
    assert all(option in said.out for option in ("--project", "--json", "--verbose", "--quiet"))


def test_version(cli):
    import featurestore

    assert cli("--version").out == f"featurestore {featurestore.__version__}\n"


def test_no_command_is_a_usage_error_that_helps(cli):
    said = cli()
    assert (said.code, said.out) == (2, "")
    assert "Commands:" in said.err


# init


def test_init_makes_a_project_and_says_how_to_go_on(cli, tmp_path):
    said = cli("init", tmp_path / "new", "--rows", "500", "--json")
    assert (said.code, said.json["ok"], said.json["command"]) == (0, True, "init")
    assert "featurestore.toml" in said.json["result"]["files"]
    assert cli("check", "--project", tmp_path / "new").code == 0


def test_init_below_the_folder_named_by_project(cli, tmp_path):
    said = cli("init", "new", "--rows", "500", "--project", tmp_path, "--quiet")
    assert (said.code, said.err) == (0, "")
    assert "featurestore build fraud_v1" in said.out
    assert (tmp_path / "new" / "featurestore.toml").is_file()


# check


def test_check_counts_what_there_is(cli, project):
    said = cli("check", "--json").json
    result = said["result"]
    assert said["errors"] == []
    assert (result["entities"], result["sources"], result["views"], result["features"]) == (2, 2, 2, 8)
    assert result["services"] == {"fraud_v1": {"views": 2, "features": 8, "labels": 0, "parts": 3}}
    assert (result["static"], result["assumed_known_at_once"], result["sql_stale"]) == ([], [], False)


def test_check_data_counts_the_rows_left_out(cli, project):
    path = project / "data" / "merchants.parquet"
    table = pq.read_table(path)
    nulls = pyarrow.array([None, *table["merchant_id"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.column_names.index("merchant_id"), "merchant_id", nulls), path)
    said = cli("check", "--data")
    assert said.code == 0
    assert f"merchants: {table.num_rows} rows" in said.out
    assert "view merchant_profile leaves out: key null 1" in said.out


def test_check_names_what_is_assumed_known_at_once(cli, project):
    file = project / "registry" / "payments.py"
    file.write_text(file.read_text().replace('    delay="1h",  # the feed is an hour behind\n', ""))
    said = cli("check", "--data", "--json").json["result"]
    assert said["assumed_known_at_once"] == ["merchants"]
    assert any("assumed known at once" in warning for warning in said["warnings"])


def test_check_reports_all_that_is_wrong(cli, project):
    file = project / "registry" / "payments.py"
    text = file.read_text().replace('latest("card_country")', 'latest("card_idd")')
    file.write_text(text.replace('latest("risk_score")', 'latest("riskscore")'))
    said = cli("check", "--json")
    assert said.code == 3
    assert [(e["code"], e["try"]) for e in said.json["errors"]] == [("FS203", "card_id"), ("FS203", "risk_score")]


# compile


def test_compile_writes_what_check_then_finds_in_order(cli, project):
    shutil.rmtree(project / "sql")
    first = cli("compile", "--json").json["result"]
    assert "duckdb/training_set/fraud_v1.sql" in first["added"]
    again = cli("compile", "--json").json["result"]
    assert (again["added"], again["changed"], again["removed"]) == ([], [], [])
    assert cli("compile", "--check").code == 0


def test_compile_check_prints_the_diff_and_writes_nothing(cli, project):
    file = project / "registry" / "payments.py"
    file.write_text(file.read_text().replace('ttl="90d"', 'ttl="30d"'))
    before = contents(project)
    said = cli("compile", "--check")
    assert said.code == 1
    assert "--- sql/plan/fraud_v1.txt" in said.out
    assert "at most 30d old" in said.out
    assert "FS111 sql/ is stale" in said.err
    assert contents(project) == before


def test_compile_removes_what_no_definition_asks_for_and_leaves_other_files(cli, project):
    (project / "sql" / "duckdb" / "latest" / "gone.sql").write_text("SELECT 1\n")
    (project / "sql" / "README.md").write_text("ours\n")
    assert cli("compile", "--check").code == 1
    said = cli("compile")
    assert said.out == "removed sql/duckdb/latest/gone.sql\n"
    assert (project / "sql" / "README.md").is_file()


def test_compile_check_works_without_the_data(cli, project):
    shutil.rmtree(project / "data")
    assert cli("compile", "--check").code == 0


def test_explain_prints_the_sql_of_the_dialect_asked_for(cli, project):
    said = {d: cli("explain", "fraud_v1", "--sql", "--dialect", d).out for d in ("duckdb", "spark")}
    assert "$known_before" in said["duckdb"]
    assert "$known_before" not in said["spark"]
    assert ":known_before" in said["spark"]
    assert said["spark"].strip() == (project / "sql" / "spark" / "training_set" / "fraud_v1.sql").read_text().strip()


def test_compile_knows_its_dialects(cli, project):
    assert cli("compile", "--check", "--dialect", "duckdb").code == 0
    assert cli("compile", "--check", "--dialect", "spark").code == 0
    (project / "sql" / "spark" / "training_set" / "old.sql").write_text("")
    assert cli("compile", "--check", "--dialect", "duckdb").code == 0
    assert cli("compile", "--dialect", "spark", "--json").json["result"]["removed"] == ["spark/training_set/old.sql"]
    said = cli("compile", "--dialect", "duckbd", "--json")
    assert said.code == 2
    assert said.json["errors"][0]["try"] == "duckdb"


# explain


def test_explain_tells_the_plan_and_the_sql(cli, project):
    plan, *windows = cli("explain", "fraud_v1").out.partition("windows of card_payments by pairs: count_1h, ")
    assert plan == (project / "sql/plan/fraud_v1.txt").read_text()
    assert "the least of the estimates for 200 rows" in windows[1]
    said = cli("explain", "fraud_v1", "--json").json["result"]
    assert list(said["features"]) == FEATURES
    assert said["sql"] is None
    [one] = said["windows"]["card_payments"]["plans"]
    assert one["plan"] == min(one["estimates"], key=one["estimates"].get) == "pairs"


def test_explain_prints_the_statements_of_the_plans_chosen(cli, project, monkeypatch):
    every = (project / "sql/duckdb/training_set/fraud_v1.sql").read_text()
    chosen = cli("explain", "fraud_v1", "--sql", "--spine", "data/spine.parquet").out
    latest, *windows = chosen.split(";\n")[:-1]
    assert latest.partition("WITH\n")[2] in every
    step = re.compile(r"^\w+ AS (?:NOT )?(?:MATERIALIZED )?\($", re.M)
    for statement in windows:  # less than what is committed, where the data lets it
        assert set(step.findall(statement)) <= set(step.findall(every))
    assert "plan pairs: count_1h" in chosen
    assert "plan sweep" not in chosen
    monkeypatch.setenv("FEATURESTORE_OFFLINE__WINDOW_PLAN", "sweep")
    assert "plan sweep: count_1h" in cli("explain", "fraud_v1", "--sql").out
    assert "set by offline.window_plan" in cli("explain", "fraud_v1").out


def test_explain_without_data_tells_the_plan_and_every_statement(cli, project):
    for file in [*(project / "data").glob("*.parquet"), *(project / "data").glob("*/*.parquet")]:
        file.unlink()
    assert cli("explain", "fraud_v1").out == (project / "sql/plan/fraud_v1.txt").read_text()
    assert cli("explain", "fraud_v1", "--sql").out == (project / "sql/duckdb/training_set/fraud_v1.sql").read_text()
    assert cli("explain", "fraud_v1", "--json").json["result"]["windows"] is None


# build


def test_build_writes_the_spine_with_its_features(cli, project):
    said = cli(*BUILD, "--label", "label", "--json")
    assert said.code == 0
    result = said.json["result"]
    table, spine = pq.read_table("train.parquet"), pq.read_table("data/spine.parquet")
    assert table.column_names == [*spine.column_names, *FEATURES]
    assert result["rows"] == table.num_rows == spine.num_rows
    assert result["label"] == {"column": "label", "present": spine.num_rows, "null": 0}
    manifest = json.loads((project / "train.parquet.manifest.json").read_text())
    assert manifest["label"] == result["label"]
    assert manifest["content_hash"] == result["content_hash"]


def test_build_says_what_it_counted(cli, project):
    said = cli(*BUILD, "--label", "label")
    rows = pq.read_table("data/spine.parquet").num_rows
    for line in (
        f"fraud_v1: {rows:,} rows in train.parquet",
        "card_payments: present ",
        "source rows left out",
        f"label label: {rows:,} of {rows:,} rows have one",
        "known before: no cut-off",
        "serving lag: 0, as a store that is always up to date (the online store's newest watermark is ",
        "manifest: train.parquet.manifest.json",
        "content hash: ",
    ):
        assert line in said.out
    assert "joining" in said.err, "progress, plainly, where stderr is no terminal"


def test_build_takes_every_option(cli, project):
    options = {
        "--as-of-column": "as_of", "--timezone": "Europe/Paris", "--known-before": "2025-06-01T00:00:00Z",
        "--serving-lag": "1h", "--include": "status,event_timestamp", "--engine": "duckdb", "--memory-limit": "1GB",
    }  # fmt: skip
    said = cli(*BUILD[:5], "train.csv", "--json", *(part for option in options.items() for part in option))
    result = said.json["result"]
    assert (result["known_before"], result["serving_lag_us"]) == ("2025-06-01T00:00:00.000000Z", 3_600_000_000)
    header = pyarrow.csv.read_csv("train.csv").column_names
    assert {"card_country__status", "card_country__event_timestamp"} < set(header)


def test_build_from_csv_gives_the_same_features(cli, project):
    assert cli(*BUILD, "--quiet").err == ""
    cli("build", "fraud_v1", "--spine", "data/spine.csv", "--output", "from_csv.parquet")
    from_csv = pq.read_table("from_csv.parquet").select(FEATURES)
    assert from_csv.equals(pq.read_table("train.parquet").select(FEATURES).slice(0, from_csv.num_rows))


def test_files_are_relative_to_the_shell_not_to_the_project(cli, project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = cli("build", "fraud_v1", "--project", "shop", "--spine", "shop/data/spine.parquet", "--output", "here.parquet")
    assert said.code == 0
    assert (tmp_path / "here.parquet").is_file()


def test_stale_sql_is_a_warning_not_an_error(cli, project, entity):
    (project / "sql" / "plan" / "fraud_v1.txt").write_text("by hand\n")
    for arguments in (BUILD, ("materialize",), ("get", "fraud_v1", *entity), ("explain", "fraud_v1")):
        said = cli(*arguments)
        assert said.code == 0
        assert "warning: sql/ is stale: featurestore compile\n" in said.err
        assert "stale" not in cli(*arguments, "--quiet").err


# materialize, get, status


def test_materialize_says_a_line_per_view_and_twice_is_as_good_as_once(cli, project):
    said = cli("materialize", "--known-before", WATERMARK)
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["card_payments", "merchant_profile"]
    assert all("incremental" in line for line in said.out.splitlines())
    earlier = cli("materialize", "merchant_profile", "--known-before", "2025-12-01T00:00:00Z", "--json")
    assert earlier.code == 0
    assert [v["mode"] for v in earlier.json["result"]["views"]] == ["nothing"]
    assert cli("materialize", "--full", "--json").json["result"]["views"][0]["mode"] == "full"


def test_get_is_what_the_training_set_says(cli, project, entity):
    said = cli("get", "fraud_v1", *entity, "--as-of", WATERMARK, "--json")
    result = said.json["result"]
    assert list(result["features"]) == FEATURES
    assert result["watermarks"] == dict.fromkeys(["card_payments", "merchant_profile"], "2026-01-01T00:00:00.000000Z")
    customer, merchant = (e.split("=")[1] for e in entity)
    (project / "one.csv").write_text(f"customer_id,merchant_id,as_of\n{customer},{merchant},{WATERMARK}\n")
    cli("build", "fraud_v1", "--spine", "one.csv", "--output", "one.parquet", "--include", "status")
    row = pq.read_table("one.parquet").to_pylist()[0]
    assert {n: f["value"] for n, f in result["features"].items()} == {n: row[n] for n in FEATURES}
    assert {n: f["status"] for n, f in result["features"].items()} == {n: row[f"{n}__status"] for n in FEATURES}


def test_get_prints_a_table(cli, project, entity):
    lines = cli("get", "fraud_v1", *entity, "--as-of", WATERMARK).out.splitlines()
    assert lines[0].split() == ["feature", "value", "status", "event", "time"]
    assert [line.split()[0] for line in lines[1:9]] == FEATURES
    assert lines[-1] == "as of 2026-01-01T00:00:00.000000Z"


HABITS = """

from featurestore import agg
from .payments import customer, payments

habits = FeatureView(name="habits", entities=[customer], source=payments, features=[
    agg.histogram("merchant_id", k=2, window=None),
    agg.last_k("paid_at", k=2, window=None),
    agg.max_k("amount", k=2, window=None),
    agg.mean("amount", window=None),
    agg.time_since_last(window=None),
])
habits_v1 = FeatureService(name="habits_v1", features=[habits])
"""


def test_lists_and_histograms_are_the_same_in_get_and_in_the_training_set(cli, project, entity):
    file = project / "registry" / "services.py"
    file.write_text(file.read_text().replace("import FeatureService", "import FeatureService, FeatureView") + HABITS)
    assert cli("materialize", "--known-before", WATERMARK).code == 0
    said = cli("get", "habits_v1", entity[0], "--as-of", WATERMARK, "--json")
    features = {name: f["value"] for name, f in said.json["result"]["features"].items()}
    (project / "one.csv").write_text(f"customer_id,as_of\n{entity[0].split('=')[1]},{WATERMARK}\n")
    assert cli("build", "habits_v1", "--spine", "one.csv", "--output", "one.parquet").code == 0
    row = pq.read_table("one.parquet").to_pylist()[0]
    times = [t.isoformat(timespec="microseconds").replace("+00:00", "Z") for t in row["paid_at_last_k_2_lifetime"]]
    assert len(times) == 2
    assert features == {
        "merchant_id_histogram_2_lifetime": [list(pair) for pair in row["merchant_id_histogram_2_lifetime"]],
        "paid_at_last_k_2_lifetime": times,
        "amount_max_k_2_lifetime": row["amount_max_k_2_lifetime"],
        "amount_mean_lifetime": row["amount_mean_lifetime"],
        "time_since_last_lifetime": row["time_since_last_lifetime"],
    }
    shown = cli("get", "habits_v1", entity[0], "--as-of", WATERMARK).out
    assert json.dumps(features["merchant_id_histogram_2_lifetime"]) in shown
    refused = cli("build", "habits_v1", "--spine", "one.csv", "--output", "one.csv.csv")
    assert (refused.code, "merchant_id_histogram_2_lifetime" in refused.err) == (2, True)
    assert ".parquet" in refused.err


def test_get_answers_though_the_registry_is_broken(cli, project, entity):
    (project / "registry" / "services.py").write_text("def\n")
    said = cli("get", "fraud_v1", *entity)
    assert said.code == 0
    assert "warning: the definitions cannot be checked against the online store: FS210" in said.err


def test_a_service_never_materialized_says_so(cli, project, entity):
    file = project / "registry" / "services.py"
    file.write_text(file.read_text() + '\n\nfraud_v2 = FeatureService(name="fraud_v2", features=[merchant_profile])\n')
    said = cli("get", "fraud_v2", entity[1], "--json")
    assert said.code == 2
    error = said.json["errors"][0]
    assert (error["code"], error["known"], error["try"]) == ("FS501", ["fraud_v1"], "featurestore materialize")


def test_get_without_an_online_store_makes_none(cli, project, entity):
    shutil.rmtree(project / ".featurestore")
    said = cli("get", "fraud_v1", *entity)
    assert (said.code, said.err.split()[0]) == (5, "FS402")
    assert not (project / ".featurestore" / "online").exists()


def test_status_tells_what_the_store_holds(cli, project):
    result = cli("status", "--json").json["result"]
    assert [(g["view"], g["watermark"]) for g in result["generations"]] == [
        ("card_payments", "2026-01-01T00:00:00.000000Z"),
        ("merchant_profile", "2026-01-01T00:00:00.000000Z"),
    ]
    assert all(g["keys"] > 0 and g["bytes"] > 0 and g["age_us"] > 0 for g in result["generations"])
    assert (result["services"], result["waiting_views"], result["sql_stale"]) == (["fraud_v1"], [], False)
    said = cli("status").out
    assert "can answer: fraud_v1" in said
    assert "sql/ is up to date" in said


def test_status_without_an_online_store(cli, project):
    shutil.rmtree(project / ".featurestore")
    said = cli("status")
    assert said.code == 0
    assert "online store: empty (featurestore materialize)" in said.out
    assert "views waiting for featurestore materialize: card_payments, merchant_profile" in said.out
    assert not (project / ".featurestore" / "online").exists()


def test_a_changed_definition_waits_for_materialize(cli, project):
    file = project / "registry" / "payments.py"
    file.write_text(file.read_text().replace('ttl="90d"', 'ttl="30d"'))
    result = cli("status", "--json").json["result"]
    assert (result["waiting_views"], result["services"], result["sql_stale"]) == (["card_payments"], ["fraud_v1"], True)


# rollback, gc, forget


def test_a_view_is_turned_back_and_goes_on_from_there(cli, project, entity):
    asked = ("get", "fraud_v1", *entity, "--as-of", "2026-01-02T00:00:00Z", "--json")
    before = cli(*asked).json["result"]["features"]
    assert cli("materialize", "--known-before", "2026-01-02T00:00:00Z", "--full").code == 0
    done = cli("rollback", "card_payments", "--json").json["result"]
    assert (done["watermark_before"], done["watermark"]) == ("2026-01-02T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z")
    assert (done["view"], done["left"]) == ("card_payments", 0)
    assert cli(*asked).json["result"]["features"] == before
    said = cli("rollback", "merchant_profile").out.splitlines()
    assert said[1] == "watermark: 2026-01-02T00:00:00.000000Z before, 2026-01-01T00:00:00.000000Z now"
    [report, _] = cli("materialize", "--known-before", "2026-01-02T00:00:00Z", "--json").json["result"]["views"]
    assert report["mode"] == "incremental"


def test_what_cannot_be_turned_back(cli, project):
    said = cli("rollback", "card_payments", "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (5, "FS411")
    said = cli("rollback", "card_payment", "--json")
    assert (said.code, said.json["errors"][0]["code"], said.json["errors"][0]["try"]) == (2, "FS101", "card_payments")
    assert cli("rollback").code == 2
    shutil.rmtree(project / ".featurestore")
    for command in (("rollback", "card_payments"), ("gc",)):
        assert (cli(*command).code, cli(*command).err.split()[0]) == (5, "FS402")
    assert not (project / ".featurestore" / "online").exists()


def test_gc_drops_what_status_shows_as_kept(cli, project):
    cli("materialize", "--known-before", "2026-01-02T00:00:00Z", "--full")
    kept = cli("status", "--json").json["result"]["kept"]
    assert [(g["view"], g["watermark"][:10]) for g in kept] == [
        ("card_payments", "2026-01-01"),
        ("merchant_profile", "2026-01-01"),
    ]
    assert "kept, for rollback:" in cli("status").out
    assert cli("gc", "--keep", "2", "--json").json["result"]["dropped"] == []
    done = cli("gc", "--json").json["result"]
    assert [g["view"] for g in done["dropped"]] == ["card_payments", "merchant_profile"]
    assert done["bytes_freed"] == sum(g["bytes"] for g in kept)
    assert cli("status", "--json").json["result"]["kept"] == []
    assert (cli("gc", "--keep", "0").code, cli("gc", "--keep", "x").code) == (2, 2)


def test_somebody_forgotten_is_as_nobody(cli, project, entity):
    asked = ("get", "fraud_v1", *entity, "--as-of", "2026-01-01T00:00:00Z", "--json")
    nobody = cli(*asked[:2], "customer_id=999999999", *asked[3:]).json["result"]["features"]
    assert cli(*asked).json["result"]["features"] != nobody
    customer = entity[0].removeprefix("customer_id=")
    done = cli("forget", f"customer={customer}", "--json").json["result"]
    assert [(r["view"], r["records"]) for r in done["removed"]] == [("card_payments", 1)]
    assert {s["source"] for s in done["sources"]} == {"payments"}
    assert cli(*asked).json["result"]["features"] == nobody
    said = cli("forget", "customer", "--key", f"customer_id={customer}").out
    assert said.startswith("the online store held nothing of it\nstill in the sources")
    assert cli("forget", "customer=999999999").out.endswith("no source holds a row of it\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["customr=1"], "FS101"), (["customer"], "FS502"), (["customer=x"], "FS504"),
     (["customer=1", "--key", "customer_id=1"], "FS100"),
     (["customer", "--key", "id=1"], "FS502"), (["customer", "--key", "customer_id"], "FS502"), ([], "FS100")],
)  # fmt: skip
def test_whom_nobody_knows_cannot_be_forgotten(cli, project, arguments, code):
    said = cli("forget", *arguments, "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, code)


def test_a_run_interrupted_half_way_is_shown_and_taken_up(cli, project, monkeypatch):
    from featurestore.materialization import writing

    def reach(name):
        if name == "materialize.chunk":
            raise KeyboardInterrupt

    asked = ("materialize", "card_payments", "--full", "--known-before", WATERMARK)
    with monkeypatch.context() as patched:
        patched.setattr(writing, "RECORDS", 10)
        patched.setattr(writing, "reach", reach)
        assert cli(*asked).code == 130
    [left] = cli("status", "--json").json["result"]["runs"]
    assert (left["view"], left["written"]) == ("card_payments", 10)
    assert "was interrupted with 10 keys written" in cli("status").out
    assert "10 of them by an interrupted run" in cli(*asked).out
    assert cli("status", "--json").json["result"]["runs"] == []
