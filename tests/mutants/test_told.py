"""What is told of runs, of where values come from, and to whom, as the stories that kill mutants say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.shown import SHOWN
from tests.mutants.told import TOLD


@pytest.mark.parametrize("story", {**TOLD, **SHOWN})
def test_it_is_told_as_the_stories_say(story: str, tmp_path: Path) -> None:
    {**TOLD, **SHOWN}[story](tmp_path)
