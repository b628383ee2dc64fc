"""The contract, case by case, on Spark. Cases with windows are asked in `test_windows`."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.engines.spark import SparkSettings
from tests.spark.engines import by_spark
from tests.spec.loader import Case, read_cases, run_case

CASES = [case for case in read_cases(Path(__file__).parents[1] / "spec") if not case.has_windows]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_contract_holds(case: Case, spark_settings: SparkSettings, tmp_path: Path) -> None:
    run_case(case, lambda case, folder: by_spark(case, folder, spark_settings), tmp_path)
