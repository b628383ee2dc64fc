"""Moved to an object store, rows give the same bits: generated cases, from copies in which only what is needed is there.

What the local files answer is compared with the oracle elsewhere (`test_offline`). Here the rows that ask are those of the
earliest or of the latest instants, so that row groups are spared; a hole that is read would be an error, or another value.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock
from uuid import uuid4

import hypothesis
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore.engines.duckdb import Settings
from featurestore.plan.needed import Needed
from featurestore.retrieval import training_set
from featurestore.sources import mirror
from featurestore.testing.strategies import KINDS, World, worlds
from tests import needs
from tests.property import files
from tests.property.engines import Question, by_duckdb, differences
from tests.property.test_offline import make_batch

CASES = 60
PLAIN = files.Layout((files.File("pyarrow", "us", "string", 3),) * 2, "timestamp", False, {})
_MISSES = Needed.misses


@pytest.mark.fuzz
def test_moved_to_an_object_store_rows_give_the_same_bits(fuzz_cases: int, tmp_path: Path) -> None:
    needs.require("fsspec", importlib.util.find_spec("fsspec") is not None, "fsspec is not installed")
    met: Counter[str] = Counter()
    for kind in KINDS:
        moved(kind, max(1, fuzz_cases // (10 * CASES * len(KINDS))), tmp_path, met)
    assert met["groups spared"] > 20, met


def moved(kind: str, builds: int, tmp_path: Path, met: Counter[str]) -> None:
    @hypothesis.settings(max_examples=builds, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @hypothesis.given(drawn=worlds(kind, CASES), layout=st.integers(0, 2**64 - 1))
    def one_build(drawn: World, layout: int) -> None:
        rng = Random(f"{kind}/{layout}")
        laid = files.draw_layout(rng, timed=kind != "static")
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            compare(rng, drawn, Path(folder), PLAIN if laid.in_memory else laid, met)

    one_build()


def compare(rng: Random, drawn: World, folder: Path, layout: files.Layout, met: Counter[str]) -> None:
    batch = make_batch(rng, drawn, folder, layout)
    spine, question = narrowed(batch.spine, rng), Question(batch.timezone)
    if drawn.definition.kind != "static" and rng.random() < 0.5:
        question = Question(batch.timezone, known_before=drawn.known_before)
    there = batch.drawn.definition.service(path=f"{upload(folder / 'facts')}/*.parquet")
    settings = Settings(threads=2)
    expected = by_duckdb(batch.service, spine, question, settings)

    def counted(self: Needed, *ends: Any) -> bool:
        found = _MISSES(self, *ends)
        met["groups spared"] += found
        return found

    with (
        mock.patch.object(training_set, "spares", return_value=True),
        mock.patch.object(Needed, "misses", counted),
        mock.patch.object(mirror, "GAP", 0),  # else all of a small file comes along
    ):
        found = by_duckdb(there, spine, question, settings)
    assert not differences(expected, found)
    assert found.left_out == expected.left_out
    assert found.labels == expected.labels
    assert found.without_value == expected.without_value


def narrowed(spine: pa.Table, rng: Random) -> pa.Table:
    """The fifth of the rows that ask first, or last."""
    order = pc.sort_indices(spine["as_of"].cast(pa.int64()))
    some = max(len(order) // 5, 1)
    kept = order[:some] if rng.random() < 0.5 else order[-some:]
    return pa.concat_tables([spine.slice(row, 1) for row in sorted(kept.to_pylist())])  # take() knows no string views


def upload(folder: Path) -> str:
    import fsspec

    at = f"memory://{uuid4().hex}"
    memory = fsspec.filesystem("memory")
    for path in sorted(folder.glob("*.parquet")):
        memory.pipe_file(f"{at}/{path.name}", path.read_bytes())
    return at
