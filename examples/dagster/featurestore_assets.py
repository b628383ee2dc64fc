"""The training set, the online store and a view's values for batch scoring as assets, a partition per day, each made by a
command of featurestore.

The end of the day is the cut-off: what became known after it is left to the next partition, so that the same partition always
gives the same bytes, whenever it is made again. The command runs in an environment of its own.
"""

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

COMMAND = os.environ.get("FEATURESTORE_COMMAND", "featurestore")
PROJECT = Path(os.environ.get("FEATURESTORE_HOME", "."))
SERVICE = os.environ.get("FEATURESTORE_SERVICE", "fraud_v1")
VIEW = os.environ.get("FEATURESTORE_VIEW", "card_payments")
RETRY_DELAY = float(os.environ.get("FEATURESTORE_RETRY_DELAY", "300"))

NO_USE_TO_RETRY = {1: "a check failed", 2: "wrong command line", 3: "wrong definition", 4: "wrong data"}
"""All other exit codes may be gone next time: 5 is a lock or the machine, 130 and 143 are signals, below 0 a kill."""

days = dg.DailyPartitionsDefinition(start_date="2025-01-01")


def featurestore(*arguments: object) -> dict[str, Any]:
    """The result of a command. Its events go to the run's compute log, a JSON object a line."""
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
        raise dg.Failure(f"{NO_USE_TO_RETRY[running.returncode]}: {told}", allow_retries=False)
    if running.returncode:
        raise dg.RetryRequested(max_retries=3, seconds_to_wait=RETRY_DELAY) from RuntimeError(told)
    return answer["result"]


@dg.asset
def definitions() -> dg.MaterializeResult:
    """What features mean, and whether the rows of their sources are as declared."""
    found = featurestore("check", "--data")
    return dg.MaterializeResult(metadata={name: found[name] for name in ("views", "features", "warnings")})


@dg.asset(partitions_def=days, deps=[definitions])
def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The spine's rows with what was known of them by the end of the day."""
    output = PROJECT / "train" / f"{context.partition_key}.parquet"
    output.parent.mkdir(exist_ok=True)
    spine = PROJECT / "data" / "spine.parquet"
    made = featurestore("build", SERVICE, "--spine", spine, "--output", output, "--known-before", _end_of_day(context))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": made["rows"],
            "content_hash": made["content_hash"],
            "known_before": made["known_before"],
            "path": dg.MetadataValue.path(output),
        },
        data_version=dg.DataVersion(made["content_hash"]),
    )


@dg.asset(partitions_def=days, deps=[training_set])
def online_store(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """What look-ups answer from: it never goes back, so an earlier day made again leaves it as it is."""
    views = featurestore("materialize", "--known-before", _end_of_day(context))["views"]
    told = {view["view"]: {name: view[name] for name in ("watermark", "generation", "keys")} for view in views}
    return dg.MaterializeResult(metadata=told)


@dg.asset_check(asset=online_store, blocking=True)
def answers_are_the_offline_truth() -> dg.AssetCheckResult:
    """Exit code 1 raises, so that nothing after it runs."""
    found = featurestore("verify", SERVICE)
    return dg.AssetCheckResult(passed=True, metadata={name: found[name] for name in ("equal", "different", "unverifiable")})


@dg.asset(partitions_def=days, deps=[online_store])
def scoring_values(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The values of a view at the end of the day, for every key known by then."""
    output, first, end = PROJECT.absolute() / "scoring" / VIEW, _end_of_day(context), _end_of_day(context, later=1)
    made = featurestore("backfill", VIEW, "--from", first, "--to", end, "--output", output)
    return dg.MaterializeResult(metadata={"dagster/row_count": made["rows"], "path": dg.MetadataValue.path(output)})


def _end_of_day(context: dg.AssetExecutionContext, later: int = 0) -> str:
    end = context.partition_time_window.end + timedelta(days=later)
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")


defs = dg.Definitions(
    assets=[definitions, training_set, online_store, scoring_values],
    asset_checks=[answers_are_the_offline_truth],
    # A quarter past midnight: the clocks of two machines differ, and a cut-off must have passed on both.
    schedules=[
        dg.build_schedule_from_partitioned_job(
            dg.define_asset_job("featurestore_daily", selection="*", partitions_def=days), hour_of_day=0, minute_of_hour=15
        )
    ],
)
