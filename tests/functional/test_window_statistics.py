"""What footers say of a source leads to the same statements and numbers as counting it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, agg
from featurestore.engines.duckdb import Session, Settings
from featurestore.retrieval.spine import open_spine
from featurestore.retrieval.training_set import Build, Request
from featurestore.sources import open_source

NOON = 1_700_000_000_000_000
TIME = pa.timestamp("us", "UTC")
COLUMNS = {
    "key": pa.array([1, 1, 2, 3]),
    "e": pa.array([NOON, NOON + 7, NOON + 10**9, NOON + 10**10], TIME),
    "k": pa.array([NOON + 5, NOON + 10**8, NOON + 10**9, NOON + 10**10], TIME),
    "whole": pa.array([3, -40, 2**40, 5]),
    "small": pa.array([3, 4, None, 5], pa.uint8()),
    "nothing": pa.array([None] * 4, pa.int32()),
    "double": pa.array([1.5, None, float("nan"), 1e300]),
    "decimal": pa.array([1, 2, 3, 4], pa.decimal128(10, 2)),
}
FEATURES = [
    agg.count(window="1h"),
    *(agg.sum(column, window="1h") for column in ("whole", "small", "nothing", "double", "decimal")),
    *(agg.var_pop(column, window="2h") for column in ("whole", "double")),
    agg.sum("whole + small", window="1h", name="together"),
    agg.sum("whole", window="1h", where="small > 3", name="some"),
]
SOURCES: dict[str, dict[str, Any]] = {
    "at once": {"delay": "0s"},
    "delayed": {"delay": "1h"},
    "created": {"created_timestamp": "k"},
    "created or event": {"created_timestamp": "k", "created_null": "event", "delay": "2h"},
    "versions": {"created_timestamp": "k", "row_key": ["key", "whole"]},
}
REQUESTS = {"now": Request(), "lag": Request(serving_lag=3_600_000_000), "cut off": Request(known_before=NOON + 10**9)}


def chosen(folder: Path, options: dict[str, Any], where: str | None, request: Request) -> tuple[bool, Any, list[str]]:
    """(whether footers said that nothing is left out, the choices, the statements run for them)."""
    source = ParquetSource(name="facts", path=str(folder / "*.parquet"), event_timestamp="e", **options)
    view = FeatureView(name="view", entities=[Entity(name="key")], source=source, features=FEATURES, where=where)
    service = FeatureStore(definitions=[FeatureService(name="service", features=[view])]).bound_service("service")
    spine = open_spine(pa.table({"key": [1, 2], "as_of": pa.array([NOON + 10**10] * 2, TIME)}), keys={}, as_of="as_of")
    ran: list[str] = []
    with Build(service, spine, {"facts": open_source(source, folder)}, Settings(threads=1), request) as build:
        (part,) = build.window_parts
        build._session.table = _recording(build._session, ran)  # type: ignore[method-assign]
        return bool(build._whole), build.choices(part), ran


def _recording(session: Session, ran: list[str]) -> Any:
    table = session.table

    def recording(sql: str, *arguments: Any) -> pa.Table:
        ran.append(sql)
        return table(sql, *arguments)

    return recording


@pytest.mark.parametrize("where", [None, "small < 5"])
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("source", SOURCES)
def test_footers_lead_to_the_choices_that_counting_leads_to(source, request_, where, tmp_path, monkeypatch):
    table = pa.table(COLUMNS)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    pq.write_table(table.slice(1, 2).set_column(3, "whole", pa.array([7, 8])), tmp_path / "b.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "c.parquet")
    by_footers, found, _ = chosen(tmp_path, SOURCES[source], where, REQUESTS[request_])
    monkeypatch.setattr("featurestore.engines.duckdb.checks.nothing_left_out", lambda bound, data: False)
    by_count, counted, _ = chosen(tmp_path, SOURCES[source], where, REQUESTS[request_])
    assert (by_footers, by_count) == (True, False)
    assert found == counted


def test_whole_numbers_are_not_read_for_their_statistics(tmp_path, monkeypatch):
    pq.write_table(pa.table(COLUMNS), tmp_path / "a.parquet")
    monkeypatch.setitem(globals(), "FEATURES", [agg.sum("whole", window="1h"), agg.mean("small", window="2h")])
    _, _, ran = chosen(tmp_path, SOURCES["at once"], None, Request())
    assert not any("over all facts" in sql for sql in ran)
    monkeypatch.setitem(globals(), "FEATURES", [agg.sum("whole", window="1h"), agg.sum("double", window="2h")])
    _, _, ran = chosen(tmp_path, SOURCES["at once"], None, Request())
    (statement,) = [sql for sql in ran if "over all facts" in sql]
    assert "measure_2" in statement
    assert "min(measure_1)" not in statement
