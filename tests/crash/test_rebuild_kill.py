"""kill -9 at any moment of a rebuild: the set is not there, or whole beside its manifest, and nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from featurestore import FeatureStore
from featurestore.sources.files import sha256
from tests.crash.killing import KILLED, fail_points, kill_at_random, run
from tests.functional.made_again import Made

KILLS = 12


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = Made.new(tmp_path / "project")
    made.build()
    (made.folder / "train.parquet").unlink()
    return made


def rebuild(folder: Path) -> None:
    os.environ["FEATURESTORE_OFFLINE__THREADS"] = "1"
    FeatureStore(folder).rebuild(folder / "train.parquet.manifest.json")


def stands(made: Made, document: object) -> bool:
    """Whether the set has its name; it is whole then, and the manifest what it was in any case."""
    assert made.manifest() == document
    path = made.folder / "train.parquet"
    assert not path.exists() or sha256(path) == made.manifest()["output"]["sha256"]
    return path.exists()


def nothing_is_left(made: Made) -> bool:
    partial = [path for path in made.folder.rglob("*") if path.name.endswith(".partial")]
    return not partial and not list((made.folder / ".featurestore" / "tmp").iterdir())


def test_a_rebuild_killed_when_it_has_copied_the_set_is_done_again(made: Made) -> None:
    document = made.manifest()
    assert fail_points("adopt") == {"adopt.copied"}
    assert run(rebuild, made.folder, fail_at="adopt.copied") == KILLED
    assert not stands(made, document)
    assert run(rebuild, made.folder) == 0
    assert stands(made, document)
    assert nothing_is_left(made)


@pytest.mark.parametrize("wanted", [4, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_a_rebuild_killed_at_any_moment_is_done_again(made: Made, wanted: int) -> None:
    document = made.manifest()

    def attempt(seconds: float) -> int:
        (made.folder / "train.parquet").unlink(missing_ok=True)
        code = run(rebuild, made.folder, after=seconds)
        assert stands(made, document) or code == KILLED
        return code

    kill_at_random(Random(21), wanted, attempt)
    (made.folder / "train.parquet").unlink(missing_ok=True)
    assert run(rebuild, made.folder) == 0
    assert stands(made, document)
    assert nothing_is_left(made)
