"""The contract, case by case, on every engine: `pytest tests/spec -k pitfall_08`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from featurestore.compiler.duckdb.windows import PLANS
from featurestore.definitions import AGGREGATES
from featurestore.engines.reference import ReferenceEngine
from featurestore.engines.reference.facts import column_types
from featurestore.expressions import CASTS, OPERATIONS, Call, Cast, Expr, operand_type
from tests.spec.engines import CUT, ENGINES, asks_at_once, by_duckdb
from tests.spec.loader import Answer, Case, parse, read_cases, run_case
from tests.spec.spread import Spread, comparable

CASES = read_cases(Path(__file__).parent)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Callable[[Case, Path], Answer]:
    return ENGINES[request.param]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_contract_holds(case: Case, engine: Callable[[Case, Path], Answer], tmp_path: Path) -> None:
    run_case(case, engine, tmp_path)


@pytest.mark.parametrize("case", [case for case in CASES if asks_at_once(case)], ids=lambda case: case.id)
def test_the_contract_holds_asked_at_once(case: Case, tmp_path: Path) -> None:
    run_case(case, partial(by_duckdb, window_plan="snapshot"), tmp_path)


ASKED = [case for case in CASES if case.has_windows]
OTHER_PLANS = [plan for plan in PLANS if plan not in ("pairs", "snapshot")]  # pairs: chosen for so few rows
BY_PLAN = [
    pytest.param(case, plan, id=f"{case.id}-{plan}", marks=[pytest.mark.slow] if (n + k) % 6 else [])
    for n, case in enumerate(ASKED)
    for k, plan in enumerate(OTHER_PLANS)
]
"""Every day a sixth of them."""


@pytest.mark.parametrize("case, plan", BY_PLAN)
def test_the_contract_holds_whatever_the_plan_of_windows(case: Case, plan: str, tmp_path: Path) -> None:
    run_case(case, partial(by_duckdb, window_plan=plan), tmp_path)


WHERE_CUTS_BEAR = ("versions", "keys")


@pytest.mark.parametrize(
    "case",
    [case if case.topic in WHERE_CUTS_BEAR else pytest.param(case, marks=pytest.mark.slow) for case in CASES],
    ids=lambda case: case.id,
)
def test_the_contract_holds_cut_by_key(case: Case, tmp_path: Path) -> None:
    run_case(case, partial(by_duckdb, partitions=CUT), tmp_path)


def by_files(case: Case, folder: Path) -> Answer:
    """The reference over Parquet instead of memory."""
    case.write(folder)
    names = [section.name for section in case.all("source")]
    files = {name: [pq.read_table(f) for f in sorted((folder / name).glob("*.parquet"))] for name in names}
    return ReferenceEngine(files).answer(case.service(folder), case.spine, **case.options)


def test_the_files_of_a_case_hold_what_its_tables_say(tmp_path: Path) -> None:
    for number, case in enumerate(CASES):
        run_case(case, by_files, tmp_path / str(number))


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.id for case in CASES}) == len(CASES) > 80


def test_every_operation_cast_and_aggregate_has_a_case() -> None:
    operations, casts, aggregates = set(), set(), set()
    for case in (c for c in CASES if c.one("expect error") is None):
        for view in (instance.view for instance in case.service().instances):
            types = column_types(view, case.tables[view.source.name])
            aggregates |= {feature.aggregate for feature in view.features}
            written = [e for f in view.features for e in (f.expression, f.where) if e is not None]
            for node in (n for e in written for n in nodes(e)):
                if isinstance(node, Call):
                    operations.add(node.operation)
                if isinstance(node, Cast):
                    casts.add((str(operand_type(node.operand, types)), str(node.dtype)))
    assert set(OPERATIONS) - operations == set()
    assert set(CASTS) - casts == set()
    assert set(AGGREGATES) - aggregates == set()


def nodes(expression: Expr) -> Iterator[Expr]:
    yield expression
    for inner in (expression.operand,) if isinstance(expression, Cast) else getattr(expression, "args", ()):
        yield from nodes(inner)


def test_a_line_outside_every_section_is_an_error() -> None:
    with pytest.raises(ValueError, match="in no section"):
        parse("## a case\nA story.\n\nsource t: static=True\n  customer\n  1\nsorce u: static=True\n", "topic")


def test_an_expectation_that_does_not_hold_fails(tmp_path: Path) -> None:
    text = """## a case
source t: static=True
  customer | a
  1        | 1
view v: source=t
  latest("a")
expect:
  a
  1
"""
    run_case(parse(text, "topic")[0], ENGINES["reference"], tmp_path)
    for wrong in ("2", "NULL"):
        with pytest.raises(AssertionError):
            run_case(parse(text.replace("  a\n  1\n", f"  a\n  {wrong}\n"), "topic")[0], ENGINES["reference"], tmp_path)


@pytest.mark.parametrize(
    "value, mean, power, near, far",
    [
        (4.0, 0.0, 1, [4.0, 4.0 + 3.9e-9, 4.0 - 3.9e-9], [4.0 + 4.1e-9, 4.0 - 4.1e-9, math.nan, math.inf, -4.0]),
        (2.0, 0.0, 2, [2.0, 2.0 + 0.9e-9, 2.0 - 0.9e-9], [2.0 + 1.1e-9, 2.0 - 1.1e-9, -2.0]),
        (0.0, 1e7, 1, [0.0, 0.09], [0.11]),
        (0.0, 0.0, 2, [0.0], [5e-324**0.5, 1e-30, -1e-30]),
    ],
)
def test_a_spread_may_be_off_by_the_contracts_tolerance_and_no_more(
    value: float, mean: float, power: int, near: list[float], far: list[float]
) -> None:
    wanted = Spread(value, mean, power)
    assert [found for found in near if wanted != comparable(found)] == []
    assert [found for found in far if wanted == comparable(found)] == []
    assert wanted != comparable(None)
    assert wanted != comparable(int(value))


def test_only_variances_and_deviations_are_approximate(tmp_path: Path) -> None:
    text = """## a case
source t: event_timestamp="at"
  customer | at         | x
  1        | 2024-01-01 | 1.0
  1        | 2024-01-02 | 3.0
view v: source=t
  agg.mean("x", window=None)
  agg.stddev_pop("x", window=None)
expect:
  x_mean_lifetime | x_stddev_pop_lifetime
  2.0             | 1.0
"""
    last = "2.0             | 1.0"
    assert last in text
    run_case(parse(text.replace(last, "2.0 | 1.0000000001"), "t")[0], ENGINES["reference"], tmp_path)
    for wrong in ("2.0 | 1.00000001", "2.0000000001 | 1.0"):
        with pytest.raises(AssertionError):
            run_case(parse(text.replace(last, wrong), "t")[0], ENGINES["reference"], tmp_path)
