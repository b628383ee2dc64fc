"""Stories of training sets that are split, built again and compared: short ones, for mutants to stumble over."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, LabelView, ParquetSource, Split, agg
from featurestore.audit.rebuild import Project, rebuild
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.splits import Parts

UTC = pa.timestamp("us", "UTC")


def _store(folder: Path, *, exact: bool = False) -> FeatureStore:
    """Facts of two keys at 0 … 9 s, a count of all that was before, and a label over [t + 2, t + 5)."""
    _facts(folder / "facts_1.parquet", range(10))
    source = ParquetSource(name="facts", path=str(folder / "facts_*.parquet"), event_timestamp="e", delay="0s")
    entities = [Entity(name="k")]
    view = FeatureView(name="v", entities=entities, source=source, features=[agg.count(window=None)],
                       allow_exact_matches=exact)  # fmt: skip
    label = LabelView(name="l", entities=entities, source=source, label=agg.count(window="3s", name="n"), gap="2s")
    return FeatureStore(definitions=[FeatureService(name="svc", features=[view], labels=[label])])


def _facts(path: Path, seconds: range) -> None:
    times = pa.array([s * 1_000_000 for s in seconds], pa.int64()).cast(UTC)
    pq.write_table(pa.table({"k": [s % 2 for s in seconds], "e": times}), path)


def _spine(*rows: tuple[int | None, int]) -> pa.Table:
    times = pa.array([second * 1_000_000 for _, second in rows], pa.int64()).cast(UTC)
    return pa.table({"k": pa.array([key for key, _ in rows], pa.int64()), "as_of": times})


def _split(folder: Path, asked: Split, *rows: tuple[int | None, int], exact: bool = False) -> list[str]:
    table = _spine(*rows)
    at = table["as_of"].cast(pa.int64()).combine_chunks()
    spine = open_spine(table, keys={}, as_of="as_of")
    return Parts(asked, _store(folder, exact=exact).bound_service("svc"), spine, at).column.to_pylist()  # type: ignore[no-any-return]


def _the_label_of_no_row_reaches_into_the_test(folder: Path) -> None:
    rows = [(0, second) for second in (94, 95, 96, 99, 100)]
    asked = Split.time(test_from="1970-01-01T00:01:40Z")
    assert _split(folder, asked, *rows) == ["train", "train", "purged", "purged", "test"]
    assert _split(folder, asked, *rows, exact=True) == ["train", "purged", "purged", "purged", "test"]


def _an_embargo_lies_before_the_test(folder: Path) -> None:
    asked = Split.time(test_from="1970-01-01T00:01:40Z", embargo="10s")
    assert _split(folder, asked, (0, 89), (0, 90), (0, 99)) == ["train", "embargo", "embargo"]


def _an_entity_of_the_test_is_not_trained_on(folder: Path) -> None:
    asked = Split.time(test_from="1970-01-01T00:01:40Z", by="k")
    rows = [(0, 1), (1, 1), (None, 1), (0, 200), (None, 200)]
    assert _split(folder, asked, *rows) == ["purged", "train", "train", "test", "test"]


def _the_order_of_rows_does_not_matter(folder: Path) -> None:
    rows: list[tuple[int | None, int]] = [(None if n % 7 == 0 else n % 9, n) for n in range(60)]
    for asked in (Split.random(test_share=0.4), Split.group(by="k", test_share=0.4)):
        found = _split(folder, asked, *rows)
        assert _split(folder, asked, *reversed(rows)) == found[::-1]
        assert len(set(found[::7])) > 1  # NULL is no entity: its rows are drawn one by one
    assert all(len({p for (k, _), p in zip(rows, found, strict=True) if k == key}) == 1 for key in range(1, 9))


# Built again.


def _built(folder: Path) -> FeatureStore:
    store = _store(folder)
    store.build_training_set("svc", _spine((0, 5), (1, 7), (1, 100)), output=folder / "train.parquet")
    pq.write_table(_spine((0, 5), (1, 7), (1, 100)), folder / "spine.parquet")
    return store


def _verified(store: FeatureStore, folder: Path) -> tuple[bool, list[str]]:
    project = Project(store.registry, Path.cwd(), store.engine_settings(), lambda _: None)
    found = rebuild(project, folder / "train.parquet", spine=folder / "spine.parquet", verify=True)
    return found.same, [change.what for change in found.changed]


def _a_flipped_bit_is_found_whose_file_has_its_size_and_time(folder: Path) -> None:
    store, path = _built(folder), folder / "facts_1.parquet"
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert _verified(store, folder) == (False, ["source_file"])


def _a_file_that_came_later_is_not_used(folder: Path) -> None:
    store = _built(folder)
    _facts(folder / "facts_0.parquet", range(4))
    assert _verified(store, folder) == (True, [])


def _a_set_that_was_changed_is_found(folder: Path) -> None:
    store = _built(folder)
    table = pq.read_table(folder / "train.parquet")
    pq.write_table(table.slice(0, 2), folder / "train.parquet")
    assert _verified(store, folder) == (False, ["output"])


def _cells_are_compared_by_their_bits(folder: Path) -> None:
    for name, nan, zero in (("a", 0x7FF8 << 48, 0), ("b", 0xFFF8 << 48 | 1, 0x8000 << 48)):
        values = pa.array([nan, zero, 1], pa.uint64()).view(pa.float64())
        pq.write_table(pa.table({"k": [1, 2, 3], "x": values}), folder / f"{name}.parquet")
    found = FeatureStore.diff(folder / "a.parquet", folder / "b.parquet", keys=["k"])
    assert {name: column.cells for name, column in found.columns.items()} == {"x": 1}


def _duplicates_are_matched_in_their_order(folder: Path) -> None:
    for name, keys, values in (("a", [1, 1, 2], [1, 2, 3]), ("b", [2, 1, 1, 1], [3, 1, 2, 4])):
        pq.write_table(pa.table({"k": keys, "x": values}), folder / f"{name}.parquet")
    found = FeatureStore.diff(folder / "a.parquet", folder / "b.parquet", keys=["k"])
    assert (found.cells, found.matched, found.only_a, found.only_b) == (0, 3, 0, 1)


REMADE: Mapping[str, Callable[[Path], None]] = {
    f"remade-{story.__name__.strip('_')}": story
    for story in (
        _the_label_of_no_row_reaches_into_the_test,
        _an_embargo_lies_before_the_test,
        _an_entity_of_the_test_is_not_trained_on,
        _the_order_of_rows_does_not_matter,
        _a_flipped_bit_is_found_whose_file_has_its_size_and_time,
        _a_file_that_came_later_is_not_used,
        _a_set_that_was_changed_is_found,
        _cells_are_compared_by_their_bits,
        _duplicates_are_matched_in_their_order,
    )
}
