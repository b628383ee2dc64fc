"""Delta and Iceberg tables under builds, online stores, rebuilds and proofs: one version is read, whatever writers do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.errors import SourceError
from featurestore.intervals import format_instant
from featurestore.materialization.report import ViewReport
from tests.functional.made_again import PAID, Made, payments, told
from tests.tables import Warehouse, as_int96, write

DAY = 86_400_000_000
W = PAID + 70 * DAY
PARQUET = 'ParquetSource(name="payments", path="data/payments/*.parquet"'
SOURCES = {
    "delta": 'DeltaSource(name="payments", path="data/table"',
    "iceberg": 'IcebergSource(name="payments", table="bank.payments"',
}


@dataclass
class World:
    """A project that reads its payments from a table, and the hand of the table's own writer."""

    kind: str
    made: Made
    warehouse: Warehouse

    @property
    def table(self) -> Path:
        return self.made.folder / "data/table"

    @property
    def store(self) -> FeatureStore:
        return self.made.store

    def append(self, rows: pa.Table, by: tuple[str, ...] = ()) -> None:
        if self.kind == "delta":
            write(self.table, rows, partition_by=list(by) or None)
        else:
            self.warehouse.write(rows, "bank.payments", by)

    def overwrite(self, rows: pa.Table) -> None:
        if self.kind == "delta":
            write(self.table, rows, mode="overwrite")
        else:
            self.warehouse.table("bank.payments").overwrite(rows)

    def delete(self, test: str) -> None:
        if self.kind == "delta":
            from deltalake import DeltaTable

            DeltaTable(str(self.table)).delete(test)
        else:
            self.warehouse.table("bank.payments").delete(test)

    def forget_the_past(self) -> None:
        """Vacuum, or expire all snapshots but the current one and remove files that no snapshot has."""
        if self.kind == "delta":
            from deltalake import DeltaTable

            DeltaTable(str(self.table)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
            return
        table = self.warehouse.table("bank.payments")
        current = table.current_snapshot().snapshot_id
        for entry in [e for e in table.metadata.snapshots if e.snapshot_id != current]:
            table.maintenance.expire_snapshots().by_id(entry.snapshot_id).commit()
        kept = {f["file_path"] for f in table.inspect.files().to_pylist()}
        for path in (self.warehouse.folder / "warehouse").rglob("*.parquet"):
            if f"file://{path}" not in kept:
                path.unlink()

    def materialize(self, days: int = 0) -> ViewReport:
        _, report = self.store.materialize(["place", "spending"], known_before=format_instant(W + days * DAY))
        return report

    def proved(self) -> tuple[int, int, int]:
        """Cells of the online store that are not the truth, and cells of which nobody can tell."""
        cells = self.store.verify("svc", sample=30, scratch=0).cells
        return cells["different"], cells["unverifiable"], cells["equal"]


def world(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> World:
    made = Made.new(folder / "project")
    made.redefine(PARQUET, SOURCES[kind])
    made.redefine("ParquetSource, agg", "DeltaSource, IcebergSource, ParquetSource, agg")
    return World(kind, made, Warehouse(folder / "lake", patch))


@pytest.fixture(params=SOURCES)
def bank(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Three hundred payments, as the files of the project hold them, in three commits."""
    bank = world(request.param, tmp_path, monkeypatch)
    for i in range(3):
        bank.append(payments(i * 100, 100, i))
    return bank


def hashes(made: Made, name: str = "train.parquet") -> Any:
    return made.manifest(name)["content"]


# The same values.


def test_a_table_gives_the_training_set_that_its_files_would(bank: World, tmp_path: Path) -> None:
    plain = Made.new(tmp_path / "plain")
    assert pq.read_table(bank.made.build()).equals(pq.read_table(plain.build()))


def test_partitioned_tables_give_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Made.new(tmp_path / "plain")
    expected = pq.read_table(plain.build())
    for kind in SOURCES:
        bank = world(kind, tmp_path / kind, monkeypatch)
        for i in range(3):
            bank.append(payments(i * 100, 100, i), by=("customer",))
        assert pq.read_table(bank.made.build()).equals(expected)


# Pinned.


def test_the_manifest_says_which_version_was_read(bank: World) -> None:
    bank.made.build()
    pin, *files = bank.made.manifest()["sources"]["payments"]
    assert len(files) == 3
    assert pin[bank.kind] == {"delta": "data/table", "iceberg": "bank.payments"}[bank.kind]
    assert ("version" if bank.kind == "delta" else "snapshot") in pin


def test_a_writer_during_a_build_has_no_effect(bank: World, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pq.read_table(bank.made.build("before.parquet"))
    with at_the_first_batch(monkeypatch, lambda: (bank.overwrite(payments(0, 5, 9)), bank.append(payments(900, 50, 7)))):
        found = pq.read_table(bank.made.build())
    assert found.equals(expected)
    assert bank.made.build("after.parquet")
    assert not pq.read_table(bank.made.folder / "after.parquet").equals(expected)


def at_the_first_batch(patch: pytest.MonkeyPatch, act: Callable[[], Any]) -> Any:
    """Once sources have been opened and statements run, before the rest of the build."""
    from contextlib import contextmanager

    from featurestore.retrieval.training_set import Build

    @contextmanager
    def acting() -> Iterator[None]:
        batches, done = Build.batches, list[int]()

        def acted(self: Build) -> Iterator[pa.RecordBatch]:
            if not done:
                done.append(1)
                act()
            yield from batches(self)

        with patch.context() as patched:
            patched.setattr(Build, "batches", acted)
            yield
        assert done

    return acting()


def test_a_set_is_built_again_from_the_version_it_was_built_from(bank: World) -> None:
    bank.made.build()
    bank.append(payments(300, 50, 7))
    bank.overwrite(payments(900, 10, 8))
    proved = bank.made.verify()
    assert proved.same, told(proved.changed)
    assert any("came later" in note for note in proved.notes)


def test_a_version_that_is_forgotten_is_named_and_nothing_is_built_from_another(bank: World) -> None:
    bank.made.build()
    bank.overwrite(payments(900, 10, 8))
    bank.forget_the_past()
    proved = bank.made.verify()
    assert proved.bytes is None
    assert any("data/table" in line or "bank.payments" in line for line in told(proved.changed)), told(proved.changed)


def test_time_travel_builds_what_was_built_then(bank: World) -> None:
    early = pq.read_table(bank.made.build())
    pin = bank.made.manifest()["sources"]["payments"][0]
    bank.append(payments(300, 80, 7))
    assert not pq.read_table(bank.made.build("now.parquet")).equals(early)
    option = f"version={pin['version']}" if bank.kind == "delta" else f"snapshot={pin['snapshot']}"
    before = bank.store.bound_service("svc").fingerprint
    bank.made.redefine(SOURCES[bank.kind], f"{SOURCES[bank.kind]}, {option}")
    assert pq.read_table(bank.made.build("then.parquet")).equals(early)
    assert bank.store.bound_service("svc").fingerprint == before  # which version is no part of the meaning


# Online.


def test_a_run_after_an_append_reads_the_files_that_came(bank: World) -> None:
    assert bank.materialize().mode == "full"
    bank.append(late(300, 5))
    report = bank.materialize(1)
    assert (report.mode, report.new_files) == ("incremental", 1)
    assert_proved(bank)


def assert_proved(bank: World) -> None:
    different, unverifiable, equal = bank.proved()
    assert (different, unverifiable) == (0, 0)
    assert equal > 0


def late(first: int, rows: int) -> pa.Table:
    """Payments that became known after W."""
    made = payments(first, rows, first)
    return made.set_column(3, "loaded_at", pa.array([W + DAY // 2] * rows, pa.int64()).cast(pa.timestamp("us", "UTC")))


def test_a_run_after_an_overwrite_or_delete_is_full_and_says_so(bank: World) -> None:
    bank.materialize()
    for change in (lambda: bank.delete("payment_id < 50"), lambda: bank.overwrite(payments(0, 40, 3))):
        change()
        report = bank.materialize(1)
        assert report.mode == "full"
        assert "gone or changed since the last run" in report.reason
        assert_proved(bank)


def test_a_table_in_the_place_of_another_is_read_anew(bank: World) -> None:
    bank.materialize()
    if bank.kind == "delta":
        shutil.rmtree(bank.table)
    else:
        bank.warehouse.catalog.drop_table("bank.payments")
    bank.append(payments(0, 100, 0))
    report = bank.materialize(1)
    assert report.mode == "full"
    assert "another table" in report.reason


def test_compaction_alone_is_a_full_run_with_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deltalake import DeltaTable

    bank = world("delta", tmp_path, monkeypatch)
    for i in range(3):
        bank.append(payments(i * 100, 100, i))
    bank.materialize()
    DeltaTable(str(bank.table)).optimize.compact()
    report = bank.materialize(1)
    assert report.mode == "full"
    assert_proved(bank)


def test_what_a_store_was_made_from_is_proved_as_long_as_the_version_is_there(bank: World) -> None:
    bank.materialize()
    bank.append(payments(300, 50, 7))
    bank.overwrite(payments(900, 10, 8))
    assert_proved(bank)
    bank.forget_the_past()
    different, unverifiable, _ = bank.proved()
    assert different == 0
    assert unverifiable > 0


# A table that cannot be read leaves what there was.


def test_a_build_from_a_table_that_is_not_read_leaves_the_set_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tables import edit, protocol

    bank = world("delta", tmp_path, monkeypatch)
    bank.append(payments(0, 100, 0))
    before = bank.made.build().read_bytes()
    edit(bank.table, protocol("typeWidening"))
    with pytest.raises(SourceError) as caught:
        bank.made.build()
    assert caught.value.code == "FS370"
    assert (bank.made.folder / "train.parquet").read_bytes() == before
    assert not list(bank.made.folder.glob("*.tmp"))


def test_times_as_spark_wrote_them_give_the_same_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.test_delta import edit_size

    bank = world("delta", tmp_path, monkeypatch)
    for i in range(3):
        bank.append(payments(i * 100, 100, i))
    for file in bank.table.glob("*.parquet"):
        as_int96(file)
    edit_size(bank.table)
    assert pq.read_table(bank.made.build()).equals(pq.read_table(Made.new(tmp_path / "plain").build()))
