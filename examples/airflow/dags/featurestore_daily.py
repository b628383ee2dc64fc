"""Every night: check definitions and rows, build the training set of the day, bring the online store to midnight, verify it,
and write the values of a view at midnight for batch scoring.

Each task is one command of featurestore, which runs in an environment of its own. The day is the cut-off: what became known
after midnight is left to the next run, so that the same day always gives the same bytes, whenever it is run again.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowFailException

COMMAND = os.environ.get("FEATURESTORE_COMMAND", "featurestore")
PROJECT = Path(os.environ.get("FEATURESTORE_HOME", "."))
SERVICE = os.environ.get("FEATURESTORE_SERVICE", "fraud_v1")
VIEW = os.environ.get("FEATURESTORE_VIEW", "card_payments")
RETRY_DELAY = timedelta(seconds=float(os.environ.get("FEATURESTORE_RETRY_DELAY", "300")))
MIDNIGHT, NEXT = "{{ ds }}T00:00:00Z", "{{ macros.ds_add(ds, 1) }}T00:00:00Z"

NO_USE_TO_RETRY = {1: "a check failed", 2: "wrong command line", 3: "wrong definition", 4: "wrong data"}
"""All other exit codes may be gone next time: 5 is a lock or the machine, 130 and 143 are signals, below 0 a kill."""


def featurestore(*arguments: object) -> dict[str, Any]:
    """The result of a command. Its events go to the task's log, a JSON object a line."""
    command = [COMMAND, *map(str, arguments), "--project", str(PROJECT), "--json", "--events", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            said, _ = running.communicate()
        except BaseException:
            running.terminate()  # it clears up, and leaves nothing half-written
            raise
    answer = json.loads(said or "null") or {"result": {}, "errors": []}
    told = "; ".join(f"{error['code']} {error['what']}" for error in answer["errors"])
    if running.returncode in NO_USE_TO_RETRY:
        raise AirflowFailException(f"{NO_USE_TO_RETRY[running.returncode]}: {told}")
    if running.returncode:
        raise RuntimeError(f"exit code {running.returncode}: {told}")
    return answer["result"]


@dag(
    schedule="15 0 * * *",  # a quarter past: the clocks of two machines differ, and a cut-off must have passed on both
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # one run at a time writes the online store
    default_args={"retries": 3, "retry_delay": RETRY_DELAY},
)
def featurestore_daily() -> None:
    @task
    def check() -> dict[str, Any]:
        found = featurestore("check", "--data")
        return {name: found[name] for name in ("views", "features", "warnings")}

    @task
    def build(known_before: str, output: str) -> dict[str, Any]:
        Path(output).parent.mkdir(exist_ok=True)
        spine = PROJECT / "data" / "spine.parquet"
        made = featurestore("build", SERVICE, "--spine", spine, "--output", output, "--known-before", known_before)
        return {name: made[name] for name in ("output", "rows", "content_hash", "known_before")}

    @task
    def materialize(known_before: str) -> dict[str, Any]:
        made = featurestore("materialize", "--known-before", known_before)
        return {view["view"]: {name: view[name] for name in ("watermark", "generation", "keys")} for view in made["views"]}

    @task
    def verify() -> dict[str, Any]:
        found = featurestore("verify", SERVICE)
        return {name: found[name] for name in ("equal", "different", "unverifiable")}

    @task
    def backfill(first: str, end: str) -> dict[str, Any]:
        output = PROJECT.absolute() / "scoring" / VIEW
        made = featurestore("backfill", VIEW, "--from", first, "--to", end, "--output", output)
        return {name: made[name] for name in ("output", "written", "unchanged", "rows")}

    train = f"{PROJECT.absolute()}/train/{{{{ ds }}}}.parquet"
    (
        check()
        >> build(MIDNIGHT, train)
        >> materialize(MIDNIGHT)
        >> verify()
        >> backfill(MIDNIGHT, "{{ macros.ds_add(ds, 1) }}T00:00:00Z")
    )


featurestore_daily()
