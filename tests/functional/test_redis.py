"""A project whose online store is Redis: answers as from memory, one command a look-up, and what HTTP says without it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore import ArrowSource, Entity, FeatureService, FeatureStore, FeatureView, OnDemandFeatureView, agg, latest
from featurestore.cli import main
from featurestore.errors import StoreUnavailable, UnknownName
from featurestore.intervals import FixedClock
from featurestore.online.memory import MemoryStore
from featurestore.online.redis import RedisStore
from featurestore.retrieval.online_features import OnlineReader
from featurestore.scaffold import create
from tests.functional.conftest import Cli
from tests.functional.serving import WATERMARK, Served, serving
from tests.redis_server import Proxy, RedisServer

KEYS = {"customer_id": [*range(10_000, 10_060), None, 1], "merchant_id": [*(f"m{i:05}" for i in range(60)), "m00001", None]}
ONE = {"customer_id": [10_038], "merchant_id": ["m00001"]}
QUESTION = {"feature_service": "fraud_v1", "entities": ONE, "include": ["statuses"]}
EARLIER = "2025-12-01T00:00:00Z"
INCLUDES = ("statuses", "event_timestamps")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as found:
        yield found


def make_project(folder: Path, url: str, *, name: str = "shop") -> Path:
    """A scaffolded project that is set to keep its store in Redis; not yet materialized."""
    create(folder, rows=1_000)
    settings = folder / "featurestore.toml"
    text = settings.read_text().replace("[online]\n", f'[online]\nstore = "redis"\nurl = "{url}"\ndeadline = "200ms"\n')
    settings.write_text(text.replace('store = "lmdb"\n', ""))
    return folder


@pytest.fixture
def project(tmp_path: Path, server: RedisServer) -> Path:
    return make_project(tmp_path / "shop", server.url)


def until(served: Served, status: int, question: Any = None) -> Any:
    """The first answer of that status, to a question or of /ready."""
    end = time.monotonic() + 30
    while (answer := served.get("/ready") if question is None else served.ask(question)).status != status:
        assert time.monotonic() < end, answer
        time.sleep(0.05)
    return answer


def test_redis_answers_as_memory_does_after_every_run(project: Path, server: RedisServer) -> None:
    in_redis, in_memory = FeatureStore(project), FeatureStore(project)
    in_memory.online = MemoryStore()
    in_memory.reader = OnlineReader(in_memory.online, in_memory.clock)
    for watermark, full in (
        ("2025-10-01T00:00:00Z", False),
        (EARLIER, False),
        (WATERMARK, False),
        (WATERMARK, True),
    ):
        reports = [store.materialize(known_before=watermark, full=full) for store in (in_redis, in_memory)]
        assert [(r.mode, r.keys, r.keys_written) for r in reports[0]] == [(r.mode, r.keys, r.keys_written) for r in reports[1]]
        for as_of in (watermark, "2026-01-05T00:00:00Z", "2026-03-01T00:00:00Z"):
            found = [s.get_online_features("fraud_v1", KEYS, as_of=as_of, include=INCLUDES) for s in (in_redis, in_memory)]
            assert found[0].rows == found[1].rows
            assert found[0].statuses == found[1].statuses
            assert found[0].event_timestamps == found[1].event_timestamps
            assert found[0].watermarks == found[1].watermarks
    assert any("present" in row for row in found[0].statuses)
    with server.client() as client:
        assert all(key.startswith(b"fs:") for key in client.keys("*"))
        assert client.scard("fs:shop:garbage") == 0


def test_a_look_up_of_many_keys_and_views_is_one_command(project: Path, server: RedisServer) -> None:
    FeatureStore(project).materialize(known_before=WATERMARK)
    proxy = Proxy(server)
    settings = project / "featurestore.toml"
    settings.write_text(settings.read_text().replace(server.url, proxy.url))
    store = FeatureStore(project)
    store.get_online_features("fraud_v1", KEYS, as_of=WATERMARK)
    with server.client() as client, server.client() as other, client.monitor() as monitor:
        other.echo("from here")
        while not monitor.next_command()["command"].startswith("ECHO"):
            pass
        proxy.sent.clear()
        store.get_online_features("fraud_v1", KEYS, as_of=WATERMARK)
        assert len(proxy.sent) == 1
        other.echo("that was all")
        commands = [monitor.next_command()["command"].split(" ", 1)[0]]
        while commands[-1] != "ECHO":
            commands.append(monitor.next_command()["command"].split(" ", 1)[0])
    assert commands == ["MGET", "ECHO"]
    proxy.close()


def test_the_command_line_works_with_redis(project: Path, cli: Cli, server: RedisServer, monkeypatch: Any) -> None:
    monkeypatch.chdir(project)
    assert main(["compile", "--quiet"]) == 0
    assert cli("status", "--json").json["result"]["generations"] == []
    assert cli("get", "fraud_v1", "customer_id=10038", "merchant_id=m00001", "--json").code == 5
    assert cli("materialize", "--known-before", WATERMARK, "--quiet").code == 0
    status = cli("status", "--json").json["result"]
    assert {g["view"] for g in status["generations"]} == {"card_payments", "merchant_profile"}
    assert all(g["bytes"] > 0 for g in status["generations"])
    found = cli("get", "fraud_v1", "customer_id=10038", "merchant_id=m00001", "--as-of", WATERMARK, "--json").json
    assert found["result"]["features"]["category"]["status"] == "present"
    server.stop()
    for command in (["get", "fraud_v1", "customer_id=10038", "merchant_id=m00001"], ["status"], ["materialize"]):
        outcome = cli(*command, "--json")
        assert (outcome.code, outcome.json["errors"][0]["code"]) == (5, "FS412"), command


def test_a_bad_setting_is_a_usage_error(project: Path, cli: Cli) -> None:
    settings = project / "featurestore.toml"
    good = settings.read_text()
    for old, new in (
        ('deadline = "200ms"', 'deadline = "0ms"'),
        ('deadline = "200ms"', 'deadline = "soon"'),
        ("redis://", "http://"),
    ):
        settings.write_text(good.replace(old, new))
        outcome = cli("materialize", "--project", project, "--json")
        assert (outcome.code, outcome.json["errors"][0]["code"]) == (2, "FS107"), new


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_while_redis_is_down_every_cell_says_unavailable(project: Path, server: RedisServer) -> None:
    with serving(project) as served:
        assert served.get("/ready").status == 503
        assert served.ask(QUESTION).status == 503
        FeatureStore(project).materialize(known_before=WATERMARK)
        until(served, 200)
        before = served.ask(QUESTION).json
        server.stop()
        for _ in range(3):
            answer = served.ask(QUESTION)
            assert answer.status == 200
            assert answer.json["rows"] == [[None] * len(before["feature_names"])]
            assert answer.json["statuses"] == [["unavailable"] * len(before["feature_names"])]
            assert answer.json["watermarks"] == before["watermarks"]
        blind = served.ask({**QUESTION, "include": []})  # NULL without a status would look absent
        assert (blind.status, blind.json["code"], blind.headers["retry-after"]) == (503, "FS412", "1")
        assert served.ask({**QUESTION, "entities": {}}).status == 422
        assert served.get("/ready").status == 503
        assert served.get("/v1/feature-services").status == 503
        assert served.get("/health").status == 200

        server.start()  # restarted empty: nobody is known, and nobody is `not_found`
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            assert set(served.ask(QUESTION).json["statuses"][0]) == {"unavailable"}
            assert served.get("/ready").status == 503
            time.sleep(0.1)

        FeatureStore(project).materialize(known_before=WATERMARK)
        until(served, 200)
        after = served.ask({**QUESTION, "as_of": WATERMARK}).json
        assert "present" in after["statuses"][0]


def test_a_slow_redis_holds_nobody_up_beyond_the_deadline(project: Path, server: RedisServer) -> None:
    FeatureStore(project).materialize(known_before=WATERMARK)
    with serving(project) as served:
        until(served, 200)
        served.ask(QUESTION)
        server.pause()
        slowest = 0.0
        for _ in range(12):
            start = time.monotonic()
            assert set(served.ask(QUESTION).json["statuses"][0]) == {"unavailable"}
            slowest = max(slowest, time.monotonic() - start)
            time.sleep(0.1)
        server.resume()
        assert slowest < 3
        end = time.monotonic() + 10
        while "present" not in served.ask({**QUESTION, "as_of": WATERMARK}).json["statuses"][0]:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_server_that_starts_while_redis_is_slow_does_not_let_requests_queue_up(project: Path, server: RedisServer) -> None:
    FeatureStore(project).materialize(known_before=WATERMARK)
    server.pause()
    with serving(project) as served:
        start = time.monotonic()
        for _ in range(30):
            assert served.ask(QUESTION).status == 503
        assert time.monotonic() - start < 4
        server.resume()
        until(served, 200, QUESTION)


def test_new_generations_and_services_are_noticed_by_a_warm_server(project: Path, server: RedisServer) -> None:
    with serving(project) as served:
        FeatureStore(project).materialize(known_before=EARLIER)
        until(served, 200)
        assert served.ask(QUESTION).json["watermarks"]["card_payments"] == "2025-12-01T00:00:00.000000Z"
        FeatureStore(project).materialize(known_before=WATERMARK)
        assert served.ask(QUESTION).json["watermarks"]["card_payments"] == "2026-01-01T00:00:00.000000Z"
        services = project / "registry" / "services.py"
        services.write_text(services.read_text() + "\nfraud_v2 = FeatureService(name='fraud_v2', features=[card_payments])\n")
        again = {"feature_service": "fraud_v2", "entities": {"customer_id": [10_038]}}
        assert served.ask(again).status == 404
        FeatureStore(project).materialize("card_payments", known_before=WATERMARK)
        assert served.ask(again).status == 200


# --- in process -------------------------------------------------------------------------------------------------------

DAY = 86_400_000_000
W = 20_000 * DAY
thing = Entity(name="thing", join_keys=["k"])


def in_process(store: Any) -> FeatureStore:
    table = pa.table({"k": [1, 2], "e": pa.array([W - 5, W - 4], pa.int64()).cast(pa.timestamp("us", "UTC")), "x": [7, 8]})
    source = ArrowSource(name="facts", table=table, event_timestamp="e", delay="0s")
    view = FeatureView(name="view", entities=[thing], source=source, features=[latest("x"), agg.count(window="1d")])
    computed = OnDemandFeatureView(
        name="computed",
        inputs=[view],
        request={"a": "double"},
        features={"sum": "x + a", "twice": "a * 2", "known": "x IS NULL"},
    )
    found = FeatureStore(definitions=[FeatureService(name="service", features=[view, computed])], clock=FixedClock(W))
    found.online = store
    return found


def test_what_reads_an_unavailable_cell_is_not_evaluated(server: RedisServer) -> None:
    store = in_process(RedisStore(server.url, "p"))
    store.materialize(known_before=W)
    ask = {"request": {"a": [1.5, 2.0]}}
    found = store.get_online_features("service", {"k": [1, 3]}, **ask)
    assert found.rows == [[7, 1, 8.5, 3.0, False], [None, 0, None, 4.0, True]]
    server.stop()
    lost = store.get_online_features("service", {"k": [1, 3]}, **ask)
    assert lost.rows == [[None, None, None, 3.0, None], [None, None, None, 4.0, None]]
    assert lost.statuses == [["unavailable"] * 3 + ["present", "unavailable"]] * 2
    assert lost.event_timestamps == [[None] * 5] * 2
    with pytest.raises(StoreUnavailable):
        store.get_online_features("other", {"k": [1]})
    server.start()
    in_process(RedisStore(server.url, "p")).materialize(known_before=W)
    end = time.monotonic() + 10
    while (again := store.get_online_features("service", {"k": [1, 3]}, **ask)).rows != found.rows:
        assert set(again.statuses[0]) <= {"unavailable", "present"}
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_unknown_service_is_unknown_only_if_the_present_state_says_so(server: RedisServer) -> None:
    store = in_process(RedisStore(server.url, "p"))
    store.materialize(known_before=W)
    store.get_online_features("service", {"k": [1]}, request={"a": [1.0]})
    with pytest.raises(UnknownName):
        store.get_online_features("other", {"k": [1]})
