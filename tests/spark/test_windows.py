"""Windows on Spark: the contract's cases, and generated ones, by every plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featurestore.engines.spark import SparkSettings
from tests.spark.engines import by_spark
from tests.spec.loader import Case, read_cases, run_case

CASES = [case for case in read_cases(Path(__file__).parents[1] / "spec") if case.has_windows]


@pytest.mark.parametrize("plan", ["auto", "pairs", "edges"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_contract_holds(case: Case, plan: str, spark_settings: SparkSettings, tmp_path: Path) -> None:
    settings = replace(spark_settings, window_plan=plan)
    run_case(case, lambda case, folder: by_spark(case, folder, settings), tmp_path)
