"""Stop a build that is cut into partitions, by kill -9 or a full disk: the old set stands, and the same build again goes on
with the partitions that are finished and ends in the same bytes."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore, StoreError
from featurestore.retrieval import cuts
from featurestore.retrieval.partitioned import Partitioned
from featurestore.retrieval.work_folder import PREFIX, WorkFolder, sweep
from tests.crash.killing import KILLED, fail_points, run
from tests.crash.test_build_kill import DAY, DEFINITIONS, START, in_utc, sha256

ROWS, CUSTOMERS, PARTITIONS, PARTS, FILES = 40_000, 20, 5, 2, 3
KILLS = 30
MOMENTS = ("partition.cut", "partition.done0", "partition.done1")


@dataclass(frozen=True)
class Site:
    """A project whose output is an old set, and what the new one will be. seconds: that a build takes."""

    root: Path
    sha: str = ""
    seconds: float = 0.0

    @property
    def output(self) -> Path:
        return self.root / "training.parquet"

    @property
    def temporary(self) -> Path:
        return self.root / ".featurestore" / "tmp"

    def finished(self) -> dict[str, int]:
        """Name -> inode of what stands finished in work folders."""
        return {
            f"{folder.name}/{path.name}": path.stat().st_ino
            for folder in self.temporary.glob(f"{PREFIX}*")
            for path in folder.iterdir()
            if path.name != "lock" and not path.name.startswith(".")
        }

    def restored(self) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.output.write_bytes(b"old")

    def old_stands(self) -> bool:
        return self.output.read_bytes() == b"old"


def build(root: Path, partitions: int = PARTITIONS, temp: Path | None = None) -> None:
    cuts.PIECE_ROWS = 1
    FeatureStore(root).build_training_set(
        "scoring", root / "spine.parquet", output=root / "training.parquet", partitions=partitions, temp_directory=temp
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("partitioned")
    (root / "featurestore.toml").write_text("[offline]\nthreads = 1\n")
    (root / "registry").mkdir()
    (root / "data").mkdir()
    (root / "registry" / "definitions.py").write_text(DEFINITIONS.replace("payments.parquet", "payments_*.parquet"))
    rng = Random(11)
    for number in range(FILES):
        payments = [(rng.randrange(CUSTOMERS), START + rng.randrange(60 * DAY), rng.randrange(1_000)) for _ in range(4_000)]
        table = pa.table(list(zip(*payments, strict=True)), names=["customer", "at", "amount"])
        pq.write_table(in_utc(table, "at"), root / "data" / f"payments_{number}.parquet")
    asked = pa.array([START + 30 * DAY + (i * 7_919_000_003) % (30 * DAY) for i in range(ROWS)])
    spine = pa.table({"customer": pa.array([i % CUSTOMERS for i in range(ROWS)]), "as_of": asked})
    pq.write_table(in_utc(spine, "as_of"), root / "spine.parquet")
    build(root, partitions=1)
    whole = sha256(root / "training.parquet")
    assert run(build, root) == 0  # the first one also waits for the server that processes are forked from
    began = time.monotonic()
    assert run(build, root) == 0
    return Site(root, whole, time.monotonic() - began)


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    built.restored()
    yield built
    assert built.finished() == {}


def test_every_moment_the_code_names_is_tested() -> None:
    assert fail_points("partition") == set(MOMENTS)


def test_cut_or_not_the_bytes_are_the_same(site: Site, tmp_path: Path) -> None:
    for partitions, temp in ((2, None), (PARTITIONS, tmp_path / "elsewhere"), (CUSTOMERS, None)):
        build(site.root, partitions, temp)
        assert sha256(site.output) == site.sha


def test_killed_at_every_named_moment_it_goes_on_with_what_is_finished(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before: dict[str, int] = {}
    for moment in MOMENTS:
        assert run(build, site.root, fail_at=moment) == KILLED, f"{moment} is never reached"
        assert site.old_stands()
        finished = site.finished()
        assert before.items() < finished.items(), f"{moment}: something finished was made again"
        before = finished
    written = []
    write = Partitioned._write

    def counted(self: Partitioned, *args: object) -> None:
        written.append(args)
        write(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Partitioned, "_write", counted)
    build(site.root)
    assert len(written) == PARTS * PARTITIONS - 2
    assert sha256(site.output) == site.sha


@pytest.mark.parametrize("wanted", [4, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_with_what_is_finished(site: Site, wanted: int) -> None:
    rng, kills, ends = Random(29), 0, 0
    while kills < wanted:
        before = site.finished()
        code = run(build, site.root, after=site.seconds * rng.random())
        new_stands = sha256(site.output) == site.sha
        assert new_stands or site.old_stands()
        if code == KILLED:
            kills += 1
        if code == 0 or new_stands:
            assert new_stands
            ends += 1
            assert ends < 2 * KILLS
            site.restored()
        else:
            now = site.finished()
            assert lasting(before, now).items() <= now.items(), "something finished was made again"
    build(site.root)
    assert sha256(site.output) == site.sha


def lasting(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    """Of what was finished before the answers, and what was cut for them as long as some are missing."""
    answers = [name for name in now if "/answer-" in name]
    return before if len(answers) < PARTS * PARTITIONS else {n: inode for n, inode in before.items() if "/answer-" in n}


def build_on_a_full_disk(root: Path, limit: int, told: Path) -> None:
    """No file may grow beyond `limit` bytes: what a full disk does, to one process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        build(root)
    except StoreError as error:
        told.write_text(error.code)


@pytest.mark.parametrize("tenth", [n if n in (0, 5) else pytest.param(n, marks=pytest.mark.slow) for n in range(10)])
def test_a_full_disk_is_an_error_that_changes_nothing_and_can_be_gone_on_from(site: Site, tmp_path: Path, tenth: int) -> None:
    told = tmp_path / "told"
    largest = (site.root / "spine.parquet").stat().st_size  # the set itself is larger, cuts and answers are smaller
    assert run(build_on_a_full_disk, site.root, 8 + largest * tenth // 10, told) == 0
    assert told.read_text() == "FS405"
    assert site.old_stands()
    assert [name for name in os.listdir(site.root) if name.endswith(".partial")] == []
    assert tenth < 9 or any("/answer-" in name for name in site.finished())
    assert run(build, site.root) == 0
    assert sha256(site.output) == site.sha


def test_another_build_of_the_same_identity_disturbs_nothing(site: Site) -> None:
    assert run(build, site.root, fail_at="partition.done1") == KILLED
    (folder,) = site.temporary.glob(f"{PREFIX}*")
    first = WorkFolder.of(site.temporary, folder.name.removeprefix(PREFIX), site.root / "private")
    before = site.finished()
    build(site.root)
    assert sha256(site.output) == site.sha
    assert site.finished() == before
    first.discard()


def test_another_question_does_not_take_up_the_work(site: Site) -> None:
    assert run(build, site.root, fail_at="partition.done1") == KILLED
    before = site.finished()
    source = site.root / "data" / "payments_0.parquet"
    os.utime(source)  # as if it had been written anew
    build(site.root)
    assert sha256(site.output) == site.sha
    assert site.finished() == before
    assert sweep(site.temporary) == []
    assert len(sweep(site.temporary, older_than=0)) == 1


def test_gc_removes_what_stopped_builds_left(site: Site) -> None:
    assert run(build, site.root, fail_at="partition.done0") == KILLED
    assert len(FeatureStore(site.root).sweep_builds()) == 1
