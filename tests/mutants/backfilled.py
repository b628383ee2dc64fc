"""Stories of backfills, and of what late rows touch: short ones, for mutants to stumble over.

Instants are the seconds 0 to 9; statuses are told as one letter an instant: w for written, . for unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from featurestore import Entity, FeatureStore, FeatureView, ParquetSource, agg, latest
from featurestore.backfill import WRITTEN, Backfilled, making
from featurestore.intervals import FixedClock

UTC = pa.timestamp("us", "UTC")
SECOND = 1_000_000
Row = tuple[Any, ...]
VERSIONS = {"row_key": ["id"], "created_timestamp": "k", "deleted": "gone"}


def _write(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """Rows (key, event, value), or with versions (id, key, event, known, value, gone); times in seconds."""
    names = ["c", "e", "x"] if len(rows[0]) == 3 else ["id", "c", "e", "k", "x", "gone"]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    for time in ("e", "k"):
        if time in columns:
            micros = [None if t is None else round(t * SECOND) for t in columns[time]]
            columns[time] = pa.array(micros, pa.int64()).cast(UTC)
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def _store(
    folder: Path, features: Sequence[Any], *, ttl: str | None = None, exact: bool = False, **source: Any
) -> FeatureStore:
    known = source or {"delay": "0s"}
    facts = ParquetSource(name="facts", path=str(folder / "facts" / "*.parquet"), event_timestamp="e", **known)
    view = FeatureView(name="v", entities=[Entity(name="c")], source=facts, features=list(features), ttl=ttl,
                       allow_exact_matches=exact)  # fmt: skip
    return FeatureStore(definitions=[view], clock=FixedClock(100 * SECOND))


def _backfilled(store: FeatureStore, folder: Path, **more: Any) -> Backfilled:
    """Every instant is asked alone."""
    with mock.patch.object(making, "ROWS_TOGETHER", 0):
        return _all_together(store, folder, **more)


def _all_together(store: FeatureStore, folder: Path, output: str = "out", **more: Any) -> Backfilled:
    return store.backfill("v", 0, 10 * SECOND, every="1s", output=folder / output, **more)


def _told(done: Backfilled) -> str:
    return "".join("w" if p.status == WRITTEN else "." for p in done.partitions)


def _why(done: Backfilled) -> str:
    return "".join(p.reason[:1] or "." for p in done.partitions)


def _column(folder: Path, second: int, name: str) -> dict[int, Any]:
    table = pq.read_table(folder / "out" / f"instant=1970-01-01T00-00-0{second}Z" / "part.parquet", partitioning=None)
    return dict(zip(table["c"].to_pylist(), table[name].to_pylist(), strict=True))


def _again(store: FeatureStore, folder: Path, late: Sequence[Row]) -> str:
    """Why each instant is made anew after late rows; what was written is what a full run gives."""
    _write(folder / "facts", "late", late)
    done = _backfilled(store, folder)
    full = _all_together(store, folder, "full")
    for one, other in zip(done.partitions, full.partitions, strict=True):
        assert (folder / "out" / one.file).read_bytes() == (folder / "full" / other.file).read_bytes(), one
    return _why(done)


WINDOW = [agg.sum("x", window="3s")]


def _rows_are_the_keys_that_have_a_fact_by_then(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 2, 5), (2, 4, 7), (1, 4, 1)])
    store = _store(folder, [latest("x"), *WINDOW], ttl="2s")
    assert _told(_backfilled(store, folder)) == "w" * 10
    assert [_column(folder, at, "x") for at in (2, 3, 4, 5)] == [{}, {1: 5}, {1: 5}, {1: 1, 2: 7}]
    assert [_column(folder, at, "x") for at in (6, 7)] == [{1: 1, 2: 7}, {1: None, 2: None}]
    assert [_column(folder, at, "x_sum_3s") for at in (5, 6, 8)] == [{1: 6, 2: 7}, {1: 1, 2: 7}, {1: None, 2: None}]


def _exact_matches_see_their_instant(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 2, 5)])
    store = _store(folder, [latest("x"), *WINDOW], exact=True)
    _backfilled(store, folder)
    assert [_column(folder, at, "x_sum_3s") for at in (1, 2, 4, 5)] == [{}, {1: 5}, {1: 5}, {1: None}]


def _versions_count_as_they_were_known(folder: Path) -> None:
    rows = [("a", 1, 1, 1, 5, False), ("a", 1, 1, 3, 6, False), ("a", 1, 1, 5, 6, True), ("b", 2, 1, 4, 2, False)]
    _write(folder / "facts", "a", rows)
    store = _store(folder, [latest("x"), agg.sum("x", window=None)], **VERSIONS)
    _backfilled(store, folder)
    assert [_column(folder, at, "x") for at in (1, 2, 3, 4, 5, 6)] == [{}, {1: 5}, {1: 5}, {1: 6}, {1: 6, 2: 2}, {2: 2}]
    assert [_column(folder, at, "x_sum_lifetime") for at in (3, 4, 6)] == [{1: 5}, {1: 6}, {2: 2}]


def _late_rows_touch_what_sees_them(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    store = _store(folder, WINDOW)
    _backfilled(store, folder)
    assert _again(store, folder, [(1, 2, 1)]) == "...lll...."


def _late_rows_with_exact_matches_touch_their_instant(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    store = _store(folder, WINDOW, exact=True)
    _backfilled(store, folder)
    assert _again(store, folder, [(1, 2, 1)])[:5] == "..lll"


def _a_late_row_of_a_new_key_touches_all_that_follow(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5), (2, 7, 5)])
    store = _store(folder, WINDOW)
    _backfilled(store, folder)
    assert _again(store, folder, [(2, 2, 1)]) == "...lllll.."


def _a_late_row_of_a_key_nobody_knew_touches_all_that_follow(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    store = _store(folder, WINDOW)
    _backfilled(store, folder)
    assert _again(store, folder, [(2, 2, 1)]) == "...lllllll"


def _a_late_row_beyond_ttl_and_windows_touches_nothing_more(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    store = _store(folder, [latest("x"), *WINDOW], ttl="4s")
    _backfilled(store, folder)
    assert _again(store, folder, [(1, 1.5, 1)]) == "..llll...."


def _a_late_correction_touches_its_time_in_force(folder: Path) -> None:
    rows = [("a", 1, 1, 1, 5, False), ("a", 1, 1, 6, 9, False), ("b", 1, 0, 0, 1, False)]
    _write(folder / "facts", "a", rows)
    store = _store(folder, [latest("x")], **VERSIONS)
    _backfilled(store, folder)
    assert _again(store, folder, [("a", 1, 1, 3, 7, False)]) == "....lll..."


def _a_late_correction_out_of_reach_touches_nothing_more(folder: Path) -> None:
    _write(folder / "facts", "a", [("a", 1, 1, 1, 5, False), ("b", 1, 0, 0, 1, False)])
    store = _store(folder, WINDOW, **VERSIONS)
    _backfilled(store, folder)
    assert _again(store, folder, [("a", 1, 1, 2, 7, False)]) == "...ll....."


def _a_late_tombstone_takes_its_key_with_it(folder: Path) -> None:
    _write(folder / "facts", "a", [("a", 1, 1, 1, 5, False), ("b", 2, 0, 0, 1, False)])
    store = _store(folder, WINDOW, **VERSIONS)
    _backfilled(store, folder)
    assert _again(store, folder, [("a", 1, 1, 4, 5, True)]) == ".....lllll"


def _what_is_up_to_date_is_left_alone(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    store = _store(folder, WINDOW)
    _backfilled(store, folder)
    before = {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("*.parquet")}
    assert _why(_backfilled(store, folder)) == "." * 10
    assert {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("*.parquet")} == before


def _what_is_not_as_it_was_written_is_made_again(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    store = _store(folder, WINDOW)
    _backfilled(store, folder)
    files = sorted((folder / "out").rglob("*.parquet"))
    files[3].unlink()
    whole = files[5].read_bytes()
    files[5].write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    assert _why(_backfilled(store, folder)) == "...t.t...."
    assert files[5].read_bytes() == whole


def _another_definition_makes_all_anew(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    _backfilled(_store(folder, WINDOW), folder)
    other = _store(folder, [agg.sum("x", window="2s", name="x_sum_3s")])
    assert _why(_backfilled(other, folder)) == "t" * 10
    assert _column(folder, 3, "x_sum_3s") == {1: None}


def _a_file_that_is_gone_makes_all_anew(folder: Path) -> None:
    _write(folder / "facts", "a", [(1, 0, 5)])
    _write(folder / "facts", "b", [(1, 5, 3)])
    store = _store(folder, WINDOW)
    _backfilled(store, folder)
    (folder / "facts" / "b.parquet").unlink()
    done = _backfilled(store, folder)
    assert all(p.reason.endswith("b.parquet is gone or changed") for p in done.partitions)
    assert _told(done) == "......www."


STORIES = (
    _rows_are_the_keys_that_have_a_fact_by_then,
    _exact_matches_see_their_instant,
    _versions_count_as_they_were_known,
    _late_rows_touch_what_sees_them,
    _late_rows_with_exact_matches_touch_their_instant,
    _a_late_row_of_a_new_key_touches_all_that_follow,
    _a_late_row_of_a_key_nobody_knew_touches_all_that_follow,
    _a_late_row_beyond_ttl_and_windows_touches_nothing_more,
    _a_late_correction_touches_its_time_in_force,
    _a_late_correction_out_of_reach_touches_nothing_more,
    _a_late_tombstone_takes_its_key_with_it,
    _what_is_up_to_date_is_left_alone,
    _what_is_not_as_it_was_written_is_made_again,
    _another_definition_makes_all_anew,
    _a_file_that_is_gone_makes_all_anew,
)
BACKFILLED: Mapping[str, Callable[[Path], None]] = {
    f"backfilled-{story.__name__.removeprefix('_')}": story for story in STORIES
}
