"""What is watched, as the stories that kill mutants say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.fresh import FRESH
from tests.mutants.watched import WATCHED

STORIES = {**WATCHED, **FRESH}


@pytest.mark.parametrize("story", STORIES)
def test_it_is_watched_as_the_stories_say(story: str, tmp_path: Path) -> None:
    STORIES[story](tmp_path)
