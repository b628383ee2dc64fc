"""The examples for Airflow and Dagster, run for real: each in an environment of its own, the commands in the project's."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from featurestore import FeatureStore
from tests.functional.conftest import contents
from tests.needs import ROOT, environment_of

pytestmark = pytest.mark.slow

TASKS = ("check", "build", "materialize", "verify", "backfill")
DAY, NEXT = "2026-01-03", "2026-01-04"
PATIENCE = 300


def _environment(home: Path, project: Path, **more: str) -> dict[str, str]:
    """Of an orchestrator: nothing of this process but PATH; the command by its path."""
    command = home / "featurestore"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m featurestore.cli "$@"\n')
    command.chmod(0o755)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    named = {"FEATURESTORE_COMMAND": str(command), "FEATURESTORE_HOME": str(project), "FEATURESTORE_RETRY_DELAY": "1"}
    return {**kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **named, **more}


def _run(command: list[str], environment: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


# Airflow


@dataclass
class Airflow:
    """Airflow with a database of its own, and the DAG on a project."""

    program: Path
    home: Path
    project: Path

    @property
    def environment(self) -> dict[str, str]:
        return _environment(
            self.home, self.project, AIRFLOW_HOME=str(self.home), AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "examples" / "airflow" / "dags"),
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _run([str(self.program), *arguments], self.environment, self.home)

    def test(self, day: str) -> tuple[int, dict[str, tuple[str, int]], dict[str, Any]]:
        """The exit code of `dags test`, {task: (state, tries)}, and what each task left in XCom."""
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            before = {run for (run,) in database.execute("select run_id from dag_run")}
            done = self.run("dags", "test", "featurestore_daily", day)
            (run,) = {run for (run,) in database.execute("select run_id from dag_run")} - before
            tasks = database.execute("select task_id, state, try_number from task_instance where run_id = ?", [run])
            states = {task: (state, tries) for task, state, tries in tasks}
            left = database.execute("select task_id, value from xcom where key = 'return_value' and run_id = ?", [run])
            return done.returncode, states, {task: json.loads(value) for task, value in left}


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    program = environment_of("airflow") / "airflow"
    home = tmp_path_factory.mktemp("airflow")
    made = Airflow(program, home, home)
    migrated = made.run("db", "migrate")
    assert migrated.returncode == 0, migrated.stdout[-2000:]
    return program, home


@pytest.fixture
def airflow(airflow_home: tuple[Path, Path], project: Path) -> Airflow:
    return Airflow(*airflow_home, project)


def test_a_day_in_airflow_and_the_same_day_again(airflow, project):
    code, states, left = airflow.test(DAY)
    assert (code, states) == (0, dict.fromkeys(TASKS, ("success", 1)))
    manifest = json.loads((project / "train" / f"{DAY}.parquet.manifest.json").read_text())
    assert left["build"] == {
        "output": str(project / "train" / f"{DAY}.parquet"), "rows": manifest["rows"],
        "content_hash": manifest["content_hash"], "known_before": f"{DAY}T00:00:00.000000Z",
    }  # fmt: skip
    assert {view["watermark"] for view in left["materialize"].values()} == {f"{DAY}T00:00:00.000000Z"}
    assert (left["verify"]["different"], left["verify"]["unverifiable"]) == (0, 0)
    assert (left["backfill"]["written"], left["backfill"]["unchanged"]) == (1, 0)
    before, answers = [contents(project / made) for made in ("train", "scoring")], records(project)
    code, _, again = airflow.test(DAY)
    assert code == 0
    assert again["build"] == left["build"]
    assert (again["backfill"]["written"], again["backfill"]["unchanged"]) == (0, 1)
    assert [contents(project / made) for made in ("train", "scoring")] == before
    assert records(project) == answers


def test_a_wrong_definition_fails_at_once(airflow, project):
    (project / "registry" / "services.py").write_text("from featurestore import FeatureService\nx = FeatureService(name='x')\n")
    code, states, _ = airflow.test(DAY)
    assert code != 0
    assert states["check"] == ("failed", 1)
    assert not (project / "train").exists()


def test_a_locked_store_is_tried_again(airflow, project):
    store = FeatureStore(project)
    lock = store.online.lock()
    lock.__enter__()

    def let_go() -> None:
        """Once the first try has failed."""
        until = time.monotonic() + PATIENCE
        with closing(sqlite3.connect(airflow.home / "airflow.db", timeout=30)) as database:
            asked = "select count(*) from task_instance where task_id = 'materialize' and state = 'up_for_retry'"
            while time.monotonic() < until and database.execute(asked).fetchone() == (0,):
                time.sleep(0.2)
        lock.__exit__(None, None, None)

    thread = Thread(target=let_go)
    thread.start()
    code, states, _ = airflow.test(NEXT)
    thread.join()
    store.online.close()
    assert code == 0
    assert states["materialize"][0] == "success"
    assert states["materialize"][1] > 1
    assert states["build"] == ("success", 1)


# Dagster


@pytest.fixture
def dagster(project: Path, tmp_path: Path) -> Callable[..., list[Any]]:
    """Make partitions, one after the other, in one process; of each: ok, metadata by asset, checks, steps that failed."""
    python = environment_of("dagster") / "python"
    environment = _environment(tmp_path, project, DAGSTER_HOME=str(tmp_path), DAGSTER_DISABLE_TELEMETRY="1")

    def make(*days: str) -> list[Any]:
        script = tmp_path / "make.py"
        script.write_text(_SCRIPT)
        asked = [str(python), str(script), str(ROOT / "examples" / "dagster"), str(tmp_path / "made.json"), *days]
        done = _run(asked, environment, tmp_path)
        assert done.returncode == 0, done.stdout[-3000:]
        return json.loads((tmp_path / "made.json").read_text())

    return make


_SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import dagster as dg
import featurestore_assets as example

made = []
with dg.DagsterInstance.ephemeral() as instance:
    for day in sys.argv[3:]:
        assets = [example.definitions, example.training_set, example.online_store, example.scoring_values,
                  example.answers_are_the_offline_truth]
        done = dg.materialize(assets, partition_key=day, instance=instance, raise_on_error=False)
        told = {e.asset_key.to_user_string(): e for e in done.get_asset_materialization_events()}
        metadata = {
            name: {key: value.value for key, value in event.materialization.metadata.items()} for name, event in told.items()
        }
        checks = [(e.check_name, e.passed) for e in done.get_asset_check_evaluations()]
        failed = {e.step_key: getattr(e.event_specific_data.user_failure_data, "description", "")
                  for e in done.all_events if e.event_type_value == "STEP_FAILURE"}
        retried = [e.step_key for e in done.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
        made.append({"ok": done.success, "metadata": metadata, "checks": checks, "failed": failed, "retried": retried})
Path(sys.argv[2]).write_text(json.dumps(made, default=str))
"""


