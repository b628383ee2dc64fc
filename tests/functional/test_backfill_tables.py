"""A backfill into a Delta or Iceberg table: rows of instants are replaced by commits, and only where something changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureStore, FeatureView, ParquetSource, agg, latest
from featurestore.backfill import Backfilled
from featurestore.errors import FeatureStoreError
from featurestore.intervals import FixedClock

SECOND = 1_000_000
UTC = pa.timestamp("us", "UTC")


def facts(folder: Path, name: str, rows: list[tuple[int, int, float]]) -> None:
    keys, events, values = zip(*rows, strict=True)
    (folder / "facts").mkdir(exist_ok=True)
    table = pa.table({"c": keys, "e": pa.array([e * SECOND for e in events], pa.int64()).cast(UTC), "x": values})
    pq.write_table(table, folder / "facts" / f"{name}.parquet")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "warehouse").mkdir()
    monkeypatch.setenv("PYICEBERG_CATALOG__DEFAULT__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__DEFAULT__URI", f"sqlite:///{tmp_path}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__DEFAULT__WAREHOUSE", f"file://{tmp_path}/warehouse")
    facts(tmp_path, "a", [(1, 0, 5.0), (2, 1, 7.0)])
    source = ParquetSource(name="facts", path=str(tmp_path / "facts" / "*.parquet"), event_timestamp="e", delay="0s")
    features = [latest("x"), agg.sum("x", window="2s")]
    view = FeatureView(name="v", entities=[Entity(name="c")], source=source, features=features, ttl="3s")
    return FeatureStore(definitions=[view], clock=FixedClock(100 * SECOND))


def in_delta(table: str) -> pa.Table:
    import deltalake

    return pa.table(deltalake.DeltaTable(table).to_pyarrow_table())


def in_iceberg(table: str) -> pa.Table:
    from featurestore.sources.iceberg_table import loaded

    return loaded(table, "default", "").scan().to_arrow()


KINDS: dict[str, tuple[str, Callable[[str], pa.Table]]] = {
    "delta": ("out/scores", in_delta), "iceberg": ("scores.v", in_iceberg),
}  # fmt: skip


def backfill(store: FeatureStore, output: str, kind: str, **more: Any) -> Backfilled:
    return store.backfill("v", 0, 6 * SECOND, every="1s", output=output, format=kind, **more)


def told(done: Backfilled) -> str:
    return "".join(p.status[0] for p in done.partitions)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: (row["as_of"], row["c"]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_holds_what_files_would(kind: str, store: FeatureStore, tmp_path: Path) -> None:
    output, read = KINDS[kind]
    assert told(backfill(store, output, kind)) == "wwwwww"
    assert told(backfill(store, output, kind)) == "uuuuuu"
    facts(tmp_path, "b", [(1, 3, 1.0)])
    assert told(backfill(store, output, kind, dry_run=True)) == "uuuuww"
    assert told(backfill(store, output, kind)) == "uuuuww"
    plain = store.backfill("v", 0, 6 * SECOND, every="1s", output="plain")
    expected = [pq.read_table(tmp_path / "plain" / p.file, partitioning=None) for p in plain.partitions]
    assert rows(read(output)) == rows(pa.concat_tables(expected))
    assert [p.name for p in (tmp_path / ".featurestore").rglob("*.parquet*")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_somebody_wrote_to_is_written_anew(kind: str, store: FeatureStore) -> None:
    from featurestore.sources.table_output import write_delta, write_iceberg

    output, read = KINDS[kind]
    backfill(store, output, kind)
    whole = rows(read(output))
    twice = read(output).cast(pa.schema([f.remove_metadata() for f in read(output).schema]))
    one = twice.slice(0, 1)
    if kind == "delta":
        write_delta(output, one.to_batches(), one.schema, root=Path.cwd())
    else:
        write_iceberg(output, one.to_batches(), one.schema)
    assert len(rows(read(output))) == len(whole) + 1
    assert {p.reason for p in backfill(store, output, kind).partitions} == {"the file is not as it was written"}
    assert rows(read(output)) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_somebody_else_is_left_alone(kind: str, store: FeatureStore, tmp_path: Path) -> None:
    output, read = KINDS[kind]
    backfill(store, output, kind)
    before = rows(read(output))
    (tmp_path / ".featurestore").rename(tmp_path / "elsewhere")
    with pytest.raises(FeatureStoreError) as refused:
        backfill(store, output, kind)
    assert (refused.value.code, refused.value.exit_code) == ("FS387", 2)
    assert rows(read(output)) == before


def test_an_unknown_format_is_refused(store: FeatureStore) -> None:
    with pytest.raises(FeatureStoreError) as refused:
        backfill(store, "out", "csv")
    assert (refused.value.code, refused.value.known) == ("FS102", ("parquet", "delta", "iceberg"))
