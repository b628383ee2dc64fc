"""What footers prove of a source: never more than a count over its rows would say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureView, ParquetSource, latest
from featurestore.engines.duckdb import Session, Settings, checks
from featurestore.registry import Registry
from featurestore.sources import open_source
from featurestore.sources.footers import Extent, extents

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2024, 5, 1, tzinfo=UTC)
MICROS = int(NOON.timestamp()) * 10**6
TIME = pa.timestamp("us", "UTC")


def facts(**changed: Any) -> pa.Table:
    columns = {
        "key": pa.array([1, 2, 3]),
        "e": pa.array([NOON, NOON + timedelta(days=1), NOON + timedelta(hours=1)], TIME),
        "k": pa.array([NOON + timedelta(days=2)] * 3, TIME),
        "v": pa.array([1.0, None, float("nan")]),
    }
    return pa.table({**columns, **{name: pa.array(*given) for name, given in changed.items()}})


def opened(folder: Path, *tables: pa.Table, source: dict[str, Any] | None = None, **writing: Any) -> tuple[Any, Any]:
    """A view over files of these tables, bound, and its data."""
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet", **writing)
    options = {"event_timestamp": "e", "created_timestamp": "k", "allow_left_out": True, **(source or {})}
    found = ParquetSource(name="facts", path=str(folder / "*.parquet"), **options)
    view = FeatureView(name="view", entities=[Entity(name="key")], source=found, features=[latest("v")])
    data = open_source(found, folder)
    service = FeatureService(name="service", features=[view])
    return Registry.of([service]).bind({"facts": data.types}).service("service").instances[0].bound, data


def test_extents_join_files_and_row_groups(tmp_path):
    _, data = opened(tmp_path, facts(), facts(e=([None, NOON, None], TIME)), row_group_size=1)
    found = extents(data, ["key", "e", "v"])
    assert (found["key"].nulls, found["key"].least, found["key"].greatest) == (0, 1, 3)
    assert found["v"] == Extent(2, None)
    assert found["e"].nulls == 2
    assert (found["e"].least, found["e"].greatest) == (MICROS, MICROS + 86_400 * 10**6)


def test_extents_read_naive_times_as_utc(tmp_path):
    naive = facts(e=([NOON.replace(tzinfo=None)] * 3, pa.timestamp("ms")))
    _, data = opened(tmp_path, naive)
    assert set(extents(data, ["e"])["e"].ends or ()) == {MICROS}


def test_a_footer_without_statistics_proves_nothing(tmp_path):
    bound, data = opened(tmp_path, facts(), write_statistics=False)
    assert extents(data, ["e", "key"]) == {"e": Extent(None, None), "key": Extent(None, None)}
    assert not checks.nothing_left_out(bound, data)


def test_a_column_with_a_dot_is_not_taken_for_a_nested_one(tmp_path):
    table = facts().append_column("a.b", pa.array([1, None, 3])).append_column("a", pa.array([{"b": 1}] * 3))
    _, data = opened(tmp_path, table)
    assert extents(data, ["a.b"]) == {"a.b": Extent(None, None)}


def test_tables_from_memory_have_no_footers(tmp_path):
    assert extents(open_source(ArrowSource(name="facts", table=facts(), event_timestamp="e"), tmp_path), ["e"]) == {}


EARLY = datetime(1500, 1, 1, 1, tzinfo=UTC)
DIRTY = {
    "NULL event time": ({"e": ([NOON, None, NOON], TIME)}, {}),
    "event time out of range": ({"e": ([NOON, EARLY, NOON], TIME)}, {}),
    "event time out of a declared range": ({}, {"time_range": ("2024-05-01T13:00:00Z", "2024-06-01T00:00:00Z")}),
    "NULL known time": ({"k": ([NOON, None, NOON], TIME)}, {}),
    "known time out of range": ({"k": ([NOON, NOON, EARLY], TIME)}, {}),
    "NULL key": ({"key": ([1, None, 3],)}, {}),
    "no time of day": ({"e": ([MIDNIGHT] * 3, TIME)}, {}),
    "times as integers": ({"e": ([MICROS] * 3,)}, {"time_unit": "us"}),
    "naive times of another zone": (
        {"e": ([NOON.replace(tzinfo=None)] * 3, pa.timestamp("us"))},
        {"timezone": {"e": "Asia/Tokyo"}},
    ),
    "NULL row key": ({"key": ([1, None, 3],)}, {"row_key": ["key"]}),
}


@pytest.mark.parametrize("what", DIRTY)
def test_what_a_footer_does_not_prove_is_counted(what, tmp_path):
    changed, source = DIRTY[what]
    bound, data = opened(tmp_path, facts(), facts(**changed), source=source)
    if what == "no time of day":
        bound, data = opened(tmp_path, facts(**changed), facts(**changed), source=source)
    assert not checks.nothing_left_out(bound, data)


@pytest.mark.parametrize("source", [{}, {"row_key": ["key"]}], ids=["facts", "versions"])
@pytest.mark.parametrize("tables", [[facts()], [facts(), facts()], [facts().slice(0, 0), facts()]], ids=["one", "two", "empty"])
def test_what_a_footer_proves_is_what_a_count_says(tables, source, tmp_path, monkeypatch):
    bound, data = opened(tmp_path, *tables, source=source)
    assert checks.nothing_left_out(bound, data)
    with Session(Settings(threads=1)) as session:
        proven = checks.check_left_out(session, bound, data)
        monkeypatch.setattr(checks, "nothing_left_out", lambda bound, data: False)
        counted = checks.check_left_out(session, bound, data)
    assert (proven.whole, counted.whole) == (True, False)
    assert replace(counted, whole=True) == proven
