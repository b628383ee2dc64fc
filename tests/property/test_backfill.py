"""What a backfill writes is the oracle's answer, and after late rows it writes what a full one would, byte by byte.

Instants lie where rows of generated cases ask, so that event times, ttl and windows meet them. Some files of the source come
late: corrections, tombstones and new keys among them.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from featurestore.backfill import UNCHANGED, Asked, Backfilled, Project, backfill, making
from featurestore.definitions import FeatureService, FeatureView
from featurestore.engines.duckdb import Settings
from featurestore.engines.reference import ReferenceEngine
from featurestore.engines.reference.order import rank
from featurestore.engines.reference.times import Reading
from featurestore.engines.reference.values import read_keys
from featurestore.registry import Registry
from featurestore.sources import IdentityCache, open_source
from featurestore.testing.strategies import KINDS, SPREADS, World, worlds
from tests.property import files
from tests.property.daily import daily
from tests.property.engines import Question, by_oracle
from tests.spec.engines import plain_values
from tests.spec.spread import Spreads, comparable

CASES, INSTANTS = 8, 5
LAYOUT = files.Layout((files.File("pyarrow", "us", "string", 10_000),) * 4, "timestamp", False, {})
TIMED = [kind for kind in KINDS if kind != "static"]
INCLUDES = ((), ("status",), ("status", "event_timestamp"))


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", daily(TIMED, "at_once", "versions"))
def test_a_backfill_after_late_rows_is_a_full_one_and_the_oracles(kind: str, fuzz_cases: int, tmp_path: Path) -> None:
    met, builds = Counter[str](), max(fuzz_cases // 3_000, 1)

    @hypothesis.settings(max_examples=builds, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @hypothesis.given(drawn=worlds(kind, CASES), seed=st.integers(0, 2**64 - 1))
    def one_world(drawn: World, seed: int) -> None:
        rng = Random(f"{kind}/{seed}")
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            met.update(compared(rng, drawn, Path(folder)))

    one_world()
    if builds >= 10:
        assert all(met[what] for what in ("kept", "late", "written")), met


def compared(rng: Random, drawn: World, folder: Path) -> Counter[str]:
    definition = replace(drawn.definition, source={**drawn.definition.source, **LAYOUT.options}, on_demand=None, label="")
    tables = files.tables_of(rng, drawn.rows, definition, definition.source_columns, LAYOUT)
    view = replace(definition, services=("view",)).service(path=str(folder / "facts" / "*.parquet")).instances[0].view
    assert isinstance(view, FeatureView)
    asked = instants(rng, drawn)
    early = rng.randrange(1, len(tables))
    files.write(tables[:early], folder / "facts")
    together = rng.choice((0, 10, making.ROWS_TOGETHER))
    backfilled(view, folder / "steps", asked, together=together)
    for number, table in enumerate(tables[early:], early):
        pq.write_table(table, folder / "facts" / f"{number}.parquet")
    again = backfilled(view, folder / "steps", asked, jobs=rng.choice((1, 2)), together=together)
    backfilled(view, folder / "full", asked, together=rng.choice((0, 10, making.ROWS_TOGETHER)))
    for at in asked.instants:
        same_files(view, folder / "steps" / asked.file(at), folder / "full" / asked.file(at))
        is_the_oracles(view, tables, pq.read_table(folder / "full" / asked.file(at), partitioning=None), at, asked)
    third = backfilled(view, folder / "steps", asked)
    assert {(p.status, p.reason) for p in third.partitions} == {(UNCHANGED, "")}
    return Counter(p.status if p.reason else "kept" for p in again.partitions) + Counter(
        "late" for p in again.partitions if p.reason == "late rows"
    )


def instants(rng: Random, drawn: World) -> Asked:
    """Instants of which some are those of rows that ask."""
    at = sorted({row["as_of"] for row in drawn.spine})
    every = rng.choice([b - a for a in at for b in at if b > a] or [1])
    start = rng.choice(at) - every * rng.randrange(INSTANTS)
    return Asked(start, start + every * INSTANTS, every, rng.choice(("instant", "day", "month")), rng.choice(INCLUDES))


def backfilled(view: FeatureView, output: Path, asked: Asked, jobs: int = 1, together: int = 0) -> Backfilled:
    """together: so many rows at least of instants that are asked at one time."""
    data = open_source(view.source, Path("/"))
    bound = Registry.of([view]).bind({"facts": data.types}).views[view.name]
    with mock.patch.object(making, "ROWS_TOGETHER", together):
        return backfill(bound, data, asked, output, Project(Settings(threads=1), IdentityCache(None)), jobs=jobs)


def same_files(view: FeatureView, one: Path, other: Path) -> None:
    """Byte by byte; variances may differ in their last places, whose numbers are scaled by all rows of a source."""
    if one.read_bytes() == other.read_bytes():
        return
    tables = [pq.read_table(path, partitioning=None) for path in (one, other)]
    near = [f.name for f in view.features if f.aggregate in SPREADS]
    assert near, "other bytes"
    exact = [name for name in tables[0].column_names if name not in near]
    assert plain(tables[0].select(exact)) == plain(tables[1].select(exact))


def plain(table: pa.Table) -> dict[str, list[Any]]:
    return {name: list(map(comparable, plain_values(table[name]))) for name in table.column_names}


def ranked(key: Any) -> list[Any]:
    return [rank(part) for part in key]


def is_the_oracles(view: FeatureView, tables: list[pa.Table], found: pa.Table, at: int, asked: Asked) -> None:
    service = FeatureService(name="service", features=[view])
    engine, spreads = ReferenceEngine({"facts": tables}), Spreads(service)
    names = [key for entity in view.entities for key in entity.join_keys]
    history = engine._history(service.instances[0])
    keys = [key for key in {row.key for row in history.rows} if history.usable(key, at, math.inf)]
    rows = read_keys([found[name] for name in names], found.num_rows, Reading("UTC", late=False, date_is="start"))
    assert sorted(map(ranked, keys)) == list(map(ranked, rows)), "other keys, or in another order"
    expected = by_oracle(service, tables, found.select([*names, "as_of"]), Question(), spreads, engine)
    assert found["as_of"].cast(pa.int64()).unique().to_pylist() in ([at], [])
    for name, cells in expected.cells.items():
        assert list(map(comparable, plain_values(found[name]))) == [value for value, _, _ in cells], name
        if "status" in asked.include:
            assert found[f"{name}__status"].to_pylist() == [status for _, status, _ in cells], name
        if "event_timestamp" in asked.include:
            times = found[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist()
            assert times == [event for _, _, event in cells], name
