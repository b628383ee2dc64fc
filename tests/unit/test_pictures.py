"""Pictures are well-formed whatever they are given, and bars are as tall as their values say."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.pictures import histogram, line, names_below, rectangles

SVG = "{http://www.w3.org/2000/svg}"
VALUES = st.lists(st.one_of(st.none(), st.floats(), st.integers(0, 9)), max_size=30)


@given(VALUES, st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20))
def test_every_picture_is_xml(values: list[float | None], name: str) -> None:
    points = list(enumerate(values))
    edges = [value if value is not None else math.nan for value in [*values, 1.0]]
    for svg in (
        histogram(edges, values, label=name),
        line(points, label=name, ends=(name, name)),
        line([], label=name, band=[(n, v, v) for n, v in points]),
    ):
        root = ElementTree.fromstring(svg)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"].startswith(name)
        for shape in root.iter():
            assert not {"nan", "inf"} & {
                part for value in shape.attrib.values() for part in value.split() if part in ("nan", "inf")
            }
            assert not {"style", "onload"} & shape.attrib.keys()


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=40))
def test_bars_are_as_tall_as_their_values(values: list[float]) -> None:
    greatest = max(values)
    made = rectangles(values, greatest, len(values), width=100, height=50)
    for n, (value, bar) in enumerate(zip(values, made, strict=True)):
        assert bar.h == pytest.approx(50 * value / greatest if greatest else 0, abs=0.01)
        assert bar.y + bar.h == pytest.approx(50, abs=0.02)
        assert bar.x == pytest.approx(n * 100 / len(values), abs=0.01)
        assert bar.x + bar.w <= 100.02


@pytest.mark.parametrize("count", range(0, 40))
def test_the_last_name_is_among_at_most_eight(count: int) -> None:
    shown = names_below([str(n) for n in range(count)])
    assert len(shown) <= 8
    assert [name for _, name in shown][-1:] == ([str(count - 1)] if count else [])
    assert [x for x, _ in shown] == sorted(x for x, _ in shown)


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    root = ElementTree.fromstring(line([(0, 1.0), (1, 2.0), (2, None), (3, 1.0), (4, math.nan), (5, 4.0), (6, 3.0)], label="x"))
    assert len(root.findall(f"{SVG}path[@class='line']")) == 2
    assert len(root.findall(f"{SVG}circle")) == 1
