"""Stories of rows in object stores and of columns beside files: short ones, for mutants to stumble over.

The store is a file system in this process's memory; where tags matter, one that tells them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, ParquetSource, agg, latest
from featurestore.engines.duckdb import Session, Settings
from featurestore.errors import SourceError
from featurestore.plan.needed import Needed
from featurestore.sources import IdentityCache, SourceData, mirror, objects, open_source
from featurestore.sources.files import stamped
from featurestore.sources.footers import Extent, extents
from featurestore.sources.objects import ObjectFile, ObjectStore
from featurestore.sources.parts import file_part

UTC = pa.timestamp("us", "UTC")
ALONE = mock.patch.object(mirror, "GAP", 0)
"""Nothing comes along that nobody asked for: of small files all would."""


class Tagged:
    """What an `ObjectStore` asks of a file system: contents by key, with a tag for each, and something to do before a fetch."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.before: Callable[[], None] = lambda: None

    def info(self, key: str) -> dict[str, Any]:
        if key not in self.contents:
            raise FileNotFoundError(key)
        return {"size": len(self.contents[key]), "ETag": f'"{hash(self.contents[key])}"', "type": "file"}

    def cat_ranges(self, keys: list[str], starts: list[int], ends: list[int], on_error: str) -> list[bytes]:
        self.before()
        return [self.contents[key][start:end] for key, start, end in zip(keys, starts, ends, strict=True)]

    def invalidate_cache(self) -> None: ...


def _table(seconds: range, value: float = 0.0) -> pa.Table:
    return pa.table({
        "k": [s % 2 for s in seconds],
        "e": pa.array([s * 1_000_000 for s in seconds], pa.int64()).cast(UTC),
        "x": pa.array([value + s // 7 for s in seconds]),
        "tags": pa.array([[f"{s}", None] for s in seconds]),
    })  # fmt: skip


def _parquet(table: pa.Table, group: int = 10) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=group, compression="none")
    return sink.getvalue()


def _tagged(table: pa.Table, group: int = 10) -> tuple[Tagged, ObjectFile]:
    system = Tagged()
    system.contents["a"] = _parquet(table, group)
    store = ObjectStore("s3", system)
    return system, objects.object_file("s3://a", "a", system.info("a"), store)


def _data(file: ObjectFile) -> SourceData:
    (found,) = objects.with_footers([file])
    return SourceData(_source("unused"), (file_part(found),))


def _source(path: Any) -> ParquetSource:
    return ParquetSource(name="facts", path=path, event_timestamp="e", delay="0s")


def _store(path: Any) -> FeatureStore:
    features = [latest("x"), latest("tags"), agg.sum("x", window="5s"), agg.count(window="12s")]
    view = FeatureView(name="v", entities=[Entity(name="k")], source=_source(path), features=features)
    return FeatureStore(definitions=[FeatureService(name="svc", features=[view])])


def _rows_that_are_needed_are_there(folder: Path) -> None:
    import fsspec

    at, memory = uuid4().hex, fsspec.filesystem("memory")
    for number in range(2):
        table = _table(range(number * 50, number * 50 + 50))
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=10)
        memory.pipe_file(f"/{at}/{number}.parquet", (folder / f"{number}.parquet").read_bytes())
    times = pa.array([s * 1_000_000 for s in (61, 60, 69, 70)], pa.int64()).cast(UTC)
    spine = pa.table({"k": [0, 1, 0, 1], "as_of": times})
    here = _store(f"{folder}/*.parquet").build_training_set("svc", spine)
    with ALONE:
        assert here.equals(_store(f"memory://{at}/*.parquet").build_training_set("svc", spine))


def _what_is_not_needed_is_not_fetched(folder: Path) -> None:
    system, file = _tagged(_table(range(1000)), group=100)
    data = _data(file)
    with ALONE, Session(Settings()) as session:
        needed = Needed(event_from=500_000_000, event_to=599_000_000)
        session.bind_source(data, ["k", "e", "x"], data.types, needed=needed)
        assert session.table("SELECT count(*) AS n FROM source__facts").to_pylist() == [{"n": 100}]
        (copy,) = session.folder.glob("remote_*.parquet")
        holes = sum(a != b for a, b in zip(copy.read_bytes(), system.contents["a"], strict=True))
        assert holes > len(system.contents["a"]) // 3


def _an_object_replaced_before_its_footer_is_read_is_noticed(folder: Path) -> None:
    system, file = _tagged(_table(range(30)))
    system.contents["a"] = _parquet(_table(range(30), 1.0))
    with pytest.raises(SourceError, match="changed"):
        _data(file)


