"""What scripts rely on whatever the command: one JSON object, exit codes, silence when asked, and Ctrl-C that ends at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.cli import app, show
from featurestore.cli.answer import Answer, document
from tests.functional.conftest import contents, environment, process

# In a process of its own


def test_the_command_works_as_a_process(project):
    said = process("explain", "fraud_v1", "--json", cwd=project)
    assert (said.code, said.json["ok"], said.json["command"]) == (0, True, "explain")
    wrong = process("explain", "fraud_v2", cwd=project)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == "FS101 unknown feature service 'fraud_v2' · known: fraud_v1 · try fraud_v1\n"


def test_help_imports_nothing_heavy():
    code = "import sys; from featurestore.cli import main; main(['--help']); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = set(said.stdout.splitlines()[-1].split())
    heavy = {
        "pyarrow",
        "duckdb",
        "sqlglot",
        "pydantic",
        "polars",
        "numpy",
        "lmdb",
        "fastapi",
        "featurestore.store",
        "rich.console",
    }
    assert heavy & loaded == set()


def test_help_starts_in_under_half_a_second():
    """The least processor time of several starts, for the machine may be busy."""
    code = "from featurestore.cli import main; main(['--help'])"
    spent = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=True)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.5


def test_output_into_a_closed_pipe_is_no_error(project):
    command = [sys.executable, "-m", "featurestore.cli", "explain", "fraud_v1", "--sql"]
    with subprocess.Popen(command, cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


# One JSON object, always


def test_json_on_success_has_exactly_four_members(cli, project):
    assert list(cli("check", "--json").json) == ["command", "ok", "result", "errors"]


@pytest.mark.parametrize(
    "arguments, command",
    [
        (["--json"], ""),
        (["nonsense", "--json"], "nonsense"),
        (["build", "--json"], "build"),
        (["build", "fraud_v1", "--spine", "--json"], "build"),
        (["get", "--json", "--as-of"], "get"),
        (["serve", "--port", "99999", "--json"], "serve"),
        (["status", "--project", "nowhere", "--json"], "status"),
    ],
)
def test_json_on_usage_errors_too(cli, project, arguments, command):
    said = cli(*arguments)
    assert said.code == 2
    assert (said.json["command"], said.json["ok"], said.json["result"]) == (command, False, None)
    assert [sorted(e) for e in said.json["errors"]] == [["code", "known", "try", "what", "where"]]


def test_what_follows_two_dashes_is_no_option(cli, project):
    said = cli("get", "fraud_v1", "--", "--json")
    assert (said.code, said.out) == (2, "")


def test_values_json_has_no_word_for():
    answer = Answer({"nan": float("nan"), "inf": -float("inf"), "bytes": b"\0\1", "path": Path("a/b")})
    assert json.loads(document(answer, "get"))["result"] == {"nan": "NaN", "inf": "-Infinity", "bytes": "AAE=", "path": "a/b"}


# What nobody foresaw


def fails(error):
    def status(run):
        raise error

    return status


@pytest.mark.parametrize(
    "error, code, line",
    [
        (ValueError("so\nit is"), 5, "FS901 unexpected ValueError: so it is · try -v for the traceback"),
        (
            PermissionError(13, "Permission denied", "/x/secret.toml"),
            5,
            "FS407 the system refused: Permission denied · in secret.toml",
        ),
        (OSError(28, "No space left on device"), 5, "FS405 the disk is full · try free space; nothing was changed"),
        (KeyboardInterrupt(), 130, "FS902 interrupted · try the same command again: nothing is half-written"),
    ],
)
def test_an_unforeseen_error_is_one_line(cli, monkeypatch, error, code, line):
    status = fails(error)
    status.__doc__ = "Example:\n  x"
    status.__annotations__ = {}
    monkeypatch.setattr(app, "COMMANDS", (status, app.build.build))
    said = cli("status")
    assert (said.code, said.out, said.err) == (code, "", line + "\n")


def test_verbose_adds_the_traceback(cli, monkeypatch):
    status = fails(ValueError("so it is"))
    status.__doc__ = "Example:\n  x"
    monkeypatch.setattr(app, "COMMANDS", (status, app.build.build))
    said = cli("status", "-v")
    assert "Traceback" in said.err
    assert said.err.splitlines()[-1].startswith("FS901")


# Ctrl-C


@pytest.fixture
def heavy(tmp_path):
    """A project whose build keeps the engine busy for many seconds."""
    folder = tmp_path / "heavy"
    (folder / "registry").mkdir(parents=True)
    (folder / "featurestore.toml").write_text('[project]\nname = "heavy"\n[offline]\nthreads = 1\nwindow_plan = "pairs"\n')
    (folder / "registry" / "views.py").write_text(
        "from featurestore import *\n"
        'c = Entity(name="c", join_keys=["c"])\n'
        's = ParquetSource(name="s", path="s.parquet", event_timestamp="t", delay="0s")\n'
        'v = FeatureView(name="v", entities=[c], source=s, features=[agg.count_distinct("x", window=None, name="n")])\n'
        'f = FeatureService(name="f", features=[v])\n'
    )
    rows, draw = 30_000, random.Random(1)
    at = pa.array([draw.randrange(10**12) for _ in range(rows)], pa.timestamp("us", "UTC"))
    x = pa.array([draw.random() for _ in range(rows)])
    pq.write_table(pa.table({"c": pa.array([0] * rows), "t": at, "x": x}), folder / "s.parquet")
    pq.write_table(pa.table({"c": pa.array([0] * rows), "as_of": at}), folder / "spine.parquet")
    return folder


@pytest.mark.parametrize("signalled", ["view v (1 of 1)", "checking sources"])
def test_ctrl_c_ends_a_build_at_once_and_leaves_nothing(heavy, signalled):
    interrupted(heavy, signalled)
    assert list((heavy / ".featurestore" / "tmp").iterdir()) == []


def test_ctrl_c_ends_a_build_that_is_cut_at_once_and_leaves_what_is_finished(heavy):
    interrupted(heavy, "cutting source s by key", "--partitions", "2")
    (kept,) = (heavy / ".featurestore" / "tmp").iterdir()
    assert {path.name.split("-")[0] for path in kept.iterdir()} >= {"lock", "source", "spine"}


def interrupted(heavy, signalled, *more):
    """A build that is told to stop while the engine is at work: at once, and nothing but temporary files is different."""
    before = contents(heavy)
    command = [sys.executable, "-m", "featurestore.cli", "build", "f", "--spine", "spine.parquet", "--output", "train.parquet"]
    command += more
    with subprocess.Popen(command, cwd=heavy, env=environment(), stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert any(line.strip() == signalled for line in running.stderr)
        time.sleep(1)
        assert running.poll() is None, "the engine is at work"
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
        running.wait()
        assert time.monotonic() - began < 10
    assert running.returncode == 130
    assert "FS902 interrupted" in said
    assert "Traceback" not in said
    assert contents(heavy) == before


# serve


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_until_it_is_told_to_stop(project, stop):
    command = [sys.executable, "-m", "featurestore.cli", "serve", "--port", "0", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=project, env=environment(), **pipes) as running:
        assert running.stderr is not None
        assert running.stdout is not None
        ready = next(line for line in running.stderr if line.startswith("serving on "))
        with urllib.request.urlopen(ready.split()[-1] + "/ready", timeout=30) as answer:
            assert answer.status == 200
        running.send_signal(stop)
        said = running.stdout.read()
    assert running.returncode == 0
    assert json.loads(said) == {"command": "serve", "ok": True, "result": {"stopped": True}, "errors": []}


# Numbers as people read them


@pytest.mark.parametrize(
    "micros, shown",
    [(0, "0 s"), (999_999, "0 s"), (61_000_000, "1 min 1 s"), (3_600_000_000, "1 h"), (11_100_000_000, "3 h 5 min"),
     (90_000 * 10**6, "1 d 1 h"), (86_401 * 10**6, "1 d"), (-5_000_000, "-5 s")],
)  # fmt: skip
def test_ages(micros, shown):
    assert show.age(micros) == shown


@pytest.mark.parametrize(
    "number, shown", [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 kB"), (98_304, "98.3 kB"), (2 * 10**15, "2000.0 TB")]
)
def test_sizes(number, shown):
    assert show.size(number) == shown


def test_a_table_aligns_numbers_right_and_text_left():
    assert show.table(("name", "n"), [("a", 5), ("bcd", 12_000)]) == "name       n\na          5\nbcd   12,000"
