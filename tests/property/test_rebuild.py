"""Generated worlds of every kind, built, built again and compared: the same bytes from the manifest with other threads and
memory, the same cells and parts from a shuffled spine."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore, Split
from featurestore.testing.strategies import KINDS, world
from tests.property import files
from tests.property.daily import daily
from tests.property.test_offline import Batch, make_batch

CASES = 40
HOUR = 3_600_000_000


def batch_of(rng: Random, kind: str, folder: Path) -> Batch:
    """A world in files, and a spine of types that Parquet holds."""
    drawn = world(rng, kind, CASES)
    while (layout := files.draw_layout(rng, timed=kind != "static")).in_memory:
        pass
    batch = make_batch(rng, drawn, folder, layout)
    for number, column in enumerate(batch.spine.columns):
        if pa.types.is_run_end_encoded(column.type):
            plain = pc.run_end_decode(column.combine_chunks())
            batch.spine = batch.spine.set_column(number, batch.spine.column_names[number], plain)
    return batch


def split_of(rng: Random, batch: Batch) -> Split:
    keys = [key.spine_column for key in batch.drawn.definition.keys]
    seed = rng.randrange(1_000)
    middle = batch.drawn.known_before
    kinds: list[Any] = [
        lambda: Split.random(test_share=0.3, validation_share=0.2, seed=seed),
        lambda: Split.time(test_from=middle, embargo="1h", label_window="2h"),
    ]
    if keys:
        kinds += [
            lambda: Split.group(by=keys, test_share=0.4, seed=seed),
            lambda: Split.time(test_from=middle, validation_from=middle - HOUR, by=keys),
        ]
    return rng.choice(kinds)()  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", daily(KINDS, "created", "versions_deleted", "static"))
def test_a_world_is_built_again_to_the_byte_and_a_shuffled_spine_moves_no_cell_and_no_part(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = Random(f"rebuild {kind}")
    batch = batch_of(rng, kind, tmp_path)
    order = rng.sample(range(batch.spine.num_rows), batch.spine.num_rows)
    shuffled = pa.concat_tables([batch.spine.slice(row, 1) for row in order])
    options = {
        "timezone": batch.timezone, "split": split_of(rng, batch), "include": ("status",),
        "known_before": None if kind == "static" else rng.choice((None, batch.drawn.known_before)),
        "serving_lag": None if kind == "static" else f"{rng.choice((0, batch.drawn.serving_lag))}us",
    }  # fmt: skip
    for name, spine in (("a", batch.spine), ("b", shuffled)):
        pq.write_table(spine, tmp_path / f"{name}_spine.parquet")
        store = FeatureStore(definitions=[batch.service])
        store.build_training_set(batch.service.name, tmp_path / f"{name}_spine.parquet", output=tmp_path / f"{name}.parquet",
                                 **options)  # fmt: skip
    for threads, memory in (("1", "300MB"), ("4", "2GB")):
        monkeypatch.setenv("FEATURESTORE_OFFLINE__THREADS", threads)
        found = FeatureStore(definitions=[batch.service]).rebuild(tmp_path / "a.parquet", verify=True, memory_limit=memory)
        assert (found.same, found.changed) == (True, []), found.differences
    same = FeatureStore.diff(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert (same.only_a, same.only_b, same.matched) == (0, 0, batch.spine.num_rows)
    unmoved = {*batch.service.feature_names, *batch.service.label_names, "split"} - _on_demand(batch)
    assert not unmoved & set(same.columns)  # others differ where rows that ask the same twice have changed places


def _on_demand(batch: Batch) -> set[str]:
    """Columns that also read what is no key."""
    return {column for asked in batch.service.on_demand for column, _ in asked.features}
