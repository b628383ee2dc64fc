"""kill -9 at any moment of a build: the old training set stands or the new one, whole, and its manifest tells which."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore import FeatureStore, StoreError
from featurestore.profiles import Profile
from featurestore.retrieval import output as files
from featurestore.sources import folders
from tests.crash.killing import KILLED, fail_points, kill_at_random, run

ROWS, CUSTOMERS = 132_000, 500
"""More spine rows than one batch holds."""
DAY = 86_400_000_000
START = 1_704_067_200_000_000
OLD_STANDS = ("build.recovered", "build.batch0", "build.batch1", "build.written", "build.profiled", "build.described")
NEW_STANDS = ("build.renamed", "build.noted", "build.done")
BUILT = ["training.parquet", "training.parquet.manifest.json", "training.parquet.profile"]
RECOVERING = "build.recovering"
RANDOM_KILLS = 24

DEFINITIONS = """
from featurestore import Entity, FeatureService, FeatureView, ParquetSource, agg, latest

customer = Entity(name="customer")
payments = ParquetSource(name="payments", path="data/payments.parquet", event_timestamp="at", delay="0s")
spending = FeatureView(
    name="spending", entities=[customer], source=payments, features=[latest("amount"), agg.count(window="7d")],
)
scoring = FeatureService(name="scoring", features=[spending])
"""


@dataclass
class Site:
    """A project with two spines, `a` and `b`, and the output that now one, now the other is built to.

    shas: of the two training sets, as a build that nobody disturbs writes them.
    """

    root: Path
    shas: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return self.root / "out" / "training.parquet"

    def standing(self) -> str:
        """The spine of the training set that stands; file and manifest must both be whole and agree."""
        sha = sha256(self.output)
        (name,) = [name for name, known in self.shas.items() if known == sha]
        manifest = files.manifest_of(self.output)
        assert manifest is not None
        assert (manifest["output"]["sha256"], manifest["spine"]["name"]) == (sha, f"{name}.parquet")
        profile = files.profile_of(self.output)
        assert profile is not None
        assert Profile.read(profile).rows == manifest["rows"]
        return name

    def other(self) -> str:
        return "b" if self.standing() == "a" else "a"


def build(root: Path, spine: str, output: Path) -> None:
    FeatureStore(root).build_training_set("scoring", root / f"{spine}.parquet", output=output)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("project")
    (root / "featurestore.toml").write_text("[offline]\nthreads = 1\n")
    for folder in ("registry", "data", "out", "clean"):
        (root / folder).mkdir()
    (root / "registry" / "definitions.py").write_text(DEFINITIONS)
    rng = Random(7)
    payments = [(rng.randrange(CUSTOMERS), START + rng.randrange(60 * DAY), rng.randrange(1_000)) for _ in range(5_000)]
    table = pa.table(list(zip(*payments, strict=True)), names=["customer", "at", "amount"])
    pq.write_table(in_utc(table, "at"), root / "data" / "payments.parquet")
    for number, name in enumerate("ab"):
        asked = pa.array([START + (30 + number) * DAY + (i * 7_919_000_003) % (30 * DAY) for i in range(ROWS)])
        spine = pa.table({"customer": pa.array([i % CUSTOMERS for i in range(ROWS)]), "as_of": asked})
        pq.write_table(in_utc(spine, "as_of"), root / f"{name}.parquet")
    site = Site(root)
    for name in "ab":
        build(root, name, root / "clean" / "training.parquet")
        site.shas[name] = sha256(root / "clean" / "training.parquet")
    assert site.shas["a"] != site.shas["b"]
    return site


def in_utc(table: pa.Table, column: str) -> pa.Table:
    at = table.column_names.index(column)
    return table.set_column(at, column, table[column].cast(pa.timestamp("us", "UTC")))


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    """The project with training set `a` standing, and a reader looking at it all the time."""
    shutil.rmtree(built.output.parent)
    built.output.parent.mkdir()
    build(built.root, "a", built.output)
    watched = Reader(built)
    watched.start()
    yield built
    watched.finish()


class Reader(threading.Thread):
    """Reads the output again and again: what it sees is one of the two files, and a manifest of one of them."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self.site, self.looks, self.wrong = site, 0, list[str]()
        self._names = {sha: f"{name}.parquet" for name, sha in site.shas.items()}
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.02):
            self.looks += 1
            if sha256(self.site.output) not in self._names:
                self.wrong.append("a torn file")
            manifest = self._manifest()
            if manifest is None:
                self.wrong.append("no manifest")
            elif self._names[manifest["output"]["sha256"]] != manifest["spine"]["name"]:
                self.wrong.append(f"a mixed manifest: {manifest}")

    def _manifest(self) -> dict[str, Any] | None:
        """Looked for once more where a switch came between: `test_a_look_at_the_manifest_survives_a_switch`."""
        for _ in range(3):
            with contextlib.suppress(FileNotFoundError):
                if (found := files.manifest_of(self.site.output)) is not None:
                    return found
        return None

    def finish(self) -> None:
        self._stop_asked.set()
        self.join()
        assert self.looks > 10
        assert self.wrong == []


