"""`prove` notices leaks: with a leaky mutant in the compiler it says so, without one it says that nothing moved."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest

from tests.mutants.leaks import SOURCES, proof
from tests.mutants.planted import NAMED, planted

LEAKS = {
    "as_of_join_sees_t": ("at_once", "auto"),
    "as_of_join_by_event": ("delayed", "auto"),
    "delay_ignored": ("delayed", "auto"),
    "created_is_event": ("created", "auto"),
    "timeline_sees_t": ("created", "auto"),
    "timeline_by_event": ("created", "auto"),
    "timeline_by_known": ("created", "auto"),
    "windows_see_t": ("created", "pairs"),
    "windows_by_event": ("created", "pairs"),
    "windows_by_known": ("created", "pairs"),
    "exact_for_every_view": ("at_once", "auto"),
    "created_null_is_event": ("created", "auto"),
    "created_sources_as_simple": ("created", "auto"),
    "frames_see_t": ("at_once", "frames"),
    "grid_sees_t": ("created", "sweep"),
    "simple_windows_by_event": ("delayed", "pairs"),
    "correction_in_force_as_it_happens": ("versions", "auto"),
}
"""Mutants of the compiler that leak, and the source and plan of windows with which they do."""
EVERY_DAY = ("as_of_join_sees_t", "timeline_by_event", "windows_by_known")


def _marked(names: Iterable[str], every_day: Container[str]) -> list[Any]:
    return [pytest.param(n, marks=() if n in every_day else pytest.mark.slow) for n in names]


@pytest.mark.parametrize("kind", _marked(SOURCES, ("at_once", "versions")))
def test_nothing_moves_as_the_code_is(kind: str) -> None:
    found = proof(kind)
    assert found.ok, [p.to_dict() for p in found.probes if p.outcome == "moved"]
    assert not found.unseen
    assert {p.kind for p in found.probes if p.outcome == "held"} >= {"deleted", "truncated", "changed", "delayed", "added"}


@pytest.mark.parametrize("kind", _marked(("at_once", "created", "versions"), ("created",)))
def test_nothing_moves_with_exact_matches_either(kind: str) -> None:
    assert proof(kind, exact=True).ok


@pytest.mark.parametrize("name", _marked(LEAKS, EVERY_DAY))
def test_a_leak_is_found(name: str) -> None:
    kind, plan = LEAKS[name]
    with planted(NAMED[name]):
        found = proof(kind, plan=plan)
    assert not found.ok
    assert found.moved
