"""`featurestore init`: a whole project, or nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from featurestore import discovery, scaffold
from featurestore.errors import UsageError
from featurestore.scaffold import aside as module
from featurestore.scaffold import create, name_of


def test_a_new_project_holds_all_it_needs_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    made = create(tmp_path / "deep" / "Card Payments", rows=1_000)
    project = tmp_path / "deep" / "Card Payments"
    expected = {"featurestore.toml", "README.md", ".gitignore", "registry/payments.py", "registry/services.py"}
    assert expected | {"data/spine.parquet", "data/spine.csv", "data/merchants.parquet"} <= set(made)
    assert made == sorted(p.relative_to(project).as_posix() for p in project.rglob("*") if p.is_file())
    assert [p.name for p in project.parent.iterdir()] == ["Card Payments"]
    assert tomllib.loads((project / "featurestore.toml").read_text())["project"]["name"] == "card_payments"
    assert (project / "README.md").read_text().startswith("# card_payments\n")


def test_its_definitions_load(tmp_path: Path) -> None:
    create(tmp_path / "p", rows=1)
    registry = discovery.load(tmp_path / "p" / "registry")
    assert list(registry.services) == ["fraud_v1"]
    assert sorted(registry.views) == ["card_payments", "merchant_profile"]


def test_an_empty_folder_is_filled_even_if_it_is_the_shells_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    create(Path("."), rows=1)
    assert Path("featurestore.toml").exists()
    assert tomllib.loads(Path("featurestore.toml").read_text())["project"]["name"] == "here"


@pytest.mark.parametrize("content", [".hidden", "registry"])
def test_a_folder_with_anything_in_it_is_refused_and_left_alone(content: str, tmp_path: Path) -> None:
    (tmp_path / "p" / content).mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        create(tmp_path / "p", rows=1)
    assert caught.value.code == "FS104"
    assert content in caught.value.what
    assert [p.name for p in (tmp_path / "p").iterdir()] == [content]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("mine")
    with pytest.raises(UsageError) as caught:
        create(tmp_path / "p", rows=1)
    assert caught.value.code == "FS104"
    assert (tmp_path / "p").read_text() == "mine"


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaffold, "_switch", lambda staging, target: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        create(tmp_path / "p", rows=1)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_swept_and_a_living_runs_is_not(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f"{module._PREFIX}{ended.pid}-x"
    alive = tmp_path / f"{module._PREFIX}1-x"
    dead.mkdir()
    alive.mkdir()
    create(tmp_path / "p", rows=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([alive.name, "p"])


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("payments", "payments"),
        ("My Project 2", "my_project_2"),
        ("42", "project"),
        ("Zoë--x", "zo_x"),
        ("北京", "project"),
    ],
)
def test_the_folders_name_makes_the_projects_name(folder: str, name: str) -> None:
    assert name_of(Path("/somewhere") / folder) == name
