"""Stories of the serve log: short ones, for mutants to stumble over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import serve_log
from featurestore.errors import FeatureStoreError
from featurestore.intervals import MICROS_PER_DAY, FixedClock
from featurestore.serve_log import layout, retention
from featurestore.serve_log.redaction import Redaction
from featurestore.serve_log.secret import Hasher
from featurestore.serve_log.writer import QUEUE, Limits, Piece, Writer

FULL = (-(2**62), 2**62)


def _pieces(served: Sequence[list[int]]) -> Iterator[Piece]:
    for t in served:
        yield Piece("s", "f", pa.table({"t": pa.array(t, pa.int64()).cast(layout.COLUMNS["t"]), "x": t}))


def _logged(folder: Path, *given: list[int], queue: int = 100, day: int = 0) -> Writer[Any]:
    writer = Writer(folder, _pieces, Limits(queue, 3_600, 10**15, 10**12), FixedClock(day * MICROS_PER_DAY))
    for t in given:
        writer.add(t, len(t))
    writer.close(60)
    return writer


def _a_window_is_what_was_asked_for_in_it(folder: Path) -> None:
    _logged(folder, [10, 30])
    _logged(folder, [20])
    assert serve_log.read(folder, "s", 10, 30)["x"].to_pylist() == [10, 20]
    assert serve_log.read(folder, "s", 30, 31).num_rows == 1


def _a_draw_is_as_large_as_wanted(folder: Path) -> None:
    _logged(folder, list(range(50)), list(range(50)))
    drawn = [serve_log.read(folder, "s", *FULL, most=7, seed=seed)["x"].to_pylist() for seed in range(40)]
    assert {len(one) for one in drawn} == {7}
    assert {x for one in drawn for x in one} == set(range(50))


def _a_full_queue_drops(folder: Path) -> None:
    writer = Writer(folder, _pieces, Limits(4, 3_600, 10**15, 10**12), FixedClock(0))
    writer._is_time = lambda: False  # type: ignore[method-assign]
    for t in ([1, 2], [3, 4, 5], [6, 7], [8]):
        writer.add(t, len(t))
    assert writer.dropped[QUEUE] == 4
    writer.close(60)
    assert serve_log.read(folder, "s", *FULL)["x"].to_pylist() == [1, 2, 6, 7]


def _what_is_old_or_too_much_goes_from_the_oldest_on(folder: Path) -> None:
    for day, t in ((0, 9), (1, 8), (2, 7)):
        _logged(folder, [t], day=day)
    assert serve_log.drop_before(folder, MICROS_PER_DAY) == 1
    _, size = serve_log.size(folder)
    assert retention.drop_beyond(folder, size) == 0
    assert retention.drop_beyond(folder, size - 1) == 1
    assert serve_log.read(folder, "s", *FULL)["x"].to_pylist() == [7]


def _a_name_hides_under_all_its_names(folder: Path) -> None:
    instance = {"name": "from", "view": "w", "keys": [["origin", "airport"]], "features": [["from_heat", "heat"]]}
    made = {"name": "made", "type": "bool", "expression": {"column": "r"}}
    operands = [["r", "request", "r", "bool"]]
    asked = {"name": "o", "view": "o", "request": {"r": "bool"}, "operands": operands, "features": [made]}
    service = {"name": "s", "instances": [instance], "on_demand": [asked]}
    composed = {
        "name": "",
        "instances": [{"name": "w", "view": "w", "keys": [["airport", "airport"]], "features": [["w__heat", "heat"]]}],
    }
    for hidden in ("heat", "from_heat", "w__heat"):
        redaction = Redaction([hidden])
        redaction.learn([service])
        assert not redaction.unknown
        assert redaction.shown(service, ["from_heat", "made"]) == (("origin",), ("r",), (1,))
        assert redaction.shown(composed, ["w__heat"]) == (("airport",), (), ())
    redaction = Redaction(["origin", "r", "nothing"])
    redaction.learn([service])
    assert redaction.unknown == ["nothing"]
    assert redaction.shown(service, ["from_heat", "made"]) == ((), (), (0,)), "made of r"
    assert redaction.shown(composed, ["w__heat"]) == ((), (), (0,))


def _hashes_need_the_secret(folder: Path) -> None:
    one, other = Hasher(folder / "one"), Hasher(folder / "other")
    assert one.hashed([7], "integer") == Hasher(folder / "one").hashed([7], "integer") != other.hashed([7], "integer")
    assert (folder / "one").stat().st_mode & 0o077 == 0


def _a_foreign_file_is_refused(folder: Path) -> None:
    _logged(folder, [1])
    (path,) = serve_log.files(folder, "s", *FULL)
    pq.write_table(pq.read_table(path).replace_schema_metadata({layout.FORMAT_KEY: str(layout.FORMAT + 1)}), path)
    with pytest.raises(FeatureStoreError) as refused:
        serve_log.read(folder, "s", *FULL)
    assert refused.value.code == "FS485"


LOGGED: Mapping[str, Callable[[Path], None]] = {
    f"logged-{story.__name__.removeprefix('_')}": story
    for story in (
        _a_window_is_what_was_asked_for_in_it, _a_draw_is_as_large_as_wanted, _a_full_queue_drops,
        _what_is_old_or_too_much_goes_from_the_oldest_on, _a_name_hides_under_all_its_names, _hashes_need_the_secret,
        _a_foreign_file_is_refused,
    )
}  # fmt: skip
