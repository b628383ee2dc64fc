"""What an orchestrator relies on: signals end a run cleanly, events tell of it, exit codes say whether to try again, and a
command that is given twice does what it did once."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.cli import app
from featurestore.cli.command import name_of
from featurestore.cli.events import EVENTS
from featurestore.cli.exit_codes import EFFECTS, EXIT_CODES
from featurestore.online.generations import generations
from tests.functional.conftest import Cli, contents, environment

TS, LATER = "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"
BUILD = ("build", "fraud_v1", "--spine", "data/spine.parquet", "--output", "train.parquet")


def events(text: str) -> list[dict[str, Any]]:
    """Lines of JSON, each as the table of events says."""
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        assert tuple(event) == ("time", "event", "command", "run", *EVENTS[event["event"]][1])
    assert len({event["run"] for event in found}) <= 1
    return found


# Events


def test_a_build_tells_its_events_on_stderr_and_nothing_else(cli: Cli, project: Path):
    said = cli(*BUILD, "--events", "-", "--json")
    told = events(said.err)
    assert [told[0]["event"], *(e["event"] for e in told[-2:])] == ["start", "training_set", "end"]
    assert told[-2]["content_hash"] == said.json["result"]["content_hash"]
    assert {e["stage"] for e in told if e["event"] == "stage"} >= {"checking sources", "joining"}
    assert (told[-1]["ok"], told[-1]["exit_code"], told[-1]["errors"]) == (True, 0, [])


def test_runs_append_their_events_to_a_file_and_stderr_is_as_ever(cli: Cli, project: Path):
    cli("materialize", "--known-before", TS, "--events", "events.jsonl")
    said = cli("materialize", "--known-before", TS, "--events=events.jsonl", "--full")
    assert "card_payments: computing" in said.err
    lines = (project / "events.jsonl").read_text().splitlines(keepends=True)
    runs = list(dict.fromkeys(json.loads(line)["run"] for line in lines))
    assert len(runs) == 2
    for run in runs:
        told = events("".join(line for line in lines if run in line))
        assert [e["view"] for e in told if e["event"] == "view"] == ["card_payments", "merchant_profile"]
        assert {e["watermark"] for e in told if e["event"] == "view"} == {"2026-01-02T00:00:00.000000Z"}


def test_verify_and_check_tell_theirs(cli: Cli, project: Path):
    told = events(cli("verify", "--sample", "50", "--scratch", "0", "--events", "-").err)
    (service,) = [e for e in told if e["event"] == "service"]
    assert service["cells"]["card_payments"]["different"] == 0
    (project / "registry" / "services.py").write_text("from featurestore import FeatureService\nFeatureService(name='BAD')\n")
    told = events(cli("check", "--data", "--events", "-").err)
    assert [e["event"] for e in told] == ["start", "end"]
    assert (told[-1]["exit_code"], told[-1]["errors"][0]["code"]) == (3, "FS201")


def test_warnings_and_the_log_are_events(cli: Cli, project: Path):
    (project / "sql" / "plan" / "fraud_v1.txt").write_text("stale")
    said = cli("materialize", "--known-before", TS, "--events", "-", "-v")
    told = events(said.err)
    assert [e["text"] for e in told if e["event"] == "warning"] == ["sql/ is stale: featurestore compile"]


@pytest.mark.parametrize(
    "arguments, code, kinds",
    [
        (["build", "--events", "-"], 2, ["end"]),
        (["build", "fraud_v2", *BUILD[2:], "--events", "-"], 2, ["start", "end"]),
        (["nonsense", "--events", "-"], 2, ["end"]),
    ],
)
def test_what_is_typed_wrong_has_an_end_too(cli: Cli, project: Path, arguments, code, kinds):
    said = cli(*arguments)
    told = events(said.err)
    assert (said.code, [e["event"] for e in told], told[-1]["exit_code"]) == (code, kinds, code)


def test_events_that_cannot_be_written_are_refused_before_any_work(cli: Cli, project: Path):
    said = cli(*BUILD, "--events", "nowhere/events.jsonl", "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (2, "FS106")
    assert not (project / "train.parquet").exists()


def test_a_disk_too_full_for_events_stops_no_run(cli: Cli, project: Path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    said = cli(*BUILD, "--events", "/dev/full")
    assert said.code == 0
    assert said.err.count("warning: no more events: No space left on device") == 1


@pytest.mark.parametrize(
    "closed", ["0<&- 1>&- 2>&-", *(pytest.param(one, marks=pytest.mark.slow) for one in ("0<&-", "1>&-", "2>&-"))]
)
def test_a_daemon_that_has_closed_its_streams_gets_its_file(project: Path, require: Callable[[str], str], closed: str):
    line = f'exec "$0" -m featurestore.cli {" ".join(BUILD)} {closed}'
    command = [require("bash"), "-c", line, sys.executable]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert pq.read_table(project / "train.parquet").num_rows == pq.read_table(project / "data" / "spine.parquet").num_rows


def test_whoever_read_the_events_may_go(project: Path):
    command = [sys.executable, "-m", "featurestore.cli", *BUILD, "--events", "-"]
    with subprocess.Popen(command, cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        running.stderr.readline()
        running.stderr.close()
        assert running.stdout is not None
        assert b"content hash" in running.stdout.read()
    assert running.returncode == 0


# Signals


def signalled(
    project: Path, arguments: tuple[str, ...], stage: str, number: int, times: int = 1
) -> tuple[int, list[dict[str, Any]]]:
    """Signal a command once it has told of a stage."""
    command = [sys.executable, "-m", "featurestore.cli", *arguments, "--events", "-"]
    with subprocess.Popen(command, cwd=project, env=environment(), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        seen = []
        for line in running.stderr:
            seen.append(line)
            if json.loads(line).get("stage", "").startswith(stage):
                break
        for _ in range(times):
            running.send_signal(number)
        seen += running.stderr.read().splitlines(keepends=True)
    return running.returncode, events("".join(seen))


FULL = ("materialize", "--known-before", TS, "--full")
slow = pytest.mark.slow


@pytest.mark.parametrize(
    "arguments, stage, times",
    [
        (BUILD, "view", 3),
        (FULL, "card_payments: writing", 1),
        pytest.param(BUILD, "checking sources", 1, marks=slow),
        pytest.param(FULL, "card_payments: computing", 3, marks=slow),
        pytest.param(("verify", "--sample", "5000"), "verifying", 1, marks=slow),
    ],
)
def test_sigterm_leaves_what_was_there_and_says_so(cli: Cli, project: Path, arguments, stage, times):
    before = contents(project)
    code, told = signalled(project, arguments, stage, signal.SIGTERM, times)
    if code == 0:  # it was faster than the signal
        return
    assert code == 143
    end = told[-1]
    assert (end["event"], end["exit_code"], end["errors"][0]["what"]) == ("end", 143, "terminated")
    assert contents(project) == before
    assert cli(*arguments).code == 0


def test_timeout_ends_a_run_that_takes_too_long(cli: Cli, project: Path, require: Callable[[str], str]):
    before = contents(project)
    command = [require("timeout"), "0.9", sys.executable, "-m", "featurestore.cli", "verify", "--sample", "1000000"]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 124
    assert "Traceback" not in done.stderr
    assert contents(project) == before


# Exit codes, and twice


def test_the_tables_name_every_command_and_every_code(cli: Cli):
    assert list(EFFECTS) == [name_of(command) for command in app.COMMANDS], "each command has its row in exit_codes.EFFECTS"
    said = cli("--help").out
    assert set(EXIT_CODES) - {141} == {0, 1, 2, 3, 4, 5, 130, 143}
    assert all(f"{number} " in said for number in set(EXIT_CODES) - {141})


ROWS = (
    '{"payment_id": 900001, "customer_id": 10038, "merchant_id": "m00042", "card_id": null, '
    '"paid_at": "2025-12-30T10:00:00Z", "amount": 9.5, "currency": "EUR", "status": "settled", "card_country": "DE", '
    '"city": "Berlin", "is_deleted": false}\n'
)

TWICE: dict[str, list[tuple[tuple[str, ...], int, int]]] = {
    "init": [(("init", "another", "--rows", "50"), 0, 2)],
    "check": [(("check", "--data"), 0, 0)],
    "compile": [(("compile",), 0, 0)],
    "explain": [(("explain", "fraud_v1", "--sql"), 0, 0)],
    "lineage": [(("lineage", "card_payments.amount_sum_7d", "--svg", "lineage.svg"), 0, 0)],
    "build": [(BUILD, 0, 0), ((*BUILD, "--known-before", TS, "--partitions", "2"), 0, 0)],
    "rebuild": [
        (("rebuild", "known.parquet", "--verify"), 0, 0),
        (("rebuild", "known.parquet", "--output", "x.parquet"), 0, 0),
    ],
    "backfill": [
        (
            ("backfill", "card_payments", "--from", "2025-12-01T00:00:00Z", "--to", "2025-12-04T00:00:00Z", "--output", "days"),
            0,
            0,
        )
    ],
    "diff": [(("diff", "known.parquet", "known.parquet"), 0, 0)],
    "profile": [(("profile", "known.parquet"), 0, 0)],
    "materialize": [
        (("materialize", "--known-before", LATER), 0, 0),
        (("materialize", "--known-before", LATER, "--full"), 0, 0),
    ],
    "get": [(("get", "fraud_v1", "customer_id=10038", "merchant_id=m00042"), 0, 0)],
    "keys": [(("keys", "list"), 0, 0), (("keys", "revoke", "nobody"), 2, 2)],
    "push": [(("push", "payments", "rows.jsonl"), 0, 0)],
    "compact": [(("compact",), 0, 0)],
    "status": [(("status",), 0, 0)],
    "rollback": [(("rollback", "card_payments", "--from", "LIVE"), 0, 0)],
    "gc": [(("gc",), 0, 0)],
    "forget": [(("forget", "customer=10038"), 0, 0)],
    "verify": [(("verify", "--sample", "50", "--scratch", "0"), 0, 0), (("verify", "--log"), 1, 1)],
    "audit": [(("audit", "known.parquet", "--service", "fraud_v1", "--output", "audit.html"), 0, 0)],
    "prove": [(("prove", "fraud_v1", "--spine", "data/spine.parquet"), 0, 0)],
    "influence": [
        (("influence", "fraud_v1", "--feature", "amount_sum_30d", "customer_id=10038", "--as-of", "2026-01-01T00:00:00Z"), 0, 0)
    ],
    "drift": [(("drift", "--reference", "known.parquet", "--current", "known.parquet", "--output", "drift.html"), 0, 0)],
    "performance": [(("performance", "--service", "fraud_v1", "--predictions", "known.parquet", "--score", "count_1h"), 2, 2)],
    "freshness": [(("freshness", "--as-of", "2025-12-31T18:00:00Z"), 0, 0)],
    "monitor": [(("monitor", "--once"), 1, 1)],
    "should-retrain": [(("should-retrain", "--policy", "retrain.toml", "--training-set", "known.parquet"), 1, 1)],
}
"""Of each command what is given twice, and how it ends each time; `serve` is told to stop."""


def answers(project: Path) -> list[Any]:
    """What look-ups are answered from: records and watermarks, whatever number a generation has."""
    store = FeatureStore(project)
    with closing(store.online) as online, online.read() as snapshot:
        return [(made.name, made.watermark, sorted(snapshot.scan(made.table))) for made in generations(snapshot)]


def standing(project: Path) -> dict[str, Any]:
    """All that is there, and what is answered; a push log tells its rows by what is answered."""
    files = {name: told for name, told in contents(project).items() if ".featurestore/" not in name}
    return {"files": files, "answers": answers(project)}


def live(project: Path, view: str) -> int:
    store = FeatureStore(project)
    with closing(store.online) as online, online.read() as snapshot:
        return next(made.number for made in generations(snapshot) if made.name == view)


@pytest.fixture(scope="module")
def prepared(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with a training set, rows to push, and something to go back to, to fold and to drop."""
    from featurestore.cli import main

    folder = tmp_path_factory.mktemp("twice") / "shop"
    shutil.copytree(shop, folder)
    (folder / "rows.jsonl").write_text(ROWS)
    (folder / "retrain.toml").write_text('[[rule]]\nkind = "time"\nthreshold = "1d"\n')
    at = ["--project", str(folder), "--quiet"]
    spine, known = str(folder / "data" / "spine.parquet"), str(folder / "known.parquet")
    for arguments in (
        ["build", "fraud_v1", "--spine", spine, "--output", known, *at],
        ["materialize", "--known-before", TS, *at],
        ["keys", "add", "scorer", *at],
    ):
        assert main(arguments) == 0
    return folder


