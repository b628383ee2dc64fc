"""Known ways to go wrong that no table of one build can show: runs that follow runs, files that change, definitions that do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, latest
from featurestore.errors import SourceError
from featurestore.intervals import FixedClock, parse_instant
from featurestore.progress import Progress

DAY = 86_400_000_000
START = parse_instant("2024-01-01T00:00:00Z")


def day(number: float) -> int:
    return START + int(number * DAY)


def write(path: Path, rows: list[tuple[int, float, float, float]]) -> None:
    """Rows of (key, event day, known day, value)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key, event, known, value = zip(*rows, strict=True)
    times = [pa.array([day(d) for d in days]).cast(pa.timestamp("us", "UTC")) for days in (event, known)]
    pq.write_table(pa.table({"key": key, "at": times[0], "loaded": times[1], "value": value}), path)


def service(folder: Path, *, ttl: str | None = None, name: str = "value") -> FeatureService:
    facts = ParquetSource(name="facts", path=f"{folder}/*.parquet", event_timestamp="at", created_timestamp="loaded")
    view = FeatureView(name="view", entities=[Entity(name="key")], source=facts, ttl=ttl, features=[latest("value", name=name)])
    return FeatureService(name="service", features=[view])


def make_store(folder: Path, **options: str) -> tuple[FeatureStore, FixedClock]:
    clock = FixedClock(day(0))
    return FeatureStore(definitions=[service(folder, **options)], clock=clock), clock


def value(store: FeatureStore, as_of: float, key: int = 1) -> tuple[float | None, str]:
    found = store.get_online_features("service", {"key": [key]}, as_of=day(as_of))
    return found.rows[0][0], found.statuses[0][0]


def test_pitfall_13_a_late_row_older_than_the_watermark_reaches_the_store(tmp_path: Path) -> None:
    store, clock = make_store(tmp_path)
    write(tmp_path / "a.parquet", [(1, 1, 1, 10.0), (2, 1, 1, 20.0)])
    clock.micros = day(5)
    store.materialize()
    write(tmp_path / "b.parquet", [(1, 2, 6, 11.0), (3, 0, 6, 30.0)])
    clock.micros = day(7)
    [report] = store.materialize()
    assert (report.mode, report.keys_written) == ("incremental", 2)
    assert [value(store, 7, key)[0] for key in (1, 2, 3)] == [11.0, 20.0, 30.0]


def test_pitfall_13_a_row_already_in_a_file_arrives_when_it_becomes_known(tmp_path: Path) -> None:
    store, clock = make_store(tmp_path)
    write(tmp_path / "a.parquet", [(1, 1, 1, 10.0), (1, 2, 6, 11.0)])
    clock.micros = day(5)
    store.materialize()
    assert value(store, 5) == (10.0, "present")
    clock.micros = day(7)
    [report] = store.materialize()
    assert (report.mode, report.new_files) == ("incremental", 0)
    assert value(store, 7) == (11.0, "present")


def test_pitfall_14_batches_may_come_in_any_order(tmp_path: Path) -> None:
    store, clock = make_store(tmp_path)
    for run, (name, event) in enumerate([("c", 3), ("b", 2), ("a", 1)], 1):
        write(tmp_path / f"{name}.parquet", [(1, event, 0, float(event))])
        clock.micros = day(10 + run)
        store.materialize()
    assert value(store, 20) == (3.0, "present")


def test_pitfall_26_ttl_holds_online_at_the_moment_of_asking(tmp_path: Path) -> None:
    store, clock = make_store(tmp_path, ttl="2d")
    write(tmp_path / "a.parquet", [(1, 1, 1, 10.0)])
    clock.micros = day(2)
    store.materialize()
    assert value(store, 3) == (10.0, "present")
    assert value(store, 3 + 1e-6) == (None, "expired")


def test_pitfall_51_a_folder_named_like_a_column_does_not_replace_it(tmp_path: Path) -> None:
    write(tmp_path / "key=7" / "a.parquet", [(1, 1, 1, 10.0)])
    store = FeatureStore(definitions=[service(tmp_path / "key=7")])
    spine = pa.table({"key": [1, 7], "as_of": pa.array([day(2)] * 2).cast(pa.timestamp("us", "UTC"))})
    assert store.build_training_set("service", spine)["value"].to_pylist() == [10.0, None]


@pytest.mark.parametrize("change", [lambda path: os.utime(path, ns=(1, 1)), lambda path: path.unlink()])
def test_pitfall_69_a_file_that_changes_during_the_build_ends_it(tmp_path: Path, change: Callable[[Path], None]) -> None:
    source = tmp_path / "data" / "a.parquet"
    write(source, [(1, 1, 1, 10.0)])
    store = FeatureStore(definitions=[service(source.parent)])
    spine = pa.table({"key": [1], "as_of": pa.array([day(2)]).cast(pa.timestamp("us", "UTC"))})

    def meddle(progress: Progress) -> None:
        if progress.stage == "joining" and source.exists():
            change(source)

    with pytest.raises(SourceError, match="FS326"):
        store.build_training_set("service", spine, output=tmp_path / "out.parquet", watch=meddle)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_pitfall_72_an_answer_names_the_definition_that_made_it(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [(1, 1, 1, 10.0)])
    old, clock = make_store(tmp_path)
    clock.micros = day(2)
    old.materialize()
    new = FeatureStore(definitions=[service(tmp_path, ttl="1h")], clock=clock)
    new.__dict__["online"] = old.online
    before = new.get_online_features("service", {"key": [1]})
    assert before.fingerprint == old.bound.services["service"].fingerprint
    assert before.rows == [[10.0]]
    new.materialize()
    after = new.get_online_features("service", {"key": [1]})
    assert after.fingerprint == new.bound.services["service"].fingerprint != before.fingerprint
    assert after.statuses == [["expired"]]
