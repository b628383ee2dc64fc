"""The suite that must kill every mutant: spec cases on DuckDB, online stories and windows on the store, in one process.

It stops at the first story that fails. How a mutant is planted, and which, is the business of scripts/mutants.py.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

import featurestore
from featurestore.compiler.duckdb.windows import PLANS
from featurestore.errors import FeatureStoreError
from tests.mutants.audit import STORIES as AUDIT
from tests.mutants.backfilled import BACKFILLED
from tests.mutants.compared import COMPARED
from tests.mutants.database import DATABASE
from tests.mutants.found import FOUND
from tests.mutants.fresh import FRESH
from tests.mutants.judged import STORIES as JUDGED
from tests.mutants.logged import LOGGED
from tests.mutants.online import RUNS, at_each_instant, can_be_asked_at_each_instant
from tests.mutants.profiled import PROFILED
from tests.mutants.remade import REMADE
from tests.mutants.remote import REMOTE
from tests.mutants.shown import SHOWN
from tests.mutants.tables import TABLES
from tests.mutants.told import TOLD
from tests.mutants.watched import WATCHED
from tests.spec.engines import CUT, asks_at_once, by_duckdb
from tests.spec.loader import Case, read_cases, run_case

OFFLINE = read_cases(Path(__file__).parent.parent / "spec")
ONLINE = read_cases(Path(__file__).parent)
WINDOWS = [case for case in OFFLINE if can_be_asked_at_each_instant(case)]
"""Cases of windows, which the online store must tell as well."""
_TOPICS = ("online", "latest", "known_time", "versions", "windows", "times", "training_set", "static", "keys", "labels")
"""Where leaks show first; the other topics follow."""
_OF_PLANS = ("windows", "aggregates")
"""What is asked of every plan of windows as well."""
_ENGINE_FAILED = "FS306"


def _stories() -> Mapping[str, Callable[[Path], None]]:
    stories: dict[str, Callable[[Path], None]] = {**REMADE, **REMOTE, **DATABASE, **TABLES}
    for case in ONLINE:
        for run, engine in RUNS.items():
            stories[f"{case.id} ({run})"] = partial(run_case, case, engine)
    for case in sorted(OFFLINE, key=_place):
        stories[case.id] = partial(run_case, case, by_duckdb)
    for case in OFFLINE:
        stories[f"{case.id} (cut)"] = partial(run_case, case, partial(by_duckdb, partitions=CUT))
    for case in WINDOWS:
        stories[f"{case.id} (store)"] = partial(run_case, case, at_each_instant)
    for case in filter(asks_at_once, OFFLINE):
        stories[f"{case.id} (at once)"] = partial(run_case, case, partial(by_duckdb, window_plan="snapshot"))
    for plan in (plan for plan in PLANS if plan != "snapshot"):
        for case in (case for case in OFFLINE if case.topic in _OF_PLANS and case.has_windows):
            stories[f"{case.id} ({plan})"] = partial(run_case, case, partial(by_duckdb, window_plan=plan))
    return stories | AUDIT | JUDGED | BACKFILLED | TOLD | SHOWN | FOUND | LOGGED | WATCHED | FRESH | COMPARED | PROFILED


def _place(case: Case) -> int:
    return _TOPICS.index(case.topic) if case.topic in _TOPICS else len(_TOPICS)


STORIES = _stories()
Failed = pytest.fail.Exception  # what `pytest.raises` fails with; no subclass of Exception


def first_failure(killer: str, folder: Path) -> tuple[str, BaseException] | None:
    """The first story that is told otherwise, beginning with those whose name contains `killer`."""
    for number, name in enumerate(sorted(STORIES, key=lambda name: not is_killer(killer, name))):
        place = folder / str(number)
        place.mkdir()
        try:
            STORIES[name](place)
        except (Exception, Failed) as error:
            return name, error
    return None


def is_killer(killer: str, name: str) -> bool:
    """Whether a story's name begins like the killer's, and is told by the same engine where that one names it."""
    story, _, engine = killer.partition(" (")
    return story in name and (not engine or name.endswith(f"({engine}"))


def verdict(found: tuple[str, BaseException] | None) -> dict[str, object]:
    """killed_by: the story that failed, None if all held. broken: it failed because the code does not run at all."""
    if found is None:
        return {"killed_by": None, "how": "", "broken": False}
    name, error = found
    refused = isinstance(error, FeatureStoreError) and error.code != _ENGINE_FAILED
    refused |= isinstance(error.__cause__, StopIteration)  # the engine gave fewer rows than the spine has
    told_otherwise = isinstance(error, AssertionError | Failed)
    return {
        "killed_by": name,
        "how": f"{type(error).__name__}: {(str(error).strip() or 'differs').splitlines()[0]}",
        "broken": not (refused or told_otherwise),
    }


def judge(copy: Path, killer: str) -> dict[str, object]:
    """The verdict on the package in the folder `copy`, which must be the one that runs."""
    for module in (featurestore, sys.modules[__name__]):
        assert Path(str(module.__file__)).is_relative_to(copy), "another package than the mutant runs"
    with tempfile.TemporaryDirectory(prefix="stories-", dir=copy) as folder:
        return verdict(first_failure(killer, Path(folder)))