def kill(site: Site, fail_at: str) -> str:
    """Build the other training set and die at that moment. Returns: the spine of what was standing before."""
    before = site.standing()
    assert run(build, site.root, site.other(), site.output, fail_at=fail_at) == KILLED, f"{fail_at} is never reached"
    return before


def test_every_moment_the_code_names_is_tested() -> None:
    assert {*OLD_STANDS, *NEW_STANDS, RECOVERING} == fail_points("build")


def test_killed_at_every_named_moment_the_old_file_stands_or_the_new_one(site: Site) -> None:
    for moment in OLD_STANDS:
        assert kill(site, moment) == site.standing(), moment
    for moment in NEW_STANDS:
        assert kill(site, moment) != site.standing(), moment
    # Between the two renames the new manifest is still aside; whoever gives it its name may be killed as well.
    stands = kill(site, "build.renamed")
    assert stands != site.standing()
    for _ in range(2):
        assert kill(site, RECOVERING) == site.standing()
    finished(site)


@pytest.mark.parametrize("wanted", [6, pytest.param(RANDOM_KILLS, marks=pytest.mark.slow)])
def test_killed_at_any_moment_the_old_file_stands_or_the_new_one(site: Site, wanted: int) -> None:
    def attempt(moment: float) -> int:
        code = run(build, site.root, site.other(), site.output, after=moment)
        site.standing()
        return code

    kill_at_random(Random(23), wanted, attempt)
    finished(site)


def finished(site: Site) -> None:
    """A build that is left alone needs no repair, writes the bytes it always wrote, and sweeps what the killed ones left."""
    for name in (site.other(), "a"):
        build(site.root, name, site.output)
        assert site.standing() == name
    assert sorted(os.listdir(site.output.parent)) == BUILT


def test_a_killed_build_without_a_predecessor_leaves_nothing_under_the_name(built: Site) -> None:
    output = built.root / "out" / "first.parquet"
    assert run(build, built.root, "a", output, fail_at="build.described") == KILLED
    assert not output.exists()
    assert files.manifest_of(output) is None
    build(built.root, "a", output)
    assert sha256(output) == built.shas["a"]


@pytest.mark.parametrize("moment", ["after the manifest was read", "before the manifest aside is read"])
def test_a_look_at_the_manifest_survives_a_switch(built: Site, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    output = built.root / "out" / "switching.parquet"
    build(built.root, "a", output)
    if moment == "after the manifest was read":
        monkeypatch.setattr(folders, "identity", first_then(folders.identity, lambda: build(built.root, "b", output)))
    else:
        assert run(build, built.root, "b", output, fail_at="build.renamed") == KILLED
        describes = files._describes

        def describes_and_is_renamed(note: Path, standing: Path) -> bool:
            found = describes(note, standing)
            if found:
                monkeypatch.setattr(files, "_describes", describes)
                files.recover(output)
            return found

        monkeypatch.setattr(files, "_describes", describes_and_is_renamed)
    manifest = files.manifest_of(output)
    assert manifest is not None
    assert manifest["spine"]["name"] == "b.parquet"


def test_interrupted_between_the_two_renames_the_new_file_keeps_its_manifest(
    built: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = built.root / "out" / "interrupted.parquet"
    build(built.root, "a", output)
    monkeypatch.setattr(files, "reach", interrupted_at("build.renamed"))
    with pytest.raises(KeyboardInterrupt):
        build(built.root, "b", output)
    manifest = files.manifest_of(output)
    assert sha256(output) == built.shas["b"]
    assert manifest is not None
    assert manifest["spine"]["name"] == "b.parquet"


def interrupted_at(moment: str) -> Callable[[str], None]:
    def reach(name: str) -> None:
        if name == moment:
            raise KeyboardInterrupt

    return reach


def first_then(call: Callable[[Path], str], switch: Callable[[], None]) -> Callable[[Path], str]:
    """The call, before which a switch happens once."""
    left = [switch]

    def switched(path: Path) -> str:
        if left:
            left.pop()()
        return call(path)

    return switched


def test_the_environment_names_the_moment(built: Site) -> None:
    root, output = built.root, built.root / "out" / "named.parquet"
    code = f"from featurestore import FeatureStore; FeatureStore({str(root)!r}).build_training_set("
    code += f"'scoring', {str(root / 'a.parquet')!r}, output={str(output)!r})"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "FEATURESTORE_FAIL_AT": "build.batch0"}
    assert subprocess.run(command, env=environment, check=False).returncode == KILLED


def build_on_a_full_disk(root: Path, spine: str, output: Path, limit: int, told: Path) -> None:
    """No file may grow beyond `limit` bytes: what a full disk does, to one process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        build(root, spine, output)
    except StoreError as error:
        told.write_text(error.code)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_full_disk_is_an_error_that_changes_nothing(site: Site, tmp_path: Path, share: float) -> None:
    limit, told = 8 + int(site.output.stat().st_size * share), tmp_path / "told"
    before = site.standing()
    assert run(build_on_a_full_disk, site.root, site.other(), site.output, limit, told) == 0
    assert told.read_text() == "FS405"
    assert site.standing() == before
    assert sorted(os.listdir(site.output.parent)) == BUILT
