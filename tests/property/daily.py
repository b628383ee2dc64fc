"""Which kinds of sources a dear test meets every day; the others come with the slow tests."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def daily(kinds: Iterable[str], *every_day: str) -> list[object]:
    """Parameters of a test: all kinds, those not named marked slow."""
    kinds = list(kinds)
    assert set(every_day) <= set(kinds)
    return [kind if kind in every_day else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]
