"""Schemathesis holds the running server to its own OpenAPI document, with every check it has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.server import keys
from tests.functional.serving import Served, make_project, serving
from tests.needs import ROOT

KEY_FILE = "keys.toml"
Guarded = tuple[Served, Path]
"""A server and its file of keys."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    root = make_project(tmp_path_factory.mktemp("schemathesis") / "shop", rows=500)
    (root / KEY_FILE).write_text("format = 1\n")
    with serving(root, api_keys=KEY_FILE) as served:
        yield served, root / KEY_FILE


def run(guarded: Guarded, folder: Path, cases: int, *options: str, service: str, hooks: str = "") -> int:
    """How many cases there were, none of which failed. service: the one that may be asked for."""
    served, file = guarded
    secret, _ = keys.add(file, folder.name[:60], services=[service])
    end = time.monotonic() + 20
    while served.get("/ready", {"x-api-key": secret}).status != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{served.port}/openapi.json",
        "--header", f"Authorization: Bearer {secret}", "--checks", "all", "--max-examples", str(cases), "--seed", "1",
        "--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--no-color", *options,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": hooks}
    if not hooks:
        del environment["SCHEMATHESIS_HOOKS"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d[\d,]*) generated", done.stdout)
    assert found is not None, done.stdout
    assert served.process.poll() is None
    return int(found[1].replace(",", ""))


# The document cannot say which keys a service has, so what it takes for valid may be refused by a service that exists. Hence
# two runs: for one that may not be asked for (403) with all checks, and for one that is answered with all but those two that
# judge what is valid.


def test_a_few_hundred_cases_pass_every_check(guarded: Guarded, tmp_path: Path) -> None:
    assert run(guarded, tmp_path, 50, service="another") >= 200


@pytest.mark.slow
def test_2000_cases_pass_every_check(guarded: Guarded, tmp_path: Path) -> None:
    assert run(guarded, tmp_path, 2_000, service="another") >= 2_000


def test_cases_for_a_service_that_exists_pass_too(guarded: Guarded, tmp_path: Path) -> None:
    options = ("--exclude-checks", "positive_data_acceptance,negative_data_rejection")
    assert run(guarded, tmp_path, 50, *options, service="fraud_v1", hooks="tests.functional.schemathesis_hooks") >= 200
