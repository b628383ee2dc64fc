"""What the functional tests share: a scaffolded project that is compiled and materialized, and the command line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from featurestore.cli import main
from featurestore.errors import StoreError
from featurestore.online.generations import generations
from featurestore.online.lmdb import LmdbStore
from tests.needs import ROOT

WATERMARK = "2026-01-01T00:00:00Z"


@dataclass
class Outcome:
    """What a command left behind: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        lines = self.out.strip().splitlines()
        assert len(lines) == 1, self.out
        return json.loads(lines[0])


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("build", …)` runs a command in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


def environment() -> dict[str, str]:
    """For a process of its own: this package, and nothing of a user's."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def process(*arguments: object, cwd: Path, **options: Any) -> Outcome:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "featurestore.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120, **options)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scaffolded project, compiled and materialized. Read only: `project` is a copy to change."""
    folder = tmp_path_factory.mktemp("cli") / "shop"
    for arguments in (
        ["init", str(folder), "--rows", "2000", "--quiet"],
        ["compile", "--project", str(folder), "--quiet"],
        ["materialize", "--project", str(folder), "--known-before", WATERMARK, "--quiet"],
    ):
        assert main(arguments) == 0
    return folder


@pytest.fixture
def project(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shop to work in: it is the shell's folder too."""
    folder = tmp_path / "shop"
    shutil.copytree(shop, folder)
    monkeypatch.chdir(folder)
    return folder


_FLEETING = {"__pycache__", "identities.json", "lock.mdb", "materialize.lock", "tmp"}
"""Caches and locks: they hold nothing a user made or would miss."""


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of its bytes; of an online store, of what it holds for readers: a run that
    fails notes that it was there."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and not _FLEETING & set(p.relative_to(folder).parts))
    return {p.relative_to(folder).as_posix(): hashlib.sha256(_held(p)).hexdigest() for p in files}


def _held(path: Path) -> bytes:
    if path.name != "data.mdb":
        return path.read_bytes()
    try:
        store = LmdbStore(path.parent, read_only=True)
    except StoreError:  # a damaged one: as it lies
        return path.read_bytes()
    with closing(store), store.read() as snapshot:
        metas = {n: m for n, m in snapshot.metas().items() if not n.startswith("run/") and n != "last_number"}
        tables = sorted({made.table for made in generations(snapshot)})
        return repr((metas, [(table, list(snapshot.scan(table))) for table in tables])).encode()
