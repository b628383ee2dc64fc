"""Cut by key or not, read in part or whole, a training set is the oracle's, on generated cases whose times collide.

Sources are cut file by file, so that versions of one fact come from several; and every bound on what need be read is set,
also where no row group could be spared.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore.engines.duckdb import Settings
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.retrieval import cuts, training_set
from featurestore.testing.strategies import KINDS, World, worlds
from tests.property.daily import daily
from tests.property.engines import Question
from tests.property.test_offline import CASES_PER_BUILD, Batch, check, make_batch, or_explained

CUT = (Settings(threads=1), Settings(threads=2, partitions=4), Settings(threads=4, partitions=3))
CASES = CASES_PER_BUILD // 2
UNBOUNDED = ("static", "versions_delayed")
"""Sources of which all rows may be needed: a version that moves a fact hides the one before, whenever it happened."""


@pytest.fixture(autouse=True)
def narrowed(monkeypatch: pytest.MonkeyPatch) -> list[Needed]:
    """Bounds are set wherever there are some. Gives those that were."""
    bounds: list[Needed] = []

    def spares(needed: Needed, *_: object) -> bool:
        bounds.append(needed)
        return True

    monkeypatch.setattr(training_set, "spares", spares)
    monkeypatch.setattr(cuts, "PIECE_ROWS", 1)
    return bounds


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", daily(KINDS, "versions_deleted", "static"))
def test_partitions_and_bounds_change_no_value(kind: str, fuzz_cases: int, tmp_path: Path, narrowed: list[Needed]) -> None:
    builds = max(fuzz_cases // (10 * len(KINDS) * CASES), 1)

    @hypothesis.settings(max_examples=builds, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @hypothesis.given(drawn=worlds(kind, CASES), seed=st.integers(0, 2**64 - 1))
    def one_build(drawn: World, seed: int) -> None:
        rng = Random(f"{kind}/{seed}")
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            batch = make_batch(rng, drawn, Path(folder))
            check(stretch(rng, batch), Path(folder), CUT, batch.expected(Question(batch.timezone)).left_out)

    or_explained(one_build, tmp_path)
    assert (kind in UNBOUNDED) != any(needed != EVERYTHING for needed in narrowed)


def stretch(rng: Random, batch: Batch) -> Batch:
    """The rows that ask between two instants: a source has facts before and after all of them."""
    order = pc.sort_indices(batch.spine["as_of"]).to_pylist()
    first = rng.randrange(len(order) // 2)
    asked = sorted(order[first : first + rng.randrange(1, len(order) // 2)])
    rows: Any = [batch.spine.slice(row, 1) for row in asked]  # take() knows no string views
    return replace(batch, spine=pa.concat_tables(rows), of_case={}, oracles={})
