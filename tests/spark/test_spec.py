"""The contract, case by case, on Spark: a build takes it a second, so every 25th case every day; all of them, windows
by every plan, with the slow tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.engines.spark import SparkSettings
from tests.spark.engines import by_spark
from tests.spec.loader import Case, read_cases, run_case

CASES = read_cases(Path(__file__).parents[1] / "spec")
EVERY = 25


SOME_SLOW = [
    pytest.param(case, id=case.id, marks=[pytest.mark.slow] if number % EVERY else []) for number, case in enumerate(CASES)
]


@pytest.mark.parametrize("case", SOME_SLOW)
def test_the_contract_holds(case: Case, spark_settings: SparkSettings, tmp_path: Path) -> None:
    asked(case, "auto", spark_settings, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["pairs", "edges"])
@pytest.mark.parametrize("case", [case for case in CASES if case.has_windows], ids=lambda case: case.id)
def test_windows_hold_by_every_plan(case: Case, plan: str, spark_settings: SparkSettings, tmp_path: Path) -> None:
    asked(case, plan, spark_settings, tmp_path)


def asked(case: Case, plan: str, settings: SparkSettings, folder: Path) -> None:
    settings = replace(settings, window_plan=plan)
    run_case(case, lambda case, place: by_spark(case, place, settings), folder)
