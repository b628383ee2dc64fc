"""The serve log by itself: what a writer loses and keeps, what is read while it changes, what goes, and what is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import serve_log
from featurestore.errors import StoreError, UsageError
from featurestore.intervals import MICROS_PER_DAY, FixedClock, parse_instant
from featurestore.serve_log import layout, reading, retention, writer
from featurestore.serve_log.redaction import Redaction
from featurestore.serve_log.secret import Hasher
from featurestore.serve_log.writer import DISK, ERROR, QUEUE, Limits, Piece, Writer
from tests.functional.serving import within_seconds
from tests.needs import ROOT

NOW = parse_instant("2026-01-02T00:00:00Z")
FULL = (-(2**62), 2**62)
LIMITS = Limits(queue=1_000, every=3_600, retention=30 * MICROS_PER_DAY, size=10**9)


def table(t: Sequence[int], **columns: Any) -> pa.Table:
    """Rows asked for at some instants."""
    shared: dict[str, Any] = {"served_at": NOW, "latency_us": 5, "fingerprint": "f", "watermarks": "{}", "request_id": "r",
                              "sampled": 1.0}  # fmt: skip
    made = {"t": pa.array(t, pa.int64()).cast(layout.COLUMNS["t"])}
    for name, value in shared.items():
        plain = pa.array([value] * len(t), pa.int64() if name == "served_at" else layout.COLUMNS[name])
        made[name] = plain.cast(layout.COLUMNS[name])
    for name, values in columns.items():
        made[name] = values
        made[f"{name}__status"] = pa.array(["present"] * len(t))
    return pa.table(made)


def pieces(served: Sequence[tuple[str, pa.Table]]) -> Iterator[Piece]:
    yield from (Piece(service, "f", rows) for service, rows in served)


def logged(folder: Path, *tables: pa.Table, service: str = "s", clock: FixedClock | None = None) -> Writer[Any]:
    """A log of some files."""
    made: Any = None
    for one in tables:
        made = Writer(folder, pieces, LIMITS, clock or FixedClock(NOW))
        made.add((service, one), one.num_rows)
        made.close(10)
    return made


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers look into their queue all the time."""
    monkeypatch.setattr(writer, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(writer, "PATIENCE", 0)


def values(found: pa.Table, name: str = "x") -> list[Any]:
    return found[name].to_pylist()  # type: ignore[no-any-return]


# Writing.


def test_what_is_added_is_read(tmp_path: Path) -> None:
    one = table([1, 2], x=pa.array([1.5, None]))
    made = logged(tmp_path, one)
    assert serve_log.services(tmp_path) == ["s"]
    assert serve_log.read(tmp_path, "s", 0, 3).equals(one)
    assert (made.rows, made.files, sum(made.dropped.values())) == (2, 1, 0)
    assert serve_log.size(tmp_path) == (1, made.bytes)
    assert os.listdir(tmp_path / "s") == ["2026-01-02"]


def test_a_full_queue_drops_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOOK_EVERY", 3_600)
    made = Writer(tmp_path, pieces, LIMITS._replace(queue=10))
    start = time.perf_counter()
    for i in range(7):
        made.add(("s", table([i, i], x=pa.array([i, i]))), 2)
    assert time.perf_counter() - start < 1
    assert made.dropped[QUEUE] == 4
    made.close(10)
    assert values(serve_log.read(tmp_path, "s", *FULL)) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_the_queue_has_room_again_once_it_was_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    made = Writer(tmp_path, pieces, LIMITS._replace(queue=2))
    for i in range(5):
        made.add(("s", table([i, i], x=pa.array([i, i]))), 2)
        assert within_seconds(lambda: not made._waiting and made._added == made._taken)
    made.close(10)
    assert (made.rows, made.dropped[QUEUE]) == (10, 0)


def test_a_disk_that_hangs_costs_rows_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    hurry(monkeypatch)
    monkeypatch.setattr(writer, "commit", lambda *_: hangs.wait())
    made = Writer(tmp_path, pieces, LIMITS._replace(queue=4, every=0))
    made.add(("s", table([0])), 1)
    assert within_seconds(lambda: not made._waiting)
    start = time.perf_counter()
    for i in range(100):
        made.add(("s", table([i])), 1)
    made.close(0.05)
    assert time.perf_counter() - start < 5
    assert made.dropped[QUEUE] in (96, 97)
    hangs.set()
    made.close(10)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")])
def test_what_the_disk_does_not_take_is_counted_told_once_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: OSError
) -> None:
    def refuse(*_: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(writer, "commit", refuse)
        broken.setattr(writer, "FILE_ROWS", 1)
        broken.setattr(writer, "PIECE_ROWS", 1)
        hurry(broken)
        made = Writer(tmp_path, pieces, LIMITS)
        made.add(("s", table([1])), 1)
        made.add(("s", table([2])), 1)
        assert within_seconds(lambda: made.dropped[DISK] == 2)
    made.add(("s", table([3], x=pa.array([7]))), 1)
    made.close(10)
    assert values(serve_log.read(tmp_path, "s", *FULL)) == [7]
    assert [record.message for record in caplog.records] == [
        "rows of the serve log are lost; featurestore_serve_log_dropped_rows counts them"
    ]
    assert not list(tmp_path.rglob("*.partial"))


def test_a_defect_costs_its_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(served: Sequence[tuple[str, pa.Table]]) -> Iterator[Piece]:
        if served[0][0] == "bad":
            raise RuntimeError
        return pieces(served)

    monkeypatch.setattr(writer, "PIECE_ROWS", 1)
    made = Writer(tmp_path, broken, LIMITS)
    for service in ("a", "bad", "b"):
        made.add((service, table([1, 2])), 2)
    made.close(10)
    assert serve_log.services(tmp_path) == ["a", "b"]
    assert (made.rows, made.dropped[ERROR]) == (4, 2)


def test_a_file_that_cannot_be_put_together_ends_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(tables: Sequence[pa.Table]) -> list[pa.Table]:
        if tables[0].num_rows == 1:
            raise MemoryError
        return list(tables)

    monkeypatch.setattr(writer, "_together", broken)
    made = Writer(tmp_path, pieces, LIMITS)
    for service, rows in (("a", [1]), ("b", [1, 2])):
        made.add((service, table(rows)), len(rows))
    made.close(10)
    assert (made.rows, made.dropped[ERROR]) == (2, 1)


def test_a_file_holds_what_came_in_its_time_or_as_much_as_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(writer, "FILE_ROWS", 4)
    slow = Writer(tmp_path / "slow", pieces, LIMITS)
    for i in range(3):
        slow.add(("s", table([i, i])), 2)
        assert within_seconds(lambda: not slow._waiting)
    assert within_seconds(lambda: slow.rows == 4)
    slow.close(10)
    assert (slow.rows, slow.files) == (6, 2)
    quick = Writer(tmp_path / "quick", pieces, LIMITS._replace(every=0))
    quick.add(("s", table([1])), 1)
    assert within_seconds(lambda: quick.rows == 1), "written without being closed"
    quick.close(10)


def test_a_file_per_service_and_more_where_types_differ(tmp_path: Path) -> None:
    made = Writer(tmp_path, pieces, LIMITS)
    for service, one in [("a", table([1], x=pa.array([1]))), ("b", table([1])), ("a", table([2], y=pa.array(["v"]))),
                         ("a", table([3], x=pa.array(["w"])))]:  # fmt: skip
        made.add((service, one), 1)
    made.close(10)
    assert (len(serve_log.files(tmp_path, "a", *FULL)), made.rows) == (3, 4)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the serve log: not a directory") as refused:
        Writer(tmp_path / "file" / "log", pieces, LIMITS)
    assert refused.value.code == "FS486"


def test_a_writer_that_is_killed_leaves_whole_files_and_what_it_left_aside_is_swept(tmp_path: Path) -> None:
    """It dies between the write and the rename of its second file."""
    program = f"""
import os, sys
from pathlib import Path
import pyarrow as pa
from featurestore.serve_log import layout, writer
commit = writer.commit
def once(written, path):
    commit(written, path)
    writer.commit = lambda *_: os._exit(9)
writer.commit, writer.PIECE_ROWS, writer.FILE_ROWS = once, 1, 1
pieces = lambda served: [writer.Piece("s", "f", pa.table({{"t": pa.array(served).cast(layout.COLUMNS["t"])}}))]
made = writer.Writer(Path({str(tmp_path)!r}), pieces, writer.Limits(9, 3_600, 10**15, 10**9))
made.add(1, 1)
made.add(2, 1)
made.close(60)
"""
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert done.returncode == 9
    assert len(list(tmp_path.rglob("*.partial"))) == 1
    assert serve_log.read(tmp_path, "s", *FULL).num_rows == 1
    (tmp_path / "s" / "2026-01-01").mkdir()
    other = tmp_path / "s" / "2026-01-01" / f".x.parquet.{os.getpid()}.partial"
    other.write_text("of one that lives")
    retention.sweep(tmp_path)
    assert list(tmp_path.rglob("*.partial")) == [other]


def test_few_rows_wait_for_more_but_not_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(writer, "PATIENCE", 0.5)
    looked: list[int] = []

    def watched(served: Sequence[tuple[str, pa.Table]]) -> Iterator[Piece]:
        looked.append(len(served))
        return pieces(served)

    made = Writer(tmp_path, watched, LIMITS._replace(queue=20))
    made.add(("s", table([1])), 1)
    assert within_seconds(lambda: looked == [1])
    for i in range(5):
        made.add(("s", table([i])), 1)
    assert within_seconds(lambda: looked == [1, 5])
    for i in range(5):
        made.add(("s", table([i])), 2)  # half the queue: at once
    assert within_seconds(lambda: looked == [1, 5, 5], 0.4)
    made.close(10)


# Reading.


def test_rows_are_found_by_the_instant_they_were_asked_for(tmp_path: Path) -> None:
    logged(tmp_path, table([10, 20, 30], x=pa.array([1, 2, 3])), table([25, 5], x=pa.array([4, 5])))
    for start, end, expected in [(10, 30, [1, 2, 4]), (20, 25, [2]), (25, 26, [4]), (31, 99, []), (-9, 6, [5])]:
        assert sorted(values(serve_log.read(tmp_path, "s", start, end), "t" if not expected else "x")) == expected
    assert len(serve_log.files(tmp_path, "s", 30, 99)) == 1
    assert len(serve_log.files(tmp_path, "s", 25, 26)) == 2


def test_columns_are_chosen_and_t_need_not_be_among_them(tmp_path: Path) -> None:
    logged(tmp_path, table([1, 2], x=pa.array([1, 2]), y=pa.array([3, 4])))
    found = serve_log.read(tmp_path, "s", 2, 3, columns=["y", "unheard_of"])
    assert (found.column_names, values(found, "y")) == (["y"], [4])
    assert [batch.schema.names for batch in serve_log.batches(tmp_path, "s", 0, 9, ["x", "t"])] == [["t", "x"]]


def test_without_rows_there_is_an_empty_table(tmp_path: Path) -> None:
    found = serve_log.read(tmp_path / "none", "s", *FULL)
    assert (found.num_rows, found.column_names) == (0, list(layout.COLUMNS))
    assert serve_log.services(tmp_path / "none") == []
    assert list(serve_log.batches(tmp_path, "s", *FULL)) == []


def test_a_definition_that_changed_leaves_nulls_where_it_had_no_such_feature(tmp_path: Path) -> None:
    logged(tmp_path, table([1], x=pa.array([1])), table([2], x=pa.array([2]), y=pa.array(["new"])))
    found = serve_log.read(tmp_path, "s", *FULL)
    assert found.select(["x", "y", "y__status"]).to_pydict() == {
        "x": [1, 2], "y": [None, "new"], "y__status": [None, "present"],
    }  # fmt: skip


def test_types_that_agree_are_joined_and_of_others_the_newest_counts(tmp_path: Path) -> None:
    logged(tmp_path / "wider", table([1], x=pa.array([1], pa.int32())), table([2], x=pa.array([2.5])))
    assert values(serve_log.read(tmp_path / "wider", "s", *FULL)) == [1.0, 2.5]
    logged(tmp_path / "other", table([1], x=pa.array([1])), table([2], y=pa.array([1])), table([3], x=pa.array(["new"])))
    assert values(serve_log.read(tmp_path / "other", "s", *FULL)) == [None, "new"]


def test_a_draw_is_uniform_in_order_and_told_by_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS_AT_A_TIME", 64)
    logged(tmp_path, *(table(range(i, i + 500), x=pa.array(range(i, i + 500))) for i in (0, 500)))
    drawn = values(serve_log.read(tmp_path, "s", *FULL, most=100, seed=3))
    assert (len(drawn), drawn) == (100, sorted(set(drawn)))
    assert values(serve_log.read(tmp_path, "s", *FULL, most=100, seed=3)) == drawn
    assert values(serve_log.read(tmp_path, "s", *FULL, most=100, seed=4)) != drawn
    assert values(serve_log.read(tmp_path, "s", *FULL, most=1_000)) == list(range(1_000))
    assert serve_log.read(tmp_path, "s", *FULL, most=0).num_rows == 0
    halves = [sum(x < 500 for x in values(serve_log.read(tmp_path, "s", *FULL, most=100, seed=seed))) for seed in range(20)]
    assert 900 < sum(halves) < 1_100  # of 2,000 draws; five standard deviations


def test_a_draw_holds_little_more_than_it_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROWS_AT_A_TIME", 50)
    logged(tmp_path, table(range(900)))
    held, before = [], reading._least

    def watched(kept: Any, most: int) -> Any:
        held.append(sum(batch.num_rows for batch, _ in kept))
        return before(kept, most)

    monkeypatch.setattr(reading, "_least", watched)
    assert serve_log.read(tmp_path, "s", *FULL, most=40).num_rows == 40
    assert max(held) <= 2 * 40 + 50


def test_a_file_that_goes_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    logged(tmp_path, *(table([i], x=pa.array([i])) for i in range(3)))
    found = serve_log.batches(tmp_path, "s", *FULL)
    assert next(found)["x"].to_pylist() == [0]
    serve_log.files(tmp_path, "s", 1, 2)[0].unlink()
    assert [batch["x"].to_pylist() for batch in found] == [[2]]


def test_it_is_read_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(writer, "PIECE_ROWS", 1)
    made = Writer(tmp_path, pieces, LIMITS._replace(every=0))
    seen = 0
    for i in range(60):
        made.add(("s", table([i], x=pa.array([i]))), 1)
        found = values(serve_log.read(tmp_path, "s", *FULL)) if made.files else []
        assert found == list(range(len(found)))
        assert len(found) >= seen
        seen = len(found)
    made.close(10)
    assert values(serve_log.read(tmp_path, "s", *FULL)) == list(range(60))


@pytest.mark.parametrize("how", ["garbage", "cut off", "foreign", "newer"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, how: str) -> None:
    logged(tmp_path, table([1]))
    (path,) = serve_log.files(tmp_path, "s", *FULL)
    if how == "garbage":
        path.write_bytes(b"PAR1 and so on")
    elif how == "cut off":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        metadata = None if how == "foreign" else {layout.FORMAT_KEY: "2"}
        pq.write_table(table([1]).replace_schema_metadata(metadata), path)
    with pytest.raises(StoreError, match="format 2" if how == "newer" else "cannot be read") as refused:
        serve_log.read(tmp_path, "s", *FULL)
    assert (refused.value.code, refused.value.where) == ("FS485", str(path))


def test_what_is_none_of_the_logs_is_left_alone(tmp_path: Path) -> None:
    logged(tmp_path, table([1]))
    (tmp_path / "s" / "2026-01-02" / "notes.parquet").write_text("")
    (tmp_path / "s" / "README").write_text("")
    (tmp_path / "README").write_text("")
    assert serve_log.services(tmp_path) == ["s"]
    assert serve_log.read(tmp_path, "s", *FULL).num_rows == 1
    assert serve_log.drop_before(tmp_path, 2**62) == 1
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["notes.parquet"]


# What goes.


def test_days_that_are_too_old_go(tmp_path: Path) -> None:
    for day in range(3):
        logged(tmp_path, table([day]), clock=FixedClock(NOW + day * MICROS_PER_DAY + 5))
    assert serve_log.drop_before(tmp_path, NOW + MICROS_PER_DAY - 1) == 0
    assert serve_log.drop_before(tmp_path, NOW + MICROS_PER_DAY) == 1
    assert os.listdir(tmp_path / "s") != []
    assert sorted(os.listdir(tmp_path / "s")) == ["2026-01-03", "2026-01-04"]


def test_the_oldest_files_go_where_the_log_takes_too_much(tmp_path: Path) -> None:
    for day, service in enumerate("abc"):
        logged(tmp_path, table([99 - day]), service=service, clock=FixedClock(NOW + day * MICROS_PER_DAY))
    files, taken = serve_log.size(tmp_path)
    assert (files, retention.drop_beyond(tmp_path, taken)) == (3, 0)
    assert retention.drop_beyond(tmp_path, taken - 1) == 1
    assert serve_log.services(tmp_path) != []
    assert [one.path.parts[-3] for one in reading.all_files(tmp_path)] == ["b", "c"]


def test_a_writer_deletes_what_has_to_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.setattr(writer, "TIDY_EVERY", 0)
    logged(tmp_path, table([1]), clock=FixedClock(NOW))
    logged(tmp_path, table([2]), table([3]), clock=FixedClock(NOW + 40 * MICROS_PER_DAY))
    clock = FixedClock(NOW + 40 * MICROS_PER_DAY)
    made = Writer(tmp_path, pieces, LIMITS, clock)
    assert within_seconds(lambda: serve_log.size(tmp_path)[0] == 2)
    made.close(10)
    small = Writer(tmp_path, pieces, LIMITS._replace(size=serve_log.size(tmp_path)[1] - 1), clock)
    assert within_seconds(lambda: serve_log.size(tmp_path)[0] == 1)
    small.close(10)
    assert values(serve_log.read(tmp_path, "s", *FULL), "t") == values(table([3]), "t")


# What is hidden.

WEATHER = {"name": "weather", "keys": [{"name": "airport"}], "features": [{"name": "temperature"}, {"name": "wind"}]}


def computed(name: str, reads: str) -> dict[str, Any]:
    return {"name": name, "type": "double", "expression": {"call": "nullif", "args": [{"column": reads}, {"column": reads}]}}


TRIPS: dict[str, Any] = {
    "name": "trips",
    "instances": [
        {"name": end, "view": "weather", "keys": [[end, "airport"]], "features": [[f"{end}_temperature", "temperature"]],
         "hidden": [["trips.wind", "wind"]] if end == "origin" else []}
        for end in ("origin", "target")
    ],
    "on_demand": [
        {"name": "cold_felt", "view": "felt", "request": {"coat": "bool"},
         "operands": [["coat", "request", "coat", "bool"], ["gale", "feature", "trips.wind", "double"],
                      ["as_of", "as_of", "as_of", "timestamp[us, UTC]"]],
         "features": [computed("cold_felt_cold", "as_of"), computed("cold_felt_wind", "gale"), computed("cold_worn", "coat")]}
    ],
}  # fmt: skip
COMPOSED = {
    "name": "",
    "instances": [{"name": "weather", "view": "weather", "keys": [["airport", "airport"]],
                   "features": [["weather__temperature", "temperature"], ["weather__wind", "wind"]]}],
    "on_demand": [{**TRIPS["on_demand"][0], "name": "felt", "features": [computed("felt__felt_cold", "as_of")]}],
}  # fmt: skip
EVERYTHING = [
    "airport", "coat", "felt__felt_cold", "origin", "origin_temperature", "target", "target_temperature", "cold_felt_cold",
    "cold_felt_wind", "cold_worn", "weather__temperature", "weather__wind",
]  # fmt: skip
HIDDEN = {
    "origin": {"origin", "airport"},
    "airport": {"origin", "target", "airport"},
    "temperature": {"origin_temperature", "target_temperature", "weather__temperature"},
    "weather__temperature": {"origin_temperature", "target_temperature", "weather__temperature"},
    "origin_temperature": {"origin_temperature", "weather__temperature"},
    "origin__origin_temperature": {"origin_temperature", "weather__temperature"},
    "wind": {"weather__wind", "cold_felt_wind"},
    "coat": {"coat", "cold_worn"},
    "felt_cold": {"cold_felt_cold", "felt__felt_cold"},
    "felt__felt_cold": {"cold_felt_cold", "felt__felt_cold"},
    "cold_felt_cold": {"cold_felt_cold", "felt__felt_cold"},
}
"""A name of `redact` -> the columns that it hides, in a service and in what Feast's clients put together."""


@pytest.mark.parametrize("name", HIDDEN)
def test_a_name_hides_what_is_called_so_under_all_its_names(name: str) -> None:
    redaction = Redaction([name])
    redaction.learn([TRIPS], [WEATHER])
    redaction.check()
    left: set[str] = set()
    computed_too = ["cold_felt_cold", "cold_felt_wind", "cold_worn"]
    for service, names in ((TRIPS, ["origin_temperature", "target_temperature", *computed_too]),
                           (COMPOSED, ["weather__temperature", "weather__wind", "felt__felt_cold"])):  # fmt: skip
        shown = redaction.shown(service, names)
        left |= {*shown.keys, *shown.request, *(names[i] for i in shown.features)}
    assert set(EVERYTHING) - left == HIDDEN[name]


def test_a_name_that_nothing_has_is_refused() -> None:
    redaction = Redaction(["temprature", "wind"])
    assert redaction.unknown == ["temprature", "wind"]
    redaction.learn([TRIPS], [WEATHER])
    with pytest.raises(UsageError, match=r"nothing that is served is called 'temprature'.*try temperature") as refused:
        redaction.check()
    assert refused.value.code == "FS107"
    redaction.learn([], [{"name": "other", "keys": [], "features": [{"name": "temprature"}]}])
    redaction.check()


def test_keys_hash_alike_with_one_secret_and_otherwise_with_another(tmp_path: Path) -> None:
    path = tmp_path / "made" / "secret"
    first, again, other = Hasher(path), Hasher(path), Hasher(tmp_path / "other")
    found = first.hashed([7, Decimal(7), 8, 2**70, None], "integer")
    assert found == again.hashed([7, Decimal(7), 8, 2**70, None], "integer")
    assert found[0] == found[1] != found[2]
    assert (found[4], {len(one) for one in found if one}) == (None, {32})
    assert other.hashed([7], "integer") != found[:1] != first.hashed(["7"], "text")
    assert first.hashed([10**60], "integer") == again.hashed([10**60], "integer") != first.hashed([10**60 + 1], "integer")
    assert (path.stat().st_mode & 0o777, os.listdir(path.parent)) == (0o600, ["secret"])


def test_one_secret_is_made_by_many(tmp_path: Path) -> None:
    made, ready = [], threading.Barrier(8)

    def make() -> None:
        ready.wait()
        made.append(Hasher(tmp_path / "secret").hashed([1], "integer")[0])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(set(made)), os.listdir(tmp_path)) == (8, 1, ["secret"])


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 31, "é" * 64])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_text(text, encoding="utf-8")
    with pytest.raises(StoreError) as refused:
        Hasher(tmp_path / "secret")
    assert refused.value.code == "FS484"
    assert "é" not in str(refused.value)


# What columns are called.


def test_names_of_columns_tell_what_they_hold() -> None:
    columns = [*layout.COLUMNS, "key.customer_id", "request.amount", "feature.t", "t__status", "x", "x__status"]
    assert (serve_log.features(columns), serve_log.keys(columns)) == (["t", "x"], ["customer_id"])
    assert serve_log.request_columns(columns) == ["amount"]
    assert [serve_log.column_of(name) for name in ("t", "x", "sampled")] == ["feature.t", "x", "feature.sampled"]
    assert serve_log.status_of("t") == "t__status"
