"""Only the columns and row groups that a build can need are read: all others may be garbage, and nothing is different."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import Entity, FeatureService, FeatureStore, FeatureView, LabelView, ParquetSource, agg, latest
from featurestore.engines.duckdb import Session
from featurestore.errors import SourceError
from featurestore.plan.needed import EVERYTHING, Needed, union

HOUR = 3_600_000_000
FIRST = 1_700_000_000_000_000
GROUPS, EACH = 10, 50
"""One fact every hour, for three keys in turn; a row group holds EACH of them."""
TIME = pa.timestamp("us", "UTC")
ASKED = range(5 * EACH, 6 * EACH)
"""Rows ask at the instants of the sixth row group, half an hour later."""


def facts() -> pa.Table:
    rows = range(GROUPS * EACH)
    return pa.table({
        "key": pa.array([i % 3 for i in rows]),
        "e": pa.array([FIRST + i * HOUR for i in rows], TIME),
        "k": pa.array([FIRST + i * HOUR + 60_000_000 for i in rows], TIME),
        "v": pa.array([float(i) for i in rows]),
        "unread": pa.array([f"{i} is of no use" for i in rows]),
    })  # fmt: skip


def spine() -> pa.Table:
    asked = [FIRST + i * HOUR + HOUR // 2 for i in ASKED]
    return pa.table({"key": pa.array([i % 3 for i in ASKED]), "as_of": pa.array(asked, TIME)})


def corrupted(path: Path, groups: range | list[int], columns: tuple[str, ...]) -> None:
    """Overwrite the pages of some columns of some row groups; the footer stays."""
    metadata = pq.read_metadata(path)
    content = bytearray(path.read_bytes())
    for group in groups:
        for at in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(at)
            if chunk.path_in_schema in columns:
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(content)


KNOWN: dict[str, dict[str, Any]] = {"at once": {"delay": "0s"}, "created": {"created_timestamp": "k"}}
READ = ("key", "e", "k", "v")


def built(folder: Path, view: dict[str, Any], known: str = "at once", **asked: Any) -> pa.Table:
    source = ParquetSource(name="facts", path=str(folder / "facts.parquet"), event_timestamp="e", **KNOWN[known])
    given = FeatureView(name="view", entities=[Entity(name="key")], source=source, **view)
    service = FeatureService(name="service", features=[given])
    return FeatureStore(definitions=[service]).build_training_set(service, spine(), include=("status",), **asked)


WINDOWS = {"features": [agg.count(window="50h"), agg.sum("v", window="10h"), agg.max("v", window="1h", offset="20h")]}
NEWEST = {"features": [latest("v")], "ttl": "2h"}


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize(
    ("view", "needed"),
    [(WINDOWS, [4, 5]), (NEWEST, [0, 1, 2, 3, 4, 5])],
    ids=["windows need what is in reach", "the newest fact may be any before"],
)
def test_row_groups_out_of_reach_and_other_columns_are_never_read(
    tmp_path: Path, view: dict[str, Any], needed: list[int], partitions: int, known: str
) -> None:
    path = tmp_path / "facts.parquet"
    pq.write_table(facts(), path, row_group_size=EACH)
    expected = built(tmp_path, view, known)
    corrupted(path, [g for g in range(GROUPS) if g not in needed], READ)
    corrupted(path, range(GROUPS), ("unread",))
    assert built(tmp_path, view, known, partitions=partitions).equals(expected)
    corrupted(path, [needed[0]], READ)  # and each of the others is
    with pytest.raises(SourceError, match="FS325"):
        built(tmp_path, view, known, partitions=partitions)


def test_a_cut_off_in_the_past_spares_what_was_known_later(tmp_path: Path) -> None:
    path, cut_off = tmp_path / "facts.parquet", FIRST + 2 * EACH * HOUR
    pq.write_table(facts(), path, row_group_size=EACH)
    expected = built(tmp_path, NEWEST, "created", known_before=cut_off)
    corrupted(path, range(3, GROUPS), READ)
    assert built(tmp_path, NEWEST, "created", known_before=cut_off).equals(expected)


def test_rows_left_out_are_counted_in_the_whole_source(tmp_path: Path) -> None:
    table = facts()
    keys = pa.array([None if i % 10 == 0 else i % 3 for i in range(table.num_rows)])
    pq.write_table(table.set_column(0, "key", keys), tmp_path / "facts.parquet", row_group_size=EACH)
    reports: list[Any] = []
    built(tmp_path, WINDOWS, report=reports.append)
    assert reports[0].left_out == {"view": {"key_null": GROUPS * EACH // 10}}
    assert reports[0].source_rows == {"facts": GROUPS * EACH}


def test_labels_read_ahead_of_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "facts.parquet"
    pq.write_table(facts(), path, row_group_size=EACH)
    source = ParquetSource(name="facts", path=str(path), event_timestamp="e", delay="0s")
    key = Entity(name="key")
    label = LabelView(name="soon", entities=[key], source=source, label=agg.count(window="60h"), gap="10h")
    pq.write_table(facts(), tmp_path / "others.parquet")
    others = ParquetSource(name="others", path=str(tmp_path / "others.parquet"), event_timestamp="e", delay="0s")
    view = FeatureView(name="view", entities=[key], source=others, features=[latest("v")])
    service = FeatureService(name="service", features=[view], labels=[label])
    store = FeatureStore(definitions=[service])
    counted = store.build_training_set(service, spine())["count_60h"].to_pylist()
    assert counted == [20] * EACH
    corrupted(path, [0, 1, 2, 3, 4, 8, 9], ("key", "v"))  # how far the source is known, its times tell
    assert store.build_training_set(service, spine())["count_60h"].to_pylist() == counted


def test_the_engine_is_given_only_rows_in_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(facts(), tmp_path / "facts.parquet", row_group_size=EACH)
    given: list[int] = []
    reader = Session.reader

    def counted(self: Session, *args: Any, **options: Any) -> pa.RecordBatchReader:
        given.extend(self.table("SELECT count(*) AS n FROM source__facts")["n"].to_pylist())
        return reader(self, *args, **options)

    monkeypatch.setattr(Session, "reader", counted)
    built(tmp_path, WINDOWS)
    assert given == [len(ASKED) + 50 - 1]


@pytest.mark.parametrize(
    ("several", "together"),
    [
        ([Needed(5, 9, 9), Needed(3, 7, None)], Needed(3, 9, None)),
        ([Needed(5, 9), EVERYTHING], EVERYTHING),
        ([Needed(None, 4, 4)], Needed(None, 4, 4)),
    ],
)
def test_parts_that_share_a_source_need_what_each_of_them_needs(several: list[Needed], together: Needed) -> None:
    assert union(several) == together


def test_the_manifest_of_a_narrow_build_is_that_of_a_whole_one(tmp_path: Path) -> None:
    pq.write_table(facts(), tmp_path / "facts.parquet", row_group_size=EACH)
    pq.write_table(spine(), tmp_path / "spine.parquet")
    for partitions in (1, 4):
        built(tmp_path, WINDOWS, output=tmp_path / f"{partitions}.parquet", partitions=partitions)
    one, four = (json.loads((tmp_path / f"{n}.parquet.manifest.json").read_text()) for n in (1, 4))
    assert {**one, "output": 0} == {**four, "output": 0}
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "4.parquet").read_bytes()
