"""The contract, case by case, on every engine: `pytest tests/spec -k pitfall_08`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spec.engines import ENGINES
from tests.spec.loader import Answer, Case, read_cases, run_case

CASES = read_cases(Path(__file__).parent)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Callable[[Case, Path], Answer]:
    return ENGINES[request.param]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_contract_holds(case: Case, engine: Callable[[Case, Path], Answer], tmp_path: Path) -> None:
    run_case(case, engine, tmp_path)


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES) > 80
