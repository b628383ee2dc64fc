"""Every block of the documentation is run, in order, and prints what the page says it prints."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Reader, anchors, blocks, matches, pages
from tests.needs import ROOT, require, require_program

NOT_RUN_AT_MOST = 4
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path):
    needed = page.read_text(encoding="utf-8")
    for program in ("curl", "redis-server"):
        if f"\n{program} " in needed:
            require_program(program)
    if "--engine spark" in needed:
        require("pyspark", find_spec("pyspark") is not None, "pyspark is not installed: tests/spark runs this page")
    with Reader(tmp_path) as reader:
        for block in blocks(page):
            reader.read(block)


def test_few_blocks_are_not_run_and_each_says_why():
    skipped = [block for page in pages() for block in blocks(page) if not block.runs]
    reasons = {str(block): block.options.get("no-run", "a drawing") for block in skipped}
    assert all(len(reason) > 8 for reason in reasons.values()), reasons
    assert len(reasons) <= NOT_RUN_AT_MOST, reasons


def test_links_lead_somewhere():
    broken = []
    for page in [
        *sorted(DOCS.rglob("*.md")),
        *pages(),
        *sorted((ROOT / "examples").glob("*/README.md")),
        ROOT / "CHANGELOG.md",
    ]:
        for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
            if link.startswith(("https://", "http://")):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_an_output_may_be_shortened():
    assert matches("a … c\n…\nz\n", "a b c\n1\n2\nz\n")
    assert matches("a\n…\nz", "a\nz\n")
    assert not matches("a\nz\n", "a\nb\nz\n")
    assert not matches("a …\n", "b c\n")
