"""Decide what a test does when a piece it needs is not on this machine: skip, or fail where the piece was promised.

A piece is a program by name, "airflow" and "dagster" in environments of their own, or "data" for the real data sets.
FEATURESTORE_REQUIRE lists the promised, comma separated.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def require(piece: str, present: bool, otherwise: str) -> None:
    """Return if `present`; else skip the test, or fail it if FEATURESTORE_REQUIRE holds `piece`, saying `otherwise`."""
    if present:
        return
    if piece in os.environ.get("FEATURESTORE_REQUIRE", "").split(","):
        pytest.fail(f"{otherwise}, and FEATURESTORE_REQUIRE lists {piece}", pytrace=False)
    pytest.skip(otherwise)


def require_program(program: str) -> str:
    """The path of `program`, by PATH."""
    path = shutil.which(program)
    require(program, path is not None, f"{program} is not installed")
    return str(path)


def environment_of(program: str) -> Path:
    """The folder of programs of an orchestrator's environment: FEATURESTORE_AIRFLOW (or _DAGSTER), else `.venv-airflow/bin`."""
    folder = Path(os.environ.get(f"FEATURESTORE_{program.upper()}") or ROOT / f".venv-{program}" / "bin")
    require(
        program,
        (folder / program).exists(),
        f"no {program}: make .venv-{program}/.installed, or set FEATURESTORE_{program.upper()}",
    )
    return folder


def real_data() -> Path:
    """The folder of real data sets: FEATURESTORE_DATA, else `../shared/data` beside the project."""
    folder = Path(os.environ.get("FEATURESTORE_DATA") or ROOT.parent / "shared" / "data")
    require("data", folder.is_dir(), f"no real data: {folder} is not a folder (set FEATURESTORE_DATA)")
    return folder
