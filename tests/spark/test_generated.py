"""Training sets from Spark equal the oracle's, cell by cell, on the generated cases that DuckDB is held against.

Many cases share one build (`featurestore.testing.strategies`), because what takes Spark its time are jobs, not rows. Every
kind of source and every aggregate is met every day, with labels, on-demand features and cut-offs, each by one plan of
windows; by others in `make fuzz`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from featurestore.definitions import AGGREGATES
from featurestore.engines.spark import SparkSettings
from featurestore.testing.strategies import CASE, KINDS, World, world
from tests.property.engines import Question, differences
from tests.property.test_offline import Batch, make_batch
from tests.spark.engines import ask_spark

PLANS = ("auto", "pairs", "edges")
CASES_PER_BUILD = 50
A_BUILD_FOR = 15_000
"""Cases of other property tests for which each kind of source is built once: 300 cases every day, 400 with the slow tests,
2,400 in `make fuzz`. That they meet what they should is seen there, where there are more of them."""
DEAR = ("versions", "versions_delayed")
"""Kinds of which a build takes a minute; every day `versions_deleted` stands for them."""


def shares(turn: int) -> dict[str, tuple[str, ...]]:
    """Kind of source -> the aggregates its windows take: each aggregate is somebody's, whatever the turn. Those by time need
    times at which something became known."""
    timed = [kind for kind in KINDS if kind != "static"]
    created = [kind for kind in timed if "created_timestamp" in KINDS[kind](Random(0), 1)]
    found: dict[str, tuple[str, ...]] = dict.fromkeys(KINDS, ())
    for place, row in enumerate(sorted(AGGREGATES.values(), key=lambda row: not row.by_time)):
        takers = created if row.by_time else timed
        found[takers[(place + turn) % len(takers)]] += (row.name,)
    return found


@pytest.mark.parametrize("turn", range(3))
def test_every_aggregate_is_asked_of_some_kind_of_source(turn: int) -> None:
    asked = [name for names in shares(turn).values() for name in names]
    assert sorted(asked) == sorted(AGGREGATES)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] if k in DEAR else []) for k in KINDS])
def test_spark_agrees_with_the_oracle(kind: str, spark_settings: SparkSettings, fuzz_cases: int, tmp_path: Path) -> None:
    for turn in range(max(1, fuzz_cases // A_BUILD_FOR)):
        rng, aggregates = Random(f"spark/{kind}/{turn}"), shares(turn)[kind]
        drawn = world(rng, kind, CASES_PER_BUILD, () if turn % 2 else aggregates)
        compare(drawn, rng, turn + list(KINDS).index(kind), spark_settings, tmp_path)


def question_of(batch: Batch, number: int) -> Question:
    """The plain one, or one with both cut-offs, of which some known times are a microsecond off."""
    drawn, zone = batch.drawn, batch.timezone
    if drawn.definition.kind == "static" or number % 2:
        return Question(zone)
    return Question(zone, known_before=drawn.known_before, serving_lag=drawn.serving_lag)


def compare(drawn: World, rng: Random, number: int, settings: SparkSettings, folder: Path) -> None:
    """One world; the number tells the question and the plan of windows. Fails with the cells that differ."""
    plan = PLANS[number % len(PLANS)]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        batch, out = make_batch(rng, drawn, Path(place)), Path(place) / "out"
        out.mkdir()
        question = question_of(batch, number)
        expected = batch.expected(question)
        found = ask_spark(batch.service, batch.spine, question, replace(settings, window_plan=plan), out)
        if wrong := differences(expected, found):
            pytest.fail(told(batch, question, plan, wrong), pytrace=False)
        assert found.labels == expected.labels
        assert found.without_value == expected.without_value
        if question == Question(batch.timezone):
            assert found.left_out == expected.left_out


def told(batch: Batch, question: Question, plan: str, wrong: Sequence[tuple[int, str, object, object]]) -> str:
    """What differs, and the case of the first: its definition and rows."""
    case = batch.spine[CASE][wrong[0][0]].as_py()
    tables, spine, _ = batch.of_case[case]
    names = {name for _, name, _, _ in wrong}
    return (
        f"{len(wrong)} cells differ in {names} (plan {plan}, {question}); (row, feature, oracle, Spark):\n"
        + "\n".join(map(str, wrong[:10]))
        + f"\n{batch.drawn.definition.text('path=…')}\n"
        + "\n".join(str(t.to_pylist()) for t in (*tables, spine))
    )
