"""Proofs over generated worlds: whatever the definition and the data, nothing moves that may not, and no build fails by it."""

from __future__ import annotations

from random import Random

import pyarrow as pa
import pytest

from featurestore import FeatureStore
from featurestore.testing.strategies import KINDS, world
from tests.property import files
from tests.property.files import File, Layout

TIMED = [kind for kind in KINDS if kind != "static"]
IN_MEMORY = Layout((File("", "us", "string", 10_000),), "timestamp", False, {})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", TIMED)
def test_nothing_moves_in_any_world(kind: str, seed: int) -> None:
    drawn = world(Random(f"prove/{kind}/{seed}"), kind, 40)
    definition = drawn.definition
    [rows] = files.tables_of(Random(seed), drawn.rows, definition, definition.source_columns, IN_MEMORY)
    types = definition.spine_types
    spine = pa.table({name: files.spine_column([row[name] for row in drawn.spine], kind) for name, kind in types.items()})
    service = definition.service(table=rows)
    found = FeatureStore(definitions=[service]).prove(service, spine, probes=1, seed=seed)
    assert not found.moved, [p.to_dict() for p in found.probes if p.outcome == "moved"]
    assert found.held >= 8
    assert len(found.unseen) < len(found.features)
