"""The table of error codes is complete: each code in use is explained, and nothing is explained that is not in use."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from featurestore.error_codes import CODES
from tests.needs import ROOT

CODE = re.compile(r"FS\d{3}")


def used() -> Iterator[tuple[str, str]]:
    """(code, file and line) of every code that stands as a string by itself in the package."""
    for path in sorted((ROOT / "featurestore").rglob("*.py")):
        if path.name == "error_codes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                yield node.value, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_code_in_use_is_explained():
    assert sorted({f"{code} ({where})" for code, where in used() if code not in CODES}) == []


def test_every_explained_code_is_in_use():
    assert sorted(CODES.keys() - {code for code, _ in used()}) == []


def test_codes_stand_in_order():
    assert list(CODES) == sorted(CODES)


@pytest.mark.parametrize("code", CODES)
def test_an_explanation_has_all_its_parts(code):
    explained = CODES[code]
    assert all(part.strip() == part and part for part in explained)
    assert not explained.title.endswith(".")
    assert explained.cause.endswith(".")
    assert explained.cure.endswith(".")
    assert CODE.match(code)
    assert not explained.example.startswith("FS"), "the code is put before the example where it is shown"
