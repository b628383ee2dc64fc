"""Stories of rows in PostgreSQL: short ones, for mutants to stumble over. One server serves all stories of a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, PostgresSource, agg, latest
from featurestore.errors import FeatureStoreError
from featurestore.plan.needed import EVERYTHING, Needed
from featurestore.sources import open_source, reading
from featurestore.sources.postgres.address import Address
from tests.postgres_server import PostgresServer

DAY = 86_400_000_000


@cache
def _server() -> PostgresServer:
    server = PostgresServer().__enter__()
    Finalize(None, server.__exit__, (None, None, None), exitpriority=1)  # processes of multiprocessing end without atexit
    os.environ["PGPASSWORD"] = server.PASSWORD
    return server


def _source(**options: Any) -> PostgresSource:
    given = {"name": "facts", "table": "facts", "url": _server().url, "event_timestamp": "e", "delay": "0s", **options}
    return PostgresSource(**given)


def _made(columns: str, *rows: str) -> None:
    _server().sql(f"DROP TABLE IF EXISTS facts CASCADE; CREATE TABLE facts (e timestamptz, {columns})")
    for row in rows:
        _server().sql(f"INSERT INTO facts VALUES ({row})")


def _read(*columns: str, needed: Needed = EVERYTHING, **options: Any) -> dict[str, list[Any]]:
    with reading():
        (part,) = open_source(_source(**options), Path()).parts
        return pa.Table.from_batches(part.read(columns, needed=needed)).to_pydict()


def _decimals_are_exact(folder: Path) -> None:
    _made("a numeric(12, 2), b numeric(30, 5), c numeric(3, 0)", "NULL, -0.05, 1234567890123456789.12345, 7")
    assert {name: str(values[0]) for name, values in _read("a", "b", "c").items()} == {
        "a": "-0.05", "b": "1234567890123456789.12345", "c": "7",
    }  # fmt: skip


def _what_a_type_cannot_hold_is_an_error(folder: Path) -> None:
    for kind, value in (
        ("numeric(12, 2)", "'NaN'"), ("numeric(30, 2)", "'NaN'"), ("timestamptz", "'infinity'"), ("timestamptz", "'-infinity'"),
        ("timestamptz", "'294276-12-31'"), ("date", "'infinity'"), ("int8[]", "'{{1,2},{3,4}}'"),
    ):  # fmt: skip
        _made(f"x {kind}", f"now(), {value}")
        with reading(), pytest.raises(FeatureStoreError) as caught:
            list(open_source(_source(), Path()).parts[0].read(["x"]))
        assert caught.value.code == "FS378", kind
    _made("x numeric, y numeric(3, 5)")
    with reading():
        assert list(open_source(_source(), Path()).types) == ["e"]


def _infinite_times_of_events_are_out_of_range(folder: Path) -> None:
    _made("x int8", "'infinity', 1", "'-infinity', 2", "'294276-12-31', 3", "NULL, 4")
    with reading():
        (batch,) = open_source(_source(), Path()).parts[0].read(["e"])
    late, early, later, none = batch.column(0).cast(pa.int64()).to_pylist()
    assert late == later > 9 * 10**17
    assert early < -(10**17)
    assert none is None


def _rows_that_are_needed_are_read_and_no_others(folder: Path) -> None:
    _made("k timestamptz, i int8", *(f"to_timestamp({i}), to_timestamp({9 - i}), {i}" for i in range(4)))
    second = 1_000_000
    for needed, wanted in (
        (Needed(event_from=2 * second), [2, 3]),
        (Needed(event_to=2 * second), [0, 1, 2]),
        (Needed(created_to=7 * second), [2, 3]),
    ):
        assert _read("i", needed=needed, delay=None, created_timestamp="k")["i"] == wanted
    naive = "SELECT (e AT TIME ZONE 'UTC') AS e, i FROM facts"
    assert _read("i", needed=Needed(event_to=0), table=None, query=naive)["i"] == [0]
    assert len(_read("i", needed=Needed(event_to=0), table=None, query=naive, timezone="Europe/Paris")["i"]) == 4


def _a_row_keeps_its_number(folder: Path) -> None:
    _made("x int8, y text", "now(), 0, ''")
    _server().sql(
        "INSERT INTO facts SELECT now(), (i * 7919) % 20011, repeat('y', 1000) FROM generate_series(1, 5000) i;"
        "CREATE INDEX ON facts (x)"
    )
    _server().sql("CHECKPOINT")  # else nothing is known to be visible to all, and no index serves alone
    _server().sql("VACUUM ANALYZE facts")
    assert _read("x")["x"] == _read("y", "x")["x"]


def _store(*features: Any) -> FeatureStore:
    view = FeatureView(name="v", entities=[Entity(name="key")], source=_source(), features=list(features))
    return FeatureStore(definitions=[FeatureService(name="s", features=[view])])


def _spine(*days: int) -> pa.Table:
    at = pa.array([d * DAY for d in days], pa.int64()).cast(pa.timestamp("us", "UTC"))
    return pa.table({"key": [1] * len(days), "as_of": at})


def _rows_left_out_are_counted_and_tell_no_lies(folder: Path) -> None:
    _made("key int8, x float8", *(f"to_timestamp({d * 86400 + 5}), 1, {d}" for d in range(6)), "NULL, 1, 9", "'infinity', 1, 9")
    told: list[Any] = []
    features = latest("x"), agg.sum("x", window="2d")
    found = _store(*features).build_training_set("s", _spine(3, 6), report=told.append)
    assert (found["x"].to_pylist(), found["x_sum_2d"].to_pylist()) == ([2.0, 5.0], [3.0, 9.0])
    assert told[0].left_out == {"v": {"event_time_null": 1, "event_time_out_of_range": 1}}
    for row, reason in (("NULL, 1, 9", "event_time_null"), ("'infinity', 1, 9", "event_time_out_of_range")):
        _made("key int8, x float8", "to_timestamp(5), 1, 1", "to_timestamp(6), 1, 1", row)
        _store(latest("x")).build_training_set("s", _spine(3), report=told.append)
        assert told[-1].left_out == {"v": {reason: 1}}


def _a_writer_in_the_middle_moves_nothing(folder: Path) -> None:
    _made("key int8, x float8", "to_timestamp(5), 1, 1")
    store = _store(latest("x"), agg.count(window=None))
    opened = store.source_of

    def then_written(source: Any) -> Any:
        data = opened(source)
        _server().sql("INSERT INTO facts VALUES (to_timestamp(6), 1, 2)")
        return data

    store.source_of = then_written  # type: ignore[method-assign]
    _ = store.bound
    found = store.build_training_set("s", _spine(1)).to_pylist()[0]
    assert (found["x"], found["count_lifetime"]) == (1.0, 1)


def _a_digest_is_of_all_that_rows_hold(folder: Path) -> None:
    def digest() -> Any:
        with reading():
            return open_source(_source(), Path()).parts[0].entry["digest"]  # type: ignore[index]

    _made("x text, odd interval", "to_timestamp(5), 'a', '1 day'", "to_timestamp(5), NULL, '1 day'")
    told = [digest()]
    _server().sql("UPDATE facts SET x = x WHERE x = 'a'")
    assert digest() == told[0]
    for change in ("SET x = '' WHERE x IS NULL", "SET odd = '2 days' WHERE x = 'a'", "SET x = 'b' WHERE x = 'a'"):
        _server().sql(f"UPDATE facts {change}")
        told.append(digest())
    assert len(set(told)) == 4


def _a_changed_table_is_not_followed(folder: Path) -> None:
    _made("key int8, x float8", "to_timestamp(5), 1, 1")
    store = _store(latest("x"))
    modes = []
    for day, change in ((1, ""), (2, ""), (3, "UPDATE facts SET x = 7")):
        if change:
            _server().sql(change)
        modes.append(store.materialize(known_before=day * DAY)[0].mode)
    assert modes == ["full", "incremental", "full"]
    assert store.get_online_features("s", {"key": [1]}).to_dict()["x"] == [7.0]


def _a_table_emptied_meanwhile_is_noticed(folder: Path) -> None:
    from featurestore.sources.postgres.snapshot import Snapshot

    _made("x int8", "now(), 1")
    locked, seen = Snapshot.schema, []

    def schema(self: Snapshot, relation: str, what: str) -> pa.Schema:
        seen.append(self)
        if len(seen) == 1:
            _server().sql("TRUNCATE facts; INSERT INTO facts VALUES (now(), 2)")
        return locked(self, relation, what)

    Snapshot.schema = schema  # type: ignore[method-assign]
    try:
        assert _read("x") == {"x": [2]}
    finally:
        Snapshot.schema = locked  # type: ignore[method-assign]


def _a_partition_attached_meanwhile_is_noticed(folder: Path) -> None:
    _server().sql(
        "DROP TABLE IF EXISTS facts CASCADE; DROP TABLE IF EXISTS old; CREATE TABLE old (e timestamptz);"
        "INSERT INTO old VALUES ('2020-01-01Z'); CREATE TABLE facts (e timestamptz) PARTITION BY RANGE (e)"
    )
    with reading():
        (part,) = open_source(_source(), Path()).parts
        _server().sql("ALTER TABLE facts ATTACH PARTITION old FOR VALUES FROM ('2020-01-01Z') TO ('2021-01-01Z')")
        with pytest.raises(FeatureStoreError, match="FS379"):
            list(part.read(["e"]))


def _secrets_are_not_said(folder: Path) -> None:
    there = Address("postgresql://u:pl%34nted@h/d?sslpassword=other")
    assert there.scrubbed("a pl%34nted pl4nted other b") == "a *** *** *** b"
    assert "pl" not in repr(there)
    for url in ("postgresql://u:pl4nted@h/d", "postgresql://u:pl4n/ted@h/d", "postgresql://h/d?password=pl4nted"):
        with pytest.raises(FeatureStoreError) as caught:
            _source(url=url)
        assert "pl4n" not in str(caught.value)


DATABASE: Mapping[str, Callable[[Path], None]] = {
    f"database-{story.__name__.strip('_')}": story
    for story in (
        _decimals_are_exact,
        _what_a_type_cannot_hold_is_an_error,
        _infinite_times_of_events_are_out_of_range,
        _rows_that_are_needed_are_read_and_no_others,
        _a_row_keeps_its_number,
        _rows_left_out_are_counted_and_tell_no_lies,
        _a_writer_in_the_middle_moves_nothing,
        _a_digest_is_of_all_that_rows_hold,
        _a_changed_table_is_not_followed,
        _a_table_emptied_meanwhile_is_noticed,
        _a_partition_attached_meanwhile_is_noticed,
        _secrets_are_not_said,
    )
}
