"""Mistakes planted into what is written for Spark: each is found by a case of the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.engines.spark import SparkSettings
from scripts.mutants import Mutant
from tests.mutants.planted import planted
from tests.spark.engines import by_spark
from tests.spec.loader import read_cases, run_case

_LATEST, _FACTS = (f"featurestore/compiler/spark/{name}.py" for name in ("latest", "facts"))
MUTANTS = (
    Mutant("timeline_sees_t", _LATEST, 'return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"',
           'return "2 * asked_at + 1", "2 * greatest(event_time, known_time)"',
           "a fact comes before the row of the same instant", "latest-pitfall_04_what_happens"),
    Mutant("known_time_forgotten", _LATEST, 'return "2 * asked_at", "2 * greatest(event_time, known_time) + 1"',
           'return "2 * asked_at", "2 * event_time + 1"', "a row sees what nobody knew yet", "known_time-pitfall_08"),
    Mutant("ttl_is_open", _LATEST, "WHEN asked_at - {event} > {plan.ttl} THEN", "WHEN asked_at - {event} >= {plan.ttl} THEN",
           "a value as old as its ttl has expired", "latest-pitfall_24"),
    Mutant("oldest_of_the_replaced", _LATEST, "max(r.fact) AS newer", "min(r.fact) AS newer",
           "of facts later replaced the oldest wins", "versions-"),
    Mutant("replaced_for_ever", _FACTS, "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
           "ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING", "a version is in force until the one after the next", "versions-"),
    Mutant("tombstones_hide_nothing", _FACTS, 'holds.append(f"{quoted(source.deleted)} IS NOT TRUE")', "pass",
           "a deleted fact is there", "versions-"),
    Mutant("no_lag", _FACTS, '"known_time" if settled else "known_time + :known_shift AS known_time"', '"known_time"',
           "a serving lag changes nothing", "known_time-"),
    Mutant("labels_at_as_of", "featurestore/retrieval/spark/asked.py", 'f" + {part.spine.ahead}" if part.spine.ahead else ""',
           '""', "labels look back", "labels-"),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed(mutant: Mutant, spark_settings: SparkSettings, tmp_path: Path) -> None:
    cases = [case for case in read_cases(Path(__file__).parents[1] / "spec") if case.id.startswith(mutant.killer)]
    assert cases
    with planted(mutant):
        for number, case in enumerate(cases):
            try:
                run_case(case, lambda case, folder: by_spark(case, folder, spark_settings), tmp_path / str(number))
            except AssertionError:
                return
    pytest.fail(f"{mutant.name} survives {len(cases)} cases: {mutant.story}")
