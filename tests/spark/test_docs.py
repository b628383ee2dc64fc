"""The page on scaling out, run block by block where there is a Spark."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests import needs
from tests.docs.pages import DOCS, Reader, blocks


@pytest.mark.slow
def test_the_blocks_of_the_page_run(tmp_path: Path) -> None:
    needs.require("java", shutil.which("java") is not None, "java is not installed")
    with Reader(tmp_path) as reader:
        for block in blocks(DOCS / "how-to" / "scale-out.md"):
            reader.read(block)