def _an_object_replaced_before_its_pages_are_read_is_noticed(folder: Path) -> None:
    system, file = _tagged(_table(range(30)))
    data = _data(file)
    system.before = lambda: system.contents.update(a=_parquet(_table(range(30), 1.0)))
    with Session(Settings()) as session, pytest.raises(SourceError, match="changed"):
        session.bind_source(data, ["k", "e", "x"], data.types)


def _an_object_replaced_after_it_was_read_is_noticed(folder: Path) -> None:
    system, file = _tagged(_table(range(30)))
    data = _data(file)
    data.check_unchanged()
    system.contents["a"] = _parquet(_table(range(30), 1.0))
    assert len(system.contents["a"]) == file.size
    with pytest.raises(SourceError, match="changed"):
        data.check_unchanged()


def _an_object_is_recorded_by_its_tag_or_its_content(folder: Path) -> None:
    import fsspec

    _, one = _tagged(_table(range(30)))
    _, other = _tagged(_table(range(30), 1.0))
    states = [_data(file).state(IdentityCache(None)) for file in (one, other, one)]
    assert states[0] == states[2] != states[1]
    at, memory = uuid4().hex, fsspec.filesystem("memory")
    found = []
    for value in (0.0, 1.0, 0.0):
        memory.pipe_file(f"/{at}/a.parquet", _parquet(_table(range(30), value)))
        found.append(open_source(_source(f"memory://{at}/*.parquet"), folder).state(IdentityCache(None)))
    assert found[0] == found[2] != found[1]


FIXED: Mapping[str, pa.Scalar] = {
    "n": pa.scalar(7, pa.int32()), "s": pa.scalar("it's"), "nothing": pa.scalar(None, pa.int64()),
    "day": pa.scalar(3, pa.date32()), "at": pa.scalar(5, pa.timestamp("us")), "b": pa.scalar(b"\x00'"),
}  # fmt: skip


def _columns_beside_a_file_have_their_one_value(folder: Path) -> None:
    pq.write_table(_table(range(5)), folder / "a.parquet")
    part = file_part(stamped(folder / "a.parquet", "a.parquet"), FIXED)
    data = SourceData(_source("unused"), (part,))
    names = ["k", *FIXED, "e"]
    (read,) = part.read(names)
    wanted = {name: value.as_py() for name, value in FIXED.items()}
    assert [{n: row[n] for n in FIXED} for row in read.to_pylist()] == [wanted] * 5
    with Session(Settings()) as session:
        session.bind_source(data, names, data.types)
        utc = "CAST(timezone('UTC', \"at\") AS TIMESTAMP)"
        shown = session.table(f'SELECT * REPLACE ({utc} AS "at") FROM source__facts').to_pylist()
        assert [{n: row[n] for n in FIXED} for row in shown] == [wanted] * 5
    known = extents(data, ["n", "nothing", "at"])
    assert known == {"n": Extent(0, (7, 7)), "nothing": Extent(5, ()), "at": Extent(0, (5, 5))}


def _a_time_beside_a_file_is_read_as_the_source_says(folder: Path) -> None:
    pq.write_table(_table(range(5)).drop_columns(["e"]), folder / "a.parquet")
    for value, micros in ((pa.scalar(0, pa.date32()), 86_400_000_000 - 1), (pa.scalar(7, pa.timestamp("us")), 7)):
        part = file_part(stamped(folder / "a.parquet", "a.parquet"), {"e": value})
        data = SourceData(_source("unused"), (part,))
        with Session(Settings()) as session:
            session.bind_source(data, ["k", "e"], data.types, needed=Needed(event_to=micros))
            assert session.table("SELECT epoch_us(e) AS e FROM source__facts").to_pylist() == [{"e": micros}] * 5


REMOTE: Mapping[str, Callable[[Path], None]] = {
    f"remote-{story.__name__.strip('_')}": story
    for story in (
        _rows_that_are_needed_are_there,
        _what_is_not_needed_is_not_fetched,
        _an_object_replaced_before_its_footer_is_read_is_noticed,
        _an_object_replaced_before_its_pages_are_read_is_noticed,
        _an_object_replaced_after_it_was_read_is_noticed,
        _an_object_is_recorded_by_its_tag_or_its_content,
        _columns_beside_a_file_have_their_one_value,
        _a_time_beside_a_file_is_read_as_the_source_says,
    )
}
