"""The recipes of examples/deploy are what systemd and Docker read, and call the command as it is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from featurestore.config import Server
from tests.needs import ROOT

DEPLOY = ROOT / "examples" / "deploy"
UNIT = (DEPLOY / "featurestore.service").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def settings() -> dict[str, dict[str, str]]:
    """The unit's sections."""
    found: dict[str, dict[str, str]] = {}
    for line in UNIT.splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            section[name] = value
    return found


def test_the_unit_runs_the_server_and_leaves_it_time_to_drain() -> None:
    service = settings()["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/bin/featurestore")
    assert arguments[0] == "serve"
    assert service["KillSignal"] == "SIGTERM"
    drain = int(Server.model_validate({}).drain.removesuffix("s"))
    assert int(service["TimeoutStopSec"]) > drain + 8


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Paths of a machine that has them: systemd looks for the program."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    program = tmp_path / "featurestore"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "featurestore.service"
    unit.write_text(re.sub(r"/srv/shop/\.venv/bin/featurestore", str(program), UNIT))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "featurestore.service" in line]
    assert ours == [], done.stderr
    broken = tmp_path / "broken.service"
    broken.write_text(UNIT.replace("ExecStart=", "ExecStrat="))
    found = subprocess.run(["systemd-analyze", "verify", str(broken)], capture_output=True, text=True, check=False)
    assert "broken.service" in found.stderr


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, with lines that go on joined."""
    text = re.sub(r"\\\n", " ", "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#")))
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def test_the_image_runs_the_server_without_secrets_and_as_nobody_special() -> None:
    found = instructions()
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"}
    assert {word for word, _ in found} <= known
    assert found[0][0] == "FROM"
    by_word = dict(found)
    assert json.loads(by_word["CMD"])[:2] == ["featurestore", "serve"]
    assert json.loads(by_word["HEALTHCHECK"].partition("CMD ")[2])[0] == "python"
    assert by_word["USER"] != "root"
    assert [rest for word, rest in found if word == "COPY"] == ["featurestore-*.whl /tmp/", "featurestore.toml ./"]
    names = [pair.partition("=")[0] for pair in by_word["ENV"].split()]
    fields = {f"FEATURESTORE_SERVER__{name}".upper() for name in Server.model_fields}
    assert set(names) <= fields
