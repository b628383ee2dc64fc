"""What is told of runs, of where values come from, and to whom, as the stories that kill mutants say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.compared import COMPARED
from tests.mutants.shown import SHOWN
from tests.mutants.told import TOLD


@pytest.mark.parametrize("story", {**TOLD, **SHOWN, **COMPARED})
def test_it_is_told_as_the_stories_say(story: str, tmp_path: Path) -> None:
    {**TOLD, **SHOWN, **COMPARED}[story](tmp_path)
