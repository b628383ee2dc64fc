"""Materialized by Spark: the records are those that DuckDB makes, in a run from nothing and in steps."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.online import tables
from featurestore.online.generations import generations
from featurestore.online.memory import MemoryStore
from featurestore.online.tables import Row
from featurestore.retrieval.online_features import OnlineReader

EARLIER, LATER = "2025-09-01T00:00:00Z", "2025-09-03T00:00:00Z"


def opened(project: Path) -> FeatureStore:
    store = FeatureStore(project)
    store.online = MemoryStore()
    store.reader = OnlineReader(store.online, store.clock)
    return store


def records(store: FeatureStore) -> dict[str, list[Row]]:
    with store.online.read() as snapshot:
        return {g.name: list(tables.scan(snapshot, g.table)) for g in generations(snapshot)}


def told_apart(project: Path) -> None:
    """Payments of one instant are moved apart: in records the order of such facts is nobody's promise."""
    for path in (project / "data" / "payments").glob("*.parquet"):
        table = pq.read_table(path)
        micros = pc.add(table["paid_at"].cast(pa.int64()), pc.fill_null(table["payment_id"].cast(pa.int64()), 0))
        at = table.column_names.index("paid_at")
        pq.write_table(table.set_column(at, "paid_at", micros.cast(table["paid_at"].type)), path)


def test_a_run_from_nothing_and_a_step_from_it_make_the_records_that_duckdb_makes(project: Path) -> None:
    told_apart(project)
    by_duckdb, by_spark = opened(project), opened(project)
    for watermark in (EARLIER, LATER):
        expected = by_duckdb.materialize(known_before=watermark)
        found = by_spark.materialize(known_before=watermark, engine="spark")
        assert [(r.view, r.mode, r.keys, r.left_out) for r in found] == [(r.view, r.mode, r.keys, r.left_out) for r in expected]
        expected_records, found_records = records(by_duckdb), records(by_spark)
        assert {view: len(rows) for view, rows in found_records.items()} == {v: len(r) for v, r in expected_records.items()}
        assert [view for view, rows in found_records.items() if rows != expected_records[view]] == []
    assert "incremental" in {report.mode for report in found}


@pytest.mark.slow
def test_answers_are_those_of_a_store_that_duckdb_filled(project: Path) -> None:
    by_duckdb, by_spark = opened(project), opened(project)
    by_duckdb.materialize(known_before=LATER)
    by_spark.materialize(known_before=LATER, engine="spark")
    spine = pq.read_table(project / "data" / "spine.parquet").slice(0, 200)
    service = by_duckdb.registry.services["referral_v1"]
    keys = {name: spine[name].to_pylist() for name in by_duckdb.bound_service(service).spine_keys}
    asked = {"as_of": "2025-09-20T00:00:00Z", "include": ["statuses", "event_timestamps"]}
    one, other = (s.get_online_features("referral_v1", keys, **asked).to_dict() for s in (by_duckdb, by_spark))
    assert other == one
