"""The project's files say nothing about the machine they were written on, and its code keeps to its layers."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import featurestore
from tests.needs import ROOT, require

# Each is spelled so that this file does not match itself.
HOSTS = [("pypi", "org"), ("pythonhosted", "org"), ("deb[.]debian", "org"), ("registry[.]npmjs", "org")]
FORBIDDEN = {
    "a path of somebody's machine": r"(^|[^A-Za-z0-9_.])/([h]ome|[r]oot|[U]sers|[w]ork)/[A-Za-z]",
    "a package registry's host": "|".join("[.]".join(host) for host in HOSTS),
}


def git(*arguments: str) -> str:
    """What git prints about this project; the test is skipped where there is no git or no checkout."""
    try:
        answer = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        require("git", False, "git is not installed")
    require("git", answer.returncode != 128, "the project is not a git checkout")
    return answer.stdout


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what):
    assert git("grep", "-nIE", "--untracked", FORBIDDEN[what]) == ""


def test_the_lock_is_requirements_lock_alone():
    assert git("ls-files", "--cached", "--others", "--exclude-standard", "*uv.lock") == ""


def test_the_imports_keep_to_the_layers():
    program = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("name", featurestore.__all__)
def test_every_public_name_has_a_docstring_of_its_own(name):
    doc = inspect.getdoc(getattr(featurestore, name)) or ""
    assert doc, f"{name} has no docstring"
    assert not doc.startswith(f"{name}("), f"{name} has only the docstring dataclasses made up"


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "featurestore" / "py.typed").is_file()


def test_the_continuous_integration_script_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
