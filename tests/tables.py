"""Tables with a history for tests: by deltalake and pyiceberg, and made to say in their logs what these cannot write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import DeltaSource, IcebergSource
from featurestore.sources import SourceData, open_source

UTC = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000
START = 1_767_225_600_000_000


def times(*hours: int | None, kind: pa.DataType = UTC) -> pa.Array:
    """Instants, so many hours after 2026 began."""
    return pa.array([None if h is None else START + h * HOUR for h in hours], pa.int64()).cast(pa.timestamp("us")).cast(kind)


def facts(first: int, rows: int = 3, **more: Any) -> pa.Table:
    """Rows numbered from `first`, an hour apart, with a value of their own."""
    numbers = range(first, first + rows)
    return pa.table({"key": [n % 3 for n in numbers], "e": times(*numbers), "v": [float(n) for n in numbers], **more})


def rows_of(data: SourceData, *columns: str) -> list[tuple[Any, ...]]:
    """What all parts of a source hold, sorted."""
    batches = [batch for part in data.parts for batch in part.read(columns)]
    rows = [row for b in batches for row in zip(*(b.column(c).to_pylist() for c in columns), strict=True)]
    return sorted(rows, key=repr)


# Delta.


def write(path: Path | str, table: pa.Table, *, mode: str = "append", **options: Any) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(path), table, mode=mode, **options)  # type: ignore[call-overload]


def delta(path: str = "t", **options: Any) -> DeltaSource:
    return DeltaSource(**{"name": "facts", "path": path, "event_timestamp": "e", **options})


def open_delta(folder: Path, path: str = "t", **options: Any) -> SourceData:
    return open_source(delta(path, **options), folder)


Action = dict[str, Any]


def commits(table: Path) -> list[Path]:
    return sorted((table / "_delta_log").glob("*.json"))


def edit(table: Path, change: Callable[[Action], Action | None], commit: int = 0) -> None:
    """Rewrite the actions of a commit, as a writer of another kind would have written them; None leaves one out."""
    path = commits(table)[commit]
    actions = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [changed for action in actions if (changed := change(action)) is not None]
    path.write_text("".join(json.dumps(action) + "\n" for action in kept), encoding="utf-8")


def protocol(*features: str, reader: int = 3, writer: int = 7) -> Callable[[Action], Action]:
    """The table names these reader features, or (without any) a reader version alone."""
    told = {"readerFeatures": list(features), "writerFeatures": list(features)} if features else {}
    said = {"protocol": {"minReaderVersion": reader, "minWriterVersion": writer, **told}}
    return lambda action: said if "protocol" in action else action


def with_add(**told: Any) -> Callable[[Action], Action]:
    return lambda action: {"add": {**action["add"], **told}} if "add" in action else action


def with_property(name: str, value: str) -> Callable[[Action], Action]:
    def change(action: Action) -> Action:
        if "metaData" not in action:
            return action
        told = action["metaData"]
        return {"metaData": {**told, "configuration": {**told["configuration"], name: value}}}

    return change


# Iceberg.


class Warehouse:
    """A catalog in SQLite and the tables it knows, below a folder; the environment tells pyiceberg of it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, place: str = "", **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.database = folder, folder / "catalog.db"
        told = {"URI": f"sqlite:///{self.database}", "WAREHOUSE": place or f"file://{folder}/warehouse", **settings}
        for name, value in told.items():
            patch.setenv(f"PYICEBERG_CATALOG__DEFAULT__{name}", value)
        told |= {"S3__ENDPOINT": os.environ.get("AWS_ENDPOINT_URL", ""), "S3__REGION": "us-east-1"} if place else {}
        self._told = {name.lower().replace("__", ".").replace("_", "-"): value for name, value in told.items()}

    @cached_property
    def catalog(self) -> Any:
        from pyiceberg.catalog import load_catalog

        return load_catalog("default", **self._told)

    def create(self, schema: pa.Schema, table: str = "db.t", by: Sequence[str] = (), **properties: str) -> Any:
        """A new table, partitioned by the values of some columns."""
        from pyiceberg.transforms import IdentityTransform

        catalog = self.catalog
        catalog.create_namespace_if_not_exists(table.rpartition(".")[0])
        made = catalog.create_table(table, schema=schema, properties=properties)
        with made.update_spec() as update:
            for column in by:
                update.add_field(column, IdentityTransform(), column)
        return made

    def exists(self, table: str) -> bool:
        return bool(self.catalog.table_exists(table))

    def table(self, name: str = "db.t") -> Any:
        return self.catalog.load_table(name)

    def write(self, rows: pa.Table, table: str = "db.t", by: Sequence[str] = (), **properties: str) -> Any:
        """Append rows to a table, which is made if there is none."""
        catalog = self.catalog
        catalog.create_namespace_if_not_exists(table.rpartition(".")[0])
        made = self.table(table) if self.exists(table) else self.create(rows.schema, table, by, **properties)
        made.append(rows)
        return made

    def metadata(self, table: str = "db.t") -> Path:
        """The file that is the table's metadata now."""
        return Path(self.table(table).metadata_location.removeprefix("file://"))

    def edit(self, change: Callable[[dict[str, Any]], Mapping[str, Any]], table: str = "db.t") -> None:
        """Rewrite the table's metadata, as another engine would have written it."""
        path = self.metadata(table)
        path.write_text(json.dumps(change(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")

    def rewrite(self, change: Callable[[Any], None], table: str = "db.t") -> None:
        """Write the table's lists of files again, with something else said of each file."""
        from pyiceberg.manifest import write_manifest

        made = self.table(table)
        for manifest in made.current_snapshot().manifests(made.io):
            entries = manifest.fetch_manifest_entry(made.io, discard_deleted=False)
            spec, output = made.specs()[manifest.partition_spec_id], made.io.new_output(manifest.manifest_path)
            with write_manifest(2, spec, made.schema(), output, manifest.added_snapshot_id, "deflate") as writer:
                for entry in entries:
                    change(entry.data_file)
                    writer.add_entry(entry)

    def delete_rows(self, content: str, table: str = "db.t") -> None:
        """Say of the current snapshot that a file beside the data deletes rows: "POSITION_DELETES" or "EQUALITY_DELETES"."""
        from pyiceberg.manifest import DataFileContent, ManifestContent, ManifestWriterV2, write_manifest_list

        class Deletes(ManifestWriterV2):
            def content(self) -> Any:
                return ManifestContent.DELETES

        made = self.table(table)
        snapshot, spec = made.current_snapshot(), made.spec()
        kept = snapshot.manifests(made.io)
        entry = kept[0].fetch_manifest_entry(made.io, discard_deleted=True)[0]
        entry.data_file._data[0] = DataFileContent[content]
        output = made.io.new_output(f"{made.location()}/metadata/deletes.avro")
        with Deletes(spec, made.schema(), output, snapshot.snapshot_id, "deflate") as writer:
            writer.add_entry(entry)
        lists = made.io.new_output(f"{made.location()}/metadata/with_deletes.avro")
        with write_manifest_list(
            2, lists, snapshot.snapshot_id, snapshot.parent_snapshot_id, snapshot.sequence_number, "deflate"
        ) as everything:
            everything.add_manifests([*kept, writer.to_manifest_file()])

        def change(told: dict[str, Any]) -> dict[str, Any]:
            listed = f"{made.location()}/metadata/with_deletes.avro"
            for one in told["snapshots"]:
                if one["snapshot-id"] == snapshot.snapshot_id:
                    one["manifest-list"] = listed
            return told

        self.edit(change, table)


def iceberg(table: str = "db.t", **options: Any) -> IcebergSource:
    return IcebergSource(**{"name": "facts", "table": table, "event_timestamp": "e", **options})


def open_iceberg(folder: Path, table: str = "db.t", **options: Any) -> SourceData:
    return open_source(iceberg(table, **options), folder)


def as_int96(path: Path) -> None:
    """Write a file again with its times in the oldest way, which Spark's default was for long."""
    pq.write_table(pq.read_table(path), path, use_deprecated_int96_timestamps=True)
