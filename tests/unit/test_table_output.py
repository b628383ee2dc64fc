"""Rows are written to a table in one commit: all of them, in place of those they replace, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from featurestore.errors import DataError, SourceError
from featurestore.sources import SourceData
from featurestore.sources.table_output import write_delta, write_iceberg
from tests.tables import HOUR, START, Warehouse, facts, open_delta, open_iceberg, rows_of, times

Write = Callable[..., dict[str, Any]]


class Table:
    """A table of one kind: how it is written and read."""

    def __init__(self, write: Write, read: Callable[[], SourceData]) -> None:
        self.write, self.read = write, read

    def put(self, rows: pa.Table, **options: Any) -> dict[str, Any]:
        return self.write(rows.to_batches(max_chunksize=2), rows.schema, **options)

    def values(self) -> list[tuple[int, float]]:
        """(hours since the year began, value) of each row."""
        found = rows_of(self.read(), "e", "v")
        return sorted((int(at.timestamp() * 1_000_000 - START) // HOUR, v) for at, v in found)


@pytest.fixture(params=["delta", "iceberg"])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    if request.param == "delta":
        return Table(lambda *a, **o: write_delta("t", *a, root=tmp_path, **o), lambda: open_delta(tmp_path))
    Warehouse(tmp_path / "lake", monkeypatch)
    return Table(lambda *a, **o: write_iceberg("db.t", *a, **o), lambda: open_iceberg(tmp_path))


def at(hour: int, *values: float) -> pa.Table:
    return pa.table({"e": times(*[hour] * len(values)), "v": pa.array(values, pa.float64())})


def test_rows_are_appended_to_a_table_that_is_made_if_there_is_none(table: Table) -> None:
    table.put(facts(0, 5))
    pin = table.put(facts(5, 2))
    assert [v for _, v in table.values()] == [float(n) for n in range(7)]
    assert table.read().pins == (pin,)


def test_rows_of_some_values_are_replaced_and_no_others(table: Table) -> None:
    table.put(pa.concat_tables([at(1, 1.0, 1.5), at(2, 2.0), at(3, 3.0)]), partition_by=["e"])
    instants = times(1, 2).to_pylist()
    before = table.read().pins
    pin = table.put(pa.concat_tables([at(1, 10.0), at(2, 20.0, 21.0)]), replace={"e": instants})
    assert table.values() == [(1, 10.0), (2, 20.0), (2, 21.0), (3, 3.0)]
    assert table.read().pins == (pin,) != before


def test_writing_the_same_again_leaves_the_same(table: Table) -> None:
    table.put(at(3, 3.0))
    for _ in range(2):
        table.put(at(1, 1.0, 2.0), replace={"e": times(1).to_pylist()})
    assert table.values() == [(1, 1.0), (1, 2.0), (3, 3.0)]


def test_rows_can_be_replaced_by_none(table: Table) -> None:
    table.put(pa.concat_tables([at(1, 1.0), at(2, 2.0)]))
    table.put(at(1).slice(0, 0), replace={"e": times(1).to_pylist()})
    assert table.values() == [(2, 2.0)]


def test_replacing_no_value_appends(table: Table) -> None:
    table.put(at(1, 1.0))
    table.put(at(1).slice(0, 0), replace={"e": []})
    assert table.values() == [(1, 1.0)]


@pytest.mark.parametrize(("kind", "values"), [(pa.string(), ["it's", "b"]), (pa.int32(), [1, 2]), (pa.bool_(), [True, False])])
def test_values_of_any_kind_name_what_is_replaced(kind: pa.DataType, values: list[Any], table: Table) -> None:
    rows = at(1, 1.0, 2.0).append_column("by", pa.array(values, kind))
    table.put(rows, partition_by=["by"])
    again = at(1, 10.0).append_column("by", pa.array(values[:1], kind))
    table.put(again, replace={"by": values[:1]})
    assert [v for _, v in table.values()] == [2.0, 10.0]


def test_a_new_table_is_partitioned_as_asked(table: Table) -> None:
    table.put(pa.concat_tables([at(1, 1.0), at(2, 2.0)]), partition_by=["e"])
    assert len(table.read().parts) == 2


def test_other_columns_are_refused_before_anything_is_written(table: Table) -> None:
    table.put(at(1, 1.0))
    before = table.read().pins
    more = at(2, 2.0).append_column("w", pa.array([1]))
    for rows, said in (
        (more, "'w' as none, and what is written to it as int64"),
        (at(2, 2.0).drop_columns(["v"]), "'v' as double, and what is written to it as none"),
        (pa.table({"e": times(2), "v": ["2.0"]}), "'v' as double, and what is written to it as string"),
    ):
        with pytest.raises(DataError) as caught:
            table.put(rows)
        assert caught.value.code == "FS373"
        assert said in caught.value.what
    assert table.read().pins == before


def test_rows_that_fail_on_their_way_leave_the_table_as_it_was(table: Table) -> None:
    table.put(at(1, 1.0))
    before = table.read().pins

    def failing() -> Iterator[pa.RecordBatch]:
        yield from at(2, 2.0).to_batches()
        raise SourceError("FS326", "the file changed while it was read")

    for replace in (None, {"e": times(1).to_pylist()}):
        with pytest.raises(SourceError, match="changed while") as caught:
            table.write(failing(), at(2, 2.0).schema, replace=replace)
        assert caught.value.code == "FS326"
    assert table.read().pins == before
    assert table.values() == [(1, 1.0)]


def test_rows_that_fail_on_their_way_leave_no_table(table: Table) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield from at(2, 2.0).to_batches()
        raise SourceError("FS326", "the file changed while it was read")

    with pytest.raises(SourceError, match="changed while"):
        table.write(failing(), at(2, 2.0).schema)
    with pytest.raises(SourceError) as caught:
        table.read()
    assert caught.value.code == "FS367"


def test_a_commit_that_another_writer_came_before_is_given_up(table: Table) -> None:
    table.put(pa.concat_tables([at(1, 1.0), at(2, 2.0)]))

    def slow() -> Iterator[pa.RecordBatch]:
        table.put(at(1, 5.0), replace={"e": times(1).to_pylist()})  # somebody else
        yield from at(1, 10.0).to_batches()

    with pytest.raises(DataError) as caught:
        table.write(slow(), at(1, 1.0).schema, replace={"e": times(1).to_pylist()})
    assert caught.value.code == "FS374"
    assert table.values() == [(1, 5.0), (2, 2.0)]
