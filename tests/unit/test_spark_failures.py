"""What Spark says, in our words; and a spine in pieces. None of it needs Spark."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.engines.spark import failures, starting
from featurestore.engines.spark.failures import Told, raised, translated
from featurestore.errors import DataError, FeatureStoreError, SourceError, SpineError, StoreError
from featurestore.retrieval.spark.pieces import Pieces
from featurestore.retrieval.spine import open_spine

SAID = {
    "a file that is gone": (
        "[FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file file:///x/a.parquet. File does not exist.",
        SourceError, "FS325",
    ),
    "no room": ("java.io.IOException: No space left on device", StoreError, "FS405"),
    "no memory": ("Caused by: java.lang.OutOfMemoryError: Java heap space", StoreError, "FS409"),
    "a server that went": ("status = StatusCode.UNAVAILABLE details = 'failed to connect'", StoreError, "FS463"),
    "executors without us": ("ModuleNotFoundError: No module named 'featurestore'", StoreError, "FS464"),
    "anything else": ("[ARITHMETIC_OVERFLOW] long overflow.", DataError, "FS306"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "code"), SAID.values(), ids=SAID)
def test_what_spark_says_has_a_code(text: str, kind: type[FeatureStoreError], code: str) -> None:
    found = translated(RuntimeError(text), "here")
    assert (type(found), found.code) == (kind, code)
    assert found.where == ("" if code == "FS464" else "here")


def test_an_error_of_ours_comes_back_from_an_executor_as_it_was() -> None:
    error = SpineError("FS300", "as_of is NULL in row 7", where="spine.parquet", known=["a"], hint="drop the row")

    def fails(number: int) -> None:
        raise error

    with pytest.raises(SpineError) as found:
        raised(Told(**Told.of(fails, 3).document()))
    assert found.value.to_dict() == error.to_dict()


def test_a_full_disk_on_an_executor_is_told_as_one() -> None:
    def fails(number: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(StoreError, match="FS405"):
        raised(Told.of(fails, 0))


def test_an_error_of_ours_in_spark_s_text_keeps_code_place_and_hint() -> None:
    error = SourceError("FS325", "cannot be read", where="data/a.parquet", hint="write it again")
    text = f"PythonException: …\nfeaturestore.errors.SourceError: {error}\n at x"
    found = translated(RuntimeError(text))
    assert (type(found), found.code, found.what) == (SourceError, "FS325", "cannot be read")
    assert (found.where, found.hint) == ("data/a.parquet", "write it again")


def test_parameters_of_an_address_are_not_shown() -> None:
    assert starting.shown("sc://host:15002/;token=hush;user_id=me") == "sc://host:15002"


def test_what_is_told_of_a_failure_is_its_innermost_cause() -> None:
    assert failures._told("Job aborted\n at x\nCaused by: a.B: one\n at y\nCaused by: c.D: two") == "c.D: two"


@pytest.mark.parametrize("length", [1, 3, 10, 99])
@pytest.mark.parametrize("groups", [1, 4, 100])
def test_pieces_of_a_spine_are_its_rows_in_order_wherever_row_groups_and_files_end(
    length: int, groups: int, tmp_path: Path
) -> None:
    table = pa.table({"k": list(range(23)), "s": [f"row {i}" for i in range(23)]})
    folder = tmp_path / "spine.parquet"
    folder.mkdir()
    for number, (start, end) in enumerate(((0, 5), (5, 5), (5, 19), (19, 23))):
        pq.write_table(table.slice(start, end - start), folder / f"part-{number}.parquet", row_group_size=groups)
    for path in (folder, tmp_path / "one.parquet"):
        if path.suffix and not path.is_dir():
            pq.write_table(table, path, row_group_size=groups)
        pieces = Pieces(path, table.schema, 23, length)
        found = [pieces.piece(number) for number in range(pieces.count)]
        assert [piece.first for piece in found] == list(range(0, 23, length))
        assert pa.concat_tables([piece.columns(["k", "s"]) for piece in found]).equals(table)
        assert pieces.piece(0, ["s"]).schema.names == ["s"]


def test_a_folder_of_parquet_is_a_spine_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name, keys in (("b.parquet", [3]), ("a.parquet", [1, 2]), (".hidden.parquet", [9])):
        pq.write_table(pa.table({"k": keys}), tmp_path / name)
    spine = open_spine(tmp_path, keys={}, as_of="as_of")
    assert spine.rows == 3
    assert spine.columns(["k"])["k"].to_pylist() == [1, 2, 3]
    assert pa.concat_tables(list(spine.batches()))["k"].to_pylist() == [1, 2, 3]
    with pytest.raises(SpineError, match="FS301"):
        open_spine(tmp_path / "nothing", keys={}, as_of="as_of")
