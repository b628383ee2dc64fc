"""Training sets from DuckDB equal the oracle's, cell by cell, on generated cases whose times collide.

A hundred cases share one build (`featurestore.testing.strategies`). Every build is asked with both as-of plans and 1, 2
and 4 threads, with an earlier cut-off, and with a serving lag; every day with a third of these settings and of the plans of
windows, the next build with the next third. One case in fifty is also built alone. A mismatch is reduced to its smallest case
and printed as a script.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore.compiler.duckdb.windows import PLANS
from featurestore.definitions import AGGREGATES, FeatureService
from featurestore.engines.duckdb import Settings
from featurestore.engines.duckdb.window_choice import AUTO
from featurestore.engines.reference import ReferenceEngine
from featurestore.engines.reference.times import Reading
from featurestore.engines.reference.values import read_keys
from featurestore.testing.strategies import BEACON, CASE, KINDS, World, window_worlds, worlds
from tests.property import edges, files
from tests.property.daily import daily
from tests.property.engines import Answered, Question, by_duckdb, by_oracle, differences
from tests.property.reproduction import Alone, Trial, script, smallest
from tests.spec.spread import Spreads

THOROUGH = bool({"FEATURESTORE_THOROUGH", "FEATURESTORE_FUZZ_CASES"} & os.environ.keys())
CASES_PER_BUILD = 100
WINDOW_BUILDS = 2
"""Of each aggregate at least so many: where cases are few, a build holds fewer of them, for the sake of more definitions."""
MANY_BUILDS = 30
"""So many builds of an aggregate must have met every plan that can serve it; fewer meet some by chance."""
ALONE_EVERY = 50
EVERY_DAY = ("sum", "max", "count_distinct", "first", "quantile", "last_k")
"""One of each way of being computed; the other aggregates come with the slow tests."""
# Below the threshold (spine rows) DuckDB joins as-of by nested loops. 0 forbids that plan; the great one forces it on a
# whole batch, as the default of 64 does on a case alone.
SETTINGS = tuple(Settings(threads=n, asof_loop_join_threshold=limit) for limit in (0, 1_000_000) for n in (1, 2, 4))
WINDOW_PLANS = (AUTO, *(name for name in PLANS if name not in ("pairs", "snapshot")), "pairs")
"""Each plan that windows of any spine can be computed by: it serves what it can, and the pair join the rest."""
TWO_FILES = files.Layout((files.File("pyarrow", "us", "string", 10_000),) * 2, "timestamp", False, {})
"""Where aggregates are the matter and not how rows lie."""
ALONE_SETTINGS = tuple(Settings(threads=n, asof_loop_join_threshold=limit) for limit in (64, 0) for n in (1, 2, 4))


@dataclass
class Batch:
    """A world as engines meet it: files, their tables as another reader sees them, the spine, and each case's part."""

    drawn: World
    service: FeatureService
    tables: list[pa.Table]
    spine: pa.Table
    timezone: str
    in_memory: bool
    of_case: dict[int, tuple[list[pa.Table], pa.Table, list[int]]] = field(default_factory=dict)
    oracles: dict[int, ReferenceEngine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spreads = Spreads(self.service)
        rows: dict[int, list[int]] = {}
        for row, case in enumerate(self.spine[CASE].to_pylist()):
            rows.setdefault(case, []).append(row)
        for case, asked in rows.items():
            mine = [t.filter(pc.is_in(t[CASE], pa.array([case, BEACON], t[CASE].type))) for t in self.tables]
            alone = pa.concat_tables([self.spine.slice(row, 1) for row in asked])  # take() knows no string views
            self.of_case[case] = (mine, alone, asked)
            self.oracles[case] = ReferenceEngine({"facts": mine})

    def expected(self, question: Question) -> Answered:
        """The oracle's answer, case by case: it is quadratic, and no case may see another's rows."""
        names = (*self.service.feature_names, *self.service.label_names)
        cells: dict[str, list[Any]] = {name: [None] * self.spine.num_rows for name in names}
        types: Any = {}
        left_out, labels, without_value = Counter[str](), Counter[str](), Counter[str]()
        for case, (tables, spine, asked) in self.of_case.items():
            answer = by_oracle(self.service, tables, spine, question, self.spreads, self.oracles[case])
            types = answer.types
            left_out.update(answer.left_out)
            labels.update(answer.labels)
            without_value.update(answer.without_value)
            for name, column in answer.cells.items():
                for row, cell in zip(asked, column, strict=True):
                    cells[name][row] = cell
        return Answered(cells, types, dict(left_out), dict(labels), dict(without_value))

    def edges(self) -> Counter[str]:
        found: Counter[str] = Counter()
        reading = Reading(self.timezone, late=False, date_is="start")
        names = [k.spine_column for k in self.drawn.definition.keys]
        for tables, spine, _ in self.of_case.values():
            keys = read_keys([spine[name] for name in names], spine.num_rows, reading)
            instants = [reading.instant(t) for t in spine["as_of"]]
            asked = [(key, t) for key, t in zip(keys, instants, strict=True) if t is not None]
            found += edges.count(self.service, tables, asked, self.drawn.known_before, self.drawn.serving_lag)
        return found

    def trial(self, case: int, question: Question, settings: Settings) -> Trial:
        tables, spine, _ = self.of_case[case]
        return Trial(self.drawn.definition, tuple(tables), spine, question, settings, self.in_memory)


def make_batch(rng: Random, drawn: World, folder: Path, layout: files.Layout | None = None) -> Batch:
    layout = layout or files.draw_layout(rng, timed=drawn.definition.kind != "static")
    definition = replace(drawn.definition, source={**drawn.definition.source, **layout.options})
    drawn = replace(drawn, definition=definition)
    columns = definition.source_columns
    tables = files.tables_of(rng, drawn.rows, definition, columns, layout)
    spine, timezone = files.spine_table(rng, rng.sample(drawn.spine, len(drawn.spine)), definition)
    if layout.in_memory:
        return Batch(drawn, definition.service(table=tables[0]), tables, spine, timezone, True)
    pattern = files.write(tables, folder / "facts", layout)
    return Batch(drawn, definition.service(path=str(pattern)), files.read(pattern), spine, timezone, False)


def questions(batch: Batch, every: Sequence[Settings]) -> Iterator[tuple[Question, Sequence[Settings]]]:
    """What is asked, and with which settings: the plain question with all, one of them twice; each cut-off with one."""
    zone, drawn = batch.timezone, batch.drawn
    yield Question(zone), (*some(every, len(drawn.rows)), every[len(drawn.rows) % len(every)])
    if drawn.definition.kind != "static":
        turn = len(drawn.rows) % len(every)
        yield Question(zone, known_before=drawn.known_before), (every[turn],)
        yield Question(zone, serving_lag=drawn.serving_lag), (every[turn - 1],)
        yield Question(zone, known_before=drawn.known_before, serving_lag=drawn.serving_lag), (every[turn - 2],)


def window_settings(number: int) -> tuple[Settings, ...]:
    """Every plan of windows, with 1, 2 and 4 threads in turn, from one build to the next."""
    plans = WINDOW_PLANS if THOROUGH else (AUTO, *WINDOW_PLANS[1 + number % 3 :: 3])
    return tuple(Settings(threads=(1, 2, 4)[(i + number) % 3], window_plan=plan) for i, plan in enumerate(plans))


def some(every: Sequence[Settings], number: int) -> Sequence[Settings]:
    """Of SETTINGS every third one, unless all are asked for."""
    return every if THOROUGH or every is not SETTINGS else every[number % 3 :: 3]


class Mismatch(AssertionError):
    """Cells that differ. trials: the cases concerned, each alone."""

    def __init__(self, trials: Sequence[Trial], wrong: Sequence[Any]) -> None:
        super().__init__(f"{len(wrong)} differences in {len(trials)} cases; the first: {wrong[0]}")
        self.trials, self.wrong = trials, wrong

    def explained(self, folder: Path) -> str:
        """The smallest of the failing cases, reduced, as a script; or what differed, if no case fails alone."""
        alone = Alone(folder)
        for trial in sorted(self.trials, key=lambda t: t.size)[:10]:
            if alone.differ(trial):
                small = smallest(trial, lambda t: bool(alone.differ(t)))
                return f"{self}\n\nThe smallest case:\n\n{script(small, alone.differ(small))}"
        shown = "\n".join(map(str, self.wrong[:20]))
        return f"{self}\nNo case fails alone: {self.trials[0].definition}\n{shown}"


def check(
    batch: Batch, folder: Path, settings: Sequence[Settings] = SETTINGS, left_out: Mapping[str, int] | None = None
) -> Counter[str]:
    """Every question, with every setting, one of them again; then some cases alone. Raises: Mismatch.

    left_out: the rows left out of the source by reason, if it holds cases of which no row asks.
    Also where the oracle may be approximated, threads, plans of as-of joins and another run change no bit.
    Returns: how many builds each plan of windows that was asked for served in.
    """
    served = Counter[str]()
    for question, every in questions(batch, settings):
        expected = batch.expected(question)
        bits: dict[str, Answered] = {}
        for one in every:
            found = by_duckdb(batch.service, batch.spine, question, one)
            first = bits.setdefault(one.window_plan, found)
            assert not differences(first, found), f"another build, with {one}, gives other bits"
            served.update(found.plans & {one.window_plan})
            if wrong := differences(expected, found):
                cases = {batch.spine[CASE][row].as_py() for row, *_ in wrong}
                raise Mismatch([batch.trial(case, question, one) for case in cases], wrong)
            assert found.labels == expected.labels
            assert found.without_value == expected.without_value
            if question.known_before is None and not question.serving_lag:
                assert found.left_out == (expected.left_out if left_out is None else left_out)
    plain = Question(batch.timezone)
    alone = Alone(folder)
    for case in [case for case in batch.of_case if case % ALONE_EVERY == 0]:
        trial = batch.trial(case, plain, ALONE_SETTINGS[len(batch.drawn.rows) % len(ALONE_SETTINGS)])
        if wrong := alone.differ(trial):
            raise Mismatch([trial], wrong)
    return served


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", daily(KINDS, "created", "versions_deleted", "static"))
def test_duckdb_agrees_with_the_oracle(kind: str, fuzz_cases: int, tmp_path: Path) -> None:
    builds = -(-fuzz_cases // (len(KINDS) * CASES_PER_BUILD))
    met = compared(kind, worlds(kind, CASES_PER_BUILD), builds, tmp_path)
    rare = {edge: met[edge] for edge in sorted(edges.EXPECTED[kind]) if met[edge] < edges.least(edge)}
    assert not rare, f"too rare: {rare}; met: {dict(met)}"


@pytest.mark.fuzz
@pytest.mark.parametrize("aggregate", daily(AGGREGATES, *EVERY_DAY))
def test_windows_agree_with_the_oracle(aggregate: str, fuzz_cases: int, tmp_path: Path) -> None:
    each = -(-fuzz_cases // len(AGGREGATES))
    builds = max(WINDOW_BUILDS, -(-each // CASES_PER_BUILD))
    met = compared(aggregate, window_worlds(aggregate, -(-each // builds)), builds, tmp_path, TWO_FILES)
    rare = {edge: met[edge] for edge in sorted(edges.EXPECTED_OF[aggregate]) if met[edge] < edges.OFTEN_OF}
    assert not rare, f"too rare: {rare}; met: {dict(met)}"
    idle = {plan for plan in edges.PLANS_OF.get(aggregate, ()) if not met[plan]} if builds >= MANY_BUILDS else set()
    assert not idle, f"never served: {idle}; met: {dict(met)}"


def compared(name: str, drawn: Any, builds: int, tmp_path: Path, plain: files.Layout | None = None) -> Counter[str]:
    """Draw worlds and compare them, over files laid out at random or plainly.

    Returns: the edges that their cases met. Fails with the smallest case that differs.
    """
    met: Counter[str] = Counter()

    @hypothesis.settings(max_examples=builds, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @hypothesis.given(drawn=drawn, layout=st.integers(0, 2**64 - 1))
    def one_build(drawn: World, layout: int) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            batch = make_batch(Random(f"{name}/{layout}"), drawn, Path(folder), plain)
            met.update(check(batch, Path(folder), SETTINGS if plain is None else window_settings(met["builds"])))
        met["builds"] += 1
        met.update(batch.edges())
        met["cases"] += len(batch.of_case)

    or_explained(one_build, tmp_path)
    return met


def or_explained(one_build: Callable[[], None], folder: Path) -> None:
    """Run generated builds; fail with the smallest case that differs."""
    mismatch: Mismatch | None = None
    try:
        one_build()
    except Mismatch as found:
        mismatch = found
    if mismatch is not None:
        pytest.fail(mismatch.explained(folder), pytrace=False)
