"""A server through its life: before there is a store, while generations switch under it, without the project, to its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from featurestore import FeatureStore
from featurestore.config import load
from featurestore.errors import StoreError, UsageError
from featurestore.scaffold import create
from featurestore.server.run import serve
from tests.functional.serving import ROOT, WATERMARK, Served, make_project, serving

QUESTION = {"feature_service": "fraud_v1", "entities": {"customer_id": [10038], "merchant_id": ["m00001"]}}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("filled") / "shop", rows=1_000)


@pytest.fixture
def project(filled: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    return Path(shutil.copytree(filled, tmp_path / "shop"))


def until(served: Served, path: str, status: int, seconds: float = 60) -> Any:
    """The first answer of that status."""
    end = time.monotonic() + seconds
    while (answer := served.get(path)).status != status:
        assert time.monotonic() < end, answer
        time.sleep(0.05)
    return answer


def test_serve_may_start_before_materialize(tmp_path: Path) -> None:
    create(tmp_path / "shop", rows=300)
    with serving(tmp_path / "shop") as served:
        assert served.get("/health").status == 200
        for answer in (served.get("/ready"), served.get("/v1/feature-services"), served.ask(QUESTION)):
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert str(tmp_path) not in answer.body.decode()
        FeatureStore(tmp_path / "shop").materialize("card_payments", known_before=WATERMARK)
        time.sleep(0.1)
        assert served.get("/ready").status == 503
        assert served.ask(QUESTION).status == 503
        FeatureStore(tmp_path / "shop").materialize(known_before=WATERMARK)
        until(served, "/ready", 200)
        assert served.ask(QUESTION).status == 200


def test_with_a_manifest_ready_waits_for_every_service_in_it(project: Path, tmp_path: Path) -> None:
    bound = FeatureStore(project).bound.to_manifest()
    bound["services"]["fraud_v2"] = bound["services"]["fraud_v1"]
    offline = json.loads(json.dumps(bound["views"]["card_payments"])) | {"online": False}
    bound["views"]["kept_offline"] = offline
    bound["services"]["offline_only"] = {"fingerprint": "x", "instances": [{"view": "kept_offline"}]}
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(bound))
    with serving(project, manifest=str(manifest)) as served:
        answer = served.get("/ready")
        assert answer.status == 503
        assert "fraud_v2" in answer.json["detail"]
        assert served.ask(QUESTION).status == 200
        assert served.ask({**QUESTION, "feature_service": "fraud_v2"}).status == 503
        assert served.ask({**QUESTION, "feature_service": "fraud_v3"}).status == 404


def test_serving_needs_the_online_store_alone_and_runs_no_definition(project: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    (alone / ".featurestore").mkdir(parents=True)
    shutil.copytree(project / ".featurestore" / "online", alone / ".featurestore" / "online")
    (alone / "featurestore.toml").write_text('[project]\nname = "shop"\n')
    (alone / "registry").mkdir()
    (alone / "registry" / "trap.py").write_text("raise SystemExit('a definition was executed')\n")
    with serving(project) as served:
        expected = served.ask(QUESTION).json
    with serving(alone) as served:
        found = served.ask(QUESTION).json
    assert (found["rows"], found["fingerprint"]) == (expected["rows"], expected["fingerprint"])


def test_while_generations_switch_every_answer_is_of_one_of_them(project: Path) -> None:
    """Both views of the service move by runs of their own; rows, watermarks and fingerprint come from one state."""
    marks = [f"2026-01-01T00:00:{second:02}Z" for second in (10, 20)]
    as_of = "2026-02-01T00:00:00Z"
    seen: set[str] = set()
    wrong: list[Any] = []
    done = threading.Event()

    def ask(served: Served) -> None:
        while not done.is_set():
            answer = served.ask({**QUESTION, "as_of": as_of})
            if answer.status != 200:
                wrong.append(answer)
                return
            seen.add(answer.body.decode())
            time.sleep(0.01)  # leave the machine to those who write

    with serving(project) as served:
        threads = [threading.Thread(target=ask, args=(served,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for mark in marks:
            _materialize(project, mark)
        time.sleep(0.3)
        done.set()
        for thread in threads:
            thread.join()
        last = served.ask({**QUESTION, "as_of": as_of}).json
    assert not wrong
    found = [json.loads(body)["watermarks"] for body in seen]
    states = {(w["card_payments"], w["merchant_profile"]) for w in found}
    steps = ["2026-01-01T00:00:00Z", *marks]
    pairs = {(a, b) for i, a in enumerate(steps) for b in steps[max(i - 1, 0) : i + 1]}
    assert states <= {(_long(a), _long(b)) for a, b in pairs}
    assert len(states) > 2
    assert set(last["watermarks"].values()) == {_long(marks[-1])}


def _long(instant: str) -> str:
    return instant.replace("Z", ".000000Z")


def _materialize(project: Path, watermark: str) -> None:
    """In a process of its own, as a scheduler does it."""
    program = (
        "import sys; from featurestore import FeatureStore; FeatureStore(sys.argv[1]).materialize(known_before=sys.argv[2])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(project), watermark], check=True, env=environment)


def test_a_store_removed_and_filled_anew_is_found(project: Path) -> None:
    with serving(project) as served:
        old = served.ask(QUESTION).json["watermarks"]
        shutil.rmtree(project / ".featurestore" / "online")
        assert served.ask(QUESTION).json["watermarks"] == old
        FeatureStore(project).materialize(known_before="2026-01-02T00:00:00Z")
        end = time.monotonic() + 60
        while served.ask(QUESTION).json["watermarks"] == old:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert set(served.ask(QUESTION).json["watermarks"].values()) == {"2026-01-02T00:00:00.000000Z"}


def test_a_store_that_is_no_store_is_a_503_without_paths(project: Path) -> None:
    (project / ".featurestore" / "online" / "data.mdb").write_bytes(b"not a database" * 4_000)
    with serving(project) as served:
        assert served.get("/health").status == 200
        answer = served.ask(QUESTION)
        assert answer.status == 503
        assert str(project) not in answer.body.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_exits_0_at_once(filled: Path, number: int) -> None:
    with serving(filled) as served:
        assert served.ask(QUESTION).status == 200
        start = time.monotonic()
        assert served.stop(number) == 0
        assert time.monotonic() - start < 10  # on an idle machine a tenth of a second


def test_several_workers_share_the_port_and_stop_together(filled: Path) -> None:
    with serving(filled, workers=2) as served:
        until(served, "/ready", 200)
        assert len({served.ask({**QUESTION, "as_of": "2026-02-01T00:00:00Z"}).body for _ in range(20)}) == 1
        assert served.stop() == 0


def test_what_cannot_be_served_is_refused_before_it_starts(filled: Path, tmp_path: Path) -> None:
    config = load(filled)
    memory = config.model_copy(update={"online": config.online.model_copy(update={"store": "memory"})})
    with pytest.raises(UsageError, match="memory"):
        serve(memory, filled, port=0)
    for text in ("{", "[]", '{"format": 99, "services": {}, "views": {}}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(UsageError, match="manifest"):
            serve(config, filled, port=0, manifest=tmp_path / "manifest.json")
    with serving(filled) as served, pytest.raises(StoreError, match="cannot serve"):
        serve(config, filled, port=served.port)
