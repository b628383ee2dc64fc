"""The mutants are planted by `make mutants`; here, that the table of them is true and the suite green without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.mutants import MUTANTS, ROOT, Mutant
from tests.mutants.backfilled import BACKFILLED
from tests.mutants.focused import ONLINE, STORIES, WINDOWS, is_killer
from tests.mutants.online import RUNS, at_each_instant
from tests.spec.engines import by_reference
from tests.spec.loader import Case, run_case


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_of_the_code_as_it_is(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old


def test_mutants_have_names_of_their_own_and_cases_that_exist() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 100
    for mutant in MUTANTS:
        assert [name for name in STORIES if is_killer(mutant.killer, name)], mutant


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("case", ONLINE, ids=lambda case: case.id)
def test_the_store_answers_as_the_contract_says(case: Case, run: str, tmp_path: Path) -> None:
    run_case(case, RUNS[run], tmp_path)


@pytest.mark.parametrize("case", WINDOWS, ids=lambda case: case.id)
def test_the_store_answers_windows_as_the_contract_says(case: Case, tmp_path: Path) -> None:
    run_case(case, at_each_instant, tmp_path)


@pytest.mark.parametrize("case", ONLINE, ids=lambda case: case.id)
def test_the_oracle_tells_the_same_story(case: Case, tmp_path: Path) -> None:
    if case.one("expect error") is None and not {"stale", "unavailable"} & set(" ".join(case.one("expect").lines).split()):  # type: ignore[union-attr]
        run_case(case, by_reference, tmp_path)


@pytest.mark.parametrize("story", BACKFILLED)
def test_backfills_are_as_their_stories_say(story: str, tmp_path: Path) -> None:
    BACKFILLED[story](tmp_path)
