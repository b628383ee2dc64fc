"""The stories of `prove` and `influence` that mutants of them must not survive are true of the code as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.audit import STORIES


@pytest.mark.parametrize("name", [name for name in STORIES if not name.endswith("is_proven")])  # those: test_leaks
def test_the_story_is_true(name: str, tmp_path: Path) -> None:
    STORIES[name](tmp_path)
