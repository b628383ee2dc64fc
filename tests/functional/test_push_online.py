"""Pushed rows in online answers: at once, over every way of pushing, while runs go on, and after what may go wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.errors import StoreError, TooEarly
from featurestore.intervals import FixedClock, format_instant
from featurestore.materialization import applying, indexing, writing
from featurestore.online import runs
from featurestore.online.generations import change, generations
from featurestore.online.store import Batch
from featurestore.progress import Progress
from tests.functional.conftest import Cli
from tests.functional.serving import serving
from tests.redis_server import RedisServer

UTC = pa.timestamp("us", "UTC")
MINUTE = 60_000_000
START = 1_704_067_200_000_000
W = START + 600 * MINUTE
REGISTRY = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

payments = ParquetSource(
    name="payments", path="data/*.parquet", event_timestamp="at", created_timestamp="loaded", row_key=["id"], deleted="gone",
)
who = Entity(name="who", join_keys=["who"])
newest = FeatureView(name="newest", entities=[who], source=payments, ttl="10000d", features=[latest("x"), latest("note")])
sums = FeatureView(name="sums", entities=[who], source=payments, where="x > 0", features=[
    agg.sum("x", window=None, name="total"), agg.count(window="30m", name="lately"), agg.max("x", window="20h", name="most"),
])
everybody = FeatureView(name="everybody", entities=[], source=payments, features=[agg.count(window=None, name="n")])
service = FeatureService(name="service", features=[newest, sums, everybody])
"""


def row(number: int, who: int, x: float | None, at: int = W, **more: Any) -> dict[str, Any]:
    return {"id": number, "who": who, "x": x, "at": format_instant(at), "note": f"note {number}", **more}


def write(root: Path, name: str, rows: list[dict[str, Any]], loaded: int) -> None:
    given = [{"gone": False, **one, "at": START, "loaded": loaded} for one in rows]
    columns = {c: [one[c] for one in given] for c in given[0]}
    times = {c: pa.array(columns[c], pa.int64()).cast(UTC) for c in ("at", "loaded")}
    pq.write_table(pa.table({**columns, "x": pa.array(columns["x"], pa.float64()), **times}), root / "data" / f"{name}.parquet")


class Shop:
    """Payments of customers 0 to 4, one each, known and materialized at W; a clock that stands a minute later."""

    def __init__(self, root: Path, settings: str = "") -> None:
        self.root, self.clock = root, FixedClock(W + MINUTE)
        for folder in ("registry", "data"):
            (root / folder).mkdir(parents=True)
        (root / "featurestore.toml").write_text(f'[project]\nname = "shop"\n\n[server]\npush = true\n{settings}')
        (root / "registry" / "all.py").write_text(REGISTRY)
        write(root, "first", [row(who, who, 10.0 * (who + 1)) for who in range(5)], START)
        self.store = FeatureStore(root, clock=self.clock)
        self.store.materialize(known_before=W)

    def push(self, *rows: dict[str, Any]) -> int:
        """Returns: when the last of them became known; the clock stands a microsecond later."""
        self.store.push("payments", list(rows))
        [position] = self.store.push_positions(["payments"]).values()
        assert position
        known = self.clock.micros + len(rows) - 1
        self.clock.micros = known + 1
        return known

    def values(self, who: int, **more: Any) -> list[Any]:
        return self.store.get_online_features("service", {"who": who}, **more).rows[0]

    def statuses(self, who: int) -> list[str]:
        return self.store.get_online_features("service", {"who": who}).statuses[0]