EVERYDAY = {"compile", "materialize", "rollback"}


@pytest.mark.parametrize(
    "command, arguments, first, second",
    [pytest.param(n, *case, marks=() if n in EVERYDAY else slow) for n, cases in TWICE.items() for case in cases],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_command_given_twice_does_what_it_did_once(cli, prepared, tmp_path, monkeypatch, command, arguments, first, second):
    project = tmp_path / "shop"
    shutil.copytree(prepared, project)
    monkeypatch.chdir(project)
    given = [str(live(project, "card_payments")) if word == "LIVE" else word for word in arguments]
    untouched = standing(project)
    done = cli(*given, "--json")
    assert done.code == first, done.json
    once = standing(project)
    if not EFFECTS[command].changes:
        assert once == untouched, "it says that it changes nothing"
    time.sleep(0.01)
    assert cli(*given, "--json").code == second
    assert standing(project) == once


def test_every_command_is_given_twice():
    assert set(TWICE) == set(EFFECTS) - {"serve"}


def test_a_build_of_the_same_day_is_the_same_bytes_whatever_came_later(cli: Cli, project: Path):
    cut = ("--known-before", "2025-12-01T00:00:00Z")
    cli(*BUILD, *cut)
    before = (project / "train.parquet").read_bytes()
    cli("materialize", "--known-before", TS)
    spine = pq.read_table(project / "data" / "spine.parquet")
    assert spine.num_rows > 0
    cli(*BUILD, *cut)
    assert (project / "train.parquet").read_bytes() == before


def test_one_run_at_a_time_and_the_other_may_try_again(cli: Cli, project: Path):
    store = FeatureStore(project)
    with closing(store.online) as online, online.lock():
        said = cli("materialize", "--known-before", TS, "--json")
    assert (said.code, said.json["errors"][0]["code"]) == (5, "FS401")
    assert EXIT_CODES[said.code].again.startswith("yes")
    assert cli("materialize", "--known-before", TS).code == 0
