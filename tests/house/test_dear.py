"""What is said to be dear is there: the name of a test, or of a class of them, that has gone would make nothing slow."""

from __future__ import annotations

import re

import pytest

from tests.dear import DEAR
from tests.needs import ROOT


@pytest.mark.parametrize("entry", DEAR)
def test_what_is_dear_is_a_test(entry: str) -> None:
    file, _, rest = entry.partition("::")
    name, _, case = rest.partition("[")
    assert re.search(rf"^(def|class) {name}", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE)
    if case.endswith(".md]"):
        assert (ROOT / case.removesuffix("]")).is_file()