@pytest.fixture(params=["lmdb", "redis"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    if request.param == "lmdb":
        made = Shop(tmp_path / "shop")
        yield made
        made.store.online.close()
        return
    with RedisServer(tmp_path) as server:
        made = Shop(tmp_path / "shop", f'\n[online]\nstore = "redis"\nurl = "{server.url}"\n')
        yield made
        made.store.online.close()


def test_a_new_fact_a_correction_a_move_and_a_deletion_are_in_the_next_answer(shop: Shop) -> None:
    assert shop.values(0) == [10.0, "note 0", 10.0, 0, 10.0, 5]
    shop.push(row(50, 0, 7.0))
    assert shop.values(0) == [7.0, "note 50", 17.0, 1, 10.0, 6]
    shop.push(row(0, 0, 11.0, START, note="corrected"))
    assert shop.values(0) == [7.0, "note 50", 18.0, 1, 11.0, 6]
    shop.push(row(50, 1, 7.0))
    assert shop.values(0) == [11.0, "corrected", 11.0, 0, 11.0, 6]
    assert shop.values(1) == [7.0, "note 50", 27.0, 1, 20.0, 6]
    shop.push(row(50, 1, 7.0, gone=True))
    assert shop.values(1) == [20.0, "note 1", 20.0, 0, 20.0, 5]
    shop.push(row(51, 77, 1.0), row(52, 77, -1.0))
    assert shop.values(77) == [-1.0, "note 52", 1.0, 1, 1.0, 7]
    assert shop.values(2) == [30.0, "note 2", 30.0, 0, 30.0, 7]


def test_what_no_record_can_tell_is_stale_until_the_next_run(shop: Shop) -> None:
    shop.push(row(3, 3, 1.0, gone=True))
    assert shop.statuses(3) == ["stale", "stale", "null", "present", "null", "present"]
    assert shop.values(3) == [None, None, None, 0, None, 4]
    shop.push(row(60, 3, 2.0))
    assert shop.values(3) == [2.0, "note 60", 2.0, 1, 2.0, 5], "a newer fact makes it known again"
    shop.push(row(60, 3, 2.0, START - MINUTE))
    assert shop.statuses(3)[:2] == ["stale", "stale"]
    shop.store.materialize(known_before=shop.clock.micros)
    assert shop.values(3) == [2.0, "note 60", 2.0, 0, 2.0, 5]


def test_a_fact_that_was_added_up_with_others_is_not_taken_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "MANY", 1)
    shop = Shop(tmp_path / "shop")
    shop.push(row(70, 1, 5.0))
    assert shop.values(1)[2:] == [25.0, 1, 20.0, 6]
    shop.push(row(1, 1, 21.0, START))
    assert shop.statuses(1)[:5] == ["present", "present", "stale", "stale", "stale"]
    assert shop.values(1) == [5.0, "note 70", None, None, None, None]
    shop.store.materialize(known_before=shop.clock.micros)
    assert shop.values(1) == [5.0, "note 70", 26.0, 1, 21.0, 6]
    shop.store.online.close()


def test_an_instant_before_the_newest_push_to_the_key_is_refused_by_name(shop: Shop) -> None:
    known = shop.push(row(80, 2, 3.0))
    assert shop.values(2, as_of=known)[0] == 30.0, "known at that instant, and so not before it"
    assert shop.values(2, as_of=known + 1)[0] == 3.0
    with pytest.raises(TooEarly, match=f"before the newest push to a key of view 'newest', {format_instant(known)}"):
        shop.values(2, as_of=known - 1)
    late = shop.push(row(81, 2, 4.0), row(80, 2, 3.5))
    assert shop.values(2, as_of=late)[:3] == [4.0, "note 81", 37.0], "of payment 80 the version before is in force"
    assert shop.values(2, as_of=late + 1)[:3] == [3.5, "note 80", 37.5]
    shop.clock.micros = known - 5
    answer = shop.store.get_online_features("service", {"who": [2, 3]})
    assert answer.as_of == late, "now is not before what is known"


def test_pushing_twice_and_in_another_order_ends_in_the_same_answers(tmp_path: Path) -> None:
    rows = [row(90, 0, 1.0), row(91, 0, 2.0), row(90, 1, 3.0), row(0, 0, 5.0, START), row(91, 0, None)]
    found = []
    for name, order in (("a", [0, 1, 2, 3, 4]), ("b", [1, 3, 0, 4, 2, 2, 4, 3]), ("c", [0, 0, 1, 1, 3, 2, 4])):
        shop = Shop(tmp_path / name)
        for number in order:
            shop.push(rows[number])
        found.append([shop.values(who) for who in range(3)])
        shop.store.online.close()
    assert found[0] == found[1] == found[2]


WAYS = {"full": (0, 1.0), "in place": (200_000, 1e9), "copy": (0, 1e9)}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_pushed_while_a_run_goes_on_is_in_the_answers_before_and_after_it(
    shop: Shop, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "IN_PLACE", WAYS[way][0])
    monkeypatch.setattr(writing, "MOST", WAYS[way][1])
    write(shop.root, "second", [row(10, 4, 4.0)], W)
    done: list[list[Any]] = []

    def push(progress: Progress) -> None:
        if len(done) < 2:
            shop.push(row(100 + len(done), 4, 1.0), row(4, 4, 55.0 + len(done), START))
            done.append(shop.values(4))

    shop.push(row(99, 4, 2.0))
    at = shop.clock.micros
    reports = shop.store.materialize(["newest", "sums"], known_before=at, full=way == "full", watch=push)
    assert {report.how for report in reports} <= {"new table", way}
    assert [values[2] for values in done] == [58.0, 60.0]
    assert shop.values(4)[:4] == [1.0, "note 101", 64.0, 3]
    shop.store.materialize(known_before=shop.clock.micros)
    assert shop.values(4)[:4] == [1.0, "note 101", 64.0, 3]


def test_records_too_large_to_be_changed_at_once_are_copied_or_made_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.push(row(99, 4, 2.0))
    monkeypatch.setattr(writing, "BYTES", 1)
    monkeypatch.setattr(writing, "MOST", 1e9)
    before = shop.values(4)
    reports = shop.store.materialize(known_before=shop.clock.micros)
    redis = shop.store.config.online.store == "redis"
    assert {report.how for report in reports} == {"new table" if redis else "copy"}
    reason = "the touched records are too large to be changed at once" if redis else ""
    assert {report.reason for report in reports} == {reason}
    assert shop.values(4) == before


def test_turning_back_leaves_what_was_pushed_online(shop: Shop) -> None:
    shop.push(row(110, 0, 6.0))
    shop.store.materialize(known_before=shop.clock.micros)
    shop.push(row(111, 0, 7.0))
    before = shop.values(0)
    assert before[:3] == [7.0, "note 111", 23.0]
    done = shop.store.rollback("sums")
    assert (done.watermark, shop.values(0)) == (format_instant(W), before)
    shop.push(row(112, 0, 8.0))
    assert shop.values(0)[:3] == [8.0, "note 112", 31.0]
    shop.store.materialize(known_before=shop.clock.micros)
    assert shop.values(0)[:3] == [8.0, "note 112", 31.0]


def test_a_key_forgotten_is_gone_from_what_was_pushed(shop: Shop, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.push(row(120, 3, 6.0), row(121, 9, 6.0))
    done = shop.store.forget("who", 9)
    assert {(r["view"], r["records"]) for r in done.removed} == {("newest", 1), ("sums", 1)}
    assert shop.statuses(9)[:4] == ["not_found", "not_found", "null", "present"]
    assert shop.values(3)[:3] == [6.0, "note 120", 46.0]
    shop.push(row(122, 9, 1.0))
    assert shop.values(9)[:3] == [1.0, "note 122", 1.0]


def test_pushes_that_could_not_be_brought_online_come_with_the_one_that_follows(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:

        def refuse(*_: Any, **__: Any) -> None:
            raise StoreError("FS405", "the disk is full")

        broken.setattr(shop.store.online, "write", refuse)
        shop.push(row(130, 0, 6.0))
        shop.push(row(130, 0, 6.5), row(131, 0, 1.0))
    assert "on the disk, and not online yet in any view: FS405" in caplog.text
    assert shop.values(0)[:3] == [10.0, "note 0", 10.0]
    shop.push(row(132, 1, 6.0))
    assert shop.values(0)[:3] == [6.5, "note 130", 17.5] or shop.values(0)[:3] == [1.0, "note 131", 17.5]
    assert shop.values(1)[:3] == [6.0, "note 132", 26.0]


def test_without_a_store_rows_are_taken_and_the_first_run_brings_them(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    other = FeatureStore(tmp_path / "shop", clock=shop.clock)
    other.config = other.config.model_copy(update={"online": other.config.online.model_copy(update={"path": "elsewhere"})})
    other.push("payments", [row(140, 0, 6.0)])
    assert not (tmp_path / "shop" / "elsewhere").exists()
    other.materialize(known_before=W)
    assert other.get_online_features("service", {"who": 0}).rows[0][:3] == [10.0, "note 0", 10.0]
    shop.clock.micros += 1
    assert other.get_online_features("service", {"who": 0}).rows[0][:3] == [6.0, "note 140", 16.0], "what arrived after W too"
    shop.store.online.close()
    other.online.close()


def other_project(root: Path, row_key: str, options: str = "") -> Path:
    """One view, of the latest x of whom `who` names."""
    for folder in ("registry", "data"):
        (root / folder).mkdir(parents=True)
    (root / "featurestore.toml").write_text('[project]\nname = "other"\n')
    (root / "registry" / "all.py").write_text(
        "from featurestore import Entity, FeatureService, FeatureView, ParquetSource, latest\n"
        f'rows = ParquetSource(name="rows", path="data/*.parquet", event_timestamp="at", delay="0s", row_key=["{row_key}"],\n'
        f"    {options})\n"
        'view = FeatureView(name="view", entities=[Entity(name="who")], source=rows, features=[latest("x")])\n'
        'service = FeatureService(name="service", features=[view])\n'
    )
    return root


ODD = {"a list that orders versions": ('row_order="order"', False), "an order of versions": ('row_order="n"', True)}


@pytest.mark.parametrize("what", ODD)
def test_what_only_a_run_can_read_waits_for_it(what: str, tmp_path: Path) -> None:
    options, at_once = ODD[what]
    root = other_project(tmp_path / "odd", "id", options)
    at = pa.array([START], pa.int64()).cast(UTC)
    table = pa.table({"id": [1], "who": [1], "at": at, "x": [1.0], "n": [5], "order": [[1]]})
    pq.write_table(table, root / "data" / "a.parquet")
    clock = FixedClock(W)
    store = FeatureStore(root, clock=clock)
    store.materialize()
    given = {"who": 1, "at": format_instant(START + 1), "x": 2.0, "order": [2]}
    store.push("rows", [{**given, "id": 2, "n": 1}, {**given, "id": 1, "x": 3.0, "at": format_instant(START + 2), "n": 4}])
    clock.micros += 5
    [[found]] = store.get_online_features("service", {"who": 1}).rows
    assert found == (2.0 if at_once else 1.0)
    store.materialize()
    [[found]] = store.get_online_features("service", {"who": 1}).rows
    assert found == (2.0 if what == "an order of versions" else 3.0)
    store.online.close()


def test_a_view_that_cannot_take_a_row_keeps_no_other_from_it(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Its last generation is of a definition in which the column had another type."""
    with shop.store.online.read() as snapshot:
        [sums] = [made for made in generations(snapshot) if made.name == "sums"]
    older = replace(sums, push={**sums.push, "types": {**sums.push["types"], "x": "int32"}})
    shop.store.online.write(lambda batch: change(batch, older, kept=False))
    for number in range(2):
        assert shop.store.push("payments", [row(400 + number, 0, 1.5)])["accepted"] == 1
        shop.clock.micros += 1
        assert shop.values(0)[:3] == [1.5, f"note {400 + number}", 10.0]
    assert "not online yet in view 'sums'" in caplog.text
    shop.store.materialize(known_before=shop.clock.micros)
    assert shop.values(0)[:3] == [1.5, "note 401", 13.0]


def test_a_key_with_very_many_pushed_rows_is_stale_until_the_next_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "MOST", 5)
    for number in range(5):
        shop.push(row(500 + number, 2, 1.0))
    assert shop.values(2)[2:] == [35.0, 5, 30.0, 10]
    shop.push(row(505, 2, 1.0))
    shop.push(row(506, 2, 1.0))
    assert set(shop.statuses(2)) == {"stale"}
    assert shop.values(1)[:3] == [20.0, "note 1", 20.0]
    shop.store.materialize(known_before=shop.clock.micros)
    assert shop.values(2)[2:] == [37.0, 7, 30.0, 12]


def test_a_row_that_was_a_forgotten_key_s_is_not_taken_out_of_another_s_record_twice(shop: Shop) -> None:
    write(shop.root, "second", [row(600, 1, 5.0), row(601, 1, 5.0)], W)
    shop.store.materialize(known_before=W + 1)
    assert shop.values(1)[2] == 30.0
    shop.push(row(600, 9, 5.0, START))
    assert shop.values(1)[2] == 25.0
    shop.store.forget("who", 9)
    assert shop.statuses(1)[2] == "stale", "whether the row still is somebody's only the log could tell"
    shop.push(row(600, 3, 5.0, START))
    assert shop.statuses(1)[2] == "stale"
    assert shop.values(3)[2] == 45.0
    shop.store.materialize(known_before=shop.clock.micros)
    assert (shop.values(1)[2], shop.values(3)[2]) == (25.0, 45.0)


def test_many_short_pushes_do_not_keep_a_long_write_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's transaction takes longer than pushes are apart: in Redis, where the last to come loses, it has its turn."""
    with RedisServer(tmp_path) as server:
        shop = Shop(tmp_path / "shop", f'\n[online]\nstore = "redis"\nurl = "{server.url}"\n')
        other, done, pushed = FeatureStore(tmp_path / "shop", clock=shop.clock), threading.Event(), [0]

        def push() -> None:
            while not done.is_set():
                pushed[0] += 1
                other.push("payments", [row(10_000 + pushed[0], 2, 1.0)])

        original = runs.advance

        def slowly(batch: Batch, run: runs.Running) -> None:
            original(batch, run)
            time.sleep(0.1)

        monkeypatch.setattr(runs, "advance", slowly)
        thread = threading.Thread(target=push)
        thread.start()
        try:
            reports = shop.store.materialize(known_before=W + 1, full=True)
            assert shop.store.forget("who", 4).removed
        finally:
            done.set()
            thread.join()
        assert {report.how for report in reports} == {"new table"}
        assert pushed[0] > 20
        shop.clock.micros += 10**6
        assert shop.values(2)[5] == 5 + pushed[0]
        shop.store.materialize(known_before=shop.clock.micros, full=True)  # and whom it forgot is in the files still
        assert shop.store.verify("service", sample=30).ok
        shop.store.online.close()
        other.online.close()


def test_rows_kept_for_pushes_are_made_anew_once_most_are_out_of_reach(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "IN_PLACE", 2)
    monkeypatch.setattr(writing, "MOST", 1e9)
    reasons = []
    for number in range(30):
        shop.push(row(700 + number, 0, 1.0, W + number))
        [report] = shop.store.materialize(["newest"], known_before=shop.clock.micros)
        reasons.append(report.reason)
    assert set(reasons) == {"", "most of what is kept of rows is of facts out of reach"}
    with shop.store.online.read() as snapshot:
        [made] = [made for made in generations(snapshot) if made.name == "newest"]
        assert snapshot.count(f"{made.table}/rows") <= 4 * 5 + 1


def test_a_row_key_of_lists_waits_for_runs(tmp_path: Path) -> None:
    root = other_project(tmp_path / "lists", "days")
    days = pa.array([[1, 2]], pa.list_(pa.int32())).cast(pa.list_(pa.date32()))
    at = pa.array([START], pa.int64()).cast(UTC)
    pq.write_table(pa.table({"days": days, "who": [1], "at": at, "x": [1.0]}), root / "data" / "a.parquet")
    store = FeatureStore(root, clock=FixedClock(W))
    store.materialize()
    store.push("rows", [{"days": ["1970-01-02", "1970-01-03"], "who": 1, "at": format_instant(START + 1), "x": 2.0}])
    assert store.get_online_features("service", {"who": 1}).rows == [[1.0]]
    store.online.close()


# Over HTTP.


@pytest.mark.parametrize("workers", [1, 2])
def test_over_http_a_pushed_row_is_in_the_next_answer(workers: int, tmp_path: Path) -> None:
    with closing(Shop(tmp_path / "shop").store.online):
        pass
    with serving(tmp_path / "shop", workers=workers, script=tmp_path / "program.py") as server:
        for number in range(20):
            body = json.dumps({"rows": [row(200 + number, 3, float(number))]}).encode()
            pushed = server.send("POST", "/v1/push/payments", body, {"content-type": "application/json"})
            assert pushed.status == 200
            question = {"feature_service": "service", "entities": {"who": [3]}, "include": ["statuses"]}
            answer = server.ask(question).json
            assert answer["rows"][0][:2] == [float(number), f"note {200 + number}"]
            assert answer["rows"][0][5] == 6 + number
        early = server.ask({**question, "as_of": format_instant(W + 2)})
        assert (early.status, early.json["code"]) == (409, "FS503")
        assert "the newest push to a key of view 'newest'" in early.json["detail"]
        feast = {"feature_service": "service", "entities": {"who": [3]}}
        assert server.send(
            "POST", "/get-online-features", json.dumps(feast).encode(), {"content-type": "application/json"}
        ).json["results"][0]["values"] in ([19.0], [3])
        stream = server.send("POST", "/v1/online-features", json.dumps(question).encode(),
                             {"content-type": "application/json", "accept": "application/vnd.apache.arrow.stream"})  # fmt: skip
        assert pa.ipc.open_stream(stream.body).read_all()["x"].to_pylist() == [19.0]


def test_verify_finds_no_difference_after_pushes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.push(row(300, 0, 1.0), row(1, 0, 2.0, START), row(301, 8, 3.0))
    shop.push(row(2, 2, 1.0, gone=True))
    write(shop.root, "second", [row(302, 4, 4.0)], W + 2 * MINUTE)
    done = shop.store.verify("service", sample=200)
    assert done.ok
    assert done.cells["stale"] > 0
    tables = _pushed_tables(shop)
    with shop.store.online.read() as snapshot:
        [(key, _)] = [pair for pair in snapshot.scan(tables["sums"]) if pair[0][:1] == b"\0"][:1]
    shop.store.online.write(lambda batch: batch.delete(tables["sums"], [key]))
    shop.store.reader.forget()
    broken = shop.store.verify("service", sample=200)
    assert not broken.ok
    assert broken.cells["different"] > 0


def _pushed_tables(shop: Shop) -> dict[str, str]:
    with shop.store.online.read() as snapshot:
        return {made.name: f"{made.name}@{made.number}/pushed" for made in generations(snapshot)}
