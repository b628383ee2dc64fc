"""The contract of a kind of source, as tests. A kind of your own inherits them all:

    class TestMySource(SourceContract):
        def definition(self):
            return "MySource", 'table="facts"'

        def put(self, tables):
            …  # the tables, one after the other, and nothing else, are what the source holds from now on

        def append(self, table):
            …  # and these rows too

`put` is called first, on a place that is the test's own (`self.folder` is an empty folder). What is not so of a kind is said in
class variables; what only one kind can do (a commit log, a server that goes away) is tested beside that kind.

All is asked of a project on disk, in which the source is defined as a user would, and every answer is compared with the
oracle's over the same rows.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from featurestore.audit.report import Verification
from featurestore.engines.reference import ReferenceEngine
from featurestore.errors import FeatureStoreError, SourceError
from featurestore.intervals import FixedClock
from featurestore.retrieval.training_set import Build
from featurestore.store import FeatureStore

HOUR = 3_600_000_000
START = 1_704_067_200_000_000 + 17
"""2024-01-01, and some microseconds."""
END = START + 200 * HOUR
UTC = pa.timestamp("us", "UTC")
VALUES: Mapping[str, pa.DataType] = {
    "n": pa.int64(), "small": pa.int32(), "x": pa.float64(), "f": pa.float32(), "d": pa.decimal128(12, 2), "s": pa.string(),
    "b": pa.binary(), "flag": pa.bool_(), "day": pa.date32(), "seen": UTC, "tags": pa.list_(pa.string()),
    "xs": pa.list_(pa.float64()),
}  # fmt: skip
_CHOICES: Mapping[str, Sequence[Any]] = {
    "n": (0, 1, -1, 7, 2**62, -(2**62), None), "small": (0, 5, -(2**31), 2**31 - 1, None),
    "x": (0.1, -0.0, 1e300, float("nan"), float("inf"), None, 5e-324), "f": (0.5, -0.0, float("nan"), 3.25, None),
    "d": (None, 0, 1, -1, 9999999999), "s": ("", "a", "Ünï©ode 🎈", "it's; \"quoted\" ${x}", "\u0000z"[1:], None),
    "b": (b"", b"\x00\xff", b"abc", None), "flag": (True, False, None), "day": (0, -1, 19_000, None),
    "seen": (0, -1, START, None), "tags": ([], ["a", None, "🎈"], ["b"], None), "xs": ([], [1.5, None], [float("nan")], None),
}  # fmt: skip
LATEST = ("n", "small", "x", "f", "d", "s", "b", "flag", "day", "seen", "tags", "xs")
WINDOWS = {
    "count": 'agg.count(window="1d")', "n": 'agg.sum("small", window=["1h", "2d", None])', "x": 'agg.sum("f", window="1d")',
    "mean": 'agg.mean("small", window="1d")', "d": 'agg.sum("d", window="2d")', "s": 'agg.max("s", window="1d")',
    "distinct": 'agg.count_distinct("s", window="2d")', "last": 'agg.last_k("small", 3, window="2d")',
}  # fmt: skip
MEANINGS = {
    "at once": 'delay="0s"',
    "delayed": 'delay="90m"',
    "created": 'created_timestamp="k"',
    "versions": 'created_timestamp="k", row_key=["id"], deleted="gone"',
}
REGISTRY = """
from featurestore import *

