"""Training sets from Spark equal the oracle's, cell by cell, on the generated cases that DuckDB is held against.

Many cases share one build (`featurestore.testing.strategies`), because what takes Spark its time are jobs, not rows. Every
kind of source and every aggregate is met every day, with labels, on-demand features and cut-offs, by one plan of windows; by
the others in `make fuzz`.
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
from tests.property import files
from tests.property.engines import Question, differences
from tests.property.test_offline import TWO_FILES, Batch, make_batch
from tests.spark.engines import ask_spark

PLANS = ("auto", "pairs", "edges")
CASES_PER_BUILD = 50
GROUPS = tuple(tuple(AGGREGATES)[i : i + 5] for i in range(0, len(AGGREGATES), 5))
"""Aggregates that share a world."""
A_BUILD_FOR = 20_000
"""Cases of other property tests for which each kind of source, and each group of aggregates, is built once: 700 cases every
day, five times as many in `make fuzz`. That they meet what they should is seen there, where there are more of them."""


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", KINDS)
def test_spark_agrees_with_the_oracle(kind: str, spark_settings: SparkSettings, fuzz_cases: int, tmp_path: Path) -> None:
    for number in range(max(1, fuzz_cases // A_BUILD_FOR)):
        rng = Random(f"spark/{kind}/{number}")
        turn = number + list(KINDS).index(kind)
        compare(world(rng, kind, CASES_PER_BUILD), rng, None, turn, spark_settings, tmp_path)


@pytest.mark.fuzz
@pytest.mark.parametrize("group", GROUPS, ids="-".join)
def test_every_aggregate_agrees_with_the_oracle(
    group: Sequence[str], spark_settings: SparkSettings, fuzz_cases: int, tmp_path: Path
) -> None:
    timed = [kind for kind in KINDS if kind != "static"]
    if any(AGGREGATES[name].by_time for name in group):
        timed = [kind for kind in timed if "created_timestamp" in KINDS[kind](Random(0), 1)]
    for number in range(max(1, fuzz_cases // A_BUILD_FOR)):
        rng = Random(f"spark/{group}/{number}")
        drawn = world(rng, rng.choice(timed), CASES_PER_BUILD, group)
        compare(drawn, rng, TWO_FILES, number + GROUPS.index(group), spark_settings, tmp_path)


def question_of(batch: Batch, number: int) -> Question:
    """The plain one, or one with both cut-offs, of which some known times are a microsecond off."""
    drawn, zone = batch.drawn, batch.timezone
    if drawn.definition.kind == "static" or number % 2:
        return Question(zone)
    return Question(zone, known_before=drawn.known_before, serving_lag=drawn.serving_lag)


def compare(drawn: World, rng: Random, layout: files.Layout | None, number: int, settings: SparkSettings, folder: Path) -> None:
    """One world; the number tells the question and the plan of windows. Fails with the cells that differ."""
    plan = PLANS[number % len(PLANS)]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        batch, out = make_batch(rng, drawn, Path(place), layout), Path(place) / "out"
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
