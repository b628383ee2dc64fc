"""Spark Connect: the same service by a server, with the hash that DuckDB gives; and servers that are not there."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.functional.conftest import Cli, Outcome, cli
from tests.needs import ROOT

__all__ = ["cli"]


def build_elsewhere(project: Path, output: Path, **environment: str) -> Outcome:
    """Build in a process of its own: this one has a classic session."""
    command = [
        sys.executable,
        "-m",
        "featurestore.cli",
        "build",
        "fraud_v1",
        "--spine",
        str(project / "data" / "spine.parquet"),
    ]
    command += ["--output", str(output), "--project", str(project), "--engine", "spark", "--json"]
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=500)
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_a_connect_server_gives_the_hash_that_duckdb_gives(
    connect_server: str, cli: Cli, reference: Path, tmp_path: Path
) -> None:
    spine = reference / "data" / "spine.parquet"
    one = cli("build", "fraud_v1", "--spine", spine, "--output", tmp_path / "one.parquet", "--project", reference, "--json")
    other = build_elsewhere(reference, tmp_path / "other.parquet", FEATURESTORE_SPARK__REMOTE=connect_server)
    assert other.code == 0, other.err
    assert other.json["result"]["content_hash"] == one.json["result"]["content_hash"]
    manifest = json.loads((tmp_path / "other.parquet.manifest.json").read_text())
    assert manifest["engine"] == "spark"


@pytest.mark.parametrize(
    ("name", "address"),
    [("FEATURESTORE_SPARK__REMOTE", "sc://127.0.0.1:{}"), ("FEATURESTORE_SPARK__MASTER", "spark://127.0.0.1:{}")],
)
def test_a_spark_that_is_not_there_is_told_in_time(name: str, address: str, reference: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    said = build_elsewhere(reference, tmp_path / "out.parquet", **{name: address.format(port)})
    assert said.code == 5
    [error] = said.json["errors"]
    assert error["code"] == "FS463"
    assert str(port) in error["what"]
    assert time.monotonic() - began < 60
    assert not list(tmp_path.iterdir())


def test_a_port_that_accepts_and_never_answers_is_told_in_time(reference: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"sc://127.0.0.1:{silent.getsockname()[1]}"
        given = {"FEATURESTORE_SPARK__REMOTE": address, "FEATURESTORE_SPARK__TIMEOUT": "3s"}
        said = build_elsewhere(reference, tmp_path / "out.parquet", **given)
    assert said.code == 5
    assert said.json["errors"][0]["code"] == "FS463"


def test_without_java_it_is_said_what_is_missing(reference: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for program in ("bash", "env", "dirname"):
        (bare / program).symlink_to(str(shutil.which(program)))
    said = build_elsewhere(reference, tmp_path / "out.parquet", PATH=str(bare), JAVA_HOME="")
    assert said.code == 5
    assert said.json["errors"][0]["code"] == "FS462"


def test_without_pyspark_it_is_said_what_to_install(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'pyspark' else found(name, *more)\n"
    )
    given = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    said = build_elsewhere(reference, tmp_path / "out.parquet", **given)
    assert said.code == 5
    assert said.json["errors"][0]["code"] == "FS480"
    assert "featurestore[spark]" in said.json["errors"][0]["try"]


def test_a_token_in_the_address_is_not_told(reference: Path, tmp_path: Path) -> None:
    said = build_elsewhere(reference, tmp_path / "out.parquet", FEATURESTORE_SPARK__REMOTE="sc://127.0.0.1:1/;token=hush")
    assert said.code == 5
    assert "hush" not in said.err + said.out
