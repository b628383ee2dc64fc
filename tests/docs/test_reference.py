"""What is generated is up to date: docs/reference/ from the sources, sql/ from registry/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import docs
from tests.needs import ROOT


def test_the_generated_reference_is_up_to_date():
    assert sorted(docs.stale()) == [], "run make docs"


def test_the_reference_holds_a_page_for_each_and_no_other():
    assert sorted(path.name for path in docs.REFERENCE.iterdir()) == sorted(docs.PAGES)


def test_the_reference_names_no_place_of_the_machine_that_wrote_it():
    for name, write in docs.PAGES.items():
        assert str(ROOT) not in write(), name


def test_sql_is_what_registry_says_also_where_there_is_no_data(tmp_path: Path):
    for name in ("registry", "sql"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "featurestore.toml", tmp_path)
    checked = subprocess.run(
        [sys.executable, "-m", "featurestore.cli", "compile", "--check"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr + checked.stdout