key = Entity(name="key")
facts = {maker}(name="facts", {where}, event_timestamp="e", {meaning}, allow_left_out=True)
view = FeatureView(name="view", entities=[key], source=facts, features=[{features}])
service = FeatureService(name="service", features=[view])
"""


def rows(count: int, seed: int = 0, *, first: int = 0, start: int = START, end: int = END) -> pa.Table:
    """Facts of a few keys, in order of their event times, of every type."""
    rng = Random(seed)
    events = sorted(rng.randrange(start, end) for _ in range(count))
    columns: dict[str, pa.Array] = {
        "id": pa.array([first + (i if rng.random() < 0.7 else rng.randrange(i + 1)) for i in range(count)], pa.int64()),
        "key": pa.array([rng.choice(("a", "b", "ç", None)) for _ in range(count)], pa.string()),
        "e": pa.array([e if rng.random() < 0.97 else None for e in events], pa.int64()).cast(UTC),
        "k": pa.array([e + rng.choice((0, 1, HOUR, 30 * HOUR, -HOUR)) for e in events], pa.int64()).cast(UTC),
        "gone": pa.array([rng.choice((False, False, False, True, None)) for _ in range(count)], pa.bool_()),
    }
    for name, dtype in VALUES.items():
        drawn = [rng.choice(_CHOICES[name]) for _ in range(count)]
        columns[name] = _array(drawn, dtype)
    return pa.table(columns)


def _array(values: Sequence[Any], dtype: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(dtype):
        return pa.array(values, pa.int64()).cast(dtype)
    if pa.types.is_date(dtype):
        return pa.array(values, pa.int32()).cast(dtype)
    return pa.array(values, dtype)


def spine(count: int = 60, seed: int = 9, *, start: int = START, end: int = END + 50 * HOUR) -> pa.Table:
    rng = Random(seed)
    keys = [rng.choice(("a", "b", "ç", "nobody", None)) for _ in range(count)]
    at = pa.array([rng.randrange(start, end) for _ in range(count)], pa.int64()).cast(UTC)
    return pa.table({"key": pa.array(keys, pa.string()), "as_of": at})


class SourceContract:
    """Inherit, give `definition`, `put`, `append`, run with pytest."""

    identified: ClassVar[bool] = True
    """Something tells another time whether the rows are the same: then states are recorded, verified, and rebuilt from."""
    follows: ClassVar[bool] = True
    """What was appended is told from what was there: a run takes it without reading all anew."""
    keeps: ClassVar[bool] = True
    """What was there can be read as it was after rows were appended: not so of a table that has no history of its own."""
    one_file: ClassVar[bool] = True
    """What is appended is one file: not so where rows are partitioned."""
    holds: ClassVar[frozenset[str]] = frozenset({*VALUES, "naive", "zoned"})
    """The columns of `VALUES` whose types it can hold as they are; and naive times, and times of another zone than UTC."""
    drifts: ClassVar[bool] = True
    """A later part may have a column of another type."""
    notices: ClassVar[bool] = True
    """Rows that change while they are read are noticed (FS326). Not so where one look sees one state, whatever comes."""
    imports: ClassVar[str] = ""
    """What the project's module imports beside featurestore's names."""
    folder: Path

    def definition(self) -> tuple[str, str]:
        """The class of the source, and the arguments that say where it is."""
        raise NotImplementedError

    def put(self, tables: Sequence[pa.Table]) -> None:
        """All that the source holds, from now on. There is at least one table; it may have no rows."""
        raise NotImplementedError

    def append(self, table: pa.Table) -> None:
        """Rows that come beside those that are there."""
        raise NotImplementedError

    def secrets(self) -> Sequence[str]:
        """What may stand nowhere: passwords and keys that the source was reached with."""
        return ()

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "place"
        self.folder.mkdir()
        self.project = tmp_path / "project"

    # A project over the source.

    def held(self, table: pa.Table) -> pa.Table:
        """The table without the columns that the kind cannot hold."""
        return table.select([c for c in table.column_names if c not in VALUES or c in self.holds])

    def opened(self, features: Sequence[str] = (), meaning: str = 'delay="0s"', clock: int = END) -> FeatureStore:
        """The project, as a process finds it that starts now."""
        maker, where = self.definition()
        listed = list(features) or [f'latest("{name}")' for name in LATEST if name in self.holds]
        text = self.imports + REGISTRY.format(maker=maker, where=where, meaning=meaning, features=", ".join(listed))
        (self.project / "registry").mkdir(parents=True, exist_ok=True)
        (self.project / "featurestore.toml").write_text('[project]\nname = "contract"\n')
        (self.project / "registry" / "all.py").write_text(text)
        return FeatureStore(self.project, clock=FixedClock(clock))

    def windows(self) -> list[str]:
        needs = {"n": "small", "x": "f", "mean": "small", "d": "d", "s": "s", "distinct": "s", "last": "small"}
        return [text for name, text in WINDOWS.items() if needs.get(name, "n") in self.holds]

    def check(self, store: FeatureStore, tables: Sequence[pa.Table], asked: pa.Table, **options: Any) -> None:
        """What the store builds is what the oracle says of the tables."""
        service = store.registry.services["service"]
        found = store.build_training_set("service", asked, include=("status", "event_timestamp"), **options)
        said = ReferenceEngine({"facts": tables}).answer(service, asked)
        wanted = said.to_arrow()
        assert isinstance(found, pa.Table)
        assert found.num_rows == asked.num_rows
        for name in said.names:
            assert found.schema.field(name).type == wanted.schema.field(name).type, name
            assert found[f"{name}__status"].to_pylist() == said.statuses[name], name
            assert cells(found[name]) == cells(wanted[name]), name
            events = found[f"{name}__event_timestamp"].cast(pa.int64()).to_pylist()
            assert events == said.event_timestamps[name], name

    # Answers.

    @pytest.mark.parametrize("meaning", MEANINGS)
    def test_answers_are_the_oracles(self, meaning: str) -> None:
        tables = [self.held(rows(40, seed, first=seed * 20)) for seed in range(3)]
        self.put(tables)
        features = [*self.windows(), *(f'latest("{name}")' for name in LATEST if name in self.holds)]
        self.check(self.opened(features, MEANINGS[meaning]), tables, spine())

    def test_every_type_comes_back_as_it_is(self) -> None:
        table = self.held(rows(150, 3))
        self.put([table])
        self.check(self.opened(meaning=MEANINGS["created"]), [table], spine(100))

    def test_a_narrow_spine_is_answered_alike(self) -> None:
        tables = [self.held(rows(50, i, start=START + i * 40 * HOUR, end=START + (i + 1) * 40 * HOUR)) for i in range(5)]
        self.put(tables)
        asked = spine(30, start=START + 90 * HOUR, end=START + 100 * HOUR)
        for meaning in ('delay="10m"', 'created_timestamp="k"'):
            self.check(self.opened([*self.windows()[:2], 'latest("s")'], meaning), tables, asked)

    def test_cut_by_key_it_is_the_same(self) -> None:
        tables = [self.held(rows(60, seed)) for seed in range(2)]
        self.put(tables)
        self.check(self.opened([*self.windows(), 'latest("s")'], MEANINGS["created"]), tables, spine(), partitions=3)

    def test_a_source_without_rows_is_answered(self) -> None:
        table = self.held(rows(0))
        self.put([table])
        self.check(self.opened([*self.windows(), 'latest("n")']), [table], spine(5))

    @pytest.mark.parametrize("how", ["naive", "zoned"])
    def test_times_are_read_in_their_zone(self, how: str) -> None:
        if how not in self.holds:
            pytest.skip(f"cannot hold {how} times")
        table = self.held(rows(80, 4))
        for name in ("e", "k"):
            kind = pa.timestamp("us") if how == "naive" else pa.timestamp("us", "America/New_York")
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
        self.put([table])
        meaning = 'created_timestamp="k", timezone="Europe/Berlin"'
        self.check(self.opened(['latest("n")', 'agg.count(window="1d")'], meaning), [table], spine(80))

    def test_a_date_is_an_event_time(self) -> None:
        table = self.held(rows(80, 5))
        days = pa.array([None if e is None else e // (24 * HOUR) for e in table["e"].cast(pa.int64()).to_pylist()], pa.int32())
        table = table.set_column(table.column_names.index("e"), "e", days.cast(pa.date32()))
        self.put([table])
        self.check(self.opened(['latest("n")', 'agg.count(window="3d")'], 'delay="1h"'), [table], spine(80))

    def test_rows_in_quarantine_are_left_out(self) -> None:
        table = self.held(rows(80, 6))
        self.put([table])
        meaning = 'delay="0s", expectations=[expect.between("small", 0, 100, action="quarantine")]'
        store = self.opened(['latest("n")', 'agg.count(window="3d")'], meaning)
        self.check(store, [table], spine(40))
        kept = pq.read_table(self.project / ".featurestore" / "quarantine" / "facts.parquet")
        small = table["small"].to_pylist()
        outside = sum(v is not None and not 0 <= v <= 100 for v in small)
        assert kept.num_rows == outside

    # What is recorded.

    def built(self, store: FeatureStore, name: str = "train.parquet") -> dict[str, Any]:
        """Build into a file. Returns: what the manifest says of the source."""
        asked = self.project / "spine.parquet"
        pq.write_table(spine(), asked)
        store.build_training_set("service", asked, output=self.project / name)
        manifest = json.loads((self.project / f"{name}.manifest.json").read_text())
        return dict(manifest["sources"])

    def test_a_set_is_built_again_from_its_manifest_or_it_is_said_why_not(self) -> None:
        self.put([self.held(rows(60, 1)), self.held(rows(60, 2))])
        features = ['latest("n")', *self.windows()]
        told = self.built(self.opened(features))
        again = self.opened(features).rebuild(self.project / "train.parquet", verify=True)
        if self.identified:
            assert isinstance(told["facts"], list)
            assert again.same, [str(change) for change in again.changed]
            assert again.changed == []
        else:
            assert told == {"facts": "memory"}
            assert [change.what for change in again.changed] == ["source"]
        self.append(self.held(rows(10, 3)))
        later = self.opened(features).rebuild(self.project / "train.parquet", verify=True)
        assert later.same is (again.same and self.keeps)
        assert self.keeps or later.changed
        if self.identified and self.keeps:
            assert later.notes, "what came later is told"

    def test_a_set_is_not_built_again_from_other_rows(self) -> None:
        if not self.identified:
            pytest.skip("nothing tells")
        table = self.held(rows(60, 1))
        self.put([table])
        self.built(self.opened())
        self.put([self.held(rows(60, 2))])
        again = self.opened().rebuild(self.project / "train.parquet", verify=True)
        assert not again.same
        assert again.bytes is None
        assert again.changed

    def test_another_process_finds_the_same(self) -> None:
        self.put([self.held(rows(60, 1)), self.held(rows(40, 2))])
        features = ['latest("n")', *self.windows()]
        told = self.built(self.opened(features))
        self.asked(["build", "service", "--spine", "spine.parquet", "--output", "other.parquet"])
        other = json.loads((self.project / "other.parquet.manifest.json").read_text())
        assert other["sources"] == told
        assert (self.project / "other.parquet").read_bytes() == (self.project / "train.parquet").read_bytes()

    def asked(self, *commands: Sequence[str]) -> tuple[str, str]:
        """What commands write to stdout and stderr with all they can be brought to say: another process, as a user's is."""
        told = [[*command, "--project", str(self.project), "-v"] for command in commands]
        run = "import json, sys; from featurestore.cli import main; sys.exit(any([main(c) for c in json.loads(sys.argv[1])]))"
        command = [sys.executable, "-c", run, json.dumps(told)]
        done = subprocess.run(command, cwd=self.project, capture_output=True, text=True, env=dict(os.environ))
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout, done.stderr

    # Online.

    def test_what_is_materialized_is_right(self) -> None:
        self.put([self.held(rows(60, 1, end=START + 100 * HOUR)), self.held(rows(40, 2, end=START + 90 * HOUR))])
        store = self.opened([*self.windows(), 'latest("s")'], MEANINGS["created"])
        (report,) = store.materialize(known_before=START + 120 * HOUR)
        assert report.mode == "full"
        self.check_online(store)

    def check_online(self, store: FeatureStore) -> None:
        found = store.verify(sample=60, scratch=1)
        if self.identified:
            assert found.unverifiable == {}
            assert (found.different, found.ok) == (0, True), found.to_dict()
        else:
            assert found.unverifiable, "nothing tells whether the rows are the same"

    def test_a_run_takes_what_was_appended_late_as_it_is(self) -> None:
        self.put([self.held(rows(60, 1, end=START + 100 * HOUR))])
        features, meaning = [*self.windows(), 'latest("s")'], MEANINGS["created"]
        self.opened(features, meaning).materialize(known_before=START + 140 * HOUR)
        self.append(self.held(rows(10, 2, first=100, end=START + 20 * HOUR)))
        store = self.opened(features, meaning)
        (report,) = store.materialize(known_before=START + 150 * HOUR)
        assert report.mode == ("incremental" if self.identified and self.follows else "full"), report.reason
        if self.identified and self.follows:
            assert report.new_files == 1 or (report.new_files > 1 and not self.one_file)
        else:
            assert report.reason
        self.check_online(store)

    def test_a_run_over_what_is_unchanged_changes_nothing(self) -> None:
        self.put([self.held(rows(60, 1, end=START + 100 * HOUR))])
        watermark = START + 190 * HOUR
        self.opened(['latest("s")']).materialize(known_before=watermark)
        (report,) = self.opened(['latest("s")']).materialize(known_before=watermark + 1)
        if self.identified:
            assert (report.mode, report.keys_written, report.new_files) == ("incremental", 0, 0)
        else:
            assert report.mode == "full"
            assert report.reason

    def test_a_run_over_another_history_is_full_and_says_so(self) -> None:
        first, second = self.held(rows(60, 1, end=START + 100 * HOUR)), self.held(rows(60, 2, end=START + 100 * HOUR))
        self.put([first, second])
        features = ['latest("s")', 'agg.count(window="2d")']
        self.opened(features).materialize(known_before=START + 140 * HOUR)
        self.put([second])
        before = self.opened(features).verify(sample=20, scratch=0)
        assert isinstance(before, Verification)
        assert before.unverifiable
        assert before.different == 0
        store = self.opened(features)
        (report,) = store.materialize(known_before=START + 150 * HOUR)
        assert report.mode == "full"
        assert report.reason
        self.check_online(store)

    # What is wrong.

    def test_a_column_that_becomes_another_type_is_named(self) -> None:
        if not self.drifts:
            pytest.skip("the kind keeps one schema")
        table = self.held(rows(20, 1))
        self.put([table, table.set_column(table.column_names.index("n"), "n", pc.cast(table["n"], pa.string()))])
        with pytest.raises(SourceError) as caught:
            self.opened(['latest("n")']).build_training_set("service", spine(3))
        assert caught.value.code == "FS322"
        assert "'n'" in caught.value.what
        assert caught.value.where

    def test_check_data_looks_at_all_rows(self) -> None:
        self.put([self.held(rows(50, 1)), self.held(rows(30, 2))])
        self.opened(['latest("n")'])
        found = json.loads(self.asked(["check", "--data", "--json"])[0])["result"]["data"]["facts"]
        assert found["rows"] == 80
        assert found["left_out"]["view"]

    def test_rows_that_change_while_they_are_read_stop_a_build(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if not self.notices:
            pytest.skip("one look sees one state")
        self.put([self.held(rows(60, 1))])
        store, looked = self.opened(), Build._check_unchanged

        def changed(build: Build) -> None:
            self.put([self.held(rows(60, 2))])
            looked(build)

        monkeypatch.setattr(Build, "_check_unchanged", changed)
        with pytest.raises(FeatureStoreError) as caught:
            self.built(store)
        assert caught.value.code == "FS326"
        assert not list(self.project.glob("train*"))

    def test_secrets_stand_nowhere(self) -> None:
        if not self.secrets():
            pytest.skip("reached without")
        self.put([self.held(rows(60, 1, end=START + 100 * HOUR))])
        store = self.opened(['latest("n")', 'agg.count(window="2d")'])
        self.built(store)
        store.materialize(known_before=START + 140 * HOUR)
        said = self.asked(
            ["compile"], ["explain", "service", "--sql"], ["check", "--data", "--json"], ["verify", "--sample", "5"], ["status"]
        )
        kept = [p.read_bytes() for p in sorted(self.project.rglob("*")) if p.is_file() and p.name != "all.py"]
        for secret in self.secrets():
            assert not any(secret in text for text in said)
            assert not any(secret.encode() in content for content in kept)


def cells(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """Values that are equal if their bits are."""
    return [_bits(value) for value in column.to_pylist()]


def _bits(value: Any) -> Any:
    if isinstance(value, float):
        return struct.pack("<d", value)
    return [_bits(one) for one in value] if isinstance(value, list) else value


__all__ = ["MEANINGS", "VALUES", "SourceContract", "cells", "rows", "spine"]
