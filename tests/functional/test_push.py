"""Pushing by command, in Python and over HTTP: taken rows are on the disk and in answers, refused ones leave nothing."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore
from featurestore.intervals import format_instant
from featurestore.materialization.forget import _is_key
from featurestore.sources.push_log import read_log
from tests.functional.conftest import Cli, Outcome, contents
from tests.functional.serving import Served, serving

REGISTRY = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

payments = ParquetSource(
    name="payments", path="data/payments.parquet", event_timestamp="paid_at", created_timestamp="loaded_at",
    row_key=["payment_id"], deleted="is_deleted",
)
clicks = ParquetSource(name="clicks", path="data/clicks.parquet", event_timestamp="at", delay="0s")
customer = Entity(name="customer", join_keys=["customer_id"])
view = FeatureView(
    name="spending", entities=[customer], source=payments,
    features=[latest("amount"), agg.sum("amount", window=None, name="total"), agg.count(window=None, name="n")],
)
others = FeatureView(name="others", entities=[customer], source=clicks, features=[latest("page")])
service = FeatureService(name="fraud", features=[view])
"""
UTC = pa.timestamp("us", "UTC")
HOUR = 3_600_000_000
PAID = 1_704_067_200_000_000


def row(payment: int, amount: float | None = 1.0, **more: Any) -> dict[str, Any]:
    return {"payment_id": payment, "customer_id": 7, "paid_at": "2024-01-01T01:00:00Z", "amount": amount, **more}


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one payment of customer 7, materialized."""
    root = tmp_path / "bank"
    for folder in ("registry", "data"):
        (root / folder).mkdir(parents=True)
    (root / "featurestore.toml").write_text('[project]\nname = "bank"\n\n[server]\npush = true\nmax_rows = 50\n')
    (root / "registry" / "all.py").write_text(REGISTRY)
    times = {"paid_at": pa.array([PAID], UTC), "loaded_at": pa.array([PAID + HOUR], UTC)}
    payments = {"payment_id": [1], "customer_id": [7], "amount": [10.0], "is_deleted": [False], **times}
    pq.write_table(pa.table(payments), root / "data" / "payments.parquet")
    pq.write_table(pa.table({"customer_id": [7], "at": times["paid_at"], "page": ["a"]}), root / "data" / "clicks.parquet")
    store = FeatureStore(root)
    store.materialize()
    store.online.close()
    monkeypatch.chdir(root)
    return root


def features(root: Path) -> list[Any]:
    """What a training set says of customer 7 by now."""
    spine = pa.table({"customer_id": [7], "as_of": pa.array([4 * 10**15], pa.int64()).cast(UTC)})
    table = FeatureStore(root).build_training_set("fraud", spine)
    return [table[name][0].as_py() for name in ("amount", "total", "n")]


def position(root: Path, source: str = "payments") -> int:
    log = read_log(root / ".featurestore" / "push" / source)
    return 0 if log is None else log.position


def spending(said: Outcome) -> dict[str, Any]:
    """The report of a run about the view of payments."""
    return next(view for view in said.json["result"]["views"] if view["view"] == "spending")


# The command line.


def test_rows_pushed_by_command_are_in_builds_look_ups_and_manifests(bank: Path, cli: Cli) -> None:
    (bank / "rows.jsonl").write_text("\n".join(map(json.dumps, (row(2), row(3, 5.0), row(1, 20.0, is_deleted=False)))) + "\n\n")
    said = cli("push", "payments", "rows.jsonl", "--json")
    assert (said.code, said.json["result"]["accepted"]) == (0, 3)
    assert features(bank) == [20.0, 26.0, 3]
    assert spending(cli("materialize", "--json"))["pushed_rows"] == 3
    store = FeatureStore(bank)
    assert store.get_online_features("fraud", {"customer_id": 7}).rows == [[20.0, 26.0, 3]]
    store.online.close()
    held = {g["view"]: g["push_position"] for g in cli("status", "--json").json["result"]["generations"]}
    assert held == {"spending": 3, "others": None}
    pq.write_table(pa.table({"customer_id": [7], "as_of": pa.array([4 * 10**15], pa.int64()).cast(UTC)}), "spine.parquet")
    assert cli("build", "fraud", "--spine", "spine.parquet", "--output", "train.parquet").code == 0
    state = json.loads(Path("train.parquet.manifest.json").read_text())["sources"]["payments"]
    assert [(e["push_log"], e["position"]) for e in state if "push_log" in e] == [("payments", 3)]
    explained = cli("explain", "fraud", "--json").json["result"]
    assert explained["push_logs"] == {"payments": 3}
    assert "rows pushed to payments: up to position 3" in cli("explain", "fraud").out
    assert '"__pushed_at"' in cli("explain", "fraud", "--sql").out
    assert cli("check", "--data", "--json").json["result"]["data"]["payments"]["rows"] == 4


def test_the_row_that_follows_in_a_file_is_a_version_and_a_pushed_tombstone_removes(bank: Path, cli: Cli) -> None:
    store = FeatureStore(bank)
    store.push("payments", [row(2, 5.0)])
    assert features(bank) == [5.0, 15.0, 2]
    later = pa.array([5 * 10**15 // 2], pa.int64()).cast(UTC)
    old = pq.read_table("data/payments.parquet")
    new = {"payment_id": [2], "customer_id": [7], "amount": [6.0], "is_deleted": [False]}
    follows = pa.table({**new, "paid_at": pa.array([PAID + HOUR], UTC), "loaded_at": later})
    pq.write_table(pa.concat_tables([old, follows]), "data/payments.parquet")
    assert features(bank) == [6.0, 16.0, 2]
    pq.write_table(old, "data/payments.parquet")
    store.push("payments", [row(1, None, is_deleted=True)])
    assert features(bank) == [5.0, 5.0, 1]


def test_parquet_and_stdin(bank: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"payment_id": [4], "customer_id": [7], "amount": [2.5], "paid_at": pa.array([PAID], UTC)})
    pq.write_table(table, "rows.parquet")
    assert cli("push", "payments", "rows.parquet").out.startswith("payments: 1 rows accepted, known at 20")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(row(5)).encode())))
    assert cli("push", "payments", "-").code == 0
    assert position(bank) == 2
    assert features(bank)[2] == 3


def test_compact_by_command_changes_no_value(bank: Path, cli: Cli) -> None:
    FeatureStore(bank).push("payments", [row(2), row(3)])
    before = features(bank)
    assert cli("compact").out == "payments: 2 rows folded into 1 files, 2 in all\n"
    assert features(bank) == before
    assert cli("compact", "payments").out == "payments: nothing to fold, 2 rows are in Parquet\n"
    assert cli("compact", "payment").err.startswith("FS101 unknown source 'payment'")
    view = spending(cli("materialize", "--json"))
    assert (view["mode"], view["pushed_rows"]) == ("incremental", 2)
    FeatureStore(bank).push("payments", [row(4)])
    cli("compact")
    assert spending(cli("materialize", "--json"))["pushed_rows"] == 1


BAD = [
    (["push", "payment", "good.jsonl"], 2, "FS101"),
    (["push", "clicks", "good.jsonl"], 2, "FS140"),
    (["push", "payments", "rows.csv"], 2, "FS102"),
    (["push", "payments", "none.jsonl"], 4, "FS321"),
    (["push", "payments", "bad.jsonl"], 4, "FS340"),
    (["push", "payments", "twice.jsonl"], 4, "FS340"),
    (["push", "payments", "nan.jsonl"], 4, "FS340"),
    (["push", "payments", "huge.jsonl"], 4, "FS340"),
    (["push", "payments", "empty.jsonl"], 4, "FS340"),
    (["push", "payments", "half.jsonl"], 4, "FS340"),
    (["push", "payments", "future.jsonl"], 4, "FS341"),
    (["push", "payments", "broken.parquet"], 4, "FS325"),
    (["push", "payments"], 2, "FS100"),
]
FILES = {
    "good.jsonl": json.dumps(row(2)), "bad.jsonl": '{"payment_id": 2', "empty.jsonl": "\n", "broken.parquet": "PAR1",
    "twice.jsonl": '{"payment_id": 2, "payment_id": 3}', "nan.jsonl": json.dumps(row(2, float("nan"))),
    "huge.jsonl": json.dumps(row(2)).replace("1.0", "1e999"),
    "half.jsonl": f"{json.dumps(row(2))}\n{json.dumps(row(3) | {'amount': '1'})}",
    "future.jsonl": json.dumps(row(2) | {"paid_at": "2200-01-01T00:00:00Z"}),
}  # fmt: skip


@pytest.mark.parametrize("arguments, code, error", BAD, ids=[" ".join(a) for a, _, _ in BAD])
def test_what_cannot_be_pushed_has_its_exit_code_and_leaves_nothing(
    arguments: list[str], code: int, error: str, bank: Path, cli: Cli
) -> None:
    for name, text in FILES.items():
        (bank / name).write_text(text)
    before = contents(bank)
    said = cli(*arguments)
    assert (said.code, said.err[:5]) == (code, error)
    assert contents(bank) == before


def test_rows_of_a_source_that_lost_its_row_key_are_no_second_facts(bank: Path, cli: Cli) -> None:
    FeatureStore(bank).push("payments", [row(2)])
    (bank / "registry" / "all.py").write_text(REGISTRY.replace('row_key=["payment_id"], deleted="is_deleted",', ""))
    said = cli("materialize", "spending", "--quiet")
    assert (said.code, said.err[:5]) == (4, "FS342")


def test_a_damaged_log_is_a_store_error_that_names_the_file(bank: Path, cli: Cli) -> None:
    FeatureStore(bank).push("payments", [row(2)])
    [path] = (bank / ".featurestore" / "push" / "payments" / "segments").iterdir()
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(bytes(data))
    said = cli("materialize", "spending", "--quiet")
    assert (said.code, said.err[:5]) == (5, "FS440")
    assert path.name in said.err


def test_definitions_without_a_project_take_no_rows(bank: Path) -> None:
    registry = FeatureStore(bank).registry
    with pytest.raises(Exception, match="project folder"):
        FeatureStore(definitions=[registry.services["fraud"]]).push("payments", [row(2)])


# HTTP.


@pytest.fixture
def served(bank: Path) -> Iterator[Served]:
    with serving(bank) as server:
        yield server


def post(served: Served, body: Any, source: str = "payments", **headers: str) -> Any:
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    return served.send("POST", f"/v1/push/{source}", given, {"content-type": "application/json", **headers})


def test_rows_pushed_over_http_are_acknowledged_once_they_are_on_the_disk(bank: Path, served: Served) -> None:
    answer = post(served, {"rows": [row(2), row(3, 5.0)]})
    assert answer.status == 200, answer.body
    assert set(answer.json) == {"accepted", "known_at"}
    assert answer.json["accepted"] == 2
    assert position(bank) == 2
    assert features(bank) == [5.0, 16.0, 3]
    log = read_log(bank / ".featurestore" / "push" / "payments")
    assert log is not None
    assert format_instant(log.tables[0]["__pushed_at"].cast(pa.int64())[1].as_py()) == answer.json["known_at"]


REFUSED = [
    (b"{", "payments", 400, "FS505"),
    (b'{"rows": [], "rows": []}', "payments", 400, "FS505"),
    (b'{"rows": [{"payment_id": NaN}]}', "payments", 400, "FS505"),
    (b"\xff", "payments", 400, "FS505"),
    (b"[" * 100_000, "payments", 400, "FS505"),
    (b"[]", "payments", 422, "FS506"),
    ({"rows": {}}, "payments", 422, "FS506"),
    ({"rows": [row(2)], "more": 1}, "payments", 422, "FS506"),
    ({"rows": []}, "payments", 422, "FS340"),
    ({"rows": [5]}, "payments", 422, "FS340"),
    ({"rows": [row(2), row(3, amount="1")]}, "payments", 422, "FS340"),
    ({"rows": [row(2) | {"paid_at": PAID}]}, "payments", 422, "FS340"),
    ({"rows": [row(2, loaded_at="2024-01-01T00:00:00Z")]}, "payments", 422, "FS340"),
    ({"rows": [row(2) | {"payment_id": None}]}, "payments", 422, "FS340"),
    ({"rows": [row(2) | {"paid_at": "2200-01-01T00:00:00Z"}]}, "payments", 422, "FS341"),
    ({"rows": [row(i) for i in range(51)]}, "payments", 413, "FS508"),
    ({"rows": [row(2)]}, "payment", 404, "FS101"),
    ({"rows": [row(2)]}, "../payments", 404, "FS509"),
    ({"rows": [row(2)]}, "", 404, "FS509"),
    ({"rows": [row(2)]}, "clicks", 422, "FS140"),
]


def test_what_is_refused_over_http_has_its_status_and_leaves_nothing(bank: Path, served: Served) -> None:
    before = contents(bank)
    for body, source, status, code in REFUSED:
        answer = post(served, body, source)
        assert (answer.status, answer.json["code"]) == (status, code), (body, answer.body)
        assert answer.headers["content-type"] == "application/problem+json"
    assert post(served, {"rows": [row(2)]}, **{"content-type": "text/plain"}).status == 415
    assert served.send("GET", "/v1/push/payments").status == 405
    assert contents(bank) == before
    assert served.ask(feature_service="fraud", entities={"customer_id": [7]}).json["rows"] == [[10.0, 10.0, 1]]


def test_pushing_is_off_by_default(bank: Path) -> None:
    (bank / "featurestore.toml").write_text('[project]\nname = "bank"\n')
    with serving(bank) as server:
        answer = post(server, {"rows": [row(2)]})
    assert (answer.status, answer.json["code"], answer.json["try"]) == (403, "FS540", "push = true in [server]")
    assert not (bank / ".featurestore" / "push").exists()


def test_several_workers_push_at_once(bank: Path, tmp_path: Path) -> None:
    accepted: list[int] = []
    with serving(bank, workers=2, script=tmp_path / "program.py") as server:

        def push_some(first: int) -> None:
            for number in range(first, first + 20):
                if post(server, {"rows": [row(number)]}).status == 200:
                    accepted.append(number)

        threads = [threading.Thread(target=push_some, args=(1_000 * n,)) for n in (1, 2, 3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    log = read_log(bank / ".featurestore" / "push" / "payments")
    assert log is not None
    assert len(accepted) == 80
    assert sorted(i for t in log.tables for i in t["payment_id"].to_pylist()) == sorted(accepted)


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(bank: Path) -> None:
    accepted: list[int] = []
    with serving(bank) as server:

        def push_on(first: int) -> None:
            for number in range(first, first + 10_000):
                try:
                    if post(server, {"rows": [row(number)]}).status == 200:
                        accepted.append(number)
                except (OSError, http.client.HTTPException):
                    return

        threads = [threading.Thread(target=push_on, args=(100_000 * n,)) for n in (1, 2, 3)]
        for thread in threads:
            thread.start()
        while len(accepted) < 40:
            time.sleep(0.01)
        server.process.kill()
        for thread in threads:
            thread.join()
    log = read_log(bank / ".featurestore" / "push" / "payments")
    assert log is not None
    found = [i for t in log.tables for i in t["payment_id"].to_pylist()]
    assert set(accepted) <= set(found)
    assert len(set(found)) == len(found) <= len(accepted) + 3


def test_a_forgotten_key_is_gone_from_the_log_and_the_others_keep_their_places(bank: Path, cli: Cli) -> None:
    store = FeatureStore(bank)
    store.push("payments", [row(2, customer_id=8), row(3, customer_id=9)])
    store.compact()
    store.push("payments", [row(4, customer_id=8), row(5, 4.0)])
    store.materialize()
    store.online.close()
    said = cli("forget", "customer=8", "--json").json["result"]
    assert said["logs"] == [{"source": "payments", "rows": 2}]
    assert said["sources"] == []
    held = pa.concat_tables(_tables(bank), promote_options="default")
    assert sorted(held["payment_id"].to_pylist()) == [3, 5]
    assert position(bank) == 4
    assert features(bank) == [4.0, 14.0, 2]
    assert cli("forget", "customer=8", "--json").json["result"]["logs"] == []
    unverifiable = cli("verify", "fraud", "--json").json["result"]["services"]["fraud"]["views"]["spending"]
    assert "the push log of payments: a file that the online store was made from is another one" in unverifiable["reason"]
    assert FeatureStore(bank).push("payments", [row(6, customer_id=8)])["accepted"] == 1
    assert position(bank) == 5
    made = spending(cli("materialize", "--json"))
    assert (made["mode"], made["reason"]) == ("full", "the push log of payments is not the one of the last run")
    assert cli("get", "fraud", "customer_id=8", "--json").json["result"]["features"]["n"]["value"] == 1


def test_rows_of_before_there_was_a_key_column_are_nobodys() -> None:
    columns = (("customer_id", "customer_id", "integer"),)
    rows = pa.table({"payment_id": [1, 2]})
    assert _is_key(rows, columns, {"customer_id": 8}).to_pylist() == [False, False]


def _tables(root: Path) -> list[pa.Table]:
    """The rows of the log of payments, in Parquet and in segments."""
    found = read_log(root / ".featurestore" / "push" / "payments")
    assert found is not None
    return [*(pq.read_table(file.path) for file in found.files), *found.tables]
