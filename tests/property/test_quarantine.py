"""Rows in quarantine are as if they were not there: to DuckDB, to the oracle, and online.

Worlds of every kind get expectations that set some of their rows aside: newest facts, newest versions, tombstones, rows of
labels. Which rows those are is also said in plain Python, so that a build with the expectations can be compared with one of
the other rows alone.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random

import pytest

from featurestore.engines.duckdb import Settings
from featurestore.testing.strategies import CASE, CREATED, KINDS, Row, World, expecting, world
from tests.property.engines import Question, by_duckdb, differences
from tests.property.test_offline import TWO_FILES, check, make_batch
from tests.property.test_online import check as wrong_online
from tests.property.test_online import make_project

CASES = 20
SOME = ("created", "versions_deleted", "static")
"""Kinds of which every day is asked."""
SETTINGS = (Settings(threads=2), Settings(threads=1), Settings(threads=4))


def drawn_worlds(kind: str, fuzz_cases: int) -> Iterator[tuple[World, tuple[Row, ...]]]:
    """The first worlds of a kind in which enough is set aside, and their rows that are not."""
    wanted = max(1, fuzz_cases // 6_000)
    for number in count():
        rng = Random(f"quarantine/{kind}/{number}")
        drawn, kept = expecting(rng, world(rng, kind, CASES))
        enough = len(drawn.rows) - len(kept) >= CASES // 3
        if enough and ("versions" not in kind or hidden_predecessors(drawn, kept) > 2):
            yield drawn, kept
            wanted -= 1
        if not wanted:
            return


def hidden_predecessors(drawn: World, kept: tuple[Row, ...]) -> int:
    """Facts whose newest version is set aside and leaves one before it in force."""
    newest: dict[tuple[int, object], Row] = {}
    for row in drawn.rows:
        if row.get("rid") is not None and row[CREATED] is not None:
            rival = newest.setdefault((row[CASE], row["rid"]), row)
            newest[row[CASE], row["rid"]] = max(rival, row, key=lambda r: r[CREATED])
    remain = Counter((row[CASE], row.get("rid")) for row in kept)
    return sum(row not in kept and remain[key] > 0 for key, row in newest.items())


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[] if kind in SOME else pytest.mark.slow) for kind in KINDS])
def test_duckdb_sets_aside_what_the_oracle_does(kind: str, fuzz_cases: int, tmp_path: Path) -> None:
    for number, (drawn, _) in enumerate(drawn_worlds(kind, fuzz_cases)):
        batch = make_batch(Random(number), drawn, tmp_path / str(number), TWO_FILES)
        check(batch, tmp_path / str(number), SETTINGS)


@pytest.mark.parametrize("kind", SOME)
def test_a_build_is_that_of_the_other_rows_alone(kind: str, fuzz_cases: int, tmp_path: Path) -> None:
    for number, (drawn, kept) in enumerate(drawn_worlds(kind, fuzz_cases)):
        plain = replace(drawn, definition=replace(drawn.definition, expectations=()), rows=kept)
        whole = make_batch(Random(number), drawn, tmp_path / f"whole{number}", TWO_FILES)
        rest = make_batch(Random(number), plain, tmp_path / f"rest{number}", TWO_FILES)
        for question in (Question(whole.timezone), Question(whole.timezone, known_before=drawn.known_before)):
            found = by_duckdb(whole.service, whole.spine, question, SETTINGS[0])
            expected = by_duckdb(rest.service, whole.spine, question, SETTINGS[0])
            assert not differences(expected, found)
            assert expected.labels == found.labels
            assert {r: n for r, n in found.left_out.items() if not r.startswith("quarantined: ")} == expected.left_out


@pytest.mark.parametrize("kind", SOME)
def test_online_sets_aside_what_the_oracle_does(kind: str, tmp_path: Path) -> None:
    rng = Random(f"quarantine online/{kind}")
    project = make_project(rng, kind, tmp_path / "p", cases=12, on_disk=False, expected=True)
    for lot, watermark in enumerate(project.watermarks):
        project.deliver(lot)
        project.materialize(watermark)
        assert not list(wrong_online(project, watermark, rng))
    shutil.rmtree(tmp_path / "p")
