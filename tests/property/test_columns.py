"""Columns that are not in a feature's lineage may hold anything: shuffled all at once, over generated projects of every kind
of source, they change no byte of it, of its status, or of its event time. Labels too.

And as a control, every kind of column that is named changes some cell when it is shuffled: a lineage that named everything
would prove nothing. One world shares a build among its cases, and one build serves all features of one lineage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from featurestore.dtypes import from_arrow
from featurestore.errors import FeatureStoreError
from featurestore.plan.columns import Column, column_lineage
from featurestore.registry import BoundService, Registry
from featurestore.testing.strategies import KINDS, VALUES, Row, World, expecting, world
from tests.property import files
from tests.property.daily import daily
from tests.property.engines import Cells, Question, by_duckdb
from tests.property.test_metamorphic import ONE_FILE

CASES = 40
Named = tuple[str | None, str]
"""(source, column); source None: of the spine."""


@dataclass
class Shuffling:
    """A world, and its answers with some columns of its source and its spine in another order."""

    drawn: World
    folder: Path
    asked: int = 0

    @cached_property
    def columns(self) -> list[str]:
        """Of the source's files: those that are read, and those that nobody reads."""
        return list(dict.fromkeys((*self.drawn.definition.source_columns, *VALUES)))

    @cached_property
    def all(self) -> set[Named]:
        spine = (name for name in self.drawn.definition.spine_types)
        return {*(("facts", column) for column in self.columns), *((None, column) for column in spine)}

    @cached_property
    def bound(self) -> BoundService:
        types = {name: from_arrow(dtype) for name, dtype in self.drawn.definition.columns.items()}
        service = self.drawn.definition.service(table=pa.table({}))
        return Registry.of([service]).bind({"facts": types}).service("service")

    @cached_property
    def honest(self) -> Cells:
        return self.ask(())

    def ask(self, shuffled: Iterable[Named]) -> Cells:
        """The answers over the columns in another order, each in one of its own."""
        self.asked += 1
        given = set(shuffled)
        rows = _shuffled(self.drawn.rows, sorted(c for source, c in given if source is not None), self.asked)
        spine = _shuffled(self.drawn.spine, sorted(c for source, c in given if source is None), self.asked)
        tables = files.tables_of(Random("layout"), rows, self.drawn.definition, self.columns, ONE_FILE)
        pattern = files.write(tables, self.folder / str(self.asked), ONE_FILE)
        types = self.drawn.definition.spine_types
        table = pa.table({name: files.spine_column([row[name] for row in spine], kind) for name, kind in types.items()})
        return by_duckdb(self.drawn.definition.service(path=str(pattern)), table, Question()).cells


def _shuffled(rows: Iterable[Row], columns: Iterable[str], seed: int) -> list[Row]:
    found = [dict(row) for row in rows]
    for column in columns:
        values = [row[column] for row in found]
        Random(f"{column}/{seed}").shuffle(values)
        for row, value in zip(found, values, strict=True):
            row[column] = value
    return found


def named(columns: Iterable[Column]) -> set[Named]:
    return {(column.source, column.column) for column in columns}


def drawn_worlds(kind: str, builds: int, folder: Path) -> Iterable[Shuffling]:
    """Half of them with rows in quarantine."""
    for seed in range(builds):
        rng = Random(f"columns/{kind}/{seed}")
        drawn = world(rng, kind, CASES)
        yield Shuffling(drawn if seed % 2 else expecting(rng, drawn)[0], folder / str(seed))


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", daily(KINDS, "created_or_event", "versions_deleted", "static"))
def test_what_is_not_named_changes_no_byte_and_what_is_made_of_it_does(kind: str, fuzz_cases: int, tmp_path: Path) -> None:
    spared, moved = 0, 0
    for made in drawn_worlds(kind, max(1, fuzz_cases // 3_000), tmp_path):
        lineage = column_lineage(made.bound)
        assert set(lineage) == set(made.honest)
        for columns in dict.fromkeys(frozenset(named(found)) for found in lineage.values()):
            outside = made.all - columns
            found = made.ask(outside)
            spared += len(outside)
            for name in (n for n, of in lineage.items() if named(of) == columns):
                assert found[name] == made.honest[name], f"{name} moves without a word:\n{made.drawn.definition.text('')}"
        values = {named([c]).pop() for found in lineage.values() for c in found if c.role in ("value", "request")}
        found = made.ask(values)
        moved += sum(found[name] != made.honest[name] for name in lineage)
    assert spared > 0
    assert moved > 0


@pytest.mark.fuzz
@pytest.mark.slow
def test_each_role_moves_something_and_nothing_moves_without_one(fuzz_cases: int, tmp_path: Path) -> None:
    """Columns one at a time: what moves has said so, and of every role that was often enough asked about some cell moved."""
    moved, asked = Counter[str](), Counter[str]()
    for kind in KINDS:
        for made in drawn_worlds(kind, max(1, fuzz_cases // 3_000), tmp_path / kind):
            _one_at_a_time(made, moved, asked, 8 if fuzz_cases <= 3_000 else 100)
    still = {role: times for role, times in asked.items() if times > 20 and not moved[role]}
    assert still == {}, f"named so often, and nothing moves; moved: {moved}"
    assert {"value", "key", "time", "as_of", "tie", "version"} <= set(moved)


def _one_at_a_time(made: Shuffling, moved: Counter[str], asked: Counter[str], most: int) -> None:
    lineage = column_lineage(made.bound)
    every = sorted(named(c for found in lineage.values() for c in found), key=str)
    for one in Random(str(every)).sample(every, min(most, len(every))):
        try:
            found = made.ask([one])
        except FeatureStoreError:  # two rows of a key in a static source: that is more than to move
            continue
        for name, columns in lineage.items():
            of = {c.role for c in columns if named([c]) == {one}}
            asked.update(of)
            if found[name] != made.honest[name]:
                assert of, f"{name} moves without a word:\n{made.drawn.definition.text('')}"
                moved.update(of)
