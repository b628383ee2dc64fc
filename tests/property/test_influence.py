"""What a value is without a source row, against the oracle asked anew for each row left out: no row in reach is overlooked."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from featurestore import FeatureStore
from featurestore.audit.influences import distance, readable
from featurestore.audit.truth import bits
from featurestore.definitions import FeatureService
from featurestore.engines.reference import ReferenceEngine
from featurestore.testing.strategies import CASE, KINDS, SPREADS, World, world
from tests.property import files
from tests.property.daily import daily
from tests.property.files import File, Layout

IN_MEMORY = Layout((File("", "us", "string", 10_000),), "timestamp", False, {})
EVERY_DAY = 3
"""How many features of a world are asked for every day."""


def drawn(kind: str, seed: int, cases: int) -> tuple[World, pa.Table, pa.Table]:
    """A world, its rows and its spine as tables."""
    found = world(Random(f"influence/{kind}/{seed}"), kind, cases)
    definition = found.definition
    [rows] = files.tables_of(Random(seed), found.rows, definition, definition.source_columns, IN_MEMORY)
    types = definition.spine_types
    spine = pa.table({name: files.spine_column([row[name] for row in found.spine], kind) for name, kind in types.items()})
    return found, rows, spine


def asked_of(service: FeatureService) -> list[str]:
    """The features that every engine answers bit for bit: no variances, nor what is made of them."""
    vague = {name for i in service.instances for name, f in i.computed if f.aggregate in SPREADS}
    vague |= {
        name for name in service.feature_names for o in service.on_demand if vague & set(o.reads) for name, _ in o.features
    }
    return [name for name in service.feature_names if name not in vague]


def without_each_row(service: FeatureService, rows: pa.Table, spine: pa.Table) -> list[list[dict[int, Any]]]:
    """[feature][spine row]: {source row: the oracle's value without it}, for the rows of the same case; -1: with all.

    A row of each case is left out at once, for cases know nothing of each other.
    """
    case_of = rows[CASE].to_pylist()
    turn: dict[Any, int] = defaultdict(int)
    rounds: dict[int, dict[Any, int]] = defaultdict(dict)
    for number, case in enumerate(case_of):
        rounds[turn[case]][case] = number
        turn[case] += 1
    asked = spine[CASE].to_pylist()
    found: dict[str, list[dict[int, Any]]] = {name: [{} for _ in asked] for name in service.feature_names}
    for left in ({}, *rounds.values()):
        kept = [i for i in range(rows.num_rows) if i not in left.values()]
        answer = ReferenceEngine({"facts": [rows.take(kept)]}).answer(service, spine)
        for name, values in found.items():
            for row, (case, value) in enumerate(zip(asked, answer.values[name], strict=True)):
                if not left:
                    values[row][-1] = value
                elif case in left:
                    values[row][left[case]] = value
    return [found[name] for name in service.feature_names]


def plain(value: Any) -> Any:
    """Dates as days, as the store has them."""
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days
    return [plain(v) for v in value] if isinstance(value, list | tuple) else value


def check(kind: str, seed: int, cases: int, features: int) -> int:
    """Returns: how many values moved."""
    found, rows, spine = drawn(kind, seed, cases)
    service = found.definition.service(table=rows)
    expected = dict(zip(service.feature_names, without_each_row(service, rows, spine), strict=True))
    store, moved = FeatureStore(definitions=[service]), 0
    names = asked_of(service)
    for name in Random(seed).sample(names, min(features, len(names))):
        told = store.influence(service, name, spine, top=10**6)
        dtype = store.bound_service(service).feature_types[name]
        for asked in told.rows:
            wanted = {row: plain(value) for row, value in expected[name][asked.row].items()}
            value = wanted.pop(-1)
            assert bits(asked.value) == bits(readable(value, dtype)), (name, asked)
            mine = {i.row.row: i for i in asked.rows}
            assert asked.reach == asked.tried == len(mine)
            for row, without in wanted.items():
                if row in mine:
                    assert bits(mine[row].without) == bits(readable(without, dtype)), (name, asked.row, row)
                    assert mine[row].moves == distance(value, without, numeric=dtype.is_numeric)
                    moved += mine[row].moves > 0
                else:
                    assert bits(without) == bits(value), (name, asked.row, row, "was not in reach")
            assert mine.keys() <= wanted.keys()
            ranks = [(not i.null, -i.moves, i.row.row) for i in asked.rows]
            assert ranks == sorted(ranks)
    return moved


@pytest.mark.parametrize("kind", daily(KINDS, "created", "static"))
def test_leaving_a_row_out_gives_what_the_oracle_gives_without_it(kind: str) -> None:
    assert check(kind, 0, cases=8, features=EVERY_DAY)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("kind", KINDS)
def test_so_it_does_in_many_worlds(kind: str, seed: int) -> None:
    check(kind, seed, cases=20, features=100)
