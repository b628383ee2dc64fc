"""The serve log, as the stories that kill mutants tell of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.logged import LOGGED


@pytest.mark.parametrize("story", LOGGED)
def test_it_is_logged_as_the_stories_say(story: str, tmp_path: Path) -> None:
    LOGGED[story](tmp_path)
