"""What those who run the server rely on: metrics, the access log, a drain that drops nothing, new files without a restart."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore import config as settings
from featurestore.errors import StoreError, UsageError
from featurestore.server import keys
from featurestore.server.access_log import AccessLog, Line
from featurestore.server.exchange import Reply, Route, Routes
from featurestore.server.run import _access_log, serve
from tests.functional.serving import PATH, ROOT, Served, make_project, serving, within_seconds

QUESTION = {"feature_service": "fraud_v1", "entities": {"customer_id": [10038], "merchant_id": ["m00001"]}}
HOT = 'route="/v1/online-features"'


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("operation") / "shop", rows=500)


@pytest.fixture
def project(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "shop"))


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_count_requests_rows_values_and_tell_of_the_store(filled: Path) -> None:
    with serving(filled) as served:
        for _ in range(3):
            served.ask(QUESTION)
        served.ask({**QUESTION, "entities": {"customer_id": [1, 2], "merchant_id": [None, None]}})
        served.ask(b"{")
        for path in ("/nowhere", "/nowhere/else"):
            served.get(path)
        answer = served.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        told = served.metrics()
    assert told[f'featurestore_requests_total{{{HOT},status="200"}}'] == 4
    assert told[f'featurestore_requests_total{{{HOT},status="400"}}'] == 1
    assert told['featurestore_requests_total{route="other",status="404"}'] == 2
    assert told['featurestore_requests_total{route="/metrics",status="200"}'] == 1
    assert told["featurestore_rows_total"] == 5
    assert told["featurestore_cells_total"] == 5 * 8
    assert told[f'featurestore_request_seconds_bucket{{le="+Inf",{HOT}}}'] == 5
    assert told[f"featurestore_request_seconds_count{{{HOT}}}"] == 5
    assert 0 < told[f"featurestore_request_seconds_sum{{{HOT}}}"] < 5
    bounds = [value for name, value in told.items() if name.startswith("featurestore_request_seconds_bucket") and HOT in name]
    assert bounds == sorted(bounds)
    ages = {name: value for name, value in told.items() if name.startswith("featurestore_watermark_age_seconds")}
    assert sorted(re.findall(r'view="(\w+)"', " ".join(ages))) == ["card_payments", "merchant_profile"]
    assert all(abs(time.time() - 1_767_225_600 - age) < 60 for age in ages.values())
    assert {v for n, v in told.items() if n.startswith("featurestore_generation{")} == {1, 2}
    assert told["featurestore_store_up"] == told["featurestore_services"] == 1
    assert any(name.startswith("featurestore_build_info{version=") for name in told)


def test_metrics_tell_of_a_store_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "featurestore.toml").write_text("[project]\n")
    with serving(tmp_path) as served:
        assert served.metrics()["featurestore_store_up"] == 0


def test_several_workers_are_added_up_also_when_one_was_killed(filled: Path) -> None:
    with serving(filled, workers=2) as served:
        assert within_seconds(lambda: served.get("/ready").status == 200)
        for _ in range(40):  # each on a connection of its own: they spread over the workers
            assert served.ask(QUESTION).status == 200
        name = f'featurestore_requests_total{{{HOT},status="200"}}'
        assert within_seconds(lambda: served.metrics().get(name) == 40)
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
        workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(workers) == 2
        time.sleep(1.5)  # what a worker counted in its last second goes with it
        os.kill(int(workers[0]), signal.SIGKILL)
        assert within_seconds(lambda: _asked(served, name) == 40), served.metrics()


def _asked(served: Served, name: str) -> float:
    try:
        return served.metrics().get(name, 0)
    except OSError:  # on its way to the one that was killed
        return -1


# --- the access log ---------------------------------------------------------------------------------------------------


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_log_has_a_line_per_request_and_echoes_its_id(project: Path) -> None:
    secret, made = keys.add(project / "keys.toml", "scorer")
    with serving(project, access_log="access.jsonl", api_keys="keys.toml") as served:
        first = served.ask(QUESTION, {"x-api-key": secret, "x-request-id": "from-the-client/1"})
        second = served.ask(QUESTION, {"x-api-key": secret})
        third = served.ask(QUESTION, {"x-request-id": "no key\t"})
        fourth = served.get("/ready?x=secret", {"x-api-key": secret})
        assert served.stop() == 0
    told = lines(project / "access.jsonl")
    ids = [answer.headers["x-request-id"] for answer in (first, second, third, fourth)]
    assert [line["request_id"] for line in told] == ids
    assert ids[0] == "from-the-client/1"
    assert len(set(ids)) == 4
    line = told[0]
    assert (line["method"], line["path"], line["status"]) == ("POST", PATH, 200)
    assert (line["service"], line["rows"], line["bytes"]) == ("fraud_v1", 1, len(first.body))
    assert (line["key"], line["key_id"]) == ("scorer", made.id)
    assert 0 < line["seconds"] < 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    assert [(line["status"], line["key"], line["path"]) for line in told[2:]] == [(401, "", PATH), (200, "scorer", "/ready")]
    assert secret not in (project / "access.jsonl").read_text()


def test_the_log_tells_of_requests_that_came_too_late(project: Path) -> None:
    with serving(project, access_log="access.jsonl", receive_deadline="1s") as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        connection.putrequest("POST", PATH)
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "50")
        connection.endheaders()
        assert connection.getresponse().status == 408
        connection.close()
        assert within_seconds(lambda: [line["status"] for line in lines(project / "access.jsonl")] == [408])


def test_a_log_that_was_renamed_is_begun_anew(project: Path) -> None:
    log, moved = project / "access.jsonl", project / "access.jsonl.1"
    with serving(project, access_log="access.jsonl", workers=2) as served:
        served.get("/health")
        assert within_seconds(lambda: len(lines(log)) == 1)
        log.rename(moved)
        for _ in range(20):
            served.get("/health")
        assert within_seconds(lambda: len(lines(log)) + len(lines(moved)) == 21)
        assert lines(log)


def test_a_destination_that_takes_nothing_costs_lines_and_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from featurestore.server import access_log

    monkeypatch.setattr(access_log, "KEPT_AT_MOST", 1_000)
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(tmp_path / "pipe")
    line = Line(0, "POST", "/\ud800" + "x" * 500, 200, 0.001, 1, 1, "s", "k", "i", b"r")
    start = time.monotonic()
    for _ in range(20_000):
        log.add(line)
        if log.lost > 100:
            break
        time.sleep(0.0001)
    assert log.lost > 100
    assert time.monotonic() - start < 20
    came = select.select([reader], [], [], 5)[0]  # nothing, where all lines were more than the pipe could take
    whole = os.read(reader, 4_096).splitlines(keepends=True) if came else []
    assert all(json.loads(text)["status"] == 200 for text in whole if text.endswith(b"\n"))
    os.close(reader)
    log.close()


def test_what_the_log_may_be(tmp_path: Path) -> None:
    assert _access_log(False, tmp_path) is None
    (tmp_path / "featurestore.toml").write_text('[server]\naccess_log = "no/such/folder.log"\n')
    with pytest.raises(StoreError, match="FS407 cannot write the access log"):  # before any worker is started
        serve(settings.load(tmp_path), tmp_path, port=0, workers=2)
    with pytest.raises(Exception, match="access log"):
        _access_log("no/such/folder.log", tmp_path)


# --- stopping ---------------------------------------------------------------------------------------------------------


@contextmanager
def load(served: Served, seen: list[int], wrong: list[Any]) -> Iterator[threading.Event]:
    """Four clients that ask all the time, and take a new connection only when told to close the old one."""
    done = threading.Event()

    def ask() -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)) as connection:
            asking(connection)

    def asking(connection: http.client.HTTPConnection) -> None:
        while not done.is_set():
            try:
                connection.request("POST", PATH, json.dumps(QUESTION), {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                wrong.append(error)
                return
            seen.append(answer.status)
            if answer.getheader("connection") == "close":
                return
            time.sleep(0.002)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_drains_nothing_under_way_is_dropped(filled: Path, workers: int) -> None:
    seen: list[int] = []
    wrong: list[Any] = []
    with serving(filled, drain="2s", workers=workers) as served:
        assert within_seconds(lambda: served.get("/ready").status == 200)
        with load(served, seen, wrong):
            time.sleep(0.3)
            start = time.monotonic()
            served.process.send_signal(signal.SIGTERM)
            assert within_seconds(lambda: served.get("/ready").status == 503, 1.8)
            assert served.ask(QUESTION).status == 200  # still answered, for whoever has not heard
            assert served.process.wait(30) == 0
            assert time.monotonic() - start > 1.8
    assert wrong == []
    assert set(seen) == {200}
    assert len(seen) > 20


def test_a_second_sigterm_and_a_sigint_stop_at_once(filled: Path) -> None:
    for numbers in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)):
        with serving(filled, drain="50s") as served:
            assert served.get("/health").status == 200
            for number in numbers:
                served.process.send_signal(number)
                time.sleep(0.3)
            assert served.process.wait(20) == 0


def test_a_body_under_way_at_sigterm_may_end(filled: Path) -> None:
    body = json.dumps(QUESTION).encode()
    with serving(filled) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        connection.putrequest("POST", PATH)
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(len(body)))
        connection.endheaders()
        connection.send(body[:10])
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        connection.send(body[10:])
        assert connection.getresponse().status == 200
        connection.close()
        assert served.process.wait(20) == 0


# --- new files under a running server ---------------------------------------------------------------------------------


def test_a_new_generation_and_a_new_manifest_drop_no_request(project: Path) -> None:
    manifest = project / "manifest.json"
    bound = FeatureStore(project).bound.to_manifest()
    manifest.write_text(json.dumps(bound))
    seen: list[int] = []
    wrong: list[Any] = []
    with serving(project, manifest=str(manifest)) as served, load(served, seen, wrong):
        assert served.get("/ready").status == 200
        bound["services"]["fraud_v2"] = bound["services"]["fraud_v1"]
        written = manifest.with_name("written")
        written.write_text(json.dumps(bound))
        os.replace(written, manifest)
        assert within_seconds(lambda: served.get("/ready").status == 503)
        assert "fraud_v2" in served.get("/ready").json["detail"]
        manifest.write_text("{")
        time.sleep(1.2)
        assert served.get("/ready").status == 503  # as the last one that could be read says
        del bound["services"]["fraud_v2"]
        manifest.write_text(json.dumps(bound))
        assert within_seconds(lambda: served.get("/ready").status == 200)
        before = served.metrics()
        program = (
            "import sys; from featurestore import FeatureStore; FeatureStore(sys.argv[1]).materialize(known_before=sys.argv[2])"
        )
        arguments = [sys.executable, "-c", program, str(project), "2026-01-02T00:00:00Z"]
        subprocess.run(arguments, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert within_seconds(lambda: _generations(served.metrics()) > _generations(before))
    assert wrong == []
    assert set(seen) == {200}


def _generations(told: dict[str, float]) -> float:
    return sum(value for name, value in told.items() if name.startswith("featurestore_generation{"))


def test_it_goes_on_answering_when_all_but_the_process_is_gone(project: Path) -> None:
    secret, _ = keys.add(project / "keys.toml", "a")
    with serving(project, api_keys="keys.toml") as served:
        before = served.ask(QUESTION, {"x-api-key": secret}).json["rows"]
        shutil.rmtree(project)
        time.sleep(1.2)
        assert served.ask(QUESTION, {"x-api-key": secret}).json["rows"] == before
        assert served.get("/ready", {"x-api-key": secret}).status == 200


# --- what others build on ---------------------------------------------------------------------------------------------


def test_the_table_of_hot_paths_knows_exact_paths_and_one_placeholder():
    exact = Route("/a", "lookup", lambda exchange, body: Reply(b""))
    placed = Route("/a/push/{source}", "push", lambda exchange, body: Reply(b""))
    routes = Routes(exact, placed)
    assert routes.find("/a") == (exact, "")
    assert routes.find("/a/push/payments") == (placed, "payments")
    assert [routes.find(path) for path in ("/a/", "/a/push", "/a/push/", "/a/push/x/y", "/b", "", "*")] == [None] * 7


@pytest.mark.parametrize(
    "name, value", [("receive_deadline", "0s"), ("receive_deadline", "8"), ("drain", "soon"), ("max_queue", "0")]
)
def test_settings_that_cannot_be(filled: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    from featurestore.config import load as settings

    monkeypatch.setenv(f"FEATURESTORE_SERVER__{name.upper()}", value)
    with pytest.raises(UsageError) as caught:
        settings(filled)
    assert name in str(caught.value)


def test_no_page_of_another_origin_is_allowed_to_read_answers(filled: Path) -> None:
    with serving(filled) as served:
        headers = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
        answers = [served.send("OPTIONS", path, headers=headers) for path in (PATH, "/metrics")]
        answers.append(served.ask(QUESTION, headers))
        assert [answer.status for answer in answers] == [405, 405, 200]
        assert not any(name.startswith("access-control") for answer in answers for name in answer.headers)
