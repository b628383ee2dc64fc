"""The demo, on a copy of the repository and from an empty home."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import demo
from tests.needs import ROOT

ROWS = 3000


def kept(folder: Path) -> dict[str, bytes]:
    """Every file that git would keep, and its content."""
    ignored = {"data", "build", ".featurestore", "__pycache__"}
    files = [p for p in folder.rglob("*") if p.is_file() and not ignored & set(p.relative_to(folder).parts)]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_the_demo_shows_the_main_job_stops_its_server_and_leaves_the_work_tree_clean(tmp_path: Path):
    copy, home = tmp_path / "repository", tmp_path / "home"
    for name in ("registry", "sql", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "featurestore.toml", copy)
    home.mkdir()
    before = kept(copy)

    done = subprocess.run(
        [sys.executable, str(copy / "scripts" / "demo.py"), "--rows", str(ROWS)],
        cwd=home, env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    said = done.stdout

    assert done.returncode == 0, said + done.stderr
    assert kept(copy) == before
    assert list(home.iterdir()) == []
    assert "HAS CHANGED" not in said
    assert "27 values and their statuses, all equal" in said
    assert re.search(r"^label view chargeback_30d: mature [\d,]+, immature [\d,]+, positive \d", said, re.MULTILINE)
    assert "the server has stopped, with exit code 0" in said
    [process] = re.findall(r"^http://127\.0\.0\.1:\d+, process (\d+)$", said, re.MULTILINE)
    with pytest.raises(ProcessLookupError):
        os.kill(int(process), 0)
    listed = [line.split()[0] for line in said.split("== Files\n")[1].split("\n\n")[0].splitlines()]
    assert len(listed) == 6
    assert [name for name in listed if not (copy / name).exists()] == []
    assert [int(size.replace(",", "")) > 1_000 for size in re.findall(r"^GET http.*  ([\d,]+) bytes$", said, re.MULTILINE)] == [
        True for _ in demo.PAGES
    ]
    ends = said.split("== See it: `make page` serves")[1].splitlines()
    assert [line.split()[0].removeprefix("http://127.0.0.1:8000") for line in ends[1:6]] == list(demo.PAGES)


def test_the_demo_makes_data_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo, "DATA", tmp_path)
    monkeypatch.setattr(demo, "MADE", tmp_path / "generated.json")

    assert demo.generate(500, 7).startswith("500 payments")
    assert demo.generate(500, 7).startswith("data/ holds them already")
    assert demo.generate(500, 8).startswith("500 payments")