def test_a_partition_in_dagster_and_the_same_again(dagster, project):
    first, again, older = dagster(NEXT, NEXT, DAY)
    assert [first["ok"], again["ok"], older["ok"]] == [True] * 3
    assert first["checks"] == [["answers_are_the_offline_truth", True]]
    manifest = json.loads((project / "train" / f"{NEXT}.parquet.manifest.json").read_text())
    told = first["metadata"]["training_set"]
    assert (told["dagster/row_count"], told["content_hash"]) == (manifest["rows"], manifest["content_hash"])
    assert told["known_before"] == "2026-01-05T00:00:00.000000Z"
    assert first["metadata"]["training_set"] == again["metadata"]["training_set"]
    stands = {view: told["watermark"] for view, told in first["metadata"]["online_store"].items()}
    assert set(stands.values()) == {"2026-01-05T00:00:00.000000Z"}
    assert {view: told["watermark"] for view, told in older["metadata"]["online_store"].items()} == stands, "it never goes back"


def test_wrong_data_fails_at_once_and_a_lock_is_tried_again(dagster, project):
    store = FeatureStore(project)
    with store.online.lock():
        (locked,) = dagster(DAY)
    store.online.close()
    assert not locked["ok"]
    assert locked["retried"] == ["online_store"] * 3
    (project / "data" / "merchants.parquet").unlink()
    (wrong,) = dagster(DAY)
    assert (wrong["ok"], wrong["retried"]) == (False, [])
    (why,) = wrong["failed"].values()
    assert why.startswith("wrong data: FS321 ")


def records(project: Path) -> list[Any]:
    """What the online store holds for readers, generation numbers aside."""
    from featurestore.online.generations import generations

    store = FeatureStore(project)
    with closing(store.online) as online, online.read() as snapshot:
        return [(made.name, made.watermark, list(snapshot.scan(made.table))) for made in generations(snapshot)]
