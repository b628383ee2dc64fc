"""Rows that were pushed are the rows they would be in a file, known since they arrived: DuckDB agrees with the oracle.

Some versions of a generated world come by push instead of in files. The oracle is asked twice: over the log's rows beside
the files', where it reads the arrival by itself; and, for sources with a created timestamp, over files alone that hold
every pushed row with its arrival as created time, where nothing of a push is left. After a compaction all is as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.engines.duckdb import Settings
from featurestore.intervals import Duration, FixedClock
from featurestore.sources import open_source
from featurestore.sources.push_compaction import compact
from featurestore.sources.push_log import PushLog, read_log
from featurestore.sources.push_rows import PushTarget
from featurestore.testing.strategies import BEACON, CASE, CREATED, EVENT, FAR, KINDS, Row, World, world
from tests.property import files
from tests.property.daily import daily
from tests.property.engines import Answered, Question, by_duckdb, differences
from tests.property.test_offline import Batch
from tests.spec.spread import comparable

VERSIONED = [kind for kind in KINDS if kind.startswith("versions")]
CASES, WORLDS = 25, 2
ANY_SKEW = Duration(2**61)
PLAIN = files.Layout((files.File("pyarrow", "us", "string", 10_000),) * 2, "timestamp", False, {})


def can_be_pushed(row: Row, last: int) -> bool:
    """last: when the world's beacon is known, of which no row may come too near: arrivals are a microsecond apart."""
    return (
        row[CASE] != BEACON and row["rid"] is not None and row[CREATED] is not None and row[CREATED] < last - 10_000
        and (row[EVENT] is None or row[EVENT] < FAR)
    )  # fmt: skip


def pushed_rows(rng: Random, log: PushLog, target: PushTarget, rows: Sequence[Row]) -> list[Row]:
    """Push rows in order of their created times, some together. Returns: them as they stand in the log."""
    rows = sorted(rows, key=lambda row: row[CREATED])
    clock, done = FixedClock(0), []
    while len(done) < len(rows):
        group = rows[len(done) : len(done) + rng.choice((1, 1, 2, 5))]
        clock.micros = group[0][CREATED]
        given = [{name: row[name] for name in target.columns} for row in group]
        arrival = log.append(target.rows(given, now=clock.now(), skew=ANY_SKEW), clock, created=target.created)
        done += [row | {CREATED: arrival.first_known + i} for i, row in enumerate(group)]
    return done


def answered(batch: Batch, push: Path | None, question: Question, settings: Settings) -> Answered:
    return by_duckdb(batch.service, batch.spine, question, settings, push)


def check(rng: Random, drawn: World, layout: files.Layout, folder: Path) -> int:
    """Returns: how many rows were pushed."""
    definition = replace(drawn.definition, source={**drawn.definition.source, **layout.options})
    columns = definition.source_columns
    last = next((row[CREATED] for row in drawn.rows if row[CASE] == BEACON), FAR)
    chosen = [row for row in drawn.rows if can_be_pushed(row, last) and rng.random() < 0.6]
    rest = [row for row in drawn.rows if not any(row is one for one in chosen)]
    pattern = files.write(files.tables_of(rng, rest, definition, columns, layout), folder / "facts", layout)
    service = definition.service(path=str(pattern))
    source = service.instances[0].view.source
    target = PushTarget.of(source, open_source(source, Path("/")).types)
    push = folder / "push" / "facts"
    arrived = pushed_rows(rng, PushLog(push), target, chosen)
    assert not arrived or read_log(push).position == len(arrived)  # type: ignore[union-attr]
    spine, zone = files.spine_table(rng, drawn.spine, definition)
    tables = [*files.read(pattern), *(read_log(push).tables if arrived else ())]  # type: ignore[union-attr]
    batch = Batch(drawn, service, tables, spine, zone, False)
    for question in (Question(zone), Question(zone, known_before=drawn.known_before, serving_lag=drawn.serving_lag)):
        expected = batch.expected(question)
        before = answered(batch, push, question, Settings(threads=2))
        assert differences(expected, before) == []
        assert before.left_out == expected.left_out or question.known_before is not None
        assert before.labels == expected.labels
        if layout is PLAIN and target.created is not None:
            whole = files.tables_of(rng, [*rest, *arrived], definition, columns, layout)
            assert differences(Batch(drawn, service, whole, spine, zone, False).expected(question), before) == []
    folded = compact(push)
    assert folded.rows == len(arrived)
    question = Question(zone)
    assert differences(batch.expected(question), answered(batch, push, question, Settings(threads=1))) == []
    return len(arrived)


@pytest.mark.parametrize("layout", ["plain", "any"])
@pytest.mark.parametrize("kind", daily(VERSIONED, "versions_deleted"))
def test_pushed_rows_are_rows_known_since_they_arrived(kind: str, layout: str, tmp_path: Path) -> None:
    pushed = 0
    for number in range(WORLDS):
        rng = Random(f"pushed/{kind}/{layout}/{number}")
        drawn = world(rng, kind, CASES)
        chosen = PLAIN
        while layout == "any" and (chosen is PLAIN or chosen.in_memory):
            chosen = files.draw_layout(rng, timed=True)
        pushed += check(rng, drawn, chosen, tmp_path / str(number))
    assert pushed > 30


def test_a_column_that_came_later_is_null_in_rows_pushed_before(tmp_path: Path) -> None:
    from featurestore import Entity, FeatureService, FeatureView, ParquetSource, latest

    at = pa.array([10, 20], pa.int64()).cast(pa.timestamp("us", "UTC"))
    first = pa.table({"id": [1, 2], "k": [7, 8], "at": at, "x": [1.0, 2.0]})
    (tmp_path / "data").mkdir()
    pq.write_table(first, tmp_path / "data" / "a.parquet")

    def service(*features: str) -> FeatureService:
        source = ParquetSource(name="facts", path=str(tmp_path / "data" / "*.parquet"), event_timestamp="at", row_key=["id"],
                               delay="0s")  # fmt: skip
        view = FeatureView(
            name="view", entities=[Entity(name="k")], source=source, features=[latest(c, name=f"last_{c}") for c in features]
        )
        return FeatureService(name="service", features=[view])

    source = service("x").instances[0].view.source
    target = PushTarget.of(source, open_source(source, Path("/")).types)
    push = tmp_path / "facts"
    PushLog(push).append(target.rows([{"id": 3, "k": 7, "at": 30, "x": 3.0}], now=40, skew=ANY_SKEW), FixedClock(40))
    pq.write_table(first.append_column("y", pa.array(["a", "b"])), tmp_path / "data" / "a.parquet")
    spine = pa.table({"k": [7, 8], "as_of": pa.array([100, 100]).cast(pa.timestamp("us", "UTC"))})
    for _ in ("in the log", "compacted"):
        found = by_duckdb(service("x", "y"), spine, Question(), push=push)
        assert [value for value, _, _ in found.cells["last_y"]] == [None, comparable("b")]
        assert [status for _, status, _ in found.cells["last_y"]] == ["null", "present"]
        compact(push)
