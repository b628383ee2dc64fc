"""What is told of profiles, as the stories that kill mutants say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.profiled import PROFILED


@pytest.mark.parametrize("story", PROFILED)
def test_profiles_are_as_the_stories_say(story: str, tmp_path: Path) -> None:
    PROFILED[story](tmp_path)
