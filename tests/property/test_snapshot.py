"""Where all rows ask at one instant, plans made for that give the oracle's values, on generated cases whose times collide.

Every case is moved in time until one of its instants is the one of all, so that event times, ttl, windows and cut-offs meet it
as they do elsewhere. Some builds are cut by key, some are made by the plans for rows of many instants.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore.definitions import AGGREGATES
from featurestore.engines.duckdb import Settings
from featurestore.testing.strategies import KINDS, World, asked_at_once, window_worlds, worlds
from tests.property import edges
from tests.property.daily import daily
from tests.property.test_offline import TWO_FILES, check, make_batch, or_explained

CASES = 30
SNAPSHOT = Settings(threads=2, window_plan="snapshot")
EVERY = (SNAPSHOT, Settings(threads=1), Settings(threads=4, partitions=3), Settings(threads=1, snapshot=False))
OF_WINDOWS = (SNAPSHOT, Settings(threads=4, window_plan="snapshot", partitions=3), Settings(threads=1))


AT_THE_LIMITS = {"e = t", "k = t", "visible at t", "age = ttl", "age = ttl + 1us", "e = t - w"}
MANY = 10
"""So many builds must meet them."""


def compared(name: str, drawn: Any, builds: int, settings: Sequence[Settings], tmp_path: Path, layout: Any) -> Counter[str]:
    met = Counter[str]()

    @hypothesis.settings(max_examples=builds, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @hypothesis.given(drawn=drawn, seed=st.integers(0, 2**64 - 1))
    def one_build(drawn: World, seed: int) -> None:
        rng = Random(f"{name}/{seed}")
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            batch = make_batch(rng, asked_at_once(rng, drawn), Path(folder), layout)
            met.update(check(batch, Path(folder), settings))
            met.update(batch.edges())

    or_explained(one_build, tmp_path)
    return met


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", daily(KINDS, "created", "versions", "static"))
def test_a_spine_of_one_instant_agrees_with_the_oracle(kind: str, fuzz_cases: int, tmp_path: Path) -> None:
    builds = max(fuzz_cases // (10 * len(KINDS) * CASES), 1)
    met = compared(kind, worlds(kind, CASES), builds, EVERY, tmp_path, None)
    never = {edge for edge in AT_THE_LIMITS & edges.EXPECTED[kind] if not met[edge] and builds >= MANY}
    assert not never, f"never met: {never}; met: {dict(met)}"


@pytest.mark.fuzz
@pytest.mark.parametrize("aggregate", daily(AGGREGATES, "sum", "max", "count_distinct", "last", "median"))
def test_windows_of_one_instant_agree_with_the_oracle(aggregate: str, fuzz_cases: int, tmp_path: Path) -> None:
    builds = max(fuzz_cases // (10 * len(AGGREGATES) * CASES), 1)
    met = compared(aggregate, window_worlds(aggregate, CASES // 3), builds, OF_WINDOWS, tmp_path, TWO_FILES)
    assert met["snapshot"]
